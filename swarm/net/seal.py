"""Sealing of datagrams: ChaCha20-Poly1305 (RFC 8439) under a key of each sender and boot.

A datagram is ``tag(8) version(1) key-id(1) sender(8) boot(4) counter(6)`` followed by the sealed payload;
the header is authenticated with it. The key is HKDF of the gossip key, the sender and the boot, so the
counter alone is the nonce. A boot is drawn at random at every start and its counter starts at a random
place in the lower half, so that even two boots that draw alike (copied disks, one in 4 billion) do not
repeat a nonce.

A receiver keeps, per sender and boot, which of the last 1,024 counters it has seen, and takes each only
once (RFC 4303 §3.4.3 has the same window). One datagram that comes by several ways, such as a hello by
multicast and by broadcast, is therefore taken once and its copies are counted as replayed.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from swarm.core.errors import RemoteProtocolError
from swarm.core.ids import Address, NodeId
from swarm.net.keys import MeshKeys

VERSION: Final = 1
KEY_ID: Final = 0
TAG_SIZE: Final = 8
SENDER_SIZE: Final = 8
BOOT_SIZE: Final = 4
HEADER_SIZE: Final = 28
SEAL_SIZE: Final = 16
OVERHEAD_BYTES: Final = HEADER_SIZE + SEAL_SIZE
DATAGRAM_SIZE_MAX: Final = 1400
"""Bytes of a datagram that every network carries whole; bigger ones are sent all the same, in fragments."""
PAYLOAD_SIZE_MAX: Final = DATAGRAM_SIZE_MAX - OVERHEAD_BYTES

WINDOW_SIZE: Final = 1024
SENDER_COUNT_MAX: Final = 4096
"""Senders and boots whose keys and windows are kept; the one not heard for longest makes room."""

_COUNTER_SIZE: Final = 6
_WINDOW_MASK: Final = (1 << WINDOW_SIZE) - 1
_SENDER_AT: Final = TAG_SIZE + 2
_COUNTER_AT: Final = HEADER_SIZE - _COUNTER_SIZE
_NONCE_START: Final = bytes(12 - _COUNTER_SIZE)
_LABEL: Final = b"swarm 1 datagram key"

REASONS: Final = ("short", "tag", "version", "key", "own", "seal", "replay")


class BadSeal(RemoteProtocolError):
    """A datagram is not a fresh one of this mesh; it was counted, nothing changed.

    Attributes:
        reason: one of `REASONS`. "own" is one that this node sent itself and heard back.
    """

    def __init__(self, reason: str, source: Address) -> None:
        """Say why a datagram from `source` was refused."""
        super().__init__(f"datagram from {source[0]} port {source[1]} refused: {reason}")
        self.reason = reason


class _Sender:
    """What is kept of a sender and boot: its key, and which counters were seen."""

    __slots__ = ("cipher", "seen", "top")

    def __init__(self, cipher: ChaCha20Poly1305) -> None:
        self.cipher = cipher
        self.top = -1
        self.seen = 0  # bit i: counter top - i was seen

    def is_fresh(self, counter: int) -> bool:
        """Return whether `counter` is new and not older than the window."""
        age = self.top - counter
        return age < 0 or (age < WINDOW_SIZE and not self.seen >> age & 1)

    def mark(self, counter: int) -> None:
        """Remember a fresh counter."""
        ahead = counter - self.top
        if ahead <= 0:
            self.seen |= 1 << -ahead
            return
        self.seen = ((self.seen << ahead) | 1) & _WINDOW_MASK if ahead < WINDOW_SIZE else 1
        self.top = counter


class Sealer:
    """Seals what one node sends and opens what it receives. Not thread-safe."""

    def __init__(self, keys: MeshKeys, node_id: NodeId) -> None:
        """Draw a boot for `node_id` in the mesh of `keys`."""
        self._gossip_key: Final = keys.gossip_key
        boot = os.urandom(BOOT_SIZE)
        prefix = keys.tag + bytes([VERSION, KEY_ID])
        self._tag: Final = keys.tag
        self._own: Final = node_id[:SENDER_SIZE] + boot
        self._header: Final = prefix + self._own
        self._cipher: Final = self._cipher_of(self._own)
        self._counter = int.from_bytes(os.urandom(_COUNTER_SIZE), "big") >> 1
        self._senders: Final[OrderedDict[bytes, _Sender]] = OrderedDict()
        self._refused: Final[dict[str, int]] = dict.fromkeys(REASONS, 0)
        self._sealed = 0
        self._opened = 0
        self._oversized = 0
        self._forgotten = 0

    def seal(self, payload: bytes) -> bytes:
        """Return `payload` as a datagram.

        One bigger than `PAYLOAD_SIZE_MAX` is counted: it will travel in fragments.
        """
        self._counter += 1
        counter = self._counter.to_bytes(_COUNTER_SIZE, "big")
        header = self._header + counter
        self._sealed += 1
        if len(payload) > PAYLOAD_SIZE_MAX:
            self._oversized += 1
        return header + self._cipher.encrypt(_NONCE_START + counter, payload, header)

    def open_untrusted(self, datagram: bytes, source: Address) -> bytes:
        """Return the payload of a datagram that another node of the mesh sealed and that was not seen yet.

        Raises:
            BadSeal: with the reason; it is counted already.
        """
        if len(datagram) < OVERHEAD_BYTES:
            raise self._refuse("short", source)
        if datagram[:TAG_SIZE] != self._tag:
            raise self._refuse("tag", source)
        if datagram[TAG_SIZE] != VERSION:
            raise self._refuse("version", source)
        if datagram[TAG_SIZE + 1] != KEY_ID:
            raise self._refuse("key", source)
        name = datagram[_SENDER_AT:_COUNTER_AT]
        if name == self._own:
            raise self._refuse("own", source)
        sender = self._senders.get(name)
        is_new = sender is None
        if sender is None:
            sender = _Sender(self._cipher_of(name))
        header = datagram[:HEADER_SIZE]
        counter_bytes = header[_COUNTER_AT:]
        counter = int.from_bytes(counter_bytes, "big")
        if not sender.is_fresh(counter):
            raise self._refuse("replay", source)
        try:
            payload = sender.cipher.decrypt(_NONCE_START + counter_bytes, datagram[HEADER_SIZE:], header)
        except InvalidTag:
            raise self._refuse("seal", source) from None
        # Only now is anything remembered: bytes of outsiders leave no trace but a count.
        sender.mark(counter)
        if is_new:
            self._senders[name] = sender
            if len(self._senders) > SENDER_COUNT_MAX:
                self._senders.popitem(last=False)
                self._forgotten += 1
        else:
            self._senders.move_to_end(name)
        self._opened += 1
        return payload

    def statistics(self) -> dict[str, int]:
        """Return counts since the start; ``refused_<reason>`` for each of `REASONS`."""
        counts = {
            "sealed": self._sealed,
            "opened": self._opened,
            "oversized": self._oversized,
            "senders": len(self._senders),
            "senders_forgotten": self._forgotten,
        }
        for reason, count in self._refused.items():
            counts[f"refused_{reason}"] = count
        return counts

    def _refuse(self, reason: str, source: Address) -> BadSeal:
        self._refused[reason] += 1
        return BadSeal(reason, source)

    def _cipher_of(self, sender_and_boot: bytes) -> ChaCha20Poly1305:
        key = HKDFExpand(SHA256(), 32, _LABEL + sender_and_boot).derive(self._gossip_key)
        return ChaCha20Poly1305(key)

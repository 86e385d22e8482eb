"""Sealing of datagrams: ChaCha20-Poly1305 (RFC 8439) under a key of each sender and boot.

A datagram is ``tag(4) version(1) key-id(1) sender(8) boot(4) counter(6)`` followed by the sealed payload;
the header is authenticated with it. The key is HKDF of the gossip key, the sender and the boot, so the
counter alone is the nonce. A boot is drawn at random at every start and its counter starts at a random
place in the lower half, so that even two boots that draw alike (copied disks, one in 4 billion) do not
repeat a nonce.

There may be several keys of the mesh (`swarm.keyring`): the primary seals, every one whose tag a datagram has
is tried (two have the same once in 4 billion), and what comes under a *returning* key is proven genuine, then
refused as "old": it tells that somebody is there who does not have the newest key.

A receiver keeps, per key, sender and boot, which of the last 1,024 counters it has seen, and takes each only
once (RFC 4303 §3.4.3 has the same window). One datagram that comes by several ways, such as a hello by
multicast and by broadcast, is therefore taken once and its copies are counted as replayed. What was sent
before something that arrived 10 s to 20 s ago is refused as well: a datagram is never that late, a recording
of what was sent to somebody else is.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
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
TAG_SIZE: Final = 4
"""Bytes that drop what is foreign unread; one foreign mesh in 4 billion is refused by its seal instead."""
SENDER_SIZE: Final = 8
BOOT_SIZE: Final = 4
HEADER_SIZE: Final = 24
SEAL_SIZE: Final = 16
OVERHEAD_BYTES: Final = HEADER_SIZE + SEAL_SIZE
DATAGRAM_SIZE_MAX: Final = 1400
"""Bytes of a datagram that every network carries whole; bigger ones are sent all the same, in fragments."""
PAYLOAD_SIZE_MAX: Final = DATAGRAM_SIZE_MAX - OVERHEAD_BYTES

WINDOW_SIZE: Final = 1024
LATE_S: Final = 10.0
"""What was sent before something that arrived so long ago, or up to twice that, is refused."""
SENDER_COUNT_MAX: Final = 4096
"""Senders and boots whose keys and windows are kept; the one not heard for longest makes room."""

_COUNTER_SIZE: Final = 6
_WINDOW_MASK: Final = (1 << WINDOW_SIZE) - 1
_SENDER_AT: Final = TAG_SIZE + 2
_COUNTER_AT: Final = HEADER_SIZE - _COUNTER_SIZE
_NONCE_START: Final = bytes(12 - _COUNTER_SIZE)
_LABEL: Final = b"swarm 1 datagram key"

REASONS: Final = ("short", "tag", "version", "key", "own", "seal", "replay", "old")


class BadSeal(RemoteProtocolError):
    """A datagram is not a fresh one of this mesh; it was counted, nothing changed.

    Attributes:
        reason: one of `REASONS`. "own" is one that this node sent itself and heard back; "old" a genuine and
            fresh one under a returning key.
        fingerprint: of the key, when the reason is "old".
        sender: first half of the sender's node id, when the reason is "old".
    """

    def __init__(
        self, reason: str, source: Address, *, fingerprint: bytes = b"", sender: bytes = b""
    ) -> None:
        """Say why a datagram from `source` was refused."""
        super().__init__(f"datagram from {source[0]} port {source[1]} refused: {reason}")
        self.reason = reason
        self.fingerprint = fingerprint
        self.sender = sender


class _Key:
    """One key of the mesh, as the sealer uses it."""

    __slots__ = ("cipher", "fingerprint", "gossip_key", "header", "is_open", "tag")

    def __init__(self, keys: MeshKeys, own: bytes) -> None:
        self.fingerprint = keys.fingerprint
        self.tag = keys.tag
        self.gossip_key = keys.gossip_key
        self.header = keys.tag + bytes([VERSION, KEY_ID]) + own
        self.cipher = self.cipher_of(own)
        self.is_open = True

    def cipher_of(self, sender_and_boot: bytes) -> ChaCha20Poly1305:
        """Return the cipher of one sender's boot."""
        key = HKDFExpand(SHA256(), 32, _LABEL + sender_and_boot).derive(self.gossip_key)
        return ChaCha20Poly1305(key)


class _Sender:
    """What is kept of a sender and boot: its key, and which counters were seen."""

    __slots__ = ("cipher", "floor", "looked_at", "next_floor", "seen", "top")

    def __init__(self, cipher: ChaCha20Poly1305) -> None:
        self.cipher = cipher
        self.top = -1
        self.seen = 0  # bit i: counter top - i was seen
        self.floor = -1  # the top of LATE_S to 2 * LATE_S ago: nothing up to it is taken
        self.next_floor = -1
        self.looked_at = 0.0

    def is_fresh(self, counter: int, now: float) -> bool:
        """Return whether `counter` is new, not older than the window and not late."""
        if now - self.looked_at >= LATE_S:
            self.floor = self.next_floor if now - self.looked_at < 2 * LATE_S else self.top
            self.next_floor = self.top
            self.looked_at = now
        age = self.top - counter
        return age < 0 or (age < WINDOW_SIZE and counter > self.floor and not self.seen >> age & 1)

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

    def __init__(self, keys: MeshKeys, node_id: NodeId, clock: Callable[[], float] = time.monotonic) -> None:
        """Draw a boot for `node_id` in the mesh of `keys`; `clock` gives seconds."""
        self._clock: Final = clock
        self._own: Final = node_id[:SENDER_SIZE] + os.urandom(BOOT_SIZE)
        self._keys: dict[bytes, _Key] = {}
        self._by_tag: dict[bytes, list[_Key]] = {}
        self._primary = keys.fingerprint
        self._opened_under = keys.fingerprint
        self.use_keys([keys], [])
        self._counter = int.from_bytes(os.urandom(_COUNTER_SIZE), "big") >> 1
        self._senders: Final[OrderedDict[bytes, _Sender]] = OrderedDict()
        self._refused: Final[dict[str, int]] = dict.fromkeys(REASONS, 0)
        self._sealed = 0
        self._opened = 0
        self._oversized = 0
        self._forgotten = 0

    def use_keys(self, opening: Sequence[MeshKeys], returning: Sequence[MeshKeys]) -> None:
        """Use these keys from now on.

        Args:
            opening: keys that open; the first one seals.
            returning: keys under which datagrams are refused as "old".
        """
        assert opening, "a sealer has a key"
        before = self._keys
        self._primary = opening[0].fingerprint
        self._keys = {}
        self._by_tag = {}
        opening_names = [keys.fingerprint for keys in opening]
        for keys in (*opening, *returning):
            name = keys.fingerprint
            if name not in self._keys:
                key = self._keys[name] = before.get(name) or _Key(keys, self._own)
                key.is_open = name in opening_names
                self._by_tag.setdefault(key.tag, []).append(key)

    def seal(self, payload: bytes, fingerprint: bytes = b"") -> bytes:
        """Return `payload` as a datagram, under the primary or the key of that fingerprint.

        One bigger than `PAYLOAD_SIZE_MAX` is counted: it will travel in fragments.

        Raises:
            KeyError: there is no such key.
        """
        key = self._keys[fingerprint or self._primary]
        self._counter += 1
        counter = self._counter.to_bytes(_COUNTER_SIZE, "big")
        header = key.header + counter
        self._sealed += 1
        if len(payload) > PAYLOAD_SIZE_MAX:
            self._oversized += 1
        return header + key.cipher.encrypt(_NONCE_START + counter, payload, header)

    def open_untrusted(self, datagram: bytes, source: Address) -> bytes:
        """Return the payload of a datagram that another node of the mesh sealed and that was not seen yet.

        Raises:
            BadSeal: with the reason; it is counted already.
        """
        if len(datagram) < OVERHEAD_BYTES:
            raise self._refuse("short", source)
        keys = self._by_tag.get(datagram[:TAG_SIZE])
        if keys is None:
            raise self._refuse("tag", source)
        if datagram[TAG_SIZE] != VERSION:
            raise self._refuse("version", source)
        if datagram[TAG_SIZE + 1] != KEY_ID:
            raise self._refuse("key", source)
        own_part = datagram[_SENDER_AT:_COUNTER_AT]
        if own_part == self._own:
            raise self._refuse("own", source)
        reason = ""
        for key in keys:
            opened = self._open_under(key, datagram, own_part)
            if not isinstance(opened, bytes):
                reason = reason or opened
            elif key.is_open:
                self._opened += 1
                self._opened_under = key.fingerprint
                return opened
            else:
                self._refused["old"] += 1
                raise BadSeal("old", source, fingerprint=key.fingerprint, sender=own_part[:SENDER_SIZE])
        raise self._refuse(reason, source)

    def _open_under(self, key: _Key, datagram: bytes, own_part: bytes) -> bytes | str:
        """Return the payload of a fresh datagram that was sealed with `key`, or why it is none."""
        name = key.fingerprint + own_part
        sender = self._senders.get(name)
        is_new = sender is None
        if sender is None:
            sender = _Sender(key.cipher_of(own_part))
        header = datagram[:HEADER_SIZE]
        counter_bytes = header[_COUNTER_AT:]
        counter = int.from_bytes(counter_bytes, "big")
        if not sender.is_fresh(counter, self._clock()):
            return "replay"
        try:
            payload = sender.cipher.decrypt(_NONCE_START + counter_bytes, datagram[HEADER_SIZE:], header)
        except InvalidTag:
            return "seal"
        # Only now is anything remembered: bytes of outsiders leave no trace but a count.
        sender.mark(counter)
        if is_new:
            self._senders[name] = sender
            if len(self._senders) > SENDER_COUNT_MAX:
                self._senders.popitem(last=False)
                self._forgotten += 1
        else:
            self._senders.move_to_end(name)
        return payload

    def origin_of(self, datagram: bytes) -> tuple[bytes, bytes]:
        """Return the first half of the sender's id, and the key's name, of the datagram opened last."""
        return datagram[_SENDER_AT : _SENDER_AT + SENDER_SIZE], self._opened_under

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

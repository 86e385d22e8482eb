"""Targets: keys of the mesh as members tell them and homes keep them, and pairing by a code."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import trio

from swarm.core.errors import DecodeError, RemoteProtocolError
from swarm.core.ids import Address
from swarm.core.rng import Rng
from swarm.daemon.admission import Admission
from swarm.election.configuration import founding
from swarm.election.ledger import founding_row, pack_ledger, unpack_ledger_untrusted
from swarm.keyring.config import KeyringConfig
from swarm.keyring.core import Keyring
from swarm.keyring.effects import KeepRing
from swarm.keyring.kept import unpack_ring_untrusted
from swarm.net.identity import NodeKey
from swarm.net.pairing import MAGIC, Channel, Code, here_datagram, parse_call_untrusted
from swarm.wire.codec import pack
from tests.fuzz.door_targets import Pipe
from tests.fuzz.mutation import MSGPACK
from tests.fuzz.target import Act, Target, Traffic, plain
from tests.unit.scheduler_builder import ME, ONE, TWO

SECRET = bytes(range(32))
CODE = Code(42, "123456")
CALLER = ("10.0.0.9", 7117)


def _name_of(secret: bytes) -> bytes:
    return blake2b(secret, digest_size=8).digest()


def _ring(node: bytes, blob: bytes = b"") -> Keyring:
    return Keyring(node, SECRET, 1, _name_of, Rng(node.hex()), KeyringConfig(), blob, 0.0)


def _prepare_ring() -> Act:
    """Return what tells a ring something as a member, and looks whether it can keep what it then knows."""
    ring = _ring(ME)
    ring.on_members({ONE: [CALLER]}, {TWO: [CALLER]}, 0.0)

    def act(payload: bytes) -> None:
        ring.receive_untrusted(ONE, _name_of(SECRET), payload, 1.0)
        for now in (1.0, 3.0, 30.0, 60.0):
            ring.handle_deadline(now)
            for effect in ring.take_effects():
                if isinstance(effect, KeepRing):
                    assert _ring(ME, effect.blob).damage == "", "what is kept can be read again"
            ring.check_invariants()
        assert ring.rows()

    return act


def _blobs(ring: Keyring) -> list[bytes]:
    return [effect.blob for effect in ring.take_effects() if isinstance(effect, KeepRing)]


def _told(traffic: Traffic) -> list[bytes]:
    ring = _ring(ONE)
    ring.on_members({ME: [CALLER]}, {}, 0.0)
    before = ring.tell(ME, _name_of(SECRET))
    ring.rotate(bytes(32), [TWO], 1.0)
    return [before, ring.tell(ME, _name_of(SECRET))]


def _kept(traffic: Traffic) -> list[bytes]:
    ring = _ring(ONE)
    ring.rotate(bytes(32), [TWO], 1.0)
    return _blobs(ring)


def _restored(blob: bytes) -> None:
    """Start from what a home keeps, whatever wrote it, and go on with it."""
    unpack_ring_untrusted(blob, _name_of)
    ring = _ring(ME, blob)
    ring.check_invariants()
    ring.handle_deadline(60.0)
    for again in _blobs(ring):
        assert _ring(ME, again).damage == "", "what is kept can be read again"
    ring.check_invariants()


def _ledger(row: bytes) -> None:
    """Read the ledger of a voter from a disk; what is read is written again in the same way."""
    mark, promise, configuration = unpack_ledger_untrusted(ME, row)
    again = pack_ledger(ME, mark, promise, configuration)
    assert unpack_ledger_untrusted(ME, again) == (mark, promise, configuration)


def _ledgers(traffic: Traffic) -> list[bytes]:
    changed = founding(ME, b"m" * 8).owned_by((3, ONE)).plus(ONE, b"o" * 8)
    return [founding_row(ME, Rng("ledger")), pack_ledger(ME, b"m" * 8, (3, ONE), changed)]


def _call(datagram: bytes) -> None:
    found = parse_call_untrusted(datagram)
    if found is not None:
        assert found.name.isprintable() or not found.name


def _calls(traffic: Traffic) -> list[bytes]:
    fields: list[object] = [1, 42, 7117, "phone", bytes(range(8))]
    return [(MAGIC + pack(fields)).ljust(64, b"\x00"), here_datagram()]


def _admission() -> Act:
    sent: list[int] = []

    def answer(address: Address, datagram: bytes) -> None:
        sent.append(len(datagram))

    nothing: Any = None
    admission = Admission(NodeKey(bytes(32)), nothing, nothing, answer, nothing)

    def act(datagram: bytes) -> None:
        async def main() -> None:
            sent.clear()
            admission.on_datagram(datagram, CALLER)
            assert sum(sent) <= len(datagram), "no answer is longer than its question"
            admission.waiting()

        trio.run(main)

    return act


def _device(pipe: Any) -> Callable[[], Any]:
    async def main() -> None:
        channel = Channel(pipe, CODE, is_member=False)
        await channel.agree()
        channel.is_proof(await channel.receive())
        channel.take_identity_untrusted(await channel.receive_sealed())

    return main


def _attempt(data: bytes) -> None:
    trio.run(_device(Pipe(data)))


def _attempts(traffic: Traffic) -> list[bytes]:
    from spake2 import SPAKE2_A

    first = SPAKE2_A(b"123456", idA=b"swarm admit42", idB=b"swarm join42").start()
    messages = [first, bytes(32), bytes(64)]
    return [b"".join([len(message).to_bytes(2, "big") + message for message in messages])]


KEY_TARGETS = [
    Target("keyring", _prepare_ring, _told, MSGPACK, is_fresh=True),
    Target("kept-keys", plain(_restored), _kept, MSGPACK, (DecodeError,)),
    Target("ledger", plain(_ledger), _ledgers, MSGPACK, (DecodeError,)),
    Target("pairing-call", plain(_call), _calls, errors=(DecodeError,)),
    Target("pairing-admission", _admission, _calls),
    Target("pairing-attempt", plain(_attempt), _attempts, errors=(RemoteProtocolError,)),
]

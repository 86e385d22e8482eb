"""What a datagram of somebody without the secret costs: bytes around a payload, and time to refuse it."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence

from swarm.net.invitation import new_secret
from swarm.net.keys import MeshKeys
from swarm.net.seal import OVERHEAD_BYTES, BadSeal, Sealer

_SOURCE = ("10.93.0.9", 7117)
_PAYLOAD = bytes(60)
_BATCH = 2000
_ROUNDS = 7


def refusal_costs() -> dict[str, float | None]:
    """Return {metric: figure}: microseconds to refuse what is not of the mesh, and what is heard again.

    The cheap ways out come first, so three strangers are tried: noise, a datagram of another mesh, and one
    that knows the tag of ours but not its key.
    """
    keys, others = MeshKeys(new_secret()), MeshKeys(new_secret())
    receiver = Sealer(keys, os.urandom(16))
    friend, stranger = Sealer(keys, os.urandom(16)), Sealer(others, os.urandom(16))
    heard = friend.seal(_PAYLOAD)
    receiver.open_untrusted(heard, _SOURCE)
    forged = [keys.tag + datagram[len(keys.tag) :] for datagram in _many(stranger)]
    return {
        "overhead_bytes": float(OVERHEAD_BYTES),
        "refuse_noise_us": _cost_us(receiver, [os.urandom(len(heard)) for _ in range(_BATCH)]),
        "refuse_other_mesh_us": _cost_us(receiver, _many(stranger)),
        "refuse_forged_us": _cost_us(receiver, forged),
        "refuse_replayed_us": _cost_us(receiver, [heard] * _BATCH),
        "open_us": _cost_of_opening_us(receiver, friend),
    }


def _many(sealer: Sealer) -> list[bytes]:
    return [sealer.seal(_PAYLOAD) for _ in range(_BATCH)]


def _cost_us(receiver: Sealer, datagrams: Sequence[bytes]) -> float:
    taken: list[float] = []
    for _ in range(_ROUNDS):
        refused = 0
        begin = time.perf_counter()
        for datagram in datagrams:
            try:
                receiver.open_untrusted(datagram, _SOURCE)
            except BadSeal:
                refused += 1
        taken.append(time.perf_counter() - begin)
        assert refused == len(datagrams), "every one of them is refused"
    return statistics.median(taken) / len(datagrams) * 1e6


def _cost_of_opening_us(receiver: Sealer, friend: Sealer) -> float:
    taken: list[float] = []
    for _ in range(_ROUNDS):
        datagrams = _many(friend)
        begin = time.perf_counter()
        for datagram in datagrams:
            receiver.open_untrusted(datagram, _SOURCE)
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken) / _BATCH * 1e6

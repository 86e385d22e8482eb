"""Meshes, frames and orders for the tests of checkers."""

from __future__ import annotations

import msgpack

from sims.checkers.base import Truth
from sims.cluster import Cluster, simple_cluster
from swarm.core.effects import Effect, ExecutorTask, Persist, RunTasks, SendMessage, SendPacket, SendToClient

JOB = b"j" * 10
ADDRESS = ("10.0.0.2", 7117)
LOW, HIGH = (3, b"a" * 16), (4, b"b" * 16)


def mesh() -> tuple[Cluster, Truth]:
    cluster = simple_cluster(3, "checkers")
    for index in range(3):
        cluster.start(index)
    cluster.run_until(5.0)
    return cluster, Truth(cluster)


def frame(kind: int, ballot: tuple[int, bytes], body: list[object], sender: bytes = b"s" * 16) -> bytes:
    packed: bytes = msgpack.packb([kind, sender, ballot[0], ballot[1], 1, body])
    return packed


def packet(kind: int, ballot: tuple[int, bytes], body: list[object]) -> Effect:
    return SendPacket(ADDRESS, frame(kind, ballot, body))


def order(ballot: tuple[int, bytes], *keys: tuple[int, int], kind: int = 61) -> bytes:
    """An order of a leader about (task, attempt) of the job."""
    return frame(kind, ballot, [[[JOB, task, attempt] for task, attempt in keys]], b"l" * 16)


def runs(*keys: tuple[int, int], executor: int = 0) -> list[Effect]:
    tasks = [ExecutorTask(1, JOB, task, attempt, 2, "t", None, b"", [], 1, 0) for task, attempt in keys]
    return [RunTasks(executor, tasks)]


def stand(truth: Truth, index: int) -> None:
    host = truth.cluster.hosts[index]
    ballot: bytes = msgpack.packb([9, host.node_id])
    truth.on_effects(host, [Persist("node", b"promise", ballot, True)], 5.0)
    assert truth.has_stood(host)


def assign(peer: bytes, attempt: int, task: int = 0) -> Effect:
    return SendMessage(peer, [ADDRESS], frame(61, (3, b"a" * 16), [[[JOB, task, attempt]]]))


def acknowledgement(names: list[str]) -> Effect:
    return SendToClient(1, frame(81, (1, b""), [1, JOB, 0, names]))


def update(state: str, digest: bytes = b"d" * 16) -> Effect:
    """What a client is shown of a job with one result."""
    completion = [0, 1, b"n" * 16, b"", 0.1, [[digest, 1, 0, None]], None]
    return SendToClient(1, frame(84, (1, b""), [JOB, state, 1, [1, 1, 0, 0], [completion], "", True, 1]))

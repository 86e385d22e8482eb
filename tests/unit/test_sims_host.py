"""A simulated host: a disk that forgets what was not synced, executors whose answers follow from inputs."""

from __future__ import annotations

from sims.client import simulated_task
from sims.host import Disk, Host, pretend
from swarm.core.effects import Erase, ExecutorTask, InputValue, Persist
from swarm.node_config import NodeConfig
from swarm.wire.codec import pack
from swarm.wire.executor_frames import DONE, FAILED
from swarm.wire.messages import INLINE_SIZE_MAX

JOB = b"j" * 10


def test_only_what_is_synced_stays() -> None:
    disk = Disk()
    disk.write(Persist("t", b"a", b"1", True))
    disk.sync()
    disk.write(Persist("t", b"b", b"2", False))
    disk.lose_unsynced()
    disk.sync()
    assert disk.load() == [("t", b"a", b"1")]


def test_writes_are_done_in_order() -> None:
    disk = Disk()
    for effect in (
        Persist("t", b"ab", b"1", False),
        Persist("t", b"b", b"1", False),
        Erase("t", b"a"),
        Persist("t", b"b", b"2", False),
    ):
        disk.write(effect)
    disk.write(Erase("other", b"b"))
    disk.sync()
    assert disk.load() == [("t", b"b", b"2")]


def host() -> Host:
    config = NodeConfig(
        node_id=b"n" * 16,
        name="n0",
        addresses=[("10.0.0.1", 7117)],
        incarnation=1,
        cores=1.0,
        memory_bytes=0,
        facts={},
    )
    return Host(0, ("10.0.0.1", 7117), config, "seed")


def test_every_start_has_a_higher_incarnation() -> None:
    one = host()
    first = one.boot()
    assert one.epoch == 1
    first.start([], 0.0)
    one.boot()
    one.disk.write(Persist("node", b"incarnation", pack(9), False))
    one.disk.sync()
    again = one.boot()
    assert one.epoch == 3
    again.start([], 0.0)
    member = again.gossip.member(b"n" * 16)
    assert member is not None
    assert member.incarnation == 10


def test_a_start_forgets_the_process_but_not_the_disk() -> None:
    one = host()
    one.boot()
    one.store[JOB, 0, 0] = (b"d", 1)
    one.links[3] = True
    one.executors[0] = []
    one.is_blocked = True
    one.disk.write(Persist("t", b"a", b"1", True))
    one.disk.sync()
    one.is_dark = True
    one.boot()
    assert (one.store, one.links, one.executors, one.waiting) == ({}, {}, {}, [])
    assert not one.is_blocked
    assert not one.is_dark
    assert one.disk.load() == [("t", b"a", b"1")]


def run(
    task: int, sizes: list[int], digests: list[bytes], fails: bool = False
) -> tuple[float, list[object], int]:
    payload = simulated_task("t", 0.5, sizes, [], fails=fails).payload
    inputs = [InputValue((JOB, 9, 0), digest, 0, None) for digest in digests]
    seconds, frame, stored = pretend(
        ExecutorTask(7, JOB, task, 1, 2, "t", None, payload, inputs, len(sizes), 0)
    )
    return seconds, frame, len(stored)


def test_answers_follow_from_task_and_inputs() -> None:
    seconds, frame, _ = run(1, [10], [b"a"])
    assert seconds == 0.5
    assert frame[:2] == [DONE, 7]
    assert run(1, [10], [b"a"])[1] == frame
    assert run(1, [10], [b"b"])[1] != frame
    assert run(2, [10], [b"a"])[1] != frame


def test_small_outputs_ride_along_and_large_ones_are_stored() -> None:
    _, frame, stored = run(1, [10, INLINE_SIZE_MAX + 1], [])
    outputs = frame[2]
    assert isinstance(outputs, list)
    assert len(outputs[0][3]) == 10
    assert outputs[1][3] is None
    assert outputs[1][1] == INLINE_SIZE_MAX + 1
    assert stored == 1


def test_tasks_may_fail_or_be_nonsense() -> None:
    assert run(1, [10], [], fails=True)[1][0] == FAILED
    _, frame, _ = pretend(ExecutorTask(7, JOB, 0, 1, 2, "t", None, b"\xc1", [], 1, 0))
    assert frame[0] == FAILED

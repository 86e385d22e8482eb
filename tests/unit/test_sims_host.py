"""A simulated host: a disk that forgets what was not synced, executors whose answers follow from inputs."""

from __future__ import annotations

from sims.client import simulated_task
from sims.disk import DESTROYED, KEEP, TORN, Disk
from sims.executors import Executor, outcome, run_time_s
from sims.host import Host
from sims.settings import HostSpec, NodeSettings
from sims.stream import Stream
from swarm.core.effects import Erase, ExecutorTask, InputValue, Persist
from swarm.core.rng import Rng
from swarm.wire.codec import pack
from swarm.wire.executor_frames import DONE, FAILED
from swarm.wire.messages import INLINE_SIZE_MAX

JOB = b"j" * 10


def test_only_what_is_synced_stays() -> None:
    disk = Disk()
    disk.write(Persist("t", b"a", b"1", True))
    disk.sync()
    disk.write(Persist("t", b"b", b"2", False))
    disk.end(KEEP, True, Rng("disk"))
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


def test_a_torn_write_leaves_a_part_of_what_was_under_way() -> None:
    found: set[int] = set()
    for seed in range(20):
        disk = Disk()
        for number in range(3):
            disk.write(Persist("t", bytes([number]), b"1", True))
        disk.end(TORN, False, Rng(str(seed)))
        kept = [key for _, key, _ in disk.load()]
        assert kept == [bytes([number]) for number in range(len(kept))], (
            "what was written first is there first"
        )
        found.add(len(kept))
    assert found == {0, 1, 2, 3}


def test_a_destroyed_disk_is_empty() -> None:
    disk = Disk()
    disk.write(Persist("t", b"a", b"1", True))
    disk.sync()
    disk.end(DESTROYED, True, Rng("disk"))
    assert disk.load() == []


def test_a_lying_disk_loses_what_it_acknowledged_when_the_power_fails() -> None:
    for has_power in (True, False):
        disk = Disk()
        disk.is_lying = True
        disk.write(Persist("t", b"a", b"1", True))
        disk.sync()
        assert disk.load() == []
        disk.end(KEEP, has_power, Rng("disk"))
        assert (disk.row("t", b"a") is not None) == has_power


def test_a_damaged_row_is_gone_and_known_to_be() -> None:
    disk = Disk()
    assert disk.flip_bit(Rng("disk")) == ""
    disk.write(Persist("t", b"a", b"1", True))
    disk.sync()
    assert disk.flip_bit(Rng("disk")) == "t"
    assert disk.is_damaged
    assert disk.load() == []


def host() -> Host:
    return Host(0, ("10.0.0.1", 7117), HostSpec(name="n0"), NodeSettings(), "seed")


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
    member = again.gossip.member(one.node_id)
    assert member is not None
    assert member.incarnation == 10


def test_a_start_forgets_the_process_but_not_the_disk() -> None:
    one = host()
    one.boot()
    one.store[JOB, 0, 0] = (b"d", 1)
    one.links[3] = Stream(0, 1, b"a" * 16, 3, b"d" * 16, 0.0)
    one.executors[0] = Executor()
    one.is_blocked = True
    one.disk.write(Persist("t", b"a", b"1", True))
    one.disk.sync()
    one.boot()
    assert (one.store, one.links, one.executors, one.waiting) == ({}, {}, {}, [])
    assert not one.is_blocked
    assert one.disk.row("t", b"a") == b"1"


def run(
    task: int, sizes: list[int], digests: list[bytes], fails: bool = False
) -> tuple[float, list[object], int]:
    payload = simulated_task("t", 0.5, sizes, [], fails=fails).payload
    inputs = [InputValue((JOB, 9, 0), digest, 0, None) for digest in digests]
    simulated = ExecutorTask(7, JOB, task, 1, 2, "t", None, payload, inputs, len(sizes), 0)
    frame, stored = outcome(simulated, 0.5)
    return run_time_s(simulated), frame, len(stored)


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
    nonsense = ExecutorTask(7, JOB, 0, 1, 2, "t", None, b"\xc1", [], 1, 0)
    assert run_time_s(nonsense) == 0.0
    assert outcome(nonsense, 0.0)[0][0] == FAILED

"""Nodes as the leader sees them: facts, fitness, room, and accounts that balance."""

from __future__ import annotations

import pytest

from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.workers import SCRIPTS_MAX, Worker
from swarm.wire.job_part import TaskOptions
from tests.unit.scheduler_builder import JOB, ONE
from tests.unit.scheduler_env import facts_of

CONFIG = SchedulerConfig(window_s=0.1, window_tasks_max=10)


def worker(**facts: object) -> Worker:
    made = Worker(ONE, facts_of(**facts))
    made.has_reported = True
    return made


def give(one: Worker, number: int, options: TaskOptions | None = None, estimate_s: float = 0.01) -> None:
    one.give((JOB, number, 1), options or TaskOptions(), estimate_s, False)


def test_facts_are_taken() -> None:
    one = worker(cores=4, memory=5, python="3.12", tags=["a", "b"], speed=2, draining=True, instance=7)
    assert (one.cores, one.memory_bytes, one.python, one.tags, one.speed) == (4.0, 5, "3.12", ["a", "b"], 2.0)
    assert one.is_draining
    assert one.instance == 7


def test_wrong_facts_keep_the_last_value() -> None:
    one = worker(cores=4, speed=2.0)
    one.update({"cores": -1, "memory": "much", "speed": 0, "python": 3, "tags": "x"})
    assert (one.cores, one.memory_bytes, one.python, one.speed) == (4.0, 1 << 30, "3.11", 2.0)
    one.update({"tags": ["a", 1, None]})
    assert one.tags == ["a"]
    assert not one.is_draining


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (TaskOptions(), ""),
        (TaskOptions(cpus=0.0), ""),
        (TaskOptions(cpus=2.5), "it has 2 cores of the 2.5 asked for"),
        (TaskOptions(memory_bytes=101), "it has 100 bytes of memory of the 101 asked for"),
        (TaskOptions(memory_bytes=100), ""),
        (TaskOptions(python="3.12"), "it runs Python 3.11, not 3.12"),
        (TaskOptions(tags=("a", "b")), "it has no tag b"),
        (TaskOptions(tags=("a",), python="3.11"), ""),
    ],
)
def test_why_a_node_is_unfit(options: TaskOptions, reason: str) -> None:
    assert worker(cores=2, memory=100, tags=["a"]).why_unfit(options) == reason


def room(
    one: Worker, options: TaskOptions | None = None, estimate_s: float = 0.01, is_known: bool = True
) -> bool:
    return one.has_room(options or TaskOptions(), estimate_s, is_known, CONFIG)


def test_no_room_before_the_report_or_when_draining() -> None:
    silent = worker()
    silent.has_reported = False
    assert not room(silent)
    assert not room(worker(draining=True))
    assert room(worker())


def test_a_free_core_is_room_for_anything() -> None:
    assert room(worker(), estimate_s=1e6)


def test_the_window_is_in_seconds_and_scales_with_cores_and_speed() -> None:
    one = worker()
    give(one, 0, estimate_s=0.05)
    assert room(one, estimate_s=0.05)
    assert not room(one, estimate_s=0.06)
    fast = worker(speed=2.0)
    give(fast, 0, estimate_s=0.05)
    assert room(fast, estimate_s=0.15)
    wide = worker(cores=2)
    give(wide, 0, estimate_s=0.05)
    give(wide, 1, estimate_s=0.05)
    assert room(wide, estimate_s=0.1)


def test_unknown_tasks_queue_two_deep() -> None:
    one = worker()
    give(one, 0)
    assert room(one, is_known=False)
    give(one, 1)
    assert not room(one, is_known=False)
    wide = worker(cores=2)
    give(wide, 0, TaskOptions(cpus=2.0))
    assert not room(wide, TaskOptions(cpus=2.0), is_known=False)


def test_the_window_is_bounded_in_tasks() -> None:
    one = worker()
    for number in range(10):
        give(one, number, estimate_s=0.0)
    assert not room(one, estimate_s=0.0)


def test_memory_is_not_overbooked() -> None:
    one = worker(memory=100)
    give(one, 0, TaskOptions(memory_bytes=60))
    assert not room(one, TaskOptions(memory_bytes=60))
    assert room(one, TaskOptions(memory_bytes=40))


def test_scripts_have_a_bound_of_their_own() -> None:
    one = worker()
    script = TaskOptions(cpus=0.0)
    for number in range(SCRIPTS_MAX):
        assert room(one, script)
        give(one, number, script)
    assert not room(one, script)
    assert room(one)
    assert one.backlog_s == 0.0


def test_accounts_balance() -> None:
    one = worker(cores=3)
    give(one, 0, TaskOptions(cpus=0.1, memory_bytes=5), 0.3)
    give(one, 1, TaskOptions(cpus=0.2), 0.1)
    give(one, 2, TaskOptions(cpus=0.0), 0.1)
    assert (len(one.given), one.memory, one.scripts) == (3, 5, 1)
    for number in (1, 0, 2):
        one.take_back((JOB, number, 1))
        one.take_back((JOB, number, 1))
    assert (one.cpus, one.backlog_s, one.memory, one.scripts) == (0.0, 0.0, 0, 0)
    assert not one.loose
    assert not one.demands


def test_fixed_attempts_are_not_for_balance() -> None:
    one = worker()
    one.give((JOB, 0, 1), TaskOptions(), 0.1, True)
    one.give((JOB, 1, 1), TaskOptions(), 0.1, False)
    assert list(one.loose) == [(JOB, 1, 1)]

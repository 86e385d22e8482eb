"""Executors that get no processor, or are stuck, with tasks given ahead: no kill, and no task runs twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from swarm.exec.config import ExecConfig
from tests.integration.core_harness import CoreOnPool, core_on_pool
from tests.integration.executor_harness import JOB

COUNT = 600


def mark(folder: str, number: int) -> int:
    """A tiny task that leaves a trace of each of its runs."""
    with Path(f"{folder}/runs").open("a") as file:
        file.write(f"{number}\n")
    return number


def wait_for(folder: str, number: int) -> int:
    """Wait until task `number` has run."""
    while f"{number}\n" not in Path(f"{folder}/runs").read_text().splitlines(keepends=True):
        time.sleep(0.001)  # tasks know nothing of each other but a file
    return number


def leave(folder: str, number: int) -> None:
    """End the executor."""
    mark(folder, number)
    os._exit(3)


def run_core(
    folder: Path,
    test: Callable[[CoreOnPool], Awaitable[None]],
    cpus: float = 1.0,
    config: ExecConfig | None = None,
) -> None:
    async def main() -> None:
        async with core_on_pool(folder, cpus, config) as h:
            await test(h)

    trio.run(main)


def runs(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "runs").read_text().split()]


def test_executors_that_stand_still_lose_no_task_and_no_life(tmp_path: Path) -> None:
    async def test(h: CoreOnPool) -> None:
        h.assign([h.assignment(task, mark, str(tmp_path), task) for task in range(COUNT)])
        await h.wait_ended(COUNT // 3)
        for pid in h.pids.values():
            os.kill(pid, signal.SIGSTOP)
        await trio.sleep(1.0)
        for pid in h.pids.values():
            os.kill(pid, signal.SIGCONT)
        await h.wait_ended(COUNT)
        assert sorted(runs(tmp_path)) == list(range(COUNT))
        assert [h.value(task) for task in range(COUNT)] == list(range(COUNT))
        counts = h.core.statistics()
        assert (counts["kills"], counts["spawns"]) == (0, 2)
        assert counts["taken_back"] > 0
        assert h.exits == []

    run_core(tmp_path, test, cpus=2.0)


def test_others_run_what_was_given_to_one_that_stands_still(tmp_path: Path) -> None:
    async def test(h: CoreOnPool) -> None:
        h.assign([h.assignment(task, mark, str(tmp_path), task) for task in range(COUNT)])
        await h.wait_ended(COUNT // 3)
        os.kill(h.pids[0], signal.SIGSTOP)
        await h.wait(lambda: len(h.core.inventory()[0]) <= 16)
        await h.wait_ended(COUNT - 16)  # at most those that it had begun or finished are missing
        missing = COUNT - len(h.completions)
        os.kill(h.pids[0], signal.SIGCONT)
        await h.wait_ended(COUNT)
        assert sorted(runs(tmp_path)) == list(range(COUNT))
        assert h.core.statistics()["kills"] == 0
        assert missing <= 16

    run_core(tmp_path, test, cpus=2.0)


def test_a_task_that_waits_for_one_behind_it(tmp_path: Path) -> None:
    async def test(h: CoreOnPool) -> None:
        h.assign([h.assignment(task, mark, str(tmp_path), task) for task in range(100)])
        await h.wait_ended(100)
        # By its name it is as tiny as the others.
        waiter, after = h.assignment(100, wait_for, str(tmp_path), 101, name="mark"), range(101, 104)
        h.assign([waiter, *[h.assignment(task, mark, str(tmp_path), task) for task in after]])
        await h.wait_ended(104)
        assert sorted(runs(tmp_path)) == [*range(100), *after]
        assert h.core.statistics()["kills"] == 0

    run_core(tmp_path, test, cpus=2.0, config=ExecConfig(pipeline_stall_s=0.05))


def test_cancelled_tasks_given_ahead_do_not_run(tmp_path: Path) -> None:
    async def test(h: CoreOnPool) -> None:
        h.assign([h.assignment(task, mark, str(tmp_path), task) for task in range(100)])
        await h.wait_ended(100)
        os.kill(h.pids[0], signal.SIGSTOP)
        h.assign([h.assignment(task, mark, str(tmp_path), task) for task in range(100, 110)])
        await h.wait(lambda: h.core.statistics()["sent_now"] == 10)
        h.core.cancel([(JOB, task, 1) for task in range(102, 110, 2)], time.monotonic())
        h.turn()
        os.kill(h.pids[0], signal.SIGCONT)
        await h.wait_ended(106)
        assert sorted(runs(tmp_path)) == [*range(100), 100, 101, 103, 105, 107, 109]
        assert h.core.statistics()["kills"] == 0

    run_core(tmp_path, test)


def test_a_death_is_blamed_on_the_one_task_that_was_begun(tmp_path: Path) -> None:
    async def test(h: CoreOnPool) -> None:
        h.assign([h.assignment(task, mark, str(tmp_path), task) for task in range(100)])
        await h.wait_ended(100)
        bad = h.assignment(104, leave, str(tmp_path), 104, name="mark")
        others = [h.assignment(task, mark, str(tmp_path), task) for task in range(100, 110) if task != 104]
        h.assign([*others[:4], bad, *others[4:]])
        await h.wait_ended(110)
        assert sorted(runs(tmp_path)) == list(range(110))
        failure = h.completions[104].failure
        assert failure is not None
        assert "exited with 3" in failure.message
        assert len([task for task in h.completions.values() if task.outputs is None]) == 1

    run_core(tmp_path, test)

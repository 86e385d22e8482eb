"""Figures of the executor path: tiny tasks in batches and one by one; memory and priority."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from swarm.exec.serialize import load_value
from tests.integration.executor_harness import Harness, run_with_pool

COUNT = 10_000
BATCH = 200


def add(a: int, b: int) -> int:
    return a + b


def test_ten_thousand_tiny_tasks_in_batches(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        tasks = [h.call(add, i, 1) for i in range(COUNT)]
        start = time.perf_counter()
        for first in range(0, COUNT, BATCH):
            h.pool.run_nowait(first // BATCH % 2, tasks[first : first + BATCH])
        await h.wait(lambda: len(h.results) == COUNT)
        per_task_us = (time.perf_counter() - start) / COUNT * 1e6
        print(f"batches of {BATCH} on two executors: {per_task_us:.1f} us per task")
        for i, task in enumerate(tasks):
            outputs = h.results[task.handle]
            assert isinstance(outputs, list)
            assert outputs[0].data is not None
            assert load_value(outputs[0].data, outputs[0].encoding) == i + 1
        assert per_task_us < 500

    run_with_pool(tmp_path, test, executors=2)


def test_one_by_one_round_trip(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        tasks = [h.call(add, i, 1) for i in range(1000)]
        await h.value(h.call(add, 1, 1))
        start = time.perf_counter()
        for task in tasks:
            await h.run(task)
        round_trip_us = (time.perf_counter() - start) / len(tasks) * 1e6
        print(f"one by one: {round_trip_us:.0f} us per round trip")
        assert round_trip_us < 5000

    run_with_pool(tmp_path, test)


def pss_bytes(pid: int, field: str = "Pss:") -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise AssertionError(field)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no /proc/PID/smaps_rollup")
def test_memory(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        server = h.pool.server_pid()
        print(f"fork server alone: {pss_bytes(server) / 1e6:.1f} MB PSS")
        for executor in range(4):
            h.pool.spawn_nowait(executor)
        await h.wait(lambda: len(h.ready) == 4)
        for executor in range(4):
            await h.value(h.call(lambda: len("abc"), output_count=1), executor)
        print(f"fork server of four: {pss_bytes(server) / 1e6:.1f} MB PSS")
        for executor, pid in sorted(h.ready.items()):
            private = pss_bytes(pid, "Private_Dirty:")
            print(f"executor {executor}: {pss_bytes(pid) / 1e6:.1f} MB PSS, {private / 1e6:.1f} MB its own")
            assert pss_bytes(pid) < 8e6
            assert private < 8e6
        modules = await h.value(h.call(lambda: sorted(__import__("sys").modules)))
        heavy = {"trio", "networkx", "asyncio", "multiprocessing", "numpy", "cryptography"}
        assert heavy.isdisjoint(modules)

    run_with_pool(tmp_path, test, executors=0)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_priority(tmp_path: Path) -> None:
    def measures() -> tuple[int, int, int, str, int]:
        return (
            os.getpriority(os.PRIO_PROCESS, 0),
            os.sched_getscheduler(0),
            os.getpgid(0) - os.getpid(),
            Path("/proc/self/oom_score_adj").read_text().strip(),
            os.nice(0),
        )

    async def test(h: Harness) -> None:
        assert await h.value(h.call(measures)) == (19, os.SCHED_IDLE, 0, "800", 19)
        assert await h.value(h.program(["sh", "-c", "nice"])) == b"19\n"

    run_with_pool(tmp_path, test, priority="idle")

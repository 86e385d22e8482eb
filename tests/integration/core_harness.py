"""The execution core on real executors, as the driver does it, without a node around it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from swarm.core.effects import FetchObject, KillExecutor, RecallTasks, RunTasks, SpawnExecutor
from swarm.exec.config import ExecConfig
from swarm.exec.core import ExecCore
from swarm.exec.forkserver import PRIORITY_VARIABLE
from swarm.exec.frames import take_executor_frame
from swarm.exec.process import ExecutorPool
from swarm.exec.serialize import dump_call, dump_function, load_value
from swarm.wire.facts import Completion, digest_of
from swarm.wire.messages import ENCODING_RAW, KIND_PYTHON
from swarm.wire.orders import Assignment, InputRef
from tests.integration.executor_harness import JOB, PATIENCE_S, index_of

ME = b"m" * 16


class CoreOnPool:
    """Takes a turn after each batch of inputs; `wait` blocks until a condition on it holds."""

    def __init__(self, folder: Path, config: ExecConfig, cpus: float, priority: str) -> None:
        self.core = ExecCore(config, ME, cpus, 0)
        self.pool = ExecutorPool(
            folder / "store",
            folder / "scratch",
            {PRIORITY_VARIABLE: priority},
            self._on_ready,
            self._on_exit,
            self._on_frame,
        )
        self.completions: dict[int, Completion] = {}
        self.pids: dict[int, int] = {}
        self.exits: list[str] = []
        self._changed = trio.Event()
        self._wanted = trio.Event()
        self._functions: dict[Callable[..., Any], InputRef] = {}

    async def run(self) -> None:
        """Take turns until cancelled."""
        while True:
            self.turn()
            self._wanted = trio.Event()
            with trio.move_on_after(max(0.0, min(1.0, self.core.next_deadline() - time.monotonic()))):
                await self._wanted.wait()

    def turn(self) -> None:
        """Do what is due and perform what the core wants."""
        now = time.monotonic()
        if self.core.next_deadline() <= now:
            self.core.handle_deadline(now)
        for effect in self.core.take_effects():
            if isinstance(effect, RunTasks):
                self.pool.run_nowait(effect.executor, effect.tasks)
            elif isinstance(effect, RecallTasks):
                self.pool.recall_nowait(effect.executor, effect.handles)
            elif isinstance(effect, SpawnExecutor):
                self.pool.spawn_nowait(effect.executor)
            elif isinstance(effect, KillExecutor):
                self.pool.kill_nowait(effect.executor, effect.reason)
            else:
                assert not isinstance(effect, FetchObject), "nothing is far away here"
        for _, completion in self.core.take_reports().completions:
            assert completion.task not in self.completions, f"task {completion.task} ended twice"
            self.completions[completion.task] = completion
        self._changed.set()

    def assignment(
        self, task: int, function: Callable[..., Any], *args: Any, needs: tuple[int, ...] = (), name: str = ""
    ) -> Assignment:
        """Return the assignment of a call; `Ref(i)` in it stands for the result of task `needs[i]`."""
        if function not in self._functions:
            data, _ = dump_function(function)
            number = 1_000_000 + len(self._functions)
            self._functions[function] = InputRef(
                number, 0, digest_of(data), len(data), ENCODING_RAW, data, []
            )
        payload, _ = dump_call(args, {}, index_of)
        inputs = [InputRef(need, 0, None, 0, ENCODING_RAW, None, []) for need in needs]
        name = name or function.__name__
        known = self._functions[function]
        return Assignment(JOB, task, 1, KIND_PYTHON, name, known, payload, inputs, 1, 1.0, 0, 0.0)

    def assign(self, assignments: list[Assignment]) -> None:
        """Give the core work."""
        self.core.assign(assignments, time.monotonic())
        self._wanted.set()

    def value(self, task: int) -> Any:
        """Return the value of a task that ended well."""
        completion = self.completions[task]
        assert completion.outputs is not None, completion.failure
        output = completion.outputs[0]
        assert output.data is not None
        return load_value(output.data, output.encoding)

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds."""
        with trio.fail_after(PATIENCE_S):
            while not condition():
                self._changed = trio.Event()
                await self._changed.wait()

    async def wait_ended(self, count: int) -> None:
        """Return when so many tasks have ended."""
        await self.wait(lambda: len(self.completions) >= count)

    def _on_ready(self, executor: int, pid: int) -> None:
        self.pids[executor] = pid
        self.core.on_executor_ready(executor, pid, time.monotonic())
        self._wanted.set()

    def _on_exit(self, executor: int, reason: str, last_output: str) -> None:
        self.exits.append(reason)
        self.core.on_executor_exit(executor, reason, last_output, time.monotonic())
        self._wanted.set()

    def _on_frame(self, executor: int, frames: list[list[object]]) -> None:
        now = time.monotonic()
        for frame in frames:
            take_executor_frame(self.core, executor, frame, now)
        self._wanted.set()


@asynccontextmanager
async def core_on_pool(
    folder: Path, cpus: float = 1.0, config: ExecConfig | None = None, priority: str = "normal"
) -> AsyncIterator[CoreOnPool]:
    """Provide a running core with executors that start when they are needed."""
    async with trio.open_nursery() as nursery:
        h = CoreOnPool(folder, config or ExecConfig(), cpus, priority)
        await nursery.start(h.pool.run)
        nursery.start_soon(h.run)
        yield h
        h.core.check_invariants()
        await h.pool.aclose()
        nursery.cancel_scope.cancel()

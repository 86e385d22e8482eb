"""A pool of real executors under trio, driven by tests: waits for events, never for time."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from swarm.core.effects import ExecutorTask, InputValue
from swarm.core.ids import ObjectName
from swarm.exec.forkserver import PRIORITY_VARIABLE
from swarm.exec.process import ExecutorPool
from swarm.exec.serialize import Reference, dump_call, dump_function, load_value
from swarm.wire.codec import pack
from swarm.wire.executor_frames import DONE, FAILED, OUTPUT, RECALLED
from swarm.wire.facts import Failure, Output, digest_of, failure_untrusted, outputs_untrusted
from swarm.wire.messages import ENCODING_RAW, KIND_PROGRAM, KIND_PYTHON, KIND_SCRIPT
from tests.mesh_processes import is_running

JOB = b"0123456789"
PATIENCE_S = 60.0


class Harness:
    """Collects what a pool tells; `wait` blocks until a condition on it holds."""

    def __init__(self, folder: Path, priority: str) -> None:
        self.store = folder / "store"
        self.scratch = folder / "scratch"
        self.ready: dict[int, int] = {}
        self.exits: list[tuple[int, str, str]] = []
        self.results: dict[int, list[Output] | Failure] = {}
        self.durations: dict[int, float] = {}
        self.output: dict[int, dict[int, bytes]] = {}
        self.order: list[tuple[int, int]] = []
        self.recalled: list[list[int]] = []
        self._handle = 0
        self._changed = trio.Event()
        self.pool = ExecutorPool(
            self.store,
            self.scratch,
            {"SWARM_HOME": "/the/home", PRIORITY_VARIABLE: priority},
            self._on_ready,
            self._on_exit,
            self._on_frame,
        )

    def _on_ready(self, executor: int, pid: int) -> None:
        self.ready[executor] = pid
        self._changed.set()

    def _on_exit(self, executor: int, reason: str, last_output: str) -> None:
        self.ready.pop(executor, None)
        self.exits.append((executor, reason, last_output))
        self._changed.set()

    def _on_frame(self, executor: int, frames: list[list[object]]) -> None:
        for kind, handle, *rest in frames:
            assert isinstance(kind, int)
            if kind == RECALLED:
                assert isinstance(handle, list)
                self.recalled.append(handle)
                continue
            assert isinstance(handle, int)
            self.order.append((kind, handle))
            if kind == OUTPUT:
                stream, data = rest
                assert isinstance(stream, int)
                assert isinstance(data, bytes)
                streams = self.output.setdefault(handle, {1: b"", 2: b""})
                streams[stream] += data
                continue
            body, duration = rest
            assert isinstance(body, list)
            assert isinstance(duration, float)
            assert kind in (DONE, FAILED)
            self.results[handle] = outputs_untrusted(body) if kind == DONE else failure_untrusted(body)
            self.durations[handle] = duration
        self._changed.set()

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds."""
        with trio.fail_after(PATIENCE_S):
            while not condition():
                self._changed = trio.Event()
                await self._changed.wait()

    def task(
        self,
        kind: int,
        payload: bytes,
        inputs: list[InputValue] | None = None,
        function: InputValue | None = None,
        output_count: int = 1,
        memory_bytes: int = 0,
        name: str = "t",
    ) -> ExecutorTask:
        """Return a task under a fresh handle, which is also its index in the job."""
        self._handle += 1
        handle = self._handle
        return ExecutorTask(
            handle, JOB, handle, 1, kind, name, function, payload, inputs or [], output_count, memory_bytes
        )

    def call(
        self,
        function: Callable[..., Any],
        *args: Any,
        inputs: list[InputValue] | None = None,
        output_count: int = 1,
        memory_bytes: int = 0,
    ) -> ExecutorTask:
        """Return a task of kind Python; `Ref(i)` among the arguments stands for input i."""
        payload, _ = dump_call(args, {}, index_of)
        name = getattr(function, "__name__", "t")
        return self.task(
            KIND_PYTHON, payload, inputs, function_value(function), output_count, memory_bytes, name
        )

    def program(
        self,
        argv: list[object],
        given: list[InputValue] | None = None,
        output_count: int = 1,
        **order: Any,
    ) -> ExecutorTask:
        """Return a task of kind program; `order` are the other keys of its payload."""
        return self.task(KIND_PROGRAM, pack({"argv": argv, **order}), given, None, output_count)

    def script(self, source: str, **order: Any) -> ExecutorTask:
        """Return a task of kind script."""
        return self.task(KIND_SCRIPT, pack({"name": "job.py", "source": source, **order}))

    async def run(self, task: ExecutorTask, executor: int = 0) -> list[Output] | Failure:
        """Run one task to its end."""
        self.pool.run_nowait(executor, [task])
        await self.wait(lambda: task.handle in self.results)
        return self.results[task.handle]

    async def outputs(self, task: ExecutorTask, executor: int = 0) -> list[Output]:
        """Run one task that must succeed."""
        result = await self.run(task, executor)
        assert isinstance(result, list), result
        return result

    async def value(self, task: ExecutorTask, executor: int = 0) -> Any:
        """Run one task that must succeed with one output; return its value."""
        (output,) = await self.outputs(task, executor)
        return load_value(self.bytes_of(task, 0, output), output.encoding)

    async def failure(self, task: ExecutorTask, executor: int = 0) -> Failure:
        """Run one task that must fail."""
        result = await self.run(task, executor)
        assert isinstance(result, Failure), result
        return result

    def bytes_of(self, task: ExecutorTask, index: int, output: Output) -> bytes:
        """Return an output's bytes, from the store when it is not inline."""
        data = output.data
        if data is None:
            data = object_file(self.store, (task.job, task.task, index)).read_bytes()
        assert digest_of(data) == output.digest
        assert len(data) == output.size
        return data


class Ref(Reference):
    """Stands for input `index` among arguments."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


def index_of(reference: Reference) -> int:
    """Return the index of a `Ref`."""
    assert isinstance(reference, Ref)
    return reference.index


def object_file(store: Path, name: ObjectName) -> Path:
    """Return where an object is in the store."""
    from swarm.core.ids import object_path

    return store / object_path(name)


def function_value(function: Callable[..., Any]) -> InputValue:
    """Return a function as a task carries it."""
    data, _ = dump_function(function)
    return InputValue((JOB, 0, 0), digest_of(data), ENCODING_RAW, data)


def inline(data: bytes, encoding: int = ENCODING_RAW) -> InputValue:
    """Return an input that rides along."""
    return InputValue((JOB, 0, 0), digest_of(data), encoding, data)


def stored(store: Path, task: int, data: bytes, encoding: int = ENCODING_RAW) -> InputValue:
    """Return an input that is a file in the store."""
    name = (JOB, task, 0)
    object_file(store, name).write_bytes(data)
    return InputValue(name, digest_of(data), encoding, None)


def run_with_pool(
    folder: Path,
    test: Callable[[Harness], Awaitable[None]],
    executors: int = 1,
    priority: str = "normal",
) -> Harness:
    """Run `test` under trio with a pool of started executors.

    At `priority` "idle", as users have it, they would stand still on a machine that is busy with other tests.
    """

    async def main() -> Harness:
        async with harness(folder, executors, priority) as h:
            await test(h)
        return h

    return trio.run(main)


@asynccontextmanager
async def harness(folder: Path, executors: int = 1, priority: str = "normal") -> AsyncIterator[Harness]:
    """Provide a pool whose first executors are ready; afterwards nothing of it is left."""
    async with trio.open_nursery() as nursery:
        h = Harness(folder, priority)
        await nursery.start(h.pool.run)
        for executor in range(executors):
            h.pool.spawn_nowait(executor)
        await h.wait(lambda: len(h.ready) == executors)
        pids = [h.pool.server_pid(), *h.ready.values()]
        yield h
        await h.pool.aclose()
        assert not [pid for pid in pids if is_running(pid)]
        assert list(h.scratch.iterdir()) == []


def pickled_error(failure: Failure) -> BaseException:
    """Return the exception that a failure carries."""
    error = pickle.loads(failure.pickled)
    assert isinstance(error, BaseException)
    return error

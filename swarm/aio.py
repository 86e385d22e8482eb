"""The trio face: the names of `swarm` for programs that run under trio.

::

    async with swarm.aio.connect() as mesh:
        squares = mesh.map(pow, range(1000), [2] * 1000)
        async for done in mesh.as_completed(squares):
            print(await done.result())

Adding work never waits, so `submit`, `map`, `put` and `run_graph` are plain functions here too; results
are awaited. The session lives in the caller's trio loop and ends with the ``async with`` block.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast, final

import trio

from swarm.client.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, BaseFuture
from swarm.client.graphs import add_graph, new_job
from swarm.client.job import ClientJob
from swarm.client.mesh_base import MeshBase
from swarm.client.reach import find_reach
from swarm.client.sendable import checked_text
from swarm.client.tasks import program, remote, result_of, task
from swarm.client.transport import NetTransport
from swarm.core.errors import LocalProtocolError, SwarmError, TaskCancelled
from swarm.core.ids import short

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Future",
    "GraphJob",
    "Mesh",
    "as_completed",
    "connect",
    "gather",
    "local",
    "program",
    "remote",
    "result_of",
    "task",
    "wait",
]

T = TypeVar("T")

CLOSE_TIMEOUT_S: Final = 5.0


class Future(BaseFuture[T]):
    """A future whose result is awaited."""

    __slots__ = ()

    async def result(self, timeout: float | None = None) -> T:
        """Return the task's result, waiting for it.

        Raises:
            TimeoutError: not done in `timeout` seconds; the task goes on.
            TaskFailed: the task's own error, with its traceback.
            TaskCancelled: it was cancelled, or needed one that was.
            ConnectionLost: no node of the mesh answers any more.
        """
        with _deadline(timeout, f"{self!r} is not done"):
            await self.wait_done()
            output = self._unfetched()
            if output is None:
                return self._load()
            return self._load(await self.job.fetch(self.task, self.output))

    async def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the task's error, None when it succeeded, waiting until it has ended."""
        with _deadline(timeout, f"{self!r} is not done"):
            await self.wait_done()
        return self.failure()

    def __getitem__(self, name: str | int) -> Future[Any]:
        """Return the future of another output of the task; KeyError when it has no such output."""
        return cast("Future[Any]", super().__getitem__(name))

    async def wait_done(self) -> None:
        """Wait until the task has ended."""
        if self._outcome is not None:
            return
        done = trio.Event()

        def on_done(_future: object) -> None:
            done.set()

        self.add_done_callback(on_done)
        try:
            await done.wait()
        finally:
            self.remove_done_callback(on_done)

    def cancel(self) -> bool:
        """Say that the result is not wanted; return whether it was early enough."""
        if self._outcome is not None:
            return False
        self.settle(TaskCancelled(f"{self.job.task_name(self.task)} was cancelled by its submitter"))
        self.job.table.dropped.append(self.task)
        return self.cancelled()


class Mesh(MeshBase[Future[Any]]):
    """A connected mesh; made by :func:`connect`."""

    def run_graph(
        self,
        graph: object,
        *,
        name: str = "graph",
        keep: Iterable[Hashable] = (),
        on_error: str = "fail",
        priority: int = 0,
        **defaults: Any,
    ) -> GraphJob:
        """Submit a graph as a job of its own; as `run_graph` of the sync face."""
        job = new_job(self, name, is_session=False, on_error=on_error, priority=priority)
        kept = add_graph(job, graph, keep, defaults)
        self._start_job(job, with_output=False)
        return GraphJob(self, job, kept)

    async def call(self, op: str, args: Mapping[str, object] | None = None) -> Any:
        """Return the mesh's answer to a question of the session protocol."""
        return await self.engine.call(op, dict(args or {}))

    async def status(self) -> dict[str, Any]:
        """Return what the attached node says about itself and the mesh."""
        return dict(await self.call("status"))

    async def nodes(self) -> list[dict[str, Any]]:
        """Return one mapping for each member of the mesh."""
        return list(await self.call("nodes"))

    async def jobs(self) -> list[dict[str, Any]]:
        """Return one mapping for each job that the mesh knows."""
        return list(await self.call("jobs"))

    def as_completed(self, given: Iterable[Future[T]]) -> AsyncGenerator[Future[T], None]:
        """Yield futures as they end."""
        return as_completed(given)

    async def gather(self, given: Iterable[Future[T]], timeout: float | None = None) -> list[T]:
        """Return the results of futures in order; see :func:`gather`."""
        return await gather(given, timeout)

    def make_future(self, job: ClientJob, task: int, output: int) -> BaseFuture[Any]:
        """Return a future of this face."""
        return Future(job, task, output)

    def fetch_blocking(self, job: ClientJob, task: int, output: int, timeout: float | None) -> bytes:
        """Refuse: a trio program awaits its results.

        Raises:
            LocalProtocolError: always.
        """
        raise LocalProtocolError("await the future of a trio mesh; only swarm.connect() waits for results")

    async def close(self, cancel: bool) -> None:
        """Wait for everything submitted, or cancel it."""
        was_closing, self._is_closing = self._is_closing, True
        job = self._session_job
        if was_closing or job is None:
            return
        if cancel:
            job.end(TaskCancelled("the session was ended by an error in the program"))
            with (
                trio.CancelScope(shield=True),
                trio.move_on_after(CLOSE_TIMEOUT_S),
                contextlib.suppress(SwarmError),
            ):
                await self.call("cancel", {"job": job.job})
            return
        job.is_complete = True
        while job.builder.has_pending() and not job.is_finished():
            self.wake()
            await trio.sleep(0.005)
        if job.builder.parts_taken and not job.is_finished():
            await self.call("close", {"job": job.job, "parts": job.builder.parts_taken})
            await self.engine.wait_finished(job)

    def _start_job(self, job: ClientJob, with_output: bool) -> None:
        self.engine.add_job(job, with_output)


@final
class GraphJob:
    """A graph that was submitted.

    Attributes:
        id: the short form of the job's id.
        futures: of the sinks and of the nodes that are kept, by node.
    """

    def __init__(self, mesh: Mesh, job: ClientJob, kept: Mapping[Hashable, BaseFuture[Any]]) -> None:
        self.id: Final = short(job.job)
        self.job: Final = job
        self.futures: Final = dict(kept)
        self._mesh = mesh

    async def wait(self) -> str:
        """Wait until the job has ended and return its state."""
        await self._mesh.engine.wait_finished(self.job)
        return self.job.state

    async def results(self) -> dict[Hashable, Any]:
        """Return the results of the kept nodes, waiting for the job; raises the first failure."""
        await self.wait()
        if self.job.failures and self.job.state != "done":
            raise next(iter(self.job.failures.values()))
        found: dict[Hashable, Any] = {}
        for key, future in self.futures.items():
            assert isinstance(future, Future), "a trio job has trio futures"
            found[key] = await future.result()
        return found

    async def cancel(self) -> None:
        """Cancel the job: running tasks are killed, no others start."""
        await self._mesh.call("cancel", {"job": self.job.job})


@contextlib.asynccontextmanager
async def connect(
    address: str = "", *, mesh: str = "", home: str | Path | None = None, name: str = ""
) -> AsyncIterator[Mesh]:
    """Connect to a mesh, as :func:`swarm.connect`, for the time of the block.

    Raises:
        ConfigError: a faulty invitation or address.
        ConnectFailed: no mesh is known, or no node of it can be reached.
    """
    reach = find_reach(address, mesh, None if home is None else Path(home))
    job_name = checked_text(name, "the name") or Path(sys.argv[0]).name or "session"
    opened = Mesh(NetTransport(reach), reach.addresses, reach.mesh, job_name)
    async with _running(opened):
        yield opened


@contextlib.asynccontextmanager
async def local(nodes: int = 2, *, cores: float | None = None) -> AsyncIterator[Mesh]:
    """Start a mesh of this host only, as :func:`swarm.local`, for the time of the block."""
    from swarm.client.local import LocalNodes
    from swarm.client.reach import Reach

    started = LocalNodes(nodes, cores)
    await trio.to_thread.run_sync(started.start)
    try:
        reach = Reach(started.invitation, started.addresses(), "swarm.aio.local()")
        opened = Mesh(NetTransport(reach), reach.addresses, reach.mesh, Path(sys.argv[0]).name or "local")
        async with _running(opened):
            yield opened
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(started.stop)


async def as_completed(given: Iterable[Future[T]]) -> AsyncGenerator[Future[T], None]:
    """Yield futures as their tasks end, those already done first; doubles once."""
    waiting = list(dict.fromkeys(given))
    send, receive = trio.open_memory_channel[Future[T]](math.inf)
    for future in waiting:
        future.add_done_callback(send.send_nowait)
    for _ in range(len(waiting)):
        yield await receive.receive()


async def wait(
    given: Iterable[Future[Any]], timeout: float | None = None, return_when: str = ALL_COMPLETED
) -> tuple[set[Future[Any]], set[Future[Any]]]:
    """Wait for futures and return (done, not done).

    Raises:
        ValueError: `return_when` is not one of the three constants.
    """
    if return_when not in (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED):
        raise ValueError(
            f"return_when {return_when!r} is not FIRST_COMPLETED, FIRST_EXCEPTION or ALL_COMPLETED"
        )
    everything = list(dict.fromkeys(given))
    with trio.move_on_after(math.inf if timeout is None else timeout):
        async with contextlib.aclosing(as_completed(everything)) as completed:
            async for future in completed:
                has_error = future.failure() is not None
                if return_when == FIRST_COMPLETED or (return_when == FIRST_EXCEPTION and has_error):
                    break
    done = {future for future in everything if future.done()}
    return done, set(everything) - done


async def gather(given: Iterable[Future[T]], timeout: float | None = None) -> list[T]:
    """Return the results of futures in order; raise the first error as soon as one fails.

    Raises:
        TimeoutError: not all are done in time.
        TaskError: what failed first.
    """
    everything = list(given)
    with _deadline(timeout, f"not all of {len(everything)} futures are done"):
        async with contextlib.aclosing(as_completed(everything)) as completed:
            async for future in completed:
                error = future.failure()
                if error is not None:
                    raise error
        return [await future.result() for future in everything]
    raise AssertionError("a scope that fails does not end here")


@contextlib.asynccontextmanager
async def _running(mesh: Mesh) -> AsyncIterator[None]:
    """Keep a mesh connected for the time of a block, and close it at the end."""
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(mesh.engine.run)
            yield
        except BaseException as error:  # noqa: BLE001 - raised again below, where no nursery wraps it
            failure = error
        try:
            await mesh.close(cancel=failure is not None)
        except SwarmError as error:
            failure = failure or error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


@contextlib.contextmanager
def _deadline(timeout: float | None, message: str) -> Any:
    try:
        with trio.fail_after(math.inf if timeout is None else timeout):
            yield
    except trio.TooSlowError:
        raise TimeoutError(f"{message} after {timeout} s") from None

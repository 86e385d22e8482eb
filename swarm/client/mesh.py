"""The sync face: a mesh that a program is connected to.

The session runs in a thread of its own with a trio loop; methods that only add work never wait for it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import types
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self, TypeVar, final

import trio

from swarm.client import futures
from swarm.client.engine import single_error
from swarm.client.futures import BaseFuture, Future
from swarm.client.graphs import add_graph, new_job
from swarm.client.job import ClientJob
from swarm.client.mesh_base import MeshBase
from swarm.client.progress import Progress
from swarm.client.reach import find_reach
from swarm.client.reruns import Rerun, script_folder, script_job
from swarm.client.restarting import start_again, submitted_before
from swarm.client.sendable import checked_text, readable
from swarm.client.transport import NetTransport, Transport
from swarm.core.errors import ConnectionLost, LocalProtocolError, SwarmError, TaskCancelled
from swarm.core.ids import Address, short
from swarm.exec.serialize import leave_out_folder

T = TypeVar("T")

CLOSE_TIMEOUT_S: Final = 5.0
STALL_S: Final = 3.0
"""How long a job must stand still for the same reason before whoever waits for it is told."""
_FOLLOW_STEP_S: Final = 1.0
_POLL_S: Final = 0.1

_open: list[Mesh] = []


class Mesh(MeshBase[Future[Any]]):
    """A connected mesh; made by :func:`connect` and :func:`swarm.local`.

    As a context manager it is closed at the end: after a normal end it waits for everything that was
    submitted, after an exception it cancels what is left.
    """

    def __init__(self, transport: Transport, addresses: list[Address], name: str, job_name: str) -> None:
        super().__init__(transport, addresses, name, job_name)
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._rerun: Rerun | None = None
        self._thread = threading.Thread(target=self._main, name="swarm session", daemon=True)

    def open(self) -> Self:
        """Connect.

        Raises:
            ConnectFailed: no node can be reached.
        """
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        _open.append(self)
        return self

    def run_graph(
        self,
        graph: object,
        *,
        name: str = "",
        keep: Iterable[Hashable] = (),
        on_error: str = "fail",
        priority: int = 0,
        **defaults: Any,
    ) -> GraphJob:
        """Submit a graph as a job of its own and return it.

        Args:
            graph: a networkx.DiGraph whose nodes have the attribute "task", a workflow as a mapping, or
                the path of a JSON or TOML file; see `swarm.client.graphs`.
            name: of the job, for people.
            keep: nodes whose results are wanted besides those of the sinks.
            on_error: "fail" ends the job at the first failed task, "continue" only what needs it.
            priority: higher goes first.
            defaults: options (cpus, memory, retries, …) of nodes that do not say theirs.

        Raises:
            GraphError: a cycle, an unknown dependency or too many tasks; the nodes are named and nothing
                is submitted.
            SerializationError: something in it cannot travel.
        """
        job = new_job(
            self, name or _graph_name(graph), is_session=False, on_error=on_error, priority=priority
        )
        kept = add_graph(job, graph, keep, defaults)
        if script_job():
            start_again(self, job, script_job())
        else:
            self.start_job(job)
        return GraphJob(self, job, kept)

    def start_job(self, job: ClientJob, with_output: bool = False) -> None:
        """Send a job and follow it."""
        with self._lock:
            if self._is_closing:
                raise LocalProtocolError("this mesh is closed; open another with swarm.connect()")
        self._start_job(job, with_output)

    def status(self) -> dict[str, Any]:
        """Return what the attached node says about itself and the mesh."""
        return dict(self.call("status"))

    def nodes(self) -> list[dict[str, Any]]:
        """Return one mapping for each member of the mesh."""
        return list(self.call("nodes"))

    def jobs(self) -> list[dict[str, Any]]:
        """Return one mapping for each job that the mesh knows."""
        return list(self.call("jobs"))

    def call(self, op: str, args: Mapping[str, object] | None = None, timeout: float | None = None) -> Any:
        """Return the mesh's answer to a question of the session protocol.

        Raises:
            Refused: the mesh says no.
            ConnectionLost: no node of the mesh answers any more.
            TimeoutError: no answer in time.
        """
        return self.run_trio(lambda: self.engine.call(op, dict(args or {})), timeout)

    def as_completed(self, given: Iterable[Future[T]], timeout: float | None = None) -> Iterator[Future[T]]:
        """Yield futures as they end; see :func:`swarm.client.futures.as_completed`."""
        everything = list(dict.fromkeys(given))
        with Progress(everything) as progress:
            for future in futures.as_completed(everything, timeout):
                progress.pause()
                yield future

    def wait(
        self,
        given: Iterable[Future[Any]],
        timeout: float | None = None,
        return_when: str = futures.ALL_COMPLETED,
    ) -> tuple[set[Future[Any]], set[Future[Any]]]:
        """Wait for futures; see :func:`swarm.client.futures.wait`."""
        everything = list(dict.fromkeys(given))
        with Progress(everything):
            return futures.wait(everything, timeout, return_when)

    def gather(self, given: Iterable[Future[T]], timeout: float | None = None) -> list[T]:
        """Return the results of futures in order; see :func:`swarm.client.futures.gather`."""
        everything = list(given)
        with Progress(everything):
            return futures.gather(everything, timeout)

    def close(self, cancel: bool = False) -> None:
        """Wait for everything submitted (or cancel it) and end the session; harmless the second time.

        Raises:
            ConnectionLost: the mesh went away while it was waited for.
        """
        with self._lock:
            was_closing, self._is_closing = self._is_closing, True
        try:
            older = [] if self._rerun is None else self._rerun.older
            for job in [*older, self._session_job]:
                if not was_closing and job is not None and self._thread.is_alive():
                    self._end_session_job(job, cancel)
        finally:
            if self in _open:
                _open.remove(self)
            if self._token is not None and self._thread.is_alive():
                with contextlib.suppress(trio.RunFinishedError):
                    self._token.run_sync_soon(self._scope.cancel)
                self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        try:
            self.close(cancel=error is not None)
        except SwarmError:
            if error is None:
                raise

    def make_future(self, job: ClientJob, task: int, output: int) -> BaseFuture[Any]:
        """Return a future of this face."""
        return Future(job, task, output)

    def fetch_blocking(self, job: ClientJob, task: int, output: int, timeout: float | None) -> bytes:
        """Return the bytes of a large result."""
        return self.run_trio(lambda: self.fetch(job, task, output), timeout)

    def run_trio(self, function: Callable[[], Awaitable[T]], timeout: float | None = None) -> T:
        """Run an async function in the session's thread and return its result.

        Raises:
            TimeoutError: not done in `timeout` seconds.
            ConnectionLost: the session has ended.
        """

        async def run() -> T:
            with trio.fail_after(float("inf") if timeout is None else timeout):
                return await function()
            raise AssertionError("a scope that fails does not end here")

        assert self._token is not None, "an open mesh has a trio loop"
        try:
            return trio.from_thread.run(run, trio_token=self._token)
        except trio.TooSlowError:
            raise TimeoutError(f"the mesh did not answer in {timeout} s") from None
        except (trio.RunFinishedError, trio.Cancelled):
            raise ConnectionLost("this session is closed; open another with swarm.connect()") from None

    def follow_job(self, job: ClientJob) -> None:
        """Follow a job that somebody else submitted, with its output."""
        assert self._token is not None, "an open mesh has a trio loop"
        self._token.run_sync_soon(self.engine.follow_job, job)

    def fetch_output(self, job: bytes, task: int, output: int) -> tuple[bytes, int]:
        """Return (bytes, encoding) of a result of any job.

        Raises:
            Refused: the mesh does not have it.
        """
        return self.run_trio(lambda: self.engine.fetch(job, task, output))

    def wait_accepted(self, job: ClientJob) -> None:
        """Wait until a complete job is on the disks of its keepers; from then on the mesh answers for it.

        Raises:
            Refused: the mesh did not take it.
            ConnectionLost: no node of the mesh answers any more.
        """
        self.run_trio(lambda: self.engine.wait_accepted(job))
        if job.error is not None:
            raise job.error

    def follow(self, job: ClientJob) -> None:
        """Wait until a job has ended, in steps that an interrupt can end; say on stderr why it stands still.

        Raises:
            Refused: the mesh did not take it.
            ConnectionLost: no node of the mesh answers any more.
        """
        ended = threading.Event()

        def on_change(changed: ClientJob) -> None:
            if changed.is_finished():
                ended.set()

        job.on_change.append(on_change)
        reason, standing_s, told = "", 0.0, ""
        while not job.is_finished():
            ended.wait(_FOLLOW_STEP_S)
            standing_s = standing_s + _FOLLOW_STEP_S if job.reason == reason else 0.0
            reason = job.reason
            if reason and reason != told and standing_s >= STALL_S and not job.is_finished():
                told = reason
                sys.stderr.write(f"swarm: {readable(reason)}\n")
        job.on_change.remove(on_change)
        if job.error is not None:
            raise job.error

    def _next_session_job(self, before: ClientJob | None) -> ClientJob:
        """Start a job of the session; a script that runs again finds those that it had before."""
        parent = script_job()
        if not parent:
            return super()._next_session_job(before)
        if self._rerun is None:
            leave_out_folder(script_folder())
            self._rerun = Rerun(parent)
            self._rerun.take_answer(submitted_before(self, self._rerun.question()))
        rerun = self._rerun
        if before is not None:
            rerun.older.append(before)
        found = rerun.take_found()
        if found is not None:
            job = ClientJob(found.job, {}, self)
            job.builder.go_through(found.digests, found.parts)
            job.builder.record(rerun.older)
            self.follow_job(job)
        else:
            job = new_job(self, self._job_name, is_session=True, more=rerun.meta())
            job.builder.record(rerun.older)
            self._start_job(job, with_output=False)
        return job

    def _end_session_job(self, job: ClientJob, cancel: bool) -> None:
        if cancel:
            job.end(TaskCancelled("the session was ended by an error in the program"))
            if job.builder.parts_taken:
                try:
                    self.call("cancel", {"job": job.job}, CLOSE_TIMEOUT_S)
                except (SwarmError, TimeoutError):
                    return  # the mesh cancels the job of a session that does not come back
            return
        job.is_complete = True
        while job.builder.has_pending() and self._thread.is_alive():
            self.wake()
            self._thread.join(0.005)
        if job.builder.parts_taken and not job.is_finished():
            self.call("close", {"job": job.job, "parts": job.builder.parts_taken})
            self.follow(job)

    def _start_job(self, job: ClientJob, with_output: bool) -> None:
        assert self._token is not None, "an open mesh has a trio loop"
        try:
            self._token.run_sync_soon(self.engine.add_job, job, with_output)
        except trio.RunFinishedError:
            raise ConnectionLost("this session is closed; open another with swarm.connect()") from None

    def _main(self) -> None:
        try:
            trio.run(self._run)
        except BaseException as error:
            self._error = single_error(error)
        finally:
            self._ready.set()

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.engine.run)
                self._ready.set()


@final
class GraphJob:
    """A graph that was submitted.

    Attributes:
        id: the short form of the job's id, as `swarm jobs` shows it.
        futures: of the sinks and of the nodes that are kept, by node.
    """

    def __init__(self, mesh: Mesh, job: ClientJob, kept: Mapping[Hashable, BaseFuture[Any]]) -> None:
        self.id: Final = short(job.job)
        self.job: Final = job
        self.futures: Final = dict(kept)
        self._mesh = mesh

    @property
    def state(self) -> str:
        """Where the job stands: waiting, running, done, failed or cancelled, as the mesh told last."""
        return self.job.state

    def wait(self, timeout: float | None = None) -> str:
        """Wait until the job has ended and return its state.

        Raises:
            TimeoutError: it has not ended in time; it goes on.
        """
        with Progress(list(self.futures.values()), self.job):
            try:
                self._mesh.run_trio(lambda: self._mesh.engine.wait_finished(self.job), timeout)
            except TimeoutError:
                raise TimeoutError(f"not done after {timeout} s: {self.job.reason_text()}") from None
        return self.job.state

    def results(self, timeout: float | None = None) -> dict[Hashable, Any]:
        """Return the results of the kept nodes, waiting for the job.

        A program that makes files gives a mapping of their names to their bytes, with "stdout".

        Raises:
            TaskError: the first failure.
            TimeoutError: not done in time.
        """
        self.wait(timeout)
        if self.job.failures and self.job.state != "done":
            raise next(iter(self.job.failures.values()))
        return {key: self._value(future) for key, future in self.futures.items()}

    def result(self, timeout: float | None = None) -> Any:
        """Return the result of the only kept node; of several, a mapping as :meth:`results`."""
        found = self.results(timeout)
        return next(iter(found.values())) if len(found) == 1 else found

    def cancel(self) -> None:
        """Cancel the job: running tasks are killed, no others start."""
        self._mesh.call("cancel", {"job": self.job.job})

    def _value(self, future: BaseFuture[Any]) -> Any:
        assert isinstance(future, Future), "a sync job has sync futures"
        names = self.job.builder.output_names(future.task)
        if len(names) < 2:
            return future.result()
        if names[0] != "stdout":
            return [self._output(future, name) for name in names]
        return {name: self._output(future, name) for name in names}

    @staticmethod
    def _output(future: Future[Any], name: str) -> Any:
        return future[name].result()


def connect(address: str = "", *, mesh: str = "", home: str | Path | None = None, name: str = "") -> Mesh:
    """Connect to a mesh: to the node of this host, else to known addresses, else to whoever answers nearby.

    Args:
        address: ``host:port`` of a node to try first.
        mesh: an invitation; by default SWARM_MESH, the mesh of the node in the home directory, or the one
            that `swarm login` kept.
        home: the home directory, by default SWARM_HOME or the XDG state directory.
        name: of this session among the jobs, for people.

    Returns:
        An open mesh; use it as a context manager.

    Raises:
        ConfigError: a faulty invitation, address or name.
        ConnectFailed: no mesh is known, or no node of it can be reached.
    """
    reach = find_reach(address, mesh, None if home is None else Path(home))
    job_name = checked_text(name, "the name") or Path(sys.argv[0]).name or "session"
    return Mesh(NetTransport(reach), reach.addresses, reach.mesh, job_name).open()


def current_mesh() -> Mesh:
    """Return the mesh that was opened last and is still open.

    Raises:
        LocalProtocolError: none is.
    """
    if not _open:
        raise LocalProtocolError("no mesh is open here; use it inside `with swarm.connect():`")
    return _open[-1]


def submit(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
    """Submit to the mesh that is open; see :meth:`swarm.client.mesh_base.MeshBase.submit`."""
    return current_mesh().submit(function, *args, **kwargs)


def _graph_name(graph: object) -> str:
    if isinstance(graph, (str, os.PathLike)):
        return Path(graph).name
    named = graph.get("name") if isinstance(graph, Mapping) else getattr(graph, "name", "")
    return str(named or "graph")

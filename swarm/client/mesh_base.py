"""What the sync and the trio face of a mesh share: adding work, which never waits."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar, cast

from swarm.client.building import JobBuilder
from swarm.client.engine import Engine
from swarm.client.futures import BaseFuture
from swarm.client.graphs import new_job
from swarm.client.job import ClientJob
from swarm.client.options import OPTION_NAMES, make_options
from swarm.client.reruns import Diverged
from swarm.client.sendable import readable
from swarm.client.session import Session
from swarm.client.tasks import Program, RemoteFunction, Task, split_options
from swarm.client.transport import Transport
from swarm.core.errors import LocalProtocolError
from swarm.core.ids import Address
from swarm.exec.serialize import function_name

F = TypeVar("F", bound=BaseFuture[Any])


class MeshBase(ABC, Generic[F]):
    """A mesh that a program is connected to.

    Attributes:
        engine: keeps the session connected.
        name: what the mesh is called.
    """

    def __init__(self, transport: Transport, addresses: list[Address], name: str, job_name: str) -> None:
        self.name: Final = name
        self.engine: Final = Engine(Session(), transport, addresses, name)
        self._job_name = readable(job_name)
        self._session_job: ClientJob | None = None
        self._lock = threading.Lock()
        self._is_closing = False

    def submit(self, function: Callable[..., Any] | Task | Program, /, *args: Any, **kwargs: Any) -> F:
        """Submit a call and return the future of its result.

        The keywords `cpus`, `memory`, `retries`, `timeout_s`, `tags`, `python`, `name` and `outputs` are
        options (see :func:`swarm.task`); all others go to the function. Futures and tasks anywhere inside
        the arguments are dependencies: the function gets their results.

        Args:
            function: a callable; or a task or program, then without further arguments.
            args: its positional arguments.
            kwargs: its named arguments and options.

        Returns:
            A future; with ``outputs=N``, ``future[i]`` is the future of the i-th value returned.

        Raises:
            SerializationError: the function or an argument cannot travel; nothing was submitted.
            ConfigError: a faulty option, or a name that is no UTF-8 text.
            LocalProtocolError: the mesh is closed.
        """
        if isinstance(function, (Task, Program)):
            if args or kwargs:
                raise LocalProtocolError(f"{function!r} has its arguments already; submit it without any")
            return self.submit_task(function)
        output_count, name, options = 1, "", make_options()
        if not OPTION_NAMES.isdisjoint(kwargs) or isinstance(function, RemoteFunction):
            chosen = {key: kwargs.pop(key) for key in list(kwargs) if key in OPTION_NAMES}
            if isinstance(function, RemoteFunction):
                chosen = {**function.chosen, **chosen}
            output_count, name, options = split_options(chosen)
        name = name or function_name(function)

        def add(builder: JobBuilder) -> BaseFuture[Any]:
            return builder.add_call(function, args, kwargs, options, name, output_count)

        return self._added(add)

    def submit_task(self, task: Task | Program) -> F:
        """Submit what :func:`swarm.task` or :func:`swarm.program` made; as :meth:`submit`."""
        return self._added(lambda builder: builder.add_task(task))

    def map(self, function: Callable[..., Any], /, *iterables: Iterable[Any], **options: Any) -> list[F]:
        """Submit one call for each item and return the futures in order.

        Args:
            function: called with one item of each iterable; stops at the shortest.
            iterables: the arguments.
            options: as for :meth:`submit`; they hold for every call.

        Raises:
            SerializationError: the function or an item cannot travel; items before it were submitted.
        """
        return self.map_with(function, iterables, options)

    def map_with(
        self, function: Callable[..., Any], iterables: tuple[Iterable[Any], ...], options: Mapping[str, Any]
    ) -> list[F]:
        """Do what :meth:`map` does, with the options in a mapping."""
        if not iterables:
            raise LocalProtocolError("map() takes a function and at least one iterable")
        chosen = {**function.chosen, **options} if isinstance(function, RemoteFunction) else options
        output_count, name, checked = split_options(chosen)
        name = name or function_name(function)
        made: list[F] = []
        with self.engine.bunch():
            for args in zip(*iterables, strict=False):

                def add(builder: JobBuilder, args: tuple[Any, ...] = args) -> BaseFuture[Any]:
                    return builder.add_call(function, args, {}, checked, name, output_count)

                made.append(self._added(add))
        return made

    def put(self, value: object) -> F:
        """Bring a value into the mesh once, for many tasks to use, and return its future.

        Raises:
            SerializationError: it cannot travel.
        """
        return self._added(lambda builder: builder.add_value(value))

    def wake(self) -> None:
        """Have what was added sent soon; the jobs call this themselves."""
        self.engine.wake()

    @abstractmethod
    def make_future(self, job: ClientJob, task: int, output: int) -> BaseFuture[Any]:
        """Return a future of this face."""

    def node_name(self, node: bytes) -> str:
        """Return the name of a node of the mesh."""
        return self.engine.session.name_of(node)

    @abstractmethod
    def fetch_blocking(self, job: ClientJob, task: int, output: int, timeout: float | None) -> bytes:
        """Return the bytes of a large result (sync face)."""

    async def fetch(self, job: ClientJob, task: int, output: int) -> bytes:
        """Return the bytes of a large result."""
        data, _ = await self.engine.fetch(job.job, task, output)
        return data

    def _added(self, add: Callable[[JobBuilder], BaseFuture[Any]]) -> F:
        """Add something to the session's job, or to the next one where a script does not repeat itself."""
        while True:
            job = self._interactive_job()
            try:
                return cast(F, add(job.builder))
            except Diverged:
                with self._lock:
                    if self._session_job is job:
                        self._session_job = self._next_session_job(job)

    def _interactive_job(self) -> ClientJob:
        job = self._session_job
        if job is not None and not self._is_closing:
            return job
        with self._lock:
            if self._is_closing:
                raise LocalProtocolError("this mesh is closed; open another with swarm.connect()")
            job = self._session_job
            if job is None:
                job = self._session_job = self._next_session_job(None)
        return job

    def _next_session_job(self, before: ClientJob | None) -> ClientJob:
        """Start a job of the session.

        Args:
            before: the one in which a script found no more of what it submits; None for the first job.
        """
        assert before is None, "only scripts inside the mesh have several jobs in a session"
        job = new_job(self, self._job_name, is_session=True)
        self._start_job(job, with_output=False)
        return job

    @abstractmethod
    def _start_job(self, job: ClientJob, with_output: bool) -> None:
        """Let the engine follow a new job."""

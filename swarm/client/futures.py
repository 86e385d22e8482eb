"""Futures: what a submission gives back at once, and what its result arrives in.

Results stay in the mesh until somebody asks: a small one arrives with the news that its task is done,
a large one is fetched by :meth:`Future.result`. Bytes are unpickled in the caller's thread, once. A
future that nobody holds any more tells the mesh that its result is not wanted.

The state of a future changes exactly once, in the thread of its session; `_lock` guards only the race
between that change and a waiter that registers itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from swarm.core.errors import (
    AttemptsExhausted,
    LocalProtocolError,
    SwarmError,
    TaskCancelled,
    TaskError,
    TaskFailed,
    TaskTimedOut,
)
from swarm.exec.serialize import Reference, load_exception, load_value
from swarm.wire.facts import Failure, Output
from swarm.wire.messages import ERROR_DEPENDENCY, ERROR_EXECUTOR_DIED, ERROR_NODE, ERROR_TIMEOUT

if TYPE_CHECKING:
    from swarm.client.job import ClientJob

T = TypeVar("T")

FIRST_COMPLETED: Final = "FIRST_COMPLETED"
FIRST_EXCEPTION: Final = "FIRST_EXCEPTION"
ALL_COMPLETED: Final = "ALL_COMPLETED"

_lock = threading.Lock()
_NOT_LOADED: Final = object()


class BaseFuture(Reference, Generic[T]):
    """One output of a submitted task; the part that the sync and the trio face share.

    Attributes:
        job: the job that the task belongs to.
        task: index of the task in its job.
        output: which output of the task.
    """

    __slots__ = ("__weakref__", "_callbacks", "_outcome", "_value", "job", "output", "task")

    def __init__(self, job: ClientJob, task: int, output: int = 0) -> None:
        self.job: Final = job
        self.task: Final = task
        self.output: Final = output
        self._outcome: Output | SwarmError | None = None
        self._callbacks: list[Callable[[Any], object]] | None = None
        self._value: Any = _NOT_LOADED

    def __del__(self) -> None:
        try:
            self.job.table.dropped.append(self.task)
        except AttributeError:
            return

    def done(self) -> bool:
        """Return whether the task has ended: with a result, an error, or cancelled."""
        return self._outcome is not None

    def cancelled(self) -> bool:
        """Return whether the task was cancelled, or needed one that was."""
        return isinstance(self._outcome, TaskCancelled)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call `callback(future)` once when the task has ended; at once when it already has.

        It runs in the thread of the session: it must be quick and must not wait for futures.
        """
        with _lock:
            if self._outcome is None:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(callback)
                return
        callback(self)

    def remove_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Forget a callback that has not run yet; one that is not there is no error."""
        with _lock:
            if self._callbacks is not None and callback in self._callbacks:
                self._callbacks.remove(callback)

    def __getitem__(self, name: str | int) -> BaseFuture[Any]:
        """Return the future of another output: a program's file by name, or an output by number.

        Raises:
            KeyError: the task has no such output.
        """
        return self.job.output_future(self, name)

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("a future is not iterable; iterate over its result(), or submit with outputs=N")

    def __repr__(self) -> str:
        state = (
            "pending" if self._outcome is None else "done" if isinstance(self._outcome, Output) else "failed"
        )
        if self.cancelled():
            state = "cancelled"
        return f"<Future {self.job.task_name(self.task)!r} {state}>"

    def settle(self, outcome: Output | SwarmError) -> None:
        """Give the future its outcome and run its callbacks; the first outcome stays (session thread)."""
        with _lock:
            if self._outcome is not None:
                return
            self._outcome = outcome
            callbacks, self._callbacks = self._callbacks, None
        if callbacks is not None:
            for callback in callbacks:
                callback(self)

    def failure(self) -> SwarmError | None:
        """Return the error of a task that has ended badly, None of any other; does not wait."""
        return self._outcome if isinstance(self._outcome, SwarmError) else None

    def _unfetched(self) -> Output | None:
        """Return the output whose bytes are still in the mesh, None when there is nothing to fetch."""
        if self._value is _NOT_LOADED and isinstance(self._outcome, Output) and self._outcome.data is None:
            return self._outcome
        return None

    def fetched(self) -> tuple[bytes, int]:
        """Return the bytes and the encoding of the result, waiting for them; only the sync face can.

        Raises:
            TaskError: the task has failed.
        """
        raise LocalProtocolError("a future of another session cannot be an argument here: await its result")

    def _load(self, data: bytes | None = None) -> T:
        """Return the value, or raise the error; `data` are the bytes fetched for it."""
        outcome = self._outcome
        assert outcome is not None, "a future is loaded only when it is done"
        if isinstance(outcome, SwarmError):
            raise outcome
        if self._value is _NOT_LOADED:
            given = data if data is not None else outcome.data
            assert given is not None, "a large result is fetched before it is loaded"
            self._value = load_value(given, outcome.encoding)
        return cast(T, self._value)


class Future(BaseFuture[T]):
    """A future of the sync face; see the methods of `concurrent.futures.Future`, which it resembles."""

    __slots__ = ()

    def result(self, timeout: float | None = None) -> T:
        """Return the task's result, waiting for it.

        Args:
            timeout: seconds to wait, None for ever.

        Raises:
            TimeoutError: not done in time; the task goes on.
            TaskFailed: the task's own error, with its traceback; `__cause__` is the exception itself when
                it can be rebuilt here.
            TaskCancelled: it was cancelled, or needed one that was.
            ConnectionLost: no node of the mesh answers any more.
        """
        if self._outcome is None:
            deadline = None if timeout is None else time.monotonic() + timeout
            if not self._wait(timeout):
                raise TimeoutError(f"{self!r} is not done after {timeout} s ({self.job.reason_text()})")
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        output = self._unfetched()
        if output is None:
            return self._load()
        return self._load(self.job.fetch_blocking(self.task, self.output, timeout))

    def fetched(self) -> tuple[bytes, int]:
        """Return the bytes and the encoding of the result, waiting for them.

        Raises:
            TaskError: the task has failed.
            ConnectionLost: no node of the mesh answers any more.
        """
        self._wait(None)
        outcome = self._outcome
        assert outcome is not None, "who has waited has an outcome"
        if isinstance(outcome, SwarmError):
            raise outcome
        data = outcome.data
        if data is None:
            data = self.job.fetch_blocking(self.task, self.output, None)
        return data, outcome.encoding

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the task's error, None when it succeeded, waiting until it has ended.

        Raises:
            TimeoutError: not done in time.
        """
        if not self._wait(timeout):
            raise TimeoutError(f"{self!r} is not done after {timeout} s ({self.job.reason_text()})")
        return self.failure()

    def cancel(self) -> bool:
        """Say that the result is not wanted; return whether it was early enough.

        The future is cancelled at once; what becomes of a run that has begun, or that other tasks wait
        for, is the mesh's affair.
        """
        if self._outcome is not None:
            return False
        self.settle(TaskCancelled(f"{self.job.task_name(self.task)} was cancelled by its submitter"))
        self.job.table.dropped.append(self.task)
        return self.cancelled()

    def __getitem__(self, name: str | int) -> Future[Any]:
        """Return the future of another output of the task; KeyError when it has no such output."""
        return cast("Future[Any]", super().__getitem__(name))

    def _wait(self, timeout: float | None) -> bool:
        if self._outcome is not None:
            return True
        gate = threading.Lock()
        gate.acquire()

        def open_gate(_future: object) -> None:
            gate.release()

        self.add_done_callback(open_gate)
        if gate.acquire(timeout=-1 if timeout is None else min(max(0.0, timeout), threading.TIMEOUT_MAX)):
            return True
        self.remove_done_callback(open_gate)
        return self._outcome is not None


def error_of(failure: Failure, name: str, node: str) -> TaskError:
    """Return the exception that a failure is raised as.

    Args:
        failure: what the mesh reported.
        name: of the task.
        node: name of the node that ran it.
    """
    where = f" on {node}" if node else ""
    message = f"{failure.type_name}: {failure.message}" if failure.type_name else failure.message
    text = f"task {name!r} failed{where}: {message}"
    error: TaskError
    if failure.kind == ERROR_DEPENDENCY:
        if "cancel" in failure.message:
            return TaskCancelled(f"task {name!r} was not run: {failure.message}")
        error = TaskFailed(f"task {name!r} was not run: {failure.message}", name, node, failure.traceback)
    elif failure.kind == ERROR_TIMEOUT:
        error = TaskTimedOut(text, name, node, failure.traceback)
    elif failure.kind in (ERROR_EXECUTOR_DIED, ERROR_NODE):
        error = AttemptsExhausted(text, name, node, failure.traceback)
    else:
        error = TaskFailed(text, name, node, failure.traceback)
    error.__cause__ = load_exception(failure.pickled)
    return error


def as_completed(futures: Iterable[Future[T]], timeout: float | None = None) -> Iterator[Future[T]]:
    """Yield futures as their tasks end, those already done first.

    Args:
        futures: any, doubles are yielded once.
        timeout: seconds for all of them together, None for ever.

    Raises:
        TimeoutError: some are not done in time.
    """
    waiting = list(dict.fromkeys(futures))
    finished: SimpleQueue[Future[T]] = SimpleQueue()
    deadline = None if timeout is None else time.monotonic() + timeout
    for future in waiting:
        future.add_done_callback(finished.put)
    count = len(waiting)
    del waiting
    for number in range(count):
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            yield finished.get(timeout=left)
        except Empty:
            raise TimeoutError(
                f"{count - number} of {count} futures are not done after {timeout} s"
            ) from None


def wait(
    futures: Iterable[Future[Any]], timeout: float | None = None, return_when: str = ALL_COMPLETED
) -> tuple[set[Future[Any]], set[Future[Any]]]:
    """Wait for futures and return (done, not done), as `concurrent.futures.wait` does.

    Raises:
        ValueError: `return_when` is not one of the three constants of this module.
    """
    if return_when not in (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED):
        raise ValueError(
            f"return_when {return_when!r} is not FIRST_COMPLETED, FIRST_EXCEPTION or ALL_COMPLETED"
        )
    everything = list(dict.fromkeys(futures))
    if return_when == ALL_COMPLETED or not everything:
        deadline = None if timeout is None else time.monotonic() + timeout
        for future in everything:
            if not future._wait(None if deadline is None else max(0.0, deadline - time.monotonic())):
                break
    else:
        try:
            for future in as_completed(everything, timeout):
                if return_when == FIRST_COMPLETED or future.failure() is not None:
                    break
        except TimeoutError:
            pass
    done = {future for future in everything if future.done()}
    return done, set(everything) - done


def gather(futures: Iterable[Future[T]], timeout: float | None = None) -> list[T]:
    """Return the results of futures in their order; raise the first error as soon as one fails.

    Raises:
        TimeoutError: not all are done in time.
        TaskError: what failed first.
    """
    everything = list(futures)
    deadline = None if timeout is None else time.monotonic() + timeout
    if not all(future.done() for future in everything):
        for future in as_completed(everything, timeout):
            error = future.failure()
            if error is not None:
                raise error
    return [
        future.result(None if deadline is None else max(0.0, deadline - time.monotonic()))
        for future in everything
    ]

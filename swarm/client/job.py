"""A job as its submitter sees it: tasks go in, parts come out, news of the mesh settle the futures.

No network and no clock here. Tasks are added by the threads of the user (`builder`); parts are taken and
updates applied by the thread of the session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from swarm.client.building import JobBuilder
from swarm.client.future_table import FutureTable
from swarm.client.futures import BaseFuture, error_of
from swarm.core.errors import DecodeError, SwarmError, TaskCancelled
from swarm.core.ids import JobId
from swarm.wire.facts import completion_untrusted, outputs_untrusted

if TYPE_CHECKING:
    from swarm.wire.facts import Completion

FINAL_STATES: Final = ("done", "failed", "cancelled")
FAILURES_MAX: Final = 100
PRINTED_KEPT_BYTES: Final = 1 << 16


class Owner(Protocol):
    """What a job needs of the mesh it was made by."""

    def wake(self) -> None:
        """Have parts and releases taken soon; called from any thread."""

    def make_future(self, job: ClientJob, task: int, output: int) -> BaseFuture[Any]:
        """Return a future of the face that the user works with."""

    def node_name(self, node: bytes) -> str:
        """Return the name of a node, its short id when unknown."""

    def fetch_blocking(self, job: ClientJob, task: int, output: int, timeout: float | None) -> bytes:
        """Return the bytes of a large result, waiting for them (sync face only)."""

    async def fetch(self, job: ClientJob, task: int, output: int) -> bytes:
        """Return the bytes of a large result."""
        ...


class Printed:
    """What was handed on of one stream of an attempt.

    Leaders tell output again, and two leaders may give one number to two attempts: what differs from what
    was said before at its place is of another attempt, and is handed on.
    """

    def __init__(self) -> None:
        self._end = 0
        self._tail = b""

    def take(self, offset: int, data: bytes) -> bytes:
        """Return what is new of the bytes that begin at an offset."""
        begin = max(offset, self._end - len(self._tail))
        end = min(offset + len(data), self._end)
        start = begin - self._end + len(self._tail)
        if begin < end and self._tail[start : start + end - begin] != data[begin - offset : end - offset]:
            self._end, self._tail = offset, b""
        if offset > self._end:
            self._tail = b""  # something between was never told
        fresh = data[max(0, self._end - offset) :]
        if fresh:
            self._end = offset + len(data)
            self._tail = (self._tail + fresh)[-PRINTED_KEPT_BYTES:]
        return fresh


class ClientJob:
    """One job being submitted or watched.

    Attributes:
        job: its id.
        builder: adds tasks and cuts parts.
        table: who holds which future.
        state: as the mesh told last, "waiting" before.
        counts: (total, done, failed, running), as the mesh told last.
        reason: why it is in this state, for people.
        attempts: runs of its tasks so far, as the mesh told last.
        is_complete: no task will be added any more; set before the last is taken.
        error: why this client could not go on with it: refused by the mesh, or the mesh is gone.
        failures: task index and error of the first failed tasks.
        on_change: called after each update, in the session's thread.
        on_output: called with each row [task, attempt, stream, offset, data] of new output.
    """

    def __init__(self, job: JobId, meta: Mapping[str, object], owner: Owner) -> None:
        self.job = job
        self.meta: Final = dict(meta)
        self.table: Final = FutureTable()
        self.builder: Final = JobBuilder(self, meta, self.table, owner.make_future, owner.wake)
        self.state = "waiting"
        self.counts = (0, 0, 0, 0)
        self.reason = ""
        self.attempts = 0
        self.is_complete = False
        self.failures: dict[int, SwarmError] = {}
        self.on_change: list[Callable[[ClientJob], object]] = []
        self.on_output: list[Callable[[int, int, int, bytes], object]] = []
        self.error: SwarmError | None = None
        self._owner = owner
        self._is_ended = False
        self._printed: dict[tuple[int, int, int], Printed] = {}

    def task_name(self, task: int) -> str:
        """Return the name of a task."""
        return self.builder.task_name(task)

    def output_future(self, future: BaseFuture[Any], which: str | int) -> BaseFuture[Any]:
        """Return the future of another output of the same task; KeyError when there is none."""
        return self.builder.output_future(future, which)

    def fetch_blocking(self, task: int, output: int, timeout: float | None) -> bytes:
        """Return the bytes of a large result; see :class:`Owner`."""
        return self._owner.fetch_blocking(self, task, output, timeout)

    async def fetch(self, task: int, output: int) -> bytes:
        """Return the bytes of a large result, for the trio face."""
        return await self._owner.fetch(self, task, output)

    def reason_text(self) -> str:
        """Return one line about where the job stands."""
        total, done, failed, running = self.counts
        text = f"job {self.state}: {done} of {total} tasks done, {failed} failed, {running} running"
        return f"{text}; {self.reason}" if self.reason else text

    def is_finished(self) -> bool:
        """Return whether the job has ended, or its session gave up."""
        if self.table.remembers and self.state == "done":
            return self._is_ended  # whoever runs again may ask for any of the results
        return self._is_ended or self.state in FINAL_STATES

    def rename(self, job: JobId) -> None:
        """Give the job another id; nothing of it has been sent."""
        assert not self.builder.parts_taken, "a job that was sent keeps its id"
        self.job = job

    def needs_whole(self) -> bool:
        """Return whether the job is done and yet the results of some futures did not come."""
        is_wanting = self.table.remembers or self.table.unsettled_count() > 0
        return self.state == "done" and not self._is_ended and is_wanting

    def on_update(
        self,
        state: str,
        counts: list[object],
        completions: list[object],
        reason: str,
        is_whole: bool,
    ) -> None:
        """Apply what the mesh says about the job; the same news twice changes nothing.

        Raises:
            DecodeError: the layout is wrong; what was before the wrong row is applied.
        """
        for row in completions:
            if not isinstance(row, list) or len(row) < 7:
                raise DecodeError("a completion is an array of 7")
            task, outputs = row[0], row[5]
            if isinstance(outputs, list) and isinstance(task, int):
                if self.table.is_wanted(task):
                    self.table.settle(task, outputs_untrusted(outputs), bool(self.builder.output_names(task)))
            else:
                self._on_failure(completion_untrusted(row))
        numbers = [number for number in counts if isinstance(number, int)]
        if len(numbers) < 4:
            raise DecodeError("the counts of a job are four numbers")
        self.counts = (numbers[0], numbers[1], numbers[2], numbers[3])
        self.state, self.reason = state, reason
        if state in ("failed", "cancelled"):
            self.end(TaskCancelled(f"the job is {state}{': ' if reason else ''}{reason}"))
        elif state == "done" and is_whole:
            self.end(TaskCancelled("the job is done and this result is not kept any more"))
        self.notify()

    def on_output_rows(self, rows: list[object]) -> None:
        """Hand on output of tasks that was not handed on before.

        Raises:
            DecodeError: the layout is wrong.
        """
        for row in rows:
            if not isinstance(row, list) or len(row) < 5 or not isinstance(row[4], bytes):
                raise DecodeError("output is [task, attempt, stream, offset, data]")
            task, attempt, stream, offset = [number if isinstance(number, int) else 0 for number in row[:4]]
            fresh = self._printed.setdefault((task, attempt, stream), Printed()).take(offset, row[4])
            if fresh:
                for callback in self.on_output:
                    callback(task, attempt, stream, fresh)

    def end(self, error: SwarmError) -> None:
        """Settle every future that is left with an error; no task can be added any more."""
        self._is_ended = True
        self.builder.end(error)
        self.table.end(error)

    def fail(self, error: SwarmError) -> None:
        """End the job for this client because its session cannot go on."""
        if not self.is_finished():
            self.state, self.reason, self.error = "failed", str(error), error
        self.end(error)
        self.notify()

    def notify(self) -> None:
        """Call everybody who follows the job."""
        for callback in list(self.on_change):
            callback(self)

    def _on_failure(self, completion: Completion) -> None:
        task, failure = completion.task, completion.failure
        if failure is None:
            raise DecodeError(f"the outputs of task {task} are no array")
        error = error_of(failure, self.task_name(task), self._owner.node_name(completion.node))
        if len(self.failures) < FAILURES_MAX:
            self.failures.setdefault(task, error)
        self.table.settle(task, [error], bool(self.builder.output_names(task)))

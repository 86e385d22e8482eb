"""What the execution core tells: reports to the leader, failures that it found itself, counters."""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import Effect, Notify
from swarm.core.ids import AttemptKey, JobId, ObjectName
from swarm.core.records import Record
from swarm.exec.dispatch import Dispatcher
from swarm.exec.runs import Runs
from swarm.objects.table import ObjectTable
from swarm.wire.facts import Completion, Failure
from swarm.wire.messages import ERROR_EXECUTOR_DIED, ERROR_RESULT, ERROR_TIMEOUT

_LAST_LINE_MAX: Final = 200


@final
class Reports(Record):
    """Everything new since the reports were taken last, oldest first.

    Attributes:
        completions: attempts that ended by themselves, with their job.
        output: what tasks printed, rows as in TASK_OUTPUT: [job, task, attempt, stream, offset, data].
        lost: objects that could not be had, rows as in OBJECT_LOST: [job, task, output, holder]. The holder
            is this node when nobody was named, or when its own file has gone.
        copied: objects fetched from other nodes.
        returned: attempts given back unasked, never started: the node drains or is full.
    """

    __slots__ = ("completions", "copied", "lost", "output", "returned")

    def __init__(
        self,
        completions: list[tuple[JobId, Completion]],
        output: list[list[object]],
        lost: list[list[object]],
        copied: list[ObjectName],
        returned: list[AttemptKey],
    ) -> None:
        self.completions: Final = completions
        self.output: Final = output
        self.lost: Final = lost
        self.copied: Final = copied
        self.returned: Final = returned

    def fields(self) -> tuple[object, ...]:
        return (self.completions, self.output, self.lost, self.copied, self.returned)

    def is_empty(self) -> bool:
        """Return whether there is nothing to tell."""
        return not (self.completions or self.output or self.lost or self.copied or self.returned)


def failure_of_timeout(timeout_s: float) -> Failure:
    """Return the failure of an attempt that ran longer than it may."""
    return Failure(ERROR_TIMEOUT, "", f"the task ran longer than its timeout of {timeout_s:g} s", "", b"")


def failure_of_death(reason: str, last_output: str) -> Failure:
    """Return the failure of an attempt whose executor died.

    Args:
        reason: how it died, for people.
        last_output: the last text it printed; its last line goes into the message, all of it stands in
            place of a traceback.
    """
    message = f"the executor died while it ran the task: {reason}"
    lines = last_output.strip().splitlines()
    if lines:
        message = f"{message}; its last output: {lines[-1].strip()[:_LAST_LINE_MAX]}"
    return Failure(ERROR_EXECUTOR_DIED, "", message, last_output, b"")


def failure_of_count(output_count: int, wanted_count: int) -> Failure:
    """Return the failure of an attempt that ended with a wrong number of outputs."""
    message = f"the task has {output_count} outputs and should have {wanted_count}"
    return Failure(ERROR_RESULT, "", message, "", b"")


def not_started(executor: int, reason: str, last_output: str) -> Effect:
    """Return the note about an executor that ended before it was ready."""
    values: dict[str, object] = {"executor": executor, "reason": reason, "output": last_output}
    return Notify("executor_not_started", values)


@final
class ExecCounts:
    """Counters of the core itself, since its start.

    Attributes:
        repeated: assignments of an attempt that was here, or had just ended.
        returned: attempts given back unasked.
        stray: words of executors that fit nothing here; late answers of killed ones are harmless.
        unknown: cancels of attempts that are not here.
        orphan: inputs promised to come from an earlier run when there was none.
        done, failed: runs that ended by themselves.
        dropped_output_bytes: printed output beyond its bound.
    """

    def __init__(self) -> None:
        self.repeated = 0
        self.returned = 0
        self.stray = 0
        self.unknown = 0
        self.orphan = 0
        self.done = 0
        self.failed = 0
        self.dropped_output_bytes = 0


def statistics_of(
    counts: ExecCounts, runs: Runs, dispatcher: Dispatcher, table: ObjectTable
) -> dict[str, int]:
    """Return all counters by name; names that end in `_now` say how things stand."""
    slots = dispatcher.slots
    return {
        "slots": slots.slot_count,
        "slots_used_now": slots.slots_used,
        "attempts_now": len(runs),
        "ready_now": slots.lanes[0].ready_count + slots.lanes[1].ready_count,
        "sent_now": len(dispatcher.sent),
        "objects_memory_bytes_now": table.bytes_in_memory,
        "done": counts.done,
        "failed": counts.failed,
        "repeated_assignments": counts.repeated,
        "returned": counts.returned,
        "unknown_cancels": counts.unknown,
        "stray_executor_events": counts.stray,
        "orphan_inputs": counts.orphan,
        "output_dropped_bytes": counts.dropped_output_bytes,
        "starts": dispatcher.start_count,
        "given_ahead": dispatcher.ahead_count,
        "taken_back": dispatcher.taken_back_count,
        "spawns": dispatcher.spawn_count,
        "kills": dispatcher.kill_count,
        "fetches": table.fetch_count,
        "fetches_failed": table.fetch_failed_count,
        "stray_fetches": table.stray_fetch_count,
        "objects_spilled": table.spilled_count,
        "objects_replaced": table.replaced_count,
    }

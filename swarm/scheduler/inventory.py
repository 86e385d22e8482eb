"""Adopting what nodes report to a new leader: attempts under way and objects in their stores."""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import DIGEST_SIZE, JOB_ID_SIZE, AttemptKey, JobId, NodeId
from swarm.core.records import Record
from swarm.scheduler.dispatch import Dispatcher
from swarm.scheduler.jobs import Job
from swarm.scheduler.task_states import ASSIGNED, DONE, READY, WAITING
from swarm.wire.codec import Body
from swarm.wire.facts import Completion


@final
class Found(Record):
    """One row of an inventory: an attempt under way (`attempt` >= 1), or a copy of an object (0)."""

    __slots__ = ("attempt", "digest", "job", "node", "output", "task")

    def __init__(self, node: NodeId, job: JobId, task: int, attempt: int, output: int, digest: bytes) -> None:
        self.node: Final = node
        self.job: Final = job
        self.task: Final = task
        self.attempt: Final = attempt
        self.output: Final = output
        self.digest: Final = digest

    def fields(self) -> tuple[object, ...]:
        return (self.node, self.job, self.task, self.attempt, self.output, self.digest)

    def key(self) -> AttemptKey:
        """Return which attempt this is about."""
        return (self.job, self.task, self.attempt)

    @staticmethod
    def running_untrusted(node: NodeId, row: object) -> Found:
        """Return the row [job, task, attempt] of a node; raises DecodeError."""
        body = Body([row]).take_body()
        return Found(node, body.take_id(JOB_ID_SIZE), body.take_index(), max(body.take_index(), 1), 0, b"")

    @staticmethod
    def copy_untrusted(node: NodeId, row: object) -> Found:
        """Return the row [job, task, output, digest] of a node; raises DecodeError."""
        body = Body([row]).take_body()
        job, task, output = body.take_id(JOB_ID_SIZE), body.take_index(), body.take_index()
        return Found(node, job, task, 0, output, body.take_id(DIGEST_SIZE))


def attempts_untrusted(node: NodeId, body: Body) -> list[Found]:
    """Return the attempts that a node lists next in a body; raises DecodeError."""
    return [Found.running_untrusted(node, row) for row in body.take_list()]


def copies_untrusted(node: NodeId, body: Body) -> list[Found]:
    """Return the copies of objects that a node lists next in a body; raises DecodeError."""
    return [Found.copy_untrusted(node, row) for row in body.take_list()]


def adopt_found(
    job: Job,
    found: list[Found],
    facts: dict[tuple[int, int, NodeId], Completion],
    dispatcher: Dispatcher,
    is_doubted: bool,
) -> list[Found]:
    """Adopt the rows about a job; return those about tasks and results that are not known yet.

    Rows of nodes that are gone are dropped, and so are attempts that have ended since, as the facts say. An
    attempt of a task that needs no run any more is cancelled, and so is, once more, one that was cancelled
    after its node had made the report; a copy that nobody needs any more is dropped; one with another digest
    than the winner's goes with its job.

    Args:
        job: what they are about.
        found: the rows.
        facts: completions of the job.
        dispatcher: takes the orders to cancel and to drop.
        is_doubted: whether outputs of the job may be lost: then an attempt of a DONE task may make them anew,
            and is returned too.
    """
    left: list[Found] = []
    for row in found:
        if row.node not in dispatcher.workers:
            continue
        if row.task >= len(job.tasks):
            left.append(row)
        elif row.attempt:
            if (row.task, row.attempt, row.node) in facts:
                continue
            if is_doubted and job.tasks[row.task].state == DONE:
                left.append(row)
            else:
                _adopt_attempt(job, row, dispatcher)
        elif not _adopt_copy(job, row, dispatcher):
            left.append(row)
    return left


def _adopt_attempt(job: Job, row: Found, dispatcher: Dispatcher) -> None:
    task = job.tasks[row.task]
    worker = dispatcher.workers[row.node]
    if task.running.get(row.attempt) == row.node:
        return
    is_needed = not task.is_final() and row.attempt not in task.running and task.state != ASSIGNED
    if not is_needed or row.key() in worker.cancelled:
        # Whatever becomes of the task, this number is taken.
        task.attempts = max(task.attempts, row.attempt)
        dispatcher.cancel(job, row.task, row.attempt, row.node)
        return
    assert task.state in (WAITING, READY), "an adoptable task waits or is ready"
    job.adopt(task, row.attempt, row.node, task.waiting_count > 0)
    estimate_s = dispatcher.estimates.duration_s(task.spec.name)
    worker.give((job.job, row.task, row.attempt), task.spec.options, estimate_s, task.waiting_count > 0)


def _adopt_copy(job: Job, row: Found, dispatcher: Dispatcher) -> bool:
    task = job.tasks[row.task]
    if not task.is_final():
        return False
    outputs = task.outputs
    if outputs is None or task.is_released:
        # It was given up while that node was away.
        dispatcher.release(job, row.task, row.output + 1, [row.node])
    elif row.output < len(outputs) and outputs[row.output].digest == row.digest:
        task.note_copy(row.node, row.output)
    return True

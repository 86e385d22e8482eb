"""The end of a job: what nobody needs to keep from then on."""

from __future__ import annotations

from swarm.core.effects import Effect, Message
from swarm.core.ids import JobId, NodeId
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.dispatch import Dispatcher
from swarm.scheduler.jobs import VERDICT_CANCELLED, VERDICT_DONE, VERDICT_FAILED, VERDICTS, Job
from swarm.scheduler.records import JobRecords
from swarm.scheduler.task_states import FAILED
from swarm.wire.messages import (
    ERROR_DEPENDENCY,
    INTENT_END,
    JOB_ENDED,
    JOB_FORGET,
    KIND_DATA,
    RECORD_OFFER,
)


def finish_job(
    job: Job, dispatcher: Dispatcher, records: JobRecords, me: NodeId, new_keepers: list[NodeId], now: float
) -> list[Effect]:
    """Give a complete job its verdict and free what only its run needed.

    Nodes that keep no record of it are told to forget its completions; the data that the client brought
    stays with the record only.

    Args:
        job: complete, without a verdict.
        dispatcher: takes the orders to release objects.
        records: keeps the verdict and has the other keepers keep it, so that no later leader runs it again.
        me: the leader.
        new_keepers: who is being sent the record, completions first: they are not to forget those.
        now: seconds.

    Returns:
        Messages to the nodes.
    """
    assert job.is_complete(), "a job ends when all its tasks are final"
    assert not job.verdict, "a job ends once"
    if job.failed and not job.is_session:
        job.verdict = VERDICT_FAILED
        job.reason = job.reason or why_failed(job)
    elif job.cancelled or (job.is_cancelled and not job.has_all_parts()):
        job.verdict = VERDICT_CANCELLED
    else:
        job.verdict = VERDICT_DONE
    job.ended_at = now
    job.changed = True
    job.kept_bytes = bytes_in_memory(job)
    records.intend(job.job, INTENT_END, VERDICTS.index(job.verdict) + 1, now)
    for task in job.tasks:
        if task.spec.kind == KIND_DATA and not task.is_kept:
            drop = [node for node in task.holders if task.has_data() or node not in job.records]
            dispatcher.release(job, task.index, 1, drop)
            task.holders = {node: True for node in task.holders if node not in drop}
    ended: list[object] = [job.job]
    effects: list[Effect] = []
    for node in dispatcher.workers:
        if node not in job.records and node not in new_keepers and node != me:
            effects.append(Message(node, JOB_ENDED, [ended]))
    return effects


def expire_job(job: Job, dispatcher: Dispatcher, records: JobRecords, me: NodeId, now: float) -> list[Effect]:
    """Let a tombstone of an ended job replace its records everywhere; return the messages that say so."""
    rows: list[object] = [[job.job, job.verdict]]
    effects: list[Effect] = [Message(node, JOB_FORGET, [rows]) for node in dispatcher.workers if node != me]
    records.forget(job.job, job.verdict, now)
    return effects


def ask_for_ends(jobs: list[JobId], nodes: list[NodeId], me: NodeId) -> list[Effect]:
    """Ask nodes whether jobs have ended long ago: who has a tombstone of one answers with it.

    Whoever leads may have been away when a job was forgotten, and so may the keeper that offers its record.
    """
    rows: list[object] = [[job, [], 0, False, 0] for job in jobs]
    effects: list[Effect] = []
    for node in nodes:
        if rows and node != me:
            effects.append(Message(node, RECORD_OFFER, [rows]))
    return effects


def tell_end(job: Job, records: JobRecords, dispatcher: Dispatcher, me: NodeId) -> list[Effect]:
    """Tell all nodes that a job which seemed to go on has ended long ago, as a tombstone elsewhere says."""
    rows: list[object] = [[job.job, records.verdict(job.job)]]
    return [Message(node, JOB_FORGET, [rows]) for node in dispatcher.workers if node != me]


def bytes_in_memory(job: Job) -> int:
    """Return the bytes of a job's results that every keeper of its record holds in memory."""
    total = 0
    for task in job.tasks:
        if task.outputs is not None and not task.is_released:
            for output in task.outputs:
                total += 0 if output.data is None else output.size
    return total


def ttl_of(job: Job, jobs: dict[JobId, Job], config: SchedulerConfig) -> float:
    """Return how many seconds an ended job stays: less when the results of ended jobs fill the memory.

    A session's results were for its client alone; a script that runs again wants those of its sessions.
    """
    total = 0
    for other in jobs.values():
        if other.verdict:
            total += other.kept_bytes
    if (job.is_session and not job.life[0]) or total > config.ended_bytes_max:
        return config.session_ttl_s
    return config.results_ttl_s


def why_failed(job: Job) -> str:
    """Return one line about the first task of a job that failed by itself."""
    for task in job.tasks:
        failure = task.failure
        if task.state == FAILED and failure is not None and failure.kind != ERROR_DEPENDENCY:
            others = f" ({job.failed} tasks failed)" if job.failed > 1 else ""
            return f"task {task.spec.name} failed: {failure.message}{others}"
    return f"{job.failed} tasks failed"

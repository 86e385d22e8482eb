"""The end of a job: its verdict, and what nobody needs to keep from then on."""

from __future__ import annotations

from swarm.core.effects import Effect, Message
from swarm.core.ids import NodeId
from swarm.scheduler.dispatch import Dispatcher
from swarm.scheduler.jobs import VERDICT_CANCELLED, VERDICT_DONE, VERDICT_FAILED, Job
from swarm.wire.messages import JOB_ENDED, KIND_DATA


def finish_job(job: Job, dispatcher: Dispatcher, me: NodeId, now: float) -> list[Effect]:
    """Give a complete job its verdict and free what only its run needed.

    Nodes that keep no record of it are told to forget its completions; the data that the client brought
    stays with the record only.

    Args:
        job: complete, without a verdict.
        dispatcher: takes the orders to release objects.
        me: the leader.
        now: seconds.

    Returns:
        Messages to the nodes.
    """
    assert job.is_complete(), "a job ends when all its tasks are final"
    assert not job.verdict, "a job ends once"
    if job.failed and not job.is_session:
        job.verdict = VERDICT_FAILED
    elif job.cancelled or (job.is_cancelled and not job.has_all_parts()):
        job.verdict = VERDICT_CANCELLED
    else:
        job.verdict = VERDICT_DONE
    job.ended_at = now
    job.changed = True
    for task in job.tasks:
        if task.spec.kind == KIND_DATA and not task.is_kept:
            drop = [node for node in task.holders if task.has_data() or node not in job.records]
            dispatcher.release(job, task.index, 1, drop)
            task.holders = {node: True for node in task.holders if node not in drop}
    ended: list[object] = [job.job]
    effects: list[Effect] = []
    for node in dispatcher.workers:
        if node not in job.records and node != me:
            effects.append(Message(node, JOB_ENDED, [ended]))
    return effects

"""Parts and intents on their way from the records into the leader's view of a job."""

from __future__ import annotations

from swarm.core.errors import DecodeError
from swarm.core.ids import NodeId
from swarm.scheduler.job_facts import JobRecord, News
from swarm.scheduler.jobs import VERDICT_CANCELLED, VERDICT_DONE, VERDICT_FAILED, VERDICTS, Job
from swarm.scheduler.ranking import Estimates
from swarm.scheduler.records import JobRecords
from swarm.wire.job_part import job_part_untrusted
from swarm.wire.messages import INTENT_CANCEL, INTENT_CLOSE, INTENT_END


def take_part(job: Job, record: JobRecord, item: News, estimates: Estimates) -> bool:
    """Take a part of a job, decoded anew when the news does not bring it; return whether it is one."""
    part = item.part
    if part is None:
        try:
            part = job_part_untrusted(record.parts[item.number])
        except DecodeError:
            return False
    job.add_part(item.number, part, estimates)
    job.parts_total = max(job.parts_total, record.parts_total)
    return True


def take_intent(job: Job, record: JobRecord, what: int, records: JobRecords) -> None:
    """Take that a job was closed or ended, and tell the other keepers of its record what is news.

    What a cancel does to the job is left to :func:`take_end`.

    Args:
        job: as the leader sees it.
        record: its facts.
        what: an INTENT_ of `swarm.wire.messages`; 0 when it is only read again.
        records: sends the intent.
    """
    job.parts_total = max(job.parts_total, record.parts_total)
    job.changed = True
    holders: list[NodeId] = list(job.records)
    if what == INTENT_CANCEL:
        records.spread_intent(job.job, INTENT_CANCEL, 0, holders)
    elif what == INTENT_CLOSE:
        records.spread_intent(job.job, INTENT_CLOSE, record.parts_total, holders)
    elif what == INTENT_END:
        records.spread_intent(job.job, INTENT_END, record.ended, holders)


def take_end(job: Job | None, records: JobRecords) -> None:
    """Take that a job was cancelled, or ended under an earlier leader, so that nothing of it runs again.

    Called when all that waited for the job was taken: a cancel ends only what has no result yet, waits for
    the first part and the results that come with it where somebody keeps one, and does nothing to a job that
    ended otherwise.

    The verdict may have come without the facts behind it, from a keeper that was cut off from the rest or
    whose other rows were lost. Then it does not count, and the job goes on: who waits gets the results.
    """
    record = None if job is None or job.verdict else records.record(job.job)
    if job is None or record is None or (job.offered and not job.parts_added):
        return
    verdict = VERDICTS[min(record.ended, len(VERDICTS)) - 1] if record.ended else ""
    if record.is_cancelled and not job.is_cancelled and verdict in ("", VERDICT_CANCELLED):
        job.cancel("cancelled")
    if not verdict or not job.parts_added:
        return
    if verdict == VERDICT_FAILED and not job.failed:
        return
    if verdict == VERDICT_DONE and not _has_all_results(job):
        return
    job.verdict = verdict
    job.is_reloaded = True
    job.ended_at = job.started_at
    job.changed = True
    for task in job.tasks:
        for attempt, node in list(task.running.items()):
            job.stopped.append((task.index, attempt, node))
            job.give_back(task, attempt)


def _has_all_results(job: Job) -> bool:
    for task in job.tasks:
        if task.is_kept and not task.is_final():
            return False
    return job.has_all_parts()

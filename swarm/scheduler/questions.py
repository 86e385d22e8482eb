"""Questions of clients to the leader, through any node: about jobs, what they printed and what they made."""

from __future__ import annotations

from swarm.core.ids import JobId, NodeId, short
from swarm.scheduler.again import again
from swarm.scheduler.jobs import Job
from swarm.scheduler.records import JobRecords
from swarm.scheduler.reruns import submitted
from swarm.scheduler.task_states import DONE
from swarm.scheduler.watches import Watches, details_of, results_of, summary_of

CODE_FAILED = 1
CODE_USAGE = 2
CODE_NO_MESH = 3
"""Not at present: whoever asks again later may get an answer."""


def answer_question(
    jobs: dict[JobId, Job],
    records: JobRecords,
    watches: Watches,
    names: dict[NodeId, str],
    op: str,
    args: dict[str, object],
    now: float,
    is_sure: bool,
) -> tuple[bool, object]:
    """Return (ok, value); when not ok the value is a map of code and message.

    `is_sure` says whether all nodes have told what they have: what nobody has named may still be somewhere.
    """
    if op == "jobs":
        rows = [summary_of(job, now) for job in jobs.values() if job.parts_added]
        return (True, rows)
    if op == "submitted":
        return (True, submitted(jobs, args))
    found = find_job(jobs, args.get("job"))
    if isinstance(found, str):
        return (False, {"code": CODE_FAILED, "message": _forgotten(records, args.get("job")) or found})
    if op == "cancel":
        return (True, summary_of(found, now))
    if op == "job":
        return (True, details_of(found, now, names))
    if op == "logs":
        return (True, _logs(watches, found, args.get("task")))
    if op == "results":
        return (True, {"state": found.state(), "job": found.job, "results": results_of(found)})
    if op == "locate":
        return _locate(found, args, is_sure)
    if op == "again":
        first = args.get("first")
        facts = list(records.facts_of(found.job).values())
        value = again(found, facts, first if isinstance(first, int) and first >= 0 else 0)
        return (False, {"code": CODE_FAILED, "message": value}) if isinstance(value, str) else (True, value)
    return (False, {"code": CODE_USAGE, "message": f"unknown question {op!r}"})


def find_job(jobs: dict[JobId, Job], wanted: object) -> Job | str:
    """Return the job named by its id, its short id, a unique beginning of it, or why there is none."""
    if isinstance(wanted, bytes):
        job = jobs.get(wanted)
        return job if job is not None else f"no job {short(wanted)} is known; see `swarm jobs`"
    if not isinstance(wanted, str) or not wanted:
        return "name a job; see `swarm jobs`"
    matches = [job for job in jobs.values() if short(job.job).startswith(wanted.lower())]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        return f"no job {wanted!r} is known; see `swarm jobs`"
    return f"{wanted!r} is the beginning of {len(matches)} jobs; give more of it"


def _forgotten(records: JobRecords, wanted: object) -> str:
    """Return what is to be said of a job that ended and was forgotten, "" of any other."""
    if not isinstance(wanted, bytes) or not records.verdict(wanted):
        return ""
    return f"job {short(wanted)} has ended ({records.verdict(wanted)}) and its results have expired"


def _logs(watches: Watches, job: Job, task: object) -> list[object]:
    rows: list[object] = []
    for row in watches.output_rows(job.job):
        assert isinstance(row, list), "rows of output are lists"
        if task is None or row[0] == task:
            rows.append(
                {"task": row[0], "attempt": row[1], "stream": row[2], "offset": row[3], "data": row[4]},
            )
    return rows


def _locate(job: Job, args: dict[str, object], is_sure: bool) -> tuple[bool, object]:
    index, number = args.get("task"), args.get("output", 0)
    if not isinstance(index, int) or not isinstance(number, int) or not 0 <= index < len(job.tasks):
        wanted = f" {index}" if isinstance(index, int) else " of that kind of number"
        return (False, {"code": CODE_USAGE, "message": f"job {short(job.job)} has no task{wanted}"})
    task = job.tasks[index]
    if not task.is_final() and not job.verdict:
        message = f"task {index} has no output {number} at present: it runs, or is to run; wait for it"
        return (False, {"code": CODE_NO_MESH, "message": message})
    if task.state != DONE or task.outputs is None or not 0 <= number < len(task.outputs):
        return (False, {"code": CODE_FAILED, "message": f"task {index} has no output {number} at present"})
    output = task.outputs[number]
    holders = list(task.holders)
    if output.data is None and not holders and not task.is_released and not (job.verdict and is_sure):
        message = f"no node is known to hold the result of task {index} at present; try again"
        return (False, {"code": CODE_NO_MESH, "message": message})
    if output.data is None and not holders:
        message = f"the result of task {index} is lost: no node holds it any more"
        return (False, {"code": CODE_FAILED, "message": message})
    value: dict[str, object] = {
        "job": job.job,
        "digest": output.digest,
        "size": output.size,
        "encoding": output.encoding,
        "data": output.data,
        "holders": holders,
    }
    return (True, value)

"""Sessions of scripts that run inside the mesh, and what a script finds when it runs again.

A script is a task like others: when its node dies it runs again elsewhere, from its first line.
Its sessions say in their metadata whose they are: ``parent`` is the short id of the script's job,
``session`` counts the sessions that the script opens, ``life`` counts the jobs that one of them has had.
When it runs again it asks for what it submitted before (:func:`submitted`) and goes through it from the
beginning: as long as what it submits equals that, nothing is submitted and the old tasks are its own. From
the first difference on its work is a new job, so no two lives of a script ever add to one job.
docs/decisions/0013-scripts-that-run-again.md has the reasons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from swarm.core.ids import JobId, short
from swarm.wire.job_part import digest_of_task

if TYPE_CHECKING:
    from swarm.scheduler.jobs import Job

Life: TypeAlias = tuple[str, int, int]
"""The short id of the script's job, which of its sessions, and which job of that session."""
NO_LIFE: Final[Life] = ("", 0, 0)
DIGESTS_MAX: Final = 50_000
"""Tasks of a job that a script is told of: what is behind them it submits again."""


def life_of(meta: dict[str, object]) -> Life:
    """Return whose session a job is, from the metadata of its first part; NO_LIFE for nobody's."""
    parent, session, life = meta.get("parent"), meta.get("session_number"), meta.get("life")
    if isinstance(parent, str) and isinstance(session, int) and isinstance(life, int):
        return (parent[:64], session, life)
    return NO_LIFE


def submitted(jobs: dict[JobId, Job], args: dict[str, object]) -> list[object]:
    """Return what a session of a script submitted in its earlier lives, the oldest first.

    Args:
        jobs: of the leader.
        args: "parent" and "session", as in the metadata.

    Returns:
        One map for each job: its id, its number of parts, and the digests of its tasks in one text of bytes.
    """
    found: list[tuple[int, JobId]] = []
    for job in jobs.values():
        parent, session, life = job.life
        if parent and parent == args.get("parent") and session == args.get("session"):
            if not job.is_cancelled and job.is_session:
                found.append((life, job.job))
    rows: list[object] = []
    for _, job_id in sorted(found):
        job = jobs[job_id]
        digests = [digest_of_task(task.spec) for task in job.tasks[:DIGESTS_MAX]]
        rows.append({"job": job_id, "parts": job.parts_added, "digests": b"".join(digests)})
    return rows


def may_run_again(jobs: dict[JobId, Job], job: Job) -> bool:
    """Return whether the script whose session this is has not ended: it may run again and want it."""
    parent = job.life[0]
    if not parent:
        return False
    for other in jobs.values():
        if not other.verdict and short(other.job) == parent:
            return True
    return False

"""Scripts that run inside the mesh find, when they run again, what they submitted before.

A script whose node dies runs again elsewhere from its first line (`swarm.scheduler.reruns` has the mesh's
side). Each of its sessions then goes through the jobs that its earlier lives left, the oldest first: a task
that equals the next one of such a job is that one, and is not submitted again. At the first difference, or
behind the last task that is known, the session goes on with the next such job, in the end with a new one.

Futures of an earlier job may be arguments of tasks in a later one: their results are brought along as data.
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from swarm.core.errors import DecodeError
from swarm.core.ids import DIGEST_SIZE, JOB_ID_SIZE, JobId
from swarm.wire.facts import digest_of

if TYPE_CHECKING:
    from swarm.client.job import ClientJob

PARENT_VARIABLE: Final = "SWARM_SCRIPT_PARENT"
"""The process that started the script; set for scripts that run inside the mesh."""
JOB_VARIABLE: Final = "SWARM_JOB"

_sessions = itertools.count()
_graphs = itertools.count()


class Diverged(Exception):
    """A script submits something else than in its earlier life; the session goes on in another job."""


@final
class Found:
    """A job that an earlier life of the script left.

    Attributes:
        job: its id.
        parts: how many it has.
        digests: of its tasks, in order.
    """

    def __init__(self, job: JobId, parts: int, digests: list[bytes]) -> None:
        self.job: Final = job
        self.parts: Final = parts
        self.digests: Final = digests


@final
class Rerun:
    """One session of a script that may have run before.

    Attributes:
        parent: short id of the script's job.
        number: of this session among those of the script.
        life: how many jobs of it are known.
        older: jobs of earlier lives that were gone through.
    """

    def __init__(self, parent: str) -> None:
        self.parent: Final = parent
        self.number: Final = next(_sessions)
        self.life = 0
        self.older: list[ClientJob] = []
        self._left: list[Found] = []

    def question(self) -> dict[str, object]:
        """Return the arguments of the question "submitted"."""
        return {"parent": self.parent, "session": self.number}

    def take_answer(self, answer: object) -> None:
        """Take what earlier lives left.

        Raises:
            DecodeError: the layout is wrong.
        """
        if not isinstance(answer, list):
            raise DecodeError("what was submitted before is an array")
        self._left = [_found(row) for row in answer]
        self.life = len(self._left)

    def take_found(self) -> Found | None:
        """Return the next job that an earlier life left, None when there is no other."""
        return self._left.pop(0) if self._left else None

    def meta(self) -> dict[str, object]:
        """Return what the first part of a new job says about its script."""
        return {"parent": self.parent, "session_number": self.number, "life": self.life}


def script_job() -> str:
    """Return the short id of the job whose script this very process is, "" for any other process."""
    if os.environ.get(PARENT_VARIABLE) == str(os.getppid()):
        return os.environ.get(JOB_VARIABLE, "")
    return ""


def script_folder() -> str:
    """Return where the script of this process is."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return str(Path(file).absolute().parent if isinstance(file, str) else Path.cwd())


def graph_job_id(parent: str, content: bytes, number: int, life: int) -> JobId:
    """Return the id of the job of a graph that a script submits: the same in each of its lives.

    Args:
        parent: short id of the script's job.
        content: digest of all tasks.
        number: of this graph among those of the script.
        life: 0, more when the job of the life before has ended and been forgotten.
    """
    return digest_of(f"{parent}:{number}:{life}:".encode() + content)[:JOB_ID_SIZE]


def next_graph_number() -> int:
    """Return which graph of this process comes next."""
    return next(_graphs)


def _found(row: Any) -> Found:
    if not isinstance(row, dict):
        raise DecodeError("a job submitted before is a map")
    job, parts, digests = row.get("job"), row.get("parts"), row.get("digests")
    if not (isinstance(job, bytes) and isinstance(parts, int) and isinstance(digests, bytes)):
        raise DecodeError("a job submitted before has an id, parts and digests")
    return Found(job, parts, [digests[at : at + DIGEST_SIZE] for at in range(0, len(digests), DIGEST_SIZE)])

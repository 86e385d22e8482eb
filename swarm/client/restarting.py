"""What a script that runs inside the mesh asks and submits so that it may be done again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from swarm.client.errors import CODE_NO_MESH, Refused
from swarm.client.job import ClientJob
from swarm.client.reruns import graph_job_id, next_graph_number

CODE_USAGE: Final = 2
PATIENCE_S: Final = 60.0
"""How long a script waits for a leader: the one that was may have died with the node that ran the script."""
LIVES_MAX: Final = 100


class Caller(Protocol):
    """The parts of a mesh that are needed here."""

    def call(self, op: str, args: Mapping[str, object] | None = None, timeout: float | None = None) -> Any:
        """Ask the mesh."""

    def start_job(self, job: ClientJob, with_output: bool = False) -> None:
        """Send a job and follow it."""

    def wait_accepted(self, job: ClientJob) -> None:
        """Wait until a job is kept."""


def ask_patiently(mesh: Caller, op: str, args: Mapping[str, object]) -> Any:
    """Return the answer to a question, asked again while there is no leader.

    Raises:
        Refused: the mesh says no, or has no leader for `PATIENCE_S`.
    """
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return mesh.call(op, args)  # which waits itself before it says that there is no leader
        except Refused as error:
            if error.code != CODE_NO_MESH or time.monotonic() > give_up_at:
                raise


def submitted_before(mesh: Caller, question: Mapping[str, object]) -> object:
    """Return what earlier lives of a script submitted; a mesh of an older version knows nothing of it."""
    try:
        return ask_patiently(mesh, "submitted", question)
    except Refused as error:
        if error.code != CODE_USAGE:
            raise
        return []


def start_again(mesh: Caller, job: ClientJob, parent: str) -> None:
    """Submit the job of a graph under the id that it had in an earlier life of the script, if there was one.

    The same tasks under the same id are one job, however often they are submitted. One that was cancelled or
    forgotten is submitted anew.

    Raises:
        Refused: the mesh did not take it.
    """
    number, content = next_graph_number(), job.builder.content()
    for life in range(LIVES_MAX):
        identity = graph_job_id(parent, content, number, life)
        state = _state_of(mesh, identity)
        if state not in ("cancelled", "forgotten"):
            job.rename(identity)
            break
    mesh.start_job(job)
    mesh.wait_accepted(job)


def _state_of(mesh: Caller, identity: bytes) -> str:
    """Return how a job stands, "" for one that the mesh does not know."""
    try:
        return str(ask_patiently(mesh, "job", {"job": identity}).get("state", ""))
    except Refused as error:
        if error.code == CODE_NO_MESH:
            raise
        return "forgotten" if "ended" in str(error) else ""

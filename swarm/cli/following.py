"""Following a job to its end at the command line, and what its tasks print."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarm.cli.results import load_result, save_results, text_of
from swarm.cli.shared import print_json, to_json

if TYPE_CHECKING:
    from swarm.client.job import ClientJob
    from swarm.client.mesh import Mesh

ASK_TIMEOUT_S = 30.0


def follow_job(opened: Mesh, identity: str, on_output: Callable[[int, int, int, bytes], None]) -> ClientJob:
    """Follow a job that somebody else submitted, to its end, and return it as it ended.

    Args:
        opened: the mesh.
        identity: of the job, or the beginning of it.
        on_output: takes task, attempt, stream and bytes of what tasks print.

    Raises:
        SwarmError: there is no such job, or nobody to ask.
    """
    from swarm.client.job import ClientJob
    from swarm.core.ids import JOB_ID_SIZE, parse_short

    known = opened.call("job", {"job": identity}, ASK_TIMEOUT_S)
    job = ClientJob(parse_short(str(known["job"]), JOB_ID_SIZE), {}, opened)
    job.on_output.append(on_output)
    opened.follow_job(job)
    opened.follow(job)
    return job


def output_writer(as_json: bool) -> Callable[[int, int, int, bytes], None]:
    """Return what writes output of tasks: to our own stream of the same kind, or to stderr beside JSON."""

    def write(_task: int, _attempt: int, stream: int, data: bytes) -> None:
        write_stream(2 if as_json else stream, data)

    return write


def show_left(job: ClientJob, task_count: int, as_json: bool) -> None:
    """Name a job that was submitted and is left to the mesh."""
    from swarm.core.ids import short

    if as_json:
        tasks = {"total": task_count, "done": 0, "failed": 0}
        print_json({"job": short(job.job), "state": job.state, "tasks": tasks, "attempts": 0, "wall_s": 0.0})
    else:
        click.echo(short(job.job))


def end_of(job: ClientJob) -> dict[str, object]:
    """Return how a job ended, for JSON."""
    from swarm.core.ids import short

    total, done, failed, _ = job.counts
    return {
        "job": short(job.job),
        "state": job.state,
        "tasks": {"total": total, "done": done, "failed": failed},
        "attempts": job.attempts,
    }


def say_why_not_done(job: ClientJob) -> None:
    """Tell people why a job is not done."""
    from swarm.core.ids import short

    why = job.reason or "no reason known"
    click.echo(f"swarm: job {short(job.job)} is {job.state}: {why}", err=True)


def exit_code(job: ClientJob) -> int:
    """Return 0 when a job is done and none of its tasks failed, otherwise 1."""
    return 0 if job.state == "done" and not job.counts[2] else 1


def show_end(job: ClientJob, rows: list[dict[str, Any]], output: Path | None, as_json: bool) -> int:
    """Say how a job ended, show its results or save them; return the exit code."""
    if output is not None:
        save_results(rows, output)
    if job.state != "done":
        say_why_not_done(job)
    if as_json:
        results = {str(row["name"]): load_result(row) for row in rows}
        print_json({**end_of(job), "results": to_json(results)})
    elif output is None:
        for row in rows:
            value = load_result(row)
            if value not in (None, b""):
                click.echo(f"{row['name']}: {text_of(value)}")
    return exit_code(job)


def write_stream(stream: int, data: bytes) -> None:
    """Write output of a task to our own stream of the same kind."""
    target = sys.stderr if stream == 2 else sys.stdout
    target.flush()
    target.buffer.write(data)
    target.buffer.flush()

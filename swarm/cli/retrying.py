"""`swarm retry`: what an ended job has not done is done by a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from swarm.cli.following import ASK_TIMEOUT_S, output_writer, show_end, show_left
from swarm.cli.results import fetch_results, output_option
from swarm.cli.shared import connect, json_option, mesh_options

if TYPE_CHECKING:
    from swarm.client.job import ClientJob
    from swarm.client.mesh import Mesh


@click.command("retry")
@click.argument("identity", metavar="ID")
@click.option("--wait/--detach", "is_attached", default=True, help="Wait for the end (default), or leave it.")
@output_option
@mesh_options
@json_option
def retry_command(
    identity: str, is_attached: bool, output: Path | None, home: Path | None, mesh: str, as_json: bool
) -> int:
    """Run again what a job that failed or was cancelled has not done.

    That is a new job, with an id of its own: tasks that are done are not run again where their results can
    still be had. What the tasks print appears here. The exit code is 1 when the new job failed.
    """
    from swarm.core.ids import short

    with connect(home, mesh, "swarm retry") as opened:
        job, again, total = _again(opened, identity)
        if not as_json:
            click.echo(f"swarm: job {short(job.job)} runs {again} of {total} tasks again", err=True)
        job.on_output.append(output_writer(as_json))
        opened.start_job(job, with_output=is_attached)
        if not is_attached:
            opened.wait_accepted(job)
            show_left(job, again, as_json)
            return 0
        opened.follow(job)
        rows = fetch_results(opened, short(job.job), ASK_TIMEOUT_S)[1] if job.state == "done" else []
        return show_end(job, rows, output, as_json)


def _again(opened: Mesh, identity: str) -> tuple[ClientJob, int, int]:
    """Return a job that does what an ended one has not done, how many of its tasks run, and how many it has.

    Raises:
        SwarmError: there is no such job, or nothing of it to run again, or nobody to ask.
    """
    from swarm.client.graphs import new_job
    from swarm.wire.job_part import job_part_untrusted

    job: ClientJob | None = None
    while True:
        first = 0 if job is None else job.builder.task_count()
        told = opened.call("again", {"job": identity, "first": first}, ASK_TIMEOUT_S)
        if job is None:
            job = new_job(
                opened,
                str(told["name"]),
                is_session=False,
                on_error=str(told["on_error"]),
                priority=int(told["priority"]),
            )
        part = job_part_untrusted(bytes(told["part"]))
        brought = {int(task): opened.fetch_output(told["job"], int(task), 0) for task in told["bring"]}
        job.builder.add_specs(part.tasks, brought)
        total = int(told["tasks"])
        if job.builder.task_count() >= total or not part.tasks:
            job.is_complete = True
            return job, int(told["again"]), total

"""`swarm attach`: take up a job that was left, as if this command had submitted it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarm.cli.looking import load_result, save_results, write_stream
from swarm.cli.shared import connect, json_option, mesh_options, print_json, to_json

if TYPE_CHECKING:
    from swarm.client.mesh import Mesh

ASK_TIMEOUT_S = 30.0
OUTPUT_KEYS = ("task", "attempt", "stream", "offset", "data")


@click.command("attach")
@click.argument("identity", metavar="ID")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Save the results in this directory.",
)
@mesh_options
@json_option
def attach_command(identity: str, output: Path | None, home: Path | None, mesh: str, as_json: bool) -> int:
    """Follow a job that was left with `swarm submit --detach`, or whose submitter is gone, to its end.

    What its tasks printed so far, as far as the mesh keeps it, and what they print from now on appears here.
    An interrupt leaves the job again. The exit code is 1 when the job failed.
    """
    from swarm.client.job import ClientJob
    from swarm.core.ids import JOB_ID_SIZE, parse_short

    with connect(home, mesh, "swarm attach") as opened:
        known = opened.call("job", {"job": identity}, ASK_TIMEOUT_S)
        job = ClientJob(parse_short(str(known["job"]), JOB_ID_SIZE), {}, opened)

        def on_output(_task: int, _attempt: int, stream: int, data: bytes) -> None:
            write_stream(2 if as_json else stream, data)

        job.on_output.append(on_output)
        opened.follow_job(job)
        opened.follow(job)
        # The end of the job may be told before the last output: what was not handed on yet comes now.
        printed = opened.call("logs", {"job": identity}, ASK_TIMEOUT_S)
        job.on_output_rows([[row[key] for key in OUTPUT_KEYS] for row in printed])
        rows = _results(opened, identity) if job.state == "done" else []
        if output is not None:
            save_results(rows, output)
        if job.state != "done":
            click.echo(
                f"swarm: job {known['job']} is {job.state}: {job.reason or 'no reason known'}", err=True
            )
        total, done, failed, _ = job.counts
        if as_json:
            print_json(
                {
                    "job": known["job"],
                    "state": job.state,
                    "tasks": {"total": total, "done": done, "failed": failed},
                    "attempts": job.attempts,
                    "results": to_json({str(row["name"]): load_result(row) for row in rows}),
                }
            )
        elif output is None:
            for row in rows:
                value = load_result(row)
                if value not in (None, b""):
                    shown = to_json(value)
                    click.echo(f"{row['name']}: {shown if isinstance(shown, str) else repr(shown)}")
        return 0 if job.state == "done" and not failed else 1


def _results(opened: Mesh, identity: str) -> list[dict[str, Any]]:
    """Return the results that a job keeps, with their bytes."""
    value = opened.call("results", {"job": identity}, ASK_TIMEOUT_S)
    rows = [dict(row) for row in value["results"]]
    for row in rows:
        if row.get("data") is None:
            row["data"], _ = opened.fetch_output(value["job"], int(row["task"]), int(row["output"]))
    return rows

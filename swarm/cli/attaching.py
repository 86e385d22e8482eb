"""`swarm attach`: take up a job that was left, as if this command had submitted it."""

from __future__ import annotations

from pathlib import Path

import click

from swarm.cli.following import ASK_TIMEOUT_S, follow_job, output_writer, show_end
from swarm.cli.results import fetch_results, output_option
from swarm.cli.shared import connect, json_option, mesh_options

OUTPUT_KEYS = ("task", "attempt", "stream", "offset", "data")


@click.command("attach")
@click.argument("identity", metavar="ID")
@output_option
@mesh_options
@json_option
def attach_command(identity: str, output: Path | None, home: Path | None, mesh: str, as_json: bool) -> int:
    """Follow a job that was left with `swarm submit --detach`, or whose submitter is gone, to its end.

    What its tasks printed so far, as far as the mesh keeps it, and what they print from now on appears here.
    An interrupt leaves the job again. The exit code is 1 when the job failed.
    """
    with connect(home, mesh, "swarm attach") as opened:
        job = follow_job(opened, identity, output_writer(as_json))
        # The end of the job may be told before the last output: what was not handed on yet comes now.
        printed = opened.call("logs", {"job": identity}, ASK_TIMEOUT_S)
        job.on_output_rows([[row[key] for key in OUTPUT_KEYS] for row in printed])
        rows = fetch_results(opened, identity, ASK_TIMEOUT_S)[1] if job.state == "done" else []
    return show_end(job, rows, output, as_json)

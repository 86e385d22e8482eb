"""Finding out what is wrong: doctor."""

from __future__ import annotations

from pathlib import Path

import click

from swarm.cli.shared import json_option, mesh_options, print_json

_SIGNS = {"good": "ok", "note": "note", "doubtful": "warning", "wrong": "WRONG"}


@click.command("doctor")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1, max=600),
    default=7.0,
    show_default=True,
    help="How long to listen for other nodes.",
)
@click.option("--quiet", is_flag=True, help="Show problems only.")
@mesh_options
@json_option
def doctor_command(seconds: float, quiet: bool, home: Path | None, mesh: str, as_json: bool) -> int:
    """Say what is wrong with this host's network, and what helps.

    Looks at interfaces, multicast, the ports of other nodes, firewalls, clocks and packet sizes, with or
    without a node running here. Changes nothing. Exit code 1 when there is a problem.
    """
    import trio

    from swarm.doctor.judging import PROBLEMS, judge
    from swarm.doctor.probing import examine

    findings = judge(trio.run(examine, home, mesh, seconds))
    problems = [finding for finding in findings if finding.level in PROBLEMS]
    if as_json:
        rows = [
            {"code": item.code, "level": item.level, "text": item.text, "cure": item.cure}
            for item in findings
        ]
        print_json({"problems": len(problems), "findings": rows})
        return 1 if problems else 0
    for item in problems if quiet else findings:
        click.echo(f"{_SIGNS[item.level]:8} {item.text}")
        if item.cure:
            click.echo(f"{'':8}   cure: {item.cure}")
    if not problems:
        click.echo("no problem was found")
    return 1 if problems else 0

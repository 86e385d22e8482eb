"""Looking at a mesh and its jobs: status, nodes, jobs, job, logs, results, cancel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from swarm.cli.following import ASK_TIMEOUT_S, follow_job, write_stream
from swarm.cli.machines import battery_text, heat_text, known_text, machine_text
from swarm.cli.results import fetch_results, load_result, output_option, save_results, text_of
from swarm.cli.shared import (
    ask,
    connect,
    json_option,
    mesh_options,
    print_json,
    print_table,
    size_text,
    to_json,
)


@click.command("status")
@mesh_options
@json_option
def status_command(home: Path | None, mesh: str, as_json: bool) -> None:
    """Show the attached node and what it knows of its mesh."""
    from swarm.version import is_compiled

    value = dict(ask("status", {}, home, mesh))
    value.setdefault("compiled", is_compiled())
    if as_json:
        print_json(value)
        return
    members = value.get("members", {})
    states = ", ".join([f"{count} {state}" for state, count in members.items() if count])
    click.echo(f"node     {value.get('name', '')} ({str(value.get('node', ''))[:8]})")
    click.echo(f"leader   {value.get('leader') or 'none at present'}")
    click.echo(f"members  {states}")
    jobs = ", ".join([f"{count} {state}" for state, count in value.get("jobs", {}).items() if count])
    click.echo(f"jobs     {jobs or 'none'}")
    click.echo(f"machine  {machine_text(value)}")
    for line in quorum_lines(value.get("quorum") or {}):
        click.echo(line)
    if value.get("reason"):
        click.echo(f"reason   {value['reason']}")
    for notice in value.get("notices", []):
        click.echo(f"notice   {notice.get('text', '')}")


def quorum_lines(quorum: dict[str, Any]) -> list[str]:
    """Return what `swarm status` says of a strict mesh, and of members that do not fit; nothing otherwise."""
    lines: list[str] = []
    if quorum.get("mode") == "strict":
        voters = quorum.get("voters", [])
        names = ", ".join([str(voter) for voter in voters]) or "none known"
        decide = f"; {quorum.get('majority', 0)} decide" if voters else ""
        lines.append(f"quorum   strict, voters {names}{decide} (configuration {quorum.get('version', 0)})")
    if quorum.get("reason"):
        lines.append(f"waiting  {quorum['reason']}")
    if quorum.get("foreign"):
        other = "available" if quorum.get("mode") == "strict" else "strict"
        lines.append(f"ignored  {', '.join(quorum['foreign'])}: set up for {other}, this mesh is not")
    return lines


@click.command(
    "nodes",
    epilog="""\b
for host in $(swarm nodes --sh); do ssh $host uptime; done
mpirun --hostfile <(swarm nodes --mpi) ./program
swarm nodes --ansible > inventory.json
swarm nodes --service ana:web --param port=8080 --sh
""",
)
@click.option(
    "--sh", "as_sh", is_flag=True, help="Print the addresses of the living ones, with spaces between."
)
@click.option("--mpi", "as_mpi", is_flag=True, help="Print an MPI hostfile of the living ones.")
@click.option("--ansible", "as_ansible", is_flag=True, help="Print an Ansible inventory (JSON).")
@click.option("--service", metavar="NAME", default="", help="Only nodes that publish this service.")
@click.option(
    "--param",
    multiple=True,
    metavar="K=V",
    help="With --service: it must have this parameter; may be repeated.",
)
@click.option("--group", metavar="GROUP", default="", help="With --service: found in this multicast group.")
@mesh_options
@json_option
def nodes_command(
    as_sh: bool,
    as_mpi: bool,
    as_ansible: bool,
    service: str,
    param: tuple[str, ...],
    group: str,
    home: Path | None,
    mesh: str,
    as_json: bool,
) -> None:
    """List the members of the mesh, or print the living ones for another program."""
    if as_sh + as_mpi + as_ansible + as_json > 1:
        raise click.UsageError("--json, --sh, --mpi and --ansible exclude each other: give one")
    if (param or group) and not service:
        raise click.UsageError("--param and --group say more about a service: give --service as well")
    rows = ask("nodes", {}, home, mesh)
    if service:
        from swarm.cli.services import with_service

        rows = with_service(rows, service, param, group, home, mesh)
    if as_json:
        print_json(rows)
    elif as_sh or as_mpi or as_ansible:
        from swarm.cli import inventories

        made = inventories.hosts_of(rows)
        if as_ansible:
            print_json(inventories.ansible(made))
        else:
            click.echo(inventories.shell_words(made) if as_sh else inventories.mpi_hostfile(made))
    else:
        _print_nodes(rows)


def _print_nodes(rows: list[dict[str, Any]]) -> None:
    titles = (
        "name",
        "id",
        "address",
        "state",
        "",
        "slots",
        "free",
        "speed",
        "load",
        "memory",
        "battery",
        "heat",
        "network",
        "python",
        "arch",
        "tags",
        "reason",
    )
    print_table(
        titles,
        [
            (
                row.get("name"),
                str(row.get("id", ""))[:8],
                row.get("address"),
                row.get("state"),
                "leader" if row.get("leader") else "",
                known_text(row.get("slots")),
                known_text(row.get("slots_free")),
                known_text(row.get("speed")),
                known_text(row.get("load")),
                size_text(row.get("memory")),
                battery_text(row),
                heat_text(row.get("temperature")),
                known_text(row.get("network")),
                row.get("python"),
                row.get("arch"),
                " ".join([str(tag) for tag in row.get("tags") or []]),
                row.get("reason"),
            )
            for row in rows
        ],
    )


@click.command("jobs")
@mesh_options
@json_option
def jobs_command(home: Path | None, mesh: str, as_json: bool) -> None:
    """List the jobs of the mesh, those that ended lately too."""
    rows = ask("jobs", {}, home, mesh)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("job", "name", "state", "tasks", "done", "failed", "running", "submitter", "seconds", "reason"),
        [
            (
                row.get("job"),
                row.get("name"),
                row.get("state"),
                *[row.get("tasks", {}).get(key) for key in ("total", "done", "failed", "running")],
                row.get("submitter"),
                f"{row.get('wall_s', 0):.1f}",
                row.get("reason"),
            )
            for row in rows
        ],
    )


@click.command("job")
@click.argument("identity", metavar="ID")
@mesh_options
@json_option
def job_command(identity: str, home: Path | None, mesh: str, as_json: bool) -> None:
    """Show a job and its tasks; ID may be the beginning of its id."""
    value = ask("job", {"job": identity}, home, mesh)
    if as_json:
        print_json(value)
        return
    tasks = value.get("tasks", {})
    click.echo(f"{value.get('job')}  {value.get('name')}  {value.get('state')}  by {value.get('submitter')}")
    click.echo(
        f"{tasks.get('done')} of {tasks.get('total')} tasks done, {tasks.get('failed')} failed, "
        f"{tasks.get('running')} running; {value.get('attempts')} attempts, {value.get('wall_s', 0):.1f} s"
    )
    if value.get("reason"):
        click.echo(str(value["reason"]))
    for row in value.get("tasks_detail", []):
        if row.get("other_results"):
            nodes = ", ".join([str(other.get("node")) for other in row["other_results"]])
            click.echo(
                f"task {row.get('task')} ({row.get('name')}) does not compute the same every time: what "
                f"{row.get('node')} made counts, {nodes} made something else"
            )
    print_table(
        ("task", "name", "state", "attempts", "node", "error"),
        [
            [row.get(key) for key in ("task", "name", "state", "attempts", "node", "error")]
            for row in value.get("tasks_detail", [])
        ],
    )


@click.command("logs")
@click.argument("identity", metavar="ID")
@click.argument("task", type=click.IntRange(min=0), required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@mesh_options
@json_option
def logs_command(
    identity: str, task: int | None, follow: bool, home: Path | None, mesh: str, as_json: bool
) -> int:
    """Show what the tasks of a job printed, or one TASK of it."""
    if follow:
        return _follow(identity, task, home, mesh, as_json)
    rows = ask("logs", {"job": identity, "task": task}, home, mesh)
    if as_json:
        print_json(rows)
        return 0
    for row in rows:
        write_stream(int(row.get("stream", 1)), bytes(row.get("data", b"")))
    return 0


def _follow(identity: str, task: int | None, home: Path | None, mesh: str, as_json: bool) -> int:
    def on_output(number: int, attempt: int, stream: int, data: bytes) -> None:
        if task is not None and number != task:
            return
        if as_json:
            print_json({"task": number, "attempt": attempt, "stream": stream, "data": data})
        else:
            write_stream(stream, data)

    with connect(home, mesh, "swarm logs") as opened:
        return 0 if follow_job(opened, identity, on_output).state == "done" else 1


@click.command("results")
@click.argument("identity", metavar="ID")
@output_option
@mesh_options
@json_option
def results_command(identity: str, output: Path | None, home: Path | None, mesh: str, as_json: bool) -> None:
    """Show the results that a job keeps, or save them."""
    with connect(home, mesh, "swarm results") as opened:
        state, rows = fetch_results(opened, identity, ASK_TIMEOUT_S)
    if output is not None:
        save_results(rows, output)
    if as_json:
        print_json({"job": identity, "state": state, "results": [_described(row) for row in rows]})
    elif output is None:
        for row in rows:
            click.echo(f"{row['name']}: {text_of(load_result(row))}")
    else:
        click.echo(f"{len(rows)} results are in {output}")


def _described(row: dict[str, Any]) -> dict[str, object]:
    return {
        "task": row["task"],
        "output": row["output"],
        "name": row["name"],
        "size": row["size"],
        "value": to_json(load_result(row)),
    }


@click.command("cancel")
@click.argument("identity", metavar="ID")
@mesh_options
@json_option
def cancel_command(identity: str, home: Path | None, mesh: str, as_json: bool) -> None:
    """Cancel a job: running tasks are killed, no others start."""
    value = ask("cancel", {"job": identity}, home, mesh)
    if as_json:
        print_json(value)
    else:
        click.echo(f"job {value.get('job', identity) if isinstance(value, dict) else identity} is cancelled")

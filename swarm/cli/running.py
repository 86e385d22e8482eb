"""`swarm run`: a command on chosen nodes at once, their output side by side."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarm.cli.shared import connect, json_option, mesh_options, print_json

if TYPE_CHECKING:
    from swarm.client.job import ClientJob
    from swarm.core.errors import SwarmError

CANCEL_TIMEOUT_S = 5.0
_EXIT = re.compile(r"exited with (\d+)")


@click.command("run")
@click.option("--all", "everywhere", is_flag=True, help="On every living node.")
@click.option(
    "--on", "selected", multiple=True, metavar="SEL", help="Names, ids or tags key=value, with commas."
)
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=0.0, help="Seconds that it may take on a node."
)
@mesh_options
@json_option
@click.argument("command", metavar="-- COMMAND...", nargs=-1, type=click.UNPROCESSED)
def run_command(
    everywhere: bool,
    selected: tuple[str, ...],
    timeout: float,
    home: Path | None,
    mesh: str,
    as_json: bool,
    command: tuple[str, ...],
) -> int:
    """Run COMMAND on chosen nodes now; each line of output begins with the node's name.

    The exit code is the worst of all.
    """
    if not command:
        raise click.UsageError("name a command after --, for example: swarm run --all -- uptime")
    if everywhere == bool(selected):
        raise click.UsageError("choose nodes: either --all, or --on NAME")
    from swarm.client.graphs import new_job
    from swarm.client.tasks import program

    with connect(home, mesh, "swarm run") as opened:
        nodes = choose_nodes(opened.nodes(), selected)
        job = new_job(opened, f"run {command[0]}", is_session=False, on_error="continue")
        names: dict[int, str] = {}
        held = []
        for node in nodes:
            tags = (f"id={node['id']}",)
            built = program(list(command), stream=True, cpus=0, timeout_s=timeout, tags=tags)
            future = job.builder.add_task(built)
            held.append(future)
            names[future.task] = str(node["name"])
        job.is_complete = True
        printer = PrefixPrinter(names, as_json)
        job.on_output.append(printer.take)
        opened.start_job(job, with_output=True)
        try:
            opened.follow(job)
        except KeyboardInterrupt:
            opened.call("cancel", {"job": job.job}, CANCEL_TIMEOUT_S)
            raise
        printer.finish()
        return _report(job, names, as_json)


def choose_nodes(rows: list[dict[str, Any]], selected: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the living nodes that are meant, each once; all of them for no selection.

    Args:
        rows: the answer to "nodes".
        selected: names, beginnings of ids, or tags; several in one text with commas.

    Raises:
        ConnectFailed: one that is meant is not alive, or nobody is.
        UsageError: a word matches no node.
    """
    from swarm.core.errors import ConnectFailed

    living = [row for row in rows if row.get("state") in ("alive", "suspect")]
    if not selected:
        if not living:
            raise ConnectFailed("no node of the mesh is alive; see `swarm nodes`")
        return living
    chosen: dict[str, dict[str, Any]] = {}
    for word in [part.strip() for text in selected for part in text.split(",") if part.strip()]:
        meant = [row for row in rows if _matches(row, word)]
        if not meant:
            known = ", ".join([str(row.get("name")) for row in living])
            raise click.UsageError(
                f"no node is called {word!r}, has such an id or such a tag; there are {known}"
            )
        found = [row for row in meant if row in living]
        if not found:
            raise ConnectFailed(f"node {word!r} is {meant[0].get('state')}; see `swarm nodes`")
        chosen.update({str(row["id"]): row for row in found})
    return list(chosen.values())


def _matches(row: dict[str, Any], word: str) -> bool:
    if "=" in word:
        tags = [str(tag) for tag in row.get("tags") or []]
        return word in tags or word in (f"node={row.get('name')}", f"id={row.get('id')}")
    return word == row.get("name") or (len(word) >= 4 and str(row.get("id", "")).startswith(word.lower()))


class PrefixPrinter:
    """Prints output of several nodes line by line, each with its node's name.

    Args:
        names: of the node for each task.
        to_stderr: keep stdout for JSON.
    """

    def __init__(self, names: dict[int, str], to_stderr: bool = False) -> None:
        self._names = names
        self._width = max([len(name) for name in names.values()], default=0)
        self._to_stderr = to_stderr
        self._rest: dict[tuple[int, int], bytes] = {}

    def take(self, task: int, _attempt: int, stream: int, data: bytes) -> None:
        """Print the whole lines of new output."""
        lines = (self._rest.pop((task, stream), b"") + data).split(b"\n")
        if lines[-1]:
            self._rest[task, stream] = lines[-1]
        for line in lines[:-1]:
            self._print(task, stream, line)

    def finish(self) -> None:
        """Print what did not end with a newline."""
        rest, self._rest = self._rest, {}
        for (task, stream), line in rest.items():
            self._print(task, stream, line)

    def _print(self, task: int, stream: int, line: bytes) -> None:
        name = self._names.get(task, "?").ljust(self._width)
        target = sys.stderr if stream == 2 or self._to_stderr else sys.stdout
        target.write(f"{name} | {line.decode(errors='replace')}\n")
        target.flush()


def exit_code_of(error: SwarmError) -> int:
    """Return the exit code of a failed program, 1 when it ended in another way."""
    found = _EXIT.search(str(error))
    return min(int(found.group(1)), 255) if found else 1


def _report(job: ClientJob, names: dict[int, str], as_json: bool) -> int:
    codes = dict.fromkeys(names, 0)
    for task, error in job.failures.items():
        codes[task] = exit_code_of(error)
        if not _EXIT.search(str(error)):
            click.echo(f"swarm: {names.get(task, '?')}: {str(error).partition(chr(10))[0]}", err=True)
    worst = max(codes.values(), default=0)
    if job.state == "cancelled":
        worst = max(worst, 1)
    if as_json:
        rows = [{"node": names[task], "code": code} for task, code in codes.items()]
        print_json({"state": job.state, "code": worst, "nodes": rows})
    return worst

"""`swarm submit`: a script, a workflow or a program becomes a job."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarm.cli.following import end_of, exit_code, output_writer, say_why_not_done, show_left
from swarm.cli.results import load_bytes, output_option, save_results, text_of
from swarm.cli.shared import connect, json_option, mesh_options, print_json, to_json

if TYPE_CHECKING:
    from collections.abc import Hashable

    from swarm.client.futures import BaseFuture
    from swarm.client.job import ClientJob
    from swarm.client.mesh import Mesh

CANCEL_TIMEOUT_S = 5.0


@click.command("submit", context_settings={"ignore_unknown_options": False})
@click.argument("words", metavar="FILE [-- ARGS]...", nargs=-1, type=click.UNPROCESSED)
@click.option("--command", "is_command", is_flag=True, help="The words are a program to run, not a file.")
@click.option("--wait/--detach", "is_attached", default=True, help="Wait for the end (default), or leave it.")
@json_option
@click.option("--name", default="", help="What the job is called.")
@click.option(
    "--id", "word", default="", help="Any word: the same work under the same word is one job, however often."
)
@click.option("--priority", type=int, default=0, help="Higher goes first.")
@click.option("--retries", type=click.IntRange(0, 1000), help="Further attempts of tasks that fail.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds that a task may run.")
@click.option("--cpus", type=click.FloatRange(min=0), help="Cores that a task takes.")
@click.option("--memory", help="Memory that a task may use, such as 500M.")
@click.option("--tag", multiple=True, metavar="KEY=VALUE", help="What its nodes must have; may be repeated.")
@output_option
@mesh_options
def submit_command(
    words: tuple[str, ...],
    is_command: bool,
    is_attached: bool,
    as_json: bool,
    name: str,
    word: str,
    priority: int,
    output: Path | None,
    home: Path | None,
    mesh: str,
    **wishes: Any,
) -> int:
    """Run FILE inside the mesh: a script (.py), or a workflow (.json, .toml); or a program with --command.

    A script's output appears here; it goes on when this computer sleeps or goes away. The exit code is 1
    when the job failed.
    """
    if not words:
        raise click.UsageError("name a file to run, or a program after --command --")
    options = _options(wishes)
    from swarm.client.graphs import new_job

    submission = _Prepared(words, is_command, options)
    started = time.monotonic()
    with connect(home, mesh, "swarm submit") as opened:
        told: dict[str, object] = {"submitter": f"--id {word}"} if word else {}
        job: ClientJob = new_job(
            opened, name or submission.name, is_session=False, priority=priority, more=told
        )
        kept = submission.fill(job)
        if word:
            job.rename(_identity(word, job))
        job.on_output.append(output_writer(as_json))
        opened.start_job(job, with_output=is_attached)
        if not is_attached:
            opened.wait_accepted(job)
            show_left(job, job.builder.task_count(), as_json)
            return 0
        try:
            _wait(opened, job, kept)
        except KeyboardInterrupt:
            from swarm.core.errors import SwarmError

            with contextlib.suppress(SwarmError, TimeoutError):
                opened.call("cancel", {"job": job.job}, CANCEL_TIMEOUT_S)
                click.echo("swarm: the job is cancelled; --detach leaves a job behind", err=True)
            raise
        results = _results(opened, job, kept, output) if job.state == "done" else {}
        return _report(job, results, time.monotonic() - started, as_json, submission.is_script)


class _Prepared:
    """What is submitted, checked before any node is asked."""

    def __init__(self, words: tuple[str, ...], is_command: bool, options: dict[str, Any]) -> None:
        self.is_script = not is_command and words[0].endswith((".py", ".pyw"))
        self.name = Path(words[0]).name
        self._words = words
        self._options = options
        self._is_command = is_command
        self._payload: dict[str, object] = {}
        if self.is_script:
            from swarm.client.scripts import script_payload

            self._payload = script_payload(Path(words[0]), list(words[1:]))
        elif not is_command:
            from swarm.client.graphs import read_graph

            if not words[0].endswith((".json", ".toml", ".json.gz")):
                raise click.UsageError(
                    f"{words[0]!r} is no script (.py), no workflow (.json, .toml); a program needs --command"
                )
            if len(words) > 1:
                raise click.UsageError(f"a workflow takes no arguments: leave out {words[1]!r}")
            read_graph(words[0])

    def fill(self, job: ClientJob) -> dict[Hashable, BaseFuture[Any]]:
        """Add the tasks to a job and return the futures whose results are wanted, by name."""
        from swarm.client.graphs import add_graph
        from swarm.client.options import make_options
        from swarm.client.tasks import program

        if self.is_script:
            future = job.builder.add_script(
                self.name, self._payload, make_options(**{"cpus": 0, **self._options})
            )
            job.is_complete = True
            return {self.name: future}
        if self._is_command:
            future = job.builder.add_task(program(list(self._words), stream=True, **self._options))
            job.is_complete = True
            return {self.name: future}
        return add_graph(job, self._words[0], (), self._options)


def _identity(word: str, job: ClientJob) -> bytes:
    """Return the id of the job that holds this work under a word; other work under it is another job."""
    from swarm.client.sendable import checked_text
    from swarm.core.ids import JOB_ID_SIZE
    from swarm.wire.facts import digest_of

    about = f"{checked_text(word, 'the id')}\0{job.meta['name']}\0{job.meta['priority']}\0"
    return digest_of(b"swarm submit --id " + about.encode() + job.builder.content())[:JOB_ID_SIZE]


def _options(wishes: dict[str, Any]) -> dict[str, Any]:
    from swarm.client.options import make_options

    named = {
        "retries": wishes["retries"],
        "timeout_s": wishes["timeout"],
        "cpus": wishes["cpus"],
        "memory": wishes["memory"],
        "tags": wishes["tag"] or None,
    }
    options = {key: value for key, value in named.items() if value is not None}
    make_options(**options)
    return options


def _wait(opened: Mesh, job: ClientJob, kept: dict[Hashable, BaseFuture[Any]]) -> None:
    from swarm.client.progress import Progress

    if job.builder.task_count() > 1:
        with Progress(list(kept.values()), job):
            opened.follow(job)
    else:
        opened.follow(job)


def _results(
    opened: Mesh, job: ClientJob, kept: dict[Hashable, BaseFuture[Any]], output: Path | None
) -> dict[str, object]:
    """Return what the kept futures hold, and save it when asked to."""
    values: dict[str, object] = {}
    rows: list[dict[str, Any]] = []
    for key, future in kept.items():
        names = job.builder.output_names(future.task)
        names = names if len(names) > 1 else ("",)
        loaded: dict[str, object] = {}
        for position, name in enumerate(names):
            data, encoding = opened.fetch_output(job.job, future.task, position)
            row = {"task": future.task, "output": position, "name": f"{key}{'-' if name else ''}{name}"}
            rows.append({**row, "data": data, "encoding": encoding})
            loaded[name] = load_bytes(data, encoding)
        values[str(key)] = loaded[""] if names == ("",) else loaded
    if output is not None:
        save_results(rows, output)
    return values


def _report(job: ClientJob, results: dict[str, object], wall_s: float, as_json: bool, is_script: bool) -> int:
    for error in list(job.failures.values())[:1]:
        text = str(error)
        click.echo(f"swarm: {text.partition(chr(10))[0] if is_script else text}", err=True)
    if job.state != "done" and not job.failures:
        say_why_not_done(job)
    if as_json:
        shown = {} if is_script else to_json(results)
        print_json({**end_of(job), "wall_s": round(wall_s, 3), "results": shown})
    elif not is_script and len(results) == 1:
        value = next(iter(results.values()))
        if value not in (None, b""):
            click.echo(text_of(value))
    return exit_code(job)

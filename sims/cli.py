"""The command ``swarm sim``: the simulator as a tool.

``swarm`` finds it through an entry point, and ``python -m sims`` is the same command. Everything heavy is
imported inside the commands, so that help is quick.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from sims.outcome import Outcome, Summary
    from sims.scenario.model import Scenario

FAILED: Final = 1
TRACE_CHOICES: Final = ("csv", "jsonl", "chrome")
PLOT_CHOICES: Final = (
    "membership",
    "detection",
    "false-suspicions",
    "traffic",
    "leaders",
    "gantt",
    "makespan",
)
"""As `sims.scenario.parts` has them; repeated, so that help need not import it."""


class OrderedGroup(click.Group):
    """Lists its commands in the order in which people meet them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=OrderedGroup, name="sim", short_help="Simulate meshes: run, sweep, replay, plot, compare, shrink."
)
def sim_command() -> None:
    """Simulate whole meshes under a virtual clock.

    FILE is a scenario in TOML (docs/SCENARIOS.md), or the name of a stored one. Equal scenarios give equal
    digests on every machine.
    """


def set_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that change a scenario."""
    options = [
        click.option("--nodes", type=int, help="Equal nodes, in place of the scenario's hosts."),
        click.option("--seconds", type=float, help="Virtual seconds to run."),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="Another value for a key of the scenario, as gossip.probe_interval_s=0.5. May be repeated.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@sim_command.command("run", short_help="Run a scenario once.")
@click.argument("file", required=False)
@set_options
@click.option("--seed", type=int, help="Decides everything that is random.")
@click.option("--json", "is_json", is_flag=True, help="End with one line of JSON.")
@click.option("--out", type=click.Path(file_okay=False), help="Folder for summary, series, trace and plots.")
@click.option("--trace", multiple=True, type=click.Choice(TRACE_CHOICES), help="Write a trace of all events.")
@click.option("--plot", multiple=True, type=click.Choice([*PLOT_CHOICES, "all"]), help="Draw plots (PNG).")
def run_command(
    file: str | None,
    nodes: int | None,
    seconds: float | None,
    seed: int | None,
    settings: tuple[str, ...],
    is_json: bool,
    out: str | None,
    trace: tuple[str, ...],
    plot: tuple[str, ...],
) -> int:
    """Run the scenario of FILE, or plain nodes when no file is given."""
    from sims.output import save
    from sims.running import InvariantBroken, run
    from sims.trace_files import TraceFiles

    scenario = chosen_scenario(file, nodes, seconds, seed, settings)
    folder = out or scenario.output.folder
    formats = list(dict.fromkeys([*scenario.output.trace, *trace])) if folder else list(trace)
    plots = _plot_kinds([*(scenario.output.plots if folder else ()), *plot])
    if (formats or plots) and not folder:
        raise click.UsageError("a trace and plots are files; say where with --out DIR")
    if plots:
        from sims.plotting.canvas import new_figure

        new_figure()  # says before the run that matplotlib is missing
    files = TraceFiles(folder, formats) if folder else None
    try:
        with progress(scenario.name, scenario.seconds) as show:
            outcome = run(scenario, sink=files if formats else None, on_progress=show)
        if folder:
            save(outcome, folder)
        if files is not None:
            files.finish(outcome)
    except InvariantBroken:
        if files is not None:
            files.finish(None)
        raise
    except BaseException:
        if files is not None:
            files.abandon()
        raise
    for kind in plots:
        outcome.plot(kind, Path(folder) / f"{kind}.png")
    _report(outcome, is_json, folder)
    return 0


@sim_command.command("sweep", short_help="Run a scenario with many values and seeds.")
@click.argument("file", required=False)
@set_options
@click.option("--seeds", default="0..9", show_default=True, help="Seeds, as 0..99 or 1,5,7.")
@click.option("--processes", type=click.IntRange(min=1), help="Runs at once; as many as cores by default.")
@click.option("--out", required=True, type=click.Path(file_okay=False), help="Folder for the results.")
@click.option("--json", "is_json", is_flag=True, help="Print the results, one line of JSON each.")
def sweep_command(
    file: str | None,
    nodes: int | None,
    seconds: float | None,
    settings: tuple[str, ...],
    seeds: str,
    processes: int | None,
    out: str,
    is_json: bool,
) -> int:
    """Run the scenario of FILE with every combination of values on every seed.

    `--set key=a,b,c` sweeps a key. Cases that ended are in the folder, and are not run again: an interrupted
    sweep goes on where it was.
    """
    from sims.sweeping import RESULTS, sweep

    scenario = chosen_scenario(file, None, None, None, ())
    axes = parse_axes(settings)
    base = base_values(nodes, seconds, None)
    chosen = parse_seeds(seeds)
    with progress_of_cases(scenario.name) as show:
        result = sweep(scenario, axes, chosen, base=base, out=out, processes=processes or 0, on_done=show)
    if is_json:
        for row in result.rows:
            click.echo(json.dumps(row, ensure_ascii=False, default=str))
    else:
        click.echo(
            f"{len(result.rows)} of {result.total} cases ended, {result.resumed} of them before; "
            f"results in {Path(out) / RESULTS}.csv"
        )
    return _complain_of_cases(result.errors)


@sim_command.command("replay", short_help="Run a written run again and compare.")
@click.argument("target")
@click.argument("other", required=False)
@click.option("--json", "is_json", is_flag=True, help="End with one line of JSON.")
def replay_command(target: str, other: str | None, is_json: bool) -> int:
    """Run the run in folder TARGET (or of trace TARGET) again, and say where it first differs.

    With OTHER, compare two traces, or the traces of two folders, without running anything.
    """
    from sims.replaying import compare_traces, replay

    if other is not None:
        difference = compare_traces(target, other)
        if is_json:
            click.echo(json.dumps({"is_equal": difference is None, "row": difference and difference.row}))
        else:
            click.echo("equal" if difference is None else f"different at {difference.text()}")
        return 0 if difference is None else FAILED
    with progress(target, None) as show:
        result = replay(target, show)
    if is_json:
        row = None if result.difference is None else result.difference.row
        found = {"is_equal": result.is_equal(), "before": result.before, "now": result.now, "row": row}
        click.echo(json.dumps(found))
    elif result.is_equal():
        rows = f", {result.rows} rows" if result.has_trace else ""
        click.echo(f"equal: digest {result.now}{rows}")
    else:
        click.echo(f"different: digest {result.before} before, {result.now} now")
        if result.difference is not None:
            click.echo(f"the traces differ at {result.difference.text()}")
        elif result.has_trace:
            click.echo("the rows of the traces are equal; the bytes of some frame differ")
        else:
            click.echo("no trace was written; run with --trace csv to see where")
    return 0 if result.is_equal() else FAILED


@sim_command.command("plot", short_help="Draw plots of written runs or of a scenario.")
@click.argument("targets", nargs=-1, required=True, metavar="DIR|FILE...")
@click.option("--kind", multiple=True, type=click.Choice([*PLOT_CHOICES, "all"]), help="Default: all.")
@click.option("--out", type=click.Path(file_okay=False), help="Folder for the pictures; DIR by default.")
@click.option(
    "--format", "ending", default="png", type=click.Choice(["png", "svg", "pdf"]), show_default=True
)
def plot_command(targets: tuple[str, ...], kind: tuple[str, ...], out: str | None, ending: str) -> int:
    """Draw plots of the runs in folders DIR, or of scenarios FILE, which are run first.

    Several are drawn into one plot.
    """
    from sims.output import load
    from sims.plotting import draw
    from sims.running import run
    from sims.scenario.reading import read_scenario

    outcomes = []
    for target in targets:
        if Path(target).is_dir():
            outcomes.append(load(target))
            continue
        scenario = read_scenario(target)
        with progress(scenario.name, scenario.seconds) as show:
            outcomes.append(run(scenario, on_progress=show))
    folder = Path(out or (targets[0] if Path(targets[0]).is_dir() else "."))
    for name in _plot_kinds(kind or ("all",)):
        path = folder / f"{name}.{ending}"
        draw(name, outcomes, path)
        click.echo(str(path))
    return 0


@sim_command.command("compare", short_help="Compare scenarios, settings or policies.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@set_options
@click.option("--seeds", default="0..9", show_default=True, help="Seeds, as 0..99 or 1,5,7.")
@click.option("--metric", multiple=True, help="A number of the summary; the usual ones by default.")
@click.option("--baseline", default="", help="The variant to compare with; the first one by default.")
@click.option("--processes", type=click.IntRange(min=1), help="Runs at once; as many as cores by default.")
@click.option("--out", type=click.Path(file_okay=False), help="Folder for the results of all runs.")
@click.option("--json", "is_json", is_flag=True, help="End with one line of JSON.")
def compare_command(
    files: tuple[str, ...],
    nodes: int | None,
    seconds: float | None,
    settings: tuple[str, ...],
    seeds: str,
    metric: tuple[str, ...],
    baseline: str,
    processes: int | None,
    out: str | None,
    is_json: bool,
) -> int:
    """Compare scenarios on the same seeds, with confidence intervals of 95 %.

    `--set key=a,b` compares values of a key: `--set policy.placement=mesh,heft`, `--set
    gossip.preset=swim,lifeguard`.
    """
    from sims.comparing import compare, variants_of

    scenarios = [chosen_scenario(file, None, None, None, ()) for file in files]
    variants = variants_of(scenarios, parse_axes(settings), base_values(nodes, seconds, None))
    with progress_of_cases("compare") as show:
        compared = compare(
            variants,
            parse_seeds(seeds),
            metric,
            baseline=baseline,
            out=out,
            processes=processes or 0,
            on_done=show,
        )
    click.echo(json.dumps(compared.records()) if is_json else compared.table())
    return 0


@sim_command.command("shrink", short_help="Make what fails smaller.")
@click.argument("target", metavar="FILE|SEED")
@click.option("--profile", default="soak", show_default=True, help="What a seed is drawn from.")
@click.option("--runs", type=click.IntRange(min=1), default=400, show_default=True, help="Runs at most.")
@click.option("--out", type=click.Path(dir_okay=False), help="File for what is left; printed by default.")
def shrink_command(target: str, profile: str, runs: int, out: str | None) -> int:
    """Make a failing trial of the soak (a SEED, or a stored case in JSON) or a failing scenario smaller."""
    from sims.output import scenario_text, write_scenario
    from sims.scenario.reading import read_scenario
    from sims.shrinking import read_trial, shrink_scenario, shrink_trial
    from sims.whole_files import write_whole

    if target.isdecimal() or target.endswith(".json"):
        found = shrink_trial(read_trial(target, profile), runs)
    else:
        found = shrink_scenario(read_scenario(target), runs_max=runs)
    if not found.what:
        click.echo(f"swarm: {target} breaks nothing", err=True)
        return FAILED
    click.echo(f"{found.what}\n{found.before} faults and jobs before, {found.after} now", err=True)
    if out is None:
        click.echo(found.text or scenario_text(found.scenario), nl=False)
    elif found.scenario is not None:
        write_scenario(found.scenario, Path(out))
    else:
        write_whole(Path(out), found.text)
    return 0


def chosen_scenario(
    file: str | None,
    nodes: int | None,
    seconds: float | None,
    seed: int | None,
    settings: Sequence[str],
) -> Scenario:
    """Return the scenario of a file, or a plain one, with the values that options give.

    Raises:
        ScenarioError: the file or a value is wrong.
    """
    from sims.scenario.model import Scenario
    from sims.scenario.reading import read_scenario
    from sims.scenario.writing import with_settings

    scenario = Scenario() if file is None else read_scenario(file)
    values = base_values(nodes, seconds, seed)
    for text in settings:
        key, alternatives = parse_axis(text)
        if len(alternatives) != 1:
            raise click.UsageError(f"--set {text}: one value is run; `swarm sim sweep` runs several")
        values[key] = alternatives[0]
    return with_settings(scenario, values)


def base_values(nodes: int | None, seconds: float | None, seed: int | None) -> dict[str, object]:
    """Return the settings that options of their own give, by their names."""
    values: dict[str, object] = {}
    for key, value in (("mesh.nodes", nodes), ("time.seconds", seconds), ("time.seed", seed)):
        if value is not None:
            values[key] = value
    return values


def parse_axis(text: str) -> tuple[str, list[object]]:
    """Return the key and the values of ``key=a,b,c``; values are TOML, or texts without quotes.

    Raises:
        click.UsageError: there is no key or no value.
    """
    import tomllib

    key, mark, values = text.partition("=")
    if not mark or not key.strip() or not values.strip():
        raise click.UsageError(f"--set {text!r}: write key=value or key=value,value")
    try:
        found: list[object] = tomllib.loads(f"v = [{values}]")["v"]
    except tomllib.TOMLDecodeError:
        found = [_plain_value(part.strip()) for part in values.split(",")]
    return key.strip(), found


def parse_axes(texts: Sequence[str]) -> dict[str, list[object]]:
    """Return keys and their values; see :func:`parse_axis`.

    Raises:
        click.UsageError: a text is wrong, or a key is given twice.
    """
    found: dict[str, list[object]] = {}
    for text in texts:
        key, values = parse_axis(text)
        if key in found:
            raise click.UsageError(f"--set {key} is given twice; write all values as {key}=value,value")
        found[key] = values
    return found


def _plain_value(text: str) -> object:
    import tomllib

    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of ``0..99``, ``1,5,7``, or both mixed.

    Raises:
        click.UsageError: the text names no seeds.
    """
    found: dict[int, bool] = {}
    for part in text.split(","):
        first, mark, last = part.strip().partition("..")
        if not first.isdecimal() or (mark and not last.isdecimal()):
            raise click.UsageError(f"--seeds {text!r}: write seeds as 0..99 or 1,5,7")
        end = int(last) if mark else int(first)
        if end < int(first) or end - int(first) >= 10_000_000:
            raise click.UsageError(f"--seeds {text!r}: {part.strip()} is no range of seeds")
        for seed in range(int(first), end + 1):
            found[seed] = True
    return list(found)


def _plot_kinds(kinds: Sequence[str]) -> list[str]:
    return list(PLOT_CHOICES) if "all" in kinds else list(dict.fromkeys(kinds))


def _complain_of_cases(errors: Sequence[tuple[Any, int, str]]) -> int:
    for settings, seed, error in errors:
        about = ", ".join([f"{key}={value}" for key, value in settings.items()])
        click.echo(f"swarm: {about + ', ' if about else ''}seed {seed}: {error}", err=True)
    return FAILED if errors else 0


# What people see


def _report(outcome: Outcome, is_json: bool, folder: str) -> None:
    summary = outcome.summary
    if is_json:
        click.echo(json.dumps(summary, ensure_ascii=False))
        return
    for line in summary_lines(summary):
        click.echo(line)
    if folder:
        click.echo(f"written into {folder}")


def summary_lines(summary: Summary) -> list[str]:
    """Return a summary as lines for people; what did not happen is left out."""
    known = [(name, value) for name, value in summary.items() if value is not None]
    width = max([len(name) for name, _ in known])
    return [f"{name.ljust(width)}  {value}" for name, value in known]


@contextmanager
def progress(what: str, seconds: float | None) -> Iterator[Callable[[float], None]]:
    """Give a function that shows the virtual time of a run, on a terminal."""
    if not sys.stderr.isatty():
        yield _show_nothing
        return
    with _bar(f"{what} (virtual seconds)", seconds) as update:
        yield update


@contextmanager
def progress_of_cases(what: str) -> Iterator[Callable[[int, int, int], None]]:
    """Give a function that shows how many cases of a sweep are done, on a terminal."""
    if not sys.stderr.isatty():
        yield _show_no_case
        return
    with _bar(f"{what} (cases)", None) as update:

        def show(done: int, total: int, failed: int) -> None:
            update(done, total, f"{what}: {failed} failed" if failed else "")

        yield show


@contextmanager
def _bar(what: str, total: float | None) -> Iterator[Callable[..., None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    # No thread refreshes it: the processes of a sweep are forked from this one.
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True) as bar:
        task = bar.add_task(what, total=total)

        def update(done: float, of: float | None = None, description: str = "") -> None:
            bar.update(task, completed=int(done), total=total if of is None else of, refresh=True)
            if description:
                bar.update(task, description=description)

        yield update


def _show_nothing(_now: float) -> None:
    pass


def _show_no_case(_done: int, _total: int, _failed: int) -> None:
    pass

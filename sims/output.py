"""Writing what came of runs, and reading it again.

A folder of a run holds ``scenario.toml`` (all that is needed to run it again), ``summary.json``,
``series.json.gz`` (everything that plots show), and the trace in the formats that were asked for
(`sims.trace_files`). Files appear whole or not at all.
"""

from __future__ import annotations

import gzip
import json
import zlib
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from sims.outcome import Outcome
from sims.recording.rows import Death, Doubt, JobRun, Reign, Sample, TaskRun
from sims.scenario.model import Scenario
from sims.scenario.reading import read_scenario
from sims.scenario.toml_text import toml_text
from sims.scenario.writing import document_of_scenario
from sims.whole_files import OutputError, write_whole
from sims.workload.graph import TaskGraph
from sims.workload.graph_file import write_graph

FORMAT: Final = "swarm-simulation"
VERSION: Final = 1
SCENARIO: Final = "scenario.toml"
SUMMARY: Final = "summary.json"
SERIES: Final = "series.json.gz"

_ROWS: Final[dict[str, Callable[..., Any]]] = {
    "samples": Sample,
    "deaths": Death,
    "doubts": Doubt,
    "reigns": Reign,
    "tasks": TaskRun,
    "jobs": JobRun,
}

_PLAIN: Final[dict[str, type | tuple[type, ...]]] = {
    "digest": str,
    "events": int,
    "wall_s": (int, float),
    "seconds": (int, float),
    "compiled": bool,
    "hosts": list,
    "bucket_s": (int, float),
    "counts": dict,
}


def save(outcome: Outcome, folder: str | Path) -> None:
    """Write scenario, summary and series of a run into a folder, which is made if it is not there.

    Raises:
        OutputError: a file cannot be written.
    """
    place = Path(folder)
    write_scenario(outcome.scenario, place / SCENARIO)
    write_whole(place / SUMMARY, json.dumps(outcome.summary, indent=1, ensure_ascii=False) + "\n")
    series = json.dumps(_series_of(outcome), separators=(",", ":")).encode()
    # Without a time stamp equal runs give equal bytes.
    write_whole(place / SERIES, gzip.compress(series, compresslevel=6, mtime=0))


def write_scenario(scenario: Scenario, path: Path) -> None:
    """Write a scenario as TOML; graphs that were made in Python are written beside it.

    Raises:
        OutputError: a file cannot be written, or the network is a graph made in Python.
    """
    if not isinstance(scenario.network_graph, str):
        raise OutputError(f"{path}: a network made in Python cannot be written; give the name of its file")
    document = document_of_scenario(scenario)
    graphs = _made_in_python(scenario)
    rows = document.get("workload", [])
    for number, graph in graphs.items():
        table = rows if isinstance(rows, dict) else rows[number]
        file = path.with_name(f"{path.stem}-graph{number + 1}.json.gz")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{file.parent}: cannot be made: {error.strerror or error}") from error
        write_graph(graph, file)
        table["graph"] = file.name
    write_whole(path, toml_text(document))


def scenario_text(scenario: Scenario | None) -> str:
    """Return a scenario as TOML, "" for none.

    Raises:
        TypeError: a graph in it was made in Python.
    """
    return "" if scenario is None else toml_text(document_of_scenario(scenario))


def _made_in_python(scenario: Scenario) -> dict[int, TaskGraph]:
    found: dict[int, TaskGraph] = {}
    for number, workload in enumerate(scenario.workloads):
        if isinstance(workload.graph, TaskGraph):
            found[number] = workload.graph
    return found


def load(folder: str | Path) -> Outcome:
    """Return a run that was written into a folder.

    Raises:
        OutputError: the folder holds none, or its files are damaged.
        ScenarioError: its scenario cannot be read, for example because a file that it names is gone.
    """
    place = Path(folder)
    series = _read_series(place / SERIES)
    scenario = read_scenario(place / SCENARIO)
    try:
        values: dict[str, Any] = {
            name: series[name]
            for name in ("digest", "events", "wall_s", "seconds", "compiled", "hosts", "bucket_s", "counts")
        }
        for name, kind in _ROWS.items():
            values[name] = [kind(*row) for row in series[name]]
        traffic = {name: array("q", numbers) for name, numbers in series["traffic"].items()}
        outcome = Outcome(scenario=scenario, traffic=traffic, **values)
        _check_plain(outcome)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise OutputError(f"{place / SERIES}: is damaged: {type(error).__name__} {error}") from None
    return outcome


def _check_plain(outcome: Outcome) -> None:
    """Raise what is wrong with the values of an outcome, whose types nobody has looked at."""
    for name, kinds in _PLAIN.items():
        value: object = getattr(outcome, name)
        if not isinstance(value, kinds) or (isinstance(value, bool) and name != "compiled"):
            raise TypeError(f"{name} is {value!r}")
    names: Sequence[object] = outcome.hosts
    if [name for name in names if not isinstance(name, str)]:
        raise TypeError(f"hosts are {names!r}")
    if not outcome.bucket_s > 0:
        raise ValueError(f"bucket_s is {outcome.bucket_s}")
    # Whatever else does not fit together shows where it is added up.
    json.dumps(outcome.summary)


def _series_of(outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = {"format": FORMAT, "version": VERSION}
    for name in ("digest", "events", "wall_s", "seconds", "compiled", "bucket_s"):
        found[name] = getattr(outcome, name)
    found["hosts"] = list(outcome.hosts)
    found["counts"] = dict(outcome.counts)
    for name in _ROWS:
        found[name] = [list(row) for row in getattr(outcome, name)]
    found["traffic"] = {name: list(numbers) for name, numbers in outcome.traffic.items()}
    return found


def _read_series(path: Path) -> dict[str, Any]:
    try:
        document: object = json.loads(gzip.decompress(path.read_bytes()))
    except FileNotFoundError:
        raise OutputError(f"{path.parent}: holds no run; {path.name} is not there") from None
    except (OSError, EOFError, ValueError, zlib.error, RecursionError) as error:
        raise OutputError(f"{path}: cannot be read: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise OutputError(f"{path}: is no series of a run")
    if document.get("version") != VERSION:
        raise OutputError(f"{path}: version is {document.get('version')!r}, this program reads {VERSION}")
    return document

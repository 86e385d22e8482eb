"""Sweeps: a scenario run with every combination of some values, on every seed, over processes.

A folder of a sweep holds ``sweep.json`` (what was asked for), ``cases/`` with one file for each case that
ended, and ``results.csv`` and ``results.json``. A case is known by everything that decides it, so a sweep
that was interrupted, or is widened, runs only what is missing.
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from html import escape
from itertools import product
from pathlib import Path
from typing import Any, Final

from sims.outcome import Summary
from sims.running import run
from sims.scenario.model import Scenario
from sims.scenario.source import ScenarioError
from sims.scenario.writing import document_of_scenario, with_settings
from sims.whole_files import OutputError, write_whole
from sims.workload.graph import TaskGraph
from sims.workload.graph_file import document_of_graph
from swarm.core.errors import SwarmError
from swarm.version import __version__

CASES: Final = "cases"
SWEEP: Final = "sweep.json"
RESULTS: Final = "results"
AHEAD: Final = 4
"""Cases given to each process ahead of time."""

Settings = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run of a sweep.

    Attributes:
        settings: that tell it from the others, the seed left out.
        scenario: that is run.
        key: a digest of everything that decides it.
    """

    settings: Settings
    scenario: Scenario
    key: str


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """What came of a sweep.

    Attributes:
        rows: one flat dict for each case that ended: its settings, then its summary.
        errors: (settings, seed, what went wrong) of each case that failed.
        total: cases.
        resumed: of them, those that had ended before.
    """

    rows: list[Summary]
    errors: list[tuple[Settings, int, str]] = field(default_factory=list)
    total: int
    resumed: int

    def _repr_html_(self) -> str:
        names = list(dict.fromkeys([name for row in self.rows for name in row]))
        head = "".join([f"<th>{escape(name)}</th>" for name in names])
        body = [
            "<tr>" + "".join([f"<td>{escape(str(row.get(name, '')))}</td>" for name in names]) + "</tr>"
            for row in self.rows
        ]
        return f"<table><tr>{head}</tr>{''.join(body)}</table>"


def cases_of(
    scenario: Scenario,
    axes: Mapping[str, Sequence[object]],
    seeds: Sequence[int],
    base: Settings | None = None,
) -> list[Case]:
    """Return every combination of the values with every seed; seeds vary fastest.

    Args:
        scenario: to start from.
        axes: names of settings (see `with_settings`) -> the values of each.
        seeds: of the runs.
        base: settings of all cases; they are judged together with those of each.

    Raises:
        ScenarioError: a name is unknown, or a value is wrong.
    """
    found: list[Case] = []
    check_axes(axes)
    for values in product(*axes.values()):
        settings = dict(zip(axes, values, strict=True))
        changed = with_settings(scenario, {**(base or {}), **settings})
        for seed in seeds:
            seeded = replace(changed, seed=seed)
            found.append(Case(settings=settings, scenario=seeded, key=case_key(seeded)))
    return found


def check_axes(axes: Mapping[str, Sequence[object]]) -> None:
    """Refuse what cannot be swept as a setting.

    Raises:
        ScenarioError: seeds are given as one.
    """
    if "time.seed" in axes:
        raise ScenarioError("time.seed cannot be swept as a setting; name the seeds (`--seeds 0..9`)")


def case_key(scenario: Scenario) -> str:
    """Return a digest of what decides a run: its values, the files it names, the version of swarm."""
    document = document_of_scenario(scenario)
    for name in ("name", "description", "output"):
        document.pop(name, None)
    digest = blake2b(__version__.encode(), digest_size=12)
    digest.update(json.dumps(document, sort_keys=True, default=_plain).encode())
    for path in _files_of(scenario):
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, TaskGraph):
        return document_of_graph(value)
    raise ScenarioError(f"a sweep cannot tell two {type(value).__name__} apart; give the name of a file")


def _files_of(scenario: Scenario) -> list[str]:
    found = [fault.file for fault in scenario.faults if fault.file]
    found += [load.graph for load in scenario.workloads if load.graph and isinstance(load.graph, str)]
    if scenario.network_graph and isinstance(scenario.network_graph, str):
        found.append(scenario.network_graph)
    path, colon, _ = scenario.policy.placement.rpartition(":")
    if colon:
        found.append(path)
    return found


def sweep(
    scenario: Scenario,
    axes: Mapping[str, Sequence[object]] | None = None,
    seeds: Sequence[int] = (1,),
    *,
    base: Settings | None = None,
    out: str | Path | None = None,
    processes: int = 0,
    on_done: Callable[[int, int, int], None] | None = None,
) -> SweepResult:
    """Run every combination of values on every seed.

    Args:
        scenario: to start from.
        axes: names of settings -> values, as ``{"gossip.probe_interval_s": [0.5, 1, 2]}``.
        seeds: of the runs.
        base: settings of all runs, judged together with those of each.
        out: folder for results; cases that ended there before are not run again. None writes nothing.
        processes: how many runs at once; 0 for as many as there are cores.
        on_done: called with cases done, cases in all, cases that failed, after each one.

    Raises:
        ScenarioError: a name is unknown, or a value is wrong; nothing was run.
        OutputError: the folder cannot be written.
        KeyboardInterrupt: after what has ended was written.
    """
    chosen: Mapping[str, Sequence[object]] = {} if axes is None else axes
    cases = cases_of(scenario, chosen, seeds, base)
    about = _about(scenario, chosen, seeds)
    if base:
        about["base"] = dict(base)
    return run_cases(cases, out=out, processes=processes, on_done=on_done, about=about)


def _about(scenario: Scenario, axes: Mapping[str, Sequence[object]], seeds: Sequence[int]) -> dict[str, Any]:
    return {
        "scenario": scenario.name,
        "axes": {name: list(values) for name, values in axes.items()},
        "seeds": list(seeds),
        "version": __version__,
    }


def run_cases(
    cases: Sequence[Case],
    *,
    out: str | Path | None = None,
    processes: int = 0,
    on_done: Callable[[int, int, int], None] | None = None,
    about: Mapping[str, Any] | None = None,
    check: Callable[[Summary], None] | None = None,
) -> SweepResult:
    """Run cases; see :func:`sweep`.

    Args:
        cases: those with equal keys are run once.
        out, processes, on_done: as there.
        about: written into the folder, for people.
        check: is given the row of each case as soon as it is there; what it raises ends everything.
    """
    folder = None if out is None else Path(out)
    summaries: dict[str, Summary] = {}
    errors: dict[str, str] = {}
    if folder is not None:
        write_whole(folder / SWEEP, json.dumps(about or {}, indent=1, ensure_ascii=False) + "\n")
        for case in cases:
            ended = _read_case(folder, case.key)
            if ended is not None:
                summaries[case.key] = ended
                if check is not None:
                    check(_row(case, ended))
    waiting = {case.key: case for case in cases if case.key not in summaries}
    total = len(waiting) + len(summaries)
    resumed = len([case for case in cases if case.key in summaries])
    if on_done is not None:
        on_done(len(summaries), total, 0)
    results = _run_all(list(waiting.values()), processes or os.cpu_count() or 1)
    try:
        for key, summary, error in results:
            if summary is None:
                errors[key] = error
            else:
                summaries[key] = summary
                if folder is not None:
                    _write_case(folder, waiting[key], summary)
                if check is not None:
                    check(_row(waiting[key], summary))
            if on_done is not None:
                on_done(len(summaries) + len(errors), total, len(errors))
    finally:
        results.close()
        rows = [_row(case, summaries[case.key]) for case in cases if case.key in summaries]
        if folder is not None:
            _write_results(folder, rows)
    failed = [(case.settings, case.scenario.seed, errors[case.key]) for case in cases if case.key in errors]
    return SweepResult(rows=rows, errors=failed, total=len(cases), resumed=resumed)


def _row(case: Case, summary: Summary) -> Summary:
    return {**case.settings, **summary}


def _run_all(cases: Sequence[Case], processes: int) -> Generator[tuple[str, Summary | None, str], None, None]:
    """Yield the key, the summary or None, and the error of each case, as they end."""
    if processes == 1 or len(cases) < 2:
        for case in cases:
            yield (case.key, *_run_case(case.scenario))
        return
    before = multiprocessing.active_children()
    pool = ProcessPoolExecutor(min(processes, len(cases)), initializer=_ignore_interrupts)
    under_way: dict[Future[tuple[Summary | None, str]], str] = {}
    to_come = iter(cases)
    try:
        while True:
            for case in to_come:
                under_way[pool.submit(_run_case, case.scenario)] = case.key
                if len(under_way) >= AHEAD * processes:
                    break
            if not under_way:
                break
            ended, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in ended:
                yield (under_way.pop(future), *future.result())
    except BrokenProcessPool:
        raise OutputError(
            "a process of the sweep was killed, perhaps for want of memory; run again with fewer --processes"
        ) from None
    except BaseException:
        # Who interrupts does not want to wait for the cases under way.
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            if child not in before:
                child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _run_case(scenario: Scenario) -> tuple[Summary | None, str]:
    try:
        return run(scenario).summary, ""
    except SwarmError as error:
        return None, str(error)
    except Exception:  # noqa: BLE001 - one broken case must not end the others
        return None, traceback.format_exc()


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the process that started the sweep."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# Files


def _case_path(folder: Path, key: str) -> Path:
    return folder / CASES / f"{key}.json"


def _write_case(folder: Path, case: Case, summary: Summary) -> None:
    document = {"settings": dict(case.settings), "seed": case.scenario.seed, "summary": summary}
    write_whole(_case_path(folder, case.key), json.dumps(document, ensure_ascii=False, default=str) + "\n")


def _read_case(folder: Path, key: str) -> Summary | None:
    """Return the summary of a case that ended before; a file that cannot be understood is as none."""
    try:
        document: object = json.loads(_case_path(folder, key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    summary = document.get("summary") if isinstance(document, dict) else None
    return summary if isinstance(summary, dict) else None


def _write_results(folder: Path, rows: Sequence[Summary]) -> None:
    names = list(dict.fromkeys([name for row in rows for name in row]))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(folder / f"{RESULTS}.csv", text.getvalue())
    write_whole(
        folder / f"{RESULTS}.json", json.dumps(rows, indent=0, ensure_ascii=False, default=str) + "\n"
    )

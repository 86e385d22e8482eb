"""Making what fails smaller: a scenario that breaks an assertion of the nodes, or a trial of the soak."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Final

from sims.running import InvariantBroken, run
from sims.scenario.model import Scenario
from sims.scenario.source import ScenarioError
from sims.trials.case import Case, from_json, to_json
from sims.trials.drawing import draw
from sims.trials.run import run_case
from sims.trials.shrink import minimum, shrink
from sims.whole_files import OutputError

RUNS_MAX: Final = 400


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """What is left of something that fails.

    Attributes:
        what: that breaks, "" when nothing does.
        before, after: faults and jobs before and after.
        text: the smaller one, to be written into a file: JSON of a trial.
        scenario: or the smaller scenario.
    """

    what: str
    before: int
    after: int
    text: str = ""
    scenario: Scenario | None = None


def shrink_trial(case: Case, runs_max: int = RUNS_MAX) -> Shrunk:
    """Return the smallest trial found that the same checker objects to."""
    verdict = run_case(case)
    before = len(case.events) + len(case.jobs)
    if not verdict.checker:
        return Shrunk(what="", before=before, after=before)
    smaller = shrink(case, verdict.checker, runs_max)
    after = len(smaller.events) + len(smaller.jobs)
    return Shrunk(
        what=f"{verdict.checker}: {verdict.text}", before=before, after=after, text=to_json(smaller)
    )


def read_trial(text: str, profile: str) -> Case:
    """Return the trial of a seed, or that of a file.

    Raises:
        ConfigError: the profile is not known, or the file holds no trial.
        OutputError: the file cannot be read.
    """
    if text.isdecimal():
        return draw(int(text), profile)
    try:
        return from_json(Path(text).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{text}: cannot be read: {error}") from error


def shrink_scenario(
    scenario: Scenario,
    problem_of: Callable[[Scenario], str] | None = None,
    runs_max: int = RUNS_MAX,
) -> Shrunk:
    """Return the smallest scenario found that breaks in the same way.

    Faults are left out, then workloads, then the run is made shorter, then hosts are taken away when they are
    equal and unnamed.

    Args:
        scenario: that breaks.
        problem_of: says what is wrong with a scenario, "" for nothing; by default runs it and says which
            assertion broke.
        runs_max: after so many runs the smallest one so far is returned.
    """
    ask = broken_assertion if problem_of is None else problem_of
    what = ask(scenario)
    before = len(scenario.faults) + len(scenario.workloads)
    if not what:
        return Shrunk(what="", before=before, after=before, scenario=scenario)
    runs = 0

    def fails(smaller: Scenario | None) -> bool:
        nonlocal runs
        runs += 1
        return smaller is not None and runs <= runs_max and ask(smaller) == what

    faults = minimum(scenario.faults, lambda items: fails(_changed(scenario, faults=items)))
    scenario = replace(scenario, faults=faults)
    workloads = minimum(scenario.workloads, lambda items: fails(_changed(scenario, workloads=items)))
    scenario = replace(scenario, workloads=workloads)
    for share in (0.25, 0.5, 0.75):
        shorter = _changed(scenario, seconds=float(ceil(scenario.seconds * share)))
        if fails(shorter) and shorter is not None:
            scenario = shorter
            break
    while not scenario.hosts and scenario.nodes > 1:
        fewer = _changed(scenario, nodes=scenario.nodes - 1)
        if not fails(fewer) or fewer is None:
            break
        scenario = fewer
    after = len(scenario.faults) + len(scenario.workloads)
    return Shrunk(what=what, before=before, after=after, scenario=scenario)


def _changed(scenario: Scenario, **values: object) -> Scenario | None:
    """Return a scenario with other values, None when they contradict the rest."""
    try:
        return replace(scenario, **values)  # type: ignore[arg-type]  # fields by their names
    except ScenarioError:
        return None


def broken_assertion(scenario: Scenario) -> str:
    """Return which assertion breaks when a scenario is run, without the numbers in its text; "" for none."""
    try:
        run(scenario)
    except InvariantBroken as error:
        return re.sub(r"[0-9a-f]*\d[0-9a-f.]*", "#", str(error.__cause__))
    return ""

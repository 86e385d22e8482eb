"""Making a case that breaks an invariant smaller while it breaks the same one.

Source: Zeller, Hildebrandt, "Simplifying and isolating failure-inducing input" (2002), ddmin, over events,
then over jobs; then the faults' phase is cut to what is left, and noise of the network is taken away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from sims.network import NetworkConfig
from sims.trials.case import Case
from sims.trials.run import run_case

T = TypeVar("T")

RUNS_MAX = 400


def shrink(case: Case, checker: str, runs_max: int = RUNS_MAX) -> Case:
    """Return the smallest case found in at most `runs_max` runs that the same checker objects to."""
    runs = 0

    def fails(smaller: Case) -> bool:
        nonlocal runs
        runs += 1
        return runs <= runs_max and run_case(smaller).checker == checker

    case = replace(case, events=minimum(case.events, lambda events: fails(replace(case, events=events))))
    case = replace(case, jobs=minimum(case.jobs, lambda jobs: fails(replace(case, jobs=jobs))))
    for smaller in (
        replace(case, network=NetworkConfig()),
        replace(case, network=replace(case.network, duplicate=0.0, reorder=0.0, corrupt=0.0)),
        replace(case, faults_s=max([event.at_s for event in case.events], default=1.0) + 1.0),
    ):
        if smaller != case and fails(smaller):
            case = smaller
    return case


def minimum(items: tuple[T, ...], fails: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """Return items from which no part can be left out any more (ddmin)."""
    parts = 2
    while len(items) >= 1:
        size = max(1, len(items) // parts)
        for begin in range(0, len(items), size):
            rest = items[:begin] + items[begin + size :]
            if fails(rest):
                items = rest
                parts = max(parts - 1, 2)
                break
        else:
            if size == 1:
                return items
            parts = min(2 * parts, len(items))
    return items

"""Comparing scenarios, settings and policies on the same seeds, with confidence intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Final

from sims.lab.compare import Comparison
from sims.lab.compare import compare as compare_results
from sims.outcome import Summary
from sims.scenario.model import Scenario
from sims.scenario.source import ScenarioError
from sims.scenario.writing import with_settings
from sims.sweeping import Case, SweepResult, case_key, check_axes, run_cases
from swarm.core.errors import ConfigError

VARIANT: Final = "variant"
USUAL_METRICS: Final = (
    "makespan_s",
    "converged_s",
    "detection_first_mean_s",
    "detection_all_mean_s",
    "false_suspicions",
    "false_deaths",
    "leaderless_s",
    "bytes_per_node_s",
    "packets_per_node_s",
)
"""Compared when no metric is named, those that every run has. Of all, less is better."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What came of a comparison.

    Attributes:
        comparisons: one for each metric.
        result: of the runs; its rows have the name of the variant under `VARIANT`.
    """

    comparisons: list[Comparison]
    result: SweepResult

    def table(self) -> str:
        """Return the comparisons as text."""
        return "\n\n".join([comparison.table() for comparison in self.comparisons])

    def records(self) -> list[dict[str, Any]]:
        """Return the rows of all comparisons as flat dicts."""
        return [record for comparison in self.comparisons for record in comparison.records()]

    def _repr_html_(self) -> str:
        return f"<pre>{self.table()}</pre>"


def variants_of(
    scenarios: Sequence[Scenario],
    axes: Mapping[str, Sequence[object]] | None = None,
    base: Mapping[str, object] | None = None,
) -> dict[str, Scenario]:
    """Return scenarios by names that tell them apart: every scenario with every combination of values.

    Args:
        scenarios: to start from.
        axes: names of settings -> the values of each.
        base: settings of all of them, judged together with those of each.

    Raises:
        ScenarioError: two have one name, a setting is unknown, or there are less than two.
    """
    found: dict[str, Scenario] = {}
    chosen: Mapping[str, Sequence[object]] = {} if axes is None else axes
    check_axes(chosen)
    for scenario in scenarios:
        for values in product(*chosen.values()):
            settings = dict(zip(chosen, values, strict=True))
            parts = [scenario.name] if len(scenarios) > 1 or not settings else []
            parts += [f"{key}={value}" for key, value in settings.items()]
            name = " ".join(parts)
            if name in found:
                raise ScenarioError(f"two variants are called {name!r}; give the scenarios different names")
            found[name] = with_settings(scenario, {**(base or {}), **settings})
    if len(found) < 2:
        raise ScenarioError("a comparison needs two variants; name more files, or `--set key=a,b`")
    return found


def compare(
    variants: Mapping[str, Scenario],
    seeds: Sequence[int],
    metrics: Sequence[str] = (),
    *,
    baseline: str = "",
    out: str | Path | None = None,
    processes: int = 0,
    on_done: Callable[[int, int, int], None] | None = None,
) -> Compared:
    """Run variants on the same seeds and compare them pair by pair.

    Args:
        variants: scenarios by name.
        seeds: of the runs; one says nothing about the spread.
        metrics: names of numbers of summaries; the usual ones that all runs have when left out.
        baseline: the variant that others are compared with; the first one when left out.
        out, processes, on_done: as for `sims.sweeping.sweep`.

    Raises:
        ScenarioError: a run failed, or a metric is not known; that is found with the first run that ends.
        ConfigError: the baseline is not known.
    """
    if baseline and baseline not in variants:
        raise ConfigError(f"the baseline {baseline!r} is no variant; there are {', '.join(variants)}")
    cases: list[Case] = []
    for name, scenario in variants.items():
        for seed in seeds:
            seeded = replace(scenario, seed=seed)
            cases.append(Case(settings={VARIANT: name}, scenario=seeded, key=case_key(seeded)))
    about = {"variants": list(variants), "seeds": list(seeds)}

    def check(row: Summary) -> None:
        for name in metrics:
            _check_metric(name, [row])

    result = run_cases(cases, out=out, processes=processes, on_done=on_done, about=about, check=check)
    if result.errors:
        settings, seed, error = result.errors[0]
        raise ScenarioError(f"{settings[VARIANT]}, seed {seed}: {error}")
    chosen = list(metrics) or [name for name in USUAL_METRICS if _is_known(name, result.rows)]
    for name in chosen:
        _check_metric(name, result.rows)
    comparisons = [
        compare_results(result.rows, VARIANT, name, baseline, pair_by=("seed",)) for name in chosen
    ]
    return Compared(comparisons=comparisons, result=result)


def _is_known(metric: str, rows: Sequence[Summary]) -> bool:
    return all([isinstance(row.get(metric), (int, float)) for row in rows])


def _check_metric(metric: str, rows: Sequence[Summary]) -> None:
    for row in rows:
        value = row.get(metric)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            continue
        numbers = [name for name, one in row.items() if type(one) in (int, float)]
        if metric in row:
            raise ScenarioError(
                f"{metric} is {value!r} for {row[VARIANT]}, seed {row['seed']}; name another metric"
            )
        raise ScenarioError(f"there is no metric {metric!r}; there are {', '.join(numbers)}")

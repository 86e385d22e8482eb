"""Comparison of settings (policies, parameters of gossip) that were run on the same seeds.

Results are flat dicts, one for each run, as `sims.lab.cases.run_case` and the sweeps of scenarios return
them. Two settings are compared pair by pair: on each combination of the other keys (graph, cluster, seed …)
one result of each.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from sims.lab.statistics import CONFIDENCE, Interval, geometric_ratio, paired_difference
from swarm.core.errors import ConfigError

PAIR_KEYS: Final = (
    "graph",
    "graph_seed",
    "cluster",
    "bandwidth_mib_s",
    "network",
    "imode",
    "least_gap_s",
    "delay_s",
    "heterogeneity",
    "nodes",
    "starved",
    "seed",
)
"""Keys of cases that two runs of a pair have in common."""
TIE: Final = 1e-9
"""Values that differ by no more than this share of them are equal."""


@dataclass(frozen=True, kw_only=True)
class ComparedRow:
    """One setting beside the baseline.

    Attributes:
        name: of the setting.
        runs: pairs compared.
        mean: of the metric.
        ratio: geometric mean of metric / baseline's; None when a value is 0 or less.
        difference: mean of metric - baseline's.
        wins, ties, losses: pairs in which the setting was lower, equal, higher than the baseline.
    """

    name: str
    runs: int
    mean: float
    ratio: Interval | None
    difference: Interval
    wins: int
    ties: int
    losses: int

    def verdict(self, is_lower_better: bool = True) -> str:
        """Return "better", "worse" or "no difference", by the interval of the ratio, or of the difference."""
        interval, neutral = (self.difference, 0.0) if self.ratio is None else (self.ratio, 1.0)
        if not interval.excludes(neutral):
            return "no difference"
        return "better" if (interval.value < neutral) == is_lower_better else "worse"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The settings of one key beside one of them.

    Attributes:
        metric: what was compared.
        by: the key whose values are the settings.
        baseline: the setting that the others are compared with.
        confidence: of the intervals.
        rows: one for each setting, in order of first appearance.
    """

    metric: str
    by: str
    baseline: str
    confidence: float
    rows: Sequence[ComparedRow]

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as flat dicts, for tables and plots; what does not exist is None."""
        return [
            {
                self.by: row.name,
                "metric": self.metric,
                "baseline": self.baseline,
                "runs": row.runs,
                "mean": row.mean,
                "ratio": None if row.ratio is None else row.ratio.value,
                "ratio_low": None if row.ratio is None else _known(row.ratio.low, row),
                "ratio_high": None if row.ratio is None else _known(row.ratio.high, row),
                "difference": row.difference.value,
                "difference_low": _known(row.difference.low, row),
                "difference_high": _known(row.difference.high, row),
                "wins": row.wins,
                "ties": row.ties,
                "losses": row.losses,
                "verdict": row.verdict(),
            }
            for row in self.rows
        ]

    def table(self) -> str:
        """Return the comparison as text, one line for each setting."""
        percent = f"{self.confidence * 100:g} %"
        head = [self.by, "runs", f"mean {self.metric}", f"ratio [{percent}]", "win/tie/loss", "verdict"]
        lines = [head]
        for row in self.rows:
            is_baseline = row.name == self.baseline
            lines.append(
                [
                    row.name,
                    str(row.runs),
                    f"{row.mean:.4g}",
                    "-" if row.ratio is None else str(row.ratio),
                    "-" if is_baseline else f"{row.wins}/{row.ties}/{row.losses}",
                    "baseline" if is_baseline else row.verdict(),
                ]
            )
        widths = [max([len(line[column]) for line in lines]) for column in range(len(head))]
        return "\n".join(
            [
                "  ".join([cell.ljust(width) for cell, width in zip(line, widths, strict=True)]).rstrip()
                for line in lines
            ]
        )

    def write(self, path: str | Path) -> None:
        """Write the rows as CSV, or as JSON when the name ends so.

        Raises:
            ConfigError: the file cannot be written.
        """
        records = self.records()
        try:
            if str(path).endswith(".json"):
                Path(path).write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
                return
            with Path(path).open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(records[0]))
                writer.writeheader()
                writer.writerows(records)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error}") from error


def compare(
    results: Sequence[Mapping[str, Any]],
    by: str = "policy",
    metric: str = "makespan_s",
    baseline: str = "",
    pair_by: Sequence[str] = PAIR_KEYS,
    confidence: float = CONFIDENCE,
) -> Comparison:
    """Compare settings pair by pair.

    Args:
        results: of the runs.
        by: the key whose values are compared.
        metric: the key of what is measured; lower is better.
        baseline: the setting to compare with; the first one when left out.
        pair_by: keys that two results of a pair have in common; those that no result has are left out.
        confidence: of the intervals.

    Raises:
        ConfigError: a key that results lack, an unknown baseline, two results of one pair, or a setting that
            was not run where the others were; says which.
    """
    if not results:
        raise ConfigError("there are no results to compare")
    for number, result in enumerate(results):
        for key in (by, metric):
            if key not in result:
                raise ConfigError(f"result {number} has no {key!r}; it has {', '.join(result)}")
    keys = [key for key in pair_by if any([key in result for result in results])]
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for result in results:
        place = tuple([str(result.get(key)) for key in keys])
        own = found.setdefault(str(result[by]), {})
        if place in own:
            raise ConfigError(
                f"{by} {result[by]} was run twice with {_named(keys, place)}; add a key to pair_by"
            )
        own[place] = float(result[metric])
    base_name = baseline or next(iter(found))
    if base_name not in found:
        raise ConfigError(f"the baseline {base_name!r} was not run; there are {', '.join(found)}")
    base = found[base_name]
    rows: list[ComparedRow] = []
    for name, own in found.items():
        for place in (*base, *own):
            if place not in own or place not in base:
                lacking = name if place not in own else base_name
                raise ConfigError(f"{by} {lacking} was not run with {_named(keys, place)}")
        rows.append(_row(name, [own[place] for place in base], list(base.values()), confidence))
    return Comparison(metric=metric, by=by, baseline=base_name, confidence=confidence, rows=rows)


def _row(name: str, values: list[float], base: list[float], confidence: float) -> ComparedRow:
    has_ratio = min([*values, *base]) > 0
    wins = ties = 0
    for value, other in zip(values, base, strict=True):
        if abs(value - other) <= TIE * max(abs(value), abs(other)):
            ties += 1
        elif value < other:
            wins += 1
    return ComparedRow(
        name=name,
        runs=len(values),
        mean=fmean(values),
        ratio=geometric_ratio(values, base, confidence) if has_ratio else None,
        difference=paired_difference(values, base, confidence),
        wins=wins,
        ties=ties,
        losses=len(values) - wins - ties,
    )


def _named(keys: Sequence[str], place: tuple[str, ...]) -> str:
    return ", ".join([f"{key} {value}" for key, value in zip(keys, place, strict=True)]) or "no key"


def _known(value: float, row: ComparedRow) -> float | None:
    """Return the end of an interval, None when one pair says nothing about it."""
    return value if row.runs > 1 else None

"""What came of a run: rows for plots, and a summary in plain numbers."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from sims.recording.leaders import time_by_leaders_s
from sims.recording.rows import NEVER, Death, Doubt, Event, JobRun, Reign, Sample, TaskRun
from sims.scenario.model import Scenario

Summary = dict[str, Any]

LEFT: Final = "left"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A run that ended. It can be pickled, and written and read by `sims.output`.

    Attributes:
        scenario: what was run.
        digest: of all inputs of all nodes, 32 hex digits; equal runs have equal ones.
        events: inputs folded into it.
        wall_s: real seconds that the run took; nothing else depends on the machine.
        seconds: virtual seconds that passed.
        compiled: whether the cores ran as machine code.
        samples: the whole mesh from time to time.
        deaths, doubts, reigns, tasks, jobs: see `sims.recording.rows`.
        hosts: names of the hosts, by number.
        bucket_s, traffic: length of a bucket, and column -> host by host one number for each bucket;
            see `sims.recording.traffic`.
        counts: further counters by name.
        rows: of the trace, when they were asked to be kept in memory.
    """

    scenario: Scenario
    digest: str
    events: int
    wall_s: float
    seconds: float
    compiled: bool
    samples: Sequence[Sample] = ()
    deaths: Sequence[Death] = ()
    doubts: Sequence[Doubt] = ()
    reigns: Sequence[Reign] = ()
    tasks: Sequence[TaskRun] = ()
    jobs: Sequence[JobRun] = ()
    hosts: Sequence[str] = ()
    bucket_s: float = 1.0
    traffic: Mapping[str, array[int]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    rows: Sequence[Event] = ()

    @property
    def summary(self) -> Summary:
        """The run in plain numbers, units last in names; what did not happen is None."""
        scenario = self.scenario
        found: Summary = {
            "name": scenario.name,
            "nodes": scenario.nodes,
            "seconds": self.seconds,
            "seed": scenario.seed,
            "placement": scenario.policy.placement,
            "digest": self.digest,
            "events": self.events,
            "wall_s": round(self.wall_s, 6),
            "compiled": self.compiled,
            "simulated_per_wall": round(self.seconds / self.wall_s, 3) if self.wall_s > 0 else None,
        }
        found.update(self._membership())
        found.update(self._leadership())
        found.update(self._traffic())
        found.update(self._work())
        found.update(self.counts)
        return found

    def plot(self, kind: str, path: str | Path | None = None) -> Any:
        """Draw one kind of plot, into a file when `path` is given; return matplotlib's figure.

        Raises:
            ConfigError: the kind is not known, or matplotlib is not installed.
        """
        from sims.plotting import draw

        return draw(kind, [self], path)

    def detection_s(self, which: str = "all") -> list[float]:
        """Return how long deaths took to be seen, seconds; nodes that said goodbye are left out.

        Args:
            which: "suspect" or "first" for the first observer, "all" for the last one.
        """
        found: list[float] = []
        for death in self.deaths:
            times_s = {"suspect": death.first_suspect_s, "first": death.first_s, "all": death.all_s}
            seen_s = times_s[which]
            if death.how != LEFT and seen_s != NEVER:
                found.append(seen_s - death.time_s)
        return found

    def traffic_of(self, column: str, host: int | None = None) -> list[int]:
        """Return the numbers of a column of traffic, one for each bucket, of a host or of all together."""
        numbers = self.traffic.get(column)
        if numbers is None or not self.hosts:
            return []
        buckets = len(numbers) // len(self.hosts)
        if host is not None:
            return list(numbers[host * buckets : (host + 1) * buckets])
        totals = [0] * buckets
        for place, number in enumerate(numbers):
            totals[place % buckets] += number
        return totals

    def _repr_html_(self) -> str:
        rows = [
            f"<tr><th style='text-align:left'>{escape(key)}</th><td>{escape(_shown(value))}</td></tr>"
            for key, value in self.summary.items()
        ]
        title = f"{self.scenario.name}, seed {self.scenario.seed}"
        return f"<table><caption>{escape(title)}</caption>{''.join(rows)}</table>"

    def __repr__(self) -> str:
        return (
            f"Outcome({self.scenario.name!r}, seed={self.scenario.seed}, seconds={self.seconds:g}, "
            f"digest={self.digest!r}, events={self.events})"
        )

    # Parts of the summary

    def _membership(self) -> Summary:
        if not self.samples:
            return {}
        wrong = [doubt for doubt in self.doubts if not doubt.is_excused]
        node_hours = self._node_seconds() / 3600
        found: Summary = {
            "converged_s": converged_s(self.samples),
            "share_mean": _rounded(fmean([sample.share for sample in self.samples])),
            "share_end": _rounded(self.samples[-1].share),
            "deaths": len([death for death in self.deaths if death.how != LEFT]),
        }
        for which in ("suspect", "first", "all"):
            latencies_s = sorted(self.detection_s(which))
            if which == "all":
                found["deaths_seen_by_all"] = len(latencies_s)
            for name, value in _spread(latencies_s).items():
                found[f"detection_{which}_{name}_s"] = value
        suspicions = len([doubt for doubt in wrong if doubt.verdict == "suspect"])
        found["false_suspicions"] = suspicions
        found["false_suspicions_per_node_hour"] = _rounded(suspicions / node_hours) if node_hours else None
        found["false_deaths"] = len(wrong) - suspicions
        found["false_deaths_of_undisturbed"] = len(
            [doubt for doubt in wrong if doubt.verdict == "dead" and not doubt.is_disturbed]
        )
        found["excused_doubts"] = len(self.doubts) - len(wrong)
        return found

    def _leadership(self) -> Summary:
        if not self.samples:
            return {}
        nobody_s, several_s = time_by_leaders_s(list(self.reigns), self.seconds)
        return {
            "leader_changes": max(0, len(self.reigns) - 1),
            "leaderless_s": _rounded(nobody_s),
            "several_leaders_s": _rounded(several_s),
        }

    def _traffic(self) -> Summary:
        if not self.traffic:
            return {}
        found: Summary = {column: sum(numbers) for column, numbers in self.traffic.items()}
        node_seconds = self._node_seconds()
        for name, columns in (
            ("packets_per_node_s", ("packets_sent",)),
            ("bytes_per_node_s", ("packet_bytes_sent", "message_bytes_sent")),
        ):
            total = sum([found[column] for column in columns])
            found[name] = _rounded(total / node_seconds) if node_seconds else None
        return found

    def _work(self) -> Summary:
        found: Summary = {
            "jobs": len(self.jobs),
            "jobs_done": len([job for job in self.jobs if job.state == "done"]),
            "jobs_failed": len([job for job in self.jobs if job.state in ("failed", "refused")]),
            "tasks": sum([job.tasks for job in self.jobs]),
            "runs": len(self.tasks),
            "runs_lost": len([run for run in self.tasks if run.how == "killed"]),
        }
        done_s = [job.makespan_s() for job in self.jobs if job.makespan_s() != NEVER]
        found["makespan_s"] = _rounded(fmean(done_s)) if done_s else None
        found["makespan_max_s"] = _rounded(max(done_s)) if done_s else None
        told_s = [job.ended_s - job.submitted_s for job in self.jobs if job.ended_s != NEVER]
        found["client_wait_s"] = _rounded(fmean(told_s)) if told_s else None
        return found

    def _node_seconds(self) -> float:
        """Return for how long nodes ran, summed over them, as far as samples tell."""
        total = 0.0
        for before, after in zip(self.samples[:-1], self.samples[1:], strict=True):
            total += before.running * (after.time_s - before.time_s)
        return total


def converged_s(samples: Sequence[Sample]) -> float | None:
    """Return the time of the first sample in which all tables are right and all nodes follow one leader."""
    for sample in samples:
        if sample.running and sample.share == 1.0 and sample.following == 1.0:
            return sample.time_s
    return None


def percentile(rising: Sequence[float], share: float) -> float:
    """Return the least of the rising values that at least a share of them does not exceed (nearest rank)."""
    assert rising, "no value has no percentile"
    return rising[max(0, ceil(share * len(rising)) - 1)]


def _spread(rising: Sequence[float]) -> Summary:
    if not rising:
        return {"mean": None, "p50": None, "p99": None, "max": None}
    return {
        "mean": _rounded(fmean(rising)),
        "p50": _rounded(percentile(rising, 0.5)),
        "p99": _rounded(percentile(rising, 0.99)),
        "max": _rounded(rising[-1]),
    }


def _rounded(value: float) -> float:
    return round(value, 6)


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)

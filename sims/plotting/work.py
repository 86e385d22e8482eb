"""Plots of the work: which attempt ran where and when, and how long jobs took."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any, Final

from sims.outcome import Outcome
from sims.plotting.canvas import colour_of, label_of, say_empty, set_title
from sims.recording.rows import NEVER

NAMED_MAX: Final = 400
"""With more attempts their names are left out."""

_FILLS: Final = {"done": "", "failed": "xx", "killed": "//"}


def draw_gantt(figure: Any, outcomes: Sequence[Outcome]) -> None:
    """Draw the attempts of the first run as bars: a row for each executor, a colour for each kind of task."""
    axes = figure.add_subplot()
    outcome = outcomes[0]
    rows: dict[tuple[int, int], int] = {}
    for run in sorted(outcome.tasks, key=_place_of):
        rows.setdefault((run.host, run.lane), len(rows))
    kinds: dict[str, int] = {}
    for run in outcome.tasks:
        number = kinds.setdefault(run.name, len(kinds))
        row = rows[(run.host, run.lane)]
        axes.barh(
            row,
            run.end_s - run.begin_s,
            left=run.begin_s,
            height=0.8,
            color=colour_of(number),
            hatch=_FILLS[run.how],
            edgecolor="white" if not _FILLS[run.how] else "black",
            linewidth=0.4,
        )
        if len(outcome.tasks) <= NAMED_MAX:
            centre_s = (run.begin_s + run.end_s) / 2
            axes.text(centre_s, row, str(run.task), ha="center", va="center", fontsize=5, clip_on=True)
    if not rows:
        say_empty(axes, "no task ran")
    _name_rows(axes, outcome, rows)
    axes.set_xlabel("virtual time (s)")
    axes.set_ylabel("host (a row for each executor)")
    axes.grid(axis="x", alpha=0.3)
    set_title(axes, "Attempts (numbers: tasks; hatched: lost or failed)", [outcome])
    _add_kinds(axes, kinds)


def draw_makespans(figure: Any, outcomes: Sequence[Outcome]) -> None:
    """Draw the makespans of the jobs of each run: a bar for the mean, a point for each job."""
    axes = figure.add_subplot()
    labels: dict[str, list[float]] = {}
    for outcome in outcomes:
        own = labels.setdefault(label_of(outcome, outcomes), [])
        own.extend([job.makespan_s() for job in outcome.jobs if job.makespan_s() != NEVER])
    for number, makespans_s in enumerate(labels.values()):
        if makespans_s:
            axes.bar(number, fmean(makespans_s), color=colour_of(number), alpha=0.6, width=0.6)
            axes.plot([number] * len(makespans_s), makespans_s, ".", color="#000000", markersize=4)
    if not any(labels.values()):
        say_empty(axes, "no job was done")
    axes.set_xticks(range(len(labels)), list(labels), rotation=20 if len(labels) > 4 else 0, fontsize=8)
    axes.set_ylabel("makespan (s)")
    axes.set_xlabel("run")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.3)
    set_title(axes, "Makespans (points: jobs)", outcomes)


def _place_of(run: Any) -> tuple[int, int]:
    return (run.host, run.lane)


def _name_rows(axes: Any, outcome: Outcome, rows: dict[tuple[int, int], int]) -> None:
    """Write the name of each host beside the first of its rows, the first host at the top."""
    firsts: dict[int, int] = {}
    for (host, _), row in rows.items():
        firsts.setdefault(host, row)
    step = max(1, len(firsts) // 40)
    shown = list(firsts.items())[::step]
    axes.set_yticks([row for _, row in shown], [outcome.hosts[host] for host, _ in shown], fontsize=7)
    axes.invert_yaxis()


def _add_kinds(axes: Any, kinds: dict[str, int]) -> None:
    if not 1 < len(kinds) <= 12:
        return
    from matplotlib.patches import Patch

    patches = [Patch(color=colour_of(number), label=name) for name, number in kinds.items()]
    axes.legend(handles=patches, fontsize=7, loc="upper right")

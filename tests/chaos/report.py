"""What a chaos run showed, as figures, as text and as a plot."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, Final

from tests.chaos.history import FINAL, History
from tests.chaos.run import Outcome

COLOURS: Final = {
    "kill": "#d55e00",
    "stop": "#e69f00",
    "cut": "#0072b2",
    "loss": "#56b4e9",
    "black": "#000000",
}
OTHER_COLOUR: Final = "#009e73"
DAEMON_ENDS: Final = ("daemon_failed", "daemon_bug")


def report_of(outcome: Outcome, seed: str) -> dict[str, Any]:
    """Return the figures of a run."""
    history = outcome.history
    kinds: dict[str, int] = {}
    for fault in history.faults:
        kinds[fault.kind] = kinds.get(fault.kind, 0) + 1
    executions = list(history.executions().values())
    starts, worst = stall(history, outcome.began, outcome.ended)
    return {
        "seed": seed,
        "seconds": round(outcome.ended - outcome.began, 1),
        "faults": dict(sorted(kinds.items())),
        "fault_count": len(history.faults),
        "jobs": jobs_of(history),
        "operations": operations_of(history),
        "tasks": len(executions),
        "executions": sum(executions),
        "executions_per_task": round(sum(executions) / max(len(executions), 1), 3),
        "most_executions": max(executions, default=0),
        "elections": elections_of(outcome),
        "longest_stall_s": round(worst, 1),
        "longest_stall_at_s": round(starts - outcome.began, 1),
        "whole_again_s": round(outcome.whole_s, 1),
        "daemons_that_gave_up": sum(line.get("event") in DAEMON_ENDS for _, line in outcome.logs),
        "reopened": len(history.reopened),
        "complaints": list(outcome.complaints),
    }


def jobs_of(history: History) -> dict[str, int]:
    """Return how many jobs were submitted and acknowledged, and how they ended."""
    by_job = history.by_job()
    found = {"submitted": 0, "acknowledged": 0, "refused": 0, **dict.fromkeys(FINAL, 0), "unknown": 0}
    for operations in by_job.values():
        submits = [each for each in operations if each.action == "submit"]
        states = [each.state for each in operations if each.state]
        found["submitted"] += 1
        found["acknowledged"] += any(each.phase == "ok" for each in submits)
        found["refused"] += all(each.phase == "fail" for each in submits)
        last = states[-1] if states else "unknown"
        if last in found:
            found[last] += 1
    return found


def operations_of(history: History) -> dict[str, dict[str, int]]:
    """Return how many operations of each kind ended how."""
    found: dict[str, dict[str, int]] = {}
    for operation in history.operations:
        row = found.setdefault(operation.action, {"ok": 0, "fail": 0, "unknown": 0})
        row[operation.phase] += 1
    return found


def elections_of(outcome: Outcome) -> int:
    """Return how many leaderships the nodes told of: ballots, each counted once."""
    ballots = {
        (line.get("leader"), line.get("counter"))
        for _, line in outcome.logs
        if line.get("event") == "leader_changed" and line.get("leader")
    }
    return len(ballots)


def stall(history: History, began: float, ended: float) -> tuple[float, float]:
    """Return (since when, how long) no task began and no job ended although an acknowledged one waited."""
    steps = sorted(
        [began, ended]
        + [begin.time for begin in history.begins]
        + [each.ended for each in history.operations if each.state in FINAL]
    )
    open_from: list[tuple[float, float]] = []
    for operations in history.by_job().values():
        since = min(
            [each.ended for each in operations if each.action == "submit" and each.phase == "ok"], default=0
        )
        until = min([each.ended for each in operations if each.state in FINAL], default=float("inf"))
        if since:
            open_from.append((since, until))
    worst = (began, 0.0)
    for early, late in itertools.pairwise(steps):
        if late > ended:
            break
        waiting = [max(since, early) for since, until in open_from if since < late and until >= late]
        if waiting and late - min(waiting) > worst[1]:
            worst = (min(waiting), late - min(waiting))
    return worst


def text_of(report: dict[str, Any]) -> str:
    """Return a report for people."""
    jobs = report["jobs"]
    faults = ", ".join([f"{kind} {count}" for kind, count in report["faults"].items()])
    taken = f"{jobs['submitted']} submitted, {jobs['acknowledged']} acknowledged, {jobs['refused']} refused"
    ends = f"{jobs['done']} done, {jobs['failed']} failed as they have to, {jobs['cancelled']} cancelled"
    average = f"{report['executions_per_task']:g} executions per task, at most {report['most_executions']}"
    stalled = f"{report['longest_stall_s']:g} s without progress of acknowledged jobs"
    lines = [
        f"chaos for {report['seconds']:g} s with seed {report['seed']}",
        f"  faults      {report['fault_count']}: {faults}",
        f"  jobs        {taken}; {ends}",
        f"  tasks       {report['tasks']} ran {report['executions']} times: {average}",
        f"  elections   {report['elections']}",
        f"  stall       {stalled} at most (from {report['longest_stall_at_s']:g} s on)",
        f"  whole again {report['whole_again_s']:g} s after the last fault",
    ]
    for action, row in report["operations"].items():
        lines.append(f"  {action:11} {row['ok']} ok, {row['fail']} fail, {row['unknown']} without an answer")
    lines.append(f"  reopened    {report['reopened']} jobs were shown done and then, after a fault, running")
    lines.append(f"  gave up     {report['daemons_that_gave_up']} daemons ended by themselves")
    lines.append(f"  broken      {len(report['complaints'])} promises")
    lines += [f"    {complaint}" for complaint in report["complaints"]]
    return "\n".join(lines)


def write_report(report: dict[str, Any], outcome: Outcome, folder: Path, plot: Path | None) -> None:
    """Write the report as JSON and text, and the plot."""
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / "report.txt").write_text(text_of(report) + "\n")
    for target in [folder / "chaos.svg", *([plot] if plot else [])]:
        draw(report, outcome, target)


def draw(report: dict[str, Any], outcome: Outcome, path: Path) -> None:
    """Draw how many jobs were acknowledged and ended over the time of the run, above its faults."""
    from sims.lab.figures import new_axes, save_figure

    history, zero = outcome.history, outcome.began
    broken = len(report["complaints"])
    title = f"Chaos, seed {report['seed']}: {report['fault_count']} faults, {broken} broken promises"
    axes = new_axes(title, "seconds", "jobs")
    by_job = history.by_job().values()
    accepted = [
        min(each.ended for each in operations if each.action == "submit" and each.phase == "ok")
        for operations in by_job
        if any(each.action == "submit" and each.phase == "ok" for each in operations)
    ]
    ended = [
        min(each.ended for each in operations if each.state in FINAL)
        for operations in by_job
        if any(each.state in FINAL for each in operations)
    ]
    for moments, name, colour in ((accepted, "acknowledged", "#0072b2"), (ended, "seen to end", "#009e73")):
        axes.step(
            [moment - zero for moment in sorted(moments)],
            range(1, len(moments) + 1),
            label=name,
            color=colour,
        )
    height = max(len(accepted), 1)
    kinds = sorted({fault.kind for fault in history.faults})
    for fault in history.faults:
        row = -height * 0.045 * (1 + kinds.index(fault.kind))
        width = max(min(fault.ended, outcome.ended) - fault.began, 0.2)
        axes.barh(row, width, left=fault.began - zero, height=height * 0.035, color=colour_of(fault.kind))
    ticks = [-height * 0.045 * (1 + number) for number in range(len(kinds))]
    steps = [height * part / 4 for part in range(5)]
    axes.set_yticks([*ticks, *steps], [*kinds, *[f"{step:.0f}" for step in steps]], fontsize="x-small")
    axes.set_xlim(0, outcome.ended - zero)
    save_figure(axes, path)


def colour_of(kind: str) -> str:
    """Return the colour of a kind of fault."""
    return next((colour for start, colour in COLOURS.items() if kind.startswith(start)), OTHER_COLOUR)

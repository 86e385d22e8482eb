"""Tables and plots of what was measured: ``python -m tests.bench.membership.report --help``.

Takes the files of `tests.bench.membership` and of `sims.lab.membership`; either may be missing. Prints the
tables, or puts them between the marks of a document, ``<!-- goals -->`` and so on, each up to the next ``<!--
end -->``.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sims.lab.figures import new_axes, save_figure
from sims.lab.membership import (
    STARVED_SETTINGS,
    load,
    medians_by_size,
    plot_detection,
    plot_dissemination,
    plot_load,
    results,
)
from tests.bench.membership.goals import (
    GOALS,
    figure_text,
    judge,
    judge_simulated,
    nodes_of,
    number_text,
    of_goal,
)
from tests.bench.membership.group import SYSTEMS
from tests.bench.membership.rows import Row, chosen, load_rows, summary

BLOCK = r"(<!-- {name} -->\n)(.*?)(<!-- end -->)"

BESIDE: tuple[tuple[str, str, str], ...] = (
    ("whole", "ready_s", "start of all processes until the last is ready, s"),
    ("whole", "agree_from_start_s", "all agree, from the start of the first process, s"),
    ("whole", "leader_from_ready_s", "one leader known to all, from the last one's readiness, s"),
    ("whole", "kill_first_s", "`kill -9`: known to the first, s"),
    ("whole", "restart_known_s", "killed one started again: listed by all, s"),
    ("whole", "silence_first_s", "cable pulled: known to the first, s"),
    ("whole", "silence_healed_s", "cable put back: all list all, s"),
    ("whole", "stop_known_s", "SIGSTOP: dead for all, s"),
    ("loss", "loss_watched_s", "how long 30 % of packets were lost, s"),
    ("loss", "loss_suspicions", "suspicions under that loss of packets, all judges"),
    ("whole", "idle_bytes_most_per_s", "sent at rest by the one that sends most, B/s"),
    ("whole", "idle_cpu_percent", "processor at rest, % of a core"),
    ("whole", "held_mb", "memory, proportional, MB"),
    ("merge", "merged_leader_s", "two that started apart: one leader, s"),
    ("outsider", "open_us", "opening a datagram of a member, µs"),
)
"""Figures without a goal that help to read the others: (session, metric, text)."""


def goals_table(rows: Sequence[Row], simulated: Sequence[Mapping[str, Any]]) -> str:
    """Return the goals with what was measured."""
    lines = [
        "| goal | what | n | bound | swarm | Serf, one address | Serf, mDNS | met |",
        "|---|---|---|---|---|---|---|---|",
    ]
    judged = [judge(goal, rows) for goal in GOALS] + judge_simulated(simulated)
    for one in sorted(judged, key=lambda each: each.number):
        if one.is_met is None:
            continue
        own = one.figures.get("swarm") or one.figures.get("swarm-peer", "")
        cells = [own, one.figures.get("serf", ""), one.figures.get("serf-mdns", "")]
        met = "yes" if one.is_met else "**no**"
        size = str(one.nodes) if one.nodes > 1 else ""
        lines.append(f"| {one.number} | {one.text} | {size} | {one.bound} | {' | '.join(cells)} | {met} |")
    return "\n".join(lines) + "\n"


def beside_table(rows: Sequence[Row]) -> str:
    """Return the figures without a goal."""
    lines = ["| what | swarm | Serf, one address |", "|---|---|---|"]
    for session, metric, text in BESIDE:
        cells: list[str] = []
        for system in ("swarm", "serf"):
            wanted = chosen(rows, session=session, metric=metric, system=system)
            most = max([row.nodes for row in wanted], default=0)
            found = summary(chosen(wanted, nodes=most))
            cells.append("" if found is None else figure_text(found, ""))
        if any(cells):
            lines.append(f"| {text} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def growth_table(simulated: Sequence[Mapping[str, Any]]) -> str:
    """Return the curves over size as a table of medians."""
    fields = (
        ("packets_per_node_s", "packets/s"),
        ("bytes_per_node_s", "B/s"),
        ("rumour_99_s", "rumour at 99 of 100, s"),
        ("rumour_all_s", "at all, s"),
        ("killed_all_s", "process killed: known to all, s"),
        ("silent_suspect_s", "host silent: first suspicion, s"),
        ("silent_first_s", "first verdict, s"),
        ("silent_all_s", "known to all, s"),
        ("formed_s", "formed, s"),
    )
    runs = [dict(row) for row in simulated]
    columns = [dict(medians_by_size(runs, field)) for field, _ in fields]
    head = ["members", *[text for _, text in fields]]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for size in columns[0]:
        cells = [_or_never(column[size]) for column in columns]
        lines.append(f"| {size} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cuts_table(simulated: Sequence[Mapping[str, Any]]) -> str:
    """Return cuts through the middle by size: medians, and the worst of healing."""
    runs = [dict(row) for row in simulated]
    lines = [
        "| members | first verdict, s | both sides know all, s | healed, s | worst, s |",
        "|---|---|---|---|---|",
    ]
    first, known, healed = [
        dict(medians_by_size(runs, field, "cuts")) for field in ("first_s", "known_s", "healed_s")
    ]
    for size in first:
        times = [row["healed_s"] for row in results(runs, "cuts", nodes=size)]
        worst = max(float("inf") if value < 0 else value for value in times)
        values = (first[size], known[size], healed[size], worst)
        lines.append(f"| {size} | {' | '.join(_or_never(value) for value in values)} |")
    return "\n".join(lines) + "\n"


def _or_never(value: float) -> str:
    return "never" if value == float("inf") else number_text(value)


def starved_table(simulated: Sequence[Mapping[str, Any]]) -> str:
    """Return verdicts on members that are well, by settings and by how many others are starved; means."""
    runs = [dict(row) for row in simulated]
    counts = sorted({row["starved"] for row in results(runs, "starved")})
    names = {"swim": "plain SWIM", "lifeguard": "Lifeguard", "swarm": "swarm"}
    lines = [
        f"| starved of 32 | {' | '.join(names[name] for name in STARVED_SETTINGS)} |",
        "|---|" + "---|" * len(STARVED_SETTINGS),
    ]
    for count in counts:
        cells: list[str] = []
        for name in STARVED_SETTINGS:
            dead = [row["dead"] for row in results(runs, "starved", settings=name, starved=count)]
            cells.append(number_text(statistics.mean(dead)) if dead else "")
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def filled(document: str, blocks: Mapping[str, str]) -> str:
    """Return a document with the text of each block between its marks.

    Raises:
        ValueError: the document has no such marks.
    """
    for name, text in blocks.items():
        found = re.search(BLOCK.format(name=re.escape(name)), document, re.DOTALL)
        if found is None:
            raise ValueError(f"the document has no block <!-- {name} -->")
        document = f"{document[: found.end(1)]}\n{text}\n{document[found.start(3) :]}"
    return document


def plot_beside(rows: Sequence[Row], path: Path) -> None:
    """Draw the seconds of both systems beside each other, with the goals."""
    axes = new_axes("real nodes in namespaces: medians and ranges", "seconds", "")
    goals = [goal for goal in GOALS if goal.unit == "s" and not goal.worst]
    shown = [goal for goal in goals if judge(goal, rows).is_met is not None][::-1]
    styles = (("swarm", "C0"), ("swarm-peer", "C0"), ("serf", "C1"), ("serf-mdns", "C2"))
    labelled: set[str] = {"swarm-peer"}
    for place, goal in enumerate(shown):
        axes.plot([goal.at_most], [place], "k|", markersize=12, label="" if place else "goal")
        for system, colour in styles:
            found = summary(of_goal(goal, rows, system))
            if found is None or system not in goal.systems:
                continue
            values = [
                max(0.01, found.limit if value is None else value)
                for value in (found.least, found.median, found.most)
            ]
            label = "" if system in labelled else SYSTEMS[system].label
            labelled.add(system)
            offset = {"C0": 0.2, "C1": 0.0, "C2": -0.2}[colour]
            axes.plot(values[::2], [place + offset] * 2, color=colour, linewidth=1)
            never = ">" if found.median is None else "o"
            axes.plot([values[1]], [place + offset], never, color=colour, label=label)
    axes.set_xscale("log")
    texts = [f"{goal.text.replace('`', '')}, n = {nodes_of(goal, rows)}" for goal in shown]
    axes.set_yticks(range(len(shown)), texts, fontsize="x-small")
    figure = axes.get_figure(root=True)
    assert figure is not None, "axes belong to a figure"
    figure.set_size_inches(10, 1.5 + 0.4 * len(shown))
    save_figure(axes, path)


def main() -> int:
    """Write tables and plots; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.membership.report", description=__doc__)
    parser.add_argument("--real", type=Path, help="file of tests.bench.membership")
    parser.add_argument("--simulated", type=Path, help="file of sims.lab.membership")
    parser.add_argument("--document", type=Path, help="put the tables there instead of printing them")
    parser.add_argument("--plots", type=Path, help="folder for plots")
    options = parser.parse_args()
    rows = load_rows(options.real) if options.real and options.real.exists() else []
    simulated = load(options.simulated) if options.simulated else []
    blocks = {"goals": goals_table(rows, simulated), "beside": beside_table(rows)}
    if results(simulated, "growth"):
        blocks["growth"] = growth_table(simulated)
    if results(simulated, "cuts"):
        blocks["cuts"] = cuts_table(simulated)
    if results(simulated, "starved"):
        blocks["starved"] = starved_table(simulated)
    if options.document:
        text = options.document.read_text(encoding="utf-8")
        options.document.write_text(filled(text, blocks), encoding="utf-8")
    else:
        print("\n".join(blocks.values()))
    if options.plots:
        options.plots.mkdir(parents=True, exist_ok=True)
        if rows:
            plot_beside(rows, options.plots / "membership_beside.svg")
        if results(simulated, "growth"):
            plot_load(simulated, options.plots / "membership_load.svg")
            plot_detection(simulated, options.plots / "membership_detection.svg")
            plot_dissemination(simulated, options.plots / "membership_dissemination.svg")
    if options.real and options.real.exists():
        print(json.dumps(json.loads(options.real.read_text(encoding="utf-8"))["about"]), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

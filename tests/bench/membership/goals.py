"""The goals of membership, and how each figure is judged. Numbers are those of the goals of the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sims.lab.membership import RUMOUR_NODES, medians_by_size, results
from tests.bench.membership.rows import Row, Summary, chosen, summary

SimulatedRow = Mapping[str, Any]

HEALED_SIZES = (50, 200, 500)
"""Of the cuts in the simulator that are judged; smaller ones are made of real nodes."""


@dataclass(frozen=True)
class Goal:
    """Something measured on real nodes that must stay within a bound.

    Attributes:
        number: of the goal, shared by figures of one goal.
        text: what is measured, for the table.
        at_most: the bound of the figure.
        unit: of the figure, "" for a count.
        session, metric: which rows; of the size asked for, or of `nodes`.
        nodes: 0 for the largest that was measured.
        worst: the greatest figure is judged, not the median: for what must never happen.
        systems: of swarm and of Serf, the first one's row of each decides.
    """

    number: int
    text: str
    at_most: float
    unit: str
    session: str
    metric: str
    nodes: int = 0
    worst: bool = False
    systems: tuple[str, ...] = ("swarm", "serf")


GOALS: tuple[Goal, ...] = (
    Goal(
        1,
        "started together, multicast only: all agree, from the last one's readiness",
        2.0,
        "s",
        "whole",
        "agree_from_ready_s",
        systems=("swarm", "serf", "serf-mdns"),
    ),
    Goal(2, "`kill -9`: known to all others", 1.5, "s", "whole", "kill_known_s"),
    Goal(3, "cable pulled: known to all others", 6.0, "s", "whole", "silence_known_s"),
    Goal(4, "half cut off: all lost ones known to both sides", 10.0, "s", "whole", "cut_known_s"),
    Goal(
        5, "verdicts on the living while 30 % of packets are lost", 0, "", "loss", "loss_deaths", worst=True
    ),
    Goal(7, "sent at rest, each, bytes/s on the cable", 600.0, "B/s", "whole", "idle_bytes_per_s"),
    Goal(10, "healed: all list all", 5.0, "s", "heal", "healed_s", 2),
    Goal(10, "healed: all list all", 5.0, "s", "heal", "healed_s", 3),
    Goal(10, "healed: all list all", 5.0, "s", "heal", "healed_s", 5),
    Goal(10, "healed: all list all", 5.0, "s", "heal", "healed_s", 10),
    Goal(10, "healed: all list all", 5.0, "s", "whole", "healed_s"),
    Goal(10, "healed: one leader too", 5.0, "s", "whole", "healed_leader_s"),
    Goal(
        11,
        "two that started apart meet: all list all",
        5.0,
        "s",
        "merge",
        "merged_s",
        systems=("swarm", "serf", "serf-mdns"),
    ),
    Goal(
        11,
        "all started alone and meet at once: all list all",
        5.0,
        "s",
        "alone",
        "met_s",
        systems=("swarm", "serf", "serf-mdns"),
    ),
    Goal(12, "SIGSTOP ends: alive for all again", 1.5, "s", "whole", "stop_woken_s"),
    Goal(12, "sleep ends: alive for all again", 1.5, "s", "whole", "sleep_woken_s"),
    Goal(12, "verdicts by the one stopped", 0, "", "whole", "stop_deaths_by_sleeper", worst=True),
    Goal(12, "verdicts by the sleeper", 0, "", "whole", "sleep_deaths_by_sleeper", worst=True),
    Goal(12, "verdicts on others, SIGSTOP", 0, "", "whole", "stop_deaths_of_others", worst=True),
    Goal(12, "verdicts on others, sleep", 0, "", "whole", "sleep_deaths_of_others", worst=True),
    Goal(12, "declared dead again after SIGSTOP", 0, "", "whole", "stop_deaths_after_waking", worst=True),
    Goal(12, "declared dead again after sleep", 0, "", "whole", "sleep_deaths_after_waking", worst=True),
    Goal(
        16,
        "no multicast, one address each: all agree, from readiness",
        3.0,
        "s",
        "deaf",
        "deaf_agree_from_ready_s",
        systems=("swarm-peer", "serf"),
    ),
    Goal(17, "two copies of one identity: both listed by all", 10.0, "s", "clone", "clones_apart_s"),
    Goal(19, "bytes of the seal", 40.0, "B", "outsider", "overhead_bytes"),
    Goal(19, "refusing noise", 10.0, "µs", "outsider", "refuse_noise_us"),
    Goal(19, "refusing another mesh's datagram", 10.0, "µs", "outsider", "refuse_other_mesh_us"),
    Goal(19, "refusing one with our tag and no key", 10.0, "µs", "outsider", "refuse_forged_us"),
    Goal(19, "refusing one heard before", 10.0, "µs", "outsider", "refuse_replayed_us"),
)


@dataclass(frozen=True)
class Judged:
    """A goal with what was measured.

    Attributes:
        number, text, bound: of the goal; the bound with its sign and unit.
        nodes: size of the group, 0 where the text says it or it means nothing.
        figures: of each system by name, as text; "" where nothing was measured.
        is_met: None when nothing was measured.
    """

    number: int
    text: str
    bound: str
    figures: Mapping[str, str]
    is_met: bool | None
    nodes: int = 0


def judge(goal: Goal, rows: Sequence[Row]) -> Judged:
    """Judge a goal by the rows of swarm, the first of its systems; others are shown beside it."""
    figures: dict[str, str] = {}
    is_met: bool | None = None
    for number, system in enumerate(goal.systems):
        found = summary(of_goal(goal, rows, system))
        if found is None:
            continue
        figures[system] = figure_text(found, goal.unit)
        if number == 0:
            value = found.most if goal.worst else found.median
            is_met = value is not None and value <= goal.at_most
    bound = "0" if not goal.at_most else f"≤ {number_text(goal.at_most)} {goal.unit}"
    return Judged(goal.number, goal.text, bound, figures, is_met, nodes_of(goal, rows))


def nodes_of(goal: Goal, rows: Sequence[Row]) -> int:
    """Return the size of group that a goal is judged by: its own, or the largest of swarm's."""
    wanted = chosen(rows, session=goal.session, metric=goal.metric, system=goal.systems[0])
    return goal.nodes or max([row.nodes for row in wanted], default=0)


def of_goal(goal: Goal, rows: Sequence[Row], system: str) -> list[Row]:
    """Return a system's rows that a goal is about."""
    size = nodes_of(goal, rows)
    return chosen(rows, session=goal.session, metric=goal.metric, system=system, nodes=size)


def judge_simulated(rows: Sequence[SimulatedRow]) -> list[Judged]:
    """Judge what the simulator answers: who is wronged, load, healing and rumours of large meshes."""
    runs = [dict(row) for row in rows]
    found: list[Judged] = []
    lossy = results(runs, "loss")
    if lossy:
        dead = sum(row["dead"] for row in lossy)
        minutes = sum(row["seconds"] for row in lossy) / 60
        text = f"simulated: verdicts on the living, 20 nodes, 30 % loss, {minutes:.0f} min in all"
        found.append(Judged(5, text, "0", {"swarm": str(dead)}, dead == 0))
    ratio = starved_ratio(runs)
    if ratio is not None:
        shown = "none wronged" if ratio == float("inf") else f"{ratio:.0f} ×"
        text = "simulated: fewer verdicts on the well than plain SWIM, 1 to 4 of 32 starved"
        found.append(Judged(6, text, "≥ 50 ×", {"swarm": shown}, ratio >= 50))
    load = dict(medians_by_size(runs, "bytes_per_node_s")).get(RUMOUR_NODES)
    if load is not None:
        text = "simulated: sent at rest at n = 500, bytes/s on the cable"
        found.append(Judged(7, text, "≤ 1000 B/s", {"swarm": f"{load:.0f} B/s"}, load <= 1000))
    healed = dict(medians_by_size(runs, "healed_s", "cuts"))
    for size in HEALED_SIZES:
        if size in healed:
            shown = "never" if healed[size] == float("inf") else f"{number_text(healed[size])} s"
            text = f"simulated: healed, one table and one leader, n = {size}"
            found.append(Judged(10, text, "≤ 5 s", {"swarm": shown}, healed[size] <= 5))
    for field, share, bound in (
        ("rumour_99_s", "99 of 100 have", 2.5),
        ("rumour_all_s", "everybody has", 10.0),
    ):
        times = [time_s for row in results(runs, "rumours") for time_s in row[field]]
        if times:
            worst = max(float("inf") if time_s < 0 else time_s for time_s in times)
            shown = "never" if worst == float("inf") else f"{worst:.2f} s"
            text = f"simulated: {share} a rumour at n = 500 and 5 % loss, worst of {len(times)}"
            found.append(Judged(18, text, f"≤ {bound:g} s", {"swarm": shown}, worst <= bound))
    return found


def starved_ratio(rows: Sequence[dict[str, Any]]) -> float | None:
    """Return how many times as many verdicts plain SWIM gives as swarm; None of no runs."""
    swim = [row["dead"] for row in results(rows, "starved", settings="swim")]
    swarm = [row["dead"] for row in results(rows, "starved", settings="swarm")]
    if not swim or not swarm:
        return None
    return float("inf") if not sum(swarm) else (sum(swim) / len(swim)) / (sum(swarm) / len(swarm))


def number_text(value: float) -> str:
    """Return a figure with as many digits as it deserves."""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def figure_text(found: Summary, unit: str) -> str:
    """Return a summary as ``median (least–most, k runs)``; "> limit" for what did not come about."""

    def text(value: float | None) -> str:
        return f"> {number_text(found.limit)}" if value is None else number_text(value)

    median = f"{text(found.median)} {unit}".strip()
    if found.runs == 1:
        return median
    if found.least == found.most:
        return f"{median} ({found.runs})"
    return f"{median} ({text(found.least)}–{text(found.most)}, {found.runs})"

"""Plots of the membership: convergence, detection latencies, false suspicions, leaders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sims.outcome import Outcome
from sims.plotting.canvas import add_legend, colour_of, label_of, say_empty, set_title
from sims.recording.rows import NEVER

_WHICH: Final = (
    ("suspect", "suspected by the first", ":"),
    ("first", "dead for the first", "--"),
    ("all", "dead for all", "-"),
)
_RATE_WINDOWS: Final = 60


def draw_convergence(figure: Any, outcomes: Sequence[Outcome]) -> None:
    """Draw the share of right (node, member) pairs over time, and deaths as ticks below."""
    axes = figure.add_subplot()
    for number, outcome in enumerate(outcomes):
        times_s = [sample.time_s for sample in outcome.samples]
        shares = [100 * sample.share for sample in outcome.samples]
        label = label_of(outcome, outcomes)
        axes.step(times_s, shares, where="post", color=colour_of(number), label=label, linewidth=1.4)
        deaths_s = [death.time_s for death in outcome.deaths]
        if deaths_s:
            axes.plot(deaths_s, [-3.0] * len(deaths_s), "|", color=colour_of(number), clip_on=False)
    axes.set_xlabel("virtual time (s)")
    axes.set_ylabel("right (node, member) pairs (%)")
    axes.set_ylim(-5, 105)
    axes.grid(alpha=0.3)
    set_title(axes, "Membership convergence (ticks: a node ends)", outcomes)
    add_legend(axes)


def draw_detection(figure: Any, outcomes: Sequence[Outcome]) -> None:
    """Draw the distribution of the time from a node's end to its detection."""
    axes = figure.add_subplot()
    is_empty = True
    for number, outcome in enumerate(outcomes):
        for which, words, style in _WHICH:
            latencies_s = sorted(outcome.detection_s(which))
            if not latencies_s:
                continue
            is_empty = False
            shares = [100 * (place + 1) / len(latencies_s) for place in range(len(latencies_s))]
            label = words if len(outcomes) == 1 else f"{label_of(outcome, outcomes)}: {words}"
            axes.step(
                [0.0, *latencies_s],
                [0.0, *shares],
                where="post",
                color=colour_of(number),
                linestyle=style,
                label=f"{label} ({len(latencies_s)})",
            )
    if is_empty:
        say_empty(axes, "no node ended that others could have seen")
    axes.set_xlabel("time since the node ended (s)")
    axes.set_ylabel("share of the deaths (%)")
    axes.set_ylim(0, 105)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    set_title(axes, "Detection latency", outcomes)
    add_legend(axes)


def draw_false_suspicions(figure: Any, outcomes: Sequence[Outcome]) -> None:
    """Draw the rate at which running members that nothing disturbed are suspected and declared dead."""
    axes = figure.add_subplot()
    for number, outcome in enumerate(outcomes):
        window_s = max(1.0, outcome.seconds / _RATE_WINDOWS)
        nodes = max(1, outcome.scenario.nodes)
        for verdict, style in (("suspect", "-"), ("dead", "--")):
            rates = [0.0] * (int(outcome.seconds / window_s) + 1)
            for doubt in outcome.doubts:
                if doubt.verdict == verdict and not doubt.is_excused:
                    rates[int(doubt.time_s / window_s)] += 60.0 / (window_s * nodes)
            begins_s = [place * window_s for place in range(len(rates))]
            words = "suspected" if verdict == "suspect" else "declared dead"
            label = words if len(outcomes) == 1 else f"{label_of(outcome, outcomes)}: {words}"
            axes.step(begins_s, rates, where="post", color=colour_of(number), linestyle=style, label=label)
    axes.set_xlabel("virtual time (s)")
    axes.set_ylabel("wrong verdicts per node and minute")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    set_title(axes, "False suspicions (members that run and are not disturbed)", outcomes)
    add_legend(axes)


def draw_leaders(figure: Any, outcomes: Sequence[Outcome]) -> None:
    """Draw who led when: a bar for each leadership, a line of the number of leaders above."""
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 3))
    for number, outcome in enumerate(outcomes):
        colour = colour_of(number)
        times_s = [sample.time_s for sample in outcome.samples]
        counts = [sample.leaders for sample in outcome.samples]
        above.step(times_s, counts, where="post", color=colour, label=label_of(outcome, outcomes))
        for reign in outcome.reigns:
            end_s = outcome.seconds if reign.end_s == NEVER else reign.end_s
            below.plot([reign.begin_s, end_s], [reign.host, reign.host], color=colour, linewidth=5)
            below.annotate(
                str(reign.counter),
                (reign.begin_s, reign.host),
                xytext=(0, 5),
                textcoords="offset points",
                fontsize=7,
            )
    above.set_ylabel("leaders")
    above.set_ylim(bottom=-0.2)
    above.grid(alpha=0.3)
    set_title(above, "Leaders (numbers: ballots)", outcomes)
    add_legend(above)
    hosts = sorted({reign.host for outcome in outcomes for reign in outcome.reigns})
    below.set_yticks(hosts, [outcomes[0].hosts[host] for host in hosts])
    below.set_xlabel("virtual time (s)")
    below.set_ylabel("host")
    below.grid(alpha=0.3)
    if not hosts:
        say_empty(below, "nobody led")

"""Plots of what nodes send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sims.outcome import Outcome
from sims.plotting.canvas import add_legend, colour_of, label_of, say_empty, set_title

CURVES_MAX: Final = 20
"""With more nodes only the mean, the least and the most of all are drawn."""


def draw_traffic(figure: Any, outcomes: Sequence[Outcome]) -> None:
    """Draw bytes and packets that nodes send per second, over time."""
    above, below = figure.subplots(2, 1, sharex=True)
    for number, outcome in enumerate(outcomes):
        bytes_s = _rates(outcome, ("packet_bytes_sent", "message_bytes_sent"))
        packets_s = _rates(outcome, ("packets_sent", "messages_sent"))
        for axes, rates in ((above, bytes_s), (below, packets_s)):
            _draw_rates(axes, rates, outcome, number, outcomes)
    if not any([outcome.traffic for outcome in outcomes]):
        say_empty(above, "the ideal model sends no packets")
    above.set_ylabel("sent per node\n(bytes/s)")
    below.set_ylabel("sent per node\n(packets/s)")
    below.set_xlabel("virtual time (s)")
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    set_title(above, "Traffic (datagrams and messages on streams)", outcomes)
    add_legend(above)


def _rates(outcome: Outcome, columns: tuple[str, ...]) -> list[list[float]]:
    """Return for each host the sum of the columns in each bucket, per second."""
    found: list[list[float]] = []
    if not outcome.traffic:
        return found
    for host in range(len(outcome.hosts)):
        parts = [outcome.traffic_of(column, host) for column in columns]
        found.append([sum(numbers) / outcome.bucket_s for numbers in zip(*parts, strict=True)])
    return found


def _draw_rates(
    axes: Any, rates: list[list[float]], outcome: Outcome, number: int, outcomes: Sequence[Outcome]
) -> None:
    if not rates:
        return
    # The last bucket is cut off by the end of the run.
    count = max(1, int(outcome.seconds / outcome.bucket_s))
    begins_s = [place * outcome.bucket_s for place in range(count)]
    means = [sum(column) / len(rates) for column in zip(*rates, strict=True)][:count]
    if len(outcomes) == 1 and len(rates) <= CURVES_MAX:
        for host, own in enumerate(rates):
            axes.plot(begins_s, own[:count], color=colour_of(host), linewidth=0.8, label=outcome.hosts[host])
        axes.plot(begins_s, means, color="#000000", linewidth=2, label="mean")
        return
    colour = colour_of(number)
    least = [min(column) for column in zip(*rates, strict=True)][:count]
    most = [max(column) for column in zip(*rates, strict=True)][:count]
    axes.fill_between(begins_s, least, most, color=colour, alpha=0.15, linewidth=0)
    label = "mean (band: least to most)" if len(outcomes) == 1 else label_of(outcome, outcomes)
    axes.plot(begins_s, means, color=colour, linewidth=1.5, label=label)

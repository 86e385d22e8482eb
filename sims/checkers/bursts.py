"""What excuses L4: bursts of losses that kept a leader from its council for too long for it to stay."""

from __future__ import annotations

from typing import TypeAlias

from swarm.election.config import ElectionConfig

Silence: TypeAlias = tuple[int, int, float, float]
"""Source, target, begin and end in seconds: what was sent on this way meanwhile was lost."""
Span: TypeAlias = tuple[float, float]


def unseat(silences: list[Silence], leader: int, others: list[int], config: ElectionConfig) -> bool:
    """Return whether bursts of losses can have ended a leadership.

    Either a majority of the council heard no beat for so long that its members let somebody stand, all at
    one time, and one of them for long enough to stand; or so many got no answer through to the leader for a
    lease that it had no majority. Losses that fell on other ways, on too few, or one after the other, excuse
    nothing.

    Args:
        silences: of all ways, as the network measured them.
        leader: its host.
        others: hosts of the others of its council.
        config: of the election.
    """
    majority = (len(others) + 1) // 2 + 1
    # A beat may be late by less than a third of an interval.
    late_s, after_s = config.beat_interval_s / 3, config.vote_timeout_s
    # The first beat of a lease needs no answer, and of two beats one is answered.
    answerless_s = config.lease_s - 2 * config.beat_interval_s
    distrusting: list[list[Span]] = []
    standing: list[Span] = []
    apart: list[list[Span]] = []
    for member in others:
        out = _spans_on(silences, leader, member)
        distrusting.append(_long(out, config.trust_s - late_s, after_s))
        standing.extend(_long(out, config.election_timeout_s - late_s, after_s))
        both = _joined(out + _spans_on(silences, member, leader), config.beat_interval_s)
        apart.append(_long(both, answerless_s, after_s))
    is_deposed = any([_count_at(begin_s, distrusting) >= majority for begin_s, _ in standing])
    lost = [_count_at(begin_s, apart) for spans in apart for begin_s, _ in spans]
    return is_deposed or max(lost, default=0) > len(others) + 1 - majority


def _spans_on(silences: list[Silence], source: int, target: int) -> list[Span]:
    return [(begin_s, end_s) for one, other, begin_s, end_s in silences if (one, other) == (source, target)]


def _joined(spans: list[Span], gap_s: float) -> list[Span]:
    """Join spans between which there was less than `gap_s`, in which nothing may have been sent."""
    joined: list[Span] = []
    for begin_s, end_s in sorted(spans):
        if joined and begin_s < joined[-1][1] + gap_s:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end_s))
        else:
            joined.append((begin_s, end_s))
    return joined


def _long(spans: list[Span], least_s: float, after_s: float) -> list[Span]:
    """Return when something had lasted for so long, and until it was over for a while."""
    return [(begin_s + least_s, end_s + after_s) for begin_s, end_s in spans if end_s - begin_s >= least_s]


def _count_at(now: float, spans_of: list[list[Span]]) -> int:
    """Return how many members are in one of their spans at a time."""
    return len([spans for spans in spans_of if [span for span in spans if span[0] <= now <= span[1]]])

"""What agents say of each other, and the arithmetic on it: who knew what, and when.

A *sighting* is one change of one judge's mind about one member, at the harness's own clock. Everything here
is pure, so that the figures of the benchmark can be tested without a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

UNKNOWN = "unknown"
ALIVE = "alive"
SUSPECT = "suspect"
DEAD = "dead"
LEFT = "left"

LISTED = (ALIVE, SUSPECT)
"""What counts as being there: Serf shows a suspect as alive, so the same is asked of both."""


@dataclass(frozen=True)
class Sighting:
    """One change of mind.

    Attributes:
        at_s: monotonic seconds of the harness.
        judge: the name of the agent whose mind it is.
        member: the name of the one it is about.
        state: one of the words above.
    """

    at_s: float
    judge: str
    member: str
    state: str


def pairs_of(judges: Iterable[str], members: Sequence[str]) -> set[tuple[str, str]]:
    """Return every (judge, member) of two different agents."""
    return {(judge, member) for judge in judges for member in members if judge != member}


def first_time_all(
    sightings: Sequence[Sighting],
    judges: Sequence[str],
    members: Sequence[str],
    states: Sequence[str],
    begin_s: float,
) -> float | None:
    """Return when all judges first held all members in one of `states` at once, None for never.

    Args:
        sightings: by time, those from before `begin_s` too: they say what was believed then.
        judges, members: whose mind about whom counts; nobody judges itself.
        states: what is wanted.
        begin_s: nothing earlier counts.

    Returns:
        Seconds after `begin_s`, 0 when it was so already.
    """
    pending = pairs_of(judges, members)
    for sighting in sightings:
        if sighting.at_s > begin_s and not pending:
            return 0.0
        pair = (sighting.judge, sighting.member)
        if sighting.state in states:
            pending.discard(pair)
        elif sighting.judge in judges and sighting.member in members and sighting.judge != sighting.member:
            pending.add(pair)
        if not pending and sighting.at_s >= begin_s:
            return sighting.at_s - begin_s
    return None if pending else 0.0


def first_times(
    sightings: Sequence[Sighting],
    judges: Sequence[str],
    members: Sequence[str],
    states: Sequence[str],
    begin_s: float,
) -> list[float]:
    """Return after how many seconds each pair came to one of `states`; ascending."""
    found: dict[tuple[str, str], float] = {}
    wanted = pairs_of(judges, members)
    for sighting in sightings:
        pair = (sighting.judge, sighting.member)
        if sighting.at_s >= begin_s and sighting.state in states and pair in wanted:
            found.setdefault(pair, sighting.at_s - begin_s)
    return sorted(found.values())


def not_yet(
    sightings: Sequence[Sighting], judges: Sequence[str], members: Sequence[str], states: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the pairs whose last word is none of `states`, sorted: for messages about what is missing."""
    last: dict[tuple[str, str], str] = {}
    for sighting in sightings:
        last[(sighting.judge, sighting.member)] = sighting.state
    return sorted(pair for pair in pairs_of(judges, members) if last.get(pair, UNKNOWN) not in states)


def verdicts(
    sightings: Sequence[Sighting],
    judges: Sequence[str],
    members: Sequence[str],
    state: str,
    begin_s: float,
    end_s: float,
) -> list[Sighting]:
    """Return the sightings of `state` in [begin_s, end_s) of these members by these judges."""
    wanted = pairs_of(judges, members)
    return [
        sighting
        for sighting in sightings
        if begin_s <= sighting.at_s < end_s
        and sighting.state == state
        and (sighting.judge, sighting.member) in wanted
    ]


def rate_per_s(before: Sequence[int], after: Sequence[int], seconds: float) -> list[float]:
    """Return how much each of some counters grew in a second.

    Raises:
        ValueError: a counter fell, their number changed, or no time has passed.
    """
    if seconds <= 0:
        raise ValueError(f"a rate needs some time, not {seconds} s")
    rates: list[float] = []
    for first, second in zip(before, after, strict=True):
        if second < first:
            raise ValueError(f"a counter fell from {first} to {second}")
        rates.append((second - first) / seconds)
    return rates

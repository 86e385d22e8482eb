"""What an election counts."""

from __future__ import annotations

from typing import Final

COUNTERS: Final[dict[str, str]] = {
    "ballots_jumped": "ballots ignored because their counter was too far above the fence",
    "beats_clashed": "frames that told a higher beat of the own leadership: a clone, or a lost journal",
    "elections_won": "leaderships begun",
    "leaderships_ended": "leaderships ended, for whatever reason",
    "packets_stale": "answers and orders to stand that came too late",
    "packets_undecodable": "packets that are not of the layout of their kind",
    "packets_unexpected": "packets of unknown kinds, of this node itself, or of nodes that have no say",
    "pre_votes_denied": "pre-votes refused to others",
    "pre_votes_granted": "pre-votes given to others",
    "rounds_started": "rounds of pre-votes or votes begun",
    "rounds_timed_out": "rounds that ended without a decision",
    "votes_denied": "votes refused to others",
    "votes_granted": "votes given to others",
}
"""Name and meaning of each counter in `Election.statistics`."""

STRICT_COUNTERS: Final[dict[str, str]] = {
    "configurations_installed": "configurations written to disk, those of the own leaderships included",
    "leases_lost": "leaderships that ended because no majority of voters answered",
    "voters_added": "changes of the configuration that this node made, by adding a voter",
    "voters_removed": "the same, by removing one",
    "votes_outdated": "votes and pre-votes refused to nodes that knew a lower configuration",
}
"""What strict elections count besides."""


def new_counters() -> dict[str, int]:
    """Return all counters of an election at 0."""
    return dict.fromkeys(COUNTERS, 0)


def new_strict_counters() -> dict[str, int]:
    """Return all counters of a strict election at 0."""
    return {**dict.fromkeys(COUNTERS, 0), **dict.fromkeys(STRICT_COUNTERS, 0)}

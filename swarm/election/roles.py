"""The roles a node may have in the election and the changes between them; all of them, nothing else.

::

    FOLLOWER ──── no beat grows ───────────► PRE_CANDIDATE
    PRE_CANDIDATE ── majority would vote ──► CANDIDATE
    CANDIDATE ────── majority voted ───────► LEADER
    FOLLOWER ─────── told to stand ────────► CANDIDATE
    any of these ─── a beat grows, a higher ballot, no majority, quorum lost, clock gap ──► FOLLOWER
    any of these ─── resign ──► RETIRED (for good: follows and votes, never stands)
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Role(Enum):
    """What a node is in the election."""

    FOLLOWER = 1
    PRE_CANDIDATE = 2
    CANDIDATE = 3
    LEADER = 4
    RETIRED = 5


CHANGES: Final[dict[Role, tuple[Role, ...]]] = {
    Role.FOLLOWER: (Role.PRE_CANDIDATE, Role.CANDIDATE, Role.RETIRED),
    Role.PRE_CANDIDATE: (Role.FOLLOWER, Role.CANDIDATE, Role.RETIRED),
    Role.CANDIDATE: (Role.FOLLOWER, Role.LEADER, Role.RETIRED),
    Role.LEADER: (Role.FOLLOWER, Role.RETIRED),
    Role.RETIRED: (),
}
"""For each role the roles that may follow it."""


def is_allowed(before: Role, after: Role) -> bool:
    """Return whether a node may go from role `before` to role `after`."""
    return after in CHANGES[before]

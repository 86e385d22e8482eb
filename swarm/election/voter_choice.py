"""Which one change of the voters a leader wants next. Pure: everything it weighs is in its arguments.

At rest an odd number of voters is there: an even electorate survives no more deaths than the odd one below
it, and needs one more voter that is there. So a second voter comes only with a third, and two that are lost
for good are dropped together, one after the other. Each change is one step and leaves a mesh that works.

Sources: Consul autopilot (servers stabilise before they vote, dead ones are cleaned up); Ongaro's thesis
§4.1.
"""

from __future__ import annotations

from typing import Final, TypeAlias, final

from swarm.core.ids import NodeId
from swarm.core.records import Record

ADD: Final = 1
REMOVE: Final = 2

VoterChange: TypeAlias = tuple[int, NodeId]
"""ADD or REMOVE, and whom."""


@final
class Standing(Record):
    """A member as the choice of voters sees it.

    Attributes:
        node_id: who.
        rank: its place among the members by fitness, 0 for the fittest.
        is_voter: whether it votes now.
        is_there: a voter that answers, or a member that answered for long enough to become one.
        is_lost: a voter that answered nothing for long.
        is_reborn: a voter that answers, with another ledger than the one it votes with: that one is gone.
        is_leaving: it stops gracefully.
        is_unfit: it was not among the fittest for long.
    """

    __slots__ = ("is_leaving", "is_lost", "is_reborn", "is_there", "is_unfit", "is_voter", "node_id", "rank")

    def __init__(
        self,
        node_id: NodeId,
        rank: int,
        *,
        is_voter: bool,
        is_there: bool,
        is_lost: bool = False,
        is_reborn: bool = False,
        is_leaving: bool = False,
        is_unfit: bool = False,
    ) -> None:
        self.node_id: Final = node_id
        self.rank: Final = rank
        self.is_voter: Final = is_voter
        self.is_there: Final = is_there
        self.is_lost: Final = is_lost
        self.is_reborn: Final = is_reborn
        self.is_leaving: Final = is_leaving
        self.is_unfit: Final = is_unfit

    def fields(self) -> tuple[object, ...]:
        return (
            self.node_id,
            self.rank,
            self.is_voter,
            self.is_there,
            self.is_lost,
            self.is_reborn,
            self.is_leaving,
            self.is_unfit,
        )


def choose_change(standings: list[Standing], me: NodeId, voters_max: int) -> VoterChange | None:
    """Return the next change, None when the voters are as they should be.

    Args:
        standings: every voter, and whoever may become one; each once, in any order.
        me: the leader, which is a voter and never removed.
        voters_max: voters at rest at most, odd.
    """
    ranked = sorted(standings, key=_rank_of)
    voters = [one for one in ranked if one.is_voter]
    going = [one for one in voters if (one.is_leaving or one.is_reborn) and one.node_id != me]
    if going:
        return (REMOVE, going[-1].node_id)
    lost = [one for one in voters if one.is_lost and one.node_id != me]
    spare = [one for one in ranked if not one.is_voter and one.is_there and not one.is_leaving]
    there = len(voters) - len(lost)
    if lost and (spare or len(voters) > _odd_not_below(there)):
        return (REMOVE, lost[-1].node_id)
    wanted = min(voters_max, _odd_not_above(there + len(spare)))
    if spare and len(voters) < wanted:
        return (ADD, spare[0].node_id)
    if lost:
        return None
    unfit = [one for one in voters if one.is_unfit and one.node_id != me]
    if len(voters) > wanted:
        others = [one for one in voters if one.node_id != me]
        return (REMOVE, (unfit or others)[-1].node_id)
    if unfit and spare and spare[0].rank < unfit[-1].rank and len(voters) == voters_max:
        return (ADD, spare[0].node_id)
    return None


def _rank_of(standing: Standing) -> tuple[int, NodeId]:
    return (standing.rank, standing.node_id)


def _odd_not_above(count: int) -> int:
    return count if count % 2 == 1 else count - 1


def _odd_not_below(count: int) -> int:
    return count if count % 2 == 1 else count + 1

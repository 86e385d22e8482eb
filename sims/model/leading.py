"""No way into a mesh without a leader: from every state that faults can bring about, calm brings one.

The search of `sims.model.election` leaves out what safety does not rest on: pre-votes, beats, and the trust
of followers. They decide whether a mesh can be stuck. Here three nodes of one council have them, and
nothing else: writes are done at once, and nodes speak in pairs (what one tells is taken at once or lost).
First all states are found that are reached under faults: crashes, nodes that stay down, starts, lost beats,
rounds that end without a decision, in any order. Then only steps are left that happen in calm: nobody
crashes or starts, and trust in a leader ends when it does not lead any more. From every state with a
majority up some calm steps must lead to one leader whom all who are up follow (``L1``).

Counters count by their order only: a gap of more than two is a gap of two, so that the states are finite.

A node is (is up, fence, role, trusts, votes, counts pre-votes): ballots as in `sims.model.rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias, final

from sims.model.rules import CANDIDATE, FOLLOWER, LEADER

NODES: Final = 3
MAJORITY: Final = 2
PRE_CANDIDATE: Final = 3


@dataclass(frozen=True, kw_only=True)
class LeadingMistakes:
    """Rules that may be broken, to see that the search notices; all off for the protocol as it is.

    Attributes:
        trusts_for_ever: trust does not end when beats do.
        trusts_the_alive: whoever is up is taken for the leader of its ballot, whether it leads or not, even
            when it stands for another.
    """

    trusts_for_ever: bool = False
    trusts_the_alive: bool = False


class One(NamedTuple):
    """A node.

    Attributes:
        is_up: whether it runs.
        fence: the highest ballot that it heard or promised.
        role: what it is.
        trusts: whether it believes that the owner of its fence leads.
        votes: who voted for it in this round, as bits.
    """

    is_up: bool = True
    fence: int = 0
    role: int = FOLLOWER
    trusts: bool = False
    votes: int = 0


Mesh: TypeAlias = tuple[One, One, One]


class Led(NamedTuple):
    """What came of a search.

    Attributes:
        states: that faults can bring about.
        majorities: those of them in which a majority is up.
        goals: those in which one leads and all follow.
        stuck: majorities from which calm leads to no goal.
        example: one of those for people, "" for none.
    """

    states: int
    majorities: int
    goals: int
    stuck: int
    example: str


def check_leading(mistakes: LeadingMistakes | None = None) -> Led:
    """Find all states, and those that calm does not lead out of."""
    model = LeadingModel(LeadingMistakes() if mistakes is None else mistakes)
    first: Mesh = (One(), One(), One())
    before: dict[Mesh, list[Mesh]] = {first: []}
    level = [first]
    while level:
        following: list[Mesh] = []
        for state in level:
            calm = model.calm_steps(state)
            for number, after in enumerate(calm + model.faults(state)):
                if after not in before:
                    before[after] = []
                    following.append(after)
                if number < len(calm):
                    before[after].append(state)
        level = following
    goals = [state for state in before if _is_goal(state)]
    reaching = set(goals)
    level = goals
    while level:
        level = [state for after in level for state in before[after] if state not in reaching]
        level = list(dict.fromkeys(level))
        reaching.update(level)
    majorities = [state for state in before if sum([one.is_up for one in state]) >= MAJORITY]
    stuck = [state for state in majorities if state not in reaching]
    return Led(len(before), len(majorities), len(goals), len(stuck), _shown(stuck[0]) if stuck else "")


@final
class LeadingModel:
    """The steps; see the module's text."""

    def __init__(self, mistakes: LeadingMistakes) -> None:
        self._mistakes: Final = mistakes

    def faults(self, state: Mesh) -> list[Mesh]:
        """Return what crashes, starts and losses make of a state."""
        found: list[Mesh] = []
        for me, one in enumerate(state):
            if not one.is_up:
                found.append(_with(state, me, One(fence=one.fence)))
                continue
            found.append(_with(state, me, One(is_up=False, fence=one.fence)))
            if one.trusts and not self._mistakes.trusts_for_ever:
                found.append(_with(state, me, one._replace(trusts=False)))
            if one.role == LEADER:
                found.append(_with(state, me, _following(one)))
        return found

    def calm_steps(self, state: Mesh) -> list[Mesh]:
        """Return what happens without a fault."""
        found: list[Mesh] = []
        for me, one in enumerate(state):
            if not one.is_up:
                continue
            self._wait(state, me, one, found)
            for other in range(NODES):
                if other != me and state[other].is_up:
                    self._hear(state, me, other, found)
                    self._ask(state, me, other, found)
        return found

    def _wait(self, state: Mesh, me: int, one: One, found: list[Mesh]) -> None:
        """A wait of a node is over: for beats, before standing, or of a round."""
        if one.trusts:
            leader = state[one.fence % NODES]
            is_leading = leader.is_up and leader.role == LEADER and leader.fence == one.fence
            is_believed = self._mistakes.trusts_the_alive and leader.is_up
            if not (is_leading or is_believed or self._mistakes.trusts_for_ever):
                found.append(_with(state, me, one._replace(trusts=False)))
        elif one.role == FOLLOWER:
            found.append(_with(state, me, one._replace(role=PRE_CANDIDATE, votes=1 << me)))
        if one.role in (PRE_CANDIDATE, CANDIDATE):
            found.append(_with(state, me, _following(one)))

    def _hear(self, state: Mesh, me: int, other: int, found: list[Mesh]) -> None:
        """A frame of another node tells its fence, and the beat if it leads or trusts."""
        one, teller = state[me], state[other]
        if teller.fence < one.fence or not teller.fence:
            return
        heard = (
            one if teller.fence == one.fence else _following(one)._replace(fence=teller.fence, trusts=False)
        )
        if teller.fence % NODES != me:
            is_owner = teller.fence % NODES == other
            has_beat = teller.trusts or (is_owner and teller.role == LEADER)
            if has_beat or (self._mistakes.trusts_the_alive and is_owner):
                heard = _following(heard)._replace(trusts=True)
        if heard != one:
            found.append(_with(state, me, heard))

    def _ask(self, state: Mesh, me: int, other: int, found: list[Mesh]) -> None:
        """Who stands asks another node and gets its answer."""
        one, voter = state[me], state[other]
        bit = 1 << other
        if one.role not in (PRE_CANDIDATE, CANDIDATE) or one.votes & bit:
            return
        if one.role == PRE_CANDIDATE:
            ballot = _next(me, one.fence)
            distrusts = ballot % NODES == voter.fence % NODES and not self._mistakes.trusts_the_alive
            is_welcome = voter.role == FOLLOWER or (
                voter.role != LEADER and ballot > _next(other, voter.fence)
            )
            if ballot <= voter.fence or not is_welcome or (voter.trusts and not distrusts):
                return
            told = voter._replace(trusts=False)
            won = one._replace(fence=ballot, role=CANDIDATE, votes=1 << me, trusts=False)
        else:
            if one.fence < voter.fence:
                return
            told = _following(voter)._replace(fence=one.fence, trusts=False)
            won = one._replace(role=LEADER, votes=0)
        # With three in the council one other vote is a majority.
        found.append(_with(_with(state, other, told), me, won))


def _next(me: int, fence: int) -> int:
    return (fence // NODES + 1) * NODES + me


def _following(one: One) -> One:
    return one._replace(role=FOLLOWER, votes=0)


def _is_goal(state: Mesh) -> bool:
    up = [one for one in state if one.is_up]
    leaders = [one for one in up if one.role == LEADER]
    if len(leaders) != 1 or len(up) < MAJORITY:
        return False
    fence = leaders[0].fence
    return all([one.fence == fence and (one.trusts or one.role == LEADER) for one in up])


def _with(state: Mesh, me: int, one: One) -> Mesh:
    """Return a state with another node in a place, and all counters as low as their order allows."""
    first, second, third = [one if place == me else state[place] for place in range(NODES)]
    lowered: dict[int, int] = {}
    last, low = 0, 0
    for counter in sorted({first.fence // NODES, second.fence // NODES, third.fence // NODES}):
        low += min(counter - last, 2)
        lowered[counter] = low
        last = counter
    return (_low(first, lowered), _low(second, lowered), _low(third, lowered))


def _low(one: One, lowered: dict[int, int]) -> One:
    counter = lowered[one.fence // NODES]
    return one._replace(fence=counter * NODES + one.fence % NODES if counter else 0)


def _shown(state: Mesh) -> str:
    names = ("follows", "stands", "leads", "asks for pre-votes")
    rows: list[str] = []
    for me, one in enumerate(state):
        doing = f"{names[one.role]}{' trusting' if one.trusts else ''}" if one.is_up else "is down"
        rows.append(
            f"{'ABC'[me]} {doing} at {one.fence // NODES}{'ABC'[one.fence % NODES] if one.fence else ''}"
        )
    return "; ".join(rows)

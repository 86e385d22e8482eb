"""What one node of a strict mesh may do, as small steps on small values: the rules of `sims.model.strict`.

Ballots are numbers, as in `sims.model.rules`. A voter is a node with the mark of its ledger (a *seat*); a
configuration is (ballot of the leader that wrote it, version, seats). Nothing is timed. What the protocol
gets from clocks is one relation: whoever answers a beat votes for nobody else until every lease that rests on
the answer is over, because a lease is counted from the sending of the beat and is shorter than a hold, which
is counted from its receipt. So the end of a hold is a step that may come at any moment and takes the answers
of that voter from all leaders at once (`StrictRules.forget`); a leader that is left without a majority of
answers leads no more. Every timing is covered by that, pauses and sleep of processes too, as long as clocks
do what docs/PROTOCOL.md says they must.

Left out, since each only forbids what is possible without it: pre-votes; frames that tell a ballot (a node
may stand for any own ballot above its fence); rounds that are given up (who stands may stand again); answers
to beats that arrive late (their lease ends no later); beats without a wish for an answer (a hold that is over
at once).

A step writes the ledger and sends what waits for it at once: what is sent stands behind the write in one
queue, so a crash in between is either one before the step, or one after it with everything sent lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias, final

from sims.model.rules import CANDIDATE, FOLLOWER, LEADER, Rules

FREE: Final = 0
WITHHELD: Final = -1
"""What a node holds its vote for, if not for a ballot: nothing, or whoever it answered in an earlier life."""

Name: TypeAlias = tuple[int, int]
"""Of a configuration: ballot and version, ordered as a pair."""
Seat: TypeAlias = tuple[int, int]
"""A node, and the mark of its ledger."""


@dataclass(frozen=True, kw_only=True)
class StrictMistakes:
    """Rules that a node may break, to see that the model notices; all off for the protocol as it is.

    Attributes:
        counts_lease_from_answer: an answer that was long under way counts as if its beat was just sent.
        forgets_hold: whoever starts votes at once, as if it had answered nobody.
        asks_and_leads_on: a leader that asks another one to stand leads on.
        votes_before_disk: a vote leaves before its promise is on disk.
        answers_before_disk: a configuration is said to be there before it is on disk.
        counts_half: half of the voters are enough.
        changes_unkept: a configuration is changed that no majority has.
        changes_what_it_found: a leader does not write the configuration that it was elected by under its own
            ballot, so that its first change rests on what another one wrote.
        changes_two: two voters are added or removed at once.
        ignores_marks: votes and answers count by the node alone.
        keeps_mark: a node that lost its ledger begins another one with the same mark.
        compares_versions: configurations are compared by their versions alone.
        votes_for_outdated: who knows a lower configuration gets votes, too.
    """

    counts_lease_from_answer: bool = False
    forgets_hold: bool = False
    asks_and_leads_on: bool = False
    votes_before_disk: bool = False
    answers_before_disk: bool = False
    counts_half: bool = False
    changes_unkept: bool = False
    changes_what_it_found: bool = False
    changes_two: bool = False
    ignores_marks: bool = False
    keeps_mark: bool = False
    compares_versions: bool = False
    votes_for_outdated: bool = False


NO_STRICT_MISTAKES: Final = StrictMistakes()


class Voters(NamedTuple):
    """A configuration.

    Attributes:
        ballot: of the leader that wrote it, 0 for the founding one.
        version: its number, 0 for none at all.
        seats: who votes, sorted.
    """

    ballot: int = 0
    version: int = 0
    seats: tuple[Seat, ...] = ()

    @property
    def name(self) -> Name:
        """What it is ordered by."""
        return (self.ballot, self.version)

    @property
    def majority(self) -> int:
        """How many seats decide."""
        return len(self.seats) // 2 + 1


NO_VOTERS: Final = Voters()


class Answer(NamedTuple):
    """What a leader knows of a node that answered a beat within the lease.

    Attributes:
        node, mark: who.
        installed: the configuration that it said to have.
    """

    node: int
    mark: int
    installed: Name

    @property
    def seat(self) -> Seat:
        """As which it votes."""
        return (self.node, self.mark)


class StrictLocal(NamedTuple):
    """The state of one node.

    Attributes:
        fence: the highest ballot that it voted for, or whose beat it took.
        mark: of its ledger.
        voters: the highest configuration that it knows.
        hold: the ballot for whose leader it keeps its vote, FREE or WITHHELD.
        role: FOLLOWER, CANDIDATE or LEADER.
        votes: seats that voted for a candidate; whether and when they come to its knowledge is open.
        released: the latest ballot whose owner asked it to stand, and leads no more under it; 0 for none.
        answers: to a leader's beats, sorted, each node once.
        is_confirmed: whether a leader had a lease and a configuration that was kept.
        disk: fence and configuration on disk, where those in memory were told before they were written (a
            mistake); else None.
        granted: the highest ballot that it voted for with this mark, kept for S1 where a mistake may let it
            be above the fence, else 0.
    """

    fence: int = 0
    mark: int = 1
    voters: Voters = NO_VOTERS
    hold: int = FREE
    role: int = FOLLOWER
    votes: tuple[Seat, ...] = ()
    released: int = 0
    answers: tuple[Answer, ...] = ()
    is_confirmed: bool = False
    disk: tuple[int, Voters] | None = None
    granted: int = 0


@final
class StrictRules:
    """The steps of the nodes of a strict mesh; those that cannot be taken return None.

    Args:
        nodes: how many there are, numbered from 0.
        mistakes: rules that are broken.
    """

    def __init__(self, nodes: int, mistakes: StrictMistakes = NO_STRICT_MISTAKES) -> None:
        self.ballots: Final = Rules(nodes)
        self.mistakes: Final = mistakes

    # Questions

    def is_free(self, local: StrictLocal, ballot: int, released: int) -> bool:
        """Return whether no lease stands in the way of a vote for `ballot`.

        Either nobody was answered, or whoever was stands itself, or leads no more as the candidate says.
        """
        if local.hold in (FREE, WITHHELD):
            return local.hold == FREE
        return self.ballots.owner(ballot) == self.ballots.owner(local.hold) or released >= local.hold

    def is_seated(self, seat: Seat, voters: Voters) -> bool:
        """Return whether a node with its mark is one of the voters."""
        if self.mistakes.ignores_marks:
            return seat[0] in [node for node, _ in voters.seats]
        return seat in voters.seats

    def has_majority(self, others: int, voters: Voters) -> bool:
        """Return whether so many voters are a majority together with the one who counts them."""
        least = voters.majority
        if self.mistakes.counts_half:
            least = (len(voters.seats) + 1) // 2
        return others + 1 >= least

    def has_lease(self, me: int, local: StrictLocal, voters: Voters | None = None) -> bool:
        """Return whether a majority of its voters, or of others, answered this leader within the lease."""
        asked = local.voters if voters is None else voters
        count = sum([1 for one in local.answers if one.node != me and self.is_seated(one.seat, asked)])
        return self.has_majority(count, asked)

    def is_kept(self, me: int, local: StrictLocal) -> bool:
        """Return whether a majority has this leader's configuration on disk, as it knows."""
        wanted = local.voters.name
        count = 0
        for one in local.answers:
            if one.node != me and self.is_seated(one.seat, local.voters):
                count += 1 if one.installed == wanted else 0
        return self.has_majority(count, local.voters)

    def is_outdated(self, name: Name, local: StrictLocal) -> bool:
        """Return whether who stands knows a lower configuration than this node."""
        if self.mistakes.compares_versions:
            return name[1] < local.voters.version
        return name < local.voters.name and not self.mistakes.votes_for_outdated

    # Steps

    def relieve(self, local: StrictLocal, ballot: int) -> StrictLocal | None:
        """The owner of the ballot at its fence asks a node to stand, and so says that it leads no more."""
        return local._replace(released=ballot) if ballot == local.fence > local.released else None

    def stand(self, me: int, local: StrictLocal, ballot: int) -> StrictLocal | None:
        """A voter promises itself an own ballot above its fence."""
        is_seated = (me, local.mark) in local.voters.seats
        if ballot <= local.fence or not is_seated or not self.is_free(local, ballot, local.released):
            return None
        return self._granting(local, ballot)._replace(role=CANDIDATE)

    def vote(self, local: StrictLocal, ballot: int, name: Name, released: int) -> StrictLocal | None:
        """A voter promises a ballot above its fence to whoever stands.

        Args:
            local: the voter.
            ballot: what is stood for.
            name: of the configuration that whoever stands knows.
            released: the latest ballot under which nobody leads any more, as that one says.
        """
        if ballot <= local.fence or self.is_outdated(name, local):
            return None
        if not self.is_free(local, ballot, max(released, local.released)):
            return None
        return self._hasty(local, self._granting(local, ballot), self.mistakes.votes_before_disk)

    def count(self, local: StrictLocal, seat: Seat) -> StrictLocal | None:
        """A candidate is voted for."""
        if local.role != CANDIDATE or not self.is_seated(seat, local.voters) or seat in local.votes:
            return None
        return local._replace(votes=tuple(sorted((*local.votes, seat))))

    def win(self, me: int, local: StrictLocal) -> StrictLocal | None:
        """A candidate with a majority writes the configuration it was elected by under its own ballot."""
        if local.role != CANDIDATE or not self.has_majority(len(local.votes), local.voters):
            return None
        own = Voters(local.fence, local.voters.version, local.voters.seats)
        if self.mistakes.changes_what_it_found:
            own = local.voters
        leading = local._replace(role=LEADER, votes=(), voters=own)
        return self._confirmed(me, leading)

    def take(self, local: StrictLocal, ballot: int, voters: Voters) -> StrictLocal | None:
        """A beat comes, with its leader's configuration: that is written, and the beat is answered."""
        if ballot < local.fence:
            return None
        heard = _following(local, ballot) if ballot > local.fence else local
        known = voters if voters.name > local.voters.name else local.voters
        answered = heard._replace(voters=known, hold=ballot)
        return self._hasty(local, answered, self.mistakes.answers_before_disk)

    def answer(self, me: int, local: StrictLocal, seat: Seat, installed: Name) -> StrictLocal:
        """A leader takes an answer to its beat."""
        node, mark = seat
        others = [one for one in local.answers if one.node != node]
        before = [one.installed for one in local.answers if one.seat == seat]
        latest = max([installed, *before])
        answers = tuple(sorted([*others, Answer(node, mark, latest)]))
        return self._confirmed(me, local._replace(answers=answers))

    def changes(self, me: int, local: StrictLocal) -> list[Voters]:
        """Return the configurations that a leader may write now in the place of its own."""
        mistakes = self.mistakes
        if local.role != LEADER or not local.is_confirmed:
            return []
        if not self.is_kept(me, local) and not mistakes.changes_unkept:
            return []
        found = self._neighbours(me, local, local.voters.seats)
        if mistakes.changes_two:
            for seats in list(found):
                found += [one for one in self._neighbours(me, local, seats) if one not in found]
        wanted: list[Voters] = []
        for seats in found:
            voters = Voters(local.fence, local.voters.version + 1, seats)
            if self.has_lease(me, local) and self.has_lease(me, local, voters):
                wanted.append(voters)
        return wanted

    def stop(self, local: StrictLocal) -> StrictLocal | None:
        """A leader asks somebody to stand, and leads no more."""
        if local.role != LEADER:
            return None
        if self.mistakes.asks_and_leads_on:
            return local
        return _following(local, local.fence)

    def forget(self, me: int, local: StrictLocal, seat: Seat) -> StrictLocal:
        """The answers of a seat are too old to count; a leader that needs them leads no more."""
        left = tuple([one for one in local.answers if one.seat != seat])
        if len(left) == len(local.answers) or self.mistakes.counts_lease_from_answer:
            return local
        without = local._replace(answers=left)
        if local.is_confirmed and not self.has_lease(me, without):
            return _following(local, local.fence)
        return without

    def restart(self, me: int, local: StrictLocal) -> StrictLocal:
        """The node crashes and starts again; who does not vote alone has forgotten whom it answered."""
        is_alone = local.voters.seats == ((me, local.mark),)
        hold = FREE if is_alone or self.mistakes.forgets_hold else WITHHELD
        again = _following(local, local.fence)._replace(hold=hold, released=0)
        if local.disk is not None:
            fence, voters = local.disk
            again = again._replace(fence=fence, voters=voters, disk=None)
        return again

    def lose(self, local: StrictLocal) -> StrictLocal:
        """The node crashes, its ledger is lost, and it begins another one."""
        if self.mistakes.keeps_mark:
            return StrictLocal(mark=local.mark, granted=local.granted)
        return StrictLocal(mark=local.mark + 1)

    # Inside

    def _granting(self, local: StrictLocal, ballot: int) -> StrictLocal:
        """Return a node that votes for a ballot."""
        may_fall = self.mistakes.votes_before_disk or self.mistakes.keeps_mark
        granted = max(ballot, local.granted) if may_fall else 0
        return _following(local, ballot)._replace(granted=granted)

    def _hasty(self, before: StrictLocal, after: StrictLocal, is_hasty: bool) -> StrictLocal:
        """Return the state after a step whose write is still under way when it is told of, if `is_hasty`."""
        if not is_hasty or after.disk is not None:
            return after
        return after._replace(disk=(before.fence, before.voters))

    def _confirmed(self, me: int, local: StrictLocal) -> StrictLocal:
        """Let a leader lead from the moment in which it has a lease and its configuration is kept."""
        if local.is_confirmed or not (self.has_lease(me, local) and self.is_kept(me, local)):
            return local
        return local._replace(is_confirmed=True)

    def _neighbours(self, me: int, local: StrictLocal, seats: tuple[Seat, ...]) -> list[tuple[Seat, ...]]:
        """Return the seats with one added that answers, or one removed that is not the leader."""
        nodes = [node for node, _ in seats]
        found = [tuple(sorted([*seats, one.seat])) for one in local.answers if one.node not in nodes]
        for seat in seats:
            if seat[0] != me:
                found.append(tuple([one for one in seats if one != seat]))
        return found


def _following(local: StrictLocal, fence: int) -> StrictLocal:
    """Return a node that neither leads nor stands."""
    return local._replace(fence=fence, role=FOLLOWER, votes=(), answers=(), is_confirmed=False)

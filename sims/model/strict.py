"""All states that the nodes of a strict mesh can reach: elections, leases, changes of voters, lost ledgers.

The steps of a node stand in `sims.model.strict_rules`. A state is what the nodes are, the beats of
leaderships that ended or moved on (each may still arrive, any number of times, or never), and who asked
somebody to stand. Votes and the beats of who leads now stand in the states of candidate and leader: a vote is
given at any time while its candidate stands, and known to it at any time later or never; a beat is taken at
any time, from a leader with the configuration that it has then, and its answer counts at once.

Two reductions, of which neither loses a violation of the protocol:

* A hold that no lease rests on is over: whoever may vote can do whatever it could with a hold.
* A beat that nobody can learn anything from is forgotten, as is who asked to stand when no hold is about it.

What is bounded is how often each node may stand, how often voters change, and how many ledgers are lost;
crashes and messages are not.

Invariants, by the numbers of docs/GUARANTEES.md:

S1  A seat (a node with the mark of its ledger) votes for no ballot below one that it voted for before.
S4  No two nodes have a lease at the same time.
S12 Of any two configurations that somebody can be elected by, every two majorities share a seat, and nobody
    is elected by a configuration that is lower than one that a leader of a lower ballot wrote and a majority
    of its voters has: what was committed is not rolled back.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias, final

from sims.model.rules import CANDIDATE, LEADER, ROLE_NAMES
from sims.model.strict_rules import (
    FREE,
    NO_STRICT_MISTAKES,
    NO_VOTERS,
    WITHHELD,
    Seat,
    StrictLocal,
    StrictMistakes,
    StrictRules,
    Voters,
)

NODES: Final = 3
_PLACE: Final = 24
_LOCAL: Final = (1 << _PLACE) - 1

Beat: TypeAlias = tuple[int, Voters]
"""Its ballot, and the configuration in it."""


class Net(NamedTuple):
    """What is in the network beside what stands in the nodes' own states.

    Attributes:
        beats: that were sent before their leader changed its configuration, or led no more; sorted.
        stopped: ballots whose leader asked somebody to stand; sorted.
    """

    beats: tuple[Beat, ...] = ()
    stopped: tuple[int, ...] = ()


PLAIN, ELECTED, CHANGED, STOPPED = range(4)
"""What a node may do by itself: nothing of note; win; change the voters; ask somebody to stand."""


class Step(NamedTuple):
    """What a node may do by itself.

    Attributes:
        how: one of the four above.
        after: the number of its local state afterwards.
    """

    how: int
    after: int


@final
class Known:
    """A state of one node, with what of it is asked often.

    Attributes:
        local: the state.
        seat: as which it votes, a bit.
        answers: the seats that answered it, as bits.
        is_holder: whether it has a lease.
        steps: what it may do by itself, when (somebody asked it to stand, its ledger may be lost).
    """

    def __init__(self, local: StrictLocal, seat: int, answers: int, is_holder: bool) -> None:
        self.local: Final = local
        self.seat: Final = seat
        self.answers: Final = answers
        self.is_holder: Final = is_holder
        self.steps: Final[dict[tuple[bool, bool], list[Step]]] = {}


@final
class StrictModel:
    """The transition system; states are numbers.

    Args:
        seated: how many nodes vote at first; one has founded the mesh, more have done so long ago.
        counters: how often each node may stand.
        changes: how often the voters may change, one after the other.
        losses: how many ledgers may be lost.
        mistakes: planted in all nodes.
    """

    def __init__(
        self,
        seated: int,
        counters: int,
        changes: int,
        losses: int,
        mistakes: StrictMistakes = NO_STRICT_MISTAKES,
    ) -> None:
        self.rules: Final = StrictRules(NODES, mistakes)
        self.is_reduced = True
        self._seated: Final = seated
        self._counters: Final = counters
        self._versions: Final = 1 + changes
        self._losses: Final = losses
        self._numbers: Final[list[dict[StrictLocal, int]]] = [{} for _ in range(NODES)]
        self._known: Final[list[list[Known]]] = [[] for _ in range(NODES)]
        self._pairs: Final[list[dict[int, tuple[int, int]]]] = [{} for _ in range(NODES * NODES)]
        self._taken: Final[list[dict[tuple[int, Beat], int]]] = [{} for _ in range(NODES)]
        self._nets: Final[list[Net]] = []
        self._net_numbers: Final[dict[Net, int]] = {}
        self._broken = ""

    def start(self) -> int:
        """Return the state of nodes that know the first voters, or nothing when they do not vote."""
        first = Voters(0, 1, tuple([(node, 1) for node in range(self._seated)]))
        numbers: list[int] = []
        for me in range(NODES):
            local = StrictLocal(voters=first if me < self._seated else NO_VOTERS)
            numbers.append(self._number(me, local))
        return self._packed(numbers, Net())

    def successors(self, state: int, found: list[int]) -> str:
        """Append the states after one step; return the invariant that a step breaks, "" for none."""
        self._broken = ""
        numbers, net = self._unpacked(state)
        knowns = [self._known[me][numbers[me]] for me in range(NODES)]
        may_lose = self._may_lose(knowns)
        for me, known in enumerate(knowns):
            for step in self._steps_of(me, known, known.local.fence in net.stopped, may_lose):
                if step.how == ELECTED:
                    self._judge_election(known.local, knowns, net)
                sent = net
                if step.how == STOPPED:
                    stopped = tuple(sorted({*net.stopped, known.local.fence}))
                    sent = net._replace(stopped=stopped)
                after = numbers.copy()
                after[me] = step.after
                found.append(self._settled(numbers, after, sent, step.how in (ELECTED, CHANGED)))
            if known.local.hold != FREE:
                found.append(self._end_hold(me, known, numbers, net))
            if known.local.role in (CANDIDATE, LEADER):
                for other in range(NODES):
                    if other != me:
                        self._step_together(me, other, numbers, net, found)
            for beat in net.beats:
                taken = self._take(me, numbers[me], beat)
                if taken != numbers[me]:
                    after = numbers.copy()
                    after[me] = taken
                    found.append(self._settled(numbers, after, net, False))
        return self._broken

    def reduce(self, state: int) -> int:
        """Return a state without holds that no lease rests on, and without what nobody can learn from."""
        numbers, net = self._unpacked(state)
        answers = 0
        for me in range(NODES):
            answers |= self._known[me][numbers[me]].answers
        for me in range(NODES):
            known = self._known[me][numbers[me]]
            if known.local.hold != FREE and not known.seat & answers:
                numbers[me] = self._number(me, known.local._replace(hold=FREE))
        if not self._may_lose([self._known[me][numbers[me]] for me in range(NODES)]):
            locals_ = [self._known[me][numbers[me]].local for me in range(NODES)]
            for me, local in enumerate(locals_):
                if local.released and not _is_held(local.released, locals_):
                    numbers[me] = self._number(me, local._replace(released=0))
            beats = [beat for beat in net.beats if self._is_news(beat, locals_)]
            stopped = [ballot for ballot in net.stopped if self._is_awaited(ballot, locals_)]
            net = Net(tuple(beats), tuple(stopped))
        return self._packed(numbers, net)

    def show(self, state: int) -> str:
        """Return a state for people."""
        numbers, _ = self._unpacked(state)
        return "; ".join([_shown(me, self._known[me][numbers[me]].local) for me in range(NODES)])

    # Steps

    def _steps_of(self, me: int, known: Known, is_asked: bool, may_lose: bool) -> list[Step]:
        steps = known.steps.get((is_asked, may_lose))
        if steps is None:
            steps = self._find_steps(me, known.local, is_asked, may_lose)
            known.steps[(is_asked, may_lose)] = steps
        return steps

    def _find_steps(self, me: int, local: StrictLocal, is_asked: bool, may_lose: bool) -> list[Step]:
        """Find what a node may do by itself."""
        rules = self.rules
        found: list[tuple[int, StrictLocal | None]] = [(PLAIN, rules.restart(me, local))]
        for counter in range(1, self._counters + 1):
            standing = rules.stand(me, local, counter * NODES + me)
            if standing is not None and standing.fence < local.granted:
                self._broken = "S1"
            found.append((PLAIN, standing))
        if is_asked and rules.ballots.owner(local.fence) != me:
            found.append((PLAIN, rules.relieve(local, local.fence)))
        found.append((ELECTED, rules.win(me, local)))
        if local.voters.version < self._versions:
            for voters in rules.changes(me, local):
                found.append((CHANGED, local._replace(voters=voters)))
        found.append((STOPPED, rules.stop(local)))
        if local.disk is not None:
            found.append((PLAIN, local._replace(disk=None)))
        if may_lose and local.voters.version:
            found.append((PLAIN, rules.lose(local)))
        return [Step(how, self._number(me, after)) for how, after in found if after is not None]

    def _end_hold(self, me: int, known: Known, numbers: list[int], net: Net) -> int:
        """End a hold, and with it every lease that rests on the answers of this voter."""
        after = numbers.copy()
        after[me] = self._number(me, known.local._replace(hold=FREE))
        seat = (me, known.local.mark)
        for other in range(NODES):
            leader = self._known[other][numbers[other]]
            if other != me and leader.answers & known.seat:
                after[other] = self._number(other, self.rules.forget(other, leader.local, seat))
        return self._settled(numbers, after, net, False)

    def _step_together(self, me: int, other: int, numbers: list[int], net: Net, found: list[int]) -> None:
        """Find what a candidate or leader does with another node."""
        key = numbers[me] << _PLACE | numbers[other]
        pairs = self._pairs[me * NODES + other]
        pair = pairs.get(key)
        if pair is None:
            pair = self._met(me, other, numbers)
            pairs[key] = pair
        if pair != (numbers[me], numbers[other]):
            after = numbers.copy()
            after[me], after[other] = pair
            found.append(self._settled(numbers, after, net, False))

    def _met(self, me: int, other: int, numbers: list[int]) -> tuple[int, int]:
        """Return the numbers of a candidate or leader, and of who votes for it or answers it."""
        rules = self.rules
        mine, theirs = self._known[me][numbers[me]].local, self._known[other][numbers[other]].local
        seat = (other, theirs.mark)
        if mine.role == CANDIDATE:
            counted = rules.count(mine, seat)
            voted = rules.vote(theirs, mine.fence, mine.voters.name, mine.released)
            if counted is None or voted is None:
                return (numbers[me], numbers[other])
            if mine.fence < theirs.granted:
                self._broken = "S1"
            return (self._number(me, counted), self._number(other, voted))
        taken = rules.take(theirs, mine.fence, mine.voters)
        if taken is None:
            return (numbers[me], numbers[other])
        answered = rules.answer(me, mine, seat, taken.voters.name)
        return (self._number(me, answered), self._number(other, taken))

    def _take(self, me: int, number: int, beat: Beat) -> int:
        """Return the number of a node after it took a beat that was long under way."""
        taken = self._taken[me].get((number, beat))
        if taken is None:
            local = self._known[me][number].local
            ballot, voters = beat
            after = None if self.rules.ballots.owner(ballot) == me else self.rules.take(local, ballot, voters)
            taken = number if after is None else self._number(me, after)
            self._taken[me][(number, beat)] = taken
        return taken

    def _settled(self, before: list[int], after: list[int], net: Net, is_new: bool) -> int:
        """Return the state after a step, and judge it; `is_new` when there is a new configuration."""
        holders = 0
        beats = net.beats
        for me in range(NODES):
            known = self._known[me][after[me]]
            holders += known.is_holder
            if before[me] != after[me]:
                old = self._known[me][before[me]].local
                is_over = known.local.role != LEADER or known.local.voters != old.voters
                if old.role == LEADER and is_over and (old.fence, old.voters) not in beats:
                    beats = tuple(sorted([*beats, (old.fence, old.voters)]))
        if holders > 1:
            self._broken = self._broken or "S4"
        if is_new:
            self._judge_voters([self._known[me][after[me]].local for me in range(NODES)], net)
        state = self._packed(after, net if beats is net.beats else net._replace(beats=beats))
        return self.reduce(state) if self.is_reduced else state

    def _may_lose(self, knowns: list[Known]) -> bool:
        return sum([known.local.mark - 1 for known in knowns]) < self._losses

    def _is_news(self, beat: Beat, locals_: list[StrictLocal]) -> bool:
        """Return whether somebody may learn voters from a beat."""
        ballot, voters = beat
        owner = self.rules.ballots.owner(ballot)
        for me, local in enumerate(locals_):
            if me != owner and local.fence <= ballot and local.voters.name < voters.name:
                return True
        return False

    def _is_awaited(self, ballot: int, locals_: list[StrictLocal]) -> bool:
        """Return whether somebody may stand because the owner of a ballot asks for it."""
        owner = self.rules.ballots.owner(ballot)
        return any([local.fence <= ballot for me, local in enumerate(locals_) if me != owner])

    # Judging

    def _judge_election(self, winner: StrictLocal, knowns: list[Known], net: Net) -> None:
        """See that nothing that was committed before is rolled back by an election."""
        locals_ = [known.local for known in knowns]
        for voters in _all_voters(locals_, net):
            if winner.voters.name < voters.name and voters.ballot < winner.fence:
                kept = [seat for seat in voters.seats if _has(locals_, seat, voters, winner.fence)]
                if len(kept) >= voters.majority:
                    self._broken = "S12"

    def _judge_voters(self, locals_: list[StrictLocal], net: Net) -> None:
        """See that all configurations by which somebody can be elected have majorities that meet."""
        electing = [voters for voters in _all_voters(locals_, net) if _is_electing(locals_, voters)]
        for voters in electing:
            for others in electing:
                united = {*voters.seats, *others.seats}
                if voters.majority + others.majority <= len(united):
                    self._broken = "S12"

    # Numbers

    def _number(self, me: int, local: StrictLocal) -> int:
        known = self._numbers[me].get(local)
        if known is not None:
            return known
        number = len(self._known[me])
        assert number <= _LOCAL, "more local states than places for them"
        self._numbers[me][local] = number
        answers = sum([_bit(one.seat) for one in local.answers])
        is_holder = local.is_confirmed and self.rules.has_lease(me, local)
        self._known[me].append(Known(local, _bit((me, local.mark)), answers, is_holder))
        return number

    def _packed(self, numbers: list[int], net: Net) -> int:
        state = self._net_numbers.get(net)
        if state is None:
            state = len(self._nets)
            self._net_numbers[net] = state
            self._nets.append(net)
        for number in reversed(numbers):
            state = state << _PLACE | number
        return state

    def _unpacked(self, state: int) -> tuple[list[int], Net]:
        numbers = [(state >> (me * _PLACE)) & _LOCAL for me in range(NODES)]
        return numbers, self._nets[state >> (NODES * _PLACE)]


def _all_voters(locals_: list[StrictLocal], net: Net) -> list[Voters]:
    """Return every configuration that a node knows or may hear of, each once."""
    found: dict[Voters, bool] = {}
    for local in locals_:
        if local.voters.version:
            found[local.voters] = True
    for _, voters in net.beats:
        found[voters] = True
    return list(found)


def _has(locals_: list[StrictLocal], seat: Seat, voters: Voters, before: int) -> bool:
    """Return whether a voter has a configuration in its ledger, or a later one of a ballot below `before`."""
    node, mark = seat
    local = locals_[node]
    return local.mark == mark and voters.name <= local.voters.name < (before, 0)


def _is_held(released: int, locals_: list[StrictLocal]) -> bool:
    """Return whether somebody holds its vote for a ballot that is not above this one, or ever may."""
    return any([local.fence <= released or FREE < local.hold <= released for local in locals_])


def _is_electing(locals_: list[StrictLocal], voters: Voters) -> bool:
    """Return whether one of its voters knows this configuration, and a majority knows no later one."""
    able = 0
    is_known = False
    for node, mark in voters.seats:
        local = locals_[node]
        if local.mark == mark and local.voters.name <= voters.name:
            able += 1
            is_known = is_known or local.voters == voters
    return is_known and able >= voters.majority


def _shown(me: int, local: StrictLocal) -> str:
    names = "".join([_name(node) + "'" * (mark - 1) for node, mark in local.voters.seats])
    version = f"{_shown_ballot(local.voters.ballot)}.{local.voters.version}"
    lease = " with a lease" if local.is_confirmed else ""
    hold = ""
    if local.hold != FREE:
        hold = ", withholds" if local.hold == WITHHELD else f", holds for {_shown_ballot(local.hold)}"
    who = _name(me) + "'" * (local.mark - 1)
    ballot = _shown_ballot(local.fence)
    return f"{who} {ROLE_NAMES[local.role]}{lease} at {ballot} ({names or 'nobody'} {version}){hold}"


def _shown_ballot(ballot: int) -> str:
    return f"{ballot // NODES}{_name(ballot % NODES)}" if ballot else "0"


def _bit(seat: Seat) -> int:
    node, mark = seat
    return 1 << (mark * NODES + node)


def _name(me: int) -> str:
    return chr(ord("A") + me)

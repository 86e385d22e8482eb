"""What one node may do in the election, as small steps on small values: the rules of the model.

A ballot is a number: counter * nodes + node, 0 for none, so that ballots compare as pairs do. Steps are not
timed: whatever the code does when a wait is over may happen here at any moment, so that every timing, clock
and delay is covered. Councils are not followed either: whoever stands may have any set of nodes with itself
for its council, which covers every belief of gossip, the grace and every shrinking.

A durable write takes its time: what stands behind it in the node's queue (an answer, a request, an order) is
sent when it is on disk, inputs are taken meanwhile, and a crash loses the writes that are still queued. Sends
that wait for no write leave at once, which loses no behaviour: a message that was sent and never arrives is
the same as one that was never sent.

Invariants, by the numbers of docs/GUARANTEES.md:

S1 A node grants no ballot below one that it granted before, no counter to two owners, and nothing that is
   not on its disk.
S2 A node never tells a fence below one that it told before, restarts included.
S3 No order is executed below a fence that the node has told.
S4 A ballot has one leadership, which a majority of the council that it was asked of has voted for, each once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, final

FOLLOWER: Final = 0
CANDIDATE: Final = 1
LEADER: Final = 2
ROLE_NAMES: Final = ("follows", "stands", "leads")

WRITE_FENCE: Final = 0
WRITE_PROMISE: Final = 1
ASK: Final = 2
GRANT: Final = 3
LEAD: Final = 4
ITEM_KINDS: Final = 5
"""What stands in a node's queue: an item is number * ITEM_KINDS + kind; the number is a ballot, of ASK
ballot * 2**nodes + the council."""


@dataclass(frozen=True, kw_only=True)
class Mistakes:
    """Rules that a node may break, to see that the model notices; all off for the protocol as it is.

    Attributes:
        bare_terms: ballots with one counter count as equal.
        answers_before_disk: an answer does not wait for the promise's write.
        asks_before_disk: votes are asked for before the own promise is written.
        forgets_fence: the fence is not restored at a start; only what was promised is.
        counts_twice: a vote that comes twice counts twice.
        counts_minority: half of a council is enough.
        obeys_anything: orders below the fence are executed.
        leads_on: a leader that hears of a higher ballot goes on to lead under its own.
        reuses_counter: who stands takes its own last counter again.
    """

    bare_terms: bool = False
    answers_before_disk: bool = False
    asks_before_disk: bool = False
    forgets_fence: bool = False
    counts_twice: bool = False
    counts_minority: bool = False
    obeys_anything: bool = False
    leads_on: bool = False
    reuses_counter: bool = False


NO_MISTAKES: Final = Mistakes()


class Local(NamedTuple):
    """The state of one node; ballots are numbers.

    Attributes:
        fence, promise: in memory.
        disk_fence, disk_promise: on disk.
        role: FOLLOWER, CANDIDATE or LEADER.
        votes: who voted for the ballot at the fence, a bit for each node.
        counted: votes as this node counts them.
        council: whom a candidate asked.
        total: how many those are.
        queue: durable writes under way, and what waits for them.
        told: the highest fence that anybody was told; of no use to the node, kept for S2 and S3.
        granted: the highest ballot that it granted aloud; kept for S1.
    """

    fence: int = 0
    promise: int = 0
    disk_fence: int = 0
    disk_promise: int = 0
    role: int = FOLLOWER
    votes: int = 0
    counted: int = 0
    council: int = 0
    total: int = 0
    queue: tuple[int, ...] = ()
    told: int = 0
    granted: int = 0


class Step(NamedTuple):
    """What came of a step.

    Attributes:
        state: afterwards.
        sent: what left the node now: (kind, ballot, council or 0) of ASK, GRANT and LEAD, and (WRITE_FENCE,
            ballot, 0) for frames that tell that fence.
        broken: the invariant that it broke, "" for none.
    """

    state: Local
    sent: tuple[tuple[int, int, int], ...] = ()
    broken: str = ""


@final
class Rules:
    """The steps of the nodes of a mesh.

    Args:
        nodes: how many there are, numbered from 0.
        mistakes: rules that are broken.
    """

    def __init__(self, nodes: int, mistakes: Mistakes = NO_MISTAKES) -> None:
        self.nodes: Final = nodes
        self.mistakes: Final = mistakes
        self._councils: Final = 1 << nodes

    # Ballots

    def owner(self, ballot: int) -> int:
        """Return whose ballot it is."""
        return ballot % self.nodes

    def counter(self, ballot: int) -> int:
        """Return its counter, 0 for that of nobody."""
        return ballot // self.nodes

    def rank(self, ballot: int) -> int:
        """Return what ballots are compared by."""
        return ballot // self.nodes if self.mistakes.bare_terms else ballot

    def next_ballot(self, me: int, fence: int) -> int:
        """Return what a node stands for whose fence is this."""
        counter = fence // self.nodes
        if self.mistakes.reuses_counter and counter and fence % self.nodes == me:
            return fence
        return (counter + 1) * self.nodes + me

    # Steps

    def stand(self, me: int, state: Local, council: int, total: int = 0) -> Step:
        """A node without a leader promises itself the next ballot and asks a council, itself among it.

        Args:
            me, state: the node.
            council: whom it may ask.
            total: how many of them it asks, itself included; 0 for all.
        """
        ballot = self.next_ballot(me, state.fence)
        writes = (ballot * ITEM_KINDS + WRITE_PROMISE, ballot * ITEM_KINDS + WRITE_FENCE)
        ask = (ballot * self._councils + council) * ITEM_KINDS + ASK
        tail = (ask, *writes) if self.mistakes.asks_before_disk else (*writes, ask)
        raised = state._replace(
            fence=ballot,
            promise=ballot,
            role=CANDIDATE,
            votes=1 << me,
            counted=1,
            council=council,
            total=total or council.bit_count(),
            queue=state.queue + tail,
        )
        return self._settle(*self._won(raised))

    def hear(self, me: int, state: Local, ballot: int) -> Step | None:
        """A frame tells a fence; None when it changes nothing."""
        if self.rank(ballot) <= self.rank(state.fence):
            return None
        return self._settle(self._raised(state, ballot), "")

    def ask(self, me: int, state: Local, ballot: int) -> Step | None:
        """A request for a vote comes, whose stamp tells the same ballot; None when it changes nothing."""
        rank = self.rank(ballot)
        if rank < self.rank(state.fence):
            return None
        heard = self._raised(state, ballot) if rank > self.rank(state.fence) else state
        if rank <= self.rank(heard.promise):
            return None if heard is state else self._settle(heard, "")
        grant = ballot * ITEM_KINDS + GRANT
        write = ballot * ITEM_KINDS + WRITE_PROMISE
        tail = (grant, write) if self.mistakes.answers_before_disk else (write, grant)
        role = heard.role if heard.fence == ballot else FOLLOWER
        granted = heard._replace(promise=ballot, role=role, queue=heard.queue + tail)
        return self._settle(granted, "")

    def vote(self, me: int, state: Local, ballot: int, voter: int) -> Step | None:
        """A vote comes; None when it changes nothing."""
        bit = 1 << voter
        if state.role != CANDIDATE or state.fence != ballot or not state.council & bit:
            return None
        if state.votes & bit and not self.mistakes.counts_twice:
            return None
        counted = state._replace(votes=state.votes | bit, counted=min(state.counted + 1, self.nodes))
        return self._settle(*self._won(counted))

    def obey(self, me: int, state: Local, ballot: int) -> str:
        """An order comes; return the invariant that its execution breaks, "" for none."""
        if self.rank(ballot) < self.rank(state.fence) and not self.mistakes.obeys_anything:
            return ""
        return "S3" if self.rank(ballot) < self.rank(state.told) else ""

    def lead(self, me: int, state: Local) -> str:
        """A leader orders again, stamped with its fence; return the invariant that breaks, "" for none."""
        return "S4" if state.role == LEADER and self.owner(state.fence) != me else ""

    def flush(self, me: int, state: Local) -> Step | None:
        """The oldest write is on disk now, and what waited for it leaves; None when there is none."""
        if not state.queue:
            return None
        ballot, kind = divmod(state.queue[0], ITEM_KINDS)
        rest = state.queue[1:]
        if kind == WRITE_FENCE:
            return self._settle(state._replace(disk_fence=ballot, queue=rest), "", ballot)
        return self._settle(state._replace(disk_promise=ballot, queue=rest), "")

    def restart(self, me: int, state: Local) -> Step:
        """The node crashes, loses what is not on disk, starts again and says something."""
        fence = state.disk_promise
        if not self.mistakes.forgets_fence:
            fence = max(fence, state.disk_fence)
        again = Local(
            fence=fence,
            promise=state.disk_promise,
            disk_fence=state.disk_fence,
            disk_promise=state.disk_promise,
            told=state.told,
            granted=state.granted,
        )
        return self._settle(again, "", fence) if fence or state.told else Step(again)

    # Inside

    def _raised(self, state: Local, ballot: int) -> Local:
        """Return the state after a higher ballot was heard, which ends whatever was going on below it."""
        queue = (*state.queue, ballot * ITEM_KINDS + WRITE_FENCE)
        if state.role == LEADER and self.mistakes.leads_on:
            return state._replace(fence=ballot, queue=queue)
        return state._replace(
            fence=ballot, role=FOLLOWER, votes=0, counted=0, council=0, total=0, queue=queue
        )

    def _won(self, state: Local) -> tuple[Local, str]:
        """Let a candidate lead that has a majority; return the broken invariant besides."""
        is_won = 2 * state.counted > state.total
        if self.mistakes.counts_minority:
            is_won = 2 * state.counted >= state.total
        if not is_won:
            return state, ""
        broken = "" if 2 * (state.votes & state.council).bit_count() > state.total else "S4"
        queue = (*state.queue, state.fence * ITEM_KINDS + LEAD)
        return state._replace(role=LEADER, votes=0, counted=0, council=0, total=0, queue=queue), broken

    def _settle(self, state: Local, broken: str, told: int = 0) -> Step:
        """Let everything leave that waits for no write, after a frame that tells the fence `told`, if any."""
        sent: tuple[tuple[int, int, int], ...] = ()
        if told:
            broken = broken or self._judge_telling(state, told)
            state = state._replace(told=max(state.told, told))
            sent = ((WRITE_FENCE, told, 0),)
        queue = state.queue
        while queue and queue[0] % ITEM_KINDS >= ASK:
            number, kind = divmod(queue[0], ITEM_KINDS)
            queue = queue[1:]
            council = 0
            if kind == ASK:
                number, council = divmod(number, self._councils)
            broken = broken or self._judge_telling(state, number)
            if kind == GRANT:
                broken = broken or self._judge_grant(state, number)
                state = state._replace(granted=max(state.granted, number))
            state = state._replace(told=max(state.told, number))
            sent = (*sent, (kind, number, council))
        return Step(state._replace(queue=queue), sent, broken)

    def _judge_telling(self, state: Local, ballot: int) -> str:
        return "S2" if self.rank(ballot) < self.rank(state.told) else ""

    def _judge_grant(self, state: Local, ballot: int) -> str:
        rank, before = self.rank(ballot), self.rank(state.granted)
        is_second = rank == before and ballot != state.granted
        return "S1" if rank < before or is_second or self.rank(state.disk_promise) < rank else ""

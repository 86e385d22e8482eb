"""What both elections have in common, and all that a node and its scheduler see of either.

`swarm.election.core` elects among whoever is there; `swarm.election.strict` among voters in a committed
configuration. A mesh uses one of them for good.

Here stands what does not depend on who decides: what a node hears of ballots and beats, whom it trusts and
for how long, its timers, how it stands (pre-votes, then votes), what it tells of the leader. The methods that
are left open say who is asked, what goes into packets, and what a leader does from its election to its end.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Final

from swarm.core.effects import Effect, LeaderChanged
from swarm.core.errors import DecodeError
from swarm.core.ids import NO_NODE, NODE_ID_SIZE, Address, Ballot, NodeId
from swarm.core.rng import Rng
from swarm.election import packets
from swarm.election.ballots import is_ballot, next_ballot
from swarm.election.config import ElectionConfig
from swarm.election.invariants import check_leading, check_standing, check_timers, check_trust
from swarm.election.news import leadership_ended
from swarm.election.roles import Role
from swarm.election.seat import Seat
from swarm.election.timeouts import TIMER_BEAT, TIMER_ELECTION, TIMER_LEASE, TIMER_RESEND, TIMER_ROUND
from swarm.election.voter import Voter
from swarm.election.votes import VoteRound
from swarm.wire.codec import Body, Stamp
from swarm.wire.messages import BEAT, BEAT_REPLY, STAND, VOTE_REPLY, VOTE_REQUEST


class ElectionBase(ABC):
    """The election of one node. Inputs take `now`, seconds that never fall; see `take_effects`."""

    def __init__(
        self, config: ElectionConfig, node_id: NodeId, rng: Rng, voter: Voter, counters: dict[str, int]
    ) -> None:
        """Restore a node.

        Args:
            config: beats, waits and bounds.
            node_id: this node.
            rng: source of the random part of waits.
            voter: its vote, with what it promised in earlier lives.
            counters: of all that it counts, at 0.
        """
        assert len(node_id) == NODE_ID_SIZE, "a node id has 16 bytes"
        self._config: Final = config
        self._node_id: Final = node_id
        self._voter: Final = voter
        self._fence: Final = voter.fence
        self._watch: Final = voter.watch
        self._seat: Final = Seat(config, node_id, rng, voter.fence)
        self._timers: Final = self._seat.timers
        self._effects: list[Effect] = []
        self._counters: Final = counters
        self._now = 0.0
        self._round_number = rng.below(2**30)
        self._told_leader: NodeId = NO_NODE
        self._told_ballot = self._fence.ballot

    # Inputs

    @abstractmethod
    def start(self, now: float) -> None:
        """Begin: stand after a short while in which nodes that started together find each other."""

    @abstractmethod
    def on_council(self, council: list[tuple[NodeId, Address]], now: float) -> None:
        """Take the fittest members.

        Args:
            council: as `choose_council` returns it, fittest first, with this node when it is a member.
            now: seconds.
        """

    @abstractmethod
    def on_members(self, addresses: list[tuple[NodeId, Address]], now: float) -> None:
        """Take where all members are."""

    @abstractmethod
    def wants_members(self) -> bool:
        """Return whether `on_members` has to be up to date now."""

    def on_stamp(self, stamp: Stamp, now: float) -> None:
        """Learn fence and beat of the sender from the stamp of any frame."""
        self._advance(now)
        if stamp.sender == self._node_id:
            return
        self._hear(stamp.ballot, stamp.beat, stamp.sender == stamp.ballot[1], now)
        self._publish()

    def observe_ballot(self, ballot: Ballot, now: float) -> None:
        """Learn a ballot by other means: an order was refused with this fence."""
        self._advance(now)
        self._hear(ballot, 0, False, now)
        self._publish()

    def receive_packet(
        self, stamp: Stamp, kind: int, body: list[object], source: Address, now: float
    ) -> None:
        """Take a datagram of kind VOTE_REQUEST to STAND, after `on_stamp` took its stamp.

        What cannot be understood is counted and dropped, as is what a node of another kind of mesh says.
        """
        self._advance(now)
        sender = stamp.sender
        if sender == self._node_id or len(sender) != NODE_ID_SIZE:
            self._counters["packets_unexpected"] += 1
            return
        try:
            if kind == VOTE_REQUEST:
                self._receive_vote_request(sender, body, source, now)
            elif kind == VOTE_REPLY:
                self._receive_vote_reply(sender, body, now)
            elif kind == BEAT:
                self._receive_beat(stamp, body, source, now)
            elif kind == BEAT_REPLY:
                self._receive_beat_reply(stamp, body, now)
            elif kind == STAND:
                self._receive_stand(sender, body, now)
            else:
                self._counters["packets_unexpected"] += 1
        except DecodeError:
            self._counters["packets_undecodable"] += 1
        self._publish()

    def wake(self, now: float) -> None:
        """The node did not run for longer than a lease: lead no more, give everybody a fresh period."""
        self._advance(now)
        if self._seat.role is Role.LEADER:
            self._stop_leading("clock_gap", now)
        self._watch.refresh(now)
        if self._watch.is_trusted:
            self._trust(now)
        self._follow(self._config.election_timeout_s, now)
        self._publish()

    def resign(self, now: float, is_for_good: bool = False) -> None:
        """Lead and stand no more in this life: a leader asks the fittest to stand; this node votes on.

        Args:
            now: seconds.
            is_for_good: it will not come back either; a strict mesh then does without its vote.
        """
        self._advance(now)
        if self._seat.role is not Role.RETIRED:
            self._retire(now)
            self._publish()

    @abstractmethod
    def hand_over(self, now: float) -> bool:
        """A leader that should not lead asks the fittest who is present, and fitter than itself, to stand.

        Returns:
            Whether somebody was asked.
        """

    def handle_deadline(self, now: float) -> None:
        """Do what is due; call at `next_deadline` or later."""
        self._advance(now)
        key = self._timers.pop_due(now)
        while key is not None:
            if key[0] == TIMER_ELECTION:
                self._start_round(True, now)
            elif key[0] == TIMER_ROUND:
                self._counters["rounds_timed_out"] += 1
                self._follow(self._seat.timeout.retry_wait_s(), now)
            elif key[0] == TIMER_RESEND:
                self._ask_votes(now)
            elif key[0] == TIMER_BEAT:
                self._on_beat_due(now)
            else:
                self._watch.distrust()
            key = self._timers.pop_due(now)
        self._publish()

    # Views

    def next_deadline(self) -> float:
        """Return when `handle_deadline` is wanted, `math.inf` when never."""
        return self._timers.next_deadline()

    def has_effects(self) -> bool:
        """Return whether `take_effects` would return any."""
        return len(self._effects) > 0

    def take_effects(self) -> list[Effect]:
        """Return the effects since the last call, oldest first; perform them in this order."""
        effects = self._effects
        self._effects = []
        return effects

    def stamp(self) -> tuple[Ballot, int]:
        """Return fence and last known beat of it, as every frame of this node must carry them."""
        return (self._fence.ballot, self._seat.own_beat() or self._watch.beat)

    def leader(self) -> NodeId:
        """Return who leads as far as this node knows, NO_NODE when there is nobody to trust."""
        if self.is_leader():
            return self._node_id
        return self._fence.ballot[1] if self._watch.is_trusted else NO_NODE

    def ballot(self) -> Ballot:
        """Return the fence: the leader's ballot when there is one. Orders below it are refused."""
        return self._fence.ballot

    def is_leader(self) -> bool:
        """Return whether this node leads, under `ballot()`."""
        return self._seat.role is Role.LEADER

    def role(self) -> Role:
        """Return what this node is at the moment."""
        return self._seat.role

    def statistics(self) -> dict[str, int]:
        """Return a copy of the counters."""
        return self._counters.copy()

    def check_invariants(self) -> None:
        """Audit the whole state; raises AssertionError naming the broken invariant."""
        role = self._seat.role
        check_leading(self._node_id, role, self._fence, self._seat.own_beat())
        check_standing(self._node_id, role, self._fence, self._seat.vote_round)
        check_trust(self._node_id, role, self._fence, self._watch)
        assert self._told_leader == self.leader(), "I6: the leader last told is the leader"
        check_timers(role, self._timers, self._watch, self._seat.may_stand())

    # What only one of them needs

    def may_order(self, now: float) -> bool:
        """Return whether an order may leave now; a node that never led has none to give."""
        return True

    def lease_until(self) -> float:
        """Return until when this node may give orders, on its own clock; -inf when there is no such bound."""
        return -math.inf

    def is_needed(self) -> bool:
        """Return whether others cannot do without this node's vote yet, so that it should not go."""
        return False

    def voters(self) -> list[NodeId]:
        """Return the voters of the committed configuration that this node knows, none where there is none."""
        return []

    # Votes

    @abstractmethod
    def _receive_vote_request(self, sender: NodeId, body: list[object], source: Address, now: float) -> None:
        """Answer who asks for a vote or a pre-vote."""

    @abstractmethod
    def _receive_vote_reply(self, sender: NodeId, body: list[object], now: float) -> None:
        """Take the answer to such a question."""

    def _decide(self, request: packets.Vote, released: Ballot, now: float) -> bool:
        """Return whether this node votes, or would vote, as `request` asks; see `Voter.is_free`."""
        if request.is_pre_vote:
            is_granted = self._is_pre_vote_granted(request.ballot, released, now)
            self._counters["pre_votes_granted" if is_granted else "pre_votes_denied"] += 1
        else:
            is_granted = self._grant_vote(request.ballot, released, now)
            self._counters["votes_granted" if is_granted else "votes_denied"] += 1
        return is_granted

    def _is_pre_vote_granted(self, ballot: Ballot, released: Ballot, now: float) -> bool:
        """Say whether a vote for `ballot` would be welcome; of two who stand, the higher ballot shall win."""
        return not self._seat.outranks(ballot) and self._voter.would_vote(ballot, released, now)

    def _grant_vote(self, ballot: Ballot, released: Ballot, now: float) -> bool:
        """Promise `ballot` unless it is below the fence; asking again for a promise is granted again."""
        if ballot < self._fence.ballot or not self._voter.is_free(ballot, released, now):
            return False
        if ballot > self._fence.ballot:
            self._hear_new(ballot, True, now)
        elif ballot > self._fence.promise:
            self._voter.grant(ballot, self._effects)
        self._voter.note_stand(now)
        return True

    def _count_vote(self, sender: NodeId, reply: packets.Vote, is_voter: bool, now: float) -> None:
        """Count the answer of a node that has a vote, or has not."""
        vote_round = self._seat.vote_round
        if vote_round is None or not vote_round.is_answer(reply.number, reply.ballot, reply.is_pre_vote):
            self._counters["packets_stale"] += 1
        elif not is_voter or not vote_round.count(sender, reply.is_granted):
            self._counters["packets_unexpected"] += 1
        elif vote_round.is_won():
            self._finish_round(vote_round, now)

    # Beats

    @abstractmethod
    def _receive_beat(self, stamp: Stamp, body: list[object], source: Address, now: float) -> None:
        """Answer a beat, which its stamp has told already."""

    @abstractmethod
    def _receive_beat_reply(self, stamp: Stamp, body: list[object], now: float) -> None:
        """Take the answer to an own beat."""

    def _receive_stand(self, sender: NodeId, body: list[object], now: float) -> None:
        ballot = packets.take_owned_ballot(sender, Body(body))
        self._hear(ballot, 0, True, now)
        if ballot != self._fence.ballot or self._seat.role is Role.CANDIDATE:
            self._counters["packets_stale"] += 1
            return
        self._stand_when_asked(ballot, now)

    def _stand_when_asked(self, ballot: Ballot, now: float) -> None:
        """Stand at once, if that may be: the owner of `ballot`, which is the fence, asks for it."""
        if self._seat.role is Role.RETIRED or not self._seat.may_stand() or self._voter.is_withheld(now):
            self._counters["packets_unexpected"] += 1
        else:
            self._start_round(False, now)

    # What is heard

    def _is_jump(self, ballot: Ballot) -> bool:
        """Return whether `ballot` is too far above the fence to be believed, and count that."""
        is_jump = self._voter.is_jump(ballot)
        if is_jump:
            self._counters["ballots_jumped"] += 1
        return is_jump

    def _hear(self, ballot: Ballot, beat: int, is_direct: bool, now: float) -> None:
        """Take note of a fence and a beat, whoever told them."""
        if not is_ballot(ballot) or ballot < self._fence.ballot or self._is_jump(ballot):
            return
        if ballot > self._fence.ballot:
            self._hear_new(ballot, False, now)
        if ballot[1] == self._node_id:
            if self._seat.role is Role.LEADER and beat > self._seat.own_beat():
                self._counters["beats_clashed"] += 1
                self._on_beat_clash(now)
        elif beat > 0 and self._watch.observe(beat, is_direct, now):
            self._trust(now)
            self._follow(self._config.election_timeout_s, now)

    def _hear_new(self, ballot: Ballot, is_promise: bool, now: float) -> None:
        """Turn to a ballot above the fence: whatever was going on below it ends."""
        if self._seat.role is Role.LEADER:
            self._stop_leading("overtaken", now)
        self._voter.turn_to(ballot, is_promise, self._effects, now)
        self._timers.cancel(TIMER_LEASE, b"")
        self._follow(self._config.candidate_wait_s, now)

    @abstractmethod
    def _on_beat_clash(self, now: float) -> None:
        """Somebody else beats under the ballot of this leader."""

    @abstractmethod
    def _is_near(self) -> bool:
        """Return whether a leader sends its beats to this node."""

    def _trust(self, now: float) -> None:
        """Trust the leader for a lease from now."""
        lease_s = self._config.lease_s if self._is_near() else self._config.outsider_lease_s
        self._timers.set(TIMER_LEASE, b"", now + lease_s)

    # Standing

    def _follow(self, wait_s: float, now: float) -> None:
        """Be a follower that stands after a wait."""
        self._seat.follow(wait_s, now)

    def _start_round(self, is_pre_vote: bool, now: float) -> None:
        """Stand: ask for pre-votes, or promise the next ballot and ask for votes."""
        self._counters["rounds_started"] += 1
        ballot = next_ballot(self._fence.ballot, self._node_id)
        if is_pre_vote:
            self._seat.enter(Role.PRE_CANDIDATE)
        else:
            self._seat.enter(Role.CANDIDATE)
            self._voter.grant(ballot, self._effects)
            self._watch.reset()
            self._timers.cancel(TIMER_LEASE, b"")
        self._round_number += 1
        vote_round = VoteRound(self._round_number, ballot, is_pre_vote, self._seat.council)
        self._seat.vote_round = vote_round
        if vote_round.is_won():
            self._finish_round(vote_round, now)
        else:
            self._timers.set(TIMER_ROUND, b"", now + self._config.vote_timeout_s)
            self._ask_votes(now)

    def _ask_votes(self, now: float) -> None:
        """Send the request to everybody who has not granted it, now and again until the round ends."""
        vote_round = self._seat.vote_round
        assert vote_round is not None, "only a candidate asks for votes"
        self._effects.extend(self._requests(vote_round))
        self._timers.set(TIMER_RESEND, b"", now + self._config.vote_resend_s)

    @abstractmethod
    def _requests(self, vote_round: VoteRound) -> list[Effect]:
        """Return the requests to everybody who has not granted."""

    def _finish_round(self, vote_round: VoteRound, now: float) -> None:
        """Go on from a round that was won: to the vote, or to beating."""
        if vote_round.is_pre_vote:
            self._start_round(False, now)
            return
        assert vote_round.ballot == self._fence.ballot == self._fence.promise, "who wins is not overtaken"
        self._seat.enter(Role.LEADER)
        self._counters["elections_won"] += 1
        self._timers.set(TIMER_BEAT, b"", now + self._config.beat_interval_s)
        self._open_book(vote_round, now)

    # Leading

    @abstractmethod
    def _open_book(self, vote_round: VoteRound, now: float) -> None:
        """Begin a leadership, with its first beat."""

    @abstractmethod
    def _on_beat_due(self, now: float) -> None:
        """Beat once more, or stop."""

    @abstractmethod
    def _why_over(self, now: float) -> str:
        """Return why a leadership is over by now, whatever comes in; "" while it lasts."""

    @abstractmethod
    def _ask_to_stand(self, now: float, is_fitter: bool = False) -> bool:
        """Tell the fittest that answers beats to stand at once; return whether there is one.

        With `is_fitter` only one that is fitter than this node is asked.
        """

    def _stop_leading(self, reason: str, now: float) -> None:
        """Become a follower; the next to stand may be this node again, under another ballot."""
        self._end_leadership(reason)
        self._follow(self._config.election_timeout_s, now)

    def _retire(self, now: float) -> None:
        """Lead and stand no more."""
        if self._seat.role is Role.LEADER:
            self._ask_to_stand(now)
            self._end_leadership("resigned")
        self._seat.enter(Role.RETIRED)

    def _end_leadership(self, reason: str) -> None:
        assert self._seat.role is Role.LEADER, "only a leader stops leading"
        self._timers.cancel(TIMER_LEASE, b"")
        self._counters["leaderships_ended"] += 1
        self._effects.append(leadership_ended(self._fence.ballot, reason))

    # Inner working

    def _advance(self, now: float) -> None:
        """Let time pass; a leader that is none any more stops before anything else happens."""
        assert now >= self._now, "time never falls"
        self._now = now
        if self._seat.role is Role.LEADER:
            reason = self._why_over(now)
            if reason:
                self._stop_leading(reason, now)
                self._publish()

    def _publish(self) -> None:
        """Tell a change of leader once, after everything else an input caused."""
        leader = self.leader()
        ballot = self._fence.ballot
        if leader != self._told_leader or (leader != NO_NODE and ballot != self._told_ballot):
            self._effects.append(LeaderChanged(ballot, leader))
        self._told_leader = leader
        self._told_ballot = ballot

"""The election of one node as a pure state machine: who leads, under which ballot.

Theory of operation
-------------------
A leadership is a *ballot* (counter, node id). Every node keeps one durable *fence*, the highest ballot it
obeyed, promised or heard; only the ballot at the fence can lead, so a higher ballot ends every lower
leadership wherever it is heard of. A leader raises a *beat*; (fence, beat) stamps every frame of every
node, and a follower trusts the owner of its fence while that beat grows. That a leader is alive proves
nothing.

A council member that saw no beat grow for an election timeout (random, fitter members first) asks the
council for *pre-votes*, which promise nothing; with a majority of them it promises itself the next ballot
and asks for votes. Voters refuse pre-votes while the leader's beat is fresh or while somebody else stands;
they grant a vote for any ballot that is not below their fence, after writing the promise to disk. Two who
stand at once end with one, because the higher ballot stops the lower. A leader without answers of a
majority of its council for a lease stops (*check-quorum*); one that lost most of the council that elected
it stands again under a new ballot.

Nodes outside the council vote when asked and follow, but never stand. Councils come from gossip and may
differ between nodes: then two may lead for a moment, under two ballots, until they hear of each other.

Roles and their changes: `swarm.election.roles`. Timers: ELECTION (follower in the council), ROUND and
RESEND (candidates), BEAT (leader), LEASE (whoever trusts a leader). Invariants I1..I7:
`swarm.election.invariants`.

Sources: Lamport, "The Part-Time Parliament" (1998): ballots, durable promises. Ongaro, "Consensus: Bridging
Theory and Practice" (2014): randomised timeouts §3.4, leadership transfer §3.10, check-quorum §6.2,
pre-vote §9.6.
"""

from __future__ import annotations

from typing import Final

from swarm.core.effects import Effect, LeaderChanged, Packet
from swarm.core.errors import DecodeError
from swarm.core.ids import NO_NODE, NODE_ID_SIZE, Address, Ballot, NodeId
from swarm.core.rng import Rng
from swarm.election import packets
from swarm.election.ballots import is_ballot, next_ballot
from swarm.election.beats import Attendance
from swarm.election.config import ElectionConfig
from swarm.election.council import merge_addresses
from swarm.election.counters import new_counters
from swarm.election.face import ElectionFace
from swarm.election.invariants import check_leading, check_standing, check_timers, check_trust
from swarm.election.news import leadership_ended
from swarm.election.roles import Role
from swarm.election.seat import Seat
from swarm.election.timeouts import TIMER_BEAT, TIMER_ELECTION, TIMER_LEASE, TIMER_RESEND, TIMER_ROUND
from swarm.election.voter import Voter
from swarm.election.votes import VoteRound
from swarm.wire.codec import Body, Stamp
from swarm.wire.messages import BEAT, BEAT_REPLY, STAND, VOTE_REPLY, VOTE_REQUEST


class Election(ElectionFace):
    """The election of one node. Inputs take `now`, seconds that never fall; see `take_effects`."""

    def __init__(
        self,
        config: ElectionConfig,
        node_id: NodeId,
        rng: Rng,
        fence: Ballot,
        promise: Ballot,
        is_amnesiac: bool = False,
    ) -> None:
        """Restore a node.

        Args:
            config: waits and bounds.
            node_id: this node.
            rng: source of the random part of waits.
            fence: as last persisted, NO_BALLOT when never.
            promise: as last persisted, NO_BALLOT when never.
            is_amnesiac: what was persisted may be lost. Then this node neither votes nor stands for a lease
                after its start, in which it hears the fence of whoever is there.
        """
        assert len(node_id) == NODE_ID_SIZE, "a node id has 16 bytes"
        self._config: Final = config
        self._node_id: Final = node_id
        self._is_amnesiac: Final = is_amnesiac
        self._voter: Final = Voter(config, fence, promise)
        self._fence: Final = self._voter.fence
        self._watch: Final = self._voter.watch
        self._seat: Final = Seat(config, node_id, rng, self._fence)
        self._timers: Final = self._seat.timers
        self._effects: list[Effect] = []
        self._counters: Final[dict[str, int]] = new_counters()
        self._members: list[tuple[NodeId, Address]] = []
        self._now = 0.0
        self._round_number = rng.below(2**30)
        self._told_leader: NodeId = NO_NODE
        self._told_ballot = self._fence.ballot

    # Inputs

    def start(self, now: float) -> None:
        """Begin: stand after a short while in which nodes that started together find each other."""
        self._advance(now)
        not_before = now + self._config.lease_s if self._is_amnesiac else now
        self._voter.withhold(not_before)
        self._seat.start(now, not_before)

    def on_council(self, council: list[tuple[NodeId, Address]], now: float) -> None:
        """Replace the council.

        Args:
            council: as `choose_council` returns it, fittest first, with this node when it is a member.
            now: seconds.
        """
        assert len(council) <= self._config.council_size, "a council has a bounded size"
        self._advance(now)
        seat = self._seat
        before = seat.council_ids
        seat.change_council(council)
        if seat.council_ids == before:
            return
        attendance = seat.attendance
        if attendance is not None:
            attendance.change_council(seat.council_ids, now)
            if attendance.has_lost_electorate():
                self._stand_again("electorate_lost", now)
        elif seat.may_stand() and (self._node_id in before or not seat.timeout.is_over(now)):
            seat.set_election_timer(now)
        else:
            seat.follow(self._config.election_timeout_s, now)
        self._publish()

    def on_members(self, addresses: list[tuple[NodeId, Address]], now: float) -> None:
        """Replace the list of nodes to whom a new leadership is announced."""
        self._advance(now)
        self._members = addresses[: self._config.members_max]

    def wants_members(self) -> bool:
        """Return whether this node may win soon, so that `on_members` has to be up to date."""
        role = self._seat.role
        return role is Role.PRE_CANDIDATE or role is Role.CANDIDATE or self._config.council_size == 1

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

        What cannot be understood is counted and dropped.
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
                self._receive_beat(stamp, body, source)
            elif kind == BEAT_REPLY:
                self._receive_beat_reply(stamp, now)
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
            self._set_lease(now)
        self._seat.follow(self._config.election_timeout_s, now)
        self._publish()

    def resign(self, now: float, is_for_good: bool = False) -> None:
        """Stop for good: a leader asks the fittest to stand; this node only votes and follows on."""
        self._advance(now)
        if self._seat.role is Role.RETIRED:
            return
        if self._seat.role is Role.LEADER:
            self._ask_to_stand(now)
            self._counters["leaderships_ended"] += 1
            self._effects.append(leadership_ended(self._fence.ballot, "resigned"))
        self._seat.enter(Role.RETIRED)
        self._publish()

    def hand_over(self, now: float) -> bool:
        """See `ElectionFace`; this node leads on until a higher ballot ends that."""
        self._advance(now)
        return self._seat.role is Role.LEADER and self._ask_to_stand(now, True)

    def handle_deadline(self, now: float) -> None:
        """Do what is due; call at `next_deadline` or later."""
        self._advance(now)
        key = self._timers.pop_due(now)
        while key is not None:
            if key[0] == TIMER_ELECTION:
                self._start_round(True, now)
            elif key[0] == TIMER_ROUND:
                self._counters["rounds_timed_out"] += 1
                self._seat.follow(self._seat.timeout.retry_wait_s(), now)
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
        beat = self._watch.beat if self._seat.attendance is None else self._seat.attendance.beat
        return (self._fence.ballot, beat)

    def leader(self) -> NodeId:
        """Return who leads as far as this node knows, NO_NODE when there is nobody to trust."""
        if self._seat.role is Role.LEADER:
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
        check_leading(self._node_id, self._seat.role, self._fence, self._seat.attendance)
        check_standing(self._node_id, self._seat.role, self._fence, self._seat.vote_round)
        check_trust(self._node_id, self._seat.role, self._fence, self._watch)
        assert self._told_leader == self.leader(), "I6: the leader last told is the leader"
        check_timers(self._seat.role, self._timers, self._watch, self._seat.may_stand())

    # Packets

    def _receive_vote_request(self, sender: NodeId, body: list[object], source: Address, now: float) -> None:
        request = packets.take_vote_request(sender, body)
        if self._voter.is_jump(request.ballot):
            self._counters["ballots_jumped"] += 1
            return
        if request.is_pre_vote:
            is_granted = self._is_pre_vote_granted(request.ballot, now)
            self._counters["pre_votes_granted" if is_granted else "pre_votes_denied"] += 1
        else:
            is_granted = self._grant_vote(request.ballot, now)
            self._counters["votes_granted" if is_granted else "votes_denied"] += 1
        self._effects.append(Packet(source, VOTE_REPLY, packets.vote_reply_body(request, is_granted)))

    def _is_pre_vote_granted(self, ballot: Ballot, now: float) -> bool:
        """Say whether a vote for `ballot` would be welcome; of two who stand, the higher ballot shall win."""
        vote_round = self._seat.vote_round
        if self._seat.role is Role.LEADER or (vote_round is not None and ballot < vote_round.ballot):
            return False
        return self._voter.would_vote(ballot, now)

    def _grant_vote(self, ballot: Ballot, now: float) -> bool:
        """Promise `ballot` unless it is below the fence; asking again for a promise is granted again."""
        if ballot < self._fence.ballot or self._voter.is_withheld(now):
            return False
        if ballot > self._fence.ballot:
            self._hear_new(ballot, True, now)
        elif ballot > self._fence.promise:
            self._fence.grant(ballot, self._effects)
        self._voter.hold(now)
        return True

    def _receive_vote_reply(self, sender: NodeId, body: list[object], now: float) -> None:
        reply = packets.take_vote_reply(body)
        vote_round = self._seat.vote_round
        if vote_round is None or not vote_round.is_answer(reply.number, reply.ballot, reply.is_pre_vote):
            self._counters["packets_stale"] += 1
        elif not vote_round.count(sender, reply.is_granted):
            self._counters["packets_unexpected"] += 1
        elif vote_round.is_won():
            self._finish_round(vote_round, now)

    def _receive_beat(self, stamp: Stamp, body: list[object], source: Address) -> None:
        """Answer a beat, which its stamp has told already; the stamp of the answer is the answer."""
        is_answer_wanted = Body(body).take_bool()
        if not is_ballot(stamp.ballot) or stamp.ballot[1] != stamp.sender or stamp.beat < 1:
            self._counters["packets_stale"] += 1  # it led no more when this left
            return
        fence, beat = self.stamp()
        is_due = is_answer_wanted if stamp.ballot == fence else stamp.ballot < fence
        if is_due and packets.is_answer_short(stamp, fence, beat):
            self._effects.append(Packet(source, BEAT_REPLY, []))

    def _receive_beat_reply(self, stamp: Stamp, now: float) -> None:
        attendance = self._seat.attendance
        beats_max = self._config.lease_s / self._config.beat_interval_s
        is_current = attendance is not None and attendance.beat - stamp.beat <= beats_max
        if attendance is None or not is_current or stamp.ballot != self._fence.ballot:
            self._counters["packets_stale"] += 1
        elif not attendance.answer(stamp.sender, now):
            self._counters["packets_unexpected"] += 1

    def _receive_stand(self, sender: NodeId, body: list[object], now: float) -> None:
        ballot = packets.take_owned_ballot(sender, Body(body))
        self._hear(ballot, 0, True, now)
        if ballot != self._fence.ballot or self._seat.role is Role.CANDIDATE:
            self._counters["packets_stale"] += 1
        elif self._seat.role is Role.RETIRED or not self._seat.may_stand() or self._voter.is_withheld(now):
            self._counters["packets_unexpected"] += 1
        else:
            self._start_round(False, now)

    # What is heard

    def _hear(self, ballot: Ballot, beat: int, is_direct: bool, now: float) -> None:
        """Take note of a fence and a beat, whoever told them."""
        if not is_ballot(ballot) or ballot < self._fence.ballot:
            return
        if self._voter.is_jump(ballot):
            self._counters["ballots_jumped"] += 1
            return
        if ballot > self._fence.ballot:
            self._hear_new(ballot, False, now)
        if ballot[1] == self._node_id:
            attendance = self._seat.attendance
            if attendance is not None and beat > attendance.beat:
                self._counters["beats_clashed"] += 1
                self._stand_again("beat_clashed", now)
        elif beat > 0 and self._watch.observe(beat, is_direct, now):
            self._set_lease(now)
            self._seat.follow(self._config.election_timeout_s, now)

    def _hear_new(self, ballot: Ballot, is_promise: bool, now: float) -> None:
        """Turn to a ballot above the fence: whatever was going on below it ends."""
        self._voter.turn_to(ballot, is_promise, self._effects, now)
        self._timers.cancel(TIMER_LEASE, b"")
        if self._seat.role is Role.LEADER:
            self._stop_leading("overtaken", now)
        self._seat.follow(self._config.candidate_wait_s, now)

    # Standing

    def _start_round(self, is_pre_vote: bool, now: float) -> None:
        """Stand: ask the council for pre-votes, or promise the next ballot and ask for votes."""
        self._counters["rounds_started"] += 1
        ballot = next_ballot(self._fence.ballot, self._node_id)
        if is_pre_vote:
            self._seat.enter(Role.PRE_CANDIDATE)
        else:
            self._seat.enter(Role.CANDIDATE)
            self._fence.grant(ballot, self._effects)
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
        for address in vote_round.unanswered():
            body = packets.vote_request_body(vote_round.number, vote_round.ballot, vote_round.is_pre_vote)
            self._effects.append(Packet(address, VOTE_REQUEST, body))
        self._timers.set(TIMER_RESEND, b"", now + self._config.vote_resend_s)

    def _finish_round(self, vote_round: VoteRound, now: float) -> None:
        """Go on from a round that was won: to the vote, or to leading."""
        if vote_round.is_pre_vote:
            self._start_round(False, now)
            return
        assert vote_round.ballot == self._fence.ballot == self._fence.promise, "who wins is not overtaken"
        self._seat.enter(Role.LEADER)
        self._counters["elections_won"] += 1
        attendance = Attendance(self._node_id, vote_round.voters(), now)
        self._seat.attendance = attendance
        self._timers.set(TIMER_BEAT, b"", now + self._config.beat_interval_s)
        if self._seat.council_ids != vote_round.voters():
            attendance.change_council(self._seat.council_ids, now)
        if attendance.has_lost_electorate():
            self._stand_again("electorate_lost", now)
        else:
            self._send_beat(merge_addresses(self._members, self._seat.council))

    # Leading

    def _on_beat_due(self, now: float) -> None:
        attendance = self._seat.attendance
        assert attendance is not None, "only a leader beats"
        if not attendance.has_quorum(self._config.lease_s, now):
            self._stop_leading("quorum_lost", now)
        else:
            attendance.advance(now)
            self._send_beat(self._seat.council)
            self._timers.set(TIMER_BEAT, b"", now + self._config.beat_interval_s)

    def _send_beat(self, addresses: list[tuple[NodeId, Address]]) -> None:
        attendance = self._seat.attendance
        assert attendance is not None, "only a leader beats"
        for member, address in addresses:
            if member != self._node_id:
                self._effects.append(Packet(address, BEAT, [attendance.is_answer_wanted(member)]))

    def _stop_leading(self, reason: str, now: float) -> None:
        """Become a follower; the next to stand may be this node again, under another ballot."""
        assert self._seat.role is Role.LEADER, "only a leader stops leading"
        self._counters["leaderships_ended"] += 1
        self._effects.append(leadership_ended(self._fence.ballot, reason))
        self._watch.reset()
        self._seat.follow(self._config.election_timeout_s, now)

    def _stand_again(self, reason: str, now: float) -> None:
        """End this leadership: a council member stands for a new ballot, others hand over to the fittest."""
        if self._seat.may_stand():
            self._stop_leading(reason, now)
            self._start_round(True, now)
        else:
            self._ask_to_stand(now)
            self._stop_leading(reason, now)

    def _ask_to_stand(self, now: float, is_fitter: bool = False) -> bool:
        """Tell the fittest council member that answers beats to stand at once; return whether one does."""
        attendance = self._seat.attendance
        assert attendance is not None, "only a leader hands over"
        successor = attendance.fittest_present(self._config.trust_s, now, is_fitter)
        for member, address in self._seat.council:
            if member == successor:
                self._effects.append(Packet(address, STAND, packets.stand_body(self._fence.ballot)))
        return successor != NO_NODE

    # Inner working

    def _advance(self, now: float) -> None:
        assert now >= self._now, "time never falls"
        self._now = now
        attendance = self._seat.attendance
        if attendance is not None and now - attendance.beat_at > self._config.lease_s:
            self._stop_leading("clock_gap", now)
            self._publish()

    def _set_lease(self, now: float) -> None:
        """Trust the leader for a lease from now."""
        lease_s = self._config.lease_s if self._seat.may_stand() else self._config.outsider_lease_s
        self._timers.set(TIMER_LEASE, b"", now + lease_s)

    def _publish(self) -> None:
        """Tell a change of leader once, after everything else an input caused."""
        leader = self.leader()
        ballot = self._fence.ballot
        if leader != self._told_leader or (leader != NO_NODE and ballot != self._told_ballot):
            self._effects.append(LeaderChanged(ballot, leader))
        self._told_leader = leader
        self._told_ballot = ballot

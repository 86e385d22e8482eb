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

from typing import Final, final

from swarm.core.effects import Effect, Packet
from swarm.core.ids import NO_BALLOT, NO_NODE, Address, Ballot, NodeId
from swarm.core.rng import Rng
from swarm.election import packets
from swarm.election.base import ElectionBase
from swarm.election.beats import Attendance
from swarm.election.config import ElectionConfig
from swarm.election.council import merge_addresses
from swarm.election.counters import new_counters
from swarm.election.fence import Fence
from swarm.election.roles import Role
from swarm.election.timeouts import TIMER_BEAT
from swarm.election.voter import Voter
from swarm.election.votes import VoteRound
from swarm.wire.codec import Body, Stamp
from swarm.wire.messages import BEAT, BEAT_REPLY, STAND, VOTE_REPLY, VOTE_REQUEST


@final
class Election(ElectionBase):
    """The election of one node; see the module's text."""

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
        super().__init__(config, node_id, rng, Voter(config, Fence(fence, promise)), new_counters())
        self._is_amnesiac: Final = is_amnesiac
        self._members: list[tuple[NodeId, Address]] = []

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

    def hand_over(self, now: float) -> bool:
        """See `ElectionBase`; this node leads on until a higher ballot ends that."""
        self._advance(now)
        return self._seat.role is Role.LEADER and self._ask_to_stand(now, True)

    # Votes

    def _receive_vote_request(self, sender: NodeId, body: list[object], source: Address, now: float) -> None:
        request = packets.take_vote_request(sender, body)
        if not self._is_jump(request.ballot):
            is_granted = self._decide(request, NO_BALLOT, now)
            self._effects.append(Packet(source, VOTE_REPLY, packets.vote_reply_body(request, is_granted)))

    def _receive_vote_reply(self, sender: NodeId, body: list[object], now: float) -> None:
        self._count_vote(sender, packets.take_vote_reply(body), True, now)

    def _requests(self, vote_round: VoteRound) -> list[Effect]:
        found: list[Effect] = []
        for address in vote_round.unanswered():
            body = packets.vote_request_body(vote_round.number, vote_round.ballot, vote_round.is_pre_vote)
            found.append(Packet(address, VOTE_REQUEST, body))
        return found

    # Beats

    def _receive_beat(self, stamp: Stamp, body: list[object], source: Address, now: float) -> None:
        """Answer a beat, which its stamp has told already; the stamp of the answer is the answer."""
        is_answer_wanted = Body(body).take_bool()
        if not packets.is_of_leader(stamp):
            self._counters["packets_stale"] += 1
            return
        fence, beat = self.stamp()
        is_due = is_answer_wanted if stamp.ballot == fence else stamp.ballot < fence
        if is_due and packets.is_answer_short(stamp, fence, beat):
            self._effects.append(Packet(source, BEAT_REPLY, []))

    def _receive_beat_reply(self, stamp: Stamp, body: list[object], now: float) -> None:
        attendance = self._seat.attendance
        beats_max = self._config.lease_s / self._config.beat_interval_s
        is_current = attendance is not None and attendance.beat - stamp.beat <= beats_max
        if attendance is None or not is_current or stamp.ballot != self._fence.ballot:
            self._counters["packets_stale"] += 1
        elif not attendance.answer(stamp.sender, now):
            self._counters["packets_unexpected"] += 1

    def _on_beat_clash(self, now: float) -> None:
        self._stand_again("beat_clashed", now)

    def _is_near(self) -> bool:
        return self._seat.may_stand()

    # Leading

    def _open_book(self, vote_round: VoteRound, now: float) -> None:
        attendance = Attendance(self._node_id, vote_round.voters(), now)
        self._seat.attendance = attendance
        if self._seat.council_ids != vote_round.voters():
            attendance.change_council(self._seat.council_ids, now)
        if attendance.has_lost_electorate():
            self._stand_again("electorate_lost", now)
        else:
            self._send_beat(merge_addresses(self._members, self._seat.council))

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

    def _why_over(self, now: float) -> str:
        attendance = self._seat.attendance
        assert attendance is not None, "a leader keeps attendance"
        return "clock_gap" if now - attendance.beat_at > self._config.lease_s else ""

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

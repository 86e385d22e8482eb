"""The election of a strict mesh: voters in a committed configuration, and a lease that only one can hold.

Theory of operation
-------------------
Ballots, beats, stamps and the durable fence are those of `swarm.election.core`. What differs is who decides,
and what a leader may do with it:

*Voters* stand in a *configuration* (`swarm.election.configuration`), not in what gossip happens to know. It
is founded once, with the founder alone, and changed by leaders, one voter at a time, when a majority of the
present one has it on disk. A node that stands says which configuration it knows; a voter that knows a higher
one refuses. So every two configurations under which somebody can be elected at one time have majorities that
meet.

A *lease* (`swarm.election.office`): a leader leads from the moment in which a majority has answered a beat of
its own and has its configuration on disk, until `lease_s` after it sent the latest beat that a majority
answered. Whoever answers a beat votes for nobody else for `hold_s` (`swarm.election.holds`), on its own
clock. So the lease of one leader is over before another one can be elected, let alone give orders, whatever
is suspended, stopped or cut off in between, as long as clocks count sleep and drift less than stands in the
configuration. A leadership whose lease ended is over for good; its owner may stand again.

Without a majority of voters nobody leads, and nothing is dispatched. Nothing else depends on a leader:
submissions are accepted and acknowledged as always.

A leader that stops gracefully asks the fittest voter that answers to stand (STAND). That word, and standing
under another ballot, release the holds for the one who leads no more. A voter that stops gracefully says so
in its answers, and is removed before it goes (`is_needed`).

Roles and their changes: `swarm.election.roles`; timers as in `swarm.election.core`, but that a leader's LEASE
is its own. Invariants: `swarm.election.strict_invariants`.

Sources: Ongaro's thesis (2014), §3.10, §4, §6.4.1, §9.6; Schultz, Dardik, Tripakis (2021); Gray and Cheriton,
"Leases" (1989); etcd-io/raft (check-quorum, pre-vote, one change at a time).
"""

from __future__ import annotations

from typing import final

from swarm.core.effects import Packet
from swarm.core.errors import DecodeError
from swarm.core.ids import NO_BALLOT, NODE_ID_SIZE, Address, Ballot, NodeId
from swarm.election import packets, strict_packets
from swarm.election.ballots import is_ballot, next_ballot
from swarm.election.office import Office
from swarm.election.roles import Role
from swarm.election.strict_member import StrictMember
from swarm.election.timeouts import TIMER_BEAT, TIMER_ELECTION, TIMER_LEASE, TIMER_RESEND, TIMER_ROUND
from swarm.election.votes import VoteRound
from swarm.wire.codec import Body, Stamp
from swarm.wire.messages import BEAT, BEAT_REPLY, STAND, VOTE_REPLY, VOTE_REQUEST


@final
class StrictElection(StrictMember):
    """The election of one node of a strict mesh; see the module's text."""

    # Inputs

    def start(self, now: float) -> None:
        """Begin; who may have answered a beat in an earlier life votes for nobody for a hold."""
        self._advance(now)
        self._voter.begin(self._effects, now)
        self._seat_voters()
        self._seat.start(now, self._holds.free_at())

    def on_council(self, council: list[tuple[NodeId, Address]], now: float) -> None:
        """Take the fittest members: who stands first, and who may become a voter."""
        self._advance(now)
        self._council = [member for member, _ in council]
        for member, address in council:
            self._places[member] = address
        if self._office is not None:
            self._office.on_council(self._council, now)
        self._seat_voters()
        self._seat.set_election_timer(now)
        self._publish()

    def on_members(self, addresses: list[tuple[NodeId, Address]], now: float) -> None:
        """Take where all members are."""
        self._advance(now)
        voters = self._ledger.configuration.ids()
        kept = {
            node: place for node, place in self._places.items() if node in voters or node in self._council
        }
        kept.update(addresses[: self._config.members_max])
        self._places = kept
        self._seat_voters()

    def wants_members(self) -> bool:
        """Return True: a voter may be anybody."""
        return True

    def on_stamp(self, stamp: Stamp, now: float) -> None:
        """Learn fence and beat of the sender from the stamp of any frame."""
        self._advance(now)
        if stamp.sender != self._node_id:
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
                self._receive_ask(sender, body, source, now)
            elif kind == VOTE_REPLY:
                self._receive_verdict(sender, body, now)
            elif kind == BEAT:
                self._receive_beat(stamp, body, source, now)
            elif kind == BEAT_REPLY:
                self._receive_echo(stamp, body, now)
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
        if self._office is not None:
            self._stop_leading("clock_gap", now)
        self._watch.refresh(now)
        if self._watch.is_trusted:
            self._trust(now)
        self._follow(self._config.election_timeout_s, now)
        self._publish()

    def resign(self, now: float, is_for_good: bool = False) -> None:
        """Lead and stand no more: a leader asks the fittest to stand; this node votes on while it runs.

        Args:
            now: seconds.
            is_for_good: it says so in its answers, and is needed until it is no voter any more.
        """
        self._advance(now)
        if self._seat.role is Role.RETIRED:
            return
        self._is_leaving = is_for_good
        if is_for_good and self._office is not None and self._office.wants_heir(now):
            self._is_resigning = True  # it votes alone: somebody else has to be a voter first
            return
        self._retire(now)
        self._publish()

    def hand_over(self, now: float) -> bool:
        """See `ElectionFace`; this node leads no more, for nobody is elected while its lease lasts."""
        self._advance(now)
        if self._office is None or not self._office.is_fitter(self._office.successor(now)):
            return False
        self._ask_to_stand(now)
        self._stop_leading("handed_over", now)
        self._publish()
        return True

    def handle_deadline(self, now: float) -> None:
        """Do what is due; call at `next_deadline` or later."""
        self._advance(now)
        key = self._timers.pop_due(now)
        while key is not None:
            if key[0] == TIMER_ELECTION:
                self._start_round(True, now)
            elif key[0] == TIMER_ROUND:
                self._counters["rounds_timed_out"] += 1
                self._released = NO_BALLOT
                self._follow(self._seat.timeout.retry_wait_s(), now)
            elif key[0] == TIMER_RESEND:
                self._ask_votes(now)
            elif key[0] == TIMER_BEAT:
                self._on_beat_due(now)
            else:
                self._watch.distrust()
            key = self._timers.pop_due(now)
        self._publish()

    # Votes

    def _receive_ask(self, sender: NodeId, body: list[object], source: Address, now: float) -> None:
        request, name, released = strict_packets.take_ask(sender, body)
        if self._voter.is_jump(request.ballot):
            self._counters["ballots_jumped"] += 1
            return
        if self._voter.is_outdated(name):
            is_granted = False
            self._counters["votes_outdated"] += 1
        elif request.is_pre_vote:
            is_granted = self._is_pre_vote_granted(request.ballot, released, now)
            self._counters["pre_votes_granted" if is_granted else "pre_votes_denied"] += 1
        else:
            is_granted = self._grant_vote(request.ballot, released, now)
            self._counters["votes_granted" if is_granted else "votes_denied"] += 1
        verdict = strict_packets.verdict_body(request, is_granted, self._ledger.mark)
        self._effects.append(Packet(source, VOTE_REPLY, verdict))

    def _is_pre_vote_granted(self, ballot: Ballot, released: Ballot, now: float) -> bool:
        """Say whether a vote for `ballot` would be welcome; of two who stand, the higher ballot shall win."""
        vote_round = self._seat.vote_round
        if self._office is not None or (vote_round is not None and ballot < vote_round.ballot):
            return False
        is_welcome = self._voter.would_vote(ballot, released, now)
        if is_welcome and ballot[1] == self._fence.ballot[1]:
            self._watch.distrust()  # it leads no more under the ballot before
            self._timers.cancel(TIMER_LEASE, b"")
        return is_welcome

    def _grant_vote(self, ballot: Ballot, released: Ballot, now: float) -> bool:
        if not self._voter.may_vote(ballot, released, now):
            return False
        if ballot > self._fence.ballot:
            self._hear_new(ballot, True, now)
        elif ballot > self._fence.promise:
            self._ledger.grant(ballot, self._effects)
        self._voter.note_stand(now)
        return True

    def _receive_verdict(self, sender: NodeId, body: list[object], now: float) -> None:
        reply, mark = strict_packets.take_verdict(body)
        vote_round = self._seat.vote_round
        if vote_round is None or not vote_round.is_answer(reply.number, reply.ballot, reply.is_pre_vote):
            self._counters["packets_stale"] += 1
        elif not self._ledger.configuration.has(sender, mark) or not vote_round.count(
            sender, reply.is_granted
        ):
            self._counters["packets_unexpected"] += 1
        elif vote_round.is_won():
            self._finish_round(vote_round, now)

    # Beats

    def _receive_beat(self, stamp: Stamp, body: list[object], source: Address, now: float) -> None:
        """Answer a beat of the leadership at the fence: with it goes the vote, for a hold."""
        news = strict_packets.take_beat(body)
        if not is_ballot(stamp.ballot) or stamp.ballot[1] != stamp.sender or stamp.beat < 1:
            self._counters["packets_stale"] += 1  # it led no more when this left
            return
        if stamp.ballot != self._fence.ballot or news.name[0] != stamp.ballot:
            self._counters["packets_stale"] += 1
            if stamp.ballot < self._fence.ballot:  # the stamp of the answer tells why
                self._answer(source, 0, False)
            return
        if news.configuration.name > self._ledger.configuration.name:
            self._install(news.configuration)
            self._seat.set_election_timer(now)
        if news.is_answer_wanted:
            self._voter.keep_for(stamp.ballot, now)
            self._follow(self._config.election_timeout_s, now)
            self._answer(source, stamp.beat, news.name == self._ledger.configuration.name)

    def _answer(self, source: Address, beat: int, is_installed: bool) -> None:
        echo = strict_packets.echo_body(beat, self._ledger.mark, is_installed, self._is_leaving)
        self._effects.append(Packet(source, BEAT_REPLY, echo))

    def _receive_echo(self, stamp: Stamp, body: list[object], now: float) -> None:
        beat, mark, is_installed, is_leaving = strict_packets.take_echo(body)
        office = self._office
        is_counted = False
        if office is not None and stamp.ballot == self._fence.ballot:
            is_counted = office.answer(stamp.sender, beat, mark, is_installed, is_leaving, now)
        if office is not None and is_counted:
            self._confirm(office, now)
        else:
            self._counters["packets_stale"] += 1

    def _receive_stand(self, sender: NodeId, body: list[object], now: float) -> None:
        ballot = packets.take_owned_ballot(sender, Body(body))
        self._hear(ballot, 0, True, now)
        if ballot != self._fence.ballot or self._seat.role is Role.CANDIDATE:
            self._counters["packets_stale"] += 1
            return
        self._holds.release(ballot)
        if self._seat.role is Role.RETIRED or not self._seat.may_stand() or self._holds.is_withheld(now):
            self._counters["packets_unexpected"] += 1
        else:
            self._released = ballot
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
            if self._office is not None and beat > self._office.beat:
                self._counters["beats_clashed"] += 1
                self._stop_leading("beat_clashed", now)
        elif beat > 0 and self._watch.observe(beat, is_direct, now):
            self._trust(now)
            self._follow(self._config.election_timeout_s, now)

    def _hear_new(self, ballot: Ballot, is_promise: bool, now: float) -> None:
        """Turn to a ballot above the fence: whatever was going on below it ends."""
        if self._office is not None:
            self._stop_leading("overtaken", now)
        self._voter.turn_to(ballot, is_promise, self._effects, now)
        self._timers.cancel(TIMER_LEASE, b"")
        self._follow(self._config.candidate_wait_s, now)

    # Standing

    def _start_round(self, is_pre_vote: bool, now: float) -> None:
        """Stand: ask the voters for pre-votes, or promise the next ballot and ask for votes."""
        ballot = next_ballot(self._fence.ballot, self._node_id)
        if not self._voter.is_free(ballot, self._released, now):
            self._follow(0.0, now)  # it answered a beat since
            return
        self._counters["rounds_started"] += 1
        if is_pre_vote:
            self._seat.enter(Role.PRE_CANDIDATE)
        else:
            self._seat.enter(Role.CANDIDATE)
            self._ledger.grant(ballot, self._effects)
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
        """Send the request to every voter who has not granted it, now and again until the round ends."""
        vote_round = self._seat.vote_round
        assert vote_round is not None, "only a candidate asks for votes"
        name = self._ledger.configuration.name
        self._effects.extend(strict_packets.requests(vote_round, name, self._released))
        self._timers.set(TIMER_RESEND, b"", now + self._config.vote_resend_s)

    def _finish_round(self, vote_round: VoteRound, now: float) -> None:
        """Go on from a round that was won: to the vote, or to beating for a lease."""
        if vote_round.is_pre_vote:
            self._start_round(False, now)
            return
        assert vote_round.ballot == self._fence.ballot == self._fence.promise, "who wins is not overtaken"
        self._seat.enter(Role.LEADER)
        self._counters["elections_won"] += 1
        self._released = NO_BALLOT
        self._install(self._ledger.configuration.owned_by(vote_round.ballot))
        configuration = self._ledger.configuration
        office = Office(self._strict, self._node_id, self._ledger.mark, configuration, now)
        office.on_council(self._council, now)
        self._office = office
        self._timers.set(TIMER_BEAT, b"", now + self._config.beat_interval_s)
        self._effects.extend(strict_packets.beats(office, self._places, now))
        self._confirm(office, now)

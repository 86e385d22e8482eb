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
is its own. Invariants: `swarm.election.invariants` and `swarm.election.strict_invariants`.

Sources: Ongaro's thesis (2014), §3.10, §4, §6.4.1, §9.6; Schultz, Dardik, Tripakis (2021); Gray and Cheriton,
"Leases" (1989); etcd-io/raft (check-quorum, pre-vote, one change at a time).
"""

from __future__ import annotations

import math
from typing import Final, final

from swarm.core.effects import Effect, Packet
from swarm.core.ids import EVERYWHERE, Address, Ballot, NodeId
from swarm.core.rng import Rng
from swarm.election import packets, strict_packets
from swarm.election.ballots import next_ballot
from swarm.election.base import ElectionBase
from swarm.election.config import ElectionConfig
from swarm.election.configuration import Configuration
from swarm.election.counters import new_strict_counters
from swarm.election.ledger import Ledger
from swarm.election.office import Office
from swarm.election.roles import Role
from swarm.election.strict_config import StrictConfig
from swarm.election.strict_invariants import check_ends, check_office
from swarm.election.strict_voter import StrictVoter
from swarm.election.timeouts import TIMER_BEAT, TIMER_LEASE
from swarm.election.votes import VoteRound
from swarm.wire.codec import Stamp
from swarm.wire.messages import BEAT_REPLY, STAND, VOTE_REPLY


@final
class StrictElection(ElectionBase):
    """The election of one node of a strict mesh; see the module's text."""

    def __init__(
        self, config: ElectionConfig, strict: StrictConfig, node_id: NodeId, rng: Rng, ledger: Ledger
    ) -> None:
        """Restore a node.

        Args:
            config: beats and the waits of elections.
            strict: leases, and how fast voters change.
            node_id: this node.
            rng: source of the random part of waits.
            ledger: what it must not forget, as restored from the journal.
        """
        keeper = StrictVoter(config, strict, ledger)
        super().__init__(config, node_id, rng, keeper, new_strict_counters())
        self._strict: Final = strict
        self._ledger: Final = ledger
        self._keeper: Final = keeper  # `_voter`, as what it is
        self._council: list[NodeId] = []
        self._places: dict[NodeId, Address] = {}
        self._is_leaving = False
        self._is_resigning = False

    # Inputs

    def start(self, now: float) -> None:
        """Begin; who may have answered a beat in an earlier life votes for nobody for a hold."""
        self._advance(now)
        self._keeper.begin(self._effects, now)
        self._seat_voters()
        self._seat.start(now, self._keeper.free_at())

    def on_council(self, council: list[tuple[NodeId, Address]], now: float) -> None:
        """Take the fittest members: who stands first, and who may become a voter."""
        self._advance(now)
        self._council = [member for member, _ in council]
        for member, address in council:
            self._places[member] = address
        if self._seat.office is not None:
            self._seat.office.on_council(self._council, now)
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

    def resign(self, now: float, is_for_good: bool = False) -> None:
        """See `ElectionBase`; one that votes alone stops only when somebody else is a voter.

        Args:
            now: seconds.
            is_for_good: it says so in its answers, and is needed until it is no voter any more.
        """
        self._advance(now)
        if self._seat.role is Role.RETIRED:
            return
        self._is_leaving = is_for_good
        office = self._seat.office
        if is_for_good and office is not None and office.wants_heir(now):
            self._is_resigning = True
            return
        self._retire(now)
        self._publish()

    def hand_over(self, now: float) -> bool:
        """See `ElectionBase`; this node leads no more, for nobody is elected while its lease lasts."""
        self._advance(now)
        if self._seat.role is not Role.LEADER or not self._ask_to_stand(now, True):
            return False
        self._stop_leading("handed_over", now)
        self._publish()
        return True

    # Views

    def is_leader(self) -> bool:
        """Return whether this node leads, with a lease, under `ballot()`."""
        return self._seat.office is not None and self._seat.office.is_confirmed

    def may_order(self, now: float) -> bool:
        """Return whether this node leads and its lease lasts at `now`."""
        return now < self.lease_until()

    def is_needed(self) -> bool:
        """Return whether this node wants to leave for good, and the others still count on its vote."""
        if not self._is_leaving:
            return False
        is_among_others = self._ledger.is_voter() and len(self._ledger.configuration.voters) > 1
        return is_among_others or (self._is_resigning and self._seat.role is not Role.RETIRED)

    def voters(self) -> list[NodeId]:
        """Return the voters of the highest configuration that this node knows."""
        return self._ledger.configuration.ids()

    def mark(self) -> bytes:
        """Return the mark of this node's ledger, with which it votes."""
        return self._ledger.mark

    def lease_until(self) -> float:
        """Return until when this node may give orders, on its own clock; -inf when it does not lead."""
        office = self._seat.office
        return office.lease_until() if office is not None and office.is_confirmed else -math.inf

    def statistics(self) -> dict[str, int]:
        """Return a copy of the counters, and the number of the highest configuration known, 0 for none."""
        counters = super().statistics()
        counters["configuration"] = self._ledger.configuration.version
        return counters

    def check_invariants(self) -> None:
        """Audit the whole state; raises AssertionError "I<n>: ..." which invariant is broken."""
        super().check_invariants()
        check_office(self._seat.role, self._ledger, self._seat.office)
        check_ends(self._timers, self._watch, self._seat.office)

    # Votes

    def _receive_vote_request(self, sender: NodeId, body: list[object], source: Address, now: float) -> None:
        request, name, released = strict_packets.take_ask(sender, body)
        if self._is_jump(request.ballot):
            return
        if self._keeper.is_outdated(name):
            is_granted = False
            self._counters["votes_outdated"] += 1
        else:
            is_granted = self._decide(request, released, now)
        verdict = strict_packets.verdict_body(request, is_granted, self._ledger.mark)
        self._effects.append(Packet(source, VOTE_REPLY, verdict))

    def _is_pre_vote_granted(self, ballot: Ballot, released: Ballot, now: float) -> bool:
        is_welcome = super()._is_pre_vote_granted(ballot, released, now)
        if is_welcome and ballot[1] == self._fence.ballot[1]:
            self._watch.distrust()  # it leads no more under the ballot before
            self._timers.cancel(TIMER_LEASE, b"")
        return is_welcome

    def _receive_vote_reply(self, sender: NodeId, body: list[object], now: float) -> None:
        reply, mark = strict_packets.take_verdict(body)
        self._count_vote(sender, reply, self._ledger.configuration.has(sender, mark), now)

    def _requests(self, vote_round: VoteRound) -> list[Effect]:
        return strict_packets.requests(vote_round, self._ledger.configuration.name, self._keeper.released)

    # Beats

    def _receive_beat(self, stamp: Stamp, body: list[object], source: Address, now: float) -> None:
        """Answer a beat of the leadership at the fence: with it goes the vote, for a hold."""
        news = strict_packets.take_beat(body)
        if not packets.is_of_leader(stamp):
            self._counters["packets_stale"] += 1
            return
        if stamp.ballot != self._fence.ballot or news.name[0] != stamp.ballot:
            self._counters["packets_stale"] += 1
            if stamp.ballot < self._fence.ballot:  # the stamp of the answer tells why
                self._answer(source, 0, False)
            return
        if news.configuration.name > self._ledger.configuration.name:
            self._install(news.configuration)
            if self._seat.role is Role.PRE_CANDIDATE:  # it asked the voters of another configuration
                self._follow(self._config.election_timeout_s, now)
            self._seat.set_election_timer(now)
        if news.is_answer_wanted:
            self._keeper.keep_for(stamp.ballot, now)
            self._follow(self._config.election_timeout_s, now)
            self._answer(source, stamp.beat, news.name == self._ledger.configuration.name)

    def _answer(self, source: Address, beat: int, is_installed: bool) -> None:
        echo = strict_packets.echo_body(beat, self._ledger.mark, is_installed, self._is_leaving)
        self._effects.append(Packet(source, BEAT_REPLY, echo))

    def _receive_beat_reply(self, stamp: Stamp, body: list[object], now: float) -> None:
        beat, mark, is_installed, is_leaving = strict_packets.take_echo(body)
        office = self._seat.office
        is_counted = False
        if office is not None and stamp.ballot == self._fence.ballot:
            is_counted = office.answer(stamp.sender, beat, mark, is_installed, is_leaving, now)
        if office is not None and is_counted:
            self._confirm(office, now)
        else:
            self._counters["packets_stale"] += 1

    def _stand_when_asked(self, ballot: Ballot, now: float) -> None:
        self._keeper.release(ballot)
        super()._stand_when_asked(ballot, now)

    def _on_beat_clash(self, now: float) -> None:
        self._stop_leading("beat_clashed", now)

    def _is_near(self) -> bool:
        return self._node_id in self._council or self._ledger.is_voter()

    # Standing

    def _start_round(self, is_pre_vote: bool, now: float) -> None:
        if self._voter.is_free(next_ballot(self._fence.ballot, self._node_id), self._keeper.released, now):
            super()._start_round(is_pre_vote, now)
        else:
            self._follow(0.0, now)  # waits are rounded: not yet

    def _follow(self, wait_s: float, now: float) -> None:
        """Be a follower that stands after a wait, and not before it may vote itself."""
        super()._follow(max(wait_s, self._keeper.free_at() - now), now)

    # Leading

    def _open_book(self, vote_round: VoteRound, now: float) -> None:
        self._install(self._ledger.configuration.owned_by(vote_round.ballot))
        office = Office(self._strict, self._node_id, self._ledger.mark, self._ledger.configuration, now)
        office.on_council(self._council, now)
        self._seat.office = office
        self._effects.extend(strict_packets.beats(office, self._places, now))
        self._confirm(office, now)

    def _why_over(self, now: float) -> str:
        office = self._seat.office
        assert office is not None, "a leader keeps an office"
        if now >= office.ends_at():
            self._counters["leases_lost"] += 1
            return "quorum_lost"
        return "clock_gap" if now - office.beat_at > self._config.lease_s else ""  # it votes alone and slept

    def _confirm(self, office: Office, now: float) -> None:
        """Lead as soon as a majority answers, and tell everybody; put off the end of the lease."""
        if office.confirm(now):
            self._effects.extend(strict_packets.announcements(office, self._node_id, self._places, now))
        self._set_end(office)

    def _set_end(self, office: Office) -> None:
        ends_at = office.ends_at()
        if ends_at < math.inf:
            self._timers.set(TIMER_LEASE, b"", max(ends_at, self._now))
        else:
            self._timers.cancel(TIMER_LEASE, b"")

    def _on_beat_due(self, now: float) -> None:
        office = self._seat.office
        assert office is not None, "only a leader beats"
        if self._is_resigning and not office.wants_heir(now):
            self._retire(now)
            return
        following = office.next_configuration(now, self._is_resigning) if office.is_confirmed else None
        if following is not None:
            is_more = len(following.voters) > len(office.configuration.voters)
            self._counters["voters_added" if is_more else "voters_removed"] += 1
            self._install(following)
            office.change_to(following, now)
            self._effects.extend(strict_packets.announcements(office, self._node_id, self._places, now))
        office.advance(now)
        self._effects.extend(strict_packets.beats(office, self._places, now))
        self._set_end(office)
        self._timers.set(TIMER_BEAT, b"", now + self._config.beat_interval_s)

    def _ask_to_stand(self, now: float, is_fitter: bool = False) -> bool:
        office = self._seat.office
        assert office is not None, "only a leader hands over"
        successor = office.successor(now)
        address = self._places.get(successor, EVERYWHERE)
        if address == EVERYWHERE or (is_fitter and not office.is_fitter(successor)):
            return False
        self._effects.append(Packet(address, STAND, packets.stand_body(self._fence.ballot)))
        return True

    # Inner working

    def _install(self, configuration: Configuration) -> None:
        self._ledger.install(configuration, self._effects)
        self._counters["configurations_installed"] += 1
        self._seat_voters()

    def _seat_voters(self) -> None:
        """Rank the voters as the fittest members are; without this node when it does not vote."""
        ranked: list[tuple[NodeId, Address]] = []
        ids = self._ledger.configuration.ids()
        for node in [one for one in self._council if one in ids] + [
            one for one in ids if one not in self._council
        ]:
            if node != self._node_id or self._ledger.is_voter():
                ranked.append((node, self._places.get(node, EVERYWHERE)))
        self._seat.change_council(ranked)

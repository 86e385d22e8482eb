"""What a node of a strict mesh is: its parts, what it shows of itself, and how it leads and ceases to.

The base of `swarm.election.strict`, which tells the theory and takes the inputs.
"""

from __future__ import annotations

import math
from abc import ABC
from typing import Final

from swarm.core.effects import Effect, LeaderChanged, Packet
from swarm.core.ids import EVERYWHERE, NO_BALLOT, NO_NODE, NODE_ID_SIZE, Address, Ballot, NodeId
from swarm.core.rng import Rng
from swarm.election import packets, strict_packets
from swarm.election.config import ElectionConfig
from swarm.election.configuration import Configuration
from swarm.election.counters import new_strict_counters
from swarm.election.face import ElectionFace
from swarm.election.fence import Fence
from swarm.election.invariants import check_standing, check_trust
from swarm.election.ledger import Ledger
from swarm.election.news import leadership_ended
from swarm.election.office import Office
from swarm.election.roles import Role
from swarm.election.seat import Seat
from swarm.election.strict_config import StrictConfig
from swarm.election.strict_invariants import check_ends, check_office
from swarm.election.strict_voter import StrictVoter
from swarm.election.timeouts import TIMER_BEAT, TIMER_LEASE
from swarm.wire.messages import STAND


class StrictMember(ElectionFace, ABC):
    """Parts, views and leadership of one node of a strict mesh."""

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
        assert len(node_id) == NODE_ID_SIZE, "a node id has 16 bytes"
        self._config: Final = config
        self._strict: Final = strict
        self._node_id: Final = node_id
        self._ledger: Final = ledger
        self._fence: Final[Fence] = ledger.fence
        self._voter: Final = StrictVoter(config, strict, ledger)
        self._watch: Final = self._voter.watch
        self._holds: Final = self._voter.holds
        self._seat: Final = Seat(config, node_id, rng, ledger.fence)
        self._timers: Final = self._seat.timers
        self._office: Office | None = None
        self._effects: list[Effect] = []
        self._counters: Final[dict[str, int]] = new_strict_counters()
        self._council: list[NodeId] = []
        self._places: dict[NodeId, Address] = {}
        self._released = NO_BALLOT
        self._now = 0.0
        self._is_leaving = False
        self._is_resigning = False
        self._round_number = rng.below(2**30)
        self._told_leader: NodeId = NO_NODE
        self._told_ballot = self._fence.ballot

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
        return (self._fence.ballot, self._watch.beat if self._office is None else self._office.beat)

    def leader(self) -> NodeId:
        """Return who leads as far as this node knows, NO_NODE when there is nobody to trust."""
        if self._office is not None:
            return self._node_id if self._office.is_confirmed else NO_NODE
        return self._fence.ballot[1] if self._watch.is_trusted else NO_NODE

    def ballot(self) -> Ballot:
        """Return the fence: the leader's ballot when there is one. Orders below it are refused."""
        return self._fence.ballot

    def is_leader(self) -> bool:
        """Return whether this node leads, with a lease, under `ballot()`."""
        return self._office is not None and self._office.is_confirmed

    def may_order(self, now: float) -> bool:
        """Return whether this node leads and its lease lasts at `now`."""
        return now < self.lease_until()

    def role(self) -> Role:
        """Return what this node is at the moment."""
        return self._seat.role

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
        return (
            self._office.lease_until()
            if self._office is not None and self._office.is_confirmed
            else -math.inf
        )

    def statistics(self) -> dict[str, int]:
        """Return a copy of the counters, and the number of the highest configuration known, 0 for none."""
        counters = self._counters.copy()
        counters["configuration"] = self._ledger.configuration.version
        return counters

    def check_invariants(self) -> None:
        """Audit the whole state; raises AssertionError "I<n>: ..." which invariant is broken."""
        check_office(self._node_id, self._seat.role, self._ledger, self._office)
        check_standing(self._node_id, self._seat.role, self._fence, self._seat.vote_round)
        check_trust(self._node_id, self._seat.role, self._fence, self._watch)
        assert self._told_leader == self.leader(), "I6: the leader last told is the leader"
        check_ends(self._seat.role, self._timers, self._watch, self._office)

    # Leading

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
        office = self._office
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

    def _stop_leading(self, reason: str, now: float) -> None:
        """Become a follower; the next to stand may be this node again, under another ballot."""
        self._close_office(reason)
        self._follow(self._config.election_timeout_s, now)

    def _close_office(self, reason: str) -> None:
        assert self._office is not None, "only a leader stops leading"
        self._office = None
        self._timers.cancel(TIMER_LEASE, b"")
        self._watch.reset()
        self._counters["leaderships_ended"] += 1
        self._effects.append(leadership_ended(self._fence.ballot, reason))

    def _retire(self, now: float) -> None:
        if self._office is not None:
            self._ask_to_stand(now)
            self._close_office("resigned")
        self._seat.enter(Role.RETIRED)

    def _ask_to_stand(self, now: float) -> None:
        """Tell the fittest voter that answers beats to stand at once."""
        assert self._office is not None, "only a leader hands over"
        address = self._places.get(self._office.successor(now), EVERYWHERE)
        if address != EVERYWHERE:
            self._effects.append(Packet(address, STAND, packets.stand_body(self._fence.ballot)))

    # Inner working

    def _advance(self, now: float) -> None:
        """Let time pass; a leader whose lease is over is none any more, before anything else happens."""
        assert now >= self._now, "time never falls"
        self._now = now
        office = self._office
        if office is None:
            return
        if now >= office.ends_at():
            self._counters["leases_lost"] += 1
            self._stop_leading("quorum_lost", now)
            self._publish()
        elif now - office.beat_at > self._config.lease_s:  # it votes alone and did not run
            self._stop_leading("clock_gap", now)
            self._publish()

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

    def _follow(self, wait_s: float, now: float) -> None:
        """Be a follower that stands after a wait, and not before it may vote itself."""
        if self._office is None:
            self._seat.follow(max(wait_s, self._holds.free_at() - now), now)

    def _trust(self, now: float) -> None:
        """Trust the leader for a while from now."""
        is_near = self._node_id in self._council or self._ledger.is_voter()
        lease_s = self._config.lease_s if is_near else self._config.outsider_lease_s
        self._timers.set(TIMER_LEASE, b"", now + lease_s)

    def _publish(self) -> None:
        """Tell a change of leader once, after everything else an input caused."""
        leader = self.leader()
        ballot = self._fence.ballot
        if leader != self._told_leader or (leader != NO_NODE and ballot != self._told_ballot):
            self._effects.append(LeaderChanged(ballot, leader))
        self._told_leader = leader
        self._told_ballot = ballot

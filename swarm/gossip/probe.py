"""Failure detection: one probe a period, with helpers on silence, and a short proof after a refusal.

A round probe: PING the best address; without an answer in the peer's own usual time, PING every address,
ask helpers (PING_REQ) and try the stream; at the end of the period, suspect. All times stretch with
`Awareness`. An extra probe is the same out of turn. A confirming probe follows hard evidence (a refused
port, a stream closed without a goodbye): some pings within a fraction of a second, and the stream. When
nothing answers and the evidence is a refusal, or came twice, the member is dead; else an extra probe follows.

Sources: SWIM (2002) sections 3 and 4; Lifeguard (2018) for nacks and local health; memberlist for the
parallel stream probe.
"""

from __future__ import annotations

from typing import Final

from swarm.core.effects import Message
from swarm.core.ids import NO_NODE, NODE_ID_SIZE, Address, NodeId
from swarm.gossip.context import (
    PROBE_AGAIN,
    PROBE_DIRECT,
    PROBE_END,
    PROBE_TICK,
    RELAY_END,
    Context,
    sequence_subject,
)
from swarm.gossip.limits import choose_some
from swarm.gossip.membership import Membership
from swarm.gossip.probe_order import ProbeOrder
from swarm.gossip.round_trip import RoundTrip
from swarm.gossip.rumours import SUSPECT, is_address
from swarm.wire.codec import Body
from swarm.wire.messages import ACK, NACK, PING, PING_REQ, PUSH_PULL, RUMOURS

SPARED_COUNT_MAX: Final = 5
"""Probes of a member in a row, without an answer, that end well because packets of it arrived meanwhile."""
_RACED_ADDRESSES_MAX: Final = 4


class Probe:
    """A probe of our own under way; `is_proven` is whether silence at its end means death."""

    def __init__(self, sequence: int, target: NodeId, is_confirming: bool, now: float) -> None:
        self.sequence: Final = sequence
        self.target: Final = target
        self.is_confirming: Final = is_confirming
        self.is_proven = False
        self.started: Final = now
        self.ping_count = 0
        self.is_heard = False
        self.helpers: list[NodeId] = []
        self.nacks: list[NodeId] = []


class Relay:
    """A probe under way on behalf of another member."""

    def __init__(self, target: NodeId, origin: NodeId, source: Address, sequence: int) -> None:
        self.target: Final = target
        self.origin: Final = origin
        self.source: Final = source
        self.sequence: Final = sequence


class FailureDetector:
    """Probes others and helps them probe; tells `Membership` the verdicts.

    Attributes:
        order, probes, relays: whom to probe next, and what is under way.
    """

    def __init__(self, context: Context, membership: Membership) -> None:
        self._context = context
        self._membership = membership
        self.order = ProbeOrder(context.rng)
        self.probes: dict[int, Probe] = {}
        self.relays: dict[int, Relay] = {}
        self._by_target: dict[NodeId, int] = {}
        self._confirmed_at: dict[NodeId, float] = {}
        self._spared: dict[NodeId, int] = {}
        self._last_helper: NodeId = NO_NODE

    def start(self, now: float) -> None:
        """Begin to probe, at a random moment of the first period."""
        first_s = self._context.rng.uniform(0.0, self._context.config.probe_interval_s)
        self._context.timers.set(PROBE_TICK, b"", now + first_s)

    def wake(self, now: float) -> None:
        """Forget all probes: their answers were lost while we slept. The next is due in a period."""
        for sequence in list(self.probes):
            self._forget(sequence)
        for sequence in list(self.relays):
            self._forget_relay(sequence)
        self._context.timers.set(PROBE_TICK, b"", now + self._context.config.probe_interval_s)

    # Causes

    def on_tick(self, now: float) -> None:
        """Probe the next member and set the timer for the one after it."""
        target = self.order.next()
        for _ in range(len(self._by_target)):
            if target is None or target not in self._by_target:
                break
            target = self.order.next()
        if target is not None:
            self._begin(target, False, now)
        interval_s = self._membership.awareness.scale_s(self._context.config.probe_interval_s)
        self._context.timers.set(PROBE_TICK, b"", now + interval_s)

    def on_soft_evidence(self, target: NodeId, now: float) -> None:
        """Probe a member out of turn: something hints that it may be gone."""
        self._begin(target, False, now)

    def on_hard_evidence(self, target: NodeId, is_proof: bool, now: float) -> None:
        """Probe a member whose host said that its process is gone: silence for a moment means death.

        Where datagrams are lost, silence says little, and a host says that a stream was closed for other
        reasons, too. So the word has to be given twice, unless it was that nobody listens (`is_proof`): a
        process that is gone lets the pings of the probe come back, or its stream be refused.
        """
        entry = self._membership.table.get(target)
        if entry is None or not entry.is_listed() or target == self._context.node_id:
            return
        running = self.probes.get(self._by_target.get(target, 0))
        if running is not None and running.is_confirming:
            running.is_proven = True
            return
        interval_s = self._context.config.confirm_interval_min_s
        if now - self._confirmed_at.get(target, -interval_s) < interval_s:
            return
        earlier = self._by_target.get(target, 0)
        if earlier:
            self._forget(earlier)
        for earlier_target in list(self._confirmed_at):
            if now - self._confirmed_at[earlier_target] >= interval_s:
                del self._confirmed_at[earlier_target]
        self._confirmed_at[target] = now
        self._begin(target, True, now)
        confirming = self.probes.get(self._by_target.get(target, 0))
        if confirming is not None:
            confirming.is_proven = is_proof

    def on_packet(self, sender: NodeId, source: Address, now: float) -> None:
        """Take what a packet says, whatever is in it: its sender lives, and `source` is its address.

        A process that has the address of a member under probe took the place of that member's.
        """
        self._membership.suspicions.hear(sender)
        if not self._by_target or len(sender) != NODE_ID_SIZE or sender == self._context.node_id:
            return
        own = self._by_target.get(sender, 0)
        if own:
            self.probes[own].is_heard = True
        for target in list(self._by_target):
            if target != sender and not self.probes[self._by_target[target]].is_confirming:
                entry = self._membership.table.get(target)
                if entry is not None and entry.addresses and entry.addresses[0] == source:
                    self._context.count("addresses_taken_over")
                    self.on_hard_evidence(target, True, now)

    def on_suspected(self, target: NodeId, now: float) -> None:
        """Some members, few in the whole mesh, probe a new suspect at once to confirm or clear it."""
        healthy_count = self._membership.alive_count() - len(self._membership.suspicions) - 1
        share = self._context.config.extra_prober_count / max(1, healthy_count)
        if self._context.rng.unit() < share:
            self._begin(target, False, now)

    def on_gone(self, target: NodeId) -> None:
        """Stop probing a member that is dead or left."""
        self.order.remove(target)
        self._spared.pop(target, 0)
        self._context.go_betweens.pop(target, b"")
        sequence = self._by_target.get(target, 0)
        if sequence:
            self._forget(sequence)

    # Timers

    def on_direct_timeout(self, sequence: int, now: float) -> None:
        """No direct answer in time: go other ways, all at once."""
        probe = self.probes.get(sequence)
        if probe is None:
            return
        self._ping(probe)
        helpers = self._membership.choose_peers(self._context.config.helper_count, probe.target)
        # Who reached one that we do not reach may be the only one that reaches others, too.
        self._ask_helpers(probe, [*probe.helpers, self._last_helper, *helpers])
        if probe.target not in self._context.go_betweens:
            self._context.emit(Message(probe.target, PUSH_PULL, [sequence, False, []]))

    def on_ping_again(self, sequence: int, now: float) -> None:
        """Repeat the ping of a confirming probe."""
        probe = self.probes.get(sequence)
        if probe is not None:
            self._ping(probe)
            self._plan_ping_again(probe, now)

    def on_probe_end(self, sequence: int, now: float) -> None:
        """Nobody heard of the target: judge it, and ourselves."""
        probe = self.probes.get(sequence)
        if probe is None:
            return
        self._forget(sequence)
        self._context.count("probes_failed")
        if probe.is_confirming and probe.is_proven:
            self._membership.declare_dead(probe.target, now)
            return
        if probe.is_confirming:
            self._begin(probe.target, False, now)
            return
        has_doubt = len(probe.nacks) < len(probe.helpers) or not probe.helpers
        if has_doubt and not self._is_group_lost():
            # One step whatever the number of nacks that did not come.
            self._membership.awareness.change(1)
        spared = self._spared.get(probe.target, 0)
        if probe.is_heard and self._context.config.weighs_evidence and spared < SPARED_COUNT_MAX:
            # Its answer was lost or comes too late, but it is there; after some it may be recordings.
            self._spared[probe.target] = spared + 1
            self._context.count("accusations_spared")
            return
        self._membership.suspect(probe.target, now)
        self._look_for_a_group(now)
        entry = self._membership.table.get(probe.target)
        if entry is not None and entry.state == SUSPECT and entry.addresses:
            rumours = self._membership.packet_rumours(probe.target, 0)
            self._context.send(entry.addresses[0], RUMOURS, [rumours])

    def on_relay_end(self, sequence: int) -> None:
        """Tell who asked us that we too heard nothing, which shows that at least we are well."""
        relay = self.relays.get(sequence)
        if relay is not None:
            self._forget_relay(sequence)
            rumours = self._membership.packet_rumours(relay.origin, 0)
            self._context.send(relay.source, NACK, [relay.sequence, rumours])

    # Packets; rumours in them have been applied

    def answer_ping(self, sender: NodeId, sequence: int, source: Address) -> None:
        """Say that we are here, and no more than that to a place where the sender is not known to be.

        Whoever sends a recording of a ping from elsewhere is not answered with more than it sent, and takes
        no rumours away from those that they are for.
        """
        entry = self._membership.table.get(sender)
        is_proven = entry is not None and not self._membership.is_news(entry, source)
        rumours = self._membership.packet_rumours(sender, 0) if is_proven else []
        self._context.send(source, ACK, [sequence, self._membership.table.digest(), rumours])

    def on_ack(self, sender: NodeId, sequence: int, now: float) -> bool:
        """Somebody is there: the target itself, or a helper that heard from it.

        Returns:
            Whether it answers something that we asked the sender.
        """
        # It is the sender's own, however late: we reach it, and it reaches us.
        self._context.go_betweens.pop(sender, b"")
        relay = self.relays.get(sequence)
        if relay is not None:
            if relay.target == sender:
                self._forget_relay(sequence)
                self.answer_ping(relay.origin, relay.sequence, relay.source)
            return relay.target == sender
        probe = self.probes.get(sequence)
        if probe is None or (sender != probe.target and sender not in probe.helpers):
            self._context.count("stale_acks")
            return False
        if sender == probe.target:
            round_trip = self._membership.round_trips.get(sender)
            if round_trip is None:
                round_trip = RoundTrip()
                self._membership.round_trips[sender] = round_trip
            round_trip.observe(now - probe.started)
        else:
            self._context.go_betweens[probe.target] = sender
            self._last_helper = sender
        self._succeed(probe)
        return True

    def on_stream_answer(self, sender: NodeId, sequence: int) -> bool:
        """A reply over the stream; return whether it answers a probe."""
        probe = self.probes.get(sequence)
        if probe is None or probe.target != sender:
            return False
        self._succeed(probe)
        return True

    def on_nack(self, sender: NodeId, sequence: int) -> None:
        """A helper is well, and heard nothing either."""
        probe = self.probes.get(sequence)
        if probe is None or sender not in probe.helpers or sender in probe.nacks:
            self._context.count("stale_nacks")
            return
        probe.nacks.append(sender)

    def on_ping_req(
        self, sender: NodeId, sequence: int, target: NodeId, hint: Address, source: Address, now: float
    ) -> None:
        """Probe `target` for `sender`."""
        if target == self._context.node_id:
            self.answer_ping(sender, sequence, source)
            return
        if len(self.relays) >= self._context.config.relays_max:
            self._context.count("relays_refused")
            return
        mine = self._context.next_sequence()
        self.relays[mine] = Relay(target, sender, source, sequence)
        self._context.timers.set(RELAY_END, sequence_subject(mine), now + self._context.config.nack_after_s)
        entry = self._membership.table.get(target)
        places = entry.addresses[:1] if entry is not None else []
        if hint not in places and is_address(hint[0], hint[1]):
            places.append(hint)
        for place in places:
            self._send_bare_ping(place, mine, target)

    # Inside

    def _begin(self, target: NodeId, is_confirming: bool, now: float) -> None:
        entry = self._membership.table.get(target)
        if entry is None or not entry.is_listed() or target == self._context.node_id:
            return
        if target in self._by_target or not entry.addresses:
            return
        if len(self.probes) >= self._context.config.probes_max:
            self._context.count("probes_refused")
            return
        config = self._context.config
        sequence = self._context.next_sequence()
        probe = Probe(sequence, target, is_confirming, now)
        self.probes[sequence] = probe
        self._by_target[target] = sequence
        self._context.count("probes_started")
        subject = sequence_subject(sequence)
        self._ping(probe)
        known = self._context.go_betweens.get(target, b"")
        if known and not is_confirming:
            self._ask_helpers(probe, [known])
        if is_confirming:
            self._context.emit(Message(target, PUSH_PULL, [sequence, False, []]))
            self._context.timers.set(PROBE_END, subject, now + config.confirm_timeout_s)
            self._plan_ping_again(probe, now)
            return
        round_trip = self._membership.round_trips.get(target)
        direct_s = config.probe_timeout_s if round_trip is None else round_trip.timeout_s(config)
        total_s = max(config.probe_share * config.probe_interval_s, 2 * direct_s)
        if not self._is_group_lost():
            direct_s = self._membership.awareness.scale_s(direct_s)
            total_s = self._membership.awareness.scale_s(total_s)
        self._context.timers.set(PROBE_DIRECT, subject, now + direct_s)
        self._context.timers.set(PROBE_END, subject, now + total_s)

    def _ping(self, probe: Probe) -> None:
        entry = self._membership.table.get(probe.target)
        assert entry is not None, "I6: a probe is about a member of the table"
        if probe.ping_count == 0 and not probe.is_confirming:
            self._send_ping(entry.addresses[0], probe.sequence, probe.target)
        else:
            for place in entry.addresses[:_RACED_ADDRESSES_MAX]:
                self._send_bare_ping(place, probe.sequence, probe.target)
        probe.ping_count += 1

    def _plan_ping_again(self, probe: Probe, now: float) -> None:
        config = self._context.config
        if probe.ping_count < config.confirm_ping_count:
            pause_s = config.confirm_timeout_s / config.confirm_ping_count
            self._context.timers.set(PROBE_AGAIN, sequence_subject(probe.sequence), now + pause_s)

    def _send_ping(self, place: Address, sequence: int, target: NodeId) -> None:
        rumours = self._membership.packet_rumours(target, NODE_ID_SIZE)
        self._context.send(place, PING, [sequence, target, self._membership.table.digest(), rumours])

    def _send_bare_ping(self, place: Address, sequence: int, target: NodeId) -> None:
        # A target that may be gone is told only what is held against it.
        accusation = self._membership.accusation_of(target)
        rumours: list[object] = [] if accusation is None else [accusation]
        self._context.send(place, PING, [sequence, target, self._membership.table.digest(), rumours])

    def _ask_helpers(self, probe: Probe, helpers: list[NodeId]) -> None:
        entry = self._membership.table.get(probe.target)
        assert entry is not None, "I6: a probe is about a member of the table"
        # An address seen from here (loopback, scoped) may mean another host elsewhere: prefer what it tells.
        places = entry.description.addresses or entry.addresses
        if not places:
            return
        for helper in dict.fromkeys(helpers):
            peer = self._membership.table.get(helper)
            if peer is None or helper == probe.target or not peer.is_listed() or not peer.addresses:
                continue
            if helper not in probe.helpers:
                probe.helpers.append(helper)
            host, port = places[0]
            rumours = self._membership.packet_rumours(helper, NODE_ID_SIZE + len(host) * 4)
            self._context.send(
                peer.addresses[0], PING_REQ, [probe.sequence, probe.target, host, port, rumours]
            )

    def _look_for_a_group(self, now: float) -> None:
        """Probe some more members out of turn when many are suspect at once: a switch may have failed."""
        suspicions = self._membership.suspicions
        if not suspicions.is_many(self._membership.alive_count()):
            return
        peers = [peer for peer in self._membership.listed_peers() if suspicions.get(peer) is None]
        for target in choose_some(self._context.rng, peers, self._context.config.extra_prober_count):
            self._begin(target, False, now)

    def _is_group_lost(self) -> bool:
        return self._membership.suspicions.is_group_lost(self._membership.alive_count())

    def _succeed(self, probe: Probe) -> None:
        self._forget(probe.sequence)
        self._spared.pop(probe.target, 0)
        self._context.count("probes_answered")
        if not probe.is_confirming:
            self._membership.awareness.change(-1)

    def _forget(self, sequence: int) -> None:
        probe = self.probes.pop(sequence)
        del self._by_target[probe.target]
        subject = sequence_subject(sequence)
        for kind in (PROBE_DIRECT, PROBE_END, PROBE_AGAIN):
            self._context.timers.cancel(kind, subject)

    def _forget_relay(self, sequence: int) -> None:
        del self.relays[sequence]
        self._context.timers.cancel(RELAY_END, sequence_subject(sequence))


def take_ping_req(body: Body) -> tuple[int, NodeId, Address, list[object]]:
    """Return (sequence, target, address, rumours) of a PING_REQ body.

    Raises:
        DecodeError: it is none.
    """
    sequence = body.take_int()
    target = body.take_id(NODE_ID_SIZE)
    host = body.take_text()
    port = body.take_int()
    return (sequence, target, (host, port), body.take_list())

"""Gossip: the membership protocol of one node, a pure state machine.

Theory of operation. Every node keeps a table of all members. A member is *alive*, *suspect*, *dead* or has
*left*, at an *incarnation* that only itself raises (`membership` has the transitions, and makes them all).
Nodes find each other by hellos and known addresses (`discovery`), probe one another in turn (`probe`), tell
each other what changed on every packet (`dissemination`), and exchange whole tables over a stream when
their digests differ (`anti_entropy`). Silence makes a suspect, which may refute; a refused port is proof
and needs a short confirming probe only. The dead are greeted for days, so that cuts heal.

Timers: the probe period and the ends of each probe and relay; the spreading of rumours while there are any;
one per suspicion; own facts that wait; the hello schedule; the reconnection; the goodbye; the forgetting of
the long dead.

Invariants (`invariants` checks them under the same numbers):

- I1 Our own entry is alive, at an incarnation that only rises and only by us, until we leave.
- I2 Nobody dead or left is alive again without a higher incarnation; descriptions are never from the future.
- I3 The digest and the list of the living are those of the table.
- I4 A member is suspect exactly while it has a suspicion, and every suspicion ends.
- I5 Every alive or suspect peer stands exactly once in the probing order.
- I6 Every probe and relay ends; at most one probe is under way about a member, which is not gone.
- I7 Everything is bounded, and rumours are about members of the table.
- I8 Probing, hellos, reconnection and forgetting never stop while the node runs; queued rumours get spread.
- I9 Facts of our own that may not be told yet will be.

Sources: Das, Gupta, Motivala, "SWIM" (DSN 2002); Dadgar, Phillips, Currey, "Lifeguard" (2018);
hashicorp/memberlist for constants; RFC 6206 for the hellos.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from swarm.core.errors import ConfigError, DecodeError
from swarm.core.ids import NODE_ID_SIZE, Address, NodeId
from swarm.core.rng import Rng
from swarm.gossip import invariants
from swarm.gossip.anti_entropy import AntiEntropy
from swarm.gossip.config import GossipConfig
from swarm.gossip.context import (
    EXPIRE,
    FACTS,
    HELLO,
    LEAVE,
    PROBE_AGAIN,
    PROBE_DIRECT,
    PROBE_END,
    PROBE_TICK,
    RECONNECT,
    RELAY_END,
    SPREAD,
    SUSPICION,
    Context,
    subject_sequence,
)
from swarm.gossip.description import describe
from swarm.gossip.discovery import Discovery
from swarm.gossip.fact_changes import FactChanges
from swarm.gossip.goodbye import Goodbye
from swarm.gossip.interning import Interner
from swarm.gossip.membership import Membership
from swarm.gossip.paths import Paths
from swarm.gossip.probe import FailureDetector, take_ping_req
from swarm.gossip.rumours import ALIVE, is_address
from swarm.gossip.sizes import sizes
from swarm.gossip.views import GossipViews
from swarm.wire import messages
from swarm.wire.codec import Body

_SPREAD_DELAY_S: Final = 0.01
"""Rumours that arrive within this time leave together."""


class Gossip(GossipViews):
    """The membership of one node. Inputs take `now` last, monotonic seconds that never fall.

    Effects: `Packet`, `Message` (kind PUSH_PULL), `MemberChanged`, `Persist` of ("node", b"incarnation") and
    of ("members", node id), `Notify`, `LeaveFinished`. `MemberChanged` is also emitted from alive to alive,
    when a member's incarnation rises: its facts, addresses or process are new.
    """

    def __init__(
        self,
        config: GossipConfig,
        node_id: NodeId,
        name: str,
        addresses: list[Address],
        facts: dict[str, object],
        incarnation: int,
        rng: Rng,
        remembered: list[Address],
        interner: Interner | None = None,
    ) -> None:
        """Make a node that does nothing until `start`.

        Args:
            config: settings.
            node_id: 16 bytes.
            name: what people call the node, 1 to 64 printable characters.
            addresses: where others reach it, best first; those beyond `addresses_max` are not told.
            facts: static facts, flat, at most `facts_size_max_bytes` packed.
            incarnation: higher than in any earlier life as far as known.
            rng: for all random choices.
            remembered: addresses at which others were found in earlier lives.
            interner: shared by nodes of one process; not used when made for other settings.

        Raises:
            ConfigError: one of these cannot be told to others.
        """
        if len(node_id) != NODE_ID_SIZE:
            raise ConfigError(f"a node id has {NODE_ID_SIZE} bytes, not {len(node_id)}")
        context = Context(config, node_id, rng)
        shared = interner if interner is not None and interner.config == config else None
        super().__init__(context, Membership(context, name, addresses, facts, incarnation, shared))
        self._changes = FactChanges(config)
        self._detector = FailureDetector(self._context, self._membership)
        self._paths = Paths(self._context, self._membership)
        self._anti_entropy = AntiEntropy(self._context, self._membership)
        self._discovery = Discovery(self._context, self._membership, remembered[:])
        self._is_started = False
        self._now = 0.0
        self._next_spread = 0.0
        self._goodbye = Goodbye(self._context, self._membership)

    # Inputs: commands

    def start(self, seeds: Sequence[Address], now: float) -> None:
        """Join whoever is there: by multicast, at the seeds, at remembered addresses."""
        assert not self._is_started, "gossip starts once"
        self._advance(now)
        self._is_started = True
        self._membership.announce()
        self._discovery.start(list(seeds), now)
        self._detector.start(now)
        self._membership.expire(now)
        self._settle(now)

    def set_addresses(self, addresses: list[Address], now: float) -> None:
        """Tell everybody that this node is now reached elsewhere, and look around there.

        Raises:
            ConfigError: an address is unusable; nothing changed.
        """
        self._advance(now)
        before = self._membership.own.incarnation
        self._membership.redescribe(addresses, self._membership.own.description.facts)
        if self._is_running() and self._membership.own.incarnation != before:
            self._discovery.burst(now)
        self._settle(now)

    def set_facts(self, facts: dict[str, object], now: float) -> None:
        """Tell everybody other facts about this node, at once: for what must not wait.

        Raises:
            ConfigError: they are unusable; nothing changed.
        """
        self._advance(now)
        self._membership.redescribe(self._membership.own.description.addresses, facts)
        self._changes.forget()
        self._tell_facts(now)
        self._settle(now)

    def update_facts(self, facts: dict[str, object], now: float) -> None:
        """Take how the facts about this node are now; what is worth it gets told, at a bounded rate.

        See `swarm.gossip.fact_changes`. Of facts that may not be told yet only the latest wait. Too late once
        we leave.

        Raises:
            ConfigError: they are unusable; nothing changed.
        """
        self._advance(now)
        own = self._membership.own.description
        describe(self._context, own.name, own.addresses, facts, own.incarnation)
        if not self._membership.is_leaving:
            self._changes.want(facts)
            self._tell_facts(now)
        self._settle(now)

    def greet(self, places: Sequence[Address], now: float) -> None:
        """Say hello to addresses at which somebody may be, and ask for answers; none is kept."""
        self._advance(now)
        for place in places:
            if self._is_running() and is_address(place[0], place[1]):
                self._discovery.greet(place)

    def wake(self, now: float) -> None:
        """Go on after a gap in which this node heard and said nothing (the host slept).

        Everybody gets a fresh period, nobody is judged by what happened before, and hellos go out.
        """
        self._advance(now)
        if self._is_running():
            self._wake(now)
        self._settle(now)

    def leave(self, now: float) -> None:
        """Say goodbye; `LeaveFinished` follows after `leave_time_s`, at once when nobody is there."""
        self._advance(now)
        if not self._is_running():
            return
        self._changes.forget()
        for kind in (PROBE_TICK, HELLO, RECONNECT, EXPIRE, SPREAD, FACTS):
            self._context.timers.cancel(kind, b"")
        self._goodbye.begin(now)

    # Inputs: network

    def receive_packet(
        self, sender: NodeId, kind: int, body: list[object], source: Address, now: float
    ) -> None:
        """Take a datagram of kinds 1 to 7; garbage is counted and dropped."""
        self._advance(now)
        if not self._is_running():
            self._context.count("packets_ignored")
            return
        self._context.count("packets_received")
        self._detector.on_packet(sender, source, now)
        try:
            self._receive(sender, kind, Body(body), source, now)
        except DecodeError:
            self._context.count("bad_packets")
        if self._membership.was_accused:
            self._membership.was_accused = False
            self._context.send(source, messages.RUMOURS, [[self._membership.own.description.packed]])
        self._settle(now)

    def receive_message(self, sender: NodeId, kind: int, body: list[object], now: float) -> None:
        """Take a stream message (PUSH_PULL); garbage is counted and dropped."""
        self._advance(now)
        if not self._is_running():
            self._context.count("messages_ignored")
            return
        try:
            if kind != messages.PUSH_PULL or len(sender) != NODE_ID_SIZE:
                raise DecodeError(f"kind {kind} is no stream message of gossip")
            self._membership.suspicions.hear(sender)
            fields = Body(body)
            request = fields.take_int()
            is_reply = fields.take_bool()
            rumours = fields.take_list()
            if not (is_reply and self._detector.on_stream_answer(sender, request)):
                self._anti_entropy.receive(sender, request, is_reply, rumours, now)
        except DecodeError:
            self._context.count("bad_messages")
        # Accusations in a table are answered by the table sent back and by the queue.
        self._membership.was_accused = False
        self._settle(now)

    def on_peer_lost(self, peer: NodeId, was_refused: bool, now: float) -> None:
        """A stream to a node broke or could not be made.

        Args:
            peer: the node.
            was_refused: its host said so (closed, refused): evidence that the process is gone, to be
                confirmed by one short probe. Otherwise the peer is merely probed out of turn.
            now: monotonic seconds.
        """
        self._advance(now)
        if self._is_running():
            self._anti_entropy.on_peer_lost(peer)
            if was_refused:
                self._detector.on_hard_evidence(peer, False, now)
            else:
                self._detector.on_soft_evidence(peer, now)
        self._settle(now)

    def on_packet_refused(self, address: Address, now: float) -> None:
        """A datagram to `address` came back: nobody listens on that port there."""
        self._advance(now)
        if self._is_running():
            for node_id in self._membership.listed_peers():
                if address in self._membership.table.entry(node_id).addresses:
                    self._detector.on_hard_evidence(node_id, True, now)
        self._settle(now)

    # Inputs: time

    def handle_deadline(self, now: float) -> None:
        """Let everything happen that was due up to `now`."""
        self._advance(now)
        if (
            self._is_running()
            and now - self._context.timers.next_deadline() > self._context.config.clock_gap_s
        ):
            self._context.count("clock_gaps")
            self._wake(now)
        while True:
            due = self._context.timers.pop_due(now)
            if due is None:
                break
            if not self._is_running() and due[0] != LEAVE:
                continue
            self._fire(due[0], due[1], now)
            self._settle(now)

    def next_deadline(self) -> float:
        """Return when `handle_deadline` is wanted, `math.inf` when never."""
        return self._context.timers.next_deadline()

    # Views

    def statistics(self) -> dict[str, int]:
        """Return counters since the start, and present sizes."""
        return sizes(self._context, self._membership, self._detector)

    def check_invariants(self) -> None:
        """Audit the whole state.

        Raises:
            AssertionError: an invariant of the module's docstring does not hold; names its number.
        """
        is_running, has_news = self._is_running(), self._changes.is_waiting()
        invariants.check(
            self._context, self._membership, self._detector, self._discovery, is_running, has_news
        )

    # Inside

    def _advance(self, now: float) -> None:
        assert now >= self._now, "time never falls"
        self._now = now

    def _is_running(self) -> bool:
        membership = self._membership
        return self._is_started and not membership.is_leaving and not membership.is_yielding

    def _wake(self, now: float) -> None:
        self._detector.wake(now)
        self._membership.suspicions.restart(now)
        self._discovery.burst(now)

    def _receive(self, sender: NodeId, kind: int, body: Body, source: Address, now: float) -> None:
        if kind == messages.CLIENT_HELLO:
            self._discovery.answer_client(source, now)
            return
        if len(sender) != NODE_ID_SIZE:
            raise DecodeError("a packet of gossip without a sender")
        if sender == self._context.node_id:
            self._receive_own(sender, kind, body, source, now)
        elif kind == messages.HELLO:
            self._receive_hello(sender, body, source, now)
        elif kind == messages.PING:
            self._receive_ping(sender, body, source, now)
        elif kind == messages.ACK:
            self._receive_ack(sender, body, source, now)
        elif kind == messages.PING_REQ:
            sequence, target, hint, rumours = take_ping_req(body)
            self._take_rumours(sender, rumours, source, now)
            self._detector.on_ping_req(sender, sequence, target, hint, source, now)
        elif kind == messages.NACK:
            sequence = body.take_int()
            self._take_rumours(sender, body.take_list(), source, now)
            self._detector.on_nack(sender, sequence)
        elif kind == messages.RUMOURS:
            self._take_rumours(sender, body.take_list(), source, now)
        else:
            raise DecodeError(f"kind {kind} is no datagram of gossip")

    def _receive_own(self, sender: NodeId, kind: int, body: Body, source: Address, now: float) -> None:
        self._context.count("own_echoes")
        self._discovery.on_own_echo(source)
        if kind == messages.HELLO or kind == messages.RUMOURS:  # what a clone of this node may say
            claims: list[object] = [body.take_bytes()] if kind == messages.HELLO else body.take_list()
            self._membership.receive_rumours(sender, claims, False, now)

    def _receive_ack(self, sender: NodeId, body: Body, source: Address, now: float) -> None:
        sequence = body.take_int()
        digest = body.take_bytes()
        self._take_rumours(sender, body.take_list(), source, now)
        if not self._paths.on_ack(sender, sequence, source) and self._detector.on_ack(sender, sequence, now):
            self._paths.prove(sender, source)
        self._anti_entropy.observe_digest(sender, digest, now)

    def _receive_ping(self, sender: NodeId, body: Body, source: Address, now: float) -> None:
        sequence = body.take_int()
        target = body.take_id(NODE_ID_SIZE)
        digest = body.take_bytes()
        rumours = body.take_list()
        if target != self._context.node_id:
            # Somebody who lived at this address before us; the asker sees by our answer who does now.
            self._context.count("pings_for_others")
            self._discovery.tell_who_is_here(source, now)
            return
        self._take_rumours(sender, rumours, source, now)
        self._detector.answer_ping(sender, sequence, source)
        self._anti_entropy.observe_digest(sender, digest, now)

    def _receive_hello(self, sender: NodeId, body: Body, source: Address, now: float) -> None:
        rumour = self._membership.decode_untrusted(body.take_bytes())
        digest = body.take_bytes()
        is_wanted = body.take_bool()
        lowest = body.take_int()
        highest = body.take_int()
        is_direct = body.take_bool() if body.has_more() else True
        if rumour.state != ALIVE or rumour.node_id != sender:
            raise DecodeError("a hello is about its sender")
        if lowest > messages.PROTOCOL_MAX or highest < messages.PROTOCOL_MIN:
            self._context.count("hellos_of_other_versions")
            return
        before = self._membership.table.get(sender)
        was_listed = before is not None and before.is_listed()
        self._membership.apply(rumour, now)
        entry = self._membership.table.get(sender)
        if entry is None:
            return
        self._paths.see(entry, source, now)
        self._discovery.on_hello(sender, source, was_listed, is_wanted, is_direct, now)
        accusation = self._membership.accusation_of(sender)
        if accusation is not None:
            self._context.send(source, messages.RUMOURS, [[accusation]])
        elif was_listed:
            self._anti_entropy.observe_digest(sender, digest, now)
        elif is_direct and not is_wanted and digest != self._membership.table.digest():
            self._anti_entropy.exchange_with(sender, now)

    def _take_rumours(self, sender: NodeId, rumours: list[object], source: Address, now: float) -> None:
        self._membership.receive_rumours(sender, rumours, False, now)
        entry = self._membership.table.get(sender)
        if entry is not None:
            self._paths.see(entry, source, now)
        if entry is None or not entry.is_listed():
            self._discovery.greet_stranger(source, now)

    def _fire(self, kind: int, subject: bytes, now: float) -> None:
        if kind == PROBE_TICK:
            self._detector.on_tick(now)
        elif kind == PROBE_DIRECT:
            self._detector.on_direct_timeout(subject_sequence(subject), now)
        elif kind == PROBE_END:
            self._detector.on_probe_end(subject_sequence(subject), now)
        elif kind == PROBE_AGAIN:
            self._detector.on_ping_again(subject_sequence(subject), now)
        elif kind == RELAY_END:
            self._detector.on_relay_end(subject_sequence(subject))
        elif kind == SPREAD:
            self._spread(now)
        elif kind == SUSPICION:
            self._membership.end_suspicion(subject, now)
        elif kind == HELLO:
            self._discovery.on_hello_timer(now)
        elif kind == RECONNECT:
            self._discovery.on_reconnect_timer(now)
        elif kind == FACTS:
            self._tell_facts(now)
        elif kind == LEAVE:
            self._goodbye.go_on(now)
        else:
            assert kind == EXPIRE, f"unknown timer {kind}"
            self._membership.expire(now)

    def _tell_facts(self, now: float) -> None:
        own = self._membership.own.description
        count = self._membership.alive_count()
        facts = self._changes.take(own.facts, count, now)
        if facts is not None:
            self._context.count("fact_changes")
            self._membership.redescribe(own.addresses, facts)
        if self._changes.is_waiting():
            self._context.count("fact_changes_postponed")
            self._context.timers.set(FACTS, b"", self._changes.next_at(count, now))
        else:
            self._context.timers.cancel(FACTS, b"")

    def _spread(self, now: float) -> None:
        config = self._context.config
        self._next_spread = now + config.spread_interval_s
        for peer in self._membership.choose_peers(config.spread_fanout, self._context.node_id):
            entry = self._membership.table.entry(peer)
            if entry.addresses and len(self._membership.queue) > 0:
                rumours = self._membership.packet_rumours(peer, 0)
                self._context.send(entry.addresses[0], messages.RUMOURS, [rumours])

    def _settle(self, now: float) -> None:
        """React, once per input, to what changed in the table, and see that rumours get spread."""
        for node_id, before, after in self._membership.take_changes():
            if node_id == self._context.node_id:
                continue
            if after in ("dead", "left"):
                self._detector.on_gone(node_id)
            elif before in ("unknown", "dead", "left"):
                self._detector.order.add(node_id)
            if after == "dead":
                self._discovery.on_death(now)
            elif before == "dead":
                self._discovery.on_revival(now)
            elif after == "suspect":
                self._detector.on_suspected(node_id, now)
        if (
            len(self._membership.queue) > 0
            and not self._context.timers.is_set(SPREAD, b"")
            and len(self._membership.table.listed()) > 1  # whoever is alone waits for somebody to tell
            and self._is_running()
        ):
            self._context.timers.set(SPREAD, b"", max(now + _SPREAD_DELAY_S, self._next_spread))

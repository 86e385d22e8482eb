"""One node: gossip, election, job records, scheduler, gateway and execution, composed.

Pure: the daemon and the simulator drive this same object through its inputs, one deadline and one list
of effects, and nothing else. What the parts say to each other (inner effects) is routed here, until
nothing is left to route; everything else is handed out, oldest first. Heavy work (a scheduling pass, the
council, the lists of peers) is done once per batch, when the effects are taken.

Every frame sent is stamped with this node's fence and the beat it knows; of every frame received the stamp
goes to election before its body goes anywhere. Orders below the fence are refused with the fence; facts
never are.

Invariants besides those of the parts:

N1 Routing ends: a batch causes a bounded number of rounds.
N2 A node gives orders only while it leads.
N3 Time never goes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from swarm.core.effects import (
    Effect,
    FetchObject,
    KillExecutor,
    LeaderChanged,
    MemberChanged,
    Message,
    Packet,
    SendHello,
    SendPacket,
)
from swarm.core.errors import DecodeError
from swarm.core.ids import EVERYWHERE, NO_BALLOT, Address, Ballot, NodeId, ObjectName
from swarm.core.rng import Rng
from swarm.exec.frames import take_executor_frame
from swarm.node_company import (
    TIMER_LEAVE,
    TIMER_REPORT,
    NodeCompany,
)
from swarm.node_config import NodeConfig
from swarm.node_exchange import take_object, tell_fetched
from swarm.node_members import addresses_of
from swarm.node_orders import obey
from swarm.node_reports import give_back, inventory_body, leadership_news, report_rows
from swarm.wire.codec import Body
from swarm.wire.facts import Output
from swarm.wire.messages import (
    CLIENT_HELLO,
    HELLO,
    INVENTORY,
    JOB_ENDED,
    NEWS_FROM_LEADER,
    ORDERS,
    PUSH_PULL,
    RECORD_STORE,
    REFUSED,
    RELAY_PACKET,
    RELAYED_PACKET,
    RELAYING,
    REPORT_WANTED,
    REPORTS_TO_LEADER,
    RUMOURS,
    SPARING,
    STAND,
    VOTE_REQUEST,
)

ROUNDS_MAX: Final = 10_000
REPORT_PAUSE_S: Final = 0.003
"""How long a node that has more work gathers reports: a chain then costs a message every few hops."""


class Node(NodeCompany):
    """A member of the mesh; see the module's text. All times are seconds of one clock that counts sleep."""

    def __init__(self, config: NodeConfig, restored: Sequence[tuple[str, bytes, bytes]], rng: Rng) -> None:
        """Make a node from its settings and what an earlier run persisted.

        Args:
            config: identity, capacity and settings.
            restored: rows (table, key, value) of the journal, all of them intact.
            rng: source of every random choice.
        """
        super().__init__(config, list(restored), rng)
        self._out: list[Effect] = []
        self._reported_at = -REPORT_PAUSE_S
        self._inbox: list[tuple[int, list[object]]] = []
        self._led_ballot: Ballot = NO_BALLOT

    # Life

    def start(self, seeds: Sequence[Address], now: float) -> None:
        """Join: look for the mesh everywhere and at `seeds`, and stand for election when none leads."""
        self._advance(now)
        self.records.start(now)
        self.gossip.start(seeds, now)
        self.election.start(now)

    def leave(self, now: float) -> None:
        """Say goodbye; a `LeaveFinished` effect tells when the driver may stop."""
        self._advance(now)
        if not self._is_leaving:
            self._begin_to_leave()

    def drain(self, now: float) -> None:
        """Start no more tasks; what runs goes on. `is_idle` in :meth:`status` tells when nothing runs."""
        self._advance(now)
        self.start_to_drain(now)

    def wake(self, now: float) -> None:
        """The clock jumped (the host slept): believe nothing about others' liveness, lead nobody."""
        self._advance(now)
        self.gossip.wake(now)
        self.election.wake(now)

    # Network

    def receive_packet(self, payload: bytes, source: Address, now: float) -> None:
        """Take a datagram that was sealed with the mesh's key."""
        self._advance(now)
        frame = self.decode_untrusted(payload)
        if frame is None:
            return
        if frame.stamp.sender == self._me:
            self.counts["own_packets"] += 1
            if frame.kind in (HELLO, RUMOURS):
                self.gossip.receive_packet(self._me, frame.kind, frame.body, source, now)
            return
        kind = frame.kind
        is_foreign = frame.stamp.sender in self.foreigners.ids
        if kind != CLIENT_HELLO and not is_foreign:
            self.election.on_stamp(frame.stamp, now)
        if HELLO <= kind <= CLIENT_HELLO:
            self.gossip.receive_packet(frame.stamp.sender, kind, frame.body, source, now)
        elif is_foreign:
            self.counts["foreign"] += 1
        elif VOTE_REQUEST <= kind <= STAND:
            self.election.receive_packet(frame.stamp, kind, frame.body, source, now)
        elif kind in (RELAY_PACKET, RELAYED_PACKET):
            self._take_relay_packet(frame)
        else:
            self.counts["malformed"] += 1

    def receive_message(self, peer: NodeId, payload: bytes, now: float) -> None:
        """Take a message of a peer from its stream."""
        self._advance(now)
        frame = self.decode_untrusted(payload)
        if frame is None:
            return
        if frame.stamp.sender != peer:
            self.counts["wrong_sender"] += 1
            return
        if peer in self.foreigners.ids and frame.kind != PUSH_PULL:
            self.counts["foreign"] += 1
            return
        self._hear(peer)
        self.election.on_stamp(frame.stamp, now)
        self.relays.on_heard(peer, now)
        if frame.kind in RELAYING:
            frame = self._take_relaying(peer, frame)
            if frame is None:
                return
            peer = frame.stamp.sender
        if frame.kind in ORDERS and frame.stamp.ballot < self.election.stamp()[0]:
            self.counts["refused"] += 1
            fence = self.election.stamp()[0]
            self._own.append(Message(peer, REFUSED, [fence[0], fence[1]]))
            return
        self._deliver(peer, frame.kind, frame.body)

    def on_peer_connected(self, peer: NodeId, now: float) -> None:
        """A stream to a peer is open."""
        self._advance(now)

    def on_peer_lost(self, peer: NodeId, was_refused: bool, now: float) -> None:
        """A stream to a peer broke or could not be opened; `was_refused` proves that its process is gone."""
        self._advance(now)
        self._lose_peer(peer, was_refused)

    def on_packet_refused(self, address: Address, now: float) -> None:
        """The host at `address` said that nobody listens on that port."""
        self._advance(now)
        self.gossip.on_packet_refused(address, now)

    def set_addresses(self, addresses: list[Address], now: float) -> None:
        """Take where others reach this node now, best first."""
        self._advance(now)
        self.gossip.set_addresses(addresses, now)
        self._members_changed = True

    def update_facts(self, changes: dict[str, object], now: float) -> None:
        """Take what changed about this machine: the mesh is told, at a bounded rate; see `take_facts`."""
        self._advance(now)
        self.take_facts(changes, now)
        self._members_changed = True

    def greet(self, places: Sequence[Address], now: float) -> None:
        """Say hello to addresses at which a member may be."""
        self._advance(now)
        self.gossip.greet(places, now)

    # Clients

    def on_client_opened(self, session: int, role: str, now: float) -> None:
        """A client attached itself to this node."""
        self._advance(now)
        self._refresh_members()
        self._tell_view()
        self.gateway.on_opened(session, now)

    def receive_client(self, session: int, payload: bytes, now: float) -> None:
        """Take a frame of a client."""
        self._advance(now)
        self.gateway.receive(session, payload, now)

    def on_client_closed(self, session: int, now: float) -> None:
        """A client went away."""
        self._advance(now)
        self.gateway.on_closed(session, now)

    # Executors and objects

    def on_executor_ready(self, executor: int, pid: int, now: float) -> None:
        """An executor runs."""
        self._advance(now)
        self.exec.on_executor_ready(executor, pid, now)

    def on_executor_exit(self, executor: int, reason: str, last_output: str, now: float) -> None:
        """An executor ended, whyever."""
        self._advance(now)
        self.exec.on_executor_exit(executor, reason, last_output, now)

    def receive_executor_frames(self, executor: int, frames: list[list[object]], now: float) -> None:
        """Take what an executor reported; one that talks nonsense is killed."""
        self._advance(now)
        for fields in frames:
            try:
                take_executor_frame(self.exec, executor, fields, now)
            except DecodeError as error:
                self.counts["malformed"] += 1
                self._out.append(KillExecutor(executor, f"it sent a frame that is none: {error}"))
                return

    def on_object_fetched(self, name: ObjectName, now: float) -> None:
        """A `FetchObject` ended well."""
        self._advance(now)
        self.exec.on_object_fetched(name, now)
        output = self.records.on_object_fetched(name, now)
        if output is not None:
            self._own.extend(take_object(self.exec, name, output, self.election.leader(), now))
        self.gateway.on_object_here(name)

    def on_object_missing(self, name: ObjectName, failed: list[NodeId], now: float) -> None:
        """A `FetchObject` failed at these holders."""
        self._advance(now)
        self.exec.on_object_missing(name, failed, now)
        self.records.on_object_missing(name, now)

    def on_object_put(self, name: ObjectName, digest: bytes, size: int, encoding: int, now: float) -> None:
        """A client put an object into the own store, or one was found there at start."""
        self._advance(now)
        output = Output(digest, size, encoding, None)
        self._own.extend(take_object(self.exec, name, output, self.election.leader(), now))
        self.gateway.on_object_put(name)

    # Time

    def handle_deadline(self, now: float) -> None:
        """Let everything that is due happen."""
        self._advance(now)
        self.handle_parts_deadline(now)
        if self._leader_stream.opens_at <= now:
            self._own.append(self._leader_stream.open())
        due = self._timers.pop_due(now)
        while due is not None:
            if due[0] == TIMER_LEAVE:
                self.gossip.leave(now)
            elif due[0] != TIMER_REPORT:
                self._members_changed = True
            due = self._timers.pop_due(now)

    def next_deadline(self) -> float:
        """Return when `handle_deadline` is wanted next, `math.inf` for never."""
        return min(self.next_parts_deadline(), self._timers.next_deadline(), self._leader_stream.opens_at)

    def take_effects(self) -> list[Effect]:
        """Finish the batch and return its effects, to be performed in this order."""
        for _ in range(ROUNDS_MAX):
            if self._members_changed:
                self._refresh_members()
            self._route()
            self.scheduler.run_pass(self._now)
            if not self._route() and not self._members_changed:
                if self._is_free_to_leave():
                    self.gossip.leave(self._now)
                    continue
                if self._is_reach_stale and self.election.wants_members():
                    self._tell_reach()
                effects = self._out
                self._out = []
                return effects
        raise AssertionError("N1: routing does not end")

    # Routing

    def _advance(self, now: float) -> None:
        assert now >= self._now, f"N3: time went back from {self._now} to {now}"
        self._now = now

    def _route(self) -> bool:
        """Move what the parts have to say, until they are quiet; return whether there was anything."""
        moved = False
        for _ in range(ROUNDS_MAX):
            effects = self._gather()
            self._send_reports()
            if not effects and not self._inbox and not self._own:
                return moved
            moved = True
            for effect in effects:
                self._route_one(effect)
            if self._inbox:
                inbox = self._inbox
                self._inbox = []
                for kind, body in inbox:
                    self._deliver(self._me, kind, body)
        raise AssertionError("N1: routing does not end")

    def _gather(self) -> list[Effect]:
        """Return what the parts want done; of most inputs, most parts want nothing."""
        # Election first: what it persists stands before anything stamped with the raised fence.
        effects = self.election.take_effects() if self.election.has_effects() else []
        if self.gossip.has_effects():
            effects.extend(self.gossip.take_effects())
        if self._own:
            effects.extend(self._own)
            self._own = []
        if self.gateway.has_requests() or self.records.has_news():
            self.answer_questions(self._now)
        if self.records.has_effects():
            effects.extend(self.records.take_effects())
        if self.scheduler.has_effects():
            effects.extend(self.scheduler.take_effects())
        if self.gateway.has_effects():
            effects.extend(self.gateway.take_effects())
        if self.exec.is_dirty:
            if self._are_addresses_stale and len(self.exec.fetches) > 0:
                self._are_addresses_stale = False
                self.exec.set_addresses(addresses_of(self.gossip.members()))
            effects.extend(self.exec.take_effects())
            if self.exec.told:
                tell_fetched(self.gateway, self.exec)
                effects.extend(self.gateway.take_effects())
        return effects

    def _route_one(self, effect: Effect) -> None:
        if isinstance(effect, Packet):
            if effect.destination == EVERYWHERE:
                self._out.append(SendHello(self.pack(effect.kind, effect.body)))
            elif effect.kind >= VOTE_REQUEST and self.gossip.go_betweens():
                self._out.extend(self._packets_for(effect))
            else:
                self._out.append(SendPacket(effect.destination, self.pack(effect.kind, effect.body)))
        elif isinstance(effect, Message):
            self._send_message(effect.peer, effect.kind, effect.body)
        elif isinstance(effect, MemberChanged):
            self._note_way(effect)
            self._note_members()
        elif isinstance(effect, LeaderChanged):
            self._take_leader(effect)
        elif isinstance(effect, FetchObject):
            sources = [(node, places or self.gossip.addresses_of(node)) for node, places in effect.sources]
            kept = effect.kept_encoding
            self._out.append(FetchObject(effect.name, effect.digest, effect.size, sources, kept))
        else:
            self._out.append(effect)

    def _send_message(self, peer: NodeId, kind: int, body: list[object]) -> None:
        if kind in ORDERS and not self.election.may_order(self._now):
            self.counts["orders_late"] += 1
        elif peer == self._me:
            self._inbox.append((kind, body))
        else:
            self._out.append(self._message_to(peer, kind, body))

    def _deliver(self, sender: NodeId, kind: int, body: list[object]) -> None:
        now = self._now
        if kind == PUSH_PULL:
            self.gossip.receive_message(sender, kind, body, now)
        elif RECORD_STORE <= kind <= JOB_ENDED or kind in SPARING:
            self.records.receive_message(sender, kind, body, now)
        elif kind in REPORTS_TO_LEADER:
            self.scheduler.receive_message(sender, kind, body, now)
        elif kind in NEWS_FROM_LEADER:
            self.gateway.receive_message(sender, kind, body, now)
        elif kind in ORDERS or kind == REFUSED:
            try:
                self._obey(sender, kind, Body(body))
            except DecodeError:
                self.counts["malformed"] += 1
        else:
            self.counts["malformed"] += 1

    def _obey(self, sender: NodeId, kind: int, body: Body) -> None:
        now = self._now
        if kind == REFUSED:
            self.election.observe_ballot(body.take_ballot(), now)
        elif kind == REPORT_WANTED:
            self._report(sender, body.take_int())
        else:
            self._own.extend(obey(self.exec, self.records, sender, kind, body, now))

    # Leadership and members

    def _take_leader(self, change: LeaderChanged) -> None:
        now = self._now
        leads = change.leader == self._me
        if leads and not (self.scheduler.is_leading and change.ballot == self._led_ballot):
            self._led_ballot = change.ballot
            self.scheduler.lead(change.ballot, now)
            self._is_scheduler_new = True
        elif not leads and self.scheduler.is_leading:
            self.scheduler.follow(now)
        self._members_changed = True
        self._out.append(leadership_news(change))
        self._leader_stream.follow(change.leader, now)
        self.records.on_leader(change.leader)
        self.gateway.on_leader(change.leader, now)

    # Reports

    def _report(self, leader: NodeId, request: int) -> None:
        # What has not started goes back: where its inputs are to come from, another leader decided.
        self._own.extend(give_back(self.exec, leader, self.election.ballot(), self._now))
        self.records.offer(leader)
        self._own.extend(self.records.take_effects())
        self._own.append(Message(leader, INVENTORY, inventory_body(self.exec, request)))
        # A leader that believed this node dead has forgotten who watches here.
        self.gateway.say_watches()

    def _send_reports(self) -> None:
        """Tell the leader what happened here: at once, or with the next batch while there is more to do."""
        leader = self.election.leader()
        if not leader:
            return
        due = self._reported_at + REPORT_PAUSE_S
        if self._now < due and len(self.exec.attempts) > 0:
            if not self._timers.is_set(TIMER_REPORT, b""):
                self._timers.set(TIMER_REPORT, b"", due)
            return
        if not self.exec.may_report:
            return
        reports = self.exec.take_reports()
        if reports.is_empty():
            return
        self._reported_at = self._now
        if leader != self._me:
            for job, completion in reports.completions:
                self.records.add_completion(job, completion)
        for kind, rows in report_rows(self.exec, reports):
            self._own.append(Message(leader, kind, [rows]))

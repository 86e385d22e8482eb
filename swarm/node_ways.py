"""Ways to others: streams, what is done when one breaks, and relays for messages and datagrams.

Messages go around a stream that broke (`swarm.node_relays`). Datagrams of the election go both directly and
through the helper by whom alone gossip reached a member when it last probed it: losses make that happen
too, and what comes twice does no harm.
"""

from __future__ import annotations

from typing import Final

from swarm.core.effects import Effect, MemberChanged, Message, Packet, SendMessage, SendPacket
from swarm.core.errors import DecodeError
from swarm.core.ids import NO_NODE, NODE_ID_SIZE, NodeId
from swarm.core.rng import Rng
from swarm.node_config import NodeConfig
from swarm.node_parts import NodeParts
from swarm.node_relays import relay_order
from swarm.node_stream import LeaderStream
from swarm.wire.codec import Body, Frame
from swarm.wire.messages import (
    RECORD_STORE,
    RELAY,
    RELAY_LOST,
    RELAY_PACKET,
    RELAYED,
    RELAYED_PACKET,
    REPORTS_LOST,
    STAND,
    VOTE_REQUEST,
)


class NodeWays(NodeParts):
    """The parts of a node and its ways to others.

    Args:
        config: identity, capacity and settings.
        rows: what an earlier run persisted: (table, key, value).
        rng: source of every random choice.
    """

    def __init__(self, config: NodeConfig, rows: list[tuple[str, bytes, bytes]], rng: Rng) -> None:
        super().__init__(config, rows, rng)
        self._now = 0.0
        self._own: list[Effect] = []
        self._leader_stream: Final = LeaderStream(config.node_id)
        self._untold: NodeId = NO_NODE

    def _message_to(self, peer: NodeId, kind: int, body: list[object]) -> SendMessage:
        """Return the effect that sends a message to another node, through a third one where it must be.

        What gossip says on streams is to find out whether the peer is reached, so it goes directly.
        """
        payload = self.pack(kind, body)
        if self.relays.detours and kind >= RECORD_STORE:
            way = self.relays.way(peer, self._now)
            if way != peer:
                payload = self.pack(RELAY, [peer, payload])
                return SendMessage(way, self.gossip.addresses_of(way), payload)
        return SendMessage(peer, self.gossip.addresses_of(peer), payload)

    def _lose_peer(self, peer: NodeId, was_refused: bool) -> None:
        """Take that the stream to a peer broke or could not be opened."""
        self._leader_stream.on_lost(peer, self._now)
        self.gossip.on_peer_lost(peer, was_refused, self._now)
        is_gone = was_refused or not self._is_listed(peer)
        lost = self.relays.on_lost(peer, is_gone, self._relays_for(peer), self._now)
        for origin in self.relays.take_origins(peer):
            self._own.append(Message(origin, RELAY_LOST, [peer]))
        for node in lost:
            self._lose_link(node, is_reached=node != peer)

    def _note_way(self, change: MemberChanged) -> None:
        """Take that a member has changed: it may be gone, or another run of its process."""
        entry = self.gossip.entry(change.member)
        if entry is None or not entry.is_listed():
            self.relays.forget(change.member)
        else:
            self.relays.on_instance(change.member, entry.description.facts.get("instance"))

    def _is_listed(self, peer: NodeId) -> bool:
        entry = self.gossip.entry(peer)
        return entry is not None and entry.is_listed()

    def _hear(self, peer: NodeId) -> None:
        """Take that a message came from a peer, on whatever way."""
        self._leader_stream.on_message(peer, self._now)
        if peer == self._untold:
            self._tell_of_loss(peer)

    def _tell_of_loss(self, leader: NodeId) -> None:
        self._untold = NO_NODE
        self._own.append(Message(leader, REPORTS_LOST, []))

    def _lose_link(self, peer: NodeId, is_reached: bool) -> None:
        """Take that what was said to a peer may be lost; the leader is told so, as soon as there is a way.

        Its own stream to this node may be sound, or there may be none: then it notices nothing.

        Args:
            peer: who.
            is_reached: whether the way that failed is not the one that is taken now.
        """
        if peer == self.election.leader():
            if is_reached or self.relays.way(peer, self._now) != peer:
                self._tell_of_loss(peer)
            else:
                self._untold = peer
        self.scheduler.on_link_lost(peer, self._now)
        self.gateway.on_link_lost(peer, self._now)

    def _take_relaying(self, peer: NodeId, frame: Frame) -> Frame | None:
        """Take what is about relays; return the frame that a relay brought for this node."""
        body = Body(frame.body)
        try:
            if frame.kind == RELAYED:
                return self._take_relayed(peer, body)
            if frame.kind == RELAY:
                self._own.append(self._pass_on(peer, body))
            else:
                target = body.take_id(NODE_ID_SIZE)
                self.relays.on_relay_lost(target, peer, self._relays_for(target), self._now)
                self._lose_link(target, is_reached=True)
        except DecodeError:
            self.counts["malformed"] += 1
        return None

    def _take_relayed(self, relay: NodeId, body: Body) -> Frame | None:
        frame = self.decode_untrusted(body.take_bytes())
        if frame is None:
            return None
        origin = frame.stamp.sender
        if frame.kind < RECORD_STORE or origin in (relay, self._me):
            self.counts["wrong_sender"] += 1
            return None
        # What is kept of a detour is forgotten when gossip declares its end dead: nobody else gets one.
        if self._is_listed(origin):
            self.relays.on_relayed(origin, relay, self._now)
        self.election.on_stamp(frame.stamp, self._now)
        if origin == self._untold:
            self._tell_of_loss(origin)
        return frame

    def _pass_on(self, origin: NodeId, body: Body) -> Effect:
        target, payload = body.take_id(NODE_ID_SIZE), body.take_bytes()
        addresses = self.gossip.addresses_of(target)
        if not addresses or not self.relays.pass_on(origin, target, self._now):
            return Message(origin, RELAY_LOST, [target])
        return SendMessage(target, addresses, self.pack(RELAYED, [payload]))

    def _relays_for(self, peer: NodeId) -> list[NodeId]:
        known = [self.gossip.go_betweens().get(peer, b""), self.election.leader()]
        return relay_order(self.gossip.alive_ids(), known, peer)

    # Datagrams

    def _packets_for(self, packet: Packet) -> list[Effect]:
        """Return the effects that send a datagram of the election."""
        payload = self.pack(packet.kind, packet.body)
        effects: list[Effect] = [SendPacket(packet.destination, payload)]
        for target, helper in self.gossip.go_betweens().items():
            places = self.gossip.addresses_of(helper)
            if places and self.gossip.addresses_of(target)[:1] == [packet.destination]:
                effects.append(SendPacket(places[0], self.pack(RELAY_PACKET, [target, payload])))
        return effects

    def _take_relay_packet(self, frame: Frame) -> None:
        """Pass on a datagram, or take the one that was passed on to this node."""
        body = Body(frame.body)
        try:
            if frame.kind == RELAY_PACKET:
                target, payload = body.take_id(NODE_ID_SIZE), body.take_bytes()
                places = self.gossip.addresses_of(target)
                if places and target != self._me:
                    self._own.append(SendPacket(places[0], self.pack(RELAYED_PACKET, [payload])))
            else:
                self._take_relayed_packet(frame.stamp.sender, body)
        except DecodeError:
            self.counts["malformed"] += 1

    def _take_relayed_packet(self, relay: NodeId, body: Body) -> None:
        frame = self.decode_untrusted(body.take_bytes())
        if frame is None:
            return
        origin = frame.stamp.sender
        places = self.gossip.addresses_of(origin)
        if VOTE_REQUEST <= frame.kind <= STAND and places and origin != self._me:
            # It may be that the origin reaches us directly, and we not it: the answer goes both ways, too.
            self.gossip.go_betweens().setdefault(origin, relay)
            self.election.on_stamp(frame.stamp, self._now)
            self.election.receive_packet(frame.stamp, frame.kind, frame.body, places[0], self._now)
        else:
            self.counts["wrong_sender"] += 1

"""Streams between hosts: they open, carry messages in order, stall, and break, as those of `swarm.net.peers`.

A stream is dialled by the first message, which takes three round trips (TCP, TLS 1.3, WebSocket) and what two
processes need for a handshake; what is sent meanwhile waits. A dial is refused by a host whose node is down,
gives up after `connect_timeout_s` where nothing answers (asking again after 1 s and 3 s, like TCP), and is
followed by a pause before the next one. However many messages waited, one loss is told.

An open stream stays while both ends hold it. The end of a process is heard behind everything it said: closed
without a goodbye when it was killed, with one when it left. What a cut holds up is tried again with growing
pauses and breaks the sender's end after `STUCK_LIMIT_S` (TCP_USER_TIMEOUT); an end that hears nothing asks
after `IDLE_ASK_S` and breaks `IDLE_ANSWER_S` later (TCP keep-alive). Each end learns by itself: whoever goes
on sending on a stream that the other end has let go is told by a reset, which proves nothing. Over
`LINK_COUNT_MAX` open streams, a host closes the one not used for longest, in agreement, which is no loss; one
that it dialled itself, unless most were dialled by others.
"""

from __future__ import annotations

from typing import Final

from sims import trace as kinds
from sims.engine import Engine
from sims.host import Host
from sims.network import Network
from sims.stream import NEVER, Arrival, Dial, Stream, Stuck
from sims.trace import Trace
from swarm.core.effects import SendMessage
from swarm.core.ids import Address, NodeId

STUCK_FIRST_S: Final = 0.2
STUCK_LIMIT_S: Final = 15.0
IDLE_ASK_S: Final = 15.0
IDLE_ANSWER_S: Final = 5.0
REDIAL_GAP_S: Final = 0.1
"""Between a dial that failed and the next one to the same host (swarm.net.peers)."""
LINK_COUNT_MAX: Final = 64
"""Open streams of a host (swarm.net.peers)."""
ACCEPTED_COUNT_MAX: Final = 48
"""Those among them that the other host has dialled (swarm.net.peers)."""
WATCH_INTERVAL_S: Final = 1.0
"""Between two looks for streams that are idle and not carried; how late they are found at most."""
OPENING_ROUND_TRIPS: Final = 3
REFUSED_NOTE: Final = b"refused"
SILENT_NOTE: Final = b"silent"


class Streams:
    """Opens, uses and breaks the streams of all hosts.

    Attributes:
        engine: the virtual clock.
        network: who reaches whom, and when.
        hosts: by number.
        trace: every input of every node is folded into it.
    """

    def __init__(self, network: Network, trace: Trace) -> None:
        self.engine: Final = Engine()
        self.network: Final = network
        self.trace: Final = trace
        self.hosts: list[Host] = []
        self._by_address: dict[Address, int] = {}
        self._by_id: dict[NodeId, int] = {}
        self._clones: dict[NodeId, list[int]] = {}
        self._has_doubt = False
        self.engine.schedule(WATCH_INTERVAL_S, kinds.WATCH, 0, None, None)

    # Sending

    def _send_message(self, now: float, host: Host, effect: SendMessage) -> None:
        target = self._resolve(effect)
        if target < 0:
            return
        stream = host.links.get(target)
        if self.hosts[target].node_id != effect.peer:
            self._tell_stranger(now, host, self.hosts[target], effect.peer)
        elif stream is None or stream.identity_of(target) != effect.peer:
            if stream is not None:
                self._give_up(now, host, stream, target)
            self._dial(now, host, target, effect)
        elif stream.is_open:
            self._send_on(now, host, self.hosts[target], stream, effect.payload)
        else:
            stream.waiting.append(effect.payload)

    def _resolve(self, effect: SendMessage) -> int:
        """Return the host that a message is for, -1 for none: of two clones, that whose address is named."""
        for index in self._clones.get(effect.peer, []):
            if effect.addresses and self.hosts[index].address == effect.addresses[0]:
                return index
        return self._by_id.get(effect.peer, -1)

    def _tell_stranger(self, now: float, host: Host, peer: Host, node_id: NodeId) -> None:
        """Let a message fail whose receiver is no more: its host has another identity now."""
        note = SILENT_NOTE
        when = now + self.network.config.connect_timeout_s
        if self.network.opens(host.index, peer.index) and self._is_carried(host, peer):
            note = REFUSED_NOTE if peer.node is None else SILENT_NOTE
            when = now + self._round_trip_s(host, peer)
        arrival = Arrival(host.epoch, peer.index, note)
        self.engine.schedule(when, kinds.LINK_LOST, host.index, arrival, node_id)

    def _give_up(self, now: float, host: Host, stream: Stream, target: int) -> None:
        """Let a host lose its end of a stream to who was at a target before: another node answers there."""
        host.links.pop(target)
        host.stuck.pop(target, None)
        arrival = Arrival(host.epoch, target, SILENT_NOTE)
        self.engine.schedule(now, kinds.LINK_LOST, host.index, arrival, stream.identity_of(target))

    def _send_on(self, now: float, host: Host, peer: Host, stream: Stream, payload: bytes) -> None:
        held_up = host.stuck.get(peer.index)
        if held_up is not None:
            held_up.append(payload)
        elif not self._is_carried(host, peer):
            host.stuck[peer.index] = [payload]
            stuck = Stuck(host.epoch, peer.index, stream, now, STUCK_FIRST_S)
            self.engine.schedule(now + STUCK_FIRST_S, kinds.STUCK, host.index, stuck, None)
        elif peer.links.get(host.index) is not stream:
            self._tell_lost(host, peer, SILENT_NOTE, now + self._round_trip_s(host, peer), stream)
        else:
            self._deliver(now, host, peer, stream, payload)

    def _deliver(self, begin: float, host: Host, peer: Host, stream: Stream, payload: bytes) -> None:
        when = self.network.arrival_s(host.index, peer.index, begin, len(payload))
        if when > stream.used_s:
            stream.used_s = when
        arrival = Arrival(peer.epoch, host.index, payload, stream)
        kind = kinds.ENTERING if self.network.limits_packets else kinds.MESSAGE
        self.engine.schedule(when, kind, peer.index, arrival, host.node_id)

    def _is_carried(self, host: Host, peer: Host) -> bool:
        """Return whether the network and the other host's card are there; its node may be gone."""
        return not peer.is_dark and not peer.is_asleep and self.network.carries(host.index, peer.index)

    def _round_trip_s(self, host: Host, peer: Host) -> float:
        network = self.network
        return network.delay_s(host.index, peer.index) + network.delay_s(peer.index, host.index)

    # Opening

    def _dial(self, now: float, host: Host, target: int, effect: SendMessage) -> None:
        stream = Stream(host.index, host.epoch, host.node_id, target, effect.peer, now)
        stream.waiting.append(effect.payload)
        host.links[target] = stream
        begin = max(now, host.failed_dials.get(target, -REDIAL_GAP_S) + REDIAL_GAP_S)
        stream.give_up_s = begin + self.network.config.connect_timeout_s
        if not effect.addresses:
            self._tell_lost(host, self.hosts[target], SILENT_NOTE, begin, stream)
        elif self.hosts[target].address not in effect.addresses:
            self._tell_lost(host, self.hosts[target], SILENT_NOTE, stream.give_up_s, stream)
        else:
            self.engine.schedule(begin, kinds.DIAL, host.index, Dial(host.epoch, -1, stream), None)

    def _go_on_dialling(self, now: float, host: Host, dial: Dial) -> None:
        """Knock, knock again, or be let in."""
        stream = dial.stream
        if host.epoch != dial.epoch or host.links.get(stream.target) is not stream or stream.is_open:
            return
        peer = self.hosts[stream.target]
        is_there = not peer.is_dark and not peer.is_asleep and self.network.opens(host.index, stream.target)
        if dial.peer_epoch >= 0:
            self._end_dial(now, host, peer, dial, is_there)
        elif not is_there:
            # A connection request that is not answered is sent again after 1 s, 2 s, 4 s.
            when = now + stream.wait_s
            stream.wait_s *= 2
            if when >= stream.give_up_s:
                self._tell_lost(host, peer, SILENT_NOTE, stream.give_up_s, stream)
            else:
                self.engine.schedule(when, kinds.DIAL, host.index, dial, None)
        elif peer.node is None:
            self._tell_lost(host, peer, REFUSED_NOTE, now + self._round_trip_s(host, peer), stream)
        else:
            answered = Dial(dial.epoch, peer.epoch, stream)
            when = now + self._opening_s(host, peer)
            self.engine.schedule(when, kinds.DIAL, host.index, answered, None)

    def _opening_s(self, host: Host, peer: Host) -> float:
        """Return how long a connection between two processes takes until it can be used."""
        opening_s = host.settings.handshake_s * (1.0 / host.spec.speed + 1.0 / peer.spec.speed)
        for _ in range(OPENING_ROUND_TRIPS):
            opening_s += self._round_trip_s(host, peer)
        return opening_s

    def _end_dial(self, now: float, host: Host, peer: Host, dial: Dial, is_there: bool) -> None:
        stream = dial.stream
        is_gone = is_there and (peer.node is None or peer.epoch != dial.peer_epoch)
        if is_gone or now >= stream.give_up_s:
            self._tell_lost(host, peer, SILENT_NOTE, now, stream)
        elif is_there and now >= peer.stalled_until:
            self._open(now, host, peer, stream)
        else:
            # Half-way through its handshake the stream waits for the network or for the other process.
            when = now + STUCK_FIRST_S if not is_there else peer.stalled_until
            self.engine.schedule(min(when, stream.give_up_s), kinds.DIAL, host.index, dial, None)

    def _open(self, now: float, host: Host, peer: Host, stream: Stream) -> None:
        """Let both ends hold a stream; what either of them wanted to say goes out on it."""
        crossing: list[bytes] = []
        older = peer.links.get(host.index)
        if older is not None and not older.is_open:
            crossing = older.waiting
        elif older is not None and older.epoch_of(host.index) != host.epoch:
            # A new process dials: the other end of the older stream is gone, whatever it looks like.
            peer.stuck.pop(host.index, None)
            arrival = Arrival(peer.epoch, host.index, SILENT_NOTE)
            self.engine.schedule(now, kinds.LINK_LOST, peer.index, arrival, older.identity_of(host.index))
        elif older is not None:
            crossing = peer.stuck.pop(host.index, [])
        stream.is_open = True
        stream.target_epoch = peer.epoch
        stream.used_s = now
        host.links[peer.index] = stream
        peer.links[host.index] = stream
        for payload in stream.waiting:
            self._deliver(now, host, peer, stream, payload)
        for payload in crossing:
            self._deliver(now, peer, host, stream, payload)
        stream.waiting = []
        self._close_unused(host)
        self._close_unused(peer)

    def _close_unused(self, host: Host) -> None:
        """Close the stream not used for longest when a host holds too many; what is under way arrives."""
        if len(host.links) <= LINK_COUNT_MAX:
            return
        dialled = 0
        accepted = 0
        for stream in host.links.values():
            if stream.is_open and stream.opener == host.index:
                dialled += 1
            elif stream.is_open:
                accepted += 1
        if dialled + accepted <= LINK_COUNT_MAX:
            return
        oldest = self._find_unused(host, accepted <= ACCEPTED_COUNT_MAX)
        if oldest < 0:
            return
        closed = host.links.pop(oldest)
        closed.is_agreed = True
        peer = self.hosts[oldest]
        if peer.links.get(host.index) is closed and host.index not in peer.stuck:
            peer.links.pop(host.index)

    def _find_unused(self, host: Host, was_dialled: bool) -> int:
        """Return to whom the open stream leads that was not used for longest; -1 when all are in use.

        Args:
            host: who has them.
            was_dialled: whether to look at those that the host has dialled, or at all others.
        """
        oldest = -1
        oldest_s = NEVER
        for other, stream in host.links.items():
            if stream.is_open and (stream.opener == host.index) == was_dialled:
                if stream.used_s < oldest_s and other not in host.stuck:
                    oldest, oldest_s = other, stream.used_s
        return oldest

    # Breaking

    def _try_stuck(self, now: float, host: Host, stuck: Stuck) -> None:
        stream = stuck.stream
        held_up = host.stuck.get(stuck.target)
        if host.epoch != stuck.epoch or host.links.get(stuck.target) is not stream or held_up is None:
            return
        peer = self.hosts[stuck.target]
        if self._is_carried(host, peer):
            if peer.links.get(host.index) is not stream:
                self._tell_lost(host, peer, SILENT_NOTE, now + self._round_trip_s(host, peer), stream)
                return
            host.stuck.pop(stuck.target)
            for payload in held_up:
                self._deliver(now, host, peer, stream, payload)
        elif now >= stuck.since + STUCK_LIMIT_S:
            self._tell_lost(host, peer, SILENT_NOTE, now, stream)
        else:
            stuck.wait_s *= 2
            when = min(now + stuck.wait_s, stuck.since + STUCK_LIMIT_S)
            self.engine.schedule(when, kinds.STUCK, host.index, stuck, None)

    def _tell_lost(self, host: Host, peer: Host, note: bytes, when: float, stream: Stream) -> None:
        """Let a host learn at a time that its end of a stream is gone, if it holds it still."""
        self._has_doubt = True
        arrival = Arrival(host.epoch, peer.index, note, stream)
        identity = stream.identity_of(peer.index)
        self.engine.schedule(when, kinds.LINK_LOST, host.index, arrival, identity)

    def _lets_go(self, now: float, host: Host, arrival: Arrival) -> bool:
        """Take the end of a stream from a host; return whether that is news to it."""
        stream = arrival.stream
        if stream is None:
            return True
        if host.links.get(arrival.source) is not stream:
            return False
        host.links.pop(arrival.source)
        host.stuck.pop(arrival.source, None)
        if not stream.is_open:
            host.failed_dials[arrival.source] = now
        return True

    def _is_heard(self, host: Host, arrival: Arrival) -> bool:
        """Return whether a message comes on a stream that its receiver still listens to."""
        stream = arrival.stream
        return stream is None or stream.is_agreed or host.links.get(arrival.source) is stream

    def _break_link(self, host: Host, peer: Host, when: float) -> None:
        """Let the stream between two hosts break at both ends."""
        stream = host.links.get(peer.index)
        if stream is not None:
            self._tell_lost(host, peer, SILENT_NOTE, when, stream)
            if peer.links.get(host.index) is stream:
                self._tell_lost(peer, host, SILENT_NOTE, when, stream)

    def _end_links(self, now: float, host: Host, note: bytes) -> None:
        """Tell the peers of a process that ended, those that can be told, behind what it said."""
        for other, stream in host.links.items():
            peer = self.hosts[other]
            if stream.is_open and peer.links.get(host.index) is stream and self._is_carried(host, peer):
                when = self.network.end_s(host.index, other, now)
                arrival = Arrival(peer.epoch, host.index, note, stream, True)
                kind = kinds.ENTERING if self.network.limits_packets else kinds.LINK_LOST
                self.engine.schedule(when, kind, other, arrival, host.node_id)

    # Idle streams

    def _watch_streams(self, now: float) -> None:
        """Find the streams that are idle and whose other end is out of reach, or has let go."""
        self.engine.schedule(now + WATCH_INTERVAL_S, kinds.WATCH, 0, None, None)
        if not self._has_doubt and not self.network.has_cuts():
            return
        self._has_doubt = False
        for host in self.hosts:
            if host.node is not None and not host.is_asleep:
                for other, stream in host.links.items():
                    if stream.is_open:
                        self._watch_stream(now, host, self.hosts[other], stream)

    def _watch_stream(self, now: float, host: Host, peer: Host, stream: Stream) -> None:
        is_carried = self._is_carried(host, peer)
        if is_carried and peer.links.get(host.index) is stream:
            stream.silent_s = NEVER
            return
        self._has_doubt = True
        if stream.silent_s == NEVER:
            stream.silent_s = now
        if peer.index in host.stuck:
            return
        # It was asked every so often since it was last used, and answered up to the time of silence.
        answered_s = stream.used_s
        if stream.silent_s > answered_s:
            answered_s += IDLE_ASK_S * ((stream.silent_s - answered_s) // IDLE_ASK_S)
        if now < answered_s + IDLE_ASK_S:
            return
        if is_carried:
            self._tell_lost(host, peer, SILENT_NOTE, now + self._round_trip_s(host, peer), stream)
        elif now >= answered_s + IDLE_ASK_S + IDLE_ANSWER_S:
            self._tell_lost(host, peer, SILENT_NOTE, now, stream)

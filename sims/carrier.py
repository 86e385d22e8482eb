"""What lies between hosts: datagrams, streams and copies of objects on their way.

A stream is opened by the first message, which needs a way there and a running node; it stays while both ends
run. What a cut holds up is tried again with growing pauses, and when nothing got through for `STUCK_LIMIT_S`
both ends see the stream break, as with the daemon's TCP_USER_TIMEOUT. A killed process resets its streams; a
host without power says nothing, and after its return resets whoever still believes in an old stream.

Objects are copied through the fair-share network of bulk transfers, from one holder after the other until one
has them.
"""

from __future__ import annotations

from typing import Final, final

from sims import trace as kinds
from sims.engine import Engine, Event
from sims.host import NEVER, Host
from sims.network import LOST, Network
from sims.trace import Trace
from swarm.core.effects import FetchObject, SendMessage
from swarm.core.ids import Address, NodeId, ObjectName

STUCK_FIRST_S: Final = 0.2
STUCK_LIMIT_S: Final = 15.0
STALL_LIMIT_S: Final = 15.0
"""A copy without progress for so long goes on at another holder (swarm.net.object_client)."""
EVERYBODY: Final = -1
"""A datagram sent to everybody has this minus its sender's number for a sender: no host refuses it."""
REFUSED_NOTE: Final = b"refused"
SILENT_NOTE: Final = b"silent"

_ASK: Final = 0
_ANSWERED: Final = 1
_FAILED: Final = 2


@final
class Arrival:
    """Something on its way to one start of a host. `source` is a host, an executor or a session."""

    def __init__(self, epoch: int, source: int, payload: bytes) -> None:
        self.epoch: Final = epoch
        self.source: Final = source
        self.payload: Final = payload


@final
class Stuck:
    """Messages on an open stream that the network does not carry at present."""

    def __init__(self, epoch: int, target: int, since: float) -> None:
        self.epoch: Final = epoch
        self.target: Final = target
        self.since: Final = since
        self.wait_s = STUCK_FIRST_S


@final
class Fetch:
    """A copy of an object that a node asked for."""

    def __init__(self, host: int, epoch: int, effect: FetchObject) -> None:
        self.host: Final = host
        self.epoch: Final = epoch
        self.effect: Final = effect
        self.position = 0
        self.source = -1
        self.step = _ASK
        self.failed: list[NodeId] = []
        self.is_here = False


class Carrier:
    """Carries packets, messages and objects between hosts.

    Attributes:
        engine: the virtual clock.
        network: who reaches whom, and when.
        hosts: by number.
        trace: every input of every node is folded into it.
        corrupted: datagrams that arrived damaged, and were dropped as the seal does.
    """

    def __init__(self, network: Network, trace: Trace) -> None:
        self.engine: Final = Engine()
        self.network: Final = network
        self.trace: Final = trace
        self.hosts: list[Host] = []
        self.corrupted = 0
        self._by_address: dict[Address, int] = {}
        self._by_id: dict[NodeId, int] = {}
        self._clones: dict[NodeId, list[int]] = {}
        self._flying: dict[int, Fetch] = {}
        self._next_transfer = 1
        self._flow_time = NEVER

    def _carry(self, now: float, host: Host, event: Event) -> bool:
        """Go on with something that is under way; return whether the event is about that."""
        kind = event.kind
        first = event.first
        if kind == kinds.STUCK:
            assert isinstance(first, Stuck)
            self._try_stuck(now, host, first)
        elif kind == kinds.FLOW:
            self._end_flows(now)
        elif kind == kinds.FETCH:
            assert isinstance(first, Fetch)
            self._go_on_fetching(now, first)
        elif kind == kinds.ENTERING:
            self._enter(now, event)
        else:
            return False
        return True

    # Datagrams

    def _send_packet(
        self,
        now: float,
        source: int,
        target: int,
        payload: bytes,
        to_everybody: bool = False,
        left_s: float = LOST,
    ) -> None:
        sender = EVERYBODY - source if to_everybody else source
        network = self.network
        kind = kinds.ENTERING if network.limits_packets else kinds.PACKET
        when = network.send(source, target, len(payload), now, left_s)
        if when >= 0:
            if network.is_corrupt:
                self.corrupted += 1
            else:
                self.engine.schedule(when, kind, target, payload, sender)
        if network.copy_at != LOST:
            self.engine.schedule(network.copy_at, kind, target, payload, sender)

    def _send_hello(self, now: float, source: int, payload: bytes) -> None:
        left_s = self.network.leave(source, len(payload), now)
        if left_s < 0:
            self.network.packets_lost += 1
            return
        for listener in self.network.listeners(source):
            self._send_packet(now, source, listener, payload, True, left_s)

    def _enter(self, now: float, event: Event) -> None:
        """Let a datagram or a message pass the limited interface of its host."""
        first = event.first
        if isinstance(first, Arrival):
            when = self.network.enter(event.target, len(first.payload), now, True)
            self.engine.schedule(when, kinds.MESSAGE, event.target, first, event.second)
            return
        assert isinstance(first, bytes), "what enters has bytes"
        when = self.network.enter(event.target, len(first), now, False)
        if when >= 0:
            self.engine.schedule(when, kinds.PACKET, event.target, first, event.second)

    def _refuse(self, now: float, host: Host, source: int) -> None:
        sender = self.hosts[source]
        if sender.node is not None and self.network.reaches(host.index, source, now):
            when = now + self.network.delay_s(host.index, source)
            arrival = Arrival(sender.epoch, host.index, b"")
            self.engine.schedule(when, kinds.REFUSED, source, arrival, None)

    # Streams

    def _send_message(self, now: float, host: Host, effect: SendMessage) -> None:
        target = self._resolve(effect)
        if target < 0:
            return
        peer = self.hosts[target]
        opened = host.links.get(target, -1)
        network = self.network
        if opened < 0:
            if (
                peer.is_dark
                or peer.is_asleep
                or peer.address not in effect.addresses
                or not network.opens(host.index, target)
            ):
                self._tell_lost(host, peer, SILENT_NOTE, now + network.config.connect_timeout_s)
            elif peer.node is None:
                self._tell_lost(host, peer, REFUSED_NOTE, now + self._round_trip_s(host, peer))
            else:
                host.links[target] = peer.epoch
                peer.links[host.index] = host.epoch
                begin = now + self._round_trip_s(host, peer)
                self._deliver(begin, host, peer, effect.payload)
        elif target in host.stuck:
            host.stuck[target].append(effect.payload)
        elif not self._is_carried(host, peer):
            host.stuck[target] = [effect.payload]
            stuck = Stuck(host.epoch, target, now)
            self.engine.schedule(now + stuck.wait_s, kinds.STUCK, host.index, stuck, None)
        elif opened != peer.epoch or peer.node is None:
            self._break_link(host, peer, REFUSED_NOTE, now + self._round_trip_s(host, peer))
        else:
            self._deliver(now, host, peer, effect.payload)

    def _resolve(self, effect: SendMessage) -> int:
        """Return the host that a message is for, -1 for none: of two clones, that whose address is named."""
        if not effect.addresses:
            return -1
        for index in self._clones.get(effect.peer, []):
            if self.hosts[index].address == effect.addresses[0]:
                return index
        return self._by_id.get(effect.peer, -1)

    def _deliver(self, begin: float, host: Host, peer: Host, payload: bytes) -> None:
        when = self.network.arrival_s(host.index, peer.index, begin, len(payload))
        arrival = Arrival(peer.epoch, host.index, payload)
        kind = kinds.ENTERING if self.network.limits_packets else kinds.MESSAGE
        self.engine.schedule(when, kind, peer.index, arrival, host.node_id)

    def _is_carried(self, host: Host, peer: Host) -> bool:
        """Return whether the network and the other host's card are there; its node may be gone."""
        return not peer.is_dark and not peer.is_asleep and self.network.carries(host.index, peer.index)

    def _round_trip_s(self, host: Host, peer: Host) -> float:
        network = self.network
        return network.delay_s(host.index, peer.index) + network.delay_s(peer.index, host.index)

    def _try_stuck(self, now: float, host: Host, stuck: Stuck) -> None:
        if host.epoch != stuck.epoch or stuck.target not in host.stuck:
            return
        peer = self.hosts[stuck.target]
        opened = host.links.get(stuck.target, -1)
        if self._is_carried(host, peer):
            if opened != peer.epoch or peer.node is None:
                self._break_link(host, peer, REFUSED_NOTE, now + self._round_trip_s(host, peer))
                return
            for payload in host.stuck.pop(stuck.target):
                self._deliver(now, host, peer, payload)
        elif now >= stuck.since + STUCK_LIMIT_S:
            self._break_link(host, peer, SILENT_NOTE, now)
        else:
            stuck.wait_s *= 2
            when = min(now + stuck.wait_s, stuck.since + STUCK_LIMIT_S)
            self.engine.schedule(when, kinds.STUCK, host.index, stuck, None)

    def _break_link(self, host: Host, peer: Host, note: bytes, when: float) -> None:
        """Let the stream from `host` break; the other end notices too, if its stream is this one."""
        host.links.pop(peer.index, None)
        host.stuck.pop(peer.index, None)
        self._tell_lost(host, peer, note, when)
        if peer.node is not None and peer.links.get(host.index, -1) == host.epoch:
            peer.links.pop(host.index)
            peer.stuck.pop(host.index, None)
            self._tell_lost(peer, host, SILENT_NOTE, when)

    def _tell_lost(self, host: Host, peer: Host, note: bytes, when: float) -> None:
        arrival = Arrival(host.epoch, peer.index, note)
        self.engine.schedule(when, kinds.LINK_LOST, host.index, arrival, peer.node_id)

    def _reset_links(self, now: float, host: Host) -> None:
        """Tell the peers of a process that was killed, those that can be told."""
        for other in list(host.links):
            peer = self.hosts[other]
            if peer.node is not None and self._is_carried(host, peer):
                if peer.links.get(host.index, -1) == host.epoch:
                    peer.links.pop(host.index)
                    peer.stuck.pop(host.index, None)
                    when = now + self.network.delay_s(host.index, other)
                    self._tell_lost(peer, host, REFUSED_NOTE, when)

    # Copies of objects

    def _go_on_fetching(self, now: float, fetch: Fetch) -> None:
        """Take the next step of a copy: ask a holder, begin to copy what it has, or ask the next one."""
        host = self.hosts[fetch.host]
        if host.node is None or host.epoch != fetch.epoch:
            return
        if fetch.step == _ANSWERED and self._has(fetch.source, fetch.effect.name, fetch.effect.digest):
            number = self._next_transfer
            self._next_transfer += 1
            self._flying[number] = fetch
            self.network.start_flow(number, fetch.source, host.index, fetch.effect.size, now)
            self._plan_flows(now)
            return
        if fetch.step != _ASK:
            fetch.failed.append(fetch.effect.sources[fetch.position][0])
            fetch.position += 1
        if fetch.position >= len(fetch.effect.sources):
            self._end_fetch(now, fetch)
            return
        self._ask_holder(now, host, fetch)

    def _ask_holder(self, now: float, host: Host, fetch: Fetch) -> None:
        fetch.source = self._by_id.get(fetch.effect.sources[fetch.position][0], -1)
        fetch.step = _FAILED
        wait_s = 0.0
        if fetch.source >= 0:
            holder = self.hosts[fetch.source]
            is_open = self.network.opens(host.index, fetch.source) or fetch.source in host.links
            if is_open and self._is_carried(host, holder):
                wait_s = self._round_trip_s(host, holder)
                if holder.node is not None:
                    fetch.step = _ANSWERED
            else:
                wait_s = self.network.config.connect_timeout_s
        self.engine.schedule(now + wait_s, kinds.FETCH, host.index, fetch, None)

    def _has(self, index: int, name: ObjectName, digest: bytes) -> bool:
        holder = self.hosts[index]
        held = holder.store.get(name)
        return holder.node is not None and held is not None and held[0] == digest

    def _end_fetch(self, now: float, fetch: Fetch) -> None:
        arrival = Arrival(fetch.epoch, fetch.source, b"here" if fetch.is_here else b"missing")
        self.engine.schedule(now, kinds.FETCHED, fetch.host, arrival, fetch)

    def _plan_flows(self, now: float) -> None:
        when = self.network.flows.next_end()
        if when < self._flow_time:
            self._flow_time = max(when, now)
            self.engine.schedule(self._flow_time, kinds.FLOW, 0, None, None)

    def _end_flows(self, now: float) -> None:
        self._flow_time = NEVER
        for number in self.network.flows.take_ended(now):
            fetch = self._flying.pop(number)
            if self._is_carried(self.hosts[fetch.host], self.hosts[fetch.source]):
                fetch.is_here = True
                self._end_fetch(now, fetch)
            else:
                self._fail_fetch(fetch, now + STALL_LIMIT_S)
        self._plan_flows(now)

    def _fail_fetch(self, fetch: Fetch, when: float) -> None:
        fetch.step = _FAILED
        self.engine.schedule(when, kinds.FETCH, fetch.host, fetch, None)

    def _stop_flows(self, now: float, index: int, has_power: bool) -> None:
        """End the copies to and from a node that ended."""
        for number, fetch in list(self._flying.items()):
            if fetch.host == index or fetch.source == index:
                del self._flying[number]
                self.network.flows.cancel(number, now)
                if fetch.source == index:
                    self._fail_fetch(fetch, now if has_power else now + STALL_LIMIT_S)
        self._plan_flows(now)

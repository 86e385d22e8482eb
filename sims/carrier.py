"""What lies between hosts beside streams: datagrams, and copies of objects on their way.

A datagram of more than UDP carries is dropped where it is sent. A host whose node is down refuses datagrams
that were meant for it (not hellos: nobody answers for a group), a few at first and one a second then, as
Linux limits what it says about closed ports.

Objects are copied through the fair-share network of bulk transfers, from one holder after the other until
one has them; a copy that breaks goes on where it stopped. One whose way is cut, in one direction or both, or
whose giver or taker stands still moves nothing meanwhile, and breaks when its taker has waited for
`STALL_LIMIT_S`. A node copies `FETCH_COUNT_MAX` at a time, and keeps the connections to those who gave it
something for a while.
"""

from __future__ import annotations

from typing import Final, final

from sims import trace as kinds
from sims.engine import Event
from sims.host import Host
from sims.network import LOST, Network
from sims.stream import NEVER, Arrival, Dial, Stuck
from sims.streams import Streams
from sims.trace import Trace
from swarm.core.effects import FetchObject
from swarm.core.ids import NodeId, ObjectName
from swarm.gossip.limits import TokenBucket

DATAGRAM_SIZE_MAX: Final = 65507 - 40
"""Bytes of a payload: what a UDP datagram over IPv4 carries, without the seal (swarm.net.seal)."""
REFUSAL_BURST: Final = 6
REFUSALS_PER_S: Final = 1.0
"""How often a host speaks of closed ports to another: at once, and in the long run (icmp_ratelimit)."""
STALL_LIMIT_S: Final = 15.0
"""A copy without progress for so long goes on at another holder (swarm.net.object_client)."""
EVERYBODY: Final = -1
"""A datagram sent to everybody has this minus its sender's number for a sender: no host refuses it."""
FETCH_COUNT_MAX: Final = 8
"""Objects that a node copies at the same time (swarm.daemon.world)."""
KEPT_CONNECTION_S: Final = 30.0
KEPT_CONNECTION_COUNT: Final = 16

_ASK: Final = 0
_ANSWERED: Final = 1
_FAILED: Final = 2


@final
class Fetch:
    """A copy of an object that a node asked for.

    Attributes:
        left_bytes: what has not arrived yet, as of the last stop.
        transfer: its number in the flow network, 0 before the first.
        silent_s: since when its node waits for bytes that do not come, infinity while they do.
    """

    def __init__(self, host: int, epoch: int, effect: FetchObject) -> None:
        self.host: Final = host
        self.epoch: Final = epoch
        self.effect: Final = effect
        self.left_bytes = float(effect.size)
        self.position = 0
        self.source = -1
        self.step = _ASK
        self.failed: list[NodeId] = []
        self.is_here = False
        self.transfer = 0
        self.silent_s = NEVER


class Carrier(Streams):
    """Carries packets, messages and objects between hosts.

    Attributes:
        corrupted: datagrams that arrived damaged, and were dropped as the seal does.
        oversized: datagrams that were too large to be sent.
    """

    def __init__(self, network: Network, trace: Trace) -> None:
        super().__init__(network, trace)
        self.corrupted = 0
        self.oversized = 0
        self._refusals: dict[int, TokenBucket] = {}
        self._flying: dict[int, Fetch] = {}
        self._next_transfer = 1
        self._flow_time = NEVER
        self._seen_changes = 0

    def _carry(self, now: float, host: Host, event: Event) -> bool:
        """Go on with something that is under way; return whether the event is about that."""
        kind = event.kind
        first = event.first
        if kind == kinds.STUCK:
            assert isinstance(first, Stuck)
            self._try_stuck(now, host, first)
        elif kind == kinds.DIAL:
            assert isinstance(first, Dial)
            self._go_on_dialling(now, host, first)
        elif kind == kinds.WATCH:
            self._watch_streams(now)
        elif kind == kinds.FLOW:
            self._end_flows(now)
        elif kind == kinds.STALL:
            assert isinstance(first, Fetch)
            self._end_stall(now, first)
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
        if len(payload) > DATAGRAM_SIZE_MAX:
            self.oversized += 1
            return
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
        if len(payload) > DATAGRAM_SIZE_MAX:
            self.oversized += 1
            return
        left_s = self.network.leave(source, len(payload), now)
        if left_s < 0:
            self.network.packets_lost += 1
            return
        for listener in self.network.listeners(source):
            self._send_packet(now, source, listener, payload, True, left_s)

    def _enter(self, now: float, event: Event) -> None:
        """Let a datagram, a message or the end of a stream pass the limited interface of its host."""
        first = event.first
        if isinstance(first, Arrival):
            kind = kinds.LINK_LOST if first.is_end else kinds.MESSAGE
            when = self.network.enter(event.target, len(first.payload), now, True)
            self.engine.schedule(when, kind, event.target, first, event.second)
            return
        assert isinstance(first, bytes), "what enters has bytes"
        when = self.network.enter(event.target, len(first), now, False)
        if when >= 0:
            self.engine.schedule(when, kinds.PACKET, event.target, first, event.second)

    def _refuse(self, now: float, host: Host, source: int) -> None:
        sender = self.hosts[source]
        way = host.index * len(self.hosts) + source
        refusals = self._refusals.get(way)
        if refusals is None:
            refusals = TokenBucket(REFUSALS_PER_S, REFUSAL_BURST)
            self._refusals[way] = refusals
        if refusals.take(now) and sender.node is not None and self.network.reaches(host.index, source, now):
            when = now + self.network.delay_s(host.index, source)
            arrival = Arrival(sender.epoch, host.index, b"")
            self.engine.schedule(when, kinds.REFUSED, source, arrival, None)

    # Copies of objects

    def _begin_fetch(self, now: float, host: Host, effect: FetchObject) -> None:
        """Begin to copy an object, or let it wait for its turn."""
        if host.fetches >= FETCH_COUNT_MAX:
            host.fetch_queue.append(effect)
            return
        host.fetches += 1
        fetch = Fetch(host.index, host.epoch, effect)
        if effect.name in host.store:
            fetch.is_here = True
            self._end_fetch(now, fetch)
        else:
            self._go_on_fetching(now, fetch)

    def _go_on_fetching(self, now: float, fetch: Fetch) -> None:
        """Take the next step of a copy: ask a holder, begin to copy what it has, or ask the next one."""
        host = self.hosts[fetch.host]
        if host.node is None or host.epoch != fetch.epoch:
            return
        if fetch.step == _ANSWERED and self._has(fetch.source, fetch.effect.name, fetch.effect.digest):
            number = self._next_transfer
            self._next_transfer += 1
            fetch.transfer = number
            fetch.silent_s = NEVER
            self._flying[number] = fetch
            self._hold_flow(now, fetch)
            self.network.start_flow(number, fetch.source, host.index, fetch.left_bytes, now)
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
            is_kept = now - host.givers.get(fetch.source, -NEVER) < KEPT_CONNECTION_S
            # A connection of its own, as in swarm.net.object_client: a stream that is there does not help.
            is_open = is_kept or self.network.opens(host.index, fetch.source)
            if not is_open or not self._is_carried(host, holder):
                wait_s = STALL_LIMIT_S if is_kept else self.network.config.connect_timeout_s
            else:
                wait_s = self._round_trip_s(host, holder)
                if holder.node is not None:
                    fetch.step = _ANSWERED
                    if not is_kept:
                        wait_s += self._opening_s(host, holder)
        self.engine.schedule(now + wait_s, kinds.FETCH, host.index, fetch, None)

    def _has(self, index: int, name: ObjectName, digest: bytes) -> bool:
        holder = self.hosts[index]
        held = holder.store.get(name)
        return holder.node is not None and held is not None and held[0] == digest

    def _end_fetch(self, now: float, fetch: Fetch) -> None:
        arrival = Arrival(fetch.epoch, fetch.source, b"here" if fetch.is_here else b"missing")
        self.engine.schedule(now, kinds.FETCHED, fetch.host, arrival, fetch)

    def _next_fetch(self, now: float, host: Host) -> None:
        """One copy has ended: begin the one that waits for longest."""
        host.fetches -= 1
        if host.fetch_queue:
            self._begin_fetch(now, host, host.fetch_queue.pop(0))

    def _plan_flows(self, now: float) -> None:
        when = self.network.flows.next_end()
        if when < self._flow_time:
            self._flow_time = max(when, now)
            self.engine.schedule(self._flow_time, kinds.FLOW, 0, None, None)

    def _end_flows(self, now: float) -> None:
        self._flow_time = NEVER
        for number in self.network.flows.take_ended(now):
            fetch = self._flying.pop(number)
            fetch.is_here = True
            self._keep_giver(now, self.hosts[fetch.host], fetch.source)
            self._end_fetch(now, fetch)
        self._plan_flows(now)

    def _look_at_ways(self, now: float) -> None:
        """Let copies stand still or go on when cuts were made or undone."""
        if self._seen_changes != self.network.changes:
            self._seen_changes = self.network.changes
            self._hold_flows(now, -1)

    def _halt(self, now: float, host: Host) -> None:
        """Let the copies to and from a process stand still with it, until it goes on."""
        if host.node is not None:
            host.is_halted = True
            self._hold_flows(now, host.index)

    def _hold_flows(self, now: float, index: int) -> None:
        """Let the copies to and from a host, or all for -1, stand still or go on as their ways allow."""
        for fetch in self._flying.values():
            if index < 0 or fetch.host == index or fetch.source == index:
                self._hold_flow(now, fetch)
        self._plan_flows(now)

    def _hold_flow(self, now: float, fetch: Fetch) -> None:
        taker = self.hosts[fetch.host]
        giver = self.hosts[fetch.source]
        is_held = taker.is_halted or giver.is_halted or not self._is_carried(taker, giver)
        self.network.flows.hold(giver.index, taker.index, is_held, now)
        if taker.is_halted or not is_held:
            fetch.silent_s = NEVER
        elif fetch.silent_s == NEVER:
            fetch.silent_s = now
            self.engine.schedule(now + STALL_LIMIT_S, kinds.STALL, taker.index, fetch, None)

    def _end_stall(self, now: float, fetch: Fetch) -> None:
        """Ask the next holder when a copy has stood still for too long."""
        if now >= fetch.silent_s + STALL_LIMIT_S and self._flying.get(fetch.transfer) is fetch:
            del self._flying[fetch.transfer]
            fetch.left_bytes = self.network.flows.cancel(fetch.transfer, now)
            self._fail_fetch(fetch, now)
            self._plan_flows(now)

    def _keep_giver(self, now: float, host: Host, source: int) -> None:
        """Keep the connection over which a copy came."""
        host.givers.pop(source, None)
        host.givers[source] = now
        if len(host.givers) > KEPT_CONNECTION_COUNT:
            host.givers.pop(next(iter(host.givers)))

    def _fail_fetch(self, fetch: Fetch, when: float) -> None:
        fetch.step = _FAILED
        self.engine.schedule(when, kinds.FETCH, fetch.host, fetch, None)

    def _stop_flows(self, now: float, index: int, has_power: bool) -> None:
        """End the copies to and from a node that ended."""
        for number, fetch in list(self._flying.items()):
            if fetch.host == index or fetch.source == index:
                del self._flying[number]
                fetch.left_bytes = self.network.flows.cancel(number, now)
                if fetch.source == index:
                    is_told = has_power and self._is_carried(self.hosts[fetch.host], self.hosts[index])
                    silent_s = min(fetch.silent_s, now)
                    self._fail_fetch(fetch, now if is_told else silent_s + STALL_LIMIT_S)
        self._plan_flows(now)

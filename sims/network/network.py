"""The network between simulated hosts: decides about every datagram, stream and bulk transfer.

Datagrams may be lost (alone or in bursts), doubled, delayed out of order, damaged; streams keep their order
and lose nothing, but are late where datagrams would be lost. On top of a topology come faults: partitions,
ways that let nothing through in one direction, hosts that hear no multicast, ways that are clogged.

While none of that is in use, a datagram costs one draw of the latency.
"""

from __future__ import annotations

from typing import Final, final

from sims.network.config import NetworkConfig
from sims.network.flows import FlowNetwork
from sims.network.latency import Latency
from sims.network.loss import BurstLoss
from sims.network.presets import preset
from sims.network.topology import NO_DOMAIN, Topology
from swarm.core.rng import Rng

LOST: Final = -1.0
HEADER_BYTES: Final = 42
"""Ethernet, IP and UDP around a datagram, counted where interfaces are limited."""
RETRY_S: Final = 0.2
"""Least wait before a stream sends again what was lost (RFC 6298 allows 1 s; Linux takes 0.2 s)."""
_RETRIES_MAX: Final = 7


@final
class Network:
    """Decides about everything between hosts, which are numbered from 0.

    Args:
        config: how it behaves.
        count: hosts.
        rng: for everything random.
        topology: where hosts are; that of `config.topology` when left out.

    Attributes:
        copy_at: after :meth:`send`, when a second copy arrives, `LOST` for none.
        is_corrupt: after :meth:`send`, whether the datagram arrives damaged.
        packets, packets_lost, bytes: datagrams sent, those of them lost, and their payload.
        sent_packets, sent_bytes: the same for each host.
        stream_bytes: bytes of messages sent by each host.
        topology: where hosts are.
        flows: bulk transfers.
        changes: how often cuts and blocks were made or undone.
        limits_packets: whether what arrives has to :meth:`enter` its target.
    """

    def __init__(self, config: NetworkConfig, count: int, rng: Rng, topology: Topology | None = None) -> None:
        self.config: Final = config
        self._count: Final = count
        self._rng: Final = rng
        self.topology: Final = preset(config.topology, count) if topology is None else topology
        self._latency: Final[Latency] = config.latency()
        self._loss = config.loss
        self._burst = _burst_of(config)
        self._factor = 1.0
        self.changes = 0
        self._side: dict[int, int] = {}
        self._blocked: dict[int, bool] = {}
        self._clogged: dict[int, float] = {}
        self._deaf: dict[int, bool] = {}
        self._mapped: dict[int, float] = {}
        self._last_arrival: dict[int, float] = {}
        self._up_free: list[float] = [0.0] * count
        self._down_free: list[float] = [0.0] * count
        self._has_translators: Final = True in self.topology.is_nat
        self._has_topology: Final = topology is not None or config.topology not in ("", "lan")
        self._has_models: Final = (
            config.duplicate > 0 or config.reorder > 0 or config.corrupt > 0 or config.limits_packets
        )
        self.limits_packets: Final = config.limits_packets
        self._is_plain = False
        self.copy_at = LOST
        self.is_corrupt = False
        self.packets = 0
        self.packets_lost = 0
        self.bytes = 0
        self.sent_packets: list[int] = [0] * count
        self.sent_bytes: list[int] = [0] * count
        self.stream_bytes: list[int] = [0] * count
        self._up: Final = _rates(self.topology.up_bytes_s, config)
        self._down: Final = _rates(self.topology.down_bytes_s, config)
        self.flows: Final = FlowNetwork(self._up, self._down, True)
        self._first_link: Final = 2 * count
        for capacity in self.topology.links_bytes_s:
            self.flows.add_link(capacity)
        self._choose_path()

    # Faults

    def partition(self, sides: list[list[int]]) -> None:
        """Cut the network: hosts of different sides do not reach each other; unnamed ones are side -1."""
        self.changes += 1
        self._side = {}
        for number, side in enumerate(sides):
            for host in side:
                self._side[host] = number
        self._choose_path()

    def heal(self) -> None:
        """Remove every cut, block, clog and deafness that was made."""
        self.changes += 1
        self._side = {}
        self._blocked = {}
        self._clogged = {}
        self._deaf = {}
        self._choose_path()

    def block(self, source: int, target: int) -> None:
        """Let nothing through from `source` to `target` (one way)."""
        self.changes += 1
        self._blocked[source * self._count + target] = True
        self._choose_path()

    def unblock(self, source: int, target: int) -> None:
        """Undo a block."""
        self.changes += 1
        self._blocked.pop(source * self._count + target, None)
        self._choose_path()

    def clog(self, source: int, target: int, until_s: float) -> None:
        """Hold back everything from `source` to `target` that would arrive before a time."""
        self._clogged[source * self._count + target] = until_s
        self._choose_path()

    def deafen(self, host: int) -> None:
        """Let a host hear no multicast."""
        self._deaf[host] = True

    def undeafen(self, host: int) -> None:
        """Let a host hear multicast again, if its place allows."""
        self._deaf.pop(host, None)

    def loss(self) -> float:
        """Return the share of datagrams that is lost now on every way."""
        return self._loss

    def set_loss(self, loss: float) -> None:
        """Lose this share of datagrams from now on, 0 <= loss < 1, in bursts as long as before."""
        assert 0 <= loss < 1, f"loss is a share in [0, 1), not {loss}"
        self._loss = loss
        length = max(self.config.loss_burst_count, loss / (1.0 - loss))
        self._burst = BurstLoss(loss, length) if loss > 0 and self.config.loss_burst_count > 1 else None
        self._choose_path()

    def set_latency_factor(self, factor: float) -> None:
        """Multiply latencies by `factor` > 0 from now on."""
        assert factor > 0, f"a factor is above 0, not {factor}"
        self._factor = factor
        self._choose_path()

    def measure_silences(self) -> None:
        """Note from now on for how long bursts of losses let nothing through, until the loss changes."""
        if self._burst is not None:
            self._burst.is_measured = True

    def silences(self, now: float) -> list[tuple[int, int, float, float]]:
        """Return (source, target, begin, end) of the silences that bursts made since they are measured.

        Each is the time between two datagrams that got through, where all between them were lost; one that
        has not ended lasts until now.
        """
        burst = self._burst
        if burst is None:
            return []
        open_now = [(way, begin_s, now) for way, begin_s in burst.unended().items()]
        return [
            (way // self._count, way % self._count, begin_s, end_s)
            for way, begin_s, end_s in burst.silences + open_now
        ]

    # Ways

    def listeners(self, source: int) -> list[int]:
        """Return the hosts that are told what `source` says to everybody, before any loss."""
        topology = self.topology
        domain = topology.domain[source]
        if domain == NO_DOMAIN:
            return []
        heard: list[int] = []
        for host in range(self._count):
            if (
                host != source
                and topology.domain[host] == domain
                and not topology.is_deaf[host]
                and host not in self._deaf
            ):
                heard.append(host)
        return heard

    def reaches(self, source: int, target: int, now: float) -> bool:
        """Return whether a datagram from `source` can get to `target`."""
        if not self._is_open(source, target):
            return False
        if not self._has_translators or not self.topology.is_nat[target]:
            return True
        # Behind its translator a host hears only those to whom it spoke lately.
        return now - self._mapped.get(target * self._count + source, -1e9) <= self.config.nat_timeout_s

    def opens(self, source: int, target: int) -> bool:
        """Return whether `source` can open a stream to `target`."""
        return self.carries(source, target) and not self.topology.is_nat[target]

    def carries(self, source: int, target: int) -> bool:
        """Return whether an open stream between two hosts works."""
        return self._is_open(source, target) and self._is_open(target, source)

    def has_cuts(self) -> bool:
        """Return whether a partition or a block is in force."""
        return bool(self._side) or bool(self._blocked)

    def _is_open(self, source: int, target: int) -> bool:
        if self._side and self._side.get(source, -1) != self._side.get(target, -1):
            return False
        if self._blocked and source * self._count + target in self._blocked:
            return False
        return not self._has_topology or self.topology.way(source, target) is not None

    # Datagrams

    def send(self, source: int, target: int, size: int, now: float, left_s: float = LOST) -> float:
        """Return when a datagram of `size` bytes arrives, `LOST` for never; counts it.

        Where interfaces are limited, it then still has to :meth:`enter` its target.

        Args:
            source, target: hosts.
            size: bytes of its payload.
            now: when it is sent.
            left_s: when it left its host, if :meth:`leave` was asked before: a hello leaves once for all.
        """
        self.packets += 1
        self.bytes += size
        self.sent_packets[source] += 1
        self.sent_bytes[source] += size
        self.copy_at = LOST
        self.is_corrupt = False
        if not self._is_plain:
            return self._send_through(source, target, size, now, left_s)
        if self._loss > 0 and self._rng.unit() < self._loss:
            self.packets_lost += 1
            return LOST
        return now + self._latency.draw(self._rng)

    def _send_through(self, source: int, target: int, size: int, now: float, left_s: float) -> float:
        config = self.config
        rng = self._rng
        if self._has_translators and self.topology.is_nat[source]:
            self._mapped[source * self._count + target] = now
        begin = left_s if left_s >= 0 else self.leave(source, size, now)
        if begin < 0 or not self.reaches(source, target, now) or self._drops(source, target, now):
            self.packets_lost += 1
            return LOST
        when = begin + self.delay_s(source, target)
        if config.reorder > 0 and rng.unit() < config.reorder:
            when += config.reorder_s
        until = self._clogged.get(source * self._count + target, 0.0)
        when = max(when, until)
        if config.duplicate > 0 and rng.unit() < config.duplicate:
            self.copy_at = max(begin + self.delay_s(source, target), until)
        if config.corrupt > 0 and rng.unit() < config.corrupt:
            self.is_corrupt = True
        return when

    def leave(self, source: int, size: int, now: float) -> float:
        """Return when a datagram has left its host, `LOST` when the interface's queue is full."""
        if not self.limits_packets:
            return now
        free = self._up_free[source]
        begin = free if free > now else now
        if begin - now > self.config.queue_s:
            return LOST
        self._up_free[source] = begin + (size + HEADER_BYTES) / self._up[source]
        return self._up_free[source]

    def enter(self, target: int, size: int, now: float, is_message: bool) -> float:
        """Return when what arrives now has passed the limited interface of its target, in order of arrival.

        `LOST` when a datagram finds the interface's queue full; messages wait.
        """
        free = self._down_free[target]
        begin = free if free > now else now
        if begin - now > self.config.queue_s and not is_message:
            self.packets_lost += 1
            return LOST
        self._down_free[target] = begin + (size + HEADER_BYTES) / self._down[target]
        return self._down_free[target]

    def _drops(self, source: int, target: int, now: float) -> bool:
        rng = self._rng
        burst = self._burst
        if burst is not None:
            if burst.drops(source * self._count + target, rng, now):
                return True
        elif self._loss > 0 and rng.unit() < self._loss:
            return True
        if not self._has_topology:
            return False
        extra = self._extra_loss(source, target)
        return extra > 0 and rng.unit() < extra

    def _extra_loss(self, source: int, target: int) -> float:
        topology = self.topology
        way = topology.way(source, target)
        lost_on_way = 0.0 if way is None else way.loss
        return 1.0 - (1.0 - lost_on_way) * (1.0 - topology.loss[source]) * (1.0 - topology.loss[target])

    def delay_s(self, source: int, target: int) -> float:
        """Return one draw of the one-way latency between two hosts."""
        rng = self._rng
        delay_s = self._latency.draw(rng)
        if self._has_topology:
            topology = self.topology
            way = topology.way(source, target)
            if way is not None:
                delay_s += way.latency_s
            for host in (source, target):
                access = topology.access[host]
                if access is not None:
                    delay_s += access.draw(rng)
        return delay_s * self._factor

    # Streams

    def arrival_s(self, source: int, target: int, now: float, size: int) -> float:
        """Return when a message sent now on the stream from `source` to `target` arrives, in order."""
        self.stream_bytes[source] += size
        begin = now
        if self.limits_packets:
            free = self._up_free[source]
            begin = (free if free > now else now) + (size + HEADER_BYTES) / self._up[source]
            self._up_free[source] = begin
        else:
            begin += size / self._up[source]
        loss = self._loss
        if self._has_topology:
            loss = 1.0 - (1.0 - loss) * (1.0 - self._extra_loss(source, target))
        when = begin + self.delay_s(source, target)
        if loss > 0:
            wait_s = RETRY_S
            for _ in range(_RETRIES_MAX):
                if self._rng.unit() >= loss:
                    break
                when += wait_s
                wait_s *= 2
        way = source * self._count + target
        if self._clogged:
            when = max(when, self._clogged.get(way, 0.0))
        when = max(when, self._last_arrival.get(way, 0.0))
        self._last_arrival[way] = when
        return when

    def arrived_s(self, source: int = -1, target: int = -1) -> float:
        """Return when everything sent on the stream from `source` to `target` has arrived, 0 for nothing.

        Of all streams when they are left out.
        """
        if source < 0:
            return max(self._last_arrival.values(), default=0.0)
        return self._last_arrival.get(source * self._count + target, 0.0)

    def end_s(self, source: int, target: int, now: float) -> float:
        """Return when the end of the stream from `source` to `target` is heard: behind what was sent."""
        way = source * self._count + target
        when = now + self.delay_s(source, target)
        return max(when, self._clogged.get(way, 0.0), self._last_arrival.get(way, 0.0))

    # Bulk

    def start_flow(self, transfer: int, source: int, target: int, size: float, now: float) -> None:
        """Begin to copy `size` bytes; ends are told by `flows`."""
        if self._has_topology:
            way = self.topology.way(source, target)
            if way is not None and way.links:
                self.flows.route(source, target, [self._first_link + link for link in way.links])
        self.flows.start(transfer, source, target, size, now)

    def _choose_path(self) -> None:
        self._is_plain = not (
            self._side
            or self._blocked
            or self._clogged
            or self._burst is not None
            or self._factor != 1.0
            or self._has_topology
            or self._has_models
        )


def _burst_of(config: NetworkConfig) -> BurstLoss | None:
    if config.loss > 0 and config.loss_burst_count > 1:
        return BurstLoss(config.loss, config.loss_burst_count)
    return None


def _rates(own: list[float], config: NetworkConfig) -> list[float]:
    return [rate if rate > 0 else config.bandwidth_bytes_s for rate in own]

"""The simulated network: who reaches whom, how late, and what gets lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from swarm.core.errors import ConfigError
from swarm.core.rng import Rng

LOST: Final = -1.0


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """How the network behaves.

    Attributes:
        latency_s: least one-way delay, seconds > 0; half a millisecond is a wired LAN.
        jitter_s: mean of the random part added to it, at most thrice the mean, seconds >= 0.
        loss: share of datagrams lost, 0 <= loss < 1. Streams do not lose, they are late.
        bandwidth_bytes_s: rate of one transfer of an object.
        connect_timeout_s: how long a stream into nowhere is tried.
    """

    latency_s: float = 0.0005
    jitter_s: float = 0.0005
    loss: float = 0.0
    bandwidth_bytes_s: float = 12.5e6
    connect_timeout_s: float = 3.0

    def __post_init__(self) -> None:
        if self.latency_s <= 0 or self.jitter_s < 0:
            raise ConfigError(f"latency_s must be > 0 and jitter_s >= 0: {self.latency_s}, {self.jitter_s}")
        if not 0 <= self.loss < 1:
            raise ConfigError(f"loss is a share in [0, 1), not {self.loss}")
        if self.bandwidth_bytes_s <= 0 or self.connect_timeout_s <= 0:
            raise ConfigError("bandwidth_bytes_s and connect_timeout_s must be > 0")


@final
class FlowNetwork:
    """Copies of objects, each at the full rate of the network."""

    def __init__(self, rate_bytes_s: float) -> None:
        self._rate_bytes_s: Final = rate_bytes_s
        self._ends: dict[int, float] = {}

    def start(self, transfer: int, source: int, target: int, size_bytes: int, now: float) -> None:
        """Begin a transfer."""
        self._ends[transfer] = now + size_bytes / self._rate_bytes_s

    def cancel(self, transfer: int, now: float) -> None:
        """Stop a transfer."""
        self._ends.pop(transfer, None)

    def next_end(self) -> float:
        """Return when the next transfer ends, infinity for none."""
        return min(self._ends.values()) if self._ends else float("inf")

    def take_ended(self, now: float) -> list[int]:
        """Return and forget the transfers that have ended."""
        ended = [transfer for transfer, end in self._ends.items() if end <= now]
        for transfer in ended:
            del self._ends[transfer]
        return ended


@final
class Network:
    """Decides about every datagram and every stream between nodes, which are numbered from 0."""

    def __init__(self, config: NetworkConfig, count: int, rng: Rng) -> None:
        self.config = config
        self._count: Final = count
        self._rng: Final = rng
        self._side: dict[int, int] = {}
        self._blocked: dict[tuple[int, int], bool] = {}
        self._deaf: dict[int, bool] = {}
        self._last_arrival: dict[tuple[int, int], float] = {}
        self.flows: Final = FlowNetwork(config.bandwidth_bytes_s)
        self.copy_at = LOST
        self.is_corrupt = False
        self.packets = 0
        self.packets_lost = 0
        self.bytes = 0

    def partition(self, sides: list[list[int]]) -> None:
        """Cut the network: nodes of different sides do not reach each other; unnamed ones are side -1."""
        self._side = {}
        for number, side in enumerate(sides):
            for node in side:
                self._side[node] = number

    def heal(self) -> None:
        """Remove every cut, block and deafness."""
        self._side = {}
        self._blocked = {}
        self._deaf = {}

    def block(self, source: int, target: int) -> None:
        """Let nothing through from `source` to `target` (one way)."""
        self._blocked[(source, target)] = True

    def deafen(self, node: int) -> None:
        """Let a node hear no multicast."""
        self._deaf[node] = True

    def reaches(self, source: int, target: int, now: float) -> bool:
        """Return whether a datagram from `source` can get to `target`."""
        if self._side.get(source, -1) != self._side.get(target, -1):
            return False
        return (source, target) not in self._blocked

    def opens(self, source: int, target: int) -> bool:
        """Return whether a stream can be opened."""
        return self.carries(source, target)

    def carries(self, source: int, target: int) -> bool:
        """Return whether a stream works: both ways are open."""
        return self.reaches(source, target, 0.0) and self.reaches(target, source, 0.0)

    def listeners(self, source: int) -> list[int]:
        """Return who hears the multicast of a host."""
        return [node for node in range(self._count) if node != source and node not in self._deaf]

    def send(self, source: int, target: int, size: int, now: float) -> float:
        """Return when a datagram arrives, `LOST` for never."""
        self.packets += 1
        self.bytes += size
        if self.config.loss > 0 and self._rng.unit() < self.config.loss:
            self.packets_lost += 1
            return LOST
        if not self.reaches(source, target, now):
            return LOST
        return now + self.delay_s(source, target)

    def delay_s(self, source: int, target: int) -> float:
        """Return the one-way delay of one datagram."""
        jitter = self.config.jitter_s
        if jitter <= 0:
            return self.config.latency_s
        # The square of a uniform number has mean 1/3 and a tail, and needs no logarithm, which would not
        # be equal on every platform (rule R9).
        unit = self._rng.unit()
        return self.config.latency_s + 3.0 * jitter * unit * unit

    def arrival_s(self, source: int, target: int, now: float, size: int) -> float:
        """Return when a message sent now on the stream from `source` to `target` arrives, in order."""
        when = now + self.delay_s(source, target) + size / self.config.bandwidth_bytes_s
        when = max(when, self._last_arrival.get((source, target), 0.0))
        self._last_arrival[(source, target)] = when
        return when

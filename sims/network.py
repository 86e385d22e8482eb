"""The simulated network: who reaches whom, how late, and what gets lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from swarm.core.errors import ConfigError
from swarm.core.rng import Rng


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
class Network:
    """Decides about every datagram and every stream between nodes, which are numbered from 0."""

    def __init__(self, config: NetworkConfig, rng: Rng) -> None:
        self.config = config
        self._rng = rng
        self._side: dict[int, int] = {}
        self._blocked: dict[tuple[int, int], bool] = {}
        self._deaf: dict[int, bool] = {}
        self._last_arrival: dict[tuple[int, int], float] = {}
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

    def reaches(self, source: int, target: int) -> bool:
        """Return whether a datagram from `source` can get to `target`."""
        if self._side.get(source, -1) != self._side.get(target, -1):
            return False
        return (source, target) not in self._blocked

    def connects(self, source: int, target: int) -> bool:
        """Return whether a stream works: both ways are open."""
        return self.reaches(source, target) and self.reaches(target, source)

    def hears_multicast(self, node: int) -> bool:
        """Return whether multicast gets to a node."""
        return node not in self._deaf

    def delay_s(self) -> float:
        """Return the one-way delay of one datagram."""
        jitter = self.config.jitter_s
        if jitter <= 0:
            return self.config.latency_s
        # The square of a uniform number has mean 1/3 and a tail, and needs no logarithm, which would not
        # be equal on every platform (rule R9).
        unit = self._rng.unit()
        return self.config.latency_s + 3.0 * jitter * unit * unit

    def drops(self, size: int) -> bool:
        """Count a datagram of `size` bytes and return whether it is lost."""
        self.packets += 1
        self.bytes += size
        if self.config.loss > 0 and self._rng.unit() < self.config.loss:
            self.packets_lost += 1
            return True
        return False

    def arrival_s(self, source: int, target: int, now: float, size: int) -> float:
        """Return when a message sent now on the stream from `source` to `target` arrives, in order."""
        when = now + self.delay_s() + size / self.config.bandwidth_bytes_s
        last = self._last_arrival.get((source, target), 0.0)
        when = max(when, last)
        self._last_arrival[(source, target)] = when
        return when

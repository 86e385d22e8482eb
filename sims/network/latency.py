"""How long a datagram is under way: models of the one-way latency. All in seconds."""

from __future__ import annotations

import itertools
import math
from typing import Final, final

from swarm.core.errors import ConfigError
from swarm.core.rng import Rng

SIGMA_MAX: Final = 20.0
PARETO_SHAPE_MIN: Final = 0.1
"""Beyond them the tails leave what a float can hold."""


class Latency:
    """A model; subclasses draw."""

    def draw(self, rng: Rng) -> float:
        """Return one latency, seconds > 0."""
        raise AssertionError("a model draws")

    def least_s(self) -> float:
        """Return a bound below all that is drawn."""
        raise AssertionError("a model has a least latency")


@final
class ConstantLatency(Latency):
    """Always the same."""

    def __init__(self, seconds: float) -> None:
        """Take `seconds` > 0.

        Raises:
            ConfigError: it is not.
        """
        self._seconds: Final = _positive("latency", seconds)

    def draw(self, rng: Rng) -> float:
        return self._seconds

    def least_s(self) -> float:
        return self._seconds


@final
class JitterLatency(Latency):
    """A least latency and a random part with a tail: thrice the mean jitter times a squared uniform number.

    It needs no logarithm, which would not be equal on every platform.
    """

    def __init__(self, least_s: float, jitter_s: float) -> None:
        """Take the least latency, > 0, and the mean of the random part, >= 0.

        Raises:
            ConfigError: they are not.
        """
        self._least_s: Final = _positive("latency", least_s)
        if not jitter_s >= 0:
            raise ConfigError(f"jitter is at least 0 seconds, not {jitter_s}")
        self._jitter_s: Final = 3.0 * jitter_s

    def draw(self, rng: Rng) -> float:
        if self._jitter_s == 0:
            return self._least_s
        unit = rng.unit()
        return self._least_s + self._jitter_s * unit * unit

    def least_s(self) -> float:
        return self._least_s


@final
class NormalLatency(Latency):
    """Normal, never below a floor (drawn by Box and Muller, 1958)."""

    def __init__(self, mean_s: float, deviation_s: float, floor_s: float) -> None:
        """Take the mean, the deviation (>= 0) and the floor, 0 < floor_s <= mean_s.

        Raises:
            ConfigError: they are not.
        """
        self._mean_s: Final = _positive("mean latency", mean_s)
        self._floor_s: Final = _positive("latency floor", floor_s)
        if not deviation_s >= 0:
            raise ConfigError(f"a deviation is at least 0 seconds, not {deviation_s}")
        if floor_s > mean_s:
            raise ConfigError(f"the floor {floor_s} is above the mean {mean_s}")
        self._deviation_s: Final = deviation_s

    def draw(self, rng: Rng) -> float:
        return max(self._floor_s, self._mean_s + self._deviation_s * normal(rng))

    def least_s(self) -> float:
        return self._floor_s


@final
class LogNormalLatency(Latency):
    """Log-normal: its median and the deviation of its logarithm, over a floor."""

    def __init__(self, median_s: float, sigma: float, floor_s: float = 0.0) -> None:
        """Take the median over the floor (> 0), sigma (0 to `SIGMA_MAX`) and the floor (>= 0).

        Raises:
            ConfigError: they are not.
        """
        self._median_s: Final = _positive("median latency", median_s)
        if not 0 <= sigma <= SIGMA_MAX or not floor_s >= 0:
            raise ConfigError(f"shape (sigma) is {sigma}, it must be in 0 to {SIGMA_MAX:g}, and a floor >= 0")
        self._sigma: Final = sigma
        self._floor_s: Final = floor_s

    def draw(self, rng: Rng) -> float:
        return self._floor_s + self._median_s * math.exp(self._sigma * normal(rng))

    def least_s(self) -> float:
        return self._floor_s


@final
class ParetoLatency(Latency):
    """Pareto: from a least value, with a tail of exponent `shape`, cut at a greatest value."""

    def __init__(self, least_s: float, shape: float, most_s: float) -> None:
        """Take 0 < least_s <= most_s and shape >= `PARETO_SHAPE_MIN`.

        Raises:
            ConfigError: they are not.
        """
        self._least_s: Final = _positive("least latency", least_s)
        if not shape >= PARETO_SHAPE_MIN or not most_s >= least_s:
            raise ConfigError(
                f"shape >= {PARETO_SHAPE_MIN:g} and most >= least are wanted, "
                f"not {shape}, {most_s}, {least_s}"
            )
        self._shape: Final = shape
        self._most_s: Final = most_s

    def draw(self, rng: Rng) -> float:
        # 1 - unit is in (0, 1]: no division by zero.
        return min(self._most_s, self._least_s * math.pow(1.0 - rng.unit(), -1.0 / self._shape))

    def least_s(self) -> float:
        return self._least_s


@final
class TraceLatency(Latency):
    """Latencies that were measured: in their order, again and again, or drawn from them."""

    def __init__(self, seconds: list[float], is_in_order: bool) -> None:
        """Take at least one latency, each > 0.

        Raises:
            ConfigError: there is none, or one is not above 0.
        """
        if not seconds:
            raise ConfigError("a trace of latencies is empty")
        for number, value in enumerate(seconds, 1):
            if not value > 0:
                raise ConfigError(f"latency {number} of the trace is {value}, it must be above 0 seconds")
        self._seconds: Final = seconds[:]
        self._is_in_order: Final = is_in_order
        self._next = 0

    def draw(self, rng: Rng) -> float:
        if not self._is_in_order:
            return rng.choose(self._seconds)
        value = self._seconds[self._next]
        self._next = (self._next + 1) % len(self._seconds)
        return value

    def least_s(self) -> float:
        return min(self._seconds)


@final
class QuantileLatency(Latency):
    """Given by points of its distribution, in between linear: [(share, seconds), ...] from share 0 to 1."""

    def __init__(self, points: list[tuple[float, float]]) -> None:
        """Take at least two points: shares rise from 0 to 1, latencies are above 0 and do not fall.

        Raises:
            ConfigError: they are not that.
        """
        if len(points) < 2 or points[0][0] != 0.0 or points[-1][0] != 1.0:
            raise ConfigError("a distribution goes from share 0 to share 1")
        for before, after in itertools.pairwise(points):
            if not 0 < before[1] <= after[1] or not before[0] < after[0]:
                raise ConfigError(f"shares and latencies rise and are positive, not {before} then {after}")
        self._points: Final = points[:]

    def draw(self, rng: Rng) -> float:
        share = rng.unit()
        low = self._points[0]
        for high in self._points:
            if share <= high[0]:
                if high[0] == low[0]:
                    return high[1]
                return low[1] + (high[1] - low[1]) * (share - low[0]) / (high[0] - low[0])
            low = high
        return low[1]

    def least_s(self) -> float:
        return self._points[0][1]


def pi_wifi_power_save() -> Latency:
    """Return what a Raspberry Pi Zero W on Wi-Fi with power saving shows, one way: half the round trips.

    Source: a week of round trips in github.com/raspberrypi/linux issue 7533 (p50 49-127 ms, p90 375-554 ms,
    p99 0.8-2.0 s, most 2.8 s).
    """
    return QuantileLatency([(0.0, 0.002), (0.5, 0.04), (0.9, 0.23), (0.99, 0.7), (1.0, 1.4)])


def pi_wifi() -> Latency:
    """Return the same without power saving: p50 6 ms, p90 8-10 ms, p99 19-31 ms of round trip."""
    return QuantileLatency([(0.0, 0.001), (0.5, 0.003), (0.9, 0.0045), (0.99, 0.0125), (1.0, 0.05)])


def normal(rng: Rng) -> float:
    """Return a number of the standard normal distribution.

    Source: Box, Muller, "A note on the generation of random normal deviates" (1958).
    """
    return math.sqrt(-2.0 * math.log(1.0 - rng.unit())) * math.cos(2.0 * math.pi * rng.unit())


def _positive(what: str, seconds: float) -> float:
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"{what} must be above 0 seconds and finite, not {seconds}")
    return seconds

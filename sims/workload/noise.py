"""Noise: true run times that differ from what was expected, and hosts of unequal speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, exp, isfinite, log, pi, sqrt
from typing import Final

from sims.workload.graph import TaskGraph
from swarm.core.errors import ConfigError
from swarm.core.rng import Rng

NOISE_KINDS: Final = ("none", "normal", "log-normal", "stragglers")
SPEED_KINDS: Final = ("equal", "uniform", "log-normal", "steps")
FACTOR_MIN: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Factors on run times.

    Attributes:
        kind: "none"; "normal", 1 plus a normal number, cut at 0.01; "log-normal", with mean 1; "stragglers",
            1 but for a share of the tasks, whose factor is Pareto distributed from 1 upward (the heavy tail
            that speculative copies are made for: Dean and Barroso, "The tail at scale", 2013).
        spread: of normal its standard deviation, of log-normal that of the logarithm, >= 0.
        share: of the stragglers, 0 to 1.
        tail: the Pareto exponent, > 0; the smaller, the worse. At 1 or less the mean is infinite.
        factor_max: the largest factor, >= 1.
    """

    kind: str = "none"
    spread: float = 0.1
    share: float = 0.05
    tail: float = 1.5
    factor_max: float = 100.0

    def __post_init__(self) -> None:
        if self.kind not in NOISE_KINDS:
            raise ConfigError(f"the noise {self.kind!r} is not known; known are {', '.join(NOISE_KINDS)}")
        if not (isfinite(self.spread) and self.spread >= 0):
            raise ConfigError(f"spread is {self.spread}, it must be at least 0")
        if not 0 <= self.share <= 1:
            raise ConfigError(f"share is {self.share}, it must be in 0 to 1")
        if not (isfinite(self.tail) and self.tail > 0):
            raise ConfigError(f"tail is {self.tail}, it must be > 0")
        if not (isfinite(self.factor_max) and self.factor_max >= 1):
            raise ConfigError(f"factor_max is {self.factor_max}, it must be at least 1")

    def factor(self, rng: Rng) -> float:
        """Return one factor, in 0.01 to `factor_max`."""
        if self.kind == "normal":
            drawn = 1 + self.spread * normal(rng)
        elif self.kind == "log-normal":
            drawn = exp(self.spread * normal(rng) - self.spread * self.spread / 2)
        elif self.kind == "stragglers" and rng.unit() < self.share:
            drawn = (1 - rng.unit()) ** (-1 / self.tail)
        else:
            drawn = 1.0
        return min(max(drawn, FACTOR_MIN), self.factor_max)


def with_noise(graph: TaskGraph, noise: Noise, seed: str) -> TaskGraph:
    """Return a graph whose true run times are those of `graph` with noise; expected ones stay.

    Every task has a generator of its own, so that equal seeds give a task the same factor in any graph.
    """
    if noise.kind == "none":
        return graph
    return graph.with_durations(
        [graph.durations_s[task] * noise.factor(Rng(f"noise:{seed}:{task}")) for task in range(len(graph))]
    )


def draw_speeds(
    count: int, kind: str, rng: Rng, spread: float = 0.5, steps: Sequence[float] = (1.0, 0.5, 0.25)
) -> list[float]:
    """Return the speeds of `count` hosts.

    Args:
        count: >= 1.
        kind: "equal", all 1; "uniform" in 1 ± spread; "log-normal" with median 1 and this spread of the
            logarithm; "steps", the given speeds in turn (a few generations of machines).
        rng: for the draws.
        spread: 0 <= spread < 1 for uniform, >= 0 for log-normal.
        steps: speeds > 0, at least one.

    Raises:
        ConfigError: a parameter out of its range.
    """
    if count < 1:
        raise ConfigError(f"count is {count}, it must be at least 1")
    if kind not in SPEED_KINDS:
        raise ConfigError(f"the kind of speeds {kind!r} is not known; known are {', '.join(SPEED_KINDS)}")
    if kind == "steps":
        if not steps or not all(isfinite(speed) and speed > 0 for speed in steps):
            raise ConfigError(f"steps is {list(steps)}, it must hold speeds > 0")
        return [steps[place % len(steps)] for place in range(count)]
    if not isfinite(spread) or spread < 0 or (kind == "uniform" and spread >= 1):
        raise ConfigError(f"spread is {spread}, it must be at least 0, and below 1 for uniform speeds")
    if kind == "uniform":
        return [rng.uniform(1 - spread, 1 + spread) for _ in range(count)]
    if kind == "log-normal":
        return [exp(spread * normal(rng)) for _ in range(count)]
    return [1.0] * count


def normal(rng: Rng) -> float:
    """Return a number of the standard normal distribution (Box and Muller, 1958)."""
    radius = sqrt(-2 * log(1 - rng.unit()))
    return radius * cos(2 * pi * rng.unit())

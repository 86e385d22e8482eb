"""Bounds on rates, and small random samples."""

from __future__ import annotations

from typing import Final, TypeVar, final

from swarm.core.ids import NodeId
from swarm.core.rng import Rng

T = TypeVar("T")


class TokenBucket:
    """Allows `burst` actions, or bytes, at once and `per_second` of them in the long run."""

    def __init__(self, per_second: float, burst: int) -> None:
        assert per_second > 0, "a bucket fills"
        assert burst >= 1, "a bucket holds at least one token"
        self._per_second = per_second
        self._burst = float(burst)
        self._tokens = float(burst)
        self._filled = 0.0

    def has(self, now: float, count: float) -> bool:
        """Return whether so many more are allowed now."""
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._per_second)
        self._filled = now
        return self._tokens >= count

    def take(self, now: float, count: float = 1.0) -> bool:
        """Return whether one more, or so many, are allowed now, and count them when they are."""
        if not self.has(now, count):
            return False
        self._tokens -= count
        return True


@final
class Allowances:
    """How much is taken from each sender within a second: no more than a bound."""

    def __init__(self, per_second: int) -> None:
        self._per_second: Final = per_second
        self._start = 0.0
        self._counts: dict[NodeId, int] = {}

    def take(self, sender: NodeId, wanted: int, now: float) -> int:
        """Return how many of `wanted` things may be taken from a sender now, and count them."""
        self.tidy(now)
        count = self._counts.get(sender, 0)
        allowed = min(wanted, max(0, self._per_second - count))
        self._counts[sender] = count + allowed
        return allowed

    def tidy(self, now: float) -> None:
        """Begin to count anew when a second is over."""
        if now - self._start >= 1.0:
            self._start = now
            self._counts = {}


def choose_indexes(rng: Rng, size: int, count: int) -> list[int]:
    """Return `count` different numbers below `size` in random order, all of them when there are fewer.

    Draws only as many random numbers as it returns, and takes no longer than that: a partial
    Fisher-Yates shuffle of a list that is only thought of.
    """
    wanted = min(count, size)
    moved: dict[int, int] = {}
    chosen: list[int] = []
    for index in range(wanted):
        other = index + rng.below(size - index)
        chosen.append(moved.get(other, other))
        moved[other] = moved.get(index, index)
    return chosen


def choose_some(rng: Rng, items: list[T], count: int) -> list[T]:
    """Return `count` different items in random order, all of them when there are fewer."""
    return [items[index] for index in choose_indexes(rng, len(items), count)]

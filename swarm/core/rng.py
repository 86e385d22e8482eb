"""Random choices of the cores.

Built on ``Random.random()`` alone, whose stream is the same on every Python version (``choice``,
``sample`` and ``shuffle`` of the standard library are not). Seeds are text, for example ``"7:node-3"``.
"""

from __future__ import annotations

from random import Random
from typing import TypeVar

T = TypeVar("T")


class Rng:
    """A seeded source of random choices, reproducible everywhere."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)

    def unit(self) -> float:
        """Return a float in [0, 1)."""
        return self._random.random()

    def uniform(self, low: float, high: float) -> float:
        """Return a float in [low, high)."""
        return low + (high - low) * self._random.random()

    def below(self, bound: int) -> int:
        """Return an int in [0, bound); `bound` >= 1."""
        assert bound >= 1, "Rng.below needs a bound of at least 1"
        return min(int(self._random.random() * bound), bound - 1)

    def choose(self, items: list[T]) -> T:
        """Return one item of a list that is not empty."""
        return items[self.below(len(items))]

    def shuffle(self, items: list[T]) -> None:
        """Shuffle in place (Fisher-Yates)."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]

    def sample(self, items: list[T], count: int) -> list[T]:
        """Return `count` different items in random order; all of them, shuffled, when fewer."""
        pool = items[:]
        self.shuffle(pool)
        return pool[:count]

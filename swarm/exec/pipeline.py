"""How far ahead executors are given tasks: mean durations by name, and the depth of a queue.

A round trip between node and executor costs about as much as a tiny task. An executor therefore gets
several tiny tasks at once; everything else, and every task of a name never seen, goes one at a time.
"""

from __future__ import annotations

from typing import Final, final

_WEIGHT: Final = 0.2


@final
class Durations:
    """Mean run time by task name, recent runs counting most; the oldest name is forgotten first."""

    def __init__(self, names_max: int, tiny_max_s: float) -> None:
        self._names_max: Final = names_max
        self._tiny_max_s: Final = tiny_max_s
        self._means: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._means)

    def observe(self, name: str, duration_s: float) -> None:
        """Count one run of a task of this name."""
        mean = self._means.get(name)
        if mean is None:
            if len(self._means) >= self._names_max:
                del self._means[next(iter(self._means))]
            self._means[name] = duration_s
        else:
            self._means[name] = mean + (duration_s - mean) * _WEIGHT

    def mean_s(self, name: str) -> float | None:
        """Return the mean in seconds, None when no run was seen."""
        return self._means.get(name)

    def is_tiny(self, name: str) -> bool:
        """Return whether tasks of this name are known to be tiny."""
        mean = self._means.get(name)
        return mean is not None and mean < self._tiny_max_s


def fair_share(ready_count: int, executor_count: int) -> int:
    """Return how many ready tasks one executor may take ahead without starving the others, >= 1.

    Args:
        ready_count: tasks that could start now, >= 0.
        executor_count: executors that may run them, >= 1.
    """
    return max(1, -(-ready_count // executor_count))

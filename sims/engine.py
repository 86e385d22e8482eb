"""The event heap under the virtual clock.

Events are small tuples (time, order, kind, target, first, second): equal times happen in the order in
which they were scheduled, so a run depends on nothing but its seed.
"""

from __future__ import annotations

import heapq
from typing import TypeAlias, final

Event: TypeAlias = tuple[float, int, int, int, object, object]


@final
class Engine:
    """A clock that jumps from event to event.

    Attributes:
        now: virtual seconds since the start.
        executed: events taken so far.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.executed = 0
        self._order = 0
        self._heap: list[Event] = []

    def schedule(self, time_s: float, kind: int, target: int, first: object, second: object) -> None:
        """Let an event happen at `time_s`, not before now."""
        self._order += 1
        heapq.heappush(self._heap, (max(time_s, self.now), self._order, kind, target, first, second))

    def next_time(self) -> float:
        """Return the time of the next event, infinity when there is none."""
        return self._heap[0][0] if self._heap else float("inf")

    def pop(self) -> Event:
        """Take the next event and move the clock to it."""
        event = heapq.heappop(self._heap)
        self.now = event[0]
        self.executed += 1
        return event

    def __len__(self) -> int:
        return len(self._heap)

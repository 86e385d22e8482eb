"""The event heap under the virtual clock.

Equal times happen in the order in which they were scheduled, so a run depends on nothing but its seed.

The heap is written out here instead of taken from `heapq`: compiled, it compares the numbers of two events
where they lie, which is more than twice as fast as comparing tuples of objects, and as fast as no queue of
other shape that keeps the exact order (docs/BENCHMARKS.md has figures). Nothing is ever taken out of its
middle: who plans a deadline anew keeps the time that counts and ignores events of other times.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Final, final

from mypy_extensions import mypyc_attr


@final
class Event:
    """Something that happens at a virtual time.

    Attributes:
        time_s: when.
        order: how many events were scheduled before it; of two at one time the lower goes first.
        kind: what; the engine does not care.
        target: whom it concerns, a number of the owner's.
        first, second: whatever the owner wants to find in it.
    """

    __slots__ = ("first", "kind", "order", "second", "target", "time_s")

    def __init__(
        self, time_s: float, order: int, kind: int, target: int, first: object, second: object
    ) -> None:
        self.time_s: Final = time_s
        self.order: Final = order
        self.kind: Final = kind
        self.target: Final = target
        self.first: Final = first
        self.second: Final = second


@mypyc_attr(allow_interpreted_subclasses=True)
class Handler(ABC):
    """Who takes the events of :meth:`Engine.run`; subclasses say what happens."""

    @abstractmethod
    def handle(self, event: Event) -> None:
        """Let an event happen; the engine's clock shows its time."""


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
        if time_s < self.now:
            time_s = self.now
        self._order += 1
        event = Event(time_s, self._order, kind, target, first, second)
        heap = self._heap
        place = len(heap)
        heap.append(event)
        while place > 0:
            above = (place - 1) >> 1
            parent = heap[above]
            # An event of the same time was scheduled before this one.
            if parent.time_s <= time_s:
                break
            heap[place] = parent
            place = above
        heap[place] = event

    def next_time(self) -> float:
        """Return the time of the next event, infinity when there is none."""
        return self._heap[0].time_s if self._heap else math.inf

    def pop(self) -> Event:
        """Take the next event and move the clock to it.

        Raises:
            IndexError: there is none.
        """
        heap = self._heap
        event = heap.pop()
        if heap:
            last = event
            event = heap[0]
            self._sink(last)
        self.now = event.time_s
        self.executed += 1
        return event

    def run(self, until_s: float, handler: Handler) -> None:
        """Let everything happen up to virtual time `until_s`, which the clock then shows."""
        heap = self._heap
        while heap and heap[0].time_s <= until_s:
            handler.handle(self.pop())
        self.now = max(self.now, until_s)

    def __len__(self) -> int:
        return len(self._heap)

    def _sink(self, event: Event) -> None:
        """Put an event at the root and let it sink below all earlier ones."""
        heap = self._heap
        size = len(heap)
        time_s = event.time_s
        order = event.order
        place = 0
        child = 1
        while child < size:
            best = heap[child]
            if child + 1 < size:
                other = heap[child + 1]
                if other.time_s < best.time_s or (other.time_s == best.time_s and other.order < best.order):
                    best = other
                    child += 1
            if time_s < best.time_s or (time_s == best.time_s and order < best.order):
                break
            heap[place] = best
            place = child
            child = 2 * child + 1
        heap[place] = event

"""Deadlines of a core: named timers behind one `next_deadline`.

A timer is named by (kind, subject): kind is one of the core's small ints, subject the bytes it is
about (a node id, a job id, or b""). Setting a timer again replaces it. Due timers fire in order of
(time, order of setting), so two builds and two runs fire them alike.
"""

from __future__ import annotations

import heapq
import math
from typing import Final, TypeAlias

TimerKey: TypeAlias = tuple[int, bytes]

_COMPACT_FROM: Final = 64


class Timers:
    """A heap of deadlines with replacement and cancellation."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, bytes]] = []
        self._live: dict[TimerKey, int] = {}
        self._order = 0

    def set(self, kind: int, subject: bytes, when: float) -> None:
        """Let the timer fire at `when` (monotonic seconds), instead of any earlier setting."""
        self._order += 1
        self._live[(kind, subject)] = self._order
        heapq.heappush(self._heap, (when, self._order, kind, subject))
        if len(self._heap) > _COMPACT_FROM and len(self._heap) > 4 * len(self._live):
            self._compact()

    def cancel(self, kind: int, subject: bytes) -> None:
        """Forget the timer; nothing happens when it is not set."""
        self._live.pop((kind, subject), None)

    def is_set(self, kind: int, subject: bytes) -> bool:
        """Return whether the timer is waiting."""
        return (kind, subject) in self._live

    def next_deadline(self) -> float:
        """Return when the earliest timer fires, `math.inf` when none is set."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else math.inf

    def pop_due(self, now: float) -> TimerKey | None:
        """Remove and return the earliest timer with a deadline <= `now`, None when there is none."""
        self._drop_stale()
        if not self._heap or self._heap[0][0] > now:
            return None
        _, _, kind, subject = heapq.heappop(self._heap)
        del self._live[(kind, subject)]
        return (kind, subject)

    def __len__(self) -> int:
        return len(self._live)

    def _drop_stale(self) -> None:
        while self._heap:
            _, order, kind, subject = self._heap[0]
            if self._live.get((kind, subject)) == order:
                return
            heapq.heappop(self._heap)

    def _compact(self) -> None:
        live = self._live
        self._heap = [entry for entry in self._heap if live.get((entry[2], entry[3])) == entry[1]]
        heapq.heapify(self._heap)

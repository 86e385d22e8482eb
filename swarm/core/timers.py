"""Deadlines of a core: named timers behind one `next_deadline`.

A timer is named by (kind, subject): kind is one of the core's small ints, subject the bytes it is
about (a node id, a job id, or b""). Setting a timer again replaces it. Due timers fire in order of
(time, order of setting), so two builds and two runs fire them alike.

A heap holds the deadlines. What is cancelled stays in it until it comes to the top, and what is put off
(a lease that every beat renews) stays where it was and is moved when it gets there, so that renewing costs
no memory and almost no time. The top itself always lives: asking for the next deadline is one look.
"""

from __future__ import annotations

import heapq
import math
from typing import Final, TypeAlias, final

TimerKey: TypeAlias = tuple[int, bytes]

_COMPACT_FROM: Final = 16


@final
class _Timer:
    """When a timer fires, which setting that was, and under which number it lies in the heap."""

    __slots__ = ("in_heap", "order", "when")

    def __init__(self, when: float, order: int) -> None:
        self.when = when
        self.order = order
        self.in_heap = order


@final
class Timers:
    """A heap of deadlines with replacement and cancellation."""

    __slots__ = ("_heap", "_live", "_next", "_order")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, bytes]] = []
        self._live: dict[TimerKey, _Timer] = {}
        self._order = 0
        self._next = math.inf

    def set(self, kind: int, subject: bytes, when: float) -> None:
        """Let the timer fire at `when` (monotonic seconds), instead of any earlier setting."""
        self._order += 1
        order = self._order
        timer = self._live.get((kind, subject))
        if timer is None:
            self._live[(kind, subject)] = _Timer(when, order)
        else:
            was_next = timer.in_heap == self._heap[0][1]
            is_later = when >= timer.when
            timer.when = when
            timer.order = order
            if is_later:
                if was_next:
                    self._clean_top()
                return
            timer.in_heap = order
        heapq.heappush(self._heap, (when, order, kind, subject))
        if when < self._next:
            self._next = when
        if len(self._heap) > _COMPACT_FROM and len(self._heap) > 4 * len(self._live):
            self._compact()

    def cancel(self, kind: int, subject: bytes) -> None:
        """Forget the timer; nothing happens when it is not set."""
        timer = self._live.pop((kind, subject), None)
        if timer is not None and timer.in_heap == self._heap[0][1]:
            self._clean_top()

    def is_set(self, kind: int, subject: bytes) -> bool:
        """Return whether the timer is waiting."""
        return (kind, subject) in self._live

    def next_deadline(self) -> float:
        """Return when the earliest timer fires, `math.inf` when none is set."""
        return self._next

    def pop_due(self, now: float) -> TimerKey | None:
        """Remove and return the earliest timer with a deadline <= `now`, None when there is none."""
        if self._next > now or not self._heap:
            return None
        _, _, kind, subject = heapq.heappop(self._heap)
        del self._live[(kind, subject)]
        self._clean_top()
        return (kind, subject)

    def __len__(self) -> int:
        return len(self._live)

    def _clean_top(self) -> None:
        """Drop what is cancelled and move what is put off until a timer that lives is at the top."""
        heap = self._heap
        live = self._live
        while heap:
            when, order, kind, subject = heap[0]
            timer = live.get((kind, subject))
            if timer is None or timer.in_heap != order:
                heapq.heappop(heap)
            elif timer.order != order:
                timer.in_heap = timer.order
                heapq.heapreplace(heap, (timer.when, timer.order, kind, subject))
            else:
                self._next = when
                return
        self._next = math.inf

    def _compact(self) -> None:
        live = self._live
        kept: list[tuple[float, int, int, bytes]] = []
        for entry in self._heap:
            timer = live.get((entry[2], entry[3]))
            if timer is not None and timer.in_heap == entry[1]:
                kept.append(entry)
        heapq.heapify(kept)
        self._heap = kept

"""The planned use of a worker's cores over time, with the search for gaps."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, final


@final
class Timeline:
    """How many of a worker's cores are planned to be busy, and when.

    Args:
        cpus: cores of the worker.
    """

    def __init__(self, cpus: float) -> None:
        self._cpus: Final = cpus
        # Between times[i] and times[i + 1] used[i] cores are busy; after the last one none is.
        self._times = [0.0]
        self._used = [0.0]

    def earliest_s(self, from_s: float, duration_s: float, cpus: float) -> float:
        """Return the earliest time, not before `from_s`, from which `cpus` cores are free for so long.

        A gap that is smaller by rounding only is large enough.
        """
        times, used = self._times, self._used
        place = bisect_right(times, from_s) - 1
        begin_s = from_s
        needed_s = duration_s * (1 - 1e-12)
        while True:
            if used[place] + cpus > self._cpus:
                begin_s = times[place + 1]
            elif place + 1 == len(times) or times[place + 1] - begin_s >= needed_s:
                return begin_s
            place += 1

    def reserve(self, begin_s: float, end_s: float, cpus: float) -> None:
        """Plan `cpus` cores to be busy from `begin_s` to `end_s`."""
        if end_s <= begin_s:
            return
        first = self._cut(begin_s)
        last = self._cut(end_s)
        for place in range(first, last):
            self._used[place] += cpus

    def _cut(self, time_s: float) -> int:
        """Return the place of the piece that begins at a time, cutting a piece if need be."""
        place = bisect_right(self._times, time_s) - 1
        if self._times[place] == time_s:
            return place
        self._times.insert(place + 1, time_s)
        self._used.insert(place + 1, self._used[place])
        return place + 1

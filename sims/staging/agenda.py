"""What a scenario does beside what the mesh does by itself: actions at their times, in a fixed order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final, TypeAlias, final

from sims.cluster import Cluster

Action: TypeAlias = Callable[[float], None]
"""Does something at a time, which it is told."""


@final
class Agenda:
    """Actions to come.

    Those of one time happen in the order in which they were noted, after the events of that time, and with
    nothing in between: nodes that start together do.
    """

    def __init__(self) -> None:
        self._heap: Final[list[tuple[float, int, Action]]] = []
        self._order = 0

    def note(self, time_s: float, action: Action) -> None:
        """Let an action happen at a time."""
        self._order += 1
        heapq.heappush(self._heap, (time_s, self._order, action))

    def run(self, cluster: Cluster, end_s: float, is_over: Callable[[], bool]) -> None:
        """Run a cluster with the actions, up to a time, or until `is_over` says so after an action."""
        while self._heap and self._heap[0][0] <= end_s:
            time_s = self._heap[0][0]
            cluster.run_until(time_s)
            while self._heap and self._heap[0][0] == time_s:
                heapq.heappop(self._heap)[2](time_s)
            if is_over():
                return
        cluster.run_until(end_s)

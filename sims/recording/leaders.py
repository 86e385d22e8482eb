"""Who led, from when to when."""

from __future__ import annotations

from typing import Final, final

from sims.host import Host
from sims.observer import Observer
from sims.recording.rows import NEVER, Event, Reign
from swarm.core.effects import Effect


@final
class LeaderRecorder(Observer):
    """Asks a node whether it leads whenever it does anything.

    Attributes:
        events: rows for the trace since they were taken last.
    """

    def __init__(self) -> None:
        self._begun: Final[dict[int, tuple[int, float]]] = {}
        self._ended: Final[list[Reign]] = []
        self.events: list[Event] = []

    def reigns(self) -> list[Reign]:
        """Return all leaderships so far, in the order in which they began."""
        going_on = [Reign(host, counter, begin_s, NEVER) for host, (counter, begin_s) in self._begun.items()]
        return sorted([*self._ended, *going_on], key=_begin_of)

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        node = host.node
        if node is None:
            return
        begun = self._begun.get(host.index)
        if not node.election.is_leader():
            if begun is not None:
                self._end(host.index, now)
            return
        counter = node.election.ballot()[0]
        if begun is not None and begun[0] != counter:
            self._end(host.index, now)
            begun = None
        if begun is None:
            self._begun[host.index] = (counter, now)
            self.events.append(Event(now, host.index, "leading", -1, 0, f"ballot {counter}"))

    def on_down(self, host: Host, how: str, now: float) -> None:
        if host.index in self._begun:
            self._end(host.index, now)

    def _end(self, host: int, now: float) -> None:
        counter, begin_s = self._begun.pop(host)
        self._ended.append(Reign(host, counter, begin_s, now))
        self.events.append(Event(now, host, "not_leading", -1, 0, f"ballot {counter}"))


def _begin_of(reign: Reign) -> tuple[float, int]:
    return (reign.begin_s, reign.host)


def time_by_leaders_s(reigns: list[Reign], end_s: float) -> tuple[float, float]:
    """Return for how long nobody led, and for how long more than one did.

    Args:
        reigns: all of a run.
        end_s: of the run.
    """
    changes: list[tuple[float, int]] = []
    for reign in reigns:
        changes.append((reign.begin_s, 1))
        changes.append((end_s if reign.end_s == NEVER else reign.end_s, -1))
    changes.sort()
    nobody_s = 0.0
    several_s = 0.0
    count = 0
    last_s = 0.0
    for time_s, step in [*changes, (end_s, 0)]:
        if count == 0:
            nobody_s += time_s - last_s
        elif count > 1:
            several_s += time_s - last_s
        count += step
        last_s = time_s
    return nobody_s, several_s

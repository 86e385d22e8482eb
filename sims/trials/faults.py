"""Faults of trials, drawn at random: each adds events to a case. Jepsen's menu, and TigerBeetle's ranges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sims.trials.case import Event
from swarm.core.rng import Rng


class Draw:
    """The events of a case as they are drawn, and what they may do.

    Attributes:
        rng: decides.
        count: hosts.
        end_s: of the faults.
        events: so far.
        harsh: whether disks may lose what they acknowledged.
    """

    def __init__(self, rng: Rng, count: int, end_s: float, harsh: bool) -> None:
        self.rng: Final = rng
        self.count: Final = count
        self.end_s: Final = end_s
        self.harsh: Final = harsh
        self.events: Final[list[Event]] = []

    def add(
        self,
        at_s: float,
        kind: str,
        targets: list[int] | None = None,
        value: float = 0.0,
        groups: list[list[int]] | None = None,
    ) -> None:
        """Add an event, at a whole millisecond before the end."""
        event = Event(
            at_s=round(min(at_s, self.end_s), 3),
            kind=kind,
            targets=tuple(targets or []),
            value=round(value, 4),
            groups=tuple([tuple(group) for group in groups or []]),
        )
        self.events.append(event)

    def some(self, most: int) -> list[int]:
        """Return 1 to `most` different hosts."""
        return self.rng.sample(list(range(self.count)), 1 + self.rng.below(max(1, min(most, self.count))))

    def sides(self) -> tuple[list[int], list[int]]:
        """Return two sides, each with at least one host where there are two."""
        hosts = self.rng.sample(list(range(self.count)), self.count)
        size = 1 + self.rng.below(max(1, self.count - 1))
        return hosts[:size], hosts[size:]


def _crash(drawn: Draw, at_s: float) -> None:
    rng = drawn.rng
    targets = drawn.some(rng.choose([1, 1, 1, drawn.count // 2 + 1, drawn.count]))
    kind = rng.choose(["kill", "kill", "power"])
    drawn.add(at_s, kind, targets, value=float(rng.below(2)))
    if rng.unit() < 0.8:
        drawn.add(at_s + rng.uniform(0.05, 10.0), "start", targets)


def _crash_leader(drawn: Draw, at_s: float) -> None:
    rng = drawn.rng
    drawn.add(at_s, "kill-leader", value=float(rng.below(2)))
    drawn.add(at_s + rng.choose([0.05, 0.5, 3.0, 12.0]), "revive")


def _blackout(drawn: Draw, at_s: float) -> None:
    drawn.add(at_s, "power", list(range(drawn.count)), value=float(drawn.rng.below(2)))
    drawn.add(at_s + drawn.rng.uniform(0.5, 5.0), "revive")


def _partition(drawn: Draw, at_s: float) -> None:
    one, two = drawn.sides()
    drawn.add(at_s, "cut", groups=[one, two])
    drawn.add(at_s + drawn.rng.uniform(0.3, 20.0), "heal")


def _flap(drawn: Draw, at_s: float) -> None:
    one, two = drawn.sides()
    for number in range(2 + drawn.rng.below(5)):
        drawn.add(at_s + 2.0 * number, "cut", groups=[one, two])
        drawn.add(at_s + 2.0 * number + drawn.rng.uniform(0.2, 1.8), "heal")


def _one_way(drawn: Draw, at_s: float) -> None:
    one, two = drawn.sides()
    drawn.add(at_s, "block", groups=[one, two])
    drawn.add(at_s + drawn.rng.uniform(0.5, 15.0), "heal")


def _bridge(drawn: Draw, at_s: float) -> None:
    """Two sides that only one host sees both of."""
    one, two = drawn.sides()
    if len(one) < 2:
        return
    drawn.add(at_s, "block", groups=[one[1:], two])
    drawn.add(at_s, "block", groups=[two, one[1:]])
    drawn.add(at_s + drawn.rng.uniform(1.0, 20.0), "heal")


def _ring(drawn: Draw, at_s: float) -> None:
    """Every host sees a majority, no two the same one."""
    count = drawn.count
    for host in range(count):
        hidden = [(host + step) % count for step in range(count // 2 + 1, count - count // 2 + 1)]
        drawn.add(at_s, "block", groups=[[host], [other for other in hidden if other != host]])
    drawn.add(at_s + drawn.rng.uniform(1.0, 15.0), "heal")


def _clog(drawn: Draw, at_s: float) -> None:
    """Stop ways one by one, each for a while of its own."""
    rng = drawn.rng
    for _ in range(1 + rng.below(2 * drawn.count)):
        pair = rng.sample(list(range(drawn.count)), 2)
        if len(pair) == 2:
            drawn.add(at_s + rng.uniform(0.0, 1.0), "clog", pair, value=rng.uniform(0.1, 5.0))


def _pause(drawn: Draw, at_s: float) -> None:
    targets = drawn.some(drawn.rng.choose([1, 1, drawn.count]))
    drawn.add(at_s, "pause", targets, value=drawn.rng.choose([0.1, 0.5, 2.0, 4.0, 8.0, 20.0]))


def _sleep(drawn: Draw, at_s: float) -> None:
    drawn.add(at_s, "suspend", drawn.some(2), value=drawn.rng.choose([2.0, 5.0, 10.0, 30.0]))


def _leader_sleeps(drawn: Draw, at_s: float) -> None:
    drawn.add(at_s, "suspend-leader", value=drawn.rng.choose([2.0, 6.0, 12.0]))


def _starve(drawn: Draw, at_s: float) -> None:
    targets = drawn.some(2)
    drawn.add(at_s, "pace", targets, value=drawn.rng.choose([0.005, 0.02, 0.1]))
    drawn.add(at_s + drawn.rng.uniform(1.0, 15.0), "pace", targets)


def _clock(drawn: Draw, at_s: float) -> None:
    rng = drawn.rng
    if rng.unit() < 0.5:
        drawn.add(at_s, "drift", drawn.some(drawn.count), value=rng.uniform(-500.0, 500.0))
    else:
        drawn.add(at_s, "jump", drawn.some(1), value=rng.choose([0.5, 3.0, 10.0, 3600.0]))


def _drift(drawn: Draw, at_s: float) -> None:
    drawn.add(at_s, "drift", drawn.some(drawn.count), value=drawn.rng.choose([-500.0, 500.0]))


def _flip(drawn: Draw, at_s: float) -> None:
    """A row of one journal is damaged, which its node finds out when it starts again."""
    targets = drawn.some(1)
    drawn.add(at_s, "flip", targets)
    drawn.add(at_s + 0.5, "kill", targets)
    drawn.add(at_s + drawn.rng.uniform(1.0, 5.0), "start", targets)


def _weather(drawn: Draw, at_s: float) -> None:
    rng = drawn.rng
    kind = rng.choose(["loss", "latency"])
    drawn.add(at_s, kind, value=rng.uniform(0.05, 0.4) if kind == "loss" else rng.choose([3.0, 10.0]))
    drawn.add(at_s + rng.uniform(1.0, 10.0), kind, value=0.0 if kind == "loss" else 1.0)


def _deaf(drawn: Draw, at_s: float) -> None:
    drawn.add(at_s, "deafen", drawn.some(drawn.count))


def _disk(drawn: Draw, at_s: float) -> None:
    rng = drawn.rng
    if not drawn.harsh:
        return
    kind = rng.choose(["destroy", "flip", "lie"])
    targets = drawn.some(1)
    if kind == "flip":
        drawn.add(at_s, "flip", targets)
        drawn.add(at_s + 0.5, "power", targets)
    elif kind == "lie":
        drawn.add(at_s, "lie", targets, value=1.0)
        drawn.add(at_s + rng.uniform(1.0, 8.0), "power", targets)
        drawn.add(at_s + 9.0, "lie", targets)
    else:
        drawn.add(at_s, "destroy", targets)
    drawn.add(at_s + rng.uniform(9.0, 15.0), "start", targets)


def _stuck_disk(drawn: Draw, at_s: float) -> None:
    drawn.add(at_s, "stick", drawn.some(1), value=drawn.rng.choose([1.0, 5.0, 30.0]))


def _move(drawn: Draw, at_s: float) -> None:
    drawn.add(at_s, "move", drawn.some(1))


def _goodbye(drawn: Draw, at_s: float) -> None:
    targets = drawn.some(1)
    drawn.add(at_s, "leave", targets)
    drawn.add(at_s + drawn.rng.uniform(1.0, 10.0), "start", targets)


def _farewell(drawn: Draw, at_s: float) -> None:
    """A node drains and leaves, and comes back all the same."""
    targets = drawn.some(1)
    drawn.add(at_s, "leave", targets, value=1.0)
    drawn.add(at_s + drawn.rng.uniform(1.0, 20.0), "start", targets)


def _clone(drawn: Draw, at_s: float) -> None:
    """A host comes up with a copy of another one's disk, for a while."""
    if not drawn.harsh or drawn.count < 3:
        return
    pair = drawn.rng.sample(list(range(drawn.count)), 2)
    drawn.add(at_s, "clone", pair)
    at_s += drawn.rng.uniform(2.0, 20.0)
    drawn.add(at_s, "unclone", pair[1:])
    drawn.add(at_s + drawn.rng.uniform(0.5, 5.0), "start", pair[1:])


FAULTS: Final[dict[str, Callable[[Draw, float], None]]] = {
    "crash": _crash,
    "leader": _crash_leader,
    "blackout": _blackout,
    "partition": _partition,
    "flap": _flap,
    "one-way": _one_way,
    "bridge": _bridge,
    "ring": _ring,
    "clog": _clog,
    "pause": _pause,
    "sleep": _sleep,
    "leader-sleeps": _leader_sleeps,
    "starve": _starve,
    "clock": _clock,
    "weather": _weather,
    "deaf": _deaf,
    "disk": _disk,
    "stuck-disk": _stuck_disk,
    "move": _move,
    "goodbye": _goodbye,
    "clone": _clone,
}
FAULTS_OF_STRICT: Final[dict[str, Callable[[Draw, float], None]]] = {
    **{name: add for name, add in FAULTS.items() if name not in ("clock", "disk", "clone")},
    "drift": _drift,
    "flip": _flip,
    "farewell": _farewell,
}
"""Those that a strict mesh is promised to survive: clocks drift and are suspended but do not jump, a disk may
lose a row but does not lie, and nobody is there twice."""

"""What happens to a mesh in a chaos run, and when: decided by a seed before anything begins."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

KINDS: Final[Mapping[str, float]] = {
    "kill": 4.0,
    "kill-leader": 3.0,
    "stop": 3.0,
    "stop-leader": 1.5,
    "cut": 5.0,
    "loss": 2.0,
    "clock": 2.0,
    "move": 1.5,
    "stall-disk": 2.0,
    "fill-disk": 1.5,
    "blackout": 1.0,
}
"""Kinds of faults and how often each is drawn."""

CUTS: Final = ("halves", "one", "ring", "bridge", "one-way")
"""Forms of cuts: two sides; one node alone; everybody hears most others, no two the same; two sides and one
node that hears both; one node hears nobody, but is heard."""

CLOCK_STEPS_S: Final = (-86_400.0 * 365, -3_600.0, -5.0, 0.0, 5.0, 3_600.0, 86_400.0 * 365)
LENGTHS_S: Final[Mapping[str, tuple[float, float]]] = {
    "kill": (0.5, 8.0),
    "kill-leader": (0.5, 8.0),
    "stop": (1.0, 12.0),
    "stop-leader": (1.0, 12.0),
    "cut": (3.0, 20.0),
    "loss": (5.0, 20.0),
    "clock": (5.0, 20.0),
    "move": (0.0, 0.0),
    "stall-disk": (2.0, 15.0),
    "fill-disk": (5.0, 25.0),
    "blackout": (0.5, 5.0),
}
"""Shortest and longest time until it is repaired, in seconds."""

MEAN_PAUSE_S: Final = 5.0
"""Between the beginnings of two faults: they overlap."""


class Action:
    """One fault.

    Attributes:
        number: from 0.
        kind: key of `KINDS`.
        at_s: when it begins, seconds after the start of the run.
        length_s: how long it lasts.
        nodes: numbers of the nodes it is done to; for kinds that end with "leader", in case there is none.
        detail: more about it: form of a cut, per cent of loss, seconds of a step of the clock.
    """

    def __init__(
        self, number: int, kind: str, at_s: float, length_s: float, nodes: Sequence[int], detail: str
    ) -> None:
        self.number: Final = number
        self.kind: Final = kind
        self.at_s: Final = at_s
        self.length_s: Final = length_s
        self.nodes: Final = list(nodes)
        self.detail: Final = detail

    def to_json(self) -> dict[str, Any]:
        """Return its attributes."""
        return dict(vars(self))


def draw_plan(
    seed: str, seconds: float, node_count: int, kinds: Sequence[str] = tuple(KINDS)
) -> list[Action]:
    """Return the faults of a run, by the time they begin.

    Every kind comes at least once when the run is long enough for that; each is over before the end.

    Args:
        seed: decides everything.
        seconds: length of the run.
        node_count: size of the mesh, at least 3.
        kinds: that may be drawn.
    """
    draw = random.Random(f"chaos {seed}")
    plan: list[Action] = []
    owed = list(kinds)
    draw.shuffle(owed)
    at_s = 2.0
    while True:
        kind = owed.pop() if owed else draw.choices(kinds, [KINDS[each] for each in kinds])[0]
        shortest, longest = LENGTHS_S[kind]
        length_s = round(draw.uniform(shortest, longest), 2)
        if at_s + length_s > seconds:
            return plan
        nodes, detail = _drawn(draw, kind, node_count)
        plan.append(Action(len(plan), kind, round(at_s, 2), length_s, nodes, detail))
        at_s += draw.expovariate(1.0 / MEAN_PAUSE_S)


def _drawn(draw: random.Random, kind: str, node_count: int) -> tuple[list[int], str]:
    everybody = list(range(node_count))
    if kind == "blackout":
        return draw.sample(everybody, node_count), ""
    if kind == "cut":
        form = draw.choice(CUTS)
        count = draw.randint(2, node_count // 2) if form in ("halves", "bridge") else 1
        return draw.sample(everybody, node_count if form == "ring" else count), form
    if kind == "loss":
        return draw.sample(everybody, draw.randint(1, node_count)), str(draw.choice((5, 10, 20, 40)))
    if kind == "clock":
        return draw.sample(everybody, draw.randint(1, node_count)), str(draw.choice(CLOCK_STEPS_S))
    count = 2 if kind == "kill" and draw.random() < 0.3 else 1
    return draw.sample(everybody, count), ""


def deaf_to(action: Action, node_count: int) -> dict[int, list[int]]:
    """Return which nodes each node does not hear during a cut."""
    everybody = list(range(node_count))
    chosen = action.nodes
    others = [node for node in everybody if node not in chosen]
    if action.detail == "one-way":
        return {chosen[0]: others}
    if action.detail == "ring":
        heard = node_count // 2
        deaf: dict[int, list[int]] = {}
        for place, node in enumerate(chosen):
            near = [chosen[(place + step) % node_count] for step in range(-(heard // 2 + 1), heard // 2 + 2)]
            deaf[node] = [other for other in everybody if other not in near]
        return deaf
    bridge = others[-1:] if action.detail == "bridge" else []
    far = [node for node in others if node not in bridge]
    return {**dict.fromkeys(chosen, far), **{key: list(chosen) for key in far}}


def whole_sides(action: Action, node_count: int) -> list[list[int]]:
    """Return the sides of a cut when each is whole and hears nothing of the other, else none."""
    if action.detail not in ("halves", "one"):
        return []
    return [list(action.nodes), [node for node in range(node_count) if node not in action.nodes]]

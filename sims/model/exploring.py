"""Breadth-first search through all states of a model, and the shortest way to a broken invariant."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)


class Explorable(Protocol[S]):
    """What can be explored."""

    def start(self) -> S:
        """Return the first state."""
        ...

    def successors(self, state: S, found: list[S]) -> str:
        """Append the states after one step; return the invariant that a step breaks, "" for none."""
        ...

    def show(self, state: S) -> str:
        """Return a state for people."""
        ...


class Explored(NamedTuple):
    """What came of a search.

    Attributes:
        states: how many were met.
        steps: how many steps were taken from them.
        depth: the most steps that any of them is away from the first.
        is_whole: whether all that can be reached were met.
        broken: the first invariant found broken, "" for none.
        way: the states on the shortest way to the step that breaks it, for people.
    """

    states: int
    steps: int
    depth: int
    is_whole: bool
    broken: str
    way: tuple[str, ...]


def explore(
    model: Explorable[S],
    states_max: int,
    depth_max: int = 1_000_000,
    on_level: Callable[[int, int], bool] | None = None,
) -> Explored:
    """Search level by level, which finds the shortest way first.

    Args:
        model: what to explore.
        states_max: stop after the level that has as many states behind it.
        depth_max: levels at most.
        on_level: told (depth, states) after each level; returns whether to go on.
    """
    first = model.start()
    seen = {first}
    level = [first]
    steps = depth = 0
    while level and depth < depth_max and len(seen) < states_max:
        following: list[S] = []
        for state in level:
            found: list[S] = []
            broken = model.successors(state, found)
            steps += len(found)
            if broken:
                return Explored(len(seen), steps, depth, False, broken, _way(model, state, depth))
            for after in found:
                if after not in seen:
                    seen.add(after)
                    following.append(after)
        level = following
        depth += 1 if level else 0
        if on_level is not None and not on_level(depth, len(seen)):
            break
    return Explored(len(seen), steps, depth, not level, "", ())


def _way(model: Explorable[S], last: S, depth: int) -> tuple[str, ...]:
    """Return a shortest way to a state that is `depth` steps away, by a second search that keeps parents."""
    first = model.start()
    parents: dict[S, S] = {first: first}
    level = [first]
    for _ in range(depth):
        following: list[S] = []
        for state in level:
            found: list[S] = []
            model.successors(state, found)
            for after in found:
                if after not in parents:
                    parents[after] = state
                    following.append(after)
        level = following
    way = [last]
    while parents[way[-1]] != way[-1]:
        way.append(parents[way[-1]])
    return tuple([model.show(state) for state in reversed(way)])

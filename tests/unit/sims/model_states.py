"""All states of a small model, for tests."""

from __future__ import annotations

from sims.model.exploring import Explorable


def reached(model: Explorable[int]) -> set[int]:
    """All states of a small model."""
    seen = {model.start()}
    level = [model.start()]
    while level:
        following: list[int] = []
        for state in level:
            found: list[int] = []
            assert not model.successors(state, found)
            for after in found:
                if after not in seen:
                    seen.add(after)
                    following.append(after)
        level = following
    return seen

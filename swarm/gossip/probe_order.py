"""In which order members are probed: round robin over a shuffled list, shuffled anew each round."""

from __future__ import annotations

from swarm.core.ids import NodeId
from swarm.core.rng import Rng


class ProbeOrder:
    """Every alive or suspect peer, each exactly once.

    Newcomers come in at a random place, so that two probes of one member are at most 2n - 1 apart.

    Source: Das, Gupta, Motivala, "SWIM" (2002), section 4.3.
    """

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._members: list[NodeId] = []
        self._next = 0

    def add(self, node_id: NodeId) -> None:
        """Put a member that is not in the list at a random place of it."""
        place = self._rng.below(len(self._members) + 1)
        self._members.insert(place, node_id)
        if place < self._next:
            self._next += 1

    def remove(self, node_id: NodeId) -> None:
        """Take a member out; nothing when it is not there."""
        if node_id not in self._members:
            return
        place = self._members.index(node_id)
        del self._members[place]
        if place < self._next:
            self._next -= 1

    def next(self) -> NodeId | None:
        """Return whose turn it is, None when there is nobody."""
        if not self._members:
            return None
        if self._next >= len(self._members):
            self._rng.shuffle(self._members)
            self._next = 0
        chosen = self._members[self._next]
        self._next += 1
        return chosen

    def members(self) -> list[NodeId]:
        """Return a copy of the list."""
        return self._members[:]

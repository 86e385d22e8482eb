"""The council as it follows from the members, kept up to date at the cost of what changed.

Whoever comes or gets fitter is put in its place. Only when one of the council leaves it or gets less fit,
or when the leader changes, everybody has to be looked at again.
"""

from __future__ import annotations

import math
from bisect import insort
from typing import Final, final

from swarm.core.ids import NO_NODE, Address, NodeId
from swarm.election.config import ElectionConfig
from swarm.election.council import Candidate, Rank, rank_all, rank_of_candidate


@final
class Roster:
    """Follows the changes of members, and says who forms the council by `choose_council`."""

    def __init__(self, config: ElectionConfig) -> None:
        self._config: Final = config
        self._leader: NodeId = NO_NODE
        self._favoured: list[NodeId] = []
        self._ranked: list[Rank] = []
        self._dying: dict[NodeId, float] = {}
        self._is_void = False

    def take(self, node_id: NodeId, candidate: Candidate | None, now: float) -> None:
        """Take a member as it is now, None when it is forgotten."""
        self._dying.pop(node_id, None)
        if candidate is not None and candidate.state == "dead":
            self._dying[node_id] = now - candidate.dead_for_s
        rank = None
        if candidate is not None:
            rank = rank_of_candidate(candidate, self._leader, self._config, self._favoured)
        place = self._place_of(node_id)
        if place >= 0:
            # Somebody outside may be fitter than one that got less fit.
            if rank is None or rank[:2] > self._ranked[place][:2]:
                self._is_void = True
                return
            del self._ranked[place]
        if rank is not None:
            insort(self._ranked, rank)
            del self._ranked[self._config.council_size :]

    def favour(self, favoured: list[NodeId]) -> None:
        """Let the fitness of some count as a little higher, like the leader's: voters of a strict mesh."""
        if favoured != self._favoured:
            self._favoured = favoured
            self._is_void = True

    def needs_everybody(self, leader: NodeId, now: float) -> bool:
        """Return whether the council must be chosen anew, with :meth:`take_everybody`.

        Args:
            leader: whom this node follows, NO_NODE for nobody.
            now: seconds; the dead lose their seats as it goes on.
        """
        grace_s = self._config.council_grace_s
        for node_id in [node_id for node_id, since in self._dying.items() if now - since >= grace_s]:
            del self._dying[node_id]
            if self._place_of(node_id) >= 0:
                self._is_void = True
        return self._is_void or leader != self._leader

    def take_everybody(self, candidates: list[Candidate], leader: NodeId) -> None:
        """Choose the council anew among all members."""
        self._is_void = False
        self._leader = leader
        self._ranked = rank_all(candidates, leader, self._config, self._favoured)

    def council(self) -> list[tuple[NodeId, Address]]:
        """Return the council, fittest first."""
        return [(node_id, address) for _, node_id, address in self._ranked]

    def grace_left_s(self, now: float) -> float:
        """Return in how many seconds the next dead member loses its seat, `math.inf` when none does."""
        least = math.inf
        for since in self._dying.values():
            least = min(least, self._config.council_grace_s - (now - since))
        return least

    def _place_of(self, node_id: NodeId) -> int:
        for place in range(len(self._ranked)):
            if self._ranked[place][1] == node_id:
                return place
        return -1

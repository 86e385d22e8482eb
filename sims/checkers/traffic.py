"""L5 while it runs: nobody floods the others, and nothing grows without end."""

from __future__ import annotations

from typing import Final

from sims.checkers.base import Checker, Truth

INPUTS_PER_NODE_S: Final = 3000.0
"""Inputs of a node in a second, as a mean over the mesh and half a second, that no job of the soak needs."""
RUMOURS_PER_NODE: Final = 64
"""Rumours waiting at a node of a small mesh: there is at most one for each identity ever seen."""


class TrafficChecker(Checker):
    """L5 traffic and queues are bounded at every moment."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._inputs = 0
        self._at = 0.0

    def look(self, now: float) -> None:
        passed_s = now - self._at
        if passed_s < 0.25:
            return
        rate = (self.cluster.inputs - self._inputs) / passed_s / len(self.cluster.hosts)
        self._inputs, self._at = self.cluster.inputs, now
        if rate > INPUTS_PER_NODE_S:
            self.fail("L5", f"each node takes {rate:.0f} inputs a second")
        for host in self.cluster.hosts:
            if host.node is not None:
                waiting = host.node.gossip.statistics()["rumours"]
                if waiting > RUMOURS_PER_NODE:
                    self.fail("L5", f"{waiting} rumours wait at {self.name(host)}")

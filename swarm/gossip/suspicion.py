"""Suspicions: how long a silent member may still speak up before it is declared dead."""

from __future__ import annotations

import math

from swarm.core.ids import NodeId
from swarm.core.rounding import to_ms
from swarm.gossip.config import GossipConfig


def suspicion_timeout_s(confirmations: int, wanted: int, min_s: float, max_s: float) -> float:
    """Return how long a member stays suspect, measured from the first suspicion.

    Starts at `max_s` and falls with the logarithm of the confirmations received. When none are wanted
    (a mesh too small to have confirmers) it is `min_s` from the start.

    Args:
        confirmations: independent confirmers so far, besides the first accuser, >= 0.
        wanted: confirmations that bring the timeout to `min_s`, >= 0.
        min_s, max_s: bounds in seconds, 0 < min_s <= max_s.

    Returns:
        Seconds in [min_s, max_s], rounded to 1 ms.

    Source: Dadgar et al., "Lifeguard" (2018), LHA-Suspicion; memberlist `remainingSuspicionTime`.
    """
    if wanted == 0:
        return to_ms(min_s)
    share = math.log(confirmations + 1) / math.log(wanted + 1)
    return to_ms(max(min_s, max_s - share * (max_s - min_s)))


def suspicion_min_s(config: GossipConfig, alive_count: int) -> float:
    """Return the shortest suspicion in a mesh of `alive_count` (>= 1) members, seconds."""
    scale = max(1.0, math.log10(max(1, alive_count)))
    return to_ms(config.suspicion_multiplier * scale * config.probe_interval_s)


def confirmations_wanted(config: GossipConfig, alive_count: int) -> int:
    """Return how many confirmations a suspicion waits for; 0 when the mesh cannot give so many.

    Besides us and the suspect there are `alive_count - 2` members that could confirm.
    """
    wanted = config.confirmations_wanted
    return wanted if alive_count - 2 >= wanted else 0


class Suspicion:
    """What is known against one suspect member at one incarnation."""

    def __init__(self, accuser: NodeId, wanted: int, min_s: float, max_s: float, now: float) -> None:
        self.accusers: list[NodeId] = [accuser]
        self._wanted = wanted
        self._min_s = min_s
        self._max_s = max_s
        self._since = now

    def confirm(self, accuser: NodeId) -> bool:
        """Note another accuser; return whether it counted (new, and still wanted)."""
        if accuser in self.accusers or len(self.accusers) > self._wanted:
            return False
        self.accusers.append(accuser)
        return True

    def restart(self, now: float) -> None:
        """Begin anew, as if only the first accuser had spoken just now."""
        self.accusers = self.accusers[:1]
        self._since = now

    def deadline(self) -> float:
        """Return when the suspect is to be declared dead, monotonic seconds."""
        count = len(self.accusers) - 1
        return self._since + suspicion_timeout_s(count, self._wanted, self._min_s, self._max_s)

"""Suspicions: how long a silent member may still speak up, and what is weighed before it is declared dead.

Lifeguard makes the time of a suspicion fall with independent confirmations. Three rules are added to it
(`GossipConfig.weighs_evidence`), each against a kind of wrong verdict that Lifeguard leaves:

- W1 *Who is heard is not dead.* A packet that the suspect itself sent since the suspicion began gives it
  another round. A member that is gone sends none, so this delays no true verdict; a node that is starved
  and minutes behind with its datagrams still hears its suspects in them. Somebody might send recordings of
  a member that is gone: after `EVIDENCE_ROUNDS_MAX` rounds only what it answers counts.
- W2 *Who doubts itself waits for others.* A suspicion that not enough others share gets as many further
  rounds as this node's local health is bad. Those that are well decide meanwhile, and tell.
- W3 *Only who is there can confirm.* No more confirmations are wanted than members remain that are
  neither silent suspects nor this node. So the few that survive a cut decide as soon as many would.

And where many are lost at once, seen by more than this node, failed probes say nothing about this node's own
health (`Suspicions.is_group_lost`).
"""

from __future__ import annotations

import math
from typing import Final, final

from swarm.core.ids import NodeId
from swarm.core.rounding import to_ms
from swarm.gossip.awareness import Awareness
from swarm.gossip.config import GossipConfig
from swarm.gossip.context import SUSPICION, Context

EVIDENCE_ROUNDS_MAX: Final = 10
"""Rounds that a suspect gets at most for packets of its own that answer nothing and refute nothing."""


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


@final
class Suspicion:
    """What is known against one suspect member at one incarnation.

    Attributes:
        accusers: the first, and those who confirmed, as many as were wanted.
        is_silent: nothing that the suspect sent arrived since the present round began.
        rounds: how often its time was over and it got another.
    """

    __slots__ = ("_max_s", "_min_s", "_since", "_wanted", "accusers", "is_silent", "rounds")

    def __init__(self, accuser: NodeId, wanted: int, min_s: float, max_s: float, now: float) -> None:
        self.accusers: list[NodeId] = [accuser]
        self.is_silent = True
        self.rounds = 0
        self._wanted = wanted
        self._min_s: Final = min_s
        self._max_s: Final = max_s
        self._since = now

    def confirm(self, accuser: NodeId) -> bool:
        """Note another accuser; return whether it counted (new, and still wanted)."""
        if accuser in self.accusers or self.is_confirmed():
            return False
        self.accusers.append(accuser)
        return True

    def is_confirmed(self) -> bool:
        """Return whether as many others accuse it as were wanted."""
        return len(self.accusers) > self._wanted

    def want_at_most(self, wanted: int) -> bool:
        """Want no more confirmations than these; return whether that changed the deadline."""
        if wanted >= self._wanted:
            return False
        self._wanted = wanted
        return True

    def restart(self, now: float) -> None:
        """Begin anew, as if only the first accuser had spoken just now."""
        self.accusers = self.accusers[:1]
        self._since = now
        self.is_silent = True

    def next_round(self, now: float) -> None:
        """Give it the same time once more; who accused it stays."""
        self.rounds += 1
        self._since = now
        self.is_silent = True

    def deadline(self) -> float:
        """Return when the suspect is to be declared dead, monotonic seconds."""
        count = len(self.accusers) - 1
        return self._since + suspicion_timeout_s(count, self._wanted, self._min_s, self._max_s)


@final
class Suspicions:
    """All suspicions of a node and their timers."""

    def __init__(self, context: Context, awareness: Awareness) -> None:
        self._context: Final = context
        self._awareness: Final = awareness
        self._open: dict[NodeId, Suspicion] = {}

    def __len__(self) -> int:
        return len(self._open)

    def ids(self) -> list[NodeId]:
        """Return the suspects, the first accused first."""
        return list(self._open)

    def get(self, node_id: NodeId) -> Suspicion | None:
        """Return the suspicion of a member, None when it is not suspect."""
        return self._open.get(node_id)

    def begin(self, node_id: NodeId, accuser: NodeId, alive_count: int, now: float) -> None:
        """Begin to suspect a member, in a mesh of `alive_count` members, suspects included."""
        config = self._context.config
        min_s = suspicion_min_s(config, alive_count)
        wanted = confirmations_wanted(config, alive_count)
        max_s = min_s * config.suspicion_max_factor
        self._open[node_id] = Suspicion(accuser, wanted, min_s, max_s, now)
        self._plan(node_id, now)
        if config.weighs_evidence:
            self._want_less(alive_count, now)

    def confirm(self, node_id: NodeId, accuser: NodeId, now: float) -> bool:
        """Take another accuser of a suspect; return whether it counted."""
        if not self._open[node_id].confirm(accuser):
            return False
        self._plan(node_id, now)
        return True

    def end(self, node_id: NodeId) -> None:
        """Stop suspecting a member: it refuted, or it is gone."""
        del self._open[node_id]
        self._context.timers.cancel(SUSPICION, node_id)

    def hear(self, node_id: NodeId) -> None:
        """Take that something arrived which this member itself sent."""
        suspicion = self._open.get(node_id)
        if suspicion is not None:
            suspicion.is_silent = False

    def is_due(self, node_id: NodeId, now: float) -> bool:
        """Return whether a suspect whose time is over is dead; otherwise it got another round (W1, W2)."""
        suspicion = self._open[node_id]
        is_doubtful = suspicion.rounds < self._awareness.score and not suspicion.is_confirmed()
        is_heard = not suspicion.is_silent and suspicion.rounds < EVIDENCE_ROUNDS_MAX
        if self._context.config.weighs_evidence and (is_doubtful or is_heard):
            suspicion.next_round(now)
            self._plan(node_id, now)
            self._context.count("verdicts_put_off")
            return False
        return True

    def restart(self, now: float) -> None:
        """Give every suspect a fresh period, after a gap in which nobody could have been heard."""
        for node_id, suspicion in self._open.items():
            suspicion.restart(now)
            self._plan(node_id, now)

    def is_many(self, alive_count: int) -> bool:
        """Return whether so many are suspect at once that something all of them depend on may have failed."""
        return len(self._open) >= max(2.0, self._context.config.group_share * alive_count)

    def is_group_lost(self, alive_count: int) -> bool:
        """Return whether so many are suspect, silent, and accused by several."""
        if not self.is_many(alive_count):
            return False
        count = 0
        for suspicion in self._open.values():
            if suspicion.is_silent and len(suspicion.accusers) > 1:
                count += 1
        return count >= max(2.0, self._context.config.group_share * alive_count)

    def _want_less(self, alive_count: int, now: float) -> None:
        """Apply W3."""
        witnesses = alive_count - 1
        for suspicion in self._open.values():
            if suspicion.is_silent:
                witnesses -= 1
        if witnesses >= self._context.config.confirmations_wanted:
            return
        for node_id, suspicion in self._open.items():
            if suspicion.want_at_most(max(0, witnesses)):
                self._plan(node_id, now)

    def _plan(self, node_id: NodeId, now: float) -> None:
        self._context.timers.set(SUSPICION, node_id, max(now, self._open[node_id].deadline()))

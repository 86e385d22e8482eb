"""A leader whose machine is strained (a battery nearly empty, heat) has a fitter member lead instead.

It asks the fittest member of the council that answers its beats to stand (Ongaro's thesis, section 3.10), and
leads on until a higher ballot ends its leadership: nothing stands still meanwhile, and nothing is lost when
nobody takes over. (In a strict mesh it stops at once: nobody is elected while its lease lasts.) Only members
that are fitter than it by the council's hysteresis are asked. So leadership goes up in fitness and never
around, and where everybody is strained alike it stays.
"""

from __future__ import annotations

import math
from typing import Final, final

from swarm.election.base import ElectionBase

RETRY_S: Final = 10.0


@final
class Handover:
    """Decides when this node, should it lead, asks another one to."""

    def __init__(self) -> None:
        self._is_strained = False
        self._asked_at = -math.inf

    def take(self, strain: object) -> None:
        """Take the own fact ``strain``: a text that says what strains this machine, None for nothing."""
        self._is_strained = bool(strain)

    def look(self, election: ElectionBase, now: float) -> float:
        """Ask when it is time; return in how many seconds to look again, `math.inf` for not by itself."""
        if not self._is_strained or not election.is_leader():
            return math.inf
        left_s = self._asked_at + RETRY_S - now
        if left_s > 0:
            return left_s
        if not election.hand_over(now):
            return math.inf
        self._asked_at = now
        return RETRY_S

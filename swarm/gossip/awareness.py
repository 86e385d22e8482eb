"""Local health: a node that sees many probes fail doubts itself first (Lifeguard's multiplier)."""

from __future__ import annotations


class Awareness:
    """A score in [0, maximum): 0 is healthy; timeouts are multiplied by one more than it.

    Raised by failed probes, nacks that did not come and accusations that had to be refuted; lowered by
    answered probes.

    Source: Dadgar et al., "Lifeguard" (2018), LHA-Probe; memberlist `awareness`.
    """

    def __init__(self, maximum: int) -> None:
        assert maximum >= 1, "awareness needs at least one level"
        self._maximum = maximum
        self.score = 0

    def change(self, by: int) -> None:
        """Add `by` (negative: healthier) within the bounds."""
        self.score = max(0, min(self._maximum - 1, self.score + by))

    def scale_s(self, duration_s: float) -> float:
        """Return `duration_s` lengthened by the present score."""
        return duration_s * (self.score + 1)

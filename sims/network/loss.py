"""Loss in bursts: a way that is good or bad, and loses everything while it is bad."""

from __future__ import annotations

from typing import Final, final

from swarm.core.rng import Rng


@final
class BurstLoss:
    """Two states for each way; the bad one loses every datagram.

    Args:
        loss: mean share of datagrams lost, 0 < loss < 1.
        burst_count: mean number lost in a row, >= 1 and >= loss / (1 - loss).

    Source: Gilbert, "Capacity of a burst-noise channel" (1960), with losses only in the bad state.
    """

    def __init__(self, loss: float, burst_count: float) -> None:
        self._leave: Final = 1.0 / burst_count
        self._enter: Final = loss / (burst_count * (1.0 - loss))
        self._loss: Final = loss
        self._bad: dict[int, bool] = {}

    def drops(self, way: int, rng: Rng) -> bool:
        """Return whether the next datagram on a way is lost."""
        bad = self._bad.get(way)
        if bad is None:
            bad = rng.unit() < self._loss
        elif bad:
            bad = rng.unit() >= self._leave
        else:
            bad = rng.unit() < self._enter
        self._bad[way] = bad
        return bad

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

    Attributes:
        is_measured: whether `silences` are noted.
        silences: (way, seconds, seconds) between two datagrams that got through, where others were lost.

    Source: Gilbert, "Capacity of a burst-noise channel" (1960), with losses only in the bad state.
    """

    def __init__(self, loss: float, burst_count: float) -> None:
        self._leave: Final = 1.0 / burst_count
        self._enter: Final = loss / (burst_count * (1.0 - loss))
        self._loss: Final = loss
        self._bad: dict[int, bool] = {}
        self.is_measured = False
        self.silences: list[tuple[int, float, float]] = []
        self._passed_s: dict[int, float] = {}
        self._silent_s: dict[int, float] = {}

    def drops(self, way: int, rng: Rng, now: float) -> bool:
        """Return whether the next datagram on a way, sent now, is lost."""
        bad = self._bad.get(way)
        if bad is None:
            bad = rng.unit() < self._loss
        elif bad:
            bad = rng.unit() >= self._leave
        else:
            bad = rng.unit() < self._enter
        self._bad[way] = bad
        if self.is_measured:
            self._measure(way, bad, now)
        return bad

    def unended(self) -> dict[int, float]:
        """Return the ways that let nothing through at present, and since when."""
        return self._silent_s

    def _measure(self, way: int, bad: bool, now: float) -> None:
        if bad:
            self._silent_s.setdefault(way, self._passed_s.get(way, now))
            return
        since_s = self._silent_s.pop(way, -1.0)
        if since_s >= 0:
            self.silences.append((way, since_s, now))
        self._passed_s[way] = now

"""How fit this machine is to lead, while it runs: what changes slowly counts, and what strains it.

A machine that stays on its battery for a minute is less fit than on mains. One whose battery is nearly empty,
or that is hot, is *strained*: a strained leader hands over to a fitter member (`swarm.node_handover`).
Both have two limits each, so that a reading which wavers about one changes nothing.
"""

from __future__ import annotations

from typing import Final, final

from swarm.daemon.sensors import Readings
from swarm.node_capacity import FITNESS, STRAIN

MAINS: Final = 50
"""Points for power from outside, or for a machine without a battery."""
STRAINED_SHARE: Final = 4
"""A strained machine has a fourth of its points: whoever is like it otherwise is fitter by far."""
SETTLED_S: Final = 60.0
"""A charger counts, or counts no more, after so long: a plug that is pulled for a moment moves nothing."""

BATTERY_LOW: Final = 15
BATTERY_FAIR: Final = 25
"""Percent: strained at the first or below while it is drained, at ease again from the second on."""
HOT: Final = 85.0
COOL: Final = 75.0
"""Degrees Celsius of a processor; most throttle themselves from 80 to 100 on."""
BATTERY_HOT: Final = 45.0
BATTERY_COOL: Final = 40.0
"""Degrees Celsius of a battery; charging above 45 harms it, and phones stop it there."""


@final
class Fitness:
    """Turns readings into the facts ``fitness`` and ``strain``.

    Args:
        base: points of this machine that never change, > 0 (`swarm.daemon.host.fitness`).
    """

    def __init__(self, base: int) -> None:
        self._base: Final = base
        self._has_mains: bool | None = None
        self._changed_at: float | None = None
        self._is_low = False
        self._is_hot = False

    def facts(
        self, readings: Readings, temperature: float | None, is_of_battery: bool, now: float
    ) -> dict[str, object]:
        """Return both facts; ``strain`` is a text for people, None for a machine at ease.

        Args:
            readings: what the sensors said.
            temperature: smoothed degrees Celsius, None when unknown.
            is_of_battery: whether that is a battery's temperature and not a processor's.
            now: monotonic seconds, never less than before.
        """
        self._take_mains(readings.charging is not False, now)
        self._take_battery(readings)
        self._take_heat(temperature, is_of_battery)
        reasons: list[str] = []
        if self._is_low:
            reasons.append("battery nearly empty")
        if self._is_hot:
            reasons.append("too hot")
        points = self._base + (MAINS if self._has_mains else 0)
        return {
            FITNESS: points // STRAINED_SHARE if reasons else points,
            STRAIN: " and ".join(reasons) or None,
        }

    def _take_mains(self, has_mains: bool, now: float) -> None:
        if self._has_mains is None or has_mains == self._has_mains:
            self._has_mains = has_mains
            self._changed_at = None
        elif self._changed_at is None:
            self._changed_at = now
        elif now - self._changed_at >= SETTLED_S:
            self._has_mains = has_mains
            self._changed_at = None

    def _take_battery(self, readings: Readings) -> None:
        level = readings.battery
        if level is None or readings.charging is not False or level >= BATTERY_FAIR:
            self._is_low = False
        elif level <= BATTERY_LOW:
            self._is_low = True

    def _take_heat(self, temperature: float | None, is_of_battery: bool) -> None:
        hot, cool = (BATTERY_HOT, BATTERY_COOL) if is_of_battery else (HOT, COOL)
        if temperature is None or temperature <= cool:
            self._is_hot = False
        elif temperature >= hot:
            self._is_hot = True

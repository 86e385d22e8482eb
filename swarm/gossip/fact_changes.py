"""Facts that change while a node runs: what is worth telling, and how often.

A fact that changed makes a new description of the node, under a higher incarnation, which reaches everybody:
its cost grows with the mesh. So some things stand between a measurement and a rumour:

* a *band* per number: what moved less than that from what was told last is no change (hysteresis). A number
  that comes or goes always is one;
* a token bucket: `fact_changes_burst` changes at once, then one per `fact_interval_s`, or more seldom in a
  large mesh, so that all nodes together make about `fact_changes_per_s` a second;
* a pause where nothing but numbers with bands changed: `fact_numbers_intervals` of those intervals since the
  last change, so that numbers take a third of the tokens and the rest is there for what is urgent;
* what may not be told yet waits, and only the latest waits: a fact that changed back in time is never told.

A change that is told carries all numbers as they are: it costs no more and saves later ones.
"""

from __future__ import annotations

import math
from typing import Final, final

from swarm.core.rounding import to_ms
from swarm.gossip.config import GossipConfig


def settled(
    told: dict[str, object], wanted: dict[str, object], bands: tuple[tuple[str, float, float], ...]
) -> dict[str, object]:
    """Return `wanted` with the numbers that stayed within their band as they were told.

    Args:
        told: facts as others know them.
        wanted: facts as they are now.
        bands: (name, absolute, share): a number with that name has changed when it moved by more than the
            absolute value and by more than that share of what was told.
    """
    result = dict(wanted)
    for name, absolute, share in bands:
        before, after = told.get(name), wanted.get(name)
        if isinstance(before, bool) or isinstance(after, bool):
            continue
        if not isinstance(before, (int, float)) or not isinstance(after, (int, float)):
            continue
        if abs(after - before) <= max(absolute, share * abs(before)):
            result[name] = before
    return result


def is_of_numbers(
    told: dict[str, object], wanted: dict[str, object], bands: tuple[tuple[str, float, float], ...]
) -> bool:
    """Return whether the facts differ in nothing but those that have a band, there or missing."""
    before, after = dict(told), dict(wanted)
    for name, _, _ in bands:
        before.pop(name, None)
        after.pop(name, None)
    return before == after


def change_interval_s(config: GossipConfig, member_count: int) -> float:
    """Return the seconds between two changes that a node may tell in the long run, > 0.

    Args:
        config: settings.
        member_count: nodes that are there, >= 1.
    """
    return to_ms(max(config.fact_interval_s, member_count / config.fact_changes_per_s))


@final
class FactChanges:
    """What a node wants to tell about itself and may not tell yet."""

    def __init__(self, config: GossipConfig) -> None:
        self._config: Final = config
        self._tokens = float(config.fact_changes_burst)
        self._filled = 0.0
        self._told_at = -math.inf
        self._is_patient = False
        self._wanted: dict[str, object] | None = None

    def want(self, facts: dict[str, object]) -> None:
        """Take the facts as they are now, in place of any that wait."""
        self._wanted = dict(facts)

    def forget(self) -> None:
        """Let nothing wait any more."""
        self._wanted = None

    def is_waiting(self) -> bool:
        """Return whether facts wait to be told."""
        return self._wanted is not None

    def take(self, told: dict[str, object], member_count: int, now: float) -> dict[str, object] | None:
        """Return what is to be told now, and count it; None when there is nothing, or not yet.

        Args:
            told: the own facts as others know them.
            member_count: nodes that are there, >= 1.
            now: monotonic seconds.
        """
        wanted = self._wanted
        if wanted is None:
            return None
        bands = self._config.fact_bands
        if settled(told, wanted, bands) == told:
            self._wanted = None
            return None
        self._is_patient = is_of_numbers(told, wanted, bands)
        self._fill(member_count, now)
        if self._tokens < 1.0 or now < self._patient_until(member_count):
            return None
        self._tokens -= 1.0
        self._told_at = now
        self._wanted = None
        return wanted

    def next_at(self, member_count: int, now: float) -> float:
        """Return when :meth:`take`, which just gave nothing, is worth another try; `math.inf` for never."""
        if self._wanted is None:
            return math.inf
        self._fill(member_count, now)
        missing = max(0.0, 1.0 - self._tokens)
        filled_at = now + to_ms(missing * change_interval_s(self._config, member_count)) + 0.001
        return max(filled_at, self._patient_until(member_count))

    def _patient_until(self, member_count: int) -> float:
        """Return when what waits may be told, by what it is: numbers alone have patience."""
        if not self._is_patient:
            return -math.inf
        interval_s = change_interval_s(self._config, member_count)
        return self._told_at + to_ms(self._config.fact_numbers_intervals * interval_s)

    def _fill(self, member_count: int, now: float) -> None:
        gained = (now - self._filled) / change_interval_s(self._config, member_count)
        self._tokens = min(float(self._config.fact_changes_burst), self._tokens + gained)
        self._filled = now

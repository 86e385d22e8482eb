"""What a node tells of its capacity, as facts that change while it runs, and how people are shown it.

A sensor that is not there, or says nonsense, is no fact: unknown is never zero, false or "low" (US-17). What
others tell is not trusted to have the right type: a wrong one counts as unknown. How far numbers move before
they are told again stands in `swarm.gossip.config.FACT_BANDS`.
"""

from __future__ import annotations

import math
from typing import Final

SLOTS_FREE: Final = "slots_free"
"""Fact: slots that no task holds, 0 to all."""
LOAD: Final = "load"
"""Fact: processes that run or want to, averaged over a minute; of the whole machine, tasks too."""
MEMORY_FREE: Final = "memory_free"
"""Fact: bytes that programs could still take without others being swapped out."""
BATTERY: Final = "battery"
"""Fact: charge in percent, 1 to 100; missing for a machine that has no battery."""
CHARGING: Final = "charging"
"""Fact: whether power comes from outside, the battery being charged or full; false when it is drained."""
TEMPERATURE: Final = "temperature"
"""Fact: degrees Celsius of the processor, or of a phone's battery where nothing else can be read."""
NETWORK: Final = "network"
"""Fact: the best kind of network that the machine is on: ``wired``, ``wifi`` or ``cellular``."""
REASON: Final = "reason"
"""Fact: why the node runs nothing, "" while it does."""
FITNESS: Final = "fitness"
"""Fact: how fit the machine is for the council; more is better, and it changes seldom."""
STRAIN: Final = "strain"
"""Fact: why this machine should not lead at present (heat, a battery nearly empty); missing as a rule."""

CHANGING: Final = (CHARGING, REASON, BATTERY, NETWORK, TEMPERATURE, SLOTS_FREE, LOAD, MEMORY_FREE)
"""All of them, those first that matter most when a description has no room for all."""

IDLE: Final = "idle"
DRAINING: Final = "draining"
NETWORKS: Final = ("wired", "wifi", "cellular")
_REASON_SIZE_MAX: Final = 64


def own_reason(is_draining: bool, running_count: int, quarantine: str) -> str:
    """Return the one reason for which this node runs nothing or will soon, "" when it simply works.

    Args:
        is_draining: whether it is about to leave.
        running_count: tasks that it has.
        quarantine: why the leader gives it none, "" when it does.
    """
    if is_draining:
        return DRAINING
    if quarantine:
        return quarantine[:_REASON_SIZE_MAX]
    return "" if running_count > 0 else IDLE


def capacity_row(facts: dict[str, object], is_there: bool) -> dict[str, object]:
    """Return what is shown of a node's capacity: every name, None for what is unknown.

    Args:
        facts: what it told.
        is_there: whether it lives; of others everything is unknown, and the reason is "".
    """
    row: dict[str, object] = dict.fromkeys(CHANGING)
    row[REASON] = row[STRAIN] = ""
    if not is_there:
        return row
    row[SLOTS_FREE] = _whole(facts.get(SLOTS_FREE))
    row[LOAD] = _number(facts.get(LOAD))
    row[MEMORY_FREE] = _whole(facts.get(MEMORY_FREE))
    battery = _whole(facts.get(BATTERY))
    row[BATTERY] = battery if battery is None or battery <= 100 else None
    charging = facts.get(CHARGING)
    row[CHARGING] = charging if isinstance(charging, bool) else None
    row[TEMPERATURE] = _number(facts.get(TEMPERATURE))
    network = facts.get(NETWORK)
    row[NETWORK] = network if isinstance(network, str) and network in NETWORKS else None
    row[REASON] = _reason_in(facts)
    row[STRAIN] = _text_in(facts, STRAIN)
    return row


def _reason_in(facts: dict[str, object]) -> str:
    """Return the reason that is true now: who drains says so at once, before anything else it told."""
    if facts.get("draining") is True:
        return DRAINING
    return _text_in(facts, REASON)


def _text_in(facts: dict[str, object], name: str) -> str:
    text = facts.get(name)
    is_text = isinstance(text, str) and len(text) <= _REASON_SIZE_MAX and text.isprintable()
    return str(text) if is_text else ""


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

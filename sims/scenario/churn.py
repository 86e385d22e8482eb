"""Churn traces: files that say when hosts come and go.

One event a line, ``seconds,host,event``, in order of time; the events are ``up``, ``crash``, ``power-off``
and ``leave``. Empty lines and lines that begin with ``#`` are skipped, and so is a first line
``time_s,host,event``.
"""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Final, TypeAlias

from sims.scenario.faults import ENDS
from swarm.core.errors import ConfigError

UP: Final = "up"
EVENTS: Final = (UP, *ENDS)
HEADER: Final = "time_s,host,event"

ChurnEvent: TypeAlias = tuple[float, str, str]
"""Seconds, host, event."""


def read_churn(path: str | Path) -> list[ChurnEvent]:
    """Return the events of a churn trace, in order.

    Raises:
        ConfigError: the file cannot be read, a line is no event, or events are out of order; names the line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    events: list[ChurnEvent] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#") or (not events and text.replace(" ", "") == HEADER):
            continue
        where = f"{path}: line {number}"
        event = _event_of(text, where)
        if events and event[0] < events[-1][0]:
            raise ConfigError(
                f"{where}: out of order: {event[0]:g} comes after {events[-1][0]:g}; sort the trace by time"
            )
        events.append(event)
    if not events:
        raise ConfigError(f"{path}: the trace has no event; write lines like `10.5,n3,crash`")
    return events


def _event_of(text: str, where: str) -> ChurnEvent:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3:
        raise ConfigError(f"{where}: {text!r} is no event; write `seconds,host,event`")
    try:
        time_s = float(parts[0])
    except ValueError:
        raise ConfigError(f"{where}: {parts[0]!r} is no time in seconds") from None
    if not isfinite(time_s) or time_s < 0:
        raise ConfigError(f"{where}: the time {parts[0]} must be at least 0")
    if parts[2] not in EVENTS:
        raise ConfigError(f"{where}: the event {parts[2]!r} is not known; known are {', '.join(EVENTS)}")
    return (time_s, parts[1], parts[2])

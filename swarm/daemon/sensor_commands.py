"""Sensors that only a command can ask: Termux:API on Android, pmset on macOS.

A command is given `TIMEOUT_S` and then killed with whatever it started: without its companion app (or with a
battery saver) `termux-battery-status` waits for ever. One that failed is asked again after longer pauses.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from typing import Final, final

import trio

from swarm.daemon.sensors import Readings

TIMEOUT_S: Final = 5.0
KILL_TIMEOUT_S: Final = 1.0
OUTPUT_SIZE_MAX: Final = 16_384
PAUSE_S: Final = 60.0
"""Between two questions: each starts processes, and a battery does not lose a percent in less."""
PAUSE_MAX_S: Final = 1800.0
"""After failures."""

_PERCENT: Final = re.compile(r"(\d{1,3})%;\s*([A-Za-z ]+)")
_PLUGGED: Final = ("PLUGGED_AC", "PLUGGED_USB", "PLUGGED_WIRELESS", "PLUGGED_DOCK")


def parse_termux(text: str) -> Readings | None:
    """Return what `termux-battery-status` printed, None when that is not it."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("present") is False:
        return None
    percent = _float(found.get("percentage"))
    heat = _float(found.get("temperature"))
    plugged, status = str(found.get("plugged", "")), str(found.get("status", ""))
    charging: bool | None = None
    if plugged in _PLUGGED or status in ("CHARGING", "FULL"):
        charging = status != "DISCHARGING"
    elif plugged == "UNPLUGGED" or status == "DISCHARGING":
        charging = False
    level = round(percent) if percent is not None and 1 <= percent <= 100 else None
    temperature = round(heat, 1) if heat is not None and 0 < heat <= 100 else None
    if level is None and charging is None and temperature is None:
        return None
    return Readings(battery=level, charging=charging, temperature=temperature)


def parse_pmset(text: str) -> Readings | None:
    """Return what `pmset -g batt` printed, nothing known for a Mac without battery; None for nonsense."""
    if "drawing from" not in text:
        return None
    match = _PERCENT.search(text)
    if match is None:
        return Readings()
    percent = int(match.group(1))
    return Readings(battery=percent if 1 <= percent <= 100 else None, charging="'Battery Power'" not in text)


KNOWN: Final[tuple[tuple[tuple[str, ...], Callable[[str], Readings | None]], ...]] = (
    (("termux-battery-status",), parse_termux),
    (("pmset", "-g", "batt"), parse_pmset),
)
"""Commands, and what reads their output."""


async def output_of(words: Sequence[str], timeout_s: float = TIMEOUT_S) -> str | None:
    """Return what a command prints, None when it fails, prints too much or does not end in time."""
    try:
        process = await trio.lowlevel.open_process(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError):
        return None
    stdout = process.stdout
    assert stdout is not None, "it was opened as a pipe"
    gathered = bytearray()
    is_whole = False
    try:
        with trio.move_on_after(timeout_s):
            async for data in stdout:
                gathered += data
                if len(gathered) > OUTPUT_SIZE_MAX:
                    break
            else:
                is_whole = await process.wait() == 0
    finally:
        if process.returncode is None:
            _kill(process.pid)
        with trio.move_on_after(KILL_TIMEOUT_S, shield=True):
            await process.wait()
            await stdout.aclose()
    return gathered.decode("utf-8", "replace") if is_whole else None


def _kill(group: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(group, signal.SIGKILL)


@final
class CommandSensors:
    """The first command that this machine has, asked now and then.

    Args:
        known: commands with what reads their output.
        timeout_s: how long one may take.
        pause_s: between two questions; doubles after each failure, up to `PAUSE_MAX_S`.
    """

    def __init__(
        self,
        known: Sequence[tuple[tuple[str, ...], Callable[[str], Readings | None]]] = KNOWN,
        timeout_s: float = TIMEOUT_S,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._timeout_s: Final = timeout_s
        self._pause_s: Final = pause_s
        self._found: Final = [(words, parse) for words, parse in known if shutil.which(words[0])][:1]
        self.readings = Readings()
        self.failure_count = 0

    def has_any(self) -> bool:
        """Return whether there is a command to ask."""
        return bool(self._found)

    async def run(self) -> None:
        """Ask until cancelled; what a command that fails said before is forgotten."""
        pause_s = self._pause_s
        for words, parse in self._found:
            while True:
                text = await output_of(words, self._timeout_s)
                readings = None if text is None else parse(text)
                if readings is None:
                    self.failure_count += 1
                    pause_s = min(2 * pause_s, max(PAUSE_MAX_S, self._pause_s))
                else:
                    pause_s = self._pause_s
                self.readings = readings or Readings()
                await trio.sleep(pause_s)


def _float(value: object) -> float | None:
    """Return a number that may stand in quotes."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None

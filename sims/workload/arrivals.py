"""Arrivals: when jobs are submitted.

An :class:`Arrivals` is a description; :meth:`Arrivals.times` draws from it. Times are seconds since the
start of a run and never fall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log
from pathlib import Path
from typing import Final

from swarm.core.errors import ConfigError
from swarm.core.rng import Rng

ARRIVAL_KINDS: Final = ("at-once", "periodic", "poisson", "bursts", "trace")
JOBS_MAX: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """How jobs arrive.

    Attributes:
        kind: "at-once"; "periodic", one every `interval_s`; "poisson", independent gaps of that mean;
            "bursts", as poisson but only in on-phases (both phases are exponentially distributed);
            "trace", at the given times.
        count: jobs, >= 1; of a trace, at most as many as it has, 0 for all.
        start_s: when the first one may arrive, >= 0; added to the times of a trace.
        interval_s: mean gap, > 0.
        on_s, off_s: mean lengths of the phases of bursts, > 0.
        times_s: of a trace, not falling.
    """

    kind: str = "at-once"
    count: int = 1
    start_s: float = 0.0
    interval_s: float = 1.0
    on_s: float = 10.0
    off_s: float = 60.0
    times_s: Sequence[float] = ()

    def __post_init__(self) -> None:
        if self.kind not in ARRIVAL_KINDS:
            raise ConfigError(
                f"the arrival process {self.kind!r} is not known; known are {', '.join(ARRIVAL_KINDS)}"
            )
        if not (0 if self.kind == "trace" else 1) <= self.count <= JOBS_MAX:
            raise ConfigError(f"count is {self.count}, it must be in 1 to {JOBS_MAX}")
        if not (isfinite(self.start_s) and self.start_s >= 0):
            raise ConfigError(f"start_s is {self.start_s}, it must be at least 0")
        for name in ("interval_s", "on_s", "off_s"):
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise ConfigError(f"{name} is {value}, it must be > 0")
        if self.kind == "trace":
            _check_times(self.times_s)

    def times(self, rng: Rng) -> list[float]:
        """Return the times of all jobs, not falling."""
        if self.kind == "trace":
            used = self.times_s[: self.count] if self.count else self.times_s
            return [self.start_s + time_s for time_s in used]
        if self.kind == "periodic":
            return [self.start_s + number * self.interval_s for number in range(self.count)]
        if self.kind == "poisson":
            return self._poisson(rng)
        if self.kind == "bursts":
            return self._bursts(rng)
        return [self.start_s] * self.count

    def _poisson(self, rng: Rng) -> list[float]:
        now = self.start_s
        times: list[float] = []
        for _ in range(self.count):
            now += _exponential(self.interval_s, rng)
            times.append(now)
        return times

    def _bursts(self, rng: Rng) -> list[float]:
        now = self.start_s
        phase_end = now + _exponential(self.on_s, rng)
        times: list[float] = []
        while len(times) < self.count:
            now += _exponential(self.interval_s, rng)
            while now >= phase_end:
                # The gap goes on in the next on-phase; without memory it may as well begin anew there.
                now = phase_end + _exponential(self.off_s, rng)
                phase_end = now + _exponential(self.on_s, rng)
                now += _exponential(self.interval_s, rng)
            times.append(now)
        return times


def read_arrivals(path: str | Path) -> list[tuple[float, str]]:
    """Return the times of a trace file, each with the label of its job ("" for none).

    One job a line: seconds, and after a comma a label if wanted. Empty lines and lines that begin
    with ``#`` are skipped, and so is a first line that begins with ``time_s``.

    Raises:
        ConfigError: the file cannot be read, or a line is no time, or earlier than the line before.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    arrivals: list[tuple[float, str]] = []
    is_first = True
    for number, line in enumerate(lines, 1):
        text, _, label = line.partition(",")
        text = text.strip()
        if not line.strip() or text.startswith("#"):
            continue
        if is_first and text == "time_s":
            is_first = False
            continue
        is_first = False
        try:
            time_s = float(text)
        except ValueError:
            raise ConfigError(f"{path}: line {number}: {text!r} is no time in seconds") from None
        if not isfinite(time_s) or time_s < 0:
            raise ConfigError(f"{path}: line {number}: the time {text} must be at least 0")
        if arrivals and time_s < arrivals[-1][0]:
            raise ConfigError(
                f"{path}: line {number}: out of order: {text} comes after {arrivals[-1][0]}; sort the trace"
            )
        arrivals.append((time_s, label.strip()))
    if not arrivals:
        raise ConfigError(f"{path}: the trace has no arrival")
    return arrivals


def _check_times(times_s: Sequence[float]) -> None:
    if not times_s:
        raise ConfigError("times_s is empty, a trace needs at least one time")
    last = 0.0
    for place, time_s in enumerate(times_s):
        if not isfinite(time_s) or time_s < 0:
            raise ConfigError(f"times_s[{place}] is {time_s}, it must be at least 0")
        if time_s < last:
            raise ConfigError(f"times_s[{place}] is out of order: {time_s} comes after {last}")
        last = time_s


def _exponential(mean: float, rng: Rng) -> float:
    return -mean * log(1 - rng.unit())

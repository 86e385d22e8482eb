"""Running a run again, and finding where two runs first differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final, final

from sims.output import SCENARIO, SUMMARY
from sims.recording.rows import Event
from sims.running import run
from sims.scenario.reading import read_scenario
from sims.trace_files import TRACES, read_trace
from sims.whole_files import OutputError


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Where two traces differ first.

    Attributes:
        row: number of the row, from 1.
        before, now: the two rows; None for the end of a trace.
    """

    row: int
    before: Event | None
    now: Event | None

    def text(self) -> str:
        """Return the difference as lines for people."""
        return f"row {self.row}:\n  before: {_shown(self.before)}\n  now:    {_shown(self.now)}"


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What came of running a run again.

    Attributes:
        before, now: the digests; "" for none.
        difference: the first one between the stored trace and the new one; None for none.
        has_trace: whether there was a stored trace to compare with.
        rows: rows compared.
    """

    before: str
    now: str
    difference: Difference | None
    has_trace: bool
    rows: int

    def is_equal(self) -> bool:
        """Return whether both runs were the same."""
        return self.before == self.now and self.difference is None


@final
class _Comparer:
    """Takes the rows of a run and compares them with a stored trace."""

    def __init__(self, stored: Iterator[Event]) -> None:
        self._stored: Final = stored
        self.rows = 0
        self.difference: Difference | None = None

    def take(self, rows: Sequence[Event]) -> None:
        """Compare some rows."""
        for row in rows:
            if self.difference is not None:
                return
            self.rows += 1
            before = next(self._stored, None)
            if before != row:
                self.difference = Difference(row=self.rows, before=before, now=row)

    def finish(self) -> None:
        """Notice rows of the stored trace that the run did not have."""
        if self.difference is None:
            before = next(self._stored, None)
            if before is not None:
                self.difference = Difference(row=self.rows + 1, before=before, now=None)


def replay(target: str | Path, on_progress: Callable[[float], None] | None = None) -> Replay:
    """Run a written run again and compare it with what was written.

    Args:
        target: the folder of a run, or a trace in it.
        on_progress: called now and then with the virtual time.

    Raises:
        OutputError: there is no such run.
        ScenarioError: its scenario cannot be read.
    """
    path = Path(target)
    folder = path if path.is_dir() else path.parent
    trace = _trace_in(folder) if path.is_dir() else path
    if trace is not None and not trace.is_file():
        raise OutputError(f"{target}: there is no such folder or trace")
    if not (folder / SUMMARY).is_file():
        raise OutputError(f"{folder}: holds no run; {SUMMARY} is not there")
    before = _stored_digest(folder / SUMMARY)
    scenario = read_scenario(folder / SCENARIO)
    comparer = None if trace is None else _Comparer(read_trace(trace))
    outcome = run(scenario, sink=comparer, on_progress=on_progress)
    if comparer is not None:
        comparer.finish()
    return Replay(
        before=before,
        now=outcome.digest,
        difference=None if comparer is None else comparer.difference,
        has_trace=comparer is not None,
        rows=0 if comparer is None else comparer.rows,
    )


def compare_traces(one: str | Path, two: str | Path) -> Difference | None:
    """Return where two traces first differ, None when they are equal.

    Args:
        one, two: traces in CSV or JSON lines, or folders with one.

    Raises:
        OutputError: a trace cannot be read, or a folder has none.
    """
    first, second = _trace_of(Path(one)), _trace_of(Path(two))
    for number, (before, now) in enumerate(zip_longest(read_trace(first), read_trace(second)), 1):
        if before != now:
            return Difference(row=number, before=before, now=now)
    return None


def _trace_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = _trace_in(path)
    if found is None:
        raise OutputError(f"{path}: holds no trace; run with --trace csv")
    return found


def _trace_in(folder: Path) -> Path | None:
    for name in ("csv", "jsonl"):
        if (folder / TRACES[name]).is_file():
            return folder / TRACES[name]
    return None


def _stored_digest(path: Path) -> str:
    try:
        summary: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read: {error}") from error
    if not isinstance(summary, dict) or not isinstance(summary.get("digest"), str):
        raise OutputError(f"{path}: is no summary of a run; it has no digest")
    digest: str = summary["digest"]
    return digest


def _shown(row: Event | None) -> str:
    if row is None:
        return "the end of the trace"
    peer = f" peer {row.peer}" if row.peer >= 0 else ""
    detail = f" {row.detail}" if row.detail else ""
    return f"{row.time_s:.9f} s node {row.node} {row.event}{peer} {row.bytes} bytes{detail}"

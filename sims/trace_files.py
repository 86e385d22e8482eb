"""Traces of runs in files: CSV, JSON lines, and the trace event format of Chrome.

Every trace has the same columns; see `sims.recording.rows.Event`. CSV and JSON lines are written while a run
goes on, so that they may be larger than the memory.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, final

from sims.outcome import Outcome
from sims.recording.rows import NEVER, Event
from sims.whole_files import OutputError, write_whole

COLUMNS: Final = ("time_s", "node", "event", "peer", "bytes", "detail")
"""Of every trace, in this order."""

TRACES: Final = {"csv": "trace.csv", "jsonl": "trace.jsonl", "chrome": "trace.chrome.json"}

_MICROSECONDS: Final = 1_000_000


@final
class TraceFiles:
    """Writes the rows of a trace while a run goes on; nothing is seen of the files before :meth:`finish`.

    Args:
        folder: where; it is made, and whether it can be written is tried.
        formats: "csv" and "jsonl"; "chrome" is written at the end; none at all is allowed.

    Raises:
        OutputError: a file cannot be written; so do the methods.
    """

    def __init__(self, folder: str | Path, formats: Sequence[str]) -> None:
        self._folder: Final = Path(folder)
        self._formats: Final = tuple(formats)
        self._open: Final[dict[str, IO[str]]] = {}
        self._made: Final = [place for place in (self._folder, *self._folder.parents) if not place.exists()]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._probe()
            for name in formats:
                if name != "chrome":
                    self._open[name] = self._part(name).open("w", encoding="utf-8", newline="")
        except OSError as error:
            self.abandon()
            raise OutputError(f"{error.filename}: cannot be written: {error.strerror}") from error
        if "csv" in self._open:
            csv.writer(self._open["csv"], lineterminator="\n").writerow(COLUMNS)

    def take(self, rows: Sequence[Event]) -> None:
        """Append rows."""
        try:
            if "csv" in self._open:
                write = csv.writer(self._open["csv"], lineterminator="\n").writerow
                for row in rows:
                    write((repr(row.time_s), *row[1:]))
            if "jsonl" in self._open:
                for row in rows:
                    text = json.dumps(row._asdict(), ensure_ascii=False, separators=(",", ":"))
                    self._open["jsonl"].write(text + "\n")
        except OSError as error:
            self.abandon()
            raise OutputError(f"{self._folder}: the trace cannot be written: {error.strerror}") from error

    def finish(self, outcome: Outcome | None) -> list[Path]:
        """Close the files and give them their names; return them. Traces of an earlier run are removed.

        Args:
            outcome: for the Chrome trace; None leaves it out.
        """
        found: list[Path] = []
        try:
            for name, file in self._open.items():
                file.close()
                self._part(name).replace(self._folder / TRACES[name])
                found.append(self._folder / TRACES[name])
        except OSError as error:
            self.abandon()
            raise OutputError(f"{self._folder}: the trace cannot be written: {error.strerror}") from error
        if "chrome" in self._formats and outcome is not None:
            path = self._folder / TRACES["chrome"]
            write_whole(path, json.dumps(chrome_trace(outcome), separators=(",", ":"), ensure_ascii=False))
            found.append(path)
        for name in TRACES.values():
            if self._folder / name not in found:
                (self._folder / name).unlink(missing_ok=True)
        return found

    def abandon(self) -> None:
        """Close and remove what was not finished, and the folder if it was made for it."""
        for name, file in self._open.items():
            file.close()
            self._part(name).unlink(missing_ok=True)
        with suppress(OSError):  # what holds other files, or was never made, stays as it is
            for place in self._made:
                place.rmdir()

    def _probe(self) -> None:
        """Write an empty file and remove it.

        Raises:
            OSError: the folder cannot be written.
        """
        probe = self._folder / f".probe.{os.getpid()}.part"
        probe.touch()
        probe.unlink()

    def _part(self, name: str) -> Path:
        return self._folder / f".{TRACES[name]}.{os.getpid()}.part"


def read_trace(path: str | Path) -> Iterator[Event]:
    """Yield the rows of a trace in CSV or JSON lines.

    Raises:
        OutputError: the file cannot be read, or a line is no row; names the line.
    """
    file = Path(path)
    is_csv = file.suffix == ".csv"
    if not is_csv and file.suffix != ".jsonl":
        raise OutputError(f"{path}: is no trace; its name must end with .csv or .jsonl")
    try:
        with file.open(encoding="utf-8", newline="" if is_csv else None) as lines:
            rows: Iterator[Any] = csv.reader(lines) if is_csv else iter(lines)
            for number, row in enumerate(rows, 1):
                if is_csv and number == 1:
                    if tuple(row) != COLUMNS:
                        raise OutputError(f"{path}: line 1: the columns must be {','.join(COLUMNS)}")
                    continue
                yield _event_of(row if is_csv else _fields_of(row, f"{path}: line {number}"), path, number)
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{path}: cannot be read: {error}") from error


def _fields_of(line: str, where: str) -> list[object]:
    try:
        found: object = json.loads(line)
    except ValueError:
        raise OutputError(f"{where}: is not JSON") from None
    if not isinstance(found, Mapping) or tuple(found) != COLUMNS:
        raise OutputError(f"{where}: must be an object with {', '.join(COLUMNS)}")
    return list(found.values())


def _event_of(row: Sequence[Any], path: str | Path, number: int) -> Event:
    try:
        time_s, node, event, peer, size, detail = row
        return Event(float(time_s), int(node), str(event), int(peer), int(size), str(detail))
    except (TypeError, ValueError):
        raise OutputError(f"{path}: line {number}: is no row of a trace: {row!r}") from None


def chrome_trace(outcome: Outcome) -> dict[str, Any]:
    """Return a run in the trace event format of Chrome: hosts are processes, lanes of executors are threads.

    Attempts are complete events, leaderships, ends and starts of nodes instants, the share of right pairs of
    the membership is a counter.
    """
    events: list[dict[str, Any]] = []
    lanes: dict[int, int] = {}
    for run in outcome.tasks:
        lanes[run.host] = max(lanes.get(run.host, 0), run.lane)
        arguments = {"job": run.job, "task": run.task, "attempt": run.attempt, "how": run.how}
        events.append(
            {
                "name": run.name,
                "cat": "task",
                "ph": "X",
                "ts": _microseconds(run.begin_s),
                "dur": _microseconds(run.end_s) - _microseconds(run.begin_s),
                "pid": run.host,
                "tid": run.lane,
                "args": arguments,
            }
        )
    for reign in outcome.reigns:
        events.append(_instant(f"leads, ballot {reign.counter}", "leader", reign.begin_s, reign.host, "g"))
        if reign.end_s != NEVER:
            events.append(_instant("leads no more", "leader", reign.end_s, reign.host, "p"))
    for death in outcome.deaths:
        events.append(_instant(f"ends: {death.how}", "death", death.time_s, death.host, "g"))
        if death.all_s != NEVER:
            events.append(_instant("end seen by all", "death", death.all_s, death.host, "p"))
        if death.restarted_s != NEVER:
            events.append(_instant("starts again", "death", death.restarted_s, death.host, "p"))
    for sample in outcome.samples:
        events.append(
            {
                "name": "right pairs",
                "ph": "C",
                "ts": _microseconds(sample.time_s),
                "pid": 0,
                "args": {"share": sample.share},
            }
        )
    names: list[dict[str, Any]] = []
    for number, name in enumerate(outcome.hosts):
        names.append({"name": "process_name", "ph": "M", "pid": number, "tid": 0, "args": {"name": name}})
        for lane in range(lanes.get(number, -1) + 1):
            arguments = {"name": f"executor {lane}"}
            names.append({"name": "thread_name", "ph": "M", "pid": number, "tid": lane, "args": arguments})
    about = {"scenario": outcome.scenario.name, "seed": outcome.scenario.seed, "digest": outcome.digest}
    return {"traceEvents": [*names, *events], "displayTimeUnit": "ms", "otherData": about}


def _instant(name: str, category: str, time_s: float, host: int, scope: str) -> dict[str, Any]:
    return {
        "name": name,
        "cat": category,
        "ph": "i",
        "s": scope,
        "ts": _microseconds(time_s),
        "pid": host,
        "tid": 0,
    }


def _microseconds(time_s: float) -> int:
    return round(time_s * _MICROSECONDS)

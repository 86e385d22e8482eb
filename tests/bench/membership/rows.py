"""What was measured, as rows that a file keeps; medians over rounds."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure of one round.

    Attributes:
        session: which part of the benchmark, such as "whole" or "merge".
        system: key of `group.SYSTEMS`.
        nodes: size of the group.
        round: from 0.
        metric: what was measured, unit last.
        value: the figure, None when it did not come about within `limit`.
        limit: how long or how far was looked; 0 where that means nothing.
    """

    session: str
    system: str
    nodes: int
    round: int
    metric: str
    value: float | None
    limit: float = 0.0


@dataclass(frozen=True)
class Summary:
    """Figures of several rounds.

    Attributes:
        median, least, most: None stands for "not within the limit", which is above every figure.
        runs: how many.
        limit: the greatest.
    """

    median: float | None
    least: float | None
    most: float | None
    runs: int
    limit: float


def summary(rows: Sequence[Row]) -> Summary | None:
    """Return the median, least and most of rows, None of no rows.

    A figure that did not come about counts as infinite; the median of an even number whose upper middle is
    infinite is infinite too.
    """
    if not rows:
        return None
    values = sorted(float("inf") if row.value is None else row.value for row in rows)
    middle = statistics.median(values)
    median, least, most = [
        None if value == float("inf") else value for value in (middle, values[0], values[-1])
    ]
    return Summary(median, least, most, len(values), max(row.limit for row in rows))


def chosen(rows: Iterable[Row], **wanted: object) -> list[Row]:
    """Return the rows whose fields have these values."""
    return [row for row in rows if all(getattr(row, key) == value for key, value in wanted.items())]


class Kept:
    """The file of a benchmark: written whole after every session, and gone on with when it is there.

    Args:
        path: JSON, made when missing. One of other sources is put aside as ``<name>.before``: figures of two
            states of the code are not mixed.
        about: of the machine, the versions and the sources.
    """

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self._path = path
        self.rows: list[Row] = []
        self.sessions: list[dict[str, Any]] = []
        if path.exists():
            held = json.loads(path.read_text(encoding="utf-8"))
            if about and held["about"].get("sources") != about.get("sources"):
                path.replace(path.with_suffix(".before"))
            else:
                self.rows = [Row(**row) for row in held["rows"]]
                self.sessions = list(held["sessions"])
        self.about = about

    def has(self, session: dict[str, Any]) -> bool:
        """Return whether a session of these fields is there already."""
        return any(all(kept.get(key) == value for key, value in session.items()) for kept in self.sessions)

    def add(self, session: dict[str, Any], notes: dict[str, Any], rows: Sequence[Row]) -> None:
        """Keep a session: what it was, notes about it, and its rows."""
        self.sessions.append({**session, **notes})
        self.rows += rows
        text = json.dumps(
            {
                "about": self.about,
                "sessions": self.sessions,
                "rows": [dataclasses.asdict(row) for row in self.rows],
            },
            indent=1,
        )
        other = self._path.with_suffix(".part")
        other.write_text(text + "\n", encoding="utf-8")
        other.replace(self._path)


def load_rows(path: Path) -> list[Row]:
    """Return the rows of a file."""
    return Kept(path, {}).rows

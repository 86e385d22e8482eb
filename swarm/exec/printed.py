"""What the tasks of a node printed: what is new, and the newest of what was told, for the next leader.

Printed output is no fact and is on no disk: a leader keeps the newest of it, and takes it along when it
dies. So every node tells the next leader again what it still has.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import NO_BALLOT, Ballot


@final
class PrintedRows:
    """Rows [job, task, attempt, stream, offset, data], oldest first.

    Args:
        bytes_max: of data kept after it was told, >= 0.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max: Final = bytes_max
        self._fresh: list[list[object]] = []
        self._told: list[list[object]] = []
        self._told_bytes = 0
        self._ballot = NO_BALLOT

    def add(self, row: list[object]) -> None:
        """Take what a task printed."""
        self._fresh.append(row)

    def take(self) -> list[list[object]]:
        """Return what is to be told, and keep the newest of it."""
        rows = self._fresh
        if not rows:
            return rows
        self._fresh = []
        self._told.extend(rows)
        for row in rows:
            self._told_bytes += _size_of(row)
        dropped = 0
        while self._told_bytes > self._bytes_max:
            self._told_bytes -= _size_of(self._told[dropped])
            dropped += 1
        del self._told[:dropped]
        return rows

    def tell_again(self, ballot: Ballot) -> None:
        """Take that a leader asks for a report: the first time all that is kept is to be told."""
        if ballot == self._ballot:
            return
        self._ballot = ballot
        self._fresh = self._told + self._fresh
        self._told = []
        self._told_bytes = 0


def _size_of(row: list[object]) -> int:
    data = row[5]
    return len(data) if isinstance(data, bytes) else 0

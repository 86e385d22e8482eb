"""A simulated disk: what of a journal survives which kind of end."""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import Effect, Erase, Persist
from swarm.core.rng import Rng

KEEP: Final = "keep"
TORN: Final = "torn"
DESTROYED: Final = "destroyed"
DISK_FATES: Final = (KEEP, TORN, DESTROYED)
"""What happens to a disk when its node ends: only what was synced is there afterwards; or also a part of what
was being written; or nothing, not even the node's identity."""


@final
class Disk:
    """The rows of a journal, as the daemon's: each has a checksum, so that a damaged one is noticed.

    Attributes:
        tables: what is on disk: table -> key -> value.
        is_lying: syncs are acknowledged and do nothing until the power fails or the disk is told the truth.
        is_damaged: a row was damaged; the next boot drops it and knows that something is missing.
    """

    def __init__(self) -> None:
        self.tables: dict[str, dict[bytes, bytes]] = {}
        self.is_lying = False
        self.is_damaged = False
        self._unsynced: list[Effect] = []
        self._lied: list[Effect] = []

    def write(self, effect: Effect) -> None:
        """Take a Persist or an Erase; it is in memory only until :meth:`sync`."""
        self._unsynced.append(effect)

    def sync(self) -> None:
        """Put everything written so far on disk, or say so."""
        if self.is_lying:
            self._lied.extend(self._unsynced)
        else:
            self._apply(self._unsynced)
        self._unsynced = []

    def tell_the_truth(self) -> None:
        """End the lying; what was acknowledged meanwhile is written."""
        self.is_lying = False
        self._apply(self._lied)
        self._lied = []

    def end(self, fate: str, has_power: bool, rng: Rng) -> None:
        """Let the node end.

        Args:
            fate: one of `DISK_FATES`.
            has_power: whether the host stays on; then the lies of the disk come true.
            rng: decides how much of a torn write is there.
        """
        if has_power:
            self._apply(self._lied)
        unsynced = self._unsynced
        self._unsynced = []
        self._lied = []
        if fate == TORN:
            self._apply(unsynced[: rng.below(len(unsynced) + 1)])
        elif fate == DESTROYED:
            self.tables = {}
            self.is_damaged = False

    def flip_bit(self, rng: Rng) -> str:
        """Damage one row; return its table, "" when there is no row."""
        rows = self.load()
        if not rows:
            return ""
        table, key, _ = rng.choose(rows)
        del self.tables[table][key]
        self.is_damaged = True
        return table

    def copy(self) -> Disk:
        """Return a disk with the same rows, as a cloned card has."""
        copied = Disk()
        for table, rows in self.tables.items():
            copied.tables[table] = rows.copy()
        copied.is_damaged = self.is_damaged
        return copied

    def load(self) -> list[tuple[str, bytes, bytes]]:
        """Return the intact rows on disk."""
        found: list[tuple[str, bytes, bytes]] = []
        for table, rows in self.tables.items():
            for key, value in rows.items():
                found.append((table, key, value))
        return found

    def row(self, table: str, key: bytes) -> bytes | None:
        """Return the value of one row."""
        rows = self.tables.get(table)
        return None if rows is None else rows.get(key)

    def _apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Persist):
                rows = self.tables.get(effect.table)
                if rows is None:
                    rows = {}
                    self.tables[effect.table] = rows
                rows[effect.key] = effect.value
            elif isinstance(effect, Erase):
                rows = self.tables.get(effect.table)
                if rows is not None:
                    prefix = effect.prefix
                    for key in [key for key in rows if key.startswith(prefix)]:
                        del rows[key]

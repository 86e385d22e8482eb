"""The trace of a run: every event folded into one digest, and kept as rows when asked for."""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Final, final

_HEAD: Final = struct.Struct("<dii")


@final
class Trace:
    """Folds events into a digest by which two runs are compared.

    Args:
        keep: whether rows (time, kind, node, size) are kept, for reading.
    """

    def __init__(self, keep: bool = False) -> None:
        self._hash = blake2b(digest_size=16)
        self._keep: Final = keep
        self.rows: list[tuple[float, int, int, int]] = []
        self.events = 0

    def add(self, time_s: float, kind: int, node: int, payload: bytes) -> None:
        """Fold one event in: when, what kind, at which node, with which bytes."""
        self.events += 1
        self._hash.update(_HEAD.pack(time_s, kind, node))
        self._hash.update(payload)
        if self._keep:
            self.rows.append((time_s, kind, node, len(payload)))

    def digest(self) -> str:
        """Return the digest of all events so far, 32 hex digits."""
        return self._hash.copy().hexdigest()

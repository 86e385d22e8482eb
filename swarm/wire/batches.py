"""Cutting long lists of rows into messages of a bounded count and size."""

from __future__ import annotations

from typing import Final

ROWS_MAX: Final = 1000
BYTES_MAX: Final = 2 * 1024 * 1024
_NUMBER_BYTES: Final = 5


def weight_of(value: object) -> int:
    """Return about how many bytes a value takes on the wire; lists count what is in them."""
    if isinstance(value, (bytes, str)):
        return len(value) + _NUMBER_BYTES
    if isinstance(value, list):
        total = _NUMBER_BYTES
        for item in value:
            total += weight_of(item)
        return total
    return _NUMBER_BYTES


def cut_rows(rows: list[object], rows_max: int = ROWS_MAX, bytes_max: int = BYTES_MAX) -> list[list[object]]:
    """Return the rows in order, in batches of at most `rows_max` rows and about `bytes_max` bytes.

    A row that is larger than that is a batch of its own.
    """
    batches: list[list[object]] = []
    batch: list[object] = []
    size = 0
    for row in rows:
        weight = weight_of(row)
        if batch and (len(batch) >= rows_max or size + weight > bytes_max):
            batches.append(batch)
            batch = []
            size = 0
        batch.append(row)
        size += weight
    if batch:
        batches.append(batch)
    return batches

"""A bounded table of functions by digest, kept alike on both ends of an executor's channel.

The node sends a function's bytes only when its table lacks the digest. Both tables see the same digests in
the same order and forget by the same rule, so the executor always has what the node believes it has.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeVar

T = TypeVar("T")

FUNCTION_COUNT_MAX: Final = 256
"""Functions that an executor keeps loaded."""


class RecentFunctions(Generic[T]):
    """Values by digest; the one unused for longest is forgotten first."""

    def __init__(self, count_max: int = FUNCTION_COUNT_MAX) -> None:
        self._values: OrderedDict[bytes, T] = OrderedDict()
        self._count_max = count_max

    def get(self, digest: bytes) -> T | None:
        """Return the value under `digest` and mark it as used; None when there is none."""
        value = self._values.get(digest)
        if value is not None:
            self._values.move_to_end(digest)
        return value

    def put(self, digest: bytes, value: T) -> None:
        """Keep `value`, used just now; forget the oldest when there are too many."""
        self._values[digest] = value
        self._values.move_to_end(digest)
        if len(self._values) > self._count_max:
            self._values.popitem(last=False)

"""Replaying a graph of durations and sizes: what each of its tasks does on a node."""

from __future__ import annotations

import random
import time


def replay(name: str, duration_s: float, sizes_bytes: list[int], *inputs: bytes) -> bytes | tuple[bytes, ...]:
    """Sleep, then return as many bytes as the task is said to make; the same ones each time.

    Args:
        name: of the task; what it makes follows from it.
        duration_s: how long it takes, >= 0.
        sizes_bytes: one for each output; none makes one empty output.
        inputs: outputs of other tasks, which travelled here to be dropped.
    """
    del inputs
    time.sleep(duration_s)  # taking so long is the task
    source = random.Random(name)  # noqa: S311 - only bytes that differ
    made = [source.randbytes(size) for size in sizes_bytes] or [b""]
    return made[0] if len(made) == 1 else tuple(made)

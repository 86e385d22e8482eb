"""Permits: which tasks an executor may begin, in a pipe that both the node and the executor can read.

The node writes one permit for each task that it gives, in order. With a task in hand the executor takes the
next permit out of the pipe: it begins the task when that is its own and otherwise skips it, as well as those
behind it, up to the task of the permit. To recall tasks the node takes out all the permits that are left and
puts back those it did not mean. Whoever reads a permit has it alone, so a task is either begun or recalled,
never both; and the node never waits: an executor that gets no processor, or is stopped, or is stuck in its
first task, is recalled from as well as any.

A permit is the task's handle as u64 little endian. Both ends transfer whole permits in single system calls
of at most `PIPE_BUF` bytes, which pipes do not tear.
"""

from __future__ import annotations

import os
import select
import struct
from collections import deque
from typing import Final

PERMIT_SIZE: Final = 8
_WRITE_COUNT_MAX: Final = select.PIPE_BUF // PERMIT_SIZE
_READ_SIZE: Final = 65536


class PermitPipe:
    """The node's side.

    Args:
        reader, writer: the ends of a pipe, both non-blocking; the executor has a copy of the reader.
    """

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = reader
        self._writer = writer
        self._backlog: deque[int] = deque()

    def give(self, handles: list[int]) -> None:
        """Permit these tasks, behind those permitted before."""
        if self._backlog or len(handles) > _WRITE_COUNT_MAX or not self._write(handles):
            self._backlog.extend(handles)
            self.push()

    def push(self) -> None:
        """Write what did not fit before; to be called whenever the executor may have taken some."""
        backlog = self._backlog
        while backlog:
            count = min(len(backlog), _WRITE_COUNT_MAX)
            if not self._write([backlog[i] for i in range(count)]):
                return
            for _ in range(count):
                backlog.popleft()

    def recall(self, handles: list[int] | None = None) -> list[int]:
        """Withdraw the permits of these tasks (of all: None); return those that were not begun yet."""
        left = self._take()
        left.extend(self._backlog)
        self._backlog.clear()
        if handles is None:
            return left
        self.give([handle for handle in left if handle not in handles])
        return [handle for handle in left if handle in handles]

    def close(self) -> None:
        """Close both ends."""
        self._backlog.clear()
        os.close(self._reader)
        os.close(self._writer)

    def _write(self, handles: list[int]) -> bool:
        try:
            os.write(self._writer, struct.pack(f"<{len(handles)}Q", *handles))
        except BlockingIOError:
            return False
        return True

    def _take(self) -> list[int]:
        handles: list[int] = []
        while True:
            try:
                data = os.read(self._reader, _READ_SIZE)
            except BlockingIOError:
                return handles
            handles.extend(struct.unpack(f"<{len(data) // PERMIT_SIZE}Q", data))


class Permits:
    """The executor's side.

    Args:
        reader: the non-blocking end to read from.
    """

    def __init__(self, reader: int) -> None:
        self._reader = reader

    def take(self) -> int:
        """Return the handle of the task to begin next, 0 when none is permitted now, -1 at the end."""
        try:
            data = os.read(self._reader, PERMIT_SIZE)
        except BlockingIOError:
            return 0
        except OSError:  # a task closed it
            return -1
        return int.from_bytes(data, "little") if len(data) == PERMIT_SIZE else -1

    def wait(self) -> None:
        """Wait until a permit may be there, or the node is gone."""
        try:
            select.select([self._reader], [], [])
        except (OSError, ValueError):
            return  # `take` tells

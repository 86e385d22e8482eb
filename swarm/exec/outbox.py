"""What an executor has to say, in memory that the node shares: nothing is lost when the executor crashes.

Frames of finished tiny tasks and lines of output are not worth a write each. They gather in a page of
memory shared with the node and leave together, when nothing is queued or shortly after the first. When the
executor dies in between, the node reads the rest from the page: results before the crash count, and the
task that is blamed is the one that was really running.

The page: u64 `base` (bytes of the stream before the region), u64 `length` (bytes in the region), u64
`handle` (the run in progress, 0 for none), then the region. The node knows how much of the stream it has
received; the rest is ``region[received - base : length]``.
"""

from __future__ import annotations

import fcntl
import io
import math
import mmap
import os
import socket
import struct
import tempfile
import termios
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from swarm.wire.executor_frames import OUTPUT, pack_executor_frame

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

REGION_SIZE: Final = 128 * 1024
PAGE_SIZE: Final = REGION_SIZE + 4096
_HEADER: Final = 24
_BASE: Final = 0
_LENGTH: Final = 1
_HANDLE: Final = 2

OUTPUT_DELAY_S: Final = 0.05
"""How long printed text waits for more before it leaves."""

_LINE_SIZE_MAX: Final = 8192
_PIECE_SIZE_MAX: Final = 65536


def create_page(folder: Path) -> int:
    """Return a descriptor of a new page: memory without a name, or a nameless file in `folder`."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("swarm-outbox", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile(dir=folder) as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, PAGE_SIZE)
    return descriptor


class OutboxPage:
    """The node's view of a page."""

    def __init__(self, descriptor: int) -> None:
        self._page = mmap.mmap(descriptor, PAGE_SIZE, prot=mmap.PROT_READ)

    def handle(self) -> int:
        """Return the handle of the run in progress, 0 before the first."""
        return int.from_bytes(self._page[16:_HEADER], "little")

    def rest(self, received: int) -> bytes:
        """Return what the executor had gathered behind the first `received` bytes of its stream."""
        base, length = struct.unpack("<QQ", self._page[:16])
        start = received - base
        if not 0 <= start <= length <= REGION_SIZE:
            return b""
        return self._page[_HEADER + start : _HEADER + length]

    def close(self) -> None:
        """Unmap the page."""
        self._page.close()


class Outbox:
    """The executor's side: gathers frames in the page and writes them to the channel.

    Args:
        channel: to the node, blocking.
        descriptor: of the page; closed here.
        on_broken: called, in any thread, when the node is gone and nobody is left to tell.
    """

    def __init__(self, channel: socket.socket, descriptor: int, on_broken: Callable[[], None]) -> None:
        self._channel = channel
        self._on_broken = on_broken
        page = memoryview(mmap.mmap(descriptor, PAGE_SIZE))
        os.close(descriptor)
        self._header = page[:_HEADER].cast("Q")
        self._region = page[_HEADER : _HEADER + REGION_SIZE]
        self._queue: deque[bytes] = deque()
        self._sent = 0
        self._sending = threading.RLock()
        self._gathering = threading.RLock()
        self._is_sending = False
        self._is_gathering = False
        self._due = math.inf
        self._timer = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        self._streams: list[TaskStream] = []
        self.is_owner = True

    @property
    def handle(self) -> int:
        """The run in progress."""
        return int(self._header[_HANDLE])

    def begin(self, handle: int) -> None:
        """Say which run is in progress; raw output is attributed to it."""
        self._header[_HANDLE] = handle

    def is_empty(self) -> bool:
        """Return whether nothing is waiting to be written."""
        return not self._header[_LENGTH] and not self._queue

    def put(self, frame: bytes) -> None:
        """Add a frame; it survives a crash from here on. Safe in any thread, signal handler or finalizer."""
        self._queue.append(frame)
        self._gather()
        if self._queue:
            self.flush()

    def flush(self) -> None:
        """Write everything."""
        with self._sending:
            if self._is_sending:  # a finalizer or signal handler inside the loop below, which goes on
                return
            self._is_sending = True
            try:
                while self._send_gathered():
                    pass
            finally:
                self._is_sending = False

    def flush_within(self, delay_s: float) -> None:
        """Make sure that everything is written at latest after `delay_s` seconds, whatever the task does."""
        due = time.monotonic() + delay_s
        if self._due <= due:
            return
        with self._timer:
            self._due = due
            if self._thread is None:
                self._thread = threading.Thread(target=self._flush_when_due, daemon=True, name="swarm-outbox")
                try:
                    self._thread.start()
                except RuntimeError:  # no memory for a thread
                    self._thread = None
                    self._due = math.inf
                    self.flush()
                    return
            self._timer.notify()

    def add_stream(self, stream: TaskStream) -> None:
        """Let unfinished lines of `stream` leave with the timer."""
        self._streams.append(stream)

    def disown(self) -> None:
        """Called in a process that a task forked: its output goes to the plain descriptors."""
        self.is_owner = False
        self._channel.close()

    def _gather(self) -> int:
        """Move queued frames into the page while they fit; return the bytes in the page.

        Holds its lock only for moments, never while sending: a task that prints does not wait, and what it
        printed is in the page before it can crash.
        """
        with self._gathering:
            if not self._is_gathering:  # else a finalizer or signal handler inside this loop, which goes on
                self._is_gathering = True
                while self._queue:
                    length = int(self._header[_LENGTH])
                    frame = self._queue[0]
                    if length + len(frame) > REGION_SIZE:
                        break
                    self._region[length : length + len(frame)] = frame
                    self._header[_LENGTH] = length + len(frame)
                    self._queue.popleft()
                self._is_gathering = False
            return int(self._header[_LENGTH])

    def _send_gathered(self) -> bool:
        """Send what the page has and empty it when all is sent; False when nothing was left to do."""
        length = self._gather()
        if self._sent < length:
            self._send(self._region[self._sent : length])
            self._sent = length
            return True
        with self._gathering:
            if self._sent < self._header[_LENGTH]:
                return True
            self._header[_LENGTH] = 0
            self._header[_BASE] += self._sent
            self._sent = 0
            frame = self._queue[0] if self._queue else b""
            if len(frame) <= REGION_SIZE:
                return bool(frame)
            self._queue.popleft()
        self._send(frame)
        self._header[_BASE] += len(frame)
        return True

    def _send(self, data: bytes | memoryview) -> None:
        try:
            self._channel.sendall(data)
        except OSError:
            self._on_broken()

    def _flush_when_due(self) -> None:
        while True:
            with self._timer:
                while (wait_s := self._due - time.monotonic()) > 0:
                    self._timer.wait(None if wait_s == math.inf else wait_s)
                self._due = math.inf
            for stream in self._streams:
                stream.push()
            self.flush()


class TaskStream(io.BufferedIOBase):
    """The bytes behind `sys.stdout` (1) or `sys.stderr` (2) of an executor: lines become OUTPUT frames."""

    def __init__(self, outbox: Outbox, stream: int) -> None:
        super().__init__()
        self._outbox = outbox
        self._stream = stream
        self._pending = b""
        self._lock = threading.RLock()
        outbox.add_stream(self)

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the plain descriptor, so that child processes can be given it."""
        return self._stream

    def write(self, data: ReadableBuffer, /) -> int:
        """Send whole lines with the next flush, and the rest 50 ms later."""
        chunk = bytes(data)
        if not self._outbox.is_owner:
            return os.write(self._stream, chunk)
        with self._lock:
            self._pending += chunk
            size = len(self._pending)
            self._send(size if size > _LINE_SIZE_MAX else self._pending.rfind(b"\n") + 1)
        self._outbox.flush_within(OUTPUT_DELAY_S)
        return len(chunk)

    def flush(self) -> None:
        """Send everything at once."""
        if self._outbox.is_owner:
            self.push()
            self._outbox.flush()

    def push(self) -> None:
        """Add an unfinished line to the outbox."""
        if self._pending:
            with self._lock:
                self._send(len(self._pending))

    def renew_lock(self) -> None:
        """Called in a forked process, where another thread may have held the lock."""
        self._lock = threading.RLock()

    def _send(self, cut: int) -> None:
        ready, self._pending = self._pending[:cut], self._pending[cut:]
        for start in range(0, len(ready), _PIECE_SIZE_MAX):
            piece = ready[start : start + _PIECE_SIZE_MAX]
            self._outbox.put(pack_executor_frame([OUTPUT, self._outbox.handle, self._stream, piece]))


def wait_until_read(descriptors: tuple[int, ...], patience_s: float) -> None:
    """Wait until the node has read what is in these pipes, so that it belongs to the run that wrote it."""
    deadline = time.monotonic() + patience_s
    for descriptor in descriptors:
        while _unread_bytes(descriptor) and time.monotonic() < deadline:
            time.sleep(0.0005)  # no event tells that the other side has read a pipe empty


def _unread_bytes(descriptor: int) -> int:
    try:
        return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"), "little")
    except OSError:
        return 0

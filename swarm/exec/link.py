"""The node's end of one executor: its channel, its permits, its output pipes, its shared page.

Everything is non-blocking; the tasks that wait for descriptors belong to `swarm.exec.process`.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from swarm.core.effects import ExecutorTask, InputValue
from swarm.core.ids import object_path, short
from swarm.exec.outbox import OutboxPage, create_page
from swarm.exec.permits import PermitPipe
from swarm.exec.recent import RecentFunctions
from swarm.wire.executor_frames import (
    DONE,
    FAILED,
    OUTPUT,
    RECALLED,
    RUN,
    ExecutorFrameReader,
    pack_executor_frame,
)

RECEIVE_SIZE: Final = 256 * 1024
RAW_SIZE: Final = 65536
TAIL_SIZE_MAX: Final = 4096
"""Bytes of the last output of a run that are told when the executor ends in it."""

BACKLOG_SIZE_MAX: Final = 64 * 1024 * 1024
"""Bytes that may wait for an executor to read them."""

_READS_MAX: Final = 16

Deliver = Callable[["ExecutorLink", list[list[object]]], None]


class ExecutorLink:
    """One executor, from the node's side.

    Args:
        executor: its number.
        generation: tells this process from earlier ones of the same number.
        home: its scratch folder.
        deliver: takes the frames that the executor sent, in order.
    """

    def __init__(self, executor: int, generation: int, home: Path, deliver: Deliver) -> None:
        self.executor = executor
        self.generation = generation
        self.home = home
        self.pid = 0
        self.kill_reason = ""
        self.is_open = True
        self.scope = trio.CancelScope()
        self._deliver = deliver
        with contextlib.ExitStack() as opened:  # closes everything again when descriptors run out
            ours, theirs = socket.socketpair()
            opened.callback(ours.close)
            opened.callback(theirs.close)
            out, err = _open_pipe(opened), _open_pipe(opened)
            page = create_page(home.parent)
            opened.callback(os.close, page)
            reader, writer = _open_pipe(opened)
            theirs_reader = os.dup(reader)
            opened.callback(os.close, theirs_reader)
            self._page = OutboxPage(page)
            opened.pop_all()
        self._channel = ours
        self._pipes = (out[0], err[0])
        self._permits = PermitPipe(reader, writer)
        self._recalled: list[int] = []
        self._child_ends = [theirs.detach(), out[1], err[1], page, theirs_reader]
        self._reader = ExecutorFrameReader()
        self._received = 0
        self._functions: RecentFunctions[bool] = RecentFunctions()
        self._job = (b"", "")
        self._backlog = bytearray()
        self._wake = trio.Event()
        self._tail = b""
        self._tail_of: object = 0
        self._channel.setblocking(False)
        for pipe in (*self._pipes, reader, writer):
            os.set_blocking(pipe, False)
        self._printed = select.poll()
        for pipe in self._pipes:
            self._printed.register(pipe, select.POLLIN)

    def take_child_ends(self) -> list[int]:
        """Return the descriptors for the executor; whoever takes them closes them."""
        ends, self._child_ends = self._child_ends, []
        return ends

    # Sending

    def send_nowait(self, tasks: list[ExecutorTask]) -> bool:
        """Give tasks to the executor; False when too much is waiting already (nothing is sent then)."""
        data = b"".join([pack_executor_frame(self._run_frame(task)) for task in tasks])
        if len(self._backlog) + len(data) > BACKLOG_SIZE_MAX and self._backlog:
            return False
        self._permits.give([task.handle for task in tasks])
        sent = 0
        if not self._backlog:
            try:
                sent = self._channel.send(data)
            except OSError:
                sent = 0  # full, or broken: `write` finds out
        if sent < len(data):
            self._backlog += memoryview(data)[sent:]
            self._wake.set()
        return True

    def recall(self, handles: list[int]) -> None:
        """Take back those of the tasks that the executor has not begun; see :meth:`tell_recalled`."""
        self._recalled += self._permits.recall(handles)

    def tell_recalled(self) -> None:
        """Deliver the frame about the tasks that were recalled."""
        if self.is_open:
            recalled, self._recalled = self._recalled, []
            self._deliver(self, [[RECALLED, recalled]])

    def _run_frame(self, task: ExecutorTask) -> list[object]:
        function: list[object] | None = None
        if task.function is not None:
            digest = task.function.digest
            if self._functions.get(digest):
                function = [digest, task.function.encoding, None, None]
            else:
                function = _wire_input(task.function)
                self._functions.put(digest, True)
        inputs = [_wire_input(value) for value in task.inputs]
        if task.job != self._job[0]:
            self._job = (task.job, short(task.job))
        stem = f"{self._job[1]}.{task.task}"
        return [
            RUN,
            task.handle,
            task.kind,
            task.name,
            function,
            task.payload,
            inputs,
            task.output_count,
            stem,
            task.memory_bytes,
        ]

    async def write(self) -> None:
        """Write what did not fit at once, for as long as the executor lives."""
        while True:
            if not self._backlog:
                self._wake = trio.Event()
                await self._wake.wait()
            await trio.lowlevel.wait_writable(self._channel)
            try:
                with memoryview(self._backlog) as view:
                    sent = self._channel.send(view[:RECEIVE_SIZE])
            except BlockingIOError:
                continue
            except OSError:
                return  # its end is told by the fork server
            del self._backlog[:sent]

    # Receiving

    async def read(self) -> None:
        """Deliver frames until the executor closes its channel.

        Raises:
            DecodeError: what it sent are no frames.
        """
        while self.is_open:
            await trio.lowlevel.wait_readable(self._channel)
            size = RECEIVE_SIZE
            while size >= RECEIVE_SIZE // 4 and self.is_open:
                size = self._receive()
            if size == 0:
                return

    async def read_output(self, stream: int) -> None:
        """Deliver what the executor's code wrote to descriptor `stream` (1 or 2) past Python's streams."""
        while self.is_open:
            await trio.lowlevel.wait_readable(self._pipes[stream - 1])
            if not self._receive_output(stream):
                return

    def finish(self) -> None:
        """The executor has ended: deliver what it left behind and close everything.

        Raises:
            DecodeError: what it sent are no frames; everything is closed all the same.
        """
        try:
            while self._receive() > 0:
                pass
            for stream in (1, 2):
                self._receive_output(stream)
            self._hand_over(self._reader.feed(self._page.rest(self._received)))
            self._recalled += self._permits.recall()
            if self._recalled:
                self.tell_recalled()
        finally:
            self.close()

    def close(self) -> None:
        """Close every descriptor; twice does no harm."""
        for descriptor in self.take_child_ends():
            os.close(descriptor)
        if not self.is_open:
            return
        self.is_open = False
        self.scope.cancel()
        trio.lowlevel.notify_closing(self._channel)
        self._channel.close()
        for pipe in self._pipes:
            trio.lowlevel.notify_closing(pipe)
            os.close(pipe)
        self._permits.close()
        self._page.close()

    def last_output(self) -> str:
        """Return the end of what the run in progress has printed."""
        return self._tail.decode(errors="replace")

    def _receive(self) -> int:
        """Deliver what is there; returns its size in bytes, 0 at the end of the stream, -1 when none."""
        try:
            data = self._channel.recv(RECEIVE_SIZE)
        except BlockingIOError:
            return -1
        except OSError:
            return 0
        self._received += len(data)
        frames = self._reader.feed(data)
        if self._printed.poll(0):  # what was printed before a result is told before it
            for stream in (1, 2):
                self._receive_output(stream)
        self._hand_over(frames)
        return len(data)

    def _receive_output(self, stream: int) -> bool:
        for _ in range(_READS_MAX):
            if not self.is_open:
                return False
            handle = self._page.handle()
            try:
                data = os.read(self._pipes[stream - 1], RAW_SIZE)
            except BlockingIOError:
                return True
            if not data:
                return False
            if handle:
                self._hand_over([[OUTPUT, handle, stream, data]])
            else:
                self._remember(handle, data)
        return True

    def _hand_over(self, frames: list[list[object]]) -> None:
        for frame in frames:
            kind = frame[0]
            if kind in (DONE, FAILED):
                if frame[1] == self._tail_of:
                    self._tail = b""
            elif kind == OUTPUT:
                self._remember(frame[1], frame[3])
        if frames:
            self._permits.push()
            self._deliver(self, frames)

    def _remember(self, handle: object, data: object) -> None:
        """Keep the end of what the run `handle` has printed, and forget that of an earlier one."""
        if handle != self._tail_of:
            self._tail = b""
            self._tail_of = handle
        if isinstance(data, bytes):
            self._tail = (self._tail + data)[-TAIL_SIZE_MAX:]


def _open_pipe(opened: contextlib.ExitStack) -> tuple[int, int]:
    """Return the reading and the writing end of a pipe, to be closed with `opened`."""
    ends = os.pipe()
    for end in ends:
        opened.callback(os.close, end)
    return ends


def _wire_input(value: InputValue) -> list[object]:
    name = object_path(value.name) if value.data is None else None
    return [value.digest, value.encoding, value.data, name]

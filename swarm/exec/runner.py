"""The life of an executor: take a frame and its permit, run the task, say how it went.

One thread, so that a task has the main thread as in any script. Results of tiny tasks leave together: when
nothing is queued, or a millisecond after the first, even while the next task runs (see `swarm.exec.outbox`).
"""

from __future__ import annotations

import faulthandler
import io
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from swarm.core.errors import DecodeError
from swarm.exec import priority
from swarm.exec.functions import AttemptFailed, OutputWriter, PythonRunner, TaskInput, failure_of
from swarm.exec.outbox import Outbox, TaskStream, wait_until_read
from swarm.exec.permits import Permits
from swarm.exec.programs import remove_folder, run_program, run_script
from swarm.wire.executor_frames import (
    DONE,
    FAILED,
    OUTPUT,
    READY,
    RUN,
    ExecutorFrameReader,
    pack_executor_frame,
)
from swarm.wire.facts import Output
from swarm.wire.messages import ERROR_EXECUTOR_DIED, ERROR_NODE, KIND_PROGRAM, KIND_PYTHON, KIND_SCRIPT

RESULT_DELAY_S: Final = 0.001
"""How long a finished result waits for others before it leaves."""

RECEIVE_SIZE: Final = 256 * 1024
_RAW_PATIENCE_S: Final = 0.05
_RAW: Final = (1, 2)


class Runner:
    """Serves one executor's channel until the node closes it.

    Args:
        channel: stream socket to the node.
        page: descriptor of the page of memory shared with the node.
        permits: descriptor of the pipe that says which tasks to begin.
        store: where the node keeps objects as files.
        home: this executor's scratch folder; made here, removed by the node.
    """

    def __init__(self, channel: socket.socket, page: int, permits: int, store: Path, home: Path) -> None:
        self._channel = channel
        self._permits = Permits(permits)
        self._reader = ExecutorFrameReader()
        self._frames: deque[list[Any]] = deque()
        self._outbox = Outbox(channel, page, lambda: os._exit(0))
        self._store = store
        self._home = home
        self._python = PythonRunner()
        self._streams = (TaskStream(self._outbox, 1), TaskStream(self._outbox, 2))

    def serve(self) -> None:
        """Run tasks until the node hangs up."""
        self._home.mkdir(parents=True, exist_ok=True)
        os.chdir(self._home)
        self._take_over_streams()
        self._outbox.put(pack_executor_frame([READY, os.getpid()]))
        self._outbox.flush()
        while (frame := self._next_frame()) is not None:
            self._run(frame)

    def _next_frame(self) -> list[Any] | None:
        """Return the frame of the task to run next, skipping recalled ones; None when the node hung up."""
        permitted = 0
        while True:
            while self._frames:
                frame = self._frames.popleft()
                if frame[0] != RUN:
                    continue
                permitted = permitted or self._take_permit()
                if permitted < 0:
                    return None
                if frame[1] == permitted:
                    return frame
                if frame[4] is not None:  # tasks behind it may name its function without the bytes
                    self._python.note_function(TaskInput(frame[4], self._store))
            data = self._receive()
            if not data:
                return None
            try:
                self._frames.extend(self._reader.feed(data))
            except DecodeError:
                return None

    def _take_permit(self) -> int:
        """Return the handle of the next task, waiting when all in hand were recalled; -1 at the end."""
        while (handle := self._permits.take()) == 0:
            self._outbox.flush()
            self._permits.wait()
        return handle

    def _receive(self) -> bytes:
        """Return what the node has sent, after giving it everything finished when that is nothing yet."""
        if not self._outbox.is_empty():
            try:
                return self._channel.recv(RECEIVE_SIZE, socket.MSG_DONTWAIT)
            except (BlockingIOError, InterruptedError):
                self._outbox.flush()
        try:
            return self._channel.recv(RECEIVE_SIZE)
        except OSError:
            return b""

    def _take_over_streams(self) -> None:
        faulthandler.enable(file=2, all_threads=False)
        sys.stdout = io.TextIOWrapper(
            self._streams[0], encoding="utf-8", errors="backslashreplace", write_through=True
        )
        sys.stderr = io.TextIOWrapper(
            self._streams[1], encoding="utf-8", errors="backslashreplace", write_through=True
        )
        os.register_at_fork(after_in_child=self._on_forked)

    def _on_forked(self) -> None:
        for stream in self._streams:
            stream.renew_lock()
        self._outbox.disown()

    def _run(self, frame: list[Any]) -> None:
        handle, memory_bytes = frame[1], frame[9]
        wait_until_read(_RAW, _RAW_PATIENCE_S)
        self._outbox.begin(handle)
        if not self._outbox.is_empty():
            self._outbox.flush_within(RESULT_DELAY_S)
        start = time.perf_counter()
        try:
            if memory_bytes > 0:
                with priority.limited_memory(memory_bytes):
                    outputs = self._outputs_of(frame)
            else:
                outputs = self._outputs_of(frame)
        except AttemptFailed as error:
            self._finish([FAILED, handle, error.failure.to_wire(), time.perf_counter() - start])
        except OSError as error:  # a fault of the node: the disk is full, or there are no descriptors
            failure = failure_of(error, ERROR_NODE, "the node could not run the task: ")
            self._finish([FAILED, handle, failure.to_wire(), time.perf_counter() - start])
        except BaseException as error:  # a fault of swarm, or an end that somebody asked for
            failure = failure_of(error, ERROR_EXECUTOR_DIED, "the executor could not run the task: ")
            self._finish([FAILED, handle, failure.to_wire(), time.perf_counter() - start])
        else:
            wire = [output.to_wire() for output in outputs]
            self._finish([DONE, handle, wire, time.perf_counter() - start])

    def _finish(self, frame: list[object]) -> None:
        priority.flush_c_streams()
        for stream in self._streams:
            stream.push()
        self._outbox.put(pack_executor_frame(frame))

    def _outputs_of(self, frame: list[Any]) -> list[Output]:
        _, _, kind, name, function, payload, input_fields, output_count, stem, _ = frame[:10]
        inputs = [TaskInput(fields, self._store) for fields in input_fields]
        writer = OutputWriter(self._store, stem)
        os.chdir(self._home)
        if kind == KIND_PYTHON:
            return self._python.run(
                name, TaskInput(function, self._store), payload, inputs, output_count, writer
            )
        folder = self._home / f"{stem}.{frame[1]}"
        folder.mkdir()
        try:
            if kind == KIND_PROGRAM:
                return run_program(payload, inputs, output_count, folder, writer, self._say)
            assert kind == KIND_SCRIPT, f"an executor runs no task of kind {kind}"
            return run_script(payload, stem.partition(".")[0], folder, writer, self._say)
        finally:
            remove_folder(folder)

    def _say(self, stream: int, data: bytes) -> None:
        self._outbox.put(pack_executor_frame([OUTPUT, self._outbox.handle, stream, data]))
        self._outbox.flush()


def run_executor(descriptors: Sequence[int], executor: int, store: str, home: str) -> None:
    """Be executor number `executor` until the node hangs up; returns then.

    Args:
        descriptors: the channel, the pipes that become standard output and error, the shared page, permits.
        executor: number of this executor, for its process name.
        store, home: see :class:`Runner`.
    """
    channel, stdout, stderr, page, permits = descriptors
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(stdout)
    os.close(stderr)
    priority.set_process_name(f"swarm-exec-{executor}")
    priority.adopt_orphans()
    priority.forbid_core_dumps()
    Runner(socket.socket(fileno=channel), page, permits, Path(store), Path(home)).serve()

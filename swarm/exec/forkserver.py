"""The fork server: a small process, started early, that makes executors by forking itself.

A daemon full of threads, sockets and buffers is never forked. The fork server inherits nothing but one
socket; through it the node asks for executors (their descriptors ride along) and for their death, and is
told of every end. The server is the parent of all executors, so it alone kills and reaps them: a process
number can never be mistaken. Each executor leads a process group, killed as a whole, and what escaped its
group is adopted and killed as well where the system allows it.

When the socket closes, the node has ended, in whatever way: every executor and everything it started is
killed, and the server ends.

Frames as in `swarm.wire.executor_frames`, layouts below.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from typing import Any, Final

from swarm.exec import priority, serialize
from swarm.exec.programs import keep_node_home
from swarm.exec.runner import run_executor
from swarm.wire.executor_frames import ExecutorFrameReader, pack_executor_frame

SPAWN: Final = 1
"""[executor, generation, store, home] to the server, with DESCRIPTOR_COUNT descriptors"""
KILL: Final = 2
"""[generation] to the server"""
ENDED: Final = 3
"""[generation, wait status, words] from the server; the words say why when it never started"""

DESCRIPTOR_COUNT: Final = 5
"""With a SPAWN: channel, standard output, standard error, shared page, permits."""

PRIORITY_VARIABLE: Final = "SWARM_EXECUTOR_PRIORITY"
"""``normal`` leaves executors their priority, for machines that do nothing else and for tests on busy ones:
at idle priority they stand still while others use every core."""

_DESCRIPTORS_MAX: Final = 64
_FAREWELL_S: Final = 5.0
_ORPHAN_ROUNDS_MAX: Final = 20


class ForkServer:
    """Serves one node.

    Args:
        control: stream socket to the node.
        wakeup: where signals make themselves felt, readable when a child ended.
        alarm: its other end.
    """

    def __init__(self, control: socket.socket, wakeup: socket.socket, alarm: socket.socket) -> None:
        self._control = control
        self._wakeup = wakeup
        self._alarm = alarm
        self._executors: dict[int, int] = {}
        """generation by process id"""
        self._descriptors: deque[int] = deque()
        self._is_prepared = False

    def serve(self) -> None:
        """Work until the node ends, then kill everything."""
        reader = ExecutorFrameReader()
        while True:
            ready, _, _ = select.select([self._control, self._wakeup], [], [])
            if self._wakeup in ready:
                self._wakeup.recv(4096)
                self._reap()
            if self._control in ready:
                data = self._receive()
                if not data:
                    break
                for frame in reader.feed(data):
                    self._obey(frame)
        self._kill_all()

    def _receive(self) -> bytes:
        """Return what the node has sent, b"" at its end; keep the descriptors that came along."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 65536, _DESCRIPTORS_MAX)
        except OSError:
            return b""
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._descriptors.extend(descriptors)
        return data

    def _obey(self, frame: list[Any]) -> None:
        if frame[0] == SPAWN:
            self._spawn(*frame[1:5])
        elif frame[0] == KILL:
            for pid, generation in self._executors.items():
                if generation == frame[1]:
                    _kill_group(pid)

    def _spawn(self, executor: int, generation: int, store: str, home: str) -> None:
        descriptors = [self._descriptors.popleft() for _ in range(DESCRIPTOR_COUNT)]
        self._prepare()
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._tell([ENDED, generation, 0, f"could not be started: {error}"])
            pid = -1
        if pid == 0:
            self._become_executor(server, descriptors, executor, store, home)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)
            self._executors[pid] = generation

    def _prepare(self) -> None:
        """Load what nearly every executor needs, once, so that they share its memory."""
        if self._is_prepared:
            return
        self._is_prepared = True
        serialize.prepare()  # not before the first executor: an idle node stays small
        gc.collect()
        gc.freeze()

    def _become_executor(
        self, server: int, descriptors: list[int], executor: int, store: str, home: str
    ) -> None:
        """Turn this fresh copy of the server into an executor; never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            with contextlib.suppress(OSError):
                os.setpgid(0, 0)
            priority.die_with_parent()
            for own in (self._control, self._wakeup, self._alarm):
                own.close()
            for descriptor in self._descriptors:
                os.close(descriptor)
            if os.getppid() == server:  # else the server ended before it could be our bane
                if os.environ.get(PRIORITY_VARIABLE) != "normal":
                    priority.lower_priority()
                gc.enable()
                run_executor(descriptors, executor, store, home)
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _reap(self) -> None:
        """Tell the node of the executors that ended; kill what they left."""
        ended: list[tuple[int, int]] = []
        while (child := _next_ended()) is not None:
            pid, status = child
            generation = self._executors.pop(pid, None)
            if generation is not None:
                ended.append((generation, status))
        if ended:
            self._kill_orphans()
        for generation, status in ended:
            self._tell([ENDED, generation, status, ""])

    def _kill_orphans(self) -> None:
        """Kill processes that an ended executor had started and that left its group."""
        for _ in range(_ORPHAN_ROUNDS_MAX):
            orphans = [pid for pid in priority.children_of(os.getpid()) if pid not in self._executors]
            if not orphans:
                return
            for pid in orphans:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            for pid in orphans:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def _tell(self, frame: list[object]) -> None:
        with contextlib.suppress(OSError):
            self._control.sendall(pack_executor_frame(frame))

    def _kill_all(self) -> None:
        for pid in self._executors:
            _kill_group(pid)
        deadline = time.monotonic() + _FAREWELL_S
        while self._executors and time.monotonic() < deadline:
            child = _next_ended()
            if child is None:
                select.select([self._wakeup], [], [], 0.05)
            else:
                self._executors.pop(child[0], None)
        self._executors.clear()
        self._kill_orphans()


def _next_ended() -> tuple[int, int] | None:
    """Reap one child and kill its group; (process id, wait status), or None when none has ended."""
    try:
        if hasattr(os, "waitid"):  # look before reaping, while the number cannot be anybody else's
            seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if seen is None:
                return None
            _kill_group(seen.si_pid)
            return os.waitpid(seen.si_pid, 0)
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    if pid == 0:
        return None
    _kill_group(pid)
    return pid, status


def _kill_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)  # it may not lead its group yet


def main(descriptor: int) -> None:
    """Be the fork server of the node at the other end of the socket `descriptor`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the node decides, by closing the socket
    wakeup, alarm = socket.socketpair()
    wakeup.setblocking(False)
    alarm.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(alarm.fileno(), warn_on_full_buffer=False)
    gc.disable()
    priority.set_process_name("swarm-fork")
    keep_node_home()
    if os.environ.get(PRIORITY_VARIABLE) != "normal":
        priority.lower_session_priority()
    priority.adopt_orphans()
    ForkServer(socket.socket(fileno=descriptor), wakeup, alarm).serve()

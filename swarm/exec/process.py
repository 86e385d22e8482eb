"""The executors of a node, under trio: starts, feeds, hears and kills them.

The fork server (`swarm.exec.forkserver`) makes the processes; this module keeps the node's ends. Everything
the node asks is synchronous and immediate; answers come by callback, from trio tasks, one at a time:

* ``on_ready(executor, pid)`` once per successful start;
* ``on_frame(executor, frames)`` with DONE, FAILED, OUTPUT and RECALLED frames, in order;
* ``on_exit(executor, reason, last_output)`` once per :meth:`ExecutorPool.spawn_nowait`, after everything the
  executor said, and after its whole process group was killed.

Callbacks may call the pool back. Should the fork server die, its executors are killed and told as ended,
and another one is started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import trio

from swarm.core.effects import ExecutorTask
from swarm.core.errors import DecodeError
from swarm.exec.forkserver import ENDED, KILL, SPAWN
from swarm.exec.link import ExecutorLink
from swarm.exec.programs import remove_folder
from swarm.wire.executor_frames import READY, ExecutorFrameReader, pack_executor_frame

RESTART_DELAY_S: Final = 0.5
"""Between the death of a fork server and the start of the next."""

_FAREWELL_S: Final = 8.0
_ROOT: Final = str(Path(__file__).resolve().parents[2])
_PROGRAM: Final = """
import os, sys
root = sys.argv[1]
if root not in sys.path:
    sys.path.insert(0, root)
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
from swarm.exec.forkserver import main
main(int(sys.argv[2]))
"""

OnReady = Callable[[int, int], None]
OnExit = Callable[[int, str, str], None]
OnFrame = Callable[[int, list[list[object]]], None]


class ExecutorPool:
    """All executors of a node.

    Args:
        store: folder of the node's objects as files; made when missing.
        scratch: folder for scratch files of tasks; everything in it is deleted at start and end.
        environment: variables that executors see besides those of this process.
        on_ready, on_exit, on_frame: see the top of this module.
    """

    def __init__(
        self,
        store: Path,
        scratch: Path,
        environment: dict[str, str],
        on_ready: OnReady,
        on_exit: OnExit,
        on_frame: OnFrame,
    ) -> None:
        self._store = store.absolute()
        self._scratch = scratch.absolute()
        self._environment = environment
        self._on_ready = on_ready
        self._on_exit = on_exit
        self._on_frame = on_frame
        self._links: dict[int, ExecutorLink] = {}
        self._generation = 0
        self._orders: deque[tuple[bytes, list[int]]] = deque()
        self._order_given = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._cancel = trio.CancelScope()
        self._finished = trio.Event()
        self._server: subprocess.Popen[bytes] | None = None
        names = (
            "spawned",
            "killed",
            "recalled",
            "ended",
            "queue_full",
            "bad_frames",
            "servers",
            "server_failures",
        )
        self._counts = dict.fromkeys(names, 0)

    # What the node asks

    def spawn_nowait(self, executor: int) -> None:
        """Start executor number `executor`, which must not be running; tasks may be given at once."""
        assert self._nursery is not None, "the pool is not running"
        assert executor not in self._links, f"executor {executor} is running"
        self._generation += 1
        home = self._scratch / f"{executor}-{self._generation}"
        try:
            link = ExecutorLink(executor, self._generation, home, self._deliver)
        except OSError as error:  # out of descriptors
            reason = f"could not be started: {error}"
            self._nursery.start_soon(self._tell_exit_soon, executor, reason)
            return
        self._links[executor] = link
        self._counts["spawned"] += 1
        self._order([SPAWN, executor, link.generation, str(self._store), str(home)], link.take_child_ends())
        self._nursery.start_soon(self._serve_link, link)

    def run_nowait(self, executor: int, tasks: list[ExecutorTask]) -> None:
        """Give tasks to a started executor, which runs them one after the other.

        An executor that has just ended takes nothing: `on_exit` tells. One that reads nothing while too
        much is waiting is killed.
        """
        link = self._links.get(executor)
        if link is None or link.kill_reason:
            return
        if not link.send_nowait(tasks):
            self._counts["queue_full"] += 1
            self.kill_nowait(executor, "did not take its tasks: too many bytes are waiting")

    def recall_nowait(self, executor: int, handles: list[int]) -> None:
        """Take back those of the tasks that an executor has not begun; `on_frame` gets RECALLED with them.

        Of an executor that has ended, or is being killed, `on_exit` tells instead.
        """
        link = self._links.get(executor)
        if link is None or link.kill_reason or self._nursery is None:
            return
        link.recall(handles)
        self._counts["recalled"] += 1
        self._nursery.start_soon(_tell_recalled, link)

    def kill_nowait(self, executor: int, reason: str) -> None:
        """Kill an executor and everything it started; `on_exit` tells `reason`.

        One that has ended, or is being killed, is no error.
        """
        link = self._links.get(executor)
        if link is None or link.kill_reason:
            return
        link.kill_reason = reason
        self._counts["killed"] += 1
        self._order([KILL, link.generation], [])

    def pids(self) -> dict[int, int]:
        """Return the process ids of the executors that are ready, by number."""
        return {number: link.pid for number, link in self._links.items() if link.pid}

    def server_pid(self) -> int:
        """Return the process id of the fork server, 0 while there is none."""
        return 0 if self._server is None else self._server.pid

    def statistics(self) -> dict[str, int]:
        """Return counts of executors spawned, killed, ended; of recalls, full queues, bad frames, servers."""
        return dict(self._counts)

    # Life

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled or :meth:`aclose`; started once executors can be spawned."""
        self._store.mkdir(parents=True, exist_ok=True)
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._remove_scratch()
        try:
            with self._cancel:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    control: socket.socket | None = self._start_server()
                    task_status.started()
                    while True:
                        if control is not None:
                            await self._serve(control)
                        await trio.sleep(RESTART_DELAY_S)
                        control = self._try_start_server()
        finally:
            self._nursery = None
            for link in self._links.values():
                link.close()
            self._links.clear()
            self._drop_orders()
            with trio.CancelScope(shield=True):
                await self._wait_for_server()
                await trio.to_thread.run_sync(self._remove_scratch)
            self._finished.set()

    async def aclose(self) -> None:
        """Kill all executors and the fork server, and wait until they are gone. Tells no `on_exit`."""
        self._cancel.cancel()
        if self._nursery is not None:
            await self._finished.wait()

    def _start_server(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs, contextlib.ExitStack() as opened:
            opened.callback(ours.close)
            self._server = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, _ROOT, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
            opened.pop_all()
        self._counts["servers"] += 1
        return ours

    def _try_start_server(self) -> socket.socket | None:
        """Start the fork server again; None when the system has no room for it now."""
        try:
            return self._start_server()
        except OSError:
            self._counts["server_failures"] += 1
            return None

    async def _serve(self, control: socket.socket) -> None:
        """Talk with the fork server until it dies; then its executors are told as ended."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_orders, control)
                await self._hear_server(control)
                nursery.cancel_scope.cancel()
        finally:
            trio.lowlevel.notify_closing(control)
            control.close()  # whatever happened: this ends the server and all it started
        await self._wait_for_server()
        self._drop_orders()
        for link in list(self._links.values()):
            if link.pid:
                with contextlib.suppress(OSError):
                    os.killpg(link.pid, signal.SIGKILL)
            self._end(link, link.kill_reason or "lost its fork server")

    async def _hear_server(self, control: socket.socket) -> None:
        reader = ExecutorFrameReader()
        while True:
            await trio.lowlevel.wait_readable(control)
            try:
                data = control.recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                return
            if not data:
                return
            for frame in reader.feed(data):
                if frame[0] == ENDED:
                    self._on_ended(frame)

    async def _send_orders(self, control: socket.socket) -> None:
        while True:
            if not self._orders:
                self._order_given = trio.Event()
                await self._order_given.wait()
            await trio.lowlevel.wait_writable(control)
            while self._orders:
                data, descriptors = self._orders[0]
                try:
                    sent = socket.send_fds(control, [data], descriptors)
                except BlockingIOError:
                    break
                except OSError:
                    return  # the server died; its reader tells
                for descriptor in descriptors:
                    os.close(descriptor)
                if sent < len(data):
                    self._orders[0] = (data[sent:], [])
                    break
                self._orders.popleft()

    async def _wait_for_server(self) -> None:
        server = self._server
        if server is None:
            return
        await trio.to_thread.run_sync(_wait_or_kill, server)
        self._server = None

    # Executors

    async def _serve_link(self, link: ExecutorLink) -> None:
        with link.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_closed, link.write)
                nursery.start_soon(_until_closed, link.read_output, 1)
                nursery.start_soon(_until_closed, link.read_output, 2)
                try:
                    await _until_closed(link.read)
                except DecodeError as error:
                    self._counts["bad_frames"] += 1
                    self.kill_nowait(link.executor, f"sent something that is no frame: {error}")
                else:
                    if link.is_open:  # it ended, or its code closed the channel and it cannot be used
                        self._order([KILL, link.generation], [])

    def _deliver(self, link: ExecutorLink, frames: list[list[object]]) -> None:
        if self._links.get(link.executor) is not link:
            return
        if frames[0][0] == READY:
            pid = frames[0][1]
            assert isinstance(pid, int), "READY names a process"
            link.pid = pid
            self._on_ready(link.executor, pid)
            frames = frames[1:]
        if frames:
            self._on_frame(link.executor, frames)

    def _on_ended(self, frame: list[Any]) -> None:
        _, generation, status, words = frame
        for link in self._links.values():
            if link.generation == generation:
                self._end(link, link.kill_reason or words or _reason_of(status))
                return

    def _end(self, link: ExecutorLink, reason: str) -> None:
        try:
            link.finish()
        except DecodeError:
            self._counts["bad_frames"] += 1
        del self._links[link.executor]
        self._counts["ended"] += 1
        if self._nursery is not None:
            self._nursery.start_soon(trio.to_thread.run_sync, remove_folder, link.home)
        self._on_exit(link.executor, reason, link.last_output())

    async def _tell_exit_soon(self, executor: int, reason: str) -> None:
        self._on_exit(executor, reason, "")

    def _order(self, frame: list[object], descriptors: list[int]) -> None:
        self._orders.append((pack_executor_frame(frame), descriptors))
        self._order_given.set()

    def _drop_orders(self) -> None:
        for _, descriptors in self._orders:
            for descriptor in descriptors:
                os.close(descriptor)
        self._orders.clear()

    def _remove_scratch(self) -> None:
        for place in self._scratch.iterdir():
            if place.is_dir() and not place.is_symlink():
                remove_folder(place)
            else:
                place.unlink(missing_ok=True)


async def _until_closed(work: Callable[..., Any], *args: object) -> None:
    with contextlib.suppress(trio.ClosedResourceError):
        await work(*args)


async def _tell_recalled(link: ExecutorLink) -> None:
    link.tell_recalled()


def _wait_or_kill(server: subprocess.Popen[bytes]) -> None:
    try:
        server.wait(_FAREWELL_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _reason_of(status: int) -> str:
    """Return how a process ended, in words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":
        return "killed by SIGKILL, from outside or because memory ran out"
    return f"killed by {name}"

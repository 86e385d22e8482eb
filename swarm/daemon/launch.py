"""Starting a node in the background, and stopping it: what `swarm join`, `stop` and `leave` call.

The daemon is started as ``python -m swarm.daemon`` in a session of its own, its output in ``daemon.log`` of
its home. The invitation goes to it through a pipe (arguments and environments can be read by others), and
through another pipe comes one line of JSON when it is ready or has failed, so nobody has to poll. A third
pipe, the lifeline, is there on demand: the kernel closes our end however we end, and the daemon stops.
Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final, NoReturn, final

from swarm.core.errors import ConnectFailed, ProtocolError, SwarmError
from swarm.daemon.api_client import call_local
from swarm.daemon.home import Home, default_home, read_json_file, running_pid
from swarm.daemon.options import DaemonOptions

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 15.0
EXIT_TIMEOUT_S: Final = 2.0
_POLL_S: Final = 0.02
_LOG_TAIL_BYTES: Final = 4096

_children_lock = threading.Lock()
_children: list[subprocess.Popen[bytes]] = []
"""Daemons started by this process that may still run; kept so that dead ones can be reaped."""

_lifelines: dict[int, int] = {}
"""Our ends of lifelines by pid of the daemon; closed by :func:`cut_lifeline` or the kernel."""


class StartFailed(SwarmError):
    """The node did not start; nothing of it is left running.

    Attributes:
        code: exit code for the command line (design §8).
        mesh_is_near: no mesh was named, and one was heard nearby.
    """

    def __init__(self, code: int, message: str, mesh_is_near: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.mesh_is_near = mesh_is_near


@final
class Started:
    """A node that is ready.

    Attributes:
        home: where it lives.
        ready: {id, name, host, port, pid}, as in its ready file.
        mesh: name of its mesh.
        is_founded: whether it founded that mesh now; then show its invitation (operation "invite").
        damage: what was wrong with the journal and has been put right, "" for nothing.
    """

    def __init__(self, home: Home, ready: dict[str, Any], mesh: str, is_founded: bool, damage: str) -> None:
        self.home: Final = home
        self.ready: Final = ready
        self.mesh: Final = mesh
        self.is_founded: Final = is_founded
        self.damage: Final = damage


def start_daemon(
    options: DaemonOptions, timeout_s: float = START_TIMEOUT_S, dies_with_us: bool = False
) -> Started:
    """Start a node in the background and wait until it is ready.

    Args:
        options: what the node shall be like.
        timeout_s: how long its start may take.
        dies_with_us: the node stops cleanly when this process ends in any way, even by SIGKILL.

    Raises:
        StartFailed: it is not ready after all; says why and what to do.
    """
    _reap()
    home = Home(options.home or default_home())
    log = _open_log(home)
    status_read, status_write = os.pipe()
    mesh_read = _invitation_pipe(options)
    passed = [mesh_read, status_write]
    command = _command(options, mesh_read, status_write)
    lifeline = -1
    if dies_with_us:
        lifeline_read, lifeline = os.pipe()
        passed.append(lifeline_read)
        command.append(f"--lifeline-fd={lifeline_read}")
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=passed,
            cwd="/",
            env=_environment(),
        )
    except OSError as error:
        os.close(status_read)
        _close(lifeline)
        raise StartFailed(1, f"cannot start {command[0]}: {error.strerror}") from None
    finally:
        for descriptor in [*passed, log]:
            os.close(descriptor)
    if lifeline >= 0:
        _lifelines[process.pid] = lifeline
    try:
        return _judge(home, process, _read_line(status_read, timeout_s), timeout_s)
    except StartFailed:
        cut_lifeline(process.pid)
        raise
    except BaseException:
        process.kill()
        process.wait()
        cut_lifeline(process.pid)
        raise
    finally:
        os.close(status_read)


def cut_lifeline(pid: int) -> None:
    """Close our end of the lifeline of a daemon, which stops if it still runs; harmless without one."""
    _close(_lifelines.pop(pid, -1))


def run_in_foreground(options: DaemonOptions) -> NoReturn:
    """Become the daemon, in this process and on this terminal; does not return.

    Raises:
        StartFailed: the interpreter cannot be started.
    """
    mesh_read = _invitation_pipe(options)
    os.set_inheritable(mesh_read, True)
    command = _command(options, mesh_read, -1)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(command[0], command, _environment())  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise StartFailed(1, f"cannot start {command[0]}: {error.strerror}") from None


def stop_daemon(home: Home, drain: bool = False, timeout_s: float = STOP_TIMEOUT_S) -> int:
    """Stop the node of a home and wait until its process is gone.

    Args:
        home: which one.
        drain: let running tasks end first (`swarm leave`); then `timeout_s` is how long they may take.
        timeout_s: after so long the process is killed.

    Returns:
        The pid that it had.

    Raises:
        ConnectFailed: no node runs there.
    """
    pid = running_pid(home)
    if pid is None:
        raise ConnectFailed(f"no node runs in {home.root}, so none was stopped; name another with --home")
    try:
        call_local(home, "leave" if drain else "stop", {"timeout_s": timeout_s}, timeout_s=timeout_s)
    except (ConnectFailed, ProtocolError):
        _signal(pid, signal.SIGTERM)
    except SwarmError:
        pass  # it went away before its answer was read, which is what we want
    give_up = time.monotonic() + timeout_s
    while running_pid(home) == pid:
        if time.monotonic() > give_up:
            _signal(pid, signal.SIGKILL)
            give_up = time.monotonic() + timeout_s
        time.sleep(_POLL_S)  # no child of ours: nothing wakes us when it frees its lock
    give_up = time.monotonic() + EXIT_TIMEOUT_S  # the lock is freed shortly before the process is gone
    while _exists(pid) and time.monotonic() < give_up:
        time.sleep(_POLL_S)  # likewise when it is gone
    return pid


def ready_of(home: Home) -> dict[str, Any] | None:
    """Return {id, name, host, port, pid} of the node that is ready in a home, None when none is."""
    ready = read_json_file(home.ready)
    return ready if ready is not None and running_pid(home) == ready.get("pid") else None


def _command(options: DaemonOptions, mesh_read: int, status_write: int) -> list[str]:
    command = [sys.executable, "-m", "swarm.daemon", *options.to_arguments(), f"--mesh-fd={mesh_read}"]
    return command if status_write < 0 else [*command, f"--status-fd={status_write}"]


def _environment() -> dict[str, str]:
    """The own environment, with the place that swarm was imported from: the daemon starts in ``/``."""
    environment = dict(os.environ)
    root = str(Path(__file__).resolve().parents[2])
    known = environment.get("PYTHONPATH", "")
    if root not in known.split(os.pathsep) and "site-packages" not in root:
        environment["PYTHONPATH"] = root + (os.pathsep + known if known else "")
    return environment


def _invitation_pipe(options: DaemonOptions) -> int:
    """Return a pipe's reading end from which the invitation can be read; it is far smaller than a pipe."""
    read, write = os.pipe()
    os.write(write, options.invitation.encode()[:8192])
    os.close(write)
    return read


def _open_log(home: Home) -> int:
    try:
        home.create()
        return os.open(home.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartFailed(1, f"cannot write {home.log}: {error.strerror}; choose another --home") from None
    except SwarmError as error:
        raise StartFailed(1, str(error)) from None


def _read_line(descriptor: int, timeout_s: float) -> bytes:
    """Return what the daemon says about its start: b"" when it ended without a word or was too slow."""
    data = b""
    give_up = time.monotonic() + timeout_s
    while not data.endswith(b"\n"):
        left_s = give_up - time.monotonic()
        if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
            return b""
        received = os.read(descriptor, 65536)
        if not received:
            return b""
        data += received
    return data


def _judge(home: Home, process: subprocess.Popen[bytes], line: bytes, timeout_s: float) -> Started:
    if not line:
        was_running = process.poll() is None
        with contextlib.suppress(subprocess.TimeoutExpired):
            was_running = process.wait(0.5) is None
        if was_running:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2.0)
            process.kill()
            process.wait()
            raise StartFailed(1, f"the node was not ready within {timeout_s:g} s; see {home.log}")
        raise StartFailed(1, f"the node ended while it started: {_last_words(home)} (more in {home.log})")
    said = json.loads(line)
    if "error" in said:
        process.wait()
        failure = said["error"]
        raise StartFailed(int(failure["code"]), str(failure["message"]), bool(failure["mesh_is_near"]))
    with _children_lock:
        _children.append(process)
    return Started(home, said["ready"], said["mesh"], said["founded"], said["damage"])


def _reap() -> None:
    """Wait for those of our daemons that have ended."""
    with _children_lock:
        _children[:] = [process for process in _children if process.poll() is None]


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)


def _forget_lifelines() -> None:
    """In a child forked off this process: hold no daemon's life, which is the parent's."""
    while _lifelines:
        _close(_lifelines.popitem()[1])


os.register_at_fork(after_in_child=_forget_lifelines)


def _exists(pid: int) -> bool:
    _reap()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is somebody else's, but there
    return True


def _last_words(home: Home) -> str:
    try:
        with home.log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(file.tell() - _LOG_TAIL_BYTES, 0))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return "no reason known"
    return lines[-1] if lines else "no reason known"


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)

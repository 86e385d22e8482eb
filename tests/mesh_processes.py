"""Real nodes and clients as processes, for the tests that have some: start, ask, wait, kill, clean up."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import swarm
from swarm.core.errors import SwarmError
from swarm.daemon.api_client import call_local
from swarm.daemon.home import Home, running_pid
from swarm.exec.forkserver import PRIORITY_VARIABLE
from swarm.net.invitation import Invitation, new_secret

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
POLL_S = 0.02
HAS_PROC = Path("/proc/self/stat").exists()
COMMAND_TIMEOUT_S = 120.0
"""Four lanes of tests share two cores: seconds become minutes."""


def clean_environment(**more: str) -> dict[str, str]:
    """Return the own environment without anything that means a mesh, with the place swarm comes from.

    Tasks run at normal priority: here the owner who keeps every core busy is the suite. That they yield to
    owners is tested where executors are (`tests/integration/test_executors_starved.py`).
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SWARM_")}
    place = str(Path(swarm.__file__).resolve().parents[1])
    if "site-packages" not in place:
        environment["PYTHONPATH"] = place
    environment.update({"PYTHONWARNINGS": "default", "NO_COLOR": "1", PRIORITY_VARIABLE: "normal", **more})
    return environment


def new_invitation(name: str = "test", addresses: Sequence[tuple[str, int]] = (), secret: bytes = b"") -> str:
    """Return an invitation to a mesh; by default one that nobody founded yet, without any address."""
    return Invitation(secret or new_secret(), None, name, list(addresses)).to_text()


def wait_for(look: Callable[[], T], seconds: float = 20.0, what: str = "") -> T:
    """Return the first true value that a look gives; errors of a node that is not there count as false."""
    give_up = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            value = look()
        except SwarmError as error:
            last = error
        else:
            if value:
                return value
            last = value
        assert time.monotonic() < give_up, f"{what or 'it'} did not come about in {seconds:g} s; last: {last}"
        time.sleep(POLL_S)  # what is looked at is anything, in other processes


def is_running(pid: int) -> bool:
    """Return whether a process exists and, where /proc tells, is no zombie."""
    try:
        os.kill(pid, 0)
        text = Path(f"/proc/{pid}/stat").read_text() if HAS_PROC else ") ?"
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def descendants(pid: int) -> list[int]:
    """Return the pids of all processes below one."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                children = [int(text) for text in task.read_text().split()]
                found += children
                waiting += children
    return found


def cpu_seconds(pid: int) -> float:
    """Return the processor time that the threads of a process have used, to the nanosecond."""
    spent = [int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(spent) / 1e9


def proportional_bytes(pid: int) -> int:
    """Return the proportional set size of a process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("smaps_rollup has no Pss")


class Host:
    """A place where commands run: this host, or a network namespace of it.

    Attributes:
        folder: a short one, because the paths of Unix sockets have to be; gone after :meth:`close`.
        nodes: those that were started here.
        python: the interpreter that has swarm here.
    """

    def __init__(self, prefix: Sequence[str] = (), python: str = sys.executable) -> None:
        self.prefix = list(prefix)
        self.python = python
        self.folder = Path(tempfile.mkdtemp(prefix="swt"))
        self.nodes: list[Node] = []
        self._programs: list[subprocess.Popen[str]] = []

    def node(self, name: str, *options: str) -> Node:
        """Return a node that lives here, not started yet."""
        made = Node(self, name, options)
        self.nodes.append(made)
        return made

    def spawn(
        self, *words: str, environment: Mapping[str, str] | None = None, takes_input: bool = False
    ) -> subprocess.Popen[str]:
        """Start a program here; it is killed in the end if it still runs."""
        process = subprocess.Popen(
            [*self.prefix, *words],
            cwd=self.folder,
            env=clean_environment(**{"SWARM_HOME": str(self.folder / "none"), **(environment or {})}),
            stdin=subprocess.PIPE if takes_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._programs.append(process)
        return process

    def swarm(self, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start the command `swarm` here, in a home without a node."""
        return self.spawn(self.python, "-m", "swarm", *words, environment=environment)

    def close(self) -> None:
        """Kill whatever still runs here and remove its files."""
        try:
            for process in self._programs:
                if process.poll() is None:
                    process.kill()
                process.communicate()
            for node in self.nodes:
                node.kill()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


class Node:
    """A daemon, started by `swarm join` like people start it.

    Attributes:
        home: its home directory.
        ready: what its ready file said last.
    """

    def __init__(self, host: Host, name: str, options: Sequence[str]) -> None:
        self.name = name
        self.host = host
        self.options = list(options)
        self.home = Home(host.folder / name)
        self.ready: dict[str, Any] = {}
        self._joining: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        return int(self.ready["pid"])

    @property
    def address(self) -> tuple[str, int]:
        return str(self.ready["host"]), int(self.ready["port"])

    def begin(self, *words: str, environment: Mapping[str, str] | None = None) -> None:
        """Start `swarm join`; :meth:`wait_ready` waits for its end."""
        options = ("--json", "--name", self.name, "--home", str(self.home.root), *self.options)
        self._joining = self.host.swarm("join", *words, *options, environment=environment)

    def wait_ready(self) -> dict[str, Any]:
        """Return what `swarm join` says when the node is ready."""
        assert self._joining is not None
        self.ready = finished_json(self._joining)
        return self.ready

    def join(self, *words: str) -> dict[str, Any]:
        """Run `swarm join` to its end."""
        self.begin(*words)
        return self.wait_ready()

    def ask(self, op: str, args: dict[str, Any] | None = None) -> Any:
        """Return the answer of its local API."""
        return call_local(self.home, op, args, timeout_s=10.0)

    def count(self, *path: str) -> int:
        """Return one of its counters."""
        value = self.ask("statistics")
        for key in path:
            value = value[key]
        return int(value)

    def kill(self) -> float:
        """End it with SIGKILL, if it runs, wait until nothing of it is left, and return when that began."""
        pid = running_pid(self.home)
        killed_at = time.monotonic()
        if pid is not None:
            below = descendants(pid)
            killed_at = time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not any(is_running(each) for each in [pid, *below]), 10.0, f"end of {self.name}")
        return killed_at

    def last_log(self) -> str:
        """Return the end of its log, for messages of failed tests."""
        with contextlib.suppress(OSError):
            return self.home.log.read_text(errors="replace")[-2000:]
        return ""


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the events in a node's log; between them may stand other text, and halves from a full disk."""
    found: list[dict[str, Any]] = []
    for text in path.read_text(errors="replace").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            line: object = json.loads(text)
            if isinstance(line, dict):
                found.append(line)
    return found


def events(node: Node, event: str) -> list[dict[str, Any]]:
    """Return the lines of a node's log that tell of an event."""
    return [line for line in read_log(node.home.log) if line.get("event") == event]


def logged_at(line: Mapping[str, Any]) -> float:
    """Return when a line of a log was written, in seconds of the wall clock."""
    return datetime.fromisoformat(str(line["time"])).timestamp()


def finished(process: subprocess.Popen[str], seconds: float = COMMAND_TIMEOUT_S) -> tuple[int, str, str]:
    """Return (exit code, stdout, stderr) of a program that ends in time."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"{process.args!r} did not end in {seconds:g} s:\n{out}\n{err}") from None
    return process.returncode, out, err


def finished_well(process: subprocess.Popen[str], seconds: float = COMMAND_TIMEOUT_S) -> str:
    """Return the stdout of a program that ends with code 0."""
    code, out, err = finished(process, seconds)
    assert code == 0, f"{process.args!r} ended with {code}:\n{out}\n{err}"
    return out


def finished_json(process: subprocess.Popen[str], seconds: float = COMMAND_TIMEOUT_S) -> Any:
    """Return the last line of a program's stdout, which is JSON."""
    return json.loads(finished_well(process, seconds).splitlines()[-1])


def agreed_leader(nodes: Sequence[Node], alive: int = 0) -> str:
    """Return the leader when all nodes agree on it and see `alive` members (default: each other), else ""."""
    answers = [node.ask("status") for node in nodes]
    leaders = {str(answer["leader"]) for answer in answers}
    ballots = {json.dumps(answer["ballot"]) for answer in answers}
    wanted = alive or len(nodes)
    is_whole = all(answer["members"]["alive"] == wanted for answer in answers)
    return leaders.pop() if is_whole and len(leaders) == len(ballots) == 1 else ""

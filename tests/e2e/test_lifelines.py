"""Meshes of this host end with whoever started them, even when that is killed; nothing of them stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from swarm.daemon.home import Home, running_pid
from swarm.daemon.launch import start_daemon
from swarm.daemon.options import DaemonOptions
from tests.mesh_processes import clean_environment, descendants, is_running, wait_for

LOCAL = """
import json, sys, time
import swarm
mesh = swarm.local(nodes=2)
sleeping = [mesh.submit(time.sleep, 100) for _ in range(2)]
while sum([row["tasks"]["running"] for row in mesh.jobs()]) < 1:
    time.sleep(0.02)  # a client is told of its own jobs only, and asks for the running ones
print(json.dumps(mesh.nodes_started.ready), flush=True)
time.sleep(100)  # it is killed before
"""

FORKING = """
import json, os, sys, time
from pathlib import Path
from swarm.daemon.launch import start_daemon
from swarm.daemon.options import DaemonOptions
options = DaemonOptions(home=Path(sys.argv[1]), new=True, no_multicast=True, listen="127.0.0.1")
started = start_daemon(options, dies_with_us=True)
child = os.fork()
if not child:
    time.sleep(30)  # it lives longer than its parent
    os._exit(0)
print(json.dumps([started.ready, child]), flush=True)
time.sleep(100)  # it is killed before
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the directory for temporary files of the started programs; a short path, for Unix sockets."""
    return tmp_path


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Keep programs, killed in the end with everything below them."""
    programs: list[subprocess.Popen[str]] = []
    yield programs
    for program in programs:
        program.kill()
        program.communicate()


def first_line(programs: list[subprocess.Popen[str]], folder: Path, words: Sequence[str]) -> Any:
    """Start Python in `folder` and return the JSON of its first line."""
    program = subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env=clean_environment(TMPDIR=str(folder), SWARM_HOME=str(folder / "none")),
        stdout=subprocess.PIPE,
        text=True,
    )
    programs.append(program)
    assert program.stdout is not None
    return json.loads(program.stdout.readline())


def ends_without_a_trace(pids: Sequence[int], folder: Path) -> None:
    wait_for(lambda: not any(is_running(pid) for pid in pids), 15.0, f"the end of {pids}")
    wait_for(lambda: not list(folder.glob("swarm-local-*")), 5.0, "the removal of the homes")


@pytest.mark.parametrize("words", [("-c", LOCAL), ("-m", "swarm", "up", "--nodes", "2", "--json")])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_local_mesh_ends_with_its_starter(
    words: Sequence[str], number: signal.Signals, folder: Path, started: list[subprocess.Popen[str]]
) -> None:
    said = first_line(started, folder, words)
    pids = [int(ready["pid"]) for ready in (said if isinstance(said, list) else said["nodes"])]
    assert len(list(folder.glob("swarm-local-*"))) == 2
    below = [each for pid in pids for each in descendants(pid)]
    assert below
    os.kill(started[0].pid, number)
    ends_without_a_trace([*pids, *below], folder)


def test_a_forked_child_does_not_keep_it(folder: Path, started: list[subprocess.Popen[str]]) -> None:
    home = folder / "a"
    ready, child = first_line(started, folder, ("-c", FORKING, str(home)))
    try:
        started[0].kill()
        wait_for(lambda: not is_running(ready["pid"]), 10.0, "the end of the node")
        assert is_running(child)
        log = Home(home).log.read_text().splitlines()  # warnings of the interpreter are there too
        events = [json.loads(line)["event"] for line in log if line.startswith("{")]
        assert events[-3:] == ["daemon_ready", "daemon_orphaned", "daemon_stopped"]
        assert home.exists(), "only temporary homes are removed"
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_node_of_its_own_goes_on(folder: Path, started: list[subprocess.Popen[str]]) -> None:
    script = FORKING.replace(", dies_with_us=True", "").replace("os.fork()", "1")
    ready, _ = first_line(started, folder, ("-c", script, str(folder / "a")))
    started[0].kill()
    started[0].wait()
    try:
        with pytest.raises(AssertionError):
            wait_for(lambda: not is_running(ready["pid"]), 1.0)
        assert running_pid(Home(folder / "a")) == ready["pid"]
    finally:
        os.kill(ready["pid"], signal.SIGTERM)
        wait_for(lambda: not is_running(ready["pid"]), 10.0)


def test_a_temporary_home_goes_with_its_node(folder: Path) -> None:
    home = folder / "a"
    made = start_daemon(
        DaemonOptions(home=home, new=True, no_multicast=True, listen="127.0.0.1", temporary=True)
    )
    os.kill(made.ready["pid"], signal.SIGTERM)
    wait_for(lambda: not home.exists(), 10.0, "the removal of the home")

"""What a node costs its owner: processor, memory, modules; and that nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytest

from tests.mesh_processes import (
    Host,
    Node,
    agreed_leader,
    clean_environment,
    cpu_seconds,
    descendants,
    finished,
    finished_json,
    finished_well,
    is_running,
    proportional_bytes,
    wait_for,
)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

IDLE_S = 20.0
IDLE_CPU_SHARE_MAX = 0.01
"""The goal is 0.005, and it is met where a processor keeps its clock. Where wake-ups are dear at rest, as
under some hypervisors, the very same build takes 0.0068 in some hours: so the turns are counted as well."""
IDLE_TURNS_PER_S_MAX = 15.0
MEMORY_MAX_MIB = 45.0
LONE_S = 4.0
LONE_TURNS_PER_S_MAX = 8.0

# Runs the daemon's own main function; when it has been stopped, writes the names of all loaded modules.
WATCHED_DAEMON = """
import json, sys
from swarm.daemon.daemon import main
code = main(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    json.dump(sorted(sys.modules), file)
sys.exit(code)
"""

SLEEPER = """
import os, subprocess, time
child = subprocess.Popen(["sleep", "300"])
print(os.getpid(), child.pid, flush=True)
time.sleep(300)  # it is killed before
"""


def make_mesh(host: Host, count: int = 2) -> list[Node]:
    """Return nodes on the loopback interface that agree."""
    first = host.node("one", "--no-multicast", "--listen", "127.0.0.1", "--cores", "1")
    invitation = first.join("--new")["invitation"]
    nodes = [first]
    for name in ("two", "three", "four")[: count - 1]:
        peer = f"127.0.0.1:{first.address[1]}"
        nodes.append(
            host.node(name, "--no-multicast", "--listen", "127.0.0.1", "--cores", "1", "--peer", peer)
        )
        nodes[-1].join(invitation)
    wait_for(lambda: agreed_leader(nodes))
    return nodes


class Cost:
    """What a node and the processes below it have taken in a while.

    Attributes:
        share, share_below: of a core.
    """

    def __init__(self, share: float, share_below: float) -> None:
        self.share = share
        self.share_below = share_below


def watch_idle(nodes: Sequence[Node], seconds: float) -> list[Cost]:
    """Leave nodes alone for a while and return what they took meanwhile."""

    def spent() -> list[tuple[float, float]]:
        return [
            (cpu_seconds(node.pid), sum([cpu_seconds(pid) for pid in descendants(node.pid)]))
            for node in nodes
        ]

    before, began_at = spent(), time.monotonic()
    time.sleep(seconds)  # the time over which is counted
    after, took_s = spent(), time.monotonic() - began_at
    return [
        Cost((own - own_before) / took_s, (below - below_before) / took_s)
        for (own_before, below_before), (own, below) in zip(before, after, strict=True)
    ]


@pytest.mark.slow
def test_idle_nodes_are_light(host: Host, record_property: Any) -> None:
    """The leader and a follower that have run a job and have nothing to do."""
    nodes = make_mesh(host)
    run = host.swarm("run", "--all", "--home", str(nodes[0].home.root), "--", "echo", "worked")
    assert finished_well(run).count("worked") == 2
    for node in nodes:
        memory = proportional_bytes(node.pid) / 2**20
        children = sum([proportional_bytes(pid) for pid in descendants(node.pid)]) / 2**20
        print(f"{node.name}: {memory:.1f} MiB, its children {children:.1f} MiB")
        record_property(f"{node.name}_pss_mib", round(memory, 1))
        assert memory < MEMORY_MAX_MIB
    # Other work on this machine makes every wake-up dearer: the best of three whiles counts.
    costs: list[Cost] = []
    turns: list[float] = []
    for _ in range(3):
        before = [node.count("driver", "turns") for node in nodes]
        costs = watch_idle(nodes, IDLE_S)
        turns = [
            (node.count("driver", "turns") - was) / IDLE_S for node, was in zip(nodes, before, strict=True)
        ]
        print(f"turns a second: {turns}")
        for node, cost in zip(nodes, costs, strict=True):
            print(f"{node.name}: {cost.share:.3%} of a core, its children {cost.share_below:.3%}")
        if max([cost.share + cost.share_below for cost in costs]) < IDLE_CPU_SHARE_MAX:
            break
    assert max(turns) < IDLE_TURNS_PER_S_MAX
    for node, cost in zip(nodes, costs, strict=True):
        record_property(f"{node.name}_cpu", round(cost.share, 5))
        assert cost.share + cost.share_below < IDLE_CPU_SHARE_MAX


def test_a_lone_node_hardly_wakes(host: Host) -> None:
    """Timers that fire for nothing cost more than anything else an idle node does."""
    node = make_mesh(host, 1)[0]
    before = node.count("driver", "turns")
    time.sleep(LONE_S)  # the time over which is counted
    turns = node.count("driver", "turns") - before
    print(f"{turns / LONE_S:.1f} turns a second")
    assert turns / LONE_S < LONE_TURNS_PER_S_MAX


def test_what_a_working_daemon_has_imported(host: Host) -> None:
    """Asked of a daemon that founded a mesh and ran jobs of every kind: it says so at its very end."""
    home, listing = host.folder / "watched", host.folder / "modules.json"
    words = ["--home", str(home), "--port", "0", "--no-multicast", "--new", "--cores", "1", "--foreground"]
    daemon = subprocess.Popen(
        [sys.executable, "-c", WATCHED_DAEMON, str(listing), *words],
        cwd=host.folder,
        env=clean_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for((home / "ready.json").exists, what="the ready file")
        (host.folder / "job.json").write_text(json.dumps(WORKFLOW))
        (host.folder / "script.py").write_text(
            "import swarm\nwith swarm.connect() as mesh:\n    print(mesh.submit(max, 3, 8).result())\n"
        )
        at_home = {"SWARM_HOME": str(home)}
        report = finished_json(host.swarm("submit", "job.json", "--json", environment=at_home))
        assert report["state"] == "done"
        assert finished(host.swarm("submit", "script.py", environment=at_home)) == (0, "8\n", "")
        below = descendants(daemon.pid)
        assert below
        daemon.send_signal(signal.SIGTERM)
        _, err = daemon.communicate(timeout=20)
        assert daemon.returncode == 0, err
    finally:
        if daemon.poll() is None:
            daemon.kill()
            daemon.communicate()
    assert not [pid for pid in below if is_running(pid)]
    modules = set(json.loads(listing.read_text()))
    assert {"swarm.node", "swarm.scheduler.core", "trio"} <= modules
    heavy = {
        "networkx",
        "numpy",
        "asyncio",
        "multiprocessing",
        "cloudpickle",
        "click",
        "rich",
        "swarm.client",
    }
    assert not modules & heavy
    assert "swarm.scheduler.graph_import" not in modules


WORKFLOW = {
    "tasks": [
        {"id": "make", "command": ["sh", "-c", "echo made > made"], "outputs": ["made"]},
        {"id": "read", "command": ["cat", "made"], "inputs": {"made": "task:make/made"}},
        {"id": "call", "call": "math:factorial", "args": [5], "needs": ["read"]},
    ]
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_while_a_task_runs(host: Host, number: signal.Signals) -> None:
    """Neither of the daemon, nor executors, nor what a task has started itself."""
    node = make_mesh(host, 1)[0]
    (host.folder / "sleeper.py").write_text(SLEEPER)
    home = str(node.home.root)
    job = finished_json(host.swarm("submit", "sleeper.py", "--detach", "--json", "--home", home))["job"]

    def printed() -> str:
        rows = node.ask("logs", {"job": job, "task": None})
        return b"".join([row["data"] for row in rows]).decode()

    pids = [int(text) for text in wait_for(lambda: printed().strip(), what="the task's output").split()]
    below = descendants(node.pid)
    assert set(pids) <= set(below)
    assert all(is_running(pid) for pid in pids)
    began_at = time.monotonic()
    os.kill(node.pid, number)
    everything = [node.pid, *below]
    wait_for(lambda: not any(is_running(pid) for pid in everything), 10.0, "the end of all processes")
    print(f"all {len(everything)} processes gone {time.monotonic() - began_at:.2f} s after {number.name}")


def test_stop_and_leave(host: Host) -> None:
    """`swarm stop` is done when the process is gone; `swarm leave` waits for what runs."""
    nodes = make_mesh(host)
    stopped, left = nodes[0].pid, nodes[1].pid
    below = descendants(stopped) + descendants(left)
    mesh = new_invitation_of(nodes[1])
    words = ["submit", "--json", "--mesh", mesh, "--tag", f"node={nodes[1].name}"]
    running = host.swarm(*words, "--command", "--", "sleep", "2")
    wait_for(lambda: nodes[1].count("node", "exec", "slots_used_now") == 1, what="a running task")
    assert finished_json(host.swarm("stop", "--json", "--home", str(nodes[0].home.root)))["pid"] == stopped
    assert not is_running(stopped)
    assert finished_json(host.swarm("leave", "--json", "--home", str(nodes[1].home.root)))["pid"] == left
    assert not is_running(left)
    wait_for(lambda: not any(is_running(pid) for pid in below), 5.0, "the end of all processes")
    assert running.poll() is not None or finished(running)[0] in {0, 1, 3}


def new_invitation_of(node: Node) -> str:
    """Return an invitation with the node's address first."""
    return str(node.ask("invite")["invitation"])

"""What one node's sensors say is seen by another node, and by people at both; what is unknown stays so."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from swarm.daemon.api_client import call_local
from swarm.daemon.home import Home
from tests.machines import LAPTOP, Machine
from tests.mesh_processes import (
    Host,
    clean_environment,
    finished,
    finished_json,
    finished_well,
    wait_for,
)

ALONE = ("--no-multicast", "--listen", "127.0.0.1", "--cores", "1")

# Runs the daemon's own main function on a machine that is a folder.
DAEMON_ON_A_MACHINE = """
import sys
from pathlib import Path
from swarm.daemon import sensors
root = Path(sys.argv[1])
sensors.SYSTEM_FOLDER, sensors.PROCESS_FOLDER = root / "sys", root / "proc"
from swarm.daemon.daemon import main
sys.exit(main(sys.argv[2:]))
"""


def start_on(host: Host, machine: Machine, invitation: str) -> tuple[subprocess.Popen[str], Home]:
    """Start a node of a mesh on a machine, and return when it is ready."""
    home = Home(host.folder / "laptop")
    words = ["--home", str(home.root), "--name", "laptop", "--port", "0", "--foreground", *ALONE]
    process = subprocess.Popen(
        [sys.executable, "-c", DAEMON_ON_A_MACHINE, str(machine.root), *words],
        cwd=host.folder,
        env=clean_environment(SWARM_MESH=invitation),
        stderr=subprocess.DEVNULL,
        text=True,
    )
    wait_for(home.ready.exists, what="the ready file")
    return process, home


def own(home: Home) -> dict[str, Any]:
    return dict(call_local(home, "status", {}, timeout_s=10.0))


@pytest.mark.slow
def test_a_changed_sensor_is_seen_by_another_node(host: Host) -> None:
    first = host.node("desk", *ALONE)
    invitation = first.join("--new")["invitation"]
    machine = Machine(host.folder / "machine", LAPTOP)
    process, home = start_on(host, machine, invitation)

    def row() -> dict[str, Any]:
        rows = {str(found["name"]): found for found in first.ask("nodes")}
        return dict(rows.get("laptop", {}))

    try:
        there = wait_for(row, what="the laptop at the desk")
        names = ("battery", "charging", "temperature", "network", "memory_free", "slots_free", "reason")
        assert [there[name] for name in names] == [81, False, 61.0, "wifi", 8 * 2**30, 1, "idle"]
        assert isinstance(there["load"], float)

        machine.write("sys/power_supply/BAT0/status", "Charging")
        machine.remove("sys/thermal/thermal_zone1/temp")
        machine.write("sys/net/wlp3s0/operstate", "down")
        wait_for(lambda: row()["charging"] is True, 15.0, "news of the charger")
        assert [row()[name] for name in names[:4]] == [81, True, None, None]

        mine = finished_json(host.swarm("status", "--json", "--home", str(home.root)))
        assert [mine[name] for name in names[:4]] == [81, True, None, None]
        assert (mine["slots_free"], mine["reason"], mine["preset"]) == (1, "idle", "lan")
        text = finished_well(host.swarm("status", "--home", str(home.root)))
        assert "battery 81 %, power from outside; heat -; network -" in text
        table = finished_well(host.swarm("nodes", "--home", str(first.home.root)))
        line = next(line for line in table.splitlines() if line.startswith("laptop"))
        assert "81%+" in line.split()

        tasks = [{"id": name, "command": ["sleep", "16"]} for name in ("one", "two")]
        (host.folder / "job.json").write_text(json.dumps({"tasks": tasks}))
        run = host.swarm("submit", "job.json", "--home", str(first.home.root))
        wait_for(lambda: own(home)["slots_free"] == 0, what="a task on the laptop")
        assert own(home)["reason"] == ""
        wait_for(lambda: row()["reason"] == "", 15.0, "news of the work")
        finished_well(run)
        wait_for(lambda: row()["reason"] == "idle", 30.0, "news of its end")
    finally:
        process.terminate()
        process.wait(timeout=20)
    wait_for(lambda: row()["state"] == "left", what="the goodbye")
    gone = row()
    assert [gone[name] for name in names[:6]] == [None] * 6
    assert gone["reason"] == ""


def test_a_preset_is_chosen_by_option_and_a_wrong_one_named(host: Host) -> None:
    node = host.node("far", *ALONE, "--preset", "wan")
    node.join("--new")
    assert node.ask("status")["preset"] == "wan"
    other = host.swarm("join", "--new", "--home", str(host.folder / "no"), "--preset", "moon", *ALONE)
    code, _, err = finished(other)
    assert code == 2
    assert "--preset is 'moon'; there are lan, local, wan, phone" in err
    assert len(err.strip().splitlines()) == 1

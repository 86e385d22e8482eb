"""Real daemons as processes: start, answer, refuse, stop, die, and what they leave behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm.core.errors import ConnectFailed
from swarm.daemon.api_client import call_local
from swarm.daemon.home import Home, running_pid
from swarm.daemon.launch import Started, StartFailed, ready_of, start_daemon, stop_daemon
from swarm.daemon.options import DaemonOptions
from swarm.net.invitation import Invitation, new_secret
from swarm.net.keys import MeshKeys
from tests.mesh_processes import descendants, is_running, wait_for

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Give home directories; whatever still runs in them at the end is stopped."""
    made: list[Path] = []

    def make(name: str) -> Path:
        made.append(tmp_path / name)
        return made[-1]

    yield make
    for path in made:
        with contextlib.suppress(ConnectFailed):
            stop_daemon(Home(path))


def start(home: Path, **wishes: Any) -> Started:
    options: dict[str, Any] = {"port": 0, "no_multicast": True, "new": True, **wishes}
    return start_daemon(DaemonOptions(home=home, **options))


def join(home: Path, invitation: str, **wishes: Any) -> Started:
    return start(home, new=False, invitation=invitation, **wishes)


BROKEN = """
import sys
from swarm.daemon.api import LocalApi
def deep(*anything): return deep(*anything)
LocalApi._request = deep
from swarm.daemon.daemon import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_daemon_that_dies_of_a_bug_says_so_in_its_log(tmp_path: Path) -> None:
    home = Home(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", BROKEN, "--new", "--home", str(tmp_path), "--no-multicast", "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    wait_for(home.ready.exists)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(home.api_socket))
        connection.sendall(b"{}\n")
        assert process.wait(15) == 1
    last = json.loads(home.log.read_text().splitlines()[-1])
    assert (last["event"], last["error"][:14]) == ("daemon_bug", "RecursionError")
    assert "in deep" in last["traceback"]


def wait_gone(*pids: int) -> None:
    wait_for(lambda: not any(is_running(pid) for pid in pids), 15.0, "the end of all processes")


def refusal(home: Path, **wishes: Any) -> StartFailed:
    with pytest.raises(StartFailed) as caught:
        start(home, **wishes)
    assert "\n" not in str(caught.value)
    assert running_pid(Home(home)) is None
    return caught.value


@pytest.mark.smoke
def test_start_status_and_stop(homes: Callable[[str], Path]) -> None:
    path = homes("a")
    given = path.parent / "given.json"
    started = start(path, name="first", ready_file=given)
    home = Home(path)
    assert started.is_founded
    assert started.damage == ""
    ready = json.loads(given.read_text())
    assert set(ready) == {"id", "name", "host", "port", "pid"}
    assert ready == started.ready == ready_of(home) == json.loads(home.ready.read_text())
    assert running_pid(home) == ready["pid"]
    status = call_local(home, "status")
    assert (status["name"], status["node"], status["pid"]) == ("first", ready["id"], ready["pid"])
    assert status["members"]["alive"] == 1
    assert status["mesh"] == started.mesh
    wait_for(lambda: call_local(home, "status")["leader"] == "first")
    below = descendants(ready["pid"])
    assert below, "the fork server is up"
    assert stop_daemon(home) == ready["pid"]
    assert ready_of(home) is None
    for path_left in (given, home.ready, home.api_socket):
        assert not path_left.exists()
    wait_gone(ready["pid"], *below)
    events = [json.loads(line)["event"] for line in home.log.read_text().splitlines()]
    assert events[0] == "daemon_ready"
    assert events[-1] == "daemon_stopped"
    with pytest.raises(ConnectFailed):
        stop_daemon(home)


def test_idle_weight(homes: Callable[[str], Path]) -> None:
    started = start(homes("a"))
    pid = started.ready["pid"]
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    if not rollup.exists():
        pytest.skip("this system does not tell the proportional set size")
    sizes = [int(line.split()[1]) for line in rollup.read_text().splitlines() if line.startswith("Pss:")]
    assert sizes[0] < 45 * 1024
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert "numpy" not in maps


def test_what_a_daemon_imports() -> None:
    code = "import swarm.daemon.daemon, sys; print(sorted(sys.modules))"
    listed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for module in ("networkx", "asyncio", "click", "rich", "multiprocessing", "cloudpickle", "swarm.client"):
        assert f"'{module}'" not in listed.stdout


def test_what_the_launcher_imports() -> None:
    code = "import swarm.daemon.launch, sys; print(sorted(sys.modules))"
    listed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for module in ("trio", "cryptography", "networkx", "sqlite3", "swarm.node"):
        assert f"'{module}'" not in listed.stdout


def test_a_second_start_names_the_first(homes: Callable[[str], Path]) -> None:
    path = homes("a")
    started = start(path)
    with pytest.raises(
        StartFailed, match=f"pid {started.ready['pid']}\\); stop it with `swarm stop`"
    ) as caught:
        start(path)
    assert caught.value.code == 1
    assert call_local(Home(path), "ping") == started.ready


def test_port_in_use(homes: Callable[[str], Path]) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = refusal(homes("a"), port=port)
    assert refused.code == 2
    assert f"port {port} is in use" in str(refused)
    assert "--port" in str(refused)
    assert not Home(homes("a")).mesh.exists(), "a start that failed has founded nothing"


def test_wrong_invitations(homes: Callable[[str], Path]) -> None:
    text = Invitation(new_secret(), None, "m", []).to_text()
    changed = text[:-3] + ("a" if text[-3] != "a" else "b") + text[-2:]
    refused = refusal(homes("a"), new=False, invitation=changed)
    assert refused.code == 2
    assert "invitation" in str(refused)
    client = Invitation(b"", MeshKeys(new_secret()).client_credentials(), "m", []).to_text()
    refused = refusal(homes("b"), new=False, invitation=client)
    assert refused.code == 4
    assert "for clients" in str(refused)
    assert not Home(homes("a")).mesh.exists()


def test_wrong_settings(homes: Callable[[str], Path]) -> None:
    assert refusal(homes("a"), cores="none").code == 2
    path = homes("b")
    path.mkdir()
    (path / "swarm.toml").write_text("colour = 1")
    assert "'colour', which is unknown" in str(refusal(path))


def test_a_home_that_cannot_be(homes: Callable[[str], Path]) -> None:
    path = homes("file")
    path.write_text("")
    refused = refusal(path / "home")
    assert refused.code == 1
    assert "choose another with --home" in str(refused)


def test_signals_stop_politely(homes: Callable[[str], Path]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        path = homes(number.name)
        pid = start(path).ready["pid"]
        below = descendants(pid)
        os.kill(pid, number)
        wait_gone(pid, *below)
        assert not Home(path).ready.exists()
        assert '"daemon_stopped"' in Home(path).log.read_text()


def test_sigkill_leaves_no_process_and_no_obstacle(homes: Callable[[str], Path]) -> None:
    path = homes("a")
    first = start(path)
    pid = first.ready["pid"]
    below = descendants(pid)
    assert below
    os.kill(pid, signal.SIGKILL)
    wait_gone(pid, *below)
    assert ready_of(Home(path)) is None
    second = start(path, new=False)
    assert second.ready["id"] == first.ready["id"]
    assert second.mesh == first.mesh
    assert not second.is_founded
    lines = [json.loads(line) for line in Home(path).log.read_text().splitlines()]
    assert [line["incarnation"] for line in lines if line["event"] == "daemon_ready"] == [1, 2]


def test_a_damaged_journal_is_told(homes: Callable[[str], Path]) -> None:
    path = homes("a")
    start(path)
    stop_daemon(Home(path))
    Home(path).journal.write_bytes(b"rubbish " * 1000)
    started = start(path, new=False)
    assert "the journal was damaged" in started.damage
    assert "journal_damaged" in Home(path).log.read_text()
    assert len(list(path.glob("journal.db.damaged-*"))) == 1
    started_at = time.monotonic()
    wait_for(lambda: call_local(Home(path), "status")["leader"] != "")
    assert time.monotonic() - started_at > 2.0, "who forgot its promises waits for a lease before it stands"


def test_a_journal_that_is_gone_is_told(homes: Callable[[str], Path]) -> None:
    path = homes("a")
    assert start(path).damage == ""
    stop_daemon(Home(path))
    for file in path.glob("journal.db*"):
        file.unlink()
    started = start(path, new=False)
    assert started.damage.startswith("the journal ")
    assert "is gone or empty" in started.damage
    stop_daemon(Home(path))
    assert start(path, new=False).damage == ""


def test_three_nodes_meet_by_invitation(homes: Callable[[str], Path]) -> None:
    paths = [homes(name) for name in ("a", "b", "c")]
    start(paths[0], name="a")
    invitation = call_local(Home(paths[0]), "invite")["invitation"]
    for path in paths[1:]:
        started = join(path, invitation, name=path.name)
        assert not started.is_founded

    def agree() -> bool:
        answers = [call_local(Home(path), "status") for path in paths]
        leaders = {answer["leader"] for answer in answers}
        return all(answer["members"]["alive"] == 3 for answer in answers) and len(leaders) == 1

    wait_for(agree)
    stop_daemon(Home(paths[2]))
    wait_for(lambda: call_local(Home(paths[0]), "status")["members"]["left"] == 1)
    assert stop_daemon(Home(paths[1]), drain=True) > 0
    wait_for(lambda: call_local(Home(paths[0]), "status")["members"]["left"] == 2)


def test_invitations_for_clients(homes: Callable[[str], Path]) -> None:
    path = homes("a")
    started = start(path)
    told = call_local(Home(path), "invite", {"client": True})
    invitation = Invitation.from_text(told["invitation"])
    assert invitation.is_client
    assert invitation.mesh == started.mesh
    assert invitation.addresses[0] == (started.ready["host"], started.ready["port"])
    assert call_local(Home(path), "statistics")["driver"]["journal_error"] == ""


def test_a_node_records_its_inputs(homes: Callable[[str], Path]) -> None:
    from swarm.daemon.recorder import read_recording

    path = homes("a")
    start(path, record=True, name="recorded")
    stop_daemon(Home(path))
    header, inputs = read_recording(Home(path).recording)
    assert isinstance(header[2], dict)
    assert header[2]["name"] == "recorded"
    assert inputs[0][0] == "start"
    assert "leave" in [fields[0] for fields in inputs]


def test_foreground(homes: Callable[[str], Path]) -> None:
    path = homes("a")
    options = DaemonOptions(home=path, port=0, no_multicast=True, new=True, foreground=True, log_json=True)
    command = [sys.executable, "-m", "swarm.daemon", *options.to_arguments()]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = json.loads(process.stderr.readline())["event"]
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(10) == 130
    assert first == "daemon_ready"
    assert "daemon_stopped" in rest

"""What people get wrong: one clear line that names it and its cure, the right exit code, and no harm."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import swarm
from swarm.client.mesh import Mesh
from swarm.core.errors import GraphError, SerializationError, SwarmError, TaskError
from swarm.net.invitation import new_secret
from tests.mesh_processes import Host, finished, finished_well, new_invitation, wait_for

WRONG_USAGE = 2
UNREACHABLE = 3
NOT_ALLOWED = 4


class Place:
    """A host with one node in a mesh, and what its mesh has been given so far.

    Attributes:
        host: where commands run.
        invitation: to the mesh, with the node's address.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.node = host.node("node", "--no-multicast", "--cores", "1")
        self.invitation: str = self.node.join("--new")["invitation"]
        self.address = self.node.address

    def write(self, name: str, content: object) -> str:
        """Write a file into the folder where commands run, and return its name."""
        text = content if isinstance(content, str) else json.dumps(content)
        (self.host.folder / name).write_text(text)
        return name

    def swarm(self, *words: str) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr of a command that talks to the mesh."""
        return finished(self.host.swarm(*words, environment={"SWARM_MESH": self.invitation}))

    def refused(self, code: int, words: Sequence[str], *parts: str) -> str:
        """Check that a command ends so, with one line that has these parts, and leaves no job behind."""
        before = self.jobs()
        found, out, err = self.swarm(*words)
        check_line(found, out, err, code, parts)
        assert self.jobs() == before, "nothing is half-submitted"
        return err

    def jobs(self) -> list[tuple[str, str]]:
        return [(row["job"], row["state"]) for row in self.node.ask("jobs")]


def check_line(found: int, out: str, err: str, code: int, parts: Sequence[str]) -> None:
    assert err.startswith("swarm: "), err
    assert err.count("\n") == 1, err
    assert out == ""
    for part in parts:
        assert part in err, err
    assert found == code, err


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    host = Host()
    try:
        yield Place(host)
    finally:
        host.close()


@pytest.fixture(scope="module")
def mesh(place: Place) -> Iterator[Mesh]:
    with swarm.connect(mesh=place.invitation) as opened:
        yield opened


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["sumbit", "x.py"], ["'sumbit'", "did you mean 'submit'?"]),
        (["fly"], ["'fly'", "swarm --help"]),
        (["status", "--colour"], ["--colour", "swarm status --help"]),
        (["submit", "--retires", "3", "x.py"], ["--retires", "--retries"]),
        (["submit", "--retries", "many", "x.py"], ["'many'", "--retries"]),
        (["submit", "--memory", "lots", "--command", "--", "true"], ["'lots'", "memory"]),
        (["submit", "--tag", "fast machine", "--command", "--", "true"], ["tag"]),
        (["submit"], ["file", "--command"]),
        (["submit", "--command"], ["--command"]),
        (["run", "--", "true"], ["--all", "--on"]),
        (["run", "--all"], ["command", "swarm run --all -- "]),
        (["run", "--on", "nobody", "--", "true"], ["'nobody'", "node"]),
        (["up", "--nodes", "0"], ["--nodes", "0"]),
        (["join", "--port", "99999"], ["--port", "99999"]),
        (["join", "--peer", "nowhere"], ["'nowhere'", "host:port"]),
        (["join", "--cores", "-1"], ["-1", "cores"]),
        (["logs", "abc", "first"], ["'first'"]),
    ],
)
def test_wrong_words(place: Place, words: list[str], parts: list[str]) -> None:
    place.refused(WRONG_USAGE, words, *parts)


def test_no_arguments_at_all_shows_the_commands(place: Place) -> None:
    code, out, err = place.swarm()
    assert code == WRONG_USAGE
    assert "submit" in out + err
    assert "Traceback" not in err


def test_unreadable_job_files(place: Place) -> None:
    folder = place.host.folder
    (folder / "binary.py").write_bytes(b"\xff\xfe\x00")
    (folder / "directory.py").mkdir()
    place.write("broken.py", "def f(:\n")
    place.write("broken.json", "{'tasks': []}")
    place.write("broken.toml", "[[tasks]\n")
    place.write("text.txt", "hello")
    place.write("fields.json", {"tasks": [{"id": "a", "command": ["true"], "colour": "red"}]})
    place.write("empty.json", {"tasks": []})
    place.write("nothing.json", {"tasks": [{"id": "a"}]})
    place.write("list.json", "[1, 2]")
    place.write("input.json", {"tasks": [{"id": "a", "command": ["cat"], "inputs": {"x": "file:gone.txt"}}]})
    place.write("module.json", {"tasks": [{"id": "a", "call": "no_such_module:function"}]})
    for words, parts in [
        (["missing.py"], ["missing.py", "No such file"]),
        (["missing.json"], ["missing.json", "No such file"]),
        (["directory.py"], ["directory.py", "directory"]),
        (["binary.py"], ["binary.py", "UTF-8"]),
        (["broken.py"], ["broken.py", "line 1"]),
        (["broken.json"], ["broken.json"]),
        (["broken.toml"], ["broken.toml"]),
        (["text.txt"], ["text.txt", "--command"]),
        (["fields.json"], ["colour", "'a'"]),
        (["empty.json"], ["empty.json"]),
        (["nothing.json"], ["'a'", "command"]),
        (["list.json"], ["list.json"]),
        (["input.json"], ["gone.txt"]),
        (["module.json"], ["no_such_module"]),
    ]:
        place.refused(WRONG_USAGE, ["submit", *words], *parts)


def test_graphs_that_are_none(place: Place) -> None:
    def task(name: str, *needs: str) -> dict[str, Any]:
        return {"id": name, "command": ["true"], "needs": list(needs)}

    place.write("cycle.json", {"tasks": [task("a", "c"), task("b", "a"), task("c", "b"), task("d")]})
    place.write("itself.json", {"tasks": [task("a", "a")]})
    place.write("unknown.json", {"tasks": [task("a", "zebra")]})
    place.write("twice.json", {"tasks": [task("a"), task("a")]})
    message = place.refused(WRONG_USAGE, ["submit", "cycle.json"], "cycle")
    assert all(f"{name}" in message.partition("cycle")[2] for name in "abc"), message
    place.refused(WRONG_USAGE, ["submit", "itself.json"], "a")
    place.refused(WRONG_USAGE, ["submit", "unknown.json"], "zebra", "a")
    place.refused(WRONG_USAGE, ["submit", "twice.json"], "a")


def test_a_cycle_in_a_networkx_graph(place: Place, mesh: Mesh) -> None:
    import networkx

    graph: networkx.DiGraph[str] = networkx.DiGraph([("mow", "rake"), ("rake", "bag"), ("bag", "mow")])
    for node in graph:
        graph.nodes[node]["task"] = swarm.program(["true"])
    before = place.jobs()
    with pytest.raises(GraphError, match="mow") as caught:
        mesh.run_graph(graph)
    assert "\n" not in str(caught.value)
    assert place.jobs() == before


def test_a_function_that_cannot_travel(place: Place, mesh: Mesh) -> None:
    lock = threading.Lock()

    def guarded(value: int) -> int:
        with lock:
            return value

    before = place.jobs()
    for submit in (lambda: mesh.submit(guarded, 1), lambda: mesh.map(guarded, [1, 2])):
        with pytest.raises(SerializationError, match="guarded") as caught:
            submit()
        assert "lock" in str(caught.value)
    with pytest.raises(SerializationError, match="lock"):
        mesh.submit(len, lock)
    assert place.jobs() == before
    place.write(
        "stuck.py",
        "import swarm, threading\nlock = threading.Lock()\n"
        "def guarded():\n    return lock\n"
        "with swarm.connect() as mesh:\n    mesh.submit(guarded).result()\n",
    )
    code, _, err = place.swarm("submit", "stuck.py")
    assert code == 1
    assert "SerializationError" in err
    assert "guarded" in err
    assert "lock" in err.splitlines()[-2] + err.splitlines()[-1]


def no_pickle() -> object:
    import threading

    return threading.Lock()


def test_a_result_that_cannot_be_pickled(place: Place, mesh: Mesh) -> None:
    with pytest.raises(TaskError, match="no_pickle") as caught:
        mesh.submit(no_pickle).result(timeout=30)
    first = str(caught.value).partition("\n")[0]
    assert "lock" in first
    assert "pickle" in first
    place.write("lock.json", {"tasks": [{"id": "maker", "call": "threading:Lock"}]})
    code, out, err = place.swarm("submit", "lock.json")
    assert code == 1
    assert out == ""
    assert err.startswith("swarm: ")
    assert "lock" in err.partition("\n")[0]


def test_no_mesh(place: Place) -> None:
    host = place.host
    home = str(host.folder / "none")
    for words in (["status"], ["nodes"], ["jobs"], ["submit", "--command", "--", "true"], ["invite"]):
        code, out, err = finished(host.swarm(*words))
        check_line(code, out, err, UNREACHABLE, ["swarm join", home])
    for command in ("stop", "leave"):
        code, out, err = finished(host.swarm(command))
        check_line(code, out, err, UNREACHABLE, ["--home", home])
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    away = new_invitation("away", [("127.0.0.1", port)])
    code, out, err = finished(host.swarm("status", "--mesh", away))
    check_line(code, out, err, UNREACHABLE, ["'away'", str(port)])


def test_wrong_invitations(place: Place) -> None:
    """Mistyped, of another mesh, and one that only clients may use."""
    good = place.invitation
    swapped = good[:-4] + good[-3] + good[-4] + good[-2:] if good[-4] != good[-3] else good[:-1]
    texts = [(["join"], swapped), (["login"], swapped), (["status", "--mesh"], swapped)]
    texts += [(["join"], good[:-5]), (["login"], "hello"), (["status", "--mesh"], "swarm9:abc")]
    for command, text in texts:
        code, out, err = finished(place.host.swarm(*command, text))
        check_line(code, out, err, WRONG_USAGE, ["invitation"])
        assert good[10:40] not in err, "a secret is not shown"
    stranger = new_invitation("stranger", [place.address], new_secret())
    code, out, err = finished(place.host.swarm("status", "--mesh", stranger))
    check_line(code, out, err, UNREACHABLE, ["'stranger'", str(place.address[1])])
    client = place.node.ask("invite", {"client": True})["invitation"]
    code, out, err = finished(place.host.swarm("join", client, "--home", str(place.host.folder / "other")))
    check_line(code, out, err, NOT_ALLOWED, ["client"])
    code, out, err = finished(place.host.swarm("join", stranger, "--home", str(place.node.home.root)))
    assert code != 0
    assert err.count("\n") == 1


def test_port_in_use(place: Place) -> None:
    port = str(place.address[1])
    home = place.host.folder / "second"
    code, out, err = finished(place.host.swarm("join", "--new", "--port", port, "--home", str(home)))
    check_line(code, out, err, WRONG_USAGE, [f"port {port}", "--port"])
    assert not (home / "mesh").exists()
    assert not (home / "ready.json").exists()


def test_a_home_that_is_taken(place: Place) -> None:
    code, out, err = finished(place.host.swarm("join", "--home", str(place.node.home.root)))
    check_line(code, out, err, 1, [f"pid {place.node.pid}", "swarm stop", "--home"])


def test_jobs_that_are_not_there(place: Place) -> None:
    for words in (["job"], ["logs"], ["results"], ["cancel"], ["logs", "--follow"]):
        place.refused(1, [*words, "zzzz"], "'zzzz'", "swarm jobs")


def test_programs_that_fail(place: Place) -> None:
    code, _, err = place.swarm("submit", "--command", "--", "sh", "-c", "echo broken >&2; exit 7")
    assert code == 1
    assert "broken" in err
    assert "exited with 7" in err
    code, _, err = place.swarm("submit", "--command", "--", "no-such-program")
    assert code == 1
    assert "no-such-program" in err
    assert "Traceback" not in err
    code, out, _ = place.swarm("run", "--all", "--", "sh", "-c", "echo $((2 + 3)); exit 4")
    assert (code, out) == (4, "node | 5\n")
    rows = json.loads(finished_well(place.host.swarm("jobs", "--json", "--home", str(place.node.home.root))))
    assert not [row for row in rows if row["state"] == "failed" and not row["reason"]]


def test_what_nobody_can_run_says_so(place: Place) -> None:
    words = ["submit", "--json", "--detach", "--cpus", "64", "--command", "--", "true"]
    job = json.loads(place.swarm(*words)[1])["job"]
    text = wait_for(lambda: str(place.node.ask("job", {"job": job})["reason"]), 2.0, "a reason")
    assert "64" in text
    assert place.swarm("cancel", job)[0] == 0
    assert (job, "cancelled") in place.jobs()


def test_errors_of_the_library_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SwarmError, match="swarm join") as caught:
        swarm.connect(home=tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="not 0"):
        swarm.local(nodes=0)

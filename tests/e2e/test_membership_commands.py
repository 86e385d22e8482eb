"""Becoming a member or a client and ceasing to be one, as people do it: join, invite, login, leave, stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swarm.client.mesh import connect
from swarm.core.errors import SwarmError
from swarm.net.invitation import Invitation
from tests.mesh_processes import (
    Host,
    Node,
    agreed_leader,
    finished,
    finished_json,
    finished_well,
    is_running,
    wait_for,
)

ALONE = ("--no-multicast", "--listen", "127.0.0.1", "--cores", "1")
LEAVING_S = 15.0


def make_pair(host: Host) -> tuple[Node, Node]:
    """Return two nodes of one core that agree; the second is not the one that clients are sent to."""
    first = host.node("one", *ALONE)
    invitation = first.join("--new")["invitation"]
    second = host.node("two", *ALONE)
    second.join(invitation)
    wait_for(lambda: agreed_leader([first, second]))
    return first, second


def at(node: Node) -> tuple[str, str]:
    """Return the words of a command that mean the node's home."""
    return "--home", str(node.home.root)


def submit(host: Host, node: Node, tasks: dict[str, str], **options: object) -> str:
    """Submit shell commands as a workflow through a node; return the job's id."""
    rows = [{"id": name, "command": ["sh", "-c", line], **options} for name, line in tasks.items()]
    (host.folder / "flow.json").write_text(json.dumps({"tasks": rows}))
    words = ["submit", "flow.json", "--detach", "--json", *at(node)]
    return str(finished_json(host.swarm(*words))["job"])


def ended(node: Node, job: str) -> dict[str, Any]:
    """Return a job once it has ended."""

    def look() -> dict[str, Any] | None:
        value = dict(node.ask("job", {"job": job}))
        return value if value["state"] in ("done", "failed", "cancelled") else None

    found = wait_for(look, 30.0, "the end of the job")
    assert found is not None
    return found


def state_of(node: Node, name: str) -> str:
    """Return the state of a member as a node sees it."""
    return str({row["name"]: row["state"] for row in node.ask("nodes")}[name])


def runs_on(node: Node) -> bool:
    return node.count("node", "exec", "slots_used_now") == 1


def test_founding_prints_what_the_others_type(host: Host) -> None:
    """The whole way in words: found, join by what was printed, invite again, log in, look, log out."""
    said = finished_well(host.swarm("join", "--new", "--name", "one", *ALONE, "--home", "one"))
    first = host.node("one")
    assert "node one is ready in mesh mesh-" in said
    assert "pass it on like a password" in said
    line = next(row.strip() for row in said.splitlines() if row.strip().startswith("swarm join "))
    invitation = line.removeprefix("swarm join ")
    said = finished_well(host.swarm("join", invitation.upper(), "--name", "two", *ALONE, "--home", "two"))
    host.node("two")
    assert "node two is ready" in said
    assert "password" not in said, "only founding prints the secret"
    wait_for(lambda: first.ask("status")["members"]["alive"] == 2)
    again = finished_well(host.swarm("invite", "--home", "one")).strip()
    assert Invitation.from_text(again).secret == Invitation.from_text(invitation).secret
    for_clients = finished_json(host.swarm("invite", "--client", "--json", "--home", "two"))
    assert for_clients["client"] is True
    assert for_clients["invitation"].startswith("swarm1c:")
    drawn = finished_well(host.swarm("invite", "--client", "--qr", "--home", "two"))
    assert drawn.splitlines()[0].startswith("swarm1c:")
    assert len(drawn.splitlines()) > 20
    said = finished_well(host.swarm("login", for_clients["invitation"], "--home", "laptop"))
    assert said.startswith("commands on this computer now talk to mesh mesh-")
    assert (host.folder / "laptop" / "login").stat().st_mode & 0o777 == 0o600
    rows = finished_json(host.swarm("nodes", "--json", "--home", "laptop"))
    assert {row["name"] for row in rows} == {"one", "two"}
    hosts = finished_well(host.swarm("nodes", "--mpi", "--home", "laptop"))
    assert hosts == "127.0.0.1 slots=2\n"


def test_what_a_client_may_not_do(host: Host) -> None:
    first, _ = make_pair(host)
    told = first.ask("invite", {"client": True})["invitation"]
    code, out, err = finished(host.swarm("join", told, "--home", "phone", *ALONE))
    assert (code, out) == (4, "")
    assert "this invitation is for clients" in err
    assert "swarm login" in err
    assert not (host.folder / "phone" / "mesh").exists()
    code, out, err = finished(host.swarm("invite", "--home", "phone"))
    assert code == 3, "who is no member has no invitation to give"
    with connect(mesh=told) as mesh:
        assert mesh.submit(len, "four").result(timeout=30) == 4
        for op in ("stop", "leave", "invite", "statistics"):
            with pytest.raises(SwarmError, match=op):
                mesh.call(op, {}, timeout=10.0)
    assert state_of(first, "two") == "alive"


def test_a_client_invitation_that_is_too_old_says_so(host: Host) -> None:
    """It cannot call on the network, which takes the secret; so its addresses must be right."""
    first = host.node("one", *ALONE)
    first.join("--new")
    told = first.ask("invite", {"client": True})["invitation"]
    finished_well(host.swarm("stop", *at(first)))
    code, out, err = finished(host.swarm("nodes", "--mesh", told))
    assert (code, out) == (3, "")
    assert err.count("\n") == 1
    assert "swarm invite --client" in err


def test_leave_lets_running_tasks_end(host: Host) -> None:
    """What runs ends where it is, what waits runs elsewhere, nothing runs twice, the others know at once."""
    first, second = make_pair(host)
    begun = host.folder / "begun"
    job = submit(host, first, {str(number): f"echo {number} >> {begun}; sleep 2" for number in range(4)})
    wait_for(lambda: runs_on(first) and runs_on(second), what="tasks on both")
    pid = second.pid
    leaving = host.swarm("leave", *at(second))
    wait_for(lambda: {row["name"]: row["reason"] for row in first.ask("nodes")}["two"] == "draining")
    assert is_running(pid)
    said = finished_well(leaving, LEAVING_S)
    assert said == f"the node (pid {pid}) has left\n"
    assert not is_running(pid)
    wait_for(lambda: state_of(first, "two") == "left", 3.0)
    assert ended(first, job)["state"] == "done"
    assert sorted(begun.read_text().split()) == ["0", "1", "2", "3"], "nothing ran twice"


def test_leave_does_not_wait_for_ever(host: Host) -> None:
    first, second = make_pair(host)
    job = submit(host, first, {"long": "sleep 60"}, tags=["node=two"])
    wait_for(lambda: runs_on(second), what="a task on the second node")
    pid = second.pid
    told = finished_json(host.swarm("leave", "--timeout", "0.5", "--json", *at(second)), LEAVING_S)
    assert told == {"pid": pid, "stopped": True}
    assert not is_running(pid)
    wait_for(lambda: "node=two" in first.ask("job", {"job": job})["reason"], 5.0, "a true reason")
    code, _, err = finished(host.swarm("leave", *at(second)))
    assert code == 3
    assert "no node runs in" in err


def test_stop_runs_its_tasks_again_elsewhere(host: Host) -> None:
    first, second = make_pair(host)
    begun = host.folder / "begun"
    job = submit(host, first, {str(number): f"echo {number} >> {begun}; sleep 4" for number in range(4)})
    wait_for(lambda: runs_on(second), what="a task on the second node")
    wait_for(lambda: begun.exists() and len(begun.read_text().split()) == 2, what="both programs have begun")
    pid = second.pid
    said = finished_well(host.swarm("stop", *at(second)), LEAVING_S)
    assert said == f"the node (pid {pid}) has stopped\n"
    wait_for(lambda: state_of(first, "two") == "left", 3.0)
    assert ended(first, job)["state"] == "done"
    ran = begun.read_text().split()
    assert sorted(set(ran)) == ["0", "1", "2", "3"]
    assert len(ran) == 5, "what ran on the stopped node ran once more, nothing else did"


def test_the_mesh_is_closed_by_default(host: Host) -> None:
    """No option opens it, and a home of one mesh does not slip into another."""
    code, _, err = finished(host.swarm("join", "--open", "--home", "open"))
    assert code == 2
    assert "--open" in err
    first = host.node("one", *ALONE)
    first.join("--new")
    other = host.node("other", *ALONE)
    invitation = other.join("--new")["invitation"]
    finished_well(host.swarm("stop", *at(other)))
    code, out, err = finished(host.swarm("join", first.ask("invite")["invitation"], *at(other)))
    assert (code, out) == (2, "")
    assert "belongs to the mesh" in err
    assert "--home" in err
    for path in (first.home.mesh, first.home.root / "node.key", first.home.log, first.home.journal):
        assert path.stat().st_mode & 0o077 == 0, f"{path} is for its owner only"
    mesh_file = Path(other.home.mesh).read_text()
    assert Invitation.from_text(mesh_file).secret == Invitation.from_text(invitation).secret

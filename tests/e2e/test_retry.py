"""`swarm retry`: what a job that failed has not done is done by a new one."""

from __future__ import annotations

import json

import pytest

from swarm.wire.messages import INLINE_SIZE_MAX
from tests.mesh_processes import Host, Node, finished, finished_json

LARGE = INLINE_SIZE_MAX + 1000


@pytest.fixture
def node(host: Host) -> Node:
    """A node of two cores."""
    made = host.node("node", "--no-multicast", "--listen", "127.0.0.1", "--cores", "2")
    made.join("--new")
    return made


def failed_job(host: Host, node: Node) -> str:
    """Run a workflow whose third task fails until there is a file `mended`, and return its id.

    Each task notes that it ran. The first is small, the second large and kept, the third needs the first, the
    fourth needs all.
    """
    note = f"echo $0 >> {host.folder}/ran"
    file = host.folder / "work.json"
    tasks = [
        {"id": "small", "command": ["sh", "-c", f"{note}; echo one", "small"]},
        {"id": "large", "command": ["sh", "-c", f"{note}; head -c {LARGE} /dev/zero", "large"]},
        {
            "id": "breaks",
            "command": ["sh", "-c", f"{note}; test -e {host.folder}/mended && cat", "breaks"],
            "stdin": "task:small",
            "needs": ["large"],
        },
        {"id": "last", "command": ["sh", "-c", f"{note}; cat; echo last", "last"], "stdin": "task:breaks"},
    ]
    file.write_text(json.dumps({"tasks": tasks}))
    submitted = host.swarm("submit", str(file), "--json", "--name", "work", "--home", str(node.home.root))
    code, out, err = finished(submitted)
    assert code == 1, err
    assert ran(host) == ["breaks", "large", "small"]
    return str(json.loads(out)["job"])


def ran(host: Host) -> list[str]:
    """Take the names of the tasks that ran since this was asked last, sorted."""
    path = host.folder / "ran"
    names = sorted(path.read_text().split())
    path.unlink()
    return names


def test_what_failed_runs_again_and_what_was_done_does_not(host: Host, node: Node) -> None:
    job = failed_job(host, node)
    (host.folder / "mended").touch()
    code, out, err = finished(host.swarm("retry", job[:8], "--home", str(node.home.root)))
    assert code == 0, err
    assert "runs 3 of 4 tasks again" in err
    assert ran(host) == ["breaks", "large", "last"], "what failed took the large result of its job with it"
    assert "one\nlast\n" in out


def test_it_is_told_as_json_and_left_when_asked_to(host: Host, node: Node) -> None:
    job = failed_job(host, node)
    home = ["--home", str(node.home.root)]
    again = finished(host.swarm("retry", job, "--json", *home))
    assert again[0] == 1, "it fails as before"
    told = json.loads(again[1])
    assert (told["state"], told["tasks"]["total"]) == ("failed", 3)
    assert told["job"] != job
    (host.folder / "mended").touch()
    left = finished_json(host.swarm("retry", told["job"], "--json", "--detach", *home))
    assert left["tasks"] == {"total": 3, "done": 0, "failed": 0}
    code, out, err = finished(host.swarm("attach", left["job"], "--json", *home))
    assert code == 0, err
    assert json.loads(out)["tasks"] == {"total": 3, "done": 3, "failed": 0}
    code, _, err = finished(host.swarm("retry", left["job"], *home))
    assert (code, err) == (1, f"swarm: job {left['job']} is done: there is nothing to run again\n")

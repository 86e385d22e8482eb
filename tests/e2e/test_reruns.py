"""Scripts inside the mesh whose node is killed: they run again elsewhere and find what they had submitted.

Half of it is in `make endure`: each test starts a mesh of its own.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from swarm.scheduler.job_facts import TABLE_FACTS
from tests.mesh_processes import Host, Node, agreed_leader, finished, finished_json, finished_well, wait_for

ALONE = ("--no-multicast", "--listen", "127.0.0.1", "--cores", "1")
ENDED_S = 90.0

HEAD = """\
import os, sys, time
import swarm

folder = sys.argv[1]


def note(word, *given):
    with open(os.path.join(folder, "ran"), "a") as file:
        file.write(word + "\\n")
    return word.upper()


with open(os.path.join(folder, "lives"), "a") as file:
    file.write("life\\n")
with open(os.path.join(folder, "lives")) as file:
    life = len(file.readlines())


def pause():
    with open(os.path.join(folder, "stage"), "w"):
        pass
    while not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.05)  # a script of a user who waits for a file


"""
CALLS = """\
with swarm.connect() as mesh:
    first = mesh.map(note, [f"a{number}" for number in range(4)])
    second = mesh.submit(note, "b", first[0])
    print(mesh.gather([*first, second]))
    pause()
    print(mesh.submit(note, "c", second).result())
"""
CHANGED = """\
with swarm.connect() as mesh:
    words = ["same", f"changed-{life}", "behind"]
    found = mesh.map(note, words)
    print(mesh.gather(found))
    pause()
    print(mesh.submit(note, "last", *found).result())
"""
GRAPHS = """\
with swarm.connect() as mesh:
    job = mesh.run_graph({"tasks": [
        {"id": "x", "command": ["sh", "-c", f"echo x >> {folder}/ran; echo seen"]},
        {"id": "y", "command": ["sh", "-c", f"echo y >> {folder}/ran; echo seen"], "needs": ["x"]},
    ]})
    print(job.id, job.result())
    pause()
    print(mesh.submit(note, "behind").result())
"""


@pytest.fixture
def nodes(host: Host) -> list[Node]:
    """Three nodes of one core that agree."""
    first = host.node("one", *ALONE)
    invitation = first.join("--new")["invitation"]
    others = [host.node(name, *ALONE) for name in ("two", "three")]
    for node in others:
        node.begin(invitation)
    for node in others:
        node.wait_ready()
    made = [first, *others]
    wait_for(lambda: agreed_leader(made), what="three nodes that agree")
    return made


def run_and_kill(host: Host, nodes: list[Node], script: str) -> tuple[Counter[str], str]:
    """Run a script and kill its node where it pauses; return what ran how often, and its output."""
    shared = host.folder / "shared"
    shared.mkdir()
    (host.folder / "job.py").write_text(HEAD + script)
    words = ["submit", "job.py", "--detach", "--json", "--home", str(nodes[0].home.root), "--", str(shared)]
    job = str(finished_json(host.swarm(*words))["job"])
    wait_for((shared / "stage").exists, ENDED_S, "the pause of the script")
    detail = nodes[0].ask("job", {"job": job})
    (runner,) = [node for node in nodes if node.name == detail["tasks_detail"][0]["node"]]
    left = [node for node in nodes if node is not runner]
    wait_for_facts(left, shared)
    runner.kill()
    wait_for(lambda: len(lines(shared / "lives")) == 2, ENDED_S, "the second life of the script")
    (shared / "go").touch()

    def ended() -> Any:
        value = left[0].ask("job", {"job": job})
        return value if value["state"] in ("done", "failed", "cancelled") else None

    told = wait_for(ended, ENDED_S, "the end of the script")
    said = finished_well(host.swarm("logs", job, "--home", str(left[0].home.root)))
    assert told["state"] == "done", said
    rows = left[0].ask("jobs")
    wait_for(
        lambda: all(row["state"] != "running" for row in left[0].ask("jobs")), ENDED_S, f"the end of {rows}"
    )
    return Counter(lines(shared / "ran")), said


def wait_for_facts(nodes: list[Node], shared: Path) -> None:
    """Wait until these nodes have on disk that all ended that ran: what a lone leader knew is run again."""

    def are_kept() -> bool:
        return all(facts_on_disk(node) >= len(lines(shared / "ran")) for node in nodes)

    wait_for(are_kept, ENDED_S, "the completions on the disks of those who stay")


def facts_on_disk(node: Node) -> int:
    """How many completions a node's journal has."""
    with closing(sqlite3.connect(f"file:{node.home.journal}?mode=ro", uri=True)) as journal:
        (count,) = journal.execute("SELECT count(*) FROM rows WHERE tab = ?", [TABLE_FACTS]).fetchone()
    return int(count)


def lines(path: Path) -> list[str]:
    """The lines of a file, none of one that is not there."""
    return path.read_text().split() if path.exists() else []


def test_what_was_submitted_is_found_and_not_repeated(host: Host, nodes: list[Node]) -> None:
    ran, said = run_and_kill(host, nodes, CALLS)
    assert ran == Counter(["a0", "a1", "a2", "a3", "b", "c"])
    assert said.splitlines()[-2:] == ["['A0', 'A1', 'A2', 'A3', 'B']", "C"]


@pytest.mark.soak
def test_a_changed_argument_is_new_work_and_so_is_all_behind_it(host: Host, nodes: list[Node]) -> None:
    ran, said = run_and_kill(host, nodes, CHANGED)
    assert ran == Counter({"same": 1, "changed-1": 1, "changed-2": 1, "behind": 2, "last": 1})
    assert said.splitlines()[-2:] == ["['SAME', 'CHANGED-2', 'BEHIND']", "LAST"]


@pytest.mark.soak
def test_the_job_of_a_graph_is_found_under_its_id(host: Host, nodes: list[Node]) -> None:
    ran, said = run_and_kill(host, nodes, GRAPHS)
    assert ran == Counter(["x", "y", "behind"])
    told = [line for line in said.splitlines() if "seen" in line]
    assert len(set(told)) == 1, "one id and one answer in both lives"


@pytest.mark.soak
def test_it_is_found_as_well_when_every_node_was_killed_at_once(host: Host, nodes: list[Node]) -> None:
    shared = host.folder / "shared"
    shared.mkdir()
    (host.folder / "job.py").write_text(HEAD + CALLS)
    words = ["submit", "job.py", "--detach", "--home", str(nodes[0].home.root), "--", str(shared)]
    job = finished_well(host.swarm(*words)).strip()
    wait_for((shared / "stage").exists, ENDED_S, "the pause of the script")
    known = nodes[0].ask("jobs")
    wait_for_facts(nodes, shared)
    for node in nodes:
        node.kill()
    (shared / "go").touch()
    for node in reversed(nodes):
        node.begin()
    for node in nodes:
        node.wait_ready()
    wait_for(lambda: nodes[0].ask("job", {"job": job})["state"] == "done", ENDED_S, f"the end of {known}")
    assert Counter(lines(shared / "ran")) == Counter(["a0", "a1", "a2", "a3", "b", "c"])
    assert lines(shared / "lives") == ["life", "life"]


def test_a_job_that_was_left_can_be_attached_to(host: Host, nodes: list[Node]) -> None:
    """Its leader, which took it and had heard what it printed, is killed: all output and the end appear."""
    shared = host.folder / "shared"
    shared.mkdir()
    (host.folder / "job.py").write_text(HEAD + "print('begun', flush=True)\npause()\nprint('ended')\n")
    leader = agreed_leader(nodes)
    (victim,) = [node for node in nodes if node.name == leader]
    witness, runner = [node for node in nodes if node is not victim]
    words = ["submit", "job.py", "--detach", "--tag", f"node={runner.name}", "--home", str(victim.home.root)]
    job = finished_well(host.swarm(*words, "--", str(shared))).strip()
    wait_for((shared / "stage").exists, ENDED_S, "the pause of the script")
    wait_for(lambda: witness.ask("logs", {"job": job}), what="what the script printed, at the leader")
    invitation = witness.ask("invite")["invitation"]
    attached = host.swarm("attach", job, "--json", "--mesh", invitation)
    victim.kill()
    (shared / "go").touch()
    code, out, err = finished(attached)
    assert code == 0, err
    assert err == "begun\nended\n"
    told = json.loads(out)
    assert told["state"] == "done"
    assert told["tasks"] == {"total": 1, "done": 1, "failed": 0}
    code, out, err = finished(host.swarm("attach", job[:8], "--home", str(witness.home.root)))
    assert (code, out, err) == (0, "begun\nended\n", "")


def test_the_same_work_under_the_same_word_is_one_job(host: Host, nodes: list[Node]) -> None:
    """Submitted through different nodes, while it runs and after it has ended; other work is another job."""
    ran = host.folder / "ran"

    def submit(node: Node, word: str, *options: str) -> dict[str, Any]:
        words = ["--id", word, "--json", *options, "--home", str(node.home.root)]
        line = ["--command", "--", "sh", "-c", f"echo run >> {ran}; sleep 1; echo told"]
        return dict(finished_json(host.swarm("submit", *words, *line)))

    left = submit(nodes[0], "nightly", "--detach")
    again = submit(nodes[1], "nightly")
    assert again["job"] == left["job"]
    assert again["state"] == "done"
    assert submit(nodes[2], "nightly")["attempts"] == 1
    assert lines(ran) == ["run"]
    assert submit(nodes[2], "nightly", "--retries", "1")["job"] != left["job"]
    assert submit(nodes[2], "weekly")["job"] != left["job"]
    assert lines(ran) == ["run"] * 3

"""A strict mesh of five hosts is split: one side goes on, the other waits and says why; then it heals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mesh_processes import Node, agreed_leader, finished, finished_json, wait_for
from tests.netns.lab import Lab, needs_lab

pytestmark = needs_lab()

NAMES = ("a", "b", "c", "d", "e")
VOTERS_WITHIN_S = 60.0
STOPS_WITHIN_S = 15.0


class StrictLab:
    """Five hosts with one node each, of which the first founds a strict mesh.

    Attributes:
        lab: the network.
        nodes: all of them.
        ran: a file in which every attempt of a task writes a line.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.nodes = lab.nodes(NAMES, "--cores", "1")
        founded = self.nodes[0].join("--new", "--quorum", "strict")
        for node in self.nodes[1:]:
            node.begin(str(founded["invitation"]))
        for node in self.nodes[1:]:
            node.wait_ready()
        self.ran: Path = lab.hosts[0].folder / "ran"
        self.ran.touch()
        wait_for(lambda: self.has_voters(5), VOTERS_WITHIN_S, "five voters that agree")

    def has_voters(self, count: int) -> bool:
        """Return whether all agree on a leader and name so many voters."""
        told = [len(quorum_of(node)["voters"]) for node in self.nodes]
        return told == [count] * len(self.nodes) and bool(agreed_leader(self.nodes))

    def submit(self, node: Node, word: str) -> str:
        """Submit, through a node, a task that writes a word to the file; return the accepted job."""
        words = [
            "submit",
            "--detach",
            "--json",
            "--name",
            word,
            "--home",
            str(node.home.root),
            "--command",
            "--",
        ]
        program = ["sh", "-c", f"echo {word} >> {self.ran}; sleep 0.2; echo {word}"]
        return str(finished_json(node.host.swarm(*words, *program))["job"])

    def runs_of(self, word: str) -> int:
        """Return how many attempts wrote a word."""
        return self.ran.read_text().split().count(word)


@pytest.fixture
def strict() -> Iterator[StrictLab]:
    with contextlib.closing(Lab()) as lab:
        yield StrictLab(lab)


def quorum_of(node: Node) -> dict[str, Any]:
    quorum = node.ask("status")["quorum"]
    assert quorum["mode"] == "strict"
    return dict(quorum)


def wait_done(node: Node, job: str, seconds: float, what: str) -> None:
    """Wait until a node knows a job as done."""
    wait_for(lambda: node.ask("job", {"job": job})["state"] == "done", seconds, what)


def wait_leaderless(node: Node) -> None:
    """Wait until a node follows nobody."""
    wait_for(lambda: not node.ask("status")["leader"], STOPS_WITHIN_S, f"{node.name} without a leader")


def test_one_side_of_a_split_goes_on_and_the_other_waits_and_says_why(strict: StrictLab) -> None:
    leader = next(node for node in strict.nodes if node.name == agreed_leader(strict.nodes))
    other = next(node for node in strict.nodes if node is not leader)
    few = [leader, other]
    many = [node for node in strict.nodes if node not in few]
    job = strict.submit(few[0], "before")
    wait_done(few[0], job, 30.0, "the job before the split")
    strict.lab.separate([host for host in strict.lab.hosts if any(node.host is host for node in few)])
    for node in few:
        wait_leaderless(node)
    wait_for(lambda: agreed_leader(many), 30.0, "a majority with one")
    jobs = {f"few{number}": strict.submit(few[number % 2], f"few{number}") for number in range(3)}
    jobs.update({f"many{number}": strict.submit(many[number % 3], f"many{number}") for number in range(3)})
    for word, each in jobs.items():
        if word.startswith("many"):
            wait_done(many[0], each, 30.0, f"{word}, of the majority")
    for node in few:
        reason = str(quorum_of(node)["reason"])
        assert reason.startswith("only 2 of 5 voters of this strict mesh can be reached and 3 are needed")
        code, out, err = finished(node.host.swarm("status", "--home", str(node.home.root)))
        assert code == 0, err
        assert f"waiting  {reason}" in out
        assert "leader   none at present" in out
    assert [word for word in jobs if strict.runs_of(word)] == ["many0", "many1", "many2"]
    strict.lab.reunite()
    wait_for(lambda: agreed_leader(strict.nodes), 60.0, "one mesh again")
    for word, each in jobs.items():
        for node in strict.nodes:
            wait_done(node, each, 60.0, f"{word} at {node.name}")
    assert {word: strict.runs_of(word) for word in ["before", *jobs]} == dict.fromkeys(["before", *jobs], 1)
    wait_for(lambda: strict.has_voters(5), VOTERS_WITHIN_S, "five voters again")


def test_a_strict_mesh_is_joined_as_one_only_and_started_again_as_one(strict: StrictLab) -> None:
    invitation = str(strict.nodes[0].ask("invite")["invitation"])
    stranger = strict.lab.host().node("f", "--quorum", "available")
    code, _, err = finished(
        stranger.host.swarm("join", invitation, "--home", str(stranger.home.root), "--quorum", "available")
    )
    assert code == 2, err
    assert "is strict, not available: that is settled when a mesh is founded" in err
    for node in strict.nodes:
        node.kill()
    for node in strict.nodes[2:]:
        node.join()
    wait_for(lambda: agreed_leader(strict.nodes[2:]), 30.0, "three of five lead after the power came back")
    voters = quorum_of(strict.nodes[2])["voters"]
    assert len(voters) == 5
    assert set(voters) > {"c", "d", "e"}, "two are away, and their names not known again"

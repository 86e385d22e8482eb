"""Meshes that lose nodes or are cut in two: whatever is left goes on, and in the end there is one answer."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from swarm.core.errors import SwarmError
from swarm.net.invitation import new_secret
from tests.mesh_processes import Node, agreed_leader, finished_json, new_invitation, wait_for
from tests.netns.lab import Lab, needs_lab, start_together

pytestmark = needs_lab()

AGREE_WITHIN_S = 30.0
HEALED_WITHIN_S = 30.0

# Twenty tasks whose answer is known.
PROGRAM = """
import json, time
import swarm

def square(number):
    time.sleep({nap_s})  # the work of a task
    return number * number

with swarm.connect(name={name!r}) as mesh:
    squares = mesh.map(square, range(20))
    print("submitted", flush=True)
    print(json.dumps(sum(future.result(timeout=100) for future in squares)), flush=True)
"""
ANSWER = sum(number * number for number in range(20))


class Mesh:
    """Nodes of one core each that agree."""

    def __init__(self, lab: Lab, count: int) -> None:
        self.nodes = lab.nodes([f"n{number}" for number in range(count)], "--cores", "1")
        self._secret = new_secret()
        start_together(self.nodes, new_invitation("sides", secret=self._secret))

    def submit(self, node: Node, name: str, nap_s: float = 0.1) -> Any:
        """Start a program on a node's host that submits to that node, and return it when it has."""
        folder = node.host.folder
        script = folder / f"{name}.py"
        script.write_text(PROGRAM.format(nap_s=nap_s, name=name))
        invitation = new_invitation("sides", [each.address for each in self.nodes], self._secret)
        program = node.host.spawn(node.host.python, str(script), environment={"SWARM_MESH": invitation})
        assert program.stdout is not None
        assert program.stdout.readline() == "submitted\n", program.communicate()[1]
        return program


def led(nodes: Sequence[Node]) -> str:
    """Return the leader, one of them, when nodes agree on it and see nobody else alive."""
    names = [node.name for node in nodes]
    return wait_for(
        lambda: name if (name := agreed_leader(nodes)) in names else "", AGREE_WITHIN_S, "a leader among them"
    )


def job_of(node: Node, name: str) -> dict[str, Any]:
    """Return what a node says about the newest job of a name, {} while it says nothing."""
    try:
        rows = [row for row in node.ask("jobs") if row["name"] == name]
    except SwarmError:
        return {}
    return dict(rows[-1]) if rows else {}


@pytest.mark.parametrize("lost", ["the leader", pytest.param("the follower", marks=pytest.mark.soak)])
def test_a_mesh_of_two_loses_either_node_and_goes_on(lab: Lab, lost: str, record_property: Any) -> None:
    mesh = Mesh(lab, 2)
    leader = next(node for node in mesh.nodes if node.name == led(mesh.nodes))
    follower = next(node for node in mesh.nodes if node is not leader)
    dead, survivor = (leader, follower) if lost == "the leader" else (follower, leader)
    program = mesh.submit(survivor, "before", 0.3)
    wait_for(lambda: job_of(survivor, "before").get("tasks", {}).get("done", 0) > 2, AGREE_WITHIN_S)
    killed_at = dead.kill()
    led([survivor])
    record_property("alone_s", round(time.monotonic() - killed_at, 3))
    assert finished_json(program) == ANSWER
    assert finished_json(mesh.submit(survivor, "after", 0.0)) == ANSWER
    dead.join()
    led(mesh.nodes)
    assert finished_json(mesh.submit(dead, "again", 0.0)) == ANSWER


def test_five_nodes_cut_in_two_go_on_on_both_sides_and_have_one_answer_in_the_end(lab: Lab) -> None:
    mesh = Mesh(lab, 5)
    led(mesh.nodes)
    few, many = mesh.nodes[:2], mesh.nodes[2:]
    common = mesh.submit(few[0], "common", 0.5)
    lab.separate(lab.hosts[:2])
    led(few)
    led(many)
    here, there = mesh.submit(few[1], "here"), mesh.submit(many[0], "there")
    assert [finished_json(each) for each in (here, there, common)] == [ANSWER] * 3
    lab.reunite()
    wait_for(lambda: agreed_leader(mesh.nodes), HEALED_WITHIN_S, "one mesh of five")
    for name in ("common", "here", "there"):
        for node in mesh.nodes:
            wait_for(lambda node=node, name=name: job_of(node, name).get("state") == "done", 30.0, name)  # type: ignore[misc]  # its defaults
        told = {json.dumps(job_of(node, name).get("tasks"), sort_keys=True) for node in mesh.nodes}
        assert told == {json.dumps({"total": 20, "done": 20, "failed": 0, "running": 0}, sort_keys=True)}

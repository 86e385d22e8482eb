"""A node is its key: it moves, stands still and is copied, and members stay who they are."""

from __future__ import annotations

import os
import shutil
import signal
import time
from typing import Any

import pytest

from tests.mesh_processes import Node, agreed_leader, events, new_invitation, wait_for
from tests.netns.lab import CROWDED, Lab, NamespaceHost, needs_lab, start_together
from tests.netns.test_ways import notices

pytestmark = needs_lab()

NAMES = ("a", "b", "c")
MOVED_WITHIN_S = 15.0 * CROWDED
RENEWED_WITHIN_S = 10.0 * CROWDED


def row_of(node: Node, other: Node) -> dict[str, Any]:
    """Return what a node knows of another one."""
    found = [row for row in node.ask("nodes") if row["id"] == other.ready["id"]]
    assert len(found) <= 1
    return dict(found[0]) if found else {}


def copied(node: Node, host: NamespaceHost) -> Node:
    """Return a node on another host with a copy of the home of one, made while that runs."""
    made = host.node(node.name, *node.options)
    shutil.copytree(node.home.root, made.home.root, ignore=shutil.ignore_patterns("api.sock", "ready.json"))
    return made


@pytest.mark.parametrize("victim", ["the leader", "another"])
def test_a_changed_address_is_the_same_member(lab: Lab, victim: str, record_property: Any) -> None:
    nodes = lab.nodes(NAMES)
    timing = start_together(nodes, new_invitation())
    moved = next(node for node in nodes if (node.name == timing.leader) == (victim == "the leader"))
    host = lab.hosts[nodes.index(moved)]
    began = time.monotonic()
    host.move("10.93.0.77")

    def is_known() -> bool:
        rows = [row_of(node, moved) for node in nodes]
        return all(row["state"] == "alive" and row["address"] == "10.93.0.77:7117" for row in rows)

    wait_for(is_known, MOVED_WITHIN_S, "its new address is known to all")
    record_property("rejoined_s", round(time.monotonic() - began, 3))
    wait_for(lambda: agreed_leader(nodes), MOVED_WITHIN_S, "one mesh of three")
    assert all(len(node.ask("nodes")) == 3 for node in nodes), "no duplicate"


@pytest.mark.parametrize("is_moved", [True, False])
def test_of_two_clones_one_becomes_a_node_of_its_own(lab: Lab, is_moved: bool, record_property: Any) -> None:
    nodes = lab.nodes(NAMES)
    start_together(nodes, new_invitation())
    clone = copied(nodes[1], lab.host())
    (clone.home.root / "kept").write_text("work")
    if is_moved:
        clone.home.machine.write_text("another machine\n")
    began = time.monotonic()
    clone.begin()
    clone.wait_ready()
    wait_for(lambda: clone.ask("ping")["id"] != nodes[1].ready["id"], RENEWED_WITHIN_S, "a new identity")
    clone.ready = clone.ask("ping")
    wait_for(lambda: agreed_leader([*nodes, clone]), RENEWED_WITHIN_S, "four members")
    took_s = time.monotonic() - began
    record_property("working_s", round(took_s, 3))
    assert took_s < RENEWED_WITHIN_S
    for node in nodes:
        assert node.ask("ping")["id"] == node.ready["id"], "nobody else changed"
    assert notices(clone) == ["identity_renewed"]
    assert len(events(clone, "identity_renewed")) == 1
    assert (clone.home.root / "kept").read_text() == "work"
    assert clone.ask("status")["name"] == nodes[1].name
    incarnation = nodes[1].count("node", "gossip", "incarnation")
    time.sleep(2.0)  # the time in which nothing may happen
    assert nodes[1].count("node", "gossip", "incarnation") <= incarnation + 1, "no duel goes on"


@pytest.mark.soak
def test_a_process_that_stood_still_for_a_minute_is_back_at_once(lab: Lab, record_property: Any) -> None:
    nodes = lab.nodes(NAMES)
    timing = start_together(nodes, new_invitation())
    still = next(node for node in nodes if node.name == timing.leader)
    others = [node for node in nodes if node is not still]
    os.kill(still.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: all(row_of(node, still)["state"] == "dead" for node in others), 20.0, "it is dead")
        time.sleep(50.0)  # for so long it stands still
    finally:
        os.kill(still.pid, signal.SIGCONT)
    began = time.monotonic()
    wait_for(lambda: agreed_leader(nodes), 5.0 * CROWDED, "it is back")
    record_property("back_s", round(time.monotonic() - began, 3))
    dead = {node.name: len(events(node, "member_dead")) for node in nodes}
    time.sleep(10.0)  # the time in which nothing may happen
    assert agreed_leader(nodes)
    assert {node.name: len(events(node, "member_dead")) for node in nodes} == dead, "it does not flap"
    assert dead[still.name] == 0, "the sleeper declares nobody dead"

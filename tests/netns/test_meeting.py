"""Three nodes on a bridge that know only the invitation find each other, whatever the order and the way."""

from __future__ import annotations

import itertools

import pytest

from tests.mesh_processes import Node, finished_json, new_invitation, wait_for
from tests.netns.lab import CROWDED, Lab, Timing, needs_lab, start_in_turn, start_together

pytestmark = needs_lab()
needs_nft = needs_lab("nft")

NAMES = ("a", "b", "c")
AGREED_WITHIN_S = 2.0 * CROWDED


def check_agreed(nodes: list[Node], timing: Timing, record: object) -> None:
    """Check that it was quick, and that every node lists the same three living members and one leader."""
    print(
        f"{timing.from_ready_s:.2f} s after the last was ready, {timing.from_start_s:.2f} s after its start"
    )
    assert callable(record)
    record("agreed_from_ready_s", round(timing.from_ready_s, 3))
    record("agreed_from_start_s", round(timing.from_start_s, 3))
    assert timing.from_ready_s < AGREED_WITHIN_S
    ids = {node.ready["id"] for node in nodes}
    assert len(ids) == len(nodes)
    for node in nodes:
        rows = node.ask("nodes")
        assert {row["id"] for row in rows if row["state"] == "alive"} == ids
        assert [row["name"] for row in rows if row["leader"]] == [timing.leader]


def test_by_multicast_alone(lab: Lab, record_property: object) -> None:
    nodes = lab.nodes(NAMES)
    timing = start_together(nodes, new_invitation())
    check_agreed(nodes, timing, record_property)
    for node in nodes:
        assert node.count("node", "gossip", "hellos_to_everybody") > 0


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[1::2])
def test_one_after_the_other(lab: Lab, order: tuple[int, ...], record_property: object) -> None:
    nodes = lab.nodes(NAMES)
    timing = start_in_turn([nodes[at] for at in order], new_invitation())
    check_agreed(nodes, timing, record_property)


def test_the_invitation_that_founding_prints(lab: Lab, record_property: object) -> None:
    nodes = lab.nodes(NAMES)
    told = nodes[2].join("--new")
    assert told["founded"]
    timing = start_together(nodes[:2], told["invitation"], nodes[2:])
    check_agreed(nodes, timing, record_property)


@needs_nft
@pytest.mark.parametrize("start", [start_together, start_in_turn])
def test_deaf_to_multicast_with_one_peer_each(lab: Lab, start: object, record_property: object) -> None:
    nodes = lab.nodes(NAMES)
    for host in lab.hosts:
        host.deafen()
    # a has no address of anybody, b knows a, c knows b: one --peer is enough.
    nodes[1].options += ["--peer", f"{lab.hosts[0].address}:7117"]
    nodes[2].options += ["--peer", f"{lab.hosts[1].address}:7117"]
    assert callable(start)
    timing = start(nodes, new_invitation())
    check_agreed(nodes, timing, record_property)
    assert all(host.dropped_packets() > 0 for host in lab.hosts), "hellos were really kept away"


@needs_nft
def test_deaf_and_started_before_the_peer(lab: Lab, record_property: object) -> None:
    nodes = lab.nodes(NAMES)
    for host in lab.hosts:
        host.deafen()
    for number in (1, 2):
        nodes[number].options += ["--peer", f"{lab.hosts[0].address}:7117"]
    timing = start_in_turn(nodes[::-1], new_invitation())
    check_agreed(nodes, timing, record_property)


@needs_nft
def test_deaf_without_a_peer_they_stay_alone(lab: Lab) -> None:
    nodes = lab.nodes(NAMES[:2])
    for host in lab.hosts:
        host.deafen()
    invitation = new_invitation()
    for node in nodes:
        node.join(invitation)
    for node in nodes:
        wait_for(lambda node=node: node.ask("status")["leader"] == node.name)  # type: ignore[misc]  # its defaults
        assert node.ask("status")["members"]["alive"] == 1


def test_meshes_on_one_network_do_not_see_each_other(lab: Lab) -> None:
    nodes = lab.nodes(NAMES)
    ours, theirs = new_invitation("ours"), new_invitation("theirs")
    nodes[2].join(theirs)
    start_together(nodes[:2], ours)
    wait_for(lambda: nodes[0].count("seal", "refused_tag") > 0, 10.0, "a datagram of the other mesh")
    assert nodes[0].ask("status")["members"]["alive"] == 2
    assert nodes[2].ask("status")["members"]["alive"] == 1


def test_join_without_an_invitation_says_whom_it_hears(lab: Lab) -> None:
    """A node that would found a mesh beside another one is told how to join instead."""
    first = lab.nodes(NAMES[:1])[0]
    first.join("--new")
    host = lab.host()
    beside = host.swarm("join", "--json", "--wait", "0", "--home", str(host.folder / "beside"))
    _, err = beside.communicate(timeout=30)
    assert beside.returncode == 4
    assert err.startswith("swarm: a mesh was heard nearby")
    assert "swarm join INVITATION" in err
    assert "--new" in err
    assert err.count("\n") == 1
    assert not (host.folder / "beside" / "mesh").exists()
    node = host.node("own")
    node.join("--new")
    assert node.ask("status")["members"]["alive"] == 1
    status = finished_json(host.swarm("status", "--json", "--home", str(node.home.root)))
    assert status["name"] == "own"

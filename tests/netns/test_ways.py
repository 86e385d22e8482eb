"""Every way to find each other is enough alone; one that dies while nodes run costs nothing and is told."""

from __future__ import annotations

from typing import Any

import pytest

from swarm.daemon.hearing import QUIET_INTERVALS
from swarm.daemon.seeking import LOOK_INTERVAL_S
from swarm.gossip.config import GossipConfig
from swarm.net.invitation import new_secret
from tests.mesh_processes import (
    Node,
    agreed_leader,
    events,
    finished_json,
    finished_well,
    new_invitation,
    wait_for,
)
from tests.netns.lab import CROWDED, Lab, needs_lab, start_together

pytestmark = needs_lab("nft")

FOUND_WITHIN_S = 3.0 * CROWDED
SCANNED_WITHIN_S = 8.0 * CROWDED
MERGED_WITHIN_S = 5.0 * CROWDED
NOTICED_WITHIN_S = QUIET_INTERVALS * GossipConfig().hello_interval_max_s + 2 * LOOK_INTERVAL_S + 4.0
EVERYBODY = ("multicast", "broadcast", "ipv6")


def notices(node: Node) -> list[str]:
    return [str(notice["code"]) for notice in node.ask("status")["notices"]]


def whole(nodes: list[Node]) -> None:
    """Check that nodes agree on exactly each other."""
    wait_for(lambda: agreed_leader(nodes), FOUND_WITHIN_S, "one mesh")


@pytest.mark.parametrize("way", EVERYBODY)
def test_each_kind_of_hello_to_everybody_alone(lab: Lab, way: str) -> None:
    nodes = lab.nodes(("a", "b"))
    for host in lab.hosts:
        host.block(*[other for other in EVERYBODY if other != way])
    timing = start_together(nodes, new_invitation())
    assert timing.from_ready_s < FOUND_WITHIN_S
    name = {"ipv6": "multicast6"}.get(way, way)
    heard = wait_for(lambda: nodes[0].ask("discovery")["ways"][name]["hosts"], 5.0, "it is known how")
    assert len(heard) == 1
    ways = nodes[0].ask("discovery")["ways"]
    assert [other for other in ways if ways[other]["hosts"]] == [name]


def test_an_address_in_the_invitation_alone(lab: Lab) -> None:
    nodes = lab.nodes(("a", "b"))
    for host in lab.hosts:
        host.block(*EVERYBODY)
    secret = new_secret()
    nodes[0].join(new_invitation(secret=secret))
    nodes[1].join(new_invitation(addresses=[nodes[0].address], secret=secret))
    whole(nodes)


def test_a_remembered_address_alone(lab: Lab) -> None:
    nodes = lab.nodes(("a", "b"))
    start_together(nodes, new_invitation())
    finished_well(lab.hosts[1].swarm("stop", "--home", str(nodes[1].home.root)))
    for host in lab.hosts:
        host.block(*EVERYBODY)
    nodes[1].join()
    whole(nodes)


def test_a_scan_alone(lab: Lab) -> None:
    nodes = lab.nodes(("a", "b"))
    for host in lab.hosts:
        host.block(*EVERYBODY)
    nodes[1].options += ["--scan"]
    invitation = new_invitation()
    for node in nodes:
        node.join(invitation)
    wait_for(lambda: agreed_leader(nodes), SCANNED_WITHIN_S, "one mesh")
    asked = nodes[1].ask("statistics")["seeker"]
    assert (asked["scans"], asked["scanned"] <= 254) == (1, True)


def test_multicast_that_dies_is_told_and_loses_nothing(lab: Lab) -> None:
    """As under a switch that snoops and whose querier is gone; a new node joins by broadcast."""
    nodes = lab.nodes(("a", "b"))
    invitation = new_invitation()
    start_together(nodes, invitation)
    wait_for(lambda: all(node.ask("discovery")["ways"]["multicast"]["count"] for node in nodes), 8.0)
    assert [notices(node) for node in nodes] == [[], []]
    newcomer = lab.host()
    for host in lab.hosts:
        host.block("multicast", "ipv6")
    late = newcomer.node("c")
    late.join(invitation)
    nodes.append(late)
    whole(nodes)
    wait_for(
        lambda: all(notices(node) == ["multicast_not_heard"] for node in nodes), NOTICED_WITHIN_S, "notices"
    )
    shown = finished_well(newcomer.swarm("status", "--home", str(late.home.root)))
    assert "notice   IPv4 multicast of other hosts is not heard" in shown
    assert "new nodes are heard by IPv4 broadcast" in shown
    assert all(node.ask("status")["members"]["alive"] == 3 for node in nodes)
    for host in lab.hosts:
        host.block()
    wait_for(lambda: all(notices(node) == [] for node in nodes), 12.0, "multicast is heard again")
    assert [line["dead"] for line in events(late, "ways_heard")][-1] == []


def test_two_meshes_of_one_secret_that_meet_become_one(lab: Lab, record_property: Any) -> None:
    nodes = lab.nodes(("a", "b", "c", "d"))
    lab.separate(lab.hosts[2:])
    invitation = new_invitation()
    start_together(nodes[:2], invitation)
    start_together(nodes[2:], invitation)
    assert len({node.ask("status")["leader"] for node in nodes}) == 2
    lab.reunite()
    began = wait_for(lambda: nodes[0].ask("status")["uptime_s"])
    wait_for(lambda: agreed_leader(nodes), MERGED_WITHIN_S, "one mesh of four")
    took_s = float(nodes[0].ask("status")["uptime_s"]) - float(began)
    record_property("merged_s", round(took_s, 3))


def test_meshes_of_other_secrets_are_told_of_once(lab: Lab) -> None:
    nodes = lab.nodes(("ours", "theirs", "lone"))
    nodes[1].join(new_invitation("theirs"))
    nodes[2].join(new_invitation("lone"))
    nodes[0].join(new_invitation("ours"))
    wait_for(lambda: nodes[0].count("seal", "refused_tag") > 8, 12.0, "many datagrams of other meshes")
    assert len(events(nodes[0], "other_mesh_heard")) == 2, "one line for each of them"
    assert [node.ask("status")["members"]["alive"] for node in nodes] == [1, 1, 1]
    assert notices(nodes[0]) == ["other_mesh_heard"]


def test_a_node_without_multicast_and_with_a_name_for_its_peer(lab: Lab) -> None:
    """The name means nothing at first."""
    nodes = lab.nodes(("a", "b"))
    nodes[1].options += ["--no-multicast", "--peer", "no-such-host.invalid:7117"]
    invitation = new_invitation()
    for node in nodes:
        node.join(invitation)
    wait_for(lambda: nodes[1].count("seeker", "names_unknown"), 20.0, "it has been looked for")
    assert nodes[1].ask("status")["members"]["alive"] == 1
    told = finished_json(lab.hosts[1].swarm("status", "--json", "--home", str(nodes[1].home.root)))
    assert told["name"] == "b"

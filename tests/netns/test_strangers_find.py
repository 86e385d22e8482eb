"""Who is no member and knows no address finds a mesh near by, and is told addresses that work there."""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.mesh_processes import Node, finished, finished_json, new_invitation
from tests.netns.lab import Lab, NamespaceHost, needs_lab, start_together

pytestmark = needs_lab()
needs_nft = needs_lab("nft")

FAILOVER = """
import json, sys, time
import swarm
mesh = swarm.connect(mesh=sys.argv[1])
peers = {peer.name: peer.address[0] for peer in mesh.engine.session.peers}
print(json.dumps([mesh.engine.session.node_name, peers]), flush=True)
sys.stdin.readline()
print(json.dumps(mesh.submit(sum, [1, 2, 3]).result(timeout=30)), flush=True)
print(json.dumps(mesh.engine.session.node_name), flush=True)
mesh.close()
"""


def without_ipv4(host: NamespaceHost) -> NamespaceHost:
    host.run("ip", "addr", "flush", "dev", "eth0", "scope", "global")
    return host


def rows_of(host: NamespaceHost, invitation: str) -> list[dict[str, Any]]:
    """Return what `swarm nodes` says on a host without a node."""
    rows = finished_json(host.swarm("nodes", "--json", "--mesh", invitation))
    assert isinstance(rows, list)
    return rows


def survives(host: NamespaceHost, nodes: list[Node], invitation: str) -> dict[str, str]:
    """Connect a client, kill its node, have it work on through another; return the hosts it was told of."""
    program = host.spawn(sys.executable, "-c", FAILOVER, invitation, takes_input=True)
    assert program.stdout is not None
    assert program.stdin is not None
    attached, told = json.loads(program.stdout.readline())
    next(node for node in nodes if node.name == attached).kill()
    program.stdin.write("\n")
    program.stdin.flush()
    assert json.loads(program.stdout.readline()) == 6
    assert json.loads(program.stdout.readline()) != attached
    assert finished(program)[0] == 0
    return dict(told)


def test_with_the_invitation_alone(lab: Lab) -> None:
    """Everybody is told IPv4 addresses, though hellos came by IPv6 as well."""
    nodes = lab.nodes(("a", "b"))
    invitation = new_invitation()
    start_together(nodes, invitation)
    client = lab.host()
    rows = rows_of(client, invitation)
    addresses = {host.address for host in lab.hosts[:2]}
    assert {row["address"].rpartition(":")[0] for row in rows} == addresses
    words = finished(client.swarm("nodes", "--sh", "--mesh", invitation))[1].split()
    assert set(words) == addresses
    assert set(survives(client, nodes, invitation).values()) <= addresses


def test_where_only_ipv6_link_local_works(lab: Lab) -> None:
    """Addresses of one link, told without the scope of whoever tells them."""
    nodes = [without_ipv4(lab.host()).node(name) for name in ("a", "b")]
    invitation = new_invitation()
    start_together(nodes, invitation)
    client = without_ipv4(lab.host())
    for row in rows_of(client, invitation):
        assert row["address"].startswith("[fe80::")
        assert "%" not in row["address"]
    told = survives(client, nodes, invitation)
    assert all(host.startswith("fe80::") and "%" not in host for host in told.values())


@needs_nft
def test_nobody_hears_the_call(lab: Lab) -> None:
    node = lab.nodes(("a",))[0]
    lab.hosts[0].deafen()
    invitation = new_invitation("quiet")
    node.join(invitation)
    client = lab.host()
    client.deafen()
    code, out, err = finished(client.swarm("status", "--mesh", invitation))
    assert (code, out) == (3, "")
    assert err.count("\n") == 1
    assert "'quiet'" in err
    assert "nobody answers a call on the local network" in err
    assert lab.hosts[0].dropped_packets() > 0
    addressed = new_invitation("quiet", [node.address], bytes(32))
    assert finished(client.swarm("status", "--mesh", addressed))[0] == 3, "the right address, another secret"
    told = node.ask("invite")["invitation"]
    assert finished_json(client.swarm("status", "--json", "--mesh", told))["name"] == "a"


def test_a_client_invitation_needs_its_addresses(lab: Lab) -> None:
    """It holds no key to call with; while its addresses hold it does everything a client does."""
    nodes = lab.nodes(("a", "b"))
    start_together(nodes, new_invitation())
    client = lab.host()
    told = nodes[0].ask("invite", {"client": True})["invitation"]
    assert {row["name"] for row in rows_of(client, told)} == {"a", "b"}
    survives(client, nodes, told)
    code, _, err = finished(client.swarm("join", told, "--home", str(client.folder / "n")))
    assert code == 4
    assert "for clients" in err

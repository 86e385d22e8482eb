"""Two nodes that do not reach each other work together through a third, whoever leads."""

from __future__ import annotations

import json

from tests.mesh_processes import Node, agreed_leader, finished_well, new_invitation, wait_for
from tests.netns.lab import Lab, NamespaceHost, needs_lab

pytestmark = needs_lab("nft")

AGREED_WITHIN_S = 20.0
DONE_WITHIN_S = 60.0

# One task for each node, that runs nowhere else.
PROGRAM = """
import json, sys
import swarm

def where():
    import socket
    return socket.gethostname()

with swarm.connect() as mesh:
    futures = [mesh.submit(where, tags=["node=" + name]) for name in json.loads(sys.argv[1])]
    print(len([future.result(timeout=50) for future in futures]))
"""


def part_from(host: NamespaceHost, other: NamespaceHost) -> None:
    """Drop everything that comes from another host, by either kind of address, without a word."""
    link = other.run("cat", "/sys/class/net/eth0/address").strip()
    rule = f"ether saddr {link} counter drop"
    lines = ["table netdev parted {", "chain input {", 'type filter hook ingress device "eth0" priority 0;']
    host.run("nft", "-f", "-", text="\n".join([*lines, rule, "}", "}"]) + "\n")


def run_everywhere(host: NamespaceHost, invitation: str, names: list[str]) -> None:
    """Run the job from a host."""
    (host.folder / "program.py").write_text(PROGRAM)
    process = host.spawn(host.python, "program.py", json.dumps(names), environment={"SWARM_MESH": invitation})
    assert finished_well(process, DONE_WITHIN_S) == f"{len(names)}\n"


def test_a_bridge_carries_orders_reports_and_votes(lab: Lab) -> None:
    names = ["left", "bridge", "right"]
    nodes: list[Node] = lab.nodes(names, "--cores", "1")
    left, bridge, right = nodes
    left.join(new_invitation("apart"))
    invitation = left.ask("invite")["invitation"]
    bridge.join(invitation)
    right.join(invitation)
    assert wait_for(lambda: agreed_leader(nodes), AGREED_WITHIN_S, "one mesh with one leader") == "left"
    part_from(lab.hosts[0], lab.hosts[2])
    part_from(lab.hosts[2], lab.hosts[0])
    run_everywhere(lab.hosts[2], right.ask("invite")["invitation"], names)
    assert agreed_leader(nodes) == "left", "a link that is always bad changes no leader"
    passed_on = bridge.count("node", "node", "passed_on")
    assert passed_on > 0, "nothing went through the bridge"
    assert all(node.ask("status")["members"]["alive"] == 3 for node in nodes)

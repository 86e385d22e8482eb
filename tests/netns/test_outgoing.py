"""A node that nobody can dial, as behind an address translator, follows every new leader and works for it."""

from __future__ import annotations

from tests.mesh_processes import Node, agreed_leader, finished_well, new_invitation, wait_for
from tests.netns.lab import Lab, needs_lab

pytestmark = needs_lab("nft")

NAMES = ("a", "b", "hidden")
AGREED_WITHIN_S = 20.0
WORKS_WITHIN_S = 30.0

# Tasks that take long enough to be spread over all nodes that take orders.
PROGRAM = """
import time
import swarm

def wait(number):
    time.sleep(0.3)  # taking so long is the task
    return number

with swarm.connect() as mesh:
    print(sum(future.result(timeout=100) for future in mesh.map(wait, range(24))))
"""


def works(lab: Lab, invitation: str, hidden: Node) -> bool:
    """Run a job and return whether the hidden node did a part of it."""
    before = hidden.count("node", "exec", "done")
    client = lab.hosts[3]
    (client.folder / "program.py").write_text(PROGRAM)
    process = client.spawn(client.python, "program.py", environment={"SWARM_MESH": invitation})
    assert finished_well(process) == f"{sum(range(24))}\n"
    return hidden.count("node", "exec", "done") > before


def test_a_node_that_nobody_can_dial_takes_orders_of_every_new_leader(lab: Lab) -> None:
    nodes = lab.nodes(NAMES, "--cores", "1")
    lab.host()
    lab.hosts[2].hide()
    first, second, hidden = nodes
    first.join(new_invitation("hidden"))
    invitation = first.ask("invite")["invitation"]
    second.join(invitation)
    hidden.join(invitation)
    assert wait_for(lambda: agreed_leader(nodes), AGREED_WITHIN_S, "one mesh with one leader") == "a"
    wait_for(lambda: works(lab, invitation, hidden), WORKS_WITHIN_S, "work of the hidden node")
    first.kill()
    wait_for(lambda: agreed_leader([second, hidden]) in ("b", "hidden"), AGREED_WITHIN_S, "a new leader")
    invitation = second.ask("invite")["invitation"]
    wait_for(lambda: works(lab, invitation, hidden), WORKS_WITHIN_S, "work of the hidden node")

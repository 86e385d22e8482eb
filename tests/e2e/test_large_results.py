"""Large results whose node is killed before they are fetched."""

from __future__ import annotations

from typing import Any

import swarm
from tests.mesh_processes import Host, agreed_leader, wait_for

ALONE = ("--no-multicast", "--listen", "127.0.0.1", "--cores", "1")
SIZE = 1_000_000


def test_a_large_result_is_made_again_and_waited_for(host: Host) -> None:
    nodes = [host.node(name, *ALONE) for name in ("one", "two", "three")]
    invitation = nodes[0].join("--new")["invitation"]
    for node in nodes[1:]:
        node.begin(invitation)
    for node in nodes[1:]:
        node.wait_ready()
    wait_for(lambda: agreed_leader(nodes), what="three nodes that agree")
    with swarm.connect(home=nodes[0].home.root) as mesh:
        future = mesh.submit(bytes, SIZE)

        def done() -> Any:
            (row,) = mesh.jobs()
            (task,) = mesh.call("job", {"job": row["job"]})["tasks_detail"]
            return task["node"] if task["state"] == "done" else None

        maker = wait_for(done, what="the result")
        next(node for node in nodes if node.name == maker).kill()
        assert future.result(60.0) == bytes(SIZE)

"""A disk that takes half a minute for a write holds up its own node, and nobody else."""

from __future__ import annotations

import pytest

from sims.client import SimulatedClient
from sims.cluster import Cluster, simple_cluster
from sims.network import NetworkConfig
from tests.simulation.tree_job import LEVELS, result_digest, tree_job, undisturbed_digest

STUCK_S = 30.0
DONE_WITHIN_S = 20.0
"""A job of these takes seconds; a mesh that waits for the disk takes longer than this."""


def mesh(count: int, seed: str) -> Cluster:
    cluster = simple_cluster(count, seed, NetworkConfig())
    for index in range(count):
        cluster.start(index)
    assert cluster.wait_converged(20.0) >= 0
    return cluster


@pytest.mark.parametrize("is_leader", [False, True])
def test_jobs_go_on_while_the_disk_of_one_council_member_is_stuck(is_leader: bool) -> None:
    count = 4
    cluster = mesh(count, f"stuck:{is_leader}")
    leader = cluster.leaders()[0]
    stuck = leader if is_leader else (leader + 1) % count
    entry = (leader + 2) % count
    before = SimulatedClient(cluster, "job", tree_job(LEVELS, 1000), entry)
    before.poll()
    cluster.run_until(cluster.engine.now + 0.2)
    cluster.hosts[stuck].stick_disk(cluster.engine.now + STUCK_S)
    began = cluster.engine.now
    during = SimulatedClient(cluster, "during", tree_job(LEVELS, 1000), entry)
    during.poll()
    for client in (before, during):
        assert client.wait_final(DONE_WITHIN_S), f"{client.state} {client.counts}"
    assert result_digest(before) == undisturbed_digest(1000)
    assert cluster.engine.now < began + STUCK_S, "the disk is stuck to the end"
    cluster.run_until(began + STUCK_S)
    assert cluster.wait_converged(20.0) >= 0, "it is one of them again"
    for node in cluster.running():
        node.check_invariants()

"""Simulated nodes that hold equal things once run as those that do not, and hold far less."""

from __future__ import annotations

import pytest

from sims.cluster import Cluster, simple_cluster
from sims.network import NetworkConfig
from sims.settings import NodeSettings


def run(is_sharing: bool, seed: str) -> Cluster:
    """Return a mesh after a start in a crowd, a cut, deaths, a move and returns."""
    settings = NodeSettings(is_sharing=is_sharing)
    cluster = simple_cluster(16, seed, NetworkConfig(loss=0.05), settings=settings)
    for index in range(16):
        cluster.start(index)
    cluster.run_until(5.0)
    cluster.network.partition([list(range(5)), list(range(5, 16))])
    cluster.kill(7)
    cluster.run_until(14.0)
    cluster.move(3)
    cluster.network.heal()
    cluster.start(7)
    cluster.run_until(30.0)
    for node in cluster.running():
        node.check_invariants()
    return cluster


@pytest.mark.parametrize("seed", ["a", "b"])
def test_sharing_changes_no_run(seed: str) -> None:
    shared, apart = run(True, seed), run(False, seed)
    assert shared.trace.digest() == apart.trace.digest()
    assert shared.is_converged()


def test_a_quiet_mesh_holds_one_table() -> None:
    cluster = simple_cluster(30, "one")
    for index in range(30):
        cluster.start(index)
    cluster.run_until(8.0)
    tables = [node.gossip._membership.table for node in cluster.running()]
    assert all(table.is_shared for table in tables)
    assert len({id(table.listed()) for table in tables}) == 1
    cluster.kill(4)
    cluster.run_until(12.0)
    assert cluster.is_converged()
    cluster.run_until(40.0)
    assert (
        len({id(table.listed()) for table in [node.gossip._membership.table for node in cluster.running()]})
        == 1
    )
    for node in cluster.running():
        node.check_invariants()


def test_the_rumours_of_a_crowded_start_end_with_it() -> None:
    cluster = simple_cluster(40, "crowd")
    for index in range(40):
        cluster.start(index)
    cluster.run_until(6.0)
    assert cluster.is_converged()
    assert max(node.gossip.statistics()["rumours"] for node in cluster.running()) == 0
    before = cluster.network.bytes
    cluster.run_until(16.0)
    # Each node sends a ping and an answer a second, and its share of hellos.
    assert (cluster.network.bytes - before) / 40 / 10 < 400

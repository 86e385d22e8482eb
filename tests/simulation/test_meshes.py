"""Whole meshes under the virtual clock: they find each other, elect, lose nodes, split and heal."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from sims.cluster import Cluster, simple_cluster
from sims.network import NetworkConfig
from sims.trace import Trace

LARGE = 200
LOST = 20


def _mesh(count: int, seed: str = "mesh", network: NetworkConfig | None = None) -> Cluster:
    cluster = simple_cluster(count, seed, NetworkConfig() if network is None else network)
    for index in range(count):
        cluster.start(index)
    return cluster


def _agree(cluster: Cluster, limit_s: float) -> float:
    seconds = cluster.wait_converged(limit_s)
    assert seconds >= 0, f"no agreement after {limit_s} s; leaders {cluster.leaders()}"
    for node in cluster.running():
        node.check_invariants()
    return seconds


def test_two_hundred_nodes_join_elect_lose_a_tenth_and_agree_again() -> None:
    cluster = _mesh(LARGE)
    assert _agree(cluster, 10.0) < 10.0
    before = cluster.leaders()
    assert len(before) == 1
    victims = [index for index in range(0, LARGE, LARGE // LOST) if index not in before]
    for index in [*victims, *before]:
        cluster.kill(index)
    assert _agree(cluster, 30.0) < 30.0
    after = cluster.leaders()
    assert len(after) == 1
    assert after != before


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_a_mesh_of_any_size_has_one_leader_that_all_know(count: int) -> None:
    cluster = _mesh(count)
    _agree(cluster, 10.0)
    assert len(cluster.leaders()) == 1


def test_the_leader_dies_and_another_leads() -> None:
    cluster = _mesh(5)
    _agree(cluster, 10.0)
    first = cluster.leaders()[0]
    leader = cluster.hosts[first].node
    assert leader is not None
    ballot = leader.election.ballot()
    cluster.kill(first)
    assert _agree(cluster, 10.0) <= 4.0
    second = cluster.running()[0].election
    assert second.leader() != cluster.hosts[first].node_id
    assert second.ballot() > ballot


def test_the_last_of_two_leads_alone() -> None:
    cluster = _mesh(2)
    _agree(cluster, 10.0)
    cluster.kill(cluster.leaders()[0])
    assert _agree(cluster, 12.0) <= 8.0


def test_silent_loss_of_power_is_noticed_too() -> None:
    cluster = _mesh(4)
    _agree(cluster, 10.0)
    cluster.kill(cluster.leaders()[0], power=True)
    _agree(cluster, 20.0)


def test_a_restarted_node_is_the_same_member_with_a_higher_incarnation() -> None:
    cluster = _mesh(3)
    _agree(cluster, 10.0)
    node_id = cluster.hosts[1].node_id
    watcher = cluster.hosts[0].node
    assert watcher is not None
    before = watcher.gossip.member(node_id)
    cluster.kill(1)
    cluster.run_until(cluster.engine.now + 5.0)
    cluster.start(1)
    _agree(cluster, 10.0)
    after = watcher.gossip.member(node_id)
    assert before is not None
    assert after is not None
    assert after.incarnation > before.incarnation
    assert after.state == "alive"


def test_halves_that_are_cut_apart_go_on_and_become_one_again() -> None:
    cluster = _mesh(6)
    _agree(cluster, 10.0)
    cluster.network.partition([[0, 1, 2], [3, 4, 5]])
    cluster.cut_links()
    cluster.run_until(cluster.engine.now + 30.0)
    leaders = cluster.leaders()
    assert len([index for index in leaders if index < 3]) == 1
    assert len([index for index in leaders if index >= 3]) == 1
    cluster.network.heal()
    _agree(cluster, 10.0)
    assert len(cluster.leaders()) == 1


def test_meshes_that_started_apart_become_one() -> None:
    cluster = simple_cluster(4, "apart", NetworkConfig())
    cluster.network.partition([[0, 1], [2, 3]])
    for index in range(4):
        cluster.start(index)
    cluster.run_until(10.0)
    assert len(cluster.leaders()) == 2
    cluster.network.heal()
    _agree(cluster, 40.0)
    assert len(cluster.leaders()) == 1


def test_a_seed_is_enough_where_nobody_hears_multicast() -> None:
    cluster = simple_cluster(3, "deaf", NetworkConfig())
    for index in range(3):
        cluster.network.deafen(index)
    cluster.start(0)
    cluster.start(1, [0])
    cluster.start(2, [0])
    assert _agree(cluster, 10.0) < 10.0


def test_heavy_loss_declares_nobody_dead() -> None:
    cluster = _mesh(10, network=NetworkConfig(loss=0.2))
    _agree(cluster, 20.0)
    leader = cluster.leaders()
    for _ in range(60):
        cluster.run_until(cluster.engine.now + 1.0)
        for node in cluster.running():
            assert [member.state for member in node.gossip.members()].count("dead") == 0
    assert cluster.leaders() == leader


def test_a_leaver_is_left_not_dead() -> None:
    cluster = _mesh(3)
    _agree(cluster, 10.0)
    leader = cluster.leaders()[0]
    node = cluster.hosts[leader].node
    assert node is not None
    cluster.leave(leader)
    _agree(cluster, 10.0)
    member = cluster.running()[0].gossip.member(cluster.hosts[leader].node_id)
    assert member is not None
    assert member.state == "left"


def _trace(seed: str) -> str:
    cluster = simple_cluster(8, seed, NetworkConfig(loss=0.05), trace=Trace())
    for index in range(8):
        cluster.start(index)
    cluster.run_until(10.0)
    cluster.kill(3)
    cluster.run_until(20.0)
    return cluster.trace.digest()


def test_a_seed_reproduces_a_run_and_another_does_not() -> None:
    assert _trace("one") == _trace("one")
    assert _trace("one") != _trace("two")


def test_no_run_depends_on_the_order_of_hashes() -> None:
    program = (
        "import json\n"
        "from sims.trials.drawing import draw\n"
        "from sims.trials.run import run_case\n"
        "print(json.dumps([run_case(draw(seed, 'soak')).digest for seed in (3, 4)]))\n"
    )
    digests: list[list[str]] = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        result = subprocess.run(
            [sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        digests.append(json.loads(result.stdout))
    assert digests[0] == digests[1]

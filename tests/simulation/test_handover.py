"""A leader on an empty battery, or too hot, has a fitter member lead; leadership never goes around."""

from __future__ import annotations

from sims.client import SimulatedClient
from sims.cluster import Cluster, simple_cluster
from sims.network import NetworkConfig
from tests.simulation.tree_job import tree_job

STRAINED: dict[str, object] = {"fitness": 0, "strain": "too hot"}
AT_EASE: dict[str, object] = {"fitness": 100, "strain": None}


def mesh(count: int, seed: str = "handover") -> Cluster:
    cluster = simple_cluster(count, seed, NetworkConfig())
    for index in range(count):
        cluster.start(index)
    assert cluster.wait_converged(20.0) >= 0
    return cluster


def test_a_strained_leader_is_followed_by_another_and_jobs_go_on() -> None:
    cluster = mesh(5)
    before = cluster.leaders()[0]
    client = SimulatedClient(cluster, "job", tree_job(6, 1000), (before + 1) % 5)
    client.poll()
    cluster.run_until(cluster.engine.now + 0.2)
    cluster.describe(before, STRAINED)
    cluster.run_until(cluster.engine.now + 5.0)
    (after,) = cluster.leaders()
    assert after != before
    assert client.wait_final(60.0), f"{client.state} {client.counts}"
    cluster.describe(before, AT_EASE)
    cluster.run_until(cluster.engine.now + 60.0)
    assert cluster.leaders() == [after], "who feels better does not take it back"


def test_the_old_one_leads_until_the_new_one_asks_for_votes() -> None:
    cluster = mesh(5)
    (before,) = cluster.leaders()
    cluster.describe(before, STRAINED)
    leaderless = 0
    for _ in range(500):
        cluster.run_until(cluster.engine.now + 0.01)
        leaderless += not cluster.leaders()
    assert cluster.leaders() != [before]
    assert leaderless <= 5, "a vote takes one round trip and one durable write"


def test_where_all_are_strained_alike_leadership_stays() -> None:
    cluster = mesh(4)
    (before,) = cluster.leaders()
    for index in [(before + step) % 4 for step in (1, 2, 3, 0)]:
        cluster.describe(index, STRAINED)
        cluster.run_until(cluster.engine.now + 2.0)
    cluster.run_until(cluster.engine.now + 120.0)
    assert cluster.leaders() == [before]


def test_a_leader_that_is_strained_one_after_the_other_ends_with_the_last_at_ease() -> None:
    cluster = mesh(4)
    for _ in range(3):
        cluster.describe(cluster.leaders()[0], STRAINED)
        cluster.run_until(cluster.engine.now + 5.0)
    (last,) = cluster.leaders()
    node = cluster.hosts[last].node
    assert node is not None
    own = node.gossip.member(cluster.hosts[last].node_id)
    assert own is not None
    assert "strain" not in own.facts
    cluster.describe(last, STRAINED)
    cluster.run_until(cluster.engine.now + 60.0)
    assert cluster.leaders() == [last]

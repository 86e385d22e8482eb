"""A node on which every task fails at once is given nothing, until it is well again."""

from __future__ import annotations

from sims.client import SimulatedClient, simulated_task
from sims.cluster import Cluster, simple_cluster
from sims.network import NetworkConfig
from swarm.scheduler.config import SchedulerConfig
from swarm.wire.job_part import JobPart, TaskOptions

NODES = 4
TASKS = 300
CONFIG = SchedulerConfig()
AHEAD_MAX = CONFIG.quarantine_tasks + CONFIG.window_tasks_max
"""Attempts that a node can fail before the leader knows: what was queued there goes down with the first."""


def mesh(seed: str) -> Cluster:
    cluster = simple_cluster(NODES, seed, NetworkConfig())
    for index in range(NODES):
        cluster.start(index)
    assert cluster.wait_converged(20.0) >= 0
    return cluster


def bag(count: int, name: str) -> JobPart:
    options = TaskOptions(retries=2)
    tasks = [simulated_task("t", 0.2, [10], [], True, options) for _ in range(count)]
    return JobPart(0, {"name": name, "on_error": "continue"}, tasks)


def run(cluster: Cluster, name: str, count: int = TASKS) -> SimulatedClient:
    """Run a bag to its end."""
    entry = cluster.leaders()[0]
    client = SimulatedClient(cluster, name, bag(count, name), entry)
    client.poll()
    assert client.wait_final(600.0), f"{client.state} {client.counts}"
    return client


def test_a_node_that_fails_everything_does_not_fail_a_job_and_gets_no_more() -> None:
    cluster = mesh("spoilt")
    leader = cluster.leaders()[0]
    sick = cluster.hosts[(leader + 1) % NODES]
    sick.is_spoilt = True
    first = run(cluster, "first")
    assert (first.state, first.counts[2]) == ("done", 0), first.reason
    failed = sick.runs
    assert failed <= AHEAD_MAX
    second = run(cluster, "second")
    assert (second.state, second.counts[2]) == ("done", 0), second.reason
    assert sick.runs - failed <= 2, "a probe or two"
    assert sick.node is not None
    assert sick.node.exec.quarantine[1].startswith("quarantined: ")


def test_once_it_is_well_a_probe_lets_it_out() -> None:
    cluster = mesh("mended")
    sick = cluster.hosts[(cluster.leaders()[0] + 1) % NODES]
    sick.is_spoilt = True
    run(cluster, "first")
    sick.is_spoilt = False
    cluster.run_until(cluster.engine.now + CONFIG.quarantine_s + 1.0)
    before = sick.runs
    run(cluster, "probing", 40)
    run(cluster, "again")
    assert sick.runs - before > TASKS // (2 * NODES), "it takes its share again"

"""Jobs on simulated meshes: they end with the right answer, whoever dies."""

from __future__ import annotations

import pytest

from sims.client import SimulatedClient, simulated_task
from sims.cluster import Cluster, simple_cluster
from sims.network import NetworkConfig
from swarm.wire.job_part import JobPart, TaskOptions
from tests.simulation.tree_job import LEVELS, result_digest, tree_job, undisturbed_digest

LIMIT_S = 120.0
SMALL, LARGE = 10, 200_000


def _mesh(count: int, seed: str = "jobs", cores: float = 1.0, loss: float = 0.0) -> Cluster:
    cluster = simple_cluster(count, seed, NetworkConfig(loss=loss), cores)
    for index in range(count):
        cluster.start(index)
    assert cluster.wait_converged(20.0) >= 0
    return cluster


def _run(cluster: Cluster, client: SimulatedClient) -> None:
    assert client.wait_final(LIMIT_S), f"{client.state} {client.counts} {client.reason} {client.refused}"
    for node in cluster.running():
        node.check_invariants()


def _bag(count: int, seconds: float = 0.0) -> JobPart:
    tasks = [simulated_task("same", seconds, [8], [], True) for _ in range(count)]
    return JobPart(0, {"name": "bag"}, tasks)


def test_ten_thousand_tasks_without_dependencies_each_run_once() -> None:
    cluster = _mesh(3)
    client = SimulatedClient(cluster, "bag", _bag(10_000, 0.001), 0)
    _run(cluster, client)
    assert client.state == "done"
    assert client.counts == [10_000, 10_000, 0, 0]
    assert len(client.results) == 10_000
    runs = [host.runs for host in cluster.hosts]
    assert sum(runs) == 10_000
    assert min(runs) > 2_000


def test_a_chain_of_a_thousand_stays_on_one_node() -> None:
    cluster = _mesh(3)
    links = [
        simulated_task("link", 0.001, [8], [index - 1, 0] if index else [], index == 999)
        for index in range(1000)
    ]
    client = SimulatedClient(cluster, "chain", JobPart(0, {"name": "chain"}, links), 1)
    _run(cluster, client)
    assert client.state == "done"
    assert sorted(host.runs for host in cluster.hosts) == [0, 0, 1000]


def test_an_acknowledgement_names_the_three_nodes_that_keep_the_job() -> None:
    cluster = _mesh(5)
    client = SimulatedClient(cluster, "kept", tree_job(LEVELS, SMALL), 0)
    _run(cluster, client)
    assert len(client.accepted) == 3
    assert client.accepted[0] == "n0"
    keepers = [host for host in cluster.hosts if host.spec.name in client.accepted]
    for host in keepers:
        assert host.disk.row("parts", client.job + bytes(4)) is not None


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("victim", ["worker", "leader", "attached"])
@pytest.mark.parametrize("power", [False, True])
def test_whoever_dies_the_job_ends_with_the_same_answer(victim: str, size: int, power: bool) -> None:
    cluster = _mesh(4)
    leader = cluster.leaders()[0]
    client = SimulatedClient(cluster, "job", tree_job(LEVELS, size), (leader + 1) % 4)
    client.poll()
    cluster.run_until(cluster.engine.now + 0.3)
    client.poll()
    assert client.accepted
    assert client.counts[1] < client.counts[0]
    cluster.kill({"worker": (leader + 2) % 4, "leader": leader, "attached": (leader + 1) % 4}[victim], power)
    _run(cluster, client)
    assert client.state == "done"
    assert result_digest(client) == undisturbed_digest(size)


def test_a_mesh_that_loses_its_power_goes_on_where_it_was() -> None:
    cluster = _mesh(3)
    client = SimulatedClient(cluster, "job", tree_job(LEVELS, SMALL), 0)
    for _ in range(6):
        client.poll()
        cluster.run_until(cluster.engine.now + 0.1)
    assert client.accepted
    assert not client.is_final()
    for index in range(3):
        cluster.kill(index, power=True)
    for index in (2, 0, 1):
        cluster.start(index)
        cluster.run_until(cluster.engine.now + 0.5)
    _run(cluster, client)
    assert result_digest(client) == undisturbed_digest(SMALL)


def test_one_of_the_keepers_is_enough_to_bring_a_job_back() -> None:
    cluster = _mesh(5)
    client = SimulatedClient(cluster, "job", tree_job(LEVELS, SMALL), 0)
    client.poll()
    cluster.run_until(cluster.engine.now + 0.3)
    client.poll()
    keepers = [host.index for host in cluster.hosts if host.spec.name in client.accepted]
    for index in range(5):
        cluster.kill(index, power=True)
    cluster.run_until(cluster.engine.now + 5.0)
    cluster.start(keepers[-1])
    _run(cluster, client)
    assert result_digest(client) == undisturbed_digest(SMALL)


def test_both_sides_of_a_cut_finish_and_agree_when_it_heals() -> None:
    cluster = _mesh(4, cores=2.0)
    client = SimulatedClient(cluster, "job", tree_job(LEVELS, LARGE), 0)
    client.poll()
    cluster.run_until(cluster.engine.now + 0.3)
    cluster.network.partition([[0, 1], [2, 3]])
    cluster.cut_links()
    cluster.run_until(cluster.engine.now + 20.0)
    cluster.network.heal()
    _run(cluster, client)
    assert cluster.wait_converged(20.0) >= 0
    assert result_digest(client) == undisturbed_digest(LARGE)


def test_a_fifth_of_the_datagrams_lost_changes_nothing() -> None:
    cluster = _mesh(4, loss=0.2)
    client = SimulatedClient(cluster, "job", tree_job(LEVELS, LARGE), 0)
    _run(cluster, client)
    assert result_digest(client) == undisturbed_digest(LARGE)


def test_a_leader_that_says_goodbye_hands_over() -> None:
    cluster = _mesh(4)
    leader = cluster.leaders()[0]
    client = SimulatedClient(cluster, "job", tree_job(LEVELS, SMALL), (leader + 1) % 4)
    client.poll()
    cluster.run_until(cluster.engine.now + 0.3)
    cluster.leave(leader)
    _run(cluster, client)
    assert result_digest(client) == undisturbed_digest(SMALL)


def test_a_failing_task_fails_its_job_and_names_itself() -> None:
    cluster = _mesh(2)
    tasks = [
        simulated_task("good", 0.01, [8], []),
        simulated_task("bad", 0.01, [8], [0, 0], fails=True),
        simulated_task("never", 0.01, [8], [1, 0], True),
    ]
    client = SimulatedClient(cluster, "fails", JobPart(0, {"name": "fails"}, tasks), 0)
    _run(cluster, client)
    assert client.state == "failed"
    assert "bad" in client.reason
    assert client.results[1].failure is not None


def test_retries_are_used_up_before_a_task_fails() -> None:
    cluster = _mesh(2)
    options = TaskOptions(retries=2)
    task = simulated_task("bad", 0.01, [8], [], True, options, fails=True)
    client = SimulatedClient(cluster, "retries", JobPart(0, {"name": "retries"}, [task]), 0)
    _run(cluster, client)
    assert client.state == "failed"
    assert client.attempts == 3
    assert sum(host.runs for host in cluster.hosts) == 3


def test_what_no_node_can_run_waits_and_says_why() -> None:
    cluster = _mesh(2)
    task = simulated_task("wide", 0.01, [8], [], True, TaskOptions(cpus=64.0))
    client = SimulatedClient(cluster, "wide", JobPart(0, {"name": "wide"}, [task]), 0)
    assert not client.wait_final(2.0)
    assert "64" in client.reason
    assert client.counts[3] == 0


def test_a_newcomer_starts_on_a_full_mesh() -> None:
    cluster = _mesh(2)
    first = SimulatedClient(cluster, "first", _bag(500, 0.2), 0)
    first.poll()
    cluster.run_until(cluster.engine.now + 2.0)
    second = SimulatedClient(cluster, "second", _bag(4, 0.2), 1)
    begin = cluster.engine.now
    _run(cluster, second)
    assert cluster.engine.now - begin < 10.0
    assert not first.is_final()

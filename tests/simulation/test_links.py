"""Links that work one way only, or come and go: jobs end, and no watcher is forgotten."""

from __future__ import annotations

import pytest

from sims import streams
from sims.client import SimulatedClient, simulated_task
from sims.cluster import Cluster, simple_cluster
from sims.network import Network, NetworkConfig
from sims.network.topology import Topology
from sims.settings import HostSpec, NodeSettings
from sims.trace import Trace
from swarm.core.effects import SendMessage
from swarm.core.rng import Rng
from swarm.version import is_compiled
from swarm.wire.job_part import JobPart, TaskOptions, TaskSpec
from tests.simulation.tree_job import LEVELS, result_digest, tree_job, undisturbed_digest


def mesh(count: int, seed: str = "links") -> Cluster:
    cluster = simple_cluster(count, seed, NetworkConfig())
    for index in range(count):
        cluster.start(index)
    assert cluster.wait_converged(20.0) >= 0
    return cluster


def check(cluster: Cluster) -> None:
    for node in cluster.running():
        node.check_invariants()


@pytest.mark.parametrize("is_leader_deaf", [False, True])
def test_a_one_way_link_to_a_worker_does_no_harm(is_leader_deaf: bool) -> None:
    cluster = mesh(5)
    leader = cluster.leaders()[0]
    worker = (leader + 1) % 5
    client = SimulatedClient(cluster, "job", tree_job(LEVELS, 200_000), (leader + 2) % 5)
    client.poll()
    cluster.run_until(cluster.engine.now + 0.2)
    cluster.network.block(*((worker, leader) if is_leader_deaf else (leader, worker)))
    cluster.cut_links()
    assert client.wait_final(60.0), f"{client.state} {client.counts}"
    assert result_digest(client) == undisturbed_digest(200_000)
    check(cluster)
    cluster.network.heal()
    assert cluster.wait_converged(20.0) >= 0


def test_a_node_that_nobody_hears_is_declared_dead_and_comes_back() -> None:
    cluster = mesh(4)
    mute = (cluster.leaders()[0] + 1) % 4
    for other in range(4):
        if other != mute:
            cluster.network.block(mute, other)
    cluster.cut_links()
    cluster.run_until(cluster.engine.now + 30.0)
    watcher = cluster.hosts[(mute + 1) % 4].node
    assert watcher is not None
    assert cluster.hosts[mute].node_id not in watcher.gossip.alive_ids()
    cluster.network.heal()
    assert cluster.wait_converged(40.0) >= 0
    check(cluster)


def test_a_watcher_whose_node_was_cut_off_for_a_while_hears_the_end() -> None:
    cluster = mesh(5)
    leader = cluster.leaders()[0]
    cut = (leader + 1) % 5
    part = JobPart(0, {"name": "slow"}, [simulated_task("slow", 0.5, [8], [], True) for _ in range(150)])
    client = SimulatedClient(cluster, "slow", part, cut)
    client.poll()
    cluster.run_until(cluster.engine.now + 1.0)
    client.poll()
    assert client.accepted
    rest = [index for index in range(5) if index != cut]
    cluster.network.partition([[cut], rest])
    cluster.cut_links()
    cluster.run_until(cluster.engine.now + 6.0)
    cluster.network.heal()
    assert client.wait_final(120.0), f"{client.state} {client.counts}"
    assert client.attached == cut
    assert len(client.results) == 150


def test_links_that_break_again_and_again_lose_no_task() -> None:
    cluster = mesh(4)
    client = SimulatedClient(cluster, "job", tree_job(LEVELS, 10), 0)
    for step in range(20):
        client.poll()
        one, two = step % 4, (step + 1 + step // 4) % 4
        if one != two:
            cluster.network.block(one, two)
        cluster.cut_links()
        cluster.run_until(cluster.engine.now + 0.15)
        cluster.network.heal()
        cluster.run_until(cluster.engine.now + 0.05)
        check(cluster)
    assert client.wait_final(60.0), f"{client.state} {client.counts}"
    assert result_digest(client) == undisturbed_digest(10)


def test_a_mesh_with_a_lossy_network_works_on_a_chain() -> None:
    cluster = simple_cluster(3, "lossy", NetworkConfig(loss=0.2, jitter_s=0.02))
    for index in range(3):
        cluster.start(index)
    assert cluster.wait_converged(40.0) >= 0
    links = [
        simulated_task("link", 0.01, [70_000], [index - 1, 0] if index else [], index == 49)
        for index in range(50)
    ]
    client = SimulatedClient(cluster, "chain", JobPart(0, {"name": "chain"}, links), 0)
    assert client.wait_final(60.0), f"{client.state} {client.counts}"
    assert client.state == "done"


def behind_translator(count: int, behind: int) -> Cluster:
    """Return a mesh that runs, with one host, unfit to lead, that only opens connections itself."""
    topology = Topology(count)
    topology.is_nat[behind] = True
    fitness = [10 if index == behind else 100 for index in range(count)]
    specs = [HostSpec(name=f"n{index}", fitness=fitness[index]) for index in range(count)]
    network = Network(NetworkConfig(), count, Rng("behind"), topology)
    cluster = Cluster(specs, "behind", network, Trace(), NodeSettings())
    for index in range(count):
        cluster.start(index)
    assert cluster.wait_converged(30.0) >= 0
    return cluster


def test_a_new_leader_gives_work_to_a_follower_that_it_cannot_dial() -> None:
    cluster = behind_translator(4, 3)
    cluster.kill(cluster.leaders()[0])
    cluster.run_until(cluster.engine.now + 15.0)
    (leader,) = cluster.leaders()
    assert leader != 3
    part = JobPart(0, {"name": "bag"}, [simulated_task("t", 0.5, [8], [], True) for _ in range(12)])
    client = SimulatedClient(cluster, "bag", part, leader)
    client.poll()
    assert client.wait_final(60.0), f"{client.state} {client.counts}"
    assert cluster.hosts[3].runs > 0, "it was never asked for a report and had nothing to tell"
    check(cluster)


@pytest.mark.parametrize("is_leader_behind", [False, True])
def test_a_follower_behind_a_translator_opens_its_stream_again(is_leader_behind: bool) -> None:
    cluster = behind_translator(3, 2)
    leader = cluster.leaders()[0]
    cluster.run_until(cluster.engine.now + 10.0)
    ends = (leader, 2) if is_leader_behind else (2, leader)
    cluster.network.block(*ends)
    cluster.run_until(cluster.engine.now + 1.0)
    cluster.cut_links()
    cluster.run_until(cluster.engine.now + 1.0)
    assert 2 not in cluster.hosts[leader].links or not cluster.hosts[leader].links[2].is_open
    cluster.network.heal()
    cluster.run_until(cluster.engine.now + 15.0)
    assert cluster.leaders() == [leader]
    assert cluster.hosts[leader].links[2].is_open
    check(cluster)


def test_large_outputs_of_a_host_that_nobody_can_dial_are_made_elsewhere() -> None:
    cluster = behind_translator(4, 3)
    cluster.run_until(cluster.engine.now + 10.0)
    client = SimulatedClient(cluster, "job", tree_job(LEVELS, 200_000), cluster.leaders()[0])
    client.poll()
    assert client.wait_final(200.0), f"{client.state} {client.counts}"
    assert cluster.hosts[3].runs > 0
    assert result_digest(client) == undisturbed_digest(200_000)
    cluster.run_until(cluster.engine.now + 5.0)
    assert [name for name in cluster.hosts[3].store if name[0] == client.job] == [], (
        "it was told to drop them"
    )
    check(cluster)


@pytest.mark.skipif(is_compiled(), reason="a compiled module has its constants inside")
def test_streams_that_others_dialled_are_kept_rather_than_own_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LINK_COUNT_MAX", 2)
    cluster = mesh(5)
    cluster.run_until(cluster.engine.now + 60.0)
    leader = cluster.leaders()[0]
    others = [index for index in range(5) if index != leader]
    cluster.hosts[leader].links.clear()
    for other in others:
        cluster.hosts[other].links.pop(leader, None)
    first, second, third, fourth = others
    for source, target in [(first, leader), (leader, second), (leader, third), (fourth, leader)]:
        peer = cluster.hosts[target]
        effect = SendMessage(peer.node_id, [peer.address], b"a word")
        cluster._send_message(cluster.engine.now, cluster.hosts[source], effect)
        cluster.run_until(cluster.engine.now + 1.0)
    assert sorted(cluster.hosts[leader].links) == sorted([first, fourth])


def star(count: int, hub: int, fitness: list[int]) -> Cluster:
    """Return a mesh that has agreed, and whose hosts then reach each other through one of them only."""
    specs = [HostSpec(name=f"n{index}", fitness=fitness[index]) for index in range(count)]
    cluster = Cluster(specs, "star", Network(NetworkConfig(), count, Rng("star")), Trace(), NodeSettings())
    for index in range(count):
        cluster.start(index)
    assert cluster.wait_converged(20.0) >= 0
    for one in range(count):
        for two in range(count):
            if hub not in (one, two) and one != two:
                cluster.network.block(one, two)
    cluster.cut_links()
    return cluster


def pinned(cluster: Cluster) -> JobPart:
    """Return a job with a task for each host that no other host may run."""
    tasks: list[TaskSpec] = []
    for host in cluster.hosts:
        options = TaskOptions(cpus=1.0, tags=(f"node={host.spec.name}",))
        tasks.append(simulated_task("t", 0.1, [8], [], True, options))
    return JobPart(0, {"name": "pinned"}, tasks)


@pytest.mark.parametrize("leads", [0, 1])
def test_orders_and_reports_reach_whoever_gossip_reaches(leads: int) -> None:
    """Whether the one in the middle leads, or one at the end of a spoke."""
    cluster = star(4, 0, [100 if index == leads else 50 for index in range(4)])
    client = SimulatedClient(cluster, "pinned", pinned(cluster), 3)
    assert client.wait_final(60.0), f"{client.state} {client.counts}"
    assert client.state == "done"
    assert cluster.leaders() == [leads], "a link that is always bad changes no leader"
    check(cluster)


def test_a_leader_is_elected_through_a_host_that_is_not_of_the_council() -> None:
    cluster = star(8, 0, [1, 100, 100, 100, 100, 100, 50, 50])
    cluster.run_until(cluster.engine.now + 10.0)
    (leader,) = cluster.leaders()
    assert leader != 0
    cluster.kill(leader)
    cluster.run_until(cluster.engine.now + 20.0)
    (heir,) = cluster.leaders()
    assert heir not in (0, leader)
    followed = {host.node.election.leader() for host in cluster.hosts if host.node is not None}
    assert followed == {cluster.hosts[heir].node_id}


def test_nobody_is_taken_for_dead_because_one_host_passes_everything_on() -> None:
    cluster = star(6, 0, [100] * 6)
    cluster.run_until(cluster.engine.now + 30.0)
    deaths: list[object] = []
    for host in cluster.hosts:
        assert host.node is not None
        assert len(host.node.gossip.alive_ids()) == 6
        deaths.append(host.node.gossip.statistics().get("members_dead", 0))
    assert deaths == [0] * 6
    check(cluster)


def test_large_outputs_are_used_where_they_can_be_had() -> None:
    cluster = star(5, 0, [100] * 5)
    client = SimulatedClient(cluster, "job", tree_job(LEVELS, 200_000), 2)
    assert client.wait_final(300.0), f"{client.state} {client.counts}"
    assert result_digest(client) == undisturbed_digest(200_000)

"""The simulated mesh: what its hosts do with effects, and how faults look to their nodes."""

from __future__ import annotations

from sims.client import SimulatedClient, simulated_task
from sims.cluster import Cluster, simple_cluster
from sims.network import NetworkConfig
from sims.trace import Trace
from swarm.core.effects import KillExecutor, Persist, SendToClient
from swarm.wire.job_part import JobPart


def mesh(count: int, trace: Trace | None = None) -> Cluster:
    cluster = simple_cluster(count, "unit", NetworkConfig(), trace=trace)
    for index in range(count):
        cluster.start(index)
    return cluster


def job(seconds: float = 0.01, count: int = 1) -> JobPart:
    return JobPart(0, {"name": "job"}, [simulated_task("t", seconds, [8], [], True) for _ in range(count)])


def test_what_stands_behind_a_durable_write_waits_for_it() -> None:
    cluster = mesh(1)
    host = cluster.hosts[0]
    cluster.run_until(3.0)
    session = cluster.attach(0)
    cluster.take_client_frames(0, session)
    now = cluster.engine.now
    cluster._perform(host, [Persist("t", b"k", b"v", True), SendToClient(session, b"frame")])
    assert host.is_blocked
    assert cluster.take_client_frames(0, session) == []
    cluster.run_until(now + 0.01)
    assert cluster.take_client_frames(0, session) == [b"frame"]
    assert host.disk.row("t", b"k") is not None


def test_a_killed_executor_leaves_after_the_effects_of_its_batch() -> None:
    cluster = mesh(1)
    host = cluster.hosts[0]
    cluster.run_until(3.0)
    client = SimulatedClient(cluster, "job", job(5.0), 0)
    client.poll()
    cluster.run_until(4.0)
    assert list(host.executors) == [0]
    session = cluster.attach(0)
    cluster.take_client_frames(0, session)
    cluster._perform(
        host, [KillExecutor(0, "test"), Persist("t", b"k", b"v", True), SendToClient(session, b"frame")]
    )
    assert host.node is not None
    assert host.node.exec.statistics()["done"] == 0
    assert cluster.take_client_frames(0, session) == [], "the barrier holds"
    assert client.wait_final(30.0)
    assert client.state == "done"
    assert host.runs == 1


def test_a_killed_process_is_noticed_at_once_and_a_dark_host_is_not() -> None:
    for power in (False, True):
        cluster = mesh(3)
        assert cluster.wait_converged(10.0) >= 0
        watcher = cluster.hosts[0].node
        assert watcher is not None
        victim = cluster.hosts[1].node_id
        cluster.kill(1, power)
        assert cluster.hosts[1].is_dark == power
        cluster.run_until(cluster.engine.now + 1.2)
        member = watcher.gossip.member(victim)
        assert member is not None
        assert (member.state == "alive") == power
        cluster.run_until(cluster.engine.now + 20.0)
        member = watcher.gossip.member(victim)
        assert member is not None
        assert member.state == "dead"


def test_killing_and_starting_are_idempotent_enough() -> None:
    cluster = mesh(2)
    cluster.kill(1)
    cluster.kill(1)
    cluster.start(1, [0])
    assert cluster.wait_converged(20.0) >= 0
    assert len(cluster.running()) == 2


def test_a_client_goes_on_elsewhere_and_waits_while_nobody_runs() -> None:
    cluster = mesh(2)
    cluster.run_until(3.0)
    client = SimulatedClient(cluster, "job", job(0.5, 8), 1)
    client.poll()
    cluster.run_until(3.2)
    cluster.kill(0)
    cluster.kill(1)
    client.poll()
    assert client.attached == 1
    cluster.start(0)
    client.poll()
    assert client.attached == 0
    assert client.wait_final(60.0)
    assert client.state == "done"


def test_a_refused_submission_is_heard() -> None:
    cluster = mesh(1)
    wrong = job()
    wrong.tasks[0].inputs.extend([3, 0])
    client = SimulatedClient(cluster, "job", wrong, 0)
    client.poll()
    cluster.run_until(0.0)
    client.poll()
    assert "task 0 needs task 3" in client.refused


def test_runs_of_a_seed_are_equal() -> None:
    traces = [Trace(keep=True), Trace(keep=True)]
    for trace in traces:
        cluster = mesh(3, trace)
        cluster.run_until(5.0)
    assert traces[0].digest() == traces[1].digest()
    assert traces[0].rows == traces[1].rows

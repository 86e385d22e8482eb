"""A strict mesh under the virtual clock: cut, killed, without power, with disks destroyed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sims.checkers.base import Violation
from sims.checkers.strict import can_elect, ledger_of
from sims.client import SimulatedClient
from sims.cluster import Cluster, simple_cluster
from sims.disk import DESTROYED
from sims.settings import NodeSettings
from sims.trials.case import Event, JobPlan
from sims.trials.drawing import draw
from sims.trials.jobs import part_of
from sims.trials.run import Trial
from swarm.core.rng import Rng
from swarm.election.ledger import LEDGER_KEY, founding_row

PLAN = JobPlan(at_s=0.0, host=0, shape="bag", width=2, task_s=0.1, size_bytes=10)


def strict_cluster(count: int, seed: str) -> Cluster:
    """Return a strict mesh with all its voters and a leader."""
    cluster = simple_cluster(count, seed, settings=NodeSettings(quorum="strict"))
    for index in range(count):
        cluster.start(index, [0])
    wanted = min(5, count if count % 2 else count - 1)
    for _ in range(200):
        cluster.run_until(cluster.engine.now + 0.1)
        if cluster.is_converged() and len(ledger_of(cluster.hosts[0])[1]) == wanted:
            return cluster
    raise AssertionError(f"{len(ledger_of(cluster.hosts[0])[1])} voters, not {wanted}")


def run(cluster: Cluster, clients: list[SimulatedClient], seconds: float) -> None:
    """Let time pass, and clients listen."""
    until_s = cluster.engine.now + seconds
    while cluster.engine.now < until_s:
        cluster.run_until(cluster.engine.now + 0.25)
        for client in clients:
            client.poll()


def test_two_of_five_accept_and_wait_and_their_job_is_done_after_the_heal() -> None:
    cluster = strict_cluster(5, "split")
    few = [cluster.leaders()[0], (cluster.leaders()[0] + 1) % 5]
    many = [index for index in range(5) if index not in few]
    cluster.network.partition([few, many])
    cluster.run_until(cluster.engine.now + 6.0)
    assert [index in many for index in cluster.leaders()] == [True]
    waiting = SimulatedClient(cluster, "few", part_of(PLAN), few[0])
    running = SimulatedClient(cluster, "many", part_of(PLAN), many[0])
    run(cluster, [waiting, running], 20.0)
    assert running.state == "done"
    assert waiting.accepted, "a submission needs no leader"
    assert waiting.state != "done"
    for index in few:
        node = cluster.hosts[index].node
        assert node is not None
        quorum = node.status()["quorum"]
        assert isinstance(quorum, dict)
        assert quorum["reason"].startswith(
            "only 2 of 5 voters of this strict mesh can be reached and 3 are needed"
        )
    cluster.network.heal()
    run(cluster, [waiting], 60.0)
    assert waiting.state == "done"
    assert len(cluster.leaders()) == 1
    assert cluster.is_converged()


def test_a_lone_survivor_waits_for_one_of_the_others() -> None:
    cluster = strict_cluster(3, "survivor")
    for index in (0, 1):
        cluster.kill(index)
    cluster.run_until(cluster.engine.now + 60.0)
    assert cluster.leaders() == []
    cluster.start(1)
    assert cluster.wait_converged(15.0) >= 0
    assert len(cluster.leaders()) == 1


def test_a_whole_strict_mesh_comes_back_after_a_loss_of_power() -> None:
    cluster = strict_cluster(5, "power")
    for index in range(5):
        cluster.kill(index, power=True)
    cluster.run_until(cluster.engine.now + 5.0)
    for index in (4, 2):
        cluster.start(index)
    cluster.run_until(cluster.engine.now + 20.0)
    assert cluster.leaders() == [], "two of five"
    cluster.start(1)
    assert cluster.wait_converged(15.0) >= 0


def test_voters_whose_disks_are_destroyed_are_replaced_while_a_majority_is_there() -> None:
    cluster = strict_cluster(5, "disks")
    for index in (3, 4):
        cluster.kill(index, power=True, disk=DESTROYED)
    cluster.run_until(cluster.engine.now + 30.0)
    assert len(ledger_of(cluster.hosts[cluster.leaders()[0]])[1]) == 3
    for index in (3, 4):
        cluster.start(index, [0])
    cluster.run_until(cluster.engine.now + 30.0)
    voters = ledger_of(cluster.hosts[0])[1]
    assert sorted([node for node, _ in voters]) == sorted([host.node_id for host in cluster.hosts])
    assert can_elect(cluster.hosts)


def test_a_strict_mesh_that_lost_a_majority_of_its_ledgers_stays_still_and_nothing_is_broken() -> None:
    case = replace(draw(1, "strict"), events=(), jobs=(), faults_s=30.0)
    lost = (Event(at_s=25.0, kind="destroy", targets=tuple(range(len(case.hosts)))),)
    trial = Trial(replace(case, events=lost))
    trial.run()
    assert not can_elect(trial.cluster.hosts)
    assert trial.cluster.leaders() == []


def test_a_second_founding_is_caught() -> None:
    """The checker of leases knows two meshes in one when it sees them."""
    case = replace(draw(1, "strict"), events=(), jobs=(), faults_s=20.0)
    trial = Trial(case)
    other = trial.cluster.hosts[1]
    other.disk.tables = {"node": dict(_founded_by(trial, 1))}
    with pytest.raises(Violation) as caught:
        trial.run()
    assert caught.value.checker in ("S4", "S12")


def _founded_by(trial: Trial, index: int) -> list[tuple[bytes, bytes]]:
    return [(LEDGER_KEY, founding_row(trial.cluster.hosts[index].node_id, Rng("second")))]

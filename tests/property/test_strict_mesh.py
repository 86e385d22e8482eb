"""Whole meshes of strict elections under faults: one lease at any true time, and one leader in the end."""

from __future__ import annotations

import statistics

import pytest

from swarm.core.rng import Rng
from tests.property.strict_mesh import StrictMesh, new_strict_mesh

FAULTY_S = 60.0


def harm(mesh: StrictMesh, rng: Rng) -> None:
    """Let one random fault happen, to a leader as often as not."""
    running = [node.index for node in mesh.running()]
    if not running:
        return
    victim = rng.choose(mesh.holders() if mesh.holders() and rng.unit() < 0.5 else running)
    if not mesh.nodes[victim].is_running:
        return
    draw = rng.unit()
    if draw < 0.12:
        mesh.crash(victim)
    elif draw < 0.3:
        mesh.nodes[victim].effects_until_crash = rng.below(10)
    elif draw < 0.4:
        mesh.resign(victim, is_for_good=rng.unit() < 0.5)
        if rng.unit() < 0.5:
            mesh.nodes[victim].effects_until_crash = 3
    elif draw < 0.6:
        mesh.sleep(victim)
    elif draw < 0.64:
        mesh.lose_disk(victim)
    elif draw < 0.7:
        mesh.nodes[victim].fitness = rng.below(200)
    else:
        mesh.split_somewhere(rng, is_bridged=draw >= 0.85)


def can_elect(mesh: StrictMesh) -> bool:
    """Return whether every configuration on a disk still has a majority whose ledgers are there."""
    for node in mesh.nodes:
        configuration = node.configuration()
        intact = 0
        for other in mesh.nodes:
            election = other.election
            assert election is not None
            intact += configuration.has(other.node_id, election.mark())
        if configuration.version and intact < configuration.majority():
            return False
    return mesh.latest().version > 0


def run_with_faults(seed: int) -> StrictMesh:
    """Run a mesh of 1 to 7 nodes through random faults and then through their end."""
    rng = Rng(f"strict faults:{seed}")
    count = [1, 2, 3, 3, 4, 5, 5, 6, 7][rng.below(9)]
    mesh = StrictMesh(str(seed), count, loss=rng.choose([0.0, 0.05, 0.2, 0.3]))
    for index in range(count):
        mesh.run(rng.uniform(0.0, 1.0))
        mesh.start(index)
    if rng.unit() < 0.7:
        mesh.run(rng.uniform(0.0, 10.0))
    while mesh.now < FAULTY_S:
        mesh.run(rng.uniform(0.2, 5.0))
        mesh.end_some_faults(rng, start_share=0.6, told_share=0.5)
        harm(mesh, rng)
    mesh.recover()
    return mesh


@pytest.mark.parametrize("batch", range(8))
def test_faults_never_let_two_hold_a_lease_and_heal_within_fifteen_seconds(batch: int) -> None:
    healed = 0
    for seed in range(batch * 10, batch * 10 + 10):
        mesh = run_with_faults(seed)
        if not can_elect(mesh):
            mesh.run(20.0)
            continue
        healed += 1
        mesh.run(10.0)
        mesh.run_until_agreed(5.0)
        leader = mesh.agreed()
        mesh.run(20.0)
        assert mesh.agreed() == leader, f"seed {seed}"
        wanted = len(mesh.nodes) if len(mesh.nodes) % 2 else len(mesh.nodes) - 1
        mesh.run_until_voters(min(5, wanted), 60.0)
    assert healed >= 5, "most meshes keep a majority of their ledgers"


@pytest.mark.parametrize(("count", "voters"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (7, 5)])
def test_a_mesh_grows_to_an_odd_number_of_voters_one_at_a_time(count: int, voters: int) -> None:
    for seed in range(5):
        mesh = new_strict_mesh(f"growth:{seed}", count)
        assert mesh.now <= 8.0
        mesh.run(30.0)
        assert len(mesh.latest().voters) == voters
        assert mesh.latest().version == voters
        assert mesh.reasons == []


def test_a_majority_goes_on_and_a_minority_stops() -> None:
    for seed in range(10):
        mesh = new_strict_mesh(f"split:{seed}", 5)
        left = [mesh.agreed(), (mesh.agreed() + 1 + seed % 4) % 5]
        mesh.split(left)
        mesh.run(6.0)
        assert len(mesh.holders()) == 1
        assert mesh.holders()[0] not in left
        for index in left:
            election = mesh.nodes[index].election
            assert election is not None
            assert election.leader() == b""
        mesh.run(30.0)
        assert len(mesh.latest().voters) == 3, "two that are lost for good are dropped"
        mesh.heal()
        mesh.run_until_voters(5, 20.0)


def test_no_side_without_a_majority_leads() -> None:
    for seed in range(10):
        mesh = new_strict_mesh(f"three sides:{seed}", 5)
        mesh.split([0, 1])
        mesh.split([2, 3])
        mesh.run(6.0)
        assert mesh.holders() == []
        mesh.run(60.0)
        assert mesh.holders() == []
        mesh.heal()
        mesh.run_until_agreed(6.0)


def test_a_lone_survivor_stops_and_goes_on_when_one_comes_back() -> None:
    for seed in range(10):
        mesh = new_strict_mesh(f"survivor:{seed}", 3)
        survivor = mesh.rng.below(3)
        others = [index for index in range(3) if index != survivor]
        for index in others:
            mesh.crash(index)
        mesh.run(60.0)
        assert mesh.holders() == []
        mesh.start(others[0])
        mesh.run(7.0)
        assert len(mesh.holders()) == 1


def test_failover_takes_a_hold_and_an_election() -> None:
    times: list[float] = []
    for seed in range(20):
        mesh = new_strict_mesh(f"failover:{seed}", 5)
        mesh.run(2.0 + mesh.rng.unit())
        mesh.crash(mesh.agreed())
        times.append(mesh.run_until_agreed(10.0))
    assert statistics.median(times) <= 3.5
    assert max(times) <= 6.0


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_graceful_stop_hands_over_at_once_and_leaves_a_mesh_that_works(count: int) -> None:
    for seed in range(10):
        mesh = new_strict_mesh(f"handover:{seed}", count)
        mesh.run(3.0)
        old = mesh.agreed()
        mesh.resign(old)
        began_at = mesh.now
        election = mesh.nodes[old].election
        assert election is not None
        while election.is_needed():
            mesh.run(0.05)
            assert mesh.now - began_at < 5.0, f"seed {seed}"
        mesh.crash(old)
        mesh.run_until_agreed(4.0)
        assert mesh.nodes[old].node_id not in mesh.latest().ids()
        mesh.run(20.0)
        assert len(mesh.latest().voters) % 2 == 1


def test_a_voter_that_lost_its_disk_is_replaced_by_itself() -> None:
    for seed in range(10):
        mesh = new_strict_mesh(f"lost disk:{seed}", 3)
        victim = (mesh.agreed() + 1 + seed % 2) % 3
        mark = dict(mesh.latest().voters)[mesh.nodes[victim].node_id]
        mesh.lose_disk(victim)
        mesh.run(1.0)
        mesh.start(victim)
        mesh.run(10.0)
        mesh.run_until_voters(3, 20.0)
        assert dict(mesh.latest().voters)[mesh.nodes[victim].node_id] != mark


def test_a_lost_voter_is_replaced_by_a_spare_and_a_quiet_mesh_changes_nothing() -> None:
    for seed in range(6):
        mesh = new_strict_mesh(f"spare:{seed}", 6)
        victim = (mesh.agreed() + 1) % 5
        mesh.crash(victim)
        mesh.run(25.0)
        assert mesh.nodes[victim].node_id not in mesh.latest().ids()
        assert len(mesh.latest().voters) == 5
        version, reasons = mesh.latest().version, len(mesh.reasons)
        mesh.start(victim)
        mesh.run(150.0)
        assert (mesh.latest().version, len(mesh.reasons)) == (version, reasons), "a voter stays one"


def test_a_much_fitter_member_becomes_a_voter_and_a_little_fitter_one_does_not() -> None:
    mesh = new_strict_mesh("fitness", 6)
    version = mesh.latest().version
    outside = mesh.nodes[5]
    assert outside.node_id not in mesh.latest().ids()
    outside.fitness = 110
    mesh.run(90.0)
    assert mesh.latest().version == version
    outside.fitness = 500
    mesh.run(60.0)
    assert outside.node_id in mesh.latest().ids()
    assert len(mesh.latest().voters) == 5
    assert mesh.latest().version == version + 2


def test_twenty_percent_loss_changes_nothing_in_two_quiet_minutes() -> None:
    for count in (3, 5):
        mesh = new_strict_mesh(f"loss:{count}", count)
        mesh.loss = 0.2
        mesh.run(120.0)
        assert mesh.reasons == []

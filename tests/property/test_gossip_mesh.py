"""Whole meshes of gossip: finding each other, deaths seen and not imagined, cuts healed, bounded traffic."""

from __future__ import annotations

import pytest

from swarm.core.ids import Address
from swarm.core.rng import Rng
from swarm.gossip.config import GossipConfig
from swarm.gossip.rumours import DEAD, make_verdict
from swarm.wire.messages import RUMOURS
from tests.property.gossip_mesh import GossipMesh, deaths, started_mesh

# Finding each other


@pytest.mark.parametrize("pause_s", [0.0, 0.3, 20.0])
def test_three_nodes_find_each_other_by_multicast_alone(pause_s: float) -> None:
    mesh = GossipMesh()
    for _ in range(3):
        mesh.run(pause_s)
        mesh.add()
    assert mesh.wait_for_agreement(5.0) < 0.3
    mesh.check()


@pytest.mark.parametrize("seed", range(8))
def test_lost_hellos_are_made_up_for(seed: int) -> None:
    mesh = GossipMesh(str(seed), loss=0.3)
    for _ in range(5):
        mesh.add()
        mesh.run(0.2)
    assert mesh.wait_for_agreement(15.0) < 5.0


@pytest.mark.parametrize("count", [2, 3, 10])
def test_one_seed_is_enough(count: int) -> None:
    mesh = GossipMesh(has_multicast=False)
    for index in range(count):
        mesh.add([0] if index else [])
    assert mesh.wait_for_agreement(10.0) < 1.5
    mesh.check()


def test_the_order_of_starting_does_not_matter() -> None:
    mesh = GossipMesh(has_multicast=False)
    late: Address = ("10.0.0.3", 7117)
    for index in range(2):
        mesh.add(remembered=[late])
        mesh.run(1.0 + index)
    mesh.run(25.0)
    mesh.add()
    assert mesh.wait_for_agreement(40.0) <= 31.0


def test_remembered_addresses_are_enough_after_all_have_stopped() -> None:
    mesh = started_mesh(4)
    mesh.has_multicast = False
    for host in mesh.hosts:
        mesh.kill(host)
    mesh.run(5.0)
    for host in mesh.hosts:
        mesh.restart(host, 2, [other.address for other in mesh.hosts])
    assert mesh.wait_for_agreement(10.0) < 2.0


def test_without_streams_rumours_and_hellos_are_enough() -> None:
    mesh = GossipMesh(has_multicast=False)
    mesh.has_streams = False
    for index in range(8):
        mesh.add([0] if index else [])
        mesh.run(0.5)
    assert mesh.wait_for_agreement(30.0) < 10.0


def test_twenty_nodes_that_start_together_agree_within_a_second() -> None:
    mesh = GossipMesh(loss=0.05)
    for _ in range(20):
        mesh.add()
    assert mesh.wait_for_agreement(10.0) < 1.0
    mesh.check()


# Deaths


@pytest.mark.parametrize("count", [2, 3, 20])
def test_a_killed_process_is_known_to_all_soon(count: int) -> None:
    taken: list[float] = []
    for seed in range(5):
        mesh = started_mesh(count, str(seed))
        mesh.run(10.0)
        mesh.kill(mesh.hosts[seed % count])
        taken.append(mesh.wait_for_agreement(20.0))
    assert sorted(taken)[2] <= 1.5
    assert max(taken) <= 2.5


def test_a_reset_stream_is_proof() -> None:
    mesh = started_mesh(5)
    mesh.run(5.0)
    victim = mesh.hosts[2]
    mesh.kill(victim)
    for host in mesh.running():
        host.gossip.on_peer_lost(victim.node_id, True, mesh.now)
        mesh.perform(host)
    assert mesh.wait_for_agreement(5.0) <= 0.4


@pytest.mark.parametrize("count", [2, 3, 20])
def test_silence_is_seen_in_seconds(count: int) -> None:
    taken: list[float] = []
    for seed in range(40):
        mesh = started_mesh(count, str(seed), has_refusals=False)
        mesh.run(10.0)
        mesh.kill(mesh.hosts[0])
        taken.append(mesh.wait_for_agreement(30.0))
        mesh.check()
    assert sorted(taken)[20] <= 6.0
    assert sorted(taken)[37] <= 8.0


def test_half_of_twenty_lost_at_once_is_seen_within_ten_seconds() -> None:
    mesh = started_mesh(20, has_refusals=False)
    mesh.run(10.0)
    for host in mesh.hosts[:10]:
        mesh.kill(host)
    assert mesh.wait_for_agreement(30.0) <= 10.0


@pytest.mark.parametrize("has_streams", [True, False])
def test_heavy_loss_kills_nobody(has_streams: bool) -> None:
    mesh = started_mesh(20)
    mesh.has_streams = has_streams
    mesh.loss = 0.3
    mesh.run(120.0)
    assert [deaths(mesh, host.node_id) for host in mesh.hosts] == [[]] * 20
    mesh.check()


def test_a_false_suspicion_is_refuted() -> None:
    mesh = started_mesh(5)
    mesh.run(5.0)
    accused, accuser = mesh.hosts[0], mesh.hosts[1]
    accuser.gossip._membership.suspect(accused.node_id, mesh.now)
    accuser.gossip._settle(mesh.now)
    mesh.perform(accuser)
    mesh.run(2.0)
    assert mesh.is_agreed()
    assert deaths(mesh, accused.node_id) == []
    for host in mesh.hosts:
        member = host.gossip.member(accused.node_id)
        assert member is not None
        assert member.incarnation == 2


def test_a_false_death_is_refuted_too() -> None:
    mesh = started_mesh(5)
    mesh.run(5.0)
    accused, liar, hearer = mesh.hosts[0], mesh.hosts[1], mesh.hosts[2]
    claim = make_verdict(DEAD, accused.node_id, 1, liar.node_id).packed
    hearer.gossip.receive_packet(liar.node_id, RUMOURS, [[claim]], liar.address, mesh.now)
    mesh.perform(hearer)
    mesh.run(3.0)
    assert mesh.is_agreed()
    mesh.check()


def test_a_member_cut_off_from_some_is_kept_by_the_helpers() -> None:
    mesh = started_mesh(5)
    mesh.has_streams = False
    one, other = mesh.hosts[0], mesh.hosts[1]
    mesh.broken = {one.index, other.index}
    mesh.run(60.0)
    assert deaths(mesh, one.node_id) + deaths(mesh, other.node_id) == []


def test_a_frozen_member_dies_and_comes_back_by_itself() -> None:
    mesh = started_mesh(5)
    sleeper = mesh.hosts[3]
    sleeper.is_frozen = True
    mesh.run(60.0)
    assert len(deaths(mesh, sleeper.node_id)) == 4
    sleeper.is_frozen = False
    sleeper.gossip.wake(mesh.now)
    mesh.perform(sleeper)
    assert mesh.wait_for_agreement(10.0) <= 1.5
    assert [change for change in sleeper.changes if change[4] == "dead"] == []
    mesh.check()


@pytest.mark.parametrize("incarnation", [1, 2])
def test_a_restarted_node_is_back_at_once(incarnation: int) -> None:
    """Even when its journal lost the incarnation."""
    mesh = started_mesh(4)
    victim = mesh.hosts[1]
    mesh.kill(victim)
    mesh.wait_for_agreement(10.0)
    mesh.restart(victim, incarnation)
    assert mesh.wait_for_agreement(10.0) < 1.0
    mesh.check()


def test_a_restart_faster_than_its_detection_goes_unnoticed_or_is_refuted() -> None:
    mesh = started_mesh(4)
    victim = mesh.hosts[1]
    mesh.kill(victim)
    mesh.run(0.05)
    mesh.restart(victim, 2)
    mesh.run(3.0)
    assert mesh.is_agreed()
    assert mesh.hosts[0].changes[-1][4] == "alive"


def test_leaving_is_not_death() -> None:
    mesh = started_mesh(20, loss=0.1)
    leaver = mesh.hosts[7]
    leaver.gossip.leave(mesh.now)
    mesh.perform(leaver)
    mesh.run(0.35)
    assert leaver.has_left
    mesh.wait_for_agreement(10.0)
    mesh.run(30.0)
    for host in mesh.running():
        member = host.gossip.member(leaver.node_id)
        assert member is not None
        assert member.state == "left"
    assert deaths(mesh, leaver.node_id) == []
    mesh.restart(leaver, 2)
    mesh.wait_for_agreement(10.0)
    mesh.check()


# Cuts


@pytest.mark.parametrize("count", [2, 3, 20])
def test_a_long_cut_heals_by_multicast(count: int) -> None:
    mesh = started_mesh(count)
    mesh.cut([list(range(count // 2)), list(range(count // 2, count))])
    mesh.run(300.0)
    assert {len(host.gossip.alive_ids()) for host in mesh.hosts} == {count // 2, count - count // 2}
    mesh.check()
    mesh.cut([])
    assert mesh.wait_for_agreement(60.0) <= 6.0
    mesh.check()


@pytest.mark.parametrize("count", [2, 3, 20])
def test_a_long_cut_heals_without_multicast(count: int) -> None:
    mesh = started_mesh(count)
    mesh.has_multicast = False
    mesh.cut([list(range(count // 2)), list(range(count // 2, count))])
    mesh.run(300.0)
    mesh.cut([])
    assert mesh.wait_for_agreement(60.0) <= 5.0


def test_a_cut_into_single_nodes_heals() -> None:
    mesh = started_mesh(6)
    mesh.has_multicast = False
    mesh.cut([[index] for index in range(6)])
    mesh.run(60.0)
    assert all(len(host.gossip.alive_ids()) == 1 for host in mesh.hosts)
    mesh.cut([])
    mesh.wait_for_agreement(8.0)


def test_two_meshes_that_started_apart_become_one() -> None:
    mesh = GossipMesh()
    mesh.cut([list(range(5)), list(range(5, 10))])
    for _ in range(10):
        mesh.add()
    mesh.run(60.0)
    assert all(len(host.gossip.alive_ids()) == 5 for host in mesh.hosts)
    mesh.cut([])
    assert mesh.wait_for_agreement(30.0) <= 5.0
    for host in mesh.hosts:
        assert [change for change in host.changes if change[4] == "dead"] == []


def test_a_heal_makes_no_new_deaths() -> None:
    """What one side held for dead must not kill it on the side where it lives."""
    mesh = started_mesh(10)
    mesh.cut([list(range(5)), list(range(5, 10))])
    mesh.run(60.0)
    healed_at = mesh.now
    mesh.cut([])
    mesh.wait_for_agreement(30.0)
    mesh.run(10.0)
    for host in mesh.hosts:
        assert [change for change in host.changes if change[0] > healed_at and change[4] == "dead"] == []


def test_a_member_that_moves_is_followed() -> None:
    mesh = started_mesh(4)
    mover = mesh.hosts[2]
    moved: Address = ("10.9.9.9", 7117)
    del mesh.by_address[mover.address]
    mover.address = moved
    mesh.by_address[moved] = mover
    mover.gossip.set_addresses([moved], mesh.now)
    mesh.perform(mover)
    mesh.run(3.0)
    assert mesh.is_agreed()
    for host in mesh.hosts:
        assert host.gossip.addresses_of(mover.node_id)[0] == moved


# Everything at once


@pytest.mark.parametrize("seed", range(12))
def test_faults_break_no_invariant_and_the_end_of_them_heals(seed: int) -> None:
    rng = Rng(f"faults:{seed}")
    count = 2 + rng.below(8)
    mesh = GossipMesh(str(seed), loss=rng.choose([0.0, 0.05, 0.2, 0.4]), has_refusals=rng.unit() < 0.5)
    incarnations = [1] * count
    for _ in range(count):
        mesh.add()
        mesh.run(rng.uniform(0.0, 1.0))
    for _ in range(25):
        disturb(mesh, rng, incarnations)
        mesh.run(rng.uniform(0.1, 6.0))
        mesh.check()
    mesh.cut([])
    mesh.loss = 0.0
    for host in mesh.hosts:
        host.is_frozen = False
        if not host.is_up or host.has_left:
            incarnations[host.index] += 1
            mesh.restart(host, incarnations[host.index])
    mesh.wait_for_agreement(10.0)
    mesh.run(20.0)
    assert mesh.is_agreed()
    digests = {host.gossip._membership.table.digest() for host in mesh.running()}
    assert len(digests) == 1
    mesh.check()


def disturb(mesh: GossipMesh, rng: Rng, incarnations: list[int]) -> None:
    """Let one random thing go wrong, or right."""
    host = rng.choose(mesh.hosts)
    what = rng.below(7)
    if what == 0:
        mesh.kill(host)
    elif what == 1 and not host.is_up:
        incarnations[host.index] += rng.below(2)
        mesh.restart(host, incarnations[host.index])
    elif what == 2:
        mesh.cut([[other.index for other in mesh.hosts if rng.unit() < 0.5]])
    elif what == 3:
        mesh.cut([])
    elif what == 4:
        host.is_frozen = not host.is_frozen
    elif what == 5 and host.is_up and not host.has_left:
        host.gossip.leave(mesh.now)
        mesh.perform(host)
    elif what == 6 and host.is_up:
        host.gossip.set_facts({"cores": float(rng.below(64))}, mesh.now)
        mesh.perform(host)


def test_the_same_seed_gives_the_same_effects() -> None:
    digests: list[str] = []
    for seed in ("a", "a", "b"):
        mesh = started_mesh(8, seed, loss=0.1)
        mesh.kill(mesh.hosts[2])
        mesh.run(20.0)
        digests.append(mesh.trace.hexdigest())
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


# Traffic


@pytest.mark.parametrize("count", [3, 20, 40])
def test_an_idle_mesh_is_quiet(count: int) -> None:
    mesh = started_mesh(count)
    mesh.run(60.0)
    before = [(host.sent_bytes, host.sent_packets) for host in mesh.hosts]
    mesh.run(60.0)
    for host, (sent_bytes, sent_packets) in zip(mesh.hosts, before, strict=True):
        assert (host.sent_bytes - sent_bytes) / 60 < 200
        assert (host.sent_packets - sent_packets) / 60 < 4


def test_hellos_to_everybody_do_not_grow_with_the_mesh() -> None:
    sent: list[int] = []
    for count in (4, 40):
        mesh = started_mesh(count)
        mesh.run(60.0)
        before = hellos(mesh)
        mesh.run(60.0)
        sent.append(hellos(mesh) - before)
    assert 15 <= sent[0] <= 120
    assert sent[1] <= 2 * sent[0]


def hellos(mesh: GossipMesh) -> int:
    """Return how many hellos to everybody were sent."""
    return sum(host.gossip.statistics()["hellos_to_everybody"] for host in mesh.hosts)


def test_a_lone_survivor_keeps_asking_but_ever_more_seldom() -> None:
    mesh = started_mesh(4)
    mesh.has_multicast = False
    for host in mesh.hosts[1:]:
        mesh.kill(host)
    mesh.run(200.0)
    survivor = mesh.hosts[0]
    before = survivor.sent_packets
    mesh.run(300.0)
    multicast = 300 / GossipConfig().hello_interval_max_s * 1.4
    greetings = 300 / GossipConfig().reconnect_interval_max_s * 1.25
    assert 30 <= survivor.sent_packets - before <= greetings + multicast
    mesh.check()

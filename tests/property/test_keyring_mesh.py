"""Keyrings of a whole mesh: whatever happens in a rotation, nobody is lost; who is thrown out stays out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.errors import LocalProtocolError
from swarm.keyring.config import KeyringConfig
from swarm.keyring.effects import ExchangeKeys
from tests.property.keyring_mesh import FOUNDING, KeyringMesh, fingerprint_of

OLD = fingerprint_of(FOUNDING)


def test_everybody_goes_over_and_is_heard_all_the_time() -> None:
    mesh = KeyringMesh(20)
    new = mesh.rotate(0)
    while not mesh.is_done():
        mesh.run(0.5)
        assert mesh.is_whole()
        assert mesh.now < 1100
    assert mesh.seals() == [new] * 20
    assert all(host.returning() == [OLD] for host in mesh.hosts)


def test_who_slept_through_it_comes_back() -> None:
    mesh = KeyringMesh(5)
    mesh.hosts[3].is_asleep = True
    mesh.run(10)
    new = mesh.rotate(0)
    mesh.run(3600)
    assert mesh.seals() == [new, new, new, OLD, new]
    mesh.hosts[3].is_asleep = False
    assert mesh.run_until_done() < 30
    assert mesh.seals() == [new] * 5


def test_who_slept_through_two_rotations_comes_back() -> None:
    mesh = KeyringMesh(4)
    mesh.hosts[3].is_asleep = True
    mesh.run(10)
    mesh.rotate(0)
    mesh.run(100)
    new = mesh.rotate(1)
    mesh.run(100)
    mesh.hosts[3].is_asleep = False
    mesh.run_until_done()
    assert mesh.seals() == [new] * 4


def test_who_slept_longer_than_old_keys_are_kept_stays_out() -> None:
    mesh = KeyringMesh(4, config=KeyringConfig(return_s=500.0))
    mesh.hosts[3].is_asleep = True
    mesh.run(10)
    new = mesh.rotate(0)
    mesh.run(700)
    mesh.hosts[3].is_asleep = False
    mesh.run(200)
    assert mesh.seals() == [new, new, new, OLD]
    assert all(host.returning() == [] for host in mesh.hosts[:3])


def test_the_rotation_goes_on_when_its_starter_dies() -> None:
    mesh = KeyringMesh(6)
    new = mesh.rotate(0)
    while sum(host.ring.orders()[-1][1] != OLD for host in mesh.hosts) < 3:
        mesh.run(0.5)
    mesh.hosts[0].is_asleep = True
    mesh.run(100)
    assert mesh.seals()[1:] == [new] * 5
    mesh.hosts[0].is_asleep = False
    mesh.run_until_done()


def test_a_starter_that_dies_before_it_told_anybody_brings_the_key_back() -> None:
    mesh = KeyringMesh(3)
    mesh.hosts[0].side = 1
    new = mesh.rotate(0)
    mesh.hosts[0].is_asleep = True
    mesh.run(100)
    assert mesh.seals()[1:] == [OLD, OLD]
    mesh.hosts[0].is_asleep = False
    mesh.hosts[0].side = 0
    mesh.hosts[0].start()
    mesh.run_until_done()
    assert mesh.seals() == [new] * 3


def test_of_two_rotations_at_once_one_wins_everywhere() -> None:
    mesh = KeyringMesh(8)
    made = [mesh.rotate(0), mesh.rotate(5)]
    mesh.run_until_done()
    assert mesh.seals() == [max(made)] * 8


def test_both_sides_of_a_cut_rotate_and_find_each_other_again() -> None:
    mesh = KeyringMesh(6)
    for host in mesh.hosts[3:]:
        host.side = 1
    mesh.run(20)
    made = [mesh.rotate(0), mesh.rotate(5)]
    mesh.run(100)
    assert mesh.seals() == [made[0]] * 3 + [made[1]] * 3
    assert all(host.ring.is_settled for host in mesh.hosts)
    for host in mesh.hosts:
        host.side = 0
    assert mesh.run_until_done() < 120
    assert mesh.seals() == [max(made)] * 6


def test_who_is_excluded_stays_out_and_cannot_bring_a_key_of_its_own() -> None:
    mesh = KeyringMesh(5)
    new = mesh.rotate(0, 4)
    mesh.run(2.0)
    mesh.rotate(4)
    mesh.run(200)
    assert mesh.seals()[:4] == [new] * 4
    assert new not in mesh.hosts[4].opens()
    assert all(fingerprint_of(mesh.hosts[4].use.primary) not in host.opens() for host in mesh.hosts[:4])


def test_somebody_unknown_with_the_old_secret_is_told_nothing_and_believed_nothing() -> None:
    """It holds the old key and an identity that no member ever met."""
    mesh = KeyringMesh(4)
    stranger = KeyringMesh(1, seed="stranger").hosts[0]
    stranger_id = b"s" * 16
    mesh.rotate(0)
    mesh.run_until_done()
    stranger.ring.rotate(b"\x07" * 32, [], 2000.0)
    fake = stranger.ring.tell(b"q" * 16, stranger.ring.orders()[-1][1])
    for host in mesh.hosts:
        before = host.ring.orders()
        assert not host.ring.is_welcome(stranger_id, OLD)
        assert host.ring.tell(stranger_id, OLD) == b""
        assert not host.ring.receive_untrusted(stranger_id, OLD, fake, mesh.now)
        host.ring.on_hint(stranger_id[:8], ("elsewhere", 1), OLD, mesh.now)
        assert host.ring.orders() == before
        wanted = [effect for effect in host.ring.take_effects() if isinstance(effect, ExchangeKeys)]
        assert stranger_id not in [effect.peer for effect in wanted]


def test_a_second_rotation_waits_for_the_first() -> None:
    mesh = KeyringMesh(3)
    mesh.rotate(0)
    with pytest.raises(LocalProtocolError, match="under way"):
        mesh.rotate(0)
    with pytest.raises(LocalProtocolError, match="itself"):
        mesh.rotate(1, 1)


def test_garbage_is_refused_and_counted() -> None:
    mesh = KeyringMesh(2)
    ring, peer = mesh.hosts[0].ring, mesh.hosts[1].node_id
    told = mesh.hosts[1].ring.tell(mesh.hosts[0].node_id, OLD)
    for cut in range(len(told)):
        assert not ring.receive_untrusted(peer, OLD, told[:cut], mesh.now)
    assert ring.statistics()["garbage"] == len(told)
    assert ring.receive_untrusted(peer, OLD, told, mesh.now)


@given(st.binary(max_size=300))
def test_no_bytes_raise(payload: bytes) -> None:
    mesh = KeyringMesh(2)
    mesh.hosts[0].ring.receive_untrusted(mesh.hosts[1].node_id, OLD, payload, mesh.now)
    mesh.hosts[0].ring.check_invariants()


FAULTS = st.lists(
    st.tuples(
        st.sampled_from(["rotate", "restart", "sleep", "wake", "cut", "heal", "wait", "long"]),
        st.integers(0, 5),
    ),
    max_size=14,
)


@settings(deadline=None)
@given(FAULTS, st.integers(2, 6), st.integers(0, 1000), st.sampled_from([0.0, 0.3]))
def test_after_any_faults_all_nodes_are_one_mesh(
    faults: list[tuple[str, int]], count: int, seed: int, loss: float
) -> None:
    """At most two rotations happen while somebody is away, as often as a ring can bridge."""
    mesh = KeyringMesh(count, f"{seed}", loss)
    rotations = 0
    for what, number in faults:
        host = mesh.hosts[number % count]
        if what == "rotate" and rotations < 2 and host.ring.is_settled and not host.is_asleep:
            mesh.rotate(host.number)
            rotations += 1
        elif what == "restart":
            host.is_asleep = False
            host.start()
        elif what in ("sleep", "wake"):
            host.is_asleep = what == "sleep"
        elif what == "cut":
            host.side = 1
        elif what == "heal":
            for each in mesh.hosts:
                each.side = 0
        mesh.run(90.0 if what == "long" else 3.0)
    for host in mesh.hosts:
        host.side, host.is_asleep = 0, False
    mesh.run_until_done(2000.0)

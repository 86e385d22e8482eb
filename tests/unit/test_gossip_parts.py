"""The small parts: suspicion times, local health, round trips, probing order, rate limits."""

from __future__ import annotations

import pytest

from swarm.core.rng import Rng
from swarm.gossip.awareness import Awareness
from swarm.gossip.config import GossipConfig
from swarm.gossip.limits import TokenBucket, choose_some
from swarm.gossip.probe_order import ProbeOrder
from swarm.gossip.round_trip import RoundTrip
from swarm.gossip.suspicion import Suspicion, confirmations_wanted, suspicion_min_s, suspicion_timeout_s

CONFIG = GossipConfig()


@pytest.mark.parametrize(
    ("confirmations", "wanted", "expected_s"),
    [(0, 3, 30.0), (1, 3, 16.0), (2, 3, 7.811), (3, 3, 2.0), (4, 3, 2.0), (0, 0, 2.0)],
)
def test_a_suspicion_shortens_with_every_confirmation(
    confirmations: int, wanted: int, expected_s: float
) -> None:
    assert suspicion_timeout_s(confirmations, wanted, 2.0, 30.0) == expected_s


def test_tiny_meshes_wait_for_no_confirmation() -> None:
    assert [confirmations_wanted(CONFIG, count) for count in (1, 2, 3, 4, 20)] == [0, 0, 0, 2, 2]


def test_larger_meshes_suspect_longer() -> None:
    assert [suspicion_min_s(CONFIG, count) for count in (0, 1, 10, 20, 100)] == [2.0, 2.0, 2.0, 2.602, 4.0]


def test_confirmations_count_once_and_only_while_wanted() -> None:
    suspicion = Suspicion(b"a", 2, 3.0, 18.0, 100.0)
    assert suspicion.deadline() == 118.0
    assert not suspicion.confirm(b"a")
    assert suspicion.confirm(b"b")
    assert not suspicion.confirm(b"b")
    assert 103.0 < suspicion.deadline() < 118.0
    assert suspicion.confirm(b"c")
    assert suspicion.deadline() == 103.0
    assert not suspicion.confirm(b"d")
    suspicion.restart(200.0)
    assert suspicion.deadline() == 218.0


def test_health_stays_within_its_bounds_and_stretches_time() -> None:
    awareness = Awareness(8)
    awareness.change(-3)
    assert awareness.scale_s(0.5) == 0.5
    awareness.change(2)
    assert awareness.scale_s(0.5) == 1.5
    awareness.change(100)
    assert awareness.score == 7


def test_the_timeout_follows_the_round_trips() -> None:
    round_trip = RoundTrip()
    assert round_trip.timeout_s(CONFIG) == CONFIG.probe_timeout_s
    round_trip.observe(0.001)
    assert round_trip.timeout_s(CONFIG) == CONFIG.probe_timeout_min_s
    for _ in range(50):
        round_trip.observe(0.3)
    assert 0.3 <= round_trip.timeout_s(CONFIG) < 0.5
    for sample_s in (0.05, 2.0, 0.05, 2.0):
        round_trip.observe(sample_s)
    assert round_trip.timeout_s(CONFIG) == CONFIG.probe_timeout_max_s


def test_a_bucket_allows_a_burst_and_then_a_rate() -> None:
    bucket = TokenBucket(2.0, 3)
    assert [bucket.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(10.4)
    assert bucket.take(10.5)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]


def test_a_bucket_counts_bytes_too_and_nothing_when_they_are_too_many() -> None:
    bucket = TokenBucket(100.0, 1000)
    assert bucket.take(5.0, 900.0)
    assert not bucket.take(5.0, 200.0)
    assert bucket.has(5.0, 100.0)
    assert bucket.take(6.0, 200.0)
    assert not bucket.has(6.0, 1.0)


def test_samples_have_no_doubles() -> None:
    rng = Rng("s")
    for _ in range(50):
        assert len(set(choose_some(rng, list(range(10)), 4))) == 4
    assert sorted(choose_some(rng, [1, 2], 4)) == [1, 2]


def test_everybody_is_probed_once_a_round() -> None:
    order = ProbeOrder(Rng("o"))
    for index in range(6):
        order.add(bytes([index]))
    rounds = [sorted([order.next() or b"" for _ in range(6)]) for _ in range(5)]
    assert all(found == [bytes([index]) for index in range(6)] for found in rounds)


def test_the_order_survives_comings_and_goings() -> None:
    rng = Rng("g")
    order = ProbeOrder(rng)
    present: list[bytes] = []
    for step in range(300):
        if present and rng.unit() < 0.4:
            gone = rng.choose(present)
            present.remove(gone)
            order.remove(gone)
            order.remove(gone)
        else:
            present.append(step.to_bytes(2, "big"))
            order.add(present[-1])
        following = order.next()
        assert (following in present) == bool(present)
    assert sorted(order.members()) == sorted(present)
    assert ProbeOrder(rng).next() is None

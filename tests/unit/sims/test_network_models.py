"""Latency and loss models: moments, bounds, order; and the values that are refused."""

from __future__ import annotations

import itertools
import statistics

import pytest

from sims.network import LOST, Network, NetworkConfig
from sims.network.latency import (
    ConstantLatency,
    JitterLatency,
    Latency,
    LogNormalLatency,
    NormalLatency,
    ParetoLatency,
    QuantileLatency,
    TraceLatency,
    pi_wifi,
    pi_wifi_power_save,
)
from sims.network.loss import BurstLoss
from swarm.core.errors import ConfigError
from swarm.core.rng import Rng

DRAWS = 20_000


def drawn(model: Latency) -> list[float]:
    rng = Rng("latency")
    values = [model.draw(rng) for _ in range(DRAWS)]
    assert min(values) >= model.least_s()
    return sorted(values)


def test_a_constant_latency_is_constant() -> None:
    assert set(drawn(ConstantLatency(0.01))) == {0.01}


def test_jitter_adds_its_mean_and_at_most_thrice_that() -> None:
    values = drawn(JitterLatency(0.01, 0.002))
    assert statistics.mean(values) == pytest.approx(0.012, rel=0.02)
    assert max(values) <= 0.016


def test_normal_latencies_have_mean_and_deviation_and_a_floor() -> None:
    values = drawn(NormalLatency(0.1, 0.01, 0.001))
    assert statistics.mean(values) == pytest.approx(0.1, rel=0.01)
    assert statistics.stdev(values) == pytest.approx(0.01, rel=0.03)
    cut = drawn(NormalLatency(0.1, 0.1, 0.05))
    assert min(cut) == 0.05


def test_lognormal_latencies_have_their_median_and_a_tail() -> None:
    values = drawn(LogNormalLatency(0.02, 1.0, 0.005))
    assert statistics.median(values) == pytest.approx(0.025, rel=0.03)
    assert values[int(0.8413 * DRAWS)] == pytest.approx(0.005 + 0.02 * 2.718, rel=0.05)


def test_pareto_latencies_follow_their_exponent_up_to_the_greatest() -> None:
    values = drawn(ParetoLatency(0.01, 2.0, 0.5))
    assert values[DRAWS * 3 // 4] == pytest.approx(0.02, rel=0.03)
    assert max(values) <= 0.5


def test_traces_are_played_in_order_or_drawn_from() -> None:
    rng = Rng("trace")
    ordered = TraceLatency([0.1, 0.2, 0.3], True)
    assert [ordered.draw(rng) for _ in range(5)] == [0.1, 0.2, 0.3, 0.1, 0.2]
    assert set(drawn(TraceLatency([0.1, 0.2], False))) == {0.1, 0.2}


def test_quantiles_are_met() -> None:
    values = drawn(QuantileLatency([(0.0, 0.01), (0.5, 0.02), (1.0, 0.1)]))
    assert statistics.median(values) == pytest.approx(0.02, rel=0.02)
    assert values[DRAWS * 3 // 4] == pytest.approx(0.06, rel=0.02)


def test_a_pi_on_wifi_is_as_slow_as_was_measured() -> None:
    saving, awake = drawn(pi_wifi_power_save()), drawn(pi_wifi())
    # Published figures are of round trips: two ways.
    assert 0.049 <= 2 * statistics.median(saving) <= 0.127
    assert 0.375 <= 2 * saving[DRAWS * 9 // 10] <= 0.554
    assert 0.8 <= 2 * saving[DRAWS * 99 // 100] <= 2.0
    assert 2 * statistics.median(awake) == pytest.approx(0.006, rel=0.05)


def test_bursts_have_their_share_and_their_length() -> None:
    model, rng = BurstLoss(0.2, 5.0), Rng("burst")
    lost = [model.drops(1, rng, 0.0) for _ in range(100_000)]
    assert sum(lost) / len(lost) == pytest.approx(0.2, abs=0.01)
    bursts = sum([later and not sooner for sooner, later in itertools.pairwise(lost)])
    assert sum(lost) / bursts == pytest.approx(5.0, rel=0.05)


def test_each_way_has_bursts_of_its_own() -> None:
    model, rng = BurstLoss(0.5, 50.0), Rng("ways")
    both = [(model.drops(1, rng, 0.0), model.drops(2, rng, 0.0)) for _ in range(20_000)]
    together = sum([one and two for one, two in both]) / len(both)
    assert together == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize(
    "model", ["constant", "normal", "lognormal", "pareto", "jitter", "pi-wifi", "pi-wifi-power-save"]
)
def test_every_model_can_be_named(model: str) -> None:
    net = Network(NetworkConfig(model=model), 2, Rng("named"))
    assert net.send(0, 1, 100, 1.0) > 1.0


def test_measured_latencies_can_be_given() -> None:
    net = Network(NetworkConfig(model="trace", latencies_s=(0.25, 0.5)), 2, Rng("trace"))
    assert [net.send(0, 1, 100, 0.0) for _ in range(3)] == [0.25, 0.5, 0.25]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"latency_s": 0.0}, "latency_s is 0.0"),
        ({"latency_s": -1.0}, "latency_s is -1.0"),
        ({"jitter_s": -1.0}, "jitter_s is -1.0"),
        ({"loss": 1.0}, "loss is 1.0"),
        ({"loss": 0.6, "loss_burst_count": 1.2}, "with a loss of 0.6"),
        ({"loss_burst_count": 0.5}, "loss_burst_count is 0.5"),
        ({"duplicate": -0.1}, "duplicate is -0.1"),
        ({"reorder": 2}, "reorder is 2"),
        ({"reorder_s": -1}, "reorder_s is -1"),
        ({"corrupt": 1}, "corrupt is 1"),
        ({"bandwidth_bytes_s": 0}, "bandwidth_bytes_s is 0"),
        ({"queue_s": 0}, "queue_s is 0"),
        ({"connect_timeout_s": 0}, "connect_timeout_s is 0"),
        ({"nat_timeout_s": 0}, "nat_timeout_s is 0"),
        ({"model": "gamma"}, "model is 'gamma'"),
        ({"topology": "moon"}, "topology is 'moon'"),
        ({"model": "trace"}, "a trace of latencies is empty"),
        ({"model": "trace", "latencies_s": (0.1, 0.0)}, "latency 2 of the trace is 0.0"),
        ({"model": "pareto", "latency_shape": 0}, "shape >= 0.1"),
        ({"model": "lognormal", "latency_shape": -1}, "must be in 0 to 20"),
    ],
)
def test_impossible_values_are_named(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        NetworkConfig(**settings)  # type: ignore[arg-type]  # whatever a file may hold
    assert named in str(caught.value)


def test_quantiles_that_fall_are_refused() -> None:
    with pytest.raises(ConfigError, match="rise"):
        QuantileLatency([(0.0, 0.2), (1.0, 0.1)])
    with pytest.raises(ConfigError, match="from share 0"):
        QuantileLatency([(0.1, 0.2), (1.0, 0.3)])


def test_copies_delays_and_damage_have_their_shares() -> None:
    net = Network(
        NetworkConfig(
            model="constant", latency_s=0.01, duplicate=0.3, reorder=0.2, reorder_s=1.0, corrupt=0.1
        ),
        2,
        Rng("mess"),
    )
    copies = late = damaged = 0
    for _ in range(DRAWS):
        when = net.send(0, 1, 100, 0.0)
        assert when in (0.01, 1.01)
        late += when > 1
        copies += net.copy_at != LOST
        damaged += net.is_corrupt
    assert copies / DRAWS == pytest.approx(0.3, abs=0.02)
    assert late / DRAWS == pytest.approx(0.2, abs=0.02)
    assert damaged / DRAWS == pytest.approx(0.1, abs=0.02)

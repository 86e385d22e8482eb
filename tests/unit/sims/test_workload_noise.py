"""Noise on run times and unequal speeds: distributions, bounds, seeds."""

from __future__ import annotations

from math import log
from statistics import fmean, median, stdev
from typing import Any

import pytest

from sims.workload.generators import grid
from sims.workload.noise import Noise, draw_speeds, normal, with_noise
from swarm.core.errors import ConfigError
from swarm.core.rng import Rng

DRAWS = 20_000


def factors(noise: Noise) -> list[float]:
    rng = Rng("noise")
    return [noise.factor(rng) for _ in range(DRAWS)]


def test_normal_numbers_have_mean_0_and_deviation_1() -> None:
    rng = Rng("normal")
    drawn = [normal(rng) for _ in range(DRAWS)]
    assert abs(fmean(drawn)) < 0.03
    assert abs(stdev(drawn) - 1) < 0.03
    within = sum(abs(value) < 1.96 for value in drawn) / DRAWS
    assert abs(within - 0.95) < 0.01


def test_no_noise_changes_nothing() -> None:
    assert set(factors(Noise())) == {1.0}
    graph = grid(3, 3)
    assert with_noise(graph, Noise(), "1") is graph


def test_normal_noise_is_cut_above_zero() -> None:
    drawn = factors(Noise(kind="normal", spread=0.2))
    assert abs(fmean(drawn) - 1) < 0.01
    assert abs(stdev(drawn) - 0.2) < 0.01
    assert min(factors(Noise(kind="normal", spread=2.0))) == 0.01


def test_log_normal_noise_has_mean_one() -> None:
    drawn = factors(Noise(kind="log-normal", spread=0.5))
    assert abs(fmean(drawn) - 1) < 0.02
    assert abs(stdev([log(value) for value in drawn]) - 0.5) < 0.02


def test_stragglers_are_a_share_with_a_heavy_tail() -> None:
    drawn = factors(Noise(kind="stragglers", share=0.1, tail=1.0, factor_max=50.0))
    slow = [value for value in drawn if value > 1]
    assert abs(len(slow) / DRAWS - 0.1) < 0.01
    # Pareto with exponent 1: half are above 2, a tenth above 10.
    assert abs(sum(value > 2 for value in slow) / len(slow) - 0.5) < 0.03
    assert abs(sum(value > 10 for value in slow) / len(slow) - 0.1) < 0.03
    assert max(drawn) == 50.0


def test_noise_changes_true_run_times_only_and_by_seed() -> None:
    graph = grid(5, 5)
    noise = Noise(kind="log-normal", spread=0.3)
    noisy = with_noise(graph, noise, "7")
    assert noisy.expected_durations_s == graph.durations_s
    assert len(set(noisy.durations_s)) == 25
    assert noisy.durations_s == with_noise(graph, noise, "7").durations_s
    assert noisy.durations_s != with_noise(graph, noise, "8").durations_s
    # A task's factor depends on the seed and its number alone.
    assert with_noise(grid(2, 2), noise, "7").durations_s == noisy.durations_s[:4]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "loud"),
        ("spread", -1.0),
        ("spread", float("inf")),
        ("share", 1.5),
        ("tail", 0.0),
        ("factor_max", 0.5),
    ],
)
def test_impossible_noise_is_refused(name: str, value: Any) -> None:
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(ConfigError, match=str(value)):
        Noise(**arguments)


def test_speeds_are_equal_uniform_log_normal_or_in_steps() -> None:
    rng = Rng("speeds")
    assert draw_speeds(3, "equal", rng) == [1.0] * 3
    uniform = draw_speeds(DRAWS, "uniform", rng, 0.4)
    assert 0.6 <= min(uniform) < 0.61
    assert 1.39 < max(uniform) < 1.4
    assert abs(median(draw_speeds(DRAWS, "log-normal", rng, 0.7)) - 1) < 0.03
    assert draw_speeds(5, "steps", rng, steps=(2.0, 1.0)) == [2.0, 1.0, 2.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"count": 0, "kind": "equal"}, "count is 0"),
        ({"count": 1, "kind": "mixed"}, "'mixed' is not known; known are equal, uniform"),
        ({"count": 1, "kind": "uniform", "spread": 1.0}, "spread is 1.0"),
        ({"count": 1, "kind": "log-normal", "spread": -1.0}, "spread is -1.0"),
        ({"count": 1, "kind": "steps", "steps": ()}, "steps is"),
        ({"count": 1, "kind": "steps", "steps": (1.0, 0.0)}, "steps is"),
    ],
)
def test_impossible_speeds_are_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        draw_speeds(rng=Rng("x"), **arguments)

"""Intervals and quantiles, against published tables and known distributions."""

from __future__ import annotations

from math import atan, exp, inf, log, pi, tan
from statistics import NormalDist, fmean, median
from typing import Any

import pytest

from sims.lab.statistics import (
    Interval,
    bootstrap_interval,
    geometric_mean,
    geometric_ratio,
    mean_interval,
    paired_difference,
    quantile,
    student_quantile,
    student_share,
)
from sims.workload.noise import normal
from swarm.core.errors import ConfigError
from swarm.core.rng import Rng


@pytest.mark.parametrize(
    ("share", "freedom", "expected"),
    [
        # NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2.
        (0.90, 1, 3.078),
        (0.95, 2, 2.920),
        (0.975, 4, 2.776),
        (0.975, 9, 2.262),
        (0.99, 14, 2.624),
        (0.995, 30, 2.750),
        (0.999, 100, 3.174),
    ],
)
def test_students_quantiles_are_those_of_the_tables(share: float, freedom: int, expected: float) -> None:
    assert student_quantile(share, freedom) == pytest.approx(expected, abs=0.0005)
    assert student_quantile(1 - share, freedom) == pytest.approx(-expected, abs=0.0005)
    assert student_share(student_quantile(share, freedom), freedom) == pytest.approx(share, abs=1e-12)


def test_students_distribution_has_its_closed_forms() -> None:
    # One degree of freedom is Cauchy's distribution, two have a closed form, many are normal.
    assert student_quantile(0.975, 1) == pytest.approx(tan(pi * 0.475), rel=1e-12)
    for value in (-3.0, -0.2, 0.0, 0.5, 7.0):
        assert student_share(value, 1) == pytest.approx(0.5 + atan(value) / pi, abs=1e-13)
        assert student_share(value, 2) == pytest.approx(
            0.5 + value / 2 / (2 + value * value) ** 0.5, abs=1e-13
        )
    assert student_quantile(0.975, 10**7) == pytest.approx(NormalDist().inv_cdf(0.975), rel=1e-6)


def test_a_mean_has_its_interval() -> None:
    # t(0.975, 4) = 2.776, s = 1.5811.
    found = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.value == 3.0
    assert found.high - 3.0 == pytest.approx(2.7764451 * 1.5811388 / 5**0.5, rel=1e-6)
    assert found.low == pytest.approx(6.0 - found.high)
    assert found.runs == 5
    assert mean_interval([1.0, 2.0, 3.0], 0.99).high > mean_interval([1.0, 2.0, 3.0], 0.9).high


def test_one_run_says_nothing_about_the_spread() -> None:
    assert mean_interval([2.0]) == Interval(2.0, -inf, inf, 1)
    assert geometric_ratio([2.0], [1.0]) == Interval(2.0, 0.0, inf, 1)
    assert bootstrap_interval([2.0], Rng("x")) == Interval(2.0, -inf, inf, 1)
    assert str(mean_interval([2.0])) == "2"


def test_equal_runs_have_an_interval_without_width() -> None:
    assert mean_interval([2.0] * 7) == Interval(2.0, 2.0, 2.0, 7)
    assert str(mean_interval([2.0] * 7)) == "2 [2, 2]"


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = Rng("coverage")
    hits = {"student": 0, "bootstrap": 0}
    for _ in range(400):
        values = [5 + normal(rng) for _ in range(12)]
        hits["student"] += not mean_interval(values, 0.9).excludes(5)
        hits["bootstrap"] += not bootstrap_interval(values, rng, confidence=0.9, resamples=200).excludes(5)
    assert abs(hits["student"] / 400 - 0.9) < 0.05
    # The percentile interval is a little narrow for so few values.
    assert 0.8 < hits["bootstrap"] / 400 < 0.95


def test_pairs_on_the_same_seed_are_compared_more_sharply() -> None:
    rng = Rng("pairs")
    common = [100 + 30 * normal(rng) for _ in range(20)]
    slower = [value + 2 + normal(rng) for value in common]
    assert paired_difference(slower, common).excludes(0)
    separate = mean_interval(slower)
    assert separate.low < fmean(common) < separate.high


def test_a_ratio_is_geometric() -> None:
    found = geometric_ratio([2.0, 8.0], [1.0, 1.0])
    assert found.value == pytest.approx(4.0)
    assert found.low == pytest.approx(exp(log(4) - (log(found.high) - log(4))))
    assert geometric_ratio([1.0, 1.0], [2.0, 8.0]).value == pytest.approx(0.25)
    assert geometric_mean([1.0, 100.0]) == pytest.approx(10.0)


def test_the_bootstrap_takes_any_statistic_and_follows_its_seed() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 100.0]
    found = bootstrap_interval(values, Rng("b"), median)
    assert found == bootstrap_interval(values, Rng("b"), median)
    assert found.value == 3.0
    assert found.low >= 1.0
    assert found.high <= 100.0


def test_quantiles_are_interpolated() -> None:
    assert quantile([1.0, 2.0, 4.0], 0.0) == 1.0
    assert quantile([1.0, 2.0, 4.0], 0.5) == 2.0
    assert quantile([1.0, 2.0, 4.0], 0.75) == 3.0
    assert quantile([1.0, 2.0, 4.0], 1.0) == 4.0
    assert quantile([7.0], 0.3) == 7.0


def test_impossible_requests_are_refused() -> None:
    requests: list[tuple[Any, tuple[Any, ...]]] = [
        (mean_interval, ([],)),
        (mean_interval, ([1.0, 2.0], 1.0)),
        (mean_interval, ([1.0, 2.0], 0.0)),
        (paired_difference, ([1.0], [1.0, 2.0])),
        (paired_difference, ([], [])),
        (geometric_ratio, ([1.0, 0.0], [1.0, 1.0])),
        (geometric_ratio, ([1.0], [-1.0])),
        (geometric_mean, ([],)),
        (geometric_mean, ([1.0, 0.0],)),
        (bootstrap_interval, ([], Rng("x"))),
        (bootstrap_interval, ([1.0, 2.0], Rng("x"), fmean, 0.9, 10)),
        (quantile, ([], 0.5)),
        (quantile, ([1.0], 1.5)),
        (student_quantile, (0.5, 0)),
        (student_quantile, (1.0, 3)),
    ]
    for function, arguments in requests:
        with pytest.raises(ConfigError):
            function(*arguments)

"""Estimates of durations, and upward ranks (HEFT, equation 5)."""

from __future__ import annotations

import pytest

from swarm.scheduler.ranking import ANCESTOR_STEPS_MAX, NAMES_MAX, WEIGHT, Estimates
from tests.unit.scheduler_builder import JobBuilder, call, chain, data, part, task


def ranks(build: JobBuilder) -> list[float]:
    return [round(one.rank, 6) for one in build.job.tasks]


def test_an_unknown_name_has_the_default() -> None:
    estimates = Estimates(0.05, 0.01)
    assert not estimates.is_known("f")
    assert estimates.duration_s("f") == pytest.approx(0.06)


def test_measured_runs_count_with_their_speed_and_fade() -> None:
    estimates = Estimates(0.05, 0.0)
    estimates.observe("f", 1.0, 2.0)
    assert estimates.duration_s("f") == 2.0
    estimates.observe("f", 1.0, 1.0)
    assert estimates.duration_s("f") == pytest.approx(2.0 - WEIGHT)


def test_names_have_a_bound() -> None:
    estimates = Estimates(0.05, 0.0)
    for number in range(NAMES_MAX + 5):
        estimates.observe(f"f{number}", 1.0, 1.0)
    assert estimates.is_known(f"f{NAMES_MAX - 1}")
    assert not estimates.is_known(f"f{NAMES_MAX}")


def test_the_rank_is_the_longest_way_to_the_end() -> None:
    assert ranks(JobBuilder(chain(4))) == [0.2, 0.15, 0.1, 0.05]
    assert ranks(JobBuilder(part(task(), task(0), task(0), task(1), task(2, 3)))) == [
        0.2,
        0.15,
        0.1,
        0.1,
        0.05,
    ]


def test_known_durations_count() -> None:
    build = JobBuilder()
    build.estimates.observe("slow", 1.0, 1.0)
    build.job.add_part(0, part(task(), task(), task(0, name="slow"), task(1)), build.estimates)
    assert ranks(build) == [1.05, 0.1, 1.0, 0.05]


def test_a_new_part_raises_the_ranks_of_those_before_it() -> None:
    build = JobBuilder(chain(3))
    build.job.add_part(1, part(task(2), task(3), first=3), build.estimates)
    assert ranks(build) == [0.25, 0.2, 0.15, 0.1, 0.05]


def test_a_shorter_way_raises_nothing() -> None:
    build = JobBuilder(chain(3))
    build.job.add_part(1, part(task(0), first=3), build.estimates)
    assert ranks(build) == [0.15, 0.1, 0.05, 0.05]


def test_raising_stops_after_a_bounded_number_of_steps() -> None:
    length = ANCESTOR_STEPS_MAX + 50
    build = JobBuilder(chain(length))
    before = ranks(build)
    build.job.add_part(1, part(task(length - 1), first=length), build.estimates)
    after = ranks(build)
    assert after[0] == before[0]
    assert after[length - 1] > before[length - 1]


def test_finished_ancestors_keep_their_ranks() -> None:
    build = JobBuilder(chain(2))
    build.finish(0)
    before = build.task(0).rank
    build.job.add_part(1, part(task(1), first=2), build.estimates)
    assert build.task(0).rank == before


def test_functions_are_ranked_like_data() -> None:
    build = JobBuilder(part(data(), call(0), call(0, 1)))
    assert ranks(build) == [0.15, 0.1, 0.05]

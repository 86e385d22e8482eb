"""Outputs of a job: released when nobody needs them, computed again when they are lost (lineage)."""

from __future__ import annotations

import pytest

from swarm.scheduler.task_graph import give_up_outputs
from tests.unit.scheduler_builder import (
    ONE,
    TWO,
    JobBuilder,
    bag,
    chain,
    data,
    digest_for,
    part,
    task,
)

# Release


def test_outputs_are_released_when_the_last_consumer_is_done() -> None:
    build = JobBuilder(part(task(), task(0), task(0)))
    build.finish(0)
    build.finish(1)
    assert 0 not in build.job.released
    build.finish(2)
    assert build.job.released == [1, 0, 2] or build.job.released == [1, 2, 0]
    assert give_up_outputs(build.job.tasks[0]) == [ONE]
    build.check()
    outputs = build.task(0).outputs
    assert outputs is not None
    assert outputs[0].data is None
    assert not build.task(0).holders


def test_kept_outputs_stay_until_the_client_lets_them_go() -> None:
    build = JobBuilder(part(task(kept=True), task(0)))
    build.finish(0)
    build.finish(1)
    assert build.job.released == [1]
    build.job.unkeep(build.task(0))
    assert build.job.released == [1, 0]


def test_letting_go_before_the_end_releases_at_the_end() -> None:
    build = JobBuilder(bag(1))
    build.job.unkeep(build.task(0))
    assert build.job.released == []
    build.finish(0)
    assert build.job.released == [0]


def test_data_is_never_released_by_its_consumers() -> None:
    build = JobBuilder(part(data(), task(0)))
    build.finish(1)
    assert build.job.released == [1]


def test_what_is_wanted_again_is_not_given_up() -> None:
    build = JobBuilder(part(task(), task(0)))
    build.finish(0)
    build.finish(1)
    build.job.revive(build.task(0))
    build.check()
    assert give_up_outputs(build.job.tasks[0]) == []


# Lineage


def test_a_lost_output_is_computed_again_with_all_it_needs() -> None:
    build = JobBuilder(chain(3))
    for index in range(3):
        build.finish(index, is_large=True)
    for index in list(build.job.released):
        give_up_outputs(build.job.tasks[index])
    build.job.drop_holder(ONE)
    build.check()
    assert build.states() == ["ready", "waiting", "waiting"]
    for index in range(3):
        build.finish(index, node=TWO, attempt=2, is_large=True)
    assert build.job.is_complete()


def test_a_lost_output_that_nobody_needs_stays_lost() -> None:
    build = JobBuilder(part(task(), task(0, kept=True)))
    build.finish(0, is_large=True)
    build.finish(1)
    build.job.drop_holder(ONE)
    build.check()
    assert build.states() == ["done", "done"]


def test_small_outputs_cannot_be_lost() -> None:
    build = JobBuilder(chain(2))
    build.finish(0)
    build.job.drop_holder(ONE)
    assert build.states() == ["done", "ready"]


def test_a_second_holder_saves_an_output() -> None:
    build = JobBuilder(chain(2))
    build.finish(0, is_large=True)
    build.task(0).holders[TWO] = True
    build.job.drop_holder(ONE)
    assert build.states() == ["done", "ready"]


def test_a_loss_sends_ready_dependents_back_to_waiting() -> None:
    build = JobBuilder(part(task(), task(0), task(0)))
    build.finish(0, is_large=True)
    build.start(1)
    build.job.drop_holder(ONE)
    build.check()
    assert build.states() == ["ready", "running", "waiting"]


def test_a_running_dependent_of_a_lost_output_may_still_succeed() -> None:
    build = JobBuilder(chain(2))
    build.finish(0, is_large=True)
    build.start(1, TWO)
    build.job.drop_holder(ONE)
    build.accept(1, build.success(1, inputs_digest=digest_for("0"), node=TWO))
    build.check()
    assert build.states() == ["ready", "waiting"]
    build.finish(0, node=TWO, attempt=2, is_large=True)
    assert build.states() == ["done", "done"]


def test_data_of_the_client_is_not_computed_again() -> None:
    build = JobBuilder(part(data(is_brought=True), task(0)))
    build.task(0).holders[ONE] = True
    build.job.drop_holder(ONE)
    build.check()
    assert build.states() == ["done", "ready"]
    assert build.job.has_brought


def test_what_needs_a_task_that_failed_since_cannot_be_computed_again() -> None:
    build = JobBuilder(part(task(), task(0, kept=True), task(0), on_error="continue"))
    build.finish(0, is_large=True)
    build.finish(1, is_large=True)
    build.job.drop_holder(ONE)
    build.check()
    assert build.states() == ["ready", "waiting", "waiting"]
    build = JobBuilder(part(task(), task(0, kept=True), task(0), on_error="continue"))
    build.finish(0, is_large=True)
    build.finish(1, node=TWO, is_large=True)
    build.job.drop_holder(ONE)
    build.fail(0)
    assert build.states() == ["failed", "done", "failed"]
    build.job.drop_holder(TWO)
    build.check()
    assert build.states() == ["failed", "failed", "failed"]
    assert build.job.is_complete()


@pytest.mark.parametrize("end", ["cancel", "fail"])
def test_nothing_is_computed_again_for_a_job_that_is_over(end: str) -> None:
    build = JobBuilder(part(task(kept=True), task()))
    build.finish(0, is_large=True)
    if end == "cancel":
        build.job.cancel("cancelled")
    else:
        build.fail(1)
    build.job.drop_holder(ONE)
    build.check()
    assert build.states()[0] == "done"
    assert build.job.is_complete()

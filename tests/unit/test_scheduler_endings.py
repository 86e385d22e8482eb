"""Verdicts of complete jobs, and what is freed with them."""

from __future__ import annotations

import pytest

from swarm.core.effects import Message
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.dispatch import Dispatcher
from swarm.scheduler.endings import finish_job, ttl_of
from swarm.scheduler.job_facts import Holding
from swarm.scheduler.jobs import VERDICTS
from swarm.scheduler.records import JobRecords
from swarm.wire.messages import JOB_ENDED, RELEASE_OBJECTS
from tests.unit.scheduler_builder import JOB, ME, ONE, OTHER_JOB, TWO, JobBuilder, bag, call, data, part, task
from tests.unit.scheduler_env import facts_of


def finish(build: JobBuilder) -> list[object]:
    dispatcher = Dispatcher(SchedulerConfig())
    for node in (ME, ONE, TWO):
        dispatcher.update_worker(node, facts_of())
    records = JobRecords(SchedulerConfig(), ME)
    effects = finish_job(build.job, dispatcher, records, ME, [], 5.0)
    record = records.record(JOB)
    assert record is not None
    assert VERDICTS[record.ended - 1] == build.job.verdict
    return [*effects, *dispatcher.take_effects()]


def test_done() -> None:
    build = JobBuilder(bag(1))
    build.finish(0)
    build.job.records = {ONE: Holding({0: True}, 0, 0)}
    assert finish(build) == [Message(TWO, JOB_ENDED, [[JOB]])]
    assert (build.job.verdict, build.job.ended_at) == ("done", 5.0)


def test_failed() -> None:
    build = JobBuilder(bag(2))
    build.fail(0)
    finish(build)
    assert build.job.verdict == "failed"


def test_a_session_with_failures_is_done() -> None:
    build = JobBuilder(bag(1, session=True))
    build.fail(0)
    finish(build)
    assert build.job.verdict == "done"


@pytest.mark.parametrize("done", [0, 1, 2])
def test_cancelled(done: int) -> None:
    build = JobBuilder(bag(2, session=True), total=0)
    for index in range(done):
        build.finish(index)
    build.job.cancel("cancelled")
    finish(build)
    assert build.job.verdict == "cancelled"


def test_what_was_complete_before_it_was_cancelled_is_done() -> None:
    build = JobBuilder(bag(1))
    build.finish(0)
    build.job.cancel("cancelled")
    finish(build)
    assert build.job.verdict == "done"


def test_a_job_ends_when_complete_and_once() -> None:
    build = JobBuilder(bag(1))
    with pytest.raises(AssertionError, match="when all its tasks are final"):
        finish(build)
    build.finish(0)
    finish(build)
    with pytest.raises(AssertionError, match="ends once"):
        finish(build)


def test_the_bytes_of_the_client_stay_with_the_record_only() -> None:
    build = JobBuilder(part(data("small"), data("large", is_brought=True), call(0), task(1)))
    for index in (2, 3):
        build.finish(index)
    build.task(0).holders = {ONE: True, TWO: True}
    build.task(1).holders = {ONE: True, TWO: True}
    build.job.records = {ONE: Holding({0: True}, 0, 0)}
    effects = finish(build)
    released = [
        effect for effect in effects if isinstance(effect, Message) and effect.kind == RELEASE_OBJECTS
    ]
    assert released == [
        Message(ONE, RELEASE_OBJECTS, [[[JOB, 0, 0]]]),
        Message(TWO, RELEASE_OBJECTS, [[[JOB, 0, 0], [JOB, 1, 0]]]),
    ]
    assert list(build.task(1).holders) == [ONE]


def test_results_in_memory_shorten_the_stay_of_ended_jobs() -> None:
    config = SchedulerConfig(ended_bytes_max=5)
    build, other = JobBuilder(bag(1)), JobBuilder(part(task(kept=True), session=True))
    build.finish(0)
    finish(build)
    assert build.job.kept_bytes == len("0:0")
    jobs = {JOB: build.job, OTHER_JOB: other.job}
    assert ttl_of(build.job, jobs, config) == config.results_ttl_s
    other.finish(0)
    finish(other)
    assert other.job.kept_bytes == 3
    assert ttl_of(build.job, jobs, config) == config.session_ttl_s
    assert ttl_of(other.job, {}, config) == config.session_ttl_s, "its client is gone"

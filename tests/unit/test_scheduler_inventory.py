"""What nodes report to a new leader is adopted, or cancelled, or waits for its tasks (`pending`)."""

from __future__ import annotations

import pytest

from swarm.core.errors import DecodeError
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.dispatch import Dispatcher
from swarm.scheduler.inventory import Found, adopt_found
from swarm.scheduler.pending import Pending
from tests.unit.scheduler_builder import JOB, ONE, OTHER_JOB, TWO, JobBuilder, bag, chain, failed
from tests.unit.scheduler_env import facts_of


def attempt(index: int, number: int = 1, node: bytes = ONE) -> Found:
    return Found(node, JOB, index, number, 0, b"")


def copy(index: int, digest: bytes, node: bytes = ONE, output: int = 0) -> Found:
    return Found(node, JOB, index, 0, output, digest)


def adopt(
    build: JobBuilder, *found: Found, facts: bool = False, is_doubted: bool = False
) -> tuple[list[Found], Dispatcher]:
    dispatcher = Dispatcher(SchedulerConfig())
    for node in (ONE, TWO):
        dispatcher.update_worker(node, facts_of())
    known = {(0, 1, ONE): failed(0)} if facts else {}
    left = adopt_found(build.job, list(found), known, dispatcher, is_doubted)
    build.check()
    return left, dispatcher


def test_an_attempt_is_adopted() -> None:
    build = JobBuilder(bag(1))
    left, dispatcher = adopt(build, attempt(0, 3))
    assert left == []
    assert build.task(0).running == {3: ONE}
    assert list(dispatcher.workers[ONE].given) == [(JOB, 0, 3)]
    assert dispatcher.workers[ONE].loose


def test_an_attempt_before_its_inputs_is_adopted_as_ahead() -> None:
    build = JobBuilder(chain(2))
    _, dispatcher = adopt(build, attempt(1))
    assert build.task(1).ahead
    assert not dispatcher.workers[ONE].loose


def test_an_attempt_of_a_final_or_running_task_is_cancelled() -> None:
    build = JobBuilder(bag(2))
    build.finish(0)
    build.start(1, TWO)
    _, dispatcher = adopt(build, attempt(0), attempt(1, 2))
    assert len(dispatcher.take_effects()) == 1
    assert not dispatcher.workers[ONE].given


def test_an_attempt_of_a_task_whose_result_may_be_lost_waits() -> None:
    build = JobBuilder(bag(2))
    build.finish(0, is_large=True)
    left, dispatcher = adopt(build, attempt(0, 2), attempt(1), is_doubted=True)
    assert left == [attempt(0, 2)]
    assert not dispatcher.has_effects()
    assert build.task(1).running == {1: ONE}


@pytest.mark.parametrize("has_reported", [False, True])
def test_what_was_cancelled_while_the_report_was_on_its_way_is_not_adopted(has_reported: bool) -> None:
    """The report was made before the cancel came, and nothing is heard of the attempt any more."""
    build = JobBuilder(bag(1))
    dispatcher = Dispatcher(SchedulerConfig())
    worker = dispatcher.update_worker(ONE, facts_of())
    worker.has_reported = has_reported
    dispatcher.cancel(build.job, 0, 1, ONE)
    adopt_found(build.job, [attempt(0)], {}, dispatcher, False)
    build.check()
    assert build.states() == ["running" if has_reported else "ready"]
    assert build.task(0).attempts == 1, "its number is taken"
    worker.has_reported = True
    worker.lose_stream(0.0)
    assert worker.cancelled == {}


def test_an_attempt_that_ended_is_not_adopted() -> None:
    build = JobBuilder(bag(1))
    left, _ = adopt(build, attempt(0), facts=True)
    assert left == []
    assert build.states() == ["ready"]


def test_rows_of_nodes_that_are_gone_are_dropped() -> None:
    build = JobBuilder(bag(1))
    build.finish(0, is_large=True)
    left, _ = adopt(build, copy(0, b"x", b"z" * 16), attempt(0, 1, b"z" * 16))
    assert left == []
    assert list(build.task(0).holders) == [ONE]


def test_copies_make_holders_when_the_digest_is_right() -> None:
    build = JobBuilder(bag(1))
    build.finish(0, is_large=True)
    outputs = build.task(0).outputs
    assert outputs is not None
    digest = outputs[0].digest
    left, _ = adopt(build, copy(0, digest, TWO), copy(0, b"x" * 16, b"x" * 16), copy(0, digest, TWO, 5))
    assert left == []
    assert list(build.task(0).holders) == [ONE, TWO]


def test_what_is_about_later_tasks_or_results_waits() -> None:
    build = JobBuilder(bag(1))
    rows = [attempt(5), copy(5, b"d" * 16), copy(0, b"d" * 16)]
    left, _ = adopt(build, *rows)
    assert left == rows


def test_copies_of_failed_tasks_are_forgotten() -> None:
    build = JobBuilder(bag(1))
    build.fail(0)
    assert adopt(build, copy(0, b"d" * 16))[0] == []


@pytest.mark.parametrize("row", [None, [], [JOB, 1], [b"short", 1, 1], [JOB, -1, 1], [JOB, "x", 1]])
def test_malformed_rows_are_refused(row: object) -> None:
    with pytest.raises(DecodeError):
        Found.running_untrusted(ONE, row)
    with pytest.raises(DecodeError):
        Found.copy_untrusted(ONE, row)


# Waiting


def test_successes_come_before_failures() -> None:
    pending = Pending()
    build = JobBuilder(bag(2))
    for completion in (failed(0), build.success(1), failed(1), build.success(0)):
        pending.hold(JOB, completion)
    assert [(one.task, one.failure is None) for one in pending.take_held(JOB)] == [
        (1, True),
        (0, True),
        (0, False),
        (1, False),
    ]
    assert not pending.has(JOB)


def test_what_waits_is_kept_by_job_and_dropped_by_node() -> None:
    pending = Pending()
    pending.note(attempt(0))
    pending.note(attempt(1, 1, TWO))
    pending.hold(OTHER_JOB, failed(0))
    assert pending.jobs() == [OTHER_JOB, JOB]
    pending.drop_node(ONE)
    assert pending.take_found(JOB) == [attempt(1, 1, TWO)]
    pending.drop_job(OTHER_JOB)
    assert pending.jobs() == []


def test_outputs_of_a_success_count_as_copies() -> None:
    pending = Pending()
    build = JobBuilder(bag(1))
    success = build.success(0, is_large=True)
    pending.note_outputs(JOB, success)
    pending.note_outputs(JOB, failed(0))
    assert success.outputs is not None
    assert pending.take_found(JOB) == [copy(0, success.outputs[0].digest)]


def test_what_is_found_and_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from swarm.scheduler import pending as module

    pending = Pending()
    pending._found_count = module.FOUND_MAX
    pending.note(attempt(0))
    assert pending.jobs() == []
    assert pending.dropped == 1


def test_no_completion_is_left_out_however_many_wait() -> None:
    pending, completion, count = Pending(), failed(0), 1_000_001
    for _ in range(count):
        pending.hold(JOB, completion)
    assert len(pending.take_held(JOB)) == count

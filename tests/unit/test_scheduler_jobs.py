"""A job: states computed from parts and completions, lineage, release, cancel. Promise P3: inputs decide."""

from __future__ import annotations

import pytest

from swarm.scheduler.jobs import VERDICT_DONE
from swarm.scheduler.task_graph import give_up_outputs
from swarm.scheduler.task_states import OTHERS_MAX
from swarm.wire.facts import Completion, digest_of
from swarm.wire.job_part import TaskOptions
from swarm.wire.messages import ERROR_DEPENDENCY
from tests.unit.scheduler_builder import (
    LARGE,
    ONE,
    TWO,
    JobBuilder,
    bag,
    call,
    chain,
    data,
    digest_for,
    output_of,
    part,
    task,
)

# Parts


def test_tasks_without_inputs_are_ready_at_once() -> None:
    build = JobBuilder(part(task(), task(0), task(0, 1)))
    assert build.states() == ["ready", "waiting", "waiting"]
    assert build.ready() == [0]


def test_data_is_done_and_is_no_task_for_people() -> None:
    build = JobBuilder(part(data(), call(0, 0, kept=True)))
    assert build.states() == ["done", "ready"]
    assert build.job.counts() == [1, 0, 0, 0]


def test_a_task_that_uses_one_producer_twice_waits_for_it_once() -> None:
    build = JobBuilder(part(task(outputs=2), task(0, 0)))
    assert build.task(1).waiting_count == 1
    build.finish(0)
    assert build.ready() == [1]


def test_parts_join_in_their_order() -> None:
    build = JobBuilder(part(task()), total=3)
    build.job.add_part(2, part(task(1), first=2), build.estimates)
    assert len(build.job.tasks) == 1
    build.job.add_part(1, part(task(0), first=1), build.estimates)
    build.check()
    assert [one.spec.inputs for one in build.job.tasks] == [[], [0, 0], [1, 0]]
    assert not build.job.parts_waiting


def test_a_part_twice_is_taken_once() -> None:
    build = JobBuilder(part(task()), total=2)
    build.job.add_part(0, part(task(), task()), build.estimates)
    build.job.add_part(1, part(task(0), first=1), build.estimates)
    assert len(build.job.tasks) == 2


def test_a_part_that_starts_elsewhere_cancels_the_job() -> None:
    build = JobBuilder(part(task()), part(task(), first=5))
    assert build.states() == ["cancelled"]
    assert build.job.reason == "part 1 starts at task 5, not 1"
    assert build.job.is_complete()


def test_an_input_that_an_earlier_part_does_not_make_cancels_the_job() -> None:
    wrong = task(0)
    wrong.inputs[1] = 7
    build = JobBuilder(part(task()), part(wrong, first=1))
    assert build.job.is_cancelled
    assert "task 1 needs output 7 of task 0" in build.job.reason


def test_meta_of_strange_types_is_ignored() -> None:
    nested: list[object] = []
    for _ in range(2000):
        nested = [nested]
    build = JobBuilder(part(task(), name=nested, submitter=nested, priority="x", on_error=3, session="yes"))
    assert (build.job.name, build.job.submitter, build.job.priority) == ("", "", 0)
    assert not build.job.is_session
    assert not build.job.fails_whole


def test_meta_is_that_of_the_first_part() -> None:
    build = JobBuilder(
        part(task(), name="first", priority=3), part(task(), first=1, name="second", priority=9)
    )
    assert (build.job.name, build.job.priority, build.job.fails_whole) == ("first", 3, True)
    assert JobBuilder(part(task(), session=True)).job.fails_whole is False
    assert JobBuilder(part(task(), session=True, on_error="fail")).job.fails_whole is True


def test_a_late_part_may_use_what_is_done_or_released() -> None:
    build = JobBuilder(part(task(), task(0)), total=2)
    build.finish(0)
    build.finish(1)
    assert build.job.released == [0, 1]
    give_up_outputs(build.job.tasks[0])
    build.job.add_part(1, part(task(0), task(1), first=2), build.estimates)
    build.check()
    # What nobody holds any more is computed again; what is still there too, its release was decided.
    assert build.states() == ["ready", "waiting", "waiting", "waiting"]


def test_two_late_tasks_may_use_the_same_released_output() -> None:
    build = JobBuilder(part(task()), total=2)
    build.finish(0)
    give_up_outputs(build.job.tasks[0])
    build.job.add_part(1, part(task(0), task(0), first=1), build.estimates)
    build.check()
    build.finish(0, attempt=2)
    assert build.states() == ["done", "ready", "ready"]


# Order


def test_the_longest_path_goes_first() -> None:
    build = JobBuilder(part(task(), task(), task(1), task(2)))
    assert build.ready() == [1, 0]


def test_equal_ranks_go_in_order_of_submission() -> None:
    assert JobBuilder(bag(5)).ready() == [0, 1, 2, 3, 4]


def test_tasks_of_other_options_wait_in_heaps_of_their_own() -> None:
    wide = TaskOptions(cpus=2.0)
    build = JobBuilder(part(task(), task(options=wide), task(options=TaskOptions(cpus=2.0)), task()))
    assert len(build.job.classes) == 2
    first, second = build.job.pop_ready(0), build.job.pop_ready(1)
    assert first is not None
    assert first.index == 0
    assert second is not None
    assert second.index == 1


def test_stale_entries_of_the_heap_are_skipped() -> None:
    build = JobBuilder(bag(3))
    build.start(0)
    build.finish(1)
    found = build.job.pop_ready(0)
    assert found is not None
    assert found.index == 2
    assert build.job.pop_ready(0) is None


# Running


def test_attempts_are_numbered_and_counted() -> None:
    build = JobBuilder(bag(1))
    assert build.start(0) == 1
    build.job.give_back(build.task(0), 1)
    build.check()
    assert build.states() == ["ready"]
    assert build.start(0, TWO) == 2
    assert build.job.attempts == 2
    assert build.job.counts() == [1, 0, 0, 1]


def test_an_attempt_is_over_only_for_the_node_that_had_it() -> None:
    build = JobBuilder(bag(1))
    build.start(0, ONE)
    build.job.stop(build.task(0), 1, TWO)
    assert build.task(0).running == {1: ONE}


def test_adopted_attempts_raise_the_next_number() -> None:
    build = JobBuilder(bag(1))
    build.job.adopt(build.task(0), 7, ONE, False)
    build.check()
    build.job.give_back(build.task(0), 7)
    assert build.start(0) == 8


def test_cores_in_use_return_to_zero() -> None:
    build = JobBuilder(bag(3, options=TaskOptions(cpus=0.5)))
    for index in range(3):
        build.start(index)
    assert build.job.cpus_running == 1.5
    for index in range(3):
        build.finish(index)
    assert build.job.cpus_running == 0


# Success and P3


def test_success_makes_dependents_ready_and_is_news() -> None:
    build = JobBuilder(part(task(kept=True), task(0, kept=True)))
    build.start(0)
    assert build.finish(0)
    assert build.states() == ["done", "ready"]
    assert [completion.task for completion in build.job.updates] == [0]
    assert build.job.won == [0]
    assert build.task(0).holders == {ONE: True}


def test_results_that_nobody_keeps_are_no_news_for_watchers() -> None:
    build = JobBuilder(chain(2))
    build.finish(0)
    assert build.job.updates == []


def test_a_success_of_other_inputs_does_not_count() -> None:
    build = JobBuilder(chain(2))
    build.finish(0, "right")
    build.start(1)
    wrong = build.success(1, inputs_digest=digest_for("wrong"))
    assert not build.accept(1, wrong)
    build.check()
    assert build.states() == ["done", "ready"]


def test_an_early_success_counts_once_its_inputs_have_winners() -> None:
    build = JobBuilder(chain(2))
    early = build.success(1, inputs_digest=digest_for("0"))
    assert not build.accept(1, early)
    build.check()
    build.finish(0)
    assert build.states() == ["done", "done"]
    assert build.job.won == [0, 1]


def test_an_early_success_of_other_inputs_is_forgotten() -> None:
    build = JobBuilder(chain(2))
    build.accept(1, build.success(1, inputs_digest=digest_for("other")))
    build.finish(0)
    assert build.states() == ["done", "ready"]
    assert build.job.early == {}


def test_an_early_success_counts_although_a_new_attempt_runs() -> None:
    build = JobBuilder(chain(2))
    build.start(0)
    build.accept(1, build.success(1, inputs_digest=digest_for("0"), node=TWO))
    build.start(1, is_ahead=True)
    build.finish(0)
    assert build.states() == ["done", "done"]
    assert build.job.stopped == [(1, 1, ONE)]


def test_a_long_chain_told_backwards_needs_no_deep_stack() -> None:
    length = 3000
    build = JobBuilder(chain(length))
    for index in range(length - 1, 0, -1):
        build.accept(index, build.success(index, inputs_digest=digest_for(str(index - 1))))
    build.finish(0)
    assert build.states() == ["done"] * length
    assert build.job.is_complete()


def test_a_second_success_adds_a_holder() -> None:
    build = JobBuilder(bag(1))
    build.finish(0, is_large=True)
    assert build.finish(0, attempt=2, node=TWO, is_large=True)
    assert build.task(0).holders == {ONE: True, TWO: True}
    assert build.job.duplicates == 1


def test_a_second_success_with_other_bytes_marks_the_task() -> None:
    build = JobBuilder(bag(1))
    build.finish(0, "one")
    assert not build.finish(0, "two", attempt=2, node=TWO)
    assert build.task(0).is_unsure
    assert build.task(0).holders == {ONE: True}


def test_a_task_that_is_made_anew_otherwise_is_marked_and_the_lost_digest_kept() -> None:
    build = JobBuilder(bag(1))
    build.finish(0, "first", is_large=True)
    build.job.drop_holder(ONE)
    build.finish(0, "second", attempt=2, is_large=True)
    assert build.task(0).is_unsure
    assert build.task(0).others == [(ONE, 1, [digest_of(b"first:0")])]
    assert build.job.unsure == 1


def test_a_task_that_is_made_anew_alike_is_not_marked() -> None:
    build = JobBuilder(bag(1))
    build.finish(0, "same", is_large=True)
    build.job.drop_holder(ONE)
    build.finish(0, "same", attempt=2, is_large=True)
    assert not build.task(0).is_unsure


def test_of_many_other_results_the_first_few_are_kept() -> None:
    build = JobBuilder(bag(1))
    build.finish(0)
    for number in range(OTHERS_MAX + 5):
        build.accept(0, build.success(0, f"other{number}", attempt=2 + number))
    others = build.task(0).others
    assert others is not None
    assert len(others) == OTHERS_MAX


def test_a_success_with_too_few_outputs_is_none() -> None:
    build = JobBuilder(part(task(outputs=2, kept=True)))
    build.start(0)
    assert not build.accept(0, build.success(0, output_count=1))
    build.check()
    assert build.states() == ["ready"]


def test_the_first_of_two_attempts_wins_and_the_other_is_stopped() -> None:
    build = JobBuilder(bag(1))
    build.start(0, ONE)
    build.job.adopt(build.task(0), 2, TWO, False)
    build.finish(0, attempt=2, node=TWO)
    assert build.job.stopped == [(0, 1, ONE)]


def test_a_success_of_a_task_that_was_given_back_counts() -> None:
    build = JobBuilder(bag(1))
    build.start(0)
    build.job.give_back(build.task(0), 1)
    assert build.finish(0)
    assert build.job.ready_count == 0


def test_a_success_after_the_end_changes_nothing() -> None:
    build = JobBuilder(bag(1))
    build.job.cancel("cancelled")
    assert not build.accept(0, build.success(0))
    assert build.states() == ["cancelled"]


# Failure


def test_a_failed_task_fails_the_whole_job() -> None:
    build = JobBuilder(part(task(name="bad"), task(0), task(), task(2)))
    build.finish(2)
    build.start(3)
    build.fail(0, "no such file")
    assert build.states() == ["failed", "cancelled", "done", "cancelled"]
    assert build.job.reason == "task bad failed: no such file"
    assert build.job.stopped == [(3, 1, ONE)]
    assert build.job.is_complete()


def test_a_session_goes_on_and_only_what_needs_the_failed_task_fails() -> None:
    build = JobBuilder(part(task(name="bad"), task(0, name="next"), task(1), task(), session=True))
    build.fail(0)
    assert build.states() == ["failed", "failed", "failed", "ready"]
    failure = build.task(2).failure
    assert failure is not None
    assert failure.kind == ERROR_DEPENDENCY
    assert failure.message == "not run: it needs bad, which failed or was cancelled"
    assert [completion.task for completion in build.job.updates] == [0, 1, 2]


def test_a_late_task_that_needs_a_failed_one_fails_at_once() -> None:
    build = JobBuilder(part(task(name="bad"), session=True))
    build.fail(0)
    build.job.add_part(1, part(task(0), task(), first=1), build.estimates)
    build.check()
    assert build.states() == ["failed", "failed", "ready"]


def test_a_late_part_of_a_failed_job_is_cancelled() -> None:
    build = JobBuilder(part(task(), task(0)))
    build.fail(0)
    build.job.add_part(1, part(task(), task(0), task(1), first=2), build.estimates)
    build.check()
    assert build.states()[2:] == ["cancelled", "cancelled", "cancelled"]
    assert build.job.is_complete()


def test_a_late_part_of_an_ended_job_is_cancelled() -> None:
    build = JobBuilder(bag(1))
    build.finish(0)
    build.job.verdict = VERDICT_DONE
    build.job.add_part(1, part(data(), task(0), first=1), build.estimates)
    build.check()
    assert build.states() == ["done", "cancelled", "cancelled"]


def test_failing_twice_is_failing_once() -> None:
    build = JobBuilder(bag(2, on_error="continue"))
    build.fail(0)
    build.fail(0, "again")
    assert build.job.counts() == [2, 0, 1, 0]


# Cancel


def test_cancel_ends_everything_that_has_not_ended() -> None:
    build = JobBuilder(chain(3))
    build.finish(0)
    build.start(1)
    build.job.cancel("cancelled")
    build.check()
    assert build.states() == ["done", "cancelled", "cancelled"]
    assert build.job.stopped == [(1, 1, ONE)]
    assert build.job.ready_count == 0
    assert build.job.is_complete()


def test_the_first_reason_stays() -> None:
    build = JobBuilder(bag(1))
    build.job.cancel("first")
    build.job.cancel("second")
    assert build.job.reason == "first"


def test_a_job_without_parts_can_be_cancelled() -> None:
    build = JobBuilder()
    assert not build.job.is_complete()
    build.job.cancel("cancelled")
    assert build.job.is_complete()


# Completeness


@pytest.mark.parametrize(("total", "is_complete"), [(0, False), (1, True), (2, False)])
def test_a_job_is_complete_when_closed_and_all_parts_are_done(total: int, is_complete: bool) -> None:
    build = JobBuilder(bag(1), total=total)
    assert not build.job.is_complete()
    build.finish(0)
    assert build.job.is_complete() == is_complete


def test_an_empty_job_is_complete() -> None:
    assert JobBuilder(part()).job.is_complete()


def test_what_people_are_told() -> None:
    build = JobBuilder(bag(1))
    build.job.stall = "waiting: no node fits"
    assert build.job.told_reason() == "waiting: no node fits"
    build.job.reason = "cancelled"
    assert build.job.told_reason() == "cancelled"
    build.job.reason, build.job.verdict = "", VERDICT_DONE
    assert build.job.told_reason() == ""


def test_builders_tell_what_is_large() -> None:
    assert output_of("x", True).size == LARGE
    assert isinstance(JobBuilder(bag(1)).success(0), Completion)

"""The leader's scheduler: collecting, retries, lost nodes and links, sessions, expiry (K1 to K3)."""

from __future__ import annotations

import pytest

from swarm.core.ids import short
from swarm.scheduler.config import SchedulerConfig
from swarm.wire.facts import Completion
from swarm.wire.job_part import TaskOptions
from swarm.wire.messages import (
    ANSWER,
    ASK,
    COMPLETIONS,
    ERROR_EXECUTOR_DIED,
    FACTS,
    INTENT_CANCEL,
    INTENT_CLOSE,
    INTENT_END,
    INVENTORY,
    JOB_ENDED,
    JOB_FORGET,
    JOB_INTENT,
    JOB_RELEASE,
    RECORD_GIVE,
    RECORD_OFFER,
    RECORD_WANT,
    REPORT_WANTED,
    WATCH,
)
from tests.unit.scheduler_builder import (
    JOB,
    ME,
    ONE,
    OTHER_JOB,
    TWO,
    bag,
    chain,
    data,
    failure_of,
    output_of,
    part,
    task,
)
from tests.unit.scheduler_env import CONFIG, NODES, SchedulerEnv


def died() -> object:
    return failure_of("killed by signal 9", ERROR_EXECUTOR_DIED)


# A job from start to end


def test_a_job_runs_to_its_end() -> None:
    env = SchedulerEnv()
    env.watch(ME)
    env.submit(chain(2))
    (first,) = env.take_given(1)
    env.done(first)
    (second,) = env.take_given(1)
    assert second.order.inputs[0].digest == output_of("0:0").digest
    env.done(second)
    assert env.job().verdict == "done"
    assert env.take_updates(ME)[-1].state == "done"
    assert env.take_released(ME) == [(0, 0)]
    env.check_empty()


def test_the_keepers_of_a_record_get_the_facts_soon() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, False, 0]]])
    given = env.take_given(2)
    env.done(given[0])
    assert env.take(FACTS) == []
    env.wait(0.1)
    assert len(env.take(FACTS, ONE)) == 1
    env.done(given[1])
    assert len(env.take(FACTS, ONE)) == 1, "at the end at once"
    env.take(JOB_INTENT)
    env.check_empty()


def test_nodes_without_the_record_forget_the_completions_at_the_end() -> None:
    env = SchedulerEnv(3)
    env.submit(bag(1))
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, False, 0]]])
    env.done(*env.take_given(1))
    assert env.take(JOB_ENDED, TWO) == [[[JOB]]]
    assert env.take(JOB_ENDED, ONE) == []
    env.take(FACTS)
    env.take(JOB_INTENT)
    env.check_empty()


# Retries


def test_an_error_without_retries_fails_the_job() -> None:
    env = SchedulerEnv()
    env.watch(ME)
    env.submit(bag(1, name="bad"))
    env.fail(env.take_given(1)[0])
    updates = env.take_updates(ME)
    assert (updates[-1].state, updates[-1].counts) == ("failed", [1, 0, 1, 0])
    assert [index for update in updates for index in update.tasks] == [0]
    assert updates[-1].reason == "task bad failed: it broke"
    env.check_empty()


def test_retries_pause_twice_as_long_each_time() -> None:
    env = SchedulerEnv()
    env.submit(bag(1, options=TaskOptions(retries=3)))
    for attempt, pause in ((1, 0.1), (2, 0.2), (3, 0.4)):
        (given,) = env.take_given(1)
        assert given.order.attempt == attempt
        env.fail(given)
        env.wait(pause - 0.01)
        env.take_given(0)
        env.wait(0.01)
    env.fail(env.take_given(1)[0])
    assert env.job().verdict == "failed"
    assert env.job().attempts == 4
    env.check_empty()


def test_the_pause_has_a_bound() -> None:
    env = SchedulerEnv()
    env.submit(bag(1, options=TaskOptions(retries=100)))
    for _ in range(20):
        env.fail(env.take_given(1)[0])
        env.wait(10.0)
    env.take_given(1)


def test_other_tasks_run_during_the_pause() -> None:
    env = SchedulerEnv()
    env.submit(part(task(options=TaskOptions(retries=1), name="flaky"), task(name="solid")))
    flaky, solid = env.take_given(2)
    env.fail(flaky)
    env.done(solid)
    env.take_released(ME)
    env.wait(0.1)
    env.done(*env.take_given(1))
    assert env.job().verdict == "done"


def test_a_task_that_kills_its_executors_is_given_up() -> None:
    env = SchedulerEnv()
    env.submit(bag(1, options=TaskOptions(retries=50)))
    for _ in range(3):
        (given,) = env.take_given(1)
        env.fail(given, failure_of("killed by signal 9", ERROR_EXECUTOR_DIED))
    assert env.job().verdict == "failed"
    failure = env.task(0).failure
    assert failure is not None
    assert failure.kind == ERROR_EXECUTOR_DIED


def test_deaths_and_errors_are_counted_apart() -> None:
    env = SchedulerEnv()
    env.submit(bag(1, options=TaskOptions(retries=1)))
    env.fail(env.take_given(1)[0], failure_of("died", ERROR_EXECUTOR_DIED))
    env.fail(env.take_given(1)[0])
    env.wait(0.1)
    env.fail(env.take_given(1)[0], failure_of("died", ERROR_EXECUTOR_DIED))
    env.done(*env.take_given(1))
    assert env.job().verdict == "done"


def test_a_failure_told_twice_counts_once() -> None:
    env = SchedulerEnv()
    env.submit(bag(1, options=TaskOptions(retries=1)))
    (given,) = env.take_given(1)
    env.fail(given)
    env.fail(given)
    assert env.core.counts["duplicates"] == 1
    assert env.task(0).failures == 1


def test_a_late_failure_of_an_older_attempt_does_not_stop_the_new_one() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1, options=TaskOptions(retries=5)))
    (old,) = env.take_given(1)
    env.lose(old.node)
    env.take_given(1)
    env.fail(old)
    assert env.states() == ["running"]


def test_a_task_of_a_session_fails_alone() -> None:
    env = SchedulerEnv()
    env.watch(ME)
    env.submit(bag(2, session=True), total=0)
    bad, good = env.take_given(2)
    env.fail(bad)
    env.done(good)
    assert env.states() == ["failed", "done"]
    assert env.job().verdict == ""
    env.records.intend(JOB, INTENT_CLOSE, 1, env.now)
    env.pump()
    assert env.job().verdict == "done"


# Nodes come and go


def test_what_a_lost_node_was_given_goes_to_others() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    given = {one.node: one for one in env.take_given(2)}
    env.lose(ONE)
    (again,) = env.take_given(1)
    assert (again.node, again.order.task, again.order.attempt) == (ME, given[ONE].order.task, 2)
    env.check_empty()


def test_what_a_lost_node_alone_had_is_computed_again() -> None:
    env = SchedulerEnv(2)
    env.submit(part(task(), task(), task(0, 1, kept=True)))
    first, second = env.take_given(2)
    assert {first.node, second.node} == {ME, ONE}
    env.done(first, is_large=True)
    env.done(second, is_large=True)
    (third,) = env.take_given(1)
    env.lose(ONE if third.node == ME else ME)
    assert sorted(env.states()) == ["done", "ready", "running"] or "running" in env.states()
    redone = env.take_given(1)
    assert redone[0].order.attempt == 2


def test_an_ended_job_runs_nothing_again() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    (given,) = env.take_given(1)
    env.done(given, is_large=True)
    env.take(JOB_ENDED)
    assert env.job().verdict == "done"
    env.lose(given.node)
    env.take_given(0)
    env.ask("locate", node=ME, job=JOB, task=0)
    ((_, ok, _),) = env.take(ANSWER)
    assert not ok
    env.check_empty()


def test_a_job_that_ended_under_an_earlier_leader_stays_ended() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    given = env.take_given(2)
    env.done(*given, is_large=True)
    assert env.job().verdict == "done"
    new_leader(env)
    env.report(ME)
    env.report(ONE)
    env.take_given(0)
    assert env.job().verdict == "done"
    env.wait(3601.0)
    assert JOB not in env.core.jobs


def test_the_keepers_learn_how_a_job_ended() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, False, 0]]])
    env.fail(env.take_given(1)[0])
    assert env.take(JOB_INTENT, ONE) == [[JOB, INTENT_END, 2]]


def test_a_node_that_was_started_anew_has_lost_everything() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    given = env.take_given(2)
    env.join(ONE, boot=2)
    (again,) = env.take_given(1)
    assert again.order.attempt == 2
    assert again.order.task == next(one.order.task for one in given if one.node == ONE)


def test_changed_facts_are_taken_without_a_report() -> None:
    env = SchedulerEnv()
    env.join(ME, cores=4.0)
    env.submit(bag(4))
    env.take_given(4)
    env.check_empty()


def test_a_draining_node_gets_nothing() -> None:
    env = SchedulerEnv(2)
    env.join(ONE, draining=True)
    env.submit(bag(4))
    assert {given.node for given in env.take_given(2)} == {ME}


def test_no_orders_before_the_report() -> None:
    env = SchedulerEnv()
    env.join(ONE, is_reporting=False)
    env.submit(bag(4))
    assert {given.node for given in env.take_given(2)} == {ME}
    env.report(ONE)
    assert {given.node for given in env.take_given(2)} == {ONE}


def test_a_silent_node_is_asked_again() -> None:
    env = SchedulerEnv()
    env.join(ONE, is_reporting=False)
    first = env.take(REPORT_WANTED, ONE)
    env.wait(1.0)
    second = env.take(REPORT_WANTED, ONE)
    assert len(first) == len(second) == 1
    assert first != second
    env.receive(ONE, INVENTORY, [*first[0], [], []])
    assert env.core.counts["late"] == 1, "the answer to an older question"
    env.receive(ONE, INVENTORY, [*second[0], [], []])
    assert env.core.dispatcher.workers[ONE].has_reported


# Links


def test_after_a_broken_link_orders_that_did_not_arrive_are_given_again() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(4))
    given = [one for one in env.take_given(4) if one.node == ONE]
    env.core.on_link_lost(ONE, env.now)
    env.wait(0.1)
    arrived = given[0].order
    env.report(ONE, running=[(JOB, arrived.task, arrived.attempt)])
    again = env.take_given(1)
    assert again[0].order.task == given[1].order.task
    assert again[0].order.attempt == 2
    assert env.task(arrived.task).running == {1: ONE}


def test_a_broken_link_forgets_an_open_retraction() -> None:
    env = SchedulerEnv(2)
    worker = env.core.dispatcher.workers[ONE]
    worker.retract_open = True
    env.core.on_link_lost(ONE, env.now)
    env.wait(0.1)
    env.report(ONE)
    assert not worker.retract_open


def test_a_node_that_only_the_leader_cannot_reach_loses_its_work_after_a_while() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    given = next(one for one in env.take_given(2) if one.node == ONE)
    env.core.on_link_lost(ONE, env.now)
    env.wait(2.0)
    assert env.task(given.order.task).running == {1: ONE}
    env.wait(2.0)
    (again,) = env.take_given(1)
    assert (again.node, again.order.task, again.order.attempt) == (ME, given.order.task, 2)
    env.outbox = env.outbox[-1:]
    env.report(ONE, running=[(JOB, given.order.task, 1)])
    assert env.take_cancelled(ONE) == [(given.order.task, 1)]


def test_a_link_to_itself_or_to_strangers_does_not_matter() -> None:
    env = SchedulerEnv()
    env.core.on_link_lost(ME, env.now)
    env.core.on_link_lost(TWO, env.now)
    env.wait(1.0)
    env.check_empty()
    assert env.core.dispatcher.workers[ME].has_reported


# A new leader


def test_a_new_leader_collects_before_it_orders() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    env.take_given(2)
    env.lead()
    env.join(ME, is_reporting=False)
    env.join(ONE, is_reporting=False)
    env.report(ME)
    env.take_given(0)
    env.report(ONE)
    env.take_given(2)
    assert not env.core.is_collecting


def test_a_new_leader_waits_for_the_silent_only_for_a_while() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    env.take_given(1)
    env.lead()
    env.join(ME, is_reporting=False)
    env.join(ONE, is_reporting=False)
    env.report(ME)
    env.wait(1.0)
    assert env.take_given(1)[0].node == ME


def test_the_death_of_the_last_silent_node_ends_the_collection() -> None:
    env = SchedulerEnv(2)
    env.lead()
    env.join(ME, is_reporting=False)
    env.join(ONE, is_reporting=False)
    env.report(ME)
    assert env.core.is_collecting
    env.lose(ONE)
    assert not env.core.is_collecting


def new_leader(env: SchedulerEnv) -> None:
    env.take(REPORT_WANTED)
    env.lead()
    env.join(ME, is_reporting=False)
    env.join(ONE, is_reporting=False)


def test_attempts_under_way_are_adopted() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    first, second = env.take_given(2)
    new_leader(env)
    env.report(ME, running=[(JOB, one.order.task, 1) for one in (first, second) if one.node == ME])
    env.report(ONE, running=[(JOB, one.order.task, 1) for one in (first, second) if one.node == ONE])
    env.take_given(0)
    assert env.states() == ["running", "running"]
    env.done(first, second)
    assert env.job().verdict == "done"


def test_of_two_attempts_under_way_one_is_adopted() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    env.take_given(1)
    new_leader(env)
    env.report(ME, running=[(JOB, 0, 1)])
    env.report(ONE, running=[(JOB, 0, 2)])
    assert env.task(0).running == {1: ME}
    assert env.take_cancelled(ONE) == [(0, 2)]


def test_facts_and_copies_make_tasks_done() -> None:
    env = SchedulerEnv(2)
    env.submit(chain(2))
    (given,) = env.take_given(1)
    completion = env.completion_of(given, is_large=True)
    env.done(given, is_large=True)
    env.take_given(1)
    new_leader(env)
    assert completion.outputs is not None
    env.report(ME, objects=[(JOB, 0, 0, completion.outputs[0].digest)])
    env.report(ONE)
    assert env.states() == ["done", "running"]
    assert env.task(0).holders == {ME: True}


def test_a_result_that_no_inventory_names_is_computed_again() -> None:
    env = SchedulerEnv(2)
    env.submit(chain(2))
    env.done(*env.take_given(1), is_large=True)
    env.take_given(1)
    new_leader(env)
    env.report(ME)
    env.report(ONE)
    (again,) = [one for one in env.take_given(2) if one.order.task == 0]
    assert again.order.attempt == 2


def test_a_copy_of_other_content_is_no_copy() -> None:
    env = SchedulerEnv(2)
    env.submit(chain(2))
    env.done(*env.take_given(1), is_large=True)
    env.take_given(1)
    new_leader(env)
    env.report(ME, objects=[(JOB, 0, 0, b"x" * 16)])
    env.report(ONE)
    assert env.task(0).holders == {}
    assert env.states()[0] == "running"


def test_an_attempt_that_failed_during_the_collection_is_not_adopted() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1, options=TaskOptions(retries=1)))
    (given,) = env.take_given(1)
    new_leader(env)
    env.report(ME, running=[(JOB, 0, 1)])
    env.fail(given)
    env.report(ONE)
    assert env.states() == ["ready"]
    env.wait(0.1)
    assert env.take_given(1)[0].order.attempt == 2


def test_a_success_during_the_collection_keeps_its_holder() -> None:
    env = SchedulerEnv(2)
    env.submit(chain(2))
    (given,) = env.take_given(1)
    new_leader(env)
    env.report(ME, running=[(JOB, 0, 1)])
    env.done(given, is_large=True)
    env.report(ONE)
    assert env.states() == ["done", "running"]
    assert env.task(0).holders == {ME: True}
    assert [one.order.task for one in env.take_given(1)] == [1]


def test_what_a_node_reported_counts_no_more_when_it_dies_during_the_collection() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    first, second = env.take_given(2)
    env.done(*[one for one in (first, second) if one.node == ONE], is_large=True)
    index = next(one.order.task for one in (first, second) if one.node == ONE)
    new_leader(env)
    env.report(ONE, objects=[(JOB, index, 0, env.made[JOB, index, 0])], running=[(JOB, 1 - index, 7)])
    env.lose(ONE)
    env.report(ME)
    assert env.states() == ["running", "running"]
    env.take_given(2)


def test_facts_come_in_any_order() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    (given,) = env.take_given(1)
    failure = Completion(0, 1, ONE, b"", 0.0, None, failure_of())
    success = env.completion_of(given)
    for order in ([failure, success], [success, failure]):
        again = SchedulerEnv(2)
        again.submit(bag(1))
        again.take_given(1)
        new_leader(again)
        for completion in order:
            again.receive(ONE, FACTS, [JOB, [completion.to_wire()]])
        again.report(ME)
        again.report(ONE)
        assert again.states() == ["done"]


def test_watchers_get_the_whole_state_after_the_collection() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    env.take_given(1)
    new_leader(env)
    env.watch(ONE)
    assert env.take_updates(ONE) == []
    env.report(ME)
    env.report(ONE)
    assert env.take_updates(ONE)[0].is_whole


def test_questions_wait_for_the_end_of_the_collection() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    env.take_given(1)
    new_leader(env)
    env.ask("cancel", job=JOB)
    assert env.take(ANSWER) == []
    env.report(ME)
    env.report(ONE)
    (answer,) = env.take(ANSWER, ONE)
    assert answer[1] is True
    env.pump()
    assert env.job().verdict == "cancelled"


def test_a_job_known_by_an_offer_is_fetched() -> None:
    env = SchedulerEnv(2)
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, False, 0]]])
    assert env.take(RECORD_WANT, ONE) == [[[[JOB, [0]]]]]
    env.receive(ONE, RECORD_GIVE, [JOB, 0, 1, bag(1).to_wire()])
    env.done(*env.take_given(1))
    assert env.job().verdict == "done"


def test_a_malformed_part_of_a_record_is_counted() -> None:
    env = SchedulerEnv()
    env.records._open(JOB).parts[0] = b"nonsense"
    env.records.on_leader(ME)
    env.pump()
    assert env.core.counts["malformed"] == 1


def test_who_stops_to_lead_forgets_everything() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    env.core.follow(env.now)
    assert not env.core.jobs
    env.pump()
    env.receive(ONE, COMPLETIONS, [[]])
    assert env.core.counts["late"] == 1
    env.outbox.clear()
    env.ask("jobs")
    (answer,) = env.take(ANSWER, ONE)
    assert answer[:2] == [1, False]


# Facts that come early, late, or for strangers


def test_completions_before_their_part_wait_for_it() -> None:
    env = SchedulerEnv()
    env.submit(part(task(), session=True), total=0)
    (given,) = env.take_given(1)
    late = part(task(kept=True), first=1)
    completion = Completion(1, 1, ME, b"", 0.1, [output_of("late")], None)
    env.receive(ME, COMPLETIONS, [[[JOB, completion.to_wire()]]])
    env.done(given)
    env.take_released(ME)
    env.submit(late, number=1, total=2)
    assert env.states() == ["done", "done"]
    assert env.job().verdict == "done"


def test_completions_of_unknown_jobs_are_kept_with_the_record() -> None:
    env = SchedulerEnv()
    completion = Completion(0, 1, ONE, b"", 0.1, [output_of("x")], None)
    env.receive(ONE, COMPLETIONS, [[[OTHER_JOB, completion.to_wire()]]])
    assert env.core.pending.jobs() == [OTHER_JOB]
    env.submit(bag(1), job=OTHER_JOB)
    assert env.job(OTHER_JOB).verdict == "done"


def test_an_old_fact_of_a_node_is_no_proof_that_it_has_the_bytes() -> None:
    env = SchedulerEnv(2)
    env.submit(chain(2))
    env.take_given(1)
    old = Completion(0, 9, ONE, b"", 0.1, [output_of("0:0", True)], None)
    env.core.on_link_lost(ONE, env.now)
    env.wait(0.1)
    env.receive(ONE, FACTS, [JOB, [old.to_wire()]])
    assert env.task(0).holders == {}
    env.take_cancelled(ME)
    env.report(ONE)
    assert env.states()[0] == "running", "nobody has it: it is computed again"


def test_a_silent_node_cannot_hold_up_what_is_lost_for_ever() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1), total=0)
    env.take_given(1)
    env.core.on_link_lost(ONE, env.now)
    old = Completion(0, 9, ONE, b"", 0.1, [output_of("0:0", True)], None)
    env.receive(ONE, FACTS, [JOB, [old.to_wire()]])
    assert env.states() == ["done"]
    env.wait(1.0)
    assert env.states() == ["running"]


def test_a_success_that_counts_later_gives_its_node_no_objects_it_may_have_lost() -> None:
    """A small result told by an earlier start of a node: what waits there for its bytes is taken back."""
    env = SchedulerEnv()
    env.core.dispatcher.estimates.observe("t", 0.001, 1.0)
    env.submit(chain(3))
    given = env.take_given(3)
    assert [one.order.task for one in given] == [0, 1, 2], "all given ahead"
    early = env.completion_of(given[0])
    assert early.outputs is not None
    env.made[JOB, 0, 0] = early.outputs[0].digest
    old = env.completion_of(given[1])
    old = Completion(1, 7, ME, old.inputs_digest, 0.1, old.outputs, None)
    env.receive(ME, FACTS, [JOB, [old.to_wire()]])
    env.outbox.clear()
    env.done(given[0])
    assert env.states() == ["done", "done", "running"]
    (again,) = env.take_given(1)
    assert again.order.inputs[0].data is not None, "the bytes ride along"


# Sessions without clients, cancelling, expiry


def session(env: SchedulerEnv) -> None:
    env.submit(bag(1, session=True), total=0)
    env.take_given(1)


def test_a_session_that_nobody_watches_is_cancelled() -> None:
    env = SchedulerEnv()
    session(env)
    env.wait(59.0)
    assert env.states() == ["running"]
    env.wait(2.0)
    assert env.job().verdict == "cancelled"
    assert "session_orphaned" in env.notices


def test_watching_in_time_saves_a_session() -> None:
    env = SchedulerEnv(2)
    session(env)
    env.wait(59.0)
    env.watch(ONE)
    env.wait(100.0)
    assert env.job().verdict == ""
    env.lose(ONE)
    env.wait(61.0)
    assert env.job().verdict == "cancelled"


def test_unwatching_starts_the_clock_again() -> None:
    env = SchedulerEnv(2)
    session(env)
    env.watch(ONE)
    env.receive(ONE, WATCH, [JOB, False])
    env.wait(61.0)
    assert env.job().verdict == "cancelled"


def test_a_session_that_ended_is_no_orphan() -> None:
    env = SchedulerEnv()
    env.submit(bag(1, session=True), total=1)
    env.done(*env.take_given(1))
    assert env.job().verdict == "done"
    env.wait(100.0)
    assert "session_orphaned" not in env.notices


def test_a_batch_job_needs_no_watcher() -> None:
    env = SchedulerEnv()
    env.submit(bag(1))
    env.wait(1000.0)
    assert env.states() == ["running"]


def test_cancel_stops_attempts_and_spreads() -> None:
    env = SchedulerEnv(2)
    env.submit(chain(1))
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, False, 0]]])
    (given,) = env.take_given(1)
    env.ask("cancel", node=TWO, job=short(JOB))
    assert env.job().verdict == "cancelled"
    assert env.take_cancelled(given.node) == [(0, 1)]
    assert env.take(JOB_INTENT, ONE) == [[JOB, INTENT_CANCEL, 0], [JOB, INTENT_END, 3]]
    assert len(env.take(ANSWER, TWO)) == 1
    env.check_empty()


def test_a_cancelled_job_stays_cancelled_for_the_next_leader() -> None:
    env = SchedulerEnv()
    env.submit(chain(2))
    env.done(*env.take_given(1))
    env.ask("cancel", job=JOB)
    env.take(REPORT_WANTED)
    env.lead()
    env.join(ME)
    assert env.job().verdict == "cancelled"


def test_a_cancel_without_any_part_is_no_success() -> None:
    env = SchedulerEnv()
    env.receive(ONE, JOB_INTENT, [JOB, INTENT_CANCEL, 0])
    assert env.job().verdict == "cancelled"


def test_an_ended_job_expires_and_leaves_a_tombstone() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    env.done(*env.take_given(1))
    env.take(JOB_ENDED)
    env.take_released(ME)
    env.wait(3601.0)
    assert JOB not in env.core.jobs
    assert env.take(JOB_FORGET, ONE) == [[[[JOB, "done"]]]]
    assert env.records.verdict(JOB) == "done"
    env.watch(ONE)
    (update,) = env.take_updates(ONE)
    assert (update.state, update.reason) == ("done", "it ended long ago, its results have expired")
    env.check_empty()


def test_a_tombstone_answers_late_facts_and_offers() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    (given,) = env.take_given(1)
    env.done(given)
    env.wait(3601.0)
    env.outbox.clear()
    env.done(given)
    assert env.records.counts["late"] == 1
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, False, 0]]])
    assert env.take(JOB_FORGET, ONE) == [[[[JOB, "done"]]]]
    env.check_empty()


def test_a_job_forgotten_elsewhere_frees_what_it_occupied() -> None:
    env = SchedulerEnv()
    env.submit(bag(1))
    env.take_given(1)
    env.receive(ONE, JOB_FORGET, [[[JOB, "done"]]])
    worker = env.core.dispatcher.workers[ME]
    assert (worker.cpus, len(worker.given)) == (0.0, 0)
    assert env.take_cancelled(ME) == [(0, 1)]
    assert env.core.pending.jobs() == []


def test_released_results_are_dropped() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1, session=True), total=0)
    (given,) = env.take_given(1)
    env.done(given)
    env.receive(ONE, JOB_RELEASE, [JOB, [0, 5, "x", -1]])
    assert env.take_released(given.node) == [(0, 0)]
    env.receive(ONE, JOB_RELEASE, [OTHER_JOB, [0]])
    env.check_empty()


def test_data_of_the_client_leaves_the_nodes_at_the_end() -> None:
    env = SchedulerEnv()
    env.submit(part(data(), task(0, kept=True)))
    env.done(*env.take_given(1))
    assert env.take_released(ME) == [(0, 0)]


# Malformed


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (COMPLETIONS, []),
        (COMPLETIONS, [[[JOB, [0, 1]]]]),
        (COMPLETIONS, [[[JOB, [2**40, 1, ONE, b"", 0.0, [], None]]]]),
        (INVENTORY, [1, [[b"short", 0, 1]], []]),
        (WATCH, [JOB, 1]),
        (ASK, [1, "jobs", {1: 2}]),
        (ASK, ["x"]),
        (JOB_RELEASE, [JOB]),
    ],
)
def test_malformed_messages_are_counted_and_dropped(kind: int, body: list[object]) -> None:
    env = SchedulerEnv(2)
    env.join(TWO, is_reporting=False)
    env.take(REPORT_WANTED)
    env.core.dispatcher.workers[ONE].has_reported = False
    env.core.dispatcher.workers[ONE].report_request = 1
    env.receive(ONE, kind, body)
    assert env.core.counts["malformed"] == 1
    env.check_empty()


def test_a_second_leadership_starts_from_nothing() -> None:
    env = SchedulerEnv(3, config=SchedulerConfig(replicas=1, collect_s=0.5))
    env.submit(bag(3))
    env.take_given(3)
    env.lead()
    assert env.core.jobs == {}
    assert env.core.dispatcher.workers == {}
    for node in NODES[:3]:
        env.join(node, is_reporting=False)
    env.wait(0.5)
    env.take_given(0)
    assert env.states() == ["ready"] * 3
    assert CONFIG.collect_s == 1.0

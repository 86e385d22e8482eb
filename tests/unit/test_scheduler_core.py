"""The leader's scheduler: retries, nodes that come and go, broken links (K1 to K3)."""

from __future__ import annotations

import pytest

from swarm.scheduler.config import SchedulerConfig
from swarm.wire.job_part import TaskOptions
from swarm.wire.messages import (
    ANSWER,
    ASK,
    COMPLETIONS,
    FACTS,
    INTENT_CLOSE,
    INTENT_END,
    INVENTORY,
    JOB_ENDED,
    JOB_INTENT,
    JOB_RELEASE,
    RECORD_OFFER,
    REPORT_WANTED,
    WATCH,
)
from tests.unit.scheduler_builder import (
    JOB,
    ME,
    ONE,
    TWO,
    bag,
    chain,
    output_of,
    part,
    task,
)
from tests.unit.scheduler_env import CONFIG, NODES, SchedulerEnv, new_leader

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


def test_an_end_without_the_facts_behind_it_does_not_count() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    first, second = env.take_given(2)
    env.done(first)
    env.receive(ONE, JOB_INTENT, [JOB, INTENT_END, 1])
    assert env.job().verdict == ""
    env.done(second)
    assert env.job().verdict == "done"


def test_an_end_with_the_facts_behind_it_stops_what_runs() -> None:
    env = SchedulerEnv(2)
    env.submit(part(task(kept=True), task()))
    given = {one.order.task: one for one in env.take_given(2)}
    env.done(given[0])
    env.receive(ONE, JOB_INTENT, [JOB, INTENT_END, 1])
    assert env.job().verdict == "done"
    assert env.take_cancelled(given[1].node) == [(1, 1)]
    env.take_given(0)


@pytest.mark.parametrize(("code", "verdict"), [(2, ""), (3, "cancelled")])
def test_a_failure_counts_when_it_is_known_and_a_cancel_always(code: int, verdict: str) -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2, options=TaskOptions(retries=1)))
    env.take_given(2)
    env.receive(ONE, JOB_INTENT, [JOB, INTENT_END, code])
    assert env.job().verdict == verdict


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
    env.join(ONE, instance=2)
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


def test_a_silent_node_is_asked_again_and_each_time_later() -> None:
    """Its answers may wait in a stream that stalls, and each is everything that it knows."""
    env = SchedulerEnv()
    env.join(ONE, is_reporting=False)
    env.wait(60.0)
    asked = env.take(REPORT_WANTED, ONE)
    assert len(asked) == len({body[0] for body in asked}) == 4 + 6, "at 0, 1, 3, 7 s, then every 8 s"


def test_the_answer_to_an_earlier_question_counts() -> None:
    """Where a report takes longer than the pause between two questions, no answer would count else."""
    env = SchedulerEnv()
    env.join(ONE, is_reporting=False)
    env.wait(3.0)
    asked = [body[0] for body in env.take(REPORT_WANTED, ONE)]
    assert len(asked) == 3
    env.receive(ONE, INVENTORY, [asked[1], [], []])
    assert env.core.dispatcher.workers[ONE].has_reported
    env.receive(ONE, INVENTORY, [asked[2], [], []])
    assert env.core.counts["late"] == 1
    env.wait(60.0)
    env.check_empty()


def test_no_answer_counts_to_a_question_before_a_link_broke() -> None:
    env = SchedulerEnv()
    env.join(ONE, is_reporting=False)
    env.wait(8.0)
    asked = [body[0] for body in env.take(REPORT_WANTED, ONE)]
    assert len(asked) == 4, "the next one would be asked at 15 s"
    env.core.on_link_lost(ONE, env.now)
    env.wait(0.2)
    again = [body[0] for body in env.take(REPORT_WANTED, ONE)]
    assert len(again) == 1
    for number in asked:
        env.receive(ONE, INVENTORY, [number, [], []])
    assert env.core.counts["late"] == 4
    env.core.on_link_lost(ONE, env.now)
    env.wait(0.5)
    assert env.take(REPORT_WANTED, ONE) == [], "whoever cannot be dialled is asked once in a second"
    env.wait(0.5)
    env.report(ONE)
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
    env.core.dispatcher.workers[ONE].lose_stream(env.now)
    env.core.dispatcher.workers[ONE].ask(1, env.now)
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

"""Quarantine: a node that fails what others can do gets nothing for a while, then a probe."""

from __future__ import annotations

import pytest

from swarm.core.errors import ConfigError
from swarm.core.ids import NodeId
from swarm.exec.config import ExecConfig
from swarm.exec.core import ExecCore
from swarm.node_orders import obey
from swarm.node_reports import give_back
from swarm.node_views import own_capacity
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.records import JobRecords
from swarm.wire.codec import Body
from swarm.wire.job_part import TaskOptions
from swarm.wire.messages import QUARANTINED
from tests.unit.scheduler_builder import JOB, ME, ONE, OTHER_JOB, TWO, bag
from tests.unit.scheduler_env import CONFIG, Given, SchedulerEnv

RETRIES = TaskOptions(retries=5)
LIMIT = CONFIG.quarantine_tasks
PAUSE_S = CONFIG.quarantine_s


def fail_on(env: SchedulerEnv, bad: NodeId, tasks: int, retries: int = 5) -> None:
    """Let a job run whose tasks all fail on one node and succeed on the others."""
    env.submit(bag(tasks, options=TaskOptions(retries=retries)), OTHER_JOB)
    waiting: list[Given] = []
    for _ in range(20 * tasks):
        waiting.extend(take_all(env))
        if not waiting:
            env.wait(0.2)
            if not (waiting := take_all(env)):
                break
        given = waiting.pop(0)
        if given.node == bad:
            env.fail(given)
        else:
            env.done(given)


def take_all(env: SchedulerEnv) -> list[Given]:
    """Take whatever was given out."""
    count = 0
    for message in env.outbox:
        if message.kind == 61:
            count += len(Body(message.body).take_list())
    return env.take_given(count)


def told(env: SchedulerEnv, node: NodeId) -> list[str]:
    """Take the reasons that a node was told."""
    return [str(body[0]) for body in env.take(QUARANTINED, node)]


def quarantined() -> SchedulerEnv:
    """Three nodes, of which TWO is quarantined."""
    env = SchedulerEnv(3)
    fail_on(env, TWO, 12 * LIMIT)
    assert told(env, TWO)
    assert env.core.dispatcher.workers[TWO].quarantine
    return env


def test_what_failed_where_nothing_succeeds_waits_for_another_node() -> None:
    """A node that fails at once has always room: it would use up all attempts of all tasks."""
    env = SchedulerEnv(2)
    env.submit(bag(8 * LIMIT, options=TaskOptions(retries=1), on_error="continue"))
    failed: list[int] = []
    for _ in range(100):
        for given in take_all(env):
            if given.node == ONE:
                failed.append(given.order.task)
                env.fail(given)
        env.wait(0.5)
    assert len(failed) > LIMIT, "the other one is busy all the time"
    again = [task for task in set(failed) if failed.count(task) > 1]
    assert len(again) < LIMIT, "at first nobody knows"


def test_who_fails_what_others_can_do_gets_no_more() -> None:
    env = quarantined()
    env.submit(bag(8))
    for _ in range(4):
        given = take_all(env)
        assert TWO not in [one.node for one in given]
        env.done(*given)
    assert "quarantine" in env.notices


def test_fewer_failures_than_the_bound_are_no_reason() -> None:
    env = SchedulerEnv(3)
    fail_on(env, TWO, LIMIT - 1)
    assert told(env, TWO) == []


def test_a_success_in_between_starts_the_count_anew() -> None:
    env = SchedulerEnv(2)
    for number in range(2 * LIMIT):
        job = bytes([number]) * 10
        env.submit(bag(2, options=RETRIES), job)
        for given in env.take_given(2):
            if given.node == ONE and number % 2:
                env.fail(given)
            else:
                env.done(given)
        env.wait(0.2)
        for given in take_all(env):
            env.done(given)
    assert told(env, ONE) == []


def test_a_task_that_fails_everywhere_proves_nothing() -> None:
    env = SchedulerEnv(3)
    for number in range(3 * LIMIT):
        env.submit(bag(1, options=TaskOptions(retries=2)), bytes([number]) * 10)
        for _ in range(3):
            env.wait(1.0)
            for given in take_all(env):
                env.fail(given)
    assert [told(env, node) for node in (ME, ONE, TWO)] == [[], [], []]


def test_after_a_while_one_task_probes_it_and_a_success_lets_it_out() -> None:
    env = quarantined()
    env.wait(PAUSE_S + 0.1)
    env.submit(bag(9, options=RETRIES))
    given = take_all(env)
    (probe,) = [one for one in given if one.node == TWO]
    env.done(probe)
    assert told(env, TWO) == [""]
    assert not env.core.dispatcher.workers[TWO].quarantine
    env.submit(bag(9), b"job-333333")
    assert TWO in [one.node for one in take_all(env)]


def test_a_probe_that_fails_doubles_the_pause() -> None:
    env = quarantined()
    env.wait(PAUSE_S + 0.1)
    env.submit(bag(1, options=RETRIES))
    env.submit(bag(2, options=RETRIES), b"job-333333")
    (probe,) = [one for one in take_all(env) if one.node == TWO]
    env.fail(probe)
    assert len(told(env, TWO)) == 1
    env.wait(PAUSE_S + 1.0)
    assert not env.core.dispatcher.workers[TWO].is_probed
    env.wait(PAUSE_S)
    assert env.core.dispatcher.workers[TWO].is_probed


def test_what_cannot_be_retried_is_no_probe() -> None:
    env = quarantined()
    env.wait(PAUSE_S + 0.1)
    env.submit(bag(9))
    assert TWO not in [one.node for one in take_all(env)]


def test_where_nobody_else_fits_it_gets_tasks_as_any_other() -> None:
    env = quarantined()
    env.lose(ME)
    env.lose(ONE)
    env.submit(bag(2))
    assert [one.node for one in take_all(env)][:1] == [TWO]


def test_what_it_has_not_started_is_taken_back() -> None:
    env = SchedulerEnv(2)
    env.core.dispatcher.estimates.observe("t", 0.001, 1.0)
    fail_on(env, ONE, 200)
    assert told(env, ONE)
    assert env.take_retracts(ONE)


def test_one_that_starts_again_is_in_use_again() -> None:
    env = quarantined()
    env.join(TWO, instance=2)
    assert not env.core.dispatcher.workers[TWO].quarantine
    env.submit(bag(3))
    assert TWO in [one.node for one in take_all(env)]


def test_a_retry_goes_elsewhere_first() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1, options=RETRIES))
    (first,) = env.take_given(1)
    env.fail(first)
    env.wait(0.2)
    (second,) = env.take_given(1)
    assert second.node != first.node


def test_the_node_shows_the_reason_until_it_is_let_out_or_another_one_leads() -> None:
    core = ExecCore(ExecConfig(), ME, 1.0, 0)
    records = JobRecords(SchedulerConfig(), ME)
    for reason, shown in (("quarantined: why", "quarantined: why"), ("", "idle")):
        assert obey(core, records, ONE, QUARANTINED, Body([reason]), 0.0) == []
        assert own_capacity({}, core)["reason"] == shown
    obey(core, records, ONE, QUARANTINED, Body(["quarantined: why"]), 0.0)
    give_back(core, ONE, (1, ONE), 0.0)
    assert own_capacity({}, core)["reason"] == "quarantined: why"
    give_back(core, TWO, (2, TWO), 0.0)
    assert own_capacity({}, core)["reason"] == "idle"


def test_failures_of_a_job_that_is_gone_are_forgotten() -> None:
    env = SchedulerEnv(3)
    fail_on(env, TWO, LIMIT - 1)
    env.core.quarantine.forget_job(OTHER_JOB)
    env.submit(bag(3, options=RETRIES))
    for given in take_all(env):
        if given.node == TWO:
            env.fail(given)
        else:
            env.done(given)
    env.wait(0.2)
    env.done(*take_all(env))
    assert env.job(JOB).verdict == "done"
    assert told(env, TWO) == []


def test_the_bound_is_at_least_one() -> None:
    with pytest.raises(ConfigError, match="quarantine_tasks"):
        SchedulerConfig(quarantine_tasks=0)

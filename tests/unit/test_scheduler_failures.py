"""What becomes of a task whose attempts fail: by its own code, with its executor, or because of the node."""

from __future__ import annotations

from swarm.core.ids import NodeId
from swarm.scheduler.outcomes import BACKOFF_MAX_S
from swarm.wire.job_part import TaskOptions
from swarm.wire.messages import ERROR_EXECUTOR_DIED, ERROR_NODE
from tests.unit.scheduler_builder import bag, failure_of
from tests.unit.scheduler_env import CONFIG, NODES, SchedulerEnv


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
    assert failure.message == "given up: 3 executors that ran it died, the last one: killed by signal 9"


def test_the_executors_that_a_task_kills_are_on_different_nodes_where_there_are_some() -> None:
    env = SchedulerEnv(3)
    env.submit(bag(1))
    nodes: list[NodeId] = []
    for _ in range(3):
        (given,) = env.take_given(1)
        nodes.append(given.node)
        env.fail(given, failure_of("killed by signal 9", ERROR_EXECUTOR_DIED))
    assert len(set(nodes)) == 3
    assert env.job().reason.startswith("task t failed: given up: 3 executors that ran it died")


def test_what_fails_because_of_a_node_runs_elsewhere_and_is_no_retry() -> None:
    env = SchedulerEnv(3)
    env.submit(bag(1))
    (first,) = env.take_given(1)
    env.fail(first, failure_of("the node could not store an output: No space left", ERROR_NODE))
    env.wait(CONFIG.retry_backoff_s + 0.01)
    (second,) = env.take_given(1)
    assert second.node != first.node
    env.done(second)
    assert env.job().verdict == "done"


def test_where_every_node_is_at_fault_the_task_is_given_up_with_the_reason() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    for _ in range(CONFIG.node_faults_max):
        assert env.job().verdict == ""
        env.wait(BACKOFF_MAX_S)
        env.fail(env.take_given(1)[0], failure_of("No space left", ERROR_NODE))
    failure = env.task(0).failure
    assert failure is not None
    assert failure.message == (
        "given up: 10 attempts failed because of their nodes, the last one: No space left"
    )


def test_the_death_of_nodes_never_fails_a_task() -> None:
    env = SchedulerEnv(1)
    env.submit(bag(1))
    env.take_given(1)
    for number in range(1, 8):
        env.join(NODES[number])
        env.lose(NODES[number - 1])
        env.take_given(1, NODES[number])
    assert env.states() == ["running"]


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

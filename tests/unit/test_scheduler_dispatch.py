"""Giving tasks to nodes: fairness, run-ahead and its recall, stealing and its bounds, stalls said at once."""

from __future__ import annotations

import pytest

from swarm.core.effects import Message, Notify
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.dispatch import ORDER_BATCH, RETRACTIONS_MAX, Dispatcher
from swarm.scheduler.jobs import Job
from swarm.scheduler.ranking import Estimates
from swarm.wire.job_part import JobPart, TaskOptions, TaskSpec
from swarm.wire.messages import ASSIGN, CANCEL_ATTEMPTS, OBJECT_COPIED, RELEASE_OBJECTS
from tests.unit.scheduler_builder import JOB, ME, ONE, OTHER_JOB, TWO, bag, chain, data, part, task
from tests.unit.scheduler_env import NODES, SchedulerEnv, facts_of


def known(env: SchedulerEnv, seconds: float = 0.001, name: str = "t") -> None:
    """Let tasks of this name be known to take so long."""
    env.core.dispatcher.estimates.observe(name, seconds, 1.0)


def tasks_of(env: SchedulerEnv, count: int) -> list[int]:
    return [given.order.task for given in env.take_given(count)]


# Filling


def test_every_node_gets_work() -> None:
    env = SchedulerEnv(4)
    env.submit(bag(4))
    assert sorted(given.node for given in env.take_given(4)) == NODES[:4]


def test_of_an_unknown_kind_a_node_gets_two_for_each_core() -> None:
    env = SchedulerEnv(1, cores=2.0)
    env.submit(bag(50))
    env.take_given(4)


def test_short_tasks_fill_a_window_of_time() -> None:
    env = SchedulerEnv(1, config=SchedulerConfig(replicas=1, window_s=0.105, overhead_s=1e-9))
    known(env, 0.01)
    env.submit(bag(100))
    assert len(tasks_of(env, 10)) == 10


def test_the_window_has_a_bound_in_tasks() -> None:
    env = SchedulerEnv(1, config=SchedulerConfig(replicas=1, window_tasks_max=7))
    known(env, 0.0)
    env.submit(bag(100))
    env.take_given(7)


def test_a_long_task_takes_a_free_core_whatever_its_estimate() -> None:
    env = SchedulerEnv(2)
    known(env, 1000.0)
    env.submit(bag(5))
    assert {given.node for given in env.take_given(2)} == {ME, ONE}


def test_ends_make_room() -> None:
    env = SchedulerEnv(1)
    known(env, 1000.0)
    env.submit(bag(3))
    for index in range(3):
        (given,) = env.take_given(1)
        assert given.order.task == index
        env.done(given)
    assert env.job().verdict == "done"


def test_orders_travel_in_batches() -> None:
    env = SchedulerEnv(
        1, cores=8.0, config=SchedulerConfig(replicas=1, window_s=100.0, window_tasks_max=5000)
    )
    known(env, 0.0)
    env.submit(bag(2500))
    rows = [message.body[0] for message in env.outbox if message.kind == ASSIGN]
    sizes = [len(orders) for orders in rows if isinstance(orders, list)]
    assert sizes == [ORDER_BATCH, ORDER_BATCH, 500]


# Fairness


def test_a_newcomer_starts_at_once_on_a_full_mesh() -> None:
    env = SchedulerEnv(2)
    known(env, 10.0)
    env.submit(bag(10))
    old = env.take_given(2)
    env.submit(bag(10), job=OTHER_JOB)
    env.take_given(0)
    env.done(old[0])
    (given,) = env.take_given(1)
    assert given.order.job == OTHER_JOB


def test_two_jobs_share_the_cores() -> None:
    env = SchedulerEnv(4)
    known(env, 10.0)
    env.submit(bag(20))
    first = env.take_given(4)
    env.submit(bag(20), job=OTHER_JOB)
    env.done(*first[:2])
    env.done(*env.take_given(2)[:1])
    env.outbox.clear()
    assert env.job(JOB).cpus_running == env.job(OTHER_JOB).cpus_running == 2.0


def test_higher_priority_goes_first() -> None:
    env = SchedulerEnv(1)
    known(env, 10.0)
    env.submit(bag(3))
    (running,) = env.take_given(1)
    env.submit(bag(2, priority=1), job=OTHER_JOB)
    env.done(running)
    for _ in range(2):
        (given,) = env.take_given(1)
        assert given.order.job == OTHER_JOB
        env.done(given)
    env.take(58)
    assert env.take_given(1)[0].order.job == JOB


# Requirements


def test_what_no_node_can_run_is_said_at_once_and_once() -> None:
    env = SchedulerEnv(2)
    env.watch(ONE)
    env.submit(bag(2, options=TaskOptions(tags=("gpu",))))
    (update,) = [one for one in env.take_updates(ONE) if one.reason]
    assert update.reason == "waiting: no node of 2 fits; for one, it has no tag gpu"
    assert update.state == "running"
    for _ in range(3):
        env.submit(bag(1), job=OTHER_JOB)
    env.outbox.clear()
    assert env.notices.count("job_stalled") == 1


def test_a_node_that_fits_ends_the_stall() -> None:
    env = SchedulerEnv(1)
    env.watch(ME)
    env.submit(bag(1, options=TaskOptions(tags=("gpu",))))
    env.take_updates(ME)
    env.join(ONE, tags=["gpu"])
    assert env.take_given(1)[0].node == ONE
    assert env.take_updates(ME)[-1].reason == ""


def test_what_cannot_run_does_not_hold_up_the_rest() -> None:
    env = SchedulerEnv(1)
    env.submit(part(task(options=TaskOptions(cpus=64.0)), task(), task()))
    assert tasks_of(env, 2) == [1, 2]
    assert env.job().stall.endswith("it has 1 cores of the 64 asked for")


def test_a_task_whose_only_node_is_full_does_not_hold_up_those_behind_it() -> None:
    env = SchedulerEnv(2)
    known(env, 1000.0)
    env.submit(part(task(), task(), task(0, kept=True), task(0, kept=True), task(1, kept=True)))
    one, two = env.take_given(2)
    env.core.dispatcher.note_cut(one.node, two.node, env.now)
    env.done(one, is_large=True)
    env.done(two, is_large=True)
    assert {given.order.task: given.node for given in env.take_given(2)} == {2: one.node, 4: two.node}
    assert [entry[2].index for entry in env.core.dispatcher.delayed] == [3]


def test_data_that_no_node_has_is_waited_for() -> None:
    env = SchedulerEnv(2)
    env.submit(part(data("bytes", is_brought=True), task(0, kept=True)))
    env.take_given(0)
    assert env.job().stall == "waiting: no node has the bytes of task 0, which the client brought"
    outputs = env.task(0).outputs
    assert outputs is not None
    digest = outputs[0].digest
    env.receive(ONE, OBJECT_COPIED, [[[JOB, 0, 0, digest]]])
    env.wait(0.5)
    (given,) = env.take_given(1)
    assert given.order.inputs[0].holders == [ONE]
    assert env.job().stall == ""


def test_data_put_before_its_part_is_there() -> None:
    env = SchedulerEnv(1)
    spec = data("bytes", is_brought=True)
    env.receive(ME, OBJECT_COPIED, [[[JOB, 0, 0, JobPart(0, {}, [spec]).tasks[0].payload[3:19]]]])
    env.submit(part(spec, task(0, kept=True)))
    env.take_given(1)


def test_no_node_at_all_is_said_too() -> None:
    dispatcher = Dispatcher(SchedulerConfig())
    job = Job(JOB, 1, 0.0)
    job.add_part(0, bag(1), dispatcher.estimates)
    dispatcher.place([job], 0.0)
    assert job.stall == "waiting: no node of 0 fits; for one, no node runs tasks"
    assert isinstance(dispatcher.take_effects()[0], Notify)


# Run-ahead


def test_a_chain_of_short_tasks_goes_to_one_node_ahead() -> None:
    env = SchedulerEnv(3)
    known(env)
    env.submit(chain(5))
    given = env.take_given(5)
    assert len({one.node for one in given}) == 1
    assert [one.order.task for one in given] == [0, 1, 2, 3, 4]
    assert given[1].order.inputs[0].digest is None
    env.done(*given)
    assert env.job().verdict == "done"


def test_unknown_tasks_are_not_given_ahead() -> None:
    env = SchedulerEnv(2)
    env.submit(chain(3))
    assert tasks_of(env, 1) == [0]


def test_only_the_most_urgent_dependent_goes_ahead() -> None:
    env = SchedulerEnv(1)
    known(env, 0.001)
    known(env, 0.01, "long")
    env.submit(part(task(), task(0), task(0, name="long")))
    assert tasks_of(env, 2) == [0, 2]


def test_a_join_of_two_nodes_does_not_go_ahead() -> None:
    env = SchedulerEnv(2)
    known(env, 0.001)
    known(env, 10.0, "long")
    env.submit(part(task(name="long"), task(name="long"), task(0, 1)))
    assert sorted(tasks_of(env, 2)) == [0, 1]


def test_a_join_on_one_node_goes_ahead() -> None:
    env = SchedulerEnv(1, cores=2.0)
    known(env)
    env.submit(part(task(), task(), task(0, 1, kept=True)))
    assert sorted(tasks_of(env, 3)) == [0, 1, 2]


@pytest.mark.parametrize("cause", ["failure", "retraction"])
def test_what_was_given_ahead_is_taken_back(cause: str) -> None:
    env = SchedulerEnv(2)
    known(env)
    env.submit(JobPart(0, {}, chain_with_retries(3)))
    given = env.take_given(3)
    node = given[0].node
    if cause == "failure":
        env.fail(given[0])
    else:
        env.retracted(node, [(JOB, 0, 1)])
    assert env.take_cancelled(node) == [(1, 1), (2, 1)]
    if cause == "failure":
        assert env.states() == ["ready", "waiting", "waiting"]
    else:
        assert env.states() == ["running"] * 3
        assert [one.order.attempt for one in env.take_given(3)] == [2, 2, 2]


def chain_with_retries(length: int) -> list[TaskSpec]:
    options = TaskOptions(retries=3)
    return [task(*([index - 1] if index else []), options=options, kept=True) for index in range(length)]


def test_ahead_of_a_task_that_was_done_elsewhere_is_taken_back() -> None:
    env = SchedulerEnv(2)
    known(env)
    env.submit(chain(2))
    given = env.take_given(2)
    node = given[0].node
    other = ONE if node == ME else ME
    env.task(0).attempts = 5
    won = env.completion_of(given[0], is_large=True)
    foreign = type(won)(0, 5, other, b"", 0.1, won.outputs, None)
    env.receive(other, 66, [[[JOB, foreign.to_wire()]]])
    assert (1, 1) in env.take_cancelled(node)
    (again,) = env.take_given(1)
    assert again.node == other


def test_ahead_on_a_lost_node_goes_back_to_waiting() -> None:
    env = SchedulerEnv(2)
    known(env)
    env.submit(chain(3))
    node = env.take_given(3)[0].node
    env.lose(node)
    assert [given.order.attempt for given in env.take_given(3)] == [2, 2, 2]


# Stealing


def loaded(count: int, seconds: float = 0.02) -> SchedulerEnv:
    """One node with a queue of `count` tasks."""
    env = SchedulerEnv(1, config=SchedulerConfig(replicas=1, window_s=1000.0))
    known(env, seconds)
    env.submit(bag(count))
    env.take_given(count)
    return env


def test_an_idle_node_makes_the_longest_queue_give_back_half() -> None:
    env = loaded(20)
    env.join(ONE)
    rows = env.take_retracts(ME)
    assert rows == [(index, 1) for index in range(10, 20)]
    env.retracted(ME, [(JOB, index, attempt) for index, attempt in rows])
    assert {given.node for given in env.take_given(10)} >= {ONE}


def test_one_question_at_a_time() -> None:
    env = loaded(20)
    env.join(ONE)
    assert len(env.take_retracts(ME)) == 10
    env.join(TWO)
    assert env.take_retracts(ME) == []


def test_a_refusal_is_not_asked_again_at_once() -> None:
    env = loaded(20)
    env.join(ONE)
    env.take_retracts(ME)
    env.retracted(ME, [])
    assert env.take_retracts(ME) == []
    env.wait(0.1)
    env.join(ONE, speed=2.0)
    assert len(env.take_retracts(ME)) == 10


def test_short_queues_are_left_alone() -> None:
    env = loaded(4, seconds=0.001)
    env.join(ONE)
    assert env.take_retracts(ME) == []


def test_a_thief_that_could_not_run_it_gets_nothing() -> None:
    env = SchedulerEnv(1, config=SchedulerConfig(replicas=1, window_s=1000.0))
    known(env, 0.02)
    env.join(ME, tags=["big"])
    env.submit(bag(20, options=TaskOptions(tags=("big",))))
    env.take_given(20)
    env.join(ONE)
    assert env.take_retracts(ME) == []


def test_a_job_that_waits_for_a_fitting_node_does_not_stop_stealing() -> None:
    env = loaded(20)
    env.submit(bag(1, options=TaskOptions(tags=("gpu",))), job=OTHER_JOB)
    env.join(ONE)
    assert len(env.take_retracts(ME)) == 10


def test_a_task_is_taken_back_for_balance_only_so_often() -> None:
    env = loaded(20)
    for _ in range(RETRACTIONS_MAX):
        env.task(19).retractions += 1
    env.job().give_back(env.task(19), 1)
    env.core.dispatcher.end_attempt(ME, (JOB, 19, 1))
    env.core._touched[JOB] = True
    env.pump()
    env.take_given(1)
    env.join(ONE)
    assert (19, 2) not in env.take_retracts(ME)


def test_a_row_about_another_nodes_attempt_is_ignored() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    (given,) = env.take_given(1)
    other = ONE if given.node == ME else ME
    env.retracted(other, [(JOB, 0, 1), (JOB, 7, 1), (OTHER_JOB, 0, 1)])
    assert env.states() == ["running"]
    env.check_empty()


# Orders by hand


def test_a_node_that_left_gets_no_orders() -> None:
    dispatcher = Dispatcher(SchedulerConfig())
    dispatcher.update_worker(ONE, facts_of())
    job = Job(JOB, 1, 0.0)
    job.add_part(0, bag(1), Estimates(0.1, 0.0))
    dispatcher.cancel(job, 0, 1, ONE)
    dispatcher.release(job, 0, 2, [ONE, TWO])
    dispatcher.remove_worker(ONE)
    assert dispatcher.take_effects() == []
    assert dispatcher.remove_worker(ONE) is None


def test_every_output_of_a_task_is_released() -> None:
    dispatcher = Dispatcher(SchedulerConfig())
    dispatcher.update_worker(ONE, facts_of())
    job = Job(JOB, 1, 0.0)
    dispatcher.release(job, 3, 2, [ONE])
    dispatcher.cancel(job, 0, 1, ONE)
    assert dispatcher.take_effects() == [
        Message(ONE, CANCEL_ATTEMPTS, [[[JOB, 0, 1]]]),
        Message(ONE, RELEASE_OBJECTS, [[[JOB, 3, 0], [JOB, 3, 1]]]),
    ]


def test_workers_are_kept_in_order_of_their_ids() -> None:
    dispatcher = Dispatcher(SchedulerConfig())
    for node in (TWO, ME, ONE):
        dispatcher.update_worker(node, facts_of())
    assert list(dispatcher.workers) == [ME, ONE, TWO]

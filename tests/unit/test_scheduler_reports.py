"""Reports besides completions: lost objects, printed output, unwanted results, and attempts given back."""

from __future__ import annotations

from swarm.scheduler.reports import LOSS_PAUSE_S, LOSSES_FREE
from swarm.wire.job_part import TaskOptions
from swarm.wire.messages import ASK, JOB_RELEASE, RETRACTED, TASK_OUTPUT, WATCHED_OUTPUT
from tests.unit.scheduler_builder import JOB, ME, ONE, OTHER_JOB, TWO, bag, part, task
from tests.unit.scheduler_env import SchedulerEnv


def env_attempts(rows: list[tuple[int, int]]) -> list[tuple[bytes, int, int]]:
    return [(JOB, index, attempt) for index, attempt in rows]


def two_steps(env: SchedulerEnv) -> None:
    """A task that made a large result on ME, and one that needs it and runs on ONE."""
    env.join(ONE, tags=["second"])
    env.submit(part(task(), task(0, kept=True, options=TaskOptions(tags=("second",)))))
    (first,) = env.take_given(1)
    env.done(first, is_large=True)
    env.take_given(1)


def test_an_object_that_cannot_be_had_is_computed_again() -> None:
    env = SchedulerEnv(1)
    two_steps(env)
    holder = next(iter(env.task(0).holders))
    env.lost(ONE, 0, holder)
    assert env.take_retracts(ONE) == [(1, 1)]
    (again,) = env.take_given(1)
    env.retracted(ONE, [(JOB, 1, 1)])
    assert env.states() == ["running", "waiting"]
    env.done(again, is_large=True)
    env.done(*env.take_given(1))
    assert env.job().verdict == "done"


def test_what_others_cannot_get_from_a_node_that_is_there_is_made_elsewhere() -> None:
    env = SchedulerEnv(1)
    two_steps(env)
    env.join(TWO)
    env.lost(ONE, 0, ME)
    env.retracted(ONE, env_attempts(env.take_retracts(ONE)))
    (again,) = env.take_given(1)
    assert again.order.task == 0
    assert again.node != ME
    env.done(again, is_large=True)
    env.done(*env.take_given(1))
    assert env.job().verdict == "done"
    assert (0, 0) in env.take_released(ME), "it may have the output all the same"


def test_where_a_task_fits_nowhere_else_it_is_made_there_again() -> None:
    env = SchedulerEnv(1)
    two_steps(env)
    env.lost(ONE, 0, ME)
    env.retracted(ONE, env_attempts(env.take_retracts(ONE)))
    (elsewhere,) = env.take_given(1)
    assert (elsewhere.order.task, elsewhere.node) == (0, ONE)
    env.lose(ONE)
    (again,) = env.take_given(1)
    assert (again.order.task, again.node) == (0, ME)


def test_another_holder_is_tried_first() -> None:
    env = SchedulerEnv(1)
    two_steps(env)
    env.task(0).holders = {ME: True, TWO: True}
    env.lost(ONE, 0, ME)
    env.retracted(ONE, env_attempts(env.take_retracts(ONE)))
    (again,) = env.take_given(1)
    assert again.order.task == 1
    assert again.order.inputs[0].holders == [TWO]


def test_what_runs_already_has_its_inputs_and_goes_on() -> None:
    env = SchedulerEnv(1)
    two_steps(env)
    env.task(0).holders = {ME: True, TWO: True}
    env.lost(ONE, 0, ME)
    env.take_retracts(ONE)
    env.retracted(ONE, [])
    assert env.task(1).running == {1: ONE}
    env.check_empty()


def test_losing_inputs_again_and_again_makes_pauses() -> None:
    env = SchedulerEnv(1)
    two_steps(env)
    for attempt in range(1, LOSSES_FREE + 2):
        env.task(0).holders = {ME: True, TWO: True}
        env.lost(ONE, 0, ME)
        assert env.take_retracts(ONE) == [(1, attempt)]
        env.retracted(ONE, [(JOB, 1, attempt)])
        if attempt <= LOSSES_FREE:
            assert env.take_given(1)[0].order.attempt == attempt + 1
    env.take_given(0)
    env.wait(LOSS_PAUSE_S)
    assert env.take_given(1)[0].order.attempt == LOSSES_FREE + 2


def test_losses_of_strangers_do_not_matter() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    env.take_given(1)
    env.lost(ONE, 5, ME)
    env.lost(ONE, 0, ME, OTHER_JOB)
    assert env.states() == ["running"]
    env.check_empty()


def test_output_is_kept_and_passed_on() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    env.take_given(1)
    env.watch(ONE)
    env.take_updates(ONE)
    row: list[object] = [JOB, 0, 1, 1, 0, b"text"]
    env.receive(ME, TASK_OUTPUT, [[row, [OTHER_JOB, 0, 1, 1, 0, b"lost"]]])
    assert env.take(WATCHED_OUTPUT, ONE) == [[JOB, [row[1:]]]]
    env.receive(ME, TASK_OUTPUT, [[[JOB, 0, 1, 1, 0, "text"]]])
    assert env.core.counts["malformed"] == 1
    env.check_empty()


def test_giving_back_ends_the_question() -> None:
    env = SchedulerEnv(2)
    env.core.dispatcher.workers[ONE].retract_open = True
    env.retracted(ONE, [])
    assert not env.core.dispatcher.workers[ONE].retract_open
    env.receive(TWO, RETRACTED, [[]])
    env.check_empty()


def test_a_task_given_back_by_a_draining_node_goes_elsewhere() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    (given,) = env.take_given(1)
    env.join(given.node, draining=True)
    env.retracted(given.node, [(JOB, 0, 1)])
    (again,) = env.take_given(1)
    assert again.node != given.node


def test_release_of_what_is_not_there_is_ignored() -> None:
    env = SchedulerEnv(1)
    env.submit(bag(1))
    env.take_given(1)
    env.receive(ONE, JOB_RELEASE, [JOB, [0, 7, "x", None]])
    assert not env.task(0).is_kept
    env.receive(ONE, ASK, [1, "jobs", {}])
    env.take(74)
    env.check_empty()

"""What of an ended job runs again in a new one, and what stands for the rest."""

from __future__ import annotations

from typing import Any

from swarm.core.ids import short
from swarm.scheduler.again import TASKS_MAX, again
from swarm.wire.codec import Body
from swarm.wire.job_part import JobPart, TaskSpec, data_output_untrusted, job_part_untrusted
from swarm.wire.messages import ANSWER, ASSIGN, INTENT_CANCEL, KIND_DATA, KIND_PROGRAM
from tests.unit.scheduler_builder import JOB, OTHER_JOB, bag, data, part, task
from tests.unit.scheduler_env import Given, SchedulerEnv

DIAMOND = part(task(), task(0), task(0), task(1, 2, kept=True))


def failed_at(index: int, job_part: JobPart = DIAMOND, *, is_large: bool = False) -> SchedulerEnv:
    """A job of which one task failed, after all those that do not need it were done."""
    env = SchedulerEnv(1, cores=8.0)
    env.submit(job_part)
    given: dict[int, Given] = {}
    done = [one.index for one in env.job().tasks if one.spec.kind == KIND_DATA]
    for number in range(len(env.job().tasks)):
        for message in [one for one in env.outbox if one.kind == ASSIGN]:
            given.update({one.order.task: one for one in env.take_given(len(Body(message.body).take_list()))})
        needs = env.job().tasks[number].spec.inputs[::2]
        if number != index and number not in done and all(need in done for need in needs):
            env.done(given[number], text=f"of {number}", is_large=is_large)
            done.append(number)
    env.fail(given[index])
    assert env.job().verdict == "failed"
    return env


def asked(env: SchedulerEnv, first: int = 0) -> dict[str, Any]:
    """Ask as a client does."""
    env.ask("again", job=short(JOB), first=first)
    ((_, ok, value),) = env.take(ANSWER)
    assert ok, value
    assert isinstance(value, dict)
    return value


def specs_of(value: dict[str, Any]) -> list[TaskSpec]:
    return job_part_untrusted(value["part"]).tasks


def test_done_tasks_are_data_and_the_others_are_as_they_were() -> None:
    env = failed_at(2)
    value = asked(env)
    first, second, third, fourth = specs_of(value)
    assert [one.kind for one in (first, second)] == [KIND_DATA] * 2
    assert data_output_untrusted(first.payload).data == b"0:0of 0"
    assert data_output_untrusted(second.payload).data == b"1:0of 1"
    assert (third, fourth) == (DIAMOND.tasks[2], DIAMOND.tasks[3])
    assert (value["tasks"], value["again"], value["bring"]) == (4, 2, [])


def test_the_new_job_ends_with_what_was_missing() -> None:
    env = failed_at(3)
    blob = asked(env)["part"]
    env.submit(job_part_untrusted(blob), OTHER_JOB)
    (given,) = env.take_given(1)
    assert (given.order.job, given.order.task) == (OTHER_JOB, 3)
    env.done(given)
    assert env.job(OTHER_JOB).verdict == "done"


def test_a_large_result_is_brought_where_somebody_has_it() -> None:
    kept = part(task(kept=True), task(0), task(kept=True))
    env = failed_at(1, kept, is_large=True)
    value = asked(env)
    assert (value["again"], value["bring"]) == (1, [0, 2])
    first, second, third = specs_of(value)
    assert [data_output_untrusted(one.payload).data for one in (first, third)] == [None, None]
    assert second.kind == KIND_PROGRAM


def test_what_nobody_has_any_more_runs_again_with_what_it_needs() -> None:
    env = failed_at(3, is_large=True)
    value = asked(env)
    assert (value["again"], value["bring"]) == (4, [])
    assert specs_of(value) == DIAMOND.tasks


def test_what_nothing_that_runs_again_needs_is_left_out() -> None:
    value = asked(failed_at(2, part(task(), task(0, kept=True), task())))
    left, taken, again_run = specs_of(value)
    assert data_output_untrusted(left.payload).size == 0
    assert data_output_untrusted(taken.payload).data == b"1:0of 1"
    assert (again_run.kind, value["again"]) == (KIND_PROGRAM, 1)


def test_a_task_with_two_outputs_runs_again_when_it_is_needed() -> None:
    two = part(task(outputs=2), task(0))
    assert asked(failed_at(1, two))["again"] == 2


def test_the_answer_comes_in_pieces() -> None:
    many = bag(TASKS_MAX + 3, on_error="continue")
    env = SchedulerEnv(1, cores=1000.0)
    env.submit(many)
    env.records.intend(JOB, INTENT_CANCEL, 0, env.now)
    env.pump()
    assert env.job().verdict == "cancelled"
    first = asked(env)
    assert (len(specs_of(first)), first["tasks"], first["on_error"]) == (TASKS_MAX, TASKS_MAX + 3, "continue")
    second = job_part_untrusted(asked(env, TASKS_MAX)["part"])
    assert (second.first_task, len(second.tasks)) == (TASKS_MAX, 3)


def refusal(env: SchedulerEnv) -> str:
    value = again(env.job(), [], 0)
    assert isinstance(value, str)
    return value


def test_why_there_is_nothing_to_run_again() -> None:
    env = SchedulerEnv(1)
    env.submit(bag(1))
    assert refusal(env) == f"job {short(JOB)} has not ended; wait for it, or `swarm cancel {short(JOB)}`"
    env.done(*env.take_given(1))
    assert refusal(env) == f"job {short(JOB)} is done: there is nothing to run again"
    session = SchedulerEnv(1)
    session.submit(bag(1, session=True))
    session.done(*session.take_given(1))
    assert "run the script again" in refusal(session)
    part_of_it = SchedulerEnv(1)
    part_of_it.submit(bag(1), total=2)
    part_of_it.records.intend(JOB, INTENT_CANCEL, 0, 0.0)
    part_of_it.pump()
    assert "never came whole" in refusal(part_of_it)


def test_a_lost_argument_is_named() -> None:
    env = SchedulerEnv(1)
    env.submit(part(data(is_brought=True), task(0)))
    env.records.intend(JOB, INTENT_CANCEL, 0, 0.0)
    env.pump()
    assert refusal(env) == f"job {short(JOB)} cannot be run again: its argument data is lost; submit it anew"

"""Records on their way to new keepers: many at a time, with all completions, whatever happens meanwhile."""

from __future__ import annotations

from swarm.core.ids import JOB_ID_SIZE, JobId
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.custody import COPYINGS_MAX
from swarm.wire.codec import Body
from swarm.wire.messages import FACTS, JOB_ENDED, RECORD_OFFER, RECORD_STORE
from tests.unit.scheduler_builder import ONE, THREE, TWO, bag, part, task
from tests.unit.scheduler_env import Given, SchedulerEnv
from tests.unit.test_scheduler_custody import CONFIG, DELAY_S, kinds_to, offer, tasks_told


def test_the_copies_of_many_jobs_do_not_wait_for_each_other_long() -> None:
    env = SchedulerEnv(3, config=CONFIG)
    jobs = [bytes([number]) * 10 for number in range(4 * COPYINGS_MAX)]
    for job in jobs:
        env.submit(bag(1), job)
        for node in (ONE, TWO):
            env.receive(node, RECORD_OFFER, [[[job, [0], 1, False, 0, [], 0]]])
    env.lose(TWO)
    env.join(THREE)
    env.outbox.clear()
    env.wait(DELAY_S + 0.1)
    copied: list[JobId] = []
    for _ in range(3):
        env.wait(0.2)
        for message in [one for one in env.outbox if one.kind == RECORD_STORE and one.peer == THREE]:
            env.outbox.remove(message)
            job = Body(message.body[1:]).take_id(JOB_ID_SIZE)
            copied.append(job)
            env.receive(THREE, RECORD_OFFER, [[[job, [0], 1, False, 0, [], 0]]])
    env.wait(0.2)
    copied += [Body(one.body[1:]).take_id(JOB_ID_SIZE) for one in env.outbox if one.kind == RECORD_STORE]
    assert sorted(copied) == jobs


def test_a_keeper_that_lacks_parts_and_completions_gets_both() -> None:
    tasks = 5000
    env = SchedulerEnv(3, cores=float(tasks), config=SchedulerConfig(replicas=3, recopy_bytes_s=50_000.0))
    env.submit(bag(tasks), total=2)
    env.submit(part(task(), first=tasks), number=1, total=2)
    offer(env, ONE, [0, 1])
    env.done(*env.take_given(tasks + 1)[:tasks])
    env.wait(1.0)
    env.outbox.clear()
    offer(env, TWO, [0])
    env.wait(60.0)
    kinds = kinds_to(env, TWO)
    assert FACTS in kinds
    assert RECORD_STORE in kinds
    assert tasks_told(env, TWO) == list(range(tasks))


def with_a_copy_under_way() -> tuple[SchedulerEnv, Given]:
    """THREE is sent the record of a job, slowly: a completion so far; and the attempt that still runs."""
    config = SchedulerConfig(replicas=3, recopy_bytes_s=500.0)
    env = SchedulerEnv(4, config=config)
    env.submit(bag(2))
    offer(env, ONE, [0])
    offer(env, TWO, [0])
    first, second = env.take_given(2)
    env.done(first)
    env.wait(1.0)
    env.lose(TWO)
    env.outbox.clear()
    while not kinds_to(env, THREE):
        env.wait(0.1)
    assert kinds_to(env, THREE) == [FACTS]
    return env, second


def test_who_is_about_to_keep_a_job_that_ends_is_not_told_to_forget_it() -> None:
    env, running = with_a_copy_under_way()
    env.done(running)
    assert env.job().verdict == "done"
    assert env.take(JOB_ENDED, THREE) == []
    env.wait(1.0)
    assert kinds_to(env, THREE)[-1] == RECORD_STORE


def test_a_new_keeper_that_forgot_completions_is_sent_them_again() -> None:
    env, _ = with_a_copy_under_way()
    assert tasks_told(env, THREE) == [0]
    env.wait(5.0)
    assert kinds_to(env, THREE)[-1] == RECORD_STORE
    offer(env, THREE, [0])
    env.wait(5.0)
    assert tasks_told(env, THREE) == [0]

"""Sessions of scripts on the leader: whose they are, what is told of them, and when they end."""

from __future__ import annotations

from typing import Any

from swarm.core.ids import DIGEST_SIZE, short
from swarm.scheduler.endings import ttl_of
from swarm.scheduler.jobs import Job
from swarm.scheduler.reruns import NO_LIFE, life_of, may_run_again, submitted
from swarm.wire.job_part import TaskOptions, digest_of_task
from tests.unit.scheduler_builder import JOB, OTHER_JOB, JobBuilder, bag, task
from tests.unit.scheduler_env import SchedulerEnv

PARENT = short(OTHER_JOB)
META: dict[str, Any] = {"parent": PARENT, "session_number": 0, "life": 0, "session": True}


def session(**changes: Any) -> JobBuilder:
    return JobBuilder(bag(2, **{**META, **changes}), total=0)


def test_a_session_says_whose_it_is() -> None:
    assert session().job.life == (PARENT, 0, 0)
    assert life_of({"parent": PARENT}) == NO_LIFE, "a child of the script"
    assert life_of({"parent": 7, "session_number": 0, "life": 0}) == NO_LIFE


def test_what_was_submitted_is_told_in_the_order_of_its_lives() -> None:
    first, second = session().job, session(life=1).job
    other = session(session_number=1).job
    jobs: dict[bytes, Job] = {b"3": second, b"2": other, b"1": first}
    for job_id, job in jobs.items():
        jobs[job_id] = renamed(job, job_id)
    rows = submitted(jobs, {"parent": PARENT, "session": 0})
    assert [row["job"] for row in rows if isinstance(row, dict)] == [b"1", b"3"]
    told = rows[0]
    assert isinstance(told, dict)
    assert told["parts"] == 1
    assert told["digests"] == digest_of_task(first.tasks[0].spec) * 2
    assert len(told["digests"]) == 2 * DIGEST_SIZE
    assert submitted(jobs, {"parent": "else", "session": 0}) == []
    assert submitted(jobs, {}) == []


def renamed(job: Job, job_id: bytes) -> Job:
    """A job of the same content under another id."""
    again = Job(job_id, 1, 0.0)
    again.life, again.is_session, again.tasks, again.parts_added = job.life, True, job.tasks, 1
    return again


def test_a_cancelled_session_is_nothing_to_go_on_with() -> None:
    build = session()
    build.job.cancel("it was")
    assert submitted({JOB: build.job}, {"parent": PARENT, "session": 0}) == []


def test_the_same_wishes_are_the_same_task() -> None:
    assert digest_of_task(task(0)) == digest_of_task(task(0, kept=True))
    assert digest_of_task(task(options=TaskOptions(cpus=1))) == digest_of_task(task())
    for other in (task(1), task(name="u"), task(0, outputs=2), task(0, options=TaskOptions(retries=1))):
        assert digest_of_task(other) != digest_of_task(task(0))


def test_a_session_without_a_client_lives_as_long_as_its_script() -> None:
    env = SchedulerEnv()
    env.submit(bag(1), total=1, job=OTHER_JOB)
    env.submit(bag(1, **META), total=0)
    env.take_given(2)
    env.wait(200.0)
    assert env.job().verdict == ""
    assert may_run_again(env.core.jobs, env.job())
    env.job(OTHER_JOB).verdict = "done"
    env.wait(130.0)
    assert env.job().verdict == "cancelled"


def test_results_of_a_scripts_session_stay_as_long_as_those_of_other_jobs() -> None:
    env = SchedulerEnv()
    plain = JobBuilder(bag(1, session=True)).job
    config = env.core._config
    assert ttl_of(plain, {}, config) == config.session_ttl_s
    assert ttl_of(session().job, {}, config) == config.results_ttl_s

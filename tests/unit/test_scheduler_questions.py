"""Questions of clients: jobs by their short names, logs, results, and where a result is."""

from __future__ import annotations

import pytest

from swarm.core.ids import short
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.jobs import Job
from swarm.scheduler.questions import CODE_FAILED, CODE_NO_MESH, answer_question, find_job
from swarm.scheduler.records import JobRecords
from swarm.scheduler.watches import Watches
from tests.unit.scheduler_builder import JOB, ONE, OTHER_JOB, JobBuilder, bag, part, task


def ask(
    build: JobBuilder, op: str, watches: Watches | None = None, is_sure: bool = True, **args: object
) -> tuple[bool, object]:
    records, told = JobRecords(SchedulerConfig(), ONE), watches or Watches(1000)
    return answer_question({JOB: build.job}, records, told, {ONE: "one"}, op, args, 1.0, is_sure)


def code(answer: tuple[bool, object]) -> object:
    assert isinstance(answer[1], dict)
    return answer[1]["code"]


def message(answer: tuple[bool, object]) -> str:
    assert not answer[0]
    assert isinstance(answer[1], dict)
    return str(answer[1]["message"])


def test_jobs_lists_those_whose_first_part_is_here() -> None:
    ok, rows = ask(JobBuilder(bag(1)), "jobs")
    assert ok
    assert isinstance(rows, list)
    assert len(rows) == 1
    assert ask(JobBuilder(), "jobs") == (True, [])


def test_a_job_is_found_by_its_id_or_a_unique_beginning() -> None:
    jobs = {job: Job(job, 1, 0.0) for job in (JOB, OTHER_JOB)}
    assert find_job(jobs, JOB) is jobs[JOB]
    assert find_job(jobs, short(JOB)) is jobs[JOB]
    assert find_job(jobs, short(JOB).upper()) is jobs[JOB]
    common = short(JOB)[:3]
    assert find_job(jobs, common) == f"'{common}' is the beginning of 2 jobs; give more of it"
    assert find_job(jobs, "zzz") == "no job 'zzz' is known; see `swarm jobs`"
    assert find_job(jobs, b"unknown...") == f"no job {short(b'unknown...')} is known; see `swarm jobs`"


@pytest.mark.parametrize("wanted", [None, "", 7, ["x"]])
def test_a_job_must_be_named(wanted: object) -> None:
    assert find_job({}, wanted) == "name a job; see `swarm jobs`"


def test_details_and_the_answer_to_cancel() -> None:
    build = JobBuilder(bag(1))
    ok, details = ask(build, "job", job=JOB)
    assert ok
    assert isinstance(details, dict)
    assert len(details["tasks_detail"]) == 1
    assert ask(build, "cancel", job=JOB)[0]


def test_logs_of_all_tasks_or_of_one() -> None:
    watches = Watches(1000)
    watches.add_output(JOB, [0, 1, 1, 0, b"a"], 1)
    watches.add_output(JOB, [1, 1, 2, 0, b"b"], 1)
    build = JobBuilder(bag(2))
    ok, rows = ask(build, "logs", watches, job=JOB)
    assert ok
    assert isinstance(rows, list)
    assert len(rows) == 2
    assert ask(build, "logs", watches, job=JOB, task=1) == (
        True,
        [{"task": 1, "attempt": 1, "stream": 2, "offset": 0, "data": b"b"}],
    )


def test_results_of_a_job() -> None:
    build = JobBuilder(bag(1))
    build.finish(0)
    ok, value = ask(build, "results", job=JOB)
    assert ok
    assert isinstance(value, dict)
    assert (value["state"], value["job"], len(value["results"])) == ("running", JOB, 1)


def test_where_a_result_is() -> None:
    build = JobBuilder(bag(1))
    build.finish(0, is_large=True)
    ok, value = ask(build, "locate", job=JOB, task=0)
    assert ok
    assert isinstance(value, dict)
    assert (value["holders"], value["data"]) == ([ONE], None)


def test_why_a_result_is_nowhere() -> None:
    build = JobBuilder(part(task(kept=True), task(kept=True)))
    assert "has no output 0 at present" in message(ask(build, "locate", job=JOB, task=0))
    build.finish(0, is_large=True)
    assert "has no output 1" in message(ask(build, "locate", job=JOB, task=0, output=1))
    build.task(0).holders.clear()
    build.job.verdict = "done"
    assert "is lost" in message(ask(build, "locate", job=JOB, task=0))
    assert "has no task 7" in message(ask(build, "locate", job=JOB, task=7))
    nested: list[object] = []
    for _ in range(2000):
        nested = [nested]
    assert "has no task" in message(ask(build, "locate", job=JOB, task=nested))


def test_who_asks_again_may_be_told_where_a_result_is() -> None:
    build = JobBuilder(bag(1))
    assert code(ask(build, "locate", job=JOB, task=0)) == CODE_NO_MESH, "it is still to run"
    build.finish(0, is_large=True)
    build.task(0).holders.clear()
    assert code(ask(build, "locate", job=JOB, task=0)) == CODE_NO_MESH, "it is made again"
    build.job.verdict = "done"
    assert code(ask(build, "locate", job=JOB, task=0, is_sure=False)) == CODE_NO_MESH, "some may have it"
    assert code(ask(build, "locate", job=JOB, task=0)) == CODE_FAILED
    build.task(0).is_released = True
    build.job.verdict = ""
    assert code(ask(build, "locate", job=JOB, task=0)) == CODE_FAILED, "it is not made again"


def test_a_result_of_a_task_that_failed_is_not_waited_for() -> None:
    build = JobBuilder(bag(2, on_error="continue"))
    build.fail(0)
    assert code(ask(build, "locate", job=JOB, task=0)) == CODE_FAILED


def test_unknown_questions() -> None:
    assert message(ask(JobBuilder(bag(1)), "explode", job=JOB)) == "unknown question 'explode'"
    assert message(ask(JobBuilder(bag(1)), "job", job="zz")).startswith("no job")

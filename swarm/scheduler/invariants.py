"""Full audit of the leader's view: J1 to J5 of `jobs`, K1 to K3 of `core`, C1 and C2 of `custody`."""

from __future__ import annotations

from swarm.scheduler.core import Scheduler
from swarm.scheduler.jobs import Job
from swarm.scheduler.task_graph import producers_of
from swarm.scheduler.task_states import ASSIGNED, CANCELLED, DONE, FAILED, READY, WAITING, Task


def check_scheduler(scheduler: Scheduler) -> None:
    """Audit everything; raises AssertionError that starts with the number of what is broken."""
    workers = scheduler.dispatcher.workers
    if not scheduler.is_leading:
        assert not scheduler.jobs, "K1: jobs without leadership"
        assert not workers, "K1: workers without leadership"
        return
    for job in scheduler.jobs.values():
        check_job(job)
    scheduler.custody.check_invariants(scheduler.jobs)
    for node, worker in workers.items():
        assert len(worker.given) == len(worker.demands), "K2: attempts and demands differ"
        for job_id, index, attempt in worker.given:
            held = scheduler.jobs.get(job_id)
            assert held is not None, "K2: a given attempt of an unknown job"
            assert held.tasks[index].running.get(attempt) == node, "K2: given, but not running there"
    for job in scheduler.jobs.values():
        for task in job.tasks:
            for attempt, node in task.running.items():
                known = workers.get(node)
                assert known is not None, "K2: running on an unknown node"
                assert (job.job, task.index, attempt) in known.given, "K2: running, but not given"


def check_job(job: Job) -> None:
    """Audit J1 to J5 of one job."""
    counts = [0, 0, 0, 0, 0, 0]
    running = 0
    for task in job.tasks:
        counts[task.state] += 1
        running += 1 if task.running else 0
        _check_task(job, task)
    assert counts[DONE] == job.done, f"J5: {counts[DONE]} done, counted {job.done}"
    assert counts[FAILED] == job.failed, f"J5: {counts[FAILED]} failed, counted {job.failed}"
    assert counts[CANCELLED] == job.cancelled, f"J5: {counts[CANCELLED]} cancelled, counted {job.cancelled}"
    assert counts[READY] == job.ready_count, f"J5: {counts[READY]} ready, counted {job.ready_count}"
    assert running == job.running, f"J5: {running} running, counted {job.running}"


def _check_task(job: Job, task: Task) -> None:
    waiting = 0
    for producer in producers_of(task):
        if job.tasks[producer].state != DONE:
            waiting += 1
    assert waiting == task.waiting_count, (
        f"J1: task {task.index} waits for {waiting}, counted {task.waiting_count}"
    )
    if task.state == READY:
        assert waiting == 0, f"J2: task {task.index} is ready and waits"
    if task.state == WAITING:
        assert waiting > 0, f"J2: task {task.index} waits for nothing"
    left = 0
    for dependent in task.dependents:
        if not job.tasks[dependent].is_final():
            left += 1
    assert left == task.consumers_left, (
        f"J3: task {task.index} has {left} consumers, counted {task.consumers_left}"
    )
    assert (task.state == DONE) == (task.outputs is not None), f"J4: outputs of task {task.index}"
    assert (task.state == ASSIGNED) == bool(task.running), (
        f"J4: task {task.index} runs without being assigned"
    )

"""What a completion changes: the winner and what was given ahead of it, or a retry and its pause."""

from __future__ import annotations

from typing import Final

from swarm.core.rounding import to_ms
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.dispatch import Dispatcher
from swarm.scheduler.jobs import Job
from swarm.scheduler.task_graph import is_available
from swarm.scheduler.task_states import DONE, Task
from swarm.wire.facts import Completion, Failure
from swarm.wire.messages import ERROR_EXECUTOR_DIED

BACKOFF_MAX_S: Final = 10.0


def take_success(
    job: Job, task: Task, completion: Completion, dispatcher: Dispatcher, is_live: bool
) -> list[Task]:
    """Take a success of a task.

    Args:
        job, task: what succeeded.
        completion: the fact.
        dispatcher: takes back what was given ahead of the task in vain.
        is_live: whether the node that ran it tells it now, and so has the outputs. Of an old fact,
            inventories tell who has them.

    Returns:
        The tasks that are DONE now, and whose outputs nobody is known to have.
    """
    worker = dispatcher.workers.get(completion.node)
    speed = 1.0 if worker is None else worker.speed
    dispatcher.estimates.observe(task.spec.name, completion.duration_s, speed)
    if task.is_final() and (task.outputs is None or task.is_released):
        # Nobody needs what this late run has made.
        dispatcher.release(job, task.index, task.spec.output_count, [completion.node])
    if not job.accept_success(task, completion, is_live and worker is not None) and task.state != DONE:
        dispatcher.recall_ahead(job, task)
    won = job.won
    job.won = []
    doubtful: list[Task] = []
    for index in won:
        winner = job.tasks[index]
        dispatcher.recall_stray(job, winner)
        if not is_available(winner):
            doubtful.append(winner)
    return doubtful


def take_failure(
    job: Job,
    task: Task,
    completion: Completion,
    failure: Failure,
    dispatcher: Dispatcher,
    config: SchedulerConfig,
    now: float,
) -> None:
    """Take a failure of a task: it is tried again after a pause, or has failed for good.

    An attempt that killed its executor counts against another bound than one that failed by itself.
    """
    was_running = task.running.get(completion.attempt) == completion.node
    job.stop(task, completion.attempt, completion.node)
    if task.is_final():
        return
    if failure.kind == ERROR_EXECUTOR_DIED:
        task.deaths += 1
        is_over = task.deaths >= config.executor_deaths_max
        if is_over:
            failure = _poison(task.deaths, failure)
    else:
        task.failures += 1
        is_over = task.failures > task.spec.options.retries
        pause = config.retry_backoff_s * 2.0 ** min(task.failures - 1, 16)
        task.not_before = now + to_ms(min(pause, BACKOFF_MAX_S))
    task.ran_on, task.duration_s = completion.node, completion.duration_s
    dispatcher.recall_ahead(job, task)
    if is_over:
        job.fail(task, failure)
    elif was_running:
        job.give_back(task, completion.attempt)


def _poison(deaths: int, last: Failure) -> Failure:
    """Return the failure of a task that is given up because of the executors that died of it."""
    message = f"given up: {deaths} executors that ran it died, the last one: {last.message}"
    return Failure(last.kind, last.type_name, message, last.traceback, last.pickled)

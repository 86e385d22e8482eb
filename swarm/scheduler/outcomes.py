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
from swarm.wire.messages import ERROR_EXECUTOR_DIED, ERROR_NODE

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

    An attempt that killed its executor, or whose node could not do its part, counts against another bound
    than one that failed by itself.
    """
    was_running = task.running.get(completion.attempt) == completion.node
    job.stop(task, completion.attempt, completion.node)
    if task.is_final():
        return
    if failure.kind == ERROR_EXECUTOR_DIED:
        task.deaths += 1
        is_over = task.deaths >= config.executor_deaths_max
        if is_over:
            failure = _given_up(f"{task.deaths} executors that ran it died", failure)
    elif failure.kind == ERROR_NODE:
        task.node_faults += 1
        is_over = task.node_faults >= config.node_faults_max
        task.not_before = now + _pause_s(task.node_faults, config)
        if is_over:
            failure = _given_up(f"{task.node_faults} attempts failed because of their nodes", failure)
    else:
        task.failures += 1
        is_over = task.failures > task.spec.options.retries
        task.not_before = now + _pause_s(task.failures, config)
    task.ran_on, task.duration_s = completion.node, completion.duration_s
    dispatcher.recall_ahead(job, task)
    if is_over:
        job.fail(task, failure)
    elif was_running:
        job.give_back(task, completion.attempt)


def _pause_s(count: int, config: SchedulerConfig) -> float:
    """Return the pause after so many failures of a kind."""
    return to_ms(min(config.retry_backoff_s * 2.0 ** min(count - 1, 16), BACKOFF_MAX_S))


def _given_up(why: str, last: Failure) -> Failure:
    """Return the failure of a task that is given up although its own code did not fail."""
    message = f"given up: {why}, the last one: {last.message}"
    return Failure(last.kind, last.type_name, message, last.traceback, last.pickled)

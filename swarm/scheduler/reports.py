"""What nodes report besides completions: tasks given back, objects lost, printed output, results unwanted."""

from __future__ import annotations

from typing import Final

from swarm.core.ids import JOB_ID_SIZE, NODE_ID_SIZE, AttemptKey, JobId, NodeId
from swarm.scheduler.dispatch import Dispatcher
from swarm.scheduler.jobs import Job
from swarm.scheduler.watches import Watches
from swarm.scheduler.workers import Worker
from swarm.wire.codec import Body
from swarm.wire.facts import Completion, completion_untrusted


def completions_untrusted(body: Body) -> list[tuple[JobId, Completion]]:
    """Return the completions that a node reports; raises DecodeError, and then none counts."""
    completions: list[tuple[JobId, Completion]] = []
    for row in body.take_list():
        entry = Body([row]).take_body()
        completions.append((entry.take_id(JOB_ID_SIZE), completion_untrusted(entry.take_list())))
    return completions


LOSSES_FREE: Final = 3
LOSS_PAUSE_S: Final = 0.05


def take_retracted(jobs: dict[JobId, Job], dispatcher: Dispatcher, sender: NodeId, body: Body) -> list[JobId]:
    """Take back the attempts that a node gave back; return the jobs concerned.

    Raises:
        DecodeError: the body is malformed; rows before the bad one have been taken.
    """
    touched: list[JobId] = []
    worker = dispatcher.workers.get(sender)
    if worker is not None:
        worker.retract_open = False
    for row in body.take_list():
        entry = Body([row]).take_body()
        job = jobs.get(entry.take_id(JOB_ID_SIZE))
        index, attempt = entry.take_int(), entry.take_int()
        if job is None or index >= len(job.tasks) or job.tasks[index].running.get(attempt) != sender:
            continue
        dispatcher.end_attempt(sender, (job.job, index, attempt))
        job.tasks[index].retractions += 1
        job.give_back(job.tasks[index], attempt)
        dispatcher.recall_ahead(job, job.tasks[index])
        touched.append(job.job)
    return touched


def give_back_all(jobs: dict[JobId, Job], worker: Worker) -> list[JobId]:
    """Give back all that a node was given, which is gone or silent for long; return the jobs concerned."""
    touched: list[JobId] = []
    for key in list(worker.given):
        worker.take_back(key)
        job = jobs.get(key[0])
        if job is not None and job.tasks[key[1]].running.get(key[2]) == worker.node:
            job.give_back(job.tasks[key[1]], key[2])
            touched.append(key[0])
    return touched


def give_back_lost(jobs: dict[JobId, Job], worker: Worker) -> list[JobId]:
    """Give back what a node that is gone was given, and forget what it held; return the jobs concerned."""
    give_back_all(jobs, worker)
    for job in jobs.values():
        job.drop_holder(worker.node)
    return list(jobs)


def give_back_missing(
    jobs: dict[JobId, Job], dispatcher: Dispatcher, sender: NodeId, running: list[AttemptKey]
) -> list[JobId]:
    """Give back the attempts that a node was given and does not have: the orders were lost on the way.

    Nothing was given to it since its report was asked for, so what it does not name never arrived.
    """
    worker = dispatcher.workers[sender]
    worker.retract_open = False
    present = dict.fromkeys(running, True)
    touched: list[JobId] = []
    for key in list(worker.given):
        if key in present:
            continue
        worker.take_back(key)
        job = jobs.get(key[0])
        if job is not None and job.tasks[key[1]].running.get(key[2]) == sender:
            job.give_back(job.tasks[key[1]], key[2])
            touched.append(key[0])
    return touched


def take_lost(
    jobs: dict[JobId, Job], dispatcher: Dispatcher, sender: NodeId, body: Body, now: float
) -> list[tuple[Job, int]]:
    """Take that `sender` could not get objects from their holders; return the tasks that made them.

    The holder is believed to have lost the object, and the attempts that wait for it at `sender` are asked
    back, to be given out anew: after a pause when that has happened to them before. What runs already has
    its inputs and goes on. A holder that is there may be one that only opens connections itself: what is
    made anew is made elsewhere, if it fits elsewhere. Of a job that has ended nothing is made anew, so only
    the holder's own word counts.

    Raises:
        DecodeError: the body is malformed; rows before the bad one have been taken.
    """
    touched: list[tuple[Job, int]] = []
    waiting: dict[AttemptKey, bool] = {}
    for row in body.take_list():
        entry = Body([row]).take_body()
        job = jobs.get(entry.take_id(JOB_ID_SIZE))
        index, _, holder = entry.take_int(), entry.take_int(), entry.take_id(NODE_ID_SIZE)
        if job is None or index >= len(job.tasks):
            continue
        touched.append((job, index))
        task = job.tasks[index]
        if holder != sender and holder in dispatcher.workers:
            task.avoid(holder)
            dispatcher.note_cut(sender, holder, now)
        if job.verdict and holder != sender:
            continue  # What has ended is not made anew: the holder keeps what others cannot get now.
        if task.drop_node(holder):
            job.revive_if_lost(task)
        for number in task.dependents:
            dependent = job.tasks[number]
            for attempt, node in dependent.running.items():
                if node == sender:
                    waiting[(job.job, number, attempt)] = True
                    if dependent.retractions >= LOSSES_FREE:
                        pause_s = LOSS_PAUSE_S * 2.0 ** min(dependent.retractions - LOSSES_FREE, 6)
                        dependent.not_before = max(dependent.not_before, now + pause_s)
    dispatcher.retract(sender, list(waiting))
    return touched


def take_output(jobs: dict[JobId, Job], watches: Watches, body: Body) -> None:
    """Keep what tasks printed and pass it on to who watches; of some jobs not known yet as well.

    Raises:
        DecodeError: the body is malformed; rows before the bad one have been taken.
    """
    for row in body.take_list():
        entry = Body([row]).take_body()
        job_id = entry.take_id(JOB_ID_SIZE)
        fields: list[object] = [entry.take_int(), entry.take_int(), entry.take_int(), entry.take_int()]
        data = entry.take_bytes()
        fields.append(data)
        if job_id in jobs or watches.has_room_for(job_id, jobs):
            watches.add_output(job_id, fields, len(data))


def take_release(jobs: dict[JobId, Job], body: Body) -> list[JobId]:
    """Take that a client no longer wants results; return the jobs concerned.

    Raises:
        DecodeError: the body is malformed; nothing was taken.
    """
    job = jobs.get(body.take_id(JOB_ID_SIZE))
    indexes = body.take_list()
    if job is None:
        return []
    for index in indexes:
        if isinstance(index, int) and 0 <= index < len(job.tasks):
            job.unkeep(job.tasks[index])
    return [job.job]

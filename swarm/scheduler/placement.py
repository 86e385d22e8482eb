"""Choosing the node for a task: earliest estimated finish among the nodes with room.

HEFT's second phase without insertion (Topcuoglu et al. 2002, section 4.3), counting the bytes that
would have to move: what a node has queued, what it lacks of the inputs, how fast it is.
"""

from __future__ import annotations

from swarm.core.ids import NodeId
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.jobs import Job
from swarm.scheduler.ranking import Estimates
from swarm.scheduler.task_graph import is_available, producers_of
from swarm.scheduler.task_states import ASSIGNED, DONE, READY, WAITING, Task
from swarm.scheduler.workers import Worker
from swarm.wire.job_part import TaskOptions
from swarm.wire.messages import KIND_DATA
from swarm.wire.orders import Assignment, InputRef


def choose_worker(
    job: Job, task: Task, workers: list[Worker], estimates: Estimates, config: SchedulerConfig, now: float
) -> Worker | None:
    """Return the node that would finish a READY task first, None when none has room.

    Args:
        job, task: what to place.
        workers: candidates in a fixed order; ties go to the shorter queue, then to the earlier one.
        estimates: durations by task name.
        config: window and bandwidth.
        now: seconds.

    Nodes that lately did not get objects from the only holders of an input are chosen when no other fits,
    and so are those on which the task has failed and nothing has succeeded since some other tasks failed too.
    """
    # Where the inputs are not to be had nothing can be made, for whomever.
    workers = _without_cut_off(job, task, workers, now)
    if task.avoided is not None:
        workers = reachable_workers(task, workers)
    workers = _without_quarantined(task, workers)
    if task.failed_on is not None:
        others = [worker for worker in workers if worker.node not in task.failed_on]
        elsewhere = _earliest(job, task, others, estimates, config)
        if elsewhere is not None:
            return elsewhere
        if _has_fitting(others, task.spec.options):
            # Where nothing succeeds any more it would fail again, and soon have no attempt left.
            is_dubious = config.quarantine_tasks
            workers = [one for one in workers if one.node not in task.failed_on or one.failing < is_dubious]
    return _earliest(job, task, workers, estimates, config)


def _without_quarantined(task: Task, workers: list[Worker]) -> list[Worker]:
    """Return the nodes that are not quarantined, or may have this task as a probe; all when no other fits."""
    has_quarantined = False
    for worker in workers:
        has_quarantined = has_quarantined or worker.quarantine != ""
    if not has_quarantined:
        return workers
    options = task.spec.options
    if not _has_fitting(workers, options):
        return workers
    can_be_retried = task.failures < options.retries
    return [worker for worker in workers if worker.takes(can_be_retried)]


def _has_fitting(workers: list[Worker], options: TaskOptions) -> bool:
    """Return whether one of these is there, fits, and is not quarantined."""
    for worker in workers:
        if not worker.quarantine and worker.could_run(options):
            return True
    return False


def _earliest(
    job: Job, task: Task, workers: list[Worker], estimates: Estimates, config: SchedulerConfig
) -> Worker | None:
    """Return the node with room that would finish a task first, None when none has room."""
    options = task.spec.options
    name = task.spec.name
    estimate_s = estimates.duration_s(name)
    is_known = estimates.is_known(name)
    best: Worker | None = None
    best_finish = 0.0
    for worker in workers:
        if not worker.has_room(options, estimate_s, is_known, config) or worker.why_unfit(options):
            continue
        finish = _start_delay_s(worker, options.cpus) + estimate_s / worker.speed
        finish += missing_bytes(job, task, worker.node) / config.bandwidth_bytes_s
        if best is None or finish < best_finish:
            best = worker
            best_finish = finish
    return best


def reachable_workers(task: Task, workers: list[Worker]) -> list[Worker]:
    """Return the nodes from which others may get what a task makes, as far as is known; all if none fits."""
    avoided = task.avoided
    if avoided is None:
        return workers
    options = task.spec.options
    others = [worker for worker in workers if worker.node not in avoided]
    for worker in others:
        if worker.could_run(options):
            return others
    return workers


def _without_cut_off(job: Job, task: Task, workers: list[Worker], now: float) -> list[Worker]:
    """Return the nodes that get all inputs of a task, as far as is known; all if none does."""
    has_cuts = False
    for worker in workers:
        has_cuts = has_cuts or len(worker.cut_from) > 0
    if not has_cuts:
        return workers
    connected = [worker for worker in workers if not _is_cut_off(job, task, worker, now)]
    for worker in connected:
        if worker.could_run(task.spec.options):
            return connected
    return workers


def _is_cut_off(job: Job, task: Task, worker: Worker, now: float) -> bool:
    inputs = task.spec.inputs
    for position in range(0, len(inputs), 2):
        source = job.tasks[inputs[position]]
        output = inputs[position + 1]
        if source.has_data() or not source.holders or source.is_at(worker.node, output):
            continue
        is_reached = False
        for holder in source.holders:
            if worker.cut_from.get(holder, now) <= now:
                is_reached = True
        if not is_reached:
            return True
    return False


def _start_delay_s(worker: Worker, cpus: float) -> float:
    if worker.cores <= 0 or worker.cpus + cpus <= worker.cores:
        return worker.backlog_s * 1e-3
    return worker.backlog_s / worker.cores


def lacking_data(job: Job, task: Task) -> int:
    """Return an input of a task that the client brought and no node has at present, -1 when there is none."""
    for index in producers_of(task):
        source = job.tasks[index]
        if source.spec.kind == KIND_DATA and not is_available(source):
            return index
    return -1


def why_lacking(job: Job) -> str:
    """Return what people are told of READY tasks that wait for the client's bytes, "" when there are none."""
    for index in list(job.lacking):
        if job.tasks[index].state == READY:
            lacking = job.lacking[index]
            return f"waiting: no node has the bytes of task {lacking}, which the client brought"
        del job.lacking[index]
    return ""


def missing_bytes(job: Job, task: Task, node: NodeId) -> int:
    """Return how many bytes of a task's inputs are not on a node."""
    total = 0
    inputs = task.spec.inputs
    for position in range(0, len(inputs), 2):
        source = job.tasks[inputs[position]]
        output = inputs[position + 1]
        if source.outputs is not None and not source.is_at(node, output):
            if output < len(source.outputs):
                total += source.outputs[output].size
    return total


def choose_ahead(job: Job, task: Task, worker: Worker) -> Task | None:
    """Return the dependent that can follow `task` on the same node before `task` has ended.

    It is the most urgent dependent, when all its unfinished inputs are being made on that node.
    """
    best: Task | None = None
    for index in task.dependents:
        dependent = job.tasks[index]
        if dependent.state == WAITING and (best is None or dependent.rank > best.rank):
            best = dependent
    if best is None or worker.why_unfit(best.spec.options):
        return None
    if best.avoided is not None and worker.node in best.avoided:
        return None
    if best.spec.function >= 0 and not _is_coming(job.tasks[best.spec.function], worker):
        return None
    inputs = best.spec.inputs
    for position in range(0, len(inputs), 2):
        if not _is_coming(job.tasks[inputs[position]], worker):
            return None
    return best


def _is_coming(source: Task, worker: Worker) -> bool:
    if source.state == DONE:
        return not source.is_released and is_available(source)
    if source.state != ASSIGNED:
        return False
    for node in source.running.values():
        if node != worker.node:
            return False
    return True


def make_assignment(job: Job, task: Task, attempt: int, node: NodeId) -> Assignment:
    """Return the order to run an attempt on a node; small inputs the node lacks ride along.

    The node is noted as a holder of those.
    """
    spec = task.spec
    function = None
    if spec.function >= 0:
        function = _refer(job.tasks[spec.function], 0, node)
    inputs: list[InputRef] = []
    for position in range(0, len(spec.inputs), 2):
        inputs.append(_refer(job.tasks[spec.inputs[position]], spec.inputs[position + 1], node))
    for position in range(0, len(spec.inputs), 2):
        _note_copy(job.tasks[spec.inputs[position]], spec.inputs[position + 1], node)
    if spec.function >= 0:
        _note_copy(job.tasks[spec.function], 0, node)
    options = spec.options
    return Assignment(
        job.job,
        task.index,
        attempt,
        spec.kind,
        spec.name,
        function,
        spec.payload,
        inputs,
        spec.output_count,
        options.cpus,
        options.memory_bytes,
        options.timeout_s,
    )


def _refer(source: Task, output: int, node: NodeId) -> InputRef:
    if source.state != DONE or source.outputs is None:
        return InputRef(source.index, output, None, 0, 0, None, [])
    made = source.outputs[output]
    has_copy = source.is_at(node, output)
    holders: list[NodeId] = []
    if made.data is None:
        holders = [node] if has_copy else list(source.holders)
    data = None if has_copy else made.data
    return InputRef(source.index, output, made.digest, made.size, made.encoding, data, holders)


def _note_copy(source: Task, output: int, node: NodeId) -> None:
    if source.outputs is not None and source.outputs[output].data is not None:
        source.note_copy(node, output)

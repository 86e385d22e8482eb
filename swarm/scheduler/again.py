"""The tasks of an ended job, for a new job that does what this one did not: the answer to `swarm retry`.

A job that has ended stays ended: its facts only grow. So what it did not do is done by a new job, with the
same tasks under the same numbers. In place of a task that is done stands its result, as data, where it can be
had: a small one is in the facts, a large one may be in a store, unless it was given up when nothing needed it
any more. What has to run again is

* what failed or was cancelled, or never ran;
* what is done, but its result is wanted by something that runs again, or kept, and nobody has it any more, or
  it has more than one output, as data never has.

What is done and wanted by nothing that runs again is data without bytes.
"""

from __future__ import annotations

from typing import Final

from swarm.core.ids import short
from swarm.scheduler.jobs import VERDICT_DONE, Job
from swarm.scheduler.task_graph import is_available, producers_of
from swarm.scheduler.task_states import DONE, Task
from swarm.wire.facts import Completion, Output, digest_of
from swarm.wire.job_part import JobPart, TaskSpec, data_payload
from swarm.wire.messages import ENCODING_RAW, KIND_DATA

TASKS_MAX: Final = 5_000
BYTES_MAX: Final = 4 * 1024 * 1024
"""Of tasks in one answer, about; it ends behind the task that reaches one of both."""

RUN: Final = 0
TAKE: Final = 1
LEAVE: Final = 2

_NOTHING: Final = data_payload(Output(digest_of(b""), 0, ENCODING_RAW, b""))


def again(job: Job, facts: list[Completion], first: int) -> dict[str, object] | str:
    """Return some tasks of an ended job for a new one, or why there is nothing to run again.

    Args:
        job: which.
        facts: what is known of its attempts.
        first: number of the first task that is wanted.

    Returns:
        ``job``, ``name``, ``on_error`` and ``priority`` of the old job; ``tasks``, how many it has;
        ``again``, how many of them run again; ``part``, the tasks from `first` on as a job part; ``bring``,
        the numbers of those among them whose bytes the client has to fetch from the old job and bring.
    """
    refusal = _refusal(job)
    if refusal:
        return refusal
    small = _small_results(job, facts)
    plan = _plan(job.tasks, small)
    lost = [task.spec.name for task in job.tasks if plan[task.index] == RUN and task.spec.kind == KIND_DATA]
    if lost:
        return f"job {short(job.job)} cannot be run again: its argument {lost[0]} is lost; submit it anew"
    specs: list[TaskSpec] = []
    bring: list[int] = []
    size = 0
    for task in job.tasks[first:]:
        spec, is_brought = _stand_in(task, plan[task.index], small.get(task.index))
        specs.append(spec)
        size += len(spec.payload)
        if is_brought:
            bring.append(task.index)
        if len(specs) >= TASKS_MAX or size >= BYTES_MAX:
            break
    return {
        "job": job.job,
        "name": job.name,
        "on_error": "fail" if job.fails_whole else "continue",
        "priority": job.priority,
        "tasks": len(job.tasks),
        "again": plan.count(RUN),
        "part": JobPart(first, {}, specs).to_wire(),
        "bring": bring,
    }


def _refusal(job: Job) -> str:
    """Return why a job cannot be run again, "" when it can."""
    name = short(job.job)
    if not job.verdict:
        return f"job {name} has not ended; wait for it, or `swarm cancel {name}`"
    if job.is_session:
        return f"job {name} is what a script submitted task by task; run the script again"
    if job.verdict == VERDICT_DONE and not job.failed:
        return f"job {name} is done: there is nothing to run again"
    if not job.has_all_parts():
        return f"job {name} never came whole; submit it anew"
    return ""


def _small_results(job: Job, facts: list[Completion]) -> dict[int, Output]:
    """Return the results of one output that facts carry, by task."""
    small: dict[int, Output] = {}
    for completion in facts:
        outputs = completion.outputs
        if (
            outputs is None
            or len(outputs) != 1
            or outputs[0].data is None
            or completion.task >= len(job.tasks)
        ):
            continue
        won = job.tasks[completion.task].outputs
        if won is not None and won[0].digest == outputs[0].digest:
            small[completion.task] = outputs[0]
    return small


def _plan(tasks: list[Task], small: dict[int, Output]) -> list[int]:
    """Return for each task whether it runs again, its result is taken, or it is left out."""
    plan = [LEAVE] * len(tasks)
    wanted = [task.is_kept for task in tasks]
    for task in reversed(tasks):
        if task.state != DONE:
            plan[task.index] = RUN
        elif wanted[task.index]:
            plan[task.index] = TAKE if task.index in small or _is_in_a_store(task) else RUN
        if plan[task.index] == RUN:
            for producer in producers_of(task):
                wanted[producer] = True
    return plan


def _is_in_a_store(task: Task) -> bool:
    return task.spec.output_count == 1 and not task.is_released and is_available(task)


def _stand_in(task: Task, what: int, small: Output | None) -> tuple[TaskSpec, bool]:
    """Return what stands for a task in the new job, and whether the client has to bring its bytes."""
    spec = task.spec
    if what == RUN:
        return spec, False
    outputs = task.outputs
    if what == LEAVE or outputs is None:
        return TaskSpec(KIND_DATA, spec.name, -1, _NOTHING, [], 1, spec.options, False), False
    output = small or outputs[0]
    taken = TaskSpec(KIND_DATA, spec.name, -1, data_payload(output), [], 1, spec.options, spec.is_kept)
    return taken, output.data is None

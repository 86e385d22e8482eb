"""Questions about the edges of a job's graph, and the failure that travels along them."""

from __future__ import annotations

from swarm.core.ids import NodeId
from swarm.scheduler.task_states import DONE, Task
from swarm.wire.facts import Completion, Failure, Output, digest_of_inputs
from swarm.wire.job_part import JobPart
from swarm.wire.messages import ERROR_DEPENDENCY


def producers_of(task: Task) -> list[int]:
    """Return the tasks whose outputs a task needs, each once, its function's first."""
    spec = task.spec
    inputs = spec.inputs
    if not inputs:
        return [spec.function] if spec.function >= 0 else []
    seen: dict[int, bool] = {}
    if spec.function >= 0:
        seen[spec.function] = True
    for position in range(0, len(inputs), 2):
        seen[inputs[position]] = True
    return list(seen)


def expected_inputs_digest(tasks: list[Task], task: Task) -> bytes | None:
    """Return the digest that a success of `task` must carry (P3), None while an input has no winner."""
    digests: list[bytes] = []
    inputs = task.spec.inputs
    for position in range(0, len(inputs), 2):
        source = tasks[inputs[position]]
        output = inputs[position + 1]
        if source.state != DONE or source.outputs is None or output >= len(source.outputs):
            return None
        digests.append(source.outputs[output].digest)
    return digest_of_inputs(digests)


def is_available(task: Task) -> bool:
    """Return whether a DONE task's outputs can still be had."""
    return bool(task.holders) or task.has_data()


def dependency_failure(name: str) -> Failure:
    """Return the failure of a task that needs the failed task `name`."""
    return Failure(ERROR_DEPENDENCY, "", f"not run: it needs {name}, which failed or was cancelled", "", b"")


def give_up_outputs(task: Task) -> list[NodeId]:
    """Drop the bytes of a released task; return who held them, [] when it is wanted again."""
    if task.state != DONE or not task.is_released or task.outputs is None:
        return []
    holders = list(task.holders)
    holders.extend(task.copies)
    if task.avoided is not None:
        # They were believed to have lost the outputs, and may have them.
        holders.extend([node for node in task.avoided if node not in holders])
    task.holders = {}
    task.copies = {}
    task.outputs = [Output(output.digest, output.size, output.encoding, None) for output in task.outputs]
    return holders


def missing_output(tasks: list[Task], part: JobPart) -> str:
    """Return why an input that a part takes from earlier parts cannot exist, "" when all can.

    Inputs from within a part were checked when it was decoded.
    """
    for position, spec in enumerate(part.tasks):
        for place in range(0, len(spec.inputs), 2):
            source, output = spec.inputs[place], spec.inputs[place + 1]
            if source < part.first_task and output >= tasks[source].spec.output_count:
                index = part.first_task + position
                return f"task {index} needs output {output} of task {source}, which has none of that number"
    return ""


def told_failure(task: Task) -> Completion:
    """Return the completion by which watchers learn of a failed task."""
    assert task.failure is not None, "a failed task has a failure"
    attempt = max(task.attempts, 1)
    return Completion(task.index, attempt, task.ran_on, b"", task.duration_s, None, task.failure)

"""Estimates of durations, and upward ranks.

The upward rank of a task is the length in seconds of the longest estimated path from its start to the
end of the job. Source: Topcuoglu, Hariri, Wu, "Performance-effective and low-complexity task
scheduling for heterogeneous computing" (HEFT, 2002), equation 5, with communication left out until
sizes are known.
"""

from __future__ import annotations

from typing import Final, final

from swarm.scheduler.task_states import Task

WEIGHT: Final = 0.2
ANCESTOR_STEPS_MAX: Final = 256
NAMES_MAX: Final = 10_000


@final
class Estimates:
    """Mean run times by task name, in seconds on a node of speed 1."""

    def __init__(self, default_s: float, overhead_s: float) -> None:
        self._default_s: Final = default_s
        self._overhead_s: Final = overhead_s
        self._means: dict[str, float] = {}

    def is_known(self, name: str) -> bool:
        """Return whether any task of this name has been measured."""
        return name in self._means

    def duration_s(self, name: str) -> float:
        """Return the estimate for a task of this name, overhead included."""
        return self._means.get(name, self._default_s) + self._overhead_s

    def observe(self, name: str, duration_s: float, speed: float) -> None:
        """Take a measured run on a node of relative speed `speed` > 0 (exponential mean)."""
        measured = duration_s * speed
        known = self._means.get(name)
        if known is not None:
            self._means[name] = known + WEIGHT * (measured - known)
        elif len(self._means) < NAMES_MAX:
            self._means[name] = measured


def rank_new_tasks(tasks: list[Task], first: int, estimates: Estimates) -> None:
    """Set the ranks of tasks[first:] and raise those of their ancestors, a bounded number of steps.

    Args:
        tasks: all tasks of a job, inputs before users.
        first: index of the first new one.
        estimates: durations by name.
    """
    raised: list[int] = []
    for index in range(len(tasks) - 1, first - 1, -1):
        task = tasks[index]
        task.rank = estimates.duration_s(task.spec.name) + _longest(tasks, task)
        _note_old_producers(task, first, raised)
    steps = 0
    while raised and steps < ANCESTOR_STEPS_MAX:
        steps += 1
        task = tasks[raised.pop()]
        rank = estimates.duration_s(task.spec.name) + _longest(tasks, task)
        if rank > task.rank and not task.is_final():
            task.rank = rank
            _note_old_producers(task, len(tasks), raised)


def _longest(tasks: list[Task], task: Task) -> float:
    longest = 0.0
    for dependent in task.dependents:
        rank = tasks[dependent].rank
        longest = max(longest, rank)
    return longest


def _note_old_producers(task: Task, first: int, raised: list[int]) -> None:
    inputs = task.spec.inputs
    for position in range(0, len(inputs), 2):
        if inputs[position] < first and len(raised) < ANCESTOR_STEPS_MAX:
            raised.append(inputs[position])

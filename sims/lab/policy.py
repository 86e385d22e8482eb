"""What a placement policy is: it looks at a :class:`View` and returns :class:`Assignment` objects.

A policy is any object with a method ``decide(view) -> list[Assignment]``; it may have ``begin(view, rng)``
too. Both see the same view, which follows the run. ``decide`` is called once at the start and then after
every instant in which a task ended or became ready (or as seldom as the problem says). A smallest one::

    from sims.lab.policy import Assignment

    class First:
        def decide(self, view):
            return [Assignment(task, view.fitting(task)[0]) for task in view.new_ready]

In a file ``mine.py`` it is called ``"mine.py:First"`` (see `sims.lab.policies`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, final

from sims.lab.problem import Problem, Worker
from sims.lab.user_code import told
from sims.workload.graph import TaskGraph
from swarm.core.errors import SwarmError
from swarm.core.rng import Rng

WAITING: Final = 0
READY: Final = 1
RUNNING: Final = 2
ENDED: Final = 3
"""States of a task: an input does not exist yet; all exist; it runs; its objects exist."""


class PolicyError(SwarmError):
    """A policy cannot be loaded, or decided something impossible; the run was given up."""


@final
class Assignment:
    """A decision: where a task shall run, and how urgent it is there.

    Attributes:
        task: that has not begun.
        worker: its number.
        priority: on a worker, downloads and tasks of higher priority come first.
    """

    def __init__(self, task: int, worker: int, priority: float = 0.0) -> None:
        if type(task) is not int or type(worker) is not int:
            raise PolicyError(
                f"an assignment names a task and a worker by number, not {task!r} and {worker!r}"
            )
        self.task: Final = task
        self.worker: Final = worker
        self.priority: Final = float(priority)

    def __repr__(self) -> str:
        return f"Assignment(task={self.task}, worker={self.worker}, priority={self.priority})"


class Policy(Protocol):
    """What decides where tasks run."""

    def decide(self, view: View) -> list[Assignment]:
        """Return new decisions; a task that has not begun may be assigned again, elsewhere."""


class BeginningPolicy(Policy, Protocol):
    """A policy that prepares itself before the first decision."""

    def begin(self, view: View, rng: Rng) -> None:
        """Look at the problem; random choices come from `rng`, so that a seed repeats them."""


@final
class View:
    """What a policy may know, at the time of a decision. Policies read it and change nothing.

    Attributes:
        now: seconds since the start.
        graph: the tasks, with the run times and sizes that the problem's `imode` tells.
        workers: what they are.
        new_ready: tasks that became ready since the last decision, rising.
        new_ended: tasks that ended since then, rising.
        states: WAITING, READY, RUNNING or ENDED, by task.
        worker_of: where a task was assigned to, -1 when to no worker, by task.
        began_s: when a task began, by task; meaningful from RUNNING on.
        free_cpus: cores without a task, by worker.
        queued: tasks assigned and not begun -> priority, by worker, in order of assignment.
        running: tasks that run -> when they began, by worker.
        holders: workers that have an object -> True, by object; empty while it does not exist.
        coming: objects that are downloaded or wait for it -> True, by worker.
        sizes_bytes: the true size of an object that exists, else what the policy is told, by object.
        bandwidth_bytes_s: rate between two workers that the policy is told.
    """

    def __init__(self, problem: Problem) -> None:
        graph = problem.told_graph()
        count = len(problem.workers)
        self.now = 0.0
        self.graph: Final[TaskGraph] = graph
        self.workers: Final[Sequence[Worker]] = problem.workers
        self.new_ready: list[int] = []
        self.new_ended: list[int] = []
        self.states: Final = [WAITING] * len(graph)
        self.worker_of: Final = [-1] * len(graph)
        self.began_s: Final = [0.0] * len(graph)
        self.free_cpus: Final = [worker.cpus for worker in problem.workers]
        self.queued: Final[list[dict[int, float]]] = [{} for _ in range(count)]
        self.running: Final[list[dict[int, float]]] = [{} for _ in range(count)]
        self.holders: Final[list[dict[int, bool]]] = [{} for _ in graph.producers]
        self.coming: Final[list[dict[int, bool]]] = [{} for _ in range(count)]
        self.sizes_bytes: Final = list(graph.sizes_bytes)
        self.bandwidth_bytes_s: Final = problem.told_bandwidth_bytes_s()
        self._problem: Final = problem

    def run_s(self, task: int, worker: int) -> float:
        """Return how long a task is expected to run on a worker."""
        return self._problem.scaled_s(self.graph.durations_s[task], task, worker)

    def mean_run_s(self, task: int) -> float:
        """Return the mean of :meth:`run_s` over the workers that are wide enough."""
        fitting = self.fitting(task)
        return sum([self.run_s(task, worker) for worker in fitting]) / len(fitting)

    def fitting(self, task: int) -> list[int]:
        """Return the workers that have as many cores as a task needs, at least one."""
        cpus = self.graph.cpus[task]
        return [number for number, worker in enumerate(self.workers) if worker.cpus >= cpus]

    def rate_bytes_s(self, source: int, target: int) -> float:
        """Return the rate from one worker to another without contention."""
        return min(self.workers[source].up_bytes_s, self.workers[target].down_bytes_s)

    def missing_bytes(self, task: int, worker: int, is_coming_here: bool = True) -> int:
        """Return the bytes of a task's inputs that a worker lacks.

        Args:
            task: whose inputs.
            worker: where they would be needed.
            is_coming_here: whether objects on their way count as being there.
        """
        total = 0
        for item in self.graph.inputs[task]:
            if worker not in self.holders[item] and not (is_coming_here and item in self.coming[worker]):
                total += self.sizes_bytes[item]
        return total

    def ready_tasks(self) -> list[int]:
        """Return the tasks that are ready and assigned nowhere, rising."""
        return [task for task, state in enumerate(self.states) if state == READY and self.worker_of[task] < 0]


def ask(policy: str, method: Callable[..., object], *arguments: object) -> object:
    """Return what a method of a policy says.

    Raises:
        PolicyError: it raised something; names the policy, the method, the error, and its line.
    """
    try:
        return method(*arguments)
    except PolicyError:
        raise
    except (Exception, SystemExit) as error:
        name = getattr(method, "__name__", "it")
        raise PolicyError(f"policy {policy}: {name}() failed: {told(error)}") from error


def check_assignment(assignment: object, view: View, policy: str) -> Assignment:
    """Return a decision of a policy if it is possible.

    Raises:
        PolicyError: names the policy, the task and the worker.
    """
    if not isinstance(assignment, Assignment):
        raise PolicyError(f"policy {policy}: decide() returned {assignment!r}, it must return Assignments")
    task, worker = assignment.task, assignment.worker
    if not 0 <= task < len(view.graph):
        raise PolicyError(f"policy {policy}: task {task} is not known; there are {len(view.graph)}")
    if not 0 <= worker < len(view.workers):
        raise PolicyError(
            f"policy {policy}: task {task} was assigned to the unknown worker {worker}; "
            f"there are {len(view.workers)}"
        )
    if view.graph.cpus[task] > view.workers[worker].cpus:
        raise PolicyError(
            f"policy {policy}: task {task} needs {view.graph.cpus[task]} cpus, worker {worker} has "
            f"{view.workers[worker].cpus}"
        )
    if view.states[task] >= RUNNING:
        raise PolicyError(f"policy {policy}: task {task} was assigned again after it had begun")
    if not assignment.priority == assignment.priority:
        raise PolicyError(f"policy {policy}: the priority of task {task} is not a number")
    return assignment

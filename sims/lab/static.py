"""Static placement: the whole graph is planned at the start, on estimates (HEFT, CPOP, PEFT).

A plan knows no contention: a transfer takes the bytes of the edge divided by the rate between two workers,
and no time inside a worker. Tasks are inserted into the earliest gap in which enough cores are free.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, final

from sims.lab.policy import Assignment, View
from sims.lab.timeline import Timeline
from swarm.core.rng import Rng


class StaticPlan:
    """A plan in the making: where tasks are put, from when to when.

    Args:
        view: the problem as a policy sees it.

    Attributes:
        workers: of each task, -1 while it is not planned.
        ends_s: planned ends.
    """

    def __init__(self, view: View) -> None:
        self._view: Final = view
        self._timelines: Final = [Timeline(worker.cpus) for worker in view.workers]
        count = len(view.graph)
        self._parents: Final = [view.graph.parent_bytes(task) for task in range(count)]
        self.workers: Final = [-1] * count
        self.ends_s: Final = [0.0] * count

    def begin_s(self, task: int, worker: int) -> float:
        """Return the earliest time at which a worker could begin a task whose parents are all planned."""
        view = self._view
        arrival_s = 0.0
        for parent, size in self._parents[task].items():
            source = self.workers[parent]
            there_s = self.ends_s[parent]
            if source != worker:
                there_s += size / view.rate_bytes_s(source, worker)
            arrival_s = max(arrival_s, there_s)
        return self._timelines[worker].earliest_s(arrival_s, view.run_s(task, worker), view.graph.cpus[task])

    def put(self, task: int, worker: int) -> None:
        """Plan a task on a worker as early as it can begin there."""
        begin_s = self.begin_s(task, worker)
        end_s = begin_s + self._view.run_s(task, worker)
        self._timelines[worker].reserve(begin_s, end_s, self._view.graph.cpus[task])
        self.workers[task] = worker
        self.ends_s[task] = end_s

    def put_earliest(self, task: int) -> None:
        """Plan a task on the worker where it ends first; of equals, the one with the smallest number."""
        best = -1
        best_end_s = 0.0
        for worker in self._view.fitting(task):
            end_s = self.begin_s(task, worker) + self._view.run_s(task, worker)
            if best < 0 or end_s < best_end_s:
                best, best_end_s = worker, end_s
        self.put(task, best)

    def makespan_s(self) -> float:
        """Return the planned end of the last task."""
        return max(self.ends_s)


class StaticPolicy(ABC):
    """A policy that makes a plan at the start; subclasses say how.

    Attributes:
        planned_s: the makespan that the plan foresees, once made.
    """

    def __init__(self) -> None:
        self.planned_s = 0.0
        self._assignments: list[Assignment] = []

    def begin(self, view: View, rng: Rng) -> None:
        """Make the plan."""
        plan = StaticPlan(view)
        priorities = self.make(plan, view)
        self.planned_s = plan.makespan_s()
        self._assignments = [
            Assignment(task, plan.workers[task], priorities[task]) for task in range(len(view.graph))
        ]

    @abstractmethod
    def make(self, plan: StaticPlan, view: View) -> list[float]:
        """Put every task into the plan; return the priorities."""

    def decide(self, view: View) -> list[Assignment]:
        """Return the whole plan the first time, nothing afterwards."""
        assignments = self._assignments
        self._assignments = []
        return assignments


@final
class Heft(StaticPolicy):
    """HEFT: by upward rank, each on the worker where it ends first.

    Source: Topcuoglu, Hariri, Wu, "Performance-effective and low-complexity task scheduling for
    heterogeneous computing" (2002), section 4.1, insertion-based.
    """

    def make(self, plan: StaticPlan, view: View) -> list[float]:
        ranks = upward_ranks_s(view)
        for task in by_falling(ranks):
            plan.put_earliest(task)
        return ranks


@final
class Cpop(StaticPolicy):
    """CPOP: tasks of the critical path go to the worker that runs the path fastest, the others as in HEFT.

    Source: Topcuoglu, Hariri, Wu (2002), section 4.2. On unequal cores only workers wide enough for all
    tasks of the path are candidates for it.
    """

    def make(self, plan: StaticPlan, view: View) -> list[float]:
        graph = view.graph
        up, down = upward_ranks_s(view), downward_ranks_s(view)
        priorities = [up[task] + down[task] for task in range(len(graph))]
        path = _critical_path(view, priorities)
        candidates = [
            number
            for number, worker in enumerate(view.workers)
            if worker.cpus >= max([graph.cpus[task] for task in path])
        ]
        lengths_s = [sum([view.run_s(task, worker) for task in path]) for worker in candidates]
        fastest = candidates[lengths_s.index(min(lengths_s))]
        on_path = dict.fromkeys(path, True)
        lacking = [len(graph.parents(task)) for task in range(len(graph))]
        ready = [task for task in range(len(graph)) if not lacking[task]]
        while ready:
            task = max(ready, key=lambda number: (priorities[number], -number))
            ready.remove(task)
            if task in on_path:
                plan.put(task, fastest)
            else:
                plan.put_earliest(task)
            for child in graph.children(task):
                lacking[child] -= 1
                if not lacking[child]:
                    ready.append(child)
        return priorities


@final
class Peft(StaticPolicy):
    """PEFT: as HEFT, but looks ahead by an optimistic cost table.

    Source: Arabnejad, Barbosa, "List scheduling algorithm for heterogeneous systems by an optimistic cost
    table" (2014), equations 4 to 6.
    """

    def make(self, plan: StaticPlan, view: View) -> list[float]:
        graph = view.graph
        costs = _optimistic_costs_s(view)
        ranks = [sum(row) / len(row) for row in costs]
        lacking = [len(graph.parents(task)) for task in range(len(graph))]
        ready = [task for task in range(len(graph)) if not lacking[task]]
        order: list[int] = []
        while ready:
            task = max(ready, key=lambda number: (ranks[number], -number))
            ready.remove(task)
            order.append(task)
            best, best_s = -1, 0.0
            for worker in view.fitting(task):
                end_s = plan.begin_s(task, worker) + view.run_s(task, worker) + costs[task][worker]
                if best < 0 or end_s < best_s:
                    best, best_s = worker, end_s
            plan.put(task, best)
            for child in graph.children(task):
                lacking[child] -= 1
                if not lacking[child]:
                    ready.append(child)
        priorities = [0.0] * len(graph)
        for place, task in enumerate(order):
            priorities[task] = float(len(order) - place)
        return priorities


def upward_ranks_s(view: View) -> list[float]:
    """Return the upward rank of every task: the longest mean path from its start to the end of the graph.

    Source: Topcuoglu, Hariri, Wu (2002), equation 5; transfers take their mean over all pairs of workers.
    """
    graph = view.graph
    byte_s = mean_byte_s(view)
    ranks = [0.0] * len(graph)
    for task in range(len(graph) - 1, -1, -1):
        ranks[task] += view.mean_run_s(task)
        for parent, size in graph.parent_bytes(task).items():
            ranks[parent] = max(ranks[parent], size * byte_s + ranks[task])
    return ranks


def downward_ranks_s(view: View) -> list[float]:
    """Return the downward rank of every task: the longest mean path from the beginning to its start.

    Source: Topcuoglu, Hariri, Wu (2002), equation 7.
    """
    graph = view.graph
    byte_s = mean_byte_s(view)
    ranks = [0.0] * len(graph)
    for task in range(len(graph)):
        for parent, size in graph.parent_bytes(task).items():
            ranks[task] = max(ranks[task], ranks[parent] + view.mean_run_s(parent) + size * byte_s)
    return ranks


def mean_byte_s(view: View) -> float:
    """Return the mean time that a byte takes between two different workers, seconds; 0 with one worker."""
    count = len(view.workers)
    times_s = [
        1 / view.rate_bytes_s(source, target)
        for source in range(count)
        for target in range(count)
        if source != target
    ]
    return sum(times_s) / len(times_s) if times_s else 0.0


def by_falling(values: list[float]) -> list[int]:
    """Return the numbers of values from the largest to the smallest; of equals, the smaller number first."""
    return sorted(range(len(values)), key=lambda number: (-values[number], number))


def _critical_path(view: View, priorities: list[float]) -> list[int]:
    """Return the tasks of the critical path, from the entry with the highest priority on."""
    graph = view.graph
    entries = [task for task in range(len(graph)) if not graph.inputs[task]]
    task = max(entries, key=lambda number: (priorities[number], -number))
    path = [task]
    while True:
        children = graph.children(task)
        if not children:
            return path
        task = max(children, key=lambda number: (priorities[number], -number))
        path.append(task)


def _optimistic_costs_s(view: View) -> list[list[float]]:
    graph = view.graph
    count = len(view.workers)
    byte_s = mean_byte_s(view)
    costs = [[0.0] * count for _ in range(len(graph))]
    for child in range(len(graph) - 1, -1, -1):
        fitting = dict.fromkeys(view.fitting(child), True)
        ahead = [costs[child][worker] + view.run_s(child, worker) for worker in range(count)]
        least = min([ahead[worker] for worker in fitting])
        for parent, size in graph.parent_bytes(child).items():
            elsewhere = least + size * byte_s
            row = costs[parent]
            for worker in range(count):
                best = min(elsewhere, ahead[worker]) if worker in fitting else elsewhere
                row[worker] = max(row[worker], best)
    return costs

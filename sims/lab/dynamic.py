"""Dynamic placement: a task is placed when it becomes ready, by what is known then.

List policies place every ready task at once, on the worker where it is estimated to begin (or, with unequal
workers, to end) first, counting what is queued there and what would have to be moved.
"""

from __future__ import annotations

from math import ceil, inf
from typing import Final, final

from sims.lab.policy import Assignment, View
from sims.workload.graph import bottom_levels_s, top_levels_s
from swarm.core.rng import Rng

ORDERS: Final = ("blevel", "tlevel", "mcp", "random")


def order_priorities(order: str, view: View, rng: Rng) -> list[float]:
    """Return the priority of every task under an order; the highest goes first.

    Args:
        order: "blevel", the longest path of run times to the end; "tlevel", the shortest from the beginning
            first; "mcp", the smallest latest start (ALAP) first, where a tie goes to the task whose
            first descendants are more urgent (Wu and Gajski, "Hypertool", 1990); "random".
        view: the problem.
        rng: for "random".
    """
    graph = view.graph
    count = len(graph)
    if order == "blevel":
        return bottom_levels_s(graph, graph.durations_s)
    if order == "tlevel":
        return [-level for level in top_levels_s(graph, graph.durations_s)]
    if order == "mcp":
        levels = bottom_levels_s(graph, graph.durations_s)
        longest = max(levels)
        lists = [
            sorted([longest - levels[child] for child in graph.children(task)])[:8] for task in range(count)
        ]
        places = sorted(range(count), key=lambda task: (longest - levels[task], lists[task], task))
    else:
        places = list(range(count))
        rng.shuffle(places)
    priorities = [0.0] * count
    for place, task in enumerate(places):
        priorities[task] = float(count - place)
    return priorities


@final
class Loads:
    """Estimates, at the time of a decision, of when the cores of every worker are free.

    Args:
        view: the state of the run.
        is_speed_aware: whether run times and rates are those of each worker, or the same for all.
    """

    def __init__(self, view: View, is_speed_aware: bool) -> None:
        self._view: Final = view
        self._is_speed_aware: Final = is_speed_aware
        self._cores: Final[list[list[float]]] = []
        for worker, machine in enumerate(view.workers):
            cores = [view.now] * max(int(machine.cpus), 1)
            self._cores.append(cores)
            for task, began_s in view.running[worker].items():
                self._occupy(worker, task, max(began_s + self.run_s(task, worker), view.now))
            waiting = sorted(view.queued[worker].items(), key=lambda entry: -entry[1])
            for task, _ in waiting:
                self.put(task, worker)

    def run_s(self, task: int, worker: int) -> float:
        """Return how long a task is estimated to run on a worker."""
        if self._is_speed_aware:
            return self._view.run_s(task, worker)
        return self._view.graph.durations_s[task]

    def begin_s(self, task: int, worker: int) -> float:
        """Return when a task is estimated to begin on a worker: cores free, and inputs there."""
        free_s = self._cores[worker][self._width(task, worker) - 1]
        return max(free_s, self._view.now + self.moving_s(task, worker))

    def end_s(self, task: int, worker: int) -> float:
        """Return when a task is estimated to end on a worker."""
        return self.begin_s(task, worker) + self.run_s(task, worker)

    def moving_s(self, task: int, worker: int) -> float:
        """Return how long a worker waits for the inputs of a task that are not there nor on their way.

        Downloads are taken to run side by side, so that the largest one counts.
        """
        view = self._view
        moving_s = 0.0
        for item in view.graph.inputs[task]:
            if worker not in view.holders[item] and item not in view.coming[worker]:
                rate = view.bandwidth_bytes_s
                if self._is_speed_aware:
                    rate = view.rate_bytes_s(view.worker_of[view.graph.producers[item]], worker)
                moving_s = max(moving_s, view.sizes_bytes[item] / rate)
        return moving_s

    def put(self, task: int, worker: int) -> None:
        """Count a task among those queued on a worker."""
        self._occupy(worker, task, self.begin_s(task, worker) + self.run_s(task, worker))

    def choose(self, task: int) -> int:
        """Return the worker where a task begins first (ends first, when speeds count)."""
        best, best_s = -1, inf
        for worker in self._view.fitting(task):
            when_s = self.end_s(task, worker) if self._is_speed_aware else self.begin_s(task, worker)
            if when_s < best_s:
                best, best_s = worker, when_s
        return best

    def _occupy(self, worker: int, task: int, until_s: float) -> None:
        cores = self._cores[worker]
        width = self._width(task, worker)
        cores[:width] = [until_s] * width
        cores.sort()

    def _width(self, task: int, worker: int) -> int:
        return min(max(ceil(self._view.graph.cpus[task]), 1), len(self._cores[worker]))


@final
class ListPolicy:
    """A list policy with an order that is known at the start.

    Args:
        order: see :func:`order_priorities`.
        is_speed_aware: whether it counts the speeds and rates of workers.
    """

    def __init__(self, order: str, is_speed_aware: bool = True) -> None:
        self._order: Final = order
        self._is_speed_aware: Final = is_speed_aware
        self._priorities: list[float] = []

    def begin(self, view: View, rng: Rng) -> None:
        """Compute the order."""
        self._priorities = order_priorities(self._order, view, rng)

    def decide(self, view: View) -> list[Assignment]:
        """Place what became ready, the most urgent first."""
        ready = view.ready_tasks()
        if not ready:
            return []
        loads = Loads(view, self._is_speed_aware)
        priorities = self._priorities
        assignments: list[Assignment] = []
        for task in sorted(ready, key=lambda number: (-priorities[number], number)):
            worker = loads.choose(task)
            loads.put(task, worker)
            assignments.append(Assignment(task, worker, priorities[task]))
        return assignments


@final
class PairPolicy:
    """ETF and DLS: of all ready tasks and workers, the best pair goes first.

    Args:
        is_dls: DLS takes the largest b-level minus begin (Sih and Lee, 1993); ETF the earliest begin, and of
            equal ones the larger b-level (Hwang, Chow, Anger, Lee, 1989).
        is_speed_aware: whether it counts the speeds and rates of workers; it then counts the end in place of
            the begin.
    """

    def __init__(self, is_dls: bool, is_speed_aware: bool = True) -> None:
        self._is_dls: Final = is_dls
        self._is_speed_aware: Final = is_speed_aware
        self._levels: list[float] = []

    def begin(self, view: View, rng: Rng) -> None:
        """Compute the b-levels."""
        self._levels = bottom_levels_s(view.graph, view.graph.durations_s)

    def decide(self, view: View) -> list[Assignment]:
        """Place what became ready."""
        ready = view.ready_tasks()
        if not ready:
            return []
        loads = Loads(view, self._is_speed_aware)
        costs = {task: [self._cost(loads, task, worker) for worker in view.fitting(task)] for task in ready}
        assignments: list[Assignment] = []
        while costs:
            best = min(costs, key=lambda task: (min(costs[task]), -self._levels[task], task))
            fitting = view.fitting(best)
            worker = fitting[costs[best].index(min(costs[best]))]
            del costs[best]
            loads.put(best, worker)
            assignments.append(Assignment(best, worker, self._levels[best]))
            for task, row in costs.items():
                fitting = view.fitting(task)
                if worker in fitting:
                    row[fitting.index(worker)] = self._cost(loads, task, worker)
        return assignments

    def _cost(self, loads: Loads, task: int, worker: int) -> float:
        when_s = loads.end_s(task, worker) if self._is_speed_aware else loads.begin_s(task, worker)
        return when_s - self._levels[task] if self._is_dls else when_s

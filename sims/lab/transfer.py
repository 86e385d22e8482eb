"""Simple placements, and those that go by the bytes to be moved: greedy transfer and work stealing."""

from __future__ import annotations

from typing import Final, final

from sims.lab.dynamic import order_priorities
from sims.lab.policy import Assignment, View
from sims.workload.graph import bottom_levels_s
from swarm.core.rng import Rng


@final
class Single:
    """Everything on the worker with the most cores times speed, by b-level."""

    def __init__(self) -> None:
        self._assignments: list[Assignment] = []

    def begin(self, view: View, rng: Rng) -> None:
        """Choose the worker."""
        power = [worker.cpus * worker.speed for worker in view.workers]
        widest = max([worker.cpus for worker in view.workers])
        needed = max(view.graph.cpus)
        able = [number for number, worker in enumerate(view.workers) if worker.cpus >= min(needed, widest)]
        chosen = max(able, key=lambda number: (power[number], -number))
        levels = bottom_levels_s(view.graph, view.graph.durations_s)
        self._assignments = [Assignment(task, chosen, levels[task]) for task in range(len(view.graph))]

    def decide(self, view: View) -> list[Assignment]:
        """Return the whole plan the first time."""
        assignments = self._assignments
        self._assignments = []
        return assignments


@final
class RandomStatic:
    """Every task on a random worker that is wide enough, drawn in proportion to cores."""

    def __init__(self) -> None:
        self._assignments: list[Assignment] = []

    def begin(self, view: View, rng: Rng) -> None:
        """Draw the plan."""
        levels = bottom_levels_s(view.graph, view.graph.durations_s)
        for task in range(len(view.graph)):
            fitting = view.fitting(task)
            left = rng.unit() * sum([view.workers[worker].cpus for worker in fitting])
            chosen = fitting[-1]
            for worker in fitting:
                left -= view.workers[worker].cpus
                if left < 0:
                    chosen = worker
                    break
            self._assignments.append(Assignment(task, chosen, levels[task]))

    def decide(self, view: View) -> list[Assignment]:
        """Return the whole plan the first time."""
        assignments = self._assignments
        self._assignments = []
        return assignments


@final
class GreedyTransfer:
    """A ready task goes to a worker with free cores that lacks the fewest bytes; with none it waits.

    Source: the "-gt" schedulers of Estee (Beránek, Böhm, Cima, 2022). Ties go to the faster worker, then to
    a random one.

    Args:
        order: see `sims.lab.dynamic.order_priorities`.
    """

    def __init__(self, order: str) -> None:
        self._order: Final = order
        self._priorities: list[float] = []
        self._rng = Rng("")

    def begin(self, view: View, rng: Rng) -> None:
        """Compute the order."""
        self._rng = rng
        self._priorities = order_priorities(self._order, view, rng)

    def decide(self, view: View) -> list[Assignment]:
        """Place what fits now, the most urgent first."""
        priorities = self._priorities
        free = _unclaimed_cpus(view)
        assignments: list[Assignment] = []
        for task in sorted(view.ready_tasks(), key=lambda number: (-priorities[number], number)):
            cpus = view.graph.cpus[task]
            able = [worker for worker in view.fitting(task) if free[worker] >= cpus]
            if able:
                worker = _fewest_bytes(view, task, able, self._rng)
                free[worker] -= cpus
                assignments.append(Assignment(task, worker, priorities[task]))
        return assignments


@final
class WorkStealing:
    """A ready task goes where most of its bytes are, whatever is queued there; starving workers steal.

    A worker with a free core and nothing queued takes a task that has not begun from the worker with the
    longest queue for its power; of those, the one for which it lacks the fewest bytes.

    Source: the "ws" scheduler of Estee (Beránek, Böhm, Cima, 2022), after the scheduler of Dask.
    """

    def __init__(self) -> None:
        self._priorities: list[float] = []
        self._rng = Rng("")

    def begin(self, view: View, rng: Rng) -> None:
        """Compute the b-levels."""
        self._rng = rng
        self._priorities = bottom_levels_s(view.graph, view.graph.durations_s)

    def decide(self, view: View) -> list[Assignment]:
        """Place what became ready, then even out."""
        queued: list[dict[int, bool]] = [dict.fromkeys(tasks, True) for tasks in view.queued]
        chosen: dict[int, int] = {}
        for task in sorted(view.ready_tasks(), key=lambda number: (-self._priorities[number], number)):
            worker = _fewest_bytes(view, task, view.fitting(task), self._rng)
            chosen[task] = worker
            queued[worker][task] = True
        self._steal(view, queued, chosen)
        return [Assignment(task, worker, self._priorities[task]) for task, worker in chosen.items()]

    def _steal(self, view: View, queued: list[dict[int, bool]], chosen: dict[int, int]) -> None:
        """Move queued tasks to workers that have room for them now."""
        free = [
            view.free_cpus[worker] - sum([view.graph.cpus[task] for task in queued[worker]])
            for worker in range(len(view.workers))
        ]
        thieves = sorted(
            [worker for worker in range(len(free)) if free[worker] > 0],
            key=lambda worker: (-view.workers[worker].speed, worker),
        )
        for thief in thieves:
            while free[thief] > 0:
                task, victim = self._loot(view, queued, free, thief)
                if task < 0:
                    break
                cpus = view.graph.cpus[task]
                del queued[victim][task]
                queued[thief][task] = True
                chosen[task] = thief
                free[victim] += cpus
                free[thief] -= cpus

    def _loot(
        self, view: View, queued: list[dict[int, bool]], free: list[float], thief: int
    ) -> tuple[int, int]:
        """Return a task that a thief should take and from whom, (-1, -1) for none."""
        best, victim = -1, -1
        longest_s = 0.0
        for worker, tasks in enumerate(queued):
            if free[worker] < 0:
                power = view.workers[worker].cpus * view.workers[worker].speed
                waiting_s = (
                    sum([view.graph.durations_s[task] * view.graph.cpus[task] for task in tasks]) / power
                )
                if waiting_s > longest_s and any(view.graph.cpus[task] <= free[thief] for task in tasks):
                    longest_s, victim = waiting_s, worker
        if victim < 0:
            return -1, -1
        least = (0, 0.0)
        for task in queued[victim]:
            if view.graph.cpus[task] <= free[thief]:
                cost = (view.missing_bytes(task, thief), -self._priorities[task])
                if best < 0 or cost < least:
                    best, least = task, cost
        return best, victim


def _unclaimed_cpus(view: View) -> list[float]:
    """Return the cores of each worker that neither run a task nor wait for one's inputs."""
    return [
        view.free_cpus[worker] - sum([view.graph.cpus[task] for task in view.queued[worker]])
        for worker in range(len(view.workers))
    ]


def _fewest_bytes(view: View, task: int, able: list[int], rng: Rng) -> int:
    """Return the one of some workers that lacks the fewest bytes; of those the fastest, then a random one."""
    costs = [(view.missing_bytes(task, worker), -view.workers[worker].speed) for worker in able]
    least = min(costs)
    return rng.choose([worker for worker, cost in zip(able, costs, strict=True) if cost == least])

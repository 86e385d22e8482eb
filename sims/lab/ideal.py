"""The ideal execution model: a graph, workers and a network, without any cost of talking about it.

The discrete-event model of Estee's simulator (Beránek, Böhm, Cima, "Analysis of workflow schedulers in
simulated distributed environments", J. Supercomputing 2022), by which placement policies are compared:

1. A policy assigns a task to a worker with a priority, at any time before it begins.
2. As soon as an input object of an assigned task exists anywhere, the worker queues its download, once for
   each object, with the highest priority of the tasks that need it, and before all others if at that instant
   all inputs of the task exist. So inputs come while cores are busy with other tasks.
3. Downloads begin in order of priority, always from the worker that made the object. "maxmin": at most 4 at
   once for each worker, of these at most 2 from one source. "simple": no limit.
4. A task whose inputs are all on its worker is ready to begin. Such tasks wait in order of priority; whenever
   a task ends or one gets there, the worker walks the list and begins every task that fits into the free
   cores. Tasks that get there in one instant come one after the other by number, and each may begin at
   once; those of one batch of decisions come together.
5. Objects stay where they are. A task holds its cores for its whole run and is not interrupted.

The order within an instant: downloads that end, in the order in which they began; then tasks that end: their
cores go to waiting tasks, their objects are queued for download, and free slots for downloads are
filled; then tasks that wait for those objects on the same worker; then the policy.
"""

from __future__ import annotations

from typing import Final, final

from sims.engine import Engine
from sims.lab.policy import (
    ENDED,
    READY,
    RUNNING,
    Assignment,
    Policy,
    PolicyError,
    View,
    ask,
    check_assignment,
)
from sims.lab.problem import Problem
from sims.network.flows import FlowNetwork
from swarm.core.rng import Rng

DOWNLOADS_MAX: Final = 4
DOWNLOADS_PER_SOURCE_MAX: Final = 2
DECISIONS_MAX: Final = 1000
"""Decisions in one instant after which a policy is taken for going round in circles."""

_TASK_END: Final = 1
_DECIDE: Final = 2
_DECIDED: Final = 3

_UNLIMITED: Final = 1 << 60


@final
class IdealOutcome:
    """How a run went.

    Attributes:
        makespan_s: when the last task ended.
        began_s, ended_s, workers: of each task.
        downloads: how many objects were moved.
        moved_bytes: their bytes.
        decisions: how often the policy was asked.
        stale: decisions that came too late, for tasks that had begun meanwhile.
    """

    def __init__(self, began_s: list[float], ended_s: list[float], workers: list[int]) -> None:
        self.makespan_s: Final = max(ended_s)
        self.began_s: Final = began_s
        self.ended_s: Final = ended_s
        self.workers: Final = workers
        self.downloads = 0
        self.moved_bytes = 0
        self.decisions = 0
        self.stale = 0


@final
class _Queues:
    """What waits at one worker.

    Attributes:
        tasks: ready to begin: (-priority, order, task), sorted.
        downloads: (0 for urgent else 1, -priority, order, object), sorted.
        from_source: downloads under way by source.
        under_way: downloads under way.
    """

    def __init__(self) -> None:
        self.tasks: list[tuple[float, int, int]] = []
        self.downloads: list[tuple[int, float, int, int]] = []
        self.from_source: dict[int, int] = {}
        self.under_way = 0


@final
class IdealRun:
    """One run of a problem under a policy.

    Args:
        problem: what is to be done.
        policy: who decides.
        seed: for the random choices of the policy.
        name: of the policy, for messages.
    """

    def __init__(self, problem: Problem, policy: Policy, seed: str = "0", name: str = "") -> None:
        graph = problem.graph
        self._problem: Final = problem
        self._graph: Final = graph
        self._policy: Final = policy
        self._name: Final = name or type(policy).__name__
        self._rng: Final = Rng(f"policy:{seed}")
        self._engine: Final = Engine()
        self._view: Final = View(problem)
        self._flows: Final = FlowNetwork(
            [worker.up_bytes_s for worker in problem.workers],
            [worker.down_bytes_s for worker in problem.workers],
            problem.network == "maxmin",
        )
        is_limited = problem.network == "maxmin"
        self._downloads_max: Final = DOWNLOADS_MAX if is_limited else _UNLIMITED
        self._per_source_max: Final = DOWNLOADS_PER_SOURCE_MAX if is_limited else _UNLIMITED
        self._queues: Final = [_Queues() for _ in problem.workers]
        self._transfers: Final[dict[int, tuple[int, int]]] = {}
        self._lacking: Final = [len(needed) for needed in graph.inputs]
        self._unmade: Final = [len(needed) for needed in graph.inputs]
        self._ended_s: Final = [-1.0] * len(graph)
        self._left = len(graph)
        self._order = 0
        self._last_decision_s = -1.0
        self._decisions_now = 0
        self._is_decision_planned = False
        self._downloads = 0
        self._moved_bytes = 0
        self._decisions = 0
        self._stale = 0

    def run(self) -> IdealOutcome:
        """Run to the end.

        Raises:
            PolicyError: the policy failed, decided something impossible, or left a task unassigned for ever.
        """
        view = self._view
        begin = getattr(self._policy, "begin", None)
        if begin is not None:
            ask(self._name, begin, view, self._rng)
        for task, needed in enumerate(self._graph.inputs):
            if not needed:
                view.states[task] = READY
                view.new_ready.append(task)
        self._request_decision(0.0)
        while self._left:
            now = min(self._engine.next_time(), self._flows.next_end())
            if now == float("inf"):
                self._complain()
            self._step(now)
        outcome = IdealOutcome(view.began_s[:], self._ended_s[:], view.worker_of[:])
        outcome.downloads = self._downloads
        outcome.moved_bytes = self._moved_bytes
        outcome.decisions = self._decisions
        outcome.stale = self._stale
        return outcome

    def _step(self, now: float) -> None:
        """Do all that happens in one instant, but for what its decisions lead to."""
        view = self._view
        if now > view.now:
            self._decisions_now = 0
        view.now = now
        ended: list[int] = []
        decided: list[list[Assignment]] = []
        is_asked = False
        while self._engine.next_time() <= now:
            event = self._engine.pop()
            if event.kind == _TASK_END:
                ended.append(event.target)
            elif event.kind == _DECIDE:
                is_asked = True
            else:
                batch = event.first
                assert isinstance(batch, list), "decisions come as a list"
                decided.append(batch)
        freed = self._end_downloads(now)
        self._end_tasks(ended, freed)
        for worker in freed:
            self._start_downloads(worker)
        self._enter_local(ended)
        for assignments in decided:
            self._apply(assignments)
        if is_asked:
            self._decide()
        elif view.new_ready or view.new_ended:
            self._request_decision(now)

    # Tasks

    def _end_tasks(self, ended: list[int], freed: dict[int, bool]) -> None:
        """Free the cores of tasks that ended in one instant, and make their objects."""
        view = self._view
        graph = self._graph
        workers: dict[int, bool] = {}
        for task in ended:
            worker = view.worker_of[task]
            view.states[task] = ENDED
            view.new_ended.append(task)
            self._ended_s[task] = view.now
            self._left -= 1
            del view.running[worker][task]
            view.free_cpus[worker] += graph.cpus[task]
            workers[worker] = True
        for worker in workers:
            self._begin_tasks(worker)
        for task in ended:
            for item in graph.outputs[task]:
                view.sizes_bytes[item] = graph.sizes_bytes[item]
                view.holders[item][view.worker_of[task]] = True
                for consumer in graph.consumers[item]:
                    self._unmade[consumer] -= 1
                    if self._unmade[consumer] == 0:
                        view.states[consumer] = READY
                        view.new_ready.append(consumer)
        view.new_ended.sort()
        view.new_ready.sort()
        for task in ended:
            for item in graph.outputs[task]:
                for consumer in graph.consumers[item]:
                    worker = view.worker_of[consumer]
                    if worker >= 0 and worker != view.worker_of[task]:
                        self._queue_download(worker, item, consumer)
                        freed[worker] = True

    def _enter_local(self, ended: list[int]) -> None:
        """Let the tasks in that wait for objects which were made on their own worker."""
        arrived: list[int] = []
        for task in ended:
            for item in self._graph.outputs[task]:
                self._note_arrival(self._view.worker_of[task], item, arrived)
        arrived.sort()
        self._enter(arrived)

    def _enter(self, tasks: list[int]) -> None:
        """Let tasks that have all their inputs wait on their workers, one after the other."""
        for task in tasks:
            worker = self._view.worker_of[task]
            self._wait(task, worker)
            self._begin_tasks(worker)

    def _wait(self, task: int, worker: int) -> None:
        self._order += 1
        queue = self._queues[worker]
        queue.tasks.append((-self._view.queued[worker][task], self._order, task))
        queue.tasks.sort()

    def _begin_tasks(self, worker: int) -> None:
        """Begin every waiting task that fits into the free cores, in order of priority."""
        view = self._view
        queue = self._queues[worker]
        left: list[tuple[float, int, int]] = []
        for entry in queue.tasks:
            task = entry[2]
            if self._graph.cpus[task] > view.free_cpus[worker]:
                left.append(entry)
                continue
            view.free_cpus[worker] -= self._graph.cpus[task]
            view.states[task] = RUNNING
            view.began_s[task] = view.now
            del view.queued[worker][task]
            view.running[worker][task] = view.now
            self._engine.schedule(view.now + self._problem.run_s(task, worker), _TASK_END, task, None, None)
        queue.tasks = left

    # Downloads

    def _queue_download(self, worker: int, item: int, task: int) -> None:
        """Queue the download of an object that exists for a task, or raise the priority of the one queued."""
        view = self._view
        if worker in view.holders[item]:
            return
        self._order += 1
        entry = (0 if self._unmade[task] == 0 else 1, -view.queued[worker][task], self._order, item)
        downloads = self._queues[worker].downloads
        if item in view.coming[worker]:
            for place, known in enumerate(downloads):
                if known[3] == item and entry[:2] < known[:2]:
                    downloads[place] = (entry[0], entry[1], known[2], item)
        else:
            view.coming[worker][item] = True
            downloads.append(entry)

    def _start_downloads(self, worker: int) -> None:
        """Begin queued downloads of a worker as far as the limits allow, in order of priority."""
        queue = self._queues[worker]
        if not queue.downloads or queue.under_way >= self._downloads_max:
            return
        queue.downloads.sort()
        left: list[tuple[int, float, int, int]] = []
        for place, entry in enumerate(queue.downloads):
            if queue.under_way >= self._downloads_max:
                left.extend(queue.downloads[place:])
                break
            item = entry[3]
            source = self._view.worker_of[self._graph.producers[item]]
            under_way = queue.from_source.get(source, 0)
            if under_way >= self._per_source_max:
                left.append(entry)
                continue
            queue.from_source[source] = under_way + 1
            queue.under_way += 1
            size = self._graph.sizes_bytes[item]
            self._downloads += 1
            self._moved_bytes += size
            self._transfers[self._downloads] = (worker, item)
            self._flows.start(self._downloads, source, worker, size, self._view.now)
        queue.downloads = left

    def _end_downloads(self, now: float) -> dict[int, bool]:
        """Take the downloads that end now, let waiting tasks in; return the workers concerned."""
        concerned: dict[int, bool] = {}
        if self._flows.next_end() > now:
            return concerned
        arrived: list[int] = []
        for transfer in self._flows.take_ended(now):
            worker, item = self._transfers.pop(transfer)
            queue = self._queues[worker]
            queue.under_way -= 1
            queue.from_source[self._view.worker_of[self._graph.producers[item]]] -= 1
            del self._view.coming[worker][item]
            self._view.holders[item][worker] = True
            concerned[worker] = True
            self._note_arrival(worker, item, arrived)
        self._enter(arrived)
        return concerned

    def _note_arrival(self, worker: int, item: int, arrived: list[int]) -> None:
        """Add the tasks to `arrived` that have all their inputs on their worker, now that it has `item`."""
        for task in self._graph.consumers[item]:
            if self._view.worker_of[task] == worker:
                self._lacking[task] -= 1
                if self._lacking[task] == 0:
                    arrived.append(task)

    # Decisions

    def _request_decision(self, now: float) -> None:
        """Ask the policy as soon as the problem allows, unless it will be asked anyway."""
        if not self._is_decision_planned:
            self._is_decision_planned = True
            when = now
            if self._last_decision_s >= 0:
                when = max(now, self._last_decision_s + self._problem.least_gap_s)
            self._engine.schedule(when, _DECIDE, -1, None, None)

    def _decide(self) -> None:
        view = self._view
        self._is_decision_planned = False
        self._last_decision_s = view.now
        self._decisions += 1
        self._decisions_now += 1
        if self._decisions_now > DECISIONS_MAX:
            raise PolicyError(
                f"policy {self._name}: {DECISIONS_MAX} decisions at {view.now} s, no end in sight"
            )
        decided: object = ask(self._name, self._policy.decide, view)
        view.new_ready = []
        view.new_ended = []
        if not isinstance(decided, list):
            raise PolicyError(f"policy {self._name}: decide() returned {decided!r}, it must return a list")
        assignments = [check_assignment(item, view, self._name) for item in decided]
        if not assignments:
            return
        if self._problem.delay_s > 0:
            self._engine.schedule(view.now + self._problem.delay_s, _DECIDED, -1, assignments, None)
        else:
            self._apply(assignments)

    def _apply(self, assignments: list[Assignment]) -> None:
        """Carry out decisions: all enter their workers' lists before the first begins."""
        view = self._view
        changed: dict[int, bool] = {}
        arrived: list[int] = []
        for assignment in assignments:
            task, worker = assignment.task, assignment.worker
            if view.states[task] >= RUNNING:
                self._stale += 1
                continue
            if view.worker_of[task] >= 0:
                self._withdraw(task)
            view.worker_of[task] = worker
            view.queued[worker][task] = assignment.priority
            changed[worker] = True
            lacking = 0
            for item in self._graph.inputs[task]:
                if worker not in view.holders[item]:
                    lacking += 1
                    if view.holders[item]:
                        self._queue_download(worker, item, task)
            self._lacking[task] = lacking
            if lacking == 0:
                arrived.append(task)
        arrived.sort()
        for task in arrived:
            if view.worker_of[task] >= 0 and view.states[task] < RUNNING:
                self._wait(task, view.worker_of[task])
        for worker in changed:
            self._start_downloads(worker)
            self._begin_tasks(worker)

    def _withdraw(self, task: int) -> None:
        """Take a task that has not begun off its worker, with the downloads that only it needs there."""
        view = self._view
        graph = self._graph
        worker = view.worker_of[task]
        queue = self._queues[worker]
        view.worker_of[task] = -1
        del view.queued[worker][task]
        queue.tasks = [entry for entry in queue.tasks if entry[2] != task]
        needless: dict[int, bool] = {}
        for item in graph.inputs[task]:
            if not any([view.worker_of[other] == worker for other in graph.consumers[item]]):
                needless[item] = True
        left: list[tuple[int, float, int, int]] = []
        for entry in queue.downloads:
            if entry[3] in needless:
                del view.coming[worker][entry[3]]
            else:
                left.append(entry)
        queue.downloads = left

    def _complain(self) -> None:
        waiting = [task for task, when in enumerate(self._ended_s) if when < 0]
        lost = [task for task in waiting if self._view.worker_of[task] < 0]
        named = ", ".join([str(task) for task in (lost or waiting)[:5]])
        raise PolicyError(
            f"policy {self._name}: nothing happens after {self._view.now} s, and {len(waiting)} tasks have "
            f"not run; not assigned: {len(lost)}, for example {named}"
        )


@final
class FixedPlan:
    """A policy that assigns everything at the start.

    Args:
        workers: the worker of each task.
        priorities: of each task.
    """

    def __init__(self, workers: list[int], priorities: list[float]) -> None:
        self._workers: Final = workers
        self._priorities: Final = priorities
        self._is_done = False

    def decide(self, view: View) -> list[Assignment]:
        """Return the whole plan the first time, nothing afterwards."""
        if self._is_done:
            return []
        self._is_done = True
        return [Assignment(task, worker, self._priorities[task]) for task, worker in enumerate(self._workers)]


def run_plan(problem: Problem, workers: list[int], priorities: list[float]) -> IdealOutcome:
    """Run a fixed plan: the worker and the priority of each task, all assigned at the start.

    Raises:
        PolicyError: the plan is impossible.
    """
    return IdealRun(problem, FixedPlan(workers, priorities), name="plan").run()

"""Giving tasks to nodes: one pass per batch of events, orders in batches, and taking work back.

A pass fills the windows of all nodes (`workers`), job by job: higher priority first, then the job that
occupies the fewest cores, so that a newcomer starts at once on a full mesh. A task may be followed on the
same node by the dependent that waits for it alone (run-ahead): a chain then runs at the speed of one
node's pipes. When a node stands idle and nothing is ready, the longest queue gives back what it has
not started.
"""

from __future__ import annotations

import math
from typing import Final

from swarm.core.effects import Effect, Message, Notify
from swarm.core.ids import AttemptKey, NodeId, short
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.jobs import Job
from swarm.scheduler.placement import (
    choose_ahead,
    choose_worker,
    lacking_data,
    make_assignment,
    why_lacking,
)
from swarm.scheduler.ranking import Estimates
from swarm.scheduler.task_graph import give_up_outputs
from swarm.scheduler.task_states import ASSIGNED, Task
from swarm.scheduler.workers import Worker
from swarm.wire.batches import BYTES_MAX, cut_rows, weight_of
from swarm.wire.job_part import TaskOptions
from swarm.wire.messages import ASSIGN, CANCEL_ATTEMPTS, OBJECT_GIVE, RELEASE_OBJECTS, RETRACT
from swarm.wire.orders import brought_rows

TURN: Final = 32
ORDER_BATCH: Final = 1000
RETRACTIONS_MAX: Final = 2
RETRACT_PAUSE_S: Final = 0.1
BROUGHT_RETRY_S: Final = 0.5
CONFINED_RETRY_S: Final = 0.1
CONFINED_MAX: Final = 100
"""So many tasks of a kind, whose only nodes are full, one pass sets aside in favour of those behind them."""


class Dispatcher:
    """The nodes, the estimates and the orders not sent yet."""

    def __init__(self, config: SchedulerConfig) -> None:
        self._config = config
        self.workers: dict[NodeId, Worker] = {}
        self.estimates = Estimates(config.default_duration_s, config.overhead_s)
        self.delayed: list[tuple[float, Job, Task]] = []
        self.given = 0
        self._fitting: dict[TaskOptions, list[Worker]] = {}
        self._assign: dict[NodeId, list[object]] = {}
        self._bring: dict[NodeId, list[object]] = {}
        self._cancel: dict[NodeId, list[object]] = {}
        self._release: dict[NodeId, list[object]] = {}
        self._effects: list[Effect] = []

    # Nodes

    def update_worker(self, node: NodeId, facts: dict[str, object]) -> Worker:
        """Take a member's facts; it is known from now on."""
        worker = self.workers.get(node)
        if worker is None:
            worker = Worker(node, facts)
            self.workers[node] = worker
            self.workers = {key: self.workers[key] for key in sorted(self.workers)}
        else:
            worker.update(facts)
        self._fitting = {}
        return worker

    def remove_worker(self, node: NodeId) -> Worker | None:
        """Forget a node."""
        self._fitting = {}
        for orders in (self._assign, self._bring, self._cancel, self._release):
            orders.pop(node, None)
        return self.workers.pop(node, None)

    def note_cut(self, one: NodeId, two: NodeId, now: float) -> None:
        """Take that an object did not come from one node to another; both ways are taken for equal."""
        worker, other = self.workers.get(one), self.workers.get(two)
        if worker is not None and other is not None and one != two:
            worker.note_cut(two, now)
            other.note_cut(one, now)

    def has_all_reports(self) -> bool:
        """Return whether no node still owes the answer to a REPORT_WANTED."""
        for worker in self.workers.values():
            if not worker.has_reported:
                return False
        return True

    def end_attempt(self, node: NodeId, attempt: AttemptKey) -> None:
        """Count an attempt as over."""
        worker = self.workers.get(node)
        if worker is not None:
            worker.take_back(attempt)

    # A pass

    def place(self, jobs: list[Job], now: float) -> None:
        """Give out what can be given out now."""
        active = [job for job in jobs if job.ready_count > 0 and not job.verdict]
        while active:
            active.sort(key=_turn_order)
            still: list[Job] = []
            for job in active:
                if self._place_some(job, now):
                    still.append(job)
            active = still

    def _place_some(self, job: Job, now: float) -> bool:
        placed = 0
        stall = ""
        for klass, options in enumerate(job.classes):
            if not job.ready[klass]:
                continue
            workers = self._fitting.get(options)
            if workers is None:
                workers = [worker for worker in self.workers.values() if not worker.why_unfit(options)]
                self._fitting[options] = workers
            if not workers:
                stall = self._why_nothing_fits(options)
            else:
                placed += self._place_class(job, klass, workers, TURN - placed, now)
        self._note_stall(job, stall or why_lacking(job))
        return placed >= TURN

    def _place_class(self, job: Job, klass: int, workers: list[Worker], most: int, now: float) -> int:
        """Give out READY tasks of one kind to nodes that fit; return how many, `most` at most."""
        placed = 0
        confined = 0
        while placed < most:
            task = job.pop_ready(klass)
            if task is None:
                break
            if task.not_before > now:
                self.delayed.append((task.not_before, job, task))
                continue
            if job.has_brought and self._lacks_data(job, task, now):
                continue
            worker = choose_worker(job, task, workers, self.estimates, self._config, now)
            if worker is not None:
                self._give(job, task, worker, False)
                self._run_ahead(job, task, worker)
                placed += 1
            elif confined < CONFINED_MAX and self._has_room(task, workers):
                # The nodes that get its inputs are full, others are not.
                self.delayed.append((now + CONFINED_RETRY_S, job, task))
                confined += 1
            else:
                job.push_back(task)
                break
        return placed

    def _has_room(self, task: Task, workers: list[Worker]) -> bool:
        """Return whether some node would take a task of this kind."""
        name = task.spec.name
        estimate_s = self.estimates.duration_s(name)
        is_known = self.estimates.is_known(name)
        for worker in workers:
            if worker.has_room(task.spec.options, estimate_s, is_known, self._config):
                return True
        return False

    def _lacks_data(self, job: Job, task: Task, now: float) -> bool:
        """Let a task wait whose client's bytes no node has at present; return whether it does."""
        lacking = lacking_data(job, task)
        if lacking < 0:
            job.lacking.pop(task.index, None)
            return False
        job.lacking[task.index] = lacking
        self.delayed.append((now + BROUGHT_RETRY_S, job, task))
        return True

    def _why_nothing_fits(self, options: TaskOptions) -> str:
        reasons = [worker.why_unfit(options) for worker in self.workers.values()]
        first = reasons[0] if reasons else "no node runs tasks"
        return f"waiting: no node of {len(reasons)} fits; for one, {first}"

    def _note_stall(self, job: Job, stall: str) -> None:
        if job.stall != stall:
            job.stall = stall
            job.changed = True
            if stall:
                self._effects.append(Notify("job_stalled", {"job": short(job.job), "reason": stall}))

    def _give(self, job: Job, task: Task, worker: Worker, is_ahead: bool) -> None:
        attempt = job.start(task, worker.node, is_ahead)
        spec = task.spec
        is_fixed = is_ahead or task.retractions >= RETRACTIONS_MAX
        estimate_s = self.estimates.duration_s(spec.name)
        worker.give((job.job, task.index, attempt), spec.options, estimate_s, is_fixed)
        order = make_assignment(job, task, attempt, worker.node)
        if weight_of(order.to_wire()) > BYTES_MAX:
            # Its inputs would not fit into a message: they go ahead by themselves, and it finds them there.
            self._bring.setdefault(worker.node, []).extend(brought_rows(order))
            order = make_assignment(job, task, attempt, worker.node)
        self._assign.setdefault(worker.node, []).append(order.to_wire())
        self.given += 1

    def _run_ahead(self, job: Job, task: Task, worker: Worker) -> None:
        while not worker.quarantine:
            follower = choose_ahead(job, task, worker)
            if follower is None:
                break
            name = follower.spec.name
            estimate_s = self.estimates.duration_s(name)
            if not self.estimates.is_known(name) or not worker.has_room(
                follower.spec.options, estimate_s, True, self._config
            ):
                return
            self._give(job, follower, worker, True)
            task = follower

    def forget_job(self, job: Job) -> None:
        """Cancel what runs of a job that is gone, and forget what waits."""
        for task in job.tasks:
            for attempt, node in list(task.running.items()):
                self.cancel(job, task.index, attempt, node)
        self.delayed = [entry for entry in self.delayed if entry[1] is not job]

    def wake_delayed(self, now: float) -> float:
        """Make tasks whose back-off is over ready again; return when the next one is due."""
        waiting: list[tuple[float, Job, Task]] = []
        earliest = math.inf
        for entry in self.delayed:
            if entry[0] <= now:
                entry[1].push_back(entry[2])
            else:
                waiting.append(entry)
                earliest = min(earliest, entry[0])
        self.delayed = waiting
        return earliest

    # Taking back

    def cancel(self, job: Job, index: int, attempt: int, node: NodeId) -> None:
        """Tell a node that an attempt is of no use."""
        self.end_attempt(node, (job.job, index, attempt))
        worker = self.workers.get(node)
        if worker is not None:
            if not worker.has_reported:
                worker.cancelled[(job.job, index, attempt)] = True
            self._cancel.setdefault(node, []).append([job.job, index, attempt])

    def cancel_stopped(self, job: Job) -> None:
        """Tell nodes of the attempts of a job that are of no use any more."""
        for index, attempt, node in job.stopped:
            self.cancel(job, index, attempt, node)
        job.stopped = []

    def release_idle(self, job: Job) -> None:
        """Tell nodes of the outputs of a job that nobody needs any more."""
        for index in job.released:
            holders = give_up_outputs(job.tasks[index])
            self.release(job, index, job.tasks[index].spec.output_count, holders)
        job.released = []

    def recall_ahead(self, job: Job, task: Task) -> None:
        """Take back the attempts that were given out ahead of `task`, which did not succeed."""
        stack = [task]
        while stack:
            source = stack.pop()
            for index in source.dependents:
                dependent = job.tasks[index]
                if dependent.state == ASSIGNED and dependent.ahead:
                    for attempt, node in list(dependent.running.items()):
                        self.cancel(job, index, attempt, node)
                        job.give_back(dependent, attempt)
                    stack.append(dependent)

    def recall_stray(self, job: Job, task: Task) -> None:
        """Take back what was given ahead of `task` to other nodes than those that have its outputs now."""
        for index in task.dependents:
            dependent = job.tasks[index]
            if dependent.state != ASSIGNED or not dependent.ahead:
                continue
            for attempt, node in list(dependent.running.items()):
                if node not in task.holders:
                    self.cancel(job, index, attempt, node)
                    job.give_back(dependent, attempt)
                    self.recall_ahead(job, dependent)

    def retract(self, node: NodeId, attempts: list[AttemptKey]) -> None:
        """Ask a node to give back those of the attempts that it has not started."""
        if attempts and node in self.workers:
            rows: list[object] = [list(attempt) for attempt in attempts]
            self._effects.append(Message(node, RETRACT, [rows]))

    def release(self, job: Job, index: int, output_count: int, holders: list[NodeId]) -> None:
        """Tell the holders of a task's outputs to drop them."""
        for node in holders:
            if node in self.workers:
                rows = self._release.setdefault(node, [])
                for output in range(output_count):
                    rows.append([job.job, index, output])

    def steal(self, now: float) -> None:
        """Ask the longest queue for what it has not started, when somebody stands idle after a pass."""
        if len(self.workers) < 2:
            return
        idle: list[Worker] = []
        victim: Worker | None = None
        for worker in self.workers.values():
            if worker.quarantine:
                continue
            if worker.has_reported and not worker.is_draining and worker.cpus < worker.cores:
                idle.append(worker)
            elif (
                worker.cpus > worker.cores
                and worker.loose
                and not worker.retract_open
                and now >= worker.retract_at
            ):
                is_behind = worker.backlog_s > self._config.steal_backlog_s * worker.cores
                if is_behind and (victim is None or worker.backlog_s > victim.backlog_s):
                    victim = worker
        if victim is None or not idle:
            return
        attempts = list(victim.loose)
        wanted = victim.demands[attempts[-1]]
        count = min((len(attempts) - max(int(victim.cores), 1) + 1) // 2, ORDER_BATCH)
        if count < 1 or all([thief.why_unfit(wanted) != "" for thief in idle]):
            return
        victim.retract_open = True
        victim.retract_at = now + RETRACT_PAUSE_S
        self.retract(victim.node, attempts[-count:])

    # Orders

    def has_effects(self) -> bool:
        """Return whether `take_effects` would return any."""
        orders = len(self._cancel) + len(self._bring) + len(self._assign) + len(self._release)
        return orders + len(self._effects) > 0

    def take_effects(self) -> list[Effect]:
        """Return and clear the effects and the orders gathered since the last time."""
        effects = self._effects
        self._effects = []
        _flush(self._cancel, CANCEL_ATTEMPTS, effects)
        _flush(self._bring, OBJECT_GIVE, effects)
        _flush(self._assign, ASSIGN, effects)
        _flush(self._release, RELEASE_OBJECTS, effects)
        return effects


def _flush(orders: dict[NodeId, list[object]], kind: int, effects: list[Effect]) -> None:
    for node, rows in orders.items():
        for batch in cut_rows(rows):
            effects.append(Message(node, kind, [batch]))
    orders.clear()


def _turn_order(job: Job) -> tuple[int, float, int]:
    return (-job.priority, job.cpus_running, job.order)

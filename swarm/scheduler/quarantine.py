"""Nodes on which everything fails are given nothing for a while.

A node may lack a library, have a full disk or bad memory, and then every task fails there at once: the
faster it fails, the more it gets. Whether the task or the node is to blame is known when the task succeeds
elsewhere.
When `quarantine_tasks` different tasks that failed on a node since its last success have succeeded on others,
the node is *quarantined*: what it has not started is taken back, and it gets no more. After `quarantine_s` it
is given one task that may be retried, as a *probe*: a success lets it out, a failure doubles the pause. Where
nobody else fits, a quarantined node gets tasks as any other. Retries go to nodes on which the task has not
failed, as long as one of those has room; and where as many tasks have failed in a row, a task that failed
there waits for another node that fits.

A new leader knows of no quarantine: it finds out anew.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import Effect, Message, Notify
from swarm.core.ids import JobId, NodeId, short
from swarm.core.timers import Timers
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.dispatch import Dispatcher
from swarm.scheduler.task_states import Task
from swarm.scheduler.workers import Worker
from swarm.wire.messages import QUARANTINED

FAILURES_MAX: Final = 1000
"""Failed tasks that are remembered of a node."""

_TIMER_PROBE: Final = 1


@final
class Quarantine:
    """Who fails what others do; see the module's text."""

    def __init__(self, config: SchedulerConfig) -> None:
        self._config: Final = config
        self._failed: dict[NodeId, dict[tuple[JobId, int], bool]] = {}
        self._pauses_s: dict[NodeId, float] = {}
        self._timers: Final = Timers()
        self._effects: list[Effect] = []

    def on_success(self, job: JobId, task: Task, node: NodeId, dispatcher: Dispatcher, now: float) -> None:
        """Take that an attempt on a node succeeded: that node is well; those that failed it may not be."""
        key = (job, task.index)
        self._failed.pop(node, None)
        worker = dispatcher.workers.get(node)
        if worker is not None:
            worker.failing = 0
            if worker.quarantine:
                self._let_out(worker)
        if not self._failed:
            return
        for other in list(self._failed):
            failed = self._failed[other]
            if key in failed:
                failed[key] = True
                self._judge(other, dispatcher, now)

    def on_failure(self, job: JobId, task: Task, node: NodeId, dispatcher: Dispatcher, now: float) -> None:
        """Take that an attempt on a node failed, whyever."""
        task.note_failed_on(node)
        failed = self._failed.setdefault(node, {})
        if len(failed) < FAILURES_MAX:
            failed.setdefault((job, task.index), False)
        worker = dispatcher.workers.get(node)
        if worker is not None:
            worker.failing = len(failed)
            if worker.is_probed:
                self._put_in(worker, self._config.quarantine_tasks, dispatcher, now)

    def lose(self, node: NodeId) -> None:
        """Take that a node is gone; when it comes back it is another run of it."""
        self._failed.pop(node, None)
        self._pauses_s.pop(node, None)
        self._timers.cancel(_TIMER_PROBE, node)

    def forget_job(self, job: JobId) -> None:
        """Forget the failures of a job that is gone."""
        for failed in self._failed.values():
            for key in [key for key in failed if key[0] == job]:
                del failed[key]

    def _judge(self, node: NodeId, dispatcher: Dispatcher, now: float) -> None:
        worker = dispatcher.workers.get(node)
        proven = 0
        for is_proven in self._failed[node].values():
            proven += 1 if is_proven else 0
        if worker is not None and not worker.quarantine and proven >= self._config.quarantine_tasks:
            self._put_in(worker, proven, dispatcher, now)

    def _put_in(self, worker: Worker, count: int, dispatcher: Dispatcher, now: float) -> None:
        node = worker.node
        pause_s = self._pauses_s.get(node, self._config.quarantine_s / 2) * 2
        pause_s = min(pause_s, self._config.quarantine_max_s)
        self._pauses_s[node] = pause_s
        worker.quarantine = f"quarantined: {count} tasks failed here and not elsewhere"
        worker.is_probed = False
        self._timers.set(_TIMER_PROBE, node, now + pause_s)
        dispatcher.retract(node, list(worker.loose))
        self._tell(worker, pause_s)

    def _let_out(self, worker: Worker) -> None:
        worker.quarantine = ""
        worker.is_probed = False
        self._pauses_s.pop(worker.node, None)
        self._timers.cancel(_TIMER_PROBE, worker.node)
        self._tell(worker, 0.0)

    def _tell(self, worker: Worker, pause_s: float) -> None:
        self._effects.append(Message(worker.node, QUARANTINED, [worker.quarantine]))
        values: dict[str, object] = {
            "node": short(worker.node),
            "reason": worker.quarantine,
            "pause_s": pause_s,
        }
        self._effects.append(Notify("quarantine", values))

    def handle_deadline(self, workers: dict[NodeId, Worker], now: float) -> None:
        """Let nodes be probed whose pause is over."""
        while True:
            due = self._timers.pop_due(now)
            if due is None:
                return
            worker = workers.get(due[1])
            if worker is not None:
                worker.is_probed = True

    def next_deadline(self) -> float:
        """Return when :meth:`handle_deadline` is wanted next."""
        return self._timers.next_deadline()

    def has_effects(self) -> bool:
        """Return whether `take_effects` would return any."""
        return len(self._effects) > 0

    def take_effects(self) -> list[Effect]:
        """Return and clear what nodes and the log are told, oldest first."""
        effects = self._effects
        self._effects = []
        return effects

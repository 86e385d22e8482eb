"""What a leader's scheduler consists of, what of it is forgotten with leadership, and its small duties."""

from __future__ import annotations

from typing import Final

from swarm.core.effects import Effect, Notify
from swarm.core.ids import JobId, NodeId, short
from swarm.core.timers import Timers
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.custody import Custody
from swarm.scheduler.dispatch import Dispatcher
from swarm.scheduler.jobs import Job
from swarm.scheduler.pending import Pending
from swarm.scheduler.quarantine import Quarantine
from swarm.scheduler.records import JobRecords
from swarm.scheduler.reruns import may_run_again
from swarm.scheduler.results import Results
from swarm.scheduler.task_states import Task
from swarm.scheduler.watches import Watches
from swarm.wire.messages import INTENT_CANCEL

TIMER_COLLECT: Final = 1
TIMER_REPORT: Final = 2
TIMER_DELAYED: Final = 3
TIMER_EXPIRE: Final = 4
TIMER_ORPHAN: Final = 5
TIMER_DOUBT: Final = 6


class LeaderParts:
    """The jobs, nodes and watchers of a leader, and who keeps the records; `Scheduler` connects them.

    Args:
        config: settings.
        node_id: this node.
        records: the facts that this node holds.
    """

    def __init__(self, config: SchedulerConfig, node_id: NodeId, records: JobRecords) -> None:
        self._config = config
        self._me: Final = node_id
        self._records = records
        self.is_leading = False
        self.is_collecting = False
        self._order = 0
        self._report_request = 0
        self.jobs: dict[JobId, Job] = {}
        self.dispatcher = Dispatcher(config)
        self.watches = Watches(config.output_bytes_max)
        self.names: dict[NodeId, str] = {}
        self.pending = Pending()
        self.custody = Custody(config, node_id, records)
        self.results = Results(config)
        self.quarantine = Quarantine(config)
        self._doubtful: dict[JobId, list[Task]] = {}
        self._questions: list[tuple[NodeId, list[object]]] = []
        self._touched: dict[JobId, bool] = {}
        self._timers = Timers()
        self._effects: list[Effect] = []
        self.counts: dict[str, int] = {"malformed": 0, "late": 0, "duplicates": 0, "stale_orders": 0}

    def _forget_all(self) -> None:
        """Forget everything that only a leader needs."""
        self.is_leading = False
        self.is_collecting = False
        self.jobs = {}
        self.dispatcher = Dispatcher(self._config)
        self.watches = Watches(self._config.output_bytes_max)
        self.pending = Pending()
        self.custody = Custody(self._config, self._me, self._records)
        self.results = Results(self._config)
        self.quarantine = Quarantine(self._config)
        self._doubtful = {}
        self._questions = []
        self._touched = {}
        self._timers = Timers()

    # Jobs

    def _job(self, job_id: JobId, now: float) -> Job:
        job = self.jobs.get(job_id)
        if job is None:
            self._order += 1
            job = Job(job_id, self._order, now)
            self.jobs[job_id] = job
        self._touched[job_id] = True
        return job

    def _touch(self, jobs: list[JobId]) -> None:
        for job_id in jobs:
            self._touched[job_id] = True

    def _watch_orphan(self, job_id: JobId, now: float) -> None:
        job = self.jobs.get(job_id)
        if job is not None and job.is_session and not job.verdict and not self.watches.watchers(job_id):
            self._timers.set(TIMER_ORPHAN, job_id, now + self._config.orphan_s)

    def _end_orphan(self, job_id: JobId, now: float) -> None:
        job = self.jobs.get(job_id)
        if job is None or job.verdict:
            return
        if may_run_again(self.jobs, job):
            self._watch_orphan(job_id, now)
            return
        self._effects.append(Notify("session_orphaned", {"job": short(job_id)}))
        self._records.intend(job_id, INTENT_CANCEL, 0, now)

    # Time and outputs

    def next_deadline(self) -> float:
        """Return when `handle_deadline` is wanted next."""
        first, second = self._timers.next_deadline(), self.custody.next_deadline()
        if second < first:
            first = second
        second = self.results.next_deadline()
        if second < first:
            first = second
        second = self.quarantine.next_deadline()
        return second if second < first else first

    def has_effects(self) -> bool:
        """Return whether `take_effects` would return any."""
        has_orders = self.dispatcher.has_effects() or self.results.has_effects()
        has_news = self.watches.has_effects() or self.quarantine.has_effects()
        return len(self._effects) > 0 or has_orders or has_news

    def take_effects(self) -> list[Effect]:
        """Return and clear the effects, oldest first: messages, orders, then what watchers are told."""
        effects = self._effects
        self._effects = []
        effects.extend(self.dispatcher.take_effects())
        effects.extend(self.results.take_effects())
        effects.extend(self.quarantine.take_effects())
        effects.extend(self.watches.take_effects())
        return effects

"""Second copies of the results of ended jobs: a job that has ended is not run again to make them anew.

Small results ride in completions and are where the record is. A larger one is where its task ran, and when
that node goes while the job still runs, it is made anew (lineage). Once the job has ended, the leader has
another node fetch it, on another machine where there is one, until `result_copies` nodes have it. Results
beyond `result_copy_bytes_max` are left where they are.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Final, final

from swarm.core.effects import Effect, Message
from swarm.core.ids import JobId, NodeId
from swarm.core.timers import Timers
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.jobs import Job
from swarm.scheduler.task_states import DONE, Task
from swarm.scheduler.workers import Worker
from swarm.wire.messages import KIND_DATA, OBJECT_WANTED
from swarm.wire.orders import InputRef

LOOK_S: Final = 1.0
WANTED_MAX: Final = 16
"""Results on their way at a time."""
FETCH_S: Final = 20.0
SLOWEST_BYTES_S: Final = 100_000
"""A node that was asked to fetch a result is waited for so long, and as long as that rate takes."""
REFUSED_FIRST_S: Final = 2.0
REFUSED_MAX_S: Final = 60.0
"""How long a node that did not get a result is not asked for it again: doubles from the first to this."""

_TIMER_LOOK: Final = 1


@final
class Results:
    """Results of which there are too few copies; see the module's text.

    Attributes:
        counts: copies asked for since this node leads.
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self._config: Final = config
        self._dirty: dict[JobId, bool] = {}
        self._fetching: dict[tuple[JobId, int], tuple[NodeId, float]] = {}
        self._refused: dict[tuple[JobId, int], dict[NodeId, tuple[float, float]]] = {}
        self._timers: Final = Timers()
        self._effects: list[Effect] = []
        self.counts: Final[dict[str, int]] = {"results_asked": 0}

    def note_job(self, job: Job, now: float) -> None:
        """Take that a job has ended, or that holders of its results came or went."""
        if job.verdict and not job.is_session:
            self._dirty[job.job] = True
            self._look_by(now + LOOK_S)

    def note_members(self, jobs: dict[JobId, Job], now: float) -> None:
        """Take that a member came or went, or can be reached now."""
        for job in jobs.values():
            self.note_job(job, now)

    def note_lost(self, job: Job, task: int, node: NodeId, now: float) -> None:
        """Take that a node did not get a result, or has it no more."""
        asked = self._fetching.get((job.job, task))
        if asked is not None and asked[0] == node:
            self._refuse((job.job, task), node, now)
        self.note_job(job, now)

    def distrust(self, node: NodeId) -> None:
        """Take that what a node was told may be lost, or that it has begun anew: it can be asked again."""
        for key in [key for key in self._fetching if self._fetching[key][0] == node]:
            del self._fetching[key]
        for refusals in self._refused.values():
            refusals.pop(node, None)

    def forget_job(self, job: JobId) -> None:
        """Forget a job."""
        self._dirty.pop(job, None)
        for key in [key for key in self._fetching if key[0] == job]:
            del self._fetching[key]
        for key in [key for key in self._refused if key[0] == job]:
            del self._refused[key]

    def handle_deadline(self, jobs: dict[JobId, Job], workers: dict[NodeId, Worker], now: float) -> None:
        """Have results copied of which there are too few copies."""
        if self._timers.pop_due(now) is None:
            return
        dirty = self._dirty
        self._dirty = {}
        for job_id in dirty:
            job = jobs.get(job_id)
            if job is None:
                continue
            again_at = math.inf
            for task in job.tasks:
                if self._is_wanted(task):
                    again_at = min(again_at, self._look_at(job, task, workers, now))
            if again_at < math.inf:
                self._dirty[job_id] = True
                self._look_by(max(again_at, now + LOOK_S))

    def next_deadline(self) -> float:
        """Return when :meth:`handle_deadline` is wanted next."""
        return self._timers.next_deadline()

    def has_effects(self) -> bool:
        """Return whether `take_effects` would return any."""
        return len(self._effects) > 0

    def take_effects(self) -> list[Effect]:
        """Return and clear the orders, oldest first."""
        effects = self._effects
        self._effects = []
        return effects

    def _look_by(self, when: float) -> None:
        """See to it that `handle_deadline` is wanted at that time at the latest."""
        if when < self._timers.next_deadline():
            self._timers.set(_TIMER_LOOK, b"", when)

    def _is_wanted(self, task: Task) -> bool:
        """Return whether a task's outputs are results in a node's store, and not too large."""
        if not task.is_kept or task.state != DONE or task.is_released:
            return False
        if task.spec.kind == KIND_DATA or task.has_data() or not task.holders:
            return False
        return _size_of(task) <= self._config.result_copy_bytes_max

    def _look_at(self, job: Job, task: Task, workers: dict[NodeId, Worker], now: float) -> float:
        """Ask for one more copy when there are too few; return when to look again, infinity for never.

        Never is until something is noted of the job or of members.
        """
        key = (job.job, task.index)
        holders = [node for node in task.holders if node in workers and not workers[node].is_draining]
        if len(holders) >= self._config.result_copies:
            self._fetching.pop(key, None)
            self._refused.pop(key, None)
            return math.inf
        asked = self._fetching.get(key)
        if asked is not None:
            node, until_s = asked
            if node in workers and node not in task.holders and now < until_s:
                return now + LOOK_S
            if node not in task.holders:
                self._refuse(key, node, now)
        if len(self._fetching) >= WANTED_MAX and key not in self._fetching:
            return now + LOOK_S
        self._fetching.pop(key, None)
        refusals = self._refused.get(key, {})
        barred = [node for node in refusals if refusals[node][0] > now]
        target = _choose(job.job, task, holders, barred, workers)
        if target is None:
            return min([refusals[node][0] for node in barred if node in workers], default=math.inf)
        self._fetching[key] = (target, now + FETCH_S + _size_of(task) / SLOWEST_BYTES_S)
        self.counts["results_asked"] += 1
        rows: list[object] = []
        for number, output in enumerate(task.outputs or []):
            if output.data is None:
                ref = InputRef(
                    task.index, number, output.digest, output.size, output.encoding, None, list(task.holders)
                )
                rows.append([job.job, ref.to_wire()])
        self._effects.append(Message(target, OBJECT_WANTED, [rows]))
        return now + LOOK_S

    def _refuse(self, key: tuple[JobId, int], node: NodeId, now: float) -> None:
        """Leave a node that did not get a result alone for a while, longer each time."""
        self._fetching.pop(key, None)
        refusals = self._refused.setdefault(key, {})
        _, before_s = refusals.get(node, (0.0, 0.0))
        pause_s = min(max(2 * before_s, REFUSED_FIRST_S), REFUSED_MAX_S)
        refusals[node] = (now + pause_s, pause_s)


def _size_of(task: Task) -> int:
    size = 0
    for output in task.outputs or []:
        size += output.size
    return size


def _choose(
    job: JobId, task: Task, holders: list[NodeId], barred: list[NodeId], workers: dict[NodeId, Worker]
) -> NodeId | None:
    """Return who should have one more copy, None when nobody can: another machine first, then by a hash."""
    hosts = [workers[node].host for node in holders]
    best: NodeId | None = None
    best_rank = (False, b"")
    seed = job + task.index.to_bytes(4, "big")
    for node, worker in workers.items():
        if node in task.holders or node in barred or worker.is_draining or not worker.has_reported:
            continue
        rank = (worker.host in hosts, blake2b(seed + node, digest_size=8).digest())
        if best is None or rank < best_rank:
            best, best_rank = node, rank
    return best

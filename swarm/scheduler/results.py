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
SOON_S: Final = 0.05
"""When to look again where more is to be done than one look may do."""
WANTED_MAX: Final = 16
"""Results on their way at a time."""
SCANNED_MAX: Final = 20_000
QUEUE_LOOKED_MAX: Final = 1_000
"""Tasks that one look sees through for results with too few copies, and of those found before."""
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
        self._without_large: dict[JobId, bool] = {}
        self._queue: dict[tuple[JobId, int], float] = {}
        self._fetching: dict[tuple[JobId, int], tuple[NodeId, float]] = {}
        self._refused: dict[JobId, dict[int, dict[NodeId, tuple[float, float]]]] = {}
        self._timers: Final = Timers()
        self._effects: list[Effect] = []
        self.counts: Final[dict[str, int]] = {"results_asked": 0}

    def note_job(self, job: Job, now: float) -> None:
        """Take that a job has ended, or that holders of its results came or went."""
        if job.job in self._without_large:
            return
        if job.verdict and not job.is_session:
            self._dirty[job.job] = True
            self._look_by(now + LOOK_S)

    def note_members(self, jobs: dict[JobId, Job], now: float) -> None:
        """Take that a member came or went, or can be reached now."""
        for job in jobs.values():
            self.note_job(job, now)

    def note_copies(self, now: float) -> None:
        """Take that nodes have copies now: what waits for its turn need not wait for the next look."""
        if self._queue and self._fetching:
            self._look_by(now + SOON_S)

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
        for job in self._refused.values():
            for refusals in job.values():
                refusals.pop(node, None)

    def forget_job(self, job: JobId) -> None:
        """Forget a job; what waits of it is left out when its turn comes."""
        self._dirty.pop(job, None)
        self._without_large.pop(job, None)
        self._refused.pop(job, None)
        for key in [key for key in self._fetching if key[0] == job]:
            del self._fetching[key]

    def handle_deadline(self, jobs: dict[JobId, Job], workers: dict[NodeId, Worker], now: float) -> None:
        """Have results copied of which there are too few copies."""
        if self._timers.pop_due(now) is None:
            return
        self._scan(jobs, workers, now)
        self._see_fetches(jobs, workers, now)
        again_at = self._serve(jobs, workers, now)
        if self._fetching or again_at < math.inf:
            self._look_by(now + LOOK_S if self._fetching else max(again_at, now + LOOK_S))
        if self._dirty:
            self._look_by(now + SOON_S)

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
        if task.is_released or not task.holders or not _is_large(task):
            return False
        return _size_of(task) <= self._config.result_copy_bytes_max

    def _scan(self, jobs: dict[JobId, Job], workers: dict[NodeId, Worker], now: float) -> None:
        """Queue the results of noted jobs of which there are too few copies, as far as one look may."""
        room = SCANNED_MAX
        while self._dirty and room > 0:
            job_id = next(iter(self._dirty))
            del self._dirty[job_id]
            job = jobs.get(job_id)
            if job is None:
                continue
            room -= len(job.tasks)
            has_large = False
            for task in job.tasks:
                if not _is_large(task):
                    continue
                has_large = True
                key = (job_id, task.index)
                if key not in self._fetching and self._is_wanted(task) and self._lacks_copies(task, workers):
                    self._queue[key] = now
            if not has_large and job.is_complete():
                self._without_large[job_id] = True

    def _see_fetches(self, jobs: dict[JobId, Job], workers: dict[NodeId, Worker], now: float) -> None:
        """Free the slots of results that arrived, did not come in time, or cannot come any more."""
        for key in list(self._fetching):
            node, until_s = self._fetching[key]
            task = _task_of(jobs, key)
            if task is None or not self._is_wanted(task):
                del self._fetching[key]
            elif node in task.holders:
                del self._fetching[key]
                self._queue[key] = now
            elif node not in workers or now >= until_s:
                self._refuse(key, node, now)
                self._queue[key] = now

    def _serve(self, jobs: dict[JobId, Job], workers: dict[NodeId, Worker], now: float) -> float:
        """Ask for copies of what is queued, as long as slots are free.

        Returns:
            When to look again, infinity for not before something is noted of a job or of members.
        """
        again_at = math.inf
        count = len(self._queue)
        for _ in range(min(count, QUEUE_LOOKED_MAX)):
            if len(self._fetching) >= WANTED_MAX:
                break
            key = next(iter(self._queue))
            due = self._queue.pop(key)
            task = _task_of(jobs, key)
            if task is None or not self._is_wanted(task) or not self._lacks_copies(task, workers):
                self._refused.get(key[0], {}).pop(key[1], None)
                continue
            if due <= now:
                due = self._ask(key, task, workers, now)
            if due < math.inf and key not in self._fetching:
                self._queue[key] = due
                again_at = min(again_at, due)
        return again_at if count <= QUEUE_LOOKED_MAX else now

    def _lacks_copies(self, task: Task, workers: dict[NodeId, Worker]) -> bool:
        return len(_staying(task, workers)) < self._config.result_copies

    def _ask(self, key: tuple[JobId, int], task: Task, workers: dict[NodeId, Worker], now: float) -> float:
        """Ask for one more copy; return when to try again, infinity for when something is noted."""
        refusals = self._refused.get(key[0], {}).get(key[1], {})
        barred = [node for node in refusals if refusals[node][0] > now]
        target = _choose(key[0], task, _staying(task, workers), barred, workers)
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
                rows.append([key[0], ref.to_wire()])
        self._effects.append(Message(target, OBJECT_WANTED, [rows]))
        return now + LOOK_S

    def _refuse(self, key: tuple[JobId, int], node: NodeId, now: float) -> None:
        """Leave a node that did not get a result alone for a while, longer each time."""
        self._fetching.pop(key, None)
        refusals = self._refused.setdefault(key[0], {}).setdefault(key[1], {})
        _, before_s = refusals.get(node, (0.0, 0.0))
        pause_s = min(max(2 * before_s, REFUSED_FIRST_S), REFUSED_MAX_S)
        refusals[node] = (now + pause_s, pause_s)


def _is_large(task: Task) -> bool:
    """Return whether a task has results that do not ride in its completion."""
    return task.is_kept and task.state == DONE and task.spec.kind != KIND_DATA and not task.has_data()


def _staying(task: Task, workers: dict[NodeId, Worker]) -> list[NodeId]:
    """Return the holders of a task's outputs that are not about to leave."""
    return [node for node in task.holders if node in workers and not workers[node].is_draining]


def _task_of(jobs: dict[JobId, Job], key: tuple[JobId, int]) -> Task | None:
    job = jobs.get(key[0])
    return None if job is None else job.tasks[key[1]]


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

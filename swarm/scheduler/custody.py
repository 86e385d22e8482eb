"""The leader's care for the copies of job records: who keeps what, copies made anew, and ends that wait.

*Keepers* of a job are the nodes that have all or some of its parts on disk, as they say themselves by
offers. A keeper is *told* when every completion known here was sent to it on a stream that has not broken
since; after a break, a restart, or under a new leader it reports what it has, and is sent what it lacks.

When keepers go, others are asked to keep the record, until there are `replicas` copies on as many
machines again, or as many as there are members. That waits for a moment, in which a restarted node comes
back, and takes a bounded rate. A copy made twice, by two leaders, does no harm: facts merge.

An end is *withheld* from everybody until the keepers have confirmed that it, and all that came before
it, is on their disks. Keepers that do not answer are waited for once only.

Invariants, checked by :meth:`Custody.check_invariants`:

C1 Who is told is a keeper.
C2 A job whose end is withheld has a verdict.
"""

from __future__ import annotations

import math
from typing import Final, final

from swarm.core.ids import JobId, NodeId
from swarm.core.timers import Timers
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.copying import Copying
from swarm.scheduler.job_facts import Holding
from swarm.scheduler.jobs import Job
from swarm.scheduler.records import JobRecords
from swarm.scheduler.replication import Keeper, are_enough, choose_copies
from swarm.scheduler.workers import Worker

FACTS_FLUSH_S: Final = 0.1
SEND_PAUSE_S: Final = 0.25
SLOWEST_BYTES_S: Final = 20_000
"""What a new keeper takes in at the least, before it is asked no more for a while."""
COPYINGS_MAX: Final = 16
SPARE_PAUSE_S: Final = 60.0
"""How long a node that was asked to give up a spare copy has time for that."""
REFUSED_FIRST_S: Final = 30.0
REFUSED_MAX_S: Final = 600.0
"""How long a node that was asked to keep a copy and did not is left alone: doubles from the first to this."""

_TIMER_FACTS: Final = 1
_TIMER_LOOK: Final = 2
_TIMER_SEND: Final = 3
_TIMER_END: Final = 4
_TIMER_SPARE: Final = 5
_TIMER_SLOT: Final = 6


@final
class Custody:
    """Who keeps the records of a leader's jobs; see the module's text.

    Attributes:
        tellable: jobs whose ends may be told now, for the scheduler to take.
        counts: copies asked for and made since this node leads.
    """

    def __init__(self, config: SchedulerConfig, node_id: NodeId, records: JobRecords) -> None:
        self._config: Final = config
        self._me: Final = node_id
        self._records: Final = records
        self._told: dict[JobId, dict[NodeId, bool]] = {}
        self._dirty: dict[JobId, bool] = {}
        self._queued: dict[JobId, bool] = {}
        self._has_members_changed = False
        self._copyings: dict[tuple[JobId, NodeId], Copying] = {}
        self._refused: dict[tuple[JobId, NodeId], tuple[float, float]] = {}
        self._withheld: dict[JobId, dict[NodeId, int]] = {}
        self._laggards: dict[NodeId, bool] = {}
        self._free_at = 0.0
        self._timers: Final = Timers()
        self.tellable: list[JobId] = []
        self.counts: Final[dict[str, int]] = {"copies_asked": 0, "copies_made": 0, "unconfirmed_ends": 0}

    # What changes

    def take_holder(self, job: Job, node: NodeId, holding: Holding | None, now: float) -> None:
        """Take what a node says it keeps of a job, None for nothing."""
        job.offered[node] = True
        self._laggards.pop(node, None)
        if holding is None:
            self._told.get(job.job, {}).pop(node, None)
            if job.records.pop(node, None) is not None:
                # A copy fewer than thought; what was on its way to this one builds on what it had.
                self._copyings.pop((job.job, node), None)
                self.note_job(job.job, now)
            return
        copying = self._copyings.get((job.job, node))
        if node not in job.records and copying is not None and copying.has_parts():
            # The completions went before the parts, on the same stream; yet it may have forgotten them.
            if holding.fact_count >= copying.fact_count():
                self._told.setdefault(job.job, {})[node] = True
        job.records[node] = holding
        if copying is not None and copying.is_sent() and copying.is_held(holding):
            self.counts["copies_made"] += 1 if copying.has_parts() else 0
            del self._copyings[(job.job, node)]
            self._refused.pop((job.job, node), None)
            self._free_slot(now)
        if holding.ended:
            self._confirm(job.job, node, holding.fact_count)
        self.note_job(job.job, now)
        self.want_spread(now)

    def note_job(self, job: JobId, now: float) -> None:
        """Take that the record of a job has changed."""
        self._dirty[job] = True
        self._want_look(now)

    def note_members(self, now: float) -> None:
        """Take that a member came, or does not take copies any more."""
        self._has_members_changed = True
        self._want_look(now)

    def want_spread(self, now: float) -> None:
        """Let the keepers have what they were not sent yet, soon."""
        if not self._timers.is_set(_TIMER_FACTS, b""):
            self._timers.set(_TIMER_FACTS, b"", now + FACTS_FLUSH_S)

    def distrust(self, node: NodeId, now: float) -> None:
        """Take that what a node was sent may be lost: it is asked what it has, and to keep it once more."""
        for told in self._told.values():
            told.pop(node, None)
        for key in [key for key in self._copyings if key[1] == node]:
            del self._copyings[key]
            self.note_job(key[0], now)
        for key in [key for key in self._refused if key[1] == node]:
            del self._refused[key]
            self.note_job(key[0], now)

    def lose(self, node: NodeId, jobs: dict[JobId, Job], now: float) -> None:
        """Take that a member is gone, and with it its copies."""
        self.distrust(node, now)
        self._records.take_heard(node)
        for job in jobs.values():
            job.offered.pop(node, None)
            if job.records.pop(node, None) is not None:
                self._dirty[job.job] = True
            self._stop_waiting(job.job, node)
        self.note_members(now)

    def forget_job(self, job: JobId) -> None:
        """Forget a job."""
        self._told.pop(job, None)
        self._dirty.pop(job, None)
        self._withheld.pop(job, None)
        self._timers.cancel(_TIMER_END, job)
        self._timers.cancel(_TIMER_SPARE, job)
        for key in [key for key in self._copyings if key[0] == job]:
            del self._copyings[key]
        for key in [key for key in self._refused if key[0] == job]:
            del self._refused[key]

    # Ends

    def withhold(self, job: Job, now: float) -> None:
        """Let the end of a job be told when its keepers have it on their disks; the end was just decided."""
        waiting: dict[NodeId, int] = {}
        fact_count = len(self._records.facts_of(job.job))
        for node in job.records:
            if node != self._me and node not in self._laggards:
                waiting[node] = fact_count
        if waiting:
            job.is_withheld = True
            self._withheld[job.job] = waiting
            self._timers.set(_TIMER_END, job.job, now + self._config.end_confirm_s)

    def _confirm(self, job: JobId, node: NodeId, fact_count: int) -> None:
        """Take that a keeper has the end of a job on its disk, and so many completions before it."""
        waiting = self._withheld.get(job)
        # Who is told has told this leader all that it knows, so with as many it has the same ones.
        if waiting is None or node not in self._told.get(job, {}) or fact_count < waiting.get(node, 0):
            return
        self._stop_waiting(job, node)

    def _stop_waiting(self, job: JobId, node: NodeId) -> None:
        """Wait for a keeper no more."""
        waiting = self._withheld.get(job)
        if waiting is None:
            return
        waiting.pop(node, None)
        if not waiting:
            self._stop_withholding(job)

    def _stop_withholding(self, job: JobId) -> None:
        del self._withheld[job]
        self._timers.cancel(_TIMER_END, job)
        self.tellable.append(job)

    def take_tellable(self) -> list[JobId]:
        """Return and clear the jobs whose ends may be told now."""
        tellable = self.tellable
        self.tellable = []
        return tellable

    # Completions

    def spread(self, jobs: dict[JobId, Job], workers: dict[NodeId, Worker], now: float) -> None:
        """Send what keepers were not sent yet: the news to the told, all that they lack to the others."""
        self._timers.cancel(_TIMER_FACTS, b"")
        for job_id, completions in self._records.take_fresh().items():
            if job_id not in jobs:
                continue
            for node in self._listeners(job_id):
                self._records.send_facts(node, job_id, completions)
        for job in jobs.values():
            told = self._told.setdefault(job.job, {})
            if len(told) >= len(job.records):
                continue
            for node in job.records:
                worker = workers.get(node)
                if node in told or (job.job, node) in self._copyings:
                    continue
                if node == self._me or (worker is not None and worker.has_reported):
                    told[node] = True
                    self._catch_up(job.job, node, now)
        for node, worker in workers.items():
            if worker.has_reported:
                self._records.take_heard(node)

    def _listeners(self, job: JobId) -> list[NodeId]:
        """Return who is sent news of a job: the told keepers and those who are about to be keepers."""
        nodes = [node for node in self._told.get(job, {}) if node != self._me]
        for copied, node in self._copyings:
            if copied == job and node != self._me and node not in nodes:
                nodes.append(node)
        return nodes

    def _catch_up(self, job: JobId, node: NodeId, now: float) -> None:
        """Send a keeper what it has not told that it has."""
        if node == self._me:
            return
        heard = self._records.heard(node, job)
        facts = self._records.facts_of(job)
        missing = [facts[key] for key in facts if key not in heard]
        record = self._records.record(job)
        if not missing and (record is None or not (record.is_cancelled or record.ended)):
            return
        self._begin(Copying(job, node, missing, [], []), now)

    # Copies

    def _want_look(self, now: float) -> None:
        if not self._timers.is_set(_TIMER_LOOK, b""):
            self._timers.set(_TIMER_LOOK, b"", now + self._config.recopy_delay_s)

    def _look(self, jobs: dict[JobId, Job], workers: dict[NodeId, Worker], now: float) -> None:
        """See which jobs have too few copies, and begin to make some."""
        self._queued = {}
        if self._has_members_changed:
            self._has_members_changed = False
            self._dirty = dict.fromkeys(jobs, True)
        dirty = self._dirty
        self._dirty = {}
        self._look_at_all(dirty, jobs, workers, now)

    def _look_at_queued(self, jobs: dict[JobId, Job], workers: dict[NodeId, Worker], now: float) -> None:
        """Begin copies that had to wait for others; who may come back soon has gone before that wait."""
        queued = self._queued
        self._queued = {}
        self._look_at_all(queued, jobs, workers, now)

    def _look_at_all(
        self, wanted: dict[JobId, bool], jobs: dict[JobId, Job], workers: dict[NodeId, Worker], now: float
    ) -> None:
        live: list[Keeper] = []
        for worker in workers.values():
            if not worker.is_draining:
                live.append(Keeper(worker.node, worker.host, worker.fitness))
        for job_id in wanted:
            job = jobs.get(job_id)
            if job is not None and self._records.record(job_id) is not None:
                self._look_at(job, live, workers, now)
        if self._dirty:
            self._want_look(now)

    def _look_at(self, job: Job, live: list[Keeper], workers: dict[NodeId, Worker], now: float) -> None:
        record = self._records.record(job.job)
        assert record is not None, "only known jobs are looked at"
        if len(self._copyings) >= COPYINGS_MAX:
            self._dirty[job.job] = True
            self._queued[job.job] = True
            return
        whole: list[NodeId] = []
        partial: list[NodeId] = []
        without: list[NodeId] = []
        for keeper in live:
            holding = job.records.get(keeper.node)
            copying = self._copyings.get((job.job, keeper.node))
            if (copying is not None and copying.has_parts()) or _has_all(holding, record.parts):
                whole.append(keeper.node)
                continue
            until_s, _ = self._refused.get((job.job, keeper.node), (now, 0.0))
            if until_s > now or not workers[keeper.node].has_reported:
                without.append(keeper.node)
            elif holding is not None:
                partial.append(keeper.node)
        chosen: list[NodeId] = []
        copies = self._config.replicas
        if len(whole) < copies:
            chosen = partial[: copies - len(whole)]
        chosen.extend(choose_copies(job.job, live, copies, without, whole + chosen))
        for node in chosen:
            held = job.records.get(node)
            parts = [number for number in sorted(record.parts) if held is None or number not in held.parts]
            sources = [keeper for keeper in job.records if keeper != node]
            under_way = self._copyings.get((job.job, node))
            if held is None:
                facts = list(record.facts.values())
            else:
                facts = [] if under_way is None else under_way.unsent_facts()
            self._begin(Copying(job.job, node, facts, parts, sources or [self._me]), now)
            self.counts["copies_asked"] += 1
        self._see_spare(job, live, whole, len(partial) + len(chosen), now)
        if without and not are_enough(live, copies, whole + chosen):
            self._dirty[job.job] = True

    def _see_spare(self, job: Job, live: list[Keeper], whole: list[NodeId], others: int, now: float) -> None:
        """Name a spare copy to the node that has it, and look again after a while."""
        copies = self._config.replicas
        if others or len(whole) <= copies or self._is_copied(job.job) or job.job in self._withheld:
            return
        keepers = [keeper for keeper in live if keeper.node in whole]
        stay = choose_copies(job.job, keepers, copies, [], [])
        spare = [node for node in whole if node not in stay]
        self._records.send_spare(spare[0], job.job, stay)
        self._timers.set(_TIMER_SPARE, job.job, now + SPARE_PAUSE_S)

    def new_keepers(self, job: JobId) -> list[NodeId]:
        """Return who is asked to keep a record at present, or what it lacks of it."""
        return [node for copied, node in self._copyings if copied == job]

    def _is_copied(self, job: JobId) -> bool:
        return any([copied == job for copied, _ in self._copyings])

    def _begin(self, copying: Copying, now: float) -> None:
        copying.confirm_by = now + 3 * self._config.record_retry_s
        self._copyings[(copying.job, copying.node)] = copying
        self._timers.set(_TIMER_SEND, b"", max(now, self._free_at - SEND_PAUSE_S))

    def _free_slot(self, now: float) -> None:
        """Take that one copy less is under way: another one may begin."""
        if self._queued and not self._timers.is_set(_TIMER_SLOT, b""):
            self._timers.set(_TIMER_SLOT, b"", now + FACTS_FLUSH_S)

    def _send(self, now: float) -> None:
        """Send of the copies under way what a moment has room for, and give up those that nobody confirms."""
        self._free_at = max(self._free_at, now)
        again_at = math.inf
        for key in list(self._copyings):
            copying = self._copyings[key]
            while self._free_at < now + SEND_PAUSE_S and not copying.is_sent():
                size = copying.send_some(self._records)
                self._free_at += size / self._config.recopy_bytes_s
                copying.confirm_by += size / SLOWEST_BYTES_S
            if not copying.is_sent():
                copying.confirm_by = now + 3 * self._config.record_retry_s
                again_at = min(again_at, now + SEND_PAUSE_S)
            elif not copying.has_parts():
                del self._copyings[key]
                self._free_slot(now)
            elif now < copying.confirm_by:
                again_at = min(again_at, copying.confirm_by)
            else:
                del self._copyings[key]
                _, before_s = self._refused.get(key, (0.0, 0.0))
                pause_s = min(max(2 * before_s, REFUSED_FIRST_S), REFUSED_MAX_S)
                self._refused[key] = (now + pause_s, pause_s)
                self.note_job(copying.job, now)
                self._free_slot(now)
        if again_at < math.inf:
            self._timers.set(_TIMER_SEND, b"", again_at)

    # Time

    def handle_deadline(
        self, jobs: dict[JobId, Job], workers: dict[NodeId, Worker], is_collecting: bool, now: float
    ) -> None:
        """Let everything that is due happen; nobody is sent anything while the leader still collects."""
        while True:
            due = self._timers.pop_due(now)
            if due is None:
                return
            kind, subject = due
            if is_collecting and kind != _TIMER_END:
                self._timers.set(kind, subject, now + FACTS_FLUSH_S)
            elif kind == _TIMER_FACTS:
                self.spread(jobs, workers, now)
            elif kind == _TIMER_LOOK:
                self._look(jobs, workers, now)
            elif kind == _TIMER_SLOT:
                self._look_at_queued(jobs, workers, now)
            elif kind == _TIMER_SPARE:
                self.note_job(subject, now)
            elif kind == _TIMER_SEND:
                self._send(now)
            elif subject in self._withheld:
                for node in self._withheld[subject]:
                    self._laggards[node] = True
                self.counts["unconfirmed_ends"] += 1
                self._stop_withholding(subject)

    def next_deadline(self) -> float:
        """Return when :meth:`handle_deadline` is wanted next."""
        return self._timers.next_deadline()

    def check_invariants(self, jobs: dict[JobId, Job]) -> None:
        """Audit C1 and C2; `jobs` are the leader's."""
        for job_id, told in self._told.items():
            for node in told:
                assert job_id in jobs, "C1: somebody is told of a job that is not here"
                assert node in jobs[job_id].records, "C1: who is told is no keeper"
        for job_id in self._withheld:
            assert jobs[job_id].verdict, "C2: an end is withheld before there is one"


def _has_all(holding: Holding | None, parts: dict[int, bytes]) -> bool:
    if holding is None:
        return False
    for number in parts:
        if number not in holding.parts:
            return False
    return True

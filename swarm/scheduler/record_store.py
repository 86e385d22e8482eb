"""The facts about jobs that one node holds, how they merge, and what of them goes on its disk.

Facts merge by union: a part, an intent or a completion that is here stays and never changes. What a
node *keeps* it has on its disk, and finds there again; other facts it merely knows, as leaders do.
"""

from __future__ import annotations

from typing import Final

from swarm.core.effects import Effect, Erase, Persist
from swarm.core.errors import DecodeError
from swarm.core.ids import JOB_ID_SIZE, JobId, NodeId
from swarm.core.timers import Timers
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.job_facts import (
    NEWS_FORGET,
    NEWS_HOLDER,
    NEWS_INTENT,
    NEWS_PART,
    TABLE_FACTS,
    TABLE_INTENTS,
    TABLE_PARTS,
    TABLE_TOMBS,
    Holding,
    JobRecord,
    News,
)
from swarm.scheduler.keeping import Keeping
from swarm.wire.codec import Body, pack, unpack_untrusted
from swarm.wire.facts import Completion
from swarm.wire.job_part import JobPart
from swarm.wire.messages import INTENT_CANCEL, INTENT_CLOSE, INTENT_END

TIMER_TOMB: Final = 1


class RecordStore:
    """The job facts of one node, without what it says about them to others.

    Args:
        config: how long tombstones stay.
        node_id: this node.
    """

    def __init__(self, config: SchedulerConfig, node_id: NodeId) -> None:
        self._config = config
        self._me: Final = node_id
        self._records: dict[JobId, JobRecord] = {}
        self._tombs: dict[JobId, str] = {}
        self._keeping = Keeping()
        self._timers = Timers()
        self._effects: list[Effect] = []
        self._news: list[News] = []
        self.counts: dict[str, int] = {
            "malformed": 0,
            "conflicting_parts": 0,
            "jobs_refused": 0,
            "late": 0,
            "given_up": 0,
        }

    # Views

    def record(self, job: JobId) -> JobRecord | None:
        """Return the record of a job, None when there is none here."""
        return self._records.get(job)

    def facts_of(self, job: JobId) -> dict[tuple[int, int, NodeId], Completion]:
        """Return the completions known of a job, by (task, attempt, node)."""
        record = self._records.get(job)
        return {} if record is None else record.facts

    def jobs(self) -> list[JobId]:
        """Return the jobs known here, sorted."""
        return sorted(self._records)

    def verdict(self, job: JobId) -> str:
        """Return how a forgotten job ended, "" when it is not one."""
        return self._tombs.get(job, "")

    # Restart

    def restore(self, rows: list[tuple[str, bytes, bytes]]) -> None:
        """Take the rows that an earlier run persisted; unreadable ones are counted and left out."""
        for table, key, value in rows:
            try:
                self._restore_row(table, key, value)
            except DecodeError:
                self.counts["malformed"] += 1

    def _restore_row(self, table: str, key: bytes, value: bytes) -> None:
        job = key[:JOB_ID_SIZE]
        if len(job) != JOB_ID_SIZE:
            return
        if table == TABLE_TOMBS:
            self._tombs[job] = Body([unpack_untrusted(value)]).take_text()
            self._records.pop(job, None)
        elif table in (TABLE_PARTS, TABLE_INTENTS, TABLE_FACTS) and job not in self._tombs:
            record = self._records.get(job) or JobRecord()
            record.restore(table, key[JOB_ID_SIZE:], value)
            self._records[job] = record

    # Merging

    def forget(self, job: JobId, verdict: str, now: float) -> None:
        """Replace everything known of a job by a tombstone, for `tombstone_ttl_s`."""
        if job in self._tombs:
            return
        self._records.pop(job, None)
        self._keeping.forget_job(job)
        self._tombs[job] = verdict
        self._timers.set(TIMER_TOMB, job, now + self._config.tombstone_ttl_s)
        self._effects.append(Persist(TABLE_TOMBS, job, pack(verdict), False))
        for table in (TABLE_PARTS, TABLE_INTENTS, TABLE_FACTS):
            self._effects.append(Erase(table, job))
        self._news.append(News(NEWS_FORGET, job, 0, None, None))

    def _open(self, job: JobId) -> JobRecord:
        record = self._records.get(job)
        if record is None:
            record = JobRecord()
            self._records[job] = record
        return record

    def _keep(
        self, job: JobId, number: int, parts_total: int, blob: bytes, part: JobPart | None, durable: bool
    ) -> None:
        record = self._open(job)
        if durable and not record.is_kept:
            record.is_kept = True
            for completion in list(record.facts.values()):
                self._persist_fact(job, completion)
        # Before the part: the sync of the part's row is that of all rows before it.
        if parts_total:
            self._merge_intent(job, INTENT_CLOSE, parts_total, False)
        if number not in record.parts:
            record.parts[number] = blob
            self._news.append(News(NEWS_PART, job, number, part, None))
        if durable:
            record.kept[number] = True
            self._effects.append(Persist(TABLE_PARTS, job + number.to_bytes(4, "big"), blob, True))

    def _keep_whole(self, job: JobId, number: int) -> bool:
        """Keep a part whose objects have come; its sync is that of what the driver notes of them.

        Returns:
            Whether the part is still known here.
        """
        record = self._records.get(job)
        if record is None or number not in record.parts:
            return False
        self._keep(job, number, 0, record.parts[number], None, True)
        return True

    def _merge_intent(self, job: JobId, what: int, value: int, durable: bool) -> bool:
        if job in self._tombs:
            return False
        record = self._open(job)
        if what == INTENT_CLOSE and record.parts_total < value:
            record.parts_total = value
        elif what == INTENT_CANCEL and not record.is_cancelled:
            record.is_cancelled = True
        elif what == INTENT_END and value and (record.ended == 0 or value < record.ended):
            # Where two sides of a cut disagree, a success counts before a failure and that before a cancel.
            record.ended = value
        else:
            return False
        row = pack(record.intents())
        self._effects.append(Persist(TABLE_INTENTS, job, row, durable))
        self._news.append(News(NEWS_INTENT, job, what, None, None))
        return True

    def _merge_fact(self, job: JobId, completion: Completion) -> bool:
        if job in self._tombs:
            self.counts["late"] += 1
            return False
        record = self._open(job)
        key = (completion.task, completion.attempt, completion.node)
        if key in record.facts:
            return False
        record.facts[key] = completion
        if record.is_kept:
            self._persist_fact(job, completion)
        return True

    def _persist_fact(self, job: JobId, completion: Completion) -> None:
        key = (
            job + completion.task.to_bytes(4, "big") + completion.attempt.to_bytes(4, "big") + completion.node
        )
        self._effects.append(Persist(TABLE_FACTS, key, pack(completion.to_wire()), False))

    def _hear_holder(self, job: JobId, node: NodeId, holding: Holding | None) -> None:
        news = News(NEWS_HOLDER, job, 0, None, None)
        news.node = node
        news.holding = holding
        self._news.append(news)

    def _hear_own(self, job: JobId) -> None:
        """Let the scheduler know what this node keeps of a job."""
        record = self._records[job]
        kept = self._confirmed_parts(job)
        if kept:
            parts = dict.fromkeys(kept, True)
            self._hear_holder(job, self._me, Holding(parts, len(record.facts), record.ended))

    def _confirmed_parts(self, job: JobId) -> list[int]:
        """Return the parts on this disk, sorted, without those whose objects are still being fetched."""
        kept = sorted(self._records[job].kept)
        return [number for number in kept if not self._keeping.is_open(job, number)]

    def _offer_row(self, job: JobId) -> list[object]:
        """Return what is offered of a job; see RECORD_OFFER."""
        record = self._records[job]
        kept = self._confirmed_parts(job)
        loose: list[object] = []
        if len(kept) < len(record.parts):
            confirmed = dict.fromkeys(kept, True)
            loose.extend([number for number in sorted(record.parts) if number not in confirmed])
        return [job, sorted(record.parts), *record.intents(), loose, len(record.facts)]

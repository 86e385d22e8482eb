"""Job records: the grow-only facts about jobs that this node holds, and their copies on other disks.

A job is known by facts alone: its parts, its intents (how many parts it has, whether it is cancelled)
and the completions of attempts. They merge by union; nothing here stores a status. Every node runs
this, leader or not.

*Acceptance.* The node that takes a part writes it durably, has k - 1 others do the same, and only then
says so (`swarm.scheduler.acceptance`). No leader is needed.

*Offering.* A node offers the ids it holds to every new leader and whenever it gets a part; the leader
asks for what it lacks. That is how a job survives its submitter, its leader and its council.

Invariants, checked by :meth:`JobRecords.check_invariants`:

R1 An acceptance is announced only when this node has the part (its `Persist` came before).
R2 A part once held never changes its bytes.
R3 A forgotten job has a tombstone and no facts.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from swarm.core.effects import Effect, Erase, Message, Persist
from swarm.core.errors import DecodeError
from swarm.core.ids import JOB_ID_SIZE, NODE_ID_SIZE, JobId, NodeId, ObjectName
from swarm.scheduler.acceptance import Acceptances
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.giving_up import GivingUp
from swarm.scheduler.job_facts import (
    NEWS_COMPLETION,
    NEWS_INTENT,
    NEWS_PART,
    TABLE_FACTS,
    TABLE_INTENTS,
    TABLE_PARTS,
    TABLE_TOMBS,
    Holding,
    News,
)
from swarm.scheduler.keeping import Promise
from swarm.scheduler.record_store import TIMER_TOMB, RecordStore
from swarm.wire.batches import cut_rows
from swarm.wire.codec import Body, pack
from swarm.wire.facts import Completion, Output, completion_untrusted
from swarm.wire.job_part import JobPart, job_part_untrusted
from swarm.wire.messages import (
    FACTS,
    INTENT_CANCEL,
    INTENT_CLOSE,
    INTENT_END,
    JOB_ENDED,
    JOB_FORGET,
    JOB_INTENT,
    RECORD_CHECK,
    RECORD_CHECKED,
    RECORD_GIVE,
    RECORD_OFFER,
    RECORD_SPARE,
    RECORD_STORE,
    RECORD_STORED,
    RECORD_WANT,
    SPARING,
)

NO_REQUEST: Final = 0
"""Number of a RECORD_STORE whose sender does not wait for the answer: it hears of the copy by an offer."""

Heard: TypeAlias = dict[JobId, dict[tuple[int, int, NodeId], bool]]
"""Which completions a node has, by job."""


class JobRecords(RecordStore):
    """The job facts of one node; see the module's text."""

    def __init__(self, config: SchedulerConfig, node_id: NodeId) -> None:
        super().__init__(config, node_id)
        self._leader: NodeId = b""
        self._heard: dict[NodeId, Heard] = {}
        self._fresh: dict[JobId, list[Completion]] = {}
        self.acceptances = Acceptances(config, node_id)
        self._giving_up = GivingUp(config.replicas)

    # Inputs

    def start(self, now: float) -> None:
        """Let what was restored age from now on."""
        self._giving_up.start(now)
        for job in self._tombs:
            self._timers.set(TIMER_TOMB, job, now + self._config.tombstone_ttl_s)

    def on_leader(self, leader: NodeId) -> None:
        """Take the leader, b"" for none; this node itself when it leads: then all becomes news."""
        self._leader = leader
        self._heard = {}
        self._fresh = {}
        if leader == self._me:
            for job in sorted(self._records):
                self._announce(job)

    def offer(self, leader: NodeId) -> None:
        """Offer all jobs held here, and all completions known, to a leader that asked for it."""
        if leader == self._me:
            return
        rows: list[object] = []
        for job in sorted(self._records):
            rows.append(self._offer_row(job))
        if rows:
            self._effects.append(Message(leader, RECORD_OFFER, [rows]))
        for job in sorted(self._records):
            self.send_facts(leader, job, list(self._records[job].facts.values()))

    def accept(
        self, token: int, job: JobId, number: int, parts_total: int, blob: bytes, part: JobPart, now: float
    ) -> str:
        """Take a part from a client, keep it, and have others keep it.

        Args:
            token: comes back in :meth:`take_accepted`.
            job: the job.
            number: the part's number, from 0.
            parts_total: number of parts when known, else 0.
            blob: the bytes of the part.
            part: the same, decoded and checked.
            now: monotonic seconds.

        Returns:
            "" when taken; otherwise why not (nothing was kept then).
        """
        if job in self._tombs:
            verdict = self._tombs[job]
            return f"this job has ended ({verdict}) and its results have expired; submit it under a new id"
        held = self._records.get(job)
        if held is None and len(self._records) >= self._config.jobs_max:
            self.counts["jobs_refused"] += 1
            return f"this node holds {len(self._records)} jobs, the most it may; wait for some to expire"
        if held is not None and number in held.parts and held.parts[number] != blob:
            self.counts["conflicting_parts"] += 1
            return f"part {number} of this job was submitted before with other content"
        self._keep(job, number, parts_total, blob, part, True)
        asked = self.acceptances.begin(token, job, number, self._records[job].parts_total, blob, now)
        self._effects.extend(self.acceptances.take_effects())
        self._tell_leader(job, number, asked)
        return ""

    def intend(self, job: JobId, what: int, value: int, now: float) -> None:
        """Record that a job is closed after `value` parts, or cancelled, and pass it on."""
        if not self._merge_intent(job, what, value, True):
            return
        if self._leader and self._leader != self._me:
            self._effects.append(Message(self._leader, JOB_INTENT, [job, what, value]))

    def spread_intent(self, job: JobId, what: int, value: int, holders: list[NodeId]) -> None:
        """Send an intent to the other holders of a job's record (the leader's duty)."""
        for node in holders:
            if node != self._me:
                self._effects.append(Message(node, JOB_INTENT, [job, what, value]))

    def add_completion(self, job: JobId, completion: Completion) -> bool:
        """Keep a completion as a fact, on disk when this node keeps the record; return whether it is new."""
        is_new = self._merge_fact(job, completion)
        if is_new and self._leader == self._me:
            self._fresh.setdefault(job, []).append(completion)
        return is_new

    def send_facts(self, node: NodeId, job: JobId, completions: list[Completion]) -> None:
        """Send completions to a keeper of the job's record."""
        for batch in cut_rows([completion.to_wire() for completion in completions]):
            self._effects.append(Message(node, FACTS, [job, batch]))

    def send_intents(self, node: NodeId, job: JobId) -> None:
        """Send all intents known of a job to a keeper of its record."""
        record = self._records[job]
        for what, value in (
            (INTENT_CLOSE, record.parts_total),
            (INTENT_CANCEL, 1 if record.is_cancelled else 0),
            (INTENT_END, record.ended),
        ):
            if value:
                self._effects.append(Message(node, JOB_INTENT, [job, what, value]))

    def has_fresh(self) -> bool:
        """Return whether :meth:`take_fresh` would return any."""
        return len(self._fresh) > 0

    def take_fresh(self) -> dict[JobId, list[Completion]]:
        """Return and clear the completions that became known while this node leads, by job."""
        fresh = self._fresh
        self._fresh = {}
        return fresh

    def send_copy(self, node: NodeId, job: JobId, number: int, sources: list[NodeId]) -> int:
        """Have another node, or this one, keep a part that is known here; it offers the job when it does.

        Args:
            node: who is to keep it.
            job, number: the part.
            sources: nodes that may have the objects to which it refers.

        Returns:
            The bytes that were sent.
        """
        record = self._records[job]
        blob = record.parts[number]
        fields: list[object] = [NO_REQUEST, job, number, record.parts_total, blob, sources]
        self._effects.append(Message(node, RECORD_STORE, fields))
        return len(blob)

    def send_spare(self, node: NodeId, job: JobId, keepers: list[NodeId]) -> None:
        """Tell a node that its copy of a record is spare, and who else keeps it."""
        self._effects.append(Message(node, RECORD_SPARE, [job, keepers]))

    def heard(self, node: NodeId, job: JobId) -> dict[tuple[int, int, NodeId], bool]:
        """Return which completions of a job a node has told since it was asked, for the leader."""
        return self._heard.get(node, {}).get(job, {})

    def take_heard(self, node: NodeId) -> Heard:
        """Return and forget which completions a node has told since it was asked, for the leader."""
        return self._heard.pop(node, {})

    def receive_message(self, sender: NodeId, kind: int, body: list[object], now: float) -> None:
        """Take a message of kinds 50 to 58, or about spare copies; a malformed one is counted and dropped."""
        try:
            self._receive(sender, kind, Body(body), now)
        except DecodeError:
            self.counts["malformed"] += 1

    def on_object_fetched(self, name: ObjectName, now: float) -> Output | None:
        """Take that an object is in the own store now; return it when a part kept here refers to it."""
        output = self._keeping.wanted(name)
        for promise in self._keeping.on_fetched(name):
            self._confirm(promise, self._keep_whole(promise.job, promise.number))
        return output

    def on_object_missing(self, name: ObjectName, now: float) -> None:
        """Take that an object which a part refers to could not be had: the part is not confirmed."""
        for promise in self._keeping.on_missing(name):
            self._confirm(promise, False)

    # Time

    def handle_deadline(self, now: float) -> None:
        """Replace keepers that are silent; forget tombstones that are old enough."""
        self.acceptances.handle_deadline(now)
        while True:
            due = self._timers.pop_due(now)
            if due is None:
                return
            if self._tombs.pop(due[1], None) is not None:
                self._effects.append(Erase(TABLE_TOMBS, due[1]))

    def next_deadline(self) -> float:
        """Return when `handle_deadline` is wanted next."""
        first, second = self.acceptances.next_deadline(), self._timers.next_deadline()
        return first if first < second else second

    # Outputs

    def has_effects(self) -> bool:
        """Return whether `take_effects` would return any."""
        return len(self._effects) > 0 or self.acceptances.has_effects()

    def has_news(self) -> bool:
        """Return whether there is news, or an acceptance to announce."""
        return len(self._news) > 0 or len(self.acceptances.accepted) > 0

    def take_effects(self) -> list[Effect]:
        """Return and clear the effects, oldest first."""
        effects = self._effects
        self._effects = []
        effects.extend(self.acceptances.take_effects())
        return effects

    def take_news(self) -> list[News]:
        """Return and clear what became known, oldest first."""
        news = self._news
        self._news = []
        return news

    def check_invariants(self) -> None:
        """Audit R1 to R3."""
        self.acceptances.check_invariants(self._me)
        for _, job, number, _ in self.acceptances.accepted:
            record = self._records.get(job)
            assert record is not None, "R1: accepted a part of an unknown job"
            assert number in record.parts, "R1: accepted a part that is not held"
        for job in self._tombs:
            assert job not in self._records, "R3: a forgotten job has facts"

    def _announce(self, job: JobId) -> None:
        record = self._records[job]
        for number in sorted(record.parts):
            self._news.append(News(NEWS_PART, job, number, None, None))
        self._news.append(News(NEWS_INTENT, job, 0, None, None))
        for completion in list(record.facts.values()):
            self._news.append(News(NEWS_COMPLETION, job, 0, None, completion))
        self._hear_own(job)

    def _tell_leader(self, job: JobId, number: int, asked: list[NodeId]) -> None:
        leader = self._leader
        if leader == self._me:
            self._hear_own(job)
        elif leader:
            record = self._records[job]
            if leader not in asked:
                fields: list[object] = [job, number, record.parts_total, record.parts[number]]
                self._effects.append(Message(leader, RECORD_GIVE, fields))
            self._offer(job)

    def _receive(self, sender: NodeId, kind: int, body: Body, now: float) -> None:
        if kind == RECORD_STORE:
            self._on_store(sender, body)
        elif kind == RECORD_STORED:
            self._on_stored(sender, body, now)
        elif kind == RECORD_OFFER:
            self._on_offer(sender, body)
        elif kind == RECORD_WANT:
            self._on_want(sender, body)
        elif kind == RECORD_GIVE:
            job, number, parts_total = body.take_id(JOB_ID_SIZE), body.take_index(), body.take_index()
            self._on_give(job, number, parts_total, body.take_bytes())
        elif kind == FACTS:
            self._on_facts(sender, body.take_id(JOB_ID_SIZE), body.take_list())
        elif kind == JOB_INTENT:
            job, what = body.take_id(JOB_ID_SIZE), body.take_int()
            self._on_intent(sender, job, what, body.take_index())
        elif kind == JOB_FORGET:
            self._on_forget(body.take_list(), now)
        elif kind == JOB_ENDED:
            self._on_ended(body.take_list())
        elif kind in SPARING:
            self._on_spare(sender, kind, body.take_id(JOB_ID_SIZE), body, now)

    def _on_facts(self, sender: NodeId, job: JobId, rows: list[object]) -> None:
        heard: dict[tuple[int, int, NodeId], bool] = {}
        if self._leader == self._me:
            heard = self._heard.setdefault(sender, {}).setdefault(job, {})
        for row in rows:
            completion = completion_untrusted(Body([row]).take_list())
            heard[(completion.task, completion.attempt, completion.node)] = True
            if self.add_completion(job, completion):
                self._news.append(News(NEWS_COMPLETION, job, 0, None, completion))

    def _on_intent(self, sender: NodeId, job: JobId, what: int, value: int) -> None:
        is_new = self._merge_intent(job, what, value, True)
        record = self._records.get(job)
        if what == INTENT_END and sender == self._leader and record is not None and record.is_kept:
            # Behind a sync of all that came before: the leader waits for it before it tells of the end.
            if not is_new:
                self._effects.append(Persist(TABLE_INTENTS, job, pack(record.intents()), True))
            self._offer(job)

    def _on_forget(self, rows: list[object], now: float) -> None:
        for row in rows:
            entry = Body([row]).take_body()
            job = entry.take_id(JOB_ID_SIZE)
            self.forget(job, entry.take_text(), now)

    def _on_ended(self, rows: list[object]) -> None:
        for row in rows:
            job = Body([row]).take_id(JOB_ID_SIZE)
            record = self._records.get(job)
            if record is not None and not record.is_kept and self._leader != self._me:
                del self._records[job]

    def _on_spare(self, sender: NodeId, kind: int, job: JobId, body: Body, now: float) -> None:
        record = self._records.get(job)
        if kind == RECORD_CHECK:
            ok = self._giving_up.answer(job, record, body.take_bytes(), now) and not self._waits(job)
            self._effects.append(Message(sender, RECORD_CHECKED, [job, ok]))
        elif kind == RECORD_CHECKED:
            if self._giving_up.on_answer(job, record, sender, body.take_bool(), now):
                self._give_up(job)
        elif sender == self._leader and record is not None and record.is_kept:
            keepers = [node for node in _nodes_untrusted(body.take_list()) if node != self._me]
            digest = self._giving_up.begin(job, record, keepers, now)
            if digest:
                self._effects.extend([Message(node, RECORD_CHECK, [job, digest]) for node in keepers])

    def _waits(self, job: JobId) -> bool:
        """Return whether a part that is on this disk lacks objects."""
        return len(self._confirmed_parts(job)) < len(self._records[job].kept)

    def _give_up(self, job: JobId) -> None:
        """Take the copy of a record off the disk; a leader still knows it, another node forgets it."""
        record = self._records[job]
        record.is_kept = False
        record.kept = {}
        self.counts["given_up"] += 1
        for table in (TABLE_PARTS, TABLE_INTENTS, TABLE_FACTS):
            self._effects.append(Erase(table, job))
        if self._leader == self._me:
            self._hear_holder(job, self._me, None)
            return
        self._offer(job)
        del self._records[job]

    def _on_store(self, sender: NodeId, body: Body) -> None:
        request, job = body.take_int(), body.take_id(JOB_ID_SIZE)
        number, parts_total, blob = body.take_index(), body.take_index(), body.take_bytes()
        part = job_part_untrusted(blob)
        sources = _nodes_untrusted(body.take_list()) if body.has_more() else [sender]
        held = self._records.get(job)
        is_conflict = held is not None and number in held.parts and held.parts[number] != blob
        if job in self._tombs or is_conflict:
            self.counts["conflicting_parts"] += 1
            self._effects.append(Message(sender, RECORD_STORED, [request, job, number, False]))
            return
        promise = Promise(sender, request, job, number)
        fetches = self._keeping.begin(promise, part, sources)
        # Without its objects a part is no copy: neither after a restart, nor when they cannot be had.
        self._keep(job, number, parts_total, blob, part, not promise.missing)
        self._effects.extend(fetches)
        if not promise.missing:
            self._confirm(promise, True)

    def _confirm(self, promise: Promise, ok: bool) -> None:
        job = promise.job
        told: list[object] = [promise.request, job, promise.number, ok]
        self._effects.append(Message(promise.sender, RECORD_STORED, told))
        if ok and job in self._records:
            self._offer(job)

    def _offer(self, job: JobId) -> None:
        """Tell the leader what is here of one job."""
        if self._leader == self._me:
            self._hear_own(job)
        elif self._leader:
            self._effects.append(Message(self._leader, RECORD_OFFER, [[self._offer_row(job)]]))

    def _on_stored(self, sender: NodeId, body: Body, now: float) -> None:
        request, _, _ = body.take_int(), body.take_id(JOB_ID_SIZE), body.take_int()
        if request == NO_REQUEST:
            return
        if not self.acceptances.on_answer(request, sender, body.take_bool(), now):
            self.counts["late"] += 1

    def _on_offer(self, sender: NodeId, body: Body) -> None:
        wanted: list[object] = []
        for row in body.take_list():
            entry = Body([row]).take_body()
            job = entry.take_id(JOB_ID_SIZE)
            numbers = [Body([number]).take_index() for number in entry.take_list()]
            parts_total, is_cancelled = entry.take_index(), entry.take_bool()
            if job in self._tombs:
                self._effects.append(Message(sender, JOB_FORGET, [[[job, self._tombs[job]]]]))
                continue
            if parts_total:
                self._merge_intent(job, INTENT_CLOSE, parts_total, False)
            if is_cancelled:
                self._merge_intent(job, INTENT_CANCEL, 0, False)
            ended = entry.take_index()
            if ended:
                self._merge_intent(job, INTENT_END, ended, False)
            if not numbers:
                continue  # The sender has no part: it asks whether the job has ended.
            held = self._open(job).parts
            missing: list[object] = [number for number in numbers if number not in held]
            if missing:
                wanted.append([job, missing])
            self._hear_holder(job, sender, _holding_untrusted(numbers, ended, entry))
        if wanted:
            self._effects.append(Message(sender, RECORD_WANT, [wanted]))

    def _on_want(self, sender: NodeId, body: Body) -> None:
        for row in body.take_list():
            entry = Body([row]).take_body()
            job = entry.take_id(JOB_ID_SIZE)
            record = self._records.get(job)
            for number in entry.take_list():
                if record is not None and isinstance(number, int) and number in record.parts:
                    fields: list[object] = [job, number, record.parts_total, record.parts[number]]
                    self._effects.append(Message(sender, RECORD_GIVE, fields))

    def _on_give(self, job: JobId, number: int, parts_total: int, blob: bytes) -> None:
        held = self._records.get(job)
        if job in self._tombs:
            return
        if held is not None and number in held.parts:
            self._merge_intent(job, INTENT_CLOSE, parts_total, False)
            return
        part = job_part_untrusted(blob)
        self._keep(job, number, parts_total, blob, part, False)


def _holding_untrusted(numbers: list[int], ended: int, entry: Body) -> Holding | None:
    """Return what the sender of an offer has on its disk, None for nothing; raises DecodeError."""
    parts = dict.fromkeys(numbers, True)
    fact_count = 0
    if entry.has_more():
        for number in entry.take_list():
            parts.pop(Body([number]).take_index(), None)
        fact_count = entry.take_int()
    return Holding(parts, fact_count, ended) if parts else None


def _nodes_untrusted(fields: list[object]) -> list[NodeId]:
    """Return node ids; raises DecodeError."""
    return [Body([field]).take_id(NODE_ID_SIZE) for field in fields]

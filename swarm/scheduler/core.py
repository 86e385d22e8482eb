"""The leader's scheduler: a view over job facts, rebuilt by every new leader, and the orders it gives.

It lives in every node and works only in the one that leads. `lead` starts from nothing: it asks every
node for its records, facts and inventory (REPORT_WANTED), waits until all that seem alive have
answered, at most `collect_s`, adopts what runs and what is held, and only then gives orders. `follow`
forgets everything. Facts that arrive while it collects are held back and taken successes first, so that
the outcome does not depend on their order.

Timers: the end of the collection; reports asked again, each time later; retries whose back-off is over;
ended jobs that expire; sessions whose client is gone. Invariants J1 to J5 are those of `jobs`, and

K1 Only a leader has jobs, workers or watches.
K2 An attempt counted at a worker runs in its job on that node, and the other way round.
K3 No orders are given while collecting, or to a node that has not reported.
"""

from __future__ import annotations

import math
from typing import Final

from swarm.core.effects import Message, Notify
from swarm.core.errors import DecodeError
from swarm.core.ids import JOB_ID_SIZE, Ballot, JobId, NodeId, short
from swarm.scheduler.endings import ask_for_ends, expire_job, finish_job, tell_end, ttl_of
from swarm.scheduler.intake import take_end, take_intent, take_part
from swarm.scheduler.inventory import Found, adopt_found, attempts_untrusted, copies_untrusted
from swarm.scheduler.job_facts import NEWS_COMPLETION, NEWS_FORGET, NEWS_HOLDER, NEWS_INTENT, NEWS_PART, News
from swarm.scheduler.jobs import Job
from swarm.scheduler.leader_parts import (
    TIMER_COLLECT,
    TIMER_DELAYED,
    TIMER_DOUBT,
    TIMER_EXPIRE,
    TIMER_ORPHAN,
    TIMER_REPORT,
    LeaderParts,
)
from swarm.scheduler.outcomes import take_failure, take_success
from swarm.scheduler.questions import answer_question, find_job
from swarm.scheduler.reports import (
    completions_untrusted,
    give_back_all,
    give_back_lost,
    give_back_missing,
    take_lost,
    take_output,
    take_release,
    take_retracted,
)
from swarm.wire.codec import Body
from swarm.wire.facts import Completion
from swarm.wire.messages import (
    ANSWER,
    ASK,
    COMPLETIONS,
    INTENT_CANCEL,
    INVENTORY,
    JOB_RELEASE,
    OBJECT_COPIED,
    OBJECT_LOST,
    REPORT_WANTED,
    REPORTS_LOST,
    RETRACTED,
    TASK_OUTPUT,
    WATCH,
)

SILENT_MAX_S: Final = 3.0
QUESTIONS_MAX: Final = 10_000


class Scheduler(LeaderParts):
    """The leader's view of all jobs; see the module's text."""

    # Leadership

    def lead(self, ballot: Ballot, now: float) -> None:
        """Start to lead: collect what all nodes know, then schedule."""
        self.follow(now)
        self.is_leading = True
        self.is_collecting = True
        self._timers.set(TIMER_COLLECT, b"", now + self._config.collect_s)

    def follow(self, now: float) -> None:
        """Stop to lead: forget everything that only a leader needs."""
        self._forget_all()

    def on_member(
        self, node: NodeId, name: str, facts: dict[str, object], is_present: bool, now: float
    ) -> None:
        """Take that a member is present (alive or suspect), changed its facts, or is gone."""
        if not self.is_leading:
            return
        self.names[node] = name
        known = self.dispatcher.workers.get(node)
        if is_present:
            if known is not None and known.instance != facts.get("instance"):
                self._lose(node, now)
            is_new = node not in self.dispatcher.workers
            is_draining = self.dispatcher.update_worker(node, facts).is_draining
            if is_new or is_draining:
                self.custody.note_members(now)
                self.results.note_members(self.jobs, now)
            if is_new:
                self._ask_report(node, now)
        elif known is not None:
            self._lose(node, now)

    def on_link_lost(self, node: NodeId, now: float) -> None:
        """Take that the stream to a node broke: orders on it are lost, so ask what arrived."""
        if self.is_leading and node in self.dispatcher.workers and node != self._me:
            self._timers.set(TIMER_REPORT, node, self.dispatcher.workers[node].lose_stream(now))

    def _ask_report(self, node: NodeId, now: float) -> None:
        self._report_request += 1
        again_at = self.dispatcher.workers[node].ask(self._report_request, now)
        self.custody.distrust(node, now)
        self.results.distrust(node)
        unended = [job.job for job in self.jobs.values() if not job.verdict]
        self._effects.extend(ask_for_ends(unended, [node], self._me))
        self._effects.append(Message(node, REPORT_WANTED, [self._report_request]))
        self._timers.set(TIMER_REPORT, node, again_at)

    def _lose(self, node: NodeId, now: float) -> None:
        worker = self.dispatcher.remove_worker(node)
        self._timers.cancel(TIMER_REPORT, node)
        for job_id in self.watches.drop_node(node):
            self._watch_orphan(job_id, now)
        if worker is None:
            return
        self.pending.drop_node(node)
        self.quarantine.lose(node)
        self.results.distrust(node)
        self.custody.lose(node, self.jobs, now)
        self._touch(give_back_lost(self.jobs, worker))
        self.results.note_members(self.jobs, now)
        self._check_collected(now)

    # Facts

    def on_news(self, news: list[News], now: float) -> None:
        """Take what became known about jobs."""
        if not self.is_leading:
            return
        for item in news:
            if item.kind == NEWS_FORGET:
                self._forget(item.job)
            elif item.kind == NEWS_HOLDER:
                if self._records.record(item.job) is not None:
                    self.custody.take_holder(self._job(item.job, now), item.node, item.holding, now)
            elif item.kind == NEWS_COMPLETION and item.completion is not None:
                self._take_completion(item.job, item.completion, False, now)
            elif item.kind == NEWS_INTENT:
                self._take_intent(item.job, item.number, now)
            elif item.kind == NEWS_PART:
                self._take_part(item, now)

    def _take_part(self, item: News, now: float) -> None:
        record = self._records.record(item.job)
        if record is None:
            return
        job = self._job(item.job, now)
        if not job.parts_added and not record.is_kept:
            self._effects.extend(ask_for_ends([item.job], list(self.dispatcher.workers), self._me))
        self.custody.note_job(item.job, now)
        if not take_part(job, record, item, self.dispatcher.estimates):
            self.counts["malformed"] += 1
        self._watch_orphan(item.job, now)

    def _take_intent(self, job_id: JobId, what: int, now: float) -> None:
        record = self._records.record(job_id)
        if record is not None:
            take_intent(self._job(job_id, now), record, what, self._records)

    def _take_completion(self, job_id: JobId, completion: Completion, is_live: bool, now: float) -> None:
        job = self.jobs.get(job_id)
        if self.is_collecting or job is None or completion.task >= len(job.tasks):
            self.pending.hold(job_id, completion)
            return
        self._touched[job_id] = True
        task = job.tasks[completion.task]
        self.dispatcher.end_attempt(completion.node, (job_id, task.index, completion.attempt))
        task.attempts = max(task.attempts, completion.attempt)
        if completion.failure is None:
            was_unsure = task.is_unsure
            self.quarantine.on_success(job_id, task, completion.node, self.dispatcher, now)
            doubtful = take_success(job, task, completion, self.dispatcher, is_live)
            if task.is_unsure and not was_unsure:
                told: dict[str, object] = {"job": short(job_id), "task": task.index, "name": task.spec.name}
                self._effects.append(Notify("results_differ", told))
            if doubtful:
                self._doubtful.setdefault(job_id, []).extend(doubtful)
                self._timers.set(TIMER_DOUBT, b"", now + self._config.collect_s)
        else:
            self.quarantine.on_failure(job_id, task, completion.node, self.dispatcher, now)
            take_failure(job, task, completion, completion.failure, self.dispatcher, self._config, now)

    # Messages

    def receive_message(self, sender: NodeId, kind: int, body: list[object], now: float) -> None:
        """Take a report or a request for the leader; one that is malformed is counted and dropped."""
        if not self.is_leading:
            self.counts["late"] += 1
        try:
            if self.is_leading:
                self._receive(sender, kind, Body(body), now)
            elif kind == ASK:
                refusal = {"code": 3, "message": "this node does not lead any more; ask again"}
                self._effects.append(Message(sender, ANSWER, [Body(body).take_int(), False, refusal]))
        except DecodeError:
            self.counts["malformed"] += 1

    def _receive(self, sender: NodeId, kind: int, body: Body, now: float) -> None:
        if kind == COMPLETIONS:
            self._take_completions(sender, body, now)
        elif kind == INVENTORY:
            self._take_inventory(sender, body, now)
        elif kind == RETRACTED:
            self._touch(take_retracted(self.jobs, self.dispatcher, sender, body))
        elif kind == TASK_OUTPUT:
            take_output(self.jobs, self.watches, body)
        elif kind == OBJECT_COPIED:
            self._note_found(copies_untrusted(sender, body))
            self.results.note_copies(now)
        elif kind == OBJECT_LOST:
            for job, task in take_lost(self.jobs, self.dispatcher, sender, body, now):
                self._touched[job.job] = True
                self.results.note_lost(job, task, sender, now)
        elif kind == WATCH:
            self._take_watch(sender, body.take_id(JOB_ID_SIZE), body.take_bool(), now)
        elif kind == JOB_RELEASE:
            self._touch(take_release(self.jobs, body))
        elif kind == ASK:
            self._take_question(sender, body, now)
        elif kind == REPORTS_LOST:
            self.on_link_lost(sender, now)

    def _take_completions(self, sender: NodeId, body: Body, now: float) -> None:
        for job_id, completion in completions_untrusted(body):
            if self._records.add_completion(job_id, completion):
                is_live = completion.node == sender
                self._take_completion(job_id, completion, is_live, now)
                job = self.jobs.get(job_id)
                if is_live and (job is None or not job.is_final_task(completion.task)):
                    self.pending.note_outputs(job_id, completion)
            else:
                self.counts["duplicates"] += 1

    def _take_question(self, sender: NodeId, body: Body, now: float) -> None:
        request, op = body.take_int(), body.take_text()
        args = body.take_map()
        if self.is_collecting:
            if len(self._questions) < QUESTIONS_MAX:
                self._questions.append((sender, [request, op, args]))
            return
        if op == "cancel":
            found = find_job(self.jobs, args.get("job"))
            if isinstance(found, Job):
                self._records.intend(found.job, INTENT_CANCEL, 0, now)
        is_sure = self.dispatcher.has_all_reports()
        ok, value = answer_question(
            self.jobs, self._records, self.watches, self.names, op, args, now, is_sure
        )
        self._effects.append(Message(sender, ANSWER, [request, ok, value]))

    def _take_watch(self, node: NodeId, job_id: JobId, is_on: bool, now: float) -> None:
        if not is_on:
            self.watches.unwatch(job_id, node)
            self._watch_orphan(job_id, now)
            return
        self.watches.watch(job_id, node)
        self._timers.cancel(TIMER_ORPHAN, job_id)
        job = self.jobs.get(job_id)
        verdict = self._records.verdict(job_id)
        if verdict:
            self.watches.tell_forgotten(job_id, verdict, node)
        elif job is None:
            self._effects.extend(ask_for_ends([job_id], list(self.dispatcher.workers), self._me))
        elif not self.is_collecting:
            self.watches.owe(job_id, [node])

    # Collecting

    def _take_inventory(self, sender: NodeId, body: Body, now: float) -> None:
        worker = self.dispatcher.workers.get(sender)
        if worker is None or not worker.has_asked(body.take_int()):
            self.counts["late"] += 1
            return
        attempts, copies = attempts_untrusted(sender, body), copies_untrusted(sender, body)
        worker.has_reported = True
        self.custody.want_spread(now)
        self.results.note_members(self.jobs, now)
        self._timers.cancel(TIMER_REPORT, sender)
        self._touch(give_back_missing(self.jobs, self.dispatcher, sender, [row.key() for row in attempts]))
        self._note_found(attempts + copies)
        self._check_collected(now)

    def _note_found(self, rows: list[Found]) -> None:
        concerned: dict[JobId, bool] = {}
        for found in rows:
            if not self._records.verdict(found.job):
                self.pending.note(found)
                concerned[found.job] = True
        if not self.is_collecting:
            for job_id in concerned:
                self._adopt(job_id)

    def _adopt(self, job_id: JobId) -> None:
        job = self.jobs.get(job_id)
        if job is None or not job.tasks:
            return
        facts = self._records.facts_of(job_id)
        found, is_doubted = self.pending.take_found(job_id), job_id in self._doubtful
        for row in adopt_found(job, found, facts, self.dispatcher, is_doubted):
            self.pending.note(row)
        self._touched[job_id] = True

    def _check_collected(self, now: float) -> None:
        if self.is_collecting and self.dispatcher.has_all_reports():
            self._end_collection(now)

    def _end_collection(self, now: float) -> None:
        self.is_collecting = False
        self._timers.cancel(TIMER_COLLECT, b"")
        for job_id in self.pending.jobs():
            self._take_pending(job_id, now)
        for job in self.jobs.values():
            self.watches.owe(job.job, self.watches.watchers(job.job))
            self._watch_orphan(job.job, now)
        questions, self._questions = self._questions, []
        for sender, question in questions:
            self._take_question(sender, Body(question), now)
        self._effects.append(
            Notify("leading", {"jobs": len(self.jobs), "nodes": len(self.dispatcher.workers)})
        )

    def _take_pending(self, job_id: JobId, now: float) -> None:
        """Take what waited for a job: completions first, then what was found of its attempts and objects."""
        job = self.jobs.get(job_id)
        if job is None:
            return
        for completion in self.pending.take_held(job_id):
            self._take_completion(job_id, completion, False, now)
        self._adopt(job_id)

    def _settle_doubts(self, is_waiting: bool) -> None:
        """Let tasks run again whose outputs nobody has, once everybody who might have them has reported.

        What an earlier leader let run again runs on: only now is it known which attempts are of use.
        """
        if is_waiting and not self.dispatcher.has_all_reports():
            return
        doubtful = self._doubtful
        self._doubtful = {}
        self._timers.cancel(TIMER_DOUBT, b"")
        for job_id, tasks in doubtful.items():
            for task in tasks:
                self.jobs[job_id].revive_if_lost(task)
            self._adopt(job_id)

    # Time

    def handle_deadline(self, now: float) -> None:
        """Let due timers act."""
        if self.custody.next_deadline() <= now:
            self.custody.handle_deadline(self.jobs, self.dispatcher.workers, self.is_collecting, now)
        self.quarantine.handle_deadline(self.dispatcher.workers, now)
        if self.results.next_deadline() <= now:
            self.results.handle_deadline(self.jobs, self.dispatcher.workers, now)
        while True:
            due = self._timers.pop_due(now)
            if due is None:
                return
            kind, subject = due
            if kind == TIMER_COLLECT:
                self._end_collection(now)
            elif kind == TIMER_REPORT and subject in self.dispatcher.workers:
                worker = self.dispatcher.workers[subject]
                if now - worker.silent_since >= SILENT_MAX_S:
                    self._touch(give_back_all(self.jobs, worker))
                self._ask_report(subject, now)
            elif kind == TIMER_EXPIRE and subject in self.jobs:
                job = self.jobs[subject]
                self._effects.extend(expire_job(job, self.dispatcher, self._records, self._me, now))
            elif kind == TIMER_ORPHAN:
                self._end_orphan(subject, now)
            elif kind == TIMER_DOUBT:
                self._settle_doubts(False)

    def _forget(self, job_id: JobId) -> None:
        job = self.jobs.pop(job_id, None)
        if job is None or not job.verdict:
            self.watches.tell_end(job_id, self._records.verdict(job_id))
        if job is not None:
            if not job.verdict:
                self._effects.extend(tell_end(job, self._records, self.dispatcher, self._me))
            self.dispatcher.forget_job(job)
        self.pending.drop_job(job_id)
        self.custody.forget_job(job_id)
        self.results.forget_job(job_id)
        self.quarantine.forget_job(job_id)
        self._doubtful.pop(job_id, None)
        self.watches.drop_job(job_id)
        self._timers.cancel(TIMER_ORPHAN, job_id)
        self._timers.cancel(TIMER_EXPIRE, job_id)

    # Passes

    def run_pass(self, now: float) -> None:
        """Do the heavy work once for all inputs since the last pass (rule R11)."""
        if not self.is_leading or self.is_collecting or not (self.jobs or self._touched):
            return
        for job_id in list(self._touched):
            if self.pending.has(job_id):
                self._take_pending(job_id, now)
            take_end(self.jobs.get(job_id), self._records)
        if self._doubtful:
            self._settle_doubts(True)
        earliest = self.dispatcher.wake_delayed(now)
        if earliest < math.inf:
            self._timers.set(TIMER_DELAYED, b"", earliest)
        self._settle_jobs(now)
        self.watches.tell_owed(self.jobs)
        if self._records.has_fresh():
            self.custody.want_spread(now)
        jobs = list(self.jobs.values())
        self.dispatcher.place(jobs, now)
        for job in jobs:
            if job.changed:
                self.watches.tell_news(job)
        self.dispatcher.steal(now)
        for entry in self.dispatcher.delayed:
            if entry[0] < earliest:
                earliest = entry[0]
                self._timers.set(TIMER_DELAYED, b"", earliest)

    def _settle_jobs(self, now: float) -> None:
        for job_id in self.custody.take_tellable():
            if job_id in self.jobs:
                self.jobs[job_id].is_withheld = False
                self.jobs[job_id].changed = True
        touched = list(self._touched)
        self._touched = {}
        for job_id in touched:
            job = self.jobs.get(job_id)
            if job is None:
                continue
            self.dispatcher.cancel_stopped(job)
            if not job.verdict and job.is_complete():
                self.custody.spread(self.jobs, self.dispatcher.workers, now)
                keepers = self.custody.new_keepers(job_id)
                self._effects.extend(finish_job(job, self.dispatcher, self._records, self._me, keepers, now))
                self.custody.withhold(job, now)
            if job.verdict and not self._timers.is_set(TIMER_EXPIRE, job_id):
                self._timers.set(TIMER_EXPIRE, job_id, now + ttl_of(job, self.jobs, self._config))
                self.results.note_job(job, now)
            self.dispatcher.release_idle(job)

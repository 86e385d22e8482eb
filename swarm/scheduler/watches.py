"""What the leader tells about its jobs: updates to watching nodes, printed output, answers to questions."""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import Effect, Message
from swarm.core.ids import JobId, NodeId, short
from swarm.scheduler.jobs import Job
from swarm.scheduler.task_graph import told_failure
from swarm.scheduler.task_states import DONE, FAILED, STATE_NAMES, Task
from swarm.wire.batches import cut_rows
from swarm.wire.facts import Completion, data_bytes, without_data
from swarm.wire.messages import JOB_UPDATE, KIND_DATA, WATCHED_OUTPUT

DATA_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bytes of small results that one update brings along; of the others the client is told, and asks."""
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of small results in one answer; the client asks for the others one by one."""
UNKNOWN_LOGS_MAX: Final = 64
"""Jobs that are not known, of which output is kept."""


@final
class OutputLog:
    """Printed output of a job's tasks, the newest `bytes_max` bytes of it."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max: Final = bytes_max
        self._rows: list[list[object]] = []
        self._sizes: list[int] = []
        self._first = 0
        self._size = 0

    def add(self, row: list[object], size: int) -> None:
        """Keep a row [task, attempt, stream, offset, data] of `size` data bytes."""
        if not size:
            return
        self._rows.append(row)
        self._sizes.append(size)
        self._size += size
        while self._size > self._bytes_max and self._first < len(self._rows) - 1:
            self._size -= self._sizes[self._first]
            self._first += 1
        if self._first > 1000:
            del self._rows[: self._first]
            del self._sizes[: self._first]
            self._first = 0

    def rows(self) -> list[object]:
        """Return the rows kept, oldest first."""
        kept: list[object] = []
        kept.extend(self._rows[self._first :])
        return kept


@final
class Watches:
    """Who watches which job, and what they have not been told."""

    def __init__(self, output_bytes_max: int) -> None:
        self._output_bytes_max: Final = output_bytes_max
        self._watchers: dict[JobId, dict[NodeId, bool]] = {}
        self._owed: dict[JobId, dict[NodeId, bool]] = {}
        self._logs: dict[JobId, OutputLog] = {}
        self._effects: list[Effect] = []

    def watchers(self, job: JobId) -> list[NodeId]:
        """Return the nodes that watch a job."""
        return list(self._watchers.get(job, {}))

    def watch(self, job: JobId, node: NodeId) -> None:
        """Let a node be told of a job from now on; the caller owes it the whole state."""
        self._watchers.setdefault(job, {})[node] = True

    def owe(self, job: JobId, nodes: list[NodeId]) -> None:
        """Let watchers be sent the whole state by `tell_owed`, when it is known whether a job ended."""
        for node in nodes:
            self._owed.setdefault(job, {})[node] = True

    def tell_owed(self, jobs: dict[JobId, Job]) -> None:
        """Send the whole state of jobs to whom it is owed; of a job without parts nothing is known yet."""
        for job_id, nodes in list(self._owed.items()):
            job = jobs.get(job_id)
            if job is not None and _is_unknown(job):
                continue
            del self._owed[job_id]
            if job is not None:
                for node in nodes:
                    self.tell_whole(job, node)

    def unwatch(self, job: JobId, node: NodeId) -> None:
        """Stop telling a node."""
        watchers = self._watchers.get(job)
        if watchers is not None:
            watchers.pop(node, None)
            self._owed.get(job, {}).pop(node, None)
            if not watchers:
                del self._watchers[job]

    def drop_node(self, node: NodeId) -> list[JobId]:
        """Forget a node; return the jobs it watched."""
        watched = [job for job, watchers in self._watchers.items() if node in watchers]
        for job in watched:
            self.unwatch(job, node)
        return watched

    def drop_job(self, job: JobId) -> None:
        """Forget a job."""
        self._watchers.pop(job, None)
        self._owed.pop(job, None)
        self._logs.pop(job, None)

    def tell_whole(self, job: Job, node: NodeId) -> None:
        """Send the whole state of a job: every kept result and every failure."""
        completions: list[Completion] = []
        for task in job.tasks:
            if task.spec.kind == KIND_DATA:
                continue
            known = completion_of(task)
            if known is not None:
                completions.append(known)
        self._tell(job, [node], completions, True)
        log = self._logs.get(job.job)
        if log is not None:
            self._effects.append(Message(node, WATCHED_OUTPUT, [job.job, log.rows()]))

    def tell_forgotten(self, job: JobId, verdict: str, node: NodeId) -> None:
        """Send that a job has ended long ago and that its results have expired."""
        no_counts: list[object] = [0, 0, 0, 0]
        no_completions: list[object] = []
        reason = "it ended long ago, its results have expired"
        body: list[object] = [job, verdict, 0, no_counts, no_completions, reason, True, 0]
        self._effects.append(Message(node, JOB_UPDATE, body))

    def tell_end(self, job: JobId, verdict: str) -> None:
        """Send to all watchers of a job that it has ended long ago, as was just heard."""
        for node in self.watchers(job):
            self.tell_forgotten(job, verdict, node)

    def tell_news(self, job: Job) -> None:
        """Send what changed since the last time to all watchers who have been sent the whole before."""
        if _is_unknown(job):
            return
        watchers = self._told(job.job)
        updates = job.updates
        job.updates = []
        job.changed = False
        if watchers:
            self._tell(job, watchers, updates, False)

    def _tell(self, job: Job, nodes: list[NodeId], completions: list[Completion], is_whole: bool) -> None:
        rows: list[object] = []
        room = DATA_BYTES_MAX
        for completion in completions:
            rows.append(completion.to_wire() if room > 0 else without_data(completion).to_wire())
            room -= data_bytes(completion)
        batches = cut_rows(rows)
        if not batches:
            batches.append([])
        for number, batch in enumerate(batches):
            is_last = number == len(batches) - 1
            state = job.state() if is_last else "running"
            counts = job.counts()
            for node in nodes:
                body: list[object] = [job.job, state, job.parts_added, counts, batch, job.told_reason()]
                body.append(is_whole)
                body.append(job.attempts)
                self._effects.append(Message(node, JOB_UPDATE, body))
            is_whole = False

    def has_room_for(self, job: JobId, jobs: dict[JobId, Job]) -> bool:
        """Return whether output of a job may be kept that is not known: a new leader hears of it first."""
        unknown = [log for log in self._logs if log not in jobs]
        return job in self._logs or len(unknown) < UNKNOWN_LOGS_MAX

    def add_output(self, job: JobId, row: list[object], size: int) -> None:
        """Keep a row of printed output and pass it on to the watchers."""
        log = self._logs.get(job)
        if log is None:
            log = OutputLog(self._output_bytes_max)
            self._logs[job] = log
        log.add(row, size)
        rows: list[object] = [row]
        for node in self._told(job):
            self._effects.append(Message(node, WATCHED_OUTPUT, [job, rows]))

    def _told(self, job: JobId) -> list[NodeId]:
        owed = self._owed.get(job)
        return [node for node in self.watchers(job) if owed is None or node not in owed]

    def output_rows(self, job: JobId) -> list[object]:
        """Return the printed output kept for a job."""
        log = self._logs.get(job)
        return [] if log is None else log.rows()

    def has_effects(self) -> bool:
        """Return whether `take_effects` would return any."""
        return len(self._effects) > 0

    def take_effects(self) -> list[Effect]:
        """Return and clear the effects, oldest first."""
        effects = self._effects
        self._effects = []
        return effects


def _is_unknown(job: Job) -> bool:
    """Return whether no part of a job has come yet, so that it may have ended long ago."""
    return not job.parts_added and job.state() == "running"


def completion_of(task: Task) -> Completion | None:
    """Return the completion by which a watcher learns of a final task, None when there is none to tell."""
    if task.state == DONE and task.is_kept and task.outputs is not None:
        digest, duration_s = task.inputs_digest, task.duration_s
        return Completion(
            task.index, max(task.attempts, 1), task.ran_on, digest, duration_s, task.outputs, None
        )
    return told_failure(task) if task.state == FAILED else None


def summary_of(job: Job, now: float) -> dict[str, object]:
    """Return one line of `swarm jobs`."""
    total, done, failed, running = job.counts()
    end = job.ended_at if job.verdict else now
    return {
        "job": short(job.job),
        "name": job.name,
        "state": job.state(),
        "tasks": {"total": total, "done": done, "failed": failed, "running": running},
        "submitter": job.submitter,
        "wall_s": round(end - job.started_at, 3),
        "attempts": job.attempts,
        "reason": job.told_reason(),
        "duplicates": job.duplicates,
        "unsure": job.unsure,
    }


def details_of(job: Job, now: float, names: dict[NodeId, str]) -> dict[str, object]:
    """Return `swarm job ID`: the summary and one row per task that is not mere data."""
    rows: list[object] = []
    for task in job.tasks:
        if task.spec.kind == KIND_DATA:
            continue
        node = next(iter(task.running.values()), task.ran_on)
        row: dict[str, object] = {
            "task": task.index,
            "name": task.spec.name,
            "state": STATE_NAMES[task.state],
            "attempts": task.attempts,
            "node": names.get(node, ""),
            "duration_s": round(task.duration_s, 6),
            "error": "" if task.failure is None else task.failure.message,
        }
        if task.is_unsure:
            row["digests"] = [output.digest.hex() for output in task.outputs or []]
            row["other_results"] = _others_of(task, names)
        rows.append(row)
    details = summary_of(job, now)
    details["tasks_detail"] = rows
    details["records"] = [names.get(node, short(node)) for node in job.records]
    return details


def _others_of(task: Task, names: dict[NodeId, str]) -> list[object]:
    """Return what other runs of a task made than the one that won."""
    rows: list[object] = []
    for node, attempt, digests in task.others or []:
        told: list[object] = [digest.hex() for digest in digests]
        rows.append({"node": names.get(node, short(node)), "attempt": attempt, "digests": told})
    return rows


def results_of(job: Job, bytes_max: int = ANSWER_BYTES_MAX) -> list[object]:
    """Return the kept outputs of a job: task, output, name, size, encoding, digest, and data of the first.

    Small outputs come along up to `bytes_max` together; the others are asked for one by one.
    """
    rows: list[object] = []
    inline_bytes = 0
    for task in job.tasks:
        if task.state != DONE or not task.is_kept or task.outputs is None or task.spec.kind == KIND_DATA:
            continue
        for number, output in enumerate(task.outputs):
            data = output.data if inline_bytes + output.size <= bytes_max else None
            inline_bytes += 0 if data is None else len(data)
            rows.append(
                {
                    "task": task.index,
                    "output": number,
                    "name": task.spec.name,
                    "size": output.size,
                    "encoding": output.encoding,
                    "digest": output.digest,
                    "data": data,
                }
            )
    return rows

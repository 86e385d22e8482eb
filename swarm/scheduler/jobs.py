"""A job as the leader sees it: its task graph, computed from facts, and what may run next.

Everything here is recomputed from parts and completions by whoever leads; nothing is stored. The
states and their changes are drawn in `task_states`. Invariants, checked by `invariants.py`:

J1 A task's `waiting_count` is the number of its producers that are not DONE.
J2 READY means `waiting_count` is 0; a READY task is in its heap.
J3 `consumers_left` is the number of a task's dependents that are not final.
J4 A DONE task has outputs, unless released; a success counts only while its inputs' digests equal the
   winners' (promise P3).
J5 The counters of the job equal a recount.
"""

from __future__ import annotations

import heapq
from typing import Final, final

from swarm.core.ids import JobId, NodeId
from swarm.scheduler.job_facts import Holding
from swarm.scheduler.ranking import Estimates, rank_new_tasks
from swarm.scheduler.reruns import NO_LIFE, life_of
from swarm.scheduler.task_graph import (
    dependency_failure,
    expected_inputs_digest,
    is_available,
    missing_output,
    producers_of,
    told_failure,
)
from swarm.scheduler.task_states import ASSIGNED, CANCELLED, DONE, FAILED, READY, WAITING, Task
from swarm.wire.facts import Completion, Failure, Output
from swarm.wire.job_part import JobPart, TaskOptions, data_output_untrusted
from swarm.wire.messages import KIND_DATA

VERDICT_DONE: Final = "done"
VERDICT_FAILED: Final = "failed"
VERDICT_CANCELLED: Final = "cancelled"
VERDICTS: Final = (VERDICT_DONE, VERDICT_FAILED, VERDICT_CANCELLED)


@final
class Job:
    """The tasks of one job and their states.

    Attributes:
        job: its id.
        order: position among the leader's jobs, older first.
        tasks: by index.
        classes: the different options of its tasks; a task's `klass` is an index here.
        has_brought: whether some of its data was put into the stores of nodes, and may be out of reach.
        lacking: READY tasks that wait for such data -> which.
        ready: per class, a heap of (-rank, index); stale entries are skipped when popped.
        offered: nodes that said that they have parts of the job, on disk or not.
        is_withheld: whether its keepers do not have its end on their disks yet, so that nobody is told of it.
        records: nodes that keep the job's record -> what they keep.
        updates: completions that watchers have not been told yet.
        released: tasks whose outputs nobody needs any more; the scheduler tells their holders.
        stopped: (task, attempt, node) of attempts that are of no use any more; the scheduler cancels them.
        early: per task, successes that wait for the winners of their inputs.
        won: tasks that became DONE by a completion; the scheduler checks that their outputs can be had.
        stall: why some of it cannot be placed at present, "" when all can.
        verdict: "" while it runs; an ended job runs nothing again.
        is_reloaded: whether it had ended before this leader came.
    """

    def __init__(self, job: JobId, order: int, now: float) -> None:
        self.job: Final = job
        self.order: Final = order
        self.name = ""
        self.submitter = ""
        self.is_session = False
        self.life = NO_LIFE
        self.fails_whole = True
        self.priority = 0
        self.tasks: list[Task] = []
        self.parts_added = 0
        self.parts_total = 0
        self.parts_waiting: dict[int, JobPart] = {}
        self.is_cancelled = False
        self.has_brought = False
        self.lacking: dict[int, int] = {}
        self.classes: list[TaskOptions] = []
        self.ready: list[list[tuple[float, int]]] = []
        self.ready_count = 0
        self.done = 0
        self.failed = 0
        self.cancelled = 0
        self.running = 0
        self.data = 0
        self.attempts = 0
        self.duplicates = 0
        self.unsure = 0
        self.cpus_running = 0.0
        self.verdict = ""
        self.is_reloaded = False
        self.kept_bytes = 0
        self.reason = ""
        self.started_at: Final = now
        self.ended_at = 0.0
        self.offered: dict[NodeId, bool] = {}
        self.is_withheld = False
        self.records: dict[NodeId, Holding] = {}
        self.updates: list[Completion] = []
        self.released: list[int] = []
        self.stopped: list[tuple[int, int, NodeId]] = []
        self.stall = ""
        self.early: dict[int, list[Completion]] = {}
        self.won: list[int] = []
        self._hopeful: list[int] = []
        self.changed = True

    # Building

    def add_part(self, number: int, part: JobPart, estimates: Estimates) -> None:
        """Take a part; it joins the graph once all parts before it have."""
        if number < self.parts_added or number in self.parts_waiting:
            return
        self.parts_waiting[number] = part
        while self.parts_added in self.parts_waiting:
            following = self.parts_waiting.pop(self.parts_added)
            self.parts_added += 1
            self._append(following, estimates)
        self.changed = True

    def _append(self, part: JobPart, estimates: Estimates) -> None:
        if self.parts_added == 1:
            self._read_meta(part.meta)
        if part.first_task != len(self.tasks):
            self.cancel(
                f"part {self.parts_added - 1} starts at task {part.first_task}, not {len(self.tasks)}"
            )
            return
        missing = missing_output(self.tasks, part)
        if missing:
            self.cancel(missing)
            return
        first = len(self.tasks)
        for spec in part.tasks:
            task = Task(len(self.tasks), spec)
            task.klass = self._class_of(spec.options)
            self.tasks.append(task)
            for producer in producers_of(task):
                source = self.tasks[producer]
                source.dependents.append(task.index)
                source.consumers_left += 1
        rank_new_tasks(self.tasks, first, estimates)
        for index in range(first, len(self.tasks)):
            self._activate(self.tasks[index])

    def _class_of(self, options: TaskOptions) -> int:
        for index, known in enumerate(self.classes):
            if known is options:
                return index
        if options in self.classes:
            return self.classes.index(options)
        self.classes.append(options)
        self.ready.append([])
        return len(self.classes) - 1

    def _read_meta(self, meta: dict[str, object]) -> None:
        name, submitter = meta.get("name"), meta.get("submitter")
        self.name = name[:200] if isinstance(name, str) else ""
        self.submitter = submitter[:200] if isinstance(submitter, str) else ""
        self.is_session = meta.get("session") is True
        self.life = life_of(meta)
        self.fails_whole = meta.get("on_error", "continue" if self.is_session else "fail") == "fail"
        priority = meta.get("priority", 0)
        self.priority = priority if isinstance(priority, int) else 0

    def _activate(self, task: Task) -> None:
        broken = ""
        # Counted anew: a task of the same part may have revived a producer of this one already.
        task.waiting_count = 0
        for producer in producers_of(task):
            source = self.tasks[producer]
            if source.state != DONE:
                task.waiting_count += 1
            if source.state in (FAILED, CANCELLED):
                broken = source.spec.name
        is_over = self.verdict != "" and not self.is_reloaded
        if self.is_cancelled or is_over or (self.fails_whole and self.failed > 0):
            self._end(task, CANCELLED, None)
            return
        if task.spec.kind == KIND_DATA:
            output = data_output_untrusted(task.spec.payload)
            self.has_brought = self.has_brought or output.data is None
            task.outputs = [output]
            task.state = DONE
            self.done += 1
            self.data += 1
            return
        if broken:
            self._end(task, FAILED, dependency_failure(broken))
            return
        for producer in producers_of(task):
            source = self.tasks[producer]
            if source.state == DONE and source.is_released:
                self.revive(source)
        if task.waiting_count == 0:
            self._make_ready(task)

    # Facts

    def accept_success(self, task: Task, completion: Completion, is_holder: bool) -> bool:
        """Take a success; return whether it is now (or was already) among the winners.

        One whose inputs have no winners yet is set aside and tried again when they do.

        Args:
            task: what succeeded.
            completion: the fact.
            is_holder: whether its node tells it now, and so has the outputs; since an old success, or one
                that was set aside, it may have been started anew.
        """
        outputs = completion.outputs
        assert outputs is not None, "J4: a success has outputs"
        self.stop(task, completion.attempt, completion.node)
        if task.state == DONE:
            return self._accept_duplicate(task, completion, is_holder)
        if task.state in (FAILED, CANCELLED):
            return False
        if len(outputs) != task.spec.output_count:
            self._leave_running(task)
            return False
        is_winner = self._judge(task, completion, outputs, is_holder)
        while self._hopeful:
            index = self._hopeful.pop()
            for early in self.early.pop(index, []):
                if not self.tasks[index].is_final() and early.outputs is not None:
                    self._judge(self.tasks[index], early, early.outputs, False)
        return is_winner

    def _judge(self, task: Task, completion: Completion, outputs: list[Output], is_holder: bool) -> bool:
        """Let a success win when its inputs are the winners' (P3); keep it when they have none yet."""
        expected = expected_inputs_digest(self.tasks, task)
        if expected is None:
            self.early.setdefault(task.index, []).append(completion)
            self._leave_running(task)
            return False
        if expected != completion.inputs_digest:
            self._leave_running(task)
            return False
        self._win(task, completion, outputs, is_holder)
        return True

    def _accept_duplicate(self, task: Task, completion: Completion, is_holder: bool) -> bool:
        self.duplicates += 1
        if task.outputs is None or completion.outputs is None:
            return False
        mine = [output.digest for output in task.outputs]
        if mine != [output.digest for output in completion.outputs]:
            self.unsure += task.note_other(completion.node, completion.attempt, completion.outputs)
            return False
        if is_holder:
            task.holders[completion.node] = True
        return True

    def _win(self, task: Task, completion: Completion, outputs: list[Output], is_holder: bool) -> None:
        self._stop_all(task)
        if task.state == READY:
            self.ready_count -= 1
        task.state = DONE
        task.ahead = False
        task.outputs = outputs
        task.is_released = False
        task.inputs_digest = completion.inputs_digest
        task.ran_on, task.duration_s = completion.node, completion.duration_s
        task.holders = {completion.node: True} if is_holder else {}
        task.copies = {}
        self.done += 1
        self.changed = True
        self.won.append(task.index)
        self.unsure += task.note_anew(outputs)
        if task.is_kept:
            self.updates.append(completion)
        for index in task.dependents:
            dependent = self.tasks[index]
            dependent.waiting_count -= 1
            if dependent.waiting_count == 0:
                if dependent.state == WAITING:
                    self._make_ready(dependent)
                if index in self.early:
                    self._hopeful.append(index)
        for producer in producers_of(task):
            self._consume(self.tasks[producer])
        self._release_if_idle(task)

    def fail(self, task: Task, failure: Failure) -> None:
        """End a task as failed, and with it all that need it; the whole job when it asked for that."""
        if task.is_final():
            return
        task.failure = failure
        self._end(task, FAILED, failure)
        if self.fails_whole and not self.reason:
            self.reason = f"task {task.spec.name} failed: {failure.message}"
            for other in self.tasks:
                if not other.is_final():
                    self._end(other, CANCELLED, None)
            return
        stack = [task]
        while stack:
            broken = stack.pop()
            for index in broken.dependents:
                dependent = self.tasks[index]
                if not dependent.is_final():
                    self._end(dependent, FAILED, dependency_failure(task.spec.name))
                    stack.append(dependent)

    def cancel(self, reason: str) -> None:
        """Cancel every task that is not final yet."""
        self.is_cancelled = True
        self.changed = True
        self.reason = self.reason or reason
        for task in self.tasks:
            if not task.is_final():
                self._end(task, CANCELLED, None)

    def _end(self, task: Task, state: int, failure: Failure | None) -> None:
        self._stop_all(task)
        if task.state == READY:
            self.ready_count -= 1
        task.state = state
        task.ahead = False
        task.failure = failure
        self.changed = True
        if state == FAILED:
            self.failed += 1
            self.updates.append(told_failure(task))
        else:
            self.cancelled += 1
        for producer in producers_of(task):
            self._consume(self.tasks[producer])

    # Running

    def start(self, task: Task, node: NodeId, is_ahead: bool) -> int:
        """Give out a new attempt of a task to a node; return its number."""
        task.attempts += 1
        self.adopt(task, task.attempts, node, is_ahead)
        self.attempts += 1
        return task.attempts

    def adopt(self, task: Task, attempt: int, node: NodeId, is_ahead: bool) -> None:
        """Take that an attempt of a task is under way on a node."""
        if task.state == READY:
            self.ready_count -= 1
        if not task.running:
            self.running += 1
            self.cpus_running += task.spec.options.cpus
        task.running[attempt] = node
        task.attempts = max(task.attempts, attempt)
        task.state = ASSIGNED
        task.ahead = is_ahead
        self.changed = True

    def stop(self, task: Task, attempt: int, node: NodeId) -> None:
        """Take that an attempt on a node is over; another node's of the same number is not touched."""
        if task.running.get(attempt) != node:
            return
        del task.running[attempt]
        if not task.running:
            self.running -= 1
            self.cpus_running -= task.spec.options.cpus

    def give_back(self, task: Task, attempt: int) -> None:
        """Take that an attempt will bring nothing: the task may be given out again."""
        self.stop(task, attempt, task.running.get(attempt, b""))
        self._leave_running(task)

    def _stop_all(self, task: Task) -> None:
        for attempt, node in list(task.running.items()):
            self.stop(task, attempt, node)
            self.stopped.append((task.index, attempt, node))

    def _leave_running(self, task: Task) -> None:
        if task.state == ASSIGNED and not task.running:
            task.ahead = False
            self.changed = True
            task.state = WAITING
            if task.waiting_count == 0:
                self._make_ready(task)

    def _make_ready(self, task: Task) -> None:
        task.state = READY
        self.ready_count += 1
        heapq.heappush(self.ready[task.klass], (-task.rank, task.index))

    def push_back(self, task: Task) -> None:
        """Put a READY task that was popped but not placed into its heap again."""
        heapq.heappush(self.ready[task.klass], (-task.rank, task.index))

    def pop_ready(self, klass: int) -> Task | None:
        """Remove and return the most urgent READY task of a class."""
        heap = self.ready[klass]
        while heap:
            _, index = heapq.heappop(heap)
            task = self.tasks[index]
            if task.state == READY:
                return task
        return None

    # Objects

    def revive(self, task: Task) -> None:
        """Compute a DONE task's outputs again because they are gone (lineage), and what that needs.

        What needs a task that has failed or was cancelled since cannot be computed again and fails.
        """
        hopeless: list[tuple[Task, str]] = []
        stack = [task]
        while stack:
            lost = stack.pop()
            if lost.state != DONE or lost.spec.kind == KIND_DATA:
                continue
            lost.state = WAITING
            lost.lose_outputs()
            lost.holders = {}
            lost.copies = {}
            lost.is_released = False
            self.done -= 1
            self.changed = True
            for index in lost.dependents:
                dependent = self.tasks[index]
                dependent.waiting_count += 1
                if dependent.state == READY:
                    dependent.state = WAITING
                    self.ready_count -= 1
            broken = ""
            for producer in producers_of(lost):
                source = self.tasks[producer]
                source.consumers_left += 1
                if source.state == DONE and (source.is_released or not is_available(source)):
                    stack.append(source)
                elif source.state in (FAILED, CANCELLED):
                    broken = source.spec.name
            if broken:
                hopeless.append((lost, broken))
            elif lost.waiting_count == 0:
                self._make_ready(lost)
        for lost, broken in hopeless:
            self.fail(lost, dependency_failure(broken))

    def drop_holder(self, node: NodeId) -> None:
        """Take that a node has no objects of this job any more; revive what is needed and lost."""
        for task in self.tasks:
            if task.drop_node(node):
                self.revive_if_lost(task)

    def revive_if_lost(self, task: Task) -> None:
        """Revive a DONE task whose outputs have no holder although somebody still wants them."""
        if self.verdict or self.is_cancelled or (self.fails_whole and self.failed > 0):
            return
        is_wanted = task.is_kept or task.consumers_left > 0
        if task.state == DONE and not task.is_released and is_wanted and not is_available(task):
            self.revive(task)

    def unkeep(self, task: Task) -> None:
        """Take that the client no longer wants a task's outputs."""
        task.is_kept = False
        self._release_if_idle(task)

    def _consume(self, source: Task) -> None:
        source.consumers_left -= 1
        self._release_if_idle(source)

    def _release_if_idle(self, task: Task) -> None:
        if task.state != DONE or task.is_kept or task.consumers_left > 0 or task.spec.kind == KIND_DATA:
            return
        if not task.is_released:
            task.is_released = True
            self.released.append(task.index)

    # Views

    def counts(self) -> list[int]:
        """Return [total, done, failed, running] of the tasks that are not mere data."""
        return [len(self.tasks) - self.data, self.done - self.data, self.failed, self.running]

    def state(self) -> str:
        """Return what people are told: "running" or the verdict."""
        return "running" if self.is_withheld else self.verdict or "running"

    def is_final_task(self, index: int) -> bool:
        """Return whether a task is known and nothing more is to be done for it."""
        return index < len(self.tasks) and self.tasks[index].is_final()

    def told_reason(self) -> str:
        """Return what people are told: why it ended as it did, or why it cannot go on at present."""
        return self.reason or ("" if self.verdict else self.stall)

    def has_all_parts(self) -> bool:
        """Return whether the job is closed and all its parts are here."""
        return 0 < self.parts_total <= self.parts_added

    def is_complete(self) -> bool:
        """Return whether all parts are here and every task is final."""
        has_ended = self.has_all_parts() or self.is_cancelled or (self.fails_whole and self.failed > 0)
        return has_ended and self.done + self.failed + self.cancelled == len(self.tasks)

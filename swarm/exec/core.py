"""The execution core of a node: which attempts it holds, what they wait for, who runs them.

Theory of operation. The leader assigns attempts. Each becomes a *run* that waits until its objects are in
the object table: brought along, fetched from a holder, or made by an earlier run of this node. A run whose
objects are all here is ready; ready runs start in the order in which they arrived (`swarm.exec.dispatch`).
When a run ends, its outputs enter the table, which makes dependents ready at once, so that a chain sent as
a whole needs no word from the leader. States are in `swarm.exec.states`, objects in `swarm.objects.table`.

What ends is told by `take_reports`; who was cancelled, retracted or forgotten is not. A run that waits for
an output that will never come (its maker failed or was cancelled) waits until the leader cancels it.

Effects: SpawnExecutor, RunTasks, RecallTasks, KillExecutor, FetchObject, DropObject, Notify. Dispatching is
done once per batch of inputs, when effects are taken.

Timers: TIMEOUT of an executor's first task; IDLE, STALL and RESPAWN of all executors together.

Invariants (`swarm.exec.invariants`; T1..T5 are the table's):
    I1  A run is filed under its order, its job and its attempt; an attempt has at most one run.
    I2  WAITING: it waits for exactly `missing_count` > 0 objects. Otherwise it waits for none.
    I3  READY: in its lane's heap. The lane's count is the number of its READY runs.
    I4  SENT or RUNNING: in the queue of exactly one BUSY executor, under its present handle; RUNNING if and
        only if it is the first. Its objects are present.
    I5  An executor is BUSY if and only if its queue is not empty; its first is no ghost, or one recalled.
    I6  Slots and memory used are the sums over BUSY and DYING executors; slots used <= slots.
    I7  Queues longer than one belong to tiny executors of the work lane and are at most pipeline_max long.
    I8  A TIMEOUT timer is set if and only if the executor's first run has a timeout.
    I9  Every table is within its bound.
    I10 After a pass no ready run could start on an idle executor.

Sources: the split into waiting, ready and running with an index of waiters per object follows dask's worker
state machine; giving tasks ahead follows HyperQueue's prefill.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import Effect
from swarm.core.ids import Address, AttemptKey, JobId, NodeId, ObjectName
from swarm.core.timers import Timers
from swarm.exec.config import ExecConfig
from swarm.exec.dispatch import TIMER_IDLE, TIMER_STALL, TIMER_TIMEOUT, Dispatcher, reference_of
from swarm.exec.invariants import check_executors, check_runs
from swarm.exec.printed import PrintedRows
from swarm.exec.reports import (
    ExecCounts,
    Reports,
    failure_of_count,
    failure_of_death,
    failure_of_timeout,
    not_started,
    statistics_of,
)
from swarm.exec.runs import EndedAttempts, Runs
from swarm.exec.slots import Slots
from swarm.exec.states import ExecutorState, Run, RunState
from swarm.objects.table import NODE_USER, ObjectTable
from swarm.wire.facts import Completion, Failure, Output, digest_of_inputs
from swarm.wire.orders import Assignment, InputRef


@final
class ExecCore:
    """The worker's side of scheduling; see the module's text."""

    def __init__(self, config: ExecConfig, node_id: NodeId, cpus: float, memory_bytes: int) -> None:
        """Make a core that holds nothing.

        Args:
            config: its settings.
            node_id: the own node, the author of completions.
            cpus: cores that tasks may use, >= 0, fractions round up.
            memory_bytes: what tasks may reserve together, 0 for no limit.
        """
        assert cpus >= 0, "a node has no less than no core"
        whole = int(cpus)
        self._config: Final = config
        self._node_id: Final = node_id
        self._effects: Final[list[Effect]] = []
        self._timers: Final = Timers()
        self._runs: Final = Runs()
        self.attempts: Final = self._runs  # how many are here, for the node: len() only
        self._ended: Final = EndedAttempts(config.ended_count_max, config.ended_bytes_max)
        self._slots: Final = Slots(
            whole if whole == cpus else whole + 1, config.script_count_max, memory_bytes
        )
        self._table: Final = ObjectTable(node_id, config.bytes_max, config.fetch_count_max, self._effects)
        self.fetches: Final = self._table.queue  # what is about to be fetched, for the node: len() only
        self.told: Final = self._table.told  # what became of `fetch_object`, for the node to take and clear
        self._dispatcher: Final = Dispatcher(
            config, self._slots, self._runs, self._table, self._timers, self._effects
        )
        self._now = 0.0
        self._order = 0
        self.is_dirty = False  # something came since the effects were taken
        self.may_report = False  # and since the reports were taken
        self._is_draining = False
        self.quarantine: tuple[NodeId, str] = (b"", "")  # who ordered it, and why; "" for none
        self._completions: list[tuple[JobId, Completion]] = []
        self.printed: Final = PrintedRows(config.printed_bytes_max)
        self._returned: list[AttemptKey] = []
        self._counts: Final = ExecCounts()

    # Orders of the leader

    def assign(self, assignments: list[Assignment], now: float) -> None:
        """Take attempts to run; one that is here already is ignored, one that just ended is told again."""
        self._advance_clock(now)
        for assignment in assignments:
            self._assign_one(assignment)

    def cancel(self, attempts: list[AttemptKey], now: float) -> None:
        """Drop attempts, killing the executors of running ones; nothing is reported about them."""
        self._advance_clock(now)
        for job, task, attempt in attempts:
            run = self._runs.find(job, task, attempt)
            if run is None:
                self._counts.unknown += 1
            else:
                self._drop_run(run, "cancelled")

    def retract(self, attempts: list[AttemptKey], now: float) -> list[AttemptKey]:
        """Drop those of the attempts that no executor was given yet, and return them."""
        self._advance_clock(now)
        returned: list[AttemptKey] = []
        for job, task, attempt in attempts:
            run = self._runs.find(job, task, attempt)
            if run is not None and run.state in (RunState.WAITING, RunState.READY):
                self._drop_run(run, "retracted")
                returned.append((job, task, attempt))
        return returned

    def release(self, names: list[ObjectName], now: float) -> None:
        """Drop objects that no one needs any more, each as soon as no run here needs it."""
        self._advance_clock(now)
        for name in names:
            self._table.release(name)

    def forget_job(self, job: JobId, now: float) -> None:
        """Drop everything of a job: attempts, objects, completions remembered."""
        self._advance_clock(now)
        for run in self._runs.of_job(job):
            self._drop_run(run, "its job is over")
        self._table.forget_job(job)
        self._ended.forget_job(job)

    def drain(self, now: float) -> None:
        """Start nothing more: what waits is given back, what comes is given back, what runs may end."""
        self._advance_clock(now)
        self._is_draining = True
        for run in self._runs.all():
            if run.state in (RunState.WAITING, RunState.READY):
                self._give_back(run.key())
                self._drop_run(run, "draining")

    def _assign_one(self, assignment: Assignment) -> None:
        job = assignment.job
        if self._runs.find(job, assignment.task, assignment.attempt) is not None:
            self._counts.repeated += 1
            return
        key = (job, assignment.task, assignment.attempt)
        completion = self._ended.find(key)
        if completion is not None:
            self._counts.repeated += 1
            self._completions.append((job, completion))
            return
        width = self._slots.width_of(assignment.cpus)
        if (
            self._is_draining
            or len(self._runs) >= self._config.attempts_max
            or width > self._slots.slot_count
        ):
            self._give_back(key)
            return
        self._order += 1
        run = Run(self._order, assignment, width)
        self._runs.add(run)
        for index in range(len(run.names)):
            if not self._want(run, index):
                run.missing_count += 1
        if run.missing_count == 0:
            self._dispatcher.make_ready(run)

    def _want(self, run: Run, index: int) -> bool:
        """Let the run need one of its objects; return False when it now waits for it."""
        name = run.names[index]
        ref = reference_of(run, index)
        is_here = self._table.want(name, run.order, ref)
        if not is_here and ref.digest is None and not self._runs.makes(name):
            self._counts.orphan += 1
            self._table.report_lost(name, self._node_id)
        if self._table.settled or self._table.displaced:
            self._settle()
        return is_here

    def _give_back(self, key: AttemptKey) -> None:
        self._counts.returned += 1
        self._returned.append(key)

    # Executors

    def on_executor_ready(self, executor: int, pid: int, now: float) -> None:
        """An executor that was to start is ready."""
        self._advance_clock(now)
        place = self._slots.find(executor)
        if place is None or place.state is not ExecutorState.STARTING:
            self._counts.stray += 1
            return
        self._dispatcher.on_ready(place, pid, now)

    def on_executor_exit(self, executor: int, reason: str, last_output: str, now: float) -> None:
        """An executor has gone, killed or by itself, or could not be started."""
        self._advance_clock(now)
        place = self._slots.find(executor)
        if place is None or place.state is ExecutorState.ABSENT:
            self._counts.stray += 1
            return
        if place.state is ExecutorState.STARTING:
            self._effects.append(not_started(executor, reason, last_output))
        run = self._dispatcher.on_exit(place, now)
        if run is not None:
            self._end(run, max(0.0, now - place.head_since), None, failure_of_death(reason, last_output))

    def on_task_done(
        self, executor: int, handle: int, outputs: list[Output], duration_s: float, now: float
    ) -> None:
        """A run ended well; its outputs are in the table from now on and its dependents may start."""
        self._advance_clock(now)
        run = self._sent_run(executor, handle)
        if run is None:
            return
        assignment = run.assignment
        # The executor goes on first: the new outputs may kill it, because what is next in it uses old ones.
        self._dispatcher.advance(self._dispatcher.detach(run), now)
        self._dispatcher.durations.observe(assignment.name, duration_s)
        if len(outputs) == assignment.output_count:
            self._end(run, duration_s, outputs, None)
        else:
            self._end(run, duration_s, None, failure_of_count(len(outputs), assignment.output_count))

    def on_task_failed(
        self, executor: int, handle: int, failure: Failure, duration_s: float, now: float
    ) -> None:
        """A run ended with an error of its own."""
        self._advance_clock(now)
        run = self._sent_run(executor, handle)
        if run is not None:
            self._dispatcher.advance(self._dispatcher.detach(run), now)
            self._end(run, duration_s, None, failure)

    def on_tasks_recalled(self, executor: int, handles: list[int], now: float) -> None:
        """These tasks of an executor will not run there: it had not begun them when they were recalled."""
        self._advance_clock(now)
        place = self._slots.find(executor)
        if place is not None and place.state in (ExecutorState.IDLE, ExecutorState.BUSY):
            self._dispatcher.on_recalled(place, handles, now)

    def on_task_output(self, executor: int, handle: int, stream: int, data: bytes, now: float) -> None:
        """A run printed something on stream 1 or 2."""
        self._advance_clock(now)
        run = self._sent_run(executor, handle)
        if run is None or not data:
            return
        offset = run.printed_1_bytes if stream == 1 else run.printed_2_bytes
        room = self._config.output_bytes_max - run.printed_1_bytes - run.printed_2_bytes
        self._counts.dropped_output_bytes += max(0, len(data) - room)
        kept = data if len(data) <= room else data[: max(0, room)]
        if not kept:
            return
        if stream == 1:
            run.printed_1_bytes += len(kept)
        else:
            run.printed_2_bytes += len(kept)
        assignment = run.assignment
        self.printed.add([assignment.job, assignment.task, assignment.attempt, stream, offset, kept])

    def _sent_run(self, executor: int, handle: int) -> Run | None:
        run = self._dispatcher.sent.get(handle)
        if run is None or run.executor != executor:
            self._counts.stray += 1
            return None
        return run

    def _end(
        self, run: Run, duration_s: float, outputs: list[Output] | None, failure: Failure | None
    ) -> None:
        """Report the end of a run that no executor holds any more, and keep its outputs."""
        assignment = run.assignment
        completion = Completion(
            assignment.task,
            assignment.attempt,
            self._node_id,
            digest_of_inputs(run.digests),
            duration_s,
            outputs,
            failure,
        )
        self._completions.append((assignment.job, completion))
        self._ended.remember(run.key(), completion)
        self._remove(run)
        if outputs is None:
            self._counts.failed += 1
            return
        self._counts.done += 1
        for index in range(len(outputs)):
            self._table.store((assignment.job, assignment.task, index), outputs[index])
            if self._table.settled or self._table.displaced:
                self._settle()

    def _drop_run(self, run: Run, reason: str) -> None:
        if run.state is RunState.READY:
            self._dispatcher.unready(run)
        elif run.state is not RunState.WAITING:
            self._dispatcher.withdraw(run, reason)
        self._remove(run)

    def _remove(self, run: Run) -> None:
        self._runs.remove(run)
        for name in run.names:
            self._table.leave(name, run.order)

    # Objects

    def set_addresses(self, addresses: dict[NodeId, list[Address]]) -> None:
        """Use these addresses of nodes for fetches that begin from now on; the dict is kept, not copied."""
        self._table.set_addresses(addresses)

    def on_object_fetched(self, name: ObjectName, now: float) -> None:
        """A FetchObject ended well: the object is in the store with the digest asked for."""
        self._advance_clock(now)
        self._table.on_fetched(name)
        self._settle()

    def on_object_missing(self, name: ObjectName, holders_failed: list[NodeId], now: float) -> None:
        """A FetchObject failed at these holders (none named: at all); without one, the own file has gone."""
        self._advance_clock(now)
        self._table.on_missing(name, holders_failed)
        self._settle()

    def put_object(self, name: ObjectName, output: Output, now: float) -> None:
        """Note an object that somebody else brought: in the store when it has no data, else here."""
        self._advance_clock(now)
        self._table.store(name, output)
        self._settle()

    def fetch_object(self, name: ObjectName, ref: InputRef, now: float) -> bool:
        """Get an object although no run here needs it, on behalf of a client of this node.

        Args:
            name: which object.
            ref: its digest (must be known), size, encoding and holders.
            now: the time.

        Returns:
            True when it is here already; otherwise `told` says some time what became of it.
        """
        assert ref.digest is not None, "only an object with a digest can be fetched"
        assert ref.data is None, "an object that is brought along is put, not fetched"
        self._advance_clock(now)
        entry = self._table.find(name)
        if entry is not None and entry.serves(ref):
            return True
        self._table.want(name, NODE_USER, ref)
        return False

    def find_object(self, name: ObjectName) -> Output | None:
        """Return what is known of an object that is here, None otherwise; data None means in the store."""
        entry = self._table.find(name)
        if entry is None or not entry.is_present:
            return None
        return Output(entry.digest, entry.size, entry.encoding, entry.data)

    def _settle(self) -> None:
        """Move the runs whose objects came, changed or went away since the last call."""
        table = self._table
        while table.settled or table.displaced:
            displaced = table.displaced
            settled = table.settled
            table.displaced = []
            table.settled = []
            was_on_disk = table.was_displaced_on_disk
            table.was_displaced_on_disk = False
            for order in displaced:
                run = self._runs.get(order)
                if run is not None:
                    self._displace(run, was_on_disk)
            for order in settled:
                run = self._runs.get(order)
                assert run is not None, "the users of an object are live runs"
                run.missing_count -= 1
                if run.missing_count == 0 and run.state is RunState.WAITING:
                    self._dispatcher.make_ready(run)

    def _displace(self, run: Run, was_on_disk: bool) -> None:
        """An object of the run has other content now, or none."""
        if run.state in (RunState.SENT, RunState.RUNNING) and was_on_disk:
            self._dispatcher.restart(run, "an input of its task changed")
        is_given = run.state in (RunState.SENT, RunState.RUNNING)
        for name in run.names:
            entry = self._table.find(name)
            if entry is None or run.order not in entry.users or run.order in entry.waiters:
                continue
            if entry.serves(entry.users[run.order]):
                continue
            if is_given:
                self._table.leave(name, run.order)
            elif self._table.wait_again(name, run.order):
                run.missing_count += 1
        if run.missing_count > 0 and run.state is RunState.READY:
            self._dispatcher.unready(run)
            run.state = RunState.WAITING

    def handle_deadline(self, now: float) -> None:
        """Do what is due."""
        self._advance_clock(now)
        while True:
            due = self._timers.pop_due(now)
            if due is None:
                return
            kind, subject = due
            if kind == TIMER_TIMEOUT:
                self._on_timeout(int.from_bytes(subject, "big"), now)
            elif kind == TIMER_IDLE:
                self._dispatcher.kill_idle(now)
            elif kind == TIMER_STALL:
                self._dispatcher.recall_stalled(now)
            # TIMER_RESPAWN only makes a pass happen.

    def _on_timeout(self, number: int, now: float) -> None:
        executor = self._slots.executors[number]
        run = self._dispatcher.sent[executor.queue[0]]
        self._dispatcher.detach(run)
        self._dispatcher.kill(executor, "its task ran out of time")
        failure = failure_of_timeout(run.assignment.timeout_s)
        self._end(run, max(0.0, now - executor.head_since), None, failure)

    def next_deadline(self) -> float:
        """Return when `handle_deadline` is due at latest, `math.inf` for never."""
        return self._now if self.is_dirty else self._timers.next_deadline()

    def take_effects(self) -> list[Effect]:
        """Return what is to be done, oldest first, and dispatch before when anything happened."""
        if self.is_dirty:
            self.is_dirty = False
            if not self._is_draining:
                self._dispatcher.run_pass(self._now)
            self._table.start_fetches()
        effects = self._effects.copy()
        self._effects.clear()
        return effects

    def take_reports(self) -> Reports:
        """Return what the leader should know, new since the last call."""
        self.may_report = False
        reports = Reports(
            self._completions, self.printed.take(), self._table.lost, self._table.copied, self._returned
        )
        self._completions = []
        self._returned = []
        self._table.lost = []
        self._table.copied = []
        return reports

    def _advance_clock(self, now: float) -> None:
        assert now >= self._now, f"time went back from {self._now} to {now}"
        self._now = now
        self.is_dirty = True
        self.may_report = True

    def inventory(
        self, jobs: list[JobId] | None = None
    ) -> tuple[list[AttemptKey], list[tuple[ObjectName, bytes, int, int]]]:
        """Return the attempts here (waiting ones too) and the objects as (name, digest, size, encoding).

        Args:
            jobs: only of these; None for all.
        """
        runs: list[Run] = self._runs.all() if jobs is None else []
        for job in jobs or []:
            runs.extend(self._runs.of_job(job))
        objects: list[tuple[ObjectName, bytes, int, int]] = []
        for entry in self._table.entries(jobs):
            if entry.is_present:
                objects.append((entry.name, entry.digest, entry.size, entry.encoding))
        return [run.key() for run in runs], objects

    def statistics(self) -> dict[str, int]:
        """Return counters since the start and, with names in `_now`, how things stand."""
        return statistics_of(self._counts, self._runs, self._dispatcher, self._table)

    def check_invariants(self) -> None:
        """Audit everything; raises AssertionError that starts with the number of what is broken."""
        self._runs.check_invariants()
        self._ended.check_invariants()
        self._table.check_invariants()
        check_runs(self._runs.all(), self._table, self._dispatcher)
        is_settled = not self.is_dirty and not self._is_draining
        check_executors(self._runs, self._dispatcher, self._timers, self._config, is_settled)

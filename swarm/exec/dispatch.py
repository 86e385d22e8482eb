"""Giving runs to executors, and taking them back.

One pass per batch of inputs. It starts ready runs on idle executors in order of arrival, then gives further
tiny ones ahead to executors that hold few, then starts executors for what is left. The first run that does
not fit stops the pass: a wide task is not overtaken for ever by narrow ones.

Three things can go wrong with tasks given ahead. The first of the queue may take long after all, or even
wait for one behind it, or the executor gets no processor: after `pipeline_stall_s` those behind are recalled,
and what the executor has not begun goes back to the ready ones. One may be cancelled: it becomes a *ghost*
and is recalled too; a ghost that the executor had begun all the same costs it its life when its turn comes.
The executor may die with several: what it had not begun is given back before, and should it still hold more
than one, nobody knows which one did it, so all run again, each alone. In any case an answer counts only
under the handle of the present giving.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import (
    Effect,
    ExecutorTask,
    InputValue,
    KillExecutor,
    RecallTasks,
    RunTasks,
    SpawnExecutor,
)
from swarm.core.rounding import to_ms
from swarm.core.timers import Timers
from swarm.exec.config import ExecConfig
from swarm.exec.pipeline import Durations, fair_share
from swarm.exec.runs import Runs
from swarm.exec.slots import WORK_LANE, Lane, Slots
from swarm.exec.states import Executor, ExecutorState, Run, RunState
from swarm.objects.table import ObjectTable
from swarm.wire.orders import InputRef

TIMER_TIMEOUT: Final = 1
TIMER_IDLE: Final = 2
TIMER_STALL: Final = 3
TIMER_RESPAWN: Final = 4


@final
class Dispatcher:
    """Who runs what; see the module's text."""

    def __init__(
        self,
        config: ExecConfig,
        slots: Slots,
        runs: Runs,
        table: ObjectTable,
        timers: Timers,
        effects: list[Effect],
    ) -> None:
        self._config: Final = config
        self._runs: Final = runs
        self._table: Final = table
        self._timers: Final = timers
        self._effects: Final = effects
        self.slots: Final = slots
        self.durations: Final = Durations(config.names_max, config.pipeline_task_max_s)
        self.sent: dict[int, Run] = {}
        self._handle = 0
        self._thirsty: list[Executor] = []
        self._touched: list[Executor] = []
        self._failed_start_count = 0
        self.start_after = 0.0
        self.spawn_count = 0
        self.kill_count = 0
        self.start_count = 0
        self.ahead_count = 0
        self.taken_back_count = 0

    # Runs

    def make_ready(self, run: Run) -> None:
        """All objects of the run are here: let it start when its turn comes."""
        self.slots.lane_of(run).push(run, self._runs)

    def unready(self, run: Run) -> None:
        """Take a READY run out of those that may start; the caller gives it its next state."""
        assert run.state is RunState.READY, "only a ready run is taken out"
        self.slots.lane_of(run).ready_count -= 1

    def detach(self, run: Run) -> Executor:
        """Take a run that ended from its executor and return that; see :meth:`advance`."""
        executor = self.slots.executors[run.executor]
        executor.queue.remove(run.handle)
        self._unsend(run)
        return executor

    def withdraw(self, run: Run, reason: str) -> None:
        """Take an unwanted run from its executor: killed when it is running, else recalled as a ghost."""
        executor = self.slots.executors[run.executor]
        if run.state is RunState.RUNNING:
            self.detach(run)
            self.kill(executor, reason)
        else:
            handle = run.handle
            self._unsend(run)
            executor.has_ghosts = True
            self._recall(executor, [handle])

    def advance(self, executor: Executor, now: float) -> None:
        """The first run of a busy executor has ended: the next one runs now, or none."""
        self._go_on(executor, now)
        if executor.state is ExecutorState.BUSY and len(executor.queue) <= self._config.pipeline_max // 2:
            self._mark_thirsty(executor)

    def _go_on(self, executor: Executor, now: float) -> None:
        if not executor.queue:
            self._timers.cancel(TIMER_TIMEOUT, executor.subject)
            self.slots.to_idle(executor, now)
            if not self._timers.is_set(TIMER_IDLE, b""):
                self._timers.set(TIMER_IDLE, b"", now + self._config.executor_idle_s)
            return
        run = self.sent.get(executor.queue[0])
        if run is None:
            self._timers.cancel(TIMER_TIMEOUT, executor.subject)
            if executor.recall_count == 0:
                self.kill(executor, "what comes next was cancelled")
            return
        if run.state is RunState.SENT:
            self._timers.cancel(TIMER_TIMEOUT, executor.subject)
            self._begin(executor, run, now)

    def restart(self, run: Run, reason: str) -> None:
        """Kill the executor of a run whose input changed under it; the run is ready again."""
        self.kill(self.slots.executors[run.executor], reason)

    def _begin(self, executor: Executor, run: Run, now: float) -> None:
        run.state = RunState.RUNNING
        executor.head_since = now
        timeout_s = run.assignment.timeout_s
        if timeout_s > 0:
            self._timers.set(TIMER_TIMEOUT, executor.subject, now + timeout_s)

    def _unsend(self, run: Run) -> None:
        del self.sent[run.handle]
        run.handle = 0
        run.executor = -1

    # Executors

    def kill(self, executor: Executor, reason: str) -> None:
        """Kill an executor; what it still holds is ready again."""
        self.kill_count += 1
        self._timers.cancel(TIMER_TIMEOUT, executor.subject)
        self.slots.to_dying(executor)
        self._effects.append(KillExecutor(executor.number, reason))
        self._take_all(executor)

    def on_ready(self, executor: Executor, pid: int, now: float) -> None:
        """A starting executor is ready for work."""
        self._failed_start_count = 0
        self.slots.to_ready(executor, pid, now)
        if not self._timers.is_set(TIMER_IDLE, b""):
            self._timers.set(TIMER_IDLE, b"", now + self._config.executor_idle_s)

    def on_exit(self, executor: Executor, now: float) -> Run | None:
        """An executor has gone; return the run that died with it, detached, when it is known which."""
        self._timers.cancel(TIMER_TIMEOUT, executor.subject)
        if executor.state is ExecutorState.STARTING:
            self._delay_starts(now)
        blamed: Run | None = None
        if len(executor.queue) == 1:
            blamed = self.sent.get(executor.queue[0])
        if blamed is not None:
            self.detach(blamed)
        for handle in executor.queue:
            run = self.sent.get(handle)
            if run is not None:
                run.is_alone = True
        self._take_all(executor)
        self.slots.to_absent(executor)
        return blamed

    def recall_stalled(self, now: float) -> None:
        """Recall what waits behind a first task that takes long."""
        is_wanted = False
        for executor in self.slots.all():
            if executor.lane != WORK_LANE or len(executor.queue) < 2:
                continue
            is_wanted = True
            if executor.recall_count == 0 and now - executor.head_since >= self._config.pipeline_stall_s:
                self._recall(executor, executor.queue[1:])
        if is_wanted:
            self._timers.set(TIMER_STALL, b"", now + self._config.pipeline_stall_s)

    def on_recalled(self, executor: Executor, handles: list[int], now: float) -> None:
        """Tasks that an executor had not begun are back: ready again, unless they were cancelled."""
        if executor.recall_count > 0:
            executor.recall_count -= 1
        for handle in handles:
            if handle not in executor.queue:
                continue
            executor.queue.remove(handle)
            run = self.sent.get(handle)
            if run is not None:
                self.taken_back_count += 1
                self._unsend(run)
                self.make_ready(run)
        executor.has_ghosts = False
        for handle in executor.queue:
            if handle not in self.sent:
                executor.has_ghosts = True
        if executor.state is ExecutorState.BUSY:
            self._go_on(executor, now)

    def _recall(self, executor: Executor, handles: list[int]) -> None:
        executor.recall_count += 1
        self._effects.append(RecallTasks(executor.number, handles))

    def kill_idle(self, now: float) -> None:
        """Kill executors that were idle for long, and look again when the next one may be."""
        soonest = now + self._config.executor_idle_s
        is_wanted = False
        for executor in self.slots.all():
            if executor.state is not ExecutorState.IDLE:
                continue
            ends = executor.idle_since + self._config.executor_idle_s
            if ends <= now:
                self.kill(executor, "idle")
            else:
                is_wanted = True
                soonest = min(soonest, ends)
        if is_wanted:
            self._timers.set(TIMER_IDLE, b"", soonest)

    def _take_all(self, executor: Executor) -> None:
        for handle in executor.queue:
            run = self.sent.get(handle)
            if run is not None:
                self._unsend(run)
                self.make_ready(run)
        executor.queue.clear()

    def _delay_starts(self, now: float) -> None:
        exponent = min(self._failed_start_count, 30)
        self._failed_start_count += 1
        pause_s = min(self._config.respawn_max_s, to_ms(self._config.respawn_min_s * 2.0**exponent))
        self.start_after = now + pause_s
        self._timers.set(TIMER_RESPAWN, b"", self.start_after)

    # The pass

    def run_pass(self, now: float) -> None:
        """Start what can start, give tiny runs ahead, start executors; append the effects."""
        for lane in self.slots.lanes:
            self._start(lane, now)
        if self._thirsty:
            self._fill(now)
            # The first ready run may have been waiting for memory and now shares that of another.
            self._start(self.slots.lanes[WORK_LANE], now)
        for executor in self._touched:
            self._effects.append(RunTasks(executor.number, executor.outbox))
            executor.outbox = []
        self._touched.clear()
        for lane in self.slots.lanes:
            if lane.ready_count > 0 and now >= self.start_after:
                self._spawn(lane)

    def _start(self, lane: Lane, now: float) -> None:
        runs = self._runs
        slots = self.slots
        while lane.ready_count > 0:
            executor = slots.peek_idle(lane)
            if executor is None:
                return
            run = lane.first(runs)
            assert run is not None, "ready runs are in the heap"
            if not slots.has_room(run.width, run.assignment.memory_bytes):
                return
            lane.pop()
            slots.occupy(executor, run)
            self._give(executor, run)
            self._begin(executor, run, now)
            if self._is_tiny(run):
                executor.is_tiny = True
                self._mark_thirsty(executor)

    def _fill(self, now: float) -> None:
        lane = self.slots.lanes[WORK_LANE]
        share = fair_share(lane.ready_count, self.slots.slot_count)
        for executor in self._thirsty:
            executor.is_thirsty = False
            is_open = executor.state is ExecutorState.BUSY and executor.is_tiny
            if is_open and not executor.has_ghosts and executor.recall_count == 0:
                self._fill_one(executor, lane, min(share, self._config.pipeline_max - len(executor.queue)))
                if len(executor.queue) > 1 and not self._timers.is_set(TIMER_STALL, b""):
                    self._timers.set(TIMER_STALL, b"", now + self._config.pipeline_stall_s)
        self._thirsty.clear()

    def _fill_one(self, executor: Executor, lane: Lane, count: int) -> None:
        while count > 0 and lane.ready_count > 0:
            run = lane.first(self._runs)
            assert run is not None, "ready runs are in the heap"
            if not self._is_tiny(run) or run.assignment.memory_bytes != executor.memory_bytes:
                return
            lane.pop()
            run.state = RunState.SENT
            self.ahead_count += 1
            self._give(executor, run)
            count -= 1

    def _spawn(self, lane: Lane) -> None:
        run = lane.first(self._runs)
        assert run is not None, "ready runs are in the heap"
        if not self.slots.has_room(run.width, run.assignment.memory_bytes):
            return
        count = lane.ready_count
        if lane.number == WORK_LANE:
            free = self.slots.slot_count - self.slots.slots_used
            count = min(count, free - run.width + 1)
        for _ in range(count - lane.starting_count):
            executor = self.slots.to_starting(lane)
            if executor is None:
                return
            self.spawn_count += 1
            self._effects.append(SpawnExecutor(executor.number))

    def _is_tiny(self, run: Run) -> bool:
        return run.width == 1 and not run.is_alone and self.durations.is_tiny(run.assignment.name)

    def _mark_thirsty(self, executor: Executor) -> None:
        if executor.is_tiny and not executor.is_thirsty:
            executor.is_thirsty = True
            self._thirsty.append(executor)

    def _give(self, executor: Executor, run: Run) -> None:
        """Put the task into the executor's queue and outbox, with its inputs as they are now."""
        self._handle += 1
        self.start_count += 1
        assignment = run.assignment
        run.handle = self._handle
        run.executor = executor.number
        self.sent[run.handle] = run
        executor.queue.append(run.handle)
        function: InputValue | None = None
        first = 0
        if assignment.function is not None:
            function = self._function_value(executor, run)
            first = 1
        inputs: list[InputValue] = []
        digests: list[bytes] = []
        for index in range(first, len(run.names)):
            value = self._input_value(run, index)
            inputs.append(value)
            digests.append(value.digest)
        run.digests = digests
        if not executor.outbox:
            self._touched.append(executor)
        task = ExecutorTask(
            run.handle,
            assignment.job,
            assignment.task,
            assignment.attempt,
            assignment.kind,
            assignment.name,
            function,
            assignment.payload,
            inputs,
            assignment.output_count,
            assignment.memory_bytes,
        )
        executor.outbox.append(task)

    def _input_value(self, run: Run, index: int) -> InputValue:
        name = run.names[index]
        entry = self._table.find(name)
        assert entry is not None, "the objects of a run are in the table"
        assert entry.is_present, "a run that is given away has its objects"
        return InputValue(name, entry.digest, entry.encoding, entry.data)

    def _function_value(self, executor: Executor, run: Run) -> InputValue:
        value = self._input_value(run, 0)
        if value.digest in executor.known:
            return value if value.data is None else InputValue(value.name, value.digest, value.encoding, None)
        if len(executor.known) >= self._config.functions_known_max:
            del executor.known[next(iter(executor.known))]
        executor.known[value.digest] = None
        return value


def reference_of(run: Run, index: int) -> InputRef:
    """Return the reference that belongs to `run.names[index]`."""
    function = run.assignment.function
    if function is None:
        return run.assignment.inputs[index]
    return function if index == 0 else run.assignment.inputs[index - 1]

"""Slots, memory and executors of a node: what is free, and who may take it.

A node with c cores has N = ceil(c) slots and as many executors; a task of k cpus takes ceil(k) slots, at
most N, and one executor. Tasks that ask for no cpu have a *lane* of their own with further executors and
take no slot, so that scripts which only wait for other tasks cannot fill the node. An executor keeps what
it reserved until it has nothing to run, or has gone: a killed process may live for a moment.
"""

from __future__ import annotations

import heapq
from typing import Final, final

from swarm.exec.runs import Runs
from swarm.exec.states import Executor, ExecutorState, Run, RunState

WORK_LANE: Final = 0
SCRIPT_LANE: Final = 1
_COMPACT_FROM: Final = 64


@final
class Lane:
    """Executors of one sort and the runs that are ready for them, by arrival.

    The heaps may hold stale numbers (a run that is no longer ready, an executor that is no longer idle);
    whoever pops one checks it.
    """

    __slots__ = ("absent", "idle", "number", "ready", "ready_count", "starting_count")

    def __init__(self, number: int, first: int, count: int) -> None:
        self.number: Final = number
        self.absent: list[int] = [first + index for index in range(count)]
        self.idle: list[int] = []
        self.ready: list[int] = []
        self.ready_count = 0
        self.starting_count = 0

    def push(self, run: Run, runs: Runs) -> None:
        """Add a run to those that are ready."""
        assert run.state is not RunState.READY, "a run becomes ready once"
        run.state = RunState.READY
        self.ready_count += 1
        if len(self.ready) > _COMPACT_FROM and len(self.ready) > 4 * self.ready_count:
            self._compact(runs)
        heapq.heappush(self.ready, run.order)

    def first(self, runs: Runs) -> Run | None:
        """Return the ready run that arrived first, None when there is none."""
        ready = self.ready
        while ready:
            run = runs.get(ready[0])
            if run is not None and run.state is RunState.READY:
                return run
            heapq.heappop(ready)
        return None

    def pop(self) -> None:
        """Remove the run that `first` just returned; the caller gives it its next state."""
        heapq.heappop(self.ready)
        self.ready_count -= 1

    def _compact(self, runs: Runs) -> None:
        kept: list[int] = []
        previous = 0
        for order in sorted(self.ready):
            run = runs.get(order)
            if order != previous and run is not None and run.state is RunState.READY:
                kept.append(order)
            previous = order
        self.ready = kept


@final
class Slots:
    """Both lanes and what their executors have reserved."""

    def __init__(self, slot_count: int, script_count: int, memory_bytes: int) -> None:
        """Number `slot_count` executors from 0 and `script_count` behind them; a start makes one."""
        self.slot_count: Final = slot_count
        self.memory_bytes: Final = memory_bytes
        self.slots_used = 0
        self.memory_used_bytes = 0
        self.lanes: Final = [Lane(WORK_LANE, 0, slot_count), Lane(SCRIPT_LANE, slot_count, script_count)]
        self.executors: Final[dict[int, Executor]] = {}

    def find(self, number: int) -> Executor | None:
        """Return the executor with this number, None when none ever started."""
        return self.executors.get(number)

    def all(self) -> list[Executor]:
        """Return the executors that ever started, by number."""
        return [self.executors[number] for number in sorted(self.executors)]

    def lane_of(self, run: Run) -> Lane:
        """Return the lane that runs it."""
        return self.lanes[SCRIPT_LANE if run.width == 0 else WORK_LANE]

    def width_of(self, cpus: float) -> int:
        """Return how many slots a task that asks for so many cores takes; 0 when it asks for none."""
        if cpus <= 0:
            return 0
        whole = int(cpus)
        return max(1, min(whole if whole == cpus else whole + 1, self.slot_count))

    def has_room(self, width: int, memory_bytes: int) -> bool:
        """Return whether a task with these wishes may start now.

        A task that wants more memory than the node has may start when nothing else reserved any.
        """
        if self.slots_used + width > self.slot_count:
            return False
        if memory_bytes == 0 or self.memory_bytes == 0 or self.memory_used_bytes == 0:
            return True
        return self.memory_used_bytes + memory_bytes <= self.memory_bytes

    def peek_idle(self, lane: Lane) -> Executor | None:
        """Return the idle executor with the lowest number: few stay warm when few are needed."""
        idle = lane.idle
        while idle:
            executor = self.executors[idle[0]]
            if executor.state is ExecutorState.IDLE:
                return executor
            heapq.heappop(idle)
        return None

    def occupy(self, executor: Executor, run: Run) -> None:
        """Make the idle executor busy with what `run` asks for."""
        assert executor.state is ExecutorState.IDLE, "only an idle executor is occupied"
        executor.state = ExecutorState.BUSY
        executor.width = run.width
        executor.memory_bytes = run.assignment.memory_bytes
        self.slots_used += executor.width
        self.memory_used_bytes += executor.memory_bytes

    def to_idle(self, executor: Executor, now: float) -> None:
        """The executor has nothing to run."""
        assert not executor.queue, "an idle executor holds no task"
        self._free(executor)
        executor.state = ExecutorState.IDLE
        executor.idle_since = now
        heapq.heappush(self.lanes[executor.lane].idle, executor.number)

    def to_starting(self, lane: Lane) -> Executor | None:
        """Return an absent executor that is starting from now on, None when there is none."""
        if not lane.absent:
            return None
        number = heapq.heappop(lane.absent)
        executor = self.executors.get(number)
        if executor is None:
            executor = Executor(number, lane.number)
            self.executors[number] = executor
        assert executor.state is ExecutorState.ABSENT, "only an absent executor is started"
        executor.state = ExecutorState.STARTING
        lane.starting_count += 1
        return executor

    def to_ready(self, executor: Executor, pid: int, now: float) -> None:
        """A starting executor is ready."""
        assert executor.state is ExecutorState.STARTING, "only a starting executor becomes ready"
        self.lanes[executor.lane].starting_count -= 1
        executor.pid = pid
        self.to_idle(executor, now)

    def to_dying(self, executor: Executor) -> None:
        """The executor is being killed."""
        is_warm = executor.state is ExecutorState.IDLE or executor.state is ExecutorState.BUSY
        assert is_warm, "only a warm executor is killed"
        executor.state = ExecutorState.DYING

    def to_absent(self, executor: Executor) -> None:
        """The executor's process has gone."""
        assert executor.state is not ExecutorState.ABSENT, "an executor goes once"
        lane = self.lanes[executor.lane]
        if executor.state is ExecutorState.STARTING:
            lane.starting_count -= 1
        self._free(executor)
        executor.state = ExecutorState.ABSENT
        executor.pid = 0
        executor.known.clear()
        executor.recall_count = 0
        heapq.heappush(lane.absent, executor.number)

    def _free(self, executor: Executor) -> None:
        self.slots_used -= executor.width
        self.memory_used_bytes -= executor.memory_bytes
        executor.width = 0
        executor.memory_bytes = 0
        executor.is_tiny = False
        executor.has_ghosts = False

"""The full audit of the execution core; the numbers are those of `swarm.exec.core`."""

from __future__ import annotations

from swarm.core.timers import Timers
from swarm.exec.config import ExecConfig
from swarm.exec.dispatch import TIMER_TIMEOUT, Dispatcher
from swarm.exec.runs import Runs
from swarm.exec.slots import SCRIPT_LANE, Slots
from swarm.exec.states import Executor, ExecutorState, Run, RunState
from swarm.objects.table import ObjectTable


def check_runs(runs: list[Run], table: ObjectTable, dispatcher: Dispatcher) -> None:
    """Audit I2, I3 and I4."""
    ready_counts = [0, 0]
    heaps = [set(lane.ready) for lane in dispatcher.slots.lanes]
    sent_count = 0
    for run in runs:
        _check_objects(run, table)
        lane = dispatcher.slots.lane_of(run)
        if run.state is RunState.READY:
            ready_counts[lane.number] += 1
            assert run.order in heaps[lane.number], f"I3: ready run {run.order} is not in its heap"
        is_given = run.state in (RunState.SENT, RunState.RUNNING)
        assert is_given == (run.handle != 0), f"I4: run {run.order} in {run.state} has handle {run.handle}"
        if is_given:
            sent_count += 1
            assert dispatcher.sent.get(run.handle) is run, (
                f"I4: handle {run.handle} is not of run {run.order}"
            )
            queue = dispatcher.slots.executors[run.executor].queue
            assert queue.count(run.handle) == 1, f"I4: handle {run.handle} is not in its queue"
            is_first = queue[0] == run.handle
            assert is_first == (run.state is RunState.RUNNING), f"I4: run {run.order} is {run.state}"
    for lane in dispatcher.slots.lanes:
        count = ready_counts[lane.number]
        assert count == lane.ready_count, f"I3: {count} runs ready in lane {lane.number}, {lane.ready_count}"
    assert sent_count == len(dispatcher.sent), f"I4: {sent_count} runs given, {len(dispatcher.sent)} handles"


def _check_objects(run: Run, table: ObjectTable) -> None:
    waiting = 0
    for name in list(dict.fromkeys(run.names)):
        entry = table.find(name)
        if entry is not None and run.order in entry.waiters:
            waiting += 1
            continue
        is_given = run.state in (RunState.SENT, RunState.RUNNING)
        is_used = entry is not None and run.order in entry.users
        assert is_used or is_given, f"I2: run {run.order} is no user of {name}"
    assert waiting == run.missing_count, f"I2: run {run.order} waits for {waiting}, not {run.missing_count}"
    is_waiting = run.state is RunState.WAITING
    assert is_waiting == (waiting > 0), f"I2: run {run.order} in {run.state} waits for {waiting}"


def check_executors(
    runs: Runs, dispatcher: Dispatcher, timers: Timers, config: ExecConfig, is_settled: bool
) -> None:
    """Audit I5 to I10; I10 only when `is_settled`: nothing happened since the last pass."""
    slots = dispatcher.slots
    width = 0
    memory_bytes = 0
    starting = [0, 0]
    for executor in slots.all():
        width += executor.width
        memory_bytes += executor.memory_bytes
        starting[executor.lane] += 1 if executor.state is ExecutorState.STARTING else 0
        _check_executor(executor, dispatcher, timers, config)
    assert width == slots.slots_used, f"I6: {width} slots reserved, {slots.slots_used} counted"
    assert width <= slots.slot_count, f"I6: {width} slots of {slots.slot_count}"
    assert memory_bytes == slots.memory_used_bytes, f"I6: {memory_bytes} bytes, {slots.memory_used_bytes}"
    assert len(runs) <= config.attempts_max, f"I9: {len(runs)} attempts"
    assert len(dispatcher.durations) <= config.names_max, "I9: too many names"
    for lane in slots.lanes:
        assert lane.starting_count == starting[lane.number], f"I6: {lane.starting_count} executors starting"
    if is_settled:
        _check_pass(slots, runs)


def _check_executor(executor: Executor, dispatcher: Dispatcher, timers: Timers, config: ExecConfig) -> None:
    number = executor.number
    queue = executor.queue
    is_busy = executor.state is ExecutorState.BUSY
    assert is_busy == bool(queue), f"I5: executor {number} in {executor.state} holds {len(queue)}"
    has_reserved = executor.width > 0 or executor.memory_bytes > 0
    may_reserve = executor.state in (ExecutorState.BUSY, ExecutorState.DYING)
    assert may_reserve or not has_reserved, f"I6: executor {number} in {executor.state} reserves"
    assert len(executor.known) <= config.functions_known_max, f"I9: executor {number} knows too much"
    assert not executor.outbox, f"I9: executor {number} was not given its tasks"
    first = dispatcher.sent.get(queue[0]) if queue else None
    if is_busy:
        is_awaited = executor.recall_count > 0
        assert first is not None or is_awaited, f"I5: the first of executor {number} is a ghost"
        ghosts = [handle for handle in queue if handle not in dispatcher.sent]
        assert not ghosts or executor.has_ghosts, f"I5: executor {number} has ghosts unnoticed"
    if len(queue) > 1:
        assert executor.lane != SCRIPT_LANE, f"I7: executor {number} of scripts holds {len(queue)}"
        assert executor.is_tiny, f"I7: executor {number} holds {len(queue)} and is not tiny"
        assert len(queue) <= config.pipeline_max, f"I7: executor {number} holds {len(queue)}"
    is_timed = first is not None and first.assignment.timeout_s > 0
    is_set = timers.is_set(TIMER_TIMEOUT, executor.subject)
    assert is_set == is_timed, f"I8: executor {number} has a timer: {is_set}"


def _check_pass(slots: Slots, runs: Runs) -> None:
    for lane in slots.lanes:
        run = lane.first(runs)
        if run is None or slots.peek_idle(lane) is None:
            continue
        has_room = slots.has_room(run.width, run.assignment.memory_bytes)
        assert not has_room, f"I10: run {run.order} is ready and an executor idle"

"""States of runs and executors, and the two records that carry them.

A *run* is one attempt of a task on this node. Who moves it, and when::

    from      to        by
    --        WAITING   assign: an input is not here yet
    --        READY     assign: all inputs are here
    WAITING   READY     the last missing object came
    READY     WAITING   an input was replaced by other content, or its file went away
    READY     RUNNING   dispatch: given to an idle executor
    READY     SENT      dispatch: given to an executor ahead of time
    SENT      RUNNING   the task before it ended
    SENT      READY     its executor was killed or died, or gave it back unbegun
    RUNNING   READY     its executor was killed for something else, or died with more than one task
    any       ENDED     completed, failed, cancelled, retracted, job forgotten

An *executor* is a numbered place for a process::

    ABSENT    STARTING  dispatch: work is ready and no warm executor free
    STARTING  IDLE      on_executor_ready
    IDLE      BUSY      dispatch
    BUSY      IDLE      its last task ended
    IDLE, BUSY  DYING   it was killed; what it reserved stays reserved until it has gone
    any but ABSENT  ABSENT  on_executor_exit
"""

from __future__ import annotations

from enum import Enum
from typing import Final, final

from swarm.core.effects import ExecutorTask
from swarm.core.ids import AttemptKey, ObjectName
from swarm.wire.orders import Assignment


class RunState(Enum):
    """Where a run stands; see the table above."""

    WAITING = 1
    READY = 2
    SENT = 3
    RUNNING = 4
    ENDED = 5


class ExecutorState(Enum):
    """Where an executor stands; see the table above."""

    ABSENT = 1
    STARTING = 2
    IDLE = 3
    BUSY = 4
    DYING = 5


@final
class Run:
    """One attempt of a task on this node.

    Attributes:
        order: number by arrival, >= 1; unique while the node lives, and the run's name in the object table.
        names: the objects it needs: the function first when there is one, then the inputs.
        width: slots it occupies, 0 for a task that asks for no cpu.
        missing_count: objects it waits for.
        handle: its name at the executor, fresh for each time it is given to one; 0 when at none.
        executor: number of the executor that holds it, -1 for none.
        digests: of the inputs as they were when it was given to an executor.
        is_alone: it was in the queue of an executor that died and shares none again, so that the next
            death finds the right one.
        printed_bytes: output so far, on streams 1 and 2.
    """

    __slots__ = (
        "assignment",
        "digests",
        "executor",
        "handle",
        "is_alone",
        "missing_count",
        "names",
        "order",
        "printed_1_bytes",
        "printed_2_bytes",
        "state",
        "width",
    )

    def __init__(self, order: int, assignment: Assignment, width: int) -> None:
        self.order: Final = order
        self.assignment: Final = assignment
        self.width: Final = width
        names: list[ObjectName] = []
        job = assignment.job
        function = assignment.function
        if function is not None:
            names.append((job, function.task, function.output))
        for ref in assignment.inputs:
            names.append((job, ref.task, ref.output))
        self.names: Final = names
        self.state = RunState.WAITING
        self.missing_count = 0
        self.handle = 0
        self.executor = -1
        self.digests: list[bytes] = []
        self.is_alone = False
        self.printed_1_bytes = 0
        self.printed_2_bytes = 0

    def key(self) -> AttemptKey:
        """Return (job, task, attempt)."""
        return (self.assignment.job, self.assignment.task, self.assignment.attempt)


@final
class Executor:
    """A numbered place for an executor process.

    Attributes:
        lane: 0 for tasks that take slots, 1 for tasks that ask for no cpu.
        queue: handles of the tasks it holds, oldest first; the first is running. A handle that is not in
            the core's table any more is a *ghost*: its run was cancelled, and unless the executor gives
            it back unbegun, it is killed when the ghost comes to the front.
        width, memory_bytes: what it occupies of the node, while BUSY and until it has gone when DYING.
        head_since, idle_since: when its first task came to the front, when it became idle.
        known: digests of the functions it was given, in order of giving.
        outbox: tasks given in the present pass.
        subject: its name among the timers.
        is_tiny: all it holds are tiny tasks: more may be added.
        has_ghosts: nothing more may be added.
        recall_count: recalls that were ordered and not answered.
    """

    __slots__ = (
        "has_ghosts",
        "head_since",
        "idle_since",
        "is_thirsty",
        "is_tiny",
        "known",
        "lane",
        "memory_bytes",
        "number",
        "outbox",
        "pid",
        "queue",
        "recall_count",
        "state",
        "subject",
        "width",
    )

    def __init__(self, number: int, lane: int) -> None:
        self.number: Final = number
        self.lane: Final = lane
        self.subject: Final = number.to_bytes(4, "big")
        self.state = ExecutorState.ABSENT
        self.pid = 0
        self.queue: list[int] = []
        self.width = 0
        self.memory_bytes = 0
        self.head_since = 0.0
        self.idle_since = 0.0
        self.known: dict[bytes, None] = {}
        self.outbox: list[ExecutorTask] = []
        self.is_tiny = False
        self.is_thirsty = False
        self.has_ghosts = False
        self.recall_count = 0

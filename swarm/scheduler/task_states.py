"""States of a task as the leader computes them from facts, and the record it keeps of each task.

::

    WAITING ──inputs done──> READY ──placed──> ASSIGNED ──success──> DONE
       ^                       ^  └─ error ──────┘  │                 │
       └────── input lost ─────┴── node lost ───────┘<── output lost ─┘
    any but DONE ──> FAILED (own error, or an input's) or CANCELLED

ASSIGNED may also follow WAITING: a task whose unfinished inputs are all being made on one node is
given to that node ahead of time (*run-ahead*) and waits there for them.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import NODE_ID_SIZE, NodeId
from swarm.wire.facts import Failure, Output
from swarm.wire.job_part import TaskSpec

WAITING: Final = 0
READY: Final = 1
ASSIGNED: Final = 2
DONE: Final = 3
FAILED: Final = 4
CANCELLED: Final = 5

OTHERS_MAX: Final = 10
"""Successes that lost, of which a task keeps the digests."""

STATE_NAMES: Final = ["waiting", "ready", "running", "done", "failed", "cancelled"]


@final
class Task:
    """What the leader knows of one task.

    Attributes:
        index: position in the job.
        spec: what the client submitted.
        klass: index of its options among the job's.
        state: one of the states above.
        waiting_count: inputs (with multiplicity one per producing task) that are not DONE.
        dependents: tasks that use an output of this one, in order of submission.
        consumers_left: dependents that are not DONE, FAILED or CANCELLED.
        rank: upward rank in seconds: the longest estimated path from here to the job's end.
        attempts: highest attempt number given out so far.
        running: attempt -> node, for the attempts believed to be under way.
        ahead: whether the one running attempt was given out before its inputs were done.
        outputs: the winner's outputs, None unless DONE.
        holders: nodes that have all outputs, oldest first (a dict used as an ordered set).
        copies: the outputs that other nodes were given or fetched, one by one; with all of them a node is
            a holder.
        inputs_digest: of the winner.
        deaths: executors that this task has killed.
        node_faults: attempts that failed because of their nodes.
        failures: attempts that failed by the task's own error.
        failure: the last failure, None when there was none.
        ran_on: the node whose attempt won or failed last, zeroes while there is none.
        duration_s: how long that attempt ran.
        is_kept: whether its outputs are wanted although no task needs them.
        is_released: whether the outputs were given up because nobody needed them.
        not_before: earliest time of the next attempt (back-off), monotonic seconds.
        retractions: how often it was taken back from a queue; a bound on moving it to and fro.
        avoided: nodes from which others could not get the outputs; it runs elsewhere while it fits elsewhere.
        failed_on: nodes on which it failed; it is tried on others first.
        is_unsure: whether accepted outputs of two attempts differed: it does not compute the same every time.
        others: (node, attempt, digests) of successes whose outputs differed from the winner's, None for none.
        lost: of the outputs that nobody has any more, so that it runs again: (node, attempt, digests).
    """

    def __init__(self, index: int, spec: TaskSpec) -> None:
        self.index: Final = index
        self.spec: Final = spec
        self.klass = 0
        self.state = WAITING
        self.waiting_count = 0
        self.dependents: list[int] = []
        self.consumers_left = 0
        self.rank = 0.0
        self.attempts = 0
        self.running: dict[int, NodeId] = {}
        self.ahead = False
        self.outputs: list[Output] | None = None
        self.holders: dict[NodeId, bool] = {}
        self.copies: dict[NodeId, dict[int, bool]] = {}
        self.inputs_digest = b""
        self.deaths = 0
        self.node_faults = 0
        self.failures = 0
        self.failure: Failure | None = None
        self.ran_on: NodeId = bytes(NODE_ID_SIZE)
        self.duration_s = 0.0
        self.is_kept = spec.is_kept
        self.is_released = False
        self.not_before = 0.0
        self.is_unsure = False
        self.others: list[tuple[NodeId, int, list[bytes]]] | None = None
        self.lost: tuple[NodeId, int, list[bytes]] | None = None
        self.retractions = 0
        self.avoided: dict[NodeId, bool] | None = None
        self.failed_on: dict[NodeId, bool] | None = None

    def is_final(self) -> bool:
        """Return whether nothing more is to be done for this task."""
        return self.state >= DONE

    def note_copy(self, node: NodeId, output: int) -> None:
        """Take that a node has a copy of one output; with the last one it becomes a holder."""
        if self.outputs is None or node in self.holders:
            return
        have = self.copies.setdefault(node, {})
        have[output] = True
        if len(have) >= len(self.outputs):
            del self.copies[node]
            self.holders[node] = True

    def is_at(self, node: NodeId, output: int) -> bool:
        """Return whether a node has one of the outputs."""
        if node in self.holders:
            return True
        have = self.copies.get(node)
        return have is not None and output in have

    def drop_node(self, node: NodeId) -> bool:
        """Take that a node has none of the outputs any more; return whether it was a holder."""
        self.copies.pop(node, None)
        return self.holders.pop(node, False)

    def avoid(self, node: NodeId) -> None:
        """Take that others could not get the outputs from a node that is there."""
        if self.avoided is None:
            self.avoided = {}
        self.avoided[node] = True

    def note_failed_on(self, node: NodeId) -> None:
        """Take that an attempt failed on a node."""
        if self.failed_on is None:
            self.failed_on = {}
        self.failed_on[node] = True

    def note_other(self, node: NodeId, attempt: int, outputs: list[Output]) -> int:
        """Take a success whose outputs differ from the winner's; return 1 for the first one, else 0.

        The digests of the first few are kept.
        """
        return self._keep_other((node, attempt, [output.digest for output in outputs]))

    def note_anew(self, outputs: list[Output]) -> int:
        """Take the outputs that replace lost ones; return 1 when they are the first that differ, else 0."""
        lost = self.lost
        if lost is None or lost[2] == [output.digest for output in outputs]:
            return 0
        return self._keep_other(lost)

    def _keep_other(self, other: tuple[NodeId, int, list[bytes]]) -> int:
        if self.others is None:
            self.others = []
        if len(self.others) < OTHERS_MAX:
            self.others.append(other)
        was_unsure = self.is_unsure
        self.is_unsure = True
        return 0 if was_unsure else 1

    def lose_outputs(self) -> None:
        """Take that nobody has the outputs any more: they are made anew, perhaps otherwise."""
        assert self.outputs is not None, "only what was done is lost"
        digests = [output.digest for output in self.outputs]
        self.lost = (self.ran_on, max(self.attempts, 1), digests)
        self.outputs = None

    def has_data(self) -> bool:
        """Return whether every output rides inside messages, so that no holder is needed."""
        if self.outputs is None:
            return False
        for output in self.outputs:
            if output.data is None:
                return False
        return True

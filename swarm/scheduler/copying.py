"""A copy of a job's record on its way to a new keeper, or of what an old one lacks."""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import JobId, NodeId
from swarm.scheduler.job_facts import Holding
from swarm.scheduler.records import JobRecords
from swarm.wire.batches import ROWS_MAX
from swarm.wire.facts import Completion, data_bytes

BATCH_BYTES: Final = 256 * 1024
FACT_BYTES: Final = 128
"""Of a completion, about, without the outputs that ride in it."""


@final
class Copying:
    """First completions, then intents, then parts: who confirms a part has what came before it on disk.

    Attributes:
        job: whose record.
        node: who is to keep it.
        confirm_by: when it is given up unless the node offers the job.
    """

    def __init__(
        self, job: JobId, node: NodeId, facts: list[Completion], parts: list[int], sources: list[NodeId]
    ) -> None:
        self.job: Final = job
        self.node: Final = node
        self._facts: Final = facts
        self._parts: Final = parts
        self._sources: Final = sources
        self._fact_at = 0
        self._part_at = 0
        self._are_intents_sent = False
        self.confirm_by = 0.0

    def has_parts(self) -> bool:
        """Return whether parts are copied, and not completions only."""
        return len(self._parts) > 0

    def is_sent(self) -> bool:
        """Return whether everything was sent."""
        return self._are_intents_sent and self._part_at >= len(self._parts)

    def is_held(self, holding: Holding) -> bool:
        """Return whether a node that holds this has all parts that were copied."""
        for number in self._parts:
            if number not in holding.parts:
                return False
        return True

    def fact_count(self) -> int:
        """Return how many completions are copied."""
        return len(self._facts)

    def unsent_facts(self) -> list[Completion]:
        """Return the completions that were not sent yet."""
        return self._facts[self._fact_at :]

    def send_some(self, records: JobRecords) -> int:
        """Send the next piece; return about how many bytes that took, at least 1."""
        if self._fact_at < len(self._facts):
            return self._send_facts(records)
        if not self._are_intents_sent:
            self._are_intents_sent = True
            records.send_intents(self.node, self.job)
            return FACT_BYTES
        number = self._parts[self._part_at]
        self._part_at += 1
        return records.send_copy(self.node, self.job, number, self._sources) + FACT_BYTES

    def _send_facts(self, records: JobRecords) -> int:
        batch: list[Completion] = []
        size = 0
        while self._fact_at < len(self._facts) and size < BATCH_BYTES and len(batch) < ROWS_MAX:
            completion = self._facts[self._fact_at]
            self._fact_at += 1
            batch.append(completion)
            size += FACT_BYTES + data_bytes(completion)
        records.send_facts(self.node, self.job, batch)
        return size

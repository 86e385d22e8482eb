"""The job records of one node, driven by hand."""

from __future__ import annotations

from swarm.core.effects import Effect, Erase, Message, Persist
from swarm.core.ids import NodeId
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.records import JobRecords
from swarm.scheduler.replication import Keeper
from swarm.wire.facts import Completion
from swarm.wire.job_part import JobPart
from tests.unit.scheduler_builder import (
    JOB,
    ME,
    ONE,
    TWO,
    bag,
    output_of,
)

PART = bag(1)
BLOB = PART.to_wire()


def success(index: int, attempt: int = 1, node: NodeId = ONE) -> Completion:
    return Completion(index, attempt, node, b"", 0.1, [output_of("x")], None)


class RecordsEnv:
    """The records of node ME; what they say gathers until it is taken."""

    def __init__(self, leader: NodeId = b"", others: int = 0, config: SchedulerConfig | None = None) -> None:
        self.now = 0.0
        self.core = JobRecords(config or SchedulerConfig(), ME)
        keepers = [Keeper(node, node, 1) for node in (ONE, TWO)[:others]]
        self.core.acceptances.on_keepers(Keeper(ME, ME, 1), keepers, 0.0)
        if leader:
            self.core.on_leader(leader)

    def accept(self, blob_part: JobPart = PART, *, job: bytes = JOB, number: int = 0, total: int = 1) -> str:
        refusal = self.core.accept(1, job, number, total, blob_part.to_wire(), blob_part, self.now)
        self.core.check_invariants()
        return refusal

    def receive(self, kind: int, body: list[object], sender: NodeId = ONE) -> None:
        self.core.receive_message(sender, kind, body, self.now)
        self.core.check_invariants()

    def take(self) -> list[Effect]:
        return self.core.take_effects()

    def take_messages(self, kind: int) -> list[tuple[NodeId, list[object]]]:
        return [
            (effect.peer, effect.body)
            for effect in self.take()
            if isinstance(effect, Message) and effect.kind == kind
        ]

    def take_news(self) -> list[int]:
        return [news.kind for news in self.core.take_news()]


def rows_of(effects: list[Effect]) -> list[tuple[str, bytes, bytes]]:
    """The journal after these effects."""
    rows: dict[tuple[str, bytes], bytes] = {}
    for effect in effects:
        if isinstance(effect, Persist):
            rows[effect.table, effect.key] = effect.value
        elif isinstance(effect, Erase):
            for table, key in list(rows):
                if table == effect.table and key.startswith(effect.prefix):
                    del rows[table, key]
    return [(table, key, value) for (table, key), value in rows.items()]

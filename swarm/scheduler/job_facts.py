"""The facts of one job, as a node holds them, and the values that pass between its components."""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import JobId, NodeId
from swarm.wire.codec import Body, unpack_untrusted
from swarm.wire.facts import Completion, completion_untrusted
from swarm.wire.job_part import JobPart

TABLE_PARTS: Final = "parts"
TABLE_INTENTS: Final = "intents"
TABLE_FACTS: Final = "facts"
TABLE_TOMBS: Final = "tombs"

NEWS_PART: Final = 1
NEWS_COMPLETION: Final = 2
NEWS_INTENT: Final = 3
NEWS_HOLDER: Final = 4
NEWS_FORGET: Final = 5


@final
class JobRecord:
    """All facts known of one job.

    Attributes:
        parts: part number -> bytes as submitted.
        parts_total: how many parts the job has, 0 while it may still grow.
        is_cancelled: whether anybody cancelled it.
        ended: how the job ended, as the value of INTENT_END; 0 while it has not.
        facts: (task, attempt, node) -> completion.
        kept: parts that this node has on its disk with all objects they refer to, or is writing there.
        is_kept: whether it keeps the record: it has parts on disk, and then facts and intents too.
    """

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self.parts_total = 0
        self.is_cancelled = False
        self.ended = 0
        self.facts: dict[tuple[int, int, NodeId], Completion] = {}
        self.kept: dict[int, bool] = {}
        self.is_kept = False

    def restore(self, table: str, key: bytes, value: bytes) -> None:
        """Take a row that was persisted for this job; `key` is what follows the job's id.

        Raises:
            DecodeError: it cannot be read.
        """
        if table == TABLE_PARTS:
            number = int.from_bytes(key, "big")
            self.is_kept = True
            self.kept[number] = True
            self.parts[number] = value
        elif table == TABLE_INTENTS:
            body = Body([unpack_untrusted(value)]).take_body()
            self.parts_total, self.is_cancelled, self.ended = (
                body.take_int(),
                body.take_bool(),
                body.take_int(),
            )
        elif table == TABLE_FACTS:
            completion = completion_untrusted(Body([unpack_untrusted(value)]).take_list())
            self.facts[(completion.task, completion.attempt, completion.node)] = completion

    def intents(self) -> list[object]:
        """Return the row of intents, persisted and offered: [parts_total, is_cancelled, ended]."""
        return [self.parts_total, self.is_cancelled, self.ended]


@final
class Holding:
    """What a node says it has on its disk of a job.

    Attributes:
        parts: numbers of the parts.
        fact_count: completions.
        ended: how the job ended, as the value of INTENT_END; 0 while it has not.
    """

    def __init__(self, parts: dict[int, bool], fact_count: int, ended: int) -> None:
        self.parts: Final = parts
        self.fact_count: Final = fact_count
        self.ended: Final = ended


@final
class News:
    """Something new about a job, for the leader's scheduler: see the NEWS_ kinds.

    Attributes:
        node: who holds something, of NEWS_HOLDER.
        holding: what it keeps, None when it merely knows of the job.
    """

    def __init__(
        self, kind: int, job: JobId, number: int, part: JobPart | None, completion: Completion | None
    ) -> None:
        self.kind: Final = kind
        self.job: Final = job
        self.number: Final = number
        self.part: Final = part
        self.completion: Final = completion
        self.node: NodeId = b""
        self.holding: Holding | None = None

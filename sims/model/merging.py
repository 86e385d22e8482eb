"""The laws of merging, tried on the real records of a node with every subset and order of a few facts.

Three nodes hold any subsets of the facts about a job and tell each other: every interleaving of that is a
sequence of facts that arrive at one node, some of them again and again. So two things are tried
exhaustively, on `swarm.scheduler.records` itself:

M1 What a node knows does not depend on the order in which facts came, nor on how often: every order of all
   facts, each of them twice.
M2 Telling another node all one knows makes it know the union: every pair of subsets. Union is associative,
   commutative and idempotent, and so is merging then.
M3 Nothing known is lost by it: the union holds both.
M4 What a node that keeps the job has written is all that it knew: it knows the same after a restart.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any, Final, NamedTuple

from swarm.core.effects import Erase, Message, Persist
from swarm.core.ids import NodeId
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.records import JobRecords
from swarm.wire.facts import Completion, Failure, Output, digest_of
from swarm.wire.job_part import JobPart, TaskOptions, TaskSpec
from swarm.wire.messages import (
    ENCODING_RAW,
    ERROR_TASK,
    FACTS,
    INTENT_CANCEL,
    INTENT_END,
    JOB_INTENT,
    KIND_PROGRAM,
    RECORD_GIVE,
    RECORD_STORE,
    RECORD_WANT,
)

JOB: Final = b"job-000000"
NODE_A: Final[NodeId] = b"a" * 16
NODE_B: Final[NodeId] = b"b" * 16
FACTS_MAX: Final = 8


class Merged(NamedTuple):
    """What came of it.

    Attributes:
        pairs: of subsets that were merged.
        orders: in which facts were told.
        broken: the law that does not hold, with the facts, "" for none.
    """

    pairs: int
    orders: int
    broken: str


def all_facts() -> list[tuple[int, list[object]]]:
    """Return the facts as the messages that carry them, FACTS_MAX of them."""
    part = JobPart(0, {}, [TaskSpec(KIND_PROGRAM, "t", -1, b"", [], 1, TaskOptions(), True)])
    later = JobPart(1, {}, [TaskSpec(KIND_PROGRAM, "u", -1, b"", [0, 0], 1, TaskOptions(), True)])
    one, other = _success(NODE_A, b"one answer"), _success(NODE_B, b"another answer")
    failure = Completion(0, 2, NODE_A, b"", 0.1, None, Failure(ERROR_TASK, "E", "broke", "", b""))
    return [
        (RECORD_GIVE, [JOB, 0, 0, part.to_wire()]),
        (FACTS, [JOB, [one.to_wire()]]),
        (JOB_INTENT, [JOB, INTENT_CANCEL, 0]),
        (FACTS, [JOB, [other.to_wire()]]),
        (JOB_INTENT, [JOB, INTENT_END, 2]),
        (JOB_INTENT, [JOB, INTENT_END, 1]),
        (FACTS, [JOB, [failure.to_wire()]]),
        (RECORD_STORE, [1, JOB, 1, 2, later.to_wire()]),
    ]


def check_merging(count: int) -> Merged:
    """Try the laws with the first `count` facts, 1..FACTS_MAX."""
    facts = all_facts()[:count]
    orders = 0
    whole = _known(_told(facts))
    for order in permutations(facts):
        orders += 1
        if _known(_told([*order, *order])) != whole:
            return Merged(0, orders, f"M1: {[facts.index(fact) for fact in order]}")
    unions = [_known(_told(_chosen(facts, subset))) for subset in range(1 << count)]
    pairs = 0
    for left in range(1 << count):
        for right in range(1 << count):
            pairs += 1
            merged = _merged(_told(_chosen(facts, left)), _told(_chosen(facts, right)))
            if merged != unions[left | right]:
                return Merged(pairs, orders, f"M2: {left:b} and {right:b}")
            if not (_is_within(unions[left], merged) and _is_within(unions[right], merged)):
                return Merged(pairs, orders, f"M3: {left:b} and {right:b}")
    store: tuple[int, list[object]] = (RECORD_STORE, [1, JOB, 0, 0, all_facts()[0][1][3]])
    for subset in range(1 << count):
        records = _told([store, *_chosen(facts[1:], subset >> 1)])
        if _known(_restarted(records)) != _known(records):
            return Merged(pairs, orders, f"M4: {subset:b}")
    return Merged(pairs, orders, "")


def _success(node: NodeId, data: bytes) -> Completion:
    return Completion(0, 1, node, b"", 0.1, [Output(digest_of(data), len(data), ENCODING_RAW, data)], None)


def _chosen(facts: list[Any], subset: int) -> list[Any]:
    return [fact for number, fact in enumerate(facts) if subset & (1 << number)]


def _told(facts: list[tuple[int, list[object]]]) -> JobRecords:
    records = JobRecords(SchedulerConfig(), NODE_A)
    for kind, body in facts:
        records.receive_message(NODE_B, kind, body, 0.0)
    assert records.counts["malformed"] == 0, "facts are well-formed"
    return records


def _known(records: JobRecords) -> tuple[object, ...]:
    """Return all that a node knows of the job; whether it keeps it on disk is no fact."""
    record = records.record(JOB)
    if record is None:
        return ()
    return (
        sorted(record.parts.items()),
        record.parts_total,
        record.is_cancelled,
        record.ended,
        sorted(record.facts.items(), key=_key_of),
    )


def _key_of(item: tuple[tuple[int, int, NodeId], Completion]) -> tuple[int, int, NodeId]:
    return item[0]


def _is_within(known: tuple[Any, ...], more: tuple[Any, ...]) -> bool:
    """Return whether nothing of what is known is missing in `more`."""
    if not known:
        return True
    parts, total, is_cancelled, ended, completions = known
    return (
        all([part in more[0] for part in parts])
        and total <= more[1]
        and is_cancelled <= more[2]
        and bool(ended) <= bool(more[3])
        and all([completion in more[4] for completion in completions])
    )


def _merged(core: JobRecords, other: JobRecords) -> tuple[object, ...]:
    """Let `core` learn all that `other` knows, as a leader does, and return what it knows then."""
    core.take_effects()
    other.take_effects()
    other.offer(NODE_B)
    for effect in other.take_effects():
        if isinstance(effect, Message):
            core.receive_message(NODE_A, effect.kind, effect.body, 0.0)
    for effect in core.take_effects():
        if isinstance(effect, Message) and effect.kind == RECORD_WANT:
            other.receive_message(NODE_B, effect.kind, effect.body, 0.0)
    for effect in other.take_effects():
        if isinstance(effect, Message):
            core.receive_message(NODE_A, effect.kind, effect.body, 0.0)
    return _known(core)


def _restarted(records: JobRecords) -> JobRecords:
    """Return the records of the next start, from what these have written."""
    rows: dict[tuple[str, bytes], bytes] = {}
    for effect in records.take_effects():
        assert not isinstance(effect, Erase), "nothing is forgotten here"
        if isinstance(effect, Persist):
            rows[effect.table, effect.key] = effect.value
    again = JobRecords(SchedulerConfig(), NODE_A)
    again.restore([(table, key, value) for (table, key), value in rows.items()])
    return again

"""Parts kept for others, with the objects they refer to; and what is there after a restart."""

from __future__ import annotations

import pytest

from swarm.core.effects import FetchObject, Message, Persist
from swarm.scheduler.giving_up import digest_of_record
from swarm.scheduler.job_facts import (
    TABLE_FACTS,
    TABLE_INTENTS,
    TABLE_PARTS,
    TABLE_TOMBS,
)
from swarm.wire.codec import pack
from swarm.wire.job_part import JobPart
from swarm.wire.messages import (
    ENCODING_RAW,
    FACTS,
    INTENT_CANCEL,
    JOB_ENDED,
    JOB_FORGET,
    RECORD_CHECK,
    RECORD_CHECKED,
    RECORD_OFFER,
    RECORD_STORE,
    RECORD_STORED,
)
from tests.unit.records_env import BLOB, RecordsEnv, rows_of, success
from tests.unit.scheduler_builder import (
    JOB,
    ONE,
    OTHER_JOB,
    TWO,
    bag,
    data,
    failed,
    part,
    task,
)

# Keeping for others


def test_a_keeper_writes_and_confirms() -> None:
    env = RecordsEnv(leader=TWO)
    env.receive(RECORD_STORE, [7, JOB, 0, 1, BLOB])
    effects = env.take()
    assert Persist(TABLE_PARTS, JOB + bytes(4), BLOB, True) in effects
    assert effects[-2:] == [
        Message(ONE, RECORD_STORED, [7, JOB, 0, True]),
        Message(TWO, RECORD_OFFER, [[[JOB, [0], 1, False, 0, [], 0]]]),
    ]


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_a_keeper_refuses_what_contradicts(is_forgotten: bool) -> None:
    env = RecordsEnv()
    if is_forgotten:
        env.core.forget(JOB, "done", 0.0)
    else:
        env.accept(bag(2))
    env.take()
    env.receive(RECORD_STORE, [7, JOB, 0, 1, BLOB])
    assert env.take_messages(RECORD_STORED) == [(ONE, [7, JOB, 0, False])]
    assert env.core.counts["conflicting_parts"] == 1


def brought() -> JobPart:
    return part(data("one", is_brought=True), data("two", is_brought=True), data("three"), task(0, 1))


def test_a_keeper_confirms_when_it_has_the_objects_too() -> None:
    env = RecordsEnv()
    env.receive(RECORD_STORE, [7, JOB, 0, 1, brought().to_wire()])
    effects = env.take()
    fetches = [effect for effect in effects if isinstance(effect, FetchObject)]
    assert [fetch.name for fetch in fetches] == [(JOB, 0, 0), (JOB, 1, 0)]
    assert fetches[0].sources == [(ONE, [])]
    assert [fetch.kept_encoding for fetch in fetches] == [ENCODING_RAW] * 2, "no task can make them again"
    output = env.core.on_object_fetched((JOB, 0, 0), 0.0)
    assert output is not None
    assert env.take() == []
    env.core.on_object_fetched((JOB, 1, 0), 0.0)
    written, confirmation = env.take()
    assert written == Persist(TABLE_PARTS, JOB + bytes(4), brought().to_wire(), True), "not before"
    assert confirmation == Message(ONE, RECORD_STORED, [7, JOB, 0, True])
    assert env.core.on_object_fetched((JOB, 1, 0), 0.0) is None


def test_a_repeated_request_does_not_confirm_too_early() -> None:
    env = RecordsEnv()
    env.receive(RECORD_STORE, [7, JOB, 0, 1, brought().to_wire()])
    env.take()
    env.receive(RECORD_STORE, [8, JOB, 0, 1, brought().to_wire()], TWO)
    assert [effect for effect in env.take() if isinstance(effect, FetchObject)] == [], "already on their way"
    env.core.on_object_fetched((JOB, 0, 0), 0.0)
    assert env.take() == []
    env.core.on_object_fetched((JOB, 1, 0), 0.0)
    assert env.take_messages(RECORD_STORED) == [(TWO, [8, JOB, 0, True])]


def test_a_keeper_that_cannot_get_an_object_says_so() -> None:
    env = RecordsEnv()
    env.receive(RECORD_STORE, [7, JOB, 0, 1, brought().to_wire()])
    env.take()
    env.core.on_object_missing((JOB, 1, 0), 0.0)
    assert env.take_messages(RECORD_STORED) == [(ONE, [7, JOB, 0, False])]
    env.core.on_object_fetched((JOB, 0, 0), 0.0)
    env.core.on_object_missing((JOB, 1, 0), 0.0)
    assert env.take() == []


def offered(env: RecordsEnv) -> list[object]:
    """What is offered to a new leader."""
    env.take()
    env.core.on_leader(TWO)
    env.core.offer(TWO)
    return [body[0] for _, body in env.take_messages(RECORD_OFFER)]


def test_a_part_whose_objects_could_not_be_had_is_no_copy() -> None:
    env = RecordsEnv()
    env.receive(RECORD_STORE, [7, JOB, 0, 1, brought().to_wire()])
    env.core.on_object_missing((JOB, 1, 0), 0.0)
    assert offered(env) == [[[JOB, [0], 1, False, 0, [0], 0]]], "known, and kept by others only"
    record = env.core.record(JOB)
    assert record is not None
    digest = digest_of_record(record)
    env.receive(RECORD_CHECK, [JOB, digest], TWO)
    assert env.take_messages(RECORD_CHECKED) == [(TWO, [JOB, False])]


def test_a_part_whose_objects_had_not_come_before_a_restart_is_no_copy() -> None:
    env = RecordsEnv()
    env.receive(RECORD_STORE, [7, JOB, 0, 1, brought().to_wire()])
    env.core.on_object_fetched((JOB, 0, 0), 0.0)
    again = RecordsEnv()
    again.core.restore(rows_of(env.take()))
    assert offered(again) in ([], [[[JOB, [], 1, False, 0, [], 0]]])


def test_completions_that_came_before_the_objects_of_a_part_are_kept_with_it() -> None:
    env = RecordsEnv(leader=TWO)
    env.receive(RECORD_STORE, [0, JOB, 0, 1, brought().to_wire()], TWO)
    env.receive(FACTS, [JOB, [success(3).to_wire()]], TWO)
    env.core.on_object_fetched((JOB, 0, 0), 0.0)
    env.core.on_object_fetched((JOB, 1, 0), 0.0)
    again = RecordsEnv()
    again.core.restore(rows_of(env.take()))
    record = again.core.record(JOB)
    assert record is not None
    assert (len(record.facts), list(record.kept), record.parts_total) == (1, [0], 1)


def test_a_job_that_ends_before_the_objects_of_a_part_come_is_not_confirmed() -> None:
    env = RecordsEnv(leader=TWO)
    env.receive(RECORD_STORE, [7, JOB, 0, 1, brought().to_wire()])
    env.receive(JOB_ENDED, [[JOB]], TWO)
    env.core.on_object_fetched((JOB, 0, 0), 0.0)
    env.core.on_object_fetched((JOB, 1, 0), 0.0)
    assert env.take_messages(RECORD_STORED) == [(ONE, [7, JOB, 0, False])]


def test_forgetting_a_job_ends_the_wait_for_its_objects() -> None:
    env = RecordsEnv()
    env.receive(RECORD_STORE, [7, JOB, 0, 1, brought().to_wire()])
    env.receive(JOB_FORGET, [[[JOB, "cancelled"]]])
    env.take()
    assert env.core.on_object_fetched((JOB, 0, 0), 0.0) is None
    assert env.take() == []


# Restarts


def test_what_was_persisted_is_there_after_a_restart() -> None:
    env = RecordsEnv()
    env.accept(bag(2), total=0)
    env.accept(part(task(), first=2), number=1, total=2)
    env.core.add_completion(JOB, success(0))
    env.core.add_completion(JOB, failed(1))
    env.core.intend(JOB, INTENT_CANCEL, 0, 0.0)
    env.core.forget(OTHER_JOB, "failed", 0.0)
    rows = rows_of(env.take())
    again = RecordsEnv()
    again.core.restore(rows)
    before, after = env.core.record(JOB), again.core.record(JOB)
    assert before is not None
    assert after is not None
    assert before.parts == after.parts
    assert before.facts == after.facts
    assert (after.parts_total, after.is_cancelled, after.is_kept) == (2, True, True)
    assert again.core.verdict(OTHER_JOB) == "failed"
    assert again.core.counts["malformed"] == 0


def test_broken_rows_are_counted_and_left_out() -> None:
    env = RecordsEnv()
    env.core.restore(
        [
            (TABLE_TOMBS, JOB, b"\xc1"),
            (TABLE_FACTS, JOB + bytes(24), pack([1])),
            (TABLE_INTENTS, JOB, pack("x")),
            (TABLE_PARTS, b"short", b""),
            ("node", b"incarnation", pack(3)),
        ]
    )
    assert env.core.counts["malformed"] == 3
    assert env.core.jobs() == []


def test_rows_of_a_forgotten_job_are_not_restored() -> None:
    env = RecordsEnv()
    rows = [(TABLE_FACTS, JOB + bytes(24), pack(success(0).to_wire())), (TABLE_TOMBS, JOB, pack("done"))]
    for order in (rows, rows[::-1]):
        env = RecordsEnv()
        env.core.restore(order)
        assert env.core.jobs() == []

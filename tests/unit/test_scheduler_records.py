"""Job records: parts, intents and completions on disk, offered, merged, forgotten with a tombstone."""

from __future__ import annotations

import pytest

from swarm.core.effects import Erase, Message, Persist
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.job_facts import (
    NEWS_COMPLETION,
    NEWS_FORGET,
    NEWS_HOLDER,
    NEWS_INTENT,
    NEWS_PART,
    TABLE_FACTS,
    TABLE_INTENTS,
    TABLE_PARTS,
    TABLE_TOMBS,
)
from swarm.wire.batches import ROWS_MAX
from swarm.wire.codec import pack
from swarm.wire.messages import (
    FACTS,
    INTENT_CANCEL,
    INTENT_CLOSE,
    INTENT_END,
    JOB_ENDED,
    JOB_FORGET,
    JOB_INTENT,
    RECORD_GIVE,
    RECORD_OFFER,
    RECORD_STORE,
    RECORD_STORED,
    RECORD_WANT,
)
from tests.unit.records_env import BLOB, RecordsEnv, rows_of, success
from tests.unit.scheduler_builder import (
    JOB,
    ME,
    ONE,
    OTHER_JOB,
    TWO,
    bag,
    failed,
)

# Taking parts


def test_a_part_is_on_disk_before_it_is_acknowledged() -> None:
    env = RecordsEnv()
    assert env.accept() == ""
    effects = env.take()
    assert effects == [
        Persist(TABLE_INTENTS, JOB, pack([1, False, 0]), False),
        Persist(TABLE_PARTS, JOB + bytes(4), BLOB, True),
    ], "what must not be lost with it comes before it"
    assert env.core.acceptances.take_accepted() == [(1, JOB, 0, [ME])]


def test_keepers_are_asked_behind_the_own_write() -> None:
    env = RecordsEnv(others=2)
    env.accept()
    effects = env.take()
    kinds = [type(effect) for effect in effects]
    assert kinds == [Persist, Persist, Message, Message]
    assert env.core.acceptances.take_accepted() == []
    for peer in (ONE, TWO):
        env.receive(RECORD_STORED, [1, JOB, 0, True], peer)
    assert env.core.acceptances.take_accepted()[0][3] == [ME, ONE, TWO]


def test_answers_nobody_waits_for_are_late() -> None:
    env = RecordsEnv()
    env.receive(RECORD_STORED, [1, JOB, 0, True])
    assert env.core.counts["late"] == 1


def test_the_same_part_again_is_acknowledged_again() -> None:
    env = RecordsEnv()
    env.accept()
    env.core.acceptances.take_accepted()
    assert env.accept() == ""
    assert len(env.core.acceptances.take_accepted()) == 1


def test_other_content_under_the_same_number_is_refused() -> None:
    env = RecordsEnv()
    env.accept()
    assert env.accept(bag(2)) == "part 0 of this job was submitted before with other content"
    assert env.core.counts["conflicting_parts"] == 1


def test_the_number_of_jobs_is_bounded() -> None:
    env = RecordsEnv(config=SchedulerConfig(jobs_max=1))
    env.accept()
    assert env.accept(job=OTHER_JOB) == "this node holds 1 jobs, the most it may; wait for some to expire"
    assert env.accept(number=1, total=0) == "", "parts of jobs that are held still come"
    assert env.core.counts["jobs_refused"] == 1


def test_a_job_that_was_forgotten_is_refused() -> None:
    env = RecordsEnv()
    env.core.forget(JOB, "done", 0.0)
    assert env.accept().startswith("this job has ended (done)")


def test_the_leader_is_given_the_part_and_told_who_keeps_it() -> None:
    env = RecordsEnv(leader=TWO)
    env.accept()
    sent = [effect for effect in env.take() if isinstance(effect, Message)]
    assert sent == [
        Message(TWO, RECORD_GIVE, [JOB, 0, 1, BLOB]),
        Message(TWO, RECORD_OFFER, [[[JOB, [0], 1, False, 0, [], 0]]]),
    ]


def test_a_leader_that_keeps_the_part_gets_it_once() -> None:
    env = RecordsEnv(leader=ONE, others=1)
    env.accept()
    assert [effect.kind for effect in env.take() if isinstance(effect, Message)] == [
        RECORD_STORE,
        RECORD_OFFER,
    ]


def test_the_leader_itself_makes_news_of_it() -> None:
    env = RecordsEnv(leader=ME)
    env.accept()
    assert env.take_news() == [NEWS_INTENT, NEWS_PART, NEWS_HOLDER]


# Offers


def test_all_is_offered_to_the_leader_that_asks() -> None:
    env = RecordsEnv()
    env.accept()
    for index in range(ROWS_MAX + 1):
        env.core.add_completion(JOB, success(index))
    env.core.intend(JOB, INTENT_CANCEL, 0, 0.0)
    env.take()
    env.core.offer(TWO)
    sent = [effect for effect in env.take() if isinstance(effect, Message)]
    assert [(effect.peer, effect.kind) for effect in sent] == [
        (TWO, RECORD_OFFER),
        (TWO, FACTS),
        (TWO, FACTS),
    ]
    assert sent[0].body == [[[JOB, [0], 1, True, 0, [], ROWS_MAX + 1]]]
    env.core.offer(ME)
    assert env.take() == []


def test_nothing_to_offer_is_not_offered() -> None:
    env = RecordsEnv()
    env.core.offer(TWO)
    assert env.take() == []


def test_what_is_missing_is_wanted_and_given() -> None:
    leader, holder = RecordsEnv(leader=ME), RecordsEnv()
    holder.accept()
    holder.take()
    leader.receive(RECORD_OFFER, [[[JOB, [0], 1, False, 0]]])
    ((peer, wanted),) = leader.take_messages(RECORD_WANT)
    assert (peer, wanted) == (ONE, [[[JOB, [0]]]])
    holder.receive(RECORD_WANT, wanted, ME)
    ((_, given),) = holder.take_messages(RECORD_GIVE)
    leader.take_news()
    leader.receive(RECORD_GIVE, given)
    assert leader.take_news() == [NEWS_PART]
    leader.receive(RECORD_GIVE, given)
    assert leader.take_news() == []
    assert not [
        effect for effect in leader.take() if isinstance(effect, Persist) and effect.table == TABLE_PARTS
    ]


def test_intents_come_with_an_offer() -> None:
    env = RecordsEnv(leader=ME)
    env.receive(RECORD_OFFER, [[[JOB, [], 3, True, 2]]])
    record = env.core.record(JOB)
    assert record is not None
    assert (record.parts_total, record.is_cancelled, record.ended) == (3, True, 2)
    assert env.take_news() == [NEWS_INTENT] * 3


def test_wanting_what_is_not_here_gives_nothing() -> None:
    env = RecordsEnv()
    env.receive(RECORD_WANT, [[[JOB, [0, "x", 5]], [OTHER_JOB, [0]]]])
    assert env.take() == []


def test_a_new_leader_learns_all_from_itself() -> None:
    env = RecordsEnv()
    env.accept()
    env.core.add_completion(JOB, success(0))
    env.take_news()
    env.core.on_leader(ME)
    assert env.take_news() == [NEWS_PART, NEWS_INTENT, NEWS_COMPLETION, NEWS_HOLDER]


# Facts and intents


def test_a_completion_is_kept_once() -> None:
    env = RecordsEnv()
    env.accept()
    env.take()
    assert env.core.add_completion(JOB, success(0))
    assert not env.core.add_completion(JOB, success(0))
    (row,) = env.take()
    assert isinstance(row, Persist)
    assert (row.table, row.durable) == (TABLE_FACTS, False)


def test_completions_of_strangers_jobs_are_on_disk_once_the_part_is() -> None:
    env = RecordsEnv()
    env.core.add_completion(JOB, success(0))
    assert env.take() == []
    env.accept()
    assert [effect.table for effect in env.take() if isinstance(effect, Persist)] == [
        TABLE_FACTS,
        TABLE_INTENTS,
        TABLE_PARTS,
    ]


def test_facts_of_others_are_news() -> None:
    env = RecordsEnv()
    env.receive(FACTS, [JOB, [success(0).to_wire(), failed(1).to_wire(), success(0).to_wire()]])
    assert env.take_news() == [NEWS_COMPLETION, NEWS_COMPLETION]


def test_intents_only_grow() -> None:
    env = RecordsEnv(leader=TWO)
    env.core.intend(JOB, INTENT_CLOSE, 3, 0.0)
    env.core.intend(JOB, INTENT_CLOSE, 2, 0.0)
    env.core.intend(JOB, INTENT_CANCEL, 0, 0.0)
    env.core.intend(JOB, INTENT_CANCEL, 0, 0.0)
    effects = env.take()
    assert effects == [
        Persist(TABLE_INTENTS, JOB, pack([3, False, 0]), True),
        Message(TWO, JOB_INTENT, [JOB, INTENT_CLOSE, 3]),
        Persist(TABLE_INTENTS, JOB, pack([3, True, 0]), True),
        Message(TWO, JOB_INTENT, [JOB, INTENT_CANCEL, 0]),
    ]


@pytest.mark.parametrize("order", [(1, 3, 0), (3, 1, 0), (0, 3, 1)])
def test_of_two_ends_the_better_counts(order: tuple[int, ...]) -> None:
    env = RecordsEnv()
    for verdict in order:
        env.receive(JOB_INTENT, [JOB, INTENT_END, verdict])
    record = env.core.record(JOB)
    assert record is not None
    assert record.ended == 1
    assert env.take()[-1] == Persist(TABLE_INTENTS, JOB, pack([0, False, 1]), True)


def test_intents_are_spread_to_the_other_holders() -> None:
    env = RecordsEnv(leader=ME)
    env.core.spread_intent(JOB, INTENT_CANCEL, 0, [ME, ONE])
    assert env.take() == [Message(ONE, JOB_INTENT, [JOB, INTENT_CANCEL, 0])]


def test_unknown_intents_change_nothing() -> None:
    env = RecordsEnv()
    env.receive(JOB_INTENT, [JOB, 99, 1])
    assert env.take() == []
    assert env.take_news() == []


# The end


def test_an_end_makes_those_forget_who_do_not_keep_the_record() -> None:
    env = RecordsEnv(leader=TWO)
    env.core.add_completion(OTHER_JOB, success(0))
    env.accept()
    env.receive(JOB_ENDED, [[JOB, OTHER_JOB, b"unknown..."]], TWO)
    assert env.core.jobs() == [JOB]


def test_the_leader_forgets_nothing_at_the_end() -> None:
    env = RecordsEnv(leader=ME)
    env.core.add_completion(JOB, success(0))
    env.receive(JOB_ENDED, [[JOB]])
    assert env.core.jobs() == [JOB]


def test_forgetting_leaves_a_tombstone_only() -> None:
    env = RecordsEnv()
    env.accept()
    env.core.add_completion(JOB, success(0))
    env.core.acceptances.take_accepted()
    before = env.take()
    env.take_news()
    env.receive(JOB_FORGET, [[[JOB, "done"]]])
    after = env.take()
    assert rows_of(before + after) == [(TABLE_TOMBS, JOB, pack("done"))]
    assert env.take_news() == [NEWS_FORGET]
    assert env.core.verdict(JOB) == "done"
    env.receive(JOB_FORGET, [[[JOB, "failed"]]])
    assert env.take() == []
    assert env.core.verdict(JOB) == "done"


def test_who_asks_whether_a_job_has_ended_learns_it_and_leaves_no_trace() -> None:
    env = RecordsEnv()
    env.receive(RECORD_OFFER, [[[JOB, [], 0, False, 0]]])
    assert env.take() == []
    assert env.core.jobs() == []
    env.core.forget(JOB, "done", 0.0)
    env.take()
    env.receive(RECORD_OFFER, [[[JOB, [], 0, False, 0]]])
    assert env.take() == [Message(ONE, JOB_FORGET, [[[JOB, "done"]]])]


def test_a_tombstone_takes_no_facts() -> None:
    env = RecordsEnv()
    env.core.forget(JOB, "done", 0.0)
    env.take_news()
    env.take()
    env.receive(FACTS, [JOB, [success(0).to_wire()]])
    env.receive(RECORD_GIVE, [JOB, 0, 1, BLOB])
    env.receive(JOB_INTENT, [JOB, INTENT_CANCEL, 0])
    assert env.take() == []
    assert env.take_news() == []
    assert env.core.jobs() == []


def test_tombstones_age() -> None:
    env = RecordsEnv(config=SchedulerConfig(tombstone_ttl_s=100.0))
    env.core.forget(JOB, "done", 10.0)
    env.take()
    assert env.core.next_deadline() == 110.0
    env.core.handle_deadline(110.0)
    assert env.take() == [Erase(TABLE_TOMBS, JOB)]
    assert env.core.verdict(JOB) == ""
    assert env.core.next_deadline() == float("inf")


def test_restored_tombstones_age_from_the_start() -> None:
    env = RecordsEnv(config=SchedulerConfig(tombstone_ttl_s=100.0))
    env.core.restore([(TABLE_TOMBS, JOB, pack("done"))])
    env.core.start(5.0)
    assert env.core.next_deadline() == 105.0


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (RECORD_STORE, [1, JOB, 0, 1, b"nonsense"]),
        (RECORD_STORE, [1, JOB, 2**40, 1, BLOB]),
        (RECORD_GIVE, [JOB, 2**40, 1, BLOB]),
        (RECORD_OFFER, [[[JOB, [2**40], 1, False, 0]]]),
        (RECORD_OFFER, [[JOB]]),
        (RECORD_WANT, [[[JOB, 1]]]),
        (FACTS, [JOB, [[2**40, 1, ONE, b"", 0.1, [], None]]]),
        (FACTS, [b"short", []]),
        (JOB_INTENT, [JOB, INTENT_CLOSE, -1]),
        (JOB_FORGET, [[[JOB, 7]]]),
        (JOB_ENDED, [[1]]),
        (RECORD_STORED, [1, JOB, 0]),
    ],
)
def test_malformed_messages_are_counted_and_dropped(kind: int, body: list[object]) -> None:
    env = RecordsEnv(leader=ME)
    env.receive(kind, body)
    assert env.core.counts["malformed"] == 1
    assert env.take_news() == []

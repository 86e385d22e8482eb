"""Giving up spare copies: only behind the word of three others, and nobody gives up what it vouched for."""

from __future__ import annotations

from swarm.core.effects import Erase, Message
from swarm.core.ids import NodeId
from swarm.scheduler.giving_up import ANSWER_S, PLEDGE_S, GivingUp, digest_of_record
from swarm.scheduler.job_facts import JobRecord
from swarm.wire.messages import FACTS, RECORD_CHECK, RECORD_CHECKED, RECORD_OFFER, RECORD_SPARE, RECORD_STORE
from tests.unit.records_env import BLOB, RecordsEnv, success
from tests.unit.scheduler_builder import JOB, ME, ONE, OTHER_JOB, THREE, TWO

FOUR: NodeId = b"e" * 16
OTHERS = [ONE, TWO, THREE]


def keeper() -> RecordsEnv:
    """A node that keeps the job, follows FOUR, and has run for long."""
    env = RecordsEnv(leader=FOUR)
    env.core.start(0.0)
    env.receive(RECORD_STORE, [7, JOB, 0, 1, BLOB])
    env.now = PLEDGE_S + 1.0
    env.take()
    return env


def question(env: RecordsEnv, keepers: list[NodeId] | None = None, sender: NodeId = FOUR) -> bytes:
    """Let the leader name the copy as spare; return the digest that the keepers are asked about, or b""."""
    env.receive(RECORD_SPARE, [JOB, keepers or OTHERS], sender)
    sent = env.take_messages(RECORD_CHECK)
    if not sent:
        return b""
    assert [peer for peer, _ in sent] == (keepers or OTHERS)
    digest = sent[0][1][1]
    assert isinstance(digest, bytes)
    return digest


def gives_up(env: RecordsEnv) -> bool:
    effects = env.take()
    tables = [effect.table for effect in effects if isinstance(effect, Erase)]
    assert tables in ([], ["parts", "intents", "facts"])
    return bool(tables)


def answer_all(env: RecordsEnv, nodes: list[NodeId]) -> None:
    for node in nodes:
        env.receive(RECORD_CHECKED, [JOB, True], node)


def test_a_spare_copy_goes_when_three_others_have_confirmed() -> None:
    env = keeper()
    assert question(env)
    answer_all(env, [ONE, TWO])
    assert not gives_up(env)
    env.receive(RECORD_CHECKED, [JOB, True], THREE)
    effects = env.take()
    assert [effect.table for effect in effects if isinstance(effect, Erase)] == ["parts", "intents", "facts"]
    assert effects[-1] == Message(FOUR, RECORD_OFFER, [[[JOB, [0], 1, False, 0, [0], 0]]])
    assert env.core.jobs() == []


def test_one_keeper_counts_once() -> None:
    env = keeper()
    question(env)
    answer_all(env, [ONE, TWO, TWO, ONE])
    assert not gives_up(env)


def test_one_that_lacks_something_saves_the_copy() -> None:
    env = keeper()
    question(env)
    env.receive(RECORD_CHECKED, [JOB, False], ONE)
    answer_all(env, OTHERS)
    assert not gives_up(env)


def test_answers_of_strangers_and_late_ones_do_not_count() -> None:
    env = keeper()
    question(env)
    answer_all(env, [ONE, TWO, b"x" * 16])
    env.now += ANSWER_S
    answer_all(env, [THREE])
    assert not gives_up(env)


def test_too_few_keepers_are_not_asked() -> None:
    assert question(keeper(), [ONE, TWO]) == b""


def test_only_the_leader_names_spare_copies() -> None:
    assert question(keeper(), sender=ONE) == b""


def test_who_has_just_started_gives_up_nothing() -> None:
    env = keeper()
    env.core.start(env.now)
    assert question(env) == b""


def test_what_came_after_the_question_saves_the_copy() -> None:
    env = keeper()
    question(env)
    env.receive(FACTS, [JOB, [success(0).to_wire()]])
    answer_all(env, OTHERS)
    assert not gives_up(env)


def test_who_has_the_same_vouches_for_it() -> None:
    env, other = keeper(), keeper()
    digest = question(env)
    other.receive(RECORD_CHECK, [JOB, digest], ME)
    assert other.take_messages(RECORD_CHECKED) == [(ME, [JOB, True])]


def test_who_lacks_a_completion_or_the_job_does_not() -> None:
    env, other, stranger = keeper(), keeper(), RecordsEnv()
    env.receive(FACTS, [JOB, [success(0).to_wire()]])
    env.take()
    digest = question(env)
    for one in (other, stranger):
        one.receive(RECORD_CHECK, [JOB, digest], ME)
        assert one.take_messages(RECORD_CHECKED) == [(ME, [JOB, False])]


def test_who_vouched_keeps_its_own_copy_for_a_while() -> None:
    env, other = keeper(), keeper()
    other.receive(RECORD_CHECK, [JOB, question(env)], ME)
    other.take()
    assert question(other) == b""
    other.now += PLEDGE_S
    assert question(other)


def test_of_two_that_ask_each_other_none_vouches() -> None:
    env, other = keeper(), keeper()
    digest = question(env)
    assert question(other) == digest
    other.receive(RECORD_CHECK, [JOB, digest], ME)
    assert other.take_messages(RECORD_CHECKED) == [(ME, [JOB, False])]


def test_a_leader_still_knows_what_it_gave_up() -> None:
    env = keeper()
    env.core.on_leader(ME)
    env.take()
    question(env, sender=ME)
    answer_all(env, OTHERS)
    assert gives_up(env)
    assert env.core.jobs() == [JOB]
    record = env.core.record(JOB)
    assert record is not None
    assert not record.is_kept


def test_of_several_pledges_each_ends_in_its_own_time() -> None:
    giving, record, digest = GivingUp(1), JobRecord(), digest_of_record(JobRecord())
    giving.start(-PLEDGE_S)
    for job, now in ((JOB, 0.0), (OTHER_JOB, 1.0), (JOB, 30.0)):
        assert giving.answer(job, record, digest, now)
    now = PLEDGE_S + 1.5
    assert giving.begin(OTHER_JOB, record, [ONE], now) == digest
    assert giving.begin(JOB, record, [ONE], now) == b"", "it was vouched for again"
    assert giving.begin(JOB, record, [ONE], PLEDGE_S + 30.0) == digest

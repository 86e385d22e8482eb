"""Facts merge by union: in any order, grouping and number of times the same; and they only grow."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from swarm.core.effects import Erase, Message, Persist
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.job_facts import JobRecord
from swarm.scheduler.records import JobRecords
from swarm.wire.facts import Completion
from swarm.wire.messages import (
    FACTS,
    INTENT_CANCEL,
    INTENT_CLOSE,
    INTENT_END,
    JOB_FORGET,
    JOB_INTENT,
    RECORD_GIVE,
    RECORD_OFFER,
    RECORD_STORE,
    RECORD_WANT,
)
from tests.unit.scheduler_builder import JOB, ME, ONE, OTHER_JOB, TWO, bag, failed, output_of

BLOBS = [bag(number + 1).to_wire() for number in range(3)]
Jobs = st.sampled_from([JOB, OTHER_JOB])
Nodes = st.sampled_from([ME, ONE, TWO])


@st.composite
def completions(draw: st.DrawFn) -> Completion:
    task, attempt, node = draw(st.integers(0, 2)), draw(st.integers(1, 2)), draw(Nodes)
    # A fact never changes: everything about it follows from its key.
    if (task + attempt) % 2:
        return failed(task, attempt, node)
    return Completion(task, attempt, node, b"", 0.5, [output_of(f"{task}{attempt}")], None)


@st.composite
def facts(draw: st.DrawFn) -> tuple[int, list[object]]:
    """A message that carries a fact."""
    job = draw(Jobs)
    kind = draw(st.sampled_from([FACTS, JOB_INTENT, RECORD_STORE, RECORD_GIVE]))
    if kind == FACTS:
        return (
            kind,
            [job, [completion.to_wire() for completion in draw(st.lists(completions(), max_size=3))]],
        )
    number = draw(st.integers(0, 2))
    if kind == JOB_INTENT:
        what = draw(st.sampled_from([INTENT_CLOSE, INTENT_CANCEL, INTENT_END]))
        return (kind, [job, what, number])
    total = draw(st.sampled_from([0, 3]))
    return (
        kind,
        [1, job, number, total, BLOBS[number]]
        if kind == RECORD_STORE
        else [job, number, total, BLOBS[number]],
    )


Batches = st.lists(facts(), max_size=12)


def records(*batches: list[tuple[int, list[object]]]) -> JobRecords:
    core = JobRecords(SchedulerConfig(), ME)
    for batch in batches:
        for kind, body in batch:
            core.receive_message(ONE, kind, body, 0.0)
    core.check_invariants()
    assert core.counts["malformed"] == 0
    return core


def state_of(core: JobRecords) -> dict[bytes, Any]:
    """Everything that is a fact: which node keeps what on disk is none."""
    state: dict[bytes, Any] = {}
    for job in core.jobs():
        record = core.record(job)
        assert isinstance(record, JobRecord)
        state[job] = (
            dict(sorted(record.parts.items())),
            record.parts_total,
            record.is_cancelled,
            record.ended,
            dict(sorted(record.facts.items())),
        )
    return state


@given(Batches, Batches)
def test_merging_is_commutative(one: list[Any], two: list[Any]) -> None:
    assert state_of(records(one, two)) == state_of(records(two, one))


@given(Batches)
def test_the_order_within_a_batch_does_not_matter(batch: list[Any]) -> None:
    assert state_of(records(batch)) == state_of(records(batch[::-1]))


@given(Batches, st.integers(1, 3))
def test_merging_is_idempotent(batch: list[Any], times: int) -> None:
    assert state_of(records(*[batch] * (times + 1))) == state_of(records(batch))


def exchange(core: JobRecords, other: JobRecords) -> None:
    """Let `core` learn all that `other` knows, as a leader does."""
    core.take_effects()
    other.take_effects()
    other.offer(ONE)
    for effect in other.take_effects():
        assert isinstance(effect, Message)
        core.receive_message(TWO, effect.kind, effect.body, 0.0)
    for effect in core.take_effects():
        if isinstance(effect, Message) and effect.kind == RECORD_WANT:
            other.receive_message(ONE, effect.kind, effect.body, 0.0)
    for effect in other.take_effects():
        assert isinstance(effect, Message)
        core.receive_message(TWO, effect.kind, effect.body, 0.0)


@given(Batches, Batches, Batches)
def test_merging_is_associative(one: list[Any], two: list[Any], three: list[Any]) -> None:
    left, middle, right = records(one), records(two), records(three)
    exchange(left, middle)
    exchange(left, right)
    middle_first, right_first = records(two), records(three)
    exchange(middle_first, right_first)
    whole = records(one)
    exchange(whole, middle_first)
    assert state_of(left) == state_of(whole)


@given(Batches, Batches)
def test_an_offer_carries_everything(one: list[Any], two: list[Any]) -> None:
    leader = records(one)
    exchange(leader, records(two))
    assert state_of(leader) == state_of(records(one, two))


@given(Batches, facts())
def test_facts_only_grow(batch: list[Any], fact: tuple[int, list[object]]) -> None:
    core = records(batch)
    before = state_of(core)
    core.receive_message(TWO, *fact, 0.0)
    after = state_of(core)
    for job, (parts, total, is_cancelled, ended, known) in before.items():
        assert parts.items() <= after[job][0].items()
        assert total <= after[job][1]
        assert is_cancelled <= after[job][2]
        assert bool(ended) <= bool(after[job][3])
        assert known.items() <= after[job][4].items()


@given(Batches, Batches)
def test_a_tombstone_is_the_end_wherever_it_comes(before: list[Any], after: list[Any]) -> None:
    tomb: list[Any] = [(JOB_FORGET, [[[JOB, "done"], [OTHER_JOB, "failed"]]])]
    assert state_of(records(before, tomb, after)) == {}


@given(Batches)
def test_the_journal_holds_what_is_kept(batch: list[Any]) -> None:
    core = records([(RECORD_STORE, [1, JOB, 0, 0, BLOBS[0]])], batch)
    rows: dict[tuple[str, bytes], bytes] = {}
    for effect in core.take_effects():
        assert not isinstance(effect, Erase)
        if isinstance(effect, Persist):
            rows[effect.table, effect.key] = effect.value
    again = JobRecords(SchedulerConfig(), ME)
    again.restore([(table, key, value) for (table, key), value in rows.items()])
    kept, restored = core.record(JOB), again.record(JOB)
    assert kept is not None
    assert restored is not None
    stored = {number: blob for number, blob in kept.parts.items() if number in restored.parts}
    assert restored.parts == stored
    assert restored.facts == kept.facts
    assert (restored.parts_total, restored.is_cancelled) == (kept.parts_total, kept.is_cancelled)


def test_an_offer_is_one_row_for_each_job() -> None:
    core = records([(RECORD_GIVE, [JOB, 0, 3, BLOBS[0]]), (JOB_INTENT, [OTHER_JOB, INTENT_END, 1])])
    core.take_effects()
    core.offer(ONE)
    offers = [
        effect
        for effect in core.take_effects()
        if isinstance(effect, Message) and effect.kind == RECORD_OFFER
    ]
    assert len(offers) == 1

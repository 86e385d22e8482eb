"""Assignments on the wire: read back as they were, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.errors import DecodeError
from swarm.wire.facts import digest_of
from swarm.wire.orders import Assignment, InputRef, assignment_untrusted, attempts_untrusted
from tests.unit.test_wire_codec import Values
from tests.unit.test_wire_facts import Digests, over_the_wire

JOB = b"j" * 10
Holders = st.lists(st.binary(min_size=16, max_size=16), max_size=3)
Refs = st.one_of(
    st.builds(
        InputRef,
        st.integers(0, 99),
        st.integers(0, 9),
        st.none(),
        st.just(0),
        st.just(0),
        st.none(),
        st.just([]),
    ),
    st.builds(
        InputRef,
        st.integers(0, 99),
        st.integers(0, 9),
        Digests,
        st.integers(0, 2**40),
        st.just(1),
        st.none(),
        Holders,
    ),
    st.binary(max_size=20).map(lambda data: InputRef(0, 0, digest_of(data), len(data), 0, data, [])),
)
Assignments = st.builds(
    Assignment,
    st.just(JOB),
    st.integers(0, 2**30),
    st.integers(1, 99),
    st.integers(0, 3),
    st.text(max_size=9),
    st.none() | Refs,
    st.binary(max_size=9),
    st.lists(Refs, max_size=4),
    st.integers(1, 9),
    st.floats(0, 64),
    st.integers(0, 2**40),
    st.floats(0, 1e6),
)


@given(Assignments)
def test_an_assignment_is_read_back(assignment: Assignment) -> None:
    assert assignment_untrusted(over_the_wire(assignment.to_wire())) == assignment


@given(Assignments, st.integers(0, 11), Values)
def test_a_changed_assignment_is_refused_or_read(assignment: Assignment, place: int, value: object) -> None:
    fields = over_the_wire(assignment.to_wire())
    fields[place] = value
    try:
        changed = assignment_untrusted(fields)
    except DecodeError:
        return
    assert changed.attempt >= 1
    assert changed.output_count >= 1


@given(st.lists(Values, max_size=14))
def test_random_fields_are_refused_or_read(fields: list[object]) -> None:
    for decode in (assignment_untrusted, attempts_untrusted):
        try:
            decode(fields)
        except DecodeError:
            continue


def wire(**changed: object) -> list[object]:
    fields: dict[str, object] = {
        "job": JOB,
        "task": 0,
        "attempt": 1,
        "kind": 1,
        "name": "t",
        "function": None,
        "payload": b"",
        "inputs": [],
        "outputs": 1,
        "cpus": 1.0,
        "memory": 0,
        "timeout": 0.0,
    }
    return list({**fields, **changed}.values())


@pytest.mark.parametrize(
    "fields",
    [
        wire(job=b"short"),
        wire(attempt=0),
        wire(outputs=0),
        wire(cpus=-1.0),
        wire(timeout=-1.0),
        wire(cpus=float("inf")),
        wire(function=7),
        wire(inputs=[7]),
        wire(inputs=[[0, 0, b"short", 0, 0, None, []]]),
        wire(inputs=[[0, 0, None, 1, 0, b"x", []]]),
        wire(inputs=[[0, 0, b"d" * 16, 2, 0, b"x", []]]),
        wire(inputs=[[0, 0, b"d" * 16, 2, 0, None, [b"x"]]]),
        wire(inputs=[[0, 0, b"d" * 16, 2, 0, None, 7]]),
    ],
)
def test_wrong_assignments_are_refused(fields: list[object]) -> None:
    with pytest.raises(DecodeError):
        assignment_untrusted(fields)


def test_attempts_are_rows_of_three() -> None:
    assert attempts_untrusted([[JOB, 1, 2], [JOB, 3, 4]]) == [(JOB, 1, 2), (JOB, 3, 4)]


@pytest.mark.parametrize("rows", [[7], [[JOB, 1]], [[b"x", 1, 2]], [[JOB, "x", 2]], [[JOB, 1, -2]]])
def test_wrong_attempts_are_refused(rows: list[object]) -> None:
    with pytest.raises(DecodeError):
        attempts_untrusted(rows)

"""Completions on the wire: read back as they were, or refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.errors import DecodeError
from swarm.wire.codec import pack, unpack_untrusted
from swarm.wire.facts import (
    Completion,
    Failure,
    Output,
    completion_untrusted,
    digest_of,
    digest_of_inputs,
    failure_untrusted,
    outputs_untrusted,
)
from tests.unit.test_wire_codec import Values

Digests = st.binary(min_size=16, max_size=16)
Outputs = st.binary(max_size=30).map(lambda data: Output(digest_of(data), len(data), 0, data)) | st.builds(
    Output, Digests, st.integers(0, 2**40), st.integers(0, 3), st.none()
)
Failures = st.builds(
    Failure,
    st.integers(0, 9),
    st.text(max_size=9),
    st.text(max_size=9),
    st.text(max_size=9),
    st.binary(max_size=9),
)
Indexes = st.integers(0, 2**31 - 1)
Attempts = st.integers(1, 2**31 - 1)
Successes = st.builds(
    Completion,
    Indexes,
    Attempts,
    Digests,
    st.just(b"") | Digests,
    st.floats(0, 1e9),
    st.lists(Outputs, max_size=4),
    st.none(),
)
FailedOnes = st.builds(
    Completion, Indexes, Attempts, Digests, st.just(b""), st.floats(0, 1e9), st.none(), Failures
)


def over_the_wire(fields: list[object]) -> list[object]:
    value = unpack_untrusted(pack(fields))
    assert isinstance(value, list)
    return value


@given(Successes | FailedOnes)
def test_a_completion_is_read_back(completion: Completion) -> None:
    assert completion_untrusted(over_the_wire(completion.to_wire())) == completion


@given(Successes | FailedOnes, st.integers(0, 6), Values)
def test_a_changed_completion_is_refused_or_read(completion: Completion, place: int, value: object) -> None:
    fields = over_the_wire(completion.to_wire())
    fields[place] = value
    try:
        changed = completion_untrusted(fields)
    except DecodeError:
        return
    assert changed.attempt >= 1
    assert (changed.outputs is None) != (changed.failure is None)


@given(st.lists(Values, max_size=9))
def test_random_fields_are_refused_or_read(fields: list[object]) -> None:
    for decoder in (completion_untrusted, outputs_untrusted, failure_untrusted):
        decode: Any = decoder
        try:
            decode(fields)
        except DecodeError:
            continue


NODE = b"n" * 16


@pytest.mark.parametrize(
    "fields",
    [
        [0, 0, NODE, b"", 0.0, [], None],
        [2**31, 1, NODE, b"", 0.0, [], None],
        [0, 2**31, NODE, b"", 0.0, [], None],
        [0, 1, NODE, b"", -0.1, [], None],
        [0, 1, NODE, b"", 0.0, [], [0, "", "", "", b""]],
        [0, 1, NODE, b"", 0.0, None, None],
        [0, 1, NODE, b"", 0.0, "x", None],
        [0, 1, NODE, b"", 0.0, None, "x"],
        [0, 1, NODE, b"", 0.0, [7], None],
        [0, 1, NODE, b"", 0.0, [[b"d" * 16, 3, 0, b"xx"]], None],
        [0, 1, NODE, b"", 0.0, [[b"d", 2, 0, b"xx"]], None],
        [0, 1, b"n", b"", 0.0, [], None],
        [0, 1, NODE, b"", 0.0, None, [0, "", "", ""]],
    ],
)
def test_wrong_completions_are_refused(fields: list[object]) -> None:
    with pytest.raises(DecodeError):
        completion_untrusted(fields)


def test_a_completion_is_a_success_or_a_failure() -> None:
    with pytest.raises(AssertionError):
        Completion(0, 1, NODE, b"", 0.0, None, None)
    with pytest.raises(AssertionError):
        Completion(0, 1, NODE, b"", 0.0, [], Failure(0, "", "", "", b""))


def test_digests_of_inputs_depend_on_their_order() -> None:
    assert digest_of_inputs([]) == b""
    one, two = digest_of(b"1"), digest_of(b"2")
    assert digest_of_inputs([one, two]) != digest_of_inputs([two, one])
    assert len(digest_of_inputs([one])) == 16

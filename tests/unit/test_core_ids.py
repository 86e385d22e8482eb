"""Ids as people and URLs see them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.ids import JOB_ID_SIZE, object_path, parse_object_path, parse_short, short


@given(st.binary(min_size=10, max_size=10) | st.binary(min_size=16, max_size=16))
def test_short_forms_are_read_back(identity: bytes) -> None:
    text = short(identity)
    assert text == text.lower()
    assert "=" not in text
    assert parse_short(text, len(identity)) == identity
    assert parse_short(f" {text.upper()}\n", len(identity)) == identity


@pytest.mark.parametrize("text", ["", "a", "0189", "äöü", "aaaaaaaaaaaaaaa", "aaaaaaaa aaaaaaa1"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="id"):
        parse_short(text, JOB_ID_SIZE)


def test_ids_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="names 16 bytes, an id of this kind has 10"):
        parse_short(short(bytes(16)), JOB_ID_SIZE)


@given(st.binary(min_size=10, max_size=10), st.integers(0, 2**31), st.integers(0, 2**31))
def test_object_names_are_read_back(job: bytes, task: int, output: int) -> None:
    assert parse_object_path(object_path((job, task, output))) == (job, task, output)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b",
        "a.1",
        f"{short(bytes(10))}.1",
        f"{short(bytes(10))}.-1.0",
        f"{short(bytes(16))}.1.0",
        "a.1.0.0",
        f"{short(bytes(10))}.01.0",
        f"{short(bytes(10))}.1.00",
        f"{short(bytes(10))}.\u0661.0",
        f" {short(bytes(10))}.1.0",
    ],
)
def test_what_is_no_object_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"object name|id"):
        parse_object_path(text)

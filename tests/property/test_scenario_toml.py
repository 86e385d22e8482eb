"""TOML documents of all shapes: the text reads back, and every key is found at its line."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sims.scenario.toml_lines import key_lines
from sims.scenario.toml_text import toml_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
KEYS = st.one_of(st.sampled_from(["a", "b", "c-d"]), TEXTS)
PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    TEXTS,
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=4)


@given(DOCUMENTS)
def test_any_document_reads_back_from_its_text(document: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(document)) == document


@given(DOCUMENTS)
def test_every_path_of_any_document_has_a_line_that_rises_with_the_text(document: dict[str, Any]) -> None:
    text = toml_text(document)
    lines = key_lines(text)
    count = text.count("\n") + 1
    for path in _paths(tomllib.loads(text)):
        assert 1 <= lines[path] <= count
        if len(path) > 1:
            assert lines[path] >= lines[path[:-1]], "what is inside a table comes behind its beginning"


def _paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += _paths(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            found += _paths(item, (*path, number))
    return found

"""Lines of keys in TOML texts, and TOML texts of documents."""

from __future__ import annotations

import tomllib

import pytest

from sims.scenario.toml_lines import key_lines, line_of
from sims.scenario.toml_text import toml_text

TEXT = '''# a comment with [brackets] and = signs
title = "x"   # line 2

[mesh]
nodes = 3
tags = [
  "a",   # line 7, with ] inside a comment
  'b',
]
[[mesh.hosts]]
name = """two
lines"""
speed = 1.5
[[mesh.hosts]]
name = 'other'
place.room = { floor = 2, "odd key" = [1, 2] }

[a.b]
"quoted \\"key\\"" = 1
'literal key' = 2
when = 1979-05-27T07:32:00Z
[a.c]
deep = [[1, 2], [3,
  4]]
long = \'\'\'
[not.a.table]
x = 1\'\'\'
last = true'''


def test_every_key_of_a_text_has_its_line() -> None:
    lines = key_lines(TEXT)
    expected = {
        ("title",): 2,
        ("mesh",): 4,
        ("mesh", "nodes"): 5,
        ("mesh", "tags"): 6,
        ("mesh", "tags", 0): 7,
        ("mesh", "tags", 1): 8,
        ("mesh", "hosts"): 10,
        ("mesh", "hosts", 0): 10,
        ("mesh", "hosts", 0, "name"): 11,
        ("mesh", "hosts", 0, "speed"): 13,
        ("mesh", "hosts", 1): 14,
        ("mesh", "hosts", 1, "name"): 15,
        ("mesh", "hosts", 1, "place", "room", "floor"): 16,
        ("mesh", "hosts", 1, "place", "room", "odd key", 1): 16,
        ("a",): 18,
        ("a", "b"): 18,
        ("a", "b", 'quoted "key"'): 19,
        ("a", "b", "literal key"): 20,
        ("a", "c"): 22,
        ("a", "c", "deep", 1): 23,
        ("a", "c", "deep", 1, 1): 24,
        ("a", "c", "long"): 25,
        ("a", "c", "last"): 28,
    }
    assert {path: lines.get(path) for path in expected} == expected
    assert ("not",) not in lines


def test_the_scanner_agrees_with_tomllib_about_what_there_is() -> None:
    lines = key_lines(TEXT)
    for path in paths_of(tomllib.loads(TEXT)):
        assert path in lines, path


def paths_of(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of everything inside a document."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += paths_of(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            found += paths_of(item, (*path, number))
    return found


def test_tables_inside_tables_of_an_array_belong_to_the_last_one() -> None:
    lines = key_lines("[[a]]\n[a.b]\nx = 1\n[[a.c]]\n[[a]]\n[a.b]\nx = 2\n[[a.c]]\n[[a.c]]\ny = 3\n")
    assert lines[("a", 0, "b", "x")] == 3
    assert lines[("a", 1, "b", "x")] == 7
    assert lines[("a", 1, "c", 1, "y")] == 10


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ('a = "# no comment"\nb = 1', ("b",), 2),
        ("a = '''x''''\nb = 1", ("b",), 2),
        ('a = """x\\""""\nb = 1', ("b",), 2),
        ('a = """x"""""\nb = 1', ("b",), 2),
        ("a = 'c:\\'\nb = 1", ("b",), 2),
        ('a = "\\""\nb = 1', ("b",), 2),
        ("a = []\nb = {}\nc = 1", ("c",), 3),
        ("a.b.c = 1\na.b.d = 2", ("a", "b", "d"), 2),
        ("\r\n\r\na = 1\r\n", ("a",), 3),
        ('"\\u00e9\\t" = 1', ("é\t",), 1),
        ("[ a . b ]\nc = 1", ("a", "b", "c"), 2),
        ("a = [ # one\n # two\n 1, # three\n]\n", ("a", 0), 3),
        ("x = +1_000.5e-3 # z\ny=2", ("y",), 2),
        ("", (), 1),
    ],
)
def test_odd_corners_of_the_format(text: str, path: tuple[str | int, ...], line: int) -> None:
    tomllib.loads(text)
    assert line_of(key_lines(text), path) == line


def test_what_is_not_there_has_the_line_of_the_table_around_it() -> None:
    lines = key_lines("a = 1\n[b]\nc = 1\n")
    assert line_of(lines, ("b", "missing", 3)) == 2
    assert line_of(lines, ("nowhere",)) == 1


def test_documents_read_back_as_they_were() -> None:
    document = {
        "name": 'a "quoted"\n\ttext\x7f\\',
        "flag": True,
        "numbers": [1, -2, 3.5, 1e300, 1e-7, -0.0],
        "empty": [],
        "mixed": [{"a": 1}, 2],
        "mesh": {"nodes": 3, "hosts": [{"name": "x", "tags": ["a"]}, {}], "deep": {"er": {"x": 1}}},
        "odd key.with dots": 1,
        "": {"": 2},
    }
    assert tomllib.loads(toml_text(document)) == document


def test_numbers_beyond_all_bounds_are_written_as_toml_wants_it() -> None:
    assert (
        toml_text({"a": float("inf"), "b": -float("inf"), "c": float("nan")})
        == "a = inf\nb = -inf\nc = nan\n"
    )


def test_what_toml_cannot_say_is_refused() -> None:
    with pytest.raises(TypeError, match="NoneType"):
        toml_text({"a": [None]})

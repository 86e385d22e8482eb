"""docs/SCENARIOS.md lists every key and every kind of fault, as the code has them."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest

from sims import Scenario
from sims.scenario.binding import key_of, types_of
from sims.scenario.faults import KINDS, Fault
from sims.scenario.reading import GROUPED, PLAIN, SECTIONS
from sims.scenario.reference import CLASSES, attribute_texts, rewritten, table
from sims.workload.generators import FAMILIES

ROOT = Path(os.environ.get("SWARM_REPOSITORY", Path(__file__).resolve().parents[3]))
DOCUMENT = (ROOT / "docs/SCENARIOS.md").read_text(encoding="utf-8")


def test_the_tables_are_fresh() -> None:
    assert rewritten(DOCUMENT) == DOCUMENT, "run `make fmt`"


def test_every_section_has_a_table() -> None:
    tables = re.findall(r"<!-- keys: (\S+) -->", DOCUMENT)
    assert sorted(tables) == sorted([*CLASSES, "fault-kinds", "generators"])
    for section in SECTIONS:
        if section not in ("name", "description"):
            assert section in tables


@pytest.mark.parametrize("name", list(CLASSES))
def test_every_key_says_what_it_means(name: str) -> None:
    for line in table(name).splitlines()[2:]:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        assert len(cells) == 4, line
        assert cells[3], f"{name}: the key {cells[0]} is not documented"


def test_every_field_of_a_scenario_can_be_said_in_a_file() -> None:
    said = {name for _, name in PLAIN.values()} | {key for keys in GROUPED.values() for key in keys}
    said |= {"name", "description", "hosts", "faults", "workloads", "links", "network_graph"}
    assert said == {field.name for field in dataclasses.fields(Scenario)}


def test_every_kind_and_every_generator_is_listed() -> None:
    kinds = table("fault-kinds")
    for name, kind in KINDS.items():
        assert f"| `{name}` |" in kinds
        assert kind.does in kinds
    for name in FAMILIES:
        assert f"| `{name}` |" in table("generators")


def test_kinds_speak_of_fields_that_exist() -> None:
    names = {field.name for field in dataclasses.fields(Fault)}
    used: set[str] = set()
    for kind in KINDS.values():
        used |= {*kind.needs, *kind.takes}
        assert not set(kind.needs) & set(kind.takes)
    assert used == names - {"at_s", "kind", "targets", "for_s", "every_s", "until_s"}


def test_texts_of_attributes_are_read_from_docstrings() -> None:
    text = (
        "Sum.\n\nAttributes:\n    a: one,\n        two.\n    b, c: both:\n        more\n\nRaises:\n    d: no."
    )
    assert attribute_texts(text) == {"a": "one, two.", "b": "both: more", "c": "both: more"}
    assert attribute_texts("No such section.") == {}


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(KeyError):
        rewritten("<!-- keys: nothing -->\n<!-- end -->")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("latencies_s", ((float,), True)),
        ("loss", ((float,), False)),
        ("model", ((str,), False)),
        ("limits_packets", ((bool,), False)),
    ],
)
def test_types_are_known_in_both_builds(key: str, expected: object) -> None:
    fields = {key_of(field): field for field in dataclasses.fields(CLASSES["network"][0])}
    assert types_of(fields[key]) == expected


def test_the_types_of_all_settings_are_known() -> None:
    for kind, _ in CLASSES.values():
        if kind is Scenario:
            continue
        for field in dataclasses.fields(kind):
            if field.name not in ("arrivals", "noise", "parameters"):
                assert types_of(field)[0]

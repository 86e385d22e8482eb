"""docs/GUARANTEES.md names only what exists: checkers, planted bugs, models, tests."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from sims.model.mistakes import PLANTED
from sims.planted.bugs import load_bugs

ROOT = Path(os.environ.get("SWARM_REPOSITORY", Path(__file__).resolve().parents[1]))
TEXT = (ROOT / "docs" / "GUARANTEES.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"`([^`]+)`", TEXT)
CHECKER = re.compile(r"[A-Z]\d+")
BUG = re.compile(r"[a-z]+(?:-[a-z]+)+")


def rows() -> dict[str, list[str]]:
    """Return the cells of the table of promises, by promise."""
    found: dict[str, list[str]] = {}
    for line in TEXT.splitlines():
        match = re.match(r"\| \*\*(P\d+)\*\*", line)
        if match:
            found[match.group(1)] = [cell.strip() for cell in line.strip("|").split("|")]
    return found


def sources(*folders: str) -> str:
    return "".join(
        path.read_text(encoding="utf-8")
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    )


def test_every_promise_has_a_row_with_all_its_cells() -> None:
    found = rows()
    assert list(found) == [f"P{number}" for number in range(1, 11)]
    for promise, cells in found.items():
        assert len(cells) == 4, promise
        assert all(cells), promise
        assert "`" in cells[3], f"{promise} is watched by nobody"


def test_every_checker_named_fires_somewhere() -> None:
    code = sources("sims/checkers", "sims/trials", "sims/model")
    for name in [name for name in QUOTED if CHECKER.fullmatch(name)]:
        assert f'"{name}"' in code, f"no checker says {name}"


def test_every_planted_bug_named_is_planted() -> None:
    known = [bug.name for bug in load_bugs()]
    named = [
        name
        for cells in rows().values()
        for name in re.findall(r"`([^`]+)`", cells[3])
        if BUG.fullmatch(name)
    ]
    assert named
    assert [name for name in named if name not in known] == []


def test_every_module_named_is_there() -> None:
    for name in [name for name in QUOTED if re.fullmatch(r"(?:sims|swarm)(?:\.[a-z_]+)+", name)]:
        path = ROOT / Path(*name.split("."))
        assert path.with_suffix(".py").is_file() or path.is_dir(), name


@pytest.mark.parametrize("name", [name for name in QUOTED if name.startswith("tests/")])
def test_every_test_named_is_there(name: str) -> None:
    file, _, test = name.partition("::")
    path = ROOT / file
    assert path.is_file(), name
    if test:
        assert re.search(
            rf"^(?:def|class|async def) {test}\b", path.read_text(encoding="utf-8"), re.MULTILINE
        ), name


def test_the_number_of_planted_mistakes_is_told() -> None:
    assert len(PLANTED) == 27
    assert "Twenty-seven mistakes planted" in TEXT

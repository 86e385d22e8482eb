"""Planted bugs: each fits the sources, and some are planted here and found by the checker meant for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import swarm
from sims.planted.bugs import LIST, Bug, Edit, load_bugs, look_for, plant
from sims.trials.drawing import PROFILES

BUGS = load_bugs()
QUICK = (
    "fence-not-persisted",
    "vote-before-durable",
    "acknowledged-before-disk",
    "copy-dropped-on-suspicion",
)


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_every_bug_fits_the_sources(bug: Bug, tmp_path: Path) -> None:
    place = plant(bug, tmp_path)
    original = Path(str(swarm.__file__)).parent.parent
    for edit in bug.edits:
        changed = (place / edit.file).read_text(encoding="utf-8")
        assert changed != (original / edit.file).read_text(encoding="utf-8")
        compile(changed, edit.file, "exec")
    assert bug.checkers
    assert bug.profile in PROFILES


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_found_by_its_checker(name: str, tmp_path: Path) -> None:
    (bug,) = [bug for bug in BUGS if bug.name == name]
    finding = look_for(bug, tmp_path)
    assert finding.is_expected, f"{finding.checker}: {finding.text}"
    assert finding.seeds <= bug.seeds


def test_an_edit_that_does_not_fit_is_named(tmp_path: Path) -> None:
    edit = Edit(file="swarm/version.py", find="no such text", replace="")
    bug = Bug(name="none", what="", edits=(edit,), checkers=("S1",), profile="soak", first=0, seeds=1)
    with pytest.raises(ValueError, match=r"'no such text' occurs 0 times in swarm/version.py"):
        plant(bug, tmp_path)


def test_bugs_have_names_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "bugs.toml"
    one = '[[bug]]\nname = "a"\nwhat = "x"\ncheckers = ["S1"]\nedits = []\n'
    path.write_text(one + one, encoding="utf-8")
    with pytest.raises(ValueError, match="two bugs are called 'a'"):
        load_bugs(path)
    assert len({bug.name for bug in load_bugs(LIST)}) >= 30


def test_the_list_can_be_asked_for() -> None:
    command = [sys.executable, "-P", "-m", "sims.planted", "--list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == len(BUGS)
    wrong = subprocess.run([*command, "nonsense"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "no such bug: 'nonsense'" in wrong.stderr

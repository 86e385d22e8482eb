"""The list of bugs to plant, and how one is planted and looked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import sims
import swarm

LIST = Path(__file__).with_name("bugs.toml")


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One change of a source file: `find` occurs in `file` exactly once and becomes `replace`."""

    file: str
    find: str
    replace: str


@dataclass(frozen=True, kw_only=True)
class Bug:
    """A bug to plant.

    Attributes:
        name: of the bug, as on the command line.
        what: one sentence about it.
        edits: the changes that make it.
        checkers: those that may find it, by their numbers.
        profile: of the soak.
        first: the seed to begin with.
        seeds: how many seeds it may take.
    """

    name: str
    what: str
    edits: tuple[Edit, ...]
    checkers: tuple[str, ...]
    profile: str
    first: int
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What came of looking for a bug.

    Attributes:
        checker: which fired, "" for none.
        seeds: how many seeds were run.
        text: the violation.
        is_expected: whether the checker is one of those meant for the bug.
    """

    checker: str
    seeds: int
    text: str
    is_expected: bool


def load_bugs(path: Path = LIST) -> list[Bug]:
    """Return the bugs of a list, in its order.

    Raises:
        ValueError: two bugs share a name.
    """
    bugs: list[Bug] = []
    for row in tomllib.loads(path.read_text(encoding="utf-8"))["bug"]:
        edits = [Edit(file=edit["file"], find=edit["find"], replace=edit["replace"]) for edit in row["edits"]]
        bug = Bug(
            name=row["name"],
            what=row["what"],
            edits=tuple(edits),
            checkers=tuple(row["checkers"]),
            profile=row.get("profile", "soak"),
            first=row.get("first", 0),
            seeds=row.get("seeds", 20),
        )
        if bug.name in [other.name for other in bugs]:
            raise ValueError(f"{path}: two bugs are called {bug.name!r}")
        bugs.append(bug)
    return bugs


def plant(bug: Bug, folder: Path) -> Path:
    """Return a folder with a copy of the sources that has the bug.

    Raises:
        ValueError: an edit does not fit the sources; names it.
    """
    place = folder / bug.name
    for package in (swarm, sims):
        source = Path(str(package.__file__)).parent
        shutil.copytree(source, place / source.name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for edit in bug.edits:
        path = place / edit.file
        text = path.read_text(encoding="utf-8")
        count = text.count(edit.find)
        if count != 1:
            raise ValueError(
                f"bug {bug.name!r}: {edit.find[:60]!r} occurs {count} times in {edit.file}, not once"
            )
        path.write_text(text.replace(edit.find, edit.replace), encoding="utf-8")
    return place


def look_for(bug: Bug, folder: Path) -> Finding:
    """Plant a bug and run the soak on it, seed after seed, until a checker fires.

    Args:
        bug: which.
        folder: where the copy is made; it is removed afterwards.
    """
    place = plant(bug, folder)
    command = [
        sys.executable,
        "-P",
        "-m",
        "sims.soak",
        "--json",
        "--processes",
        "1",
        "--profile",
        bug.profile,
    ]
    command += ["--first", str(bug.first), "--seeds", str(bug.seeds), "--stop"]
    environment = {**os.environ, "PYTHONPATH": str(place)}
    with subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        printed, errors = process.communicate()
    shutil.rmtree(place)
    ran = 0
    for line in printed.splitlines():
        row = json.loads(line)
        if "seed" not in row:
            continue
        ran += 1
        if row["checker"]:
            checker = str(row["checker"])
            return Finding(
                checker=checker, seeds=ran, text=str(row["text"]), is_expected=checker in bug.checkers
            )
    if not ran:
        raise RuntimeError(f"the soak did not run with bug {bug.name!r}:\n{errors}")
    return Finding(checker="", seeds=ran, text="", is_expected=False)

"""The tool that runs parts of the suite at once: it passes on every line, and no failure is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOOL = Path(os.environ.get("SWARM_REPOSITORY", Path(__file__).parents[2])) / "tools" / "side_by_side.py"


def run(*arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, str(TOOL), *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.splitlines()


def test_lines_have_the_name_of_their_command_in_front() -> None:
    code, lines = run("one", "sh -c 'echo first; echo second >&2'", "three", "echo third")
    assert code == 0
    assert sorted(line for line in lines if "done" not in line) == [
        "one   | first",
        "one   | second",
        "three | third",
    ]


def test_one_failure_fails_the_whole_when_all_have_ended() -> None:
    code, lines = run("bad", "sh -c 'exit 3'", "good", "echo fine")
    assert code == 1
    assert "good | fine" in lines
    assert any(line.startswith("bad  | failed with 3") for line in lines)


def test_a_name_without_a_command_is_a_wrong_use() -> None:
    assert run("alone")[0] == run()[0] == 2


def test_what_failed_is_said_again_at_the_end() -> None:
    """Whoever is given only the last lines of a long run finds there what went wrong."""
    _, lines = run("bad", "sh -c 'echo the cause; exit 3'", "good", "sh -c 'sleep 0.2; echo fine'")
    assert lines.count("bad  | the cause") == 2
    assert lines[-1] == "bad  | the cause"

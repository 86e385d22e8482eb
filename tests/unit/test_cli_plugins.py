"""Commands of other packages: found by entry points, listed after our own, loaded when they are called."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import pytest

from swarm.cli.main import COMMANDS, PLUGINS, plugins, run

ROOT = Path(os.environ.get("SWARM_REPOSITORY", Path(__file__).resolve().parents[2]))

GOOD = """
import click

@click.command("greet", short_help="Say hello.")
@click.argument("name")
def greet_command(name):
    click.echo(f"hello {name}")
    return 1 if name == "nobody" else 0

broken_command = 7
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package with commands, some of them broken, into a folder of the path."""
    (tmp_path / "greetings.py").write_text(GOOD)
    about = tmp_path / "greetings-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: greetings\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        f"[{PLUGINS}]\n"
        "greet = greetings:greet_command\n"
        "broken = greetings:broken_command\n"
        "absent = greetings:absent_command\n"
        "gone = greetings_of_the_past:command\n"
        "join = greetings:greet_command\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "greetings", raising=False)
    return tmp_path


def test_a_command_of_another_package_runs_with_its_exit_code(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["greet", "world"]) == 0
    assert capsys.readouterr().out == "hello world\n"
    assert run(["greet", "nobody"]) == 1
    assert run(["greet"]) == 2


def test_help_lists_it_after_our_own(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    assert out.index("Say hello.") > max([out.index(f"\n  {name} ") for name in COMMANDS])
    assert run(["greet", "--help"]) == 0
    assert "swarm greet" in capsys.readouterr().out


def test_help_survives_commands_that_are_broken(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    assert "the command 'gone' (greetings_of_the_past:command) is" in out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone", "No module named 'greetings_of_the_past'"),
        ("absent", "absent_command"),
        ("broken", "it is no click command"),
    ],
)
def test_a_broken_command_is_one_line(
    name: str, words: str, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name]) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert f"the command {name!r}" in captured.err
    assert words in captured.err


def test_our_own_commands_cannot_be_replaced(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "join" not in plugins()
    assert run(["join", "--help"]) == 0
    assert "swarm join" in capsys.readouterr().out


def test_a_misspelt_command_of_another_package_is_guessed(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["greeet"]) == 2
    assert "did you mean 'greet'?" in capsys.readouterr().err


def test_a_command_of_our_own_looks_for_no_entry_points(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden() -> None:
        raise AssertionError("entry points are looked for")

    monkeypatch.setattr("swarm.cli.main.plugins", forbidden)
    assert run(["job", "--help"]) == 0


def test_the_simulator_is_such_a_command() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    assert scripts[PLUGINS] == {"sim": "sims.cli:sim_command"}
    from sims.cli import sim_command

    assert sim_command.name == "sim"

"""The command line without a mesh: help, wrong usage, exit codes, one clear line for each error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swarm.cli import main as cli
from swarm.cli.main import COMMANDS, code_of, run
from swarm.cli.shared import print_table, size_text, to_json
from swarm.client.errors import Refused
from swarm.core.errors import ConfigError, ConnectFailed, GraphError, StorageError, SwarmError, TaskFailed

HELP_WITHIN_S = 0.15


@pytest.fixture(autouse=True)
def no_mesh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SWARM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SWARM_MESH", raising=False)


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command that goes wrong; return its code and its one line on stderr."""
    code = run(list(arguments))
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return code, lines[0]


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    for name, (_, text) in COMMANDS.items():
        assert name in out
        assert text.split(",")[0].split()[0] in out


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert f"swarm {name}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("swarm ")
    assert "compiled: " in out
    assert f"Python {sys.version_info[0]}.{sys.version_info[1]}" in out


def test_nothing_to_do_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sumbit"], ["'sumbit'", "'submit'"]),
        (["frobnicate"], ["'frobnicate'", "swarm --help"]),
        (["--bogus"], ["--bogus", "swarm --help"]),
        (["nodes", "--bogus"], ["--bogus", "swarm nodes --help"]),
        (["join", "--port", "70000"], ["70000"]),
        (["join", "--peer", "nohost"], ["nohost", "host:port"]),
        (["up", "--nodes", "0"], ["0", "64"]),
        (["login"], ["INVITATION"]),
        (["login", "swarm1:abc"], ["invitation"]),
        (["login", "hello"], ["hello", "swarm1:"]),
        (["job"], ["ID"]),
        (["logs", "abc", "x"], ["x"]),
        (["submit"], ["--command"]),
        (["submit", "/no/such/job.py"], ["/no/such/job.py", "No such file"]),
        (["submit", "/no/such/flow.json"], ["/no/such/flow.json", "No such file"]),
        (["submit", "movie.mp4"], ["movie.mp4", "--command"]),
        (["submit", "--cpus", "-1", "a.py"], ["-1"]),
        (["submit", "--memory", "lots", "a.py"], ["lots", "100M"]),
        (["submit", "--tag", "gpu", "a.py"], ["gpu", "key=value"]),
        (["run", "--all"], ["command", "--"]),
        (["run", "--", "uptime"], ["--all", "--on"]),
        (["run", "--all", "--on", "x", "--", "uptime"], ["--all", "--on"]),
    ],
)
def test_wrong_usage(arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, line = fails(capsys, *arguments)
    assert code == 2
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["nodes"],
        ["jobs"],
        ["job", "x"],
        ["logs", "x"],
        ["results", "x"],
        ["attach", "x"],
        ["retry", "x"],
        ["cancel", "x"],
        ["stop"],
        ["leave"],
        ["invite"],
        ["run", "--all", "--", "x"],
        ["submit", "--command", "x"],
    ],
)
def test_no_mesh_is_known(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, line = fails(capsys, *arguments)
    assert code == 3
    assert "swarm join" in line or "no node runs in" in line


def write(path: Path, content: object) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_bad_files_are_refused_before_a_mesh_is_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cycle = {"tasks": [{"id": name, "command": ["x"], "needs": [needs]} for name, needs in ("ab", "ba")]}
    cases: list[tuple[str, list[str]]] = [
        (write(tmp_path / "cycle.json", cycle), ["cycle.json", "cycle", "'a'", "'b'"]),
        (write(tmp_path / "broken.json", "{"), ["broken.json", "no JSON"]),
        (write(tmp_path / "broken.toml", "["), ["broken.toml", "no TOML"]),
        (write(tmp_path / "broken.py", "def f(:\n"), ["broken.py", "no Python", "line 1"]),
        (write(tmp_path / "empty.json", {"tasks": []}), ["empty.json", "no tasks"]),
        (
            write(tmp_path / "ghost.json", {"tasks": [{"id": "a", "command": ["x"], "needs": ["ghost"]}]}),
            ["'a' needs 'ghost'"],
        ),
    ]
    for path, words in cases:
        code, line = fails(capsys, "submit", path)
        assert code == 2
        for word in words:
            assert word in line
    path = write(tmp_path / "fine.json", {"tasks": [{"id": "a", "command": ["x"]}]})
    assert fails(capsys, "submit", path, "--", "argument")[0] == 2
    assert fails(capsys, "submit", path)[0] == 3


def test_a_faulty_invitation_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWARM_MESH", "swarm1:mistyped")
    code, line = fails(capsys, "jobs")
    assert code == 2
    assert "invitation" in line


def test_login_is_kept_private(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from swarm.net.invitation import Invitation

    text = Invitation(b"s" * 32, None, "garage", [("127.0.0.1", 1)]).to_text()
    assert run(["login", text, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"mesh": "garage", "client": False}
    kept = tmp_path / "home" / "login"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.read_text().strip() == text
    assert run(["login", text]) == 0
    assert "garage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (GraphError("x"), 2),
        (ConnectFailed("x"), 3),
        (Refused("x", 4), 4),
        (Refused("x"), 1),
        (TaskFailed("x"), 1),
        (StorageError("x"), 1),
        (SwarmError("x"), 1),
        (type("NotAllowed", (ConfigError,), {})("x"), 4),
    ],
)
def test_exit_codes(error: Exception, code: int) -> None:
    assert code_of(error) == code


def test_interrupts_and_bugs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def raising(error: BaseException) -> Any:
        def command(*_arguments: object, **_settings: object) -> None:
            raise error

        return command

    monkeypatch.setattr(cli.cli, "main", raising(KeyboardInterrupt()))
    assert run([]) == 130
    monkeypatch.setattr(cli.cli, "main", raising(TimeoutError("too slow")))
    assert run([]) == 1
    monkeypatch.setattr(cli.cli, "main", raising(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError):
        run([])
    assert "interrupted" in capsys.readouterr().err


def test_json_of_anything() -> None:
    value = {1: b"text", "b": b"\xff", "f": float("inf"), "s": {1, 2}.__class__, "l": (1, None, True, 2.5)}
    assert to_json(value) == {
        "1": "text",
        "b": {"base64": "/w=="},
        "f": "inf",
        "s": "<class 'set'>",
        "l": [1, None, True, 2.5],
    }
    assert to_json(b"x" * 100_000) == {"bytes": 100_000}
    assert len(to_json(range(5).__class__)) < 100


def test_tables_are_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "n"), [("a", 1), ("longer", None)])
    assert capsys.readouterr().out == "name    n\na       1\nlonger\n"
    assert [size_text(size) for size in (None, 5, 1500, 25_300_000_000, 5 * 10**12, True)] == [
        "",
        "5 B",
        "1.5 kB",
        "25.3 GB",
        "5.0 TB",
        "",
    ]


def test_help_imports_next_to_nothing() -> None:
    script = (
        "import sys; from swarm.cli.main import run; assert run(['--help']) == 0; "
        "ours = {name for name in sys.modules if name.partition('.')[0] == 'swarm'}; "
        "assert ours == {'swarm', 'swarm.version', 'swarm.cli', 'swarm.cli.main'}, ours; "
        # Looking for commands of other packages (importlib.metadata) costs json, socket and importlib.util.
        "heavy = {'trio', 'networkx', 'rich', 'msgpack', 'cryptography', 'cloudpickle', 'ssl', 'asyncio', "
        "'subprocess', 'tomllib', 'dataclasses', 'statistics'}; "
        "found = heavy & set(sys.modules); assert not found, found"
    )
    subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path[:] = {sys.path!r}; {script}"], check=True
    )


def test_help_is_quick() -> None:
    """Processor time, the least of several runs: the wall clock of a busy machine says nothing."""
    spent_s: list[float] = []
    for _ in range(7):
        before = os.times()
        subprocess.run([sys.executable, "-m", "swarm", "--help"], check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        spent_s.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    assert min(spent_s) < HELP_WITHIN_S, spent_s


def test_the_module_is_the_command() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "swarm", "nothing"], check=False, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("swarm: no such command 'nothing'")

"""What the commands print, with the mesh's answers scripted."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import click
import pytest

from swarm.cli import looking, running
from swarm.cli.machines import battery_text
from swarm.cli.main import run
from swarm.cli.running import PrefixPrinter, choose_nodes, exit_code_of
from swarm.client.scripts import script_payload
from swarm.core.errors import ConfigError, ConnectFailed, TaskFailed
from swarm.doctor.evidence import Evidence
from swarm.wire.messages import ENCODING_PICKLE, ENCODING_RAW

NODES: list[dict[str, Any]] = [
    {
        "id": "aaaa1111",
        "name": "laptop",
        "address": "10.0.0.1:7117",
        "state": "alive",
        "leader": True,
        "slots": 4.0,
        "speed": 1.0,
        "python": "3.11",
        "arch": "x86_64",
        "memory": 8 * 10**9,
        "tags": ["kind=big"],
        "reason": "",
    },
    {
        "id": "bbbb2222",
        "name": "pi",
        "address": "10.0.0.2:7117",
        "state": "alive",
        "leader": False,
        "slots": 4.0,
        "speed": 0.2,
        "python": "3.11",
        "arch": "armv7l",
        "memory": 10**9,
        "tags": ["kind=small"],
        "reason": "draining",
    },
    {"id": "cccc3333", "name": "phone", "address": "", "state": "dead", "leader": False, "tags": None},
]
JOB = {
    "job": "jobid",
    "name": "count",
    "state": "failed",
    "tasks": {"total": 3, "done": 1, "failed": 1, "running": 1},
    "submitter": "me@here",
    "wall_s": 1.25,
    "attempts": 4,
    "reason": "task x failed",
    "tasks_detail": [{"task": 1, "name": "x", "state": "failed", "attempts": 2, "node": "pi", "error": "no"}],
}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    given: dict[str, Any] = {}
    monkeypatch.setattr(looking, "ask", lambda op, args, home, mesh: given[op])
    return given


def test_status(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answers["status"] = {
        "node": "aaaa1111",
        "name": "laptop",
        "leader": "",
        "members": {"alive": 2, "suspect": 0, "dead": 1, "left": 0},
        "jobs": {"running": 1, "done": 0},
        "reason": "draining",
    }
    assert run(["status"]) == 0
    out = capsys.readouterr().out
    assert "2 alive, 1 dead" in out
    assert "1 running" in out
    assert "none at present" in out
    assert "draining" in out
    assert run(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["compiled"] in (True, False)


def test_status_of_a_strict_mesh_says_who_votes_and_what_it_waits_for(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    quorum = {"mode": "strict", "version": 7, "voters": ["a", "b", "c"], "majority": 2, "foreign": ["d"]}
    answers["status"] = {"name": "pi", "node": "abc", "quorum": {**quorum, "reason": "only 1 of 3"}}
    assert run(["status"]) == 0
    out = capsys.readouterr().out
    assert "quorum   strict, voters a, b, c; 2 decide (configuration 7)\n" in out
    assert "waiting  only 1 of 3\n" in out
    assert "ignored  d: set up for available, this mesh is not\n" in out
    answers["status"] = {"name": "pi", "node": "abc", "quorum": {"mode": "available", "foreign": []}}
    assert run(["status"]) == 0
    assert "quorum" not in capsys.readouterr().out


def test_status_shows_the_machine(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    known = {"slots": 4.0, "slots_free": 3, "load": 0.5, "battery": 80, "charging": False, "reason": "idle"}
    answers["status"] = {"name": "pi", "node": "abc", **known, "temperature": 47.6, "network": "wifi"}
    assert run(["status"]) == 0
    out = capsys.readouterr().out
    line = "machine  3 of 4 slots free; load 0.5; battery 80 %, being drained; heat 48C; network wifi\n"
    assert line in out
    assert "reason   idle\n" in out
    answers["status"] = {"name": "pi", "node": "abc", "slots": 4.0, "slots_free": 0, "battery": None}
    assert run(["status"]) == 0
    out = capsys.readouterr().out
    assert "machine  0 of 4 slots free; load -; battery -; heat -; network -\n" in out
    assert "reason" not in out


@pytest.mark.parametrize(
    ("battery", "charging", "expected"),
    [(80, False, "80%"), (80, True, "80%+"), (80, None, "80%"), (None, True, "?%+"), (None, None, "-")],
)
def test_batteries_in_a_table(battery: object, charging: object, expected: str) -> None:
    assert battery_text({"battery": battery, "charging": charging}) == expected


def test_status_tells_what_people_should_know(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers["status"] = {"name": "pi", "node": "abc", "notices": [{"code": "x", "text": "nothing is heard"}]}
    assert run(["status"]) == 0
    assert "notice   nothing is heard\n" in capsys.readouterr().out


@pytest.mark.parametrize("is_wrong", [True, False])
def test_doctor(is_wrong: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def examine(home: Path | None, mesh: str, seconds: float) -> Evidence:
        return Evidence(home="/somewhere", echoes=["multicast"], discovery_error="in use" if is_wrong else "")

    monkeypatch.setattr("swarm.doctor.probing.examine", examine)
    assert run(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["problems"] == (2 if is_wrong else 1)
    assert {"code", "level", "text", "cure"} == set(told["findings"][0])
    assert run(["doctor", "--quiet"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "WRONG    no interface leads to other hosts"
    assert lines[1].startswith("           cure: connect to a network")
    assert len(lines) == (4 if is_wrong else 2)


def test_nodes(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answers["nodes"] = NODES
    assert run(["nodes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "leader" in lines[1]
    assert "1.0 GB" in lines[2]
    assert len(lines[2].split()) >= 12, "what is unknown is a dash"
    assert run(["nodes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == NODES


def test_jobs_and_a_job(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answers["jobs"], answers["job"], answers["cancel"] = [JOB], JOB, JOB
    assert run(["jobs"]) == 0
    assert "me@here" in capsys.readouterr().out
    assert run(["job", "jobid"]) == 0
    out = capsys.readouterr().out
    assert "1 of 3 tasks done, 1 failed, 1 running; 4 attempts" in out
    assert "task x failed" in out
    assert run(["cancel", "jobid"]) == 0
    assert capsys.readouterr().out == "job jobid is cancelled\n"
    for command in (["jobs"], ["job", "jobid"], ["cancel", "jobid"]):
        assert run([*command, "--json"]) == 0
        assert "tasks" in capsys.readouterr().out


def test_logs(answers: dict[str, Any], capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    answers["logs"] = [
        {"task": 0, "attempt": 1, "stream": 1, "offset": 0, "data": b"out\xff\n"},
        {"task": 0, "attempt": 1, "stream": 2, "offset": 0, "data": b"err\n"},
    ]
    assert run(["logs", "jobid"]) == 0
    captured = capfdbinary.readouterr()
    assert (captured.out, captured.err) == (b"out\xff\n", b"err\n")


class FakeMesh:
    def __enter__(self) -> FakeMesh:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def call(self, op: str, args: dict[str, Any], timeout: float) -> Any:
        rows = [
            {
                "task": 1,
                "output": 0,
                "name": "sum",
                "size": 5,
                "encoding": ENCODING_PICKLE,
                "data": pickle.dumps(7),
            },
            {"task": 2, "output": 1, "name": "a/b", "size": 9, "encoding": ENCODING_RAW, "data": None},
            {"task": 3, "output": 0, "name": "odd", "size": 3, "encoding": ENCODING_PICKLE, "data": b"odd"},
        ]
        return {"state": "done", "job": b"j" * 10, "results": rows}

    def fetch_output(self, job: bytes, task: int, output: int) -> tuple[bytes, int]:
        return b"fetched", ENCODING_RAW


def test_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(looking, "connect", lambda home, mesh, name: FakeMesh())
    assert run(["results", "jobid"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["sum: 7", "a/b: fetched"]
    assert "cannot be loaded here" in lines[2]
    assert run(["results", "jobid", "-o", str(tmp_path / "out")]) == 0
    assert "3 results are in" in capsys.readouterr().out
    saved = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert pickle.loads(saved["1-sum.pickle"]) == 7
    assert saved["2-a_b.1"] == b"fetched"
    assert run(["results", "jobid", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [row["value"] for row in value["results"][:2]] == [7, "fetched"]
    (tmp_path / "file").write_text("")
    assert run(["results", "jobid", "-o", str(tmp_path / "file" / "x")]) == 1
    assert "cannot write into" in capsys.readouterr().err


def test_choosing_nodes() -> None:
    def names(*selected: str) -> list[str]:
        return [row["name"] for row in choose_nodes(NODES, selected)]

    assert names() == ["laptop", "pi"]
    assert names("pi") == ["pi"]
    assert names("pi,laptop", "pi") == ["pi", "laptop"]
    assert names("bbbb") == ["pi"]
    assert names("kind=big") == ["laptop"]
    assert names("node=pi") == ["pi"]
    with pytest.raises(click.UsageError, match=r"'ghost'.*laptop, pi"):
        names("ghost")
    with pytest.raises(ConnectFailed, match=r"'phone' is dead"):
        names("phone")
    with pytest.raises(ConnectFailed, match=r"no node"):
        choose_nodes(NODES[2:], ())


def test_output_is_prefixed_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    printer = PrefixPrinter({1: "pi", 2: "laptop"})
    printer.take(1, 1, 1, b"one\ntw")
    printer.take(2, 1, 1, b"other\n")
    printer.take(1, 1, 1, b"o\nrest")
    printer.take(1, 1, 2, b"bad\n")
    printer.finish()
    captured = capsys.readouterr()
    assert captured.out == "pi     | one\nlaptop | other\npi     | two\npi     | rest\n"
    assert captured.err == "pi     | bad\n"


def test_exit_codes_of_programs() -> None:
    assert exit_code_of(TaskFailed("task 'x' failed: program 'sh' exited with 4")) == 4
    assert exit_code_of(TaskFailed("program 'sh' was killed by SIGKILL")) == 1
    assert running.exit_code_of(TaskFailed("exited with 9999")) == 255


def test_scripts_take_their_siblings_along(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("import json, near\nfrom package.inner import f\n")
    (tmp_path / "near.py").write_text("import further\nimport job\n")
    (tmp_path / "further.py").write_text("X = 1\n")
    (tmp_path / "stranger.py").write_text("X = 1\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "inner.py").write_text("from . import other\n")
    (tmp_path / "package" / "other.py").write_text("")
    payload = script_payload(tmp_path / "job.py", ["a"])
    assert (payload["name"], payload["args"]) == ("job.py", ["a"])
    files = payload["files"]
    assert isinstance(files, dict)
    assert sorted(files) == [
        "further.py",
        "near.py",
        "package/__init__.py",
        "package/inner.py",
        "package/other.py",
    ]


def test_scripts_that_cannot_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"no\.py"):
        script_payload(tmp_path / "no.py", [])
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"no UTF-8"):
        script_payload(tmp_path / "binary.py", [])
    (tmp_path / "large.py").write_text("import data\n")
    (tmp_path / "data.py").write_text("X = 1\n" * 100)
    monkeypatch.setattr("swarm.client.scripts.FILES_SIZE_MAX", 100)
    with pytest.raises(ConfigError, match=r"larger than 100"):
        script_payload(tmp_path / "large.py", [])

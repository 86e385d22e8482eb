"""The log, and recordings."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from swarm.core.errors import StorageError
from swarm.core.ids import short
from swarm.daemon import json_text
from swarm.daemon.logs import VALUE_SIZE_MAX, Log, plain_value
from swarm.daemon.recorder import Recorder, read_recording

NODE = b"n" * 16


def test_a_line_is_one_json_object(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.bind(NODE, 3)
    log.event("task_done", {"peer": NODE, "count": 2, "node": "other", "text": "a\nb", "list": [b"x" * 10]})
    log.close()
    line = json.loads((tmp_path / "log").read_text().splitlines()[0])
    assert line.pop("time").endswith("Z")
    assert line == {
        "node": short(NODE),
        "incarnation": 3,
        "event": "task_done",
        "peer": short(NODE),
        "count": 2,
        "node_": "other",
        "text": "a\nb",
        "list": [short(b"x" * 10)],
    }
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_values_that_json_cannot_hold() -> None:
    assert plain_value({b"k" * 10: {1: float("nan")}}) == {short(b"k" * 10): {"1": "nan"}}
    assert plain_value(Path("x")) == "x"
    assert plain_value(1.5) == 1.5
    long = plain_value("x" * 10_000)
    assert isinstance(long, str)
    assert len(long) == VALUE_SIZE_MAX + 1


def test_the_log_rotates(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = Log(path, size_max_bytes=1000)
    for number in range(100):
        log.event("e", {"number": number})
    log.close()
    assert path.stat().st_size <= 1000
    old = path.with_name("log.1")
    assert old.stat().st_size <= 1000
    lines = old.read_text().splitlines() + path.read_text().splitlines()
    numbers = [json.loads(line)["number"] for line in lines]
    assert numbers == list(range(numbers[0], 100))


def test_rotation_takes_standard_descriptors_along(tmp_path: Path) -> None:
    """What a child prints after a rotation goes to the new file."""
    path = tmp_path / "log"
    pid = os.fork()
    if pid == 0:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 2)
        log = Log(path, size_max_bytes=200)
        for number in range(5):
            log.event("e", {"number": number})
        os.write(2, b"after\n")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert path.read_text().endswith("after\n")


def test_somebody_watches(tmp_path: Path) -> None:
    people, machine = io.StringIO(), io.StringIO()
    Log(None, people).event("ready", {"port": 1})
    Log(None, machine, echo_json=True).event("ready", {"port": 1})
    assert people.getvalue().endswith(" ready port=1\n")
    assert json.loads(machine.getvalue())["port"] == 1
    people.close()
    log = Log(None, people)
    log.event("nobody", {})
    log.event("nobody", {})


def test_a_log_that_cannot_be_written_is_counted(tmp_path: Path) -> None:
    log = Log(tmp_path / "no" / "log")
    log.event("lost", {})
    assert log.lost_count == 2
    log.close()
    log.event("closed", {})


def test_what_a_full_disk_took_half_of_spoils_no_other_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(tmp_path / "log")
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
        log.event("half", {})
    log.event("whole", {})
    log.event("next", {})
    log.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines[0]) == 20
    assert [json.loads(line)["event"] for line in lines[1:]] == ["whole", "next"]
    assert log.lost_count == 1


@pytest.mark.parametrize("fast", [True, False])
def test_json_with_and_without_ujson(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fast:
        monkeypatch.setattr(json_text, "_ujson", None)
    value = {"a": [1, 2.5, None, True, "é/"], "b": {"c": "\n"}}
    text = json_text.to_json(value)
    assert text == '{"a":[1,2.5,null,true,"é/"],"b":{"c":"\\n"}}'
    assert json_text.from_json(text.encode()) == value
    for bad in (float("nan"), {"x": float("inf")}):
        with pytest.raises((ValueError, TypeError)):
            json_text.to_json(bad)
    with pytest.raises(TypeError):
        json_text.to_json(b"x")
    for bad_text in ("{", "", "{'a'}", "[" * 100_000):
        with pytest.raises(ValueError, match=r"."):
            json_text.from_json(bad_text)


# Recordings


def test_a_recording_can_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    recorder = Recorder(path, ["seed", [["t", b"k", b"v"]], {"name": "n"}])
    recorder.record("receive_packet", (b"p", ("h", 1)), 1.5)
    recorder.record("handle_deadline", (), 2.5)
    recorder.close()
    recorder.close()
    recorder.record("late", (), 3.0)
    header, inputs = read_recording(path)
    assert header == ["seed", [["t", b"k", b"v"]], {"name": "n"}]
    assert inputs == [["receive_packet", [b"p", ["h", 1]], 1.5], ["handle_deadline", [], 2.5]]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_recording_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    recorder = Recorder(path, [], size_max_bytes=100_000)
    for number in range(10_000):
        recorder.record("input", (b"x" * 100,), float(number))
    assert recorder.is_full
    recorder.close()
    assert path.stat().st_size <= 100_000
    _, inputs = read_recording(path)
    assert [fields[2] for fields in inputs] == [float(number) for number in range(len(inputs))]


def test_a_torn_recording_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    recorder = Recorder(path, ["seed"])
    recorder.record("one", (), 1.0)
    recorder.record("two", (), 2.0)
    recorder.close()
    path.write_bytes(path.read_bytes()[:-3])
    assert read_recording(path) == (["seed"], [["one", [], 1.0]])


@pytest.mark.parametrize(
    "data", [b"", b"\x01\x00\x00\x00\x05", b"\x01\x00\x00\x00\xc1", b"\x01\x00\x00\x00\x90"]
)
def test_what_is_no_recording(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(StorageError, match="recording"):
        read_recording(tmp_path / "x")


def test_recordings_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read"):
        read_recording(tmp_path / "missing")
    with pytest.raises(StorageError, match="cannot record"):
        Recorder(tmp_path / "no" / "x", [])

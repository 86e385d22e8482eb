"""Programs run without an executor: payloads, files, exits, what is streamed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarm.exec.functions import AttemptFailed, OutputWriter, TaskInput
from swarm.exec.programs import remove_folder, run_program, run_script
from swarm.wire.codec import pack
from swarm.wire.facts import Failure, Output, digest_of
from swarm.wire.messages import ENCODING_RAW, ERROR_NODE

Run = Callable[..., list[Output]]


class Stage:
    """A store, a scratch folder, and what was streamed."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "store"
        self.folder = folder / "scratch"
        self.store.mkdir()
        self.folder.mkdir()
        self.said: list[tuple[int, bytes]] = []

    def run(self, data: list[bytes] | None = None, count: int = 1, **order: Any) -> list[Output]:
        given = [TaskInput([digest_of(item), ENCODING_RAW, item, None], self.store) for item in data or []]
        writer = OutputWriter(self.store, "job.1")
        return run_program(pack(order), given, count, self.folder, writer, self._say)

    def fail(self, **order: Any) -> Failure:
        with pytest.raises(AttemptFailed) as caught:
            self.run(**order)
        return caught.value.failure

    def script(self, **order: Any) -> list[Output]:
        return run_script(pack(order), "jobid", self.folder, OutputWriter(self.store, "job.1"), self._say)

    def _say(self, stream: int, data: bytes) -> None:
        self.said.append((stream, data))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_stdout_is_the_output(stage: Stage) -> None:
    (output,) = stage.run(argv=["printf", "%s", "word"])
    assert (output.data, output.digest, output.size) == (b"word", digest_of(b"word"), 4)
    assert stage.said == []


def test_files(stage: Stage) -> None:
    outputs = stage.run(
        [b"one", b"two"],
        2,
        argv=["sh", "-c", "cat in/a in/b > out/ab; cat in/b > b"],
        inputs={"in/a": 0, "in/b": 1},
        outputs={"out/ab": 1, "b": 0},
    )
    assert [output.data for output in outputs] == [b"two", b"onetwo"]


def test_large_output_is_published_read_only(stage: Stage) -> None:
    (output,) = stage.run(argv=["head", "-c", "100000", "/dev/zero"])
    assert output.data is None
    assert output.digest == digest_of(bytes(100_000))
    (file,) = stage.store.iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == ("job.1.0", 0o444)


def test_a_program_without_outputs_has_an_empty_one(stage: Stage) -> None:
    (output,) = stage.run(argv=["true"], stdout=None)
    assert output.data == b""


def test_last_words_are_the_end_of_stderr(stage: Stage) -> None:
    failure = stage.fail(argv=["sh", "-c", "head -c 9000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 3"])
    assert failure.message == "program 'sh' exited with 3"
    assert failure.traceback.endswith("xend\n")
    assert len(failure.traceback) == 4096


def test_a_background_child_that_holds_the_pipe_does_not_hold_the_task(stage: Stage) -> None:
    (output,) = stage.run(argv=["sh", "-c", "sleep 1000 & echo $!"])
    assert output.data is not None
    os.kill(int(output.data), signal.SIGKILL)  # it had been killed in an executor, which adopts orphans


def test_missing_input_file_is_the_nodes_fault(stage: Stage) -> None:
    given = TaskInput([b"d" * 16, ENCODING_RAW, None, "job.9.0"], stage.store)
    with pytest.raises(AttemptFailed) as caught:
        run_program(
            pack({"argv": ["cat"], "stdin": 0}),
            [given],
            1,
            stage.folder,
            OutputWriter(stage.store, "job.1"),
            stage._say,
        )
    assert caught.value.failure.kind == ERROR_NODE


def test_script_is_streamed(stage: Stage) -> None:
    (output,) = stage.script(name="a.py", source="print('hi')", args=[])
    assert output.data == b""
    assert b"".join(data for _, data in stage.said) == b"hi\n"


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"name": 3}, "'name' of a script is text"),
        ({"name": "/x.py", "source": ""}, "leads out of the task's folder"),
        ({"name": "", "source": ""}, "leads out of the task's folder"),
        ({"name": "x.py", "source": "", "files": [1]}, "is a map with text keys"),
    ],
)
def test_wrong_scripts(stage: Stage, order: dict[str, Any], message: str) -> None:
    with pytest.raises(AttemptFailed, match=message):
        stage.script(**order)


def test_scratch_folders_go_away_whatever_is_in_them(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    (folder / "locked" / "deep").mkdir(parents=True)
    (folder / "locked" / "deep" / "file").write_bytes(b"x")
    (folder / "locked").chmod(0o500)
    remove_folder(folder)
    assert not folder.exists()
    remove_folder(folder)

"""Programs and scripts in real executors."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from swarm.core.ids import short
from swarm.exec.serialize import dump_value
from swarm.wire.codec import pack
from swarm.wire.messages import (
    ENCODING_PICKLE,
    ERROR_RESULT,
    ERROR_TASK,
    INLINE_SIZE_MAX,
    KIND_PROGRAM,
)
from tests.integration.executor_harness import (
    JOB,
    Harness,
    inline,
    object_file,
    run_with_pool,
    stored,
)
from tests.mesh_processes import is_running

C_SOURCE = b'#include <stdio.h>\n#include "n.h"\nint main(void) { printf("%d\\n", N); return 0; }\n'


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_compile_and_run(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        compile_task = h.program(
            ["cc", "-o", "build/a.out", "src/main.c"],
            given=[inline(C_SOURCE), inline(b"#define N 42\n")],
            inputs={"src/main.c": 0, "src/n.h": 1},
            outputs={"build/a.out": 0},
        )
        (binary,) = await h.outputs(compile_task)
        data = h.bytes_of(compile_task, 0, binary)
        assert data[:4] == b"\x7fELF"
        linked = stored(h.store, 95, data)
        for value in (inline(data), linked):
            assert await h.value(h.program(["./prog"], [value], inputs={"prog": 0})) == b"42\n"
            assert await h.value(h.program([{"input": 0}], [value])) == b"42\n"

        broken = h.program(["cc", "-x", "c", "-c", {"input": 0}], [inline(b"int main(")])
        failure = await h.failure(broken)
        assert (failure.kind, failure.message) == (ERROR_TASK, "program 'cc' exited with 1")
        assert failure.traceback.strip()

    run_with_pool(tmp_path, test)


def test_stdin_stdout_and_streams(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        assert await h.value(h.program(["tr", "a-z", "A-Z"], [inline(b"text")], stdin=0)) == b"TEXT"
        pickled, _, _ = dump_value("words")
        task = h.program(["cat"], [inline(pickled, ENCODING_PICKLE)], stdin=0)
        assert await h.value(task) == b"words"

        both = h.program(["sh", "-c", "echo out; echo err >&2; echo made > f"], outputs={"f": 0})
        assert await h.value(both) == b"made\n"
        assert h.output[both.handle] == {1: b"out\n", 2: b"err\n"}

        plain = h.program(["sh", "-c", "echo out"], stdout=None)
        assert await h.value(plain) == b""
        assert h.output[plain.handle][1] == b"out\n"

        two = h.program(["sh", "-c", "echo a; echo b > b"], output_count=2, outputs={"b": 0}, stdout=1)
        assert [h.bytes_of(two, i, output) for i, output in enumerate(await h.outputs(two))] == [
            b"b\n",
            b"a\n",
        ]

    run_with_pool(tmp_path, test)


def test_argv_items_name_inputs(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        task = h.program(
            ["cat", {"input": 1}, {"input": 0}, {"input": 1}],
            [inline(b"first"), stored(h.store, 90, b"second")],
            inputs={"deep/er/file": 0},
        )
        assert await h.value(task) == b"secondfirstsecond"

    run_with_pool(tmp_path, test)


def test_large_files_move_to_the_store_and_inputs_stay_intact(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        source = stored(h.store, 91, b"s" * 1_000_000)
        object_file(h.store, source.name).chmod(0o444)
        task = h.program(["cp", {"input": 0}, "copy"], [source], outputs={"copy": 0})
        (output,) = await h.outputs(task)
        assert output.data is None
        assert h.bytes_of(task, 0, output) == b"s" * 1_000_000

        task = h.program(["true"], [source], inputs={"same": 0}, outputs={"same": 0})
        (output,) = await h.outputs(task)  # an input passed on: copied, the object keeps its file
        assert h.bytes_of(task, 0, output) == b"s" * 1_000_000
        assert object_file(h.store, source.name).is_file()

        task = h.program(["head", "-c", str(INLINE_SIZE_MAX + 1), "/dev/zero"])
        (output,) = await h.outputs(task)
        assert output.size == INLINE_SIZE_MAX + 1
        assert h.bytes_of(task, 0, output) == bytes(INLINE_SIZE_MAX + 1)

    run_with_pool(tmp_path, test)


def test_environment_shell_and_python(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        task = h.program(["echo $WORD $SWARM_HOME $0", "zero"], shell=True, env={"WORD": "w"})
        assert await h.value(task) == b"w zero\n", "only scripts are told where the node lives"
        task = h.program(["python", "-c", "import sys; print(sys.executable)"], python=True)
        assert await h.value(task) == sys.executable.encode() + b"\n"

    run_with_pool(tmp_path, test)


def test_bad_ends(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        failure = await h.failure(h.program(["no-such-program-here"]))
        assert failure.message == "program 'no-such-program-here' was not found on this node"
        failure = await h.failure(h.program(["/etc/passwd"]))
        assert "program '/etc/passwd' cannot be started: [Errno 13]" in failure.message
        failure = await h.failure(h.program(["sh", "-c", "echo why >&2; exit 7"]))
        assert (failure.message, failure.traceback) == ("program 'sh' exited with 7", "why\n")
        failure = await h.failure(h.program(["sh", "-c", "echo said on stdout; exit 1"]))
        assert failure.traceback == "said on stdout\n"
        failure = await h.failure(h.program(["sh", "-c", "kill -TERM $$"]))
        assert failure.message == "program 'sh' was killed by SIGTERM"
        failure = await h.failure(h.program(["true"], outputs={"a.o": 0}))
        assert failure.kind == ERROR_RESULT
        assert failure.message == "program 'true' ended well and did not make its output 'a.o'"
        assert list((h.scratch / "0-1").iterdir()) == []

    run_with_pool(tmp_path, test)


def test_wrong_descriptions(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        for order, message in (
            ({"argv": []}, "a program without argv"),
            ({"argv": ["a", 3]}, "an item of argv is text or"),
            ({"argv": ["a", {"input": 4}]}, "refers to input 4, it has 0"),
            ({"argv": ["a"], "outputs": {"../up": 0}}, "leads out of the task's folder"),
            ({"argv": ["a"], "outputs": {"/abs": 0}}, "leads out of the task's folder"),
            ({"argv": ["a"], "outputs": {"x": 0, "y": 0}}, "names an output twice"),
            ({"argv": ["a"], "stdout": 0, "outputs": {"x": 0}}, "names an output twice"),
            ({"argv": ["a"], "env": [1]}, "is a map with text keys"),
        ):
            failure = await h.failure(h.task(KIND_PROGRAM, pack(order)))
            assert message in failure.message
        failure = await h.failure(h.task(KIND_PROGRAM, b"\xc1"))
        assert "cannot be read" in failure.message
        pickled, _, _ = dump_value({"a": 1})
        failure = await h.failure(h.program(["cat"], [inline(pickled, ENCODING_PICKLE)], stdin=0))
        assert failure.message == "input 0 is a dict; a program takes bytes or text"

    run_with_pool(tmp_path, test)


def test_what_a_program_leaves_running_is_killed(tmp_path: Path) -> None:
    command = f"sleep 1000 & echo $! > {tmp_path}/a; (setsid sleep 1000 & echo $! > {tmp_path}/b); echo done"

    async def test(h: Harness) -> None:
        own = h.call(lambda: __import__("subprocess").Popen(["sleep", "1000"]).pid)
        kept = await h.value(own)
        assert await h.value(h.program(["sh", "-c", command])) == b"done\n"
        left = [int((tmp_path / name).read_text()) for name in "ab"]
        assert not [pid for pid in left if is_running(pid)]
        assert is_running(kept)  # belongs to a Python task, which may want it later
        os.kill(kept, signal.SIGKILL)

    run_with_pool(tmp_path, test)


def test_scripts(tmp_path: Path) -> None:
    source = """
import os, sys
from pathlib import Path
import helper
print(helper.WORD, *sys.argv, os.environ["SWARM_HOME"], os.environ["SWARM_JOB"], os.environ["EXTRA"])
print(Path("data/table.txt").read_text())
print("to stderr", file=sys.stderr)
sys.exit(int(sys.argv[2]))
"""
    files = {"helper.py": b"WORD = 'helped'\n", "data/table.txt": b"1 2 3"}

    async def test(h: Harness) -> None:
        task = h.script(source, args=["x", "0"], files=files, env={"EXTRA": "e"})
        assert await h.value(task) == b""
        expected = f"helped job.py x 0 /the/home {short(JOB)} e\n1 2 3\n"
        assert h.output[task.handle] == {1: expected.encode(), 2: b"to stderr\n"}

        failure = await h.failure(h.script(source, args=["x", "2"], files=files, env={"EXTRA": "e"}))
        assert (failure.message, failure.traceback) == ("script 'job.py' exited with 2", "to stderr\n")
        failure = await h.failure(h.script("1/0"))
        assert failure.message == "script 'job.py' exited with 1"
        assert "ZeroDivisionError" in failure.traceback
        failure = await h.failure(h.script("pass", files={"../x": b""}))
        assert "leads out of the task's folder" in failure.message
        task = h.script("import swarm; print(swarm.__name__)")
        await h.value(task)
        assert h.output[task.handle][1] == b"swarm\n"

    run_with_pool(tmp_path, test)


def test_output_of_a_program_is_live_and_kill_ends_it(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        task = h.program(["sh", "-c", "echo $$; sleep 1000"], stdout=None)
        h.pool.run_nowait(0, [task])
        await h.wait(lambda: h.output.get(task.handle, {}).get(1, b"").endswith(b"\n"))
        pid = int(h.output[task.handle][1])
        h.pool.kill_nowait(0, "ran longer than 1 s")
        await h.wait(lambda: bool(h.exits))
        assert h.exits[0][1] == "ran longer than 1 s"
        assert h.exits[0][2] == f"{pid}\n"
        assert not is_running(pid)

    run_with_pool(tmp_path, test)

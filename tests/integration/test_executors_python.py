"""Python tasks in real executors: values, objects in the store, failures, output."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from swarm.core.effects import InputValue
from swarm.exec.serialize import dump_call, dump_value
from swarm.wire.executor_frames import DONE, OUTPUT
from swarm.wire.messages import (
    ENCODING_PICKLE,
    ENCODING_RAW,
    ERROR_FUNCTION,
    ERROR_NODE,
    ERROR_RESULT,
    ERROR_TASK,
    INLINE_SIZE_MAX,
    KIND_PYTHON,
)
from tests.integration.executor_harness import (
    Harness,
    Ref,
    function_value,
    index_of,
    inline,
    object_file,
    pickled_error,
    run_with_pool,
    stored,
)


def divide(a: int, b: int) -> float:
    return a / b


def test_values_and_inputs(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        assert await h.value(h.call(divide, 6, 3)) == 2.0
        pickled, _, _ = dump_value({"a": [1, 2]})
        inputs = [inline(b"raw"), inline(pickled, ENCODING_PICKLE)]
        task = h.call(lambda *values: values, Ref(0), {"deep": [Ref(1)]}, Ref(1), inputs=inputs)
        assert await h.value(task) == (b"raw", {"deep": [{"a": [1, 2]}]}, {"a": [1, 2]})
        same = h.call(lambda a, b: a is b, Ref(0), Ref(0), inputs=[inline(pickled, ENCODING_PICKLE)])
        assert await h.value(same) is True
        assert await h.value(h.call(os.getcwd)) == str(h.scratch / "0-1")

    run_with_pool(tmp_path, test)


def test_large_output_goes_to_the_store_and_comes_back_as_input(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        task = h.call(lambda n: b"x" * n, 3_000_000)
        (output,) = await h.outputs(task)
        assert (output.data, output.size, output.encoding) == (None, 3_000_000, ENCODING_RAW)
        data = h.bytes_of(task, 0, output)
        file = object_file(h.store, (task.job, task.task, 0))
        assert file.stat().st_mode & 0o222 == 0
        source = InputValue((task.job, task.task, 0), output.digest, ENCODING_RAW, None)
        assert await h.value(h.call(len, Ref(0), inputs=[source])) == len(data)

        task = h.call(lambda: list(range(100_000)))
        (output,) = await h.outputs(task)
        assert (output.data, output.encoding) == (None, ENCODING_PICKLE)
        assert pickle.loads(h.bytes_of(task, 0, output)) == list(range(100_000))
        source = InputValue((task.job, task.task, 0), output.digest, ENCODING_PICKLE, None)
        assert await h.value(h.call(sum, Ref(0), inputs=[source])) == sum(range(100_000))
        assert sorted(path.name[0] for path in h.store.iterdir()) == sorted(
            path.name[0] for path in h.store.glob("[!.]*")
        )

    run_with_pool(tmp_path, test)


def test_sizes_around_the_inline_limit(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        for size, is_inline in ((0, True), (INLINE_SIZE_MAX, True), (INLINE_SIZE_MAX + 1, False)):
            task = h.call(bytes, size)
            (output,) = await h.outputs(task)
            assert (output.data is not None) == is_inline
            assert h.bytes_of(task, 0, output) == bytes(size)
        many = h.call(lambda: [bytes([i]) * INLINE_SIZE_MAX for i in range(4)], output_count=4)
        outputs = await h.outputs(many)  # a frame larger than the page
        assert [h.bytes_of(many, i, output)[:1] for i, output in enumerate(outputs)] == [
            b"\0",
            b"\1",
            b"\2",
            b"\3",
        ]

    run_with_pool(tmp_path, test)


def test_exception_carries_type_message_and_only_the_users_frames(tmp_path: Path) -> None:
    def inner(key: str) -> None:
        raise KeyError(key)

    def outer(key: str) -> None:
        try:
            inner(key)
        except KeyError as error:
            raise ValueError("no such\nthing") from error

    async def test(h: Harness) -> None:
        failure = await h.failure(h.call(outer, "k"))
        assert (failure.kind, failure.type_name, failure.message) == (
            ERROR_TASK,
            "ValueError",
            "no such thing",
        )
        assert "in inner" in failure.traceback
        assert "in outer" in failure.traceback
        assert "swarm/exec" not in failure.traceback
        assert failure.traceback.startswith("Traceback")
        assert failure.traceback.endswith("ValueError: no such\nthing\n")
        assert isinstance(pickled_error(failure), ValueError)

        failure = await h.failure(h.call(divide, 1))  # wrong arguments: no frame at all
        assert failure.type_name == "TypeError"
        assert "File" not in failure.traceback

        failure = await h.failure(h.call(sys.exit, 3))
        assert (failure.kind, failure.type_name, failure.message) == (ERROR_TASK, "SystemExit", "3")

        def recurse() -> None:
            recurse()

        failure = await h.failure(h.call(recurse))
        assert failure.type_name == "RecursionError"
        assert len(failure.traceback) < 40_000
        assert await h.value(h.call(divide, 4, 2)) == 2.0

    run_with_pool(tmp_path, test)


def test_exceptions_whose_text_is_no_utf8(tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError("\udcff bad ✓")

    def named() -> None:
        odd = type("Odd", (Exception,), {})
        odd.__qualname__ = "Odd\udcfe"
        raise odd("x")

    async def test(h: Harness) -> None:
        failure = await h.failure(h.call(fail))
        assert (failure.kind, failure.type_name, failure.message) == (
            ERROR_TASK,
            "ValueError",
            "\\udcff bad ✓",
        )
        assert "\\udcff bad ✓" in failure.traceback
        assert str(pickled_error(failure)) == "\udcff bad ✓"
        assert "Odd\\udcfe" in (await h.failure(h.call(named))).type_name
        assert h.exits == []

    run_with_pool(tmp_path, test)


def test_exception_that_cannot_travel(tmp_path: Path) -> None:
    def fail() -> None:
        class LocalError(Exception):
            def __init__(self, a: int, b: int) -> None:
                super().__init__("pair")

        raise LocalError(1, 2)

    async def test(h: Harness) -> None:
        failure = await h.failure(h.call(fail))
        assert failure.message == "pair"
        assert failure.pickled == b""

    run_with_pool(tmp_path, test)


def test_results_that_cannot_travel(tmp_path: Path) -> None:
    def generator() -> Iterator[int]:
        yield 1
        raise RuntimeError("halfway")

    async def test(h: Harness) -> None:
        failure = await h.failure(h.call(threading.Lock))
        assert failure.kind == ERROR_RESULT
        assert "a _thread.lock" in failure.message
        failure = await h.failure(h.call(lambda: {"a": [1, threading.Lock()]}))
        assert "item ['a'] item [1], a _thread.lock" in failure.message
        failure = await h.failure(h.call(lambda: (1, 2, 3), output_count=2))
        assert (failure.kind, failure.message) == (
            ERROR_RESULT,
            "'<lambda>' declares 2 outputs and returned 3",
        )
        failure = await h.failure(h.call(lambda: 1, output_count=2))
        assert failure.message == "'<lambda>' declares 2 outputs and returned a int"
        failure = await h.failure(h.call(generator, output_count=2))
        assert (failure.kind, failure.type_name) == (ERROR_TASK, "RuntimeError")
        pair = h.call(lambda: iter("ab"), output_count=2)
        assert [output.data is not None for output in await h.outputs(pair)] == [True, True]

    run_with_pool(tmp_path, test)


def test_functions_and_arguments_that_cannot_load(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        payload, _ = dump_call((), {}, index_of)
        data = b"cno_such_module\nf\n."
        for _ in range(2):  # the second time from the cache
            task = h.task(KIND_PYTHON, payload, function=inline(data), name="f")
            failure = await h.failure(task)
            assert failure.kind == ERROR_FUNCTION
            assert failure.message == (
                "the function of 'f' cannot be loaded here: ModuleNotFoundError: "
                "No module named 'no_such_module'"
            )
        failure = await h.failure(h.task(KIND_PYTHON, payload, function=inline(pickle.dumps(3))))
        assert "a int is not callable" in failure.message
        failure = await h.failure(h.task(KIND_PYTHON, b"garbage", function=function_value(divide)))
        assert failure.kind == ERROR_FUNCTION
        assert "the arguments of 't' cannot be loaded here" in failure.message

    run_with_pool(tmp_path, test)


def test_missing_objects_are_the_nodes_fault(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        lost = stored(h.store, 77, b"x")
        object_file(h.store, lost.name).unlink()
        failure = await h.failure(h.call(len, Ref(0), inputs=[lost]))
        assert failure.kind == ERROR_NODE
        assert "is not in the node's store" in failure.message

        function = function_value(divide)
        assert function.data is not None
        file = stored(h.store, 78, function.data)
        path = object_file(h.store, file.name)
        path.rename(path.with_name("away"))
        payload, _ = dump_call((6, 2), {}, index_of)
        assert (await h.failure(h.task(KIND_PYTHON, payload, function=file))).kind == ERROR_NODE
        path.with_name("away").rename(path)  # the next task finds it, although it names the digest only
        assert await h.value(h.task(KIND_PYTHON, payload, function=file)) == 3.0

    run_with_pool(tmp_path, test)


def test_full_store_is_the_nodes_fault(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        h.store.rmdir()
        h.store.write_bytes(b"no folder")
        failure = await h.failure(h.call(lambda: bytes(100_000)))
        assert failure.kind == ERROR_NODE
        assert "could not store an output" in failure.message
        h.store.unlink()

    run_with_pool(tmp_path, test)


def test_printed_and_raw_output_is_streamed(tmp_path: Path) -> None:
    def talk() -> str:
        print("printed", "é")
        print("no newline", end="")
        print("to stderr", file=sys.stderr)
        os.write(1, b"raw out\n")
        os.write(2, b"raw err\n")
        subprocess.run(["echo", "from a child"], check=True)
        sys.stdout.buffer.write(b"\xff\n")
        return "done"

    async def test(h: Harness) -> None:
        first, second = h.call(talk), h.call(lambda: print("second"))
        h.pool.run_nowait(0, [first, second])
        await h.wait(lambda: len(h.results) == 2)
        out = h.output[first.handle]
        assert sorted(out[1].splitlines()) == sorted(
            ["printed é".encode(), b"no newline\xff", b"raw out", b"from a child"]
        )
        assert sorted(out[2].splitlines()) == [b"raw err", b"to stderr"]
        assert h.output[second.handle][1] == b"second\n"
        done = h.order.index((DONE, first.handle))
        assert (OUTPUT, first.handle) not in h.order[done:]

    run_with_pool(tmp_path, test)


def test_output_arrives_while_the_task_runs(tmp_path: Path) -> None:
    def talk(gate: str) -> None:
        print("line")
        print("part", end="")
        Path(gate).read_bytes()

    async def test(h: Harness) -> None:
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        task = h.call(talk, str(gate))
        h.pool.run_nowait(0, [task])
        await h.wait(lambda: h.output.get(task.handle, {}).get(1) == b"line\npart")
        assert task.handle not in h.results
        gate.write_bytes(b"go")
        await h.wait(lambda: task.handle in h.results)

    run_with_pool(tmp_path, test)


def test_results_leave_while_a_long_task_follows(tmp_path: Path) -> None:
    def wait(gate: str) -> None:
        Path(gate).read_bytes()

    async def test(h: Harness) -> None:
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        quick, long = h.call(divide, 1, 1), h.call(wait, str(gate))
        h.pool.run_nowait(0, [quick, long])
        await h.wait(lambda: quick.handle in h.results)
        assert long.handle not in h.results
        gate.write_bytes(b"go")
        await h.wait(lambda: long.handle in h.results)

    run_with_pool(tmp_path, test)


def test_much_output_and_many_threads(tmp_path: Path) -> None:
    def talk(count: int) -> None:
        def work(letter: str) -> None:
            for _ in range(count):
                print(letter * 99)

        threads = [threading.Thread(target=work, args=(letter,)) for letter in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.write(1, b"r" * 300_000)

    async def test(h: Harness) -> None:
        task = h.call(talk, 2000)
        await h.value(task)
        out = h.output[task.handle][1]
        assert {letter: out.count(letter.encode()) for letter in "abcdr"} == {
            **dict.fromkeys("abcd", 2000 * 99),
            "r": 300_000,
        }

    run_with_pool(tmp_path, test)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_of_a_task_does_not_disturb(tmp_path: Path) -> None:
    def fork() -> int:
        print("parent")
        pid = os.fork()
        if pid == 0:
            print("child")
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    async def test(h: Harness) -> None:
        task = h.call(fork)
        assert await h.value(task) == 7
        assert sorted(h.output[task.handle][1].splitlines()) == [b"child", b"parent"]
        assert await h.value(h.call(divide, 4, 2)) == 2.0

    run_with_pool(tmp_path, test)


def test_memory_limit(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        failure = await h.failure(h.call(lambda: bytes(200_000_000), memory_bytes=50_000_000))
        assert (failure.kind, failure.type_name) == (ERROR_TASK, "MemoryError")
        assert await h.value(h.call(lambda: len(bytes(20_000_000)), memory_bytes=50_000_000)) == 20_000_000
        assert await h.value(h.call(lambda: len(bytes(200_000_000)))) == 200_000_000

    run_with_pool(tmp_path, test)


def test_executors_inherit_nothing_of_the_daemon(tmp_path: Path) -> None:
    def descriptors() -> dict[str, str]:
        found = {}
        for place in list(Path("/proc/self/fd").iterdir()):
            try:
                found[place.name] = str(place.readlink())
            except OSError:
                continue
        return found

    async def test(h: Harness) -> None:
        open_sockets = [await trio.open_tcp_listeners(0) for _ in range(3)]
        h.pool.spawn_nowait(1)
        h.pool.spawn_nowait(2)
        await h.wait(lambda: len(h.ready) == 3)
        for executor in range(3):
            found: dict[str, Any] = await h.value(h.call(descriptors), executor)
            sockets = [target for target in found.values() if target.startswith("socket:")]
            assert len(sockets) == 1, repr(sorted(found.items()))  # its own channel
            assert len([target for target in found.values() if target.startswith("pipe:")]) == 3, found
        for listeners in open_sockets:
            for listener in listeners:
                await listener.aclose()

    run_with_pool(tmp_path, test)


def test_a_function_is_sent_once_and_many_are_forgotten_alike(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        def maker(i: int) -> Any:
            return lambda: i

        functions = [function_value(maker(i)) for i in range(300)]
        payload, _ = dump_call((), {}, index_of)
        for _ in range(2):
            for i, function in enumerate(functions):
                assert await h.value(h.task(KIND_PYTHON, payload, function=function)) == i
        big = function_value(lambda blob=bytes(3_000_000): len(blob))
        start = time.perf_counter()
        tasks = [h.task(KIND_PYTHON, payload, function=big) for _ in range(300)]
        h.pool.run_nowait(0, tasks)  # 900 MB if each carried the function
        await h.wait(lambda: all(task.handle in h.results for task in tasks))
        assert time.perf_counter() - start < 10

    run_with_pool(tmp_path, test)


def test_modules_beside_a_job_travel_in_values(tmp_path: Path) -> None:
    """A class made in the executor comes back by value when its module is not importable elsewhere."""

    def make() -> Any:
        class Point:
            def __init__(self, x: int) -> None:
                self.x = x

        return Point(4)

    async def test(h: Harness) -> None:
        point = await h.value(h.call(make))
        assert point.x == 4

    run_with_pool(tmp_path, test)

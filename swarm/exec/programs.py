"""Running programs and scripts inside an executor, each in a scratch folder of its own.

A program's payload is a msgpack map; all keys but argv may be left out:

* ``argv``: list of text; an item ``{"input": i}`` becomes the path of input i as a file;
* ``stdin``: the input that is its standard input;
* ``inputs``, ``outputs``: maps from a path in the scratch folder to the index of an input or output;
* ``stdout``: the output that takes its standard output: 0 unless a file is output 0; None streams it;
* ``env``: variables besides the node's; ``shell``: argv[0] is a command line for the shell;
  ``python``: argv[0] is replaced by the Python of this node.

A script's payload is a map with ``name``, ``source``, ``args``, ``env`` and ``files`` (path to bytes).
What a program prints and nobody takes as an output is streamed; a program that ends badly fails the
attempt with the last it said. What it left running is killed.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from swarm.core.errors import DecodeError
from swarm.exec.functions import AttemptFailed, OutputWriter, TaskInput
from swarm.exec.priority import children_of
from swarm.wire.codec import unpack_untrusted
from swarm.wire.facts import Failure, Output
from swarm.wire.messages import ENCODING_PICKLE, ENCODING_RAW, ERROR_RESULT, ERROR_TASK

TAIL_SIZE_MAX: Final = 4096
"""Bytes of the last output that a failure shows."""

_RUNNABLE: Final = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
"""First bytes of executable files besides ``#!``: ELF, and Mach-O of one or several machines."""

_STDOUT_FILE: Final = ".stdout"
_PIECE_SIZE: Final = 65536
_POLL_S: Final = 0.1
_LEFTOVER_ROUNDS_MAX: Final = 20

HOME_VARIABLE: Final = "SWARM_HOME"
_script_variables: Final[dict[str, str]] = {}

Stream = Callable[[int, bytes], None]
"""Takes what a program printed: 1 (stdout) or 2 (stderr), and the bytes."""


def run_program(
    payload: bytes,
    inputs: list[TaskInput],
    output_count: int,
    folder: Path,
    writer: OutputWriter,
    stream: Stream,
) -> list[Output]:
    """Run the program that `payload` describes in `folder`, an existing empty one, and return its outputs.

    Raises:
        AttemptFailed: it could not be started, ended badly, or did not make its outputs.
    """
    order = _ProgramOrder(_map_of(payload), output_count)
    places = _lay_out(order.inputs, inputs, folder)
    argv = [_word(item, places, inputs, folder) for item in order.argv]
    if order.is_python:
        argv = [sys.executable, *argv[1:]]
    for path in order.outputs:
        _inside(folder, path).parent.mkdir(parents=True, exist_ok=True)
    stdin = None if order.stdin is None else _place(order.stdin, places, inputs, folder)
    stdout = None if order.stdout is None else folder / _STDOUT_FILE
    label = f"program {order.label!r}"
    environment = {**os.environ, **order.environment}
    _Run(label, argv, folder, environment, order.is_shell, stdin, stdout, stream).finish()
    return _collect(order, label, output_count, folder, writer)


def keep_node_home() -> None:
    """Take the node's home out of the environment: only scripts, which may be clients of the mesh, get it."""
    home = os.environ.pop(HOME_VARIABLE, None)
    if home is not None:
        _script_variables[HOME_VARIABLE] = home


def run_script(payload: bytes, job: str, folder: Path, writer: OutputWriter, stream: Stream) -> list[Output]:
    """Run the Python script in `payload` in `folder`; its one output is empty.

    Args:
        job: short form of the job's id; the script finds it in SWARM_JOB, and the node's home in SWARM_HOME.
            A process is the script itself, and no child of it, if SWARM_SCRIPT_PARENT is its parent.

    Raises:
        AttemptFailed: it could not be started or ended badly.
    """
    order = _map_of(payload)
    name, source = _text(order, "name", "script.py"), _text(order, "source", "")
    for path, data in _text_map(order, "files").items():
        _write(_inside(folder, path), data if isinstance(data, bytes) else str(data).encode())
    script = _inside(folder, name)
    _write(script, source.encode())
    words = order.get("args") or []
    if not isinstance(words, list):
        raise _wrong("'args' of a script are a list")
    args = [str(word) for word in words]
    variables = {key: str(value) for key, value in _text_map(order, "env").items()}
    # Equal hashes in every life, so that what it submits again is written in the same order.
    environment = {"PYTHONHASHSEED": "0", **os.environ, **_script_variables, **variables}
    environment.update({"SWARM_JOB": job, "SWARM_SCRIPT_PARENT": str(os.getpid())})
    argv = [sys.executable, "-u", name, *args]
    _Run(f"script {name!r}", argv, folder, environment, False, None, None, stream).finish()
    return [writer.keep(0, ENCODING_RAW, b"")]


# The description


class _ProgramOrder:
    """A checked payload of a program."""

    def __init__(self, order: dict[str, Any], output_count: int) -> None:
        argv = order.get("argv") or []
        if not isinstance(argv, list) or not argv:
            raise _wrong("a program without argv")
        self.argv: list[Any] = argv
        self.inputs = _index_map(order, "inputs")
        self.outputs = _index_map(order, "outputs")
        self.stdin = None if order.get("stdin") is None else _index(order["stdin"], "stdin")
        by_default = None if 0 in self.outputs.values() else 0
        stdout = order.get("stdout", by_default)
        self.stdout = None if stdout is None else _index(stdout, "stdout")
        self.environment = {key: str(value) for key, value in _text_map(order, "env").items()}
        self.is_shell = bool(order.get("shell"))
        self.is_python = bool(order.get("python"))
        first = self.argv[0]
        self.label = "python" if self.is_python else first if isinstance(first, str) else "an input"
        taken = list(self.outputs.values()) + ([] if self.stdout is None else [self.stdout])
        if len(set(taken)) != len(taken):
            raise _wrong(f"program {self.label!r} names an output twice")
        for index in range(output_count):
            if index not in taken and (index > 0 or taken):
                raise _wrong(f"output {index} of program {self.label!r} is neither a file nor its stdout")


def _wrong(message: str) -> AttemptFailed:
    return AttemptFailed(Failure(ERROR_TASK, "", message, "", b""))


def _map_of(payload: bytes) -> dict[str, Any]:
    try:
        order = unpack_untrusted(payload)
    except DecodeError as error:
        raise _wrong(f"the description of the program cannot be read: {error}") from None
    if not isinstance(order, dict):
        raise _wrong("the description of the program is no map")
    return order


def _text_map(order: dict[str, Any], key: str) -> dict[str, Any]:
    value = order.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise _wrong(f"{key!r} of a program is a map with text keys")
    return value


def _index_map(order: dict[str, Any], key: str) -> dict[str, int]:
    return {name: _index(value, key) for name, value in _text_map(order, key).items()}


def _index(value: object, what: str) -> int:
    if not isinstance(value, int):
        raise _wrong(f"{what!r} of a program is the number of an input or output, not {value!r}")
    return value


def _text(order: dict[str, Any], key: str, default: str) -> str:
    value = order.get(key, default)
    if not isinstance(value, str):
        raise _wrong(f"{key!r} of a script is text")
    return value


# Files


def _inside(folder: Path, path: str) -> Path:
    """Return `path` in the scratch folder; one that leads out of it fails the attempt."""
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts:
        raise _wrong(f"the path {path!r} leads out of the task's folder")
    return folder / pure


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _lay_out(paths: dict[str, int], inputs: list[TaskInput], folder: Path) -> dict[int, Path]:
    """Put inputs where the program expects them; return where each one is."""
    places: dict[int, Path] = {}
    for path, index in paths.items():
        place = _inside(folder, path)
        _put_input(index, inputs, place)
        places[index] = place
    return places


def _put_input(index: int, inputs: list[TaskInput], place: Path) -> None:
    if index not in range(len(inputs)):
        raise _wrong(f"the program refers to input {index}, it has {len(inputs)}")
    given = inputs[index]
    place.parent.mkdir(parents=True, exist_ok=True)
    if given.encoding == ENCODING_PICKLE:
        value = given.load()
        if isinstance(value, str):
            place.write_bytes(value.encode())
        elif isinstance(value, (bytes, bytearray, memoryview)):
            place.write_bytes(value)
        else:
            raise _wrong(f"input {index} is a {type(value).__name__}; a program takes bytes or text")
    elif given.data is None and given.path is not None and not _is_runnable(given.read(4)):
        place.symlink_to(given.path)  # read-only, and perhaps gigabytes
    else:
        data = given.read()
        place.write_bytes(data)
        if _is_runnable(data[:4]):
            place.chmod(0o755)  # objects carry no mode: a program that was linked or fetched shall run


def _is_runnable(head: bytes) -> bool:
    return head.startswith(b"#!") or head in _RUNNABLE


def _place(index: int, places: dict[int, Path], inputs: list[TaskInput], folder: Path) -> Path:
    if index not in places:
        places[index] = folder / f"input-{index}"
        _put_input(index, inputs, places[index])
    return places[index]


def _word(item: Any, places: dict[int, Path], inputs: list[TaskInput], folder: Path) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, dict) and set(item) == {"input"}:
        place = _place(_index(item["input"], "argv"), places, inputs, folder)
        return f"./{place.relative_to(folder)}"
    raise _wrong(f"an item of argv is text or {{'input': index}}, not {item!r}")


def _collect(
    order: _ProgramOrder, label: str, output_count: int, folder: Path, writer: OutputWriter
) -> list[Output]:
    paths = {index: path for path, index in order.outputs.items()}
    outputs: list[Output] = []
    for index in range(output_count):
        if index == order.stdout:
            outputs.append(writer.keep_file(index, ENCODING_RAW, folder / _STDOUT_FILE))
        elif index not in paths:
            outputs.append(writer.keep(index, ENCODING_RAW, b""))
        else:
            place = _inside(folder, paths[index])
            if not place.is_file():
                message = f"{label} ended well and did not make its output {paths[index]!r}"
                raise AttemptFailed(Failure(ERROR_RESULT, "", message, "", b""))
            outputs.append(writer.keep_file(index, ENCODING_RAW, place))
    return outputs


# The process


class _Run:
    """One run of a program: starts it, passes on what it prints, and waits for its end."""

    def __init__(
        self,
        label: str,
        argv: list[str],
        folder: Path,
        environment: dict[str, str],
        is_shell: bool,
        stdin: Path | None,
        stdout: Path | None,
        stream: Stream,
    ) -> None:
        self._label = label
        self._stream = stream
        self._tail = {1: b"", 2: b""}
        self._stdout = stdout
        self._siblings = children_of(os.getpid())
        with ExitStack() as files:
            source: int | IO[bytes] = subprocess.DEVNULL
            target: int | IO[bytes] = subprocess.PIPE
            if stdin is not None:
                source = files.enter_context(stdin.open("rb"))
            if stdout is not None:
                target = files.enter_context(stdout.open("wb"))
            try:
                self._process = subprocess.Popen(
                    argv,
                    cwd=folder,
                    env=environment,
                    shell=is_shell,
                    stdin=source,
                    stdout=target,
                    stderr=subprocess.PIPE,
                )
            except FileNotFoundError:
                raise _wrong(f"{label} was not found on this node") from None
            except (OSError, ValueError) as error:
                raise _wrong(f"{label} cannot be started: {error}") from None

    def finish(self) -> None:
        """Wait for the end; raises AttemptFailed when it was a bad one."""
        process = self._process
        with selectors.DefaultSelector() as selector:
            for number, pipe in ((1, process.stdout), (2, process.stderr)):
                if pipe is not None:
                    os.set_blocking(pipe.fileno(), False)
                    selector.register(pipe, selectors.EVENT_READ, number)
            self._pass_on(selector)
        status = process.wait()
        kill_leftovers(self._siblings)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        if status:
            raise AttemptFailed(Failure(ERROR_TASK, "", self._verdict(status), self._last_words(), b""))

    def _pass_on(self, selector: selectors.BaseSelector) -> None:
        """Stream until the pipes end, or the program does while something it left behind holds them."""
        wait_s = 0.001
        while selector.get_map():
            is_over = self._process.poll() is not None
            events = selector.select(0 if is_over else wait_s)
            wait_s = min(2 * wait_s, _POLL_S)
            for key, _ in events:
                data = os.read(key.fd, _PIECE_SIZE)
                if data:
                    self._tail[key.data] = (self._tail[key.data] + data)[-TAIL_SIZE_MAX:]
                    self._stream(key.data, data)
                else:
                    selector.unregister(key.fileobj)
            if is_over and not events:
                return

    def _verdict(self, status: int) -> str:
        if status > 0:
            return f"{self._label} exited with {status}"
        with suppress(ValueError):
            return f"{self._label} was killed by {signal.Signals(-status).name}"
        return f"{self._label} was killed by signal {-status}"

    def _last_words(self) -> str:
        tail = self._tail[2] or self._tail[1]
        if not tail and self._stdout is not None:
            with self._stdout.open("rb") as file:
                file.seek(max(0, self._stdout.stat().st_size - TAIL_SIZE_MAX))
                tail = file.read()
        return tail.decode(errors="replace")


def kill_leftovers(spared: list[int]) -> int:
    """Kill what a finished program left running; returns how many processes that were.

    `spared` are the executor's children from before. Works where orphans become children of the executor
    (Linux); elsewhere they live until it ends.
    """
    count = 0
    for _ in range(_LEFTOVER_ROUNDS_MAX):
        children = [child for child in children_of(os.getpid()) if child not in spared]
        if not children:
            break
        for child in children:
            with suppress(OSError):
                os.kill(child, signal.SIGKILL)
                count += 1
        for child in children:
            with suppress(ChildProcessError):
                os.waitpid(child, 0)
    return count


def remove_folder(folder: Path) -> None:
    """Delete a scratch folder, also when the task made parts of it unwritable or still writes into it."""
    for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        for path in folder.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                with suppress(OSError):
                    path.chmod(0o700)
        time.sleep(0.01)  # who was writing into it has been killed, and is about to be gone

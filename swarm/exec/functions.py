"""Running Python callables inside an executor: load, call, and turn the outcome into outputs or a failure."""

from __future__ import annotations

import contextlib
import os
import pickle
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn

from swarm.core.errors import SerializationError
from swarm.core.ids import DIGEST_SIZE
from swarm.exec.recent import RecentFunctions
from swarm.exec.serialize import dump_value, load_call, load_function, load_value, load_value_file
from swarm.wire.facts import Failure, Output, digest_of
from swarm.wire.messages import (
    ERROR_FUNCTION,
    ERROR_NODE,
    ERROR_RESULT,
    ERROR_TASK,
    INLINE_SIZE_MAX,
)

MESSAGE_SIZE_MAX: Final = 2000
TRACEBACK_SIZE_MAX: Final = 32_768
PICKLED_ERROR_SIZE_MAX: Final = 32_768
_OWN_FOLDER: Final = str(Path(__file__).parent)


class AttemptFailed(Exception):
    """An attempt ended without outputs; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class TaskInput:
    """An input or a function as a frame has it: ``[digest, encoding, data | nil, file name | nil]``."""

    def __init__(self, fields: Sequence[Any], store: Path) -> None:
        self.digest: bytes = fields[0]
        self.encoding: int = fields[1]
        self.data: bytes | None = fields[2]
        self.path: Path | None = None if fields[3] is None else store / fields[3]

    def load(self) -> object:
        """Return the value.

        Raises:
            AttemptFailed: the node's store lost the file (the node's fault, not the task's).
        """
        try:
            if self.data is not None:
                return load_value(self.data, self.encoding)
            assert self.path is not None, "an input comes with data or a file"
            return load_value_file(self.path, self.encoding)
        except FileNotFoundError as error:
            if self.path is not None and error.filename == str(self.path):
                raise AttemptFailed(_missing(self.path)) from None
            raise

    def read(self, size: int = -1) -> bytes:
        """Return the bytes as they are, or the first `size`; raises as :meth:`load`."""
        if self.data is not None:
            return self.data if size < 0 else self.data[:size]
        assert self.path is not None, "an input comes with data or a file"
        try:
            with self.path.open("rb") as file:
                return file.read(size)
        except FileNotFoundError:
            raise AttemptFailed(_missing(self.path)) from None


class OutputWriter:
    """Makes outputs of one attempt: small ones inline, others as files in the node's store."""

    def __init__(self, store: Path, stem: str) -> None:
        self._store = store
        self._stem = stem

    def keep(self, index: int, encoding: int, data: bytes) -> Output:
        """Return output number `index`; raises AttemptFailed when the store cannot take it."""
        if len(data) <= INLINE_SIZE_MAX:
            return Output(digest_of(data), len(data), encoding, data)
        temporary = self.temporary_path(index)
        try:
            temporary.write_bytes(data)
            self._publish(temporary, index)
        except OSError as error:
            self._give_up(temporary, error)
        return Output(digest_of(data), len(data), encoding, None)

    def keep_file(self, index: int, encoding: int, path: Path) -> Output:
        """Return output number `index` made of a file, which is moved."""
        size = path.stat().st_size
        if size <= INLINE_SIZE_MAX:
            return self.keep(index, encoding, path.read_bytes())
        temporary = self.temporary_path(index)
        try:
            digest = _move_with_digest(path, temporary)
            self._publish(temporary, index)
        except OSError as error:
            self._give_up(temporary, error)
        return Output(digest, size, encoding, None)

    def temporary_path(self, index: int) -> Path:
        """Return where output `index` is written before it gets its name."""
        return self._store / f".{self._stem}.{index}.{os.getpid()}"

    def _publish(self, temporary: Path, index: int) -> None:
        temporary.chmod(0o444)  # objects never change
        temporary.replace(self._store / f"{self._stem}.{index}")

    def _give_up(self, temporary: Path, error: OSError) -> NoReturn:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise AttemptFailed(_node_failure(f"the node could not store an output: {error}")) from None


def _move_with_digest(source: Path, target: Path) -> bytes:
    """Move a file of a task to `target` and return its digest; a link, or one of several names, is copied."""
    from hashlib import blake2b

    digest = blake2b(digest_size=DIGEST_SIZE)
    is_movable = not source.is_symlink() and source.stat().st_nlink == 1
    if is_movable:
        try:
            source.rename(target)
        except OSError:
            is_movable = False
    if is_movable:
        with target.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.digest()
    with source.open("rb") as file, target.open("wb") as copy:
        while block := file.read(1 << 20):
            digest.update(block)
            copy.write(block)
    return digest.digest()


class PythonRunner:
    """Runs tasks of kind Python, keeping loaded functions by digest."""

    def __init__(self) -> None:
        self._functions: RecentFunctions[Callable[..., Any] | Failure | TaskInput] = RecentFunctions()

    def run(
        self,
        name: str,
        function: TaskInput,
        payload: bytes,
        inputs: list[TaskInput],
        output_count: int,
        writer: OutputWriter,
    ) -> list[Output]:
        """Run one task and return its outputs.

        Raises:
            AttemptFailed: for whatever reason it has none.
        """
        call = self._load_function(name, function)
        args, kwargs = _load_arguments(name, payload, inputs)
        try:
            result = call(*args, **kwargs)
        except BaseException as error:  # SystemExit and KeyboardInterrupt of a task end the task only
            raise AttemptFailed(failure_of(error)) from None
        del args, kwargs
        return _outputs_of(name, result, output_count, writer)

    def note_function(self, function: TaskInput) -> None:
        """Keep a function for tasks to come, whose own task will not run here."""
        if self._functions.get(function.digest) is None:
            self._functions.put(function.digest, function)

    def _load_function(self, name: str, function: TaskInput) -> Callable[..., Any]:
        known = self._functions.get(function.digest)
        if known is None or isinstance(known, TaskInput):  # not loaded yet, or its file was missing
            known = _load_function(name, function if known is None else known)
            self._functions.put(function.digest, known)
        if isinstance(known, TaskInput):
            assert known.path is not None, "only a function in a file can be missing"
            raise AttemptFailed(_missing(known.path))
        if isinstance(known, Failure):
            raise AttemptFailed(known)
        return known


def _load_function(name: str, function: TaskInput) -> Callable[..., Any] | Failure | TaskInput:
    """Return the callable, why it cannot be loaded, or `function` itself when its file is missing now."""
    try:
        data = function.read()
    except AttemptFailed:
        return function
    try:
        return load_function(data)
    except BaseException as error:
        return failure_of(error, ERROR_FUNCTION, f"the function of {name!r} cannot be loaded here: ")


def _load_arguments(
    name: str, payload: bytes, inputs: list[TaskInput]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    try:
        return load_call(payload, (lambda index: inputs[index].load()) if inputs else None)
    except AttemptFailed:
        raise
    except BaseException as error:
        prefix = f"the arguments of {name!r} cannot be loaded here: "
        raise AttemptFailed(failure_of(error, ERROR_FUNCTION, prefix)) from None


def _outputs_of(name: str, result: object, output_count: int, writer: OutputWriter) -> list[Output]:
    if output_count == 1:
        return [_keep(name, "", result, 0, writer)]
    try:
        parts = list(result)  # type: ignore[call-overload] # whether it can is what is tried
    except BaseException as error:
        if not isinstance(error, TypeError) or hasattr(result, "__iter__"):
            raise AttemptFailed(failure_of(error)) from None  # an iterator of the user failed
        parts = None
    if parts is None or len(parts) != output_count:
        got = f"a {type(result).__name__}" if parts is None else f"{len(parts)}"
        message = _sendable(f"{name!r} declares {output_count} outputs and returned {got}")
        raise AttemptFailed(Failure(ERROR_RESULT, "", message, "", b""))
    return [_keep(name, f" {i}", part, i, writer) for i, part in enumerate(parts)]


def _keep(name: str, which: str, value: object, index: int, writer: OutputWriter) -> Output:
    try:
        data, encoding, _ = dump_value(value, f"result{which} of {name!r}")
    except SerializationError as error:
        message = _sendable(str(error)[:MESSAGE_SIZE_MAX])
        raise AttemptFailed(Failure(ERROR_RESULT, "SerializationError", message, "", b"")) from None
    except BaseException as error:  # MemoryError, or the user's __reduce__ went further than it may
        prefix = f"result{which} of {name!r}, a {type(value).__name__}, cannot travel: "
        raise AttemptFailed(failure_of(error, ERROR_RESULT, prefix)) from None
    return writer.keep(index, encoding, data)


# Failures


def failure_of(error: BaseException, kind: int = ERROR_TASK, prefix: str = "") -> Failure:
    """Return an exception as a failure: its traceback shows the user's frames only."""
    text = " ".join(_text_of(error).splitlines())
    if prefix:
        text = f"{prefix}{type(error).__name__}: {text}" if text else f"{prefix}{type(error).__name__}"
    return Failure(
        kind,
        _sendable(_type_name(error)),
        _sendable(text[:MESSAGE_SIZE_MAX]),
        _sendable(_traceback_text(error)),
        _pickled_error(error, kind),
    )


def _sendable(text: str) -> str:
    """Return a text with lone surrogates written as escapes: a frame holds UTF-8 only."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _missing(path: Path) -> Failure:
    return _node_failure(f"object {path.name} is not in the node's store")


def _node_failure(message: str) -> Failure:
    return Failure(ERROR_NODE, "", message, "", b"")


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the user's own `__str__` raises what it likes
        return ""


def _type_name(error: BaseException) -> str:
    kind = type(error)
    is_plain = kind.__module__ in ("builtins", "__main__")
    return kind.__qualname__ if is_plain else f"{kind.__module__}.{kind.__qualname__}"


def _traceback_text(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(type(error), error, _user_frames(error.__traceback__))
    except Exception:  # likewise, of any error in the chain
        return f"{_type_name(error)}: its traceback cannot be printed\n"
    text = "".join(lines)
    if len(text) <= TRACEBACK_SIZE_MAX:
        return text
    half = TRACEBACK_SIZE_MAX // 2
    return f"{text[:half]}\n  [... {len(text) - 2 * half} characters ...]\n{text[-half:]}"


def _user_frames(frames: TracebackType | None) -> TracebackType | None:
    """Return the traceback behind the leading frames that are swarm's or pickle's."""
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OWN_FOLDER):
        frames = frames.tb_next
    return frames


def _pickled_error(error: BaseException, kind: int) -> bytes:
    """Return the exception as bytes that surely load again, b"" when there are none."""
    if kind != ERROR_TASK or isinstance(error, (MemoryError, RecursionError)):
        return b""
    try:
        data, _, _ = dump_value(error)
        if len(data) <= PICKLED_ERROR_SIZE_MAX and isinstance(pickle.loads(data), BaseException):
            return data
    except Exception:  # pickling runs the user's code; the text of the error travels anyway
        return b""
    return b""

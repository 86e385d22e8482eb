"""How functions, arguments and results become bytes and back, on clients and in executors.

Plain pickle (protocol 5) where it suffices; cloudpickle where something was defined in ``__main__``, in a
module that is not installed (`swarm.exec.local_modules`), or cannot be pickled by reference at all. What
cloudpickle writes suits nodes of the same minor Python version only; callers are told.

A call is the pickle of ``(args, kwargs)``; whatever in it stands for the result of another task is a
pickle persistent id, the position of that result among the task's inputs. Most calls hold no such thing
and nothing of the user's own: they go through the C pickler once and are done.

Light on purpose: cloudpickle is imported when it is first needed.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final

from swarm.core.errors import SerializationError, SwarmError
from swarm.exec.local_modules import LocalModules
from swarm.exec.reasons import explain, explain_call
from swarm.wire.messages import ENCODING_PICKLE, ENCODING_RAW

PROTOCOL: Final = 5
"""The pickle protocol; every supported Python reads it."""
PYTHON_VERSION: Final = f"{sys.version_info[0]}.{sys.version_info[1]}"

_GLOBAL_OPCODE: Final = b"\x93"
_BY_VALUE_MARK: Final = b"cloudpickle"

_local_modules: Final = LocalModules()
_own_folder: list[str] = []


class Reference:
    """Something that stands for the result of a task: futures, tasks not yet submitted, nodes of a graph.

    Refuses to be pickled, which is how :func:`dump_plain_call` notices that there is one.
    """

    __slots__ = ()

    def __reduce_ex__(self, protocol: object) -> Any:
        raise ReferenceInside(
            f"a {type(self).__name__} can be an argument of a task, but cannot be pickled by itself; "
            f"pickle its result()"
        )


class ReferenceInside(SerializationError):
    """Pickling met a :class:`Reference` where none can be."""


InputOf = Callable[[Reference], int]
"""Returns the position among the task's inputs of what a reference stands for; must answer alike twice."""

LoadInput = Callable[[int], object]
"""Returns the value of the input with this position."""


# To bytes


def dump_plain_call(args: tuple[object, ...], kwargs: dict[str, object]) -> bytes | None:
    """Return the bytes of a call's arguments, None when plain pickle does not suffice."""
    try:
        data = pickle.dumps((args, kwargs), PROTOCOL)
    except Exception:  # pickling runs the user's code; the long way says what is wrong
        return None
    return data if _is_universal(data) else None


def dump_call(args: tuple[object, ...], kwargs: dict[str, object], input_of: InputOf) -> tuple[bytes, bool]:
    """Return the bytes of a call's arguments, and whether only equal minor versions of Python read them.

    Args:
        args: positional arguments, with references anywhere inside.
        kwargs: named ones, likewise.
        input_of: gives the position among the task's inputs for a reference.

    Raises:
        SerializationError: says which argument cannot be sent and why.
        GraphError: whatever `input_of` raises about a reference.
    """
    call = (args, kwargs)
    try:
        file = io.BytesIO()
        _CallPickler(file, input_of).dump(call)
        data = file.getvalue()
    except SwarmError:
        raise
    except Exception:  # pickling runs the user's code; by value may work where by name did not
        data = b""
    if data and _is_universal(data):
        return data, False
    try:
        data = _dump_by_value(call, input_of)
    except SwarmError:
        raise
    except Exception as error:  # likewise; told below in words
        raise SerializationError(explain_call(args, kwargs, error, _dump_any)) from error
    return data, _BY_VALUE_MARK in data


def dump_value(value: object, what: str = "the value") -> tuple[bytes, int, bool]:
    """Return a value without references as (bytes, encoding, whether only equal Python versions read it).

    Args:
        value: what a task returned, or what a client stores; bytes stay as they are.
        what: how an error calls it.

    Raises:
        SerializationError: it cannot travel, or holds a reference; names what in it is why.
    """
    if type(value) is bytes:
        return value, ENCODING_RAW, False
    data, is_pinned = _dump(value, what)
    return data, ENCODING_PICKLE, is_pinned


def dump_function(function: Callable[..., object]) -> tuple[bytes, bool]:
    """Return the bytes of a callable, and whether only equal minor versions of Python read them.

    Raises:
        SerializationError: names the captured variable that is to blame where it can be found.
    """
    if not callable(function):
        raise SerializationError(
            f"{function!r} is not callable; submit(function, *args) takes a function first"
        )
    name = function_name(function)
    try:
        return _dump(function, f"function {name!r}")
    except ReferenceInside:
        raise SerializationError(
            f"function {name!r} captures a future; pass it as an argument instead"
        ) from None
    except SerializationError as error:
        raise SerializationError(f"{error}; create such things inside the function") from error.__cause__


def function_name(function: object) -> str:
    """Return what people call a callable."""
    name = getattr(function, "__name__", None)
    if not name and hasattr(function, "func"):
        name = getattr(function.func, "__name__", None)
    return str(name or type(function).__name__)


def leave_out_folder(folder: str) -> None:
    """Write the names of files in a folder without it from now on.

    For scripts in scratch folders: what they pickle by value is then the same wherever they run.
    """
    _own_folder[:] = [folder.rstrip("/") + "/"]


def prepare() -> None:
    """Load what by-value pickling needs and look at all modules: before a fork, so that it is done once."""
    _by_value_pickler()
    _local_modules.names()


def _dump(value: object, what: str) -> tuple[bytes, bool]:
    try:
        data = pickle.dumps(value, PROTOCOL)
        if _is_universal(data):
            return data, False
    except SwarmError:
        raise
    except Exception:  # pickling runs the user's code; by value may work where by name did not
        data = b""
    try:
        data = _dump_by_value(value, _no_input)
    except SwarmError:
        raise
    except Exception as error:  # likewise; told below in words
        raise SerializationError(explain(value, what, _dump_any)) from error
    return data, _BY_VALUE_MARK in data


def _dump_by_value(value: object, input_of: InputOf) -> bytes:
    _local_modules.names()
    file = io.BytesIO()
    _by_value_pickler()(file, input_of).dump(value)
    return file.getvalue()


def _dump_any(value: object) -> bytes:
    """Return the bytes of what may be part of a call."""
    return _dump_by_value(value, lambda _reference: 0)


def _is_universal(data: bytes) -> bool:
    """Return whether a plain pickle names nothing that only this process has."""
    return _GLOBAL_OPCODE not in data or not _local_modules.are_named_in(data)


class _CallPickler(pickle.Pickler):
    """Plain pickle with references as persistent ids."""

    def __init__(self, file: io.BytesIO, input_of: InputOf) -> None:
        super().__init__(file, PROTOCOL)
        self._input_of = input_of

    def persistent_id(self, item: object) -> int | None:
        return self._input_of(item) if isinstance(item, Reference) else None


@functools.cache
def _by_value_pickler() -> Any:
    """Return the class that pickles by value, with references as persistent ids."""
    import cloudpickle  # costs 2 MB that many processes never need

    class ByValuePickler(cloudpickle.Pickler):
        def __init__(self, file: io.BytesIO, input_of: InputOf) -> None:
            super().__init__(file, protocol=PROTOCOL)
            self._input_of = input_of

        def persistent_id(self, item: object) -> int | None:
            return self._input_of(item) if isinstance(item, Reference) else None

        def reducer_override(self, item: object) -> Any:
            if not _own_folder:
                return super().reducer_override(item)
            if isinstance(item, CodeType) and item.co_filename.startswith(_own_folder[0]):
                item = item.replace(co_filename=item.co_filename[len(_own_folder[0]) :])
                return self.dispatch_table[CodeType](item)
            reduced = super().reducer_override(item)
            if isinstance(item, FunctionType) and isinstance(reduced, tuple):
                _shorten_file(reduced[1])
            return reduced

    return ByValuePickler


def _shorten_file(arguments: Any) -> None:
    """Leave the own folder out of ``__file__`` among the globals that a function is pickled with."""
    for argument in arguments if isinstance(arguments, tuple) else ():
        file = argument.get("__file__") if isinstance(argument, dict) else None
        if isinstance(file, str) and file.startswith(_own_folder[0]):
            argument["__file__"] = file[len(_own_folder[0]) :]


def _no_input(reference: Reference) -> int:
    raise ReferenceInside(f"a {type(reference).__name__} cannot be inside a value that is sent by itself")


# And back


def load_function(data: bytes) -> Callable[..., Any]:
    """Return the callable that :func:`dump_function` made bytes of; raises whatever its loading raises."""
    function = pickle.loads(data)
    if not callable(function):
        raise TypeError(f"a {type(function).__name__} is not callable")
    result: Callable[..., Any] = function
    return result


def load_call(data: bytes, load_input: LoadInput | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the (args, kwargs) that were made bytes of; raises whatever their unpickling raises.

    Args:
        data: from :func:`dump_call` or :func:`dump_plain_call`.
        load_input: called once for each input, when the arguments first refer to it; None without inputs.
    """
    if load_input is None:
        args, kwargs = pickle.loads(data)
    else:
        args, kwargs = _Unpickler(io.BytesIO(data), load_input).load()
    return args, kwargs


def load_value(data: bytes, encoding: int) -> Any:
    """Return the value of an object: the bytes themselves, or what was pickled."""
    return data if encoding == ENCODING_RAW else pickle.loads(data)


def load_value_file(path: Path, encoding: int) -> Any:
    """Return the value of an object in a file, without holding its bytes a second time."""
    if encoding == ENCODING_RAW:
        return path.read_bytes()
    with path.open("rb") as file:
        return pickle.load(file)


def load_exception(data: bytes) -> BaseException | None:
    """Return a remote exception, None when it cannot be rebuilt here."""
    if not data:
        return None
    try:
        error = pickle.loads(data)
    except Exception:  # a class of the task's host that is not here, or anything else
        return None
    return error if isinstance(error, BaseException) else None


class _Unpickler(pickle.Unpickler):
    """Plain unpickling with persistent ids as inputs."""

    def __init__(self, file: io.BytesIO, load_input: LoadInput) -> None:
        super().__init__(file)
        self._load_input = load_input
        self._loaded: dict[int, object] = {}

    def persistent_load(self, pid: Any) -> object:
        if pid not in self._loaded:
            self._loaded[pid] = self._load_input(pid)
        return self._loaded[pid]

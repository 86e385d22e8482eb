"""How functions, arguments and results become bytes and back.

A call is the pickle of ``(args, kwargs)``; whatever in it stands for the result of another task is a
pickle persistent id, the position of that result among the task's inputs. Most calls hold no such thing
and nothing from the user's own modules: they go through the plain C pickler once and are done.

What was defined in ``__main__``, or in a module that a node cannot have (beside the script, in a
checkout), goes by value with cloudpickle; such bytes suit nodes of the same minor Python version only.
"""

from __future__ import annotations

import functools
import io
import os
import pickle
import site
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from swarm.core.errors import SerializationError, SwarmError
from swarm.exec.serialize import explain
from swarm.wire.messages import ENCODING_PICKLE, ENCODING_RAW

PROTOCOL: Final = 5
PYTHON_VERSION: Final = f"{sys.version_info[0]}.{sys.version_info[1]}"

_GLOBAL_OPCODE: Final = b"\x93"
_BY_VALUE_MARK: Final = b"cloudpickle"


class Reference:
    """Something that stands for the result of a task: futures, tasks not yet submitted, placeholders.

    Refuses to be pickled, which is how :func:`dump_call` notices that there is one.
    """

    __slots__ = ()

    def __reduce_ex__(self, protocol: object) -> Any:
        raise _ReferenceInside(
            f"a {type(self).__name__} can be an argument of a task, but cannot be pickled by itself; "
            f"pickle its result()"
        )


class _ReferenceInside(SerializationError):
    """Pickling met a :class:`Reference`."""


def dump_plain_call(args: tuple[object, ...], kwargs: dict[str, object]) -> bytes | None:
    """Return the bytes of a call's arguments, None when plain pickle does not suffice."""
    try:
        data = pickle.dumps((args, kwargs), PROTOCOL)
    except Exception:
        return None
    return data if _GLOBAL_OPCODE not in data or not _names_local_module(data) else None


def dump_call(
    args: tuple[object, ...], kwargs: dict[str, object], input_of: Callable[[Reference], int]
) -> tuple[bytes, bool]:
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
        data = _dump_with_references(call, input_of)
        if not _names_local_module(data):
            return data, False
    except SwarmError:
        raise
    except Exception:
        data = b""
    try:
        data = _dump_by_value(call, input_of)
    except SwarmError:
        raise
    except Exception as error:
        raise SerializationError(_blame(args, kwargs, error)) from error
    return data, _BY_VALUE_MARK in data


def dump_value(value: object) -> tuple[bytes, int, bool]:
    """Return a value without references as (bytes, encoding, whether only equal Python versions read it).

    Raises:
        SerializationError: it cannot be pickled, or holds a reference.
    """
    if type(value) is bytes:
        return value, ENCODING_RAW, False
    try:
        data = pickle.dumps(value, PROTOCOL)
        if _GLOBAL_OPCODE not in data or not _names_local_module(data):
            return data, ENCODING_PICKLE, False
    except SwarmError:
        raise
    except Exception:
        data = b""
    try:
        data = _dump_by_value(value, _no_reference)
    except SwarmError:
        raise
    except Exception as error:
        raise SerializationError(explain(value, "the value")) from error
    return data, ENCODING_PICKLE, _BY_VALUE_MARK in data


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
        data = _dump_by_value(function, _no_reference)
    except _ReferenceInside:
        raise SerializationError(
            f"function {name!r} captures a future; pass it as an argument instead"
        ) from None
    except Exception as error:
        reason = explain(function, f"function {name!r}")
        raise SerializationError(f"{reason}; create such things inside the function") from error
    return data, _BY_VALUE_MARK in data


def load_value(data: bytes, encoding: int) -> Any:
    """Return the value of an object: the bytes themselves, or what was pickled."""
    return data if encoding == ENCODING_RAW else pickle.loads(data)


def load_exception(data: bytes) -> BaseException | None:
    """Return a remote exception, None when it cannot be rebuilt here."""
    if not data:
        return None
    try:
        error = pickle.loads(data)
    except Exception:
        return None
    return error if isinstance(error, BaseException) else None


def function_name(function: object) -> str:
    """Return what people call a callable."""
    name = getattr(function, "__name__", None)
    if not name and hasattr(function, "func"):
        name = getattr(function.func, "__name__", None)
    return str(name or type(function).__name__)


class _CallPickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, input_of: Callable[[Reference], int]) -> None:
        super().__init__(file, PROTOCOL)
        self._input_of = input_of

    def persistent_id(self, item: object) -> int | None:
        return self._input_of(item) if isinstance(item, Reference) else None


def _dump_with_references(value: object, input_of: Callable[[Reference], int]) -> bytes:
    file = io.BytesIO()
    _CallPickler(file, input_of).dump(value)
    return file.getvalue()


@functools.cache
def _by_value_pickler() -> Any:
    import cloudpickle

    class ByValuePickler(cloudpickle.Pickler):
        def __init__(self, file: io.BytesIO, input_of: Callable[[Reference], int]) -> None:
            super().__init__(file, protocol=PROTOCOL)
            self._input_of = input_of

        def persistent_id(self, item: object) -> int | None:
            return self._input_of(item) if isinstance(item, Reference) else None

    return ByValuePickler


def _dump_by_value(value: object, input_of: Callable[[Reference], int]) -> bytes:
    _local_modules.names()
    file = io.BytesIO()
    _by_value_pickler()(file, input_of).dump(value)
    return file.getvalue()


def _blame(args: tuple[object, ...], kwargs: dict[str, object], error: Exception) -> str:
    named = [(f"argument {position}", value) for position, value in enumerate(args)]
    named.extend((f"argument {name!r}", value) for name, value in kwargs.items())
    for name, value in named:
        try:
            _dump_by_value(value, lambda _reference: 0)
        except Exception:
            return explain(value, name, lambda item: 0 if isinstance(item, Reference) else None)
    return f"the arguments cannot travel: {error}"


def _no_reference(reference: Reference) -> int:
    raise _ReferenceInside(f"a {type(reference).__name__} cannot be inside a value that is sent by itself")


# Modules that nodes cannot have


class _LocalModules:
    """The loaded modules of the user's own: not installed, and so not on other nodes."""

    def __init__(self) -> None:
        self._looked_at: set[str] = set()
        self._names: list[bytes] = [b"__main__"]
        self._roots: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def names(self) -> list[bytes]:
        """Return how they are called in pickles, after telling cloudpickle about new ones."""
        if len(sys.modules) != len(self._looked_at):
            with self._lock:
                self._look()
        return self._names

    def _look(self) -> None:
        roots = self._roots = self._roots or _installed_folders()
        names = self._names[:]
        for name, module in list(sys.modules.items()):
            if name in self._looked_at:
                continue
            self._looked_at.add(name)
            path = getattr(module, "__file__", None)
            if name.startswith("__") or not isinstance(path, str) or module.__name__ != name:
                continue
            if not os.path.realpath(path).startswith(roots):
                import cloudpickle

                cloudpickle.register_pickle_by_value(module)
                names.append(name.encode())
        self._looked_at.intersection_update(sys.modules)
        self._names = names


def _installed_folders() -> tuple[str, ...]:
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders.update(site.getsitepackages())
    folders.update((site.getusersitepackages(), str(Path(__file__).parents[1])))
    return tuple(sorted([os.path.realpath(folder) + os.sep for folder in folders]))


_local_modules = _LocalModules()


def _names_local_module(data: bytes) -> bool:
    """Return whether a pickle may refer to something that only this process has."""
    return any([name in data for name in _local_modules.names()])

"""How callables, arguments and results travel between processes.

Plain pickle (protocol 5) where it suffices, cloudpickle where something lives in ``__main__``, in a module
beside the submitting script, or cannot be pickled by reference at all. A future among the arguments becomes
a persistent id, the index of the input that will replace it. When something cannot travel the error names
the innermost variable, attribute or item that is at fault.

Light on purpose: cloudpickle is imported when it is first needed.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from swarm.core.errors import SerializationError
from swarm.wire.messages import ENCODING_PICKLE, ENCODING_RAW

PROTOCOL: Final = 5
"""The pickle protocol; every supported Python reads it."""

IndexOf = Callable[[Any], "int | None"]
"""Returns the index of the input that an object stands for, None for an ordinary object. It is asked about
every object that is pickled, may be asked twice about one, and must answer alike."""

LoadInput = Callable[[int], object]
"""Returns the value of the input with this index."""

_MAIN: Final = b"__main__"
_EXPLAIN_DEPTH_MAX: Final = 12
_EXPLAIN_PARTS_MAX: Final = 500
_TOO_DEEP: Final = "it is nested too deeply"


# Callables and arguments


def dump_function(function: Callable[..., Any]) -> bytes:
    """Return a callable as bytes that :func:`load_function` understands on another machine.

    Raises:
        SerializationError: it cannot travel; says which of its variables is why.
    """
    return _dump(function, f"function {_name_of(function)!r}", None)


def dump_arguments(args: tuple[Any, ...], kwargs: dict[str, Any], index_of: IndexOf | None = None) -> bytes:
    """Return the arguments of a call as bytes, futures replaced by the indexes of inputs.

    Args:
        args, kwargs: of the call; futures may stand anywhere inside them.
        index_of: recognises futures; None when there are none.

    Raises:
        SerializationError: something cannot travel; says which argument and what in it.
    """
    try:
        return _dump_plain((args, kwargs), index_of)
    except _NOT_PLAIN:
        pass
    try:
        return _dump_by_value((args, kwargs), index_of)
    except Exception as error:
        for position, value in enumerate(args):
            _check(value, f"argument {position}", index_of)
        for name, value in kwargs.items():
            _check(value, f"argument {name!r}", index_of)
        raise SerializationError(f"the arguments cannot travel: {_one_line(error)}") from error


def load_function(data: bytes) -> Callable[..., Any]:
    """Return the callable that :func:`dump_function` made bytes of; raises whatever its loading raises."""
    function = pickle.loads(data)
    if not callable(function):
        raise TypeError(f"a {type(function).__name__} is not callable")
    result: Callable[..., Any] = function
    return result


def load_arguments(data: bytes, load_input: LoadInput) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the (args, kwargs) that :func:`dump_arguments` made bytes of.

    Each input is loaded when the arguments first refer to it, and once.
    """
    args, kwargs = _Unpickler(io.BytesIO(data), load_input).load()
    return args, kwargs


# Values: results and inputs


def dump_value(value: object, what: str = "the result") -> tuple[int, bytes]:
    """Return an object's encoding and bytes: bytes as they are, everything else pickled.

    Args:
        value: what a task returned, or what a client stores.
        what: how an error calls it.

    Raises:
        SerializationError: it cannot travel; names its type and what in it is why.
    """
    if type(value) is bytes:
        return ENCODING_RAW, value
    return ENCODING_PICKLE, _dump(value, what, None)


def load_value(encoding: int, data: bytes) -> Any:
    """Return the value of an object; raises whatever its unpickling raises."""
    return data if encoding == ENCODING_RAW else pickle.loads(data)


def load_value_file(encoding: int, path: Path) -> Any:
    """Return the value of an object in a file, without holding its bytes a second time."""
    if encoding == ENCODING_RAW:
        return path.read_bytes()
    with path.open("rb") as file:
        return pickle.load(file)


# Pickling


class _NotPlainError(Exception):
    """Plain pickle would only write a reference to something that other machines lack."""


_NOT_PLAIN: Final = (
    _NotPlainError,
    pickle.PicklingError,
    TypeError,
    AttributeError,
    RecursionError,
    ValueError,
    NotImplementedError,
)


class _Pickler(pickle.Pickler):
    """Plain pickle with futures as persistent ids."""

    def __init__(self, file: io.BytesIO, index_of: IndexOf) -> None:
        super().__init__(file, protocol=PROTOCOL)
        self._index_of = index_of

    def persistent_id(self, obj: Any) -> int | None:
        return self._index_of(obj)


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


@functools.cache
def _by_value_pickler() -> Any:
    """Return the class that pickles by value, with futures as persistent ids."""
    import cloudpickle  # costs 2 MB that many processes never need

    class ByValuePickler(cloudpickle.Pickler):
        def __init__(self, file: io.BytesIO, index_of: IndexOf) -> None:
            super().__init__(file, protocol=PROTOCOL)
            self._index_of = index_of

        def persistent_id(self, obj: Any) -> int | None:
            return self._index_of(obj)

    return ByValuePickler


def _dump(value: object, what: str, index_of: IndexOf | None) -> bytes:
    try:
        return _dump_plain(value, index_of)
    except _NOT_PLAIN:
        pass
    try:
        return _dump_by_value(value, index_of)
    except Exception as error:
        raise SerializationError(explain(value, what, index_of)) from error


def _dump_plain(value: object, index_of: IndexOf | None) -> bytes:
    travelling = _script_modules()
    if index_of is None:
        data = pickle.dumps(value, PROTOCOL)
    else:
        file = io.BytesIO()
        _Pickler(file, index_of).dump(value)
        data = file.getvalue()
    if _MAIN in data:
        raise _NotPlainError
    for name in travelling:
        if name in data:
            raise _NotPlainError
    return data


def _dump_by_value(value: object, index_of: IndexOf | None) -> bytes:
    file = io.BytesIO()
    _by_value_pickler()(file, index_of if index_of is not None else _no_index).dump(value)
    return file.getvalue()


def _no_index(_value: object) -> None:
    return None


# Modules beside the submitting script

_scanned = [0]
_seen_modules: set[str] = set()
_travelling: list[bytes] = []


def _script_modules() -> list[bytes]:
    """Return the names of modules that were imported from the submitting script's folder.

    Other machines do not have them, so they travel by value.
    """
    if len(sys.modules) == _scanned[0]:
        return _travelling
    _scanned[0] = len(sys.modules)
    folder = _script_folder()
    for name, module in list(sys.modules.items()):
        if name in _seen_modules:
            continue
        _seen_modules.add(name)
        if folder is not None and name != "__main__" and _is_beside(module, folder):
            import cloudpickle

            cloudpickle.register_pickle_by_value(module)
            _travelling.append(name.encode())
    return _travelling


@functools.cache
def _script_folder() -> Path | None:
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    if not main:
        return None
    folder = Path(main).resolve().parent
    installed = [Path(place).resolve() for place in sysconfig.get_paths().values()]
    return None if any(folder == place or folder.is_relative_to(place) for place in installed) else folder


def _is_beside(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    if not file or not str(file).endswith(".py") or module.__name__.partition(".")[0] == "swarm":
        return False
    path = Path(file).resolve()
    return path.is_relative_to(folder) and not {"site-packages", "dist-packages"} & set(path.parts)


# Why something cannot travel


def explain(value: object, what: str, index_of: IndexOf | None = None) -> str:
    """Return one sentence that says why `value` cannot travel.

    Follows closures, globals, attributes and items down to the innermost part that fails by itself.

    Args:
        value: something whose pickling fails.
        what: how the sentence calls it, for example "argument 0".
        index_of: recognises futures.
    """
    path = ""
    error = _problem(value, index_of) or "it cannot be pickled"
    seen = {id(value)}
    part = value
    for _ in range(0 if error == _TOO_DEEP else _EXPLAIN_DEPTH_MAX):
        found = _failing_part(part, seen, index_of)
        if found is None:
            break
        label, part, error = found
        path += label
        seen.add(id(part))
    if not path:
        return f"{what} (a {_type_name(value)}) cannot travel: {error}"
    where = path.lstrip(" ,")
    whole = "" if what.startswith("function ") else f" (a {_type_name(value)})"
    return f"{what}{whole} cannot travel because of its {where}, a {_type_name(part)}: {error}"


def _check(value: object, what: str, index_of: IndexOf | None) -> None:
    if _problem(value, index_of) is not None:
        raise SerializationError(explain(value, what, index_of))


def _failing_part(value: object, seen: set[int], index_of: IndexOf | None) -> tuple[str, object, str] | None:
    for count, (label, part) in enumerate(_parts(value)):
        if count >= _EXPLAIN_PARTS_MAX:
            break
        if id(part) in seen:
            continue
        error = _problem(part, index_of)
        if error is not None:
            return label, part, error
    return None


def _problem(value: object, index_of: IndexOf | None) -> str | None:
    """Return why `value` cannot travel, None when it can."""
    try:
        _dump_by_value(value, index_of)
    except Exception as error:
        is_too_deep = isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError)
        return _TOO_DEEP if is_too_deep else _one_line(error)
    return None


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """Yield what an object consists of, as seen by pickle: (how to call it, the part)."""
    if isinstance(value, FunctionType):
        yield from _function_parts(value)
    elif isinstance(value, MethodType):
        yield " object", value.__self__
        yield " method", value.__func__
    elif isinstance(value, functools.partial):
        yield " function", value.func
        yield from [(f" argument {i}", part) for i, part in enumerate(value.args)]
        yield from [(f" argument {name!r}", part) for name, part in value.keywords.items()]
    elif isinstance(value, dict):
        for key, part in value.items():
            yield f" key {key!r}", key
            yield f" item [{key!r}]", part
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from [(f" item [{i}]", part) for i, part in enumerate(value)]
    if isinstance(value, type):
        yield from [(f" attribute {name!r}", part) for name, part in vars(value).items()]
    elif not isinstance(value, FunctionType):
        for name in _attribute_names(value):
            part = getattr(value, name, None)
            yield f" attribute {name!r}", part
        if type(value).__module__ == "__main__":
            yield " class", type(value)


def _attribute_names(value: object) -> list[str]:
    names = list(getattr(value, "__dict__", {}))
    for base in type(value).__mro__:
        slots = base.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else list(slots)
    return names


def _function_parts(function: FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f" variable {name!r}", cell.cell_contents
        except ValueError:
            continue  # an empty cell: the variable was never set
    for name in _names_used(function.__code__):
        if name in function.__globals__:
            yield f" global variable {name!r}", function.__globals__[name]
    yield from [(" default value", part) for part in function.__defaults__ or ()]
    for name, part in (function.__kwdefaults__ or {}).items():
        yield f" default value of {name!r}", part


def _names_used(code: CodeType) -> list[str]:
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names += _names_used(constant)
    return names


def _name_of(function: object) -> str:
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


def _type_name(value: object) -> str:
    kind = type(value)
    is_plain = kind.__module__ in ("builtins", "__main__")
    return kind.__qualname__ if is_plain else f"{kind.__module__}.{kind.__qualname__}"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:300] if text else type(error).__name__

"""Why something cannot travel: names the innermost variable, attribute or item that is at fault."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType
from typing import Final

Dump = Callable[[object], object]
"""Makes bytes of anything that can travel, and raises what says why of everything else."""

_DEPTH_MAX: Final = 12
_PARTS_MAX: Final = 500
_TOO_DEEP: Final = "it is nested too deeply"


def explain_call(args: tuple[object, ...], kwargs: dict[str, object], error: Exception, dump: Dump) -> str:
    """Return which argument of a call cannot travel and why, `error` itself when each by itself can."""
    named = [(f"argument {position}", value) for position, value in enumerate(args)]
    named.extend((f"argument {name!r}", value) for name, value in kwargs.items())
    for what, value in named:
        if _problem(value, dump) is not None:
            return explain(value, what, dump)
    return f"the arguments cannot travel: {_one_line(error)}"


def explain(value: object, what: str, dump: Dump) -> str:
    """Return one sentence that says why `value` cannot travel.

    Follows closures, globals, attributes and items down to the innermost part that fails by itself.

    Args:
        value: something whose pickling fails.
        what: how the sentence calls it, for example "argument 0".
        dump: how it is pickled.
    """
    path = ""
    error = _problem(value, dump) or "it cannot be pickled"
    seen = {id(value)}
    part = value
    for _ in range(0 if error == _TOO_DEEP else _DEPTH_MAX):
        found = _failing_part(part, seen, dump)
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


def _failing_part(value: object, seen: set[int], dump: Dump) -> tuple[str, object, str] | None:
    for count, (label, part) in enumerate(_parts(value)):
        if count >= _PARTS_MAX:
            break
        if id(part) in seen:
            continue
        error = _problem(part, dump)
        if error is not None:
            return label, part, error
    return None


def _problem(value: object, dump: Dump) -> str | None:
    """Return why `value` cannot travel, None when it can."""
    try:
        dump(value)
    except Exception as error:  # which error the value raises is what is asked
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


def _type_name(value: object) -> str:
    kind = type(value)
    is_plain = kind.__module__ in ("builtins", "__main__")
    return kind.__qualname__ if is_plain else f"{kind.__module__}.{kind.__qualname__}"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:300] if text else type(error).__name__

"""Tables of a TOML document become configuration dataclasses, with errors that name key, value and cure.

What a table may hold follows from the dataclass: its fields, their defaults and their annotations. A field
may be called otherwise in files (``metadata={"key": "for"}``). Ranges are checked by the dataclass itself.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from difflib import get_close_matches
from math import isfinite, isinf, isnan
from numbers import Integral
from typing import Any, TypeVar

from sims.scenario.source import Source, path_text
from sims.scenario.toml_lines import Path
from swarm.core.errors import ConfigError

T = TypeVar("T")

KNOWN_LISTED_MAX = 24
_LIST = re.compile(r"(?:\w+\.)*(?:tuple|Sequence)\[")

NOT_IN_FILES = ("fact_bands",)
"""Settings that are more than a plain value or a list of them: only Python can state these."""

_NAMES = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


def bind(kind: type[T], table: Mapping[str, object], path: Path, source: Source, base: T | None = None) -> T:
    """Return a dataclass with the values of a table.

    Args:
        kind: a dataclass whose fields are booleans, numbers, texts, tuples of them, or such with None.
        table: what the file says.
        path: of the table.
        source: for errors.
        base: where the other fields come from; the defaults when left out.

    Raises:
        ScenarioError: an unknown key, a value of another type, or one that the dataclass refuses.
    """
    fields = {key_of(field): field for field in fields_of(kind)}
    check_keys(table, list(fields), path, source)
    values: dict[str, Any] = {}
    for key, value in table.items():
        values[fields[key].name] = bind_value(fields[key], value, (*path, key), source)
    if base is not None:
        values = {**{field.name: getattr(base, field.name) for field in fields.values()}, **values}
    try:
        return kind(**values)
    except ConfigError as error:
        source.blame(path, list(table), error)
    except TypeError:
        missing = [key for key, field in fields.items() if is_required(field) and key not in table]
        if not missing:
            raise
        source.refuse(path, f"{path_text(path)} has no {missing[0]}; add `{missing[0]} = ...`")


def check_keys(table: Mapping[str, object], known: list[str], path: Path, source: Source) -> None:
    """Refuse a table that has a key which is not known.

    Raises:
        ScenarioError: names the key, and the one probably meant.
    """
    for key in table:
        if key not in known:
            close = get_close_matches(key, known, 1)
            listed = ", ".join(known) if len(known) <= KNOWN_LISTED_MAX else "listed in docs/SCENARIOS.md"
            cure = f"did you mean {close[0]!r}?" if close else f"known are {listed}"
            source.refuse((*path, key), f"unknown key {path_text((*path, key))!r}; {cure}")


def fields_of(kind: type) -> list[dataclasses.Field[Any]]:
    """Return those fields of a dataclass that files can state, in order."""
    return [field for field in dataclasses.fields(kind) if field.name not in NOT_IN_FILES]


def key_of(field: dataclasses.Field[Any]) -> str:
    """Return what a field is called in files."""
    key = field.metadata.get("key", field.name)
    assert isinstance(key, str), "a key is a text"
    return key


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Return whether a field has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def default_of(field: dataclasses.Field[Any]) -> object:
    """Return the default of a field, None when it has none."""
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def bind_value(field: dataclasses.Field[Any], value: object, path: Path, source: Source) -> object:
    """Return a value of a file as a field wants it.

    Raises:
        ScenarioError: the value has another type.
    """
    expected, is_list = types_of(field)
    if not is_list:
        return _checked(expected, value, path, source, default_of(field))
    items = value if isinstance(value, list) else None
    if items is None:
        source.refuse(path, f"{path_text(path)} is {shown(value)}, it must be a list of {_plural(expected)}")
    return tuple(
        [_checked(expected, item, (*path, number), source, None) for number, item in enumerate(items)]
    )


def types_of(field: dataclasses.Field[Any]) -> tuple[tuple[type, ...], bool]:
    """Return the plain types that a field takes, and whether it takes a tuple of them.

    Compiled classes keep types and others the text of annotations; both are read.
    """
    if field.type is tuple:
        # A compiled class does not keep what is in its tuples.
        default = default_of(field)
        items = default if isinstance(default, tuple) else ()
        kind = type(items[0]) if items else (float if field.name.endswith("_s") else str)
        return (kind,), True
    text = field.type if isinstance(field.type, str) else _type_text(field.type)
    is_list = _LIST.match(text) is not None
    found = [plain for plain in (bool, int, float, str) if plain.__name__ in _words(text)]
    assert found, f"the field {field.name} has the type {text}, which files cannot state"
    return tuple(found), is_list


def with_floats(value: T) -> T:
    """Return a dataclass in which fields for floats hold floats, also where somebody gave an integer.

    2 and 2.0 are equal, but have other bytes on the wire: equal scenarios must give equal runs.
    """
    changed: dict[str, float] = {}
    if not dataclasses.is_dataclass(value):
        return value
    for field in dataclasses.fields(value):
        given = getattr(value, field.name)
        if type(given) is int and field.type in ("float", float):
            changed[field.name] = float(given)
    return dataclasses.replace(value, **changed) if changed else value  # type: ignore[type-var] # any dataclass


def shown(value: object) -> str:
    """Return a value as a message shows it, cut when it is long."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _checked(
    expected: tuple[type, ...], value: object, path: Path, source: Source, default: object
) -> object:
    if float in expected and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number(value, path, source, default)
    if int in expected and not isinstance(value, bool) and isinstance(value, Integral):
        return int(value)  # those of numpy too
    if type(value) not in expected:
        names = " or ".join([_NAMES[plain] for plain in expected])
        source.refuse(path, f"{path_text(path)} is {shown(value)}, it must be {names}")
    return value


def _number(value: float, path: Path, source: Source, default: object) -> float:
    """Return a number as a float; infinity is one only where the default is infinite as well."""
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    allows_infinity = isinstance(default, float) and isinf(default)
    if isnan(number) or (not isfinite(number) and not allows_infinity):
        source.refuse(path, f"{path_text(path)} is {shown(value)}, it must be a finite number")
    return number


def _plural(expected: tuple[type, ...]) -> str:
    names = {str: "texts", bool: "booleans", int: "whole numbers", float: "numbers"}
    return " or ".join([names[plain] for plain in expected])


def _type_text(kind: object) -> str:
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)


def _words(text: str) -> list[str]:
    for mark in "[],|.":
        text = text.replace(mark, " ")
    return text.split()

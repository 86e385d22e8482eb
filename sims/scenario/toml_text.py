"""TOML text from plain values; the standard library only reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from math import isfinite, isnan

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(document: Mapping[str, object]) -> str:
    """Return a document as TOML that reads back as equal.

    Tables become ``[sections]``, lists of tables ``[[sections]]``, other lists and what stands in them is
    written inline. Keys keep their order, but plain values come before sections, as the format wants it.

    Args:
        document: keys to strings, booleans, integers, floats, lists and tables of them.

    Raises:
        TypeError: another type of value.
    """
    lines: list[str] = []
    _write_table(document, (), lines)
    return "\n".join(lines).strip("\n") + "\n"


def _write_table(table: Mapping[str, object], path: tuple[str, ...], lines: list[str]) -> None:
    sections: list[tuple[str, object]] = []
    for key, value in table.items():
        if _is_table(value) or _is_list_of_tables(value):
            sections.append((key, value))
        else:
            lines.append(f"{_key_text(key)} = {_value_text(value)}")
    for key, value in sections:
        inner = (*path, key)
        name = ".".join([_key_text(part) for part in inner])
        if isinstance(value, Mapping):
            lines.extend(["", f"[{name}]"])
            _write_table(value, inner, lines)
        elif isinstance(value, Sequence):
            for item in value:
                lines.extend(["", f"[[{name}]]"])
                _write_table(item, inner, lines)


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all([_is_table(item) for item in value])


def _key_text(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _quoted(key)


def _quoted(text: str) -> str:
    # The escapes of JSON are escapes of TOML; JSON leaves 0x7f alone, which TOML forbids.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join([_value_text(item) for item in value]) + "]"
    if isinstance(value, Mapping):
        pairs = [f"{_key_text(key)} = {_value_text(item)}" for key, item in value.items()]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    raise TypeError(f"TOML has no {type(value).__name__}: {value!r}")


def _float_text(value: float) -> str:
    if isfinite(value):
        return repr(value)
    if isnan(value):
        return "nan"
    return "inf" if value > 0 else "-inf"

"""JSON on one line: with ujson where it is installed, else with the standard library."""

from __future__ import annotations

import importlib
import json
from types import ModuleType
from typing import Any


def _find_ujson() -> ModuleType | None:
    try:
        return importlib.import_module("ujson")
    except ImportError:
        return None


_ujson = _find_ujson()


def to_json(value: object) -> str:
    """Return `value` as JSON on one line, not limited to ASCII.

    Raises:
        ValueError: it holds a NaN or an infinity, or refers to itself.
        TypeError: it holds something that JSON does not know.
    """
    try:
        if _ujson is not None:
            text: str = _ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False, allow_nan=False)
            return text
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None


def from_json(text: bytes | str) -> Any:
    """Return the value that a JSON text means.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return _ujson.loads(text) if _ujson is not None else json.loads(text)
    except RecursionError as error:
        raise ValueError(str(error)) from None

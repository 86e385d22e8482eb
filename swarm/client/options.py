"""What a task may ask for, as people write it, turned into :class:`TaskOptions`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from swarm.client.sendable import INTEGER_MAX, checked_text, shown
from swarm.core.errors import ConfigError
from swarm.wire.job_part import TaskOptions

OPTION_NAMES: Final = frozenset(
    {"cpus", "memory", "retries", "timeout_s", "tags", "python", "name", "outputs"}
)
"""Keywords that `submit`, `map`, `task` and `remote` keep for themselves."""

RETRIES_MAX: Final = 1_000
_UNITS: Final = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_BINARY_UNITS: Final = {"KI": 1024, "MI": 1024**2, "GI": 1024**3, "TI": 1024**4}


def size_bytes(text: str | int, what: str = "memory") -> int:
    """Return the bytes that a size means: ``1000``, ``"100M"``, ``"1.5Gi"``, ``"64 MB"``.

    Args:
        text: digits, optionally K M G T (powers of 1000) or Ki Mi Gi Ti (of 1024), optionally a B.
        what: the name of the setting, for the message.

    Raises:
        ConfigError: not a size, negative, or more than any computer has.
    """
    size = _size_of(text, what)
    if size > INTEGER_MAX:
        raise ConfigError(f"{what} {shown(text)} is more than any computer has; write for example 2G")
    return size


def _size_of(text: str | int, what: str) -> int:
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    written = str(text).strip().upper().removesuffix("B").rstrip()
    number = written.rstrip("KMGTI")
    unit = written[len(number) :]
    factor = _UNITS.get(unit) or _BINARY_UNITS.get(unit)
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if factor is None or not 0 <= value < math.inf:
        raise ConfigError(f"{what} {text!r} is not a size; write for example 100M or 1.5Gi")
    return int(value * factor)


def tags_of(tags: object) -> tuple[str, ...]:
    """Return tags as sorted ``key=value`` words, from a mapping or from such words.

    Raises:
        ConfigError: a word without a key or a value.
    """
    if isinstance(tags, str):
        tags = (tags,)
    if isinstance(tags, Mapping):
        words = [f"{key}={value}" for key, value in tags.items()]
    elif isinstance(tags, (list, tuple, set, frozenset)):
        words = [str(word) for word in tags]
    else:
        raise ConfigError(f"tags {tags!r} are a mapping or a list of 'key=value' words")
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals or not value:
            raise ConfigError(f"the tag {word!r} is not of the form key=value")
        checked_text(word, "the tag")
    return tuple(sorted(set(words)))


def make_options(
    cpus: float = 1.0,
    memory: str | int = 0,
    retries: int = 0,
    timeout_s: float = 0.0,
    tags: object = (),
    python: str = "",
) -> TaskOptions:
    """Return checked options; equal arguments give the same object.

    Args:
        cpus: cores that the task occupies, >= 0, fractions allowed.
        memory: what it may use, as :func:`size_bytes` reads it; 0 for no limit of its own.
        retries: further attempts after an error of its own, 0 to 1000.
        timeout_s: how long one attempt may run, seconds, 0 for ever.
        tags: what its node must have, as :func:`tags_of` reads it.
        python: the minor version that its node must run, such as "3.11"; "" for any.

    Raises:
        ConfigError: names the faulty value.
    """
    words = () if tags == () else tags_of(tags)
    try:
        return _options(cpus, memory, retries, timeout_s, words, python)
    except TypeError:
        raise ConfigError(
            f"options of a task are plain values, not {(cpus, memory, retries, timeout_s)}"
        ) from None


@lru_cache(maxsize=256)
def _options(
    cpus: object, memory: str | int, retries: object, timeout_s: object, tags: tuple[str, ...], python: object
) -> TaskOptions:
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= RETRIES_MAX:
        raise ConfigError(f"retries is a whole number from 0 to {RETRIES_MAX}, not {retries!r}")
    if not isinstance(python, str) or (python and not all(part.isdecimal() for part in python.split("."))):
        raise ConfigError(f"python is a version such as '3.11', not {python!r}")
    return TaskOptions(
        _number("cpus", cpus), size_bytes(memory), retries, _number("timeout_s", timeout_s), tags, python
    )


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ConfigError(f"{name} is a number, at least 0, not {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise ConfigError(f"{name} is a number that a computer can count, not {shown(value)}") from None


@lru_cache(maxsize=256)
def pinned_to_python(options: TaskOptions, version: str) -> TaskOptions:
    """Return the same options for a node of one minor version of Python, unless they name one already."""
    if options.python:
        return options
    return TaskOptions(
        options.cpus, options.memory_bytes, options.retries, options.timeout_s, options.tags, version
    )

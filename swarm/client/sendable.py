"""Whether values can be sent: text that is UTF-8, numbers of 64 bits; the messages name what is not."""

from __future__ import annotations

from typing import Final

from swarm.core.errors import ConfigError
from swarm.wire.codec import COUNTER_MAX, pack

INTEGER_MAX: Final = COUNTER_MAX - 1
"""The largest number in an option, a priority or the argument of a question."""

_SHOWN_MAX: Final = 80


def checked_text(text: str, what: str) -> str:
    """Return a text that can be sent, as it is.

    Args:
        text: from a command line, a file name or a program; other bytes are lone surrogates in it.
        what: the thing whose text it is, for the message.

    Raises:
        ConfigError: it is no UTF-8.
    """
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{what} {shown(text)} is no UTF-8 text, so it cannot be sent") from None
    return text


def readable(text: str) -> str:
    """Return a text that was not chosen for swarm, such as a file's name, with what is no UTF-8 replaced."""
    return text.encode("utf-8", "replace").decode()


def packed(value: dict[str, object], what: str) -> bytes:
    """Return the bytes of a mapping of plain values.

    Args:
        value: text, bytes, numbers, None, and lists and mappings of those.
        what: the thing whose description it is, for the message.

    Raises:
        ConfigError: something in it cannot be sent; the message names it.
    """
    try:
        return pack(value)
    except (ValueError, OverflowError, TypeError, RecursionError) as error:
        raise ConfigError(f"{what} cannot be sent: {_culprit(value) or error}") from None


def _culprit(value: object) -> str:
    """Return what is wrong with the first value inside that cannot be sent, "" when none is found."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            try:
                item.encode()
            except UnicodeEncodeError:
                return f"{shown(item)} is no UTF-8 text"
        elif isinstance(item, int) and not -(2**63) <= item < 2**64:
            return f"the number {shown(item)} has more than 64 bits"
        elif isinstance(item, dict):
            stack.extend([*item.values(), *item])
        elif isinstance(item, (list, tuple)):
            stack.extend(item)
    return ""


def shown(value: object) -> str:
    """Return a value as a message shows it: on one line, short, and printable everywhere."""
    text = hex(value) if isinstance(value, int) else ascii(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"

"""Changing inputs: bytes anyhow, msgpack and JSON by their structure, also inside of each other."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from swarm.core.errors import DecodeError
from swarm.wire.codec import pack, unpack_untrusted

SIZE_MAX = 4096
BYTES = "bytes"
MSGPACK = "msgpack"
JSON = "json"

_BYTES = [b"", b"\x00", b"\xff", b"\xc1", b"\x90", b"\x80", b"a" * 16, b"b" * 16, b"job-000000", bytes(16)]
_TEXTS = ["", "a", "é", "\x00", "\u0663", "0", "-1", "1e999", "x" * 70, "::1", "../x", "user:name", "node"]
_NUMBERS = [0, 1, 2, 3, 7, 255, 65535, 65536, 2**31 - 1, 2**31, 2**53, 2**62 - 1, 2**62, 2**63, 2**64 - 1]
_NUMBERS += [-1, -(2**31), -(2**63)]
_FLOATS = [0.0, -0.0, 0.5, -1.5, 1e308, float("inf"), float("-inf"), float("nan")]
_SCALARS: list[Any] = [None, True, False, *_NUMBERS, *_FLOATS, *_TEXTS]
_PIECES = [b"\r\n", b": ", b"{}", b"[", b'"', b"\\ud800", b"1e999", b"NaN", b"9" * 30, b"\xc7\x08\x01"]
_DEPTH_MAX = 6


class Mutator:
    """Makes new inputs of old ones.

    Args:
        random: source of every choice.
        shape: `BYTES`, `MSGPACK` or `JSON`: what inputs mostly are.
    """

    def __init__(self, random: Random, shape: str) -> None:
        self._random = random
        self._shape = shape

    def mutate(self, data: bytes, corpus: list[bytes]) -> bytes:
        """Return a changed input; parts of other inputs may be in it."""
        for _ in range(self._random.choice((1, 1, 1, 2, 2, 3, 5))):
            is_plain = self._shape == BYTES or self._random.random() < 0.25
            other = self._random.choice(corpus)
            data = self._change_bytes(data, other) if is_plain else self._change_value(data, other)
        return data[:SIZE_MAX]

    # Bytes

    def _change_bytes(self, data: bytes, other: bytes) -> bytes:
        random = self._random
        at = random.randrange(len(data) + 1)
        end = min(len(data), at + random.choice((1, 1, 2, 4, 8, 32)))
        how = random.randrange(9)
        if how == 0 and data:
            at = min(at, len(data) - 1)
            return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
        if how == 1 and data:
            at = min(at, len(data) - 1)
            return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
        if how == 2:
            return data[:at] + data[end:]
        if how == 3:
            return data[:at]
        if how == 4:
            return data[:at] + data[at:end] * random.choice((2, 3, 20)) + data[end:]
        if how == 5:
            cut = random.randrange(len(other) + 1)
            return data[:at] + other[cut : cut + random.choice((2, 8, 64, SIZE_MAX))] + data[end:]
        if how == 6:
            number = random.choice(_NUMBERS) & 0xFFFFFFFFFFFFFFFF
            size = random.choice((1, 2, 4, 8))
            return (
                data[:at]
                + (number & (1 << 8 * size) - 1).to_bytes(size, random.choice(("big", "little")))
                + data[end:]
            )
        if how == 7:
            return data[:at] + random.choice(_PIECES) + data[end:]
        return data[:at] + random.randbytes(random.choice((1, 2, 8, 40))) + data[at:]

    # Structures

    def _change_value(self, data: bytes, other: bytes) -> bytes:
        try:
            value = self._load(data)
            donor = self._load(other)
        except (ValueError, DecodeError, RecursionError):
            return self._change_bytes(data, other)
        try:
            return self._dump(self._changed(value, donor, 0))
        except (ValueError, TypeError, OverflowError, RecursionError, UnicodeError):
            return self._change_bytes(data, other)

    def _load(self, data: bytes) -> Any:
        return json.loads(data) if self._shape == JSON else unpack_untrusted(data)

    def _dump(self, value: Any) -> bytes:
        if self._shape == JSON:
            return json.dumps(value, ensure_ascii=self._random.random() < 0.5).encode(
                "utf-8", "surrogatepass"
            )
        return pack(value)

    def _changed(self, value: Any, donor: Any, depth: int) -> Any:
        """Return `value` with something in it changed; often deep inside, where nesting ends first."""
        random = self._random
        goes_down = depth < _DEPTH_MAX and random.random() < 0.85
        if isinstance(value, list):
            copy: list[Any] = list(value)
            if goes_down and copy:
                at = random.randrange(len(copy))
                copy[at] = self._changed(copy[at], donor, depth + 1)
                return copy
            return self._changed_list(copy, donor)
        if isinstance(value, dict):
            return self._changed_map(dict(value), donor, goes_down, depth)
        if isinstance(value, bytes) and goes_down and len(value) > 2:
            return self._changed_inside(value, donor, depth)
        return self._some(value, donor)

    def _changed_list(self, copy: list[Any], donor: Any) -> Any:
        random = self._random
        how = random.randrange(5)
        at = random.randrange(len(copy) + 1)
        if how == 0 and copy:
            del copy[min(at, len(copy) - 1)]
        elif how == 1:
            copy.insert(at, self._some(None, donor))
        elif how == 2 and copy:
            copy.extend([copy[min(at, len(copy) - 1)]] * random.choice((1, 3, 40)))
        elif how == 3 and len(copy) > 1:
            random.shuffle(copy)
        else:
            return self._some(copy, donor)
        return copy

    def _changed_map(self, copy: dict[Any, Any], donor: Any, goes_down: bool, depth: int) -> Any:
        random = self._random
        keys = list(copy)
        if goes_down and keys:
            key = random.choice(keys)
            copy[key] = self._changed(copy[key], donor, depth + 1)
            return copy
        how = random.randrange(4)
        if how == 0 and keys:
            del copy[random.choice(keys)]
        elif how == 1:
            copy[random.choice([*_TEXTS, *keys])] = self._some(None, donor)
        elif how == 2 and keys:
            copy[random.choice(keys)] = self._some(None, donor)
        else:
            return self._some(copy, donor)
        return copy

    def _changed_inside(self, value: bytes, donor: Any, depth: int) -> bytes:
        """Return changed bytes; those that hold a msgpack array keep being one."""
        try:
            inner = unpack_untrusted(value)
        except DecodeError:
            inner = None
        if isinstance(inner, (list, dict)):
            return pack(self._changed(inner, donor, depth + 1))
        return self._change_bytes(value, self._random.choice(_BYTES))

    def _some(self, value: Any, donor: Any) -> Any:
        """Return something else than a value: near to it, of another input, or notorious."""
        random = self._random
        how = random.randrange(6)
        if how == 0 and isinstance(value, int) and not isinstance(value, bool):
            return value + random.choice((-1, 1, 2, 256, -256))
        if how == 1 and isinstance(value, str):
            return value[: random.randrange(len(value) + 1)] + random.choice(_TEXTS)
        if how <= 2:
            return _part_of(donor, random)
        if how == 3:
            return random.choice(_SCALARS)
        if how == 4 and self._shape == MSGPACK:
            return random.choice(_BYTES)
        nested: Any = random.choice(_SCALARS)
        for _ in range(random.choice((1, 1, 2, 30, 300))):
            nested = [nested] if random.random() < 0.7 else {"a": nested}
        return nested


def _part_of(value: Any, random: Random) -> Any:
    """Return some part of a value."""
    while isinstance(value, (list, dict)) and value and random.random() < 0.7:
        value = random.choice(list(value.values()) if isinstance(value, dict) else value)
    return value

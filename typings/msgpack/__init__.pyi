# The part of msgpack that swarm uses; the package ships no types.
from collections.abc import Iterator
from typing import Any

from msgpack import exceptions as exceptions

class Packer:
    def pack(self, obj: object) -> bytes: ...

class Unpacker:
    def __init__(
        self, *, strict_map_key: bool = ..., max_buffer_size: int = ..., raw: bool = ...
    ) -> None: ...
    def feed(self, next_bytes: bytes | bytearray | memoryview) -> None: ...
    def __iter__(self) -> Iterator[Any]: ...

def packb(o: object, *, use_bin_type: bool = ..., default: Any = ...) -> bytes: ...
def unpackb(
    packed: bytes | bytearray | memoryview,
    *,
    strict_map_key: bool = ...,
    raw: bool = ...,
    use_list: bool = ...,
) -> object: ...

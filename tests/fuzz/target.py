"""What a target of the fuzzer is."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tests.fuzz.mutation import BYTES

Act: TypeAlias = Callable[[bytes], object]
Traffic: TypeAlias = dict[str, list[bytes]]


@dataclass(frozen=True)
class Target:
    """One decoder, or an input of something larger.

    Attributes:
        name: letters, digits and dashes.
        prepare: returns what takes an input. What else it raises is a find.
        seeds: inputs to begin with, given the recorded traffic; at least one.
        shape: what inputs mostly are, see `mutation`.
        errors: what the decoder says it raises.
        is_fresh: whether each input needs a preparation of its own.
        share: of the time, as against 1 of a small decoder.
    """

    name: str
    prepare: Callable[[], Act]
    seeds: Callable[[Traffic], list[bytes]]
    shape: str = BYTES
    errors: tuple[type[BaseException], ...] = ()
    is_fresh: bool = False
    share: int = 1

    def take(self, act: Act, data: bytes) -> None:
        """Give one input; only finds come out."""
        try:
            act(data)
        except self.errors:
            return


def plain(decoder: Callable[[Any], object]) -> Callable[[], Act]:
    """Return the preparation of a decoder that keeps nothing."""
    return lambda: decoder


_SHARED_MEMORY = Path("/dev/shm")
_folders: list[Path] = []


def folder(name: str) -> Path:
    """Return a folder of this process, in memory where that is possible: nothing has to last."""
    if not _folders:
        place = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
        _folders.append(Path(tempfile.mkdtemp(prefix="swarm-fuzz-", dir=place)))
        atexit.register(shutil.rmtree, _folders[0], ignore_errors=True)
    path = _folders[0] / name
    path.mkdir(exist_ok=True)
    return path

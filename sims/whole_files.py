"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from swarm.core.errors import ConfigError


class OutputError(ConfigError):
    """Results cannot be written or read; names the file."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that it has its old content or the new one, whatever happens.

    Raises:
        OutputError: it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error

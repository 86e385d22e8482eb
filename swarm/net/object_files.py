"""Files of the object store: reading ranges, and taking in new ones under a quota.

An object is a file named by `swarm.core.ids.object_path`. Whatever is not complete has a name that starts
with a dot and is moved into place by one rename, so a file under an object's name is always whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final

from swarm.core.errors import StorageError
from swarm.core.ids import DIGEST_SIZE

READ_SIZE: Final = 1024 * 1024


class ObjectConflict(StorageError):
    """An object of this name exists with other bytes; nothing changed."""


class QuotaReached(StorageError):
    """The store may not grow by this much; nothing changed."""


class IncomingObject:
    """A file that is being received: written in order, digested on the way, then moved into place."""

    def __init__(self, path: Path, number: int) -> None:
        """Begin a file that will become `path`; `number` tells it from other beginnings."""
        self._path: Final = path
        self._draft: Final = path.with_name(f".put-{os.getpid()}-{number}-{path.name}")
        self._file: Final[BinaryIO] = self._draft.open("xb")
        self._hash: Final = blake2b(digest_size=DIGEST_SIZE)

    def write(self, data: bytes) -> None:
        """Append; OSError when the disk is full."""
        self._file.write(data)
        self._hash.update(data)

    def digest(self) -> bytes:
        """Return the digest of what was written so far."""
        return self._hash.digest()

    def finish(self) -> None:
        """Move the file into place; it is on disk then.

        Raises:
            ObjectConflict: another object has this name.
        """
        self._file.flush()
        os.fsync(self._file.fileno())  # its client will be told that the job is safe
        self._file.close()
        try:
            os.link(self._draft, self._path)
        except FileExistsError:
            if digest_file(self._path) != self.digest():
                raise ObjectConflict(f"the object {self._path.name} exists with other content") from None
        except OSError:  # no hard links here
            self._draft.replace(self._path)
        finally:
            self.abandon()
        sync_folder(self._path.parent)

    def abandon(self) -> None:
        """Remove what was written, unless it is in place already."""
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            self._draft.unlink()


def sync_file(path: Path) -> None:
    """Bring a file, and its name, onto the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder onto the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest_file(path: Path) -> bytes:
    """Return the digest of a file."""
    digest = blake2b(digest_size=DIGEST_SIZE)
    with path.open("rb") as file:
        while data := file.read(READ_SIZE):
            digest.update(data)
    return digest.digest()


def store_size(store: Path) -> int:
    """Return the bytes in a store, beginnings included."""
    size = 0
    with os.scandir(store) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                size += entry.stat(follow_symlinks=False).st_size
    return size


def is_disk_full(error: OSError) -> bool:
    """Return whether an error means that there is no room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def parse_range(value: bytes, size: int) -> tuple[int, int] | None:
    """Return (first, end) of the one range asked for (RFC 9110 §14.1.2), None when it is to be ignored.

    Args:
        value: of the ``Range`` header.
        size: of the object, in bytes.

    Raises:
        ValueError: the range lies outside of the object.
    """
    unit, _, text = value.decode("ascii", "replace").partition("=")
    first, dash, last = text.strip().partition("-")
    if unit.strip() != "bytes" or not dash or "," in text:
        return None
    if not all(part == "" or (part.isdecimal() and len(part) < 20) for part in (first, last)):
        return None
    if not first:
        if not last:
            return None
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
    if start >= end:
        raise ValueError("the range lies outside of the object")
    return start, end

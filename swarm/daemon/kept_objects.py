"""Objects in the own store that outlive a restart: those that a client brought and no task can make again.

The client brought them to this node, or this node keeps the record of a job that refers to them.
What is known of each stands in a row of the journal, in a table of the daemon's own, written with the next
batch; so it is durable before the job that refers to the object is acknowledged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias, final

from swarm.core.effects import Erase, Persist
from swarm.core.errors import DecodeError
from swarm.core.ids import ObjectName, object_path, parse_object_path
from swarm.daemon.storage import Row, Write
from swarm.wire.codec import Body, pack, unpack_untrusted

STORE_TABLE: Final = "store"
_KEY_END: Final = b"/"

KeptObject: TypeAlias = tuple[ObjectName, bytes, int, int]
"""(name, digest, size in bytes, encoding)."""


@final
class KeptObjects:
    """Notes about the objects in a directory.

    Args:
        store: the directory.
        persist: writes a row with the next batch.
    """

    def __init__(self, store: Path, persist: Callable[[Write], None]) -> None:
        self._store = store
        self._persist = persist
        self._noted: dict[str, bool] = {}

    def note(self, name: ObjectName, digest: bytes, size: int, encoding: int) -> None:
        """Remember an object that a client has put here."""
        path = object_path(name)
        self._noted[path] = True
        self._persist(Persist(STORE_TABLE, path.encode() + _KEY_END, pack([digest, size, encoding]), False))

    def drop(self, name: ObjectName) -> None:
        """Delete an object, noted or not, there or not."""
        path = object_path(name)
        with contextlib.suppress(OSError):
            (self._store / path).unlink(missing_ok=True)
        if self._noted.pop(path, False):
            self._persist(Erase(STORE_TABLE, path.encode() + _KEY_END))

    def restore(self, rows: list[Row]) -> list[KeptObject]:
        """Return the noted objects that are still there, and delete all other files of the store.

        Results of tasks are made again when someone needs them.
        """
        found: list[KeptObject] = []
        for table, key, value in rows:
            if table == STORE_TABLE:
                kept = self._restored(key, value)
                if kept is not None:
                    found.append(kept)
                    self._noted[object_path(kept[0])] = True
        for file in sorted(self._store.iterdir()):
            if file.name not in self._noted:
                with contextlib.suppress(OSError):
                    file.unlink()
        return found

    def _restored(self, key: bytes, value: bytes) -> KeptObject | None:
        try:
            path = key.removesuffix(_KEY_END).decode("ascii")
            name = parse_object_path(path)
            fields = unpack_untrusted(value)
            body = Body(fields if isinstance(fields, list) else [])
            digest, size, encoding = body.take_bytes(), body.take_int(), body.take_int()
            if (self._store / path).stat().st_size == size:
                return (name, digest, size, encoding)
        except (DecodeError, ValueError, OSError):
            pass
        self._persist(Erase(STORE_TABLE, key))
        return None

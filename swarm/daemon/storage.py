"""The journal: the rows that a node must find again after a crash, in one SQLite database.

One table of (tab, key, value, crc). SQLite runs in WAL mode: a durable batch is committed with
``synchronous=FULL`` (the log is synced before the commit returns), any other with ``NORMAL``, which a power
cut may lose but never tear. Each row carries a CRC-32 of its table, key and value, because SQLite itself
does not notice a flipped bit inside a value. Nor does it tell a flipped bit in its log from the place where a
crash tore the last write: it silently forgets all transactions from there on. So the log is looked at first,
and when more than the last transaction is forgotten, that is damage, too. A database in which anything is
wrong is moved aside whole, what can still be read with a right checksum is copied into a new one, and the
damage is told to the caller.

The methods block; the driver calls :meth:`Journal.commit` in a worker thread, one call at a time.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import time
import zlib
from pathlib import Path
from typing import Final, TypeAlias, final

from swarm.core.effects import Erase, Persist
from swarm.core.errors import StorageError

Row: TypeAlias = tuple[str, bytes, bytes]
"""(table, key, value)."""

Write: TypeAlias = Persist | Erase

LAYOUT_VERSION: Final = 1
_CREATE: Final = (
    "CREATE TABLE IF NOT EXISTS rows (tab TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,"
    " crc INTEGER NOT NULL, PRIMARY KEY (tab, key))"
)
_INSERT: Final = "INSERT OR REPLACE INTO rows (tab, key, value, crc) VALUES "
_ROWS_PER_INSERT: Final = (200, 20, 1)
"""Rows that go into one statement; a third cheaper than one by one."""
_SELECT: Final = "SELECT tab, key, value, crc FROM rows ORDER BY tab, key"
_SALVAGE: Final = "SELECT rowid, tab, key, value, crc FROM rows NOT INDEXED ORDER BY rowid "

_FAILURES: Final = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite's calls raise; the second when a message quotes bytes of a damaged file."""
_LOG_HEADER: Final = struct.Struct(">8I")
_FRAME_HEADER: Final = struct.Struct(">6I")
_LOG_MAGIC_LITTLE: Final = 0x377F0682
_LOG_MAGIC_BIG: Final = 0x377F0683
_WORD: Final = 0xFFFFFFFF
_VERSIONS_AT: Final = 18
_VERSIONS_END: Final = 20
_FORMAT_VERSION_MAX: Final = 2
_DAMAGE: Final = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_ERROR,
)
"""Codes that mean a damaged file; the last one because our statements are right for what we write."""


def row_checksum(table: str, key: bytes, value: bytes) -> int:
    """Return the CRC-32 of a row; the length of the key is part of it, so that bytes cannot move over."""
    head = f"{table}\0{len(key)}\0".encode()
    return zlib.crc32(value, zlib.crc32(key, zlib.crc32(head)))


@final
class Loaded:
    """What a journal held at start.

    Attributes:
        rows: all good rows, sorted by table and key.
        damage: one line for people about what was wrong, "" when nothing was.
        lost_count: rows known to be lost; the real number is unknown when the file itself was torn.
    """

    def __init__(self, rows: list[Row], damage: str, lost_count: int) -> None:
        self.rows: Final = rows
        self.damage: Final = damage
        self.lost_count: Final = lost_count


class Journal:
    """The rows of one node on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._is_full_sync = False
        self._is_sound = False
        self._log_damage = ""
        self.commit_count = 0
        self.durable_count = 0
        self.row_count = 0

    def open(self) -> Loaded:
        """Open or make the database and read everything in it.

        Raises:
            StorageError: the file system does not let us read or write here.
        """
        try:
            self._connection = self._connect()
            return self._load()
        except OSError as error:
            self._disconnect()
            raise StorageError(f"cannot write the journal {self._path}: {error.strerror}") from None
        except _FAILURES as error:
            if not _is_damage(error) and not _is_of_the_future(self._path):
                self._disconnect()
                raise StorageError(self._explain(error)) from None
            return self._rescue(str(error))
        except MemoryError:
            if self._is_sound:
                raise  # it is large, and there is no memory
            return self._rescue("a size in it is beyond all memory")

    def commit(self, writes: list[Write], durable: bool) -> None:
        """Perform `writes` in order, all or none; when `durable`, they are on disk when this returns.

        Raises:
            StorageError: they are not written (disk full, read-only, broken); nothing changed, and the
                same call may be tried again.
        """
        connection = self._connection
        if connection is None:
            raise StorageError(f"the journal {self._path} is closed")
        try:
            if durable != self._is_full_sync:
                connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._is_full_sync = durable
            connection.execute("BEGIN IMMEDIATE")
            _perform(connection, writes)
            connection.execute("COMMIT")
        except _FAILURES as error:
            with contextlib.suppress(*_FAILURES):
                connection.execute("ROLLBACK")
            raise StorageError(self._explain(error)) from None
        self.commit_count += 1
        self.durable_count += 1 if durable else 0
        self.row_count += len(writes)

    def close(self) -> None:
        """Bring everything into the main file and close it; nothing is raised."""
        if self._connection is not None:
            with contextlib.suppress(MemoryError, *_FAILURES):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._disconnect()

    def _connect(self) -> sqlite3.Connection:
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            os.chmod(self._path, 0o600)  # first: SQLite gives its other files the same mode
            frames = _log_frames(self._path.with_name(self._path.name + "-wal"))
            connection = sqlite3.connect(
                self._path, timeout=5.0, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise StorageError(self._explain(error)) from None
        self._connection = connection
        connection.text_factory = bytes  # a flipped bit makes text that is none: no error, but damage
        connection.execute("PRAGMA journal_mode=WAL")
        self._log_damage = _log_damage(connection, frames)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=1000")
        connection.execute("PRAGMA cache_size=-1024")
        connection.execute("PRAGMA temp_store=MEMORY")
        self._is_full_sync = True
        connection.execute(_CREATE)
        connection.execute(f"PRAGMA user_version={LAYOUT_VERSION}")
        _sync_directory(self._path.parent)
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(MemoryError, *_FAILURES):
                self._connection.close()
        self._connection = None

    def _load(self) -> Loaded:
        assert self._connection is not None, "loading needs an open database"
        verdict = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict is None or verdict[0] != b"ok":
            told = b"not a sound database" if verdict is None else verdict[0]
            return self._rescue(told.decode("utf-8", "replace"))
        if self._log_damage:
            return self._rescue(self._log_damage)
        self._is_sound = True
        rows: list[Row] = []
        bad_count = 0
        for fields in self._connection.execute(_SELECT):
            row = _checked(fields)
            if row is None:
                bad_count += 1
            else:
                rows.append(row)
        if bad_count:
            return self._rescue(f"{bad_count} rows fail their checksum")
        return Loaded(rows, "", 0)

    def _rescue(self, damage: str) -> Loaded:
        """Move the damaged database aside and go on with a new one that holds the good rows."""
        rows, lost_count = self._salvage()
        self._disconnect()
        aside = self._path.with_name(f"{self._path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        try:
            for suffix in ("", "-wal", "-shm"):
                source = self._path.with_name(self._path.name + suffix)
                if source.exists():
                    os.replace(source, aside.with_name(aside.name + suffix))
            self._connection = self._connect()
        except (OSError, *_FAILURES) as error:
            raise StorageError(f"cannot replace the damaged journal {self._path}: {error}") from None
        self.commit([Persist(table, key, value, True) for table, key, value in rows], durable=True)
        told = f"the journal was damaged ({damage}); it was moved to {aside}, {len(rows)} rows were saved"
        return Loaded(rows, told, lost_count)

    def _salvage(self) -> tuple[list[Row], int]:
        """Return every row with a right checksum, sorted, and the number of those with a wrong one.

        Read from both ends, past which a torn page lets nothing through.
        """
        good: dict[tuple[str, bytes], bytes] = {}
        bad: dict[int, bool] = {}
        if self._connection is None:
            return [], 0
        for order in ("ASC", "DESC"):
            with contextlib.suppress(MemoryError, *_FAILURES):  # a torn row may claim any size
                for number, *fields in self._connection.execute(_SALVAGE + order):
                    row = _checked(tuple(fields))
                    if row is None:
                        bad[number] = True
                    else:
                        good[(row[0], row[1])] = row[2]
        return [(table, key, good[(table, key)]) for table, key in sorted(good)], len(bad)

    def _explain(self, error: Exception) -> str:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return f"no space left for the journal {self._path}: free some space on that disk"
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
            return (
                f"cannot write the journal {self._path} ({error}): make its directory writable,"
                " or choose another with --home"
            )
        return f"the journal {self._path} failed: {error}"


def _perform(connection: sqlite3.Connection, writes: list[Write]) -> None:
    rows: list[Persist] = []
    for write in writes:
        if isinstance(write, Persist):
            rows.append(write)
        else:
            _insert(connection, rows)
            rows = []
            _erase(connection, write)
    _insert(connection, rows)


def _insert(connection: sqlite3.Connection, rows: list[Persist]) -> None:
    start = 0
    for size in _ROWS_PER_INSERT:
        statement = _INSERT + ", ".join(["(?, ?, ?, ?)"] * size)
        while len(rows) - start >= size:
            values: list[str | bytes | int] = []
            for row in rows[start : start + size]:
                checksum = row_checksum(row.table, row.key, row.value)
                values += (row.table, row.key, row.value, checksum)
            connection.execute(statement, values)
            start += size


def _erase(connection: sqlite3.Connection, write: Erase) -> None:
    end = _prefix_end(write.prefix)
    if end is None:
        connection.execute("DELETE FROM rows WHERE tab = ? AND key >= ?", (write.table, write.prefix))
    else:
        connection.execute(
            "DELETE FROM rows WHERE tab = ? AND key >= ? AND key < ?", (write.table, write.prefix, end)
        )


def _prefix_end(prefix: bytes) -> bytes | None:
    """Return the least key behind all keys that start with `prefix`, None when there is no such key."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None


def _checked(fields: tuple[object, ...]) -> Row | None:
    name, key, value, checksum = fields
    if not isinstance(name, bytes) or not isinstance(key, bytes) or not isinstance(value, bytes):
        return None
    try:
        table = name.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return (table, key, value) if checksum == row_checksum(table, key, value) else None


def _log_frames(path: Path) -> list[bool] | None:
    """Return of each frame that belongs to the log at present whether it ends a transaction, by its number.

    Frames of an earlier use of the file are left out at the end and count as ending nothing in between. None
    when the header is damaged, so that nobody knows what belongs to it.

    Source: "WAL-mode File Format" of SQLite, §3 and §4.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return []
    if len(data) < _LOG_HEADER.size:
        return []
    magic, _, page_size, _, salt, other_salt, *checksum = _LOG_HEADER.unpack_from(data)
    if magic not in (_LOG_MAGIC_LITTLE, _LOG_MAGIC_BIG):
        return None
    order = ">" if magic == _LOG_MAGIC_BIG else "<"
    first = second = 0
    for left, right in struct.iter_unpack(f"{order}2I", data[: _LOG_HEADER.size - 8]):
        first = (first + left + second) & _WORD
        second = (second + right + first) & _WORD
    if checksum != [first, second]:
        return None
    frames: list[bool] = []
    last = 0
    for at in range(_LOG_HEADER.size, len(data) - _FRAME_HEADER.size + 1, _FRAME_HEADER.size + page_size):
        _, pages_after, frame_salt, other, _, _ = _FRAME_HEADER.unpack_from(data, at)
        is_present = (frame_salt, other) == (salt, other_salt)
        frames.append(is_present and pages_after > 0)
        last = len(frames) if is_present else last
    return frames[:last]


def _log_damage(connection: sqlite3.Connection, frames: list[bool] | None) -> str:
    """Return what is wrong with the log of a database that was just opened, "" when nothing is.

    What is left of one transaction at its end was torn by a crash before it was durable, or cannot be told
    from that.
    """
    if frames is None:
        return "the head of its log is no such head"
    _, known_count, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    forgotten = frames[max(known_count, 0) :]
    count = sum(forgotten[:-1])
    return f"a flipped bit or a hole in its log: {count} or more transactions are lost" if count else ""


def _is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, UnicodeDecodeError) or code in _DAMAGE


def _is_of_the_future(path: Path) -> bool:
    """Return whether the head names a file format that SQLite would read and not write: we never made that.

    Source: "Database File Format" of SQLite, §1.3.3.
    """
    with contextlib.suppress(OSError), path.open("rb") as file:
        head = file.read(_VERSIONS_END)
        return len(head) == _VERSIONS_END and max(head[_VERSIONS_AT:]) > _FORMAT_VERSION_MAX
    return False


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

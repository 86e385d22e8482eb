"""The journal: what it keeps, what it notices, what it refuses."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from swarm.core.effects import Erase, Persist
from swarm.core.errors import StorageError
from swarm.daemon.storage import Journal, Loaded, row_checksum


def opened(path: Path) -> Journal:
    journal = Journal(path)
    loaded = journal.open()
    assert loaded.damage == ""
    return journal


def put(table: str, key: bytes, value: bytes) -> Persist:
    return Persist(table, key, value, False)


def rows_of(path: Path) -> list[tuple[str, bytes, bytes]]:
    journal = Journal(path)
    loaded = journal.open()
    journal.close()
    assert loaded.damage == ""
    return loaded.rows


def test_a_new_journal_is_empty_and_private(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    loaded = journal.open()
    assert (loaded.rows, loaded.damage, loaded.lost_count) == ([], "", 0)
    assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == dict.fromkeys(
        ("journal.db", "journal.db-shm", "journal.db-wal"), 0o600
    )
    journal.close()


@pytest.mark.parametrize("durable", [True, False])
def test_rows_come_back_sorted(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.commit([put("b", b"1", b"x"), put("a", b"\xff", b""), put("a", b"\x00", b"y" * 100_000)], durable)
    journal.close()
    assert rows_of(path) == [("a", b"\x00", b"y" * 100_000), ("a", b"\xff", b""), ("b", b"1", b"x")]


def test_a_row_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.commit([put("a", b"k", b"1"), put("a", b"k", b"2")], durable=False)
    journal.commit([put("a", b"k", b"3")], durable=True)
    journal.close()
    assert rows_of(path) == [("a", b"k", b"3")]


def test_erase_takes_a_prefix_in_order(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    keys = [b"job1", b"job1/a", b"job1\xff\xff", b"job2", b"\xff", b"\xff\xff1"]
    journal.commit([*[put("a", key, b"") for key in keys], put("b", b"job1", b"")], durable=False)
    journal.commit([Erase("a", b"job1"), put("a", b"job1/new", b"")], durable=False)
    journal.commit([Erase("a", b"\xff")], durable=False)
    journal.close()
    assert rows_of(path) == [("a", b"job1/new", b""), ("a", b"job2", b""), ("b", b"job1", b"")]


def test_erase_of_everything(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.commit([put("a", b"", b"1"), put("a", b"x", b"2"), put("b", b"", b"3")], durable=False)
    journal.commit([Erase("a", b"")], durable=True)
    journal.close()
    assert rows_of(path) == [("b", b"", b"3")]


def test_a_copy_of_the_files_while_open_holds_durable_rows(tmp_path: Path) -> None:
    """What a crash of the process leaves behind."""
    journal = opened(tmp_path / "journal.db")
    journal.commit([put("a", b"k", b"v")], durable=True)
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for file in tmp_path.glob("journal.db*"):
        shutil.copy(file, crashed / file.name)
    journal.close()
    assert rows_of(crashed / "journal.db") == [("a", b"k", b"v")]


FRAME_BYTES = 24 + 4096
LOG_HEAD_BYTES = 32


def killed(folder: Path, spoil: Callable[[bytearray], object]) -> tuple[Loaded, Path]:
    """Return what is loaded after a crash behind five durable rows, each a transaction, of a spoiled log."""
    path = folder / "journal.db"
    journal = opened(path)
    for number in range(5):
        journal.commit([put("a", b"k%d" % number, b"v" * 5000)], durable=True)
    after = folder / "after"
    after.mkdir()
    for file in sorted(folder.glob("journal.db*")):
        shutil.copy(file, after)
    journal.close()
    log = after / "journal.db-wal"
    data = bytearray(log.read_bytes())
    spoil(data)
    log.write_bytes(data)
    again = Journal(after / "journal.db")
    loaded = again.open()
    again.commit([put("b", b"new", b"")], durable=True)
    again.close()
    return loaded, after


def flip(data: bytearray, at: int) -> None:
    data[at] ^= 0x08


def cut(data: bytearray, count: int) -> None:
    del data[-count:]


DAMAGED_LOG: dict[str, Callable[[bytearray], object]] = {
    "a page": lambda data: flip(data, len(data) // 2),
    "the head of a frame": lambda data: flip(data, LOG_HEAD_BYTES + 4 * FRAME_BYTES + 5),
    "the salt of a frame": lambda data: flip(data, LOG_HEAD_BYTES + 4 * FRAME_BYTES + 9),
    "the salt of the log": lambda data: flip(data, 17),
    "the mark of the log": lambda data: flip(data, 2),
}


@pytest.mark.parametrize("name", DAMAGED_LOG)
def test_a_flipped_bit_in_the_log_is_noticed_although_sqlite_takes_it_for_its_end(
    tmp_path: Path, name: str
) -> None:
    loaded, folder = killed(tmp_path, DAMAGED_LOG[name])
    assert "log" in loaded.damage
    assert len(loaded.rows) < 5
    assert list(folder.glob("journal.db.damaged-*"))


@pytest.mark.parametrize("count", [1, 4000, FRAME_BYTES, FRAME_BYTES + 4100])
def test_a_last_transaction_that_was_torn_is_no_damage(tmp_path: Path, count: int) -> None:
    loaded, folder = killed(tmp_path, lambda data: cut(data, count))
    assert loaded.damage == ""
    assert [key for _, key, _ in loaded.rows] == [b"k0", b"k1", b"k2", b"k3"]
    assert not list(folder.glob("journal.db.damaged-*"))


def test_a_log_that_was_used_again_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    for number in range(400):  # beyond the size at which SQLite begins the log anew
        journal.commit([put("a", b"k%d" % (number % 7), b"v" * 9000)], durable=number % 100 == 99)
    shutil.copytree(tmp_path, tmp_path.with_name("copy"))
    journal.close()
    assert len(rows_of(tmp_path.with_name("copy") / "journal.db")) == 7


def test_a_flipped_bit_is_noticed_and_the_rest_saved(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.commit([put("a", b"good", b"value"), put("a", b"bad", b"SECRETVALUE")], durable=True)
    journal.close()
    data = bytearray(path.read_bytes())
    data[data.index(b"SECRETVALUE")] ^= 1
    path.write_bytes(bytes(data))
    damaged = Journal(path)
    loaded = damaged.open()
    assert loaded.rows == [("a", b"good", b"value")]
    assert loaded.lost_count == 1
    assert "1 rows fail their checksum" in loaded.damage
    damaged.commit([put("a", b"new", b"")], durable=True)
    damaged.close()
    assert rows_of(path) == [("a", b"good", b"value"), ("a", b"new", b"")]
    assert len(list(tmp_path.glob("journal.db.damaged-*"))) == 1


def test_a_file_that_is_no_database_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"not a database, whatever it says" * 200)
    journal = Journal(path)
    loaded = journal.open()
    assert loaded.rows == []
    assert "damaged" in loaded.damage
    assert str(tmp_path) in loaded.damage
    journal.commit([put("a", b"k", b"v")], durable=True)
    journal.close()
    assert rows_of(path) == [("a", b"k", b"v")]


@pytest.mark.parametrize("of_table", [True, False])
def test_a_torn_page_is_noticed_and_what_lies_around_it_saved(tmp_path: Path, of_table: bool) -> None:
    """A page of the table (some rows are lost) or of its index (none is)."""
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.commit([put("a", b"%05d" % number, b"v" * 200) for number in range(500)], durable=True)
    journal.close()
    data = bytearray(path.read_bytes())
    places = [at for at in range(len(data)) if data.startswith(b"a00250", at)]
    page = next(at for at in places if (data[at + 6 : at + 8] == b"vv") == of_table) // 4096
    data[page * 4096 : (page + 1) * 4096] = bytes(4096)
    path.write_bytes(bytes(data))
    damaged = Journal(path)
    loaded = damaged.open()
    damaged.close()
    assert loaded.damage
    assert all(value == b"v" * 200 for _, _, value in loaded.rows)
    keys = [key for _, key, _ in loaded.rows]
    assert keys[0] == b"00000"
    assert keys[-1] == b"00499"
    assert (450 < len(keys) < 500) if of_table else len(keys) == 500
    assert rows_of(path) == loaded.rows


def test_a_full_disk_is_said_and_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.commit([put("a", b"k", b"v")], durable=True)
    assert journal._connection is not None
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count={pages}")
    writes: list[Persist | Erase] = [put("a", b"big", b"x" * 1_000_000), put("a", b"k", b"changed")]
    with pytest.raises(StorageError, match="no space left"):
        journal.commit(writes, durable=True)
    journal._connection.execute("PRAGMA max_page_count=100000")
    assert journal._connection.execute("SELECT value FROM rows").fetchall() == [(b"v",)]
    journal.commit(writes, durable=True)
    journal.close()
    assert rows_of(path) == [("a", b"big", b"x" * 1_000_000), ("a", b"k", b"changed")]


def test_a_read_only_database_is_said(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    assert journal._connection is not None
    journal._connection.execute("PRAGMA query_only=1")
    with pytest.raises(StorageError, match=r"cannot write the journal .* another with --home"):
        journal.commit([put("a", b"k", b"v")], durable=True)
    journal.close()


def test_a_missing_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write the journal"):
        Journal(tmp_path / "nowhere" / "journal.db").open()


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    journal.close()
    journal.close()
    with pytest.raises(StorageError, match="closed"):
        journal.commit([put("a", b"k", b"v")], durable=True)


def test_durable_commits_are_synced(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    assert journal._connection is not None

    def mode() -> int:
        assert journal._connection is not None
        value = journal._connection.execute("PRAGMA synchronous").fetchone()[0]
        assert isinstance(value, int)
        return value

    journal.commit([put("a", b"1", b"")], durable=False)
    assert mode() == 1
    journal.commit([put("a", b"2", b"")], durable=True)
    assert mode() == 2
    journal.commit([put("a", b"3", b"")], durable=False)
    assert mode() == 1
    assert (journal.commit_count, journal.durable_count, journal.row_count) == (3, 1, 3)
    journal.close()


def test_checksum_covers_every_part_of_a_row() -> None:
    rows = [
        ("t", b"key", b"value"),
        ("u", b"key", b"value"),
        ("t", b"keyv", b"alue"),
        ("t", b"key", b"valuf"),
    ]
    assert len({row_checksum(*row) for row in rows}) == 4


def test_a_flipped_bit_in_the_name_of_a_table_is_noticed_and_the_rest_saved(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.commit([put("good", b"k", b"v"), put("TABLENAME", b"k", b"v")], durable=True)
    journal.close()
    # Both copies, the row's and the index's, so that only reading it tells that this is no text.
    path.write_bytes(path.read_bytes().replace(b"TABLENAME", b"TABLE\xceAME"))
    damaged = Journal(path)
    loaded = damaged.open()
    damaged.close()
    assert loaded.rows == [("good", b"k", b"v")]
    assert loaded.lost_count == 1
    assert rows_of(path) == [("good", b"k", b"v")]


@pytest.mark.parametrize(
    ("there", "here"),
    [
        (b"CREATE TABLE rows", b"CREATE TA\xec\xc1E rows"),  # a message quotes it, and is no text then
        (b"crc INTEGER", b"crd INTEGER"),  # as if it were the table of somebody else
    ],
)
def test_a_flipped_bit_in_the_layout_is_damage(tmp_path: Path, there: bytes, here: bytes) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.commit([put("a", b"k", b"v")], durable=True)
    journal.close()
    data = path.read_bytes()
    assert there in data
    path.write_bytes(data.replace(there, here))
    damaged = Journal(path)
    assert damaged.open().damage
    damaged.commit([put("a", b"new", b"v")], durable=True)
    damaged.close()
    assert ("a", b"new", b"v") in rows_of(path)


def test_rows_of_a_foreign_kind_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.commit([put("a", b"k", b"v")], durable=True)
    journal.close()
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO rows VALUES ('a', 'text', 5, 1)")
    connection.commit()
    connection.close()
    again = Journal(path)
    loaded = again.open()
    again.close()
    assert loaded.rows == [("a", b"k", b"v")]
    assert loaded.lost_count == 1

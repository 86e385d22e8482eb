"""Home directory, lock, small files, and what is kept in the store."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from swarm.core.effects import Erase, Persist
from swarm.core.errors import ConfigError, LocalProtocolError, StorageError
from swarm.core.ids import ObjectName, object_path
from swarm.daemon.home import Home, HomeLock, default_home, read_json_file, running_pid, write_private
from swarm.daemon.kept_objects import STORE_TABLE, KeptObjects
from swarm.daemon.mesh_file import NotAllowed, choose_mesh, keep_mesh, read_ring, write_ring
from swarm.daemon.storage import Row, Write
from swarm.net.invitation import Invitation, new_secret
from swarm.net.keys import MeshKeys


def test_default_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SWARM_HOME", str(tmp_path / "named"))
    assert default_home() == tmp_path / "named"
    monkeypatch.delenv("SWARM_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert default_home() == tmp_path / "state" / "swarm"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_home() == tmp_path / ".local" / "state" / "swarm"


def test_home_is_private(tmp_path: Path) -> None:
    home = Home(tmp_path / "a" / "b")
    home.create()
    home.create()
    assert home.root.stat().st_mode & 0o777 == 0o700
    assert home.store.is_dir()
    assert home.scratch.is_dir()


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose another with --home"):
        Home(tmp_path / "file" / "home").create()


def test_private_files_are_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(StorageError, match="cannot write"):
        write_private(tmp_path / "no" / "x", "")


def test_the_lock_keeps_a_second_one_out(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    assert running_pid(home) is None
    first = HomeLock(home)
    first.acquire()
    assert running_pid(home) == os.getpid()
    with pytest.raises(LocalProtocolError, match=f"already runs in .* \\(pid {os.getpid()}\\); stop it with"):
        HomeLock(home).acquire()
    first.release()
    first.release()
    assert running_pid(home) is None
    second = HomeLock(home)
    second.acquire()
    second.release()


def test_a_stale_lock_file_is_nobody(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.lock.write_text("12345\n")
    assert running_pid(home) is None


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot open"):
        HomeLock(Home(tmp_path / "missing")).acquire()


def test_json_files(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert read_json_file(path) is None
    path.write_text("{")
    assert read_json_file(path) is None
    path.write_text("[]")
    assert read_json_file(path) is None
    path.write_text(json.dumps({"a": 1}))
    assert read_json_file(path) == {"a": 1}


# The mesh of a home


def test_a_first_start_founds(tmp_path: Path) -> None:
    home = Home(tmp_path)
    choice = choose_mesh(home, "", found_new=False)
    assert choice.is_founded
    assert choice.is_new_here
    assert not home.mesh.exists(), "nothing is kept before the node is ready"
    assert choose_mesh(home, "", found_new=True).invitation.secret != choice.invitation.secret
    keep_mesh(home, choice.invitation, [("10.0.0.1", 7117)])
    assert home.mesh.stat().st_mode & 0o777 == 0o600
    again = choose_mesh(home, "", found_new=False)
    assert not again.is_founded
    assert not again.is_new_here
    assert again.invitation.secret == choice.invitation.secret
    assert again.invitation.addresses == [("10.0.0.1", 7117)]


def test_an_invitation_is_taken(tmp_path: Path) -> None:
    home = Home(tmp_path)
    invitation = Invitation(new_secret(), None, "m", [("h", 1)])
    choice = choose_mesh(home, f"  {invitation.to_text()}\n", found_new=False)
    assert choice.invitation == invitation
    assert not choice.is_founded
    assert choice.is_new_here
    keep_mesh(home, invitation, [])
    assert not choose_mesh(home, invitation.to_text(), found_new=False).is_new_here


def test_a_home_belongs_to_one_mesh(tmp_path: Path) -> None:
    home = Home(tmp_path)
    keep_mesh(home, Invitation(new_secret(), None, "first", []), [])
    other = Invitation(new_secret(), None, "second", []).to_text()
    with pytest.raises(ConfigError, match="belongs to the mesh 'first', but the invitation is for 'second'"):
        choose_mesh(home, other, found_new=False)
    namesake = Invitation(new_secret(), None, "first", []).to_text()
    with pytest.raises(ConfigError, match="the invitation is for another one of that name"):
        choose_mesh(home, namesake, found_new=False)
    with pytest.raises(ConfigError, match="--new founds another: start another node with --home"):
        choose_mesh(home, "", found_new=True)


def test_a_mesh_with_a_new_key_is_the_same_mesh(tmp_path: Path) -> None:
    """Who slept too long joins with an invitation of the day; one older than its own changes nothing."""
    home = Home(tmp_path)
    first = Invitation(new_secret(), None, "m", [], 1)
    keep_mesh(home, first, [])
    newer = Invitation(new_secret(), None, "m", [], 2)
    choice = choose_mesh(home, newer.to_text(), found_new=False)
    assert (choice.invitation, choice.is_new_here) == (newer, True)
    older = Invitation(new_secret(), None, "m", [])
    assert choose_mesh(home, older.to_text(), found_new=False).invitation == first


def test_what_a_mesh_is_stays_what_it_was_founded_as(tmp_path: Path) -> None:
    home = Home(tmp_path)
    founded = choose_mesh(home, "", found_new=True, quorum="strict")
    assert (founded.invitation.quorum, founded.is_founded, founded.is_first) == ("strict", True, True)
    keep_mesh(home, founded.invitation, [])
    again = choose_mesh(home, "", found_new=False)
    assert (again.invitation.quorum, again.is_first) == ("strict", False)
    assert choose_mesh(home, "", found_new=False, quorum="strict").invitation == again.invitation
    with pytest.raises(ConfigError, match="is strict, not available: that is settled when a mesh is founded"):
        choose_mesh(home, "", found_new=False, quorum="available")
    loose = Invitation(founded.invitation.secret, None, founded.invitation.mesh, [])
    with pytest.raises(ConfigError, match="is strict, not available"):
        choose_mesh(home, loose.to_text(), found_new=False)
    other = Home(tmp_path / "other")
    with pytest.raises(ConfigError, match=r"of the invitation is strict, not available.*--quorum available"):
        choose_mesh(other, founded.invitation.to_text(), found_new=False, quorum="available")
    joined = choose_mesh(other, founded.invitation.to_text(), found_new=False)
    assert (joined.invitation.quorum, joined.is_founded, joined.is_first) == ("strict", False, True)


def test_keys_are_kept_for_the_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert read_ring(home) == b""
    write_ring(home, b"\x00\xffsecret")
    assert home.keys.stat().st_mode & 0o777 == 0o600
    assert read_ring(home) == b"\x00\xffsecret"
    home.keys.write_bytes(b"\xff no base64")
    assert read_ring(home) == b"\xff no base64", "damage is shown to the keyring, which says so"


def test_a_client_cannot_join(tmp_path: Path) -> None:
    text = Invitation(b"", MeshKeys(new_secret()).client_credentials(), "m", []).to_text()
    with pytest.raises(NotAllowed, match="for clients"):
        choose_mesh(Home(tmp_path), text, found_new=False)


def test_a_wrong_invitation(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no invitation"):
        choose_mesh(Home(tmp_path), "hello", found_new=False)


def test_a_damaged_mesh_file(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.mesh.write_text("swarm1:x")
    with pytest.raises(StorageError, match=r"is damaged: .* remove it and join again"):
        choose_mesh(home, "", found_new=False)
    home.mesh.write_bytes(b"\xff")
    with pytest.raises(StorageError, match="cannot read"):
        choose_mesh(home, "", found_new=False)


# Objects that outlive a restart


def name(task: int) -> ObjectName:
    return (b"j" * 10, task, 0)


def put(store: Path, task: int, data: bytes) -> None:
    (store / object_path(name(task))).write_bytes(data)


def test_noted_objects_come_back(tmp_path: Path) -> None:
    written: list[Write] = []
    kept = KeptObjects(tmp_path, written.append)
    for task in (1, 10, 2):
        put(tmp_path, task, b"data")
        kept.note(name(task), b"d" * 16, 4, 1)
    rows: list[Row] = [
        (write.table, write.key, write.value) for write in written if isinstance(write, Persist)
    ]
    put(tmp_path, 3, b"a result")
    (tmp_path / object_path(name(2))).unlink()
    later: list[Write] = []
    again = KeptObjects(tmp_path, later.append)
    found = again.restore([("node", b"fence", b""), *rows, (STORE_TABLE, b"bad", b"bad")])
    assert found == [(name(1), b"d" * 16, 4, 1), (name(10), b"d" * 16, 4, 1)]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(
        [object_path(name(1)), object_path(name(10))]
    )
    assert len(later) == 2, "the rows of what is gone are erased"
    again.drop(name(1))
    assert isinstance(later[-1], Erase)
    key = rows[1][1]
    assert not key.startswith(later[-1].prefix), "1 is no prefix of 10"


def test_dropping_what_is_not_noted_writes_nothing(tmp_path: Path) -> None:
    written: list[Write] = []
    kept = KeptObjects(tmp_path, written.append)
    put(tmp_path, 1, b"x")
    kept.drop(name(1))
    kept.drop(name(1))
    assert list(tmp_path.iterdir()) == []
    assert written == []

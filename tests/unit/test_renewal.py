"""Homes that were copied: they are noticed, get a new key, and keep everything else."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from swarm.core.errors import StorageError
from swarm.core.ids import short
from swarm.daemon import host
from swarm.daemon.home import Home
from swarm.daemon.renewal import identity_facts, renew_identity, renewal_notice
from swarm.net.identity import NodeKey


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


def test_a_home_remembers_its_machine_and_every_start_is_another_instance(home: Home) -> None:
    first, second = identity_facts(home), identity_facts(home)
    assert set(first) == {"instance"}
    assert first["instance"] != second["instance"]
    assert isinstance(first["instance"], bytes)
    assert len(first["instance"]) == 8
    assert home.machine.read_text() == host.fingerprint() + "\n"


def test_a_home_on_another_machine_says_so_until_its_identity_is_renewed(home: Home) -> None:
    home.machine.write_text("0123456789abcdef\n")
    assert identity_facts(home)["moved"] is True
    assert identity_facts(home)["moved"] is True
    renew_identity(home)
    assert "moved" not in identity_facts(home)


def test_the_fingerprint_stays_the_same() -> None:
    assert host.fingerprint() == host.fingerprint()
    assert len(bytes.fromhex(host.fingerprint())) == host.HOST_DIGEST_SIZE


def test_a_new_identity_keeps_the_home_and_the_old_key(home: Home) -> None:
    before = NodeKey.load_or_create(home.root)
    (home.store / "object").write_text("kept")
    home.journal.write_text("kept")
    made = renew_identity(home)
    assert made == NodeKey.load_or_create(home.root).node_id != before.node_id
    aside = home.root / f"node.key.{short(before.node_id)[:8]}"
    assert NodeKey(aside.read_bytes()).node_id == before.node_id
    assert (
        stat.S_IMODE(aside.stat().st_mode) == stat.S_IMODE((home.root / "node.key").stat().st_mode) == 0o600
    )
    assert (home.store / "object").read_text() == home.journal.read_text() == "kept"
    told = json.loads(home.renewed.read_text())
    assert (told["was"], told["is"]) == (short(before.node_id), short(made))


def test_people_are_told(home: Home) -> None:
    assert renewal_notice(home) == ""
    was = short(NodeKey.load_or_create(home.root).node_id)
    renew_identity(home)
    assert renewal_notice(home).startswith(
        f"this home was a copy of node {was[:8]}, which runs too: since 20"
    )
    home.renewed.write_text("half a li")
    assert renewal_notice(home) == ""


def test_a_home_that_cannot_be_written_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> Path:
        raise PermissionError(13, "Permission denied")

    NodeKey.load_or_create(home.root)
    monkeypatch.setattr(Path, "replace", denied)
    with pytest.raises(StorageError, match=r"node\.key aside: Permission denied"):
        renew_identity(home)

"""Which mesh a client means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swarm.client.reach import find_reach, keep_login, parse_address
from swarm.core.errors import ConfigError, ConnectFailed
from swarm.net.invitation import Invitation
from swarm.net.keys import MeshKeys

SECRET = b"s" * 32


def invitation(mesh: str, *ports: int, secret: bytes = SECRET) -> str:
    return Invitation(secret, None, mesh, [("10.0.0.1", port) for port in ports]).to_text()


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SWARM_HOME", str(tmp_path))
    monkeypatch.delenv("SWARM_MESH", raising=False)
    return tmp_path


def test_nothing_is_known(home: Path) -> None:
    with pytest.raises(ConnectFailed, match=r"swarm join.*swarm login"):
        find_reach()


def test_the_login_is_used(home: Path) -> None:
    keep_login(invitation("garage", 7117))
    reach = find_reach()
    assert (reach.mesh, reach.addresses) == ("garage", [("10.0.0.1", 7117)])
    assert reach.credentials.role == "client"


def test_the_own_node_goes_before_the_login(home: Path) -> None:
    keep_login(invitation("garage", 7117))
    (home / "mesh").write_text(invitation("attic", 7200) + "\n")
    (home / "ready.json").write_text(json.dumps({"host": "10.0.0.9", "port": 7300, "pid": 1}))
    reach = find_reach()
    assert reach.mesh == "attic"
    assert reach.addresses == [("127.0.0.1", 7300), ("10.0.0.9", 7300), ("10.0.0.1", 7200)]
    assert str(home) in reach.origin


def test_a_node_that_does_not_run_is_no_address(home: Path) -> None:
    (home / "mesh").write_text(invitation("attic", 7200))
    assert find_reach().addresses == [("10.0.0.1", 7200)]


def test_what_is_said_goes_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_login(invitation("garage"))
    monkeypatch.setenv("SWARM_MESH", invitation("cellar", 1, 1, 2))
    assert find_reach().mesh == "cellar"
    assert find_reach(mesh=invitation("roof")).mesh == "roof"
    assert find_reach("pi:9").addresses == [("pi", 9), ("10.0.0.1", 1), ("10.0.0.1", 2)]


def test_a_client_invitation_brings_its_own_credentials(home: Path) -> None:
    credentials = MeshKeys(SECRET).client_credentials()
    reach = find_reach(mesh=Invitation(b"", credentials, "guests", []).to_text())
    assert reach.credentials == credentials
    assert reach.keys is None


def test_files_that_cannot_be_read(home: Path) -> None:
    (home / "mesh").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"cannot read .*mesh"):
        find_reach()


@pytest.mark.parametrize(
    ("text", "address"),
    [("pi:7117", ("pi", 7117)), ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)), ("::1:5", ("::1", 5))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "pi", ":1", "pi:", "pi:0", "pi:99999", "pi:x"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match=r"host:port"):
        parse_address(text)

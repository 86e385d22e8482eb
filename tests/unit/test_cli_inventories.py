"""`swarm nodes` for other programs: --sh, --mpi, --ansible."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swarm.cli import inventories, looking
from swarm.cli.main import run
from swarm.core.errors import ConnectFailed


def row(name: str, address: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"id{name}xxxxxxx",
        "name": name,
        "address": address,
        "state": "alive",
        "slots": 4.0,
        "leader": False,
        "tags": [f"node={name}", f"id=id{name}xxxxxxx"],
        **more,
    }


ROWS = [
    row("laptop", "10.0.0.1:7117", leader=True, python="3.11", tags=["kind=big", "node=laptop", "id=x"]),
    row("pi", "[fd00::2]:7117", state="suspect", slots=2.5),
    row("pi", "10.0.0.1:7118", id="otherother", tags=["kind=big", "kind:big"]),
    row("zero", "10.0.0.9:7117", slots=0.5),
    row("phone", "10.0.0.7:7117", state="dead"),
    row("shy", "", state="alive"),
]


@pytest.fixture(autouse=True)
def _answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "ask", lambda op, args, home, mesh: ROWS)


def test_shell_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["nodes", "--sh"]) == 0
    assert capsys.readouterr().out == "10.0.0.1 fd00::2 10.0.0.9\n"


def test_mpi_hostfile(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["nodes", "--mpi"]) == 0
    assert capsys.readouterr().out.splitlines() == ["10.0.0.1 slots=8", "fd00::2 slots=2", "10.0.0.9 slots=1"]


def test_ansible_inventory(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["nodes", "--ansible"]) == 0
    inventory = json.loads(capsys.readouterr().out)
    variables = inventory["_meta"]["hostvars"]
    assert list(variables) == ["laptop", "pi-otheroth", "pi-idpixxxx", "zero"]
    assert variables["pi-idpixxxx"]["ansible_host"] == "fd00::2"
    assert variables["laptop"]["swarm_leader"] is True
    assert variables["laptop"]["swarm_tags"] == ["kind=big"]
    assert inventory["all"]["children"] == ["ungrouped", "swarm", "tag_kind_big"]
    assert inventory["swarm"]["hosts"] == list(variables)
    assert inventory["tag_kind_big"]["hosts"] == ["laptop", "pi-otheroth"]


def test_one_form_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["nodes", "--sh", "--json"]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_nobody_is_unreachable(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConnectFailed):
        inventories.hosts_of([row("phone", "10.0.0.7:7117", state="left")])
    monkeypatch.setattr(looking, "ask", lambda op, args, home, mesh: [])
    assert run(["nodes", "--mpi"]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "swarm: no node of the mesh is alive; see `swarm nodes`\n"


@pytest.mark.parametrize("form", ["--sh", "--mpi", "--ansible"])
def test_no_mesh_is_unreachable(
    form: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("SWARM_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("SWARM_MESH", raising=False)
    assert run(["nodes", form]) == 3
    assert "no mesh is known here" in capsys.readouterr().err

"""Services as people use them: `swarm service`, `swarm nodes --service`, `swarm.services`, files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm import services
from swarm.daemon.api_client import CallRefused
from tests.mesh_processes import (
    Host,
    Node,
    agreed_leader,
    finished,
    finished_json,
    finished_well,
    wait_for,
)

ALONE = ("--no-multicast", "--listen", "127.0.0.1", "--cores", "1")


class Pair:
    """Two nodes of one host, each with a folder of its own for root services, and one home of one user."""

    def __init__(self, host: Host, home: Path) -> None:
        self.host = host
        self.user_folder = home / ".config" / "swarm" / "services"
        self.folders = [host.folder / "etc1", host.folder / "etc2"]
        self.nodes: list[Node] = []
        for name, folder in zip(("one", "two"), self.folders, strict=True):
            self.nodes.append(host.node(name, *ALONE, "--services", str(folder)))
        self.invitation = self.nodes[0].join("--new")["invitation"]
        self.nodes[1].join(self.invitation)
        wait_for(lambda: agreed_leader(self.nodes))

    def at(self, index: int) -> tuple[str, str]:
        return ("--home", str(self.nodes[index].home.root))

    def run(self, *words: str) -> str:
        return finished_well(self.host.swarm(*words))

    def names(self, *words: str) -> list[str]:
        rows = finished_json(self.host.swarm("nodes", *words, "--json"))
        return sorted([row["name"] for row in rows])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    host, home = Host(), tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.delenv("XDG_CONFIG_HOME", raising=False)
        try:
            yield Pair(host, home)
        finally:
            host.close()


def test_a_published_service_is_found_and_an_unpublished_one_is_not(pair: Pair) -> None:
    one, two = pair.at(0), pair.at(1)
    name = finished_json(pair.host.swarm("service", "publish", "web", "--param", "port=80", *one, "--json"))[
        "name"
    ]
    user = name.partition(":")[0]
    assert name == f"{user}:web"
    wait_for(lambda: pair.names(*two, "--service", name) == ["one"], 10.0, "the service at the other node")
    assert pair.names(*two, "--service", name, "--param", "port=80") == ["one"]
    assert pair.names(*two, "--service", name, "--param", "port=81") == []
    assert name in pair.run("service", "list", *one)
    assert pair.run("service", "list", "one", *two).split() == [name]
    assert "port = 80" in pair.run("service", "info", name, *one)
    code, _, said = finished(pair.host.swarm("service", "publish", "web", *one))
    assert (code, name in said) == (2, True)
    pair.run("service", "unpublish", name, *one)
    wait_for(lambda: pair.names(*two, "--service", name) == [], 10.0, "the end of the service")
    code, _, said = finished(pair.host.swarm("service", "info", name, *one))
    assert (code, f"no service '{name}'" in said) == (2, True)


def test_a_permanent_service_is_there_after_a_restart(pair: Pair) -> None:
    one, node = pair.at(0), pair.nodes[0]
    pair.run("service", "publish", "kept", "--permanent", *one)
    file = pair.user_folder / "kept.json"
    assert json.loads(file.read_text())["id"] == "kept"
    pair.run("stop", *one)
    node.join()
    assert any(row["id"] == "kept" for row in node.ask("services.list"))
    pair.run("service", "unpublish", node.ask("services.list")[0]["name"], "--delete-file", *one)
    assert not file.exists()


def test_the_calls_do_what_they_say(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = pair.nodes[0].home.root, pair.nodes[1].home.root
    monkeypatch.setenv("HOME", str(pair.user_folder.parents[2]))
    name = services.publish_service("api", {"v": 2}, home=one)
    assert services.has_service(name, home=one)
    assert not services.has_service(name + "x", home=one)
    assert services.service_info(name, home=one)["params"] == {"v": 2}
    wait_for(lambda: services.request_one(name, home=two) is not None, 10.0, "the service at the other node")
    (found,) = services.request_for(name, params={"v": 2}, home=two)
    assert (found.name, found.params) == ("one", {"v": 2})
    assert services.request_for(name, exclude=["one"], home=two) == []
    assert services.request_for(name, node="two", home=two) == []
    assert services.services("one", home=two) == [name]
    assert sorted([node.name for node in services.marco(home=two)]) == ["one", "two"]
    assert [node.name for node in services.marco(exclude=["one"], home=two)] == ["two"]
    assert len(services.marco(max_nodes=1, home=two)) == 1
    services.set_permanent(name, home=one)
    assert services.service_info(name, home=one)["permanent"] is True
    services.unpublish_service(name, home=one)
    assert not services.has_service(name, home=one)
    assert services.reload_services(home=one) >= 1
    assert services.has_service(name, home=one)
    services.unpublish_service(name, delete_file=True, home=one)
    with pytest.raises(CallRefused, match="no service"):
        services.unpublish_service(name, home=one)


def test_a_host_without_a_node_finds_services_too(pair: Pair) -> None:
    folder = pair.folders[1]
    folder.mkdir(exist_ok=True)
    (folder / "x").write_text('{"id": "db", "params": {"size": 5}}')
    outside = ("--mesh", pair.invitation)
    wait_for(lambda: pair.names(*outside, "--service", "db") == ["two"], 10.0, "a dropped file")
    assert pair.names(*outside, "--service", "db", "--param", "size=5") == ["two"]
    assert pair.names(*outside, "--service", "db", "--param", "size=6") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nodes", "--param", "a=b"), "give --service"),
        (("nodes", "--service", "a b"), "'a b'"),
        (("nodes", "--service", "web", "--param", "a"), "key=value"),
        (("nodes", "--service", "web", "--group", "10.0.0.1"), "'10.0.0.1' is not within"),
        (("service", "publish", "a b"), "'a b'"),
        (("service", "publish", "web", "--param", "x"), "key=value"),
        (("service", "publish", "web", "--group", "x"), "'x' is no dotted"),
        (("service", "list", "nobody"), "'nobody'"),
    ],
)
def test_wrong_use_is_said_with_the_value(pair: Pair, words: tuple[str, ...], said: str) -> None:
    code, _, error = finished(pair.host.swarm(*words, *pair.at(0)))
    assert (code, said in error) == (2, True), error

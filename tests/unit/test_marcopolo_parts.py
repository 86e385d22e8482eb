"""The compatibility service's settings, tokens, and what its local port for publishing refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm.compat.marcopolo.gate import Gate
from swarm.compat.marcopolo.local_polo import LocalPolo
from swarm.compat.marcopolo.messages import MARCO, Question, pack_question
from swarm.compat.marcopolo.settings import GROUPS_DEFAULT, MarcoPoloSettings, marcopolo_settings
from swarm.compat.marcopolo.sockets import networks_of
from swarm.compat.marcopolo.tokens import Tokens
from swarm.core.errors import ConfigError
from swarm.net.interfaces import Interface
from swarm.registry.files import User
from swarm.registry.records import BadService
from swarm.registry.registry import Registry

GROUPS = GROUPS_DEFAULT
UID = os.geteuid()


# Neighbours


def test_only_hosts_of_an_interfaces_own_network_are_neighbours() -> None:
    networks = (IPv4Network("192.168.1.0/24"),)
    wide = Interface("eth0", 2, False, [("192.168.1.5", "192.168.1.255")], [], networks)
    unknown = Interface("default", 0, False, [("10.9.0.1", "")], [])
    gate = Gate()
    gate.set_networks(networks_of([wide, unknown]))
    question = pack_question(Question(MARCO))
    answered = [
        host
        for host in ("192.168.1.77", "192.168.0.77", "192.168.2.77", "10.9.0.1", "10.9.0.2", "127.0.0.1")
        if gate.question_untrusted(question, (host, 5000), 1.0) is not None
    ]
    assert answered == ["192.168.1.77", "10.9.0.1", "127.0.0.1"]


# Settings


def test_the_table_of_swarm_toml() -> None:
    assert marcopolo_settings({"enabled": True}, "x") == (True, MarcoPoloSettings())
    is_enabled, made = marcopolo_settings(
        {"groups": ["239.1.2.3"], "roles": ["polo"], "params": {"room": 5}, "local-api": False}, "x"
    )
    assert not is_enabled
    assert made.groups == ("239.1.2.3",)
    assert made.roles == ("polo",)
    assert made.params == {"room": 5}
    assert not made.has_local_api


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"enable": True}, "'enable', which is unknown"),
        ({"enabled": 1}, "true or false, not 1"),
        ({"groups": ["1.2.3.4"]}, "'1.2.3.4' is not within"),
        ({"groups": []}, "groups is empty"),
        ({"roles": ["spy"]}, r"not \['spy'\]"),
        ({"roles": []}, "roles are a list"),
        ({"params": {"a": [1]}}, "the parameter a"),
        ({"port": 0}, "not 0"),
        ({"port": True}, "not True"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(table: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        marcopolo_settings(table, "[marcopolo] in swarm.toml")
    assert "swarm.toml" in str(caught.value)


# Tokens


def test_a_token_proves_its_uid_and_no_other(tmp_path: Path) -> None:
    tokens = Tokens.kept_in(tmp_path / "secret")
    assert tokens.uid_of_untrusted(tokens.make(1000)) == 1000
    again = Tokens.kept_in(tmp_path / "secret")
    assert again.uid_of_untrusted(tokens.make(0) + "\n") == 0
    forged = "0:" + tokens.make(1000).partition(":")[2]
    for bad in (forged, "", "0:", "x:1", "-1:00", 5, None, "9" * 200, "é:1", tokens.make(7)[:-1]):
        with pytest.raises(BadService, match="token"):
            tokens.uid_of_untrusted(bad)
    other = Tokens.kept_in(tmp_path / "another")
    with pytest.raises(BadService):
        other.uid_of_untrusted(tokens.make(1000))
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_token_lies_in_the_users_home_readable_by_nobody_else(tmp_path: Path) -> None:
    tokens = Tokens(b"s" * 32)
    user = User("me", UID, os.getegid(), tmp_path)
    assert tokens.hand_out(user)
    path = tmp_path / ".polo" / "token"
    assert path.read_text() == tokens.make(UID)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not tokens.hand_out(user), "it is there"
    assert Tokens(b"t" * 32).hand_out(user), "one of an earlier node is replaced"
    assert path.read_text() != tokens.make(UID)


@pytest.mark.skipif(UID == 0, reason="root may write everywhere")
def test_a_node_that_is_not_root_hands_out_its_own_users_token_only(tmp_path: Path) -> None:
    with pytest.raises(BadService, match=f"wrong uid {UID + 1}"):
        Tokens(b"s" * 32).hand_out(User("x", UID + 1, 0, tmp_path))


# The port for publishing


class Port:
    """The port without its socket."""

    def __init__(self, root: Path) -> None:
        self.me = User("me", UID, os.getegid(), root)
        self.registry = Registry(
            [root / "etc"], self.me, lambda user: [user.home / ".polo"], lambda name: None, lambda *_: None
        )
        self.tokens = Tokens(b"s" * 32)
        self.polo = LocalPolo(
            self.registry, self.change, self.tokens, GROUPS, lambda uid: self.me if uid == UID else None
        )

    async def change(self, action: Callable[[], object]) -> object:
        return action()

    def ask(self, command: str, **args: object) -> dict[str, object]:
        data = json.dumps({"Command": command, "Args": {"token": self.tokens.make(UID), **args}}).encode()
        return trio.run(self.polo.answer_untrusted, data)


@pytest.fixture
def port(tmp_path: Path) -> Port:
    return Port(tmp_path)


@pytest.mark.parametrize("command", ["Register", "Publish"])
def test_publishing_and_unpublishing(port: Port, command: str) -> None:
    assert port.ask(command, service="web", multicast_groups=list(GROUPS)) == {"OK": "me:web"}
    assert port.registry.find("me:web") is not None
    assert "is there already" in str(port.ask(command, service="web")["Error"])
    assert port.ask("Unpublish", service="web", multicast_groups=list(GROUPS)) == {"OK": 0}
    assert port.registry.services == ()
    assert "no service" in str(port.ask("Unpublish", service="me:web")["Error"])


def test_a_permanent_service_has_a_file(port: Port) -> None:
    assert port.ask("Publish", service="web", permanent=True) == {"OK": "me:web"}
    file = Path(port.registry.services[0].path)
    assert json.loads(file.read_text())["id"] == "web"
    assert port.ask("Unpublish", service="web", delete_file=True) == {"OK": 0}
    assert not file.exists()


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"service": ""}, "''"),
        ({"service": 5}, "not 5"),
        ({"service": "web", "multicast_groups": ["x"]}, "'x' is no dotted"),
        ({"service": "web", "multicast_groups": ["10.0.0.1"]}, "'10.0.0.1' is not within 224 to 239"),
        ({"service": "web", "multicast_groups": ["225.1.1.1"]}, "'225.1.1.1'; it has joined"),
        ({"service": "web", "permanent": 1}, "permanent is true or false, not 1"),
        ({"service": "web", "root": "yes"}, "root is true or false, not 'yes'"),
        ({"service": "web", "token": "0:nonsense"}, "token is wrong"),
        ({"service": "web", "token": ""}, "token is needed"),
        ({"service": "web", "uid": UID + 1}, f"wrong uid {UID + 1}"),
    ],
)
def test_each_wrong_value_has_its_own_reason(port: Port, args: dict[str, object], why: str) -> None:
    assert why in str(port.ask("Publish", **args)["Error"])
    assert port.registry.services == ()


def test_delete_file_is_a_truth_value(port: Port) -> None:
    port.ask("Publish", service="web")
    assert "delete_file is true or false, not 0" in str(
        port.ask("Unpublish", service="web", delete_file=0)["Error"]
    )


def test_nobody_unpublishes_the_service_of_somebody_else(port: Port) -> None:
    port.registry.publish("web", {}, (), False, User("ana", UID, 0, port.me.home))
    assert "not of the user me" in str(port.ask("Unpublish", service="ana:web")["Error"])
    assert port.registry.find("ana:web") is not None


def test_a_token_is_asked_for_by_uid(port: Port) -> None:
    assert port.ask("Request-token", uid=UID) == {"OK": 0}
    assert port.ask("Request-token", uid=UID) == {"OK": 1}
    for uid in (UID + 1, -1, True, "0", None):
        assert "uid" in str(port.ask("Request-token", uid=uid)["Error"])


def test_a_root_service_is_for_root(port: Port) -> None:
    answer = port.ask("Publish", service="web", root=True)
    assert answer == ({"OK": "web"} if UID == 0 else answer)
    assert (UID == 0) == ("OK" in answer)


@given(
    st.binary(max_size=200)
    | st.fixed_dictionaries(
        {"Command": st.sampled_from(["Register", "Unpublish", "Request-token", "x"])},
        optional={
            "Args": st.dictionaries(st.sampled_from(["uid", "token", "service"]), st.text() | st.none())
        },
    ).map(lambda value: json.dumps(value).encode())
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_at_the_port_get_a_reason(tmp_path: Path, data: bytes) -> None:
    answer = trio.run(Port(tmp_path).polo.answer_untrusted, data)
    assert list(answer) == ["Error"]

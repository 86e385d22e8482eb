"""Services of real nodes across a bridge, found by MarcoPolo's datagrams and by the gossip of the mesh."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mesh_processes import Node, agreed_leader, finished_json, finished_well, new_invitation, wait_for
from tests.netns.lab import CROWDED, Lab, NamespaceHost, needs_lab, start_together

pytestmark = needs_lab("nft")

COUNT = 5
FIRST, SECOND = "224.0.0.112", "224.0.0.113"

CLIENT = """
import json, socket, struct, sys, time
destination, port, wait_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
text, source = sys.argv[4:6]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((source, 0))
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)
if source:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
data = bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode()
for _ in range(int(sys.argv[6])):
    s.sendto(data, (destination, port))
heard, end = [], time.monotonic() + wait_s
while (left := end - time.monotonic()) > 0:
    s.settimeout(left)
    try:
        answer, sender = s.recvfrom(65536)
    except TimeoutError:
        break
    heard.append([sender[0], answer.decode()])
print(json.dumps(heard))
"""
"""A client made from the description of the protocol, which knows nothing of swarm."""

PUBLISHER = """
import json, os, socket, ssl, sys
def call(command, **args):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", 1390), 5) as plain, context.wrap_socket(plain) as s:
        s.sendall(json.dumps({"Command": command, "Args": args}).encode())
        return json.loads(s.recv(4096))
home = os.path.expanduser("~")
print(json.dumps(call("Request-token", uid=os.getuid())))
token = open(os.path.join(home, ".polo", "token")).read()
print(json.dumps(call("Publish", service="published", token=token, multicast_groups=[], root=True)))
print(json.dumps(call("Publish", service="published", token="0:wrong", multicast_groups=[])))
print(json.dumps(call("Publish", service="x", token=token, uid=12345)))
"""

LOSS = """
table inet lossy {
  chain input {
    type filter hook input priority 0;
    iifname != "lo" meta l4proto udp numgen random mod 100 < 30 counter drop
  }
}
"""


class Place:
    """Five nodes that speak MarcoPolo, and a host that is none."""

    def __init__(self, lab: Lab) -> None:
        self.nodes: list[Node] = []
        for index in range(COUNT):
            host = lab.host()
            folder = host.folder / "services"
            folder.mkdir()
            self.nodes.append(host.node(f"n{index}", "--marcopolo", "--services", str(folder)))
        self.stranger = lab.host()
        self.drop(0, "web", {"id": "web", "params": {"port": 80}})
        self.drop(1, "web", {"id": "web", "params": {"port": 81}})
        self.drop(2, "first", {"id": "first", "groups": [FIRST]})
        self.drop(3, "second", {"id": "second", "groups": [SECOND]})
        for index in range(COUNT):
            self.drop(index, "all", {"id": "all", "params": {"n": index}})
        start_together(self.nodes, new_invitation("polo"))

    def folder(self, index: int) -> Path:
        return self.nodes[index].host.folder / "services"

    def drop(self, index: int, name: str, value: object) -> Path:
        path = self.folder(index) / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    def host(self, index: int) -> NamespaceHost:
        host = self.nodes[index].host
        assert isinstance(host, NamespaceHost)
        return host

    def addresses(self, *indexes: int) -> list[str]:
        return sorted([self.host(index).address for index in indexes])

    def ask(
        self,
        text: str,
        to: str = FIRST,
        port: int = 1337,
        wait_s: float = 0.6,
        source: str = "",
        times: int = 1,
    ) -> list[tuple[str, Any]]:
        """Return who answers the stranger, and what."""
        words = (to, str(port), str(wait_s), text, source or self.stranger.address, str(times))
        heard = json.loads(self.stranger.run(sys.executable, "-c", CLIENT, *words))
        return sorted([(sender, json.loads(answer)) for sender, answer in heard], key=lambda pair: pair[0])

    def local(self, index: int, request: dict[str, object], wait_s: float) -> Any:
        """Return what the local port of a node answers."""
        words = ("127.0.1.1", "1338", str(wait_s), json.dumps(request), "", "1")
        client = CLIENT.replace("    heard.append", "    end = 0\n    heard.append")  # one answer is all
        heard = json.loads(self.host(index).run(sys.executable, "-c", client, *words))
        assert len(heard) == 1, "one answer"
        return json.loads(heard[0][1])

    def find(self, index: int, **wish: Any) -> list[str]:
        return [str(row["node"]) for row in self.nodes[index].ask("services.find", wish)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch, contextlib.closing(Lab()) as lab:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield Place(lab)


# MarcoPolo's datagrams


@pytest.mark.parametrize("command", ["Marco", "Discover"])
@pytest.mark.parametrize("group", [FIRST, SECOND])
def test_every_node_answers_marco(place: Place, command: str, group: str) -> None:
    heard = place.ask(json.dumps({"Command": command}), group)
    assert [sender for sender, _ in heard] == place.addresses(*range(COUNT))
    for _, answer in heard:
        assert answer["Command"] == "Polo"
        assert answer["Params"]["node"].startswith("n")


@pytest.mark.parametrize("spelling", ["Request-For", "Request-for"])
def test_a_service_is_answered_by_those_that_have_it(place: Place, spelling: str) -> None:
    heard = place.ask(json.dumps({"Command": spelling, "Params": "web"}))
    first, second = place.addresses(0), place.addresses(1)
    assert heard == [
        (first[0], {"Command": "OK", "Params": {"port": 80}}),
        (second[0], {"Command": "OK", "Params": {"port": 81}}),
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"Command":"Request-For","Params":"unknown"}',
        '{"Command":"Request-For","Params":"nobody-here:web"}',
        '{"Command":"Request-For","Params":["web"]}',
        '{"Command":"Request-For"}',
        '{"Command":"Polo","Params":{}}',
        "{",
        "[]",
        "hex:ff00ff",
        '{"Command":"Marco","x":"' + "x" * 5000 + '"}',
    ],
)
def test_to_anything_else_there_is_silence(place: Place, text: str) -> None:
    assert place.ask(text, wait_s=0.3) == []


def test_the_list_of_services_has_both_keys(place: Place) -> None:
    ((_, answer),) = place.ask('{"Command":"Services"}', place.addresses(0)[0])
    assert answer == {"Command": "OK", "Params": ["all", "web"], "Services": ["all", "web"]}


def test_a_service_of_one_group_is_invisible_in_the_other(place: Place) -> None:
    for service, index, group, other in (("first", 2, FIRST, SECOND), ("second", 3, SECOND, FIRST)):
        text = json.dumps({"Command": "Request-For", "Params": service})
        assert [sender for sender, _ in place.ask(text, group)] == place.addresses(index)
        assert place.ask(text, other, wait_s=0.3) == []
        assert place.find(0, service=service, group=group) == [f"n{index}"]
        assert place.find(0, service=service, group=other) == []


def test_who_is_no_neighbour_is_not_answered(place: Place) -> None:
    place.stranger.run("ip", "addr", "add", "203.0.113.9/32", "dev", "eth0")
    for index in range(COUNT):
        place.host(index).run("ip", "route", "add", "203.0.113.9/32", "dev", "eth0")
    before = [node.count("services", "marcopolo", "polo", "strangers") for node in place.nodes]
    assert place.ask('{"Command":"Marco"}', wait_s=0.4, source="203.0.113.9") == []
    after = [node.count("services", "marcopolo", "polo", "strangers") for node in place.nodes]
    assert [a - b for a, b in zip(after, before, strict=True)] == [1] * COUNT


def test_a_flood_is_answered_little_and_the_node_lives(place: Place) -> None:
    heard = place.ask('{"Command":"Services"}', place.addresses(4)[0], wait_s=0.5, times=5000)
    sent = sum([len(json.dumps(answer)) for _, answer in heard])
    assert 0 < sent < 16384 + 5 * 2048
    assert place.nodes[4].count("services", "marcopolo", "polo", "too_many") > 1000
    assert place.nodes[4].ask("status")["members"]["alive"] == COUNT


# The local ports


def test_the_local_port_asks_the_network(place: Place) -> None:
    found = place.local(0, {"Command": "Marco", "timeout": 300}, 3.0)
    assert sorted([row["Address"] for row in found]) == place.addresses(*range(COUNT))
    request: dict[str, object] = {"Command": "Request-for", "Params": "all", "timeout": 300}
    excluded = place.local(0, {**request, "exclude": place.addresses(1, 2)}, 3.0)
    assert sorted([row["Address"] for row in excluded]) == place.addresses(0, 3, 4)
    assert len(place.local(0, {**request, "max_nodes": 2}, 3.0)) == 2
    assert [
        row["Address"] for row in place.local(0, {**request, "params": {"n": 3}}, 3.0)
    ] == place.addresses(3)
    services = place.local(0, {"Command": "Services", "node": place.addresses(2)[0]}, 3.0)
    assert services == ["all", "first"]
    assert (
        "'10.0.0.1' is not within" in place.local(0, {"Command": "Marco", "group": "10.0.0.1"}, 3.0)["Error"]
    )


def test_the_local_tls_port_publishes_for_who_proves_its_uid(place: Place) -> None:
    lines = place.host(0).run(sys.executable, "-c", PUBLISHER).splitlines()
    token, published, forged, wrong = [json.loads(line) for line in lines]
    assert token in ({"OK": 0}, {"OK": 1})
    assert published == {"OK": "published"}
    assert "token is wrong" in forged["Error"]
    assert "wrong uid 12345" in wrong["Error"]
    heard = place.ask('{"Command":"Request-For","Params":"published"}')
    assert [sender for sender, _ in heard] == place.addresses(0)


# Files and gossip


def all_find(place: Place, indexes: list[int], service: str, names: list[str]) -> bool:
    return all(place.find(index, service=service, details=False) == names for index in indexes)


def test_a_dropped_file_is_visible_everywhere_in_two_seconds(place: Place) -> None:
    dropped_at = time.monotonic()
    path = place.drop(1, "late.json", {"id": "late", "params": {"port": 9}})
    others = [0, 2, 3, 4]
    wait_for(lambda: all_find(place, others, "late", ["n1"]), 10.0, "a dropped file")
    took_s = time.monotonic() - dropped_at
    assert took_s < 2.0 * CROWDED
    path.write_text('{"id": "late", "disabled": true}')
    wait_for(lambda: all_find(place, others, "late", []), 15.0, "a disabled service")
    place.drop(1, "broken.json", '{"id": "late", ')
    wait_for(lambda: "broken.json" in place.nodes[1].last_log(), 5.0, "a line in the log")
    assert "no JSON" in place.nodes[1].last_log()


def test_the_command_line_finds_nodes_by_service_and_parameter(place: Place) -> None:
    node, host = place.nodes[2], place.nodes[2].host
    here = ("--home", str(node.home.root))
    rows = finished_json(host.swarm("nodes", *here, "--service", "web", "--json"))
    assert sorted([row["name"] for row in rows]) == ["n0", "n1"]
    words = ("nodes", *here, "--service", "web", "--param", "port=81", "--sh")
    assert finished_well(host.swarm(*words)).split() == place.addresses(1)
    assert finished_well(host.swarm("service", "list", "n0", *here)).split()[:1] == ["all"]


# Loss: last, for it stays


def test_with_a_third_of_all_datagrams_lost_three_retries_find_everybody(place: Place) -> None:
    for index in range(COUNT):
        place.host(index).run("nft", "-f", "-", text=LOSS)
    everybody = place.addresses(*range(COUNT))
    found_all = 0
    for _ in range(20):
        request = {"Command": "Request-For", "Params": "all", "timeout": 100, "retries": 3}
        found = sorted([row["Address"] for row in place.local(0, request, 5.0)])
        assert set(found) <= set(everybody)
        found_all += found == everybody
    assert found_all >= 19
    for _ in range(20):
        names = place.find(0, service="all", retries=3)
        assert sorted(names) == [f"n{index}" for index in range(COUNT)]
    assert "n3" not in place.find(0, service="all", retries=3, exclude=["n3"])
    assert agreed_leader(place.nodes)

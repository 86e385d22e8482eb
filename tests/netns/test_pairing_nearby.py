"""A device without an invitation shows a code; `swarm admit CODE` on a node lets it in."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.mesh_processes import Node, finished, finished_json, wait_for
from tests.netns.lab import Lab, NamespaceHost, needs_lab

pytestmark = needs_lab()
needs_nft = needs_lab("nft")

# Sends calls as a stranger would who wants them answered to somebody, and counts the bytes both ways.
CALLS = """
import json, socket, sys, time
from swarm.net.pairing import Call, new_nonce
given = json.loads(sys.argv[1])
sent = heard = 0
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for number in range(given["count"]):
        datagram = Call(1, 1 + number, "x" * (number % 60), new_nonce()).to_datagram()
        datagram = datagram[: given["size"]] if given["size"] else datagram
        sent += sock.sendto(datagram, (given["host"], given["port"]))
    sock.settimeout(2.0)
    try:
        while True:
            heard += len(sock.recv(65536))
    except TimeoutError:
        pass
print(json.dumps([sent, heard]))
"""


class Device:
    """`swarm join` on a host without a mesh, and the code it shows."""

    def __init__(self, host: NamespaceHost, name: str, *options: str) -> None:
        self.home = host.folder / name
        self.host = host
        self.process: subprocess.Popen[str] = host.swarm(
            "join", "--json", "--name", name, "--home", str(self.home), "--cores", "1", *options
        )
        host.node(name).home.root.mkdir(exist_ok=True)  # so that its daemon is ended with the host
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, finished(self.process)
        self.shown: dict[str, Any] = json.loads(line)

    @property
    def code(self) -> str:
        return str(self.shown["code"])

    def wait_ready(self) -> dict[str, Any]:
        ready = finished_json(self.process)
        assert isinstance(ready, dict)
        return ready


def admit(node: Node, *words: str) -> tuple[int, str, str]:
    return finished(node.host.swarm("admit", *words, "--json", "--home", str(node.home.root)))


def founded(lab: Lab, *options: str) -> Node:
    node = lab.nodes(["first"], "--cores", "1", *options)[0]
    node.join("--new")
    return node


def test_devices_that_hear_a_mesh_are_let_in_by_their_codes(lab: Lab) -> None:
    """Two wait at once; a code that nobody shows lets nobody in."""
    node = founded(lab)
    devices = [Device(lab.host(), "phone"), Device(lab.host(), "tablet")]
    wait_for(lambda: len(node.ask("waiting")) == 2, what="two devices that wait")
    assert sorted(row["name"] for row in json.loads(admit(node)[1])) == ["phone", "tablet"]
    for device in devices:
        code, out, err = admit(node, device.code)
        assert (code, err) == (0, "")
        ready = device.wait_ready()
        assert json.loads(out)["id"] == ready["id"]
        assert ready["mesh"] == node.ready["mesh"]
        assert not ready["founded"]
        for name in ("mesh", "node.key"):
            assert (device.home / name).stat().st_mode & 0o777 == 0o600
    wait_for(lambda: node.ask("status")["members"]["alive"] == 3, what="three members")


def test_a_wrong_code_is_said_on_both_sides(lab: Lab) -> None:
    node = founded(lab)
    device = Device(lab.host(), "phone")
    plate = device.code[:3]
    wrong = plate + ("000-001" if device.code[3:] != "000-001" else "000-002")
    code, out, err = admit(node, wrong)
    assert (code, out) == (1, "")
    assert "has another code" in err
    assert device.process.stderr is not None
    assert "somebody tried a wrong code" in device.process.stderr.readline()
    assert admit(node, "12-34")[0] == 2
    assert device.process.stdout is not None
    newer = json.loads(device.process.stdout.readline())["code"]
    assert newer != device.code
    assert "tried before" in admit(node, wrong)[2]
    assert admit(node, newer)[0] == 0
    device.wait_ready()
    assert node.count("pairing", "wrong_codes") == 1


@needs_nft
def test_by_address_where_multicast_is_dead(lab: Lab) -> None:
    node = founded(lab)
    host = lab.host()
    for each in (node.host, host):
        assert isinstance(each, NamespaceHost)
        each.deafen()
    device = Device(host, "phone", "--pair")
    code, _, err = admit(node, device.code)
    assert code == 1
    assert "--peer HOST:PORT" in err
    assert admit(node, device.code, "--peer", f"{device.shown['host']}:{device.shown['port']}")[0] == 0
    device.wait_ready()
    wait_for(lambda: node.ask("status")["members"]["alive"] == 2, what="two members")


def test_a_node_in_the_foreground_asks_too(lab: Lab) -> None:
    node = founded(lab)
    device = Device(lab.host(), "phone", "--foreground")
    assert admit(node, device.code)[0] == 0
    wait_for(lambda: node.ask("status")["members"]["alive"] == 2, what="two members")
    device.process.terminate()


def test_nobody_admits_it_in_time(lab: Lab) -> None:
    founded(lab)
    device = Device(lab.host(), "phone", "--wait", "1")
    code, _, err = finished(device.process)
    assert code == 4
    assert "nobody admitted this device" in err
    assert not (device.home / "mesh").exists()


def test_calls_of_strangers_are_no_amplifier(lab: Lab) -> None:
    node = founded(lab)
    stranger = lab.host()
    for port in (node.address[1], 7118):
        for size in (0, 63):
            given = json.dumps({"host": node.address[0], "port": port, "count": 300, "size": size})
            sent, heard = json.loads(stranger.run(sys.executable, "-c", CALLS, given))
            assert heard < sent / 20
            assert (heard == 0) == bool(size), "what is too short is not answered at all"
    assert node.count("pairing", "callers") <= 32
    assert node.count("pairing", "answers") <= 30
    assert node.ask("status")["members"] == {"alive": 1, "suspect": 0, "dead": 0, "left": 0}

"""Discovery between network namespaces on one bridge: by IPv4, by IPv6, by both, and on a lone host."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


def _why_not() -> str:
    """Return why no namespace can be made here, "" when one can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "network namespaces need root on Linux"
    name = f"swx{os.getpid()}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except (OSError, subprocess.SubprocessError) as error:
        return f"network namespaces cannot be made here: {error}"
    return ""


WHY_NOT = _why_not()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "possible")

# Says hello five times a second, and ends by telling whom it heard, and how.
PROGRAM = """
import json, sys, trio
from swarm.net.sockets import open_sockets
from swarm.net.udp import UdpEndpoint
name, seconds, interfaces = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
heard, refused = {}, []
def on_packet(datagram, source):
    heard.setdefault(datagram.decode(), set()).add(source[0])
sockets = open_sockets()
udp = UdpEndpoint(sockets, on_packet, refused.append, interfaces=interfaces)
async def main():
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            await nursery.start(udp.run)
            print(flush=True)  # it has looked for interfaces
            while True:
                udp.send_everywhere_nowait(name.encode())
                await trio.sleep(0.2)
trio.run(main)
heard.pop(name, None)
print(json.dumps({"heard": {key: sorted(value) for key, value in heard.items()}, "addresses": udp.addresses(),
                  "port": sockets.port, "statistics": udp.statistics()}))
"""


class Network:
    """Namespaces on a bridge, each with an interface eth0; all is gone in the end."""

    def __init__(self) -> None:
        self.tag = f"sw{os.getpid() % 100000}"
        self.bridge = f"{self.tag}b"
        self.names: list[str] = []
        # The bridge lives in a namespace of its own, so that nothing of the host's configuration matters.
        self.core = self.namespace()
        _ip("-n", self.core, "link", "add", self.bridge, "type", "bridge", "mcast_snooping", "0")
        _ip("-n", self.core, "link", "set", self.bridge, "up")

    def namespace(self) -> str:
        name = f"{self.tag}n{len(self.names)}"
        _ip("netns", "add", name)
        self.names.append(name)
        _ip("-n", name, "link", "set", "lo", "up")
        return name

    def host(self, address: str = "", *, has_ipv6: bool = True, interface: str = "eth0") -> str:
        """Return a new namespace on the bridge."""
        name = self.namespace()
        far = f"{name}p"
        if not has_ipv6:
            self.run(
                name,
                "sysctl",
                "-qw",
                "net.ipv6.conf.all.disable_ipv6=1",
                "net.ipv6.conf.default.disable_ipv6=1",
            )
        _ip("-n", self.core, "link", "add", far, "type", "veth", "peer", "name", interface, "netns", name)
        _ip("-n", self.core, "link", "set", far, "master", self.bridge, "up")
        if has_ipv6:
            self.run(name, "sysctl", "-qw", f"net.ipv6.conf.{interface}.accept_dad=0")
        _ip("-n", name, "link", "set", interface, "up")
        if address:
            _ip("-n", name, "addr", "add", address, "brd", "+", "dev", interface)
        return name

    def run(self, name: str, *command: str) -> None:
        subprocess.run(["ip", "netns", "exec", name, *command], check=True, capture_output=True, timeout=20)

    def close(self) -> None:
        for name in self.names:
            with contextlib.suppress(subprocess.SubprocessError):
                _ip("netns", "del", name)


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    try:
        yield made
    finally:
        made.close()


def _start(namespace: str, name: str, seconds: float, *interfaces: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, name, str(seconds), *interfaces]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return subprocess.Popen(
        ["ip", "netns", "exec", namespace, *command], stdout=subprocess.PIPE, text=True, env=environment
    )


def _results(processes: list[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        found.append(json.loads(output))
    return found


def test_two_hosts_hear_each_other_by_both_families(network: Network) -> None:
    hosts = [network.host("10.77.0.1/24"), network.host("10.77.0.2/24")]
    first, second = _results([_start(host, f"h{at}", 2.5) for at, host in enumerate(hosts)])
    for result, other, address in ((first, "h1", "10.77.0.2"), (second, "h0", "10.77.0.1")):
        heard = result["heard"]
        assert address in heard[other]
        assert any(host.startswith("fe80::") and host.endswith("%eth0") for host in heard[other])
    assert first["addresses"] == [["10.77.0.1", 7117]]


def test_only_ipv4(network: Network) -> None:
    hosts = [network.host(f"10.77.0.{at}/24", has_ipv6=False) for at in (1, 2)]
    first, second = _results([_start(host, f"h{at}", 2.0) for at, host in enumerate(hosts)])
    assert first["heard"] == {"h1": ["10.77.0.2"]}
    assert second["heard"] == {"h0": ["10.77.0.1"]}


def test_only_ipv6_link_local(network: Network) -> None:
    hosts = [network.host(), network.host()]
    for result, other in zip(
        _results([_start(host, f"h{at}", 2.5) for at, host in enumerate(hosts)]), ("h1", "h0"), strict=True
    ):
        heard = result["heard"]
        assert [host[:4] for host in heard[other]] == ["fe80"]
        addresses = result["addresses"]
        assert isinstance(addresses, list)
        assert addresses[0][0].startswith("fe80::")


def test_several_nodes_on_each_host(network: Network) -> None:
    hosts = [network.host("10.77.0.1/24"), network.host("10.77.0.2/24")]
    names = ["a", "b", "c", "d"]
    results = _results([_start(hosts[at // 2], name, 3.0) for at, name in enumerate(names)])
    for name, result in zip(names, results, strict=True):
        heard = result["heard"]
        assert sorted(heard) == [other for other in names if other != name]
    assert sorted([result["port"] for result in results]) == [7117, 7117, 7119, 7119]


def test_a_lone_host_uses_loopback(network: Network) -> None:
    lone = network.namespace()
    results = _results([_start(lone, name, 2.0) for name in ("a", "b")])
    heard = results[0]["heard"]
    assert "127.0.0.1" in heard["b"]


def test_a_virtual_interface_is_used_when_named(network: Network) -> None:
    hosts = [network.host("10.77.0.1/24", interface="veth9"), network.host("10.77.0.2/24", interface="veth9")]
    silent, _ = _results([_start(host, f"h{at}", 1.5) for at, host in enumerate(hosts)])
    assert silent["heard"] == {}
    first, second = _results([_start(host, f"h{at}", 2.0, "veth9") for at, host in enumerate(hosts)])
    assert first["heard"]
    assert second["heard"]


def test_an_interface_that_comes_late_is_found(network: Network) -> None:
    hosts = [network.host("10.77.0.1/24"), network.host("10.77.0.2/24")]
    _ip("-n", hosts[0], "link", "set", "eth0", "down")
    processes = [_start(host, f"h{at}", 6.0) for at, host in enumerate(hosts)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    _ip("-n", hosts[0], "link", "set", "eth0", "up")
    late, other = _results(processes)
    assert "10.77.0.2" in late["heard"]["h1"]
    assert "10.77.0.1" in other["heard"]["h0"]
    assert late["addresses"] == [["10.77.0.1", 7117]]

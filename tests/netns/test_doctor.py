"""`swarm doctor` names each fault that is made, and no other; in a mesh of three real nodes."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from swarm.net.invitation import new_secret
from tests.mesh_processes import Node, finished, new_invitation, wait_for
from tests.netns.lab import Lab, NamespaceHost, ip, needs_lab, start_together

pytestmark = needs_lab("nft", "bridge")

NAMES = ("a", "b", "c")
EVERYBODY = ("multicast", "broadcast", "ipv6")
LISTEN_S = "6"

# A clock that is ahead, for the process of the doctor only.
LATE_CLOCK = """
import sys, time
real = time.time
time.time = lambda: real() + float(sys.argv[1])
from swarm.cli.main import main
main(sys.argv[2:])
"""


class Clinic:
    """Three nodes that agree, and a fourth host without one.

    Attributes:
        nodes, hosts: of the mesh.
        outsider: the fourth host.
        secret: of the mesh.
        invitation: to it, with the addresses of its nodes.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.nodes: list[Node] = lab.nodes(NAMES)
        self.hosts = lab.hosts[:]
        self.secret = new_secret()
        start_together(self.nodes, new_invitation("clinic", secret=self.secret))
        self.invitation = new_invitation("clinic", [node.address for node in self.nodes], self.secret)
        self.outsider = lab.host()

    def examine(self, *words: str, host: NamespaceHost | None = None, skew_s: float = 0.0) -> Report:
        """Return what the doctor says on a host; by default on that of the first node, beside it."""
        place = host or self.hosts[0]
        command = ["doctor", "--json", "--seconds", LISTEN_S, *words]
        if host is None and "--mesh" not in words:
            command += ["--home", str(self.nodes[0].home.root)]
        program = [sys.executable, "-c", LATE_CLOCK, str(skew_s), *command]
        code, out, err = finished(place.spawn(*program), 60.0)
        assert err == ""
        return Report(code, json.loads(out))


class Report:
    """What the doctor said.

    Attributes:
        code: exit code.
        findings: by code.
        problems: codes of the problems.
    """

    def __init__(self, code: int, told: dict[str, Any]) -> None:
        self.code = code
        self.findings = {str(item["code"]): item for item in told["findings"]}
        self.problems = [
            str(item["code"]) for item in told["findings"] if item["level"] in ("doubtful", "wrong")
        ]
        assert len(self.problems) == told["problems"]
        assert code == (1 if self.problems else 0)
        assert all(item["cure"] for item in told["findings"] if item["level"] != "good"), "each has a cure"

    def text(self, code: str) -> str:
        return str(self.findings[code]["text"])


@pytest.fixture(scope="module")
def clinic() -> Iterator[Clinic]:
    with contextlib.closing(Lab()) as lab:
        yield Clinic(lab)


@pytest.fixture
def healthy(clinic: Clinic) -> Iterator[Clinic]:
    """Give a mesh without faults, and take back those that were made."""
    yield clinic
    for host in clinic.lab.hosts:
        host.block()
        ip("-n", host.namespace, "link", "set", "eth0", "mtu", "1500")
    wait_for(
        lambda: all(node.ask("status")["members"]["alive"] == 3 for node in clinic.nodes), 20.0, "health"
    )


def test_nothing_is_wrong_with_a_healthy_network(healthy: Clinic) -> None:
    report = healthy.examine()
    assert report.problems == []
    assert report.text("reached") == "reached by UDP and TCP: b (10.93.0.2:7117), c (10.93.0.3:7117)"
    assert "IPv4 multicast and broadcast" in report.text("multicast")
    assert report.text("interface").startswith("eth0: 10.93.0.1, fe80::")
    assert "clock" in report.findings


def test_a_host_without_a_node_is_examined_too(healthy: Clinic) -> None:
    report = healthy.examine("--mesh", healthy.invitation, host=healthy.outsider)
    assert report.problems == []
    assert {"no_node", "multicast", "reached", "clock"} <= set(report.findings)
    assert report.text("reached").count("10.93.0.") == 3


def test_an_invitation_without_addresses_is_enough_where_calls_are_heard(healthy: Clinic) -> None:
    report = healthy.examine("--mesh", new_invitation("clinic", [], healthy.secret), host=healthy.outsider)
    assert report.problems == []
    assert report.text("reached").count("10.93.0.") >= 1


@pytest.mark.parametrize("ways", [EVERYBODY, ("multicast", "ipv6")])
def test_multicast_that_is_dropped(healthy: Clinic, ways: tuple[str, ...]) -> None:
    healthy.outsider.block(*ways)
    report = healthy.examine("--mesh", healthy.invitation, host=healthy.outsider)
    assert "multicast_not_heard" in report.problems
    is_all = ways == EVERYBODY
    assert report.text("multicast_not_heard").startswith(
        "nothing sent to everybody" if is_all else "IPv4 multicast"
    )
    assert ("no_echo" in report.problems) == is_all
    assert [code for code in report.problems if code not in ("multicast_not_heard", "no_echo")] == []


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_that_is_blocked_at_another_host(healthy: Clinic, protocol: str) -> None:
    healthy.hosts[1].block(protocol)
    report = healthy.examine("--mesh", healthy.invitation, host=healthy.outsider)
    assert report.problems == [f"{protocol}_blocked"]
    assert "b (10.93.0.2:7117)" in report.text(f"{protocol}_blocked")
    assert f"7117/{protocol}" in report.findings[f"{protocol}_blocked"]["cure"]


def test_a_firewall_of_the_own_host(healthy: Clinic) -> None:
    healthy.outsider.run(
        "nft",
        "-f",
        "-",
        text="table inet w {\nchain o {\ntype filter hook output priority 0;\nmeta l4proto udp drop\n}\n}\n",
    )
    report = healthy.examine("--mesh", healthy.invitation, host=healthy.outsider)
    assert "own_firewall" in report.problems
    assert "udp_blocked" not in report.problems


def test_small_frames_on_the_way_and_here(healthy: Clinic) -> None:
    ip("-n", healthy.hosts[1].namespace, "link", "set", "eth0", "mtu", "1000")
    report = healthy.examine("--mesh", healthy.invitation, host=healthy.outsider)
    assert report.problems == ["path_mtu"]
    assert "b (10.93.0.2:7117)" in report.text("path_mtu")
    ip("-n", healthy.hosts[1].namespace, "link", "set", "eth0", "mtu", "1500")
    ip("-n", healthy.outsider.namespace, "link", "set", "eth0", "mtu", "1300")
    report = healthy.examine("--mesh", healthy.invitation, host=healthy.outsider)
    assert "low_mtu" in report.problems
    assert "eth0 carries 1300 bytes" in report.text("low_mtu")


@pytest.mark.parametrize("skew_s", [90.0, -7200.0])
def test_a_clock_that_is_wrong(healthy: Clinic, skew_s: float) -> None:
    report = healthy.examine("--mesh", healthy.invitation, host=healthy.outsider, skew_s=skew_s)
    assert report.problems == ["clock_skew"]
    said = "90 s ahead of" if skew_s > 0 else "2 hours behind"
    assert report.text("clock_skew") == f"this host's clock is {said} the other nodes'"


def test_a_mesh_of_another_secret(healthy: Clinic) -> None:
    wrong = new_invitation("clinic", [healthy.nodes[0].address])
    report = healthy.examine("--mesh", wrong, host=healthy.outsider)
    assert {"other_mesh", "alone"} <= set(report.problems)
    assert "10.93.0." in report.text("other_mesh")


def test_without_any_mesh(healthy: Clinic) -> None:
    report = healthy.examine(host=healthy.outsider)
    assert report.problems == []
    assert {"no_mesh", "no_node", "other_mesh", "interface"} <= set(report.findings)


def test_an_access_point_that_isolates_its_clients(healthy: Clinic) -> None:
    """The third node still reaches both, and vouches for the one that we cannot reach."""
    lab = healthy.lab
    lab.isolate(healthy.hosts[:2])
    try:
        report = healthy.examine()
        assert "isolated" in report.problems
        assert report.text("isolated").startswith("b (10.93.0.2:7117) on this network cannot be reached")
        assert report.findings["isolated"]["level"] == "wrong"
    finally:
        lab.isolate(healthy.hosts[:2], is_on=False)


def test_a_host_without_a_network(clinic: Clinic) -> None:
    lone = clinic.lab.host()
    ip("-n", lone.namespace, "link", "set", "eth0", "down")
    report = clinic.examine("--seconds", "1", host=lone)
    assert "no_network" in report.problems
    told, out, _ = finished(lone.swarm("doctor", "--seconds", "1", "--quiet"), 60.0)
    assert told == 1
    assert out.startswith("WRONG    no interface leads to other hosts\n")
    assert "cure: " in out

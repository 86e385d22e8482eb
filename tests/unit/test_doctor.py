"""Judging: every fault has its finding and its cure, and a healthy host has no problem."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from swarm.doctor.evidence import ANSWERED, REFUSED, SILENT, STRANGER, Evidence, PeerEvidence
from swarm.doctor.judging import DOUBTFUL, GOOD, PROBLEMS, WRONG, Finding, judge
from swarm.net.interfaces import Interface

ETH = Interface("eth0", 2, False, [("10.0.0.5", "10.0.0.255")], ["fe80::5"], (IPv4Network("10.0.0.0/24"),))
LO = Interface("lo", 1, True, [("127.0.0.1", "")], ["::1"], (IPv4Network("127.0.0.0/8"),))
DOCKER = Interface("docker0", 3, False, [("172.17.0.1", "")], [], (IPv4Network("172.17.0.0/16"),))


def peer(name: str, number: int, state: str = "alive", outcome: str = ANSWERED, **more: Any) -> PeerEvidence:
    made = PeerEvidence(
        name=name,
        node_id=f"id{number}",
        state=state,
        addresses=[(f"10.0.0.{number}", 7117)],
        is_near=True,
        udp=outcome,
        udp_large=outcome,
        tcp=outcome,
        skew_s=0.1 if outcome == ANSWERED else None,
        round_trip_s=0.01,
    )
    return replace(made, **more)


def healthy(*peers: PeerEvidence, **more: Any) -> Evidence:
    made = Evidence(
        mesh="home",
        home="/somewhere",
        has_node=True,
        has_secret=True,
        interfaces=[ETH, LO],
        usable=["eth0"],
        mtu_bytes={"eth0": 1500},
        echoes=["multicast", "broadcast", "multicast6"],
        ways={"multicast": ["10.0.0.7"], "broadcast": ["10.0.0.7"], "multicast6": []},
        callers=[("10.0.0.7", 7117)],
        peers=list(peers) or [peer("b", 7), peer("c", 8)],
    )
    return replace(made, **more)


def problems(evidence: Evidence) -> dict[str, Finding]:
    found = judge(evidence)
    assert all(finding.cure for finding in found if finding.level != GOOD), "every finding has a cure"
    levels = [finding.level in PROBLEMS for finding in found]
    assert levels == sorted(levels, reverse=True), "problems come first"
    return {finding.code: finding for finding in found if finding.level in PROBLEMS}


def test_a_healthy_host_has_no_problem() -> None:
    assert problems(healthy()) == {}
    told = [finding.text for finding in judge(healthy())]
    assert "reached by UDP and TCP: b (10.0.0.7:7117), c (10.0.0.8:7117)" in told
    assert "other hosts are heard by IPv4 multicast and broadcast" in told
    assert "eth0: 10.0.0.5, fe80::5" in told


def test_what_is_left_out_and_what_is_not_needed_are_notes() -> None:
    bare = Interface("eth0", 2, False, ETH.ipv4, [], ETH.networks)
    evidence = healthy(interfaces=[bare, LO, DOCKER], is_root=True, is_phone=True, has_node=False)
    codes = {finding.code for finding in judge(evidence)}
    assert {"interfaces_skipped", "no_ipv6", "root", "phone", "no_node"} <= codes
    assert problems(evidence) == {}


@pytest.mark.parametrize(
    ("more", "code", "level"),
    [
        ({"interfaces": [LO], "usable": ["lo"]}, "no_network", WRONG),
        ({"discovery_error": "Address already in use"}, "discovery_port", WRONG),
        ({"join_error": "10.0.0.5: No buffer space available"}, "no_group", DOUBTFUL),
        ({"echoes": []}, "no_echo", DOUBTFUL),
        ({"ways": {}}, "multicast_not_heard", DOUBTFUL),
        ({"ways": {"broadcast": ["10.0.0.7"]}}, "multicast_not_heard", DOUBTFUL),
        ({"mtu_bytes": {"eth0": 1400}}, "low_mtu", DOUBTFUL),
        ({"peers": [], "callers": []}, "alone", DOUBTFUL),
    ],
)
def test_faults_of_the_host(more: dict[str, object], code: str, level: str) -> None:
    found = problems(healthy(**more))
    assert found[code].level == level
    assert set(found) == {code}


@pytest.mark.parametrize(
    ("peers", "code", "level"),
    [
        ([peer("b", 7, tcp=SILENT), peer("c", 8)], "tcp_blocked", WRONG),
        ([peer("b", 7, udp=SILENT), peer("c", 8)], "udp_blocked", WRONG),
        ([peer("b", 7, udp=SILENT), peer("c", 8, udp=SILENT)], "own_firewall", WRONG),
        ([peer("b", 7, tcp=STRANGER), peer("c", 8)], "stranger", WRONG),
        ([peer("b", 7, udp_large=SILENT), peer("c", 8)], "path_mtu", WRONG),
        ([peer("b", 7, outcome=SILENT), peer("c", 8)], "isolated", WRONG),
        ([peer("b", 7, "dead", SILENT), peer("d", 9, "", SILENT), peer("c", 8)], "isolated", DOUBTFUL),
        ([peer("b", 7, outcome=SILENT, is_near=False), peer("c", 8)], "no_answer", DOUBTFUL),
    ],
)
def test_faults_on_the_way_to_others(peers: list[PeerEvidence], code: str, level: str) -> None:
    found = problems(healthy(*peers))
    assert set(found) == {code}
    assert found[code].level == level


@pytest.mark.parametrize("outcome", [SILENT, REFUSED])
def test_one_that_is_off_is_no_fault_of_the_network(outcome: str) -> None:
    assert problems(healthy(peer("b", 7, "dead", outcome), peer("c", 8))) == {}


def test_isolation_is_not_guessed_where_nobody_else_is_there() -> None:
    silent = [peer("b", 7, "", SILENT), peer("c", 8, "", SILENT)]
    assert "isolated" not in problems(healthy(*silent, callers=[]))
    assert "isolated" in problems(healthy(*silent, callers=[], router=REFUSED))


def test_without_a_secret_udp_is_not_judged() -> None:
    """The holder of a client's invitation cannot seal datagrams."""
    peers = [peer("b", 7, udp="untried", udp_large="untried")]
    assert problems(healthy(*peers, has_secret=False)) == {}


def test_multicast_that_was_switched_off_is_no_problem() -> None:
    found = judge(healthy(uses_multicast=False, ways={}, echoes=[]))
    assert "multicast_off" in [finding.code for finding in found]
    assert problems(healthy(uses_multicast=False, ways={}, echoes=[])) == {}


@pytest.mark.parametrize(
    ("skews", "text"),
    [
        ((90.0, 91.0), "this host's clock is 90 s behind the other nodes'"),
        ((-7300.0, -7300.0), "this host's clock is 2 hours ahead of the other nodes'"),
        ((7199.9, 7199.9), "this host's clock is 2 hours behind the other nodes'"),
        ((119.6, 119.6), "this host's clock is 2 minutes behind the other nodes'"),
        ((0.0, 600.0), "the clock of c (10.0.0.8:7117) is 10 minutes ahead of ours"),
    ],
)
def test_whose_clock_is_wrong(skews: tuple[float, float], text: str) -> None:
    found = problems(healthy(peer("b", 7, skew_s=skews[0]), peer("c", 8, skew_s=skews[1])))
    assert [finding.text for finding in found.values()] == [text]


def test_a_slow_way_is_no_wrong_clock() -> None:
    assert problems(healthy(peer("b", 7, skew_s=2.5, round_trip_s=2.0))) == {}


def test_another_mesh_is_a_problem_for_who_is_alone() -> None:
    assert problems(healthy(other_meshes=["10.0.0.9"])) == {}
    found = problems(healthy(other_meshes=["10.0.0.9"], peers=[], callers=[]))
    assert set(found) == {"other_mesh", "alone"}
    assert "heard from 10.0.0.9" in found["other_mesh"].text

"""From evidence to findings, each with its cure; nothing is asked here: equal evidence gives equal findings.

A finding is *good*, a *note*, *doubtful* (it works, but something is lost) or *wrong* (it does not work).
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Final

from swarm.core.hosts import address_for_others, address_text, is_link_local
from swarm.doctor.evidence import ANSWERED, REFUSED, SILENT, STRANGER, UNREACHABLE, Evidence, PeerEvidence
from swarm.net.discovery_sockets import BROADCAST, MULTICAST, MULTICAST_IPV6
from swarm.net.seal import DATAGRAM_SIZE_MAX
from swarm.net.sockets import DISCOVERY_PORT

GOOD: Final = "good"
NOTE: Final = "note"
DOUBTFUL: Final = "doubtful"
WRONG: Final = "wrong"
PROBLEMS: Final = (DOUBTFUL, WRONG)

HEADER_BYTES: Final = 28
"""Of IPv4 and UDP."""
MTU_MIN_BYTES: Final = DATAGRAM_SIZE_MAX + HEADER_BYTES
SKEW_MAX_S: Final = 2.0
_UNHEARD: Final = (SILENT, UNREACHABLE)


@dataclass(frozen=True)
class Finding:
    """One thing to know.

    Attributes:
        code: what it is, for programs; stays the same over versions.
        level: `GOOD`, `NOTE`, `DOUBTFUL` or `WRONG`.
        text: what it is, for people.
        cure: what to do about it, "" when there is nothing to do.
    """

    code: str
    level: str
    text: str
    cure: str = ""


def judge(evidence: Evidence) -> list[Finding]:
    """Return all findings, the problems first."""
    found = [
        *_judge_host(evidence),
        *_judge_mesh(evidence),
        *_judge_hearing(evidence),
        *_judge_peers(evidence),
        *_judge_clocks(evidence),
        *_judge_sizes(evidence),
    ]
    order = (WRONG, DOUBTFUL, NOTE, GOOD)
    return sorted(found, key=lambda finding: order.index(finding.level))


def _judge_host(evidence: Evidence) -> list[Finding]:
    found: list[Finding] = []
    chosen = [item for item in evidence.interfaces if item.name in evidence.usable]
    if not [item for item in chosen if not item.is_loopback]:
        cure = "connect to a network (cable, Wi-Fi or hot spot); a running node notices that by itself"
        if [item for item in evidence.interfaces if not item.is_loopback]:
            cure = "name the interface to use: `swarm join --interface NAME`"
        found.append(Finding("no_network", WRONG, "no interface leads to other hosts", cure))
    for item in chosen:
        hosts = [host for host, _ in item.ipv4] + item.ipv6
        found.append(Finding("interface", GOOD, f"{item.name}: {', '.join(hosts)}"))
    skipped = [item.name for item in evidence.interfaces if item not in chosen and not item.is_loopback]
    if skipped:
        text = f"not used: {', '.join(sorted(skipped))} (virtual, or a mobile carrier's)"
        found.append(Finding("interfaces_skipped", NOTE, text, "to use one, give --interface NAME"))
    if chosen and not any(item.ipv6 for item in chosen):
        text = "no IPv6 address: hellos by IPv6 link-local multicast are not possible"
        found.append(Finding("no_ipv6", NOTE, text, "nothing has to be done; IPv4 is enough"))
    if chosen and not any(item.ipv4 for item in chosen):
        only_link = all(is_link_local(host) for item in chosen for host in item.ipv6)
        text = "no IPv4 address" + (
            ", and only link-local IPv6: nodes of this link alone" if only_link else ""
        )
        found.append(Finding("no_ipv4", DOUBTFUL if only_link else NOTE, text, "see why DHCP gave none"))
    if evidence.is_root:
        text = "running as root: tasks of the mesh would run as root here too"
        found.append(Finding("root", NOTE, text, "run the node as a user of its own"))
    if evidence.is_phone:
        text = "Android lets apps hear multicast only while one holds a multicast lock; Termux holds none"
        found.append(
            Finding("phone", NOTE, text, "join with an invitation that has addresses, or with --scan")
        )
    return found


def _judge_mesh(evidence: Evidence) -> list[Finding]:
    found: list[Finding] = []
    if not evidence.has_node:
        text = f"no node runs in {evidence.home}"
        found.append(Finding("no_node", NOTE, text, "start one with `swarm join`"))
    if not evidence.mesh:
        text = "no mesh is known here: other nodes could not be asked"
        cure = "give --mesh INVITATION, or join one with `swarm join`"
        found.append(Finding("no_mesh", NOTE, text, cure))
    is_alone = not any(peer.is_reached() for peer in evidence.peers) and not evidence.callers
    if evidence.other_meshes:
        hosts = ", ".join(evidence.other_meshes[:3])
        text = f"a mesh with another secret is heard from {hosts}"
        cure = "if it should be one mesh: `swarm invite` on a node there, and join with that in a new --home"
        is_doubtful = is_alone and bool(evidence.mesh)
        found.append(Finding("other_mesh", DOUBTFUL if is_doubtful else NOTE, text, cure))
    if evidence.mesh and is_alone:
        text = f"no other node of mesh {evidence.mesh} answers"
        cure = (
            "start one; if one runs: give its address (`--peer HOST:PORT`, or an invitation made there),"
            " or look through the whole network (`--scan`)"
        )
        found.append(Finding("alone", DOUBTFUL, text, cure))
    return found


def _judge_hearing(evidence: Evidence) -> list[Finding]:
    found: list[Finding] = []
    if evidence.discovery_error:
        text = f"hellos cannot be heard on UDP port {DISCOVERY_PORT}: {evidence.discovery_error}"
        cure = "end the program that holds this port (`ss -lunp`), or give addresses with --peer"
        found.append(Finding("discovery_port", WRONG, text, cure))
    if evidence.join_error:
        text = f"a multicast group could not be joined ({evidence.join_error})"
        cure = "raise net.ipv4.igmp_max_memberships if it is that; broadcasts and addresses work without"
        found.append(Finding("no_group", DOUBTFUL, text, cure))
    near = [peer for peer in evidence.peers if peer.is_near and peer.is_reached()]
    if not evidence.uses_multicast:
        text = "the node was started with --no-multicast: it finds others by addresses only"
        found.append(Finding("multicast_off", NOTE, text, "leave the option out to be found by new nodes"))
    elif not evidence.discovery_error and not evidence.echoes:
        text = "our own hellos to everybody do not come back to this host"
        cure = f"let UDP port {DISCOVERY_PORT} in at this host's firewall, and do not filter IGMP"
        found.append(Finding("no_echo", DOUBTFUL, text, cure))
    if not near or not evidence.uses_multicast or evidence.discovery_error:
        return found
    heard = [way for way in (MULTICAST, BROADCAST, MULTICAST_IPV6) if evidence.ways.get(way)]
    if not heard:
        text = f"nothing sent to everybody is heard of {_names(near)}, which can be reached"
        cure = (
            f"let UDP port {DISCOVERY_PORT} in at this host's firewall; on Wi-Fi, switch off client isolation"
            " and multicast filters of the access point; members stay, but new nodes need --peer or --scan"
        )
        found.append(Finding("multicast_not_heard", DOUBTFUL, text, cure))
    elif MULTICAST not in heard:
        text = f"IPv4 multicast of other hosts is not heard, {_ways(heard)} is: probably a switch that snoops"
        cure = "nothing is lost; to repair it, enable an IGMP querier on the router, or disable IGMP snooping"
        found.append(Finding("multicast_not_heard", DOUBTFUL, text, cure))
    else:
        found.append(Finding("multicast", GOOD, f"other hosts are heard by {_ways(heard)}"))
    return found


def _judge_peers(evidence: Evidence) -> list[Finding]:
    found: list[Finding] = []
    tried = [peer for peer in evidence.peers if peer.tcp != "untried" or peer.udp != "untried"]
    whole = [peer for peer in tried if peer.tcp == ANSWERED and peer.udp in (ANSWERED, "untried")]
    if whole:
        found.append(Finding("reached", GOOD, f"reached by UDP and TCP: {_names(whole)}"))
    no_udp = [peer for peer in tried if peer.tcp == ANSWERED and peer.udp not in (ANSWERED, "untried")]
    no_tcp = [peer for peer in tried if peer.udp == ANSWERED and peer.tcp != ANSWERED]
    if no_udp and len(no_udp) > 1 and not [peer for peer in tried if peer.udp == ANSWERED]:
        text = (
            "no node answers by UDP, though all are reached by TCP: probably this host's firewall drops UDP"
        )
        found.append(Finding("own_firewall", WRONG, text, _firewall("this host", "udp", no_udp[0])))
    else:
        for peer in no_udp:
            text = f"UDP port {_port(peer)} of {_called(peer)} does not answer, TCP does: a firewall"
            found.append(Finding("udp_blocked", WRONG, text, _firewall(peer.name, "udp", peer)))
    for peer in no_tcp:
        if peer.tcp == STRANGER:
            text = f"{_called(peer)} answers by TCP, but not as a node of this mesh ({peer.detail})"
            cure = "see what listens there, and that its invitation is the right one"
            found.append(Finding("stranger", WRONG, text, cure))
            continue
        text = f"TCP port {_port(peer)} of {_called(peer)} cannot be reached, UDP can ({peer.detail})"
        found.append(Finding("tcp_blocked", WRONG, text, _firewall(peer.name, "tcp", peer)))
    found += _judge_unreached(evidence, [peer for peer in tried if not peer.is_reached()])
    if evidence.was_dialled is False and len(whole) > 1:
        text = "no other node ever opened a connection to this one: perhaps this host's firewall lets none in"
        found.append(Finding("never_dialled", NOTE, text, _firewall("this host", "tcp", whole[0])))
    return found


def _judge_unreached(evidence: Evidence, peers: list[PeerEvidence]) -> list[Finding]:
    """Judge those of whom nothing came: gone, or cut off from us alone."""
    found: list[Finding] = []
    refused = [peer for peer in peers if REFUSED in (peer.udp, peer.tcp)]
    if refused:
        text = f"the host is there, but no node listens: {_names(refused)}"
        found.append(Finding("not_running", NOTE, text, "start the node there with `swarm join`"))
    silent = [peer for peer in peers if peer not in refused]
    vouched = [peer for peer in silent if peer.is_near and peer.state in ("alive", "suspect")]
    others = any(peer.is_reached() for peer in evidence.peers) or evidence.router in (ANSWERED, REFUSED)
    is_isolated = bool(vouched) or len([peer for peer in silent if peer.is_near]) > 1
    near = vouched or [peer for peer in silent if peer.is_near]
    if is_isolated and others and evidence.mesh:
        sure = "others reach them" if vouched else "or they are all off"
        text = f"{_names(near)} on this network cannot be reached from here, while other hosts can ({sure})"
        cure = (
            'probably the access point isolates its clients: switch off "client isolation" (also called AP or'
            " privacy isolation, guest network), or connect one of them by cable"
        )
        found.append(Finding("isolated", WRONG if vouched else DOUBTFUL, text, cure))
    else:
        near = []
    rest = [peer for peer in silent if peer not in near]
    if rest:
        is_there = [peer for peer in rest if peer.state in ("alive", "suspect")]
        level = DOUBTFUL if is_there else NOTE
        text = f"no answer from {_names(rest)}"
        cure = "see that they run and that their addresses are right (`swarm nodes`)"
        found.append(Finding("no_answer", level, text, cure))
    return found


def _judge_clocks(evidence: Evidence) -> list[Finding]:
    told: list[tuple[PeerEvidence, float]] = []
    for peer in evidence.peers:
        if peer.skew_s is not None:
            told.append((peer, peer.skew_s))
    wrong = [(peer, skew) for peer, skew in told if abs(skew) > SKEW_MAX_S + peer.round_trip_s / 2]
    cure = "set it: `timedatectl set-ntp true`, or install chrony; liveness does not depend on it, logs do"
    if not wrong:
        return [Finding("clock", GOOD, f"clocks agree within {SKEW_MAX_S:g} s")] if told else []
    middle = statistics.median([skew for _, skew in told])
    if len(wrong) > len(told) / 2 and abs(middle) > SKEW_MAX_S and len(told) > 1:
        text = f"this host's clock is {_duration(-middle)} the other nodes'"
        return [Finding("clock_skew", DOUBTFUL, text, cure)]
    return [
        Finding("clock_skew", DOUBTFUL, f"the clock of {_called(peer)} is {_duration(skew)} ours", cure)
        for peer, skew in wrong
    ]


def _judge_sizes(evidence: Evidence) -> list[Finding]:
    found: list[Finding] = []
    for name in evidence.usable:
        mtu = evidence.mtu_bytes.get(name, MTU_MIN_BYTES)
        if mtu < MTU_MIN_BYTES:
            text = f"{name} carries {mtu} bytes at once, a datagram of swarm has up to {MTU_MIN_BYTES}"
            cure = (
                f"`ip link set {name} mtu 1500` if the network allows it; large datagrams are cut in pieces"
            )
            found.append(Finding("low_mtu", DOUBTFUL, text, cure))
    cut = [peer for peer in evidence.peers if peer.udp == ANSWERED and peer.udp_large in _UNHEARD]
    if cut:
        text = f"datagrams of {MTU_MIN_BYTES} bytes do not get to {_names(cut)}, small ones do"
        cure = (
            "give all interfaces of the network the same MTU (`ip link`); VPNs and tunnels want a smaller one"
        )
        found.append(Finding("path_mtu", WRONG, text, cure))
    return found


def _names(peers: list[PeerEvidence]) -> str:
    names = sorted([_called(peer) for peer in peers])
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _called(peer: PeerEvidence) -> str:
    where = address_text(address_for_others(peer.addresses)) if peer.addresses else ""
    return peer.name if not where or peer.name == where else f"{peer.name} ({where})"


def _port(peer: PeerEvidence) -> int:
    return peer.addresses[0][1] if peer.addresses else 0


def _ways(heard: list[str]) -> str:
    names = {MULTICAST: "IPv4 multicast", BROADCAST: "broadcast", MULTICAST_IPV6: "IPv6 multicast"}
    return " and ".join([names[way] for way in heard])


def _firewall(place: str, protocol: str, peer: PeerEvidence) -> str:
    port = _port(peer)
    return (
        f"on {place}, let {protocol.upper()} port {port} in: `ufw allow {port}/{protocol}`, or"
        f" `firewall-cmd --permanent --add-port={port}/{protocol}` and `firewall-cmd --reload`"
    )


def _duration(seconds: float) -> str:
    size = abs(seconds)
    if round(size) < 120:
        text = f"{size:.0f} s"
    elif round(size / 60) < 120:
        text = f"{size / 60:.0f} minutes"
    else:
        text = f"{size / 3600:.0f} hours"
    return f"{text} {'ahead of' if seconds > 0 else 'behind'}"

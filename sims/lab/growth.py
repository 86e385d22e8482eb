"""Membership by size: what a member sends, how soon a death is seen, how soon a rumour is everywhere.

SWIM's promises (Das, Gupta, Motivala, DSN 2002, section 1) are curves over the size of the group: the load of
a member is constant, so is the expected time until the first member notices a failure, and what one knows
reaches all in a time that grows as the logarithm. One run measures all of it on one mesh: it forms, rests,
spreads rumours, loses a process and then a host.

Bytes are those that a capture on the cable would show: payload, seal, UDP, IP and Ethernet, and a hello three
times, as it leaves by IPv4 multicast, broadcast and IPv6 multicast. For a message on a stream the frames of
WebSocket, TLS and TCP and the other side's acknowledgement are estimated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sims.cluster import Cluster, simple_cluster
from sims.host import Host
from sims.lab.detection import Verdicts
from sims.lab.gossip import gossip_settings
from sims.network import NetworkConfig
from sims.observer import Observer
from sims.settings import NodeSettings
from swarm.core.effects import Effect, SendHello, SendMessage, SendPacket
from swarm.core.errors import ConfigError
from swarm.core.rng import Rng

ETHERNET_IPV4_UDP_BYTES: Final = 14 + 20 + 8
IPV6_MORE_BYTES: Final = 20
SEAL_BYTES: Final = 40
"""What the seal adds to a payload: `swarm.net.seal.OVERHEAD_BYTES`, which a test holds equal."""
STREAM_BYTES: Final = 160
"""Around a message: WebSocket 6, TLS 22, TCP, IP and Ethernet 66, and as much for its acknowledgement."""

JOIN_LIMIT_S: Final = 120.0
SETTLE_S: Final = 60.0
LOAD_S: Final = 30.0
RUMOUR_LIMIT_S: Final = 30.0
RUMOUR_STEP_S: Final = 0.02
PAUSE_S: Final = 3.0
DEATH_LIMIT_S: Final = 60.0
DEATH_STEP_S: Final = 0.1


def datagram_bytes(payload_bytes: int) -> int:
    """Return what a datagram of so much payload weighs on the cable."""
    return payload_bytes + SEAL_BYTES + ETHERNET_IPV4_UDP_BYTES


def hello_bytes(payload_bytes: int) -> int:
    """Return what a hello weighs: two datagrams by IPv4 and one by IPv6."""
    return 3 * datagram_bytes(payload_bytes) + IPV6_MORE_BYTES


class Cable(Observer):
    """Counts what all nodes send.

    Attributes:
        packets: datagrams, a hello three times.
        sent_bytes: all bytes, those of streams too.
        stream_bytes: those of streams.
    """

    def __init__(self) -> None:
        self.packets = 0
        self.sent_bytes = 0
        self.stream_bytes = 0

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if isinstance(effect, SendPacket):
            self.packets += 1
            self.sent_bytes += datagram_bytes(len(effect.payload))
        elif isinstance(effect, SendHello):
            self.packets += 3
            self.sent_bytes += hello_bytes(len(effect.payload))
        elif isinstance(effect, SendMessage):
            self.sent_bytes += len(effect.payload) + STREAM_BYTES
            self.stream_bytes += len(effect.payload) + STREAM_BYTES


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What came of one run; -1 stands for never.

    Attributes:
        nodes, seed, loss: what decided it.
        formed_s: from the start of all until all list all and follow one leader.
        packets_per_node_s, bytes_per_node_s: sent by a member in a second of rest.
        stream_bytes_per_node_s: the part of it that streams carry.
        rumour_half_s, rumour_99_s, rumour_all_s: for each rumour, until so many members had it.
        killed_first_s, killed_all_s: from the end of a process on a live host to the first and the last
            verdict.
        silent_suspect_s, silent_first_s, silent_all_s: from the loss of a host's power to the first
        suspicion,
            the first verdict and the last.
        wrong_deaths: verdicts about members that were well, in the whole run.
    """

    nodes: int
    seed: int
    loss: float
    formed_s: float
    packets_per_node_s: float
    bytes_per_node_s: float
    stream_bytes_per_node_s: float
    rumour_half_s: tuple[float, ...]
    rumour_99_s: tuple[float, ...]
    rumour_all_s: tuple[float, ...]
    killed_first_s: float
    killed_all_s: float
    silent_suspect_s: float
    silent_first_s: float
    silent_all_s: float
    wrong_deaths: int


def grow(nodes: int, seed: int, loss: float = 0.0, rumours: int = 5, settings: str = "swarm") -> Growth:
    """Let a mesh form, rest, spread rumours, lose a process and lose a host.

    Args:
        nodes: size, >= 4.
        seed: decides everything else.
        loss: share of datagrams lost, 0 <= loss < 1.
        rumours: how many, one after the other, >= 1.
        settings: of gossip, by name.

    Raises:
        ConfigError: impossible numbers or unknown settings.
    """
    if nodes < 4 or rumours < 1:
        raise ConfigError(f"nodes >= 4 and rumours >= 1 are wanted, not nodes={nodes}, rumours={rumours}")
    name = f"grow:{nodes}:{seed}:{loss:g}"
    cluster = simple_cluster(
        nodes, name, NetworkConfig(loss=loss), settings=NodeSettings(gossip=gossip_settings(settings))
    )
    verdicts = Verdicts(cluster)
    for index in range(nodes):
        cluster.start(index)
    formed_s = cluster.wait_converged(JOIN_LIMIT_S)
    cluster.run_until(cluster.engine.now + SETTLE_S)
    cable = _rested(cluster)
    rng = Rng(f"{name}:choices")
    spread = [_spread(cluster, rng.below(nodes), number) for number in range(rumours)]
    victims = rng.sample(list(range(nodes)), 2)
    _, killed_first_s, killed_all_s = _loss_of(cluster, verdicts, victims[0], False)
    silent_suspect_s, silent_first_s, silent_all_s = _loss_of(cluster, verdicts, victims[1], True)
    return Growth(
        nodes=nodes,
        seed=seed,
        loss=loss,
        formed_s=formed_s,
        packets_per_node_s=cable.packets / nodes / LOAD_S,
        bytes_per_node_s=cable.sent_bytes / nodes / LOAD_S,
        stream_bytes_per_node_s=cable.stream_bytes / nodes / LOAD_S,
        rumour_half_s=tuple([row[0] for row in spread]),
        rumour_99_s=tuple([row[1] for row in spread]),
        rumour_all_s=tuple([row[2] for row in spread]),
        killed_first_s=killed_first_s,
        killed_all_s=killed_all_s,
        silent_suspect_s=silent_suspect_s,
        silent_first_s=silent_first_s,
        silent_all_s=silent_all_s,
        wrong_deaths=len([member for _, _, member in verdicts.dead if member not in victims]),
    )


@dataclass(frozen=True, kw_only=True)
class Division:
    """What came of a cut through the middle; -1 stands for never.

    Attributes:
        nodes, seed: what decided it.
        first_s: from the cut until somebody declares one of the other side dead.
        known_s: until all of both sides know all that they lost.
        healed_s: from the end of the cut until all list all and follow one leader.
    """

    nodes: int
    seed: int
    first_s: float
    known_s: float
    healed_s: float


def divide(nodes: int, seed: int) -> Division:
    """Cut a mesh into halves, wait until both know it and some time more, and let it heal.

    Raises:
        ConfigError: too few nodes.
    """
    if nodes < 2:
        raise ConfigError(f"there is nothing to cut in a mesh of {nodes}; nodes is at least 2")
    cluster = simple_cluster(nodes, f"divide:{nodes}:{seed}")
    for index in range(nodes):
        cluster.start(index)
    assert cluster.wait_converged(JOIN_LIMIT_S) >= 0, "a quiet mesh finds together"
    rng = Rng(f"divide:{nodes}:{seed}:when")
    cluster.run_until(cluster.engine.now + SETTLE_S / 2 + rng.uniform(0.0, 5.0))
    verdicts = Verdicts(cluster)
    begin = cluster.engine.now
    half = nodes // 2
    cluster.network.partition([list(range(half)), list(range(half, nodes))])
    pairs = 2 * half * (nodes - half)
    while len(verdicts.dead) < pairs and cluster.engine.now < begin + DEATH_LIMIT_S:
        cluster.run_until(cluster.engine.now + DEATH_STEP_S)
    times = [at_s - begin for at_s, _, _ in verdicts.dead]
    is_known = len({(judge, member) for _, judge, member in verdicts.dead}) == pairs
    cluster.run_until(cluster.engine.now + PAUSE_S)
    cluster.network.heal()
    return Division(
        nodes=nodes,
        seed=seed,
        first_s=min(times, default=-1.0),
        known_s=max(times) if is_known else -1.0,
        healed_s=cluster.wait_converged(DEATH_LIMIT_S),
    )


@dataclass(frozen=True, kw_only=True)
class Lossy:
    """What came of packet loss; verdicts are counted once for each judge.

    Attributes:
        nodes, seed, loss, seconds: what decided it.
        suspected: suspicions of members that were well.
        dead: members that were well and were declared dead.
    """

    nodes: int
    seed: int
    loss: float
    seconds: float
    suspected: int
    dead: int


def endure(nodes: int, seed: int, loss: float, seconds: float, settings: str = "swarm") -> Lossy:
    """Let a mesh that is well lose a share of its datagrams for a while, and count who is wronged.

    Raises:
        ConfigError: impossible numbers or unknown settings.
    """
    if nodes < 2 or not seconds > 0:
        raise ConfigError(f"nodes >= 2 and seconds > 0 are wanted, not nodes={nodes}, seconds={seconds}")
    cluster = simple_cluster(
        nodes, f"endure:{nodes}:{seed}", settings=NodeSettings(gossip=gossip_settings(settings))
    )
    for index in range(nodes):
        cluster.start(index)
    assert cluster.wait_converged(JOIN_LIMIT_S) >= 0, "a quiet mesh finds together"
    cluster.run_until(cluster.engine.now + SETTLE_S)
    verdicts = Verdicts(cluster)
    cluster.network.set_loss(loss)
    cluster.run_until(cluster.engine.now + seconds)
    return Lossy(
        nodes=nodes,
        seed=seed,
        loss=loss,
        seconds=seconds,
        suspected=len(verdicts.suspected),
        dead=len(verdicts.dead),
    )


def _rested(cluster: Cluster) -> Cable:
    """Return what the mesh sends in `LOAD_S`."""
    cable = Cable()
    cluster.observers.append(cable)
    cluster.run_until(cluster.engine.now + LOAD_S)
    cluster.observers.remove(cable)
    return cable


def _spread(cluster: Cluster, origin: int, number: int) -> tuple[float, float, float]:
    """Let a host tell something new; return when half, 99 of 100 and all others have it, -1 for never."""
    cluster.run_until(cluster.engine.now + PAUSE_S)
    node_id = cluster.hosts[origin].node_id
    cluster.describe(origin, {"mark": number})
    own = cluster.hosts[origin].node
    assert own is not None, "whoever tells something runs"
    told = own.gossip.member(node_id)
    assert told is not None, "a node is a member"
    count = len(cluster.hosts) - 1
    wanted = [count // 2, (99 * count + 99) // 100, count]
    found: list[float] = []
    begin = cluster.engine.now
    waiting = [host for host in cluster.hosts if host.index != origin]
    while waiting and cluster.engine.now < begin + RUMOUR_LIMIT_S:
        cluster.run_until(cluster.engine.now + RUMOUR_STEP_S)
        waiting = [host for host in waiting if not _knows(host, node_id, told.incarnation)]
        while len(found) < len(wanted) and count - len(waiting) >= wanted[len(found)]:
            found.append(cluster.engine.now - begin)
    found += [-1.0] * (len(wanted) - len(found))
    return found[0], found[1], found[2]


def _knows(host: Host, node_id: bytes, incarnation: int) -> bool:
    assert host.node is not None, "all run while rumours spread"
    entry = host.node.gossip.entry(node_id)
    return entry is not None and entry.incarnation >= incarnation


def _loss_of(
    cluster: Cluster, verdicts: Verdicts, victim: int, is_silent: bool
) -> tuple[float, float, float]:
    """Return (first suspicion, first verdict, verdict of all) on a process killed or a host gone silent."""
    cluster.run_until(cluster.engine.now + PAUSE_S)
    begin = cluster.engine.now
    judges = [host.index for host in cluster.hosts if host.node is not None and host.index != victim]
    cluster.kill(victim, power=is_silent)
    dead: list[tuple[float, int]] = []
    while len(dead) < len(judges) and cluster.engine.now < begin + DEATH_LIMIT_S:
        cluster.run_until(cluster.engine.now + DEATH_STEP_S)
        dead = [(at_s, judge) for at_s, judge, member in verdicts.dead if member == victim and at_s >= begin]
    suspected = [at_s - begin for at_s, _, member in verdicts.suspected if member == victim and at_s >= begin]
    times = [at_s - begin for at_s, _ in dead]
    is_known = len({judge for _, judge in dead}) == len(judges)
    return (min(suspected, default=-1.0), min(times, default=-1.0), max(times) if is_known else -1.0)

"""Some Gossip objects under one virtual clock, with a network that loses, delays, cuts and refuses."""

from __future__ import annotations

import heapq
import math
from hashlib import blake2b

from swarm.core.effects import Effect, LeaveFinished, MemberChanged, Message, Packet, Persist
from swarm.core.ids import EVERYWHERE, Address, NodeId
from swarm.core.rng import Rng
from swarm.gossip.config import GossipConfig
from swarm.gossip.core import Gossip
from swarm.wire.codec import Body, pack, unpack_untrusted

PACKET_MAX_BYTES = 1200


class Host:
    """A node, its address and what the world knows of it."""

    def __init__(self, index: int, node_id: NodeId, address: Address, gossip: Gossip) -> None:
        self.index = index
        self.node_id = node_id
        self.address = address
        self.gossip = gossip
        self.is_up = True
        self.is_frozen = False
        self.has_left = False
        self.changes: list[tuple[float, NodeId, int, str, str]] = []
        self.persisted: list[Persist] = []
        self.sent_bytes = 0
        self.sent_packets = 0


class GossipMesh:
    """The world: hosts, links, time."""

    def __init__(
        self,
        seed: str = "1",
        loss: float = 0.0,
        has_multicast: bool = True,
        has_refusals: bool = True,
        config: GossipConfig | None = None,
    ) -> None:
        self.rng = Rng(f"network:{seed}")
        self.seed = seed
        self.loss = loss
        self.has_multicast = has_multicast
        self.has_refusals = has_refusals
        self.has_streams = True
        self.config = config or GossipConfig()
        self.now = 100.0
        self.hosts: list[Host] = []
        self.by_id: dict[NodeId, Host] = {}
        self.by_address: dict[Address, Host] = {}
        self.side: dict[int, int] = {}
        self.broken: set[int] = set()
        self.trace = blake2b()
        self._queue: list[tuple[float, int, int, int, Address, object]] = []
        self._order = 0

    # Building

    def add(
        self, seeds: list[int] | None = None, incarnation: int = 1, remembered: list[Address] | None = None
    ) -> Host:
        """Make a host and start it."""
        index = len(self.hosts)
        node_id = blake2b(str(index).encode(), digest_size=16).digest()
        address = (f"10.0.{index // 250}.{index % 250 + 1}", 7117)
        gossip = self.make(index, node_id, address, incarnation, remembered or [])
        host = Host(index, node_id, address, gossip)
        self.hosts.append(host)
        self.by_id[node_id] = host
        self.by_address[address] = host
        gossip.start([self.hosts[other].address for other in seeds or []], self.now)
        self.perform(host)
        return host

    def make(
        self, index: int, node_id: NodeId, address: Address, incarnation: int, remembered: list[Address]
    ) -> Gossip:
        """Return a new core for a host."""
        facts: dict[str, object] = {"cores": 4.0, "memory": 8 * 2**30, "python": "3.11", "tags": ["a"]}
        rng = Rng(f"{self.seed}:{index}:{incarnation}")
        name = f"node-{index}"
        return Gossip(self.config, node_id, name, [address], facts, incarnation, rng, remembered)

    def restart(self, host: Host, incarnation: int, remembered: list[Address] | None = None) -> None:
        """Start a killed host again with an empty table."""
        host.gossip = self.make(host.index, host.node_id, host.address, incarnation, remembered or [])
        host.is_up = True
        host.has_left = False
        host.gossip.start([], self.now)
        self.perform(host)

    # Faults

    def kill(self, host: Host) -> None:
        """End the process of a host; its machine lives."""
        host.is_up = False

    def cut(self, sides: list[list[int]]) -> None:
        """Part the hosts, by index; an empty list heals."""
        self.side = {}
        for number, indexes in enumerate(sides):
            for index in indexes:
                self.side[index] = number

    def is_linked(self, one: Host, other: Host) -> bool:
        """Return whether packets get through between two hosts."""
        if {one.index, other.index} == self.broken:
            return False
        return self.side.get(one.index, 0) == self.side.get(other.index, 0)

    # Running

    def run(self, duration_s: float) -> None:
        """Let that much time pass."""
        self.run_until(self.now + duration_s)

    def run_until(self, end: float) -> None:
        """Let time pass until `end`."""
        while True:
            due, host = self.earliest_deadline()
            arrival = self._queue[0][0] if self._queue else math.inf
            if min(due, arrival) > end:
                self.now = max(self.now, end)
                return
            if arrival <= due:
                self.arrive()
            else:
                assert host is not None
                self.now = max(self.now, due)
                host.gossip.handle_deadline(self.now)
                self.perform(host)

    def wait_for_agreement(self, limit_s: float) -> float:
        """Let time pass until every running host lists exactly the running hosts; return how long."""
        start = self.now
        while self.now - start < limit_s:
            if self.is_agreed():
                return self.now - start
            self.run(0.05)
        raise AssertionError(f"no agreement after {limit_s} s: {self.views()}")

    def is_agreed(self) -> bool:
        """Return whether every running host lists exactly the running hosts, as alive."""
        up = self.running()
        wanted = sorted([host.node_id for host in up])
        for host in up:
            if host.gossip.alive_ids() != wanted:
                return False
            if any(member.state == "suspect" for member in host.gossip.members()):
                return False
        return True

    def views(self) -> list[str]:
        """Return who sees how many (for messages)."""
        return [f"{host.index}: {len(host.gossip.alive_ids())}" for host in self.running()]

    def running(self) -> list[Host]:
        """Return the hosts that run and have not left."""
        return [host for host in self.hosts if host.is_up and not host.has_left]

    def earliest_deadline(self) -> tuple[float, Host | None]:
        """Return the earliest deadline and whose it is."""
        best = math.inf
        chosen: Host | None = None
        for host in self.hosts:
            if host.is_up and not host.is_frozen and not host.has_left:
                due = host.gossip.next_deadline()
                if due < best:
                    best = due
                    chosen = host
        return best, chosen

    def check(self) -> None:
        """Audit every core."""
        for host in self.hosts:
            host.gossip.check_invariants()

    # Network

    def perform(self, host: Host) -> None:
        """Carry out what a core asks for."""
        for effect in host.gossip.take_effects():
            self.trace.update(f"{self.now:.6f} {host.index} {effect!r}\n".encode())
            self.perform_one(host, effect)

    def perform_one(self, host: Host, effect: Effect) -> None:
        """Carry out one effect."""
        if isinstance(effect, Packet):
            payload = pack([effect.kind, effect.body])
            assert len(payload) <= PACKET_MAX_BYTES, f"a packet of {len(payload)} bytes"
            host.sent_packets += 1
            host.sent_bytes += len(payload)
            if effect.destination == EVERYWHERE:
                if self.has_multicast:
                    for other in self.hosts:
                        self.transmit(host, other.address, payload)
            else:
                self.transmit(host, effect.destination, payload)
        elif isinstance(effect, Message):
            payload = pack([effect.kind, effect.body])
            host.sent_bytes += len(payload)
            self.stream(host, effect.peer, payload)
        elif isinstance(effect, MemberChanged):
            change = (self.now, effect.member, effect.incarnation, effect.before, effect.after)
            host.changes.append(change)
        elif isinstance(effect, Persist):
            host.persisted.append(effect)
        elif isinstance(effect, LeaveFinished):
            host.has_left = True

    def transmit(self, host: Host, destination: Address, payload: bytes) -> None:
        """Send a datagram, or lose it."""
        if self.rng.unit() >= self.loss:
            self.push(self.rng.uniform(0.0002, 0.003), 0, host.index, destination, payload)

    def stream(self, host: Host, peer: NodeId, payload: bytes) -> None:
        """Send a stream message; a dead peer's host refuses the connection."""
        other = self.by_id[peer]
        if self.has_streams:
            self.push(self.rng.uniform(0.002, 0.006), 1, host.index, other.address, payload)

    def push(self, delay_s: float, kind: int, sender: int, destination: Address, what: object) -> None:
        """Let something arrive later."""
        self._order += 1
        heapq.heappush(self._queue, (self.now + delay_s, self._order, kind, sender, destination, what))

    def arrive(self) -> None:
        """Let the next thing in flight arrive."""
        when, _, kind, index, destination, what = heapq.heappop(self._queue)
        self.now = max(self.now, when)
        sender = self.hosts[index]
        receiver = self.by_address.get(destination)
        if kind == 2:
            if sender.is_up and not sender.has_left:
                sender.gossip.on_packet_refused(destination, self.now)
                self.perform(sender)
            return
        if receiver is None or not self.is_linked(sender, receiver) or receiver.is_frozen:
            return
        if not receiver.is_up or receiver.has_left:
            self.refuse(sender, receiver, kind)
            return
        assert isinstance(what, bytes)
        fields = unpack_untrusted(what)
        assert isinstance(fields, list)
        body = Body(fields)
        number = body.take_int()
        if kind == 0:
            receiver.gossip.receive_packet(sender.node_id, number, body.take_list(), sender.address, self.now)
        else:
            receiver.gossip.receive_message(sender.node_id, number, body.take_list(), self.now)
        self.perform(receiver)

    def refuse(self, sender: Host, receiver: Host, kind: int) -> None:
        """Tell a sender that nobody listens."""
        if not self.has_refusals or not sender.is_up or sender.has_left:
            return
        if kind == 0:
            self.push(0.001, 2, sender.index, receiver.address, None)
        else:
            sender.gossip.on_peer_lost(receiver.node_id, True, self.now)
            self.perform(sender)


def started_mesh(
    count: int,
    seed: str = "1",
    loss: float = 0.0,
    has_refusals: bool = True,
    config: GossipConfig | None = None,
) -> GossipMesh:
    """Return a mesh of `count` hosts that have found each other by multicast."""
    mesh = GossipMesh(seed, loss, has_refusals=has_refusals, config=config)
    for _ in range(count):
        mesh.add()
        mesh.run(0.01)
    mesh.wait_for_agreement(30.0)
    return mesh


def deaths(mesh: GossipMesh, member: NodeId) -> list[float]:
    """Return when each host came to hold a member for dead."""
    times: list[float] = []
    for host in mesh.running():
        for when, who, _, _, after in host.changes:
            if who == member and after == "dead":
                times.append(when)
                break
    return times

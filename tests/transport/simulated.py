"""The network of the simulator behind the face of `tests.transport.networks`.

Its nodes are kept from hearing of each other, so that nothing but the test is on the way.
"""

from __future__ import annotations

from typing import Final

from sims.cluster import Cluster, simple_cluster
from sims.host import Host
from sims.network import NetworkConfig
from sims.observer import LINK_LOST, MESSAGE, PACKET, PACKET_REFUSED, Observer
from swarm.core.effects import Effect, FetchObject, SendHello, SendMessage, SendPacket
from swarm.core.ids import NodeId, ObjectName
from tests.transport.networks import Heard, Transport, object_name
from tests.transport.station import content, digest


class _Ears(Observer):
    """Writes down what simulated nodes are told by the network."""

    def __init__(self, transport: SimulatedTransport) -> None:
        self._transport = transport

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        heard = self._transport.heard[host.index]
        if kind in (PACKET, MESSAGE):
            # A node's own hellos are not the test's.
            if digest(payload) in self._transport.sent:
                heard.append(Heard(kind, source, digest(payload), now))
        elif kind == LINK_LOST:
            heard.append(Heard("lost", source, payload.decode(), now))
        elif kind == PACKET_REFUSED:
            heard.append(Heard("refused", source, "", now))

    def on_copied(
        self, host: Host, name: ObjectName, failed: list[NodeId], is_here: bool, now: float
    ) -> None:
        blamed = [other.index for node in failed for other in self._transport.hosts if other.node_id == node]
        detail: object = name[1] if is_here else (name[1], blamed)
        self._transport.heard[host.index].append(Heard("fetched" if is_here else "missing", -1, detail, now))


class SimulatedTransport(Transport):
    """The network and the carrier of the simulator, under virtual time.

    Attributes:
        cluster: all of it.
        sent: digests of the payloads that tests have sent.
    """

    def __init__(self, count: int, config: NetworkConfig | None = None) -> None:
        super().__init__(count)
        self.sent: dict[str, bool] = {}
        self.cluster: Final[Cluster] = simple_cluster(
            count, "transport", config or NetworkConfig(bandwidth_bytes_s=100e6)
        )
        self.cluster.observers.append(_Ears(self))
        self._deaf: list[int] = []
        for station in range(count):
            self.cluster.network.deafen(station)
        for station in range(count):
            self.cluster.start(station)
        self.pass_time(0.5)

    @property
    def hosts(self) -> list[Host]:
        return self.cluster.hosts

    def send_packets(self, source: int, target: int, seeds: list[str], size: int) -> None:
        address = self.hosts[target].address
        self._perform(source, [SendPacket(address, self._content(seed, size)) for seed in seeds])

    def send_hello(self, source: int, seed: str, size: int) -> None:
        network = self.cluster.network
        for station in range(self.count):
            if station not in self._deaf:
                network.undeafen(station)
        self._perform(source, [SendHello(self._content(seed, size))])
        for station in range(self.count):
            network.deafen(station)

    def send_messages(self, source: int, target: int, seeds: list[str], size: int) -> None:
        peer = self.hosts[target]
        self._perform(
            source,
            [SendMessage(peer.node_id, [peer.address], self._content(seed, size)) for seed in seeds],
        )

    def send_message_without_address(self, source: int, target: int) -> None:
        self._perform(source, [SendMessage(self.hosts[target].node_id, [], b"x")])

    def fetch(self, source: int, task: int, seed: str, size: int, holders: list[int]) -> None:
        sources = [(self.hosts[holder].node_id, [self.hosts[holder].address]) for holder in holders]
        wanted = bytes.fromhex(digest(content(seed, size)))
        self._perform(source, [FetchObject(object_name(task), wanted, size, sources)])

    def store(self, station: int, task: int, seed: str, size: int) -> None:
        self.hosts[station].store[object_name(task)] = (bytes.fromhex(digest(content(seed, size))), size)

    def fetched_bytes(self, station: int, task: int) -> int:
        return 1 if len(self.cluster.network.flows) else 0

    def crash(self, station: int) -> None:
        self.cluster.kill(station)

    def stop(self, station: int) -> None:
        self.cluster.leave(station)
        self.wait(lambda: self.hosts[station].node is None)

    def start(self, station: int) -> None:
        self.cluster.start(station)

    def pause(self, station: int, seconds: float) -> None:
        self.cluster.pause(station, seconds)

    def darken(self, station: int) -> None:
        self.cluster.kill(station, power=True)

    def cut(self, one: int, other: int) -> None:
        self.cluster.network.block(one, other)
        self.cluster.network.block(other, one)

    def mend(self, one: int, other: int) -> None:
        self.cluster.network.unblock(one, other)
        self.cluster.network.unblock(other, one)

    def deafen(self, station: int) -> None:
        self._deaf.append(station)

    def now(self) -> float:
        return self.cluster.engine.now

    def pass_time(self, seconds: float) -> None:
        self.cluster.run_until(self.cluster.engine.now + seconds)

    def close(self) -> None:
        for node in self.cluster.running():
            node.check_invariants()

    def _content(self, seed: str, size: int) -> bytes:
        payload = content(seed, size)
        self.sent[digest(payload)] = True
        return payload

    def _perform(self, station: int, effects: list[Effect]) -> None:
        self.cluster._perform(self.hosts[station], effects)

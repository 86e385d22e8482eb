"""An hour of everything that five nodes send, sent again by somebody else: nothing changes, nothing grows.

The seal of a datagram (`swarm.net.seal`) is no part of the simulator, so the replayer here does what it
leaves him: each node is sent what it has not heard, which is genuine and fresh to it, from his address.
"""

from __future__ import annotations

import pytest

from sims.cluster import Cluster
from sims.host import Host
from sims.network import Network, NetworkConfig
from sims.observer import PACKET, Observer
from sims.settings import HostSpec, NodeSettings
from sims.trace import Trace
from swarm.core.effects import Effect, SendHello, SendPacket
from swarm.core.ids import Address
from swarm.core.rng import Rng
from swarm.gossip.paths import CHALLENGES_PER_S
from swarm.net.seal import OVERHEAD_BYTES

COUNT = 5
HOUR_S = 3600.0
REPLAYER: Address = ("203.0.113.9", 4444)
REPLAYS_PER_S = 500


class Wire(Observer):
    """Keeps every datagram, who sent it and who heard it, and counts what the replayer is sent."""

    def __init__(self) -> None:
        self.sent: dict[bytes, int] = {}
        self.heard: dict[bytes, list[int]] = {}
        self.answered = 0
        self.is_recording = True

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        if self.is_recording and kind == PACKET:
            self.heard.setdefault(payload, []).append(host.index)

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        """Keep what is sent; of what goes to the replayer, keep how large it is."""
        if not isinstance(effect, (SendPacket, SendHello)):
            return
        if self.is_recording:
            self.sent.setdefault(effect.payload, host.index)
        elif isinstance(effect, SendPacket) and effect.destination == REPLAYER:
            self.answered += len(effect.payload) + OVERHEAD_BYTES


def beliefs(cluster: Cluster) -> list[object]:
    """Return what every node believes of members and leaders."""
    found: list[object] = []
    for node in cluster.running():
        members = [
            (member.node_id, member.state, member.incarnation, member.addresses)
            for member in node.gossip.members()
        ]
        found.append((sorted(members), node.election.leader(), node.election.ballot()))
    return found


def _recorded(seconds: float, loss: float = 0.0) -> tuple[Cluster, Wire]:
    """Return a mesh of `COUNT` nodes, and room for one more, that worked for so long and was recorded."""
    specs = [HostSpec(name=f"n{index}", cores=1.0) for index in range(COUNT + 1)]
    network = Network(NetworkConfig(loss=loss), COUNT + 1, Rng(f"{loss}:network"))
    cluster = Cluster(specs, f"recorded {loss}", network, Trace(), NodeSettings())
    wire = Wire()
    cluster.observers.append(wire)
    for index in range(COUNT):
        cluster.start(index)
    cluster.run_until(seconds / 2)
    cluster.suspend(COUNT - 2, 60.0)
    cluster.run_until(seconds)
    wire.is_recording = False
    return cluster, wire


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_an_hour_of_recordings_changes_nothing(loss: float) -> None:
    """With a host that slept and one that came later: the first heard a part of it, the second nothing."""
    cluster, wire = _recorded(HOUR_S, loss)
    cluster.network.set_loss(0.0)  # losses make members refute, whoever sends recordings
    cluster.start(COUNT)
    assert cluster.wait_converged(60.0) >= 0
    cluster.run_until(cluster.engine.now + 60.0)
    before = beliefs(cluster)
    replayed = _replay(cluster, wire)
    assert replayed > 10_000
    assert beliefs(cluster) == before
    assert cluster.is_converged()
    for node in cluster.running():
        node.check_invariants()


def test_recordings_of_a_dead_member_do_not_keep_it_alive() -> None:
    """What it sent to others comes again from its own address, ten times a second to each."""
    cluster, wire = _recorded(HOUR_S / 2)
    dead = cluster.hosts[COUNT - 1]
    cluster.kill(dead.index, power=True)
    died_at = cluster.engine.now
    sent = [payload for payload, source in wire.sent.items() if source == dead.index]
    recordings = [
        [payload for payload in sent if index not in wire.heard.get(payload, [])]
        for index in range(COUNT - 1)
    ]
    known_at = 0.0
    while not known_at or cluster.engine.now - known_at < 30.0:
        for host in cluster.hosts[: COUNT - 1]:
            assert host.node is not None
            host.node.receive_packet(recordings[host.index].pop(), dead.address, host.now(cluster.engine.now))
            cluster._pump(host)
        cluster.run_until(cluster.engine.now + 0.1)
        if not known_at and _is_dead_everywhere(cluster, dead):
            known_at = cluster.engine.now
        assert known_at or cluster.engine.now - died_at < 120.0
    print(f"known dead after {known_at - died_at:.1f} s")
    assert _is_dead_everywhere(cluster, dead), "and nothing that it said before brings it back"


def _is_dead_everywhere(cluster: Cluster, dead: Host) -> bool:
    for node in cluster.running():
        member = node.gossip.member(dead.node_id)
        if member is not None and member.state != "dead":
            return False
    return True


def _replay(cluster: Cluster, wire: Wire) -> int:
    """Send each node all that it has not heard, look that it answers with less; return how many.

    What a packet brings at once is not longer than it is, so that nobody gains by choosing among recordings;
    only the questions whether the sender is there (`swarm.gossip.paths`) may be, a few a second.
    """
    count = 0
    for host in cluster.hosts:
        node = host.node
        assert node is not None
        sent = longer = 0
        began = cluster.engine.now
        wire.answered = 0
        for payload, source in wire.sent.items():
            if source == host.index or host.index in wire.heard.get(payload, []):
                continue
            before = wire.answered
            node.receive_packet(payload, REPLAYER, host.now(cluster.engine.now))
            cluster._pump(host)
            size = len(payload) + OVERHEAD_BYTES
            longer += wire.answered - before > size
            sent += size
            count += 1
            if count % REPLAYS_PER_S == 0:
                cluster.run_until(cluster.engine.now + 1.0)
        print(f"{host.spec.name}: {sent} bytes sent again, {wire.answered} bytes answered, {longer} longer")
        assert wire.answered <= sent / 5, "no amplification"
        assert longer <= (CHALLENGES_PER_S + 1) * (cluster.engine.now - began + 2.0)
    return count

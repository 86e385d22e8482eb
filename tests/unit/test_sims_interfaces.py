"""Limited interfaces: datagrams and messages share what a host sends and what it receives."""

from __future__ import annotations

import pytest

from sims.cluster import Cluster, simple_cluster
from sims.host import Host
from sims.network import LOST, Network, NetworkConfig
from sims.observer import PACKET, Observer
from swarm.core.effects import Effect, SendHello
from swarm.core.rng import Rng

LIMITED = NetworkConfig(
    model="constant", latency_s=0.001, limits_packets=True, bandwidth_bytes_s=10_000, queue_s=0.5
)


def test_what_arrives_first_enters_first() -> None:
    network = Network(LIMITED, 3, Rng("order"))
    assert network.enter(2, 958, 1.0, False) == pytest.approx(1.1)
    assert network.enter(2, 958, 1.05, False) == pytest.approx(1.2), "it waits for the one before"
    assert network.enter(1, 958, 1.05, False) == pytest.approx(1.15), "another host's interface is free"
    assert network.enter(2, 958, 9.0, False) == pytest.approx(9.1)


def test_a_late_datagram_does_not_hold_up_those_that_overtake_it() -> None:
    config = NetworkConfig(
        model="trace", latencies_s=(2.0, 0.001), limits_packets=True, bandwidth_bytes_s=1e6, queue_s=0.5
    )
    network = Network(config, 2, Rng("overtaken"))
    late = network.send(0, 1, 100, 0.0)
    early = network.send(0, 1, 100, 0.0)
    assert late > 2.0
    assert network.enter(1, 100, early, False) < 0.01
    assert network.enter(1, 100, late, False) == pytest.approx(late + 142 / 1e6)


def test_a_full_interface_of_a_receiver_loses_datagrams_and_keeps_messages() -> None:
    config = NetworkConfig(limits_packets=True, bandwidth_bytes_s=10_000, queue_s=0.55)
    network = Network(config, 9, Rng("incast"))
    entered = [network.enter(0, 958, 1.0, False) for _ in range(10)]
    assert [when > 0 for when in entered] == [True] * 6 + [False] * 4
    assert entered[-1] == LOST
    assert network.packets_lost == 4
    assert network.enter(0, 958, 1.0, True) == pytest.approx(1.7), "a stream waits"


class Hellos(Observer):
    """Notes the first hello of host 0 and when the others take it."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, bytes]] = []
        self.taken: dict[int, float] = {}

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if host.index == 0 and isinstance(effect, SendHello):
            self.sent.append((now, effect.payload))

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        if kind == PACKET and self.sent and payload == self.sent[0][1]:
            self.taken.setdefault(host.index, now)


def mesh(count: int, config: NetworkConfig) -> tuple[Cluster, Hellos]:
    cluster = simple_cluster(count, "interfaces", config)
    notes = Hellos()
    cluster.observers.append(notes)
    for index in reversed(range(count)):
        cluster.start(index)
    return cluster, notes


def test_a_hello_leaves_its_host_once_however_many_hear_it() -> None:
    config = NetworkConfig(model="constant", latency_s=0.001, limits_packets=True, bandwidth_bytes_s=20_000)
    cluster, notes = mesh(30, config)
    cluster.run_until(3.0)
    assert len(notes.taken) == 29, "thirty copies would not have fitted into the queue"


def test_limited_interfaces_that_are_wide_change_little() -> None:
    config = NetworkConfig(model="constant", latency_s=0.001, limits_packets=True, bandwidth_bytes_s=1e9)
    cluster, _ = mesh(5, config)
    assert 0 < cluster.wait_converged(10.0) < 3.0

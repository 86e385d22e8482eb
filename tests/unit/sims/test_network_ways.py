"""Topologies, translators, interfaces that are full, clogs; and what streams make of loss."""

from __future__ import annotations

import networkx
import pytest

from sims.network import LOST, Network, NetworkConfig
from sims.network.presets import preset
from sims.network.topology import NO_DOMAIN, Topology, from_graph
from swarm.core.errors import ConfigError
from swarm.core.rng import Rng

CONSTANT = NetworkConfig(model="constant", latency_s=0.001)


def net(topology: Topology, config: NetworkConfig = CONSTANT) -> Network:
    return Network(config, len(topology.site), Rng("ways"), topology)


def line() -> networkx.Graph[str]:
    graph: networkx.Graph[str] = networkx.Graph()
    graph.add_node("a", domain="left")
    graph.add_node("switch", host=False)
    graph.add_node("b", domain="right")
    graph.add_node("c", domain="right", deaf=True)
    graph.add_edge("a", "switch", latency_s=0.01, loss=0.5, bandwidth_bytes_s=1000.0)
    graph.add_edge("switch", "b", latency_s=0.02, bandwidth_bytes_s=500.0)
    graph.add_edge("a", "b", latency_s=1.0)
    graph.add_edge("b", "c", latency_s=0.0)
    return graph


def test_a_graph_gives_the_quickest_way_with_its_loss_and_links() -> None:
    topology = from_graph(line())
    assert len(topology.site) == 3, "the switch is no host"
    way = topology.way(0, 1)
    assert way is not None
    assert (way.latency_s, way.loss, way.links) == (0.03, 0.5, [0, 1])
    network = net(topology)
    assert network.delay_s(0, 1) == pytest.approx(0.031)
    lost = sum([network.send(0, 1, 10, 0.0) == LOST for _ in range(4000)])
    assert 1850 < lost < 2150


def test_multicast_stays_in_its_domain() -> None:
    network = net(from_graph(line()))
    assert network.listeners(0) == []
    assert network.listeners(1) == [], "c is deaf"
    assert network.listeners(2) == [1], "and heard"
    nobody = Topology(2)
    nobody.domain = [NO_DOMAIN, NO_DOMAIN]
    assert net(nobody).listeners(0) == []


def test_directed_edges_go_one_way_and_parts_do_not_meet() -> None:
    graph: networkx.DiGraph[str] = networkx.DiGraph()
    graph.add_edge("a", "b", latency_s=0.01)
    graph.add_node("far")
    network = net(from_graph(graph))
    assert network.reaches(0, 1, 0.0)
    assert not network.reaches(1, 0, 0.0)
    assert not network.carries(0, 1), "streams need both ways"
    assert network.send(0, 2, 10, 0.0) == LOST


@pytest.mark.parametrize(
    ("key", "value"), [("latency_s", -1.0), ("loss", 1.5), ("bandwidth_bytes_s", "fast"), ("latency_s", True)]
)
def test_a_wrong_edge_is_named(key: str, value: object) -> None:
    graph: networkx.Graph[str] = networkx.Graph()
    graph.add_edge("a", "b", **{key: value})
    with pytest.raises(ConfigError, match=f"{key} of the edge from a to b"):
        from_graph(graph)


def test_a_graph_without_hosts_is_refused() -> None:
    graph: networkx.Graph[str] = networkx.Graph()
    graph.add_node("switch", host=False)
    with pytest.raises(ConfigError, match="at least one host"):
        from_graph(graph)


def test_behind_a_translator_only_answers_come_in() -> None:
    topology = Topology(3)
    topology.is_nat[1] = True
    network = net(topology, NetworkConfig(model="constant", latency_s=0.001, nat_timeout_s=30.0))
    assert network.send(0, 1, 10, 0.0) == LOST
    assert network.send(1, 0, 10, 1.0) > 0
    assert network.send(0, 1, 10, 2.0) > 0, "an answer"
    assert network.send(2, 1, 10, 2.0) == LOST, "nobody spoke to this one"
    assert network.send(0, 1, 10, 40.0) == LOST, "the mapping is forgotten"
    assert network.opens(1, 0)
    assert not network.opens(0, 1)
    assert network.carries(0, 1), "a stream that was opened from behind works both ways"


def test_a_full_interface_loses_datagrams_and_delays_the_rest() -> None:
    network = Network(
        NetworkConfig(
            model="constant", latency_s=0.001, limits_packets=True, bandwidth_bytes_s=10_000, queue_s=0.5
        ),
        2,
        Rng("full"),
    )
    arrivals = [network.send(0, 1, 958, 0.0) for _ in range(10)]
    assert [when > 0 for when in arrivals] == [True] * 6 + [False] * 4
    passed = [when for when in arrivals if when > 0]
    assert passed == sorted(passed)
    assert passed[1] - passed[0] == pytest.approx(0.1), "a thousand bytes at ten thousand a second"
    assert network.packets_lost == 4


def test_a_clog_holds_back_and_lets_go() -> None:
    network = Network(CONSTANT, 2, Rng("clog"))
    network.clog(0, 1, 5.0)
    assert network.send(0, 1, 10, 0.0) == 5.0
    assert network.arrival_s(0, 1, 0.0, 10) == 5.0
    assert network.send(1, 0, 10, 0.0) == 0.001
    assert network.send(0, 1, 10, 6.0) == 6.001


def test_streams_are_late_where_datagrams_are_lost() -> None:
    network = Network(NetworkConfig(model="constant", latency_s=0.001, loss=0.5), 2, Rng("late"))
    times = [network.arrival_s(0, 1, float(100 * number), 10) - 100 * number for number in range(1000)]
    assert min(times) < 0.01
    late = [seconds for seconds in times if seconds > 0.1]
    assert 400 < len(late) < 600
    assert min(late) >= 0.2


def test_latency_and_loss_can_change_while_it_runs() -> None:
    network = Network(CONSTANT, 2, Rng("change"))
    network.set_latency_factor(10.0)
    assert network.send(0, 1, 10, 0.0) == pytest.approx(0.01)
    network.set_latency_factor(1.0)
    network.set_loss(0.9)
    assert sum([network.send(0, 1, 10, 0.0) == LOST for _ in range(1000)]) > 800
    network.set_loss(0.0)
    assert LOST not in [network.send(0, 1, 10, 0.0) for _ in range(100)]


def test_counts_are_kept_for_every_host() -> None:
    network = Network(CONSTANT, 3, Rng("counts"))
    network.send(0, 1, 10, 0.0)
    network.send(0, 2, 20, 0.0)
    network.arrival_s(2, 1, 0.0, 500)
    assert network.sent_packets == [2, 0, 0]
    assert network.sent_bytes == [30, 0, 0]
    assert network.stream_bytes == [0, 0, 500]


@pytest.mark.parametrize("name", ["lan", "wifi", "campus", "wide", "home"])
def test_every_preset_connects_all_its_hosts(name: str) -> None:
    network = Network(NetworkConfig(topology=name), 45, Rng(name))
    for source in range(45):
        for target in range(45):
            if source != target:
                assert network.carries(source, target)
                assert 0 < network.delay_s(source, target) < 5


def test_presets_differ_as_their_names_say() -> None:
    assert preset("campus", 45).domain[0] != preset("campus", 45).domain[44]
    assert preset("wide", 8).way(0, 3) is not None
    home = preset("home", 5)
    assert home.is_deaf == [False, False, False, False, True]
    wide = Network(NetworkConfig(topology="wide"), 8, Rng("wide"))
    assert wide.delay_s(0, 3) > 0.1 > wide.delay_s(0, 4)
    cell = Network(NetworkConfig(topology="wifi"), 4, Rng("cell"))
    cell.start_flow(1, 0, 1, 1_000_000, 0.0)
    alone_s = cell.flows.next_end()
    cell.start_flow(2, 2, 3, 1_000_000, 0.0)
    assert cell.flows.next_end() == pytest.approx(2 * alone_s), "the air is shared"

"""The simulated network: cuts, one-way blocks, losses, delays, streams in order."""

from __future__ import annotations

from typing import Any

import pytest

from sims.network import LOST, Network, NetworkConfig
from swarm.core.errors import ConfigError
from swarm.core.rng import Rng


def network(**settings: Any) -> Network:
    return Network(NetworkConfig(**settings), 5, Rng("network"))


def test_everybody_reaches_everybody() -> None:
    net = network()
    assert net.reaches(0, 1, 0.0)
    assert net.carries(0, 1)
    assert net.listeners(1) == [0, 2, 3, 4]


def test_a_cut_separates_sides() -> None:
    net = network()
    net.partition([[0, 1], [2]])
    assert net.carries(0, 1)
    assert not net.reaches(0, 2, 0.0)
    assert not net.reaches(2, 1, 0.0)
    assert net.carries(3, 4), "who is not named is on a side of its own with the others"
    assert not net.reaches(3, 0, 0.0)
    net.partition([[0, 2]])
    assert net.carries(0, 2), "a new cut replaces the old one"


def test_a_block_is_one_way_and_breaks_streams() -> None:
    net = network()
    net.block(0, 1)
    assert not net.reaches(0, 1, 0.0)
    assert net.reaches(1, 0, 0.0)
    assert not net.carries(1, 0)


def test_healing_removes_everything() -> None:
    net = network()
    net.partition([[0], [1]])
    net.block(0, 1)
    net.deafen(0)
    assert net.listeners(1) == [2, 3, 4]
    net.heal()
    assert net.carries(0, 1)
    assert net.listeners(1) == [0, 2, 3, 4]


def test_delays_have_a_least_and_a_most() -> None:
    net = network(latency_s=0.01, jitter_s=0.002)
    delays = [net.delay_s(0, 1) for _ in range(2000)]
    assert min(delays) >= 0.01
    assert max(delays) <= 0.016
    assert 0.0115 < sum(delays) / len(delays) < 0.0125
    assert network(latency_s=0.01, jitter_s=0.0).delay_s(0, 1) == 0.01


def test_losses_are_a_share_of_datagrams() -> None:
    net = network(loss=0.2)
    lost = sum([net.send(0, 1, 100, 0.0) == LOST for _ in range(5000)])
    assert 900 < lost < 1100
    assert (net.packets, net.packets_lost, net.bytes) == (5000, lost, 500_000)
    lossless = network()
    assert not any(lossless.send(0, 1, 1, 0.0) == LOST for _ in range(100))


def test_streams_stay_in_order() -> None:
    net = network(jitter_s=0.01, bandwidth_bytes_s=1e6)
    arrivals = [net.arrival_s(0, 1, now / 1000, 10_000 if now == 0 else 1) for now in range(100)]
    assert arrivals == sorted(arrivals)
    assert arrivals[0] >= 0.01
    assert net.arrival_s(1, 0, 0.0, 1) < arrivals[-1], "the other way is another stream"


@pytest.mark.parametrize(
    "settings",
    [
        {"latency_s": 0.0},
        {"jitter_s": -1.0},
        {"loss": 1.0},
        {"loss": -0.1},
        {"bandwidth_bytes_s": 0.0},
        {"connect_timeout_s": 0.0},
    ],
)
def test_impossible_networks_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        NetworkConfig(**settings)


def test_what_is_lost_on_a_stream_holds_up_what_follows_and_the_network_says_for_how_long() -> None:
    net = network(loss=0.5)
    assert net.arrived_s() == 0.0
    arrivals = [net.arrival_s(0, 1, 0.0, 100) for _ in range(20)]
    assert arrivals == sorted(arrivals)
    other = net.arrival_s(1, 0, 0.0, 100)
    assert net.arrived_s() == max(arrivals[-1], other)
    assert (net.arrived_s(0, 1), net.arrived_s(1, 0)) == (arrivals[-1], other)

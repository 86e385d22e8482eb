"""Networks that people have: one wired network, a Wi-Fi cell, a campus, machines far apart, a home."""

from __future__ import annotations

from typing import Final

from sims.network.latency import pi_wifi, pi_wifi_power_save
from sims.network.topology import Topology, Way

WIFI_BYTES_S: Final = 5e6
"""What a cell of 802.11n with mixed clients carries for all together."""
UPLINK_BYTES_S: Final = 125e6
WIFI_LOSS: Final = 0.01
REGION_LATENCY_S: Final = (
    # One way, seconds, between Europe, the east and west of North America, and East Asia: half of usual
    # round trips of public clouds.
    (0.0, 0.042, 0.072, 0.115),
    (0.042, 0.0, 0.033, 0.085),
    (0.072, 0.033, 0.0, 0.055),
    (0.115, 0.085, 0.055, 0.0),
)


def preset(name: str, count: int) -> Topology:
    """Return the topology of a name for `count` hosts.

    lan: one wired network. wifi: one cell whose air all share, with its losses. campus: a site for every
    twenty hosts, each with multicast of its own, up-links of a gigabit. wide: four regions, a host in each in
    turn, no multicast between them, every third host behind a translator. home: in turn a wired laptop, three
    boards on Wi-Fi (the last one saves power), and a phone that hears no multicast.
    """
    if name == "wifi":
        return _wifi(count)
    if name == "campus":
        return _campus(count)
    if name == "wide":
        return _wide(count)
    if name == "home":
        return _home(count)
    assert name in ("", "lan"), f"no such preset: {name!r}"
    return Topology(count)


def _wifi(count: int) -> Topology:
    topology = Topology(count)
    topology.links_bytes_s = [WIFI_BYTES_S]
    topology.add_way(0, 0, Way(0.0, 0.0, [0]))
    for host in range(count):
        topology.access[host] = pi_wifi()
        topology.loss[host] = WIFI_LOSS
    return topology


def _campus(count: int) -> Topology:
    topology = Topology(count)
    sites = (count + 19) // 20
    topology.links_bytes_s = [UPLINK_BYTES_S] * sites
    for host in range(count):
        topology.site[host] = host // 20
        topology.domain[host] = host // 20
    for one in range(sites):
        for two in range(one):
            topology.add_way(one, two, Way(0.0005, 0.0, [one, two]))
    return topology


def _wide(count: int) -> Topology:
    topology = Topology(count)
    regions = len(REGION_LATENCY_S)
    for host in range(count):
        topology.site[host] = host % regions
        topology.domain[host] = host % regions
        topology.is_nat[host] = host % 3 == 2
    for one in range(regions):
        for two in range(one):
            topology.add_way(one, two, Way(REGION_LATENCY_S[one][two], 0.001, []))
    return topology


def _home(count: int) -> Topology:
    topology = Topology(count)
    topology.links_bytes_s = [WIFI_BYTES_S]
    topology.add_way(1, 1, Way(0.0, 0.0, [0]))
    topology.add_way(0, 1, Way(0.0, 0.0, [0]))
    for host in range(count):
        kind = host % 5
        if kind == 0:
            continue
        topology.site[host] = 1
        topology.loss[host] = WIFI_LOSS
        topology.access[host] = pi_wifi_power_save() if kind == 3 else pi_wifi()
        topology.is_deaf[host] = kind == 4
    return topology

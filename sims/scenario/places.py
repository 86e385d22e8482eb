"""Where the hosts of a scenario are: sites and links between them, or a graph of networkx."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sims.network.latency import Latency, pi_wifi, pi_wifi_power_save
from sims.network.topology import Topology, Way, from_graph
from sims.scenario.graphs import read_networkx
from sims.scenario.mesh import HostGroup
from sims.scenario.parts import SiteLink
from swarm.core.errors import ConfigError, GraphError

if TYPE_CHECKING:
    import networkx


def graph_groups(graph: str | networkx.Graph[Any]) -> tuple[HostGroup, ...]:
    """Return the hosts of a graph, each a group of its own, called as in the graph.

    Raises:
        GraphError: the file cannot be read or is no such graph.
        ConfigError: a host's name is impossible.
    """
    nodes = load_networkx(graph).nodes(data=True)
    return tuple([HostGroup(name=str(node)) for node, data in nodes if data.get("host", True)])


def load_networkx(graph: str | networkx.Graph[Any]) -> networkx.Graph[Any]:
    """Return a graph, read from its file when it is a name; the same file is read once.

    Raises:
        GraphError: the file cannot be read or is no such graph.
    """
    if not isinstance(graph, str):
        return graph
    try:
        about = Path(graph).stat()
    except OSError as error:
        raise GraphError(f"{graph}: cannot be read: {error.strerror or error}") from error
    return _load_once(graph, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=8)
def _load_once(path: str, _changed_ns: int, _size: int) -> networkx.Graph[Any]:
    return read_networkx(path)


def topology_of(
    groups: Sequence[HostGroup], links: Sequence[SiteLink], graph: str | networkx.Graph[Any]
) -> Topology | None:
    """Return the topology of the hosts, None when nothing is said about their places.

    Args:
        groups: of hosts.
        links: between their sites.
        graph: in place of both, "" for none.

    Raises:
        ConfigError: the graph or a link does not fit the hosts.
        GraphError: the graph's file cannot be read.
    """
    count = sum([len(group.host_names()) for group in groups])
    if graph:
        topology = from_graph(load_networkx(graph))
        if len(topology.site) != count:
            raise ConfigError(
                f"the graph has {len(topology.site)} hosts, but the mesh has {count}; make them equal"
            )
        return topology
    if not links and not any([group.is_placed() for group in groups]):
        return None
    topology = Topology(count)
    sites: dict[str, int] = {}
    host = 0
    for group in groups:
        site = sites.setdefault(group.site, len(sites))
        for _ in group.host_names():
            _place(topology, host, site, group)
            host += 1
    linked: list[list[str]] = []
    for link in links:
        for site_name in link.sites:
            if site_name not in sites:
                known = ", ".join([name for name in sites if name]) or "none; give hosts a `site`"
                raise ConfigError(f"sites: no host is at {site_name!r}; sites are {known}")
        pair = sorted(link.sites)
        if pair in linked:
            raise ConfigError(f"sites {pair[0]!r} and {pair[1]!r} have two links; keep one of them")
        linked.append(pair)
        numbers: list[int] = []
        if link.bandwidth_bytes_s > 0:
            numbers.append(len(topology.links_bytes_s))
            topology.links_bytes_s.append(link.bandwidth_bytes_s)
        one, two = link.sites
        topology.add_way(sites[one], sites[two], Way(link.latency_s, link.loss, numbers))
    return topology


def _place(topology: Topology, host: int, site: int, group: HostGroup) -> None:
    topology.site[host] = site
    topology.domain[host] = site
    topology.access[host] = _access(group.access)
    topology.loss[host] = group.loss
    topology.up_bytes_s[host] = group.up_bytes_s
    topology.down_bytes_s[host] = group.down_bytes_s
    topology.is_nat[host] = group.is_nat
    topology.is_deaf[host] = group.is_deaf


def _access(name: str) -> Latency | None:
    if name == "pi-wifi":
        return pi_wifi()
    return pi_wifi_power_save() if name == "pi-wifi-power-save" else None

"""Where hosts are: sites, the ways between them, and who hears whose multicast."""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Final

from sims.network.latency import Latency
from swarm.core.errors import ConfigError

if TYPE_CHECKING:
    import networkx

NO_DOMAIN: Final = -1


class Way:
    """From one site to another: what is added to every datagram.

    Attributes:
        latency_s: seconds more.
        loss: share lost on the way.
        links: numbers of the links it crosses.
    """

    def __init__(self, latency_s: float, loss: float, links: list[int]) -> None:
        self.latency_s: Final = latency_s
        self.loss: Final = loss
        self.links: Final = links


class Topology:
    """Hosts at sites. Everything about pairs is kept for pairs of sites, so that many hosts cost little.

    Attributes:
        site: of each host.
        domain: of each host; those of one domain hear each other's multicast, with `NO_DOMAIN` nobody does.
        access: of each host, a latency of its own last hop, None for none.
        up_bytes_s, down_bytes_s: of each host, 0 for that of the network's settings.
        is_deaf: of each host, whether it hears no multicast (its own is heard).
        is_nat: of each host, whether it stands behind a translator: only it can begin to speak.
        loss: of each host, the share of datagrams to and from it that are lost.
        links_bytes_s: capacity of each link, by number, shared by the objects that cross it.
    """

    def __init__(self, count: int) -> None:
        self.site: list[int] = [0] * count
        self.domain: list[int] = [0] * count
        self.access: list[Latency | None] = [None] * count
        self.up_bytes_s: list[float] = [0.0] * count
        self.down_bytes_s: list[float] = [0.0] * count
        self.is_deaf: list[bool] = [False] * count
        self.is_nat: list[bool] = [False] * count
        self.loss: list[float] = [0.0] * count
        self.links_bytes_s: list[float] = []
        self._ways: dict[tuple[int, int], Way | None] = {}
        self._graph: Any = None
        self._nodes: list[Hashable] = []

    def add_way(self, one: int, two: int, way: Way) -> None:
        """Say what lies between two sites, both ways."""
        self._ways[(one, two)] = way
        self._ways[(two, one)] = way

    def way(self, source: int, target: int) -> Way | None:
        """Return the way between the sites of two hosts, None when there is none."""
        pair = (self.site[source], self.site[target])
        if pair not in self._ways:
            self._ways[pair] = self._find(pair[0], pair[1])
        return self._ways[pair]

    def set_graph(self, graph: Any, nodes: list[Hashable]) -> None:
        """Let ways be found in a graph whose edges have `latency_s`, `loss` and `link`; site n is `nodes[n]`.

        `link` is the number of a link, -1 for none.
        """
        self._graph = graph
        self._nodes = nodes

    def _find(self, one: int, two: int) -> Way | None:
        """Return the quickest way through the graph; nothing lies between without one, or at one site."""
        if one == two or self._graph is None:
            return Way(0.0, 0.0, [])
        import networkx

        graph = self._graph
        try:
            nodes = networkx.shortest_path(graph, self._nodes[one], self._nodes[two], weight="latency_s")
        except networkx.NetworkXNoPath:
            return None
        latency_s = 0.0
        kept = 1.0
        links: list[int] = []
        for begin, end in itertools.pairwise(nodes):
            data = graph.edges[begin, end]
            latency_s += data["latency_s"]
            kept *= 1.0 - data["loss"]
            if data["link"] >= 0:
                links.append(data["link"])
        return Way(latency_s, 1.0 - kept, links)


def from_graph(graph: networkx.Graph[Any]) -> Topology:
    """Return the topology of a graph of hosts, switches and routers.

    Args:
        graph: directed or not, without parallel edges. A node is a host unless its attribute `host` is
            false; hosts are numbered in the order of the graph. A host's `domain` (a text or number; by
            default all are in one), `nat` and `deaf` are as above. An edge's `latency_s` (default 0), `loss`
            (0) and `bandwidth_bytes_s` (no bound) are added up along the quickest way. In a directed graph an
            edge goes one way.

    Raises:
        ConfigError: there is no host, edges are parallel, or an edge has an impossible value; names it.
    """
    if graph.is_multigraph():
        raise ConfigError("a topology has one edge between two nodes, and this graph has parallel ones")
    hosts = [node for node, data in graph.nodes(data=True) if data.get("host", True)]
    if not hosts:
        raise ConfigError("a topology needs at least one host; a node is one unless its `host` is false")
    topology = Topology(len(hosts))
    working = graph.copy()
    for one, two, data in working.edges(data=True):
        where = f"the edge from {one} to {two}"
        data["latency_s"] = _number(data, "latency_s", 0.0, where)
        data["loss"] = _number(data, "loss", 0.0, where)
        if data["loss"] >= 1:
            raise ConfigError(f"loss of {where} is {data['loss']}, it must be a share in [0, 1)")
        bandwidth = _number(data, "bandwidth_bytes_s", 0.0, where)
        data["link"] = -1
        if bandwidth > 0:
            data["link"] = len(topology.links_bytes_s)
            topology.links_bytes_s.append(bandwidth)
    domains: dict[Hashable, int] = {}
    for number, node in enumerate(hosts):
        data = graph.nodes[node]
        topology.site[number] = number
        topology.domain[number] = domains.setdefault(data.get("domain", ""), len(domains))
        topology.is_nat[number] = bool(data.get("nat", False))
        topology.is_deaf[number] = bool(data.get("deaf", False))
    topology.set_graph(working, hosts)
    return topology


def _number(data: dict[str, Any], key: str, default: float, where: str) -> float:
    value = data.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ConfigError(f"{key} of {where} is {value!r}, it must be a number of at least 0")
    return float(value)

"""The smaller parts of a scenario: workload, driver, policy and output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sims.settings import NodeSettings
from sims.workload.arrivals import Arrivals
from sims.workload.graph import TaskGraph
from sims.workload.noise import Noise
from swarm.core.errors import ConfigError

if TYPE_CHECKING:
    import networkx

TRACE_FORMATS: Final = ("csv", "jsonl", "chrome")
PLOT_KINDS: Final = (
    "membership",
    "detection",
    "false-suspicions",
    "traffic",
    "leaders",
    "gantt",
    "makespan",
)
MESH: Final = "mesh"
"""The placement by the nodes' own scheduler, over the simulated network."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Jobs that clients submit.

    Attributes:
        name: of the jobs; that of the graph when left out.
        graph: file of a task graph (JSON as in examples/graphs, networkx node-link JSON, GraphML; ``.gz``
            too); in Python also a `TaskGraph` or a `networkx.DiGraph`.
        generator: in place of a file, a family of `sims.workload.generators`, as "map-reduce".
        parameters: of the generator and its costs, by name.
        graph_seed: of the generator, >= 0.
        at: where the clients attach: a host, a group, "random", "leader", "followers" or "all" (in turn).
        arrivals: when jobs are submitted; a table of `Arrivals`, and `file` for a trace.
        noise: on run times; a table of `Noise`.
    """

    name: str = ""
    graph: str | TaskGraph | networkx.DiGraph[Any] = ""
    generator: str = ""
    parameters: Mapping[str, float] = field(default_factory=dict)
    graph_seed: int = 0
    at: str = "random"
    arrivals: Arrivals = field(default_factory=Arrivals)
    noise: Noise = field(default_factory=Noise)

    def __post_init__(self) -> None:
        if not isinstance(self.graph, (str, TaskGraph)):
            object.__setattr__(self, "graph", _graph_of(self.graph))  # frozen, but not finished yet
        if bool(self.graph) == bool(self.generator):
            raise ConfigError(
                f"graph is {self.graph!r} and generator {self.generator!r}; give exactly one of them"
            )
        if self.parameters and not self.generator:
            raise ConfigError("parameters belong to a generator, and a graph is given; remove them")
        if self.graph_seed < 0:
            raise ConfigError(f"graph_seed is {self.graph_seed}, it must be at least 0")


@dataclass(frozen=True, kw_only=True)
class SiteLink:
    """What lies between two sites, both ways. Sites without a link have nothing between them.

    Attributes:
        sites: two different ones.
        latency_s: added to every datagram, seconds >= 0.
        loss: share of datagrams lost on it, 0 <= loss < 1.
        bandwidth_bytes_s: that all copies of objects across it share, > 0; 0 for no bound.
    """

    sites: tuple[str, ...]
    latency_s: float = 0.0
    loss: float = 0.0
    bandwidth_bytes_s: float = 0.0

    def __post_init__(self) -> None:
        if len(self.sites) != 2 or self.sites[0] == self.sites[1]:
            raise ConfigError(f"sites is {list(self.sites)}, it must name two different sites")
        for name in ("latency_s", "bandwidth_bytes_s"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name):g}, it must be at least 0")
        if not 0 <= self.loss < 1:
            raise ConfigError(f"loss is {self.loss:g}, it must be a share in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class DriverSettings:
    """What the hosts cost beside the nodes' protocols.

    Attributes:
        sync_s: seconds of a durable write, >= 0; two milliseconds is a good SD card.
        flush_s: seconds after which other writes are on disk, > 0.
        spawn_s: seconds of the start of an executor, >= 0.
        socket_buffer_count: datagrams that wait for a process that stands still, >= 0; more are lost.
    """

    sync_s: float = 0.002
    flush_s: float = 0.5
    spawn_s: float = 0.02
    socket_buffer_count: int = 256

    def __post_init__(self) -> None:
        self.node_settings()

    def node_settings(self, **cores: Any) -> NodeSettings:
        """Return the settings of nodes with these settings of their cores.

        Raises:
            ConfigError: a value is out of its range.
        """
        return NodeSettings(
            sync_s=self.sync_s,
            flush_s=self.flush_s,
            spawn_s=self.spawn_s,
            socket_buffer_count=self.socket_buffer_count,
            **cores,
        )


@dataclass(frozen=True, kw_only=True)
class OutputSettings:
    """What is written beside the summary.

    Attributes:
        folder: where; "" for what the command line says.
        trace: formats of the trace of all events: "csv", "jsonl", "chrome".
        plots: kinds of plots; ``swarm sim plot --help`` lists them.
    """

    folder: str = ""
    trace: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, known in (("trace", TRACE_FORMATS), ("plots", PLOT_KINDS)):
            for value in getattr(self, name):
                if value not in known:
                    raise ConfigError(f"{name} has {value!r}, it may have {', '.join(known)}")


def _graph_of(graph: networkx.DiGraph[Any]) -> TaskGraph:
    from sims.workload.convert import graph_of_networkx

    return graph_of_networkx(graph)

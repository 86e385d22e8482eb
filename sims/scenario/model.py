"""The scenario: everything that decides a run, as one value.

A :class:`Scenario` is read from a TOML file (`sims.scenario.reading`) or made in Python. Both are checked in
the same way; what is wrong is a :class:`BadValue` that knows which value it is about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from math import isfinite
from numbers import Integral, Real
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Final

from sims.lab.policies import make_policy
from sims.network import NetworkConfig
from sims.network.topology import Topology
from sims.scenario.binding import shown, with_floats
from sims.scenario.churn import read_churn
from sims.scenario.faults import Fault
from sims.scenario.graphs import load_graph
from sims.scenario.mesh import HOSTS_MAX, HostGroup, HostNames
from sims.scenario.parts import MESH, DriverSettings, OutputSettings, SiteLink, Workload
from sims.scenario.places import graph_groups, topology_of
from sims.scenario.policy import PolicySettings
from sims.scenario.source import ScenarioError
from sims.scenario.toml_lines import Path
from sims.settings import NodeSettings
from sims.workload.generators import generate
from sims.workload.graph import TaskGraph
from swarm.core.errors import ConfigError, GraphError, SwarmError
from swarm.election.config import ElectionConfig
from swarm.exec.config import ExecConfig
from swarm.gossip.config import GossipConfig
from swarm.scheduler.config import SchedulerConfig

if TYPE_CHECKING:
    import networkx

ENDS: Final = ("time", "jobs")
SAMPLES_MAX: Final = 1_000_000
NODES_DEFAULT: Final = 5


PLAIN: Final[dict[str, tuple[type, Callable[[Any], object], str]]] = {
    "int": (Integral, int, "a whole number"),
    "float": (Real, float, "a number"),
    "str": (str, str, "a text"),
}
"""Fields that hold one value, by their types; whole numbers of numpy are some too."""

ROWS: Final[dict[str, type]] = {
    "hosts": HostGroup,
    "contacts": str,
    "links": SiteLink,
    "faults": Fault,
    "workloads": Workload,
}
"""Fields that hold several values, and of which kind."""


class BadValue(ScenarioError):
    """A value of a scenario is impossible.

    Attributes:
        path: where it would stand in a file.
    """

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path: Final = path


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Everything that decides a run. Equal scenarios give equal runs.

    It can be pickled, and changed with `dataclasses.replace` or `sims.scenario.reading.with_settings`.

    Attributes:
        name: for people: titles of plots, names of files.
        description: what it shows.
        nodes: equal hosts called n0, n1 and so on, 1 to 100,000; with `hosts` their number.
        hosts: groups of hosts, in place of `nodes`.
        contacts: hosts whose addresses every node is given at its start; without any, nodes find each
            other by multicast only.
        seconds: of virtual time, > 0.
        seed: decides everything that is random, >= 0.
        end: "time", or "jobs" to stop when every job has ended, at the latest after `seconds`.
        sample_s: seconds between two looks at the whole mesh, > 0.
        network: how the network behaves.
        links: what lies between the sites of `hosts`.
        network_graph: hosts, switches and ways between them, in place of sites: the file of a networkx
            graph (GraphML or node-link JSON), in Python also the graph; see
            `sims.network.topology.from_graph`. Without `hosts` the hosts are called as in the graph.
        faults: what goes wrong.
        workloads: what clients submit.
        gossip, election, scheduler, exec: settings of the nodes' cores.
        driver: what hosts cost beside them.
        policy: who places tasks.
        output: what is written.
    """

    name: str = "scenario"
    description: str = ""
    nodes: int = NODES_DEFAULT
    hosts: tuple[HostGroup, ...] = ()
    contacts: tuple[str, ...] = ()
    seconds: float = 60.0
    seed: int = 1
    end: str = "time"
    sample_s: float = 0.5
    network: NetworkConfig = field(default_factory=NetworkConfig)
    links: tuple[SiteLink, ...] = ()
    network_graph: str | networkx.Graph[Any] = ""
    faults: tuple[Fault, ...] = ()
    workloads: tuple[Workload, ...] = ()
    gossip: GossipConfig = field(default_factory=GossipConfig)
    election: ElectionConfig = field(default_factory=ElectionConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    exec: ExecConfig = field(default_factory=ExecConfig)
    driver: DriverSettings = field(default_factory=DriverSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    output: OutputSettings = field(default_factory=OutputSettings)

    def __post_init__(self) -> None:
        self._settle_numbers()
        self._check_mesh()
        self._check_time()
        self._check_places()
        names = HostNames(self.groups())
        for number, word in enumerate(self.contacts):
            if not names.named(word):
                raise BadValue(
                    ("mesh", "contacts", number),
                    names.problem_of(word) or f"{word!r} names no hosts at the start",
                )
        for number, fault in enumerate(self.faults):
            self._check_fault(("faults", number), fault, names)
        for number, workload in enumerate(self.workloads):
            path: Path = ("workload", number) if len(self.workloads) > 1 else ("workload",)
            self._check_workload(path, workload, names)
        if self.policy.placement != MESH:
            self._check_policy()

    def __reduce__(self) -> tuple[Any, ...]:
        # Compiled dataclasses cannot be pickled; their fields can.
        return (_restore, (_fields_of(self),))

    # Views

    def groups(self) -> tuple[HostGroup, ...]:
        """Return the groups of hosts: as given, as in the graph, or one of equal ones."""
        if self.hosts:
            return self.hosts
        if self.network_graph:
            return graph_groups(self.network_graph)
        return (HostGroup(name="n", count=self.nodes),)

    def topology(self) -> Topology | None:
        """Return where the hosts are, None when that is left to the network's settings."""
        return topology_of(self.groups(), self.links, self.network_graph)

    def node_settings(self) -> NodeSettings:
        """Return the settings of every node."""
        return self.driver.node_settings(
            gossip=self.gossip, election=self.election, scheduler=self.scheduler, exec=self.exec
        )

    # Checks

    def _settle_numbers(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in ROWS and isinstance(value, (list, tuple)):
                value = tuple([with_floats(self._row(item.name, part)) for part in value])
            elif item.name in ROWS:
                raise BadValue((item.name,), f"{item.name} is {shown(value)}, it must be a tuple")
            elif is_dataclass(value) and not isinstance(value, type):
                value = with_floats(value)
            elif item.type in PLAIN:
                wanted, make, kind = PLAIN[str(item.type)]
                if isinstance(value, bool) or not isinstance(value, wanted):
                    raise BadValue((item.name,), f"{item.name} is {shown(value)}, it must be {kind}")
                value = make(value)
            object.__setattr__(self, item.name, value)  # frozen, but not finished yet

    def _row(self, name: str, part: object) -> Any:
        kind = ROWS[name]
        if not isinstance(part, kind):
            raise BadValue((name,), f"{name} has {shown(part)}, it may have {kind.__name__} only")
        return part

    def _check_mesh(self) -> None:
        groups: tuple[HostGroup, ...] = ()
        if self.hosts or self.network_graph:
            try:
                groups = self.groups()
            except (ConfigError, GraphError) as error:
                raise BadValue(("network", "graph"), f"graph: {error}") from None
        total = sum([len(group.host_names()) for group in groups])
        if groups and self.nodes not in (NODES_DEFAULT, total):
            what = "hosts has" if self.hosts else "the graph of the network has"
            raise BadValue(("mesh", "nodes"), f"nodes is {self.nodes}, but {what} {total}; give one of them")
        count = total or self.nodes
        if not 1 <= count <= HOSTS_MAX:
            raise BadValue(("mesh", "nodes"), f"nodes is {count}, it must be in 1 to {HOSTS_MAX}")
        object.__setattr__(self, "nodes", count)
        known: dict[str, bool] = {}
        for number, group in enumerate(groups):
            for name in dict.fromkeys([group.name, *group.host_names()]):
                if name in known:
                    raise BadValue(
                        ("mesh", "hosts", number, "name"),
                        f"name is {group.name!r}, but there is {name!r} already; choose another",
                    )
                known[name] = True

    def _check_time(self) -> None:
        if not (isfinite(self.seconds) and self.seconds > 0):
            raise BadValue(("time", "seconds"), f"seconds is {self.seconds:g}, it must be above 0")
        if self.seed < 0:
            raise BadValue(("time", "seed"), f"seed is {self.seed}, it must be at least 0")
        if self.end not in ENDS:
            raise BadValue(("time", "end"), f"end is {self.end!r}, it must be one of {', '.join(ENDS)}")
        if not self.sample_s > 0 or self.seconds / self.sample_s > SAMPLES_MAX:
            raise BadValue(
                ("time", "sample_s"),
                f"sample_s is {self.sample_s:g}, it must be above 0 and at least seconds / {SAMPLES_MAX}",
            )
        if self.end == "jobs" and not self.workloads:
            raise BadValue(
                ("time", "end"), "end is 'jobs', but there is no workload; add one, or end by 'time'"
            )

    def _check_places(self) -> None:
        placed = bool(self.links) or any([group.is_placed() for group in self.hosts])
        said = [
            ("topology", bool(self.network.topology)),
            ("graph", bool(self.network_graph)),
            ("sites of hosts", placed),
        ]
        ways = [name for name, is_said in said if is_said]
        if len(ways) > 1:
            raise BadValue(
                ("network", ways[0]), f"{' and '.join(ways)} both say where hosts are; keep one of them"
            )
        try:
            self.topology()
        except (ConfigError, GraphError) as error:
            key = "graph" if self.network_graph else "links"
            raise BadValue(("network", key), f"{key}: {error}") from None

    def _check_fault(self, path: Path, fault: Fault, names: HostNames) -> None:
        if fault.at_s > self.seconds:
            raise BadValue(
                (*path, "at"),
                f"at is {fault.at_s:g}, after the end of the run at {self.seconds:g}; move it or run longer",
            )
        for key in ("targets", "others"):
            for place, word in enumerate(getattr(fault, key)):
                problem = names.problem_of(word)
                if problem:
                    raise BadValue((*path, key, place), problem)
        if fault.file:
            try:
                events = read_churn(fault.file)
            except ConfigError as error:
                raise BadValue((*path, "file"), str(error)) from None
            for _, name, _ in events:
                if names.number(name) < 0:
                    problem = names.problem_of(name) or f"{name!r} is more than one host"
                    raise BadValue((*path, "file"), f"{fault.file}: {problem}")

    def _check_workload(self, path: Path, workload: Workload, names: HostNames) -> None:
        problem = names.problem_of(workload.at)
        if problem:
            raise BadValue((*path, "at"), f"at: {problem}")
        if workload.arrivals.start_s > self.seconds:
            raise BadValue(
                (*path, "arrivals", "start_s"),
                f"start_s is {workload.arrivals.start_s:g}, after the end of the run at {self.seconds:g}",
            )
        graph_of(workload, path)

    def _check_policy(self) -> None:
        if not self.workloads:
            raise BadValue(
                ("policy", "placement"),
                f"placement is {self.policy.placement!r}, but there is no workload to place; add one",
            )
        if self.faults:
            raise BadValue(
                ("policy", "placement"),
                f"placement is {self.policy.placement!r}, a policy of the ideal model, where nothing "
                f"fails; remove the faults, or place by {MESH!r}",
            )
        try:
            make_policy(self.policy.placement)
        except SwarmError as error:
            raise BadValue(("policy", "placement"), f"placement: {error}") from None


def graph_of(workload: Workload, path: Path = ("workload",)) -> TaskGraph:
    """Return the task graph of a workload.

    Raises:
        BadValue: the file cannot be read or is no task graph, or the generator refuses a parameter.
    """
    if not isinstance(workload.graph, str):
        assert isinstance(workload.graph, TaskGraph), "a workload converts graphs of networkx"
        return workload.graph
    try:
        if workload.graph:
            return load_graph(FilePath(workload.graph))
        return generate(workload.generator, workload.parameters, workload.graph_seed)
    except (GraphError, ConfigError) as error:
        key = "graph" if workload.graph else "generator"
        for name in workload.parameters:
            if name in str(error):
                raise BadValue((*path, "parameters", name), str(error)) from None
        raise BadValue((*path, key), str(error)) from None


def _fields_of(value: Any) -> Any:
    """Return a dataclass as (class, fields), with what is inside it; other values as they are."""
    if is_dataclass(value) and not isinstance(value, type):
        return (type(value), {item.name: _fields_of(getattr(value, item.name)) for item in fields(value)})
    if isinstance(value, tuple) and value and is_dataclass(value[0]):
        return _Many(_fields_of(item) for item in value)
    return value


class _Many(tuple[Any, ...]):
    """Dataclasses in a row, as (class, fields)."""

    __slots__ = ()


def _restore(packed: Any) -> Any:
    if isinstance(packed, _Many):
        return tuple([_restore(item) for item in packed])
    if isinstance(packed, tuple) and len(packed) == 2 and isinstance(packed[0], type):
        return packed[0](**{name: _restore(item) for name, item in packed[1].items()})
    return packed

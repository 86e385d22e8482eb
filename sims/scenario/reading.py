"""Scenarios from TOML files, and back.

::

    name = "two rooms"

    [mesh]
    nodes = 6                       # or [[mesh.hosts]] for different ones

    [time]
    seconds = 120
    seed = 7

    [[faults]]
    at = 30
    kind = "partition"
    targets = ["n0", "n1", "n2"]
    for = 40

docs/SCENARIOS.md lists every key. A mistake is one :class:`ScenarioError` that names the file and line.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path as FilePath
from typing import Any, Final, TypeVar

from sims.lab.gossip import gossip_settings
from sims.network import NetworkConfig
from sims.scenario.binding import bind, bind_value, check_keys, key_of, shown
from sims.scenario.faults import Fault
from sims.scenario.mesh import HostGroup
from sims.scenario.model import BadValue, Scenario
from sims.scenario.parts import DriverSettings, OutputSettings, SiteLink, Workload
from sims.scenario.policy import PolicySettings
from sims.scenario.source import ScenarioError, Source, path_text
from sims.scenario.toml_lines import Path, key_lines
from sims.workload.arrivals import Arrivals, read_arrivals
from sims.workload.graph import TaskGraph
from sims.workload.noise import Noise
from swarm.core.errors import ConfigError
from swarm.election.config import ElectionConfig
from swarm.exec.config import ExecConfig
from swarm.gossip.config import GossipConfig
from swarm.scheduler.config import SchedulerConfig

T = TypeVar("T")
Document = dict[str, Any]

STORED: Final = FilePath(__file__).parents[1] / "scenarios"
"""The folder of the scenarios that come with the simulator."""

PLAIN: Final[dict[str, tuple[type, str]]] = {
    "network": (NetworkConfig, "network"),
    "gossip": (GossipConfig, "gossip"),
    "election": (ElectionConfig, "election"),
    "scheduler": (SchedulerConfig, "scheduler"),
    "exec": (ExecConfig, "exec"),
    "driver": (DriverSettings, "driver"),
    "policy": (PolicySettings, "policy"),
    "output": (OutputSettings, "output"),
}
"""Sections that are one dataclass each -> the class, and the field of the scenario."""

GROUPED: Final[dict[str, tuple[str, ...]]] = {
    "mesh": ("nodes", "contacts"),
    "time": ("seconds", "seed", "end", "sample_s"),
}
"""Sections that hold fields of the scenario itself; [mesh] has the groups of hosts besides."""

PRESETS: Final = ("gossip", "election")
"""Sections whose key `preset` chooses the values that the others change."""

ELECTION_PRESETS: Final = ("lan", "wan")

SECTIONS: Final = ("name", "description", *GROUPED, "faults", "workload", *PLAIN)


def stored_names() -> list[str]:
    """Return the names of the scenarios that come with the simulator."""
    return sorted([path.stem for path in STORED.glob("*.toml")])


def find_scenario(name: str | FilePath) -> FilePath:
    """Return the file of a scenario: the file of this name, else the stored scenario of this name.

    Raises:
        ScenarioError: there is neither.
    """
    path = FilePath(name)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    stored = STORED / f"{path}.toml"
    if stored.is_file():
        return stored
    known = ", ".join(stored_names())
    raise ScenarioError(f"{name}: there is no such file, and no scenario of this name; stored are {known}")


def read_scenario(path: str | FilePath) -> Scenario:
    """Return the scenario of a TOML file; files that it names are looked for beside it.

    Raises:
        ScenarioError: the file cannot be read, or a key or value in it is wrong; names file, line and cure.
    """
    file = find_scenario(path)
    try:
        text = file.read_text(encoding="utf-8-sig")  # editors of Windows begin files with a mark
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ScenarioError(f"{file}: cannot be read: {problem}") from None
    return parse_scenario(text, str(file), file.parent)


def parse_scenario(text: str, name: str = "scenario", folder: FilePath | None = None) -> Scenario:
    """Return the scenario that a TOML text describes.

    Args:
        text: of the file.
        name: of the file; messages begin with it.
        folder: where files that it names are looked for; the working directory when left out.

    Raises:
        ScenarioError: see :func:`read_scenario`.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        line = found.group(1) if found else str(text.count("\n") + 1)
        problem = str(error)[: found.start()] if found else str(error)
        raise ScenarioError(f"{name}: line {line}: is not TOML: {problem}") from None
    except RecursionError:
        raise ScenarioError(f"{name}: is no scenario: nested too deeply") from None
    return scenario_of_document(document, Source(name, key_lines(text), folder))


def scenario_of_document(document: Mapping[str, object], source: Source) -> Scenario:
    """Return the scenario of a parsed TOML document.

    Raises:
        ScenarioError: a key or value is wrong.
    """
    check_keys(document, list(SECTIONS), (), source)
    values: dict[str, Any] = {}
    known = {field.name: field for field in fields(Scenario)}
    for key in ("name", "description"):
        if key in document:
            values[key] = bind_value(known[key], document[key], (key,), source)
    for section, keys in GROUPED.items():
        table = _table(document, section, source)
        check_keys(table, [*keys, *(["hosts"] if section == "mesh" else [])], (section,), source)
        for key in keys:
            if key in table:
                values[key] = bind_value(known[key], table[key], (section, key), source)
    if "nodes" in values and "hosts" in _table(document, "mesh", source):
        source.refuse(("mesh", "nodes"), "mesh: nodes and hosts are both given; remove one of them")
    values["hosts"] = _bind_rows(HostGroup, _table(document, "mesh", source), "hosts", ("mesh",), source)
    values["faults"] = tuple(
        [_with_file(fault, source) for fault in _bind_rows(Fault, document, "faults", (), source)]
    )
    values["workloads"] = _bind_workloads(document, source)
    values.update(_bind_network(document, source))
    for section, (kind, name) in PLAIN.items():
        if section in document and section != "network":
            values[name] = _bind_section(kind, _table(document, section, source), section, source)
    try:
        return Scenario(**values)
    except BadValue as problem:
        source.refuse(problem.path, f"{_place(problem.path)}{problem}")


def _table(document: Mapping[str, object], section: str, source: Source) -> Mapping[str, object]:
    table = document.get(section, {})
    if not isinstance(table, Mapping):
        source.refuse((section,), f"{section} is {shown(table)}, it must be a table; write [{section}]")
    return table


def _bind_section(kind: type, table: Mapping[str, object], section: str, source: Source) -> Any:
    base = None
    rest = dict(table)
    if section in PRESETS and "preset" in rest:
        base = _preset(section, rest.pop("preset"), source)
    bound = bind(kind, rest, (section,), source, base)
    if isinstance(bound, PolicySettings) and bound.placement.rpartition(":")[0].endswith(".py"):
        # The class of a user is meant from the scenario's folder, wherever it is run from.
        return replace(bound, placement=str(source.file(bound.placement)))
    return bound


def _preset(section: str, name: object, source: Source) -> Any:
    path: Path = (section, "preset")
    if not isinstance(name, str):
        source.refuse(path, f"{section}.preset is {shown(name)}, it must be a text")
    if section == "gossip":
        try:
            return gossip_settings(name, source.folder)
        except ConfigError as error:
            source.refuse(path, f"gossip.preset: {error}")
    if name not in ELECTION_PRESETS:
        known = ", ".join(ELECTION_PRESETS)
        source.refuse(path, f"{section}.preset is {shown(name)}, it must be one of {known}")
    return ElectionConfig.wan() if name == "wan" else ElectionConfig.lan()


def _bind_network(document: Mapping[str, object], source: Source) -> dict[str, Any]:
    table = dict(_table(document, "network", source))
    found: dict[str, Any] = {"links": _bind_rows(SiteLink, table, "links", ("network",), source)}
    table.pop("links", None)
    if "graph" in table:
        graph = table.pop("graph")
        is_plain = isinstance(graph, (str, int, float, list, dict))
        found["network_graph"] = _file_name(graph, ("network", "graph"), source) if is_plain else graph
    if "latency_file" in table:
        path: Path = ("network", "latency_file")
        file = _file_name(table.pop("latency_file"), path, source)
        table["latencies_s"] = _read_latencies(file, path, source)
        table.setdefault("model", "trace")
    found["network"] = bind(NetworkConfig, table, ("network",), source)
    return found


def _read_latencies(file: str, path: Path, source: Source) -> list[float]:
    try:
        lines = FilePath(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        source.refuse(path, f"{path_text(path)}: {file}: cannot be read: {error}")
    found: list[float] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            found.append(float(text))
        except ValueError:
            source.refuse(path, f"{file}: line {number}: {text!r} is no latency in seconds")
    return found


def _bind_rows(
    kind: type[T], table: Mapping[str, object], key: str, path: Path, source: Source
) -> tuple[T, ...]:
    rows = table.get(key, [])
    inside = (*path, key)
    name = ".".join([str(part) for part in inside])
    if not isinstance(rows, (list, tuple)):
        source.refuse(inside, f"{name} is {shown(rows)}, it must be a list of tables; write [[{name}]]")
    found: list[T] = []
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            source.refuse((*inside, number), f"{name}[{number + 1}] is {shown(row)}, it must be a table")
        found.append(bind(kind, _listed(kind, row), (*inside, number), source))
    return tuple(found)


def _listed(kind: type, row: Mapping[str, object]) -> Mapping[str, object]:
    """Return a row of faults in which a lone target stands for a list of one."""
    if kind is not Fault:
        return row
    return {
        key: [value] if key in ("targets", "others") and isinstance(value, str) else value
        for key, value in row.items()
    }


def _with_file(fault: Fault, source: Source) -> Fault:
    return replace(fault, file=str(source.file(fault.file))) if fault.file else fault


def _bind_workloads(document: Mapping[str, object], source: Source) -> tuple[Workload, ...]:
    rows = document.get("workload", [])
    if isinstance(rows, Mapping):
        return (_bind_workload(rows, ("workload",), source),)
    if not isinstance(rows, list):
        source.refuse(("workload",), f"workload is {shown(rows)}, it must be a table; write [workload]")
    found: list[Workload] = []
    for number, row in enumerate(rows):
        path: Path = ("workload", number) if len(rows) > 1 else ("workload",)
        if not isinstance(row, Mapping):
            source.refuse(("workload", number), f"workload[{number + 1}] is {shown(row)}, it must be a table")
        found.append(_bind_workload(row, path, source))
    return tuple(found)


def _bind_workload(table: Mapping[str, object], path: Path, source: Source) -> Workload:
    known = {key_of(field): field for field in fields(Workload)}
    check_keys(table, list(known), path, source)
    values: dict[str, Any] = {}
    for key, value in table.items():
        inside = (*path, key)
        if key in ("parameters", "arrivals", "noise") and not isinstance(value, Mapping):
            name = path_text(inside)
            source.refuse(inside, f"{name} is {shown(value)}, it must be a table; write {key} = {{ ... }}")
        if key == "parameters":
            values[key] = _bind_parameters(value, inside, source)
        elif key == "arrivals":
            values[key] = _bind_arrivals(value, inside, source)
        elif key == "noise":
            values[key] = bind(Noise, value, inside, source)  # type: ignore[arg-type] # a table, see above
        elif key == "graph":
            values[key] = value if isinstance(value, TaskGraph) else _file_name(value, inside, source)
        else:
            values[key] = bind_value(known[key], value, inside, source)
    try:
        return Workload(**values)
    except ConfigError as error:
        source.blame(path, list(table), error)


def _bind_parameters(table: Any, path: Path, source: Source) -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in table.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            inside = (*path, key)
            source.refuse(inside, f"{path_text(inside)} is {shown(value)}, it must be a number")
        found[key] = value
    return found


def _bind_arrivals(table: Any, path: Path, source: Source) -> Arrivals:
    rest = dict(table)
    name = rest.pop("file", "")
    if name:
        try:
            rest["times_s"] = [
                time_s for time_s, _ in read_arrivals(_file_name(name, (*path, "file"), source))
            ]
        except ConfigError as error:
            if isinstance(error, ScenarioError):
                raise
            source.refuse((*path, "file"), f"{path_text(path)}: {error}")
        rest.setdefault("kind", "trace")
        rest.setdefault("count", 0)
    return bind(Arrivals, rest, path, source)


def _file_name(value: object, path: Path, source: Source) -> str:
    if not isinstance(value, str) or not value:
        source.refuse(path, f"{path_text(path)} is {shown(value)}, it must be the name of a file")
    return str(source.file(value))


def _place(path: Path) -> str:
    """Return what a message about a path begins with: the table around it."""
    table = path[:-1]
    return f"{path_text(table)}: " if table else ""

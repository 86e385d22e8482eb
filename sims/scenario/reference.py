"""The tables of docs/SCENARIOS.md, made from the dataclasses that scenarios are bound to.

Each table stands between ``<!-- keys: NAME -->`` and ``<!-- end -->``; tools/scenario_tables.py writes them,
and a test sees that they are fresh.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sims.network import NetworkConfig
from sims.network.config import LATENCY_MODELS, TOPOLOGIES
from sims.scenario.binding import default_of, fields_of, is_required, key_of, types_of
from sims.scenario.faults import KINDS, NONE, Fault
from sims.scenario.mesh import HostGroup
from sims.scenario.model import Scenario
from sims.scenario.parts import DriverSettings, OutputSettings, SiteLink, Workload
from sims.scenario.policy import PolicySettings
from sims.scenario.toml_text import toml_text
from sims.workload.arrivals import Arrivals
from sims.workload.generators import FAMILIES, Costs
from sims.workload.noise import Noise
from swarm.election.config import ElectionConfig
from swarm.exec.config import ExecConfig
from swarm.gossip.config import GossipConfig
from swarm.scheduler.config import SchedulerConfig

CLASSES: Final[dict[str, tuple[type, tuple[str, ...]]]] = {
    "scenario": (Scenario, ("name", "description")),
    "mesh": (Scenario, ("nodes", "contacts")),
    "mesh.hosts": (HostGroup, ()),
    "time": (Scenario, ("seconds", "seed", "end", "sample_s")),
    "network": (NetworkConfig, ()),
    "network.links": (SiteLink, ()),
    "faults": (Fault, ()),
    "workload": (Workload, ()),
    "workload.arrivals": (Arrivals, ()),
    "workload.noise": (Noise, ()),
    "workload.costs": (Costs, ()),
    "driver": (DriverSettings, ()),
    "policy": (PolicySettings, ()),
    "output": (OutputSettings, ()),
    "gossip": (GossipConfig, ()),
    "election": (ElectionConfig, ()),
    "scheduler": (SchedulerConfig, ()),
    "exec": (ExecConfig, ()),
}
"""Table -> the dataclass that documents its keys, and which of its fields are shown: all for ()."""

_BLOCK: Final = re.compile(r"(<!-- keys: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_WORDS: Final = {bool: "boolean", int: "integer", float: "number", str: "text"}


def rewritten(document: str) -> str:
    """Return a document with fresh tables.

    Raises:
        KeyError: the document asks for a table that does not exist.
    """

    def fresh(found: re.Match[str]) -> str:
        return f"{found.group(1)}\n{table(found.group(2))}\n\n{found.group(3)}"

    return _BLOCK.sub(fresh, document)


def table(name: str) -> str:
    """Return one table in Markdown.

    Raises:
        KeyError: there is no such table.
    """
    if name == "fault-kinds":
        return _fault_table()
    if name == "generators":
        return _generator_table()
    kind, chosen = CLASSES[name]
    meanings = attribute_texts(docstring_of(kind))
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for field in fields_of(kind):
        if chosen and field.name not in chosen:
            continue
        default = "needed" if is_required(field) else _default_text(field)
        meaning = _in_markdown(meanings.get(field.name, ""))
        lines.append(f"| `{key_of(field)}` | {_type_text(field)} | {default} | {meaning} |")
    return "\n".join(lines)


def docstring_of(kind: type) -> str:
    """Return the docstring of a class, from its source: compiled classes have none."""
    top, _, rest = kind.__module__.partition(".")
    root = Path(str(importlib.import_module(top).__file__)).parent
    path = root.joinpath(*rest.split(".")).with_suffix(".py")
    if not path.is_file():
        path = path.with_suffix("") / "__init__.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
            return ast.get_docstring(node) or ""
    raise KeyError(f"{path} has no class {kind.__name__}")


def attribute_texts(docstring: str) -> dict[str, str]:
    """Return what the section "Attributes" of a docstring in Google form says of each name."""
    found: dict[str, str] = {}
    names: list[str] = []
    is_inside = False
    for line in docstring.splitlines():
        if line.strip() in ("Attributes:", "Args:", "Raises:", "Returns:"):
            is_inside = line.strip() == "Attributes:"
            continue
        if not is_inside or not line.strip():
            continue
        if not line.startswith(" "):
            is_inside = False
            continue
        start = re.fullmatch(r" {4}(\w+(?:, \w+)*): (.*)", line)
        if start is not None:
            names = start.group(1).split(", ")
            for name in names:
                found[name] = start.group(2)
        else:
            for name in names:
                found[name] += " " + line.strip()
    return found


def _fault_table() -> str:
    lines = ["| kind | needs | takes | what happens |", "|---|---|---|---|"]
    for name, kind in KINDS.items():
        needs = [f"`{key}`" for key in kind.needs]
        takes = [f"`{key}`" for key in kind.takes]
        for key, state in (("for", kind.duration), ("targets", kind.targets)):
            if state != NONE:
                (needs if state == "needed" else takes).insert(0, f"`{key}`")
        lines.append(f"| `{name}` | {', '.join(needs)} | {', '.join(takes)} | {kind.does} |")
    return "\n".join(lines)


def _generator_table() -> str:
    lines = ["| generator | parameters | what it makes |", "|---|---|---|"]
    for name, generator in FAMILIES.items():
        parameters = [
            f"`{key} = {parameter.default}`"
            for key, parameter in inspect.signature(generator).parameters.items()
            if key not in ("costs", "seed")
        ]
        meaning = (inspect.getdoc(generator) or "").splitlines()[0].removeprefix("Return ")
        lines.append(f"| `{name}` | {', '.join(parameters)} | {meaning} |")
    return "\n".join(lines)


def _in_markdown(text: str) -> str:
    """Return a text of a docstring for a table: names of constants that list words become the words."""
    for name, words in (("LATENCY_MODELS", LATENCY_MODELS), ("TOPOLOGIES", TOPOLOGIES[1:])):
        text = text.replace(f"`{name}`", ", ".join([f'"{word}"' for word in words]))
    return text.replace("``", "`").replace("|", "\\|")


def _type_text(field: dataclasses.Field[Any]) -> str:
    try:
        plain, is_list = types_of(field)
    except AssertionError:
        return "table"
    words = " or ".join([_WORDS[one] for one in plain])
    return f"list of {words}s" if is_list else words


def _default_text(field: dataclasses.Field[Any]) -> str:
    default = default_of(field)
    if default in ("", ()) or dataclasses.is_dataclass(default) or isinstance(default, Mapping):
        return ""
    text = toml_text({"v": default}).removeprefix("v = ").strip()
    return f"`{text}`"

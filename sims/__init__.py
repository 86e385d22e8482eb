"""The simulator: whole meshes of `swarm.node` objects under a virtual clock.

In a notebook or a script::

    from sims import Fault, Scenario, run, sweep

    dark = Fault(at_s=30, kind="power-off", targets=("n3",))
    outcome = run(Scenario(nodes=20, seconds=60, seed=1, faults=(dark,)))
    outcome.summary["detection_all_mean_s"]
    outcome.plot("membership")

    result = sweep(Scenario(nodes=20), {"network.loss": [0, 0.1, 0.3]}, seeds=range(10))

Names are loaded when they are first used; importing `sims` alone costs nothing. On a command line it is
``swarm sim`` (`sims.cli`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sims.comparing import compare, variants_of
    from sims.network import NetworkConfig
    from sims.outcome import Outcome
    from sims.output import load, save
    from sims.plotting import draw
    from sims.replaying import replay
    from sims.running import run
    from sims.scenario.faults import Fault
    from sims.scenario.graphs import load_graph
    from sims.scenario.mesh import HostGroup
    from sims.scenario.model import Scenario
    from sims.scenario.parts import SiteLink, Workload
    from sims.scenario.policy import PolicySettings
    from sims.scenario.reading import read_scenario
    from sims.scenario.source import ScenarioError
    from sims.scenario.writing import with_settings
    from sims.sweeping import sweep
    from sims.workload.arrivals import Arrivals
    from sims.workload.graph import TaskGraph
    from sims.workload.noise import Noise
    from swarm.gossip.config import GossipConfig

_NAMES: Final = {
    "Arrivals": "sims.workload.arrivals",
    "Fault": "sims.scenario.faults",
    "GossipConfig": "swarm.gossip.config",
    "HostGroup": "sims.scenario.mesh",
    "NetworkConfig": "sims.network",
    "Noise": "sims.workload.noise",
    "Outcome": "sims.outcome",
    "PolicySettings": "sims.scenario.policy",
    "Scenario": "sims.scenario.model",
    "ScenarioError": "sims.scenario.source",
    "SiteLink": "sims.scenario.parts",
    "TaskGraph": "sims.workload.graph",
    "Workload": "sims.scenario.parts",
    "compare": "sims.comparing",
    "draw": "sims.plotting",
    "load": "sims.output",
    "load_graph": "sims.scenario.graphs",
    "read_scenario": "sims.scenario.reading",
    "replay": "sims.replaying",
    "run": "sims.running",
    "save": "sims.output",
    "sweep": "sims.sweeping",
    "variants_of": "sims.comparing",
    "with_settings": "sims.scenario.writing",
}
"""What is offered here, and where it lives. No name is that of a module of this package."""

__all__ = [
    "Arrivals",
    "Fault",
    "GossipConfig",
    "HostGroup",
    "NetworkConfig",
    "Noise",
    "Outcome",
    "PolicySettings",
    "Scenario",
    "ScenarioError",
    "SiteLink",
    "TaskGraph",
    "Workload",
    "compare",
    "draw",
    "load",
    "load_graph",
    "read_scenario",
    "replay",
    "run",
    "save",
    "sweep",
    "variants_of",
    "with_settings",
]


def __getattr__(name: str) -> Any:
    module = _NAMES.get(name)
    if module is None:
        raise AttributeError(f"module 'sims' has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return [*globals(), *_NAMES]

"""Scenarios: what a run consists of, read from TOML files or made in Python."""

from sims.scenario.faults import KINDS, Fault
from sims.scenario.mesh import HostGroup
from sims.scenario.model import Scenario
from sims.scenario.parts import DriverSettings, OutputSettings, Workload
from sims.scenario.policy import PolicySettings
from sims.scenario.reading import parse_scenario, read_scenario, stored_names
from sims.scenario.source import ScenarioError
from sims.scenario.writing import with_settings

__all__ = [
    "KINDS",
    "DriverSettings",
    "Fault",
    "HostGroup",
    "OutputSettings",
    "PolicySettings",
    "Scenario",
    "ScenarioError",
    "Workload",
    "parse_scenario",
    "read_scenario",
    "stored_names",
    "with_settings",
]

"""Who places the tasks of a scenario: the nodes' scheduler, or a policy in the ideal model."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from sims.lab.problem import IMODES, NETWORKS
from swarm.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """Who places tasks.

    Attributes:
        placement: "mesh" for the nodes' own scheduler over the simulated network; else a policy by name, or a
            class of your own as ``file.py:Class``, in the ideal model (`sims.lab.ideal`): the same hosts and
            bandwidths, no latency, no faults, every job by itself.
        network: of the ideal model: "maxmin" or "simple".
        imode: what policies know of run times and sizes: "exact", "user" or "mean".
        least_gap_s: least time between two decisions of a policy, >= 0.
        delay_s: from an event to the decisions that it leads to, >= 0.
    """

    placement: str = "mesh"
    network: str = "maxmin"
    imode: str = "exact"
    least_gap_s: float = 0.0
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.placement:
            raise ConfigError("placement is empty; write 'mesh' or the name of a policy")
        for name, known in (("network", NETWORKS), ("imode", IMODES)):
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(f"{name} is {value!r}, it must be one of {', '.join(known)}")
        for name in ("least_gap_s", "delay_s"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise ConfigError(f"{name} is {value:g}, it must be at least 0")

"""Cases of gossip: one crash and one spell of starved members under some settings, in plain values.

What `sims.lab.cases` is for placement: :func:`run_gossip_case` takes a mapping and returns a flat dict, so
that it can go to any process, and `sims.lab.compare` compares the results by ``gossip``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sims.lab.detection import detect, false_positives
from swarm.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class GossipCase:
    """One run, in plain values.

    Attributes:
        gossip: settings by name, or ``file.py:Name`` (`sims.lab.gossip.gossip_settings`).
        nodes: size of the mesh, >= 2.
        starved: members whose every input takes `input_s`, below `nodes`; 0 leaves that part out.
        input_s: > 0.
        seconds: how long they are starved, > 0.
        seed: decides everything else.
        folder: where a relative file is looked for.
    """

    gossip: str = "swarm"
    nodes: int = 16
    starved: int = 0
    input_s: float = 0.1
    seconds: float = 60.0
    seed: int = 0
    folder: str = "."


def run_gossip_case(values: Mapping[str, Any]) -> dict[str, Any]:
    """Run a case; return its values and what came of it.

    Keys of the outcome: `first_suspect_s`, `first_dead_s`, `all_dead_s` and `bytes_per_node_s`, see
    `sims.lab.detection.Detection`; with starved members also `suspected`, `dead` and `dead_at_healthy`, see
    `sims.lab.detection.FalsePositives`.

    Raises:
        ConfigError: an unknown key, unknown settings, or impossible numbers.
    """
    known = [entry.name for entry in fields(GossipCase)]
    for key in values:
        if key not in known:
            raise ConfigError(f"the key {key!r} of a case is not known; known are {', '.join(known)}")
    case = GossipCase(**values)
    name = case.gossip
    if ".py:" in name:
        name = str(Path(case.folder) / name)
    found = detect(case.nodes, case.seed, name)
    outcome: dict[str, Any] = {
        **values,
        "gossip": case.gossip,
        "first_suspect_s": found.first_suspect_s,
        "first_dead_s": found.first_dead_s,
        "all_dead_s": found.all_dead_s,
        "bytes_per_node_s": found.bytes_per_node_s,
    }
    if case.starved:
        wronged = false_positives(name, case.starved, case.seed, case.nodes, case.input_s, case.seconds)
        outcome["suspected"] = wronged.suspected
        outcome["dead"] = wronged.dead
        outcome["dead_at_healthy"] = wronged.dead_at_healthy
    return outcome

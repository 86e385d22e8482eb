"""The ideal model against makespans on which two independent simulators agree (tests/data/calibration.json).

The entries for the graphs in examples/graphs always run. Those for recorded workflows, which are under
another licence and not in this repository, run when SWARM_GRAPHS names the folder that has them.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from sims.lab.ideal import run_plan
from sims.lab.problem import Problem, named_workers
from sims.workload.graph import TaskGraph, bottom_levels_s
from sims.workload.graph_file import read_graph
from tests.unit.sims.graph_samples import EXAMPLES, ROOT

ENTRIES: list[dict[str, Any]] = json.loads(
    (ROOT / "tests" / "data" / "calibration.json").read_text(encoding="utf-8")
)["entries"]
CASES = [(entry, network) for entry in ENTRIES for network in entry["makespan_s"]]


def name_of(value: object) -> str:
    if isinstance(value, dict):
        return f"{value['graph']}-{value['cluster']}"
    return str(value)


def graph_path(name: str) -> Path | None:
    folders = [EXAMPLES]
    if os.environ.get("SWARM_GRAPHS"):
        folders.append(Path(os.environ["SWARM_GRAPHS"]))
    for folder in folders:
        for ending in (".json", ".json.gz"):
            if (folder / f"{name}{ending}").exists():
                return folder / f"{name}{ending}"
    return None


@lru_cache(maxsize=1)
def graph_of(path: Path) -> TaskGraph:
    return read_graph(path)


def test_the_file_holds_every_entry() -> None:
    assert len(ENTRIES) == 54
    assert len(CASES) == 104
    missing = {entry["graph"] for entry in ENTRIES if graph_path(entry["graph"]) is None}
    assert all(name.startswith("trace-") for name in missing)


@pytest.mark.parametrize(("entry", "network"), CASES, ids=name_of)
def test_a_fixed_plan_has_the_exact_makespan(entry: dict[str, Any], network: str) -> None:
    path = graph_path(entry["graph"])
    if path is None:
        pytest.skip(f"{entry['graph']} is not in this repository; set SWARM_GRAPHS to the folder that has it")
    graph = graph_of(path)
    priorities = [round(level, 3) for level in bottom_levels_s(graph, graph.durations_s)]
    problem = Problem(
        graph=graph,
        workers=named_workers(entry["cluster"], entry["bandwidth_mib_s"]),
        network=network,
    )
    outcome = run_plan(problem, entry["plan"], priorities)
    assert outcome.makespan_s == pytest.approx(entry["makespan_s"][network], rel=0, abs=1e-6)
    assert outcome.workers == entry["plan"]

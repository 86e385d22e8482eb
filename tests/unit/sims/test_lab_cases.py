"""Cases in plain values: what they run, what they return, what they refuse, in one process and in several."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from sims.lab.cases import (
    case_of,
    critical_path_s,
    cross,
    problem_of,
    run_case,
    run_cases,
    serial_s,
    work_bound_s,
)
from sims.lab.compare import compare
from sims.lab.policy import PolicyError
from sims.lab.problem import MIB, Problem, Worker
from sims.workload.graph_file import write_graph
from swarm.core.errors import ConfigError, GraphError
from tests.unit.sims.graph_samples import diamond

BASE: dict[str, Any] = {"generator": "fork-join", "parameters": {"width": 8, "stages": 2}, "cluster": "8x4"}


def test_a_case_is_run_and_its_values_come_back() -> None:
    values = {**BASE, "policy": "heft", "seed": 3}
    found = run_case(values)
    assert found["policy"] == "heft"
    assert found["seed"] == 3
    assert found["graph"] == "fork-join-8x2"
    assert found["makespan_s"] >= found["bound_s"] >= 50.0
    assert found["slr"] == found["makespan_s"] / 50.0
    assert found["speedup"] == pytest.approx(190 / found["makespan_s"])
    assert found["decisions"] >= 6
    assert json.loads(json.dumps(found)) == found
    assert found == run_case(pickle.loads(pickle.dumps(values)))


def test_files_are_found_beside_the_case(tmp_path: Path) -> None:
    write_graph(diamond(), tmp_path / "d.json")
    (tmp_path / "own.py").write_text(
        "from sims.lab.policy import Assignment\n"
        "class First:\n"
        "    def decide(self, view):\n"
        "        return [Assignment(task, 0) for task in view.new_ready]\n"
    )
    found = run_case({"graph": "d.json", "policy": "own.py:First", "folder": str(tmp_path)})
    assert found["makespan_s"] == 8.0
    assert found["downloads"] == 0


def test_noise_and_heterogeneity_follow_the_seed() -> None:
    noisy = {**BASE, "noise": {"kind": "log-normal", "spread": 0.5}, "heterogeneity": 0.5}
    one, same, other = [problem_of(case_of({**noisy, "seed": seed})) for seed in (1, 1, 2)]
    assert one.graph.durations_s == same.graph.durations_s != other.graph.durations_s
    assert one.factors == same.factors != other.factors
    assert one.graph.expected_durations_s == other.graph.expected_durations_s
    plain = problem_of(case_of(BASE))
    assert not plain.factors
    assert plain.bandwidth_bytes_s == 128 * MIB


def test_bounds_hold_for_every_policy() -> None:
    for case in cross({**BASE, "cluster": "home8", "heterogeneity": 1.0}, policy=["heft", "etf", "swarm"]):
        found = run_case(case)
        assert found["makespan_s"] >= found["bound_s"]


def test_bounds_are_those_of_the_fastest_worker_and_of_all_cores() -> None:
    machines = [Worker(cpus=1, speed=4.0), Worker(cpus=2, speed=2.0)]
    problem = Problem(graph=diamond(), workers=machines)
    # The task of two cores fits the second worker only.
    assert critical_path_s(problem) == 1 / 4 + 2 / 2 + 4 / 4
    assert work_bound_s(problem) == 12 / 8
    assert serial_s(problem) == 10 / 4
    unrelated = Problem(graph=diamond(), workers=machines, factors=[[2.0, 0.5]] * 4)
    assert critical_path_s(unrelated) == (1 + 3 + 4) / 4
    assert work_bound_s(unrelated) == 6 / 8


def test_cases_are_crossed() -> None:
    cases = cross({"cluster": "8x4"}, policy=["a", "b"], seed=range(2))
    assert [(case["policy"], case["seed"]) for case in cases] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert all(case["cluster"] == "8x4" for case in cases)


def test_processes_change_nothing_but_the_time() -> None:
    cases = cross(BASE, seed=range(2), policy=["random", "ws"])
    found = run_cases(cases)
    assert run_cases(cases, processes=2) == found
    assert [row.name for row in compare(found).rows] == ["random", "ws"]
    with pytest.raises(ConfigError, match="processes is 0"):
        run_cases(cases, 0)


@pytest.mark.parametrize(
    ("values", "error", "complaint"),
    [
        ({}, ConfigError, "give exactly one of them"),
        ({**BASE, "graph": "x.json"}, ConfigError, "give exactly one of them"),
        ({**BASE, "polcy": "heft"}, ConfigError, "the key 'polcy' of a case is not known; known are policy"),
        ({**BASE, "noise": {"sort": "normal"}}, ConfigError, "the key 'sort' of noise is not known"),
        ({**BASE, "noise": {"kind": "loud"}}, ConfigError, "the noise 'loud' is not known"),
        ({**BASE, "policy": "none"}, PolicyError, "policy 'none' is not known"),
        ({**BASE, "cluster": "none"}, ConfigError, "the cluster 'none' is not known"),
        ({**BASE, "generator": "none"}, ConfigError, "the family of graphs 'none' is not known"),
        ({**BASE, "imode": "none"}, ConfigError, "the imode 'none' is not known"),
        ({**BASE, "heterogeneity": 5.0}, ConfigError, "heterogeneity is 5.0"),
        ({"graph": "none.json"}, GraphError, "none.json: cannot be read"),
        ({**BASE, "policy": "mesh", "heterogeneity": 0.5}, ConfigError, "hosts have a speed, and no factors"),
    ],
)
def test_an_impossible_case_says_why(values: dict[str, Any], error: type[Exception], complaint: str) -> None:
    with pytest.raises(error) as raised:
        run_case(values)
    assert complaint in str(raised.value)

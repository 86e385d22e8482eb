"""Problems on whole simulated meshes, and settings of gossip compared on the same seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from sims.lab.cases import cross, run_case, run_cases, work_bound_s
from sims.lab.compare import compare
from sims.lab.gossip_cases import run_gossip_case
from sims.lab.ideal import IdealRun
from sims.lab.mesh import run_on_mesh
from sims.lab.policies import make_policy
from sims.lab.policy import PolicyError
from sims.lab.problem import MIB, Problem, Worker
from sims.workload.generators import Costs, fork_join, grid, map_reduce
from sims.workload.graph import GraphBuilder

RATE = 12 * MIB
EQUAL = [Worker(cpus=2, up_bytes_s=RATE, down_bytes_s=RATE)] * 4
COSTS = Costs(duration_s=2.0, duration_spread=0.5, size_bytes=300_000)


def test_a_mesh_runs_a_graph_in_its_order_and_within_its_bounds() -> None:
    problem = Problem(graph=grid(5, 5, COSTS, seed=1), workers=EQUAL)
    outcome = run_on_mesh(problem, "1")
    graph = problem.graph
    for task in range(len(graph)):
        run_s = outcome.ended_s[task] - outcome.began_s[task]
        assert run_s == pytest.approx(problem.run_s(task, outcome.workers[task]), abs=1e-6)
        for parent in graph.parents(task):
            assert outcome.began_s[task] >= outcome.ended_s[parent]
    assert outcome.makespan_s >= max(graph.critical_path_s(), work_bound_s(problem))
    assert outcome.told_s >= outcome.makespan_s
    assert outcome.attempts >= len(graph)
    assert outcome.packets > 0
    assert outcome.stream_bytes > 0
    assert run_on_mesh(problem, "1") == outcome
    assert run_on_mesh(problem, "2") != outcome


def test_the_protocol_costs_little_beside_the_same_placement_without_it() -> None:
    for graph in (fork_join(16, 3, COSTS, seed=2), map_reduce(16, 4, 1, COSTS, seed=3)):
        problem = Problem(graph=graph, workers=EQUAL)
        bare_s = IdealRun(problem, make_policy("swarm")).run().makespan_s
        whole_s = run_on_mesh(problem).makespan_s
        assert 0.9 * bare_s < whole_s < 1.2 * bare_s + 0.5


def test_faster_hosts_get_more_of_the_work() -> None:
    builder = GraphBuilder("bag")
    for _ in range(60):
        builder.add("same", 1.0)
    machines = [Worker(cpus=1, speed=4.0), Worker(cpus=1), Worker(cpus=1)]
    outcome = run_on_mesh(Problem(graph=builder.build(), workers=machines))
    counts = [outcome.workers.count(worker) for worker in range(3)]
    assert counts[0] > 30
    assert min(counts) > 2
    assert outcome.makespan_s < 14


def test_a_job_that_does_not_end_in_time_is_an_error() -> None:
    problem = Problem(graph=fork_join(4, 2, COSTS), workers=EQUAL)
    with pytest.raises(PolicyError, match=r"fork-join-4x2: the job is .* after 1.*, \d of 11 tasks done"):
        run_on_mesh(problem, limit_s=1.0)


def test_a_mesh_is_compared_with_policies_as_one_of_them() -> None:
    base = {
        "generator": "fork-join",
        "parameters": {"width": 12, "stages": 2, "duration_s": 5.0, "duration_spread": 0.5},
        "cluster": "8x4",
    }
    found = run_cases(cross(base, graph_seed=range(3), policy=["etf", "mesh"]))
    comparison = compare(found)
    assert [row.name for row in comparison.rows] == ["etf", "mesh"]
    ratio = comparison.rows[1].ratio
    assert ratio is not None
    assert 0.9 < ratio.value < 1.6
    mesh = run_case({**base, "policy": "mesh"})
    assert {"told_s", "formed_s", "attempts", "packets"} <= set(mesh)


def test_settings_of_gossip_are_compared_on_the_same_seeds(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from swarm.gossip.config import GossipConfig\n"
        "def slow():\n"
        "    return GossipConfig(probe_interval_s=3.0)\n"
    )
    cases = cross({"nodes": 6, "folder": str(tmp_path)}, gossip=["lan", "own.py:slow"], seed=range(5))
    found = [run_gossip_case(case) for case in cases]
    assert {row["gossip"] for row in found} == {"lan", "own.py:slow"}
    slower = compare(found, by="gossip", metric="all_dead_s").rows[1]
    assert slower.verdict() == "worse"
    assert slower.ratio is not None
    assert slower.ratio.value > 2
    fewer = compare(found, by="gossip", metric="bytes_per_node_s").rows[1]
    assert fewer.verdict() == "better"


def test_starved_members_are_counted_in_a_case() -> None:
    found = run_gossip_case({"gossip": "swim", "nodes": 8, "starved": 2, "seconds": 30.0, "seed": 1})
    assert found["dead"] >= found["dead_at_healthy"] >= 0
    assert found["suspected"] > 0

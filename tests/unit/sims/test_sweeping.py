"""Sweeps and comparisons: every case once, over processes, resumable; the same seeds for all variants."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx
import pytest

from sims import Arrivals, Fault, PolicySettings, Scenario, Workload, compare, sweep, variants_of
from sims.comparing import VARIANT
from sims.scenario import ScenarioError
from sims.sweeping import AHEAD, CASES, case_key, cases_of
from swarm.core.errors import ConfigError
from swarm.version import __version__

SMALL = Scenario(name="small", nodes=2, seconds=2)
AXES: dict[str, list[object]] = {"mesh.nodes": [2, 3], "network.loss": [0.0, 0.1]}


def test_cases_are_every_combination_on_every_seed() -> None:
    cases = cases_of(SMALL, AXES, [5, 6])
    assert [(dict(case.settings), case.scenario.seed) for case in cases] == [
        ({"mesh.nodes": nodes, "network.loss": loss}, seed)
        for nodes in (2, 3)
        for loss in (0.0, 0.1)
        for seed in (5, 6)
    ]
    assert [case.scenario.nodes for case in cases] == [2] * 4 + [3] * 4
    assert len({case.key for case in cases}) == 8


def test_a_key_depends_on_what_decides_the_run_and_on_nothing_else(tmp_path: Path) -> None:
    key = case_key(SMALL)
    assert case_key(replace(SMALL, name="other", description="words")) == key
    assert case_key(replace(SMALL, seed=2)) != key
    assert case_key(replace(SMALL, seconds=3.0)) != key
    trace = tmp_path / "churn.csv"
    trace.write_text("1,n0,crash\n")
    churned = replace(SMALL, faults=(Fault(at_s=0, kind="churn-trace", file=str(trace)),))
    before = case_key(churned)
    trace.write_text("1,n1,crash\n")
    assert case_key(churned) != before, "the content of files decides too"


def test_what_has_no_content_to_compare_is_refused() -> None:
    graph: Any = networkx.empty_graph(2)
    with pytest.raises(ScenarioError, match="cannot tell two Graph apart; give the name of a file"):
        case_key(Scenario(network_graph=graph))


def test_graphs_made_in_python_are_told_apart() -> None:
    def key(seconds: float) -> str:
        graph: networkx.DiGraph[int] = networkx.DiGraph()
        graph.add_node(1, duration_s=seconds)
        return case_key(Scenario(workloads=(Workload(graph=graph),)))

    assert key(1.0) == key(1.0) != key(2.0)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_sweep_runs_every_case_and_writes_its_results(processes: int, tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []

    def on_done(done: int, total: int, failed: int) -> None:
        seen.append((done, total, failed))

    result = sweep(SMALL, AXES, [1, 2], out=tmp_path, processes=processes, on_done=on_done)
    assert (len(result.rows), result.total, result.resumed, result.errors) == (8, 8, 0, [])
    assert seen == [(done, 8, 0) for done in range(9)]
    assert [(row["mesh.nodes"], row["network.loss"], row["seed"]) for row in result.rows] == [
        (nodes, loss, seed) for nodes in (2, 3) for loss in (0.0, 0.1) for seed in (1, 2)
    ]
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["digest"] for row in rows] == [row["digest"] for row in result.rows]
    assert json.loads((tmp_path / "results.json").read_text()) == result.rows
    assert json.loads((tmp_path / "sweep.json").read_text()) == {
        "scenario": "small",
        "axes": AXES,
        "seeds": [1, 2],
        "version": __version__,
    }
    assert len(list((tmp_path / CASES).iterdir())) == 8


def test_results_show_themselves_in_notebooks() -> None:
    html = sweep(SMALL, {"network.loss": [0.1]}, [1], processes=1)._repr_html_()
    assert html.startswith("<table><tr><th>network.loss</th><th>name</th>")
    assert html.count("<tr>") == 2


def test_processes_do_not_matter() -> None:
    digests = [
        [row["digest"] for row in sweep(SMALL, AXES, [1], processes=processes).rows] for processes in (1, 2)
    ]
    assert digests[0] == digests[1]


def test_finished_cases_are_not_run_again_and_a_wider_sweep_runs_what_is_missing(tmp_path: Path) -> None:
    sweep(SMALL, AXES, [1], out=tmp_path, processes=1)
    marks = {path: path.stat().st_mtime_ns for path in (tmp_path / CASES).iterdir()}
    again = sweep(SMALL, AXES, [1], out=tmp_path, processes=1)
    assert (again.resumed, len(again.rows)) == (4, 4)
    wider = sweep(SMALL, {**AXES, "mesh.nodes": [2, 3, 4]}, [1, 2], out=tmp_path, processes=1)
    assert (wider.resumed, wider.total, len(wider.rows)) == (4, 12, 12)
    assert {path: path.stat().st_mtime_ns for path in marks} == marks


def test_a_damaged_case_is_run_again(tmp_path: Path) -> None:
    sweep(SMALL, {}, [1, 2], out=tmp_path, processes=1)
    first, second = sorted((tmp_path / CASES).iterdir())
    first.write_text("{")
    second.write_text("[]")
    result = sweep(SMALL, {}, [1, 2], out=tmp_path, processes=1)
    assert (result.resumed, len(result.rows)) == (0, 2)


def test_a_case_that_fails_is_told_and_not_kept(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("class Bad:\n    def decide(self, view):\n        return [3]\n")
    (tmp_path / "wrong.py").write_text("class Wrong:\n    def decide(self, view):\n        return 1 / 0\n")
    work = (Workload(generator="grid", parameters={"rows": 2, "columns": 2}),)
    base = Scenario(nodes=2, workloads=work)
    placements = ["heft", f"{tmp_path}/bad.py:Bad", f"{tmp_path}/wrong.py:Wrong"]
    out = tmp_path / "out"
    result = sweep(base, {"policy.placement": placements}, [1], out=out, processes=1)
    assert len(result.rows) == 1
    assert len(result.errors) == 2
    settings, seed, error = result.errors[0]
    assert (settings, seed) == ({"policy.placement": placements[1]}, 1)
    assert "decide() returned 3" in error
    again = sweep(base, {"policy.placement": placements}, [1], out=out, processes=1)
    assert (again.resumed, len(again.errors)) == (1, 2)


@pytest.mark.parametrize("axes", [{"mesh.nodes": [2, 0]}, {"mesh.nods": [2]}])
def test_a_wrong_axis_is_refused_before_anything_is_written(
    axes: dict[str, list[object]], tmp_path: Path
) -> None:
    with pytest.raises(ScenarioError):
        sweep(SMALL, axes, [1], out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_what_has_ended(tmp_path: Path) -> None:
    def interrupt(done: int, total: int, failed: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    for processes in (1, 2):
        out = tmp_path / str(processes)
        with pytest.raises(KeyboardInterrupt):
            sweep(SMALL, {}, list(range(40)), out=out, processes=processes, on_done=interrupt)
        assert len(json.loads((out / "results.json").read_text())) == 3
        result = sweep(SMALL, {}, list(range(40)), out=out, processes=1)
        assert (result.resumed, len(result.rows)) == (3, 40)
        plain = sweep(SMALL, {}, list(range(40)), processes=1)
        assert [row["digest"] for row in result.rows] == [row["digest"] for row in plain.rows]


def test_cases_are_given_out_a_few_at_a_time() -> None:
    result = sweep(SMALL, {}, list(range(2 * AHEAD * 2 + 3)), processes=2)
    assert [row["seed"] for row in result.rows] == list(range(2 * AHEAD * 2 + 3))


# Comparisons

WORK = Workload(
    generator="map-reduce",
    parameters={"maps": 8, "reduces": 2, "duration_s": 1.0, "duration_spread": 0.5},
    arrivals=Arrivals(start_s=3.0),
)
JOB = Scenario(name="job", nodes=3, seconds=60, end="jobs", workloads=(WORK,))


def test_policies_are_compared_on_the_same_jobs() -> None:
    variants = variants_of([JOB], {"policy.placement": ["mesh", "heft"]})
    assert list(variants) == ["policy.placement=mesh", "policy.placement=heft"]
    compared = compare(variants, range(3), ["makespan_s"], processes=1)
    (comparison,) = compared.comparisons
    assert comparison.baseline == "policy.placement=mesh"
    assert [row.runs for row in comparison.rows] == [3, 3]
    assert comparison.rows[1].mean < comparison.rows[0].mean, "it pays for no message and no learning"
    assert [row[VARIANT] for row in compared.result.rows] == ["policy.placement=mesh"] * 3 + [
        "policy.placement=heft"
    ] * 3
    assert "makespan_s" in compared.table()
    assert compared._repr_html_().startswith("<pre>variant")
    assert [record["metric"] for record in compared.records()] == ["makespan_s"] * 2


def test_the_usual_metrics_are_those_that_all_runs_have() -> None:
    scenario = Scenario(name="quiet", nodes=3, seconds=4)
    compared = compare(variants_of([scenario], {"network.loss": [0, 0.2]}), range(2), processes=1)
    names = [comparison.metric for comparison in compared.comparisons]
    assert "converged_s" in names
    assert "makespan_s" not in names
    assert "detection_all_mean_s" not in names


def test_scenarios_are_called_by_their_names_and_settings() -> None:
    other = Scenario(name="other", nodes=2)
    assert list(variants_of([JOB, other])) == ["job", "other"]
    assert list(variants_of([JOB, other], {"network.loss": [0.1]})) == [
        "job network.loss=0.1",
        "other network.loss=0.1",
    ]


@pytest.mark.parametrize(
    ("scenarios", "axes", "words"),
    [
        ([JOB], {}, "a comparison needs two variants"),
        ([JOB, JOB], {}, "two variants are called 'job'"),
        ([JOB], {"network.loss": [0.1, 3]}, "network.loss = 3"),
    ],
)
def test_variants_that_cannot_be_compared(
    scenarios: list[Scenario], axes: dict[str, list[object]], words: str
) -> None:
    with pytest.raises(ScenarioError, match=words):
        variants_of(scenarios, axes)


def test_metrics_that_are_not_there_are_said(tmp_path: Path) -> None:
    variants = variants_of([Scenario(nodes=2, seconds=2)], {"network.loss": [0, 0.1]})
    with pytest.raises(ScenarioError, match=r"there is no metric 'speed'; there are nodes, seconds"):
        compare(variants, [1], ["speed"], processes=1)
    with pytest.raises(ScenarioError, match=r"makespan_s is None for network.loss=0, seed 1; name another"):
        compare(variants, [1], ["makespan_s"], processes=1)
    with pytest.raises(ConfigError, match="baseline 'x'"):
        compare(variants, [1], ["events"], baseline="x", processes=1)


def test_a_run_that_fails_ends_the_comparison(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("class Bad:\n    def decide(self, view):\n        return [3]\n")
    bad = PolicySettings(placement=f"{tmp_path}/bad.py:Bad")
    variants = {"good": JOB, "bad": replace(JOB, policy=bad)}
    with pytest.raises(ScenarioError, match=r"bad, seed 1: .*decide\(\) returned 3"):
        compare(variants, [1], processes=1)

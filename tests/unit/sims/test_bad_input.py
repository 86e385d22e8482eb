"""What users get wrong: each is one error that names the cure, before anything is run or written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sims import Fault, Scenario, ScenarioError, run
from sims.__main__ import main
from sims.comparing import compare, variants_of
from sims.lab.ideal import IdealRun
from sims.lab.policies import make_policy
from sims.lab.policy import PolicyError
from sims.lab.problem import Problem, Worker
from sims.network import NetworkConfig
from sims.scenario import read_scenario, with_settings
from sims.sweeping import cases_of, sweep
from sims.workload.graph import GraphBuilder
from sims.workload.graph_file import graph_of_document
from swarm.core.errors import ConfigError, GraphError

POLICIES = """
from sims.lab.policy import Assignment

class Raises:
    def decide(self, view):
        raise RuntimeError("boom")

class Leaves:
    def decide(self, view):
        raise SystemExit(3)

class Begins:
    def begin(self, view, rng):
        self.helper()

    def helper(self):
        raise KeyError("k")

    def decide(self, view):
        return []

class Urgent:
    def decide(self, view):
        return [Assignment(0, 0, priority="hi")]
"""


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("Raises", r"decide\(\) failed: RuntimeError: boom \(.*own.py, line 6\)"),
        ("Leaves", r"decide\(\) failed: SystemExit: 3 \(.*own.py, line 10\)"),
        ("Begins", r"begin\(\) failed: KeyError: 'k' \(.*own.py, line 17\)"),
        ("Urgent", r"decide\(\) failed: ValueError: .* \(.*own.py, line 24\)"),
    ],
)
def test_a_policy_that_raises_is_named_with_its_line(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "own.py").write_text(POLICIES)
    builder = GraphBuilder("one")
    builder.add("task", 1.0)
    problem = Problem(graph=builder.build(), workers=[Worker(cpus=2)])
    policy = make_policy("own.py:" + name, tmp_path)
    with pytest.raises(PolicyError, match=f"policy mine: {complaint}"):
        IdealRun(problem, policy, name="mine").run()


def test_a_run_that_fails_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.py").write_text(POLICIES)
    arguments = ["run", "--set", "workload.generator=fork-join", "--trace", "csv"]
    arguments += [
        "--set",
        f"policy.placement={tmp_path / 'own.py'}:Raises",
        "--out",
        str(tmp_path / "a" / "b"),
    ]
    assert main(arguments) == 1
    assert "boom" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_a_folder_that_cannot_be_written_is_noticed_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["run", "--seconds", "1e5", "--nodes", "500", "--out", str(tmp_path / "file" / "out")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_run_replaces_the_traces_of_the_run_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert main(["run", "--seconds", "2", "--out", out, "--trace", "csv", "--trace", "chrome"]) == 0
    assert main(["run", "--seconds", "2", "--out", out, "--seed", "2"]) == 0
    assert main(["replay", out]) == 0
    assert sorted([path.name for path in Path(out).iterdir()]) == [
        "scenario.toml",
        "series.json.gz",
        "summary.json",
    ]


@pytest.mark.parametrize("key", ["name.x", "time.seconds.x", "name.x.y", "mesh.contacts[1].x"])
def test_a_key_below_a_value_is_no_key(key: str) -> None:
    scenario = Scenario(contacts=("n0",))
    with pytest.raises(ScenarioError, match="is no key: what stands before its last point is a value"):
        with_settings(scenario, {key: 1})


def test_settings_are_judged_together() -> None:
    scenario = Scenario(seconds=60, faults=())
    changed = with_settings(scenario, {"network.loss": 0.7, "network.loss_burst_count": 4})
    assert changed.network.loss == 0.7
    backwards = with_settings(changed, {"network.loss": 0.9, "network.loss_burst_count": 20})
    assert backwards.network.loss_burst_count == 20
    with pytest.raises(ScenarioError, match=r"^time.seconds = -1: time: seconds is -1"):
        with_settings(scenario, {"time.seed": 2, "time.seconds": -1, "mesh.nodes": 3})
    with pytest.raises(ScenarioError, match=r"^time.seconds = -1, mesh.nodes = 0: "):
        with_settings(scenario, {"time.seconds": -1, "mesh.nodes": 0})


def test_half_of_all_datagrams_and_more_may_be_lost_independently() -> None:
    assert NetworkConfig(loss=0.9).loss == 0.9
    with pytest.raises(ConfigError, match="it must be at least 4, or 1 for independent loss"):
        NetworkConfig(loss=0.8, loss_burst_count=2)


@pytest.mark.parametrize(
    ("model", "shape", "complaint"),
    [("lognormal", 1000, "must be in 0 to 20"), ("pareto", 0.0001, "shape >= 0.1")],
)
def test_tails_that_no_float_holds_are_refused(model: str, shape: float, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        NetworkConfig(model=model, latency_shape=shape)


@pytest.mark.parametrize(
    "task",
    [
        {"id": 0, "duration_s": 10**400},
        {"id": 0, "duration_s": 1, "outputs": [{"size_bytes": 10**26}]},
        {"id": 0, "duration_s": 1, "cpus": 10**30},
    ],
)
def test_numbers_of_a_graph_that_no_machine_has_are_refused(task: dict[str, object]) -> None:
    document = {"format": "swarm-graph", "version": 1, "tasks": [task]}
    with pytest.raises(GraphError, match=r"task 0: .* at most 9007199254740992"):
        graph_of_document(document, "g")


def _network(tmp_path: Path, name: str, content: str) -> Path:
    (tmp_path / name).write_text(content)
    file = tmp_path / "scenario.toml"
    file.write_text(f'[network]\ngraph = "{name}"\n')
    return file


def test_an_edge_to_a_node_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    nodes = [{"id": "a"}, {"id": "b"}]
    document = {"nodes": nodes, "edges": [{"source": "a", "target": "zz", "latency_s": 0.1}]}
    with pytest.raises(
        ScenarioError, match=r"line 2: .*from 'a' to 'zz' names the node 'zz', which does not"
    ):
        read_scenario(_network(tmp_path, "g.json", json.dumps(document)))
    graphml = (
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="undirected">'
        '<node id="a"/><edge source="a" target="zz"/></graph></graphml>'
    )
    with pytest.raises(ScenarioError, match="names the node 'zz', which does not exist"):
        read_scenario(_network(tmp_path, "g.graphml", graphml))


def test_nodes_of_one_id_and_parallel_edges_are_refused(tmp_path: Path) -> None:
    twice = {"nodes": [{"id": "a"}, {"id": "a"}], "edges": []}
    with pytest.raises(ScenarioError, match="two nodes have one id"):
        read_scenario(_network(tmp_path, "g.json", json.dumps(twice)))
    edge = {"source": "a", "target": "b"}
    parallel = {
        "multigraph": True,
        "nodes": [{"id": "a"}, {"id": "b"}],
        "edges": [{**edge, "key": 0}, {**edge, "key": 1}],
    }
    with pytest.raises(ScenarioError, match="this graph has parallel ones"):
        read_scenario(_network(tmp_path, "g.json", json.dumps(parallel)))


def test_two_links_between_two_sites_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    hosts = '[mesh]\nhosts = [{name = "a", site = "x"}, {name = "b", site = "y"}]\n'
    links = '[[network.links]]\nsites = ["x", "y"]\n[[network.links]]\nsites = ["y", "x"]\n'
    file.write_text(hosts + links)
    with pytest.raises(ScenarioError, match="'x' and 'y' have two links"):
        read_scenario(file)


def test_a_file_may_begin_with_the_mark_of_an_editor(tmp_path: Path) -> None:
    (tmp_path / "marked.toml").write_bytes(b'\xef\xbb\xbfname = "marked"\n')
    assert read_scenario(tmp_path / "marked.toml").name == "marked"


def test_an_unknown_host_is_told_which_hosts_there_are(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('[[faults]]\nat = 1\nkind = "crash"\ntargets = ["n9"]\n')
    with pytest.raises(ScenarioError, match=r"there are n \(n0 to n4\), all, leader"):
        read_scenario(tmp_path / "s.toml")


def test_seeds_are_no_setting_of_a_sweep() -> None:
    with pytest.raises(ScenarioError, match="name the seeds"):
        cases_of(Scenario(), {"time.seed": [1, 2]}, [1])
    with pytest.raises(ScenarioError, match="name the seeds"):
        variants_of([Scenario()], {"time.seed": [1, 2]})


def test_a_key_is_swept_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["sweep", "--set", "time.end=time", "--set", "time.end=jobs", "--out", str(out)]) == 2
    assert (
        "--set time.end is given twice; write all values as time.end=value,value" in capsys.readouterr().err
    )
    assert not out.exists()


def test_cases_that_are_decided_by_the_same_values_are_all_counted() -> None:
    result = sweep(Scenario(nodes=2, seconds=1), {"name": ["a", "b"]}, [1], processes=1)
    assert (len(result.rows), result.total) == (2, 2)


def test_an_unknown_baseline_is_refused_before_anything_runs() -> None:
    variants = {"one": Scenario(seconds=1e5, nodes=500), "two": Scenario(seconds=1e5, nodes=500, seed=2)}
    with pytest.raises(ConfigError, match="the baseline 'three' is no variant; there are one, two"):
        compare(variants, [1], baseline="three")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"nodes": "5"}, "nodes is '5', it must be a whole number"),
        ({"nodes": 2.5}, "nodes is 2.5, it must be a whole number"),
        ({"seconds": "x"}, "seconds is 'x', it must be a number"),
        ({"seed": True}, "seed is true, it must be a whole number"),
        ({"name": 3}, "name is 3, it must be a text"),
        ({"faults": (1,)}, "faults has 1, it may have Fault only"),
        ({"contacts": "n0"}, "contacts is 'n0', it must be a tuple"),
    ],
)
def test_values_of_another_type_are_refused_in_python_too(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        Scenario(**values)  # type: ignore[arg-type]  # whatever a notebook may hold


def test_a_scenario_in_python_takes_lists_and_lone_hosts() -> None:
    fault = Fault(at_s=1, kind="crash", targets="n0")  # type: ignore[arg-type]  # as notebooks write it
    listed = Scenario(nodes=3, seconds=2, faults=[fault])  # type: ignore[arg-type]  # as above
    whole = Scenario(nodes=3, seconds=2, faults=(Fault(at_s=1.0, kind="crash", targets=("n0",)),))
    assert listed == whole
    assert run(listed).digest == run(whole).digest


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    numpy = pytest.importorskip("numpy", reason="its numbers are what is given")
    scenario = Scenario(nodes=numpy.int64(3), seed=numpy.int32(7), seconds=numpy.float32(2))
    assert scenario == Scenario(nodes=3, seed=7, seconds=2)
    assert type(scenario.nodes) is int
    changed = with_settings(scenario, {"gossip.helper_count": numpy.int64(2)})
    assert type(changed.gossip.helper_count) is int


def test_the_name_of_a_file_is_no_scenario() -> None:
    with pytest.raises(ScenarioError, match="is no Scenario; write run"):
        run("split-and-heal")  # type: ignore[arg-type]  # no scenario


def test_settings_of_all_cases_are_judged_together_with_those_of_each() -> None:
    scenario = Scenario(nodes=3, faults=(Fault(at_s=1.0, kind="crash", targets=("n2",)),))
    with pytest.raises(ScenarioError):
        with_settings(scenario, {"mesh.nodes": 2})
    axes = {"faults[1].targets": [["n0"], ["n1"]]}
    found = cases_of(scenario, axes, [1], {"mesh.nodes": 2})
    assert [case.scenario.nodes for case in found] == [2, 2]
    variants = variants_of([scenario], axes, {"mesh.nodes": 2})
    assert [variant.nodes for variant in variants.values()] == [2, 2]


def test_a_wrong_metric_is_found_with_the_first_run() -> None:
    ended: list[int] = []
    variants = {"a": Scenario(nodes=1, seconds=1.0), "b": Scenario(nodes=1, seconds=2.0)}
    with pytest.raises(ScenarioError, match="there is no metric 'no'"):
        compare(variants, [1, 2], ["no"], processes=1, on_done=lambda done, *_: ended.append(done))
    assert ended == [0]


def test_a_policy_cannot_change_what_happens_through_its_view() -> None:
    builder = GraphBuilder("g")
    builder.add("t", 2.0)
    problem = Problem(graph=builder.build(), workers=[Worker()])
    problem.told_graph().durations_s[0] = 0.0
    assert problem.graph.durations_s == [2.0]

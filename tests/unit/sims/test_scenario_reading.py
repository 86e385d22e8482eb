"""Scenarios from files and back: defaults, presets, names of files, changes, pickles."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import networkx
import pytest

from sims import Arrivals, Fault, GossipConfig, HostGroup, NetworkConfig, Noise, Scenario, Workload
from sims.scenario import ScenarioError, parse_scenario, read_scenario, stored_names, with_settings
from sims.scenario.graphs import load_graph
from sims.scenario.model import graph_of
from sims.scenario.parts import SiteLink
from sims.scenario.reading import find_scenario
from sims.scenario.toml_text import toml_text
from sims.scenario.writing import document_of_scenario
from sims.workload.generators import fork_join
from swarm.core.errors import ConfigError, GraphError
from swarm.election.config import ElectionConfig

WHOLE = """
name = "whole"
description = "everything"
[mesh]
contacts = ["a", "b0"]
[[mesh.hosts]]
name = "a"
cores = 4
site = "here"
tags = ["gpu"]
[[mesh.hosts]]
name = "b"
count = 3
speeds = "steps"
site = "there"
start_s = 2
start_spread_s = 1.5
[time]
seconds = 90
seed = 7
end = "jobs"
sample_s = 0.25
[network]
model = "lognormal"
latency_s = 0.002
loss = 0.1
loss_burst_count = 3
[[network.links]]
sites = ["here", "there"]
latency_s = 0.01
[[faults]]
at = 10
kind = "flap"
targets = "b"
others = ["a"]
direction = "out"
period_s = 4
share = 0.25
for = 20
[[faults]]
at = 12
every = 5
until = 40
kind = "pause"
targets = ["random:2", "leader"]
for = 1
[workload]
name = "work"
generator = "crossing"
parameters = { width = 3, layers = 2, duration_s = 0.5 }
graph_seed = 4
at = "b"
arrivals = { kind = "poisson", count = 3, interval_s = 4, start_s = 1 }
noise = { kind = "normal", spread = 0.2 }
[gossip]
preset = "wan"
helper_count = 2
[election]
preset = "wan"
council_size = 3
[scheduler]
replicas = 2
[exec]
pipeline_max = 4
[driver]
sync_s = 0.01
[policy]
delay_s = 0.5
[output]
folder = "out"
trace = ["csv"]
plots = ["gantt"]
"""


def test_everything_can_be_said() -> None:
    scenario = parse_scenario(WHOLE)
    assert scenario.name == "whole"
    assert scenario.nodes == 4
    assert [name for group in scenario.groups() for name in group.host_names()] == ["a", "b0", "b1", "b2"]
    assert (scenario.seconds, scenario.seed, scenario.end, scenario.sample_s) == (90.0, 7, "jobs", 0.25)
    assert scenario.network == NetworkConfig(
        model="lognormal", latency_s=0.002, loss=0.1, loss_burst_count=3.0
    )
    assert scenario.links == (SiteLink(sites=("here", "there"), latency_s=0.01),)
    assert scenario.faults[0] == Fault(
        at_s=10.0,
        kind="flap",
        targets=("b",),
        others=("a",),
        direction="out",
        period_s=4.0,
        share=0.25,
        for_s=20.0,
    )
    assert scenario.faults[1].targets == ("random:2", "leader")
    assert scenario.workloads[0].arrivals == Arrivals(kind="poisson", count=3, interval_s=4.0, start_s=1.0)
    assert scenario.workloads[0].noise == Noise(kind="normal", spread=0.2)
    assert scenario.gossip == replace(GossipConfig.wan(), helper_count=2)
    assert scenario.election == replace(ElectionConfig.wan(), council_size=3)
    assert scenario.scheduler.replicas == 2
    assert scenario.exec.pipeline_max == 4
    assert scenario.driver.sync_s == 0.01
    assert scenario.policy.delay_s == 0.5
    assert scenario.output.plots == ("gantt",)


def test_an_empty_file_is_five_plain_nodes_for_a_minute() -> None:
    assert parse_scenario("") == Scenario() == Scenario(nodes=5, seconds=60, seed=1)


@pytest.mark.parametrize("text", ["", WHOLE, *[find_scenario(name).read_text() for name in stored_names()]])
def test_a_scenario_written_reads_back_as_equal(text: str) -> None:
    folder = find_scenario("home").parent
    scenario = parse_scenario(text, folder=folder)
    written = toml_text(document_of_scenario(scenario))
    assert parse_scenario(written) == scenario


@pytest.mark.parametrize("text", ["", WHOLE])
def test_scenarios_travel_between_processes(text: str) -> None:
    scenario = parse_scenario(text)
    assert pickle.loads(pickle.dumps(scenario)) == scenario


def test_scenarios_with_graphs_made_in_python_travel_too() -> None:
    graph = fork_join(3, 1)
    scenario = Scenario(workloads=(Workload(graph=graph),))
    copied = pickle.loads(pickle.dumps(scenario))
    assert graph_of(copied.workloads[0]).durations_s == graph.durations_s


def test_equal_hosts_are_called_as_ever() -> None:
    assert Scenario(nodes=3).groups()[0].host_names() == ["n0", "n1", "n2"]
    assert HostGroup(name="x").host_names() == ["x"]


def test_hosts_differ_by_the_seed_alone() -> None:
    group = HostGroup(name="x", count=4, speed=2.0, speeds="uniform", speed_spread=0.25, drift_spread_ppm=50)
    first, again, other = group.specs("1"), group.specs("1"), group.specs("2")
    assert first == again != other
    assert all(1.5 <= spec.speed <= 2.5 for spec in first)
    assert all(-50 <= spec.drift_ppm <= 50 for spec in first)
    assert len({spec.speed for spec in first}) == 4


def test_files_are_meant_from_the_folder_of_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up.csv").write_text("0,n0,crash\n3.5,n0,up\n")
    (tmp_path / "sub" / "jobs.csv").write_text("time_s,label\n1,a\n2.5,b\n")
    (tmp_path / "sub" / "rtt.txt").write_text("# measured\n0.010\n0.020\n\n")
    (tmp_path / "sub" / "graph.json").write_text(
        '{"format":"swarm-graph","version":1,"name":"g","tasks":[{"id":0,"duration_s":1}]}'
    )
    (tmp_path / "sub" / "s.toml").write_text(
        "[[faults]]\nat = 1\nkind = 'churn-trace'\nfile = 'up.csv'\n"
        "[workload]\ngraph = 'graph.json'\narrivals = { file = 'jobs.csv' }\n"
        "[network]\nlatency_file = 'rtt.txt'"
    )
    scenario = read_scenario(tmp_path / "sub" / "s.toml")
    assert scenario.faults[0].file == str(tmp_path / "sub" / "up.csv")
    assert scenario.workloads[0].arrivals == Arrivals(kind="trace", count=0, times_s=(1.0, 2.5))
    assert scenario.network.latencies_s == (0.01, 0.02)
    assert scenario.network.model == "trace"
    assert graph_of(scenario.workloads[0]).name == "g"


def test_policies_of_users_are_meant_from_the_folder_of_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Mine:\n    def decide(self, view):\n        return []\n")
    text = "[workload]\ngenerator = 'grid'\n[policy]\nplacement = 'mine.py:Mine'"
    assert parse_scenario(text, folder=tmp_path).policy.placement == f"{tmp_path}/mine.py:Mine"


def test_gossip_settings_of_users_are_meant_from_there_too(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from swarm.gossip.config import GossipConfig\n"
        "def slow():\n    return GossipConfig(probe_interval_s=7.0)\n"
    )
    scenario = parse_scenario("[gossip]\npreset = 'mine.py:slow'\nhelper_count = 1", folder=tmp_path)
    assert (scenario.gossip.probe_interval_s, scenario.gossip.helper_count) == (7.0, 1)


def test_networks_are_read_from_graphs(tmp_path: Path) -> None:
    graph: networkx.Graph[str] = networkx.Graph()
    graph.add_node("switch", host=False)
    for name in ("left", "right", "far"):
        graph.add_edge(name, "switch", latency_s=0.002)
    networkx.write_graphml(graph, tmp_path / "net.graphml")
    (tmp_path / "net.json").write_text(json.dumps(networkx.node_link_data(graph, edges="links")))
    for name in ("net.graphml", "net.json"):
        scenario = parse_scenario(f"[network]\ngraph = '{name}'", folder=tmp_path)
        assert [group.name for group in scenario.groups()] == ["left", "right", "far"]
        assert scenario.nodes == 3
        topology = scenario.topology()
        assert topology is not None
        way = topology.way(0, 2)
        assert way is not None
        assert way.latency_s == pytest.approx(0.004)
    assert Scenario(network_graph=graph).nodes == 3


def test_sites_become_a_topology() -> None:
    scenario = parse_scenario(WHOLE)
    topology = scenario.topology()
    assert topology is not None
    assert topology.site == [0, 1, 1, 1]
    way = topology.way(0, 3)
    assert way is not None
    assert way.latency_s == 0.01
    assert Scenario().topology() is None


def test_task_graphs_are_read_in_every_form(tmp_path: Path) -> None:
    graph: networkx.DiGraph[str] = networkx.DiGraph()
    graph.add_node("a", duration_s=1.0)
    graph.add_node("b", duration_s=2.0)
    graph.add_edge("a", "b", size_bytes=10)
    networkx.write_graphml(graph, tmp_path / "g.graphml")
    networkx.write_graphml(graph, tmp_path / "g.graphml.gz")
    (tmp_path / "g.json").write_text(json.dumps(networkx.node_link_data(graph, edges="edges")))
    for name in ("g.graphml", "g.graphml.gz", "g.json"):
        assert load_graph(tmp_path / name).durations_s == [1.0, 2.0]
    assert Workload(graph=graph).graph != graph


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("g.graphml", "<x", "is no GraphML"),
        ("g.json", '{"nodes": 3}', "is no networkx node-link JSON"),
        (
            "g.json",
            '{"nodes": [{"id": 1}], "links": [], "directed": false, "multigraph": false}',
            "not directed",
        ),
        ("g.graphml.gz", "x", "cannot be read"),
    ],
)
def test_graphs_that_are_none_are_refused(name: str, content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(GraphError, match=words):
        load_graph(tmp_path / name)


def test_a_graph_that_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "g.json"
    task = '{"id":0,"duration_s":%d}'
    for seconds in (1, 22):
        path.write_text('{"format":"swarm-graph","version":1,"tasks":[' + task % seconds + "]}")
        assert load_graph(path).durations_s == [seconds]


def test_any_value_can_be_changed() -> None:
    scenario = parse_scenario(WHOLE)
    changed = with_settings(
        scenario,
        {
            "gossip.helper_count": 9,
            "faults[2].every": 8,
            "mesh.hosts[2].count": 1,
            "workload.parameters.width": 5,
            "workload.noise.spread": 0.5,
            "time.seed": 3,
        },
    )
    assert changed.gossip == replace(scenario.gossip, helper_count=9)
    assert changed.faults[1].every_s == 8
    assert changed.nodes == 2
    assert changed.workloads[0].parameters["width"] == 5
    assert changed.workloads[0].noise.spread == 0.5
    assert changed.seed == 3
    assert scenario.seed == 7, "a scenario never changes"
    assert with_settings(scenario, {}) == scenario


def test_a_number_of_nodes_takes_the_place_of_hosts() -> None:
    scenario = Scenario(hosts=(HostGroup(name="a"),), faults=(Fault(at_s=1, kind="heal"),))
    assert with_settings(scenario, {"mesh.nodes": 3}).groups()[0].host_names() == ["n0", "n1", "n2"]


def test_a_preset_takes_the_place_of_what_was_set() -> None:
    scenario = parse_scenario("[gossip]\nhelper_count = 9")
    assert with_settings(scenario, {"gossip.preset": "swarm"}).gossip == GossipConfig()
    changed = with_settings(scenario, {"gossip.preset": "wan", "gossip.helper_count": 8})
    assert changed.gossip == replace(GossipConfig.wan(), helper_count=8)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("gossip.x", 1, "gossip.x = 1: unknown key 'gossip.x'; known are listed in docs/SCENARIOS.md"),
        ("time", 3, "time = 3: time is 3, it must be a table; write [time]"),
        ("faults[3].at", 1, "faults[3].at = 1: there is no row 3; there are 2"),
        ("faults.at", 1, "faults.at = 1: a row cannot be set as a whole; name a key of it"),
        ("faults[1]", 1, "faults[1] = 1: a row cannot be set as a whole; name a key of it"),
        ("mesh.hosts.x.y", 1, "mesh.hosts.x.y = 1: hosts is a list of 2; write hosts[1]"),
        ("a b", 1, "a b = 1: 'a b' is no key; write section.key or section[number].key"),
        ("network.loss", 2, "network.loss = 2: network: loss is 2.0, it must be a share in [0, 1)"),
        (
            "time.seconds",
            5,
            "time.seconds = 5: faults[1]: at is 10, after the end of the run at 5; move it or run longer",
        ),
    ],
)
def test_changes_that_cannot_be_say_so(key: str, value: object, message: str) -> None:
    with pytest.raises(ScenarioError) as error:
        with_settings(parse_scenario(WHOLE), {key: value})
    assert str(error.value) == message


def test_scenarios_made_in_python_are_checked_as_files_are() -> None:
    with pytest.raises(ConfigError, match="after the end of the run"):
        Scenario(seconds=10, faults=(Fault(at_s=11, kind="heal"),))
    with pytest.raises(ConfigError, match="kind 'crash' needs targets"):
        Fault(at_s=1, kind="crash")
    with pytest.raises(ConfigError, match="the graph of the network has 1"):
        Scenario(nodes=3, network_graph=networkx.empty_graph(1))


@pytest.mark.parametrize(
    ("every", "until", "expected"),
    [
        (0.0, 0.0, [5.0]),
        (10.0, 0.0, [5.0, 15.0, 25.0]),
        (10.0, 20.0, [5.0, 15.0]),
        (10.0, 25.0, [5.0, 15.0, 25.0]),
    ],
)
def test_faults_are_repeated_up_to_their_end(every: float, until: float, expected: list[float]) -> None:
    assert Fault(at_s=5, kind="heal", every_s=every, until_s=until).times(30.0) == expected


def test_whole_numbers_stand_for_floats_where_those_are_meant() -> None:
    scenario = Scenario(
        seconds=9,
        hosts=(HostGroup(name="a", cores=2),),
        faults=(Fault(at_s=1, kind="heal"),),
        network=NetworkConfig(latency_s=1),
        gossip=GossipConfig(probe_interval_s=2),
    )
    numbers = [
        scenario.seconds,
        scenario.hosts[0].cores,
        scenario.faults[0].at_s,
        scenario.network.latency_s,
        scenario.gossip.probe_interval_s,
    ]
    assert [type(number) for number in numbers] == [float] * 5
    assert type(scenario.hosts[0].count) is int

"""Graphs from and to networkx, and as parts of jobs."""

from __future__ import annotations

from typing import Any

import networkx
import pytest

from sims.client import simulated_task
from sims.workload.convert import graph_of_networkx, job_part_of_graph, networkx_of_graph
from sims.workload.graph import GraphBuilder
from sims.workload.graph_file import document_of_graph
from swarm.core.errors import GraphError
from swarm.wire.job_part import TaskOptions, job_part_untrusted
from tests.unit.sims.graph_samples import diamond


def example() -> networkx.DiGraph[Any]:
    graph: networkx.DiGraph[Any] = networkx.DiGraph(name="three")
    graph.add_node("last", duration_s=3, cpus=2)
    graph.add_node("first", duration_s=1.5, expected_duration_s=1, name="begin")
    graph.add_node("middle", duration_s=2)
    graph.add_edge("first", "last", size_bytes=100, output="all")
    graph.add_edge("first", "middle", size_bytes=100, output="all", expected_size_bytes=90)
    graph.add_edge("middle", "last", size_bytes=7.6)
    return graph


def refusal(graph: Any) -> str:
    with pytest.raises(GraphError) as raised:
        graph_of_networkx(graph, "g")
    return str(raised.value)


def test_nodes_become_tasks_and_edges_carry_objects() -> None:
    graph = graph_of_networkx(example())
    assert graph.name == "three"
    assert graph.task_names == ["begin", "middle", "last"]
    assert graph.durations_s == [1.5, 2, 3]
    assert graph.expected_durations_s == [1, 2, 3]
    assert graph.cpus == [1, 1, 2]
    assert graph.sizes_bytes == [100, 8]
    assert graph.inputs == [[], [0], [0, 1]]


def test_edges_without_a_name_carry_an_object_each() -> None:
    graph = example()
    for source, target in graph.edges:
        graph.edges[source, target].pop("output", None)
    assert graph_of_networkx(graph, "g").sizes_bytes == [100, 100, 8]


def test_the_order_is_that_of_insertion_wherever_the_graph_leaves_a_choice() -> None:
    graph: networkx.DiGraph[Any] = networkx.DiGraph()
    for name in ("d", "b", "c", "a"):
        graph.add_node(name, duration_s=1)
    graph.add_edge("a", "d")
    found = graph_of_networkx(graph)
    assert found.task_names == ["b", "c", "a", "d"]
    assert found.name == "networkx graph"
    assert found.sizes_bytes == [0]


def test_a_graph_comes_back_from_networkx() -> None:
    builder = GraphBuilder("g", "networkx")
    first = builder.add("one", 1.0, sizes_bytes=[5, 6])
    second = builder.add("two", 2.0, [(first, 1)], [9], cpus=3, expected_duration_s=4)
    builder.add("three", 1.0, [(first, 0), (second, 0)])
    graph = builder.build()
    again = graph_of_networkx(networkx_of_graph(graph))
    assert again.durations_s == graph.durations_s
    assert again.expected_durations_s == graph.expected_durations_s
    assert again.cpus == graph.cpus
    assert [again.parents(task) for task in range(3)] == [graph.parents(task) for task in range(3)]
    assert again.edge_bytes(first, second) == 6


def test_several_objects_between_two_tasks_become_one_edge() -> None:
    found = networkx_of_graph(diamond())
    assert found.edges[0, 2]["size_bytes"] == 30
    assert "output" not in found.edges[0, 2]
    assert found.edges[0, 1]["output"] == 0


@pytest.mark.parametrize(
    ("attributes", "complaint"),
    [
        ({}, "g: the node 'x': duration_s is missing"),
        ({"duration_s": -1}, "g: the node 'x': duration_s is -1, it must be a number of at least 0"),
        ({"duration_s": "2"}, "duration_s is '2'"),
        ({"duration_s": float("inf")}, "duration_s is inf"),
        ({"duration_s": 1, "cpus": True}, "cpus is True"),
        ({"duration_s": 1, "expected_duration_s": -2}, "expected_duration_s is -2"),
    ],
)
def test_a_wrong_attribute_of_a_node_is_named(attributes: dict[str, Any], complaint: str) -> None:
    graph = example()
    graph.add_node("x", **attributes)
    assert complaint in refusal(graph)


def test_a_wrong_size_of_an_edge_is_named() -> None:
    graph = example()
    graph.edges["middle", "last"]["size_bytes"] = -3
    assert "the edge from 'middle' to 'last': size_bytes is -3" in refusal(graph)


def test_one_object_has_one_size() -> None:
    graph = example()
    graph.edges["first", "middle"]["size_bytes"] = 99
    assert "the output 'all' of 'first' has 100 bytes on one edge and 99 on the edge to 'middle'" in refusal(
        graph
    )


def test_cycles_and_other_kinds_of_graphs_are_refused() -> None:
    graph = example()
    graph.add_edge("last", "first")
    assert "g: the graph has a cycle: 'last' -> 'first'" in refusal(graph)
    assert "not a Graph" in refusal(networkx.Graph())
    assert "not a MultiDiGraph" in refusal(networkx.MultiDiGraph())
    assert "no task" in refusal(networkx.DiGraph())


def test_a_job_part_holds_every_task_with_its_costs() -> None:
    part = job_part_of_graph(diamond())
    again = job_part_untrusted(part.to_wire())
    assert again == part
    assert part.meta == {"name": "diamond"}
    assert part.tasks == [
        simulated_task("top", 1.0, [10, 20], []),
        simulated_task("side", 2.0, [5], [0, 0], options=TaskOptions(cpus=2.0)),
        simulated_task("side", 3.0, [7], [0, 1, 0, 0]),
        simulated_task("end", 4.0, [0], [1, 0, 2, 0], is_kept=True),
    ]


def test_a_job_part_may_have_other_run_times() -> None:
    part = job_part_of_graph(diamond(), [9.0, 8.0, 7.0, 6.0])
    assert part.tasks[3] == simulated_task("end", 6.0, [0], [1, 0, 2, 0], is_kept=True)


def test_a_networkx_graph_gives_the_same_document_whatever_was_asked_before() -> None:
    assert document_of_graph(graph_of_networkx(example())) == document_of_graph(graph_of_networkx(example()))

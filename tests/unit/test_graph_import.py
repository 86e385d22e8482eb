"""Graphs at the edge: the three forms, their order, and what is refused."""

from __future__ import annotations

from typing import Any

import networkx
import pytest

from swarm.core.errors import GraphError
from swarm.scheduler.graph_import import graph_of_document, input_source, order_graph, task_references


def order(document: object) -> list[tuple[object, tuple[int, ...]]]:
    return [(task.key, task.needs) for task in order_graph(graph_of_document(document))]


def command(identity: str, *needs: str, **more: object) -> dict[str, object]:
    return {"id": identity, "command": ["true"], "needs": list(needs), **more}


def test_every_task_follows_what_it_needs() -> None:
    tasks = [command("link", "a", "b"), command("a"), command("b", "a")]
    assert order({"tasks": tasks}) == [("a", ()), ("b", (0,)), ("link", (0, 1))]


def test_sinks_are_marked() -> None:
    graph: networkx.DiGraph[Any] = networkx.DiGraph([("a", "b"), ("a", "c")])
    assert [(task.key, task.is_sink) for task in order_graph(graph)] == [
        ("a", False),
        ("b", True),
        ("c", True),
    ]


def test_order_is_that_of_insertion_where_free() -> None:
    assert [key for key, _ in order({"tasks": [command(name) for name in "zyxabc"]})] == list("zyxabc")


def test_inputs_and_arguments_make_dependencies() -> None:
    tasks = [
        command("use", inputs={"x": "task:make/out", "y": {"file": "y.txt"}}, stdin={"task": "say"}),
        {
            "id": "sum",
            "call": "builtins:sum",
            "args": [[{"task": "use"}, 1]],
            "kwargs": {"start": {"task": "say"}},
        },
        command("make", outputs={"out": "x"}),
        command("say"),
    ]
    assert order({"tasks": tasks}) == [("make", ()), ("say", ()), ("use", (0, 1)), ("sum", (2, 1))]


def test_node_link_form_is_the_same_thing() -> None:
    document = {
        "directed": True,
        "multigraph": False,
        "nodes": [{"id": "b", "command": ["b"]}, {"id": "a", "command": ["a"]}],
        "links": [{"source": "a", "target": "b"}],
    }
    assert order(document) == [("a", ()), ("b", (0,))]
    document["edges"] = document.pop("links")
    assert order(document) == [("a", ()), ("b", (0,))]


def test_swarm_graph_keeps_its_numbers() -> None:
    document = {
        "format": "swarm-graph",
        "version": 1,
        "tasks": [
            {"id": 0, "duration_s": 1.5, "outputs": [{"size_bytes": 3}], "inputs": []},
            {"id": 1, "duration_s": 0, "outputs": [], "inputs": [[0, 0]]},
        ],
    }
    tasks = order_graph(graph_of_document(document))
    assert [task.needs for task in tasks] == [(), (0,)]
    assert tasks[0].attributes["duration_s"] == 1.5


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            {"tasks": [command("a", "b"), command("b", "c"), command("c", "a")]},
            ["cycle", "'a'", "'b'", "'c'"],
        ),
        ({"tasks": [command("a", "a")]}, ["cycle", "'a' -> 'a'"]),
        ({"tasks": [command("a", "ghost")]}, ["unknown dependency", "'a' needs 'ghost'"]),
        ({"tasks": [command("a"), command("a")]}, ["two tasks", "'a'"]),
        ({"tasks": [command("a", cpu=2)]}, ["'a'", "unknown attribute 'cpu'", "cpus"]),
        ({"tasks": [{"id": "a"}]}, ["'a'", "command", "call"]),
        ({"tasks": [{"id": "a", "command": "cc -c"}]}, ["'a'", "'cc -c'"]),
        ({"tasks": [{"id": "a", "call": "sum"}]}, ["'a'", "'sum'"]),
        ({"tasks": [{"id": "a", "call": "m:f", "args": 3}]}, ["'a'", "args"]),
        ({"tasks": [command("a", inputs=["x"])]}, ["'a'", "inputs"]),
        ({"tasks": [command("a", outputs="x")]}, ["'a'", "outputs"]),
        ({"tasks": [command("a", inputs={"x": "nonsense"})]}, ["'a'", "nonsense", "file:PATH"]),
        ({"tasks": [{"command": ["a"]}]}, ["number 0", "id"]),
        ({"tasks": {}}, ["list"]),
        ({"tasks": []}, ["no tasks"]),
        ({"nodes": [command("a")], "links": [{"source": "x", "target": "a"}]}, ["'a' needs 'x'"]),
        ({"nodes": [command("a")], "links": [{"source": "a"}]}, ["target"]),
        ({"nodes": [command("a")], "links": 1}, ["links"]),
        ({"nodes": [command("a")], "directed": False}, ["directed"]),
        ({"format": "swarm-graph", "version": 2, "tasks": []}, ["version 2"]),
        ({"format": "swarm-graph", "version": 1, "tasks": 1}, ["list"]),
        ({"format": "swarm-graph", "version": 1, "tasks": [{"id": 1}]}, ["number 0"]),
        ({"format": "swarm-graph", "version": 1, "tasks": [{"id": 0, "duration_s": -1}]}, ["task 0", "-1"]),
        (
            {"format": "swarm-graph", "version": 1, "tasks": [{"id": 0, "duration_s": 1, "outputs": [1]}]},
            ["task 0", "size_bytes"],
        ),
        (
            {
                "format": "swarm-graph",
                "version": 1,
                "tasks": [{"id": 0, "duration_s": 1, "outputs": [], "inputs": [[0]]}],
            },
            ["task 0", "inputs"],
        ),
        (
            {
                "format": "swarm-graph",
                "version": 1,
                "tasks": [{"id": 0, "duration_s": 1, "outputs": [], "inputs": [[4, 0]]}],
            },
            ["unknown dependency", "task 4"],
        ),
        ([], ["list"]),
        ({}, ["tasks"]),
    ],
)
def test_what_is_wrong_is_named(document: object, words: list[str]) -> None:
    with pytest.raises(GraphError) as caught:
        order(document)
    for word in words:
        assert word in str(caught.value)


def test_a_long_list_of_unknown_dependencies_is_cut() -> None:
    with pytest.raises(GraphError, match="and 12 more"):
        order({"tasks": [command("a", *[f"x{number}" for number in range(20)])]})


def test_a_long_cycle_is_cut() -> None:
    graph: networkx.DiGraph[Any] = networkx.DiGraph([(number, (number + 1) % 30) for number in range(30)])
    with pytest.raises(GraphError, match="22 more"):
        order_graph(graph)


def test_a_graph_too_large_names_the_first_node_beyond() -> None:
    graph: networkx.DiGraph[Any] = networkx.DiGraph()
    graph.add_nodes_from("abcd")
    with pytest.raises(GraphError, match=r"4 tasks.*at most 3.*'d'"):
        order_graph(graph, tasks_max=3)


def test_only_plain_directed_graphs() -> None:
    graphs: list[networkx.Graph[Any]] = [networkx.Graph([(1, 2)]), networkx.MultiDiGraph([(1, 2)])]
    for graph in graphs:
        with pytest.raises(GraphError, match="DiGraph"):
            order_graph(graph)  # type: ignore[arg-type]  # no graph


def test_references_are_found_at_any_depth() -> None:
    value = [{"task": "a"}, {"deep": [{"task": "b", "output": "o"}]}, {"task": "no", "other": 1}]
    assert list(task_references(value)) == [("a", ""), ("b", "o")]


def test_nesting_is_bounded() -> None:
    value: object = 1
    for _ in range(200):
        value = [value]
    with pytest.raises(GraphError, match="nested"):
        list(task_references(value))


def test_input_forms() -> None:
    assert input_source("file:a.c", "t") == ("file", "a.c", "")
    assert input_source("text:a:b", "t") == ("text", "a:b", "")
    assert input_source("task:a/o", "t") == ("task", "a", "o")
    assert input_source({"text": "x"}, "t") == ("text", "x", "")
    assert input_source({"task": "a"}, "t") == ("task", "a", "")

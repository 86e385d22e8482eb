"""Graphs, workflows and swarm-graphs as jobs."""

from __future__ import annotations

from typing import Any

import networkx
import pytest

import swarm
from swarm.client.graphs import add_graph
from swarm.client.job import ClientJob
from swarm.core.errors import (
    ConfigError,
    GraphError,
)
from swarm.wire.job_part import job_part_untrusted
from swarm.wire.messages import (
    KIND_DATA,
)
from tests.unit.client_harness import FakeOwner, arguments, take


@pytest.fixture
def owner() -> FakeOwner:
    return FakeOwner()


@pytest.fixture
def job(owner: FakeOwner) -> ClientJob:
    return ClientJob(b"j" * 10, {"name": "test", "session": True}, owner)


def test_a_graph_becomes_a_job(job: ClientJob) -> None:
    graph: networkx.DiGraph[Any] = networkx.DiGraph()
    graph.add_node("a", task=swarm.task(max, 1, 2))
    graph.add_node("b", task=swarm.task(min, 3, 4))
    graph.add_node("sum", task=swarm.task(max, swarm.result_of("b")))
    graph.add_node("after", task=lambda: 1)
    graph.add_edges_from([("a", "sum"), ("b", "sum")])
    graph.add_edge("sum", "after", order_only=True)
    kept = add_graph(job, graph, ["a"], {"retries": 3})
    assert list(kept) == ["a", "after"]
    part = job.builder.take_part(job.is_complete)
    assert part is not None
    assert part.total == 1
    tasks = {task.name: task for task in job_part_untrusted(part.blob).tasks if task.kind != KIND_DATA}
    assert arguments(tasks["sum"].payload) == ((("input", 0), ("input", 1)), {})
    assert tasks["after"].inputs == [job.builder.nodes["sum"], 0]
    assert arguments(tasks["after"].payload) == ((), {})
    assert [tasks[name].is_kept for name in ("a", "b", "sum", "after")] == [True, False, False, True]
    assert tasks["after"].options.retries == 3


def test_workflows(job: ClientJob) -> None:
    document = {
        "tasks": [
            {
                "id": "make",
                "command": ["sh", "-c", "echo > o"],
                "outputs": {"out": "o"},
                "cpus": 2,
                "memory": "10M",
            },
            {
                "id": "use",
                "command": ["cat", "x", "y"],
                "inputs": {"x": "task:make/out", "y": {"text": "hi"}},
            },
            {"id": "sum", "call": "builtins:sum", "args": [[1, 2]], "needs": ["use"]},
            {"id": "root", "call": "math:sqrt", "args": [{"task": "sum"}]},
        ]
    }
    kept = add_graph(job, document, (), {})
    assert list(kept) == ["root"]
    tasks = {task.name: task for task in take(job).tasks if task.kind != KIND_DATA}
    assert (tasks["make"].options.cpus, tasks["make"].options.memory_bytes) == (2.0, 10**7)
    assert tasks["use"].inputs[:2] == [job.builder.nodes["make"], 1]
    assert tasks["sum"].inputs == [job.builder.nodes["use"], 0]
    assert arguments(tasks["root"].payload) == ((("input", 0),), {})


def test_swarm_graphs_are_replayed(job: ClientJob) -> None:
    document = {
        "format": "swarm-graph",
        "version": 1,
        "tasks": [
            {"id": 0, "duration_s": 1, "outputs": [{"size_bytes": 3}, {"size_bytes": 4}], "inputs": []},
            {"id": 1, "duration_s": 0, "outputs": [{"size_bytes": 3}], "inputs": [[0, 1]]},
            {"id": 2, "duration_s": 0, "outputs": [], "inputs": [[1, 0]]},
        ],
    }
    add_graph(job, document, (), {})
    tasks = [task for task in take(job).tasks if task.kind != KIND_DATA]
    assert [task.output_count for task in tasks] == [2, 1, 1]
    assert [task.inputs for task in tasks] == [[], [1, 1], [2, 0]]


def test_replay_makes_the_same_bytes_each_time() -> None:
    from swarm.client.replay import replay

    assert replay("a", 0, [3, 5]) == replay("a", 0, [3, 5])
    made = replay("a", 0, [3, 5])
    assert isinstance(made, tuple)
    assert [len(output) for output in made] == [3, 5]
    assert replay("a", 0, []) == b""


@pytest.mark.parametrize(
    ("document", "error", "word"),
    [
        ({"tasks": [{"id": "a", "call": "no_such_module:f"}]}, ConfigError, "task 'a': .*no_such_module"),
        ({"tasks": [{"id": "a", "call": "math:nothing"}]}, ConfigError, "nothing"),
        (
            {"tasks": [{"id": "a", "command": ["x"], "inputs": {"f": "file:/no/such"}}]},
            ConfigError,
            "/no/such",
        ),
        ({"tasks": [{"id": "a", "command": ["x"], "cpus": "many"}]}, ConfigError, "task 'a': cpus"),
        (
            {"tasks": [{"id": "a", "command": ["x"]}, {"id": "b", "command": ["x"], "stdin": "task:a/out"}]},
            GraphError,
            "no output 'out'",
        ),
        ("/no/such/file.json", ConfigError, "/no/such/file.json"),
        (7, GraphError, "DiGraph"),
    ],
)
def test_wrong_graphs_submit_nothing(
    job: ClientJob, document: object, error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        add_graph(job, document, (), {})


def test_graph_nodes_without_work_or_edges_are_named(job: ClientJob) -> None:
    graph: networkx.DiGraph[Any] = networkx.DiGraph()
    graph.add_node("idle")
    with pytest.raises(GraphError, match=r"'idle'.*no attribute 'task'"):
        add_graph(job, graph, (), {})
    graph = networkx.DiGraph()
    graph.add_node("a", task=swarm.task(max, 1, 2))
    graph.add_node("b", task=swarm.task(max, swarm.result_of("a")))
    with pytest.raises(GraphError, match=r"add that edge"):
        add_graph(job, graph, (), {})
    graph = networkx.DiGraph()
    graph.add_node("a", task=7)
    with pytest.raises(GraphError, match=r"'task' is 7"):
        add_graph(job, graph, (), {})


def test_keeping_an_unknown_node(job: ClientJob) -> None:
    with pytest.raises(GraphError, match=r"'ghost'"):
        add_graph(job, {"tasks": [{"id": "a", "command": ["x"]}]}, ["ghost"], {})

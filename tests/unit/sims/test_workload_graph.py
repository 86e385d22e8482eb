"""Task graphs: what a builder refuses, what a graph answers, and the file format with its errors."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from sims.workload.graph import GraphBuilder, bottom_levels_s, top_levels_s
from sims.workload.graph_file import (
    document_of_graph,
    graph_of_document,
    read_graph,
    write_graph,
)
from swarm.core.errors import GraphError
from tests.unit.sims.graph_samples import EXAMPLES, diamond


def document(**changes: object) -> dict[str, Any]:
    return {**document_of_graph(diamond()), **changes}


def refusal(found: object) -> str:
    with pytest.raises(GraphError) as raised:
        graph_of_document(found, "g.json")
    text = str(raised.value)
    assert text.startswith("g.json: ")
    assert "\n" not in text
    return text


def test_a_graph_answers_who_needs_what() -> None:
    graph = diamond()
    assert len(graph) == 4
    assert graph.inputs == [[], [0], [1, 0], [2, 3]]
    assert graph.outputs == [[0, 1], [2], [3], []]
    assert graph.producers == [0, 0, 1, 2]
    assert graph.consumers == [[1, 2], [2], [3], [3]]
    assert graph.parents(2) == [0]
    assert graph.children(0) == [1, 2]
    assert graph.children(3) == []
    assert graph.edge_bytes(0, 2) == 30
    assert graph.edge_bytes(0, 1) == 10
    assert graph.parent_bytes(2) == {0: 30}
    assert graph.parent_bytes(3) == {1: 5, 2: 7}
    assert graph.expected_durations_s == [1.0, 2.0, 2.5, 4.0]
    assert repr(graph) == "TaskGraph('diamond', tasks=4, objects=4)"


def test_work_and_levels_are_sums_over_paths() -> None:
    graph = diamond()
    assert graph.work_s() == 1 + 2 * 2 + 3 + 4
    assert graph.critical_path_s() == 8
    assert bottom_levels_s(graph, graph.durations_s) == [8, 6, 7, 4]
    assert top_levels_s(graph, graph.durations_s) == [0, 1, 1, 4]


def test_other_durations_leave_the_rest_as_it_was() -> None:
    graph = diamond()
    other = graph.with_durations([5, 6, 7, 8])
    assert other.durations_s == [5, 6, 7, 8]
    assert other.expected_durations_s == graph.expected_durations_s
    assert {**document_of_graph(other), "tasks": 0} == {**document_of_graph(graph), "tasks": 0}
    assert other.with_durations(graph.durations_s).inputs == graph.inputs
    with pytest.raises(GraphError, match="3 run times for 4 tasks"):
        graph.with_durations([1, 2, 3])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"duration_s": -1.0}, "duration_s is -1.0"),
        ({"duration_s": float("nan")}, "duration_s is nan"),
        ({"duration_s": float("inf")}, "duration_s is inf"),
        ({"duration_s": 1.0, "cpus": -2}, "cpus is -2"),
        ({"duration_s": 1.0, "expected_duration_s": -3.0}, "expected_duration_s is -3.0"),
        ({"duration_s": 1.0, "sizes_bytes": [-4]}, "size_bytes is -4"),
        ({"duration_s": 1.0, "sizes_bytes": [4], "expected_sizes_bytes": [-5]}, "size_bytes is -5"),
        ({"duration_s": 1.0, "sizes_bytes": [4], "expected_sizes_bytes": []}, "0 expected sizes, 1 outputs"),
        ({"duration_s": 1.0, "inputs": [(1, 0)]}, r"\[1, 0\] names no task before it"),
        ({"duration_s": 1.0, "inputs": [(-1, 0)]}, r"\[-1, 0\] names no task before it"),
        ({"duration_s": 1.0, "inputs": [(0, 1)]}, "an output that task 0 does not have; it has 1"),
    ],
)
def test_a_builder_refuses_what_cannot_be(arguments: dict[str, Any], complaint: str) -> None:
    builder = GraphBuilder("g")
    builder.add("first", 1.0, sizes_bytes=[1])
    with pytest.raises(GraphError, match=f"g: task 1: .*{complaint}"):
        builder.add("second", **arguments)
    assert builder.durations_s == [1.0]
    assert len(builder.build()) == 1


def test_a_graph_has_a_task() -> None:
    with pytest.raises(GraphError, match="g: the graph has no task"):
        GraphBuilder("g").build()


def test_a_document_gives_the_graph_it_was_made_of() -> None:
    found = document()
    assert found["name"] == "diamond"
    assert found["tasks"][2]["inputs"] == [[0, 1], [0, 0]]
    assert document_of_graph(graph_of_document(found)) == found


def test_values_that_may_be_left_out_have_their_defaults() -> None:
    tasks = [
        {"id": 0, "duration_s": 2, "outputs": [{"size_bytes": 3}]},
        {"id": 1, "duration_s": 1.5, "inputs": [[0, 0]]},
    ]
    graph = graph_of_document({"format": "swarm-graph", "version": 1, "tasks": tasks}, "file.json")
    assert graph.name == "file.json"
    assert graph.task_names == ["0", "1"]
    assert graph.cpus == [1, 1]
    assert graph.expected_durations_s == [2, 1.5]
    assert graph.expected_sizes_bytes == [3]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": "other"}, "format is 'other', it must be 'swarm-graph'"),
        ({"format": None}, "format is missing"),
        ({"version": 2}, "version is 2, this program reads 1"),
        ({"version": True}, "version is True"),
        ({"tasks": {}}, "tasks is {}, it must be a list of at least one task"),
        ({"tasks": []}, "tasks is []"),
        ({"tasks": [7]}, "task 0 is 7, it must be an object"),
    ],
)
def test_a_document_of_another_kind_is_refused(changes: dict[str, Any], complaint: str) -> None:
    assert complaint in refusal(document(**changes))


def test_only_an_object_is_a_graph() -> None:
    assert "holds an object, not [1]" in refusal([1])
    assert "not missing" in refusal(None)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("id", 3, "task 2: id is 3, it must be the position"),
        ("duration_s", -0.5, "task 2: duration_s is -0.5, it must be a number of at least 0"),
        ("duration_s", None, "task 2: duration_s is missing"),
        ("duration_s", "long", "task 2: duration_s is 'long'"),
        ("duration_s", float("nan"), "task 2: duration_s is nan"),
        ("duration_s", True, "task 2: duration_s is True"),
        ("expected_duration_s", -1, "task 2: expected_duration_s is -1"),
        ("cpus", -1, "task 2: cpus is -1"),
        ("outputs", 5, "task 2: outputs is 5, it must be a list"),
        ("outputs", [5], "task 2: the output 5 must be an object"),
        ("outputs", [{"size_bytes": -9}], "task 2: size_bytes is -9, it must be a whole number"),
        ("outputs", [{"size_bytes": 1.5}], "task 2: size_bytes is 1.5"),
        ("outputs", [{}], "task 2: size_bytes is missing"),
        ("outputs", [{"size_bytes": 1, "expected_size_bytes": -1}], "task 2: size_bytes is -1"),
        ("inputs", 5, "task 2: inputs is 5, it must be a list"),
        ("inputs", [[0]], "task 2: the input [0] must be [producer id, output number]"),
        ("inputs", [[0, -1]], "task 2: the input [0, -1] must be"),
        ("inputs", [[0, 2]], "task 2: the input [0, 2] names an output that task 0 does not have; it has 2"),
        ("inputs", [[9, 0]], "task 2: the input [9, 0] names the unknown task 9"),
        ("name", "x" * 10, ""),
    ],
)
def test_a_wrong_value_is_named_with_its_task(key: str, value: object, complaint: str) -> None:
    found = document()
    found["tasks"][2][key] = value
    if not complaint:
        assert graph_of_document(found, "g.json").task_names[2] == "x" * 10
        return
    assert complaint in refusal(found)


def test_a_long_value_is_cut_in_the_message() -> None:
    found = document()
    found["tasks"][2]["duration_s"] = "x" * 1000
    assert len(refusal(found)) < 200


def test_a_cycle_is_named() -> None:
    found = document()
    found["tasks"][1]["inputs"] = [[2, 0]]
    found["tasks"][2]["inputs"] = [[1, 0]]
    assert refusal(found) == "g.json: the tasks form a cycle: 1 needs 2 needs 1"


def test_a_task_that_needs_itself_is_a_cycle() -> None:
    found = document()
    found["tasks"][1]["inputs"] = [[1, 0]]
    assert refusal(found) == "g.json: the tasks form a cycle: 1 needs 1"


def test_a_long_cycle_is_cut_in_the_message() -> None:
    count = 5000
    tasks = [
        {"id": task, "duration_s": 1, "outputs": [{"size_bytes": 0}], "inputs": [[(task + 1) % count, 0]]}
        for task in range(count)
    ]
    found = {"format": "swarm-graph", "version": 1, "tasks": tasks}
    assert refusal(found).endswith("7 … (4992 more) needs 0")


def test_tasks_in_the_wrong_order_are_told_from_a_cycle() -> None:
    found = document()
    found["tasks"][0]["inputs"] = [[1, 0]]
    found["tasks"][1]["inputs"] = []
    assert "task 0: the input [1, 0] names a task that does not come before it" in refusal(found)


@pytest.mark.parametrize("name", ["g.json", "g.json.gz"])
def test_a_file_gives_the_graph_that_was_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_graph(diamond(), path)
    assert path.read_bytes().startswith(b"\x1f\x8b") == name.endswith(".gz")
    first = path.read_bytes()
    assert document_of_graph(read_graph(path)) == document_of_graph(diamond())
    write_graph(read_graph(path), path)
    assert path.read_bytes() == first


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    with pytest.raises(GraphError, match=r"none\.json: cannot be read"):
        read_graph(path)
    path.write_bytes(gzip.compress(b"{}")[:-3])
    with pytest.raises(GraphError, match=r"none\.json: cannot be read"):
        read_graph(path)
    path.write_text('{"format": ')
    with pytest.raises(GraphError, match=r"none\.json: is not JSON: .*line 1"):
        read_graph(path)
    path.write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(GraphError, match=r"none\.json: is not JSON"):
        read_graph(path)
    path.write_text("[" * 100_000)
    with pytest.raises(GraphError, match=r"none\.json: is not a graph: nested too deeply"):
        read_graph(path)
    with pytest.raises(GraphError, match="cannot be written"):
        write_graph(diamond(), tmp_path / "missing" / "g.json")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json*")), ids=lambda path: path.name)
def test_every_example_is_read_whole(path: Path) -> None:
    content = path.read_bytes()
    found = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
    graph = read_graph(path)
    assert graph.name == found["name"]
    assert graph.durations_s == [task["duration_s"] for task in found["tasks"]]
    made = document_of_graph(graph)["tasks"]
    assert made == found["tasks"]


def test_there_are_examples() -> None:
    assert len(list(EXAMPLES.glob("*.json*"))) == 14

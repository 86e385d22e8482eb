"""Generated graphs: their shapes, their costs, and the same graph for the same seed."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pytest

from sims.workload.generators import (
    FAMILIES,
    Costs,
    cross_validation,
    crossing,
    fft,
    fork_join,
    gaussian_elimination,
    generate,
    grid,
    in_tree,
    map_reduce,
    out_tree,
    random_layered,
    stencil,
    worker_factors,
)
from sims.workload.graph import TaskGraph, bottom_levels_s
from sims.workload.graph_file import document_of_graph, graph_of_document
from swarm.core.errors import ConfigError, GraphError


def shape(graph: TaskGraph) -> tuple[int, int, int]:
    """Return tasks, edges, and tasks on the longest path."""
    edges = sum(len(graph.parents(task)) for task in range(len(graph)))
    return len(graph), edges, round(max(bottom_levels_s(graph, [1.0] * len(graph))))


def test_fork_join() -> None:
    assert shape(fork_join(5, 3)) == (19, 30, 7)


def test_map_reduce_shuffles_every_map_to_every_reduce() -> None:
    graph = map_reduce(6, 4)
    assert shape(graph) == (12, 6 + 24 + 4, 4)
    maps = [task for task in range(len(graph)) if graph.task_names[task] == "map"]
    assert [len(graph.outputs[task]) for task in maps] == [4] * 6
    assert [graph.sizes_bytes[item] for item in graph.outputs[maps[0]]] == [250_000] * 4
    assert shape(map_reduce(6, 4, 2)) == (23, 68, 7)


def test_trees_grow_and_shrink() -> None:
    assert shape(out_tree(4, 3)) == (40, 39, 4)
    assert shape(in_tree(4, 3)) == (40, 39, 4)
    assert shape(in_tree(1, 9)) == (1, 0, 1)
    assert out_tree(3).task_names == ["level0", "level1", "level1", *["level2"] * 4]
    assert in_tree(3).task_names == [*["level2"] * 4, "level1", "level1", "level0"]


def test_grid_is_a_wavefront() -> None:
    assert shape(grid(4, 5)) == (20, 3 * 5 + 4 * 4, 8)


def test_crossing_layers_need_everything_before() -> None:
    assert shape(crossing(4, 3)) == (12, 32, 3)


def test_cross_validation_trains_on_the_other_chunks() -> None:
    graph = cross_validation(5, 2)
    assert shape(graph) == (1 + 5 + 20 + 1, 5 + 10 + 20 + 10, 5)
    assert len(graph.inputs[1]) == 4
    assert graph.sizes_bytes[graph.outputs[1][0]] == 4_000_000
    assert graph.durations_s[graph.task_names.index("train")] == 40


def test_stencil_needs_its_neighbours() -> None:
    assert shape(stencil(5, 3)) == (15, 2 * 13, 3)
    assert shape(stencil(5, 3, 2)) == (15, 2 * 19, 3)


def test_gaussian_elimination_has_the_tasks_of_the_paper() -> None:
    for size in (2, 5, 11):
        assert len(gaussian_elimination(size)) == (size * size + size - 2) // 2
    graph = gaussian_elimination(5)
    assert shape(graph) == (14, 19, 8)


def test_fft_has_the_tasks_of_the_paper() -> None:
    for points in (2, 4, 16):
        stages = points.bit_length() - 1
        assert len(fft(points)) == 2 * points - 1 + points * stages
    assert shape(fft(4)) == (15, 6 + 16, 5)
    # Every path has the same length, as the paper says.
    levels = bottom_levels_s(fft(8), [1.0] * len(fft(8)))
    assert levels[-8:] == [1.0] * 8


@pytest.mark.parametrize("form", [0.5, 1.0, 2.0])
def test_random_graphs_have_layers_that_fit_their_shape(form: float) -> None:
    graph = random_layered(100, form, 3, seed=4)
    tasks, edges, height = shape(graph)
    assert tasks == 100
    assert height == round(10 / form)
    assert tasks - 50 < edges < tasks * 4
    roots = [task for task in range(100) if not graph.inputs[task]]
    assert [graph.task_names[task] for task in roots] == ["layer0"] * len(roots)


def test_a_random_graph_may_be_one_task_or_one_layer() -> None:
    assert shape(random_layered(1)) == (1, 0, 1)
    assert shape(random_layered(5, 100.0)) == (5, 0, 1)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_seed_decides_a_graph_and_another_gives_another(family: str) -> None:
    parameters = {"duration_spread": 0.5, "size_spread": 0.5}
    documents = [document_of_graph(generate(family, parameters, seed)) for seed in (1, 1, 2)]
    assert documents[0] == documents[1]
    assert documents[0]["tasks"] != documents[2]["tasks"]
    assert document_of_graph(graph_of_document(documents[0])) == documents[0]


def test_costs_are_drawn_around_their_means() -> None:
    costs = Costs(duration_s=4.0, duration_spread=0.5, size_bytes=1000, size_spread=1.0, cpus=2)
    graph = crossing(20, 20, costs, seed=1)
    assert min(graph.durations_s) >= 2
    assert max(graph.durations_s) <= 6
    assert abs(fmean(graph.durations_s) - 4) < 0.2
    assert min(graph.sizes_bytes) < 100
    assert max(graph.sizes_bytes) > 1900
    assert set(graph.expected_durations_s) == {4.0}
    assert set(graph.expected_sizes_bytes) == {1000}
    assert set(graph.cpus) == {2}


def test_the_ratio_of_communication_to_computation_sets_the_sizes() -> None:
    costs = Costs.of_ccr(0.5, 1e6, duration_s=20.0)
    assert costs.size_bytes == 10e6
    graph = random_layered(400, costs=costs, seed=3)
    assert abs(fmean(graph.sizes_bytes) / 1e6 / fmean(graph.durations_s) - 0.5) < 0.1
    with pytest.raises(ConfigError, match="bandwidth_bytes_s is 0"):
        Costs.of_ccr(1.0, 0)
    with pytest.raises(ConfigError, match="size_bytes is -"):
        Costs.of_ccr(-1.0, 1e6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("duration_s", 0.0),
        ("duration_s", float("nan")),
        ("size_bytes", -1.0),
        ("cpus", -1.0),
        ("duration_spread", 1.5),
        ("size_spread", -0.1),
    ],
)
def test_impossible_costs_are_refused(name: str, value: float) -> None:
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(ConfigError, match=f"{name} is {value}"):
        Costs(**arguments)


@pytest.mark.parametrize(
    ("family", "parameters", "complaint"),
    [
        ("pyramid", {}, "the family of graphs 'pyramid' is not known; known are fork-join"),
        ("grid", {"rows": 0}, "rows is 0, it must be at least 1"),
        ("grid", {"rows": 2.5}, "grid: rows is 2.5, it must be a whole number"),
        ("grid", {"rows": "2"}, "grid: rows is '2', it must be a whole number"),
        (
            "grid",
            {"depth": 2},
            "grid: the parameter 'depth' is not known; known are rows, columns, duration_s",
        ),
        ("grid", {"seed": 2}, "the parameter 'seed' is not known"),
        ("grid", {"duration_s": "x"}, "grid: duration_s is 'x', it must be a number"),
        ("random", {"shape": 0}, "shape is 0, it must be > 0"),
        ("fft", {"points": 12}, "points is 12, it must be a power of 2"),
        ("gauss", {"size": 1}, "size is 1, it must be at least 2"),
    ],
)
def test_wrong_parameters_are_named(family: str, parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        generate(family, parameters)
    assert complaint in str(raised.value)


def test_graphs_have_bounds() -> None:
    with pytest.raises(GraphError, match="more than 1000000 tasks"):
        in_tree(40, 40)


def test_factors_of_workers_are_uniform_around_one() -> None:
    graph = grid(20, 20)
    factors = worker_factors(graph, 5, 1.0, seed=1)
    values = [value for row in factors for value in row]
    assert len(values) == 2000
    assert 0.5 <= min(values) < 0.55
    assert 1.45 < max(values) <= 1.5
    assert factors == worker_factors(graph, 5, 1.0, seed=1)
    assert factors != worker_factors(graph, 5, 1.0, seed=2)
    assert worker_factors(graph, 1, 0.0, seed=1) == [[1.0]] * 400
    with pytest.raises(ConfigError, match="heterogeneity is 3"):
        worker_factors(graph, 1, 3, seed=1)
    with pytest.raises(ConfigError, match="worker_count is 0"):
        worker_factors(graph, 0, 1, seed=1)

"""Task graphs from and to other forms: networkx graphs, and the parts of jobs that a mesh runs."""

from __future__ import annotations

from collections.abc import Hashable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from sims.client import simulated_task
from sims.workload.graph import AMOUNT, NUMBER_MAX, GraphBuilder, TaskGraph
from swarm.core.errors import GraphError
from swarm.wire.job_part import JobPart, TaskOptions, TaskSpec

if TYPE_CHECKING:
    import networkx


def graph_of_networkx(graph: networkx.DiGraph[Any], name: str = "") -> TaskGraph:
    """Return the task graph that a networkx graph describes. Edges point from a task to those that need it.

    Attributes of a node: ``duration_s`` (needed; seconds on a core of speed 1), ``expected_duration_s``
    (default: the same), ``cpus`` (default 1), ``name`` (the kind of task; default: the node itself).
    Attributes of an edge: ``size_bytes`` (default 0), ``expected_size_bytes`` (default: the same), and
    ``output``: edges of one task with the same ``output`` carry the same object, which moves once to
    each host; without it every edge carries an object of its own.

    Args:
        graph: directed, without parallel edges.
        name: of the task graph; the name of `graph` when it is left out.

    Raises:
        GraphError: undirected, cyclic, or an attribute missing or impossible; names the node and the value.
    """
    import networkx

    title = name or str(graph.name) or "networkx graph"
    if not graph.is_directed() or graph.is_multigraph():
        raise GraphError(f"{title}: a task graph is a networkx.DiGraph, not a {type(graph).__name__}")
    try:
        order = list(networkx.lexicographical_topological_sort(graph, _Positions(graph).of))
    except networkx.NetworkXUnfeasible:
        cycle = " -> ".join([repr(edge[0]) for edge in networkx.find_cycle(graph)[:8]])
        raise GraphError(f"{title}: the graph has a cycle: {cycle}") from None
    builder = GraphBuilder(title, "networkx")
    number_of = {node: number for number, node in enumerate(order)}
    outputs_of: dict[tuple[Hashable, Hashable], tuple[int, int]] = {}
    for node in order:
        inputs = [outputs_of[(before, node)] for before in graph.predecessors(node)]
        sizes, expected_sizes = _outputs_of(graph, node, title, number_of[node], outputs_of)
        attributes = graph.nodes[node]
        duration_s = _number(title, node, attributes, "duration_s", None)
        builder.add(
            str(attributes.get("name", node)),
            duration_s,
            inputs,
            sizes,
            _number(title, node, attributes, "cpus", 1),
            _number(title, node, attributes, "expected_duration_s", duration_s),
            expected_sizes,
        )
    return builder.build()


def networkx_of_graph(graph: TaskGraph) -> networkx.DiGraph[int]:
    """Return a task graph as a networkx graph with the attributes that :func:`graph_of_networkx` reads.

    An edge carries the first object that its target needs of its source under ``output``; where a task needs
    several objects of one other, the edge carries the sum of their bytes as an object of its own.
    """
    import networkx

    result: networkx.DiGraph[int] = networkx.DiGraph(name=graph.name)
    for task in range(len(graph)):
        result.add_node(
            task,
            name=graph.task_names[task],
            duration_s=graph.durations_s[task],
            expected_duration_s=graph.expected_durations_s[task],
            cpus=graph.cpus[task],
        )
        for producer in graph.parents(task):
            items = [item for item in graph.inputs[task] if graph.producers[item] == producer]
            result.add_edge(
                producer,
                task,
                size_bytes=sum([graph.sizes_bytes[item] for item in items]),
                expected_size_bytes=sum([graph.expected_sizes_bytes[item] for item in items]),
            )
            if len(items) == 1:
                result.edges[producer, task]["output"] = graph.reference(items[0])[1]
    return result


def job_part_of_graph(graph: TaskGraph, durations_s: list[float] | None = None) -> JobPart:
    """Return the part of a job that makes a simulated mesh run a graph.

    Every task holds its ``cpus``, takes its run time divided by the speed of its host, and makes objects
    of the stated sizes; what no task needs is a result of the job. Estimates are kept by the names of tasks.

    Args:
        graph: what is run.
        durations_s: other run times (for example with noise), by task; the true ones when left out.
    """
    seconds = graph.durations_s if durations_s is None else durations_s
    options: dict[float, TaskOptions] = {}
    tasks: list[TaskSpec] = []
    for task in range(len(graph)):
        inputs: list[int] = []
        for item in graph.inputs[task]:
            inputs.extend(graph.reference(item))
        cpus = float(graph.cpus[task])
        tasks.append(
            simulated_task(
                graph.task_names[task],
                seconds[task],
                [graph.sizes_bytes[item] for item in graph.outputs[task]] or [0],
                inputs,
                is_kept=not any(graph.consumers[item] for item in graph.outputs[task]),
                options=options.setdefault(cpus, TaskOptions(cpus=cpus)),
            )
        )
    return JobPart(0, {"name": graph.name}, tasks)


class _Positions:
    """Nodes by their order of insertion, so that the order of tasks depends on nothing else."""

    def __init__(self, graph: networkx.DiGraph[Any]) -> None:
        self._positions = {node: position for position, node in enumerate(graph.nodes)}

    def of(self, node: Hashable) -> int:
        """Return the position of a node."""
        return self._positions[node]


def _outputs_of(
    graph: networkx.DiGraph[Any],
    node: Hashable,
    title: str,
    number: int,
    outputs_of: dict[tuple[Hashable, Hashable], tuple[int, int]],
) -> tuple[list[int], list[int]]:
    """Return the sizes of the objects that a node makes, and note which edge carries which."""
    sizes: list[int] = []
    expected_sizes: list[int] = []
    known: dict[Hashable, int] = {}
    for after in graph.successors(node):
        attributes = graph.edges[node, after]
        size = _size(title, node, after, attributes.get("size_bytes", 0))
        expected = _size(title, node, after, attributes.get("expected_size_bytes", size))
        label = attributes.get("output")
        place = known.get(label) if label is not None else None
        if place is None:
            place = len(sizes)
            sizes.append(size)
            expected_sizes.append(expected)
            if label is not None:
                known[label] = place
        elif sizes[place] != size:
            raise GraphError(
                f"{title}: the output {label!r} of {node!r} has {sizes[place]} bytes on one edge and {size} "
                f"on the edge to {after!r}"
            )
        outputs_of[(node, after)] = (number, place)
    return sizes, expected_sizes


def _size(title: str, node: Hashable, after: Hashable, value: object) -> int:
    number = _amount(value)
    if number < 0:
        raise GraphError(
            f"{title}: the edge from {node!r} to {after!r}: size_bytes is {value!r}, it must be {AMOUNT}"
        )
    return round(number)


def _number(title: str, node: Hashable, attributes: Any, key: str, default: float | None) -> float:
    value: object = attributes.get(key, default)
    number = _amount(value)
    if number < 0:
        shown = "missing" if value is None else repr(value)
        raise GraphError(f"{title}: the node {node!r}: {key} is {shown}, it must be {AMOUNT}")
    return number


def _amount(value: object) -> float:
    """Return a number of Python or NumPy as it is, -1 when it is none or out of range."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return -1.0
    number = int(value) if isinstance(value, Integral) else float(value)
    return number if 0 <= number <= NUMBER_MAX else -1.0

"""Graphs of people, checked and put in order: the only module that imports networkx.

Three forms come in and one goes out.

* a ``networkx.DiGraph`` built by a program;
* a *workflow*, a mapping ``{"tasks": [{"id", "command" | "call", "needs", …}]}`` from JSON or TOML, or the
  same attributes in networkx node-link form (``{"nodes": […], "links": […]}``);
* a *swarm-graph*, a mapping ``{"format": "swarm-graph", "version": 1, "tasks": […]}`` with durations and
  sizes instead of work (see examples/graphs/README.md).

Out comes a list of :class:`GraphTask` in topological order, the order of insertion wherever the graph
leaves a choice. What is wrong raises :class:`GraphError` naming the nodes, before anything is sent.

A value inside a workflow that names another task is ``{"task": id}`` or ``{"task": id, "output": name}``;
in `inputs` also the short forms ``"task:ID"`` and ``"task:ID/OUTPUT"``. Each makes a dependency, listed
in `needs` or not.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import networkx

from swarm.core.errors import GraphError
from swarm.wire.job_part import TASKS_MAX

WORKFLOW_KEYS: Final = (
    "id",
    "name",
    "command",
    "call",
    "args",
    "kwargs",
    "needs",
    "inputs",
    "outputs",
    "stdin",
    "env",
    "shell",
    "cpus",
    "memory",
    "retries",
    "timeout_s",
    "tags",
    "python",
)
"""The attributes of a workflow's task; anything else is a mistake and is said."""

_NAMED_MAX: Final = 8
_NESTING_MAX: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphTask:
    """One node of a graph, with what it waits for.

    Attributes:
        key: the node as the graph's author named it.
        attributes: the node's attributes, unchanged.
        needs: positions in the list of the nodes it waits for, in the order of their edges.
        is_sink: nobody waits for it, so that its result is one of the graph's answers.
    """

    key: Hashable
    attributes: Mapping[str, object]
    needs: tuple[int, ...]
    is_sink: bool


def order_graph(graph: networkx.DiGraph[Any], tasks_max: int = TASKS_MAX) -> list[GraphTask]:
    """Return the nodes of a graph, every node after those it waits for.

    Args:
        graph: edges point from a task to the ones that wait for it.
        tasks_max: the most nodes a job may have.

    Raises:
        GraphError: undirected, parallel edges, empty, too large, or a cycle (its nodes are named).
    """
    if not graph.is_directed() or graph.is_multigraph():
        raise GraphError(f"a {type(graph).__name__} is no task graph: use a networkx.DiGraph")
    if graph.number_of_nodes() == 0:
        raise GraphError("the graph has no tasks")
    if graph.number_of_nodes() > tasks_max:
        last = list(graph.nodes)[tasks_max]
        raise GraphError(
            f"the graph has {graph.number_of_nodes()} tasks, a job at most {tasks_max}: the first one too "
            f"many is {last!r}; split the graph into several jobs"
        )
    try:
        order = list(networkx.topological_sort(graph))
    except networkx.NetworkXUnfeasible:
        cycle = [edge[0] for edge in networkx.find_cycle(graph)]
        raise GraphError(f"the graph has a cycle: {_path_text(cycle)}; remove one of these edges") from None
    position = {node: index for index, node in enumerate(order)}
    return [
        GraphTask(
            key=node,
            attributes=graph.nodes[node],
            needs=tuple(position[before] for before in graph.predecessors(node)),
            is_sink=graph.out_degree(node) == 0,
        )
        for node in order
    ]


def graph_of_document(document: object) -> networkx.DiGraph[Any]:
    """Return the graph that a parsed JSON or TOML file describes, attributes checked.

    Raises:
        GraphError: not one of the forms above, or a task with a wrong attribute or an unknown dependency.
    """
    if not isinstance(document, Mapping):
        raise GraphError(f"a graph file holds an object, this one {_kind_text(document)}")
    if "format" in document:
        return _graph_of_swarm_graph(document)
    if "tasks" in document:
        return _graph_of_workflow(document["tasks"], ())
    if "nodes" in document:
        links = document.get("links", document.get("edges", []))
        if not document.get("directed", True) or document.get("multigraph", False):
            raise GraphError(
                "a node-link graph of tasks is directed and no multigraph: check those two fields"
            )
        return _graph_of_workflow(document["nodes"], links)
    raise GraphError("a graph file has 'tasks' (a workflow) or 'nodes' and 'links' (networkx node-link)")


def task_references(value: object) -> Iterator[tuple[str, str]]:
    """Yield (task, output) for every ``{"task": id}`` inside a value of a workflow; output "" when unnamed.

    Raises:
        GraphError: nested deeper than a hundred levels.
    """
    stack: list[tuple[object, int]] = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        if depth > _NESTING_MAX:
            raise GraphError(f"arguments are nested deeper than {_NESTING_MAX} levels")
        if isinstance(item, Mapping):
            if is_task_reference(item):
                yield (str(item["task"]), str(item.get("output", "")))
            else:
                stack.extend((inner, depth + 1) for inner in reversed(list(item.values())))
        elif isinstance(item, (list, tuple)):
            stack.extend((inner, depth + 1) for inner in reversed(item))


def is_task_reference(value: object) -> bool:
    """Return whether a value of a workflow is ``{"task": id}``, with or without an output."""
    return isinstance(value, Mapping) and "task" in value and set(value) <= {"task", "output"}


def input_source(text: object, task: str) -> tuple[str, str, str]:
    """Return (kind, name, output) for one value of `inputs` or for `stdin`.

    kind is "file" (name is a path beside the workflow), "text" (name is the content) or "task".

    Args:
        text: ``"file:PATH"``, ``"text:CONTENT"``, ``"task:ID"``, ``"task:ID/OUTPUT"``, or an object with
            `file`, `text` or `task`.
        task: who uses it, for the message.

    Raises:
        GraphError: none of these.
    """
    if isinstance(text, Mapping):
        if is_task_reference(text):
            return ("task", str(text["task"]), str(text.get("output", "")))
        for kind in ("file", "text"):
            if set(text) == {kind}:
                return (kind, str(text[kind]), "")
    if isinstance(text, str):
        kind, colon, name = text.partition(":")
        if colon and kind in ("file", "text"):
            return (kind, name, "")
        if colon and kind == "task":
            identity, _, output = name.partition("/")
            return ("task", identity, output)
    raise GraphError(
        f"task {task!r}: the input {text!r} is not understood; write 'file:PATH', 'text:CONTENT', "
        f"'task:ID' or 'task:ID/OUTPUT'"
    )


def _graph_of_workflow(tasks: object, links: object) -> networkx.DiGraph[Any]:
    if not isinstance(tasks, (list, tuple)):
        raise GraphError(f"the tasks of a workflow are a list, not {_kind_text(tasks)}")
    graph: networkx.DiGraph[Any] = networkx.DiGraph()
    for number, task in enumerate(tasks):
        if not isinstance(task, Mapping) or "id" not in task:
            raise GraphError(f"task number {number} of the workflow has no 'id'")
        key = str(task["id"])
        if key in graph:
            raise GraphError(f"two tasks have the id {key!r}; ids are unique in a workflow")
        _check_workflow_task(key, task)
        graph.add_node(key, **{str(name): value for name, value in task.items() if name != "id"})
    missing: list[str] = []
    for key in list(graph.nodes):
        for needed in _workflow_needs(key, graph.nodes[key]):
            if needed in graph:
                graph.add_edge(needed, key)
            else:
                missing.append(f"{key!r} needs {needed!r}")
    if not isinstance(links, (list, tuple)):
        raise GraphError(f"the links of a node-link graph are a list, not {_kind_text(links)}")
    for link in links:
        if not isinstance(link, Mapping) or "source" not in link or "target" not in link:
            raise GraphError(f"the link {link!r} has no 'source' or no 'target'")
        source, target = str(link["source"]), str(link["target"])
        if source in graph and target in graph:
            graph.add_edge(source, target)
        else:
            missing.append(f"{target!r} needs {source!r}")
    _refuse_unknown(missing)
    return graph


def _check_workflow_task(key: str, task: Mapping[str, object]) -> None:
    unknown = [str(name) for name in task if name not in WORKFLOW_KEYS]
    if unknown:
        raise GraphError(
            f"task {key!r} has the unknown attribute {unknown[0]!r}; known are {', '.join(WORKFLOW_KEYS)}"
        )
    if ("command" in task) == ("call" in task):
        raise GraphError(
            f"task {key!r} has either 'command' (a program) or 'call' (module:function), exactly one"
        )
    command = task.get("command", ["-"])
    is_shell_text = bool(task.get("shell", False)) and isinstance(command, str)
    if not is_shell_text and (
        not isinstance(command, (list, tuple))
        or not command
        or not all(isinstance(word, str) for word in command)
    ):
        raise GraphError(
            f'task {key!r}: \'command\' is a list of words such as ["cc", "-c", "a.c"], not {command!r}'
        )
    call = task.get("call", "a:b")
    if not isinstance(call, str) or not all(call.partition(":")[::2]):
        raise GraphError(f"task {key!r}: 'call' is \"module:function\", not {call!r}")
    for name in ("args", "needs"):
        if not isinstance(task.get(name, []), (list, tuple)):
            raise GraphError(f"task {key!r}: {name!r} is a list, not {task[name]!r}")
    for name in ("kwargs", "env", "inputs"):
        if not isinstance(task.get(name, {}), Mapping):
            raise GraphError(f"task {key!r}: {name!r} is an object, name: value, not {task[name]!r}")
    if not isinstance(task.get("outputs", {}), (Mapping, list, tuple)):
        raise GraphError(f"task {key!r}: 'outputs' is an object, name: path, or a list of paths")


def _workflow_needs(key: str, task: Mapping[str, Any]) -> list[str]:
    needs = [str(needed) for needed in task.get("needs", ())]
    sources = list(task.get("inputs", {}).values())
    if "stdin" in task:
        sources.append(task["stdin"])
    for source in sources:
        kind, name, _ = input_source(source, key)
        if kind == "task":
            needs.append(name)
    for value in (task.get("args", ()), task.get("kwargs", {})):
        needs.extend(name for name, _ in task_references(value))
    return needs


def _graph_of_swarm_graph(document: Mapping[str, object]) -> networkx.DiGraph[Any]:
    if document.get("format") != "swarm-graph" or document.get("version") != 1:
        raise GraphError(
            f"the format {document.get('format')!r} version {document.get('version')!r} is not known; "
            f"known is 'swarm-graph' version 1"
        )
    tasks = document.get("tasks")
    if not isinstance(tasks, list):
        raise GraphError(f"the tasks of a swarm-graph are a list, not {_kind_text(tasks)}")
    graph: networkx.DiGraph[Any] = networkx.DiGraph()
    for number, task in enumerate(tasks):
        if not isinstance(task, Mapping) or task.get("id") != number:
            raise GraphError(f"task number {number} of the swarm-graph does not have the id {number}")
        _check_swarm_graph_task(number, task)
        graph.add_node(number, **{str(name): value for name, value in task.items() if name != "id"})
    missing: list[str] = []
    for number in list(graph.nodes):
        for producer, output in graph.nodes[number]["inputs"]:
            if producer not in graph or output >= len(graph.nodes[producer]["outputs"]):
                missing.append(f"{number} needs output {output} of task {producer}")
            else:
                graph.add_edge(producer, number)
    _refuse_unknown(missing)
    return graph


def _check_swarm_graph_task(number: int, task: Mapping[str, Any]) -> None:
    duration, cpus = task.get("duration_s"), task.get("cpus", 1)
    if (
        not isinstance(duration, (int, float))
        or duration < 0
        or not isinstance(cpus, (int, float))
        or cpus < 0
    ):
        raise GraphError(f"task {number}: duration_s {duration!r} and cpus {cpus!r} are numbers, at least 0")
    outputs, inputs = task.get("outputs"), task.get("inputs")
    if not isinstance(outputs, list) or not all(
        isinstance(item, Mapping) and isinstance(item.get("size_bytes"), int) and item["size_bytes"] >= 0
        for item in outputs
    ):
        raise GraphError(f"task {number}: outputs are a list of objects with size_bytes, at least 0")
    if not isinstance(inputs, list) or not all(
        isinstance(item, list)
        and len(item) == 2
        and all(isinstance(part, int) and part >= 0 for part in item)
        for item in inputs
    ):
        raise GraphError(f"task {number}: inputs are a list of [producer, output]")


def _refuse_unknown(missing: list[str]) -> None:
    if missing:
        more = f" and {len(missing) - _NAMED_MAX} more" if len(missing) > _NAMED_MAX else ""
        raise GraphError(
            f"unknown dependency: {', '.join(missing[:_NAMED_MAX])}{more}; check the spelling of the ids"
        )


def _path_text(nodes: list[Any]) -> str:
    named = [repr(node) for node in nodes[:_NAMED_MAX]]
    if len(nodes) > _NAMED_MAX:
        named.append(f"… ({len(nodes) - _NAMED_MAX} more)")
    named.append(repr(nodes[0]))
    return " -> ".join(named)


def _kind_text(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"

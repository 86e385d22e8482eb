"""The file format of task graphs, ``"format": "swarm-graph", "version": 1``.

One JSON object, plain or compressed with gzip::

    {"format": "swarm-graph", "version": 1, "name": "…", "family": "…", "source": "…",
     "tasks": [{"id": 0, "name": "split", "duration_s": 5.1, "expected_duration_s": 5.0, "cpus": 1,
                "outputs": [{"size_bytes": 1024, "expected_size_bytes": 1000}], "inputs": []},
               {"id": 1, "name": "use", "duration_s": 1.1, "outputs": [], "inputs": [[0, 0]]}]}

``id`` is the position in ``tasks``; an input ``[producer, output]`` names a smaller id. The expected values
default to the true ones, ``cpus`` to 1, ``outputs`` and ``inputs`` to none. Other keys are left alone.
examples/graphs holds such files.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from sims.workload.graph import AMOUNT, NUMBER_MAX, GraphBuilder, TaskGraph
from swarm.core.errors import GraphError

FORMAT: Final = "swarm-graph"
VERSION: Final = 1

_GZIP_MAGIC: Final = b"\x1f\x8b"
_CYCLE_NAMED_MAX: Final = 8


def read_graph(path: str | Path) -> TaskGraph:
    """Return the graph of a file.

    Raises:
        GraphError: the file cannot be read or is no such graph; names the file, the task and the value.
    """
    return graph_of_document(read_json(path), str(path))


def read_json(path: str | Path) -> object:
    """Return what a JSON file holds, which may be compressed with gzip.

    Raises:
        GraphError: the file cannot be read, or is no JSON.
    """
    try:
        content = Path(path).read_bytes()
        if content.startswith(_GZIP_MAGIC):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise GraphError(f"{path}: cannot be read: {error}") from error
    try:
        document: object = json.loads(content)
    except ValueError as error:
        raise GraphError(f"{path}: is not JSON: {error}") from error
    except RecursionError:
        raise GraphError(f"{path}: is not a graph: nested too deeply") from None
    return document


def write_graph(graph: TaskGraph, path: str | Path) -> None:
    """Write a graph into a file, compressed when its name ends with ``.gz``.

    Raises:
        GraphError: the file cannot be written.
    """
    content = (json.dumps(document_of_graph(graph), separators=(",", ":")) + "\n").encode()
    if str(path).endswith(".gz"):
        # Without a time stamp the same graph gives the same bytes.
        content = gzip.compress(content, mtime=0)
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise GraphError(f"{path}: cannot be written: {error}") from error


def document_of_graph(graph: TaskGraph) -> dict[str, object]:
    """Return a graph as a JSON object of this format."""
    tasks: list[object] = []
    for task in range(len(graph)):
        tasks.append(
            {
                "id": task,
                "name": graph.task_names[task],
                "duration_s": graph.durations_s[task],
                "expected_duration_s": graph.expected_durations_s[task],
                "cpus": graph.cpus[task],
                "outputs": [
                    {
                        "size_bytes": graph.sizes_bytes[item],
                        "expected_size_bytes": graph.expected_sizes_bytes[item],
                    }
                    for item in graph.outputs[task]
                ],
                "inputs": [list(graph.reference(item)) for item in graph.inputs[task]],
            }
        )
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": graph.name,
        "family": graph.family,
        "source": graph.source,
        "tasks": tasks,
    }


def graph_of_document(document: object, where: str = "graph") -> TaskGraph:
    """Return the graph that a parsed file describes.

    Args:
        document: the parsed JSON.
        where: the file; messages begin with it.

    Raises:
        GraphError: names the file, the task and the value.
    """
    if not isinstance(document, Mapping):
        raise GraphError(f"{where}: a graph file holds an object, not {_shown(document)}")
    if document.get("format") != FORMAT:
        raise GraphError(f"{where}: format is {_shown(document.get('format'))}, it must be {FORMAT!r}")
    if document.get("version") != VERSION or isinstance(document.get("version"), bool):
        raise GraphError(
            f"{where}: version is {_shown(document.get('version'))}, this program reads {VERSION}"
        )
    rows = document.get("tasks")
    if not isinstance(rows, list) or not rows:
        raise GraphError(f"{where}: tasks is {_shown(rows)}, it must be a list of at least one task")
    inputs = [_task_inputs(where, number, row, len(rows)) for number, row in enumerate(rows)]
    _check_order(where, inputs)
    builder = GraphBuilder(
        str(document.get("name", where)), str(document.get("family", "")), str(document.get("source", ""))
    )
    for number, row in enumerate(rows):
        duration_s = _number(where, number, row, "duration_s", None)
        sizes, expected_sizes = _task_outputs(where, number, row)
        for producer, output in inputs[number]:
            count = len(builder.outputs[producer])
            if output >= count:
                raise GraphError(
                    f"{where}: task {number}: the input [{producer}, {output}] names an output that task "
                    f"{producer} does not have; it has {count}"
                )
        builder.add(
            str(row.get("name", number)),
            duration_s,
            inputs[number],
            sizes,
            _number(where, number, row, "cpus", 1),
            _number(where, number, row, "expected_duration_s", duration_s),
            expected_sizes,
        )
    return builder.build()


def _task_inputs(where: str, number: int, row: object, count: int) -> list[tuple[int, int]]:
    """Return the inputs of a task, which name known tasks but perhaps not earlier ones."""
    if not isinstance(row, Mapping):
        raise GraphError(f"{where}: task {number} is {_shown(row)}, it must be an object")
    if row.get("id") != number or isinstance(row.get("id"), bool):
        raise GraphError(f"{where}: task {number}: id is {_shown(row.get('id'))}, it must be the position")
    rows = row.get("inputs", [])
    if not isinstance(rows, list):
        raise GraphError(f"{where}: task {number}: inputs is {_shown(rows)}, it must be a list")
    inputs: list[tuple[int, int]] = []
    for pair in rows:
        if not isinstance(pair, list) or len(pair) != 2 or not all(_is_count(part) for part in pair):
            raise GraphError(
                f"{where}: task {number}: the input {_shown(pair)} must be [producer id, output number]"
            )
        if pair[0] >= count:
            raise GraphError(f"{where}: task {number}: the input {pair} names the unknown task {pair[0]}")
        inputs.append((pair[0], pair[1]))
    return inputs


def _task_outputs(where: str, number: int, row: Mapping[str, object]) -> tuple[list[int], list[int]]:
    outputs = row.get("outputs", [])
    if not isinstance(outputs, list):
        raise GraphError(f"{where}: task {number}: outputs is {_shown(outputs)}, it must be a list")
    sizes: list[int] = []
    expected_sizes: list[int] = []
    for output in outputs:
        if not isinstance(output, Mapping):
            raise GraphError(f"{where}: task {number}: the output {_shown(output)} must be an object")
        size = output.get("size_bytes")
        expected = output.get("expected_size_bytes", size)
        for value in (size, expected):
            if not _is_count(value):
                raise GraphError(
                    f"{where}: task {number}: size_bytes is {_shown(value)}, it must be a whole number of "
                    f"at least 0 and at most {NUMBER_MAX}"
                )
        assert isinstance(size, int)
        assert isinstance(expected, int)
        sizes.append(size)
        expected_sizes.append(expected)
    return sizes, expected_sizes


def _number(where: str, number: int, row: Mapping[str, object], key: str, default: float | None) -> float:
    value = row.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= NUMBER_MAX:
        raise GraphError(f"{where}: task {number}: {key} is {_shown(value)}, it must be {AMOUNT}")
    return value


def _check_order(where: str, inputs: Sequence[Sequence[tuple[int, int]]]) -> None:
    for number, pairs in enumerate(inputs):
        for producer, output in pairs:
            if producer >= number:
                _refuse_order(where, number, producer, output, inputs)


def _refuse_order(
    where: str, number: int, producer: int, output: int, inputs: Sequence[Sequence[tuple[int, int]]]
) -> NoReturn:
    cycle = _find_cycle([[pair[0] for pair in pairs] for pairs in inputs])
    if cycle:
        named = " needs ".join([str(task) for task in cycle[:_CYCLE_NAMED_MAX]])
        more = f" … ({len(cycle) - _CYCLE_NAMED_MAX} more)" if len(cycle) > _CYCLE_NAMED_MAX else ""
        raise GraphError(f"{where}: the tasks form a cycle: {named}{more} needs {cycle[0]}")
    raise GraphError(
        f"{where}: task {number}: the input [{producer}, {output}] names a task that does not come before "
        f"it; order the tasks so that inputs name smaller ids"
    )


def _find_cycle(needs: list[list[int]]) -> list[int]:
    """Return the tasks of one cycle, each needing the next, or [] when there is none."""
    state = [0] * len(needs)
    for root in range(len(needs)):
        if state[root]:
            continue
        path = [root]
        places = [0]
        state[root] = 1
        while path:
            task = path[-1]
            if places[-1] == len(needs[task]):
                state[task] = 2
                path.pop()
                places.pop()
                continue
            following = needs[task][places[-1]]
            places[-1] += 1
            if state[following] == 1:
                return path[path.index(following) :]
            if state[following] == 0:
                state[following] = 1
                path.append(following)
                places.append(0)
    return []


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= NUMBER_MAX


def _shown(value: object) -> str:
    """Return a value as text for a message, cut when it is long."""
    if value is None:
        return "missing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

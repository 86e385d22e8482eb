"""From a checked graph to the tasks of a job of its own.

What a node of a graph does is said by its attributes: "task" (from :func:`swarm.task`,
:func:`swarm.program`, or a callable), or "command" / "call" as in workflow files, or the durations and
sizes of a swarm-graph, which is replayed: each task sleeps and makes as many bytes.

How results flow: a reference :func:`swarm.result_of` says where the result of a node goes. For a node
with a "task" attribute, the results of all other predecessors are appended to its positional arguments,
in the order of the edges; an edge with the attribute ``order_only=True`` is only waited for. In workflows
every value is placed by name, and `needs` is only waited for.
"""

from __future__ import annotations

import getpass
import importlib
import os
import socket
import sys
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from swarm.client.job import ClientJob, Owner
from swarm.client.replay import replay
from swarm.client.sendable import checked_text, readable, shown
from swarm.client.tasks import Program, RemoteFunction, ResultOf, Task, program, result_of, task_of
from swarm.core.errors import ConfigError, GraphError
from swarm.core.ids import JOB_ID_SIZE
from swarm.exec.serialize import Reference

if TYPE_CHECKING:
    import networkx

    from swarm.client.futures import BaseFuture
    from swarm.scheduler.graph_import import GraphTask

GRAPH_FILE_SIZE_MAX: Final = 256 * 1024 * 1024
INPUT_FILE_SIZE_MAX: Final = 4 * 1024 * 1024 * 1024
PRIORITY_MAX: Final = 1_000_000_000
_OPTIONS: Final = ("cpus", "memory", "retries", "timeout_s", "tags", "python")


def new_job(
    owner: Owner,
    name: str,
    *,
    is_session: bool,
    on_error: str = "",
    priority: int = 0,
    more: Mapping[str, object] | None = None,
) -> ClientJob:
    """Return an empty job with an id of its own.

    Args:
        owner: the mesh it is for.
        name: for people.
        is_session: the mesh cancels it when its client is gone for good.
        on_error: "fail" ends the whole job at the first failed task, "continue" only what needs it; ""
            is "continue" for sessions and "fail" otherwise.
        priority: higher goes first, between plus and minus a thousand million.
        more: metadata besides.

    Raises:
        ConfigError: the name is no UTF-8 text, or the priority no such number.
    """
    if not -PRIORITY_MAX <= priority <= PRIORITY_MAX:
        raise ConfigError(
            f"priority is a whole number from -{PRIORITY_MAX} to {PRIORITY_MAX}, not {shown(priority)}"
        )
    meta: dict[str, object] = {
        "name": checked_text(name, "the job's name"),
        "session": is_session,
        "submitter": readable(f"{_user_name()}@{socket.gethostname()}"),
        "on_error": on_error or ("continue" if is_session else "fail"),
        "priority": priority,
    }
    if os.environ.get("SWARM_JOB"):
        meta["parent"] = readable(os.environ["SWARM_JOB"])
    meta.update(more or {})
    return ClientJob(os.urandom(JOB_ID_SIZE), meta, owner)


def read_graph(source: object) -> tuple[list[GraphTask], Path, networkx.DiGraph[Any]]:
    """Return (tasks in order, the folder that relative paths mean, the graph) of a DiGraph, mapping or file.

    Raises:
        GraphError: the graph is wrong; the message names the nodes.
        ConfigError: the file cannot be read, or is no JSON or TOML.
    """
    import networkx

    from swarm.scheduler.graph_import import graph_of_document, order_graph

    folder = Path.cwd()
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        try:
            graph = graph_of_document(_read_document(path))
            return order_graph(graph), path.resolve().parent, graph
        except GraphError as error:
            raise GraphError(f"{path}: {error}") from None
    if isinstance(source, Mapping):
        graph = graph_of_document(source)
    elif isinstance(source, networkx.DiGraph):
        graph = source
    elif isinstance(source, networkx.Graph):
        raise GraphError(f"a {type(source).__name__} is no task graph: use a networkx.DiGraph")
    else:
        raise GraphError(f"a graph is a networkx.DiGraph, a mapping or a file, not {source!r}")
    return order_graph(graph), folder, graph


def add_graph(
    job: ClientJob, source: object, keep: Iterable[Hashable], defaults: Mapping[str, Any]
) -> dict[Hashable, BaseFuture[Any]]:
    """Add every node of a graph to an empty job and return the futures of its sinks and of `keep`.

    Args:
        job: gets the tasks; complete afterwards.
        source: a networkx.DiGraph, a mapping in one of the forms of `swarm.scheduler.graph_import`, or
            the path of a JSON or TOML file.
        keep: further nodes whose results are wanted.
        defaults: options of nodes that do not say theirs.

    Raises:
        GraphError: the graph is wrong, or keeps a node that it does not have; nothing is submitted.
        ConfigError: a faulty option or file.
        SerializationError: something in it cannot travel.
    """
    tasks, folder, graph = read_graph(source)
    wanted = dict.fromkeys(keep)
    futures: dict[Hashable, BaseFuture[Any]] = {}
    held: list[BaseFuture[Any]] = []
    builder = job.builder
    for graph_task in tasks:
        key = graph_task.key
        needs = [tasks[position].key for position in graph_task.needs]
        try:
            built = _build(graph_task, needs, graph, folder, defaults)
        except (ConfigError, GraphError) as error:
            raise type(error)(f"task {key!r}: {error}") from None
        waits = [] if "inputs" in graph_task.attributes and "duration_s" in graph_task.attributes else needs
        future = builder.add_task(built, tuple([(builder.nodes[need], 0) for need in waits]))
        builder.nodes[key] = future.task
        held.append(future)
        built.future = None
        if graph_task.is_sink or key in wanted:
            futures[key] = future
            wanted.pop(key, None)
    if wanted:
        raise GraphError(f"keep names {next(iter(wanted))!r}, which is no node of the graph")
    job.is_complete = True
    return futures


def _build(
    graph_task: GraphTask,
    needs: list[Hashable],
    graph: networkx.DiGraph[Any],
    folder: Path,
    defaults: Mapping[str, Any],
) -> Task | Program:
    attributes = graph_task.attributes
    if "task" in attributes:
        return _of_object(graph_task, needs, graph, defaults)
    options = {**defaults, **{name: attributes[name] for name in _OPTIONS if name in attributes}}
    options["name"] = str(attributes.get("name") or graph_task.key)
    if "command" in attributes:
        return _of_command(attributes, folder, options, str(graph_task.key))
    if "call" in attributes:
        function = import_function(str(attributes["call"]), folder)
        args = tuple(_placed(value) for value in _list(attributes.get("args", ())))
        kwargs = {str(key): _placed(value) for key, value in _map(attributes.get("kwargs", {})).items()}
        return task_of(function, args, kwargs, options)
    if "duration_s" in attributes:
        return _of_replay(attributes, options)
    raise GraphError(
        "it has no attribute 'task' = swarm.task(…) or swarm.program(…), no 'command' and no 'call'"
    )


def _of_object(
    graph_task: GraphTask, needs: list[Hashable], graph: networkx.DiGraph[Any], defaults: Mapping[str, Any]
) -> Task | Program:
    work = graph_task.attributes["task"]
    if isinstance(work, (Task, Program)):
        unknown = [item.node for item in _references(work) if item.node not in needs]
        if unknown:
            raise GraphError(
                f"it uses the result of {unknown[0]!r} and no edge comes from there; add that edge"
            )
    if isinstance(work, Program):
        return work
    if isinstance(work, RemoteFunction) or (callable(work) and not isinstance(work, Reference)):
        work = work() if isinstance(work, RemoteFunction) else task_of(work, (), {}, dict(defaults))
    if not isinstance(work, Task):
        raise GraphError(f"its attribute 'task' is {work!r}; it is made by swarm.task(…) or swarm.program(…)")
    placed = {item.node for item in _references(work)}
    appended = [
        result_of(need)
        for need in needs
        if need not in placed and not graph.edges[need, graph_task.key].get("order_only", False)
    ]
    name = str(graph_task.attributes.get("name") or graph_task.key)
    return Task(work.function, (*work.args, *appended), work.kwargs, work.options, name, work.output_count)


def _of_command(attributes: Mapping[str, Any], folder: Path, options: dict[str, Any], key: str) -> Program:
    command = attributes["command"]
    outputs = attributes.get("outputs", {})
    return program(
        command if isinstance(command, str) else list(command),
        inputs={path: _source(value, folder, key) for path, value in attributes.get("inputs", {}).items()},
        outputs=outputs if isinstance(outputs, Mapping) else list(outputs),
        stdin=_source(attributes["stdin"], folder, key) if "stdin" in attributes else None,
        env=attributes.get("env"),
        shell=bool(attributes.get("shell", False)),
        **options,
    )


def _of_replay(attributes: Mapping[str, Any], options: dict[str, Any]) -> Task:
    sizes = [int(output["size_bytes"]) for output in attributes["outputs"]]
    options["outputs"] = max(1, len(sizes))
    inputs = tuple(result_of(producer, str(output)) for producer, output in attributes["inputs"])
    return task_of(replay, (options["name"], attributes["duration_s"], sizes, *inputs), {}, options)


def _source(value: object, folder: Path, key: str) -> bytes | ResultOf:
    from swarm.scheduler.graph_import import input_source

    kind, name, output = input_source(value, key)
    if kind == "task":
        return result_of(name, output)
    if kind == "text":
        return checked_text(name, "the text").encode()
    path = folder / name
    try:
        if path.stat().st_size > INPUT_FILE_SIZE_MAX:
            raise ConfigError(f"the input file {path} is larger than {INPUT_FILE_SIZE_MAX} bytes")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read the input file {str(path)!r}: {reason}") from None


def import_function(text: str, folder: Path) -> Any:
    """Return the function that ``module:function`` names; modules may lie in `folder`.

    Raises:
        ConfigError: there is no such module or function.
    """
    module_name, _, name = text.partition(":")
    is_added = str(folder) not in sys.path
    if is_added:
        sys.path.insert(0, str(folder))
    try:
        found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, UnicodeEncodeError) as error:
        raise ConfigError(f"'call' names {text!r}: {error}") from None
    finally:
        if is_added:
            sys.path.remove(str(folder))
    return found


def _placed(value: object) -> object:
    """Return an argument of a workflow with every ``{"task": id}`` replaced by a reference."""
    if isinstance(value, Mapping):
        if "task" in value and set(value) <= {"task", "output"}:
            return result_of(str(value["task"]), str(value.get("output", "")))
        return {str(key): _placed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_placed(item) for item in value]
    return value


def _references(work: Task | Program) -> list[ResultOf]:
    found: list[ResultOf] = []
    if isinstance(work, Program):
        stack: list[object] = [*work.argv, *work.inputs.values(), work.stdin]
    else:
        stack = [*work.args, *work.kwargs.values()]
    while stack:
        item = stack.pop()
        if isinstance(item, ResultOf):
            found.append(item)
        elif isinstance(item, Mapping):
            stack.extend(item.values())
        elif isinstance(item, (list, tuple, set, frozenset)):
            stack.extend(item)
    return found


def _read_document(path: Path) -> object:
    try:
        if path.stat().st_size > GRAPH_FILE_SIZE_MAX:
            raise ConfigError(f"{path} is larger than {GRAPH_FILE_SIZE_MAX} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    try:
        if path.suffix == ".toml":
            import tomllib

            return tomllib.loads(data.decode())
        if path.suffix == ".gz":
            data = _unzipped(data)
        import json

        return json.loads(data)
    except (ValueError, OSError, EOFError, RecursionError) as error:
        kind = "TOML" if path.suffix == ".toml" else "JSON"
        raise ConfigError(f"{path} is no {kind}: {error}") from None


def _unzipped(data: bytes) -> bytes:
    """Return what a gzip file holds; ValueError, OSError or EOFError when it is none."""
    import gzip
    import zlib

    try:
        return gzip.decompress(data)
    except zlib.error as error:
        raise ValueError(str(error)) from None


def _list(value: Any) -> list[Any]:
    return list(value)


def _map(value: Any) -> dict[Any, Any]:
    return dict(value)


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"

"""Reading graphs from files: task graphs in any of the known forms, and networkx graphs."""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError, fromstring

from sims.workload.convert import graph_of_networkx
from sims.workload.graph import TaskGraph
from sims.workload.graph_file import FORMAT, graph_of_document, read_json
from swarm.core.errors import GraphError

if TYPE_CHECKING:
    import networkx

GRAPHML_ENDS = (".graphml", ".graphml.gz")


def load_graph(path: str | Path) -> TaskGraph:
    """Return the task graph of a file; the same file is read once.

    Args:
        path: of the project's JSON format, of networkx node-link JSON, or of GraphML (``.graphml``), each
            perhaps compressed with gzip. What attributes networkx graphs need: `graph_of_networkx`.

    Raises:
        GraphError: the file cannot be read or is no task graph; names the file and what is wrong in it.
    """
    try:
        about = Path(path).stat()
    except OSError as error:
        raise GraphError(f"{path}: cannot be read: {error.strerror or error}") from error
    return _load_once(str(path), about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=16)
def _load_once(path: str, _changed_ns: int, _size: int) -> TaskGraph:
    if path.endswith(GRAPHML_ENDS):
        return _task_graph_of(read_networkx(path), path)
    document = read_json(path)
    if isinstance(document, Mapping) and "nodes" in document and document.get("format") != FORMAT:
        return _task_graph_of(networkx_of_document(document, path), path)
    return graph_of_document(document, path)


def _task_graph_of(graph: networkx.Graph[Any], path: str) -> TaskGraph:
    if not graph.is_directed():
        raise GraphError(f"{path}: the graph is not directed; a task graph needs a direction for every edge")
    return graph_of_networkx(graph, path)  # type: ignore[arg-type] # a DiGraph, seen above


def read_networkx(path: str | Path) -> networkx.Graph[Any]:
    """Return the networkx graph of a GraphML or node-link JSON file, compressed or not.

    Raises:
        GraphError: the file cannot be read, or is neither; names it.
    """
    if not str(path).endswith(GRAPHML_ENDS):
        document = read_json(path)
        if not isinstance(document, Mapping) or "nodes" not in document:
            raise GraphError(f"{path}: is no networkx node-link JSON; it has no `nodes`")
        return networkx_of_document(document, path)
    import networkx

    try:
        content = Path(path).read_bytes()
        if str(path).endswith(".gz"):
            content = gzip.decompress(content)
        graph: networkx.Graph[Any] = networkx.read_graphml(io.BytesIO(content))
        elements = fromstring(content).iter()  # noqa: S314 - networkx has parsed it the same way
        named = {row.get("id"): True for row in elements if row.tag.rpartition("}")[2] == "node"}
    except (OSError, EOFError) as error:
        raise GraphError(f"{path}: cannot be read: {error}") from error
    except (ParseError, networkx.NetworkXError, ValueError, KeyError) as error:
        raise GraphError(f"{path}: is no GraphML: {error}") from error
    _refuse_unknown(graph, named, path)
    return graph


def networkx_of_document(document: Mapping[str, Any], where: str | Path) -> networkx.Graph[Any]:
    """Return the networkx graph of a parsed node-link document.

    Args:
        document: with `nodes`, and `edges` or `links`.
        where: the file; messages begin with it.

    Raises:
        GraphError: it is no such document.
    """
    import networkx

    edges = "edges" if "edges" in document else "links"
    try:
        graph: networkx.Graph[Any] = networkx.node_link_graph(dict(document), edges=edges)
        named = {_as_node(row.get("id", place)): True for place, row in enumerate(document["nodes"])}
    except (KeyError, TypeError, AttributeError, ValueError, networkx.NetworkXError) as error:
        raise GraphError(f"{where}: is no networkx node-link JSON: {type(error).__name__} {error}") from error
    _refuse_unknown(graph, named, where)
    if len(named) != len(document["nodes"]):
        raise GraphError(f"{where}: two nodes have one id; give each an id of its own")
    return graph


def _as_node(given: Any) -> Any:
    """Return the id of a node as networkx has it: lists of JSON are tuples there."""
    return tuple([_as_node(part) for part in given]) if isinstance(given, list) else given


def _refuse_unknown(graph: networkx.Graph[Any], named: Mapping[Any, bool], where: str | Path) -> None:
    """Refuse an edge whose end is no node of the file: networkx would make a new node of it."""
    for edge in graph.edges:
        for end in edge[:2]:
            if end not in named:
                raise GraphError(
                    f"{where}: the edge from {edge[0]!r} to {edge[1]!r} names the node {end!r}, which does "
                    f"not exist; add it to the nodes"
                )

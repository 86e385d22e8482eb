"""Publishing and finding services, with the calls of MarcoPolo's bindings.

::

    from swarm import services

    services.publish_service("web", {"port": 8080}, permanent=True)
    for node in services.request_for("ana:web", params={"port": 8080}, max_nodes=3):
        print(node.name, node.address, node.params)

Nothing is sent by multicast: who publishes what is known from the mesh's gossip. Publishing and what concerns
the own services goes to the node of this host; finding also works from a host without one, through any node
of the mesh (see `swarm.connect` for which). Every argument is checked before anything is sent; one that is
wrong raises :class:`BadService`, whose message holds the faulty value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, final
from urllib.parse import quote

from swarm.core.errors import ConnectFailed, ConnectionLost, TransportError
from swarm.core.records import Record
from swarm.daemon.api_client import CallRefused, LocalConnection
from swarm.daemon.home import Home, default_home
from swarm.registry.records import (
    BadService,
    Params,
    check_flag,
    check_groups,
    check_id,
    check_params,
    shown,
    split_name,
)
from swarm.registry.wishes import RETRIES, TIMEOUT_S, wish_of

__all__ = [
    "BadService",
    "Node",
    "has_service",
    "marco",
    "publish_service",
    "reload_services",
    "request_for",
    "request_one",
    "service_info",
    "services",
    "set_permanent",
    "unpublish_service",
]

_ANSWER_SIZE_MAX: Final = 16 * 1024 * 1024
_SPARE_S: Final = 10.0


@final
class Node(Record):
    """A node that was found.

    Attributes:
        name, node_id: of the node.
        address: where it is reached best; `port` is swarm's own there, not the service's.
        params: of the service asked for, or of the node.
    """

    __slots__ = ("address", "name", "node_id", "params", "port")

    def __init__(self, name: str, node_id: str, address: str, port: int, params: Params) -> None:
        self.name: Final = name
        self.node_id: Final = node_id
        self.address: Final = address
        self.port: Final = port
        self.params: Final = params

    def fields(self) -> tuple[object, ...]:
        return (self.name, self.node_id, self.address, self.port, self.params)


def marco(
    max_nodes: int | None = None,
    exclude: Sequence[str] = (),
    params: Mapping[str, object] | None = None,
    timeout: float | None = None,
    retries: int | None = None,
    group: str | None = None,
    *,
    home: Path | None = None,
) -> list[Node]:
    """Return the nodes of the mesh that are there.

    Args:
        max_nodes: so many are enough, None for all.
        exclude: nodes that are not listed: names, beginnings of ids (6 letters at least), addresses.
        params: values that a node must have: its facts such as ``arch``, and its tags ``key=value``.
        timeout: milliseconds; the members are known, so nobody is waited for.
        retries: how often those that do not answer are asked again; see `timeout`.
        group: a multicast group; all nodes of a mesh are in all groups.
        home: home directory of the own node, None for the default one.

    Raises:
        BadService: an argument cannot be.
        ConnectFailed: no node can be reached.
    """
    wish = _wish("any", max_nodes, exclude, params, timeout, retries, group, None)
    return _nodes(_call("services.marco", wish, home))


def request_for(
    service: str,
    node: str | None = None,
    max_nodes: int | None = None,
    exclude: Sequence[str] = (),
    params: Mapping[str, object] | None = None,
    timeout: float | None = None,
    retries: int | None = None,
    group: str | None = None,
    *,
    home: Path | None = None,
) -> list[Node]:
    """Return the nodes that publish a service, with its parameters.

    Args:
        service: ``id``, or ``user:id``.
        node: ask only this one, by name, id or address.
        max_nodes, exclude, home: as for :func:`marco`.
        params: values that the service must have.
        timeout: milliseconds that a node has to answer, each time; 3000 by default.
        retries: how often nodes that did not answer are asked again; 1 by default.
        group: the service must be found in this multicast group.

    Raises:
        BadService: an argument cannot be.
        ConnectFailed: no node can be reached.
    """
    wish = _wish(service, max_nodes, exclude, params, timeout, retries, group, node)
    return _nodes(_call("services.find", wish, home))


def request_one(
    service: str,
    exclude: Sequence[str] = (),
    params: Mapping[str, object] | None = None,
    timeout: float | None = None,
    retries: int | None = None,
    group: str | None = None,
    *,
    home: Path | None = None,
) -> Node | None:
    """Return a node that publishes a service, None when there is none; see :func:`request_for`."""
    found = request_for(service, None, 1, exclude, params, timeout, retries, group, home=home)
    return found[0] if found else None


def services(
    node: str, timeout: float | None = None, retries: int | None = None, *, home: Path | None = None
) -> list[str]:
    """Return the names of the services of one node, sorted.

    Args:
        node: its name, a beginning of its id, or an address.
        timeout, retries, home: as for :func:`request_for`.

    Raises:
        BadService: an argument cannot be, or no such node is there.
        ConnectFailed: no node can be reached.
        TransportError: the node does not answer.
    """
    _check_node(node)
    rows = _call("services.of", _wish("any", None, (), None, timeout, retries, None, node), home)
    return sorted([str(row["name"]) for row in rows])


def publish_service(
    service: str,
    params: Mapping[str, object] | None = None,
    multicast_groups: Sequence[str] = (),
    permanent: bool = False,
    root: bool = False,
    *,
    home: Path | None = None,
) -> str:
    """Publish a service of the own node and return its name, ``user:service``, or ``service`` with `root`.

    Args:
        service: 1 to 30 characters.
        params: what those learn who find it: texts, numbers, truth values.
        multicast_groups: where it can be found, none for everywhere.
        permanent: write a file, so that it is published after the next start as well.
        root: a service of the machine and not of the user; only where the node runs as root.
        home: home directory of the own node, None for the default one.

    Raises:
        BadService: an argument cannot be.
        ConnectFailed: no node runs here.
        CallRefused: the node says why not, for example that the service is there already.
    """
    args = {
        "service": check_id(service),
        "params": check_params(_mapping(params)),
        "groups": list(check_groups(_listed(multicast_groups))),
        "permanent": check_flag("permanent", permanent),
        "root": check_flag("root", root),
    }
    return str(_call_own("services.publish", args, home)["name"])


def unpublish_service(
    service: str, multicast_groups: Sequence[str] = (), delete_file: bool = False, *, home: Path | None = None
) -> None:
    """Stop publishing a service of the own node.

    Args:
        service: its name, as published.
        multicast_groups: only there, none for everywhere.
        delete_file: remove its file, if it has one; else it comes back with :func:`reload_services`.
        home: as for :func:`publish_service`.

    Raises:
        BadService: an argument cannot be.
        ConnectFailed: no node runs here.
        CallRefused: the node says why not, for example that there is no such service.
    """
    args = {
        "service": _checked_name(service),
        "groups": list(check_groups(_listed(multicast_groups))),
        "delete_file": check_flag("delete_file", delete_file),
    }
    _call_own("services.unpublish", args, home)


def service_info(service: str, *, home: Path | None = None) -> dict[str, Any]:
    """Return what the own node knows of one of its services: parameters, groups, file, whether published.

    Raises:
        BadService: it is no name.
        ConnectFailed: no node runs here.
        CallRefused: there is no such service.
    """
    return dict(_call_own("services.info", {"service": _checked_name(service)}, home))


def has_service(service: str, *, home: Path | None = None) -> bool:
    """Return whether the own node publishes a service; errors as for :func:`service_info`."""
    return bool(_call_own("services.has", {"service": _checked_name(service)}, home))


def set_permanent(service: str, permanent: bool = True, *, home: Path | None = None) -> None:
    """Give a service of the own node a file, or take it away; errors as for :func:`service_info`."""
    args = {"service": _checked_name(service), "permanent": check_flag("permanent", permanent)}
    _call_own("services.set_permanent", args, home)


def reload_services(*, home: Path | None = None) -> int:
    """Read all service files of the own node again, publish what was withdrawn, return how many there are."""
    return int(_call_own("services.reload", {}, home)["published"])


def _wish(
    service: str,
    max_nodes: int | None,
    exclude: Sequence[str],
    params: Mapping[str, object] | None,
    timeout: float | None,
    retries: int | None,
    group: str | None,
    node: str | None,
) -> dict[str, object]:
    """Return the arguments of a search, checked."""
    given = {"max_nodes": max_nodes, "timeout": timeout, "retries": retries, "group": group, "node": node}
    args: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if isinstance(exclude, str):
        raise BadService(f"exclude is a list of nodes, not the text {shown(exclude)}")
    args["exclude"] = list(exclude) if isinstance(exclude, (list, tuple, set, frozenset)) else exclude
    args.update(service=service, params=_mapping(params))
    wish_of(args)
    return args


def _mapping(params: object) -> object:
    return {} if params is None else dict(params) if isinstance(params, Mapping) else params


def _listed(groups: object) -> object:
    return list(groups) if isinstance(groups, (list, tuple, set, frozenset)) else groups


def _checked_name(service: str) -> str:
    split_name(service)
    return service


def _check_node(node: object) -> None:
    if not isinstance(node, str) or not node:
        raise BadService(f"node is the name, id or address of a node, not {shown(node)}")


def _nodes(rows: list[dict[str, Any]]) -> list[Node]:
    return [
        Node(
            str(row["node"]),
            str(row["id"]),
            str(row["address"]),
            int(row["port"]),
            check_params(row["params"]),
        )
        for row in rows
    ]


def _call_own(op: str, args: dict[str, object], home: Path | None) -> Any:
    """Return the answer of the node of this host."""
    with LocalConnection(Home(home or default_home())) as connection:
        return connection.call(op, args)


def _call(op: str, args: dict[str, object], home: Path | None) -> Any:
    """Return the answer of the node of this host, or where there is none of any node of the mesh."""
    timeout, retries = args.get("timeout", TIMEOUT_S * 1000), args.get("retries", RETRIES)
    assert isinstance(timeout, (int, float)), "it was checked"
    assert isinstance(retries, int), "it was checked"
    wait_s = timeout / 1000 * (retries + 1) + _SPARE_S
    try:
        with LocalConnection(Home(home or default_home()), wait_s) as connection:
            return connection.call(op, args)
    except ConnectFailed:
        return ask_mesh(op, args, home)


def ask_mesh(op: str, args: dict[str, object], home: Path | None, mesh: str = "") -> Any:
    """Return the answer of any node of a mesh to a search.

    Args:
        op: ``services.marco``, ``services.find`` or ``services.of``.
        args: see `swarm.daemon.service_operations`.
        home: where this host keeps what it knows of a mesh, None for the default place.
        mesh: an invitation, "" for SWARM_MESH and the home.

    Raises:
        ConnectFailed: no mesh is known, or none of its nodes can be reached.
        CallRefused: the node says why not.
    """
    import trio

    from swarm.client.reach import find_reach
    from swarm.net.object_client import ObjectClient

    reach = find_reach(mesh=mesh, home=home)
    target = "/found/" + quote(json.dumps({"op": op, "args": args}), safe="")

    async def ask() -> object:
        error: TransportError = ConnectFailed(f"no node of mesh {reach.mesh} is known ({reach.origin})")
        async with ObjectClient(reach.credentials) as client:
            for address in reach.addresses:
                try:
                    return await client.get_json(b"", [address], target, _ANSWER_SIZE_MAX)
                except TransportError as failed:
                    error = failed
        raise error

    answer = trio.run(ask)
    if not isinstance(answer, dict) or not ("value" in answer or "error" in answer):
        raise ConnectionLost("the node gave no usable answer")
    if "error" in answer:
        raise CallRefused(2, str(answer["error"]))
    return answer["value"]

"""What somebody looks for in the mesh, and the check of it before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from swarm.core.records import Record
from swarm.registry.records import (
    BadService,
    Params,
    check_flag,
    check_group,
    check_params,
    shown,
    split_name,
)

TIMEOUT_S: Final = 3.0
RETRIES: Final = 1
TIMEOUT_MAX_S: Final = 60.0
RETRIES_MAX: Final = 20
NODES_MAX: Final = 100_000


@final
class Wish(Record):
    """What is looked for.

    Attributes:
        name: of the service.
        params: values that it must have.
        group: it must be found in this multicast group, "" for any.
        node: only this one, by name, beginning of its id or address; "" for any.
        max_nodes: so many are enough, 0 for all.
        exclude: nodes not to be listed: names, beginnings of ids, addresses.
        timeout_s: seconds that a node has to answer, each time.
        retries: how often those that did not are asked again.
        has_details: whether the parameters of the services found are wanted.
    """

    __slots__ = (
        "exclude",
        "group",
        "has_details",
        "max_nodes",
        "name",
        "node",
        "params",
        "retries",
        "timeout_s",
    )

    def __init__(
        self,
        name: str,
        *,
        params: Params | None = None,
        group: str = "",
        node: str = "",
        max_nodes: int = 0,
        exclude: Sequence[str] = (),
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        has_details: bool = True,
    ) -> None:
        self.name: Final = name
        self.params: Final[Params] = params or {}
        self.group: Final = group
        self.node: Final = node
        self.max_nodes: Final = max_nodes
        self.exclude: Final = tuple(exclude)
        self.timeout_s: Final = timeout_s
        self.retries: Final = retries
        self.has_details: Final = has_details

    def fields(self) -> tuple[object, ...]:
        return (
            self.name,
            self.params,
            self.group,
            self.node,
            self.max_nodes,
            self.exclude,
            self.timeout_s,
            self.retries,
            self.has_details,
        )


def wish_of(args: dict[str, object]) -> Wish:
    """Return what is looked for, from the arguments of a call.

    Raises:
        BadService: one is of the wrong type or out of range.
    """
    name = args.get("service")
    split_name(name)
    group = args.get("group") or ""
    if group:
        check_group(group)
    node = args.get("node") or ""
    if not isinstance(node, str):
        raise BadService(f"node is the name, id or address of a node, not {shown(node)}")
    exclude = args.get("exclude") or []
    if not isinstance(exclude, (list, tuple)) or not all(isinstance(item, str) for item in exclude):
        raise BadService(f"exclude is a list of names, ids or addresses of nodes, not {shown(exclude)}")
    timeout_ms = number_of(args, "timeout", TIMEOUT_S * 1000, 1, TIMEOUT_MAX_S * 1000)
    params: Params = check_params(args.get("params") or {})
    return Wish(
        str(name),
        params=params,
        group=str(group),
        node=node,
        max_nodes=int(number_of(args, "max_nodes", 0, 1, NODES_MAX, is_whole=True)),
        exclude=list(exclude),
        timeout_s=timeout_ms / 1000,
        retries=int(number_of(args, "retries", RETRIES, 0, RETRIES_MAX, is_whole=True)),
        has_details=check_flag("details", args.get("details", True)),
    )


def number_of(
    args: dict[str, object], name: str, default: float, least: float, most: float, is_whole: bool = False
) -> float:
    """Return a number of a call; one that is missing, or None, is the default.

    Raises:
        BadService: it is none, or not from `least` to `most`.
    """
    value = args.get(name)
    if value is None:
        return default
    is_number = isinstance(value, int) if is_whole else isinstance(value, (int, float))
    if isinstance(value, bool) or not is_number:
        raise BadService(f"{name} is a {'whole number' if is_whole else 'number'}, not {shown(value)}")
    assert isinstance(value, (int, float))
    if not least <= value <= most:
        raise BadService(f"{name} is from {least:g} to {most:g}, not {shown(value)}")
    return value

"""The living nodes as other programs want them: words for a shell, an MPI hostfile, an Ansible inventory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, final

from swarm.core.errors import ConnectFailed
from swarm.core.records import Record

LIVING: Final = ("alive", "suspect")
_NOT_IN_GROUP_NAMES: Final = re.compile(r"[^a-zA-Z0-9_]")
_IMPLICIT_TAGS: Final = ("node=", "id=")


@final
class ListedHost(Record):
    """One machine of the mesh.

    Attributes:
        host: its address, an IPv6 one without brackets.
        slots: of all nodes at this address together, at least 1.
        rows: the nodes there, as `swarm nodes --json` describes them.
    """

    __slots__ = ("host", "rows", "slots")

    def __init__(self, host: str, slots: int, rows: list[dict[str, Any]]) -> None:
        self.host: Final = host
        self.slots: Final = slots
        self.rows: Final = rows

    def fields(self) -> tuple[object, ...]:
        return (self.host, self.slots, self.rows)


def hosts_of(rows: Iterable[dict[str, Any]]) -> list[ListedHost]:
    """Return the machines of the nodes that live, in the order of their nodes; several nodes may share one.

    Raises:
        ConnectFailed: no node lives that tells an address.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        host = str(row.get("address") or "").rpartition(":")[0].strip("[]")
        if host and row.get("state") in LIVING:
            found.setdefault(host, []).append(row)
    if not found:
        raise ConnectFailed("no node of the mesh is alive; see `swarm nodes`")
    return [
        ListedHost(host, max(1, int(sum([float(row.get("slots") or 0) for row in there]))), there)
        for host, there in found.items()
    ]


def shell_words(hosts: Sequence[ListedHost]) -> str:
    """Return the addresses in one line, with spaces between."""
    return " ".join([host.host for host in hosts])


def mpi_hostfile(hosts: Sequence[ListedHost]) -> str:
    """Return lines ``address slots=N``, as Open MPI and its relatives read them."""
    return "\n".join([f"{host.host} slots={host.slots}" for host in hosts])


def ansible(hosts: Sequence[ListedHost]) -> dict[str, Any]:
    """Return an inventory of the shape that ``ansible-inventory --list`` prints.

    All nodes are in the group ``swarm``; a group per tag holds those that have it. Names are the nodes' own,
    made unique by the id where two nodes share one.
    """
    living = [(host, row) for host in hosts for row in host.rows]
    names = [str(row.get("name") or row.get("id")) for _, row in living]
    groups: dict[str, dict[str, list[str]]] = {"swarm": {"hosts": []}}
    variables: dict[str, dict[str, Any]] = {}
    for host, row in living:
        name = str(row.get("name") or row.get("id"))
        if names.count(name) > 1:
            name = f"{name}-{str(row.get('id'))[:8]}"
        variables[name] = _variables(host.host, row)
        groups["swarm"]["hosts"].append(name)
        for tag in _own_tags(row):
            group = "tag_" + _NOT_IN_GROUP_NAMES.sub("_", tag)
            members = groups.setdefault(group, {"hosts": []})["hosts"]
            if name not in members:
                members.append(name)
    return {"_meta": {"hostvars": variables}, "all": {"children": ["ungrouped", *groups]}, **groups}


def _variables(host: str, row: dict[str, Any]) -> dict[str, Any]:
    told = {f"swarm_{key}": row.get(key) for key in ("id", "slots", "memory", "python", "arch", "platform")}
    return {
        "ansible_host": host,
        **told,
        "swarm_leader": bool(row.get("leader")),
        "swarm_tags": _own_tags(row),
    }


def _own_tags(row: dict[str, Any]) -> list[str]:
    """Return the tags that the owner gave, without the name and the id, which every node has as tags."""
    tags = [str(tag) for tag in row.get("tags") or []]
    return [tag for tag in tags if not tag.startswith(_IMPLICIT_TAGS)]

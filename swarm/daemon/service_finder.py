"""Finding services in the mesh: who has one is known from gossip, its parameters from the node itself.

Gossip tells of each node the names of its services, as many as fit, and a digest of them all. So a name is
found without asking anybody; a node is asked (over a stream, at its object server) when parameters or groups
matter, when not all of its names fitted, or when the service is of a user that the node may not have looked
at yet. Answers are kept under the digest: while nothing changes, nobody is asked twice.

What MarcoPolo's calls promise and did not keep holds here: an excluded node is never listed, `max_nodes`
counts nodes that were listed, and a retry asks again those that did not answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, final
from urllib.parse import quote

import trio

from swarm.core.errors import ProtocolError, TransportError
from swarm.core.hosts import address_for_others
from swarm.core.ids import NodeId, short
from swarm.gossip.members import Member
from swarm.net.object_client import ObjectClient
from swarm.node_facts import SERVICES, SERVICES_DIGEST, SERVICES_HIDDEN, SERVICES_LEFT_OUT
from swarm.node_members import PRESENT
from swarm.registry.records import BadService, Params, check_groups, check_params, has_params
from swarm.registry.wishes import Wish

ASKED_AT_ONCE_MAX: Final = 16
"""Nodes asked at the same time."""
KEPT_COUNT_MAX: Final = 1024
"""Answers kept."""
WHOLE_LIST_MAX: Final = 32
"""Nodes with more services than this are asked for one service at a time."""
ANSWER_SIZE_MAX: Final = 4 * 1024 * 1024
PARAM_FACTS: Final = ("arch", "platform", "python", "cores", "memory", "speed")


def is_named(member: Member, names: Sequence[str]) -> bool:
    """Return whether a list names this node: by its name, a beginning of its id (6 letters), an address.

    Addresses count with and without a port.
    """
    for item in names:
        if not item:
            continue
        if item == member.name or (len(item) >= 6 and short(member.node_id).startswith(item.lower())):
            return True
        for host, port in member.addresses:
            if item in (host, f"{host}:{port}", f"[{host}]:{port}"):
                return True
    return False


def node_params(member: Member) -> Params:
    """Return what a node says about itself, flat: tags ``key=value`` become parameters."""
    params: Params = {"name": member.name, "id": short(member.node_id)}
    tags = member.facts.get("tags")
    for tag in tags if isinstance(tags, list) else []:
        key, equals, value = str(tag).partition("=")
        params[key] = value if equals else True
    for name in PARAM_FACTS:
        fact = member.facts.get(name)
        if isinstance(fact, (str, int, float)):
            params[name] = fact
    return params


def node_json(member: Member, params: Params) -> dict[str, object]:
    """Return one found node as answers hold it."""
    address = address_for_others(member.addresses) if member.addresses else ("", 0)
    return {
        "node": member.name,
        "id": short(member.node_id),
        "address": address[0],
        "port": address[1],
        "params": dict(params),
    }


@final
class ServiceFinder:
    """Finds services for clients of one node.

    Args:
        me: this node, b"" for somebody who is none.
        members: gives the members of the mesh.
        own: answers for this node; see `ServiceKeeper.answer`.
        objects: asks other nodes.
    """

    def __init__(
        self,
        me: NodeId,
        members: Callable[[], list[Member]],
        own: Callable[[str], Awaitable[list[object]]],
        objects: ObjectClient,
    ) -> None:
        self._me: Final = me
        self._members: Final = members
        self._own: Final = own
        self._objects: Final = objects
        self._kept: dict[tuple[NodeId, str], tuple[object, list[object]]] = {}
        self._counts = {"searches": 0, "asked": 0, "kept": 0, "unanswered": 0}

    def statistics(self) -> dict[str, int]:
        """Return counters."""
        return {**self._counts, "answers_kept": len(self._kept)}

    def nodes(self, params: Params, max_nodes: int, exclude: Sequence[str]) -> list[dict[str, object]]:
        """Return the nodes that are there and say all of `params` about themselves."""
        found: list[dict[str, object]] = []
        for member in self._present(exclude):
            own = node_params(member)
            if has_params(own, params) and (not max_nodes or len(found) < max_nodes):
                found.append(node_json(member, own))
        return found

    async def find(self, wish: Wish) -> list[dict[str, object]]:
        """Return the nodes that publish a service, each once; none is waited for longer than was wished."""
        self._counts["searches"] += 1
        found: dict[NodeId, dict[str, object]] = {}
        to_ask: list[Member] = []
        wants_more = bool(wish.params or wish.group or wish.has_details)
        for member in self._present(wish.exclude):
            if wish.node and not is_named(member, [wish.node]):
                continue
            is_told = wish.name in _names_of(member)
            if not is_told and not _may_have(member, wish.name):
                continue
            if is_told and not wants_more:
                found[member.node_id] = node_json(member, {})
            else:
                to_ask.append(member)
        for _ in range(wish.retries + 1):
            if not to_ask or _is_enough(found, wish):
                break
            to_ask = await self._ask_all(to_ask, wish, found)
        listed = [found[node_id] for node_id in sorted(found)]
        return listed[: wish.max_nodes] if wish.max_nodes else listed

    async def services_of(self, node: str, timeout_s: float, retries: int) -> list[object]:
        """Return all services of one node.

        Args:
            node: its name, a beginning of its id, or an address.
            timeout_s: seconds that it has to answer, each time.
            retries: how often it is asked again.

        Raises:
            BadService: no present node is called that.
            TransportError: it does not answer.
        """
        for member in self._present(()):
            if is_named(member, [node]):
                for _ in range(retries + 1):
                    with trio.move_on_after(timeout_s):
                        answer = await self._answer_of(member, "")
                        if answer is not None:
                            return answer
                raise TransportError(f"the node {node} did not answer")
        raise BadService(f"no node {node!r} is in the mesh at present; see `swarm nodes`")

    def _present(self, exclude: Sequence[str]) -> list[Member]:
        return [
            member for member in self._members() if member.state in PRESENT and not is_named(member, exclude)
        ]

    async def _ask_all(
        self, members: list[Member], wish: Wish, found: dict[NodeId, dict[str, object]]
    ) -> list[Member]:
        """Ask nodes at the same time, add those that have the service, return those that did not answer."""
        silent: dict[NodeId, Member] = {member.node_id: member for member in members}
        limit = trio.CapacityLimiter(ASKED_AT_ONCE_MAX)

        async def ask(member: Member) -> None:
            async with limit:
                with trio.move_on_after(wish.timeout_s):
                    answer = await self._answer_of(member, wish.name)
                    if answer is None:
                        return
                    del silent[member.node_id]
                    params = _match_untrusted(answer, wish)
                    if params is not None:
                        found[member.node_id] = node_json(member, params)
                        if _is_enough(found, wish):
                            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for member in members:
                nursery.start_soon(ask, member)
        self._counts["unanswered"] += len(silent)
        return list(silent.values())

    async def _answer_of(self, member: Member, name: str) -> list[object] | None:
        """Return what a node says of its services; None when it does not answer."""
        if member.node_id == self._me:
            return await self._own(name)
        count = len(_names_of(member)) + _left_out(member)
        is_told = name in _names_of(member)
        wanted = "" if not name or (count <= WHOLE_LIST_MAX and (is_told or ":" not in name)) else name
        digest = member.facts.get(SERVICES_DIGEST)
        kept = self._kept.get((member.node_id, wanted))
        if kept is not None and digest is not None and kept[0] == digest:
            self._counts["kept"] += 1
            return kept[1]
        self._counts["asked"] += 1
        target = f"/services/{quote(wanted, safe='')}" if wanted else "/services"
        try:
            answer = await self._objects.get_json(member.node_id, member.addresses, target, ANSWER_SIZE_MAX)
        except (TransportError, ProtocolError, OSError):
            return None
        if not isinstance(answer, list):
            return None
        if digest is not None:
            self._keep((member.node_id, wanted), digest, answer)
        return answer

    def _keep(self, key: tuple[NodeId, str], digest: object, answer: list[object]) -> None:
        self._kept.pop(key, None)
        if len(self._kept) >= KEPT_COUNT_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (digest, answer)


def _is_enough(found: dict[NodeId, dict[str, object]], wish: Wish) -> bool:
    return 0 < wish.max_nodes <= len(found)


def _names_of(member: Member) -> list[object]:
    names = member.facts.get(SERVICES)
    return names if isinstance(names, list) else []


def _left_out(member: Member) -> int:
    count = member.facts.get(SERVICES_LEFT_OUT)
    return count if isinstance(count, int) else 0


def _may_have(member: Member, name: str) -> bool:
    """Return whether a node may have a service that gossip does not tell of."""
    return _left_out(member) > 0 or (":" in name and member.facts.get(SERVICES_HIDDEN) is True)


def _match_untrusted(answer: list[object], wish: Wish) -> Params | None:
    """Return the parameters of the service in a node's answer that is wished for, None when there is none."""
    for row in answer:
        if not isinstance(row, dict) or row.get("name") != wish.name:
            continue
        try:
            params = check_params(row.get("params", {}))
            groups = check_groups(row.get("groups", []))
            not_in = row.get("not_in", [])
        except BadService:
            return None
        is_there = not wish.group or (not groups or wish.group in groups)
        is_withdrawn = isinstance(not_in, list) and wish.group in not_in
        return params if is_there and not is_withdrawn and has_params(params, wish.params) else None
    return None

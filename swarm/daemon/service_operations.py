"""The operations of the local API about services: those of this node, and finding those of the mesh.

`swarm.services` and `swarm service` use them, and so can any language. Every argument is checked here, with
the faulty value in the message: `swarm.services` checks before it asks, others may not.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, final

from swarm.core.errors import TransportError
from swarm.daemon.api import Operation
from swarm.daemon.json_text import from_json
from swarm.daemon.service_finder import ServiceFinder
from swarm.daemon.services import ServiceKeeper, own_user
from swarm.registry.records import (
    BadService,
    check_flag,
    check_group,
    check_groups,
    check_id,
    check_params,
    shown,
    split_name,
)
from swarm.registry.wishes import wish_of


@final
class ServiceOperations:
    """Answers the operations ``services.…``.

    Args:
        keeper: the services of this node.
        finder: finds others.
        groups: the multicast groups that this node has joined for MarcoPolo; empty when it has not.
        system: the folder of root services, for messages.
    """

    def __init__(
        self, keeper: ServiceKeeper, finder: ServiceFinder, groups: tuple[str, ...], system: Path
    ) -> None:
        self._keeper: Final = keeper
        self._finder: Final = finder
        self._joined: Final = groups or None
        self._system: Final = system

    def by_name(self) -> dict[str, Operation]:
        """Return the operations as the local API wants them."""
        return {
            "services.marco": self._marco,
            "services.find": self._find,
            "services.of": self._of,
            "services.has": self._has,
            "services.list": self._list,
            "services.info": self._info,
            "services.publish": self._publish,
            "services.unpublish": self._unpublish,
            "services.set_permanent": self._set_permanent,
            "services.reload": self._reload,
        }

    async def answer_question(self, text: str) -> object:
        """Answer a question about the mesh that came over a stream: JSON ``{"op": …, "args": {…}}``.

        A question that cannot be is answered ``{"error": "why"}``.
        """
        try:
            question = from_json(text)
            operation = {
                "services.marco": self._marco,
                "services.find": self._find,
                "services.of": self._of,
            }[question["op"]]
            args = question.get("args", {})
            if not isinstance(args, dict):
                raise BadService(f"args are names with values, not {shown(args)}")
            return {"value": await operation(args)}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return {"error": str(error) if isinstance(error, BadService) else "no such question"}
        except TransportError as error:
            return {"error": str(error)}

    async def _marco(self, args: dict[str, object]) -> object:
        wish = wish_of({**args, "service": "any"})
        return self._finder.nodes(wish.params, wish.max_nodes, wish.exclude)

    async def _find(self, args: dict[str, object]) -> object:
        return await self._finder.find(wish_of(args))

    async def _of(self, args: dict[str, object]) -> object:
        node = args.get("node")
        if not isinstance(node, str) or not node:
            raise BadService(f"node is the name, id or address of a node, not {shown(node)}")
        wish = wish_of({**args, "service": "any"})
        return await self._finder.services_of(node, wish.timeout_s, wish.retries)

    async def _list(self, args: dict[str, object]) -> object:
        group = args.get("group") or ""
        if group:
            check_group(group)
        registry = self._keeper.registry
        return [registry.info(service.name) for service in registry.in_group(str(group))]

    async def _has(self, args: dict[str, object]) -> object:
        return await self._keeper.find(_name(args)) is not None

    async def _info(self, args: dict[str, object]) -> object:
        name = _name(args)
        await self._keeper.find(name)
        return self._keeper.registry.info(name)

    async def _publish(self, args: dict[str, object]) -> object:
        registry = self._keeper.registry
        service_id = check_id(args.get("service"))
        params = check_params(args.get("params") or {})
        groups = check_groups(args.get("groups") or [], self._joined)
        is_permanent = check_flag("permanent", args.get("permanent", False))
        is_root = check_flag("root", args.get("root", False))
        user = own_user()
        if is_root and os.geteuid() != 0:
            raise BadService(
                f"this node runs as {user.name}, and only root publishes a root service: leave out root for"
                f" the service {user.name}:{service_id}, or put a file into {self._system} as root"
            )
        made = await self._keeper.change(
            lambda: registry.publish(service_id, params, groups, is_permanent, None if is_root else user)
        )
        return {"name": made.name, "file": made.path}

    async def _unpublish(self, args: dict[str, object]) -> object:
        registry, name = self._keeper.registry, _name(args)
        groups = check_groups(args.get("groups") or [], self._joined)
        delete_file = check_flag("delete_file", args.get("delete_file", False))
        await self._keeper.change(lambda: registry.unpublish(name, groups, delete_file))
        return {"name": name}

    async def _set_permanent(self, args: dict[str, object]) -> object:
        registry, name = self._keeper.registry, _name(args)
        is_permanent = check_flag("permanent", args.get("permanent", True))
        await self._keeper.change(lambda: registry.set_permanent(name, is_permanent))
        return {"name": name, "permanent": is_permanent}

    async def _reload(self, args: dict[str, object]) -> object:
        del args
        await self._keeper.change(self._keeper.registry.reload)
        return {"published": len(self._keeper.registry.services)}


def _name(args: dict[str, object]) -> str:
    name = args.get("service")
    split_name(name)
    return str(name)

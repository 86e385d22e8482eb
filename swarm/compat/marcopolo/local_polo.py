"""The local port of MarcoPolo's `polod`, TLS at 127.0.0.1:1390: programs of this host publish through it.

A request is ``{"Command": …, "Args": {…}}`` with the command Register (also Publish), Unpublish or
Request-token; it ends where its JSON does. The answer is ``{"OK": …}`` or ``{"Error": "why"}``. Who publishes
proves by a token to be a user of this host (see `tokens`); the certificate is made anew at each start, for
nobody ever checked it.
"""

from __future__ import annotations

import grp
import json
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, final

import trio

from swarm.compat.marcopolo.certificate import local_context
from swarm.compat.marcopolo.messages import SIZE_MAX, object_untrusted
from swarm.compat.marcopolo.tokens import Tokens
from swarm.core.errors import DecodeError, SwarmError
from swarm.core.ids import Address
from swarm.registry.files import User
from swarm.registry.records import (
    BadService,
    check_flag,
    check_groups,
    check_id,
    check_params,
    shown,
    split_name,
)
from swarm.registry.registry import Registry

HOST: Final = "127.0.0.1"
PORT: Final = 1390
CONNECTION_COUNT_MAX: Final = 32
IDLE_TIMEOUT_S: Final = 10.0
GROUP_NAME: Final = "marcopolo"
"""Members of this group of the host may publish root services, as root may."""

Change: TypeAlias = Callable[[Callable[[], object]], Awaitable[object]]


@final
class LocalPolo:
    """Serves the port.

    Args:
        registry: the services; changed through `change` only.
        change: runs an action on the registry where that may block.
        tokens: makes and checks tokens.
        groups: multicast groups that this node has joined.
        find_user_of: gives an account by its uid.
    """

    def __init__(
        self,
        registry: Registry,
        change: Change,
        tokens: Tokens,
        groups: tuple[str, ...],
        find_user_of: Callable[[int], User | None],
    ) -> None:
        self._registry: Final = registry
        self._change: Final = change
        self._tokens: Final = tokens
        self._groups: Final = groups
        self._find_user_of: Final = find_user_of
        self._open = 0
        self._counts = {"connections": 0, "requests": 0, "refused": 0}

    def statistics(self) -> dict[str, int]:
        """Return counters."""
        return dict(self._counts)

    async def run(
        self,
        *,
        address: Address = (HOST, PORT),
        task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; tells where.

        Raises:
            OSError: the port cannot be had.
        """
        context = await trio.to_thread.run_sync(local_context)
        listeners = await trio.open_tcp_listeners(address[1], host=address[0])
        async with trio.open_nursery() as nursery:
            task_status.started(listeners[0].socket.getsockname()[:2])

            async def serve(stream: trio.SocketStream) -> None:
                await self._serve(trio.SSLStream(stream, context, server_side=True, https_compatible=True))

            await trio.serve_listeners(serve, listeners, handler_nursery=nursery)

    async def _serve(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self._counts["connections"] += 1
        self._open += 1
        try:
            with trio.move_on_after(IDLE_TIMEOUT_S) as idle:
                if self._open <= CONNECTION_COUNT_MAX:
                    await self._converse(stream, idle)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass
        finally:
            self._open -= 1
            await trio.aclose_forcefully(stream)

    async def _converse(self, stream: trio.SSLStream[trio.SocketStream], idle: trio.CancelScope) -> None:
        buffer = b""
        while data := bytes(await stream.receive_some(SIZE_MAX)):
            buffer += data
            if not _is_whole(buffer) and len(buffer) <= SIZE_MAX:
                continue
            self._counts["requests"] += 1
            answer = await self.answer_untrusted(buffer)
            buffer = b""
            await stream.send_all(json.dumps(answer).encode())
            idle.deadline = trio.current_time() + IDLE_TIMEOUT_S

    async def answer_untrusted(self, data: bytes) -> dict[str, object]:
        """Return the answer to a request, whatever it holds."""
        try:
            request = object_untrusted(data)
            command, args = request.get("Command"), request.get("Args", {})
            if not isinstance(args, dict):
                raise BadService(f"Args is a JSON object, not {shown(args)}")
            if command in ("Register", "Publish"):
                return {"OK": await self._publish(args)}
            if command == "Unpublish":
                return {"OK": await self._unpublish(args)}
            if command == "Request-token":
                return {"OK": await self._hand_out(args)}
            raise BadService(f"the command {shown(command)} is unknown")
        except (SwarmError, DecodeError) as error:
            self._counts["refused"] += 1
            return {"Error": str(error)}

    async def _publish(self, args: dict[str, object]) -> str:
        user = await self._user(args)
        service_id = check_id(args.get("service"))
        params = check_params(args.get("params") or {})
        groups = check_groups(args.get("multicast_groups") or [], self._groups)
        is_permanent = check_flag("permanent", args.get("permanent", False))
        is_root = check_flag("root", args.get("root", False))
        if is_root and not await trio.to_thread.run_sync(may_be_root, user):
            raise BadService(f"the user {user.name} may not publish root services: leave out root")
        owner = None if is_root else user
        await self._change(lambda: self._registry.publish(service_id, params, groups, is_permanent, owner))
        return service_id if is_root else f"{user.name}:{service_id}"

    async def _unpublish(self, args: dict[str, object]) -> int:
        user = await self._user(args)
        owner, service_id = split_name(args.get("service"))
        groups = check_groups(args.get("multicast_groups") or [], self._groups)
        delete_file = check_flag("delete_file", args.get("delete_file", False))
        name = f"{user.name}:{service_id}"
        if owner not in ("", user.name):
            raise BadService(f"the service {owner}:{service_id} is not of the user {user.name}")
        if not owner and self._registry.find(name) is None:
            if not await trio.to_thread.run_sync(may_be_root, user):
                raise BadService(f"the user {user.name} has no service {service_id!r}")
            name = service_id
        if set(groups) == set(self._groups):
            groups = ()  # the original's programs name all groups when they mean everywhere
        await self._change(lambda: self._registry.unpublish(name, groups, delete_file))
        return 0

    async def _hand_out(self, args: dict[str, object]) -> int:
        user = await self._account(args.get("uid"))
        is_new = await trio.to_thread.run_sync(self._tokens.hand_out, user)
        return 0 if is_new else 1

    async def _user(self, args: dict[str, object]) -> User:
        """Return who asks, proven by the token."""
        uid = self._tokens.uid_of_untrusted(args.get("token"))
        if args.get("uid") not in (None, uid):
            raise BadService(f"wrong uid {shown(args['uid'])}: the token is of uid {uid}")
        if os.geteuid() not in (0, uid):
            raise BadService(f"wrong uid {uid}: this node runs as uid {os.geteuid()}")
        return await self._account(uid)

    async def _account(self, uid: object) -> User:
        if isinstance(uid, bool) or not isinstance(uid, int) or not 0 <= uid < 2**32:
            raise BadService(f"uid is the number of a user, not {shown(uid)}")
        found = await trio.to_thread.run_sync(self._find_user_of, uid)
        if found is None:
            raise BadService(f"wrong uid {uid}: there is no such user")
        return found


def may_be_root(user: User) -> bool:
    """Return whether a user may publish root services: root and members of `GROUP_NAME` may. Blocks."""
    if os.geteuid() != 0:
        return False
    if user.uid == 0:
        return True
    try:
        group = grp.getgrnam(GROUP_NAME)
    except KeyError:
        return False
    return user.gid == group.gr_gid or user.name in group.gr_mem


def _is_whole(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True

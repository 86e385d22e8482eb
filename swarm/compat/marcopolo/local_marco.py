"""The local port of MarcoPolo's `marcod`, UDP at 127.0.1.1:1338: programs of this host ask through it.

A request is JSON with ``Command`` (Marco, Request-For, Services) and, if wished, ``max_nodes``, ``exclude``,
``params``, ``timeout`` (ms), ``retries``, ``group``; ``Params`` is the service and ``node`` the host to ask.
The answer is a list ``[{"Address": …, "Params": {…}}, …]``, for Services a list of names, or ``{"Error":
"why"}``.
"""

from __future__ import annotations

import json
import socket
from typing import Final, final

import trio

from swarm.compat.marcopolo.marco import TIMEOUT_S, Marco
from swarm.compat.marcopolo.messages import SIZE_MAX, object_untrusted
from swarm.core.errors import DecodeError, SwarmError
from swarm.core.ids import Address
from swarm.registry.records import BadService, check_group, check_params, shown, split_name
from swarm.registry.wishes import NODES_MAX, RETRIES_MAX, TIMEOUT_MAX_S, number_of

HOST: Final = "127.0.1.1"
PORT: Final = 1338
OPEN_MAX: Final = 16
"""Requests worked on at the same time; more are refused."""
EXCLUDE_MAX: Final = 1000


@final
class Wanted:
    """The arguments of a request, checked.

    Raises:
        BadService: one is wrong; names it.
    """

    def __init__(self, request: dict[str, object], groups: tuple[str, ...]) -> None:
        group, node, exclude = request.get("group"), request.get("node"), request.get("exclude") or []
        self.group: Final = check_group(group, groups) if group is not None else ""
        if node is not None and (not isinstance(node, str) or not 0 < len(node) <= 253):
            raise BadService(f"node is the name or address of a host, not {shown(node)}")
        self.host: Final = str(node or "")
        if not isinstance(exclude, list) or len(exclude) > EXCLUDE_MAX:
            raise BadService(f"exclude is a list of addresses, not {shown(exclude)}")
        self.exclude: Final = [_excluded(item) for item in exclude]
        self.params: Final = check_params(request.get("params") or {})
        self.max_nodes: Final = int(number_of(request, "max_nodes", 0, 1, NODES_MAX, is_whole=True))
        self.retries: Final = int(number_of(request, "retries", 0, 0, RETRIES_MAX, is_whole=True))
        timeout_ms = number_of(request, "timeout", TIMEOUT_S * 1000, 1, TIMEOUT_MAX_S * 1000, is_whole=True)
        self.timeout_s: Final = timeout_ms / 1000


@final
class LocalMarco:
    """Serves the port.

    Args:
        marco: asks the network.
        groups: multicast groups that may be asked.
    """

    def __init__(self, marco: Marco, groups: tuple[str, ...]) -> None:
        self._marco: Final = marco
        self._groups: Final = groups
        self._open = 0
        self._counts = {"requests": 0, "refused": 0}

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
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.bind(address)
            async with trio.open_nursery() as nursery:
                task_status.started((sock.getsockname()[0], sock.getsockname()[1]))
                while True:
                    await trio.lowlevel.wait_readable(sock)
                    try:
                        datagram, source = sock.recvfrom(SIZE_MAX + 1)
                    except OSError:
                        continue
                    if self._open >= OPEN_MAX:
                        self._send(sock, {"Error": f"{OPEN_MAX} requests are open already"}, source)
                        continue
                    self._open += 1
                    nursery.start_soon(self._serve, sock, datagram, (source[0], source[1]))

    async def _serve(self, sock: socket.socket, datagram: bytes, source: Address) -> None:
        self._counts["requests"] += 1
        try:
            answer = await self.answer_untrusted(datagram)
        finally:
            self._open -= 1
        self._send(sock, answer, source)

    async def answer_untrusted(self, datagram: bytes) -> object:
        """Return the answer to a request, whatever it holds."""
        try:
            request = object_untrusted(datagram)
            command = request.get("Command")
            wanted = Wanted(request, self._groups)
            if command in ("Marco", "Discover"):
                return await self._ask("", wanted)
            if command in ("Request-For", "Request-for"):
                split_name(request.get("Params"))
                return await self._ask(str(request["Params"]), wanted)
            if command == "Services":
                if not wanted.host:
                    raise BadService("Services needs the node that is asked")
                timeout_s, retries = wanted.timeout_s, wanted.retries
                return await self._marco.services(wanted.host, timeout_s=timeout_s, retries=retries)
            raise BadService(f"the command {shown(command)} is unknown")
        except (SwarmError, DecodeError) as error:
            self._counts["refused"] += 1
            return {"Error": str(error)}

    async def _ask(self, service: str, wanted: Wanted) -> list[object]:
        found = await self._marco.ask(
            service,
            group=wanted.group,
            host=wanted.host,
            max_nodes=wanted.max_nodes,
            exclude=wanted.exclude,
            params=wanted.params,
            timeout_s=wanted.timeout_s,
            retries=wanted.retries,
        )
        return [{"Address": each.host, "Params": each.params} for each in found]

    def _send(self, sock: socket.socket, answer: object, source: Address) -> None:
        """Send an answer; of a list, as much as a datagram holds."""
        packed = json.dumps(answer).encode()
        while len(packed) > SIZE_MAX and isinstance(answer, list) and answer:
            answer = answer[: min(len(answer) - 1, len(answer) * SIZE_MAX // len(packed))]
            packed = json.dumps(answer).encode()
        try:
            sock.sendto(packed, source)
        except OSError:
            self._counts["refused"] += 1


def _excluded(item: object) -> str:
    """Return an excluded node as a text; the original's programs may give a pair of host and port."""
    if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):
        return item[0]
    if not isinstance(item, str):
        raise BadService(f"exclude holds addresses, not {shown(item)}")
    return item

"""Polo: hears questions on the multicast groups and answers those it should."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, final

import trio

from swarm.compat.marcopolo import messages
from swarm.compat.marcopolo.gate import Gate
from swarm.compat.marcopolo.settings import MarcoPoloSettings
from swarm.compat.marcopolo.sockets import GroupSocket, networks_of, usable_interfaces
from swarm.core.ids import Address
from swarm.registry.records import Params, Service

REFRESH_INTERVAL_S: Final = 5.0
BATCH_COUNT_MAX: Final = 32
SEARCHES_MAX: Final = 4
"""Questions about users that are looked into at the same time; more are dropped."""
_RECEIVE_SIZE: Final = messages.SIZE_MAX + 1


@final
class Polo:
    """Answers for one node.

    Args:
        settings: groups, port and parameters.
        node: the name of this node, told with the parameters.
        find: gives a service by name and group; may take a while for a user not looked at yet.
        is_quick: says of a name that `find` need not look at the disk.
        in_group: gives the services of a group.
        interfaces: names of the interfaces to use, none for all usable ones.
        say: takes what the operator should know, once each.
    """

    def __init__(
        self,
        settings: MarcoPoloSettings,
        node: str,
        *,
        find: Callable[[str, str], Awaitable[Service | None]],
        is_quick: Callable[[str], bool],
        in_group: Callable[[str], list[Service]],
        interfaces: tuple[str, ...],
        say: Callable[[str, dict[str, object]], None],
    ) -> None:
        self._settings: Final = settings
        self._params: Final[Params] = {"node": node, **settings.params}
        self._find: Final = find
        self._is_quick: Final = is_quick
        self._in_group: Final = in_group
        self._named: Final = interfaces
        self._say: Final = say
        self._gate: Final = Gate()
        self._sockets: dict[str, GroupSocket] = {}
        self._searching = 0
        self._counts = {"send_failed": 0, "join_failed": 0, "searches_dropped": 0}

    def statistics(self) -> dict[str, int]:
        """Return counters."""
        return {**self._gate.counts, **self._counts, "sockets": len(self._sockets)}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; a port that cannot be had is tried again."""
        try:
            async with trio.open_nursery() as nursery:
                self._refresh(nursery)
                task_status.started()
                while True:
                    await trio.sleep(REFRESH_INTERVAL_S)
                    self._refresh(nursery)
        finally:
            for each in self._sockets.values():
                each.close()
            self._sockets.clear()

    def _refresh(self, nursery: trio.Nursery) -> None:
        """Make the sockets that are missing, and join on interfaces that are new."""
        interfaces = usable_interfaces(self._named)
        self._gate.set_networks(networks_of(interfaces))
        for group in ("", *self._settings.groups):
            if group not in self._sockets:
                try:
                    made = GroupSocket(group, self._settings.port)
                except OSError as error:
                    self._say("marcopolo_port_taken", {"port": self._settings.port, "error": str(error)})
                    continue
                self._sockets[group] = made
                nursery.start_soon(self._receive, made, nursery)
            self._counts["join_failed"] += self._sockets[group].join(interfaces)

    async def _receive(self, group: GroupSocket, nursery: trio.Nursery) -> None:
        while True:
            await trio.lowlevel.wait_readable(group.socket)
            for _ in range(BATCH_COUNT_MAX):
                try:
                    datagram, source = group.socket.recvfrom(_RECEIVE_SIZE)
                except OSError:
                    break
                self._take(datagram, (source[0], source[1]), group.group, nursery)
            await trio.lowlevel.checkpoint()

    def _take(self, datagram: bytes, source: Address, group: str, nursery: trio.Nursery) -> None:
        question = self._gate.question_untrusted(datagram, source, trio.current_time())
        if question is None:
            return
        if question.command == messages.MARCO:
            self._send(messages.pack_params(messages.POLO, self._params), source)
        elif question.command == messages.SERVICES:
            names = [service.name for service in self._in_group(group)]
            self._send(messages.pack_services(names), source)
        elif not self._is_quick(question.service) and self._searching >= SEARCHES_MAX:
            self._counts["searches_dropped"] += 1
        else:
            self._searching += 1
            nursery.start_soon(self._search, question.service, group, source)

    async def _search(self, name: str, group: str, source: Address) -> None:
        try:
            service = await self._find(name, group)
        finally:
            self._searching -= 1
        if service is not None:
            self._send(messages.pack_params(messages.OK, service.params), source)

    def _send(self, datagram: bytes, source: Address) -> None:
        if not self._gate.may_answer(source, len(datagram), trio.current_time()):
            return
        sender = self._sockets.get("") or next(iter(self._sockets.values()))
        try:
            sender.socket.sendto(datagram, source)
        except OSError:
            self._counts["send_failed"] += 1

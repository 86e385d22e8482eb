"""Marco: asks a multicast group and gathers the answers; it does what the original's manual says.

A question is sent several times within each try, because each of the two ways loses datagrams; who has
answered is counted once. A retry sends again. An excluded node is never listed, and `max_nodes` counts
listed ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, final

import trio

from swarm.compat.marcopolo.messages import (
    MARCO,
    OK,
    POLO,
    REQUEST_FOR,
    SERVICES,
    SIZE_MAX,
    Answer,
    Question,
    answer_untrusted,
    pack_question,
)
from swarm.compat.marcopolo.settings import MarcoPoloSettings
from swarm.compat.marcopolo.sockets import AskingSocket, usable_interfaces
from swarm.core.errors import DecodeError, TransportError
from swarm.core.records import Record
from swarm.registry.records import BadService, Params, has_params

SENDS_PER_TRY: Final = 3
TIMEOUT_S: Final = 1.0
ANSWERS_MAX: Final = 10_000


@final
class Found(Record):
    """A node that answered.

    Attributes:
        host: where from.
        params: of the node or its service.
        services: names, for a question about services.
    """

    __slots__ = ("host", "params", "services")

    def __init__(self, host: str, params: Params, services: tuple[str, ...] = ()) -> None:
        self.host: Final = host
        self.params: Final = params
        self.services: Final = services

    def fields(self) -> tuple[object, ...]:
        return (self.host, self.params, self.services)


@final
class Marco:
    """Asks for one node.

    Args:
        settings: groups and port.
        interfaces: names of the interfaces to use, none for all usable ones.
    """

    def __init__(self, settings: MarcoPoloSettings, interfaces: tuple[str, ...] = ()) -> None:
        self._settings: Final = settings
        self._named: Final = interfaces
        self._counts = {"questions": 0, "answers": 0, "garbage": 0, "send_failed": 0}

    def statistics(self) -> dict[str, int]:
        """Return counters."""
        return dict(self._counts)

    async def ask(
        self,
        service: str = "",
        *,
        group: str = "",
        host: str = "",
        max_nodes: int = 0,
        exclude: Sequence[str] = (),
        params: Params | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: int = 0,
    ) -> list[Found]:
        """Return who is there, or who has a service; by address.

        Args:
            service: name of a service, "" for the nodes themselves.
            group: multicast group to ask, "" for the first one of the settings.
            host: ask this host only, "" for the group.
            max_nodes: so many are enough, 0 for all that answer in time.
            exclude: hosts, or ``host:port``, that are not listed.
            params: values that an answer must have.
            timeout_s: seconds of each try, > 0.
            retries: further tries; when all of them are over, what came is the answer.
        """
        wanted = REQUEST_FOR if service else MARCO
        question = Question(wanted, service)
        found: dict[str, Found] = {}

        def take(source: tuple[str, int], answer: Answer) -> bool:
            is_asked_for = answer.command == (OK if service else POLO)
            is_excluded = source[0] in exclude or f"{source[0]}:{source[1]}" in exclude
            if is_asked_for and not is_excluded and has_params(answer.params, params or {}):
                found.setdefault(source[0], Found(source[0], answer.params))
            return 0 < max_nodes <= len(found) or bool(host and found)

        await self._ask(question, group or self._settings.groups[0], host, timeout_s, retries, take)
        listed = [found[name] for name in sorted(found)]
        return listed[:max_nodes] if max_nodes else listed

    async def services(self, host: str, *, timeout_s: float = TIMEOUT_S, retries: int = 0) -> list[str]:
        """Return the names of the services of one host.

        Raises:
            BadService: the host cannot be found by that name.
            TransportError: it does not answer.
        """
        listed: list[tuple[str, ...]] = []

        def take(source: tuple[str, int], answer: Answer) -> bool:
            del source
            if answer.command == OK:
                listed.append(answer.services)
            return bool(listed)

        await self._ask(Question(SERVICES), "", host, timeout_s, retries, take)
        if not listed:
            raise TransportError(f"the node {host} did not answer")
        return list(listed[0])

    async def _ask(
        self,
        question: Question,
        group: str,
        host: str,
        timeout_s: float,
        retries: int,
        take: Callable[[tuple[str, int], Answer], bool],
    ) -> None:
        place = await _resolve(host) if host else ""
        asking = AskingSocket()
        try:
            datagram = pack_question(question)
            for _ in range(retries + 1):
                with trio.move_on_after(timeout_s):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._send_some, asking, datagram, group, place, timeout_s)
                        await self._gather(asking, take)
                        nursery.cancel_scope.cancel()
                        return
        finally:
            asking.close()

    async def _send_some(
        self, asking: AskingSocket, datagram: bytes, group: str, place: str, timeout_s: float
    ) -> None:
        port = self._settings.port
        for _ in range(SENDS_PER_TRY):
            self._counts["questions"] += 1
            if place:
                is_sent = asking.send_to(datagram, place, port)
            else:
                is_sent = asking.send_to_group(datagram, group, port, usable_interfaces(self._named)) > 0
            self._counts["send_failed"] += not is_sent
            await trio.sleep(timeout_s / (SENDS_PER_TRY + 1))

    async def _gather(self, asking: AskingSocket, take: Callable[[tuple[str, int], Answer], bool]) -> None:
        """Take answers until `take` says that they are enough."""
        taken = 0
        while taken < ANSWERS_MAX:
            await trio.lowlevel.wait_readable(asking.socket)
            try:
                datagram, source = asking.socket.recvfrom(SIZE_MAX + 1)
            except OSError:
                continue  # an ICMP error of an earlier question
            taken += 1
            try:
                answer = answer_untrusted(datagram)
            except DecodeError:
                self._counts["garbage"] += 1
                continue
            if answer is not None:
                self._counts["answers"] += 1
                if take((source[0], source[1]), answer):
                    return


async def _resolve(host: str) -> str:
    try:
        found = await trio.socket.getaddrinfo(host, None, family=trio.socket.AF_INET)
    except (OSError, UnicodeError):
        raise BadService(f"the host {host[:60]!r} cannot be found") from None
    return str(found[0][4][0])

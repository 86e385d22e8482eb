"""The whole compatibility service of one node: its roles and its local ports, in one nursery."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, final

import trio

from swarm.compat.marcopolo import local_marco, local_polo
from swarm.compat.marcopolo.local_marco import LocalMarco
from swarm.compat.marcopolo.local_polo import Change, LocalPolo
from swarm.compat.marcopolo.marco import Marco
from swarm.compat.marcopolo.polo import Polo
from swarm.compat.marcopolo.settings import MARCO, POLO, MarcoPoloSettings
from swarm.compat.marcopolo.tokens import Tokens
from swarm.registry.files import User
from swarm.registry.records import Service
from swarm.registry.registry import Registry

RETRY_S: Final = 5.0


@final
class MarcoPolo:
    """Speaks MarcoPolo for one node.

    Args:
        settings: groups, roles, parameters.
        node: the node's name.
        registry: the services of this node.
        find: gives a service of this node by name, looking at a user's folder first where that is needed.
        change: runs an action on the registry where that may block.
        now: gives monotonic seconds, as the registry counts them.
        tokens: for the local port.
        find_user_of: gives an account by its uid.
        interfaces: names of the interfaces to use, none for all usable ones.
        say: takes what the operator should know.
    """

    def __init__(
        self,
        settings: MarcoPoloSettings,
        *,
        node: str,
        registry: Registry,
        find: Callable[[str], Awaitable[Service | None]],
        change: Change,
        now: Callable[[], float],
        tokens: Tokens,
        find_user_of: Callable[[int], User | None],
        interfaces: tuple[str, ...],
        say: Callable[[str, dict[str, object]], None],
    ) -> None:
        self._settings: Final = settings
        self._registry: Final = registry
        self._find_any: Final = find
        self._say: Final = say
        self._said: dict[tuple[str, str], bool] = {}
        self.polo: Final = Polo(
            settings,
            node,
            find=self._find,
            is_quick=lambda name: not registry.is_asked_first(name, now()),
            in_group=self._in_group,
            interfaces=interfaces,
            say=self._say_once,
        )
        self.marco: Final = Marco(settings, interfaces)
        self._local_marco: Final = LocalMarco(self.marco, settings.groups)
        self._local_polo: Final = LocalPolo(registry, change, tokens, settings.groups, find_user_of)

    def statistics(self) -> dict[str, object]:
        """Return counters by part."""
        return {
            "polo": self.polo.statistics(),
            "marco": self.marco.statistics(),
            "local_marco": self._local_marco.statistics(),
            "local_polo": self._local_polo.statistics(),
        }

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the wanted roles until cancelled; a port that is taken is tried again and again."""
        roles, has_local_api = self._settings.roles, self._settings.has_local_api
        async with trio.open_nursery() as nursery:
            if POLO in roles:
                await nursery.start(self.polo.run)
            if MARCO in roles and has_local_api:
                nursery.start_soon(self._keep_up, "marco", self._run_local_marco)
            if POLO in roles and has_local_api:
                nursery.start_soon(self._keep_up, "polo", self._run_local_polo)
            task_status.started()
            await trio.sleep_forever()

    async def _run_local_marco(self) -> None:
        await self._local_marco.run(address=(local_marco.HOST, local_marco.PORT))

    async def _run_local_polo(self) -> None:
        await self._local_polo.run(address=(local_polo.HOST, local_polo.PORT))

    async def _keep_up(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await run()
            except OSError as error:
                self._say_once("marcopolo_local_port_taken", {"port_of": name, "error": str(error)})
            await trio.sleep(RETRY_S)

    def _say_once(self, event: str, values: dict[str, object]) -> None:
        key = (event, str(values))
        if key not in self._said:
            self._said[key] = True
            self._say(event, values)

    async def _find(self, name: str, group: str) -> Service | None:
        service = await self._find_any(name)
        return service if service is not None and self._is_in(service, group) else None

    def _in_group(self, group: str) -> list[Service]:
        return [service for service in self._registry.services if self._is_in(service, group)]

    def _is_in(self, service: Service, group: str) -> bool:
        """Return whether a service is in a group; "" stands for any that this node has joined."""
        groups = (group,) if group else self._settings.groups
        return any(self._registry.is_in(service, each) for each in groups)

"""The parts of a daemon that are about services, made and run together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, final

import trio

from swarm.daemon.assembly import Assembly
from swarm.daemon.service_finder import ServiceFinder
from swarm.daemon.service_operations import ServiceOperations
from swarm.daemon.services import ServiceKeeper, find_user_of
from swarm.gossip.members import Member
from swarm.net.object_client import ObjectClient

if TYPE_CHECKING:
    from swarm.compat.marcopolo.service import MarcoPolo
    from swarm.registry.registry import Registry


@final
class ServiceParts:
    """What publishes and finds services, and speaks MarcoPolo where that is wanted.

    Args:
        assembly: the rest of the daemon.
        objects: asks other nodes.

    Raises:
        StorageError: the home cannot be written.
    """

    def __init__(self, assembly: Assembly, objects: ObjectClient) -> None:
        self._assembly: Final = assembly
        settings = assembly.settings
        wanted = settings.marcopolo
        registry = assembly.registry
        self.keeper: Final = ServiceKeeper(registry, assembly.driver.update_facts, assembly.log)
        self.finder: Final = ServiceFinder(assembly.key.node_id, self._members, self.keeper.answer, objects)
        groups = () if wanted is None else wanted.groups
        self.operations: Final = ServiceOperations(self.keeper, self.finder, groups, settings.services)
        self.marcopolo: Final = None if wanted is None else self._make_marcopolo(registry)

    def _make_marcopolo(self, registry: Registry) -> MarcoPolo:
        from swarm.compat.marcopolo.service import MarcoPolo  # most nodes do without
        from swarm.compat.marcopolo.tokens import Tokens

        assembly = self._assembly
        assert assembly.settings.marcopolo is not None, "it is wanted"
        return MarcoPolo(
            assembly.settings.marcopolo,
            node=assembly.settings.name,
            registry=registry,
            find=self.keeper.find,
            change=self.keeper.change,
            now=trio.current_time,
            tokens=Tokens.kept_in(assembly.home.marcopolo_secret),
            find_user_of=find_user_of,
            interfaces=assembly.settings.interfaces,
            say=assembly.log.event,
        )

    def answers(self) -> dict[str, Callable[[str], Awaitable[object]]]:
        """Return what other nodes and clients are answered over streams; see `swarm.net.http`."""
        return {"services": self.keeper.answer, "found": self.operations.answer_question}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Publish and serve until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.keeper.run)
            if self.marcopolo is not None:
                await nursery.start(self.marcopolo.run)
            task_status.started()

    def statistics(self) -> dict[str, object]:
        """Return counters by part."""
        spoken = {} if self.marcopolo is None else {"marcopolo": self.marcopolo.statistics()}
        return {"own": self.keeper.statistics(), "found": self.finder.statistics(), **spoken}

    def _members(self) -> list[Member]:
        return self._assembly.node.gossip.members()

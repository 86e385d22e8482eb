"""The operations of the local API that the daemon answers itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, final

from swarm.core.errors import ConfigError
from swarm.core.ids import Address, short
from swarm.daemon.api import Operation
from swarm.net.invitation import Invitation
from swarm.net.keys import MeshKeys

DRAIN_TIMEOUT_S: Final = 3600.0
DRAIN_TIMEOUT_MAX_S: Final = 1e9


@final
class Operations:
    """Answers "ping", "stop", "leave", "invite", "discovery" and "statistics".

    Args:
        invitation: of the mesh, with its secret.
        ready: what the ready file says.
        addresses: gives the addresses for an invitation: the own ones, then others' .
        statistics: gives the counters of all parts, by part.
        discovery: gives what a diagnosis wants to know about finding others.
        stop: asks the daemon to end: after running tasks when given their time in seconds, else at once.
    """

    def __init__(
        self,
        *,
        invitation: Invitation,
        ready: dict[str, object],
        addresses: Callable[[], list[Address]],
        statistics: Callable[[], dict[str, object]],
        discovery: Callable[[], dict[str, object]],
        stop: Callable[[float | None], None],
    ) -> None:
        self._invitation = invitation
        self._ready = ready
        self._addresses = addresses
        self._statistics = statistics
        self._discovery = discovery
        self._stop = stop

    def by_name(self) -> dict[str, Operation]:
        """Return the operations as the local API wants them."""
        return {
            "ping": self._ping,
            "stop": self._stop_now,
            "leave": self._leave,
            "invite": self._invite,
            "statistics": self._count,
            "discovery": self._discover,
        }

    async def _ping(self, args: dict[str, object]) -> object:
        del args
        return self._ready

    async def _stop_now(self, args: dict[str, object]) -> object:
        del args
        self._stop(None)
        return {"pid": os.getpid()}

    async def _leave(self, args: dict[str, object]) -> object:
        timeout_s = args.get("timeout_s", DRAIN_TIMEOUT_S)
        wrong = ConfigError(f"timeout_s is a number of seconds from 0 to {DRAIN_TIMEOUT_MAX_S:.0f}")
        if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)):
            raise wrong
        if not 0 <= timeout_s <= DRAIN_TIMEOUT_MAX_S:
            raise wrong
        self._stop(float(timeout_s))
        return {"pid": os.getpid()}

    async def _invite(self, args: dict[str, object]) -> object:
        for_client = args.get("client", False)
        if not isinstance(for_client, bool):
            raise ConfigError(f"client is {for_client!r}; it is true or false")
        mesh, secret = self._invitation.mesh, self._invitation.secret
        if for_client:
            credentials = MeshKeys(secret).client_credentials()
            made = Invitation(b"", credentials, mesh, self._addresses())
        else:
            made = Invitation(secret, None, mesh, self._addresses())
        return {"invitation": made.to_text(), "mesh": mesh, "client": for_client}

    async def _count(self, args: dict[str, object]) -> object:
        del args
        return self._statistics()

    async def _discover(self, args: dict[str, object]) -> object:
        del args
        return self._discovery()


def ready_fields(node_id: bytes, name: str, address: Address) -> dict[str, object]:
    """Return what the ready file of this process says."""
    return {"id": short(node_id), "name": name, "host": address[0], "port": address[1], "pid": os.getpid()}

"""The operations of the local API that the daemon answers itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, final

from swarm.core.errors import ConfigError
from swarm.core.ids import Address, short
from swarm.daemon.admission import Admission
from swarm.daemon.api import Operation
from swarm.daemon.key_service import KeyService
from swarm.net.invitation import Invitation
from swarm.net.keys import MeshKeys
from swarm.net.pairing import Code

DRAIN_TIMEOUT_S: Final = 3600.0
DRAIN_TIMEOUT_MAX_S: Final = 1e9


@final
class Operations:
    """Answers operations about this process, its mesh's keys and who gets them, and finding others.

    Args:
        keys: of the mesh.
        invitation: gives the invitation for a new node.
        admission: lets devices in.
        ready: what the ready file says.
        statistics: gives the counters of all parts, by part.
        discovery: gives what a diagnosis wants to know about finding others.
        stop: asks the daemon to end: after running tasks when given their time in seconds, else at once.
    """

    def __init__(
        self,
        *,
        keys: KeyService,
        ready: dict[str, object],
        invitation: Callable[[], Invitation],
        admission: Admission,
        statistics: Callable[[], dict[str, object]],
        discovery: Callable[[], dict[str, object]],
        stop: Callable[[float | None], None],
    ) -> None:
        self._keys = keys
        self._ready = ready
        self._invitation = invitation
        self._admission = admission
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
            "admit": self._admit,
            "waiting": self._list_waiting,
            "key_list": self._list_keys,
            "key_rotate": self._rotate_key,
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
        made = self._invitation()
        if for_client:
            credentials = MeshKeys(made.secret).client_credentials()
            made = Invitation(b"", credentials, made.mesh, made.addresses)
        return {"invitation": made.to_text(), "mesh": made.mesh, "client": for_client}

    async def _admit(self, args: dict[str, object]) -> object:
        code, host, port = args.get("code"), args.get("host", ""), args.get("port", 0)
        if not isinstance(code, str) or not isinstance(host, str) or not isinstance(port, int):
            raise ConfigError("code and host are text, port is a number")
        peer = (host, port) if host else None
        return await self._admission.admit(Code.from_text(code), peer)

    async def _list_waiting(self, args: dict[str, object]) -> object:
        del args
        return self._admission.waiting()

    async def _list_keys(self, args: dict[str, object]) -> object:
        del args
        return self._keys.rows()

    async def _rotate_key(self, args: dict[str, object]) -> object:
        without = args.get("without", [])
        if not isinstance(without, list):
            raise ConfigError("without is a list of ids or names of members")
        return await self._keys.rotate([str(text) for text in without])

    async def _count(self, args: dict[str, object]) -> object:
        del args
        return self._statistics()

    async def _discover(self, args: dict[str, object]) -> object:
        del args
        return self._discovery()


def ready_fields(node_id: bytes, name: str, address: Address) -> dict[str, object]:
    """Return what the ready file of this process says."""
    return {"id": short(node_id), "name": name, "host": address[0], "port": address[1], "pid": os.getpid()}

"""The world of a node: the sockets, sessions, executors and objects on which its effects are performed.

The other way round, what happens in the world becomes inputs of the driver. Nothing here decides anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, final

import trio

from swarm.core.effects import NOT_KEPT, FetchObject, RecallTasks, RunTasks
from swarm.core.errors import TransportError
from swarm.core.ids import Address, NodeId, ObjectName, object_path
from swarm.daemon.api import LocalApi
from swarm.daemon.driver import Driver
from swarm.daemon.kept_objects import KeptObjects
from swarm.daemon.logs import Log
from swarm.exec.process import ExecutorPool
from swarm.net.object_client import FetchFailed, ObjectClient
from swarm.net.object_files import sync_file
from swarm.net.peers import PeerLinks
from swarm.net.seal import Sealer
from swarm.net.session import Sessions
from swarm.net.udp import UdpEndpoint

FETCH_COUNT_MAX: Final = 8
"""Objects copied at the same time; others wait their turn."""


@final
class MeshWorld:
    """Performs the effects of one node.

    Args:
        store: directory of the objects.
        kept: drops objects, and notes about them.
        sealer, udp, links, sessions, objects, pool, api: what effects are performed on.
        driver: gets the answers.
        log: gets what goes wrong.
    """

    def __init__(
        self,
        *,
        store: Path,
        kept: KeptObjects,
        sealer: Sealer,
        udp: UdpEndpoint,
        links: PeerLinks,
        sessions: Sessions,
        objects: ObjectClient,
        pool: ExecutorPool,
        api: LocalApi,
        driver: Driver,
        log: Log,
    ) -> None:
        self._store = store
        self._kept = kept
        self._sealer = sealer
        self._udp = udp
        self._links = links
        self._sessions = sessions
        self._objects = objects
        self._pool = pool
        self._api = api
        self._driver = driver
        self._log = log
        self._fetches: trio.Nursery | None = None
        self._fetch_limit = trio.CapacityLimiter(FETCH_COUNT_MAX)
        self._counts = {"objects_fetched": 0, "objects_missing": 0}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Give a home to the copying of objects, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._fetches = nursery
            task_status.started()
            await trio.sleep_forever()

    def statistics(self) -> dict[str, int]:
        """Return counters."""
        return dict(self._counts)

    def send_packet(self, destination: Address, payload: bytes) -> None:
        """Seal and send one datagram."""
        self._udp.send_nowait(destination, self._sealer.seal(payload))

    def send_hello(self, payload: bytes) -> None:
        """Seal and send one datagram by every means of discovery."""
        self._udp.send_everywhere_nowait(self._sealer.seal(payload))

    def send_message(self, peer: NodeId, addresses: list[Address], payload: bytes) -> None:
        """Queue a message for a peer's stream."""
        self._links.send_nowait(peer, addresses, payload)

    def send_to_client(self, session: int, payload: bytes) -> None:
        """Queue a frame for a session of the network or of the local API."""
        if self._api.owns(session):
            self._api.deliver(session, payload)
        else:
            self._sessions.send_nowait(session, payload)

    def fetch_object(self, effect: FetchObject) -> None:
        """Begin to copy an object into the store."""
        assert self._fetches is not None, "objects are fetched while the world runs"
        self._fetches.start_soon(self._fetch, effect)

    def spill_object(self, name: ObjectName, data: bytes) -> None:
        """Write a small object into the store; a store that is full says so in the log."""
        target = self._store / object_path(name)
        fresh = target.with_name(f"{target.name}.spill")
        try:
            fresh.write_bytes(data)
            fresh.replace(target)
        except OSError as error:
            self._log.event("object_not_spilled", {"object": object_path(name), "error": str(error)})

    def drop_object(self, name: ObjectName) -> None:
        """Delete an object of the own store, and what was noted about it."""
        self._kept.drop(name)

    def spawn_executor(self, executor: int) -> None:
        """Begin to start an executor."""
        self._pool.spawn_nowait(executor)

    def run_tasks(self, effect: RunTasks) -> None:
        """Queue tasks for an executor."""
        self._pool.run_nowait(effect.executor, effect.tasks)

    def recall_tasks(self, effect: RecallTasks) -> None:
        """Take back tasks that an executor has not begun."""
        self._pool.recall_nowait(effect.executor, effect.handles)

    def kill_executor(self, executor: int, reason: str) -> None:
        """Kill an executor."""
        self._pool.kill_nowait(executor, reason)

    async def _fetch(self, effect: FetchObject) -> None:
        async with self._fetch_limit:
            try:
                path = await self._objects.fetch_object(
                    effect.name, effect.digest, effect.size, effect.sources, self._store
                )
                if effect.kept_encoding != NOT_KEPT:
                    await trio.to_thread.run_sync(sync_file, path)
                    self._kept.note(effect.name, effect.digest, effect.size, effect.kept_encoding)
            except FetchFailed as error:
                self._missing(effect, error.failed, error)
            except (TransportError, OSError) as error:
                self._missing(effect, [node for node, _ in effect.sources], error)
            else:
                self._counts["objects_fetched"] += 1
                self._driver.on_object_fetched(effect.name)

    def _missing(self, effect: FetchObject, failed: list[NodeId], error: Exception) -> None:
        self._counts["objects_missing"] += 1
        self._log.event("object_missing", {"object": object_path(effect.name), "error": str(error)})
        self._driver.on_object_missing(effect.name, failed)

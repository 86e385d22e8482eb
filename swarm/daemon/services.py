"""The services of this node while it runs: their files are watched, and the mesh is told what there is.

The disk is looked at in a worker thread, one look at a time. What changed becomes facts of the node, which
gossip carries at its own bounded rate (`swarm.gossip.fact_changes`).
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar, final

import trio

from swarm.core.errors import ConfigError
from swarm.daemon.logs import Log
from swarm.node_facts import SERVICES, SERVICES_DIGEST, SERVICES_HIDDEN
from swarm.registry.files import User
from swarm.registry.records import Service
from swarm.registry.registry import Registry

T = TypeVar("T")

LOOK_INTERVAL_S: Final = 0.8
"""Between two looks at the folders: with gossip's part, a file is visible everywhere within 2 s."""
ANSWER_COUNT_MAX: Final = 1024
"""Services told in one answer."""
USER_FOLDER: Final = Path(".config/swarm/services")
"""Below the home directory of a user."""
MARCOPOLO_SYSTEM_FOLDER: Final = Path("/etc/marcopolo/polo/services")
MARCOPOLO_USER_FOLDER: Final = Path(".polo")
COMPLAINT_COUNT_MAX: Final = 1000


def find_user(name: str) -> User | None:
    """Return the account of a name, None when there is none. May block: accounts may be on a server."""
    try:
        found = pwd.getpwnam(name)
    except (KeyError, ValueError, OSError):
        return None
    return User(found.pw_name, found.pw_uid, found.pw_gid, Path(found.pw_dir))


def find_user_of(uid: int) -> User | None:
    """Return the account of a uid, None when there is none; the own one has ``$HOME`` for its home."""
    try:
        found = pwd.getpwuid(uid)
    except (KeyError, ValueError, OverflowError, OSError):
        return None
    home = Path.home() if uid == os.geteuid() else Path(found.pw_dir)
    return User(found.pw_name, found.pw_uid, found.pw_gid, home)


def own_user() -> User:
    """Return the user that this process runs as; without an account it is called by its number."""
    found = find_user_of(os.geteuid())
    name, gid = (found.name, found.gid) if found is not None else (str(os.geteuid()), os.getegid())
    return User(name, os.geteuid(), gid, Path.home())


def user_folders(user: User, has_marcopolo: bool) -> list[Path]:
    """Return the folders of a user's services; for the own user ``$XDG_CONFIG_HOME`` counts."""
    config = os.environ.get("XDG_CONFIG_HOME", "")
    is_own = user.uid == os.geteuid() and user.home == Path.home()
    folder = Path(config) / "swarm" / "services" if config and is_own else user.home / USER_FOLDER
    return [folder, user.home / MARCOPOLO_USER_FOLDER] if has_marcopolo else [folder]


def make_registry(system: Path, has_marcopolo: bool, log: Log) -> Registry:
    """Return the registry of this process.

    Args:
        system: the folder of root services.
        has_marcopolo: whether MarcoPolo's own folders count as well.
        log: hears of files that are wrong.
    """
    said: dict[tuple[str, str], bool] = {}

    def complain(path: str, reason: str) -> None:
        if (path, reason) not in said and len(said) < COMPLAINT_COUNT_MAX:
            said[path, reason] = True
            log.event("service_file_skipped", {"file": path, "reason": reason})

    folders = [system, MARCOPOLO_SYSTEM_FOLDER] if has_marcopolo else [system]
    return Registry(folders, own_user(), lambda user: user_folders(user, has_marcopolo), find_user, complain)


def service_facts(registry: Registry) -> dict[str, object]:
    """Return what the mesh is told about the services of this node, None for what there is nothing of."""
    names: list[object] = [service.name for service in registry.services]
    return {
        SERVICES: names or None,
        SERVICES_DIGEST: registry.digest() or None,
        SERVICES_HIDDEN: True if os.geteuid() == 0 else None,
    }


@final
class ServiceKeeper:
    """Watches the services of one node and tells of them.

    Args:
        registry: nothing else may call it.
        tell: takes changed facts of the node.
        log: hears when facts cannot be told.
    """

    def __init__(self, registry: Registry, tell: Callable[[dict[str, object]], None], log: Log) -> None:
        self._registry: Final = registry
        self._tell: Final = tell
        self._log: Final = log
        self._lock: Final = trio.Lock()
        self._counts = {"looks": 0, "changes": 0, "asked": 0, "users_asked": 0}

    @property
    def registry(self) -> Registry:
        """The registry, for looking at `services` only; changes go through :meth:`change`."""
        return self._registry

    def statistics(self) -> dict[str, int]:
        """Return counters, and how many services are published."""
        return {**self._counts, "published": len(self._registry.services)}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch the folders until cancelled; what the registry holds by then is known to the mesh."""
        task_status.started()
        while True:
            await trio.sleep(LOOK_INTERVAL_S)
            self._counts["looks"] += 1
            await self.change(self._registry.look)

    async def change(self, action: Callable[[], T]) -> T:
        """Do something with the registry in a worker thread, and tell the mesh what came of it."""
        async with self._lock:
            before = self._registry.digest()
            try:
                return await trio.to_thread.run_sync(action)
            finally:
                if self._registry.digest() != before:
                    self._counts["changes"] += 1
                    self._say()

    async def find(self, name: str, group: str = "") -> Service | None:
        """Return a published service; a user who was not looked at yet is looked at first."""
        self._counts["asked"] += 1
        now = trio.current_time()
        if self._registry.is_asked_first(name, now):
            self._counts["users_asked"] += 1
            await self.change(lambda: self._registry.load_user(name, now))
        return self._registry.find(name, group)

    async def answer(self, name: str) -> list[object]:
        """Return the services of a name as JSON values, or all of them for ""."""
        if name:
            found = await self.find(name)
            return [] if found is None else [self._told(found)]
        return [self._told(service) for service in self._registry.services[:ANSWER_COUNT_MAX]]

    def _told(self, service: Service) -> dict[str, object]:
        """Return a service as others are told; withdrawn from some groups it is in the others only."""
        return {**service.to_json(), "not_in": list(self._registry.withdrawn_from(service.name))}

    def _say(self) -> None:
        try:
            self._tell(service_facts(self._registry))
        except ConfigError as error:
            self._log.event("services_not_told", {"error": str(error)})

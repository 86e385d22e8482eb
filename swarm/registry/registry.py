"""The list of services that a node publishes: from files, and for as long as the daemon runs.

Root services come from folders of the machine, user services from folders in the homes of users. The user
that the node runs as is looked at from the start, any other user when somebody first asks for a service of
that user (a node that does not run as root usually cannot read there, and then there is nothing). Folders
are looked at again and again; there is no event of the file system that every platform has.

A service that is *withdrawn* has its file still, but is not published until the services are reloaded.

Every method may block on the disk. One of them runs at a time; looking at :attr:`Registry.services` is safe
meanwhile, for that is replaced as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypeAlias, final

from swarm.registry.files import Complain, ServiceFolder, User, remove_service, write_service
from swarm.registry.records import BadService, Params, Service, check_id, split_name

USER_COUNT_MAX: Final = 64
"""Users whose folders are watched."""
DYNAMIC_COUNT_MAX: Final = 256
"""Services without a file."""
UNKNOWN_COUNT_MAX: Final = 256
UNKNOWN_KEPT_S: Final = 1.0
"""For how long a user without services is not looked for again: a file dropped now is found in 2 s."""
DIGEST_SIZE: Final = 8

FoldersOf: TypeAlias = Callable[[User], Sequence[Path]]
FindUser: TypeAlias = Callable[[str], User | None]


@final
class Registry:
    """The services of one node.

    Args:
        system: folders of root services; the first is written to.
        own: the user that the node runs as.
        folders_of: gives the folders of a user's services; the first is written to.
        find_user: gives an account by name, None when there is none.
        complain: hears of files that are wrong.
    """

    def __init__(
        self,
        system: Sequence[Path],
        own: User,
        folders_of: FoldersOf,
        find_user: FindUser,
        complain: Complain,
    ) -> None:
        self._system: Final = list(system)
        self._own: Final = own
        self._folders_of: Final = folders_of
        self._find_user: Final = find_user
        self._complain: Final = complain
        self._users: dict[str, User] = {own.name: own}
        self._folders: dict[str, list[ServiceFolder]] = {
            "": [ServiceFolder(path, "", -1, complain) for path in system],
            own.name: self._folders_for(own),
        }
        self._unknown: dict[str, float] = {}
        self._dynamic: dict[str, Service] = {}
        self._withdrawn: dict[str, tuple[str, ...]] = {}
        self._all: dict[str, Service] = {}
        self._seen: tuple[object, ...] = ((), ())
        self._digest = b""
        self.services: tuple[Service, ...] = ()

    # Looking

    def look(self) -> bool:
        """Read what is new or changed in all folders; return whether :attr:`services` changed."""
        for folders in list(self._folders.values()):
            for folder in folders:
                folder.look()
        return self._gather()

    def reload(self) -> bool:
        """Read everything again, and publish again what was withdrawn; return as :meth:`look` does."""
        self._withdrawn.clear()
        for name in [name for name in self._folders if name not in ("", self._own.name)]:
            self._folders[name] = self._folders_for(self._users[name])
        self._folders[""] = [ServiceFolder(path, "", -1, self._complain) for path in self._system]
        self._folders[self._own.name] = self._folders_for(self._own)
        self._unknown.clear()
        return self.look()

    def is_asked_first(self, name: str, now: float) -> bool:
        """Return whether a name is of a user that :meth:`load_user` should look for; never blocks."""
        user, colon, _ = name.partition(":")
        return bool(colon) and user not in self._folders and now >= self._unknown.get(user, now)

    def load_user(self, name: str, now: float) -> bool:
        """Watch the folders of a user from now on, when there are any.

        Args:
            name: of a service, ``user:id``, or of the user.
            now: monotonic seconds.

        Returns:
            Whether :attr:`services` changed.
        """
        user_name = name.partition(":")[0]
        if user_name in self._folders or now < self._unknown.get(user_name, now):
            return False
        user = self._find_user(user_name)
        has_folder = user is not None and any(path.is_dir() for path in self._folders_of(user))
        if user is None or not has_folder or len(self._users) >= USER_COUNT_MAX:
            if len(self._unknown) >= UNKNOWN_COUNT_MAX:
                self._unknown.clear()
            self._unknown[user_name] = now + UNKNOWN_KEPT_S
            return False
        self._users[user_name] = user
        self._folders[user_name] = self._folders_for(user)
        return self.look()

    def find(self, name: str, group: str = "") -> Service | None:
        """Return the published service of a name, None when there is none in the group ("" for any)."""
        for service in self.services:
            if service.name == name:
                return service if self.is_in(service, group) else None
        return None

    def is_in(self, service: Service, group: str) -> bool:
        """Return whether a service can be found in a multicast group, "" for any."""
        if not group:
            return True
        if group in self._withdrawn.get(service.name, ()):
            return False
        return not service.groups or group in service.groups

    def withdrawn_from(self, name: str) -> tuple[str, ...]:
        """Return the groups that a service was taken out of."""
        return self._withdrawn.get(name, ())

    def in_group(self, group: str) -> list[Service]:
        """Return the published services of a group, sorted by name; "" for all."""
        return [service for service in self.services if self.is_in(service, group)]

    def info(self, name: str) -> dict[str, object]:
        """Return everything about a service, whether it is published or not.

        Raises:
            BadService: there is none of that name here.
        """
        service = self._known(name)
        user, service_id = split_name(name)
        return {
            **service.to_json(),
            "id": service_id,
            "user": user,
            "permanent": bool(service.path),
            "file": service.path,
            "disabled": service.is_disabled,
            "published": self.find(name) is not None,
        }

    def digest(self) -> bytes:
        """Return 8 bytes that change with any published service, b"" when there is none."""
        return self._digest

    # Changing

    def publish(
        self,
        service_id: object,
        params: Params,
        groups: tuple[str, ...],
        is_permanent: bool,
        user: User | None,
    ) -> Service:
        """Publish a service and return it.

        Args:
            service_id: 1 to 30 characters, without the user.
            params: flat.
            groups: where it can be found, empty for everywhere.
            is_permanent: write a file, so that it is there after the next start.
            user: whose it is, None for a root service.

        Raises:
            BadService: it cannot be; a service of that name is there.
            StorageError: the file cannot be written.
        """
        owner = "" if user is None else user.name
        service = Service(owner, check_id(service_id), params, groups)
        if service.name in self._all:
            where = self._all[service.name].path or "it ends with the daemon"
            raise BadService(f"the service {service.name!r} is there already ({where})")
        if is_permanent:
            self._write(service, user)
        else:
            if len(self._dynamic) >= DYNAMIC_COUNT_MAX:
                raise BadService(f"{DYNAMIC_COUNT_MAX} services without a file are the most there may be")
            self._dynamic[service.name] = service
        self._withdrawn.pop(service.name, None)
        if user is not None and user.name not in self._folders:
            self._users[user.name] = user
            self._folders[user.name] = self._folders_for(user)
        self.look()
        found = self._all.get(service.name)
        return service if found is None else found

    def unpublish(self, name: str, groups: tuple[str, ...], delete_file: bool) -> None:
        """Stop publishing a service.

        Args:
            name: as published.
            groups: only there; empty for everywhere.
            delete_file: remove its file, when it has one; else it comes back with :meth:`reload`.

        Raises:
            BadService: there is none of that name.
            StorageError: the file cannot be removed.
        """
        service = self._known(name)
        before = self._withdrawn.get(name, ())
        left = [group for group in service.groups if group not in (*before, *groups)]
        if groups and (left or not service.groups):
            self._withdrawn[name] = tuple(sorted({*before, *groups}))
        elif service.path and not delete_file:
            self._withdrawn[name] = ("",)
        else:
            if service.path:
                remove_service(service, self._users.get(service.owner))
            self._dynamic.pop(name, None)
            self._withdrawn.pop(name, None)
        self.look()

    def set_permanent(self, name: str, is_permanent: bool) -> None:
        """Give a service a file, or take its file away while it stays published.

        Raises:
            BadService: there is none of that name, or it cannot be written.
            StorageError: the file system says no.
        """
        service = self._known(name)
        user = self._users.get(service.owner)
        if is_permanent and not service.path:
            self._write(service, user)
            del self._dynamic[name]
        elif service.path and not is_permanent:
            remove_service(service, user)
            plain = Service(service.owner, service.service_id, service.params, service.groups)
            self._dynamic[name] = plain
        self.look()

    # Inside

    def _known(self, name: str) -> Service:
        split_name(name)
        service = self._all.get(name)
        if service is None:
            raise BadService(f"this node has no service {name!r}; see `swarm service list`")
        return service

    def _folders_for(self, user: User) -> list[ServiceFolder]:
        return [ServiceFolder(path, user.name, user.uid, self._complain) for path in self._folders_of(user)]

    def _write(self, service: Service, user: User | None) -> None:
        folder = self._system[0] if user is None else self._folders_of(user)[0]
        write_service(folder, service, user)

    def _gather(self) -> bool:
        """Put together what the folders and the daemon hold; return whether the published ones changed."""
        found: dict[str, Service] = dict(self._dynamic)
        for folders in self._folders.values():
            for folder in folders:
                for service in folder.services:
                    if service.name not in found or not found[service.name].path:
                        found[service.name] = service
        self._all = found
        withdrawn = self._withdrawn
        self.services = tuple(
            found[name]
            for name in sorted(found)
            if not found[name].is_disabled and "" not in withdrawn.get(name, ())
        )
        before, self._seen = self._seen, (self.services, tuple(sorted(withdrawn.items())))
        has_changed = self._seen != before
        if has_changed:
            self._digest = self._digest_of_all()
        return has_changed

    def _digest_of_all(self) -> bytes:
        if not self.services:
            return b""
        rows = [
            [service.to_json(), sorted(self._withdrawn.get(service.name, ()))] for service in self.services
        ]
        return blake2b(json.dumps(rows, sort_keys=True).encode(), digest_size=DIGEST_SIZE).digest()

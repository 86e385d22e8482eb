"""Service files: reading whole folders of them, writing one, removing one. All of it blocks.

A file holds one JSON object: `id`, and maybe `params`, `groups`, `disabled`. Its own name does not matter.
A daemon that runs as root reads and writes in the homes of users, who may put anything there: so files are
opened without following links and without waiting, must be regular, small and the user's own, and on the way
to the folder no link is followed when it is written to.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias, final

from swarm.core.errors import StorageError
from swarm.core.records import Record
from swarm.registry.records import (
    BadService,
    Service,
    check_flag,
    check_groups,
    check_id,
    check_params,
    shown,
)

FILE_SIZE_MAX: Final = 4096
FILE_COUNT_MAX: Final = 256
"""Service files of one folder; later ones, by name, are skipped."""
MODE_FOLDER: Final = 0o755
MODE_FILE: Final = 0o644
SKIPPED_NAMES: Final = ("token",)
"""Files of a folder that are something else: MarcoPolo's token lies among a user's services."""
SKIPPED_ENDINGS: Final = ("~", ".swp", ".tmp", ".bak")

SYSTEM_FOLDER: Final = Path("/etc/swarm/services")
"""Where the services of a machine are looked for, unless its node is told another folder."""

_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_KNOWN_KEYS: Final = ("id", "params", "groups", "disabled")

Complain: TypeAlias = Callable[[str, str], None]
"""Told of a file or folder, and what is wrong with it; once for each state of it."""


@final
class User(Record):
    """Somebody with an account here.

    Attributes:
        name, uid, gid: as the system knows them.
        home: home directory.
    """

    __slots__ = ("gid", "home", "name", "uid")

    def __init__(self, name: str, uid: int, gid: int, home: Path) -> None:
        self.name: Final = name
        self.uid: Final = uid
        self.gid: Final = gid
        self.home: Final = home

    def fields(self) -> tuple[object, ...]:
        return (self.name, self.uid, self.gid, self.home)


def parse_service_untrusted(data: bytes, owner: str, path: str) -> Service:
    """Return the service in the bytes of a file.

    Raises:
        BadService: there is none; the message names the faulty value.
    """
    if len(data) > FILE_SIZE_MAX:
        raise BadService(f"a service file has at most {FILE_SIZE_MAX} bytes")
    try:
        values = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadService(f"this is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise BadService(f"a service file holds one JSON object, not {shown(values)}")
    for key in values:
        if key not in _KNOWN_KEYS:
            raise BadService(f"{shown(key)} means nothing here; known are {', '.join(_KNOWN_KEYS)}")
    if "id" not in values:
        raise BadService("the id is missing")
    return Service(
        owner,
        check_id(values["id"]),
        check_params(values.get("params", {})),
        check_groups(values.get("groups", [])),
        check_flag("disabled", values.get("disabled", False)),
        path,
    )


@final
class ServiceFolder:
    """The services in one folder, as they were when it was looked at last.

    Args:
        path: where; it need not exist.
        owner: the user whose services they are, "" for root services.
        uid: who must own the files, -1 for anybody. Where that is the user this process runs as, root's
            files count too; else they do not, for a link might lead to files that the user cannot read.
        complain: hears of files that are wrong.
    """

    def __init__(self, path: Path, owner: str, uid: int, complain: Complain) -> None:
        self.path: Final = path
        self._owner = owner
        self._uid = uid
        self._complain = complain
        self._known: dict[str, tuple[tuple[int, ...], Service | None]] = {}
        self._is_full = False
        self.services: tuple[Service, ...] = ()

    def look(self) -> bool:
        """Read what is new or changed; return whether :attr:`services` changed."""
        known: dict[str, tuple[tuple[int, ...], Service | None]] = {}
        for name in self._names():
            path = self.path / name
            with contextlib.suppress(OSError):
                found = path.lstat()
                state = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_uid, found.st_mode)
                before = self._known.get(name)
                same = before is not None and before[0] == state
                known[name] = before if same and before is not None else (state, self._read(path))
        self._known = known
        services: dict[str, Service] = {}
        for name, (_, service) in known.items():
            if service is None:
                continue
            other = services.setdefault(service.service_id, service)
            if other is not service:
                self._complain(
                    str(self.path / name),
                    f"the id {service.service_id!r} is that of {other.path}, which counts",
                )
        before_all, self.services = self.services, tuple(services.values())
        return self.services != before_all

    def _names(self) -> list[str]:
        try:
            names = sorted([path.name for path in self.path.iterdir()])
        except OSError:
            return []
        wanted = [
            name
            for name in names
            if not name.startswith(".") and not name.endswith(SKIPPED_ENDINGS) and name not in SKIPPED_NAMES
        ]
        is_full = len(wanted) > FILE_COUNT_MAX
        if is_full and not self._is_full:
            self._complain(str(self.path), f"{len(wanted)} files; only the first {FILE_COUNT_MAX} count")
        self._is_full = is_full
        return wanted[:FILE_COUNT_MAX]

    def _read(self, path: Path) -> Service | None:
        try:
            data = self._read_bytes(path)
            return None if data is None else parse_service_untrusted(data, self._owner, str(path))
        except BadService as error:
            self._complain(str(path), str(error))
        except OSError as error:
            self._complain(str(path), error.strerror or "it cannot be read")
        return None

    def _read_bytes(self, path: Path) -> bytes | None:
        """Return what is in a file, None for a folder."""
        descriptor = os.open(path, _READ_FLAGS)
        try:
            found = os.fstat(descriptor)
            if stat.S_ISDIR(found.st_mode):
                return None
            if not stat.S_ISREG(found.st_mode):
                raise BadService("this is no regular file")
            if not self._is_trusted(found.st_uid):
                raise BadService(f"it belongs to uid {found.st_uid} and not to the user {self._owner}")
            return os.read(descriptor, FILE_SIZE_MAX + 1)
        finally:
            os.close(descriptor)

    def _is_trusted(self, uid: int) -> bool:
        return self._uid in (-1, uid) or (uid == 0 and self._uid == os.geteuid())


def write_service(folder: Path, service: Service, user: User | None) -> Path:
    """Write a service into a new file, whole or not at all, and return its path.

    Args:
        folder: where; made when it is missing.
        service: what to write.
        user: whose folder it is, None for one of the machine.

    Raises:
        BadService: a file of that name is there.
        StorageError: the file system says no.
    """
    name = f"{service.service_id}.json"
    data = json.dumps(service.to_file(), ensure_ascii=False, indent=1).encode() + b"\n"
    if len(data) > FILE_SIZE_MAX:
        raise BadService(f"the service {service.name} takes {len(data)} bytes of {FILE_SIZE_MAX} at most")
    write_file(folder, name, data, MODE_FILE, user)
    return folder / name


def write_file(
    folder: Path, name: str, data: bytes, mode: int, user: User | None, *, is_replacing: bool = False
) -> None:
    """Write a small file into a folder that may be another user's, and give it to that user.

    Raises:
        BadService: a file of that name is there, and is not to be replaced.
        StorageError: the file system says no.
    """
    try:
        with _opened_folder(folder, user) as place:
            if not is_replacing and _is_there(place, name):
                raise BadService(f"the file {folder / name} is there already")
            draft = f".{name}.{os.getpid()}.tmp"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=place)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(draft, flags, mode, dir_fd=place)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    os.fchmod(file.fileno(), mode)
                    if user is not None and user.uid != os.geteuid():
                        os.fchown(file.fileno(), user.uid, user.gid)
                    file.write(data)
                os.rename(draft, name, src_dir_fd=place, dst_dir_fd=place)
            except BaseException:
                os.unlink(draft, dir_fd=place)
                raise
    except OSError as error:
        raise StorageError(f"cannot write {folder / name}: {error.strerror}") from None


def remove_service(service: Service, user: User | None) -> None:
    """Remove the file of a service; one that is gone is no error.

    Raises:
        StorageError: the file system says no.
    """
    path = Path(service.path)
    try:
        with _opened_folder(path.parent, user) as place, contextlib.suppress(FileNotFoundError):
            os.unlink(path.name, dir_fd=place)
    except OSError as error:
        raise StorageError(f"cannot remove {path}: {error.strerror}") from None


@contextmanager
def _opened_folder(folder: Path, user: User | None) -> Iterator[int]:
    """Give a descriptor of a folder, which is made when it is missing.

    In another user's home no link is followed, and what is made belongs to that user.
    """
    if user is None or user.uid == os.geteuid():
        folder.mkdir(mode=MODE_FOLDER, parents=True, exist_ok=True)
        place = os.open(folder, _FOLDER_FLAGS)
    else:
        place = os.open(user.home, _FOLDER_FLAGS)
        for part in folder.relative_to(user.home).parts:
            try:
                below = _step_into(place, part, user)
            finally:
                os.close(place)
            place = below
    try:
        yield place
    finally:
        os.close(place)


def _is_there(place: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=place, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _step_into(place: int, part: str, user: User) -> int:
    """Return a descriptor of a folder within another one, made for the user when it is missing."""
    flags = _FOLDER_FLAGS | os.O_NOFOLLOW
    try:
        return os.open(part, flags, dir_fd=place)
    except FileNotFoundError:
        os.mkdir(part, MODE_FOLDER, dir_fd=place)
        below = os.open(part, flags, dir_fd=place)
        os.fchown(below, user.uid, user.gid)
        return below

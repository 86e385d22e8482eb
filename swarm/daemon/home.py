"""The home directory of a node: where its key, mesh, journal, objects, log and sockets live.

One home is one node; several nodes on a host have several homes. Imports no more than the command line
can afford.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any, Final, final

from swarm.core.errors import LocalProtocolError, StorageError

MODE_DIRECTORY: Final = 0o700
MODE_FILE: Final = 0o600


def default_home() -> Path:
    """Return ``$SWARM_HOME``, else ``$XDG_STATE_HOME/swarm``, else ``~/.local/state/swarm``."""
    named = os.environ.get("SWARM_HOME")
    if named:
        return Path(named).expanduser().absolute()
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "swarm"


@final
class Home:
    """The paths inside a home directory.

    Attributes:
        root: the directory itself.
        config: swarm.toml, written by people only.
        options: JSON, the options of the last start, for the next one.
        mesh: the invitation text of the mesh that this node belongs to; the secret is in it.
        keys: the keys of the mesh that were or will be used besides; secrets.
        journal: the node's durable rows (SQLite).
        store, scratch: objects, and working directories of running tasks.
        api_socket, api_address: the local API: a Unix socket, or (JSON) where else it listens.
        ready: JSON {id, name, host, port, pid}, there only while the node is ready.
        lock: held by the running daemon, whose pid is inside.
        machine: the fingerprint of the machine that the home was made on.
        renewed: JSON {was, is, time}: this node was a copy of another and has an identity of its own since.
        log: JSON lines, and whatever the daemon's children say on stderr.
        recording: inputs of the node, when asked for.
        marcopolo_secret: what tokens of MarcoPolo's local port are made with, when that is served.
    """

    def __init__(self, root: Path) -> None:
        self.root: Final = root
        self.config: Final = root / "swarm.toml"
        self.options: Final = root / "options.json"
        self.mesh: Final = root / "mesh"
        self.keys: Final = root / "keys"
        self.journal: Final = root / "journal.db"
        self.store: Final = root / "store"
        self.scratch: Final = root / "scratch"
        self.api_socket: Final = root / "api.sock"
        self.api_address: Final = root / "api.json"
        self.ready: Final = root / "ready.json"
        self.lock: Final = root / "lock"
        self.machine: Final = root / "machine"
        self.renewed: Final = root / "renewed.json"
        self.log: Final = root / "daemon.log"
        self.recording: Final = root / "recording"
        self.marcopolo_secret: Final = root / "marcopolo.secret"

    def create(self) -> None:
        """Make the directories that are missing, readable by their owner only.

        Raises:
            StorageError: the file system says no.
        """
        try:
            for directory in (self.root, self.store, self.scratch):
                directory.mkdir(mode=MODE_DIRECTORY, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot make the home directory {self.root}: {error.strerror}; choose another with --home"
            ) from None


def write_private(path: Path, text: str) -> None:
    """Write a small file whole or not at all, readable by its owner only, and sync it.

    Raises:
        StorageError: the file system says no.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE_FILE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {error.strerror}") from None


@final
class HomeLock:
    """Keeps a second daemon out of a home; the kernel drops it with the process, however that ends."""

    def __init__(self, home: Home) -> None:
        self._path = home.lock
        self._root = home.root
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the lock and write the own pid into it.

        Raises:
            LocalProtocolError: another daemon runs in this home; its pid is in the message.
            StorageError: the lock file cannot be made.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE_FILE)
        except OSError as error:
            raise StorageError(f"cannot open {self._path}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            holder = running_pid_text(self._path) or "unknown"
            raise LocalProtocolError(
                f"a node already runs in {self._root} (pid {holder}); stop it with `swarm stop`,"
                " or start this one in another --home"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = -1


def running_pid_text(lock: Path) -> str:
    """Return what a lock file says about its holder, "" when it says nothing."""
    try:
        return lock.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def running_pid(home: Home) -> int | None:
    """Return the pid of the daemon that runs in `home`, None when none does."""
    try:
        descriptor = os.open(home.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = running_pid_text(home.lock)
        return int(text) if text.isdecimal() else None
    finally:
        os.close(descriptor)
    return None


def read_json_file(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file, None when there is no such file or it is half written."""
    import json

    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None

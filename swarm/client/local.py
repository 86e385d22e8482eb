"""Meshes of this host only: real nodes as child processes in temporary homes, gone at the end.

For tests, notebooks and trying things: ``with swarm.local(nodes=2) as mesh:`` and ``swarm up``. However this
process ends, its nodes notice by their lifelines, stop, and remove their homes.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, final

from swarm.client.mesh import Mesh
from swarm.client.reach import Reach
from swarm.client.transport import NetTransport
from swarm.core.errors import ConfigError, ConnectionLost, SwarmError
from swarm.core.ids import Address, short
from swarm.daemon.api_client import call_local
from swarm.daemon.home import Home, running_pid
from swarm.daemon.launch import cut_lifeline, start_daemon, stop_daemon
from swarm.daemon.options import DaemonOptions
from swarm.net.invitation import Invitation, new_secret

NODES_MAX: Final = 64
STOP_TIMEOUT_S: Final = 5.0
MEET_TIMEOUT_S: Final = 20.0
HOME_PREFIX: Final = "swarm-local-"
ABANDONED_S: Final = 600.0
"""A home this old in which no node runs was left by one that was killed together with its starter."""
_POLL_S: Final = 0.02
_LOOPBACK: Final = "127.0.0.1"


@final
class LocalNodes:
    """Some nodes on the loopback interface with a secret of their own.

    Attributes:
        invitation: to this mesh, with the address of its first node.
        ready: what each node's ready file says: id, name, host, port, pid.
        homes: their home directories, in the same order.
    """

    def __init__(self, count: int, cores: float | None = None, arguments: Sequence[str] = ()) -> None:
        """Start nothing yet.

        Args:
            count: how many nodes, 1 to 64.
            cores: of each; None shares this host's among them.
            arguments: tags ``key=value`` for every node.

        Raises:
            ConfigError: `count` is out of range.
        """
        if not 1 <= count <= NODES_MAX:
            raise ConfigError(f"the number of nodes is from 1 to {NODES_MAX}, not {count!r}")
        self._count = count
        self._cores = cores if cores is not None else max(1, (os.cpu_count() or 1) // count)
        self._tags = tuple(arguments)
        self._secret = new_secret()
        self._mesh = f"local-{short(self._secret[:3])}"
        self.invitation = Invitation(self._secret, None, self._mesh, [])
        self.ready: list[dict[str, Any]] = []
        self.homes: list[Home] = []

    def start(self) -> None:
        """Start the nodes and wait until all are ready and see each other; none is left otherwise.

        Raises:
            StartFailed: says why one did not start.
            ConnectionLost: they do not see each other.
        """
        atexit.register(self.stop)
        sweep_homes(Path(tempfile.gettempdir()))
        try:
            for _ in range(self._count):
                self.homes.append(Home(Path(tempfile.mkdtemp(prefix=HOME_PREFIX))))
            self.ready = [self._start(0, ())]
            first = (_LOOPBACK, int(self.ready[0]["port"]))
            self.invitation = Invitation(self._secret, None, self._mesh, [first])
            with ThreadPoolExecutor(max_workers=self._count) as pool:
                self.ready += pool.map(lambda number: self._start(number, (first,)), range(1, self._count))
            self._wait_met()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the nodes and remove their homes; harmless the second time."""
        atexit.unregister(self.stop)
        homes, self.homes = self.homes, []
        if homes:
            with ThreadPoolExecutor(max_workers=len(homes)) as pool:
                list(pool.map(_stop, homes))
        for ready in self.ready:
            cut_lifeline(int(ready["pid"]))

    def addresses(self) -> list[Address]:
        """Return the nodes' addresses."""
        return [(_LOOPBACK, int(ready["port"])) for ready in self.ready]

    def _wait_met(self) -> None:
        """Wait until every node sees the others, so that whoever counts nodes or slots counts all.

        Raises:
            ConnectionLost: one does not see them in time.
        """
        give_up = time.monotonic() + MEET_TIMEOUT_S
        for home in self.homes:
            while int(call_local(home, "status")["members"]["alive"]) < self._count:
                if time.monotonic() > give_up:
                    raise ConnectionLost(f"the {self._count} nodes do not see each other; see {home.log}")
                time.sleep(_POLL_S)  # a daemon answers questions and tells nothing by itself

    def _start(self, number: int, peers: Sequence[Address]) -> dict[str, Any]:
        options = DaemonOptions(
            home=self.homes[number].root,
            invitation=self.invitation.to_text(),
            name=f"local-{number + 1}",
            listen=_LOOPBACK,
            peer=tuple([f"{host}:{port}" for host, port in peers]),
            no_multicast=True,
            cores=f"{self._cores:g}",
            tag=self._tags,
            temporary=True,
        )
        return start_daemon(options, dies_with_us=True).ready


class LocalMesh(Mesh):
    """A mesh whose nodes live as long as it is open.

    Attributes:
        nodes_started: the nodes.
    """

    def __init__(self, nodes: LocalNodes, job_name: str) -> None:
        reach = Reach(nodes.invitation, nodes.addresses(), "swarm.local()")
        super().__init__(NetTransport(reach), reach.addresses, reach.mesh, job_name)
        self.nodes_started: Final = nodes

    def close(self, cancel: bool = False) -> None:
        """As :meth:`Mesh.close`, then stop the nodes."""
        try:
            super().close(cancel)
        finally:
            self.nodes_started.stop()


def local(nodes: int = 2, *, cores: float | None = None, tags: Sequence[str] = ()) -> LocalMesh:
    """Start a mesh of this host only and connect to it; everything is gone when it is closed.

    Args:
        nodes: how many nodes, 1 to 64.
        cores: of each node; None shares this host's among them.
        tags: ``key=value`` words that every node gets.

    Returns:
        An open mesh; use it as a context manager.

    Raises:
        ConfigError: a faulty argument.
        StartFailed: a node did not start; the message says why.
        ConnectionLost: the nodes do not see each other.
    """
    started = LocalNodes(nodes, cores, tags)
    started.start()
    try:
        mesh = LocalMesh(started, Path(sys.argv[0]).name or "local")
        mesh.open()
    except BaseException:
        started.stop()
        raise
    return mesh


def sweep_homes(folder: Path) -> int:
    """Remove our temporary homes whose node is gone, with the secrets in them, and return how many."""
    swept = 0
    for root in folder.glob(f"{HOME_PREFIX}*"):
        with contextlib.suppress(OSError):
            about = root.lstat()
            is_ours = stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid()
            if is_ours and time.time() - about.st_mtime > ABANDONED_S and running_pid(Home(root)) is None:
                shutil.rmtree(root, ignore_errors=True)
                swept += 1
    return swept


def _stop(home: Home) -> None:
    with contextlib.suppress(SwarmError):
        stop_daemon(home, timeout_s=STOP_TIMEOUT_S)
    shutil.rmtree(home.root, ignore_errors=True)

"""The process of one node: makes the parts, runs them in one nursery, and ends them in order.

Start: the executors' fork server first (before there are threads), then sockets and links, the local API, the
driver, the node; only then the ready file. Stop, by a signal or through the API: finish running tasks if that
was asked for, say goodbye, cancel the nursery, write the journal, free the lock. A second signal cuts all
that short. A SIGKILL leaves nothing either: executors die with the fork server, which dies with us, and the
lock is the kernel's. A node whose journal cannot be written stands aside: it is no member any more and runs
nothing, but its local API says why, until the disk can be written again; then it starts anew. A node that
was started for as long as its starter lives (`swarm up`) holds the end of a pipe, its lifeline, and stops
when the other end is gone.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

import trio

from swarm.core.errors import StorageError, SwarmError
from swarm.core.hosts import is_numeric
from swarm.core.ids import Address, short
from swarm.daemon.admission import Admission
from swarm.daemon.api import LocalApi
from swarm.daemon.assembly import Assembly
from swarm.daemon.capacity import CapacityKeeper
from swarm.daemon.config_file import daemon_environment, keep_options
from swarm.daemon.discovery_view import DiscoveryView, NodeGround
from swarm.daemon.home import write_private
from swarm.daemon.json_text import to_json
from swarm.daemon.key_service import KeyService
from swarm.daemon.logs import Log
from swarm.daemon.mesh_file import MeshIsNear, keep_mesh
from swarm.daemon.operations import Operations, ready_fields
from swarm.daemon.options import DaemonOptions, parse_arguments
from swarm.daemon.renewal import renew_identity
from swarm.daemon.seeking import Seeker
from swarm.daemon.service_parts import ServiceParts
from swarm.daemon.standing_aside import StandIn
from swarm.daemon.start_report import StartReport, begin_again
from swarm.daemon.waiting import question
from swarm.daemon.world import MeshWorld
from swarm.exec.process import ExecutorPool
from swarm.net.http import ObjectServer
from swarm.net.invitation import Invitation
from swarm.net.object_client import ObjectClient
from swarm.net.peers import PeerLinks
from swarm.net.server import Server
from swarm.net.session import Sessions
from swarm.net.udp import UdpEndpoint
from swarm.version import __version__, is_compiled

CODE_INTERRUPTED: Final = 130
GOODBYE_TIMEOUT_S: Final = 7.0
DRAIN_POLL_S: Final = 0.1
NEARBY_LISTEN_S: Final = 1.0
"""How long a first start listens for other meshes before it founds one."""
KNOWN_ADDRESS_COUNT: Final = 8
TRACEBACK_SIZE_MAX: Final = 4000


def main(arguments: Sequence[str]) -> int:
    """Run a node until it is stopped; return the exit code of the process."""
    options, descriptors = parse_arguments(arguments)
    report = StartReport(descriptors.status)
    try:
        in_environment = os.environ.pop("SWARM_MESH", "")  # a secret: tasks must not see it
        invitation = _read_invitation(descriptors.mesh) if descriptors.mesh >= 0 else in_environment
        assembly = Assembly(options, invitation)
    except SwarmError as error:
        return report.failed(error)
    daemon = Daemon(assembly, report, descriptors.lifeline)
    try:
        code = daemon.run()
    except SwarmError as error:
        assembly.log.event("daemon_failed", {"error": str(error)})
        return report.failed(error)
    finally:
        assembly.close()
        if options.temporary and not daemon.begins_again:
            shutil.rmtree(assembly.home.root, ignore_errors=True)
    if not daemon.begins_again:
        return code
    try:
        if daemon.is_renewing:
            _renew(options, assembly)
        begin_again(options, descriptors.lifeline, report)
    except SwarmError as error:
        return report.failed(error)


@final
class Daemon:
    """The running parts of one node.

    Args:
        assembly: its parts that do not serve yet.
        report: is told when it is ready.
        lifeline: descriptor of a pipe with whose end the node ends, -1 for a node that stands on its own.

    Attributes:
        begins_again: it ended only to be started anew in the same process.
        is_renewing: it does so because its identity is another process's.
    """

    def __init__(self, assembly: Assembly, report: StartReport, lifeline: int) -> None:
        self._assembly = assembly
        self._report = report
        self._lifeline = lifeline
        if lifeline >= 0:
            os.set_inheritable(lifeline, False)
        self._stop_wanted = trio.Event()
        self._drain_s: float | None = None
        self._exit_code = 0
        self._is_ready = False
        self.begins_again = False
        self.is_renewing = False
        self._make_parts()

    def _make_parts(self) -> None:
        parts = self._assembly
        driver = parts.driver
        credentials = parts.keys.tls
        inputs = parts.inputs
        self.pool = ExecutorPool(
            parts.home.store,
            parts.home.scratch,
            daemon_environment(parts.home.root),
            driver.on_executor_ready,
            driver.on_executor_exit,
            driver.receive_executor_frames,
        )
        self.links = PeerLinks(
            credentials, driver.receive_message, driver.on_peer_connected, driver.on_peer_lost
        )
        self.sessions = Sessions(inputs.on_session_opened, driver.receive_client, driver.on_client_closed)
        self.object_client = ObjectClient(credentials)
        self.services = ServiceParts(parts, self.object_client)
        self.object_server = ObjectServer(
            parts.home.store,
            inputs.on_object_put,
            parts.settings.store_bytes_max,
            self._health,
            self.services.answers(),
        )
        self.server = Server(
            parts.sockets, credentials, self.links, self.sessions, self.object_server, parts.keys.serve
        )
        named = [address for address in parts.seeds() if not is_numeric(address[0])]
        self.seeker = Seeker(
            NodeGround(parts),
            parts.hearing,
            named,
            is_scanning=parts.settings.use_scan,
            port=parts.sockets.port,
            clock=time.monotonic,
        )
        self.view = DiscoveryView(parts, lambda: self.links.statistics()["accepted"])
        self.ready = ready_fields(parts.key.node_id, parts.settings.name, parts.addresses[0])
        self.admission = Admission(
            parts.key, self._newcomers_invitation, parts.keys.on_admitted, parts.udp.send_nowait, parts.log
        )
        operations = Operations(
            keys=parts.keys,
            ready=self.ready,
            invitation=self._newcomers_invitation,
            admission=self.admission,
            statistics=self.statistics,
            discovery=lambda: self.view.discovery(self.seeker.dead_ways),
            stop=self.stop,
        )
        by_name = {**operations.by_name(), **self.services.operations.by_name()}
        self.api = LocalApi(parts.home, driver, by_name, self._about)
        self.world = MeshWorld(
            store=parts.home.store,
            kept=parts.kept,
            sealer=parts.sealer,
            udp=parts.udp,
            links=self.links,
            sessions=self.sessions,
            objects=self.object_client,
            pool=self.pool,
            api=self.api,
            driver=driver,
            log=parts.log,
        )

    def run(self) -> int:
        """Run until stopped; return the exit code.

        Raises:
            SwarmError: it could not start, or could not go on.
        """
        try:
            trio.run(self._main)
        except (Exception, BaseExceptionGroup) as raised:
            error = _first_leaf(raised)
            if isinstance(error, SwarmError):
                raise error from None
            lines = "".join(traceback.format_exception(error))
            self._assembly.log.event(
                "daemon_bug", {"error": repr(error), "traceback": lines[-TRACEBACK_SIZE_MAX:]}
            )
            raise
        finally:
            self._remove_ready()
        return self._exit_code

    def stop(self, drain_s: float | None) -> None:
        """Begin to end, after running tasks have ended (at most `drain_s` seconds) or, with None, at once."""
        self._drain_s = drain_s
        self._stop_wanted.set()

    def statistics(self) -> dict[str, object]:
        """Return the counters of all parts, by part."""
        parts = self._assembly
        return {
            "version": __version__,
            "compiled": is_compiled(),
            "uptime_s": round(parts.uptime_s(), 3),
            "node": parts.node.statistics(),
            "driver": parts.driver.statistics(),
            "world": self.world.statistics(),
            "api": self.api.statistics(),
            "seal": parts.sealer.statistics(),
            "udp": parts.udp.statistics(),
            "seeker": self.seeker.statistics(),
            "hearing": parts.hearing.view(parts.udp.usable_interfaces()),
            "keys": parts.keys.statistics(),
            "pairing": self.admission.statistics(),
            "peers": self.links.statistics(),
            "sessions": self.sessions.statistics(),
            "server": self.server.statistics(),
            "objects": self.object_server.statistics(),
            "fetches": self.object_client.statistics(),
            "services": self.services.statistics(),
            "capacity": parts.keeper.statistics(),
        }

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._obey_signals, nursery.cancel_scope)
            if self._lifeline >= 0:
                nursery.start_soon(self._watch_lifeline)
            try:
                await self._serve(nursery)
            except BaseExceptionGroup as raised:
                error = _first_leaf(raised)
                if not self._is_ready or not isinstance(error, StorageError):
                    raise
                await self._stand_aside(str(error))
            nursery.cancel_scope.cancel()

    async def _serve(self, outer: trio.Nursery) -> None:
        """Be a node until stopped; the local API, which outlives a node that fails, runs in `outer`.

        Raises:
            StorageError: in a group: what the node has to keep cannot be written.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_identity, nursery.cancel_scope)
                await nursery.start(self.pool.run)
                await self._start(nursery, outer)
                self._is_ready = True
                await self._stop_wanted.wait()
                self._remove_ready()
                await self._say_goodbye()
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await self.pool.aclose()
                await self.object_client.aclose()

    async def _stand_aside(self, reason: str) -> None:
        """Be nobody's member, and say why, until the disk can be written again; then begin again."""
        parts = self._assembly
        parts.log.event("standing_aside", {"reason": reason})
        self._remove_ready()
        stand_in = StandIn(self.ready, reason, self.api.deliver)
        self.api.stand_in(stand_in)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_when_stopped, nursery.cancel_scope)
            await parts.driver.wait_writable()
            parts.log.event("disk_writable", {"after": reason})
            self.begins_again = True
            nursery.cancel_scope.cancel()

    async def _cancel_when_stopped(self, scope: trio.CancelScope) -> None:
        await self._stop_wanted.wait()
        scope.cancel()

    async def _start(self, nursery: trio.Nursery, outer: trio.Nursery) -> None:
        parts = self._assembly
        for part in (parts.udp, self.links, self.server, self.world):
            await nursery.start(functools.partial(_run_part, part))
        await outer.start(functools.partial(_run_part, self.api))
        await self._listen_for_meshes()
        seeds = [address for address in parts.seeds() if is_numeric(address[0])]
        parts.inputs.attach(parts.driver, parts.kept, parts.keys, self.admission)
        await nursery.start(parts.driver.run, self.world)
        parts.driver.start(seeds)
        await nursery.start(functools.partial(_run_part, self.services))
        await nursery.start(functools.partial(_run_part, self.seeker))
        await nursery.start(functools.partial(_run_part, parts.keeper))
        for name, digest, size, encoding in parts.restored_objects:
            parts.driver.on_object_put(name, digest, size, encoding)
        if parts.mesh.is_new_here:
            keep_mesh(parts.home, parts.mesh.invitation, parts.mesh.invitation.addresses)
        keep_options(parts.home.options, parts.options)
        await nursery.start(functools.partial(_run_part, parts.keys))
        self._write_ready()
        gc.collect()
        gc.freeze()

    async def _listen_for_meshes(self) -> None:
        """Before founding a mesh without having been told to, make sure that none is near.

        Raises:
            MeshIsNear: one is.
        """
        parts = self._assembly
        if not parts.mesh.is_founded or parts.options.new or not parts.settings.use_multicast:
            return
        parts.udp.send_everywhere_nowait(question().to_datagram())
        await trio.sleep(NEARBY_LISTEN_S)
        heard = parts.inputs.foreign_hosts()
        if heard:
            raise MeshIsNear(
                f"a mesh was heard nearby (from {', '.join(heard[:3])}): join it with"
                " `swarm join INVITATION`, which `swarm invite` prints on one of its nodes;"
                " or found another one with --new"
            )

    def _write_ready(self) -> None:
        parts = self._assembly
        text = to_json(self.ready) + "\n"
        for path in self._ready_files():
            write_private(path, text)
        mesh = parts.mesh.invitation.mesh
        parts.log.event("daemon_ready", {**self.ready, "mesh": mesh, "version": __version__})
        self._report.ready(self.ready, mesh, parts.mesh.is_founded, parts.damage)

    def _ready_files(self) -> list[Path]:
        given = self._assembly.options.ready_file
        return [self._assembly.home.ready] + ([given] if given is not None else [])

    def _remove_ready(self) -> None:
        for path in self._ready_files():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    async def _obey_signals(self, scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                if self._stop_wanted.is_set():
                    scope.cancel()
                if number == signal.SIGINT:
                    self._exit_code = CODE_INTERRUPTED
                self._assembly.log.event("daemon_signal", {"signal": signal.Signals(number).name})
                self.stop(None)

    async def _watch_lifeline(self) -> None:
        """Stop when whoever started this node for a while has ended, however that happened."""
        await trio.lowlevel.wait_readable(self._lifeline)
        self._assembly.log.event("daemon_orphaned", {"pid": os.getpid()})
        self.stop(None)

    async def _watch_identity(self, scope: trio.CancelScope) -> None:
        """End at once, without a goodbye in the name of somebody else, when our identity is another's."""
        await self._assembly.driver.renewal.wait()
        self.begins_again = self.is_renewing = True
        scope.cancel()

    async def _say_goodbye(self) -> None:
        driver = self._assembly.driver
        if self._drain_s is not None:
            driver.drain()
            with trio.move_on_after(self._drain_s):
                while not self._assembly.node.status()["is_idle"]:  # noqa: ASYNC110 - the node calls nobody
                    await trio.sleep(DRAIN_POLL_S)
        driver.leave()
        with trio.move_on_after(GOODBYE_TIMEOUT_S):
            await driver.left.wait()
        self._assembly.log.event("daemon_stopped", {"pid": os.getpid()})

    def _newcomers_invitation(self) -> Invitation:
        """Return the invitation for a new node, with addresses that it can try.

        Raises:
            LocalProtocolError: the mesh is just going over to a new key.
        """
        current = self._assembly.keys.newcomers_invitation()
        return current.placed(self._known_addresses())

    def _known_addresses(self) -> list[Address]:
        found = self._assembly.udp.addresses()[:KNOWN_ADDRESS_COUNT]
        for address in self._assembly.seeds():
            if address not in found and len(found) < KNOWN_ADDRESS_COUNT:
                found.append(address)
        return found

    def _about(self) -> dict[str, object]:
        """Return what only the daemon knows, for the answer to "status"."""
        parts = self._assembly
        return {
            "mesh": parts.mesh.invitation.mesh,
            "host": self.ready["host"],
            "port": self.ready["port"],
            "pid": self.ready["pid"],
            "home": str(parts.home.root),
            "uptime_s": round(parts.uptime_s(), 3),
            "version": __version__,
            "compiled": is_compiled(),
            "preset": parts.settings.preset,
            "journal_error": parts.driver.statistics()["journal_error"],
            "notices": self.view.notices(self.seeker.dead_ways),
        }

    def _health(self) -> dict[str, object]:
        return {
            "id": short(self._assembly.key.node_id),
            "name": self._assembly.settings.name,
            "time": round(time.time(), 3),
        }


def _renew(options: DaemonOptions, assembly: Assembly) -> None:
    """Give the home an identity of its own.

    Raises:
        StorageError: the home cannot be written.
    """
    was = assembly.key.node_id
    made = renew_identity(assembly.home)
    log = Log(assembly.home.log, sys.stderr if options.foreground else None, options.log_json)
    log.bind(made, assembly.incarnation)
    log.event("identity_renewed", {"was": was, "pid": os.getpid()})
    log.close()


async def _run_part(
    part: (
        UdpEndpoint
        | PeerLinks
        | Server
        | MeshWorld
        | LocalApi
        | ServiceParts
        | Seeker
        | KeyService
        | CapacityKeeper
    ),
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    await part.run(task_status=task_status)


def _first_leaf(raised: BaseException) -> BaseException:
    """Return the first error in what may be a group that is one of ours, else the first of all."""
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [raised]
    while waiting:
        error = waiting.pop(0)
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(error.exceptions)
        else:
            leaves.append(error)
    ours = [error for error in leaves if isinstance(error, SwarmError)]
    return ours[0] if ours else leaves[0]


def _read_invitation(descriptor: int) -> str:
    try:
        with os.fdopen(descriptor, "rb") as pipe:
            return pipe.read().decode("ascii", "replace")
    except OSError as error:
        raise StorageError(f"cannot read the invitation: {error.strerror}") from None

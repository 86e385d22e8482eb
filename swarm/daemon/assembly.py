"""Everything of a daemon that can be made before it serves: settings, identity, journal, sockets, the node.

Nothing in here waits for anybody. Whatever is wrong with the request or the host comes out as an error
with one line for people, and then nothing is left behind but the directories.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import sys
import time
from collections.abc import Sequence
from typing import Final, final

from swarm.core.effects import Persist
from swarm.core.errors import DecodeError
from swarm.core.ids import Address
from swarm.core.quorums import STRICT
from swarm.core.rng import Rng
from swarm.daemon import host
from swarm.daemon.capacity import Capacity, CapacityKeeper, SystemSensors
from swarm.daemon.clock import SystemClock, Watch
from swarm.daemon.config_file import Settings, load_settings
from swarm.daemon.driver import Driver
from swarm.daemon.hearing import Hearing
from swarm.daemon.home import Home, HomeLock, default_home
from swarm.daemon.inputs import Inputs
from swarm.daemon.kept_objects import KeptObject, KeptObjects
from swarm.daemon.key_service import KeyService
from swarm.daemon.logs import Log
from swarm.daemon.mesh_file import MeshChoice, choose_mesh
from swarm.daemon.options import DaemonOptions
from swarm.daemon.recorder import Recorder
from swarm.daemon.renewal import identity_facts
from swarm.daemon.sensor_commands import CommandSensors
from swarm.daemon.services import make_registry, service_facts
from swarm.daemon.storage import Journal, Row
from swarm.election.ledger import LEDGER_KEY, LEDGER_TABLE, founding_row
from swarm.gossip.config import GossipConfig
from swarm.net.identity import NodeKey
from swarm.net.keys import MeshKeys
from swarm.net.seal import Sealer
from swarm.net.sockets import NodeSockets, open_sockets
from swarm.net.udp import UdpEndpoint
from swarm.node import Node
from swarm.node_capacity import IDLE
from swarm.node_config import NodeConfig
from swarm.node_facts import merged
from swarm.registry.registry import Registry
from swarm.wire.codec import pack, unpack_untrusted

NODE_TABLE: Final = "node"
INCARNATION_KEY: Final = b"incarnation"
_SEED_SIZE: Final = 16


@final
class Assembly:
    """The parts of one daemon. Close it in any case; that may be done twice.

    Args:
        options: how it was started.
        invitation_text: "" for none.

    Raises:
        SwarmError: one line for people; everything is closed again.
    """

    def __init__(self, options: DaemonOptions, invitation_text: str) -> None:
        self.options: Final = options
        self.home: Final = Home(options.home or default_home())
        self._exit = contextlib.ExitStack()
        self._started = time.monotonic()
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._make(invitation_text)
            undo.pop_all()

    def close(self) -> None:
        """Write what waits to be written and close everything, the lock last."""
        self._exit.close()

    def _make(self, invitation_text: str) -> None:
        self.home.create()
        lock = HomeLock(self.home)
        lock.acquire()
        self._exit.callback(lock.release)
        self.home.ready.unlink(missing_ok=True)
        self.settings: Settings = load_settings(
            self.options, os.environ, self.home.config, self.home.store, self.home.options
        )
        self.mesh: MeshChoice = choose_mesh(
            self.home, invitation_text, self.options.new, self.settings.quorum
        )
        echo = sys.stderr if self.options.foreground else None
        self.log: Log = Log(self.home.log, echo, self.options.log_json)
        self._exit.callback(self.log.close)
        self.key: NodeKey = NodeKey.load_or_create(self.home.root)
        self.sealer: Sealer = Sealer(MeshKeys(self.mesh.invitation.secret), self.key.node_id)
        self.keys: KeyService = KeyService(self.home, self.key, self.mesh.invitation, self.sealer, self.log)
        self.sockets: NodeSockets = open_sockets(self.settings.port, self.settings.listen)
        self._exit.callback(self.sockets.close)
        journal = Journal(self.home.journal)
        loaded = journal.open()
        self._exit.callback(journal.close)
        stored = _stored_incarnation(loaded.rows)
        self.damage: str = loaded.damage
        if not self.damage and not stored and not self.mesh.is_new_here:
            self.damage = f"the journal {self.home.journal} is gone or empty: this node forgot its jobs"
        self.incarnation: int = stored + 1
        first = [
            Persist(NODE_TABLE, INCARNATION_KEY, pack(self.incarnation), True),
            *self._first_ledger(loaded.rows),
        ]
        journal.commit([*first], durable=True)
        rows = merge_rows(loaded.rows, first)
        self.log.bind(self.key.node_id, self.incarnation)
        if self.damage:
            self.log.event("journal_damaged", {"damage": self.damage, "lost": loaded.lost_count})
        self._make_node(journal, rows)

    def _first_ledger(self, rows: list[Row]) -> list[Persist]:
        """Return the ledger of whoever founds a strict mesh, and a void one in place of another mesh's."""
        if not self.mesh.is_first:
            return []
        if self.mesh.is_founded and self.mesh.invitation.quorum == STRICT:
            row = founding_row(self.key.node_id, Rng(secrets.token_hex(_SEED_SIZE)))
            return [Persist(LEDGER_TABLE, LEDGER_KEY, row, True)]
        is_there = [row for row in rows if (row[0], row[1]) == (LEDGER_TABLE, LEDGER_KEY)]
        return [Persist(LEDGER_TABLE, LEDGER_KEY, b"", True)] if is_there else []

    def _make_node(self, journal: Journal, rows: list[Row]) -> None:
        seed = secrets.token_hex(_SEED_SIZE)
        gossip = GossipConfig.named(self.settings.preset)
        self.hearing: Hearing = Hearing(time.monotonic, gossip.hello_interval_max_s)
        self.inputs: Inputs = Inputs(self.sealer, self.hearing, self.log)
        self.udp: UdpEndpoint = UdpEndpoint(
            self.sockets,
            self.inputs.on_packet,
            self.inputs.on_packet_refused,
            interfaces=self.settings.interfaces,
            use_multicast=self.settings.use_multicast,
            on_addresses=self.inputs.on_addresses,
            on_hello=self.inputs.on_hello,
        )
        self.addresses: list[Address] = self.udp.addresses() or [("127.0.0.1", self.sockets.port)]
        has_marcopolo = self.settings.marcopolo is not None
        self.registry: Registry = make_registry(self.settings.services, has_marcopolo, self.log)
        self.registry.look()
        machine = host.facts(list(self.settings.tags))
        machine.update(identity_facts(self.home))
        sensors, capacity = (
            SystemSensors(self._interface_names),
            Capacity(host.memory_bytes(), host.fitness(self.settings.memory_bytes)),
        )
        slots = math.ceil(self.settings.cores)
        told = capacity.facts(sensors.read(), slots, IDLE, time.monotonic())
        facts = merged(merged(machine, service_facts(self.registry)), told)
        config = NodeConfig(
            node_id=self.key.node_id,
            name=self.settings.name,
            addresses=self.addresses,
            incarnation=self.incarnation,
            cores=self.settings.cores,
            memory_bytes=self.settings.memory_bytes,
            facts=facts,
            is_amnesiac=bool(self.damage),
            quorum=self.mesh.invitation.quorum,
            gossip=gossip,
        )
        recorder = None
        if self.settings.record:
            about = {
                "node_id": config.node_id,
                "name": config.name,
                "addresses": [list(address) for address in config.addresses],
                "incarnation": config.incarnation,
                "cores": config.cores,
                "memory_bytes": config.memory_bytes,
                "facts": facts,
                "is_amnesiac": config.is_amnesiac,
                "quorum": config.quorum,
            }
            recorder = Recorder(self.home.recording, [seed, [list(row) for row in rows], about])
        self.node: Node = Node(config, rows, Rng(f"{seed}:{self.settings.name}"))
        self.keys.attach(self.node.gossip.members, self.udp)
        self.driver: Driver = Driver(self.node, journal, self.log, Watch(SystemClock()), recorder)
        self._exit.callback(self.driver.close)
        self.keeper: CapacityKeeper = CapacityKeeper(
            sensors=sensors,
            commands=CommandSensors(),
            capacity=capacity,
            told=told,
            view=self.node.capacity,
            tell=self.driver.update_facts,
            log=self.log,
        )
        self.kept: KeptObjects = KeptObjects(self.home.store, self.driver.persist)
        self.restored_objects: list[KeptObject] = self.kept.restore(rows)

    def _interface_names(self) -> list[str]:
        return [interface.name for interface in self.udp.usable_interfaces()]

    def seeds(self) -> list[Address]:
        """Return the addresses to try: given now, kept in the mesh file, in the invitation."""
        found = list(self.settings.peers)
        for address in self.mesh.invitation.addresses:
            if address not in found:
                found.append(address)
        return found

    def uptime_s(self) -> float:
        """Return for how long this daemon has run."""
        return time.monotonic() - self._started


def merge_rows(rows: list[Row], writes: Sequence[Persist]) -> list[Row]:
    """Return the rows of a journal after some were written."""
    written = {(write.table, write.key): write.value for write in writes}
    kept = [row for row in rows if (row[0], row[1]) not in written]
    return kept + [(table, key, value) for (table, key), value in written.items()]


def _stored_incarnation(rows: list[Row]) -> int:
    for table, key, value in rows:
        if (table, key) == (NODE_TABLE, INCARNATION_KEY):
            with contextlib.suppress(DecodeError):
                number = unpack_untrusted(value)
                return number if isinstance(number, int) else 0
    return 0

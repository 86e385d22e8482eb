"""A process with everything of a daemon that moves bytes, and no node: commands in, what it heard out.

`python -m tests.transport.station SECRET FOLDER LISTEN` (HOST:PORT, or "" for every address) is wired as
`swarm.daemon` wires a node's world; in the place of the driver stands a reporter. Commands come as lines of
JSON on stdin, events leave as lines of JSON on stdout, payloads as (size, digest). SIGKILL ends it like a
node, the command `stop` like `swarm leave`.
"""

from __future__ import annotations

import json
import sys
import time
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, cast

import trio

from swarm.core.effects import FetchObject
from swarm.core.ids import Address, NodeId, ObjectName, object_path
from swarm.daemon.hearing import Hearing
from swarm.daemon.inputs import Inputs
from swarm.daemon.world import MeshWorld
from swarm.net.http import ObjectServer
from swarm.net.identity import NodeKey
from swarm.net.keys import MeshKeys
from swarm.net.object_client import ObjectClient
from swarm.net.peers import PeerLinks
from swarm.net.seal import Sealer
from swarm.net.server import Server
from swarm.net.session import Sessions
from swarm.net.sockets import open_sockets
from swarm.net.udp import UdpEndpoint

STORE_BYTES_MAX: Final = 1 << 30
HELLO_INTERVAL_S: Final = 30.0


def content(seed: str, size: int) -> bytes:
    """Return the bytes that a seed and a size stand for."""
    word = blake2b(seed.encode(), digest_size=64).digest()
    return (word * (size // len(word) + 1))[:size]


def digest(data: bytes) -> str:
    """Return what is told of a payload."""
    return blake2b(data, digest_size=16).hexdigest()


class Reporter:
    """Stands where the driver stands: every input of a node becomes a line."""

    def tell(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, "at": time.monotonic(), **values})
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def receive_packet(self, payload: bytes, source: Address) -> None:
        self.tell("packet", address=source, size=len(payload), digest=digest(payload))

    def on_packet_refused(self, address: Address) -> None:
        self.tell("refused", address=address)

    def receive_message(self, peer: NodeId, payload: bytes) -> None:
        self.tell("message", peer=peer.hex(), size=len(payload), digest=digest(payload))

    def on_peer_connected(self, peer: NodeId) -> None:
        """Nodes make nothing of this input."""

    def on_peer_lost(self, peer: NodeId, was_refused: bool) -> None:
        self.tell("lost", peer=peer.hex(), was_refused=was_refused)

    def on_object_fetched(self, name: ObjectName) -> None:
        self.tell("fetched", task=name[1])

    def on_object_missing(self, name: ObjectName, failed: list[NodeId]) -> None:
        self.tell("missing", task=name[1], failed=[node.hex() for node in failed])

    def event(self, *_: object) -> None:
        """The log."""


class Station:
    """The world of a node, and what is told to it from outside."""

    def __init__(self, secret: bytes, folder: Path, listen: str) -> None:
        store = self.store = folder / "store"
        keys = MeshKeys(secret)
        key = NodeKey.load_or_create(folder)
        credentials = keys.node_credentials(key)
        reporter = Reporter()
        driver = cast(Any, reporter)
        nothing = cast(Any, None)
        sealer = Sealer(keys, key.node_id)
        inputs = Inputs(sealer, Hearing(time.monotonic, HELLO_INTERVAL_S), driver)
        host, _, port = listen.partition(":")
        self.sockets = open_sockets(int(port) if port else None, host)
        self.udp = UdpEndpoint(
            self.sockets,
            inputs.on_packet,
            inputs.on_packet_refused,
            use_multicast=not listen,
            on_hello=inputs.on_hello,
        )
        self.links = PeerLinks(
            credentials, reporter.receive_message, reporter.on_peer_connected, reporter.on_peer_lost
        )
        sessions = Sessions(nothing, nothing, nothing)
        served = ObjectServer(store, inputs.on_object_put, STORE_BYTES_MAX, dict)
        self.server = Server(self.sockets, credentials, self.links, sessions, served)
        self.objects = ObjectClient(credentials)
        self.world = MeshWorld(
            store=store,
            kept=nothing,
            sealer=sealer,
            udp=self.udp,
            links=self.links,
            sessions=sessions,
            objects=self.objects,
            pool=nothing,
            api=nothing,
            driver=driver,
            log=driver,
        )
        inputs.attach(driver, nothing)
        self.reporter = reporter
        self.node_id = key.node_id

    async def run(self) -> None:
        """Serve until told to stop; then end as a daemon does."""
        async with self.objects, trio.open_nursery() as nursery:
            for part in (self.links.run, self.udp.run, self.server.run, self.world.run):
                await nursery.start(part)
            address = self.udp.addresses()[0]
            # Hellos come from link-local addresses too.
            hosts = [address[0]] + [
                f"{host}%{interface.name}"
                for interface in self.udp.usable_interfaces()
                for host in interface.ipv6
            ]
            self.reporter.tell("ready", node=self.node_id.hex(), address=address, hosts=hosts)
            lines = trio.lowlevel.FdStream(0)
            buffer = b""
            while data := await lines.receive_some(65536):
                *complete, buffer = (buffer + data).split(b"\n")
                for line in complete:
                    command = json.loads(line)
                    if command["do"] == "stop":
                        nursery.cancel_scope.cancel()
                    else:
                        self.obey(command)
            nursery.cancel_scope.cancel()

    def obey(self, command: dict[str, Any]) -> None:
        """Do what one line says."""
        what = command["do"]
        if what == "message":
            addresses = [_address(address) for address in command["addresses"]]
            for seed in command["seeds"]:
                self.world.send_message(
                    bytes.fromhex(command["peer"]), addresses, content(seed, command["size"])
                )
        elif what == "packet":
            for seed in command["seeds"]:
                self.world.send_packet(_address(command["address"]), content(seed, command["size"]))
        elif what == "raw":
            self.udp.send_nowait(_address(command["address"]), bytes.fromhex(command["datagram"]))
        elif what == "hello":
            self.world.send_hello(content(command["seed"], command["size"]))
        elif what == "store":
            (self.store / object_path(_name(command))).write_bytes(content(command["seed"], command["size"]))
        elif what == "fetch":
            sources = [(bytes.fromhex(node), [_address(address)]) for node, address in command["sources"]]
            wanted = bytes.fromhex(command["digest"])
            self.world.fetch_object(FetchObject(_name(command), wanted, command["size"], sources))


def _address(pair: list[Any]) -> Address:
    return (str(pair[0]), int(pair[1]))


def _name(command: dict[str, Any]) -> ObjectName:
    return (bytes(10), int(command["task"]), 0)


if __name__ == "__main__":
    station = Station(bytes.fromhex(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    trio.run(station.run)

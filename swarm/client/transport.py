"""The network as a client's engine uses it: dial a node, move large objects, look for nodes nearby.

The engine knows only :class:`Transport`; tests give it one without a network.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol, final

import trio

from swarm.client.reach import Reach
from swarm.core.errors import ConnectFailed, DecodeError
from swarm.core.ids import NO_BALLOT, Address, NodeId, ObjectName
from swarm.net.dial import dial
from swarm.net.keys import ALPN_SWARM, MeshKeys
from swarm.net.object_client import ObjectClient
from swarm.net.seal import BadSeal, Sealer
from swarm.net.sockets import open_sockets
from swarm.net.tls_ring import TlsRing
from swarm.net.udp import UdpEndpoint
from swarm.wire.codec import Stamp, pack_frame, unpack_frame_untrusted
from swarm.wire.messages import CLIENT_HELLO, HELLO

DISCOVERY_TIMEOUT_S: Final = 2.0
_HELLO_TIMES_S: Final = (0.0, 0.2, 0.4, 0.6)
_ANSWER_GRACE_S: Final = 0.05
_FOUND_MAX: Final = 32


class Link(Protocol):
    """A connection to the session service of a node."""

    async def send_messages(self, payloads: Sequence[bytes]) -> None:
        """Send frames in order; ConnectionLost when that is over."""

    async def receive_messages(self) -> list[bytes]:
        """Return the next frames, at least one; ConnectionLost when there are no more."""
        ...

    async def aclose(self) -> None:
        """End the connection."""


class Transport(Protocol):
    """What an engine needs of the network."""

    async def dial(self, address: Address) -> tuple[Link, NodeId]:
        """Return a connection to the node at an address; ConnectFailed with the reason."""
        ...

    async def put(self, address: Address, name: ObjectName, data: bytes, encoding: int) -> None:
        """Put bytes into a node's store."""

    async def fetch(
        self, node: NodeId, address: Address, name: ObjectName, digest: bytes, size: int
    ) -> bytes:
        """Return the bytes of an object in a node's store."""
        ...

    async def discover(self) -> list[Address]:
        """Return addresses of nodes that answer nearby, none when nobody does; ConnectFailed if none can."""
        ...

    async def aclose(self) -> None:
        """Close what is kept open."""


@final
class NetTransport:
    """The real network, with the credentials of a :class:`Reach`."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._ring = TlsRing(reach.credentials)
        self._objects = ObjectClient(self._ring)

    async def dial(self, address: Address) -> tuple[Link, NodeId]:
        """See :class:`Transport`."""
        self._renew()
        return await dial(address, self._ring.dial_contexts(ALPN_SWARM), "/client")

    def _renew(self) -> None:
        """Go over to the mesh's new key, if it has one and the home of this client knows it."""
        reach = self._reach.renewed()
        if reach is not self._reach:
            self._reach = reach
            self._ring.replace([reach.credentials], [])

    async def put(self, address: Address, name: ObjectName, data: bytes, encoding: int) -> None:
        """See :class:`Transport`."""
        await self._objects.put_object(address, name, data, encoding)

    async def fetch(
        self, node: NodeId, address: Address, name: ObjectName, digest: bytes, size: int
    ) -> bytes:
        """See :class:`Transport`."""
        with tempfile.TemporaryDirectory(prefix="swarm-") as folder:
            path = await self._objects.fetch_object(name, digest, size, [(node, [address])], Path(folder))
            return await trio.Path(path).read_bytes()

    async def discover(self) -> list[Address]:
        """See :class:`Transport`."""
        if self._reach.keys is None:
            raise ConnectFailed(
                "a client's invitation only says where nodes were: a newer one comes from"
                " `swarm invite --client`"
            )
        return await _discover(self._reach.keys, self._reach.credentials.identity)

    async def aclose(self) -> None:
        """See :class:`Transport`."""
        await self._objects.aclose()


async def _discover(keys: MeshKeys, identity: NodeId) -> list[Address]:
    sealer = Sealer(keys, identity)
    found: dict[Address, None] = {}
    heard = trio.Event()

    def on_packet(datagram: bytes, source: Address) -> None:
        try:
            frame = unpack_frame_untrusted(sealer.open_untrusted(datagram, source))
        except (BadSeal, DecodeError):
            return
        if frame.kind == HELLO and len(found) < _FOUND_MAX:
            found[source] = None
            heard.set()

    sockets = open_sockets(0)
    hello = pack_frame(CLIENT_HELLO, Stamp(identity, NO_BALLOT, 0), [])
    try:
        endpoint = UdpEndpoint(sockets, on_packet, lambda _address: None)
        async with trio.open_nursery() as nursery:
            await nursery.start(endpoint.run)
            with trio.move_on_after(DISCOVERY_TIMEOUT_S):
                for wait_s in _HELLO_TIMES_S:
                    with trio.move_on_after(wait_s):
                        await heard.wait()
                    if heard.is_set():
                        break
                    endpoint.send_everywhere_nowait(sealer.seal(hello))
                await heard.wait()
                await trio.sleep(_ANSWER_GRACE_S)
            nursery.cancel_scope.cancel()
    finally:
        sockets.close()
    return list(found)

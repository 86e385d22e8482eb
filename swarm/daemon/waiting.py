"""The device's side of pairing: shows a code, calls, and waits until a member lets it in.

Runs in the process of `swarm join`, before there is a node. A code is good for one attempt: after a wrong
one a new code is shown, and the next attempt has to wait, longer each time, so that whoever guesses all the
time gets about 25 guesses at one in a million in ten minutes of waiting.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Final, final

import trio

from swarm.core.errors import RemoteProtocolError
from swarm.core.ids import NO_NODE, Address, NodeId
from swarm.daemon.mesh_file import NotAllowed
from swarm.net.identity import NodeKey
from swarm.net.invitation import Invitation
from swarm.net.pairing import (
    PROOF_SIZE,
    WRONG,
    Call,
    Channel,
    Code,
    is_pairing,
    new_nonce,
    parse_call_untrusted,
)
from swarm.net.seal import OVERHEAD_BYTES, TAG_SIZE, VERSION
from swarm.net.sockets import NodeSockets, open_sockets
from swarm.net.udp import UdpEndpoint

WAIT_S: Final = 600.0
CALL_INTERVAL_S: Final = 2.0
PAUSE_S: Final = 1.0
PAUSE_MAX_S: Final = 30.0
"""After a wrong attempt: doubles from the one to the other."""
LISTEN_S: Final = 1.0
BACKLOG_COUNT_MAX: Final = 64
"""Connections that wait for their attempt; more are closed."""


@final
class Waiting:
    """One wait of one device.

    Args:
        key: of the node that it will be.
        name: for people.
        show: gets each code, with the addresses where the device waits.
        complain: gets one line whenever somebody tried a wrong code.
        port: to wait on, None for the default one or the next free one.
        listen: address to wait on, "" for all.
        use_multicast: call by every means of discovery.
        interfaces: names of the interfaces to call on; none: all usable ones.

    Attributes:
        member: the node that has let this device in, proven; b"" before.
    """

    def __init__(
        self,
        key: NodeKey,
        name: str,
        show: Callable[[Code, list[Address]], None],
        complain: Callable[[str], None],
        *,
        port: int | None = None,
        listen: str = "",
        use_multicast: bool = True,
        interfaces: tuple[str, ...] = (),
    ) -> None:
        self._key = key
        self._name = name
        self._show = show
        self._complain = complain
        self._port = port
        self._listen = listen
        self._use_multicast = use_multicast
        self._interfaces = interfaces
        self._code = Code.generate()
        self.member: NodeId = NO_NODE
        self._pause_s = PAUSE_S
        self._lock = trio.StrictFIFOLock()
        self._queued = 0
        self._invitation: Invitation | None = None
        self._admitted = trio.Event()

    async def wait(self, timeout_s: float = WAIT_S) -> Invitation:
        """Return the invitation of the mesh that lets this device in.

        Raises:
            NotAllowed: nobody did in time.
            ConfigError: the port cannot be used.
        """
        sockets = open_sockets(self._port, self._listen)
        try:
            endpoint = _endpoint(sockets, _ignore, self._interfaces, self._use_multicast)
            with trio.move_on_after(timeout_s):
                async with trio.open_nursery() as nursery:
                    await nursery.start(endpoint.run)
                    addresses = endpoint.addresses() or [("127.0.0.1", sockets.port)]
                    self._show(self._code, addresses)
                    nursery.start_soon(self._call, endpoint, sockets.port)
                    for sock in sockets.tcp:
                        nursery.start_soon(self._accept, sock, nursery, addresses)
                    await self._admitted.wait()
                    nursery.cancel_scope.cancel()
        finally:
            sockets.close()
        if self._invitation is None:
            raise NotAllowed(
                f"nobody admitted this device within {timeout_s:g} s: `swarm join` shows a new code,"
                " `swarm join INVITATION` needs none"
            )
        return self._invitation

    async def _call(self, endpoint: UdpEndpoint, port: int) -> None:
        nonce = new_nonce()
        while True:
            call = Call(self._code.plate, port, self._name, nonce)
            endpoint.send_everywhere_nowait(call.to_datagram())
            await trio.sleep(CALL_INTERVAL_S)

    async def _accept(self, sock: socket.socket, nursery: trio.Nursery, addresses: list[Address]) -> None:
        listener = trio.socket.from_stdlib_socket(sock.dup())
        with listener:
            while True:
                try:
                    connection, _ = await listener.accept()
                    stream = trio.SocketStream(connection)
                except OSError as error:
                    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                        await trio.sleep(PAUSE_S)
                    continue
                if self._queued >= BACKLOG_COUNT_MAX:
                    await trio.aclose_forcefully(stream)
                    continue
                self._queued += 1
                nursery.start_soon(self._serve, stream, addresses)

    async def _serve(self, stream: trio.SocketStream, addresses: list[Address]) -> None:
        """Give a connection its attempt, one at a time."""
        try:
            code = self._code
            channel = Channel(stream, code, is_member=False)
            await channel.wait_for_first()  # who says nothing keeps nobody waiting
            async with self._lock:
                if self._admitted.is_set() or self._code is not code:
                    return
                await self._try(channel, addresses)
        except (RemoteProtocolError, trio.BrokenResourceError, trio.TooSlowError):
            pass  # it was no member, or went away; it has learned nothing
        finally:
            self._queued -= 1
            await trio.aclose_forcefully(stream)

    async def _try(self, channel: Channel, addresses: list[Address]) -> None:
        """Let somebody try the code, which is good for nothing more once a proof has come."""
        await channel.agree()
        proof = await channel.receive()
        if len(proof) != PROOF_SIZE or not channel.is_proof(proof):
            with contextlib.suppress(trio.BrokenResourceError, trio.TooSlowError):  # it may not want to know
                await channel.send(WRONG)
            self._renew(
                "somebody tried a wrong code, which is good for nothing now: this is the new one", addresses
            )
            await trio.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)
            return
        try:
            self._invitation = await self._talk(channel)
        except (RemoteProtocolError, trio.BrokenResourceError, trio.TooSlowError) as error:
            reason = str(error) or "the connection broke"
            self._renew(f"somebody had the code, but {reason}: this is the new one", addresses)
            return
        self._admitted.set()

    async def _talk(self, channel: Channel) -> Invitation:
        """Tell who this device is and take the invitation from somebody who has proven the code."""
        await channel.send_sealed([*channel.identify(self._key), self._name])
        body = await channel.receive_sealed()
        member, text = channel.take_identity_untrusted(body), body.take_text()
        try:
            invitation = Invitation.from_text(text)
        except ValueError as error:
            raise RemoteProtocolError(str(error)) from None
        if invitation.is_client:
            raise RemoteProtocolError("a client's invitation admits no node")
        with contextlib.suppress(trio.BrokenResourceError, trio.TooSlowError):  # what was wanted is here
            await channel.send_sealed([])
        self.member = member
        return invitation

    def _renew(self, complaint: str, addresses: list[Address]) -> None:
        self._complain(complaint)
        self._code = Code.generate()
        self._show(self._code, addresses)


async def hosts_nearby(interfaces: tuple[str, ...] = (), listen_s: float = LISTEN_S) -> list[str]:
    """Return the hosts from which a mesh is heard, sorted; asks once, in a datagram that holds nothing."""
    found: dict[str, bool] = {}

    def on_packet(datagram: bytes, source: Address) -> None:
        if is_sign_of_a_mesh(datagram):
            found[source[0]] = True

    sockets = open_sockets(0)
    try:
        endpoint = _endpoint(sockets, on_packet, interfaces, True)
        async with trio.open_nursery() as nursery:
            await nursery.start(endpoint.run)
            endpoint.send_everywhere_nowait(question().to_datagram())
            await trio.sleep(listen_s)
            nursery.cancel_scope.cancel()
    finally:
        sockets.close()
    return sorted(found)


def question() -> Call:
    """Return a call that only asks whether a mesh is here."""
    return Call(0, 0, "", new_nonce())


def is_sign_of_a_mesh(datagram: bytes) -> bool:
    """Return whether a datagram comes from a member of some mesh, as far as a stranger can tell."""
    if is_pairing(datagram):
        try:
            return parse_call_untrusted(datagram) is None
        except RemoteProtocolError:
            return False
    return len(datagram) >= OVERHEAD_BYTES and datagram[TAG_SIZE] == VERSION


def _endpoint(
    sockets: NodeSockets,
    on_packet: Callable[[bytes, Address], None],
    interfaces: tuple[str, ...],
    use_multicast: bool,
) -> UdpEndpoint:
    return UdpEndpoint(
        sockets, on_packet, lambda _address: None, interfaces=interfaces, use_multicast=use_multicast
    )


def _ignore(_datagram: bytes, _source: Address) -> None:
    """Take a datagram that is not for somebody who waits."""

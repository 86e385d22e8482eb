"""Dialling nodes: TCP, TLS and the check that whoever answers is who was meant."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Sequence
from typing import Final, TypeAlias

import trio

from swarm.core.errors import ConnectFailed, RemoteProtocolError
from swarm.core.hosts import is_link_local
from swarm.core.ids import Address, NodeId, short
from swarm.net import interfaces
from swarm.net.keys import ROLE_NODE, KeyContext, peer_identity
from swarm.net.upgrade import request_upgrade
from swarm.net.websocket import TlsStream, WebSocket

DIAL_TIMEOUT_S: Final = 5.0
"""For one node, whatever the number of its addresses; a Pi Zero on Wi-Fi may need 2 s for a handshake."""
STAGGER_S: Final = 0.15
"""After which the next address is tried beside the ones before (RFC 8305)."""
REFUSED_GRACE_S: Final = 1.0
"""What the other addresses still get after one refused: the process is probably gone."""
ADDRESS_COUNT_MAX: Final = 16

_KEEPALIVE: Final = (
    ("TCP_KEEPIDLE", 15),
    ("TCP_KEEPINTVL", 5),
    ("TCP_KEEPCNT", 3),
    ("TCP_USER_TIMEOUT", 15_000),
)


Contexts: TypeAlias = ssl.SSLContext | Sequence[ssl.SSLContext]
"""A context for dialling, or several under different keys of the mesh, tried in their order."""


class DialError(ConnectFailed):
    """A node could not be reached; nothing was sent.

    Attributes:
        was_refused: its host is there and nobody listens on the port.
        is_other_key: a node answers that does not have the key of the mesh that was tried.
    """

    def __init__(self, message: str, *, was_refused: bool = False, is_other_key: bool = False) -> None:
        super().__init__(message)
        self.was_refused = was_refused
        self.is_other_key = is_other_key


def keep_alive(stream: trio.SocketStream) -> None:
    """Let the system notice within half a minute that the other host is gone."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    for level, option, value in options:
        try:
            stream.socket.setsockopt(level, option, value)
        except OSError:
            continue


async def open_tls(
    address: Address, contexts: Contexts, peer: NodeId | None = None
) -> tuple[TlsStream, NodeId]:
    """Return a stream to the node at `address`, and its id.

    Args:
        address: host (may be a name) and port.
        contexts: from `Credentials.client_context` or a `TlsRing`; the protocol must be spoken there.
        peer: the node that is meant; None when any node of the mesh will do.

    Raises:
        DialError: with the reason, for people.
    """
    failure = DialError(f"{address[0]} port {address[1]}: no key of a mesh is there to try")
    for context in [contexts] if isinstance(contexts, ssl.SSLContext) else contexts:
        try:
            return await _open_tls(address, context, peer)
        except DialError as error:
            failure = error
            if not error.is_other_key:
                break
    raise failure


async def _open_tls(
    address: Address, context: ssl.SSLContext, peer: NodeId | None
) -> tuple[TlsStream, NodeId]:
    """Return what :func:`open_tls` does, under one key."""
    where = f"{address[0]} port {address[1]}"
    name = context.server_name if isinstance(context, KeyContext) else None
    try:
        stream = trio.SSLStream(await _connect(address), context, server_hostname=name, https_compatible=True)
    except (OSError, UnicodeError) as error:
        refused = isinstance(error, OSError) and error.errno == errno.ECONNREFUSED
        reason = getattr(error, "strerror", None) or str(error)
        raise DialError(f"{where}: {reason}", was_refused=refused) from None
    try:
        await stream.do_handshake()
        role, identity = peer_identity(stream)
        if role != ROLE_NODE:
            raise DialError(f"{where}: a {role} answers, not a node")
        if peer is not None and identity != peer:
            raise DialError(f"{where}: another node answers, {short(identity)} in place of {short(peer)}")
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if isinstance(error, (trio.BrokenResourceError, RemoteProtocolError)):
            is_other_key = isinstance(error.__cause__, ssl.SSLCertVerificationError)
            raise DialError(f"{where}: {_tls_reason(error)}", is_other_key=is_other_key) from None
        raise
    return stream, identity


async def race_tls(
    addresses: Sequence[Address], contexts: Contexts, peer: NodeId | None = None
) -> tuple[TlsStream, NodeId]:
    """Return a stream to the node by the first of its addresses that works.

    Raises:
        DialError: none did within `DIAL_TIMEOUT_S`; `was_refused` when any of them was.
    """
    winner: list[tuple[TlsStream, NodeId]] = []
    failures: list[DialError] = []
    targets = _expand(addresses)
    failed = [trio.Event() for _ in targets]

    async def attempt(number: int, target: Address) -> None:
        if number:
            with trio.move_on_after(STAGGER_S * number):
                await failed[number - 1].wait()
        try:
            result = await open_tls(target, contexts, peer)
        except DialError as error:
            failures.append(error)
            failed[number].set()
            if error.was_refused:
                scope.deadline = min(scope.deadline, trio.current_time() + REFUSED_GRACE_S)
            return
        if winner:
            await trio.aclose_forcefully(result[0])
        else:
            winner.append(result)
            scope.cancel()

    with trio.move_on_after(DIAL_TIMEOUT_S) as scope:
        async with trio.open_nursery() as nursery:
            for number, target in enumerate(targets):
                nursery.start_soon(attempt, number, target)
    if winner:
        return winner[0]
    was_refused = any(failure.was_refused for failure in failures)
    reasons = [str(failure) for failure in failures]
    if scope.cancelled_caught or not reasons:
        reasons.append(f"no answer within {DIAL_TIMEOUT_S:g} s" if targets else "no address is known")
    raise DialError("; ".join(reasons), was_refused=was_refused)


async def dial(
    address: Address,
    contexts: Contexts,
    path: str,
    peer: NodeId | None = None,
    timeout_s: float = DIAL_TIMEOUT_S,
    boot: bytes = b"",
) -> tuple[WebSocket, NodeId]:
    """Return an open WebSocket to the node at `address`, and its id.

    Args:
        address: host (may be a name) and port; link-local without scope means each interface.
        contexts: from `Credentials.client_context(ALPN_SWARM)` or a `TlsRing`.
        path: "/client", "/peer" or "/keys".
        peer: the node that is meant; None when any node of the mesh will do.
        timeout_s: for all of it, > 0.
        boot: see `upgrade.BOOT_HEADER`.

    Raises:
        DialError: with the reason, for people.
    """
    with trio.move_on_after(timeout_s):
        if is_link_local(address[0]) and "%" not in address[0]:
            stream, identity = await race_tls([address], contexts, peer)
        else:
            stream, identity = await open_tls(address, contexts, peer)
        websocket, _ = await upgrade_stream(stream, path, boot)
        return websocket, identity
    raise DialError(f"{address[0]} port {address[1]}: no answer within {timeout_s:g} s")


async def upgrade_stream(stream: TlsStream, path: str, boot: bytes = b"") -> tuple[WebSocket, bytes]:
    """Return (WebSocket, boot of the server) on a stream to a node; the stream is closed when that fails.

    Raises:
        DialError: with the reason, for people.
    """
    try:
        return await request_upgrade(stream, path, boot)
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if isinstance(error, (trio.BrokenResourceError, RemoteProtocolError)):
            raise DialError(_tls_reason(error)) from None
        raise


async def _connect(address: Address) -> trio.SocketStream:
    """Return a TCP stream to the first of the host's addresses that accepts."""
    found = await trio.socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    failure: OSError = OSError(errno.EADDRNOTAVAIL, "the host has no address")
    for family, kind, protocol, _, sockaddr in found:
        sock = trio.socket.socket(family, kind, protocol)
        try:
            await sock.connect(sockaddr)
            stream = trio.SocketStream(sock)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            keep_alive(stream)
            return stream
    raise failure


def _expand(addresses: Sequence[Address]) -> list[Address]:
    """Return what to try: a link-local address without scope means each interface."""
    if not any(is_link_local(host) and "%" not in host for host, _ in addresses):
        return list(addresses[:ADDRESS_COUNT_MAX])
    usable = interfaces.choose_usable(interfaces.list_interfaces())
    targets: list[Address] = []
    for address in addresses:
        targets.extend(interfaces.with_scopes(address, usable))
    return targets[:ADDRESS_COUNT_MAX]


def _tls_reason(error: BaseException) -> str:
    """Return for people why a handshake failed."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "a node of another mesh answers: is the invitation the right one?"
    if isinstance(cause, ssl.SSLError):
        reason = (cause.reason or "").lower().replace("_", " ")
        if "alert" in reason and ("unknown ca" in reason or "certificate" in reason or "decrypt" in reason):
            return "the node does not accept this invitation: it belongs to another mesh"
        return f"no TLS of a mesh is spoken there ({reason or cause})"
    if isinstance(error, RemoteProtocolError):
        return str(error)
    return f"the connection broke during the handshake ({cause or repr(error)})"

"""Trying everything out: calls to everybody, datagrams and TLS connections to each known node, the router.

Works beside a running node: it has sockets of its own, shares the discovery port with the node, and speaks
as a client, which changes nothing in anybody's table.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any, Final, final

import h11
import trio

from swarm.client.reach import Reach, find_reach
from swarm.core.errors import ConnectFailed, DecodeError, SwarmError
from swarm.core.hosts import host_rank
from swarm.core.ids import NO_BALLOT, NODE_ID_SIZE, Address, parse_short, short
from swarm.daemon.hearing import Hearing, own_hosts
from swarm.daemon.home import Home, default_home
from swarm.daemon.seeking import likely_routers
from swarm.doctor import host_facts
from swarm.doctor.evidence import ANSWERED, REFUSED, SILENT, STRANGER, UNREACHABLE, Evidence, PeerEvidence
from swarm.doctor.known import ask_node, find_peers, make_peer
from swarm.gossip.config import GossipConfig
from swarm.gossip.rumours import unpack_rumour_untrusted
from swarm.net.dial import DialError, race_tls
from swarm.net.discovery_sockets import WAYS, discovery_socket
from swarm.net.http_stream import HttpStream
from swarm.net.interfaces import choose_usable, list_interfaces, resolve_addresses
from swarm.net.keys import ALPN_HTTP, MeshKeys
from swarm.net.seal import PAYLOAD_SIZE_MAX, BadSeal, Sealer
from swarm.net.sockets import DISCOVERY_PORT, NodeSockets, open_sockets
from swarm.net.udp import UdpEndpoint
from swarm.wire.codec import Body, Stamp, pack_frame, unpack_frame_untrusted
from swarm.wire.messages import CLIENT_HELLO, HELLO

SECONDS_DEFAULT: Final = 7.0
"""Longer than the longest pause between two hellos of one node."""
TIME_MAX_S: Final = 2.0**40
"""Clocks are not believed beyond this."""
_CALL_TIMES_S: Final = (0.0, 0.3, 0.5, 0.7)
_ASK_PAUSES_S: Final = (0.3, 0.5, 0.9)
_QUIET_S: Final = 0.2
_TLS_TIMEOUT_S: Final = 4.0
_ROUTER_TIMEOUT_S: Final = 1.0
_ROUTER_PORT: Final = 9
_CALLERS_MAX: Final = 32
_DONT_FRAGMENT: Final = (
    (socket.AF_INET, socket.IPPROTO_IP, 10, 3),
    (socket.AF_INET6, socket.IPPROTO_IPV6, 23, 3),
)
"""(family, level, option, value): IP_MTU_DISCOVER = IP_PMTUDISC_PROBE of Linux, and the same of IPv6."""


async def examine(home: Path | None, mesh: str, seconds: float) -> Evidence:
    """Return what was found out about this host and its network; takes at least `seconds`.

    Args:
        home: home directory, None for the default one.
        mesh: an invitation, "" for the mesh that is known here.
        seconds: how long to listen.

    Raises:
        ConfigError: a faulty invitation.
    """
    place = Home(home or default_home())
    evidence = Evidence(home=str(place.root), is_root=host_facts.is_root(), is_phone=host_facts.is_phone())
    try:
        reach: Reach | None = find_reach("", mesh, home)
    except ConnectFailed:
        reach = None
    node: dict[str, Any] = {} if mesh else await trio.to_thread.run_sync(ask_node, place)
    evidence.has_node = bool(node)
    evidence.mesh = "" if reach is None else reach.mesh
    evidence.interfaces = list_interfaces()
    usable = choose_usable(evidence.interfaces)
    if node:
        usable = [item for item in evidence.interfaces if item.name in node["interfaces"]]
        evidence.uses_multicast = bool(node["multicast"])
    evidence.usable = [item.name for item in usable]
    evidence.mtu_bytes = host_facts.mtu_bytes(evidence.usable)
    evidence.peers = find_peers(node, reach, place, usable)
    evidence.discovery_error = _discovery_error()
    await Prober(evidence, reach).run(seconds)
    if node:
        _add_what_the_node_heard(evidence, await trio.to_thread.run_sync(ask_node, place) or node)
    return evidence


@final
class Prober:
    """Fills in evidence.

    Args:
        evidence: of this host, with the peers to try; gets what comes of it.
        reach: how to reach the mesh; None for none: then only echoes are looked for.
    """

    def __init__(self, evidence: Evidence, reach: Reach | None) -> None:
        self._evidence = evidence
        self._reach = reach
        keys = reach.keys if reach is not None else None
        evidence.has_secret = keys is not None
        self._identity = reach.credentials.identity if reach is not None else os.urandom(NODE_ID_SIZE)
        # Without a secret, datagrams of a mesh of our own show whether they come back.
        self._sealer = Sealer(keys or MeshKeys(os.urandom(32)), self._identity)
        self._gossip = GossipConfig()
        self._hearing = Hearing(time.monotonic, self._gossip.hello_interval_max_s)
        self._usable = [item for item in evidence.interfaces if item.name in evidence.usable]
        self._answers: dict[str, int] = {}
        self._refused: list[Address] = []
        self._callers: dict[Address, str] = {}
        self._names: dict[str, str] = {}
        self._news = trio.Event()
        self._endpoint: UdpEndpoint | None = None
        self._context: ssl.SSLContext | None = None
        if reach is not None:
            self._context = reach.credentials.client_context(ALPN_HTTP)

    async def run(self, seconds: float) -> None:
        """Try everything out; takes at least `seconds`."""
        sockets = open_sockets(0)
        _forbid_fragments(sockets)
        try:
            async with trio.open_nursery() as nursery:
                self._endpoint = UdpEndpoint(
                    sockets,
                    self._on_packet,
                    self._on_refused,
                    interfaces=self._evidence.usable,
                    on_hello=self._on_hello,
                )
                await nursery.start(self._endpoint.run)
                async with trio.open_nursery() as tries:
                    tries.start_soon(trio.sleep, seconds)
                    tries.start_soon(self._ask_router)
                    # First, for its answers cannot be told from those to questions for one node.
                    await self._call()
                    for peer in self._evidence.peers:
                        tries.start_soon(self._try_peer, peer)
                nursery.cancel_scope.cancel()
        finally:
            sockets.close()
        self._conclude()

    def _conclude(self) -> None:
        evidence = self._evidence
        assert self._endpoint is not None, "it has run"
        evidence.join_error = self._endpoint.join_error()
        view = self._hearing.view(self._usable)
        for way in WAYS:
            hosts = view[way]["hosts"]
            evidence.ways[way] = list(hosts) if isinstance(hosts, list) else []
        evidence.echoes = [way for way in WAYS if view[way]["own_age_s"] is not None]
        evidence.other_meshes = self._hearing.foreign_hosts()
        evidence.callers = list(self._callers)

    # Calling everybody

    async def _call(self) -> None:
        """Call everybody, and add to the peers who answers and was not known."""
        assert self._endpoint is not None, "it runs"
        for pause_s in _CALL_TIMES_S:
            await trio.sleep(pause_s)
            self._endpoint.send_everywhere_nowait(self._sealer.seal(self._question()))
        await trio.sleep(_QUIET_S)
        peers = self._evidence.peers
        for peer in peers:
            for place in peer.addresses:
                peer.node_id = peer.node_id or self._callers.get(place, "")
        ids = [peer.node_id for peer in peers]
        own = own_hosts(self._usable)
        # IPv4 first: one node answers by several ways, and people know it by that.
        for place in sorted(self._callers, key=_rank_of):
            node_id = self._callers[place]
            if node_id not in ids and place[0] not in own:
                ids.append(node_id)
                peers.append(make_peer([place], self._usable, node_id=node_id))
        for peer in peers:
            if not peer.state:
                peer.name = self._names.get(peer.node_id, peer.name)

    def _question(self, size_bytes: int = 0) -> bytes:
        stamp = Stamp(self._identity, NO_BALLOT, 0)
        body: list[object] = [bytes(size_bytes)] if size_bytes else []
        return pack_frame(CLIENT_HELLO, stamp, body)

    def _on_packet(self, datagram: bytes, source: Address) -> None:
        try:
            frame = unpack_frame_untrusted(self._sealer.open_untrusted(datagram, source))
        except BadSeal as error:
            if error.reason == "tag":
                self._hearing.note_foreign(datagram, source[0])
            return
        except DecodeError:
            return
        if frame.kind == HELLO:
            node_id = short(frame.stamp.sender)
            with contextlib.suppress(DecodeError):
                self._names[node_id] = unpack_rumour_untrusted(
                    Body(frame.body).take_bytes(), self._gossip
                ).name
            self._note_answer(node_id, source)

    def _on_hello(self, datagram: bytes, source: Address, way: str) -> None:
        try:
            self._sealer.open_untrusted(datagram, source)
        except BadSeal as error:
            if error.reason == "tag":
                self._hearing.note_foreign(datagram, source[0])
            elif error.reason == "own":
                self._hearing.note_own(way)
            elif error.reason == "replay":
                self._hearing.note_copy(datagram, source[0], way)
            return
        self._hearing.note_opened(datagram, source[0], way)

    def _on_refused(self, address: Address) -> None:
        self._refused.append(address)
        self._wake()

    def _note_answer(self, node_id: str, source: Address) -> None:
        for key in (node_id, source[0]):
            self._answers[key] = self._answers.get(key, 0) + 1
        if len(self._callers) < _CALLERS_MAX:
            self._callers.setdefault(source, node_id)
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()

    # One peer

    async def _try_peer(self, peer: PeerEvidence) -> None:
        peer.addresses = await resolve_addresses(peer.addresses) or peer.addresses
        async with trio.open_nursery() as nursery:
            if self._evidence.has_secret:
                nursery.start_soon(self._try_udp, peer)
            if self._context is not None:
                nursery.start_soon(self._try_tcp, peer, self._context)

    async def _try_udp(self, peer: PeerEvidence) -> None:
        peer.udp = await self._ask(peer, self._question())
        if peer.udp == ANSWERED:
            await trio.sleep(_QUIET_S)
            overhead = len(self._question(1000)) - 1000
            peer.udp_large = await self._ask(peer, self._question(PAYLOAD_SIZE_MAX - overhead))

    async def _ask(self, peer: PeerEvidence, payload: bytes) -> str:
        assert self._endpoint is not None, "it runs"
        before = self._count(peer)
        for pause_s in _ASK_PAUSES_S:
            for place in peer.addresses:
                self._endpoint.send_nowait(place, self._sealer.seal(payload))
            with trio.move_on_after(pause_s):
                while self._count(peer) == before and not self._is_refused(peer):
                    await self._news.wait()
            if self._count(peer) != before:
                return ANSWERED
            if self._is_refused(peer):
                return REFUSED
        return SILENT

    def _count(self, peer: PeerEvidence) -> int:
        if peer.node_id:
            return self._answers.get(peer.node_id, 0)
        return sum([self._answers.get(host, 0) for host, _ in peer.addresses])

    def _is_refused(self, peer: PeerEvidence) -> bool:
        return any(place in self._refused for place in peer.addresses)

    async def _try_tcp(self, peer: PeerEvidence, context: ssl.SSLContext) -> None:
        try:
            node = parse_short(peer.node_id, NODE_ID_SIZE) if peer.node_id else None
            with trio.fail_after(_TLS_TIMEOUT_S):
                stream, _ = await race_tls(peer.addresses, context, node)
                try:
                    await self._ask_health(peer, HttpStream(stream, h11.CLIENT))
                finally:
                    await trio.aclose_forcefully(stream)
        except trio.TooSlowError:
            peer.tcp, peer.detail = SILENT, "no answer"
        except DialError as error:
            peer.tcp, peer.detail = _outcome_of(error), str(error)
        except (trio.BrokenResourceError, h11.ProtocolError, ValueError, SwarmError) as error:
            peer.tcp, peer.detail = STRANGER, str(error) or repr(error)

    async def _ask_health(self, peer: PeerEvidence, http: HttpStream) -> None:
        """Ask for name and time; the middle of question and answer is when the clock was read."""
        peer.tcp = ANSWERED
        began, began_at = time.monotonic(), time.time()
        await http.send(h11.Request(method=b"GET", target=b"/health", headers=[(b"host", b"swarm")]))
        await http.send(h11.EndOfMessage())
        body = b""
        while not isinstance(event := await http.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                body += bytes(event.data)
            elif not isinstance(event, (h11.Response, h11.InformationalResponse)):
                return
        peer.round_trip_s = time.monotonic() - began
        name, told_s = health_untrusted(body)
        if told_s is not None:
            peer.skew_s = told_s - (began_at + peer.round_trip_s / 2)
        if name and not peer.state:
            peer.name = name

    # The router

    async def _ask_router(self) -> None:
        """See whether anybody else is there on the network: a closed port answers too."""
        for host in likely_routers(self._usable):
            with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                self._evidence.router = SILENT
                try:
                    with trio.fail_after(_ROUTER_TIMEOUT_S):
                        await sock.connect((host, _ROUTER_PORT))
                        await sock.send(b"")
                        await sock.recv(1)
                except ConnectionRefusedError:
                    self._evidence.router = REFUSED
                    return
                except (OSError, trio.TooSlowError):
                    continue


def _rank_of(place: Address) -> int:
    return host_rank(place[0])


def _outcome_of(error: DialError) -> str:
    text = str(error)
    if error.was_refused:
        return REFUSED
    if any(part in text for part in ("another mesh", "another node", "no TLS", "handshake", "not a node")):
        return STRANGER
    if any(part in text.lower() for part in ("no route", "unreachable")):
        return UNREACHABLE
    return SILENT


def _forbid_fragments(sockets: NodeSockets) -> None:
    """Let datagrams arrive whole or not at all."""
    if not sys.platform.startswith("linux"):
        return
    for sock in sockets.udp:
        for family, level, option, value in _DONT_FRAGMENT:
            if sock.family == family:
                sock.setsockopt(level, option, value)


def health_untrusted(body: bytes) -> tuple[str, float | None]:
    """Return (name, clock in seconds) that a node tells of itself, "" and None for what it does not tell.

    Raises:
        DecodeError: it tells no JSON object.
    """
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"an answer that is no JSON: {error}") from None
    if not isinstance(told, dict):
        raise DecodeError("an answer that is no JSON object")
    name, told_s = told.get("name"), told.get("time")
    if not isinstance(told_s, (int, float)) or not 0 <= told_s < TIME_MAX_S:
        told_s = None
    return name if isinstance(name, str) else "", told_s


def _discovery_error() -> str:
    """Return why nobody can listen on the discovery port, "" when that is possible."""
    reasons: list[str] = []
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            discovery_socket(family, DISCOVERY_PORT).close()
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                reasons.append(error.strerror or str(error))
        else:
            return ""
    return reasons[0] if reasons else "no IPv4 and no IPv6 on this host"


def _add_what_the_node_heard(evidence: Evidence, node: dict[str, Any]) -> None:
    """Count what the running node heard in the time in which a healthy network lets hear something."""
    quiet_s = Hearing(time.monotonic, GossipConfig().hello_interval_max_s).quiet_after_s
    for way, told in node["ways"].items():
        age_s = told.get("age_s")
        if age_s is not None and age_s <= quiet_s:
            known = evidence.ways.setdefault(way, [])
            known.extend([host for host in told["hosts"] if host not in known])
    evidence.join_error = evidence.join_error or str(node.get("join_error", ""))
    evidence.other_meshes = sorted({*evidence.other_meshes, *node.get("other_meshes", [])})
    if float(node.get("uptime_s", 0.0)) > 60.0:
        evidence.was_dialled = int(node.get("accepted", 0)) > 0

"""What was found out about a host and its network, before anybody judges it."""

from __future__ import annotations

from dataclasses import dataclass, field

from swarm.core.ids import Address
from swarm.net.interfaces import Interface

ANSWERED = "answered"
REFUSED = "refused"
SILENT = "silent"
UNREACHABLE = "unreachable"
STRANGER = "stranger"
UNTRIED = "untried"
"""What came of a try: an answer; a refusal by the host; nothing; no way there; somebody who is no node of
this mesh; not tried."""


@dataclass(kw_only=True)
class PeerEvidence:
    """What is known and was found out about one other node.

    Attributes:
        name: what people call it, else its address.
        node_id: its short id, "" when it is not known.
        state: in the own node's table, "" when no node runs here.
        addresses: where it was tried.
        is_near: one of them is on a link of this host.
        udp, udp_large: what came of a small datagram, and of one of the largest size that is sent whole.
        tcp: what came of a TLS connection.
        detail: the reason that the system or TLS gave.
        skew_s: how far its clock is ahead of ours, None when it was not told.
        round_trip_s: of that question.
    """

    name: str
    node_id: str
    state: str
    addresses: list[Address]
    is_near: bool
    udp: str = UNTRIED
    udp_large: str = UNTRIED
    tcp: str = UNTRIED
    detail: str = ""
    skew_s: float | None = None
    round_trip_s: float = 0.0

    def is_reached(self) -> bool:
        """Return whether it answered in any way."""
        return ANSWERED in (self.udp, self.tcp)


@dataclass(kw_only=True)
class Evidence:
    """Everything about one host.

    Attributes:
        mesh: name of the mesh meant, "" when none is known here.
        home: home directory.
        has_node: a node runs in it.
        has_secret: whether datagrams could be sealed; with a client's invitation they cannot.
        uses_multicast: the running node does, or one would.
        is_root: this process may do anything.
        is_phone: this is Android.
        interfaces: all that are up.
        usable: names of those on which hellos go out.
        mtu_bytes: by name of the interface, those that are known.
        discovery_error: why nothing can be heard on the discovery port, "" when it can.
        join_error: why a group could not be joined, "" for none.
        echoes: ways by which our own call to everybody came back.
        ways: hosts by the ways by which nodes there were heard, by us now or by the node here lately.
        other_meshes: hosts from which meshes of another secret were heard.
        callers: addresses that answered our call to everybody.
        peers: other nodes.
        router: what came of asking the router, `UNTRIED` when none is likely.
        was_dialled: whether another node ever opened a connection to the one here; None: too early to tell.
    """

    mesh: str = ""
    home: str = ""
    has_node: bool = False
    has_secret: bool = False
    uses_multicast: bool = True
    is_root: bool = False
    is_phone: bool = False
    interfaces: list[Interface] = field(default_factory=list)
    usable: list[str] = field(default_factory=list)
    mtu_bytes: dict[str, int] = field(default_factory=dict)
    discovery_error: str = ""
    join_error: str = ""
    echoes: list[str] = field(default_factory=list)
    ways: dict[str, list[str]] = field(default_factory=dict)
    other_meshes: list[str] = field(default_factory=list)
    callers: list[Address] = field(default_factory=list)
    peers: list[PeerEvidence] = field(default_factory=list)
    router: str = UNTRIED
    was_dialled: bool | None = None

"""How this node finds others, as the seeker, `swarm status` and `swarm doctor` see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import final

from swarm.core.ids import Address, short
from swarm.daemon.assembly import Assembly
from swarm.daemon.renewal import renewal_notice
from swarm.gossip.members import MemberEntry
from swarm.net.interfaces import Interface


@final
class NodeGround:
    """The node of an assembly, for `swarm.daemon.seeking`."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly

    def interfaces(self) -> list[Interface]:
        """Return the interfaces on which hellos go out."""
        return self._assembly.udp.usable_interfaces()

    def members(self) -> list[list[Address]]:
        """Return the addresses of each living member but this node."""
        return [entry.addresses for entry in self._others() if entry.is_listed()]

    def greet(self, places: Sequence[Address]) -> None:
        """Say hello to addresses."""
        self._assembly.driver.greet(places)

    def note(self, event: str, values: dict[str, object]) -> None:
        """Write into the log."""
        self._assembly.log.event(event, values)

    def _others(self) -> list[MemberEntry]:
        me = self._assembly.key.node_id
        return [entry for entry in self._assembly.node.gossip.entries() if entry.node_id != me]


@final
class DiscoveryView:
    """Answers the operation "discovery", and makes the notices of "status".

    Args:
        assembly: the parts of the daemon.
        accepted: gives how many connections other nodes have opened to this one.
    """

    def __init__(self, assembly: Assembly, accepted: Callable[[], int]) -> None:
        self._assembly = assembly
        self._accepted = accepted

    def notices(self, dead_ways: Sequence[str]) -> list[dict[str, str]]:
        """Return what people should know about this node's network: [{code, text}]."""
        parts = self._assembly
        found: list[dict[str, str]] = []
        unheard = parts.hearing.notice(dead_ways)
        if unheard:
            found.append({"code": "multicast_not_heard", "text": f"{unheard} (`swarm doctor` says more)"})
        if parts.udp.join_error() and not parts.udp.addresses():
            found.append({"code": "no_group", "text": f"no multicast group: {parts.udp.join_error()}"})
        statistics = parts.node.gossip.statistics()
        foreign = parts.hearing.foreign_hosts()
        if foreign and statistics["alive"] <= 1:
            text = (
                f"alone in mesh {parts.mesh.invitation.mesh}, while another mesh is heard from {foreign[0]}"
            )
            found.append({"code": "other_mesh_heard", "text": text})
        if statistics.get("clones_met", 0):
            text = "another process had this node's identity and was told to take its own: a copied home"
            found.append({"code": "identity_cloned", "text": text})
        renewed = renewal_notice(parts.home)
        if renewed:
            found.append({"code": "identity_renewed", "text": renewed})
        return found

    def discovery(self, dead_ways: Sequence[str]) -> dict[str, object]:
        """Return everything about finding others that a diagnosis wants."""
        parts = self._assembly
        interfaces = parts.udp.usable_interfaces()
        return {
            "mesh": parts.mesh.invitation.mesh,
            "port": parts.sockets.port,
            "time": round(time.time(), 3),
            "uptime_s": round(parts.uptime_s(), 3),
            "multicast": parts.settings.use_multicast,
            "scan": parts.settings.use_scan,
            "addresses": [list(address) for address in parts.udp.addresses()],
            "interfaces": [interface.name for interface in interfaces],
            "ways": parts.hearing.view(interfaces),
            "dead_ways": list(dead_ways),
            "other_meshes": parts.hearing.foreign_hosts(),
            "join_error": parts.udp.join_error(),
            "accepted": self._accepted(),
            "members": [self._row(entry) for entry in parts.node.gossip.entries()],
        }

    def _row(self, entry: MemberEntry) -> dict[str, object]:
        return {
            "id": short(entry.node_id),
            "name": entry.description.name,
            "state": entry.view().state,
            "is_self": entry.node_id == self._assembly.key.node_id,
            "addresses": [list(address) for address in entry.addresses],
        }

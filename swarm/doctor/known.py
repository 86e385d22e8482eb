"""Which other nodes are known on this host: to the running node, in its journal, in its mesh file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from swarm.client.reach import Reach
from swarm.core.errors import SwarmError
from swarm.core.hosts import address_text
from swarm.core.ids import Address
from swarm.daemon.api_client import call_local
from swarm.daemon.hearing import own_hosts
from swarm.daemon.home import Home
from swarm.doctor.evidence import PeerEvidence
from swarm.net.interfaces import Interface
from swarm.node_restore import remembered_addresses

PEERS_MAX = 24
ADDRESSES_MAX = 4


def ask_node(home: Home) -> dict[str, Any]:
    """Return what the node of a home says about finding others, {} when none runs or answers."""
    try:
        return dict(call_local(home, "discovery", timeout_s=5.0))
    except SwarmError:
        return {}


def find_peers(
    node: dict[str, Any], reach: Reach | None, home: Home, interfaces: Sequence[Interface]
) -> list[PeerEvidence]:
    """Return the other nodes to try, those of the running node's table first, at most `PEERS_MAX`."""
    peers: list[PeerEvidence] = []
    for row in node.get("members", []):
        if row.get("is_self") or row.get("state") == "left":
            continue
        addresses = [(str(host), int(port)) for host, port in row.get("addresses", [])]
        peers.append(make_peer(addresses, interfaces, str(row["name"]), str(row["id"]), str(row["state"])))
    own = own_hosts(interfaces)
    known = [place for peer in peers for place in peer.addresses]
    others = remembered(home) + ([] if reach is None else reach.addresses)
    for place in [] if node else others:
        if place not in known and place[0] not in own and place[0] != "127.0.0.1":
            known.append(place)
            peers.append(make_peer([place], interfaces))
    peers.sort(key=lambda peer: (peer.state not in ("alive", "suspect"), not peer.is_near))
    return peers[:PEERS_MAX]


def make_peer(
    addresses: Sequence[Address],
    interfaces: Sequence[Interface],
    name: str = "",
    node_id: str = "",
    state: str = "",
) -> PeerEvidence:
    """Return a peer of which nothing has been found out yet."""
    kept = list(addresses[:ADDRESSES_MAX])
    return PeerEvidence(
        name=name or (address_text(kept[0]) if kept else ""),
        node_id=node_id,
        state=state,
        addresses=kept,
        is_near=any(item.is_link_of(host) for item in interfaces for host, _ in kept),
    )


def remembered(home: Home) -> list[Address]:
    """Return the addresses in the journal of a home, which is not touched; none when it cannot be read."""
    try:
        connection = sqlite3.connect(f"{home.journal.as_uri()}?mode=ro", uri=True, timeout=1.0)
        try:
            found = connection.execute("SELECT tab, key, value FROM rows WHERE tab = 'members'").fetchall()
        finally:
            connection.close()
    except (sqlite3.Error, ValueError):
        return []
    return remembered_addresses([row for row in found if isinstance(row[2], bytes)])

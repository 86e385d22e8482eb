"""Addresses kept on disk, for a start at which nobody answers a multicast.

A start asks a bounded number of remembered addresses, so no more are kept, and their places are given on when
a member is forgotten: a mesh of a thousand writes no thousand rows to each SD card.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import Erase, Persist
from swarm.core.ids import NodeId
from swarm.gossip.context import Context
from swarm.gossip.interning import Interner
from swarm.gossip.members import MemberEntry, MemberTable
from swarm.wire.codec import pack

_TABLE: Final = "members"


@final
class Remembered:
    """Which members' addresses are in the journal: rows ("members", node id) of [name, addresses]."""

    def __init__(self, context: Context, interner: Interner | None) -> None:
        self._context: Final = context
        self._interner: Final = interner
        self._kept: dict[NodeId, bool] = {}

    def note(self, entry: MemberEntry) -> None:
        """Take that a member is reached elsewhere than before, or for the first time."""
        if entry.node_id in self._kept or len(self._kept) < self._context.config.contacts_max:
            self._keep(entry)

    def forget(self, node_id: NodeId, table: MemberTable) -> None:
        """Take that a member is forgotten; one that is there gets its place."""
        if not self._kept.pop(node_id, False):
            return
        self._context.emit(Erase(_TABLE, node_id))
        for other in table.listed():
            if other not in self._kept and other != self._context.node_id:
                entry = table.entry(other)
                if entry.addresses:
                    self._keep(entry)
                    return

    def _keep(self, entry: MemberEntry) -> None:
        self._kept[entry.node_id] = True
        places = [[host, port] for host, port in entry.addresses]
        value = pack([entry.description.name, places])
        if self._interner is not None:
            value = self._interner.row(value)
        self._context.emit(Persist(_TABLE, entry.node_id, value, False))

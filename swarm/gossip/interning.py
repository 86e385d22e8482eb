"""One object for what is equal: when many nodes live in one process, they hold thousands of equal things.

The simulator gives one :class:`Interner` to all its nodes; a daemon has none. Everything in it is immutable
by agreement, so that a run is the same run with it and without. What it saves is memory, and the decoding of
what a thousand nodes receive alike.

A mesh of n nodes has n tables of n entries. While it is quiet they say the same, and n nodes hold one table.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import NodeId, short
from swarm.gossip.config import GossipConfig
from swarm.gossip.members import MemberEntry, MemberTable
from swarm.gossip.rumours import ALIVE, Rumour, unpack_rumour_untrusted
from swarm.wire.codec import Frame, FramePacker, unpack_frame_untrusted

SIZE_MAX: Final = 1 << 17
_FRAMES_MAX: Final = 1 << 8
_TABLES_MAX: Final = 8


@final
class SharedTable:
    """The entries of a table, and the sorted ids, that several nodes hold."""

    def __init__(self, entries: dict[NodeId, MemberEntry], listed: list[NodeId]) -> None:
        self.entries: Final = entries
        self.listed: Final = listed


@final
class Interner:
    """Equal rumours, entries, tables and frames become one object. Bounded: when full, it starts anew.

    Args:
        config: of gossip; nodes with other settings do not share members, for what they accept differs.
        size_max: rumours, entries and rows kept, of each, >= 1.

    Attributes:
        packer: of the frames of all nodes.
    """

    def __init__(self, config: GossipConfig, size_max: int = SIZE_MAX) -> None:
        self.config: Final = config
        self._size_max: Final = size_max
        self.packer: Final = FramePacker()
        self._rumours: dict[bytes, Rumour] = {}
        self._entries: dict[bytes, MemberEntry] = {}
        self._shorts: dict[NodeId, str] = {}
        self._rows: dict[bytes, bytes] = {}
        self._frames: dict[bytes, Frame] = {}
        self._tables: dict[bytes, SharedTable] = {}

    def rumour(self, packed: bytes) -> Rumour:
        """Return the rumour in `packed`.

        Raises:
            DecodeError: as `unpack_rumour_untrusted`.
        """
        found = self._rumours.get(packed)
        if found is None:
            if len(self._rumours) >= self._size_max:
                self._rumours.clear()
            found = unpack_rumour_untrusted(packed, self.config)
            self._rumours[packed] = found
        return found

    def entry(self, description: Rumour) -> MemberEntry:
        """Return the shared entry of a member of which only its own words are known."""
        assert description.state == ALIVE, "an entry begins with a member's own words"
        found = self._entries.get(description.packed)
        if found is None:
            if len(self._entries) >= self._size_max:
                self._entries.clear()
            found = MemberEntry(description, True)
            self._entries[description.packed] = found
        return found

    def short(self, node_id: NodeId) -> str:
        """Return the short form of a node id."""
        found = self._shorts.get(node_id)
        if found is None:
            if len(self._shorts) >= self._size_max:
                self._shorts.clear()
            found = short(node_id)
            self._shorts[node_id] = found
        return found

    def row(self, value: bytes) -> bytes:
        """Return the one object for a row of a journal."""
        if len(self._rows) >= self._size_max:
            self._rows.clear()
        return self._rows.setdefault(value, value)

    def frame(self, payload: bytes) -> Frame:
        """Return the frame in `payload`; worth it for what goes to everybody.

        Raises:
            DecodeError: as `unpack_frame_untrusted`.
        """
        found = self._frames.get(payload)
        if found is None:
            if len(self._frames) >= _FRAMES_MAX:
                self._frames.clear()
            found = unpack_frame_untrusted(payload)
            self._frames[payload] = found
        return found

    def share(self, table: MemberTable) -> None:
        """Let a table that has settled hold its entries together with others that say the same."""
        own = table.own
        if table.is_shared or own is None or not own.is_plain():
            return
        self._frames.clear()  # the crowd of hellos is over
        entries, listed = table.shared_part()
        known = self._tables.get(table.digest())
        if known is None:
            # What others hold of this node is what they were told, not the entry that it changes itself.
            for entry in entries.values():
                if not (entry.is_shared or entry is own):
                    return
            entries[own.node_id] = self.entry(self.rumour(own.description.packed))
            if len(self._tables) >= _TABLES_MAX:
                self._tables.clear()
            known = SharedTable(entries, listed)
            self._tables[table.digest()] = known
        elif not self._is_equal(entries, known, own):
            return
        table.adopt(known.entries, known.listed)

    def _is_equal(self, entries: dict[NodeId, MemberEntry], known: SharedTable, own: MemberEntry) -> bool:
        if len(entries) != len(known.entries):
            return False
        for node_id, entry in known.entries.items():
            if node_id != own.node_id and entries.get(node_id) is not entry:
                return False
        return known.entries[own.node_id] is self._entries.get(own.description.packed)

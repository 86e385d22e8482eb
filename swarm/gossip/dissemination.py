"""The queue of rumours to pass on: each a bounded number of times, refutations first, rare ones next."""

from __future__ import annotations

import math
from typing import Final

from swarm.core.ids import NodeId
from swarm.gossip.config import GossipConfig

RUMOUR_OVERHEAD_BYTES: Final = 3
"""msgpack's header of a byte string below 64 KiB."""

_MISFITS_MAX: Final = 16
"""Rumours too large for the room left that are looked at before a packet is called full."""


def transmission_limit(config: GossipConfig, alive_count: int) -> int:
    """Return how often a rumour is sent in a mesh of `alive_count` members.

    Source: SWIM (2002) section 4.1: a multiple of log n reaches all but a vanishing share.
    """
    return config.retransmit_multiplier * math.ceil(math.log10(alive_count + 1))


class QueuedRumour:
    """A rumour in the queue."""

    def __init__(self, node_id: NodeId, packed: bytes, is_urgent: bool) -> None:
        self.node_id: Final = node_id
        self.packed: Final = packed
        self.is_urgent: Final = is_urgent
        self.sent_count = 0


class RumourQueue:
    """At most one rumour per member, the newest; bounded.

    Rumours lie in rows by how often they were sent, urgent ones (refutations) in rows of their own that
    are always emptied first: an answer to an accusation must not queue behind news.
    """

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._urgent: list[dict[NodeId, QueuedRumour]] = []
        self._normal: list[dict[NodeId, QueuedRumour]] = []
        self._by_member: dict[NodeId, QueuedRumour] = {}

    def __len__(self) -> int:
        return len(self._by_member)

    def put(self, node_id: NodeId, packed: bytes, is_urgent: bool) -> bool:
        """Queue a rumour in place of any older one about the same member.

        Returns:
            False when another rumour had to be dropped to make room.
        """
        self.drop(node_id)
        has_room = len(self._by_member) < self._size_max
        if not has_room:
            self._drop_most_sent()
        rumour = QueuedRumour(node_id, packed, is_urgent)
        self._by_member[node_id] = rumour
        self._row(rumour)[node_id] = rumour
        return has_room

    def drop(self, node_id: NodeId) -> None:
        """Forget the rumour about a member, if there is one."""
        rumour = self._by_member.pop(node_id, None)
        if rumour is not None:
            del self._row(rumour)[node_id]

    def take(self, budget_bytes: int, limit: int, count_max: int) -> list[bytes]:
        """Return rumours to put into one packet and count them as sent once more.

        Args:
            budget_bytes: what they may take together, headers included.
            limit: rumours sent this often are forgotten.
            count_max: at most so many.
        """
        chosen: list[QueuedRumour] = []
        room = self._choose(self._urgent, budget_bytes, count_max, chosen)
        self._choose(self._normal, room, count_max, chosen)
        for rumour in chosen:
            del self._row(rumour)[rumour.node_id]
            rumour.sent_count += 1
            if rumour.sent_count >= limit:
                del self._by_member[rumour.node_id]
            else:
                self._row(rumour)[rumour.node_id] = rumour
        return [rumour.packed for rumour in chosen]

    def members(self) -> list[NodeId]:
        """Return about whom there are rumours, in the order of queueing."""
        return list(self._by_member)

    def _choose(
        self,
        rows: list[dict[NodeId, QueuedRumour]],
        budget_bytes: int,
        count_max: int,
        chosen: list[QueuedRumour],
    ) -> int:
        room = budget_bytes
        misfits = 0
        for row in rows:
            for rumour in row.values():
                if len(chosen) >= count_max or misfits > _MISFITS_MAX:
                    return room
                cost = len(rumour.packed) + RUMOUR_OVERHEAD_BYTES
                if cost <= room:
                    chosen.append(rumour)
                    room -= cost
                else:
                    misfits += 1
        return room

    def _row(self, rumour: QueuedRumour) -> dict[NodeId, QueuedRumour]:
        rows = self._urgent if rumour.is_urgent else self._normal
        while len(rows) <= rumour.sent_count:
            rows.append({})
        return rows[rumour.sent_count]

    def _drop_most_sent(self) -> None:
        for rows in (self._normal, self._urgent):
            for row in reversed(rows):
                for node_id in row:
                    self.drop(node_id)
                    return

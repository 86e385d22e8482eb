"""The queue of rumours to pass on: each a bounded number of times, refutations first, rare ones next."""

from __future__ import annotations

import math
from typing import Final, final

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


@final
class RumourQueue:
    """At most one rumour per member, the newest; bounded.

    Rumours lie in rows by how often they were sent, urgent ones (refutations) in rows of their own that
    are always emptied first: an answer to an accusation must not queue behind news.
    """

    def __init__(self, size_max: int) -> None:
        self._size_max: Final = size_max
        self._count = 0
        self._urgent: list[dict[NodeId, bytes]] = []
        self._normal: list[dict[NodeId, bytes]] = []

    def __len__(self) -> int:
        return self._count

    def put(self, node_id: NodeId, packed: bytes, is_urgent: bool, is_first: bool = False) -> bool:
        """Queue a rumour in place of any older one about the same member.

        Args:
            node_id: whom it is about.
            packed: its bytes.
            is_urgent: it goes before all that are not.
            is_first: there is no older one.

        Returns:
            False when another rumour had to be dropped to make room.
        """
        if not is_first:
            self.drop(node_id)
        has_room = self._count < self._size_max
        if not has_room:
            self._drop_most_sent()
        self._lay(self._urgent if is_urgent else self._normal, 0, node_id, packed)
        return has_room

    def drop(self, node_id: NodeId) -> None:
        """Forget the rumour about a member, if there is one."""
        if self._count > 0:
            for rows in (self._urgent, self._normal):
                for number in range(len(rows)):
                    if node_id in rows[number]:
                        self._lift(rows, number, node_id)
                        return

    def take(self, budget_bytes: int, limit: int, count_max: int) -> list[bytes]:
        """Return rumours to put into one packet and count them as sent once more.

        Args:
            budget_bytes: what they may take together, headers included.
            limit: rumours sent this often are forgotten.
            count_max: at most so many.
        """
        taken: list[bytes] = []
        room = self._take(self._urgent, budget_bytes, limit, count_max, taken)
        self._take(self._normal, room, limit, count_max, taken)
        return taken

    def members(self) -> list[NodeId]:
        """Return about whom there are rumours, those first that are sent first."""
        found: list[NodeId] = []
        for rows in (self._urgent, self._normal):
            for row in rows:
                found.extend(row)
        return found

    def _take(
        self,
        rows: list[dict[NodeId, bytes]],
        budget_bytes: int,
        limit: int,
        count_max: int,
        taken: list[bytes],
    ) -> int:
        """Append rumours that fit to `taken`; return the bytes left."""
        room = budget_bytes
        chosen: list[tuple[int, NodeId]] = []
        misfits = 0
        for number in range(len(rows)):
            for node_id, packed in rows[number].items():
                if len(taken) + len(chosen) >= count_max or misfits > _MISFITS_MAX:
                    break
                cost = len(packed) + RUMOUR_OVERHEAD_BYTES
                if cost <= room:
                    chosen.append((number, node_id))
                    room -= cost
                else:
                    misfits += 1
        for number, node_id in chosen:
            packed = self._lift(rows, number, node_id)
            taken.append(packed)
            if number + 1 < limit:
                self._lay(rows, number + 1, node_id, packed)
        return room

    def _lay(self, rows: list[dict[NodeId, bytes]], number: int, node_id: NodeId, packed: bytes) -> None:
        while len(rows) <= number:
            rows.append({})
        rows[number][node_id] = packed
        self._count += 1

    def _lift(self, rows: list[dict[NodeId, bytes]], number: int, node_id: NodeId) -> bytes:
        packed = rows[number].pop(node_id)
        self._count -= 1
        if not rows[number]:
            # A dict never shrinks: a new one gives back the room that a crowd of rumours took.
            rows[number] = {}
        return packed

    def _drop_most_sent(self) -> None:
        for rows in (self._normal, self._urgent):
            for number in range(len(rows) - 1, -1, -1):
                for node_id in rows[number]:
                    self._lift(rows, number, node_id)
                    return

"""What others take from gossip: its effects, and looks at the table of members.

The looks are copies, or entries that must not be changed.
"""

from __future__ import annotations

from swarm.core.effects import Effect
from swarm.core.ids import Address, NodeId
from swarm.gossip.context import Context
from swarm.gossip.members import Member, MemberEntry
from swarm.gossip.membership import Membership


class GossipViews:
    """The part of `Gossip` that changes nothing."""

    def __init__(self, context: Context, membership: Membership) -> None:
        self._context = context
        self._membership = membership

    def has_effects(self) -> bool:
        """Return whether `take_effects` would return any."""
        return len(self._context.effects) > 0

    def take_effects(self) -> list[Effect]:
        """Return and forget the effects so far, oldest first, to be performed in order."""
        effects = self._context.effects
        self._context.effects = []
        return effects

    def members(self) -> list[Member]:
        """Return all members, ourselves and those dead or left a while ago included, sorted by id."""
        return [entry.view() for entry in sorted(self._membership.table.members(), key=_id_of)]

    def member(self, node_id: NodeId) -> Member | None:
        """Return one member, None when unknown."""
        entry = self._membership.table.get(node_id)
        return None if entry is None else entry.view()

    def entries(self) -> list[MemberEntry]:
        """Return the entries of all members, ours included; no copies: do not change or keep them."""
        return self._membership.table.members()

    def entry(self, node_id: NodeId) -> MemberEntry | None:
        """Return the entry of one member, None when unknown; see `entries`."""
        return self._membership.table.get(node_id)

    def take_touched(self) -> list[NodeId]:
        """Return and forget whose view changed in any way since the last call, or who was forgotten."""
        touched = list(self._membership.touched)
        self._membership.touched.clear()
        return touched

    def alive_ids(self) -> list[NodeId]:
        """Return the ids of the alive and suspect members, ourselves included, sorted."""
        return self._membership.table.listed()[:]

    def addresses_of(self, node_id: NodeId) -> list[Address]:
        """Return where to reach a member, best first; empty when unknown."""
        entry = self._membership.table.get(node_id)
        return [] if entry is None else entry.addresses[:]

    def go_betweens(self) -> dict[NodeId, NodeId]:
        """Return, of those who were heard through a helper only when last probed, that helper.

        No copy: whoever learns of a helper in another way adds it. A direct answer to a probe removes it.
        """
        return self._context.go_betweens


def _id_of(entry: MemberEntry) -> NodeId:
    return entry.node_id

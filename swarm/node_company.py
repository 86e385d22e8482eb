"""A node among its members: every part is told who is there, and it leaves when it is not needed any more."""

from __future__ import annotations

import math
from typing import Final

from swarm.core.rng import Rng
from swarm.core.timers import Timers
from swarm.node_config import NodeConfig
from swarm.node_members import tell_election, tell_scheduler, view_of
from swarm.node_ways import NodeWays

LEAST_WAIT_S: Final = 0.001
REFRESH_PAUSE_S: Final = 0.02

TIMER_COUNCIL: Final = 1
TIMER_REPORT: Final = 2
TIMER_MEMBERS: Final = 3
TIMER_LEAVE: Final = 4


class NodeCompany(NodeWays):
    """The parts of a node, its ways to others, and what it makes of their coming and going.

    Args:
        config: identity, capacity and settings.
        rows: what an earlier run persisted: (table, key, value).
        rng: source of every random choice.
    """

    def __init__(self, config: NodeConfig, rows: list[tuple[str, bytes, bytes]], rng: Rng) -> None:
        super().__init__(config, rows, rng)
        self._timers = Timers()
        self._members_changed = True
        self._is_reach_stale = False
        self._are_addresses_stale = False
        self._refreshed_at = -math.inf
        self._is_scheduler_new = False
        self._is_leaving = False

    def _note_members(self) -> None:
        """Let the change of a member be seen at the end of the batch, or soon when one was seen just before.

        While a large mesh forms, each of its nodes learns of hundreds of others within a second.
        """
        if self._now - self._refreshed_at >= REFRESH_PAUSE_S:
            self._members_changed = True
        elif not self._timers.is_set(TIMER_MEMBERS, b""):
            self._timers.set(TIMER_MEMBERS, b"", self._refreshed_at + REFRESH_PAUSE_S)

    def _refresh_members(self) -> None:
        """Tell every part who is there; done once per batch."""
        self._members_changed = False
        now = self._now
        self._refreshed_at = now
        self._timers.cancel(TIMER_MEMBERS, b"")
        touched = self.gossip.take_touched()
        if touched:
            self._is_reach_stale = True
            self._are_addresses_stale = True
            self._own.extend(self.foreigners.look(self.gossip, touched))
        foreign = self.foreigners.ids
        if self.scheduler.is_leading:
            whom = None if self._is_scheduler_new else touched
            tell_scheduler(self.scheduler, self.gossip, whom, foreign, now)
            self._is_scheduler_new = False
        grace_s = tell_election(self.roster, self.gossip, touched, foreign, self.election, now)
        again_s = min(grace_s, self.handover.look(self.election, now))
        if again_s < math.inf:
            self._timers.set(TIMER_COUNCIL, b"", now + max(again_s, LEAST_WAIT_S))
        else:
            self._timers.cancel(TIMER_COUNCIL, b"")
        if self.gateway.session_count() > 0 or self.records.acceptances.has_open():
            self._tell_view()

    def _tell_view(self) -> None:
        """Tell records and gateway of everybody; only clients need it."""
        view = view_of(self.gossip.members(), self._me, self.foreigners.ids)
        self.records.acceptances.on_keepers(view.mine, view.keepers, self._now)
        self.gateway.set_peers(view.peers, view.names)

    def _tell_reach(self) -> None:
        """Tell the election where everybody is."""
        self._is_reach_stale = False
        reachable = view_of(self.gossip.members(), self._me, self.foreigners.ids).reachable
        self.election.on_members(reachable, self._now)

    def _begin_to_leave(self) -> None:
        """Lead no more, and say goodbye: at once, or as soon as others do without this node's vote.

        Who drained leaves for good; who did not may be back in a minute, and stays a voter of a strict mesh.
        """
        self._is_leaving = True
        self.election.resign(self._now, self._facts.get("draining") is True)
        wait_s = self._config.strict.leave_wait_s if self.election.is_needed() else 0.0
        self._timers.set(TIMER_LEAVE, b"", self._now + wait_s)

    def _is_free_to_leave(self) -> bool:
        """Return whether the goodbye is due: the wait is over, or its reason is."""
        if not self._timers.is_set(TIMER_LEAVE, b"") or self.election.is_needed():
            return False
        self._timers.cancel(TIMER_LEAVE, b"")
        return True

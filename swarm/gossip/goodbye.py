"""Leaving: the goodbye is said to many, several times, before the process may end."""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import LeaveFinished
from swarm.gossip.context import LEAVE, Context
from swarm.gossip.limits import choose_some
from swarm.gossip.membership import Membership
from swarm.wire.messages import RUMOURS

_GOODBYES: Final = 3


@final
class Goodbye:
    """Says three times within `leave_time_s` that this node has left; then emits `LeaveFinished`."""

    def __init__(self, context: Context, membership: Membership) -> None:
        self._context: Final = context
        self._membership: Final = membership
        self._left = 0

    def begin(self, now: float) -> None:
        """Leave; at once when nobody is there to be told."""
        self._membership.say_goodbye(now)
        self._left = _GOODBYES if self._membership.alive_count() > 0 else 0
        self.go_on(now)

    def go_on(self, now: float) -> None:
        """Say it again, or finish."""
        if self._left == 0:
            self._context.emit(LeaveFinished())
            return
        self._left -= 1
        config = self._context.config
        farewell = self._membership.own.verdict().packed
        for peer in choose_some(self._context.rng, self._membership.table.listed(), config.leave_fanout):
            entry = self._membership.table.entry(peer)
            if entry.addresses:
                self._context.send(entry.addresses[0], RUMOURS, [[farewell]])
        self._context.timers.set(LEAVE, b"", now + config.leave_time_s / _GOODBYES)

"""Where a member is reached is believed when it was proven, not because a packet came from there.

A packet that somebody recorded can be sent again, from any address, to a node that has not seen it: it is
genuine, but its source says nothing. So whoever hears a member from an unexpected source pings it there, at a
bounded rate, and learns the source when the answer comes from it: the ping's number was never sent before, so
the answer is no recording (QUIC, RFC 9000 §8.2, validates paths the same way). An answer to any other ping of
ours proves its source too. A member of several addresses is expected at all that were proven, and pinged
where it answered last.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import Address, NodeId
from swarm.gossip.context import Context
from swarm.gossip.limits import TokenBucket
from swarm.gossip.members import MemberEntry
from swarm.gossip.membership import Membership
from swarm.gossip.rumours import is_address
from swarm.wire.messages import PING

CHALLENGE_COUNT_MAX: Final = 64
"""Unanswered challenges that are remembered; the oldest makes room."""
CHALLENGE_GAP_S: Final = 1.0
"""Between two challenges of one member at one host."""
CHALLENGES_PER_S: Final = 10


@final
class Paths:
    """Checks the sources from which members are heard."""

    def __init__(self, context: Context, membership: Membership) -> None:
        self._context: Final = context
        self._membership: Final = membership
        self._challenges: dict[int, tuple[NodeId, Address]] = {}
        self._asked: dict[NodeId, tuple[str, float]] = {}
        self._bucket: Final = TokenBucket(CHALLENGES_PER_S, CHALLENGES_PER_S)

    def see(self, entry: MemberEntry, source: Address, now: float) -> None:
        """Take that a packet of a member came from `source`, whoever sent it."""
        if not self._membership.is_news(entry, source):
            return
        host, at = self._asked.get(entry.node_id, ("", 0.0))
        if (host == source[0] and now - at < CHALLENGE_GAP_S) or not self._bucket.take(now):
            return
        self._asked[entry.node_id] = (source[0], now)
        sequence = self._context.next_sequence()
        self._challenges[sequence] = (entry.node_id, source)
        if len(self._challenges) > CHALLENGE_COUNT_MAX:
            oldest = next(iter(self._challenges))
            self._asked.pop(self._challenges.pop(oldest)[0], ("", 0.0))
        self._context.count("paths_challenged")
        self._context.send(source, PING, [sequence, entry.node_id, self._membership.table.digest(), []])

    def on_ack(self, sender: NodeId, sequence: int, source: Address) -> bool:
        """Take an answer to a ping; return whether it was one to a challenge."""
        challenge = self._challenges.get(sequence)
        if challenge is None:
            return False
        if challenge == (sender, source):
            del self._challenges[sequence]
            self._asked.pop(sender, ("", 0.0))
            self.prove(sender, source)
        return True

    def prove(self, sender: NodeId, source: Address) -> None:
        """Take that a member is at `source`: it has answered something that was asked just now."""
        entry = self._membership.table.get(sender)
        if entry is not None and not entry.is_reached_at(source) and is_address(source[0], source[1]):
            self._context.count("paths_proven")
            self._membership.note_source(entry, source)

"""The stream between a follower and its leader: the follower opens it when the leader has not.

A new leader asks every member for a report, and dials it for that. It does not get through to a member that
only opens connections itself, behind an address translator or a firewall: its questions and orders would
never arrive there. So who follows and hears nothing from its leader by stream for a while says a word to it.
The stream that this opens carries everything that the leader has to say.

In a mesh where everybody can be dialled nothing is ever said: the leader is quicker.
"""

from __future__ import annotations

import math
from typing import Final, final

from swarm.core.effects import Message
from swarm.core.ids import NO_NODE, NodeId
from swarm.wire.messages import PUSH_PULL

SILENCE_S: Final = 2.0
"""How long a leader may be silent at least. A node waits up to twice as long, by the first byte of its id:
the followers of a large mesh must not all dial a leader at once that is busy dialling them."""
SILENCE_MAX_S: Final = 64.0
"""Pauses between streams that break before the leader has said anything double up to this."""


@final
class LeaderStream:
    """When to say something to the leader so that there is a stream.

    Attributes:
        opens_at: when to, infinity while there is no need to.
    """

    def __init__(self, node_id: NodeId) -> None:
        """Prepare for the node `node_id`, which follows nobody yet."""
        self.opens_at = math.inf
        self._me: Final = node_id
        self._first_wait_s: Final = SILENCE_S * (1.0 + node_id[0] / 256.0)
        self._wait_s = self._first_wait_s
        self._leader: NodeId = NO_NODE
        self._heard: NodeId = NO_NODE
        self._heard_at = 0.0

    def follow(self, leader: NodeId, now: float) -> None:
        """Take who leads: `NO_NODE` for nobody, this node itself perhaps."""
        self._leader = leader
        self._wait_s = self._first_wait_s
        is_needed = leader not in (NO_NODE, self._me)
        if self._heard == leader and self._heard_at == now:
            # The leader's question is often what tells of it.
            is_needed = False
        self.opens_at = now + self._wait_s if is_needed else math.inf

    def on_message(self, peer: NodeId, now: float) -> None:
        """A message came by stream: from the leader it shows that there is one."""
        self._heard = peer
        self._heard_at = now
        if peer == self._leader:
            self.opens_at = math.inf
            self._wait_s = self._first_wait_s

    def on_lost(self, peer: NodeId, now: float) -> None:
        """The stream to `peer` broke or could not be opened."""
        if peer == self._leader and self.opens_at == math.inf:
            self.opens_at = now + self._wait_s
            self._wait_s = min(2 * self._wait_s, SILENCE_MAX_S)

    def open(self) -> Message:
        """Return what to say to the leader: a probe over the stream, which it answers."""
        self.opens_at = math.inf
        return Message(self._leader, PUSH_PULL, [0, False, []])

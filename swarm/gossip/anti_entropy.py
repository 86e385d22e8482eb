"""Anti-entropy: finding that two tables differ, and making them equal over a stream.

Every probe carries a digest of the sender's table. Two differing digests in a row, of whomever, mean that
a rumour missed somebody (rumours under way make one differ for a moment): the two exchange their whole
tables. A peer just met is synchronised with at once when its digest differs.

Source: push-pull of Demers et al., "Epidemic algorithms" (1987) and memberlist; the digest on probes is
ours: memberlist only exchanges by the clock, every 150 s in a mesh of 500.
"""

from __future__ import annotations

from typing import Final

from swarm.core.effects import Message
from swarm.core.ids import NodeId
from swarm.gossip.context import Context
from swarm.gossip.limits import TokenBucket
from swarm.gossip.membership import Membership
from swarm.wire.messages import PUSH_PULL

_MISMATCHES_WANTED: Final = 2


class AntiEntropy:
    """Starts and answers push-pull exchanges, both at bounded rates."""

    def __init__(self, context: Context, membership: Membership) -> None:
        config = context.config
        self._context = context
        self._membership = membership
        self._starts = TokenBucket(1.0 / config.push_pull_interval_s, config.push_pull_burst)
        self._answers = TokenBucket(
            config.push_pull_replies_per_second, 2 * config.push_pull_replies_per_second
        )
        self._mismatch_count = 0
        self._interval_s = config.push_pull_interval_s
        self._allowed_at = 0.0

    def observe_digest(self, peer: NodeId, digest: bytes, now: float) -> None:
        """Compare a peer's digest with ours, after the rumours beside it were applied."""
        config = self._context.config
        if digest == self._membership.table.digest():
            self._mismatch_count = 0
            self._interval_s = config.push_pull_interval_s
            return
        self._context.count("digest_mismatches")
        self._mismatch_count += 1
        if self._mismatch_count < _MISMATCHES_WANTED or now < self._allowed_at:
            return
        if self.exchange_with(peer, now):
            self._mismatch_count = 0
            self._allowed_at = now + self._interval_s
            self._interval_s = min(2 * self._interval_s, config.push_pull_interval_max_s)

    def exchange_with(self, peer: NodeId, now: float) -> bool:
        """Send our table to a peer, which answers with its own; return whether the rate allowed it."""
        if not self._starts.take(now):
            self._context.count("push_pulls_postponed")
            return False
        self._context.count("push_pulls_started")
        self._send(peer, self._context.next_sequence(), False, self._membership.all_rumours([]))
        return True

    def receive(self, peer: NodeId, request: int, is_reply: bool, rumours: list[object], now: float) -> None:
        """Take in a table or a part of it, and answer a request with ours.

        A request without rumours is a probe over the stream and is answered without any.
        """
        if not is_reply and not self._answers.take(now):
            self._context.count("push_pulls_refused")
            return
        self._membership.receive_rumours(peer, rumours, True, now)
        if is_reply:
            return
        if not rumours:
            self._context.emit(Message(peer, PUSH_PULL, [request, True, []]))
            return
        self._send(peer, request, True, self._membership.all_rumours(rumours))

    def _send(self, peer: NodeId, request: int, is_reply: bool, rumours: list[bytes]) -> None:
        """Send a table in messages of bounded size; only the first one can ask for an answer."""
        limit_bytes = self._context.config.push_pull_size_max_bytes
        part: list[object] = []
        size_bytes = 0
        is_following = is_reply
        for rumour in rumours:
            if part and size_bytes + len(rumour) > limit_bytes:
                self._context.emit(Message(peer, PUSH_PULL, [request, is_following, part]))
                is_following = True
                part = []
                size_bytes = 0
            part.append(rumour)
            size_bytes += len(rumour)
        if part or not is_following:
            self._context.emit(Message(peer, PUSH_PULL, [request, is_following, part]))

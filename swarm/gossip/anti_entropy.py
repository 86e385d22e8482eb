"""Anti-entropy: finding that two tables differ, and making them equal over a stream.

Every probe carries a digest of the sender's table. Two differing digests in a row, of whomever, mean that
a rumour missed somebody (rumours under way make one differ for a moment): the two exchange their whole
tables, one exchange at a time, and those that bring nothing new get rarer and rarer. A peer just met is
synchronised with at once when its digest differs.

When the digests of some peers in a row are ours and stay it, everybody's are: what is still queued about
the living need not be told any more. After a start of a large mesh, where each node has just heard of all
others, this ends half a minute of telling what is known.

Source: push-pull of Demers et al., "Epidemic algorithms" (1987) and memberlist; the digest on probes is
ours: memberlist only exchanges by the clock, every 150 s in a mesh of 500.
"""

from __future__ import annotations

from typing import Final

from swarm.core.effects import Message
from swarm.core.ids import NO_NODE, NodeId
from swarm.gossip.context import Context
from swarm.gossip.limits import TokenBucket
from swarm.gossip.membership import Membership
from swarm.wire.messages import PUSH_PULL

_MISMATCHES_WANTED: Final = 2
_MATCHES_WANTED: Final = 3
"""Peers in a row whose digest is ours before we believe that everybody's is."""


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
        self._matching = b""
        self._match_count = 0
        self._open_request = 0
        self._open_peer: NodeId = NO_NODE
        self._open_until = 0.0

    def observe_digest(self, peer: NodeId, digest: bytes, now: float) -> None:
        """Compare a peer's digest with ours, after the rumours beside it were applied."""
        config = self._context.config
        if digest == self._membership.table.digest():
            self._mismatch_count = 0
            self._interval_s = config.push_pull_interval_s
            self._count_match(digest, now)
            return
        self._match_count = 0
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
        if now < self._open_until or not self._starts.take(now):
            self._context.count("push_pulls_postponed")
            return False
        self._context.count("push_pulls_started")
        self._open_request = self._context.next_sequence()
        self._open_peer = peer
        self._open_until = now + self._context.config.push_pull_interval_s
        self._send(peer, self._open_request, False, self._membership.all_rumours([]))
        return True

    def on_peer_lost(self, peer: NodeId) -> None:
        """The stream to a peer broke: it will not answer."""
        if peer == self._open_peer:
            self._close()

    def receive(self, peer: NodeId, request: int, is_reply: bool, rumours: list[object], now: float) -> None:
        """Take in a table or a part of it, and answer a request with ours.

        A request without rumours is a probe over the stream and is answered without any.
        """
        if not is_reply and not self._answers.take(now):
            self._context.count("push_pulls_refused")
            return
        if self._membership.receive_rumours(peer, rumours, True, now) > 0:
            self._interval_s = self._context.config.push_pull_interval_s
            self._allowed_at = min(self._allowed_at, now + self._interval_s)
        if is_reply:
            if request == self._open_request:
                self._close()
            return
        if not rumours:
            self._context.emit(Message(peer, PUSH_PULL, [request, True, []]))
            return
        self._send(peer, request, True, self._membership.all_rumours(rumours))

    def _count_match(self, digest: bytes, now: float) -> None:
        if digest != self._matching:
            self._matching = digest
            self._match_count = 0
        self._match_count += 1
        if self._match_count == _MATCHES_WANTED:
            self._context.count("settlements")
            self._membership.settle(now)

    def _close(self) -> None:
        self._open_request = 0
        self._open_peer = NO_NODE
        self._open_until = 0.0

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

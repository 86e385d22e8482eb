"""Ways around links that do not work: messages to a peer go through a member that reaches it.

In home networks A often reaches B and B reaches C while A does not reach C (a guest network, a hotspot, a
translator). Gossip gets along, since it probes through others; orders and reports must too, or a leader
cannot command half of its mesh (design: where gossip reaches, orders do). So a message to a peer whose stream
broke or could not be opened goes to a third member inside RELAY; that one passes it on inside RELAYED over
its own stream, one hop and no more. When it cannot, it says RELAY_LOST, which means to the sender what the
break of a stream means.

A way through another is kept while it works, for messages may overtake each other when it changes. The direct
one is taken once nothing was sent for a while: when the peer was heard on it, or, to try it, after a pause
that doubles with each failure.

Invariants:

W1 A message is relayed once: what was relayed is never passed on again.
W2 Nobody is a relay to itself, to the sender or to the target.
W3 What is kept is bounded by the members and by FORWARDS_MAX.
"""

from __future__ import annotations

import math
from typing import Final, final

from swarm.core.ids import NodeId

PAUSE_FIRST_S: Final = 10.0
PAUSE_MAX_S: Final = 160.0
SETTLED_S: Final = 6.0
"""Without a message for so long, all that went through a relay has arrived."""
HURRY_S: Final = 60.0
"""A way that is never quiet is left so long after the direct one may be tried again."""
TRIES_MAX: Final = 4
"""Relays tried for one peer, before the direct way is tried again."""
REMEMBERED_S: Final = 20.0
"""How long a relay that is lost may have lost what it was given: streams that say nothing break by then."""
USED_MAX: Final = 4096
"""Pairs of relay and target of which that is remembered; when full of recent ones, all are forgotten."""
FORWARDS_MAX: Final = 4096
"""Pairs of sender and target for which this node is a relay; when full, the one unused for
longest is forgotten."""


@final
class Detour:
    """How a peer is reached whose own stream failed.

    Attributes:
        via: who passes messages on, b"" for nobody: then they go directly.
        direct_at: when the direct way may be tried again, seconds.
        pause_s: how long it was barred last.
        used_at: when a message last went through `via`, minus infinity for never.
        in_doubt: whether something may be under way directly, to be lost when the stream is.
        failed: relays that could not pass on; forgotten when no other is left.
        tries: relays tried since the direct way failed last.
    """

    def __init__(self, now: float) -> None:
        self.via: NodeId = b""
        self.direct_at = now
        self.pause_s = 0.0
        self.used_at = -math.inf
        self.in_doubt = True
        self.failed: list[NodeId] = []
        self.tries = 0


@final
class Relays:
    """The detours of one node, and the ways on which it passes messages on for others."""

    def __init__(self, me: NodeId) -> None:
        self._me: Final = me
        self.detours: Final[dict[NodeId, Detour]] = {}
        self._used: Final[dict[tuple[NodeId, NodeId], float]] = {}
        self._forwards: Final[dict[tuple[NodeId, NodeId], bool]] = {}
        self._instances: Final[dict[NodeId, object]] = {}
        self.counts: Final[dict[str, int]] = {"relayed": 0, "passed_on": 0, "relays_lost": 0}

    # Sending

    def way(self, peer: NodeId, now: float) -> NodeId:
        """Return to whom a message for `peer` is to be given: a relay, or the peer itself."""
        detour = self.detours.get(peer)
        if detour is None:
            return peer
        if not detour.via:
            detour.in_doubt = True
            return peer
        if now >= detour.direct_at and (
            now >= detour.used_at + SETTLED_S or now >= detour.direct_at + HURRY_S
        ):
            detour.via = b""
            detour.in_doubt = True
            return peer
        detour.used_at = now
        if len(self._used) >= USED_MAX:
            self._forget_used(now)
        self._used[(detour.via, peer)] = now
        self.counts["relayed"] += 1
        return detour.via

    def on_heard(self, peer: NodeId, now: float) -> None:
        """Take that a message came on a stream of the peer's own: it can be answered there."""
        detour = self.detours.get(peer)
        if detour is None:
            return
        if detour.via:
            detour.direct_at = min(detour.direct_at, now)
            detour.pause_s = 0.0
        else:
            del self.detours[peer]

    def on_lost(self, peer: NodeId, is_gone: bool, others: list[NodeId], now: float) -> list[NodeId]:
        """Take that the stream to a peer broke or could not be opened.

        Args:
            peer: who.
            is_gone: whether its process is gone, or it is believed dead: nobody else reaches it either.
            others: members that may be relays, the best first.
            now: seconds.

        Returns:
            to whom messages may be lost, this peer perhaps among them: what was said on the stream, and what
            went through the peer to others.
        """
        detour = self.detours.get(peer)
        lost = [peer] if detour is None or detour.in_doubt or not detour.via else []
        if is_gone:
            self.detours.pop(peer, None)
        else:
            self._bar(peer, others, now)
        for relay, target in sorted(self._used):
            if relay == peer:
                is_recent = now < self._used.pop((relay, target)) + REMEMBERED_S
                if is_recent and target not in lost:
                    lost.append(target)
        # Where its stream broke it is a relay again when it is heard again: it did not say that it cannot.
        rest = [other for other in others if other != peer]
        for target, passing in self.detours.items():
            if passing.via == peer:
                self._choose(target, passing, rest, now)
        return lost

    def on_relay_lost(self, target: NodeId, relay: NodeId, others: list[NodeId], now: float) -> None:
        """Take that a relay could not pass on what it was given for a peer."""
        detour = self.detours.get(target)
        if detour is not None and detour.via == relay:
            self._leave(target, relay, others, now)

    def on_instance(self, peer: NodeId, instance: object) -> None:
        """Take which run of its process a member is: the way to an earlier one says nothing of this one's."""
        if self._instances.get(peer, instance) != instance:
            self.detours.pop(peer, None)
        self._instances[peer] = instance

    def forget(self, peer: NodeId) -> None:
        """Take that a member is gone."""
        self.detours.pop(peer, None)
        self._instances.pop(peer, None)

    # Passing on

    def pass_on(self, origin: NodeId, target: NodeId, now: float) -> bool:
        """Note that a message of one peer goes to another through this node; return whether it may."""
        detour = self.detours.get(target)
        if target in (self._me, origin) or (detour is not None and now < detour.direct_at):
            self.counts["relays_lost"] += 1
            return False
        key = (target, origin)
        if self._forwards.pop(key, False) is False and len(self._forwards) >= FORWARDS_MAX:
            del self._forwards[next(iter(self._forwards))]
        self._forwards[key] = True
        self.counts["passed_on"] += 1
        return True

    def take_origins(self, target: NodeId) -> list[NodeId]:
        """Return, and forget, for whom this node passed messages on to a peer whose stream broke, sorted."""
        origins = sorted([origin for to, origin in self._forwards if to == target])
        for origin in origins:
            del self._forwards[(target, origin)]
        self.counts["relays_lost"] += len(origins)
        return origins

    def on_relayed(self, origin: NodeId, relay: NodeId, now: float) -> None:
        """Take a message that came through a relay: the answer goes back through it.

        Another one that was not used yet gives way: nothing is known of it.
        """
        detour = self.detours.get(origin)
        if detour is None:
            detour = self.detours[origin] = Detour(now)
            detour.pause_s = PAUSE_FIRST_S
            detour.direct_at = now + PAUSE_FIRST_S
        if (not detour.via or detour.used_at == -math.inf) and now < detour.direct_at:
            detour.via = relay

    def check_invariants(self) -> None:
        """Audit; raises AssertionError with the number of the broken invariant."""
        for peer, detour in self.detours.items():
            assert self._me not in (peer, detour.via), "W2: a relay to itself"
            assert detour.via != peer, "W2: a relay to itself"
        for target, origin in self._forwards:
            assert target not in (self._me, origin), "W2: a relay to itself"
        assert len(self._forwards) <= FORWARDS_MAX, "W3: forwards are bounded"
        assert len(self._used) <= USED_MAX, "W3: what relays were given is bounded"

    def _forget_used(self, now: float) -> None:
        for pair in list(self._used):
            if self._used[pair] + REMEMBERED_S <= now:
                del self._used[pair]
        if len(self._used) >= USED_MAX:
            self._used.clear()

    def _bar(self, peer: NodeId, others: list[NodeId], now: float) -> None:
        detour = self.detours.get(peer)
        if detour is None:
            detour = self.detours[peer] = Detour(now)
        detour.pause_s = min(max(2 * detour.pause_s, PAUSE_FIRST_S), PAUSE_MAX_S)
        detour.direct_at = now + detour.pause_s
        detour.tries = 0
        detour.in_doubt = False
        if not detour.via:
            self._choose(peer, detour, others, now)

    def _leave(self, target: NodeId, relay: NodeId, others: list[NodeId], now: float) -> None:
        detour = self.detours[target]
        detour.failed.append(relay)
        self._choose(target, detour, others, now)

    def _choose(self, peer: NodeId, detour: Detour, others: list[NodeId], now: float) -> None:
        detour.via = b""
        detour.used_at = -math.inf
        if detour.tries >= TRIES_MAX:
            return
        for other in others:
            if other not in (peer, self._me) and other not in detour.failed and other not in self.detours:
                detour.via = other
                detour.tries += 1
                return
        detour.failed = []


def relay_order(alive: list[NodeId], known: list[NodeId], peer: NodeId) -> list[NodeId]:
    """Return who may be a relay to a peer, the best first.

    Args:
        alive: members believed to be there, sorted.
        known: those to try first, in this order, b"" for nobody: the helper by whom gossip reached the
            peer, and the leader.
        peer: the target. The others come by id behind the peer's own: who tries to reach one peer tries the
            same relays, and different peers burden different ones.
    """
    order = [node for node in known if node in alive]
    order.extend([node for node in alive if node > peer and node not in known])
    order.extend([node for node in alive if node < peer and node not in known])
    return order

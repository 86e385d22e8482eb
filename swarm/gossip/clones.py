"""Two live processes with one identity: a copied card, or a home restored beside its original.

Two such processes contradict each other for ever: each hears of itself what it never said, raises its
incarnation above it, and so contradicts the other. What shows that the other one lives now, and is no echo
of an earlier life, is that it goes on rising above us: a rumour that is only replayed or late never says a
higher incarnation than we have reached. So the third time that the same other *instance* (a number drawn
at every start, among the facts of a description) says an incarnation not below ours, we are cloned.

Both hold both descriptions, so both come to the same verdict without another word: the one yields whose
home was moved to another machine; else the one that started later; else the one with the higher instance.
It falls silent, leaving the member's last word to the other, and asks its driver for a
new identity (`RenewIdentity`). The other goes on.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import Persist, RenewIdentity
from swarm.gossip.context import Context
from swarm.gossip.rumours import Rumour
from swarm.wire.codec import pack

SIGHTINGS_WANTED: Final = 3
"""Claims of one other instance that prove a clone: two may come from a home that was put back from a copy."""
FORGOTTEN_AFTER_S: Final = 300.0
"""Without a claim for so long, counting begins again; a duel takes a round of gossip for each claim."""


@final
class CloneWatch:
    """Counts the claims of other instances of this node's identity, and draws the consequence."""

    def __init__(self, context: Context) -> None:
        self._context: Final = context
        self._instance = b""
        self._count = 0
        self._heard_at = 0.0

    def has_to_yield(self, own: Rumour, claim: Rumour, now: float) -> bool:
        """Take a claim about us that contradicts what we say ourselves, and is not older.

        Args:
            own: by which we describe ourselves.
            claim: what was heard.
            now: monotonic seconds.

        Returns:
            Whether the identity is another process's: nothing more may be said, `RenewIdentity` is emitted.
        """
        instance = _instance_in(claim.facts)
        if instance == _instance_in(own.facts):
            return False
        if instance != self._instance or now - self._heard_at > FORGOTTEN_AFTER_S:
            self._count = 0
        self._instance = instance
        self._heard_at = now
        self._count += 1
        if self._count != SIGHTINGS_WANTED:
            return False
        yields = _rank(own.facts) > _rank(claim.facts)
        places = [[host, port] for host, port in claim.addresses]
        self._context.count("clones_met")
        self._context.notify("identity_cloned", {"other": places, "yields": yields})
        if yields:
            # Its place is the one address of the mesh that a new node would not find among its members'.
            row = pack([claim.name, places])
            self._context.emit(Persist("members", claim.node_id, row, False))
            self._context.emit(RenewIdentity())
        return yields


def _rank(facts: dict[str, object]) -> tuple[bool, float, bytes]:
    """Return what decides who yields: the greater one."""
    started = facts.get("started")
    when = float(started) if isinstance(started, (int, float)) else 0.0
    return (facts.get("moved") is True, when, _instance_in(facts))


def _instance_in(facts: dict[str, object]) -> bytes:
    instance = facts.get("instance")
    return instance if isinstance(instance, bytes) else b""

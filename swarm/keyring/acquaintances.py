"""The identities that a node has met, and how often it answers those that come back."""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import NodeId
from swarm.keyring.config import KNOWN_COUNT_MAX, KeyringConfig

PREFIX_SIZE: Final = 8
"""Bytes of a sender's id in a datagram."""


@final
class Acquaintances:
    """Who was ever a member, as far as this node knows; bounded, who was not seen for longest goes first.

    Attributes:
        ids: the identities, who was not seen for longest first.
        is_changed: somebody is new since this was set to False.
    """

    def __init__(self, me: NodeId, config: KeyringConfig) -> None:
        self._me: Final = me
        self._config: Final = config
        self.ids: dict[NodeId, bool] = {}
        self.is_changed = False
        self._answered: dict[NodeId, tuple[float, float]] = {}

    def note(self, node_id: NodeId, is_there: bool) -> None:
        """Take that somebody is a member, and whether it is there now."""
        if node_id == self._me:
            return
        if node_id not in self.ids:
            self.is_changed = True
        elif is_there:
            del self.ids[node_id]
        self.ids[node_id] = True
        if len(self.ids) > KNOWN_COUNT_MAX:
            del self.ids[next(iter(self.ids))]

    def forget(self, node_id: NodeId) -> None:
        """Take that somebody was thrown out."""
        self.is_changed = True
        self.ids.pop(node_id, False)

    def named(self, prefix: bytes, roster: dict[NodeId, bool]) -> NodeId:
        """Return the one identity here or on a roster that begins so, b"" for none or several."""
        found: dict[NodeId, bool] = {}
        for ids in (roster, self.ids):
            for node_id in ids:
                if node_id[:PREFIX_SIZE] == prefix and node_id != self._me:
                    found[node_id] = True
        return next(iter(found)) if len(found) == 1 else b""

    def may_answer(self, peer: NodeId, now: float) -> bool:
        """Return whether a sign of somebody is answered now; the gap to the next answer doubles."""
        after, gap_s = self._answered.get(peer, (now, 0.0))
        if now < after:
            return False
        gap_s = min(max(gap_s * 2, self._config.hint_gap_s), self._config.hint_gap_max_s)
        if peer not in self._answered and len(self._answered) >= KNOWN_COUNT_MAX:
            self._answered.clear()
        self._answered[peer] = (now + gap_s, gap_s)
        return True

    def on_met(self, peer: NodeId) -> None:
        """Take that an answer led to an exchange: the next sign is answered at once."""
        self._answered.pop(peer, None)

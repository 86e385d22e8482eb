"""What the log says of elections."""

from __future__ import annotations

from swarm.core.effects import Notify
from swarm.core.ids import Ballot, short


def leadership_ended(ballot: Ballot, reason: str) -> Notify:
    """Return the news that this node leads no more under `ballot`."""
    return Notify("leadership_ended", {"counter": ballot[0], "owner": short(ballot[1]), "reason": reason})

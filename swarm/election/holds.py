"""For how long a node of a strict mesh keeps its vote to itself.

Whoever answers a beat promises its leader to vote for nobody else for a *hold*. The promise is in memory
only: whoever starts has forgotten whom it answered and votes for nobody for one hold (`StrictVoter.begin`). A
hold ends early when its leader says that it leads no more: by standing under another ballot, or by asking
somebody to stand.

Source: Gray and Cheriton, "Leases" (1989): the grantor waits longer than the holder, by the drift of both
clocks. Ongaro's thesis §4.2.3 and §6.4.1 (a server that hears a leader does not vote; leases for reads) and
§3.10 (transfer of leadership passes over that).
"""

from __future__ import annotations

from typing import final

from swarm.core.ids import NO_BALLOT, Ballot


@final
class Holds:
    """For whom a node keeps its vote, and until when."""

    def __init__(self) -> None:
        self._ballot = NO_BALLOT
        self._until = 0.0

    def keep_for(self, ballot: Ballot, until: float) -> None:
        """Vote for nobody else before `until`: a beat under `ballot` is answered."""
        assert ballot >= self._ballot, "a higher leadership was answered before"
        self._ballot = ballot
        self._until = max(until, self._until) if ballot == self._ballot else until

    def release(self, ballot: Ballot) -> None:
        """Take that the owner of `ballot` leads no more under it."""
        if ballot >= self._ballot:
            self._until = 0.0

    def is_free(self, ballot: Ballot, released: Ballot, now: float) -> bool:
        """Return whether no lease stands in the way of a vote for `ballot`.

        Args:
            ballot: what is stood for; its owner leads no more under any other one.
            released: a ballot under which nobody leads any more, as whoever stands says.
            now: seconds.
        """
        return now >= self._until or ballot[1] == self._ballot[1] or released >= self._ballot

    def free_at(self) -> float:
        """Return until when this node votes for nobody else, unless it is released; 0 when for nobody."""
        return self._until

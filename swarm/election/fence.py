"""The two values of the election that outlive the process: the fence and the promise.

The *fence* is the highest ballot this node ever obeyed, promised or heard: what it enforces, what it tells,
what it restarts from. The *promise* is the highest ballot it voted for. Both only rise; the fence is never
below the promise. Each rise is written durably by effects that stand before whatever relies on it.

Source: Lamport, "The Part-Time Parliament" (1998): LastVote and NextBallot kept on the ledger.
"""

from __future__ import annotations

from typing import final

from swarm.core.effects import Effect, Persist
from swarm.core.ids import Ballot
from swarm.election.ballots import pack_ballot


@final
class Fence:
    """The fence and the promise of one node."""

    def __init__(self, fence: Ballot, promise: Ballot) -> None:
        """Restore from the journal; a crash may have come between the two writes of a promise.

        Args:
            fence: as last written, NO_BALLOT when never.
            promise: as last written, NO_BALLOT when never.
        """
        self._ballot = max(fence, promise)
        self._promise = promise

    @property
    def ballot(self) -> Ballot:
        """The fence."""
        return self._ballot

    @property
    def promise(self) -> Ballot:
        """The highest ballot voted for."""
        return self._promise

    def hear(self, ballot: Ballot, effects: list[Effect]) -> None:
        """Raise the fence to a ballot above it."""
        assert ballot > self._ballot, "a fence only rises"
        self._ballot = ballot
        effects.append(Persist("node", b"fence", pack_ballot(ballot), True))

    def grant(self, ballot: Ballot, effects: list[Effect]) -> None:
        """Promise a ballot that is not below the fence and above the promise.

        The promise is written first: restoring takes the higher of both.
        """
        assert ballot > self._promise, "a promise only rises"
        assert ballot >= self._ballot, "no promise below the fence"
        self._promise = ballot
        effects.append(Persist("node", b"promise", pack_ballot(ballot), True))
        if ballot > self._ballot:
            self.hear(ballot, effects)

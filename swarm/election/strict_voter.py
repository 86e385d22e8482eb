"""The voter in every node of a strict mesh: it keeps its vote for the leader whose beats it answers."""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import Effect
from swarm.core.ids import NO_BALLOT, Ballot
from swarm.election.config import ElectionConfig
from swarm.election.configuration import ConfigurationId
from swarm.election.holds import Holds
from swarm.election.ledger import Ledger
from swarm.election.strict_config import StrictConfig
from swarm.election.voter import Voter


@final
class StrictVoter(Voter):
    """A voter whose promises stand in a ledger, and who holds its vote for a leader.

    Attributes:
        released: the latest ballot whose owner said to this node that it leads no more under it.
    """

    def __init__(self, config: ElectionConfig, strict: StrictConfig, ledger: Ledger) -> None:
        super().__init__(config, ledger.fence)
        self._strict: Final = strict
        self._ledger: Final = ledger
        self._holds: Final = Holds()
        self.released = NO_BALLOT

    def begin(self, effects: list[Effect], now: float) -> None:
        """Start: who may have answered a beat in an earlier life votes for nobody for a hold.

        A new ledger was answered with by nobody, and who votes alone can have given its vote to nobody else.
        """
        is_alone = self._ledger.is_voter() and len(self._ledger.configuration.voters) == 1
        if not self._ledger.is_new and not is_alone:
            self.withhold(now + self._strict.hold_s)
        self._ledger.begin(effects)

    def grant(self, ballot: Ballot, effects: list[Effect]) -> None:
        """Promise a ballot, in the ledger too."""
        self._ledger.grant(ballot, effects)

    def keep_for(self, ballot: Ballot, now: float) -> None:
        """Vote for nobody else for a hold: a beat under `ballot` is answered."""
        self._holds.keep_for(ballot, now + self._strict.hold_s)

    def release(self, ballot: Ballot) -> None:
        """Take that the owner of `ballot` leads no more under it."""
        self._holds.release(ballot)
        self.released = ballot

    def free_at(self) -> float:
        """Return until when this node votes for nobody else, unless it is released; 0 when it may now."""
        return max(self._withheld_until, self._holds.free_at())

    def is_outdated(self, name: ConfigurationId) -> bool:
        """Return whether whoever stands knows a lower configuration than this node does."""
        return name < self._ledger.configuration.name

    def is_free(self, ballot: Ballot, released: Ballot, now: float) -> bool:
        """See `Voter.is_free` and `Holds.is_free`."""
        return not self.is_withheld(now) and self._holds.is_free(ballot, released, now)

    def would_vote(self, ballot: Ballot, released: Ballot, now: float) -> bool:
        """Return whether a vote for `ballot`, which its owner considers to stand for, would be welcome."""
        if ballot <= self.fence.ballot or not self.is_free(ballot, released, now):
            return False
        return released >= self.fence.ballot or not self.is_stood(now)

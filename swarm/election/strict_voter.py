"""The voter in every node of a strict mesh: what it promised, and for whom it would vote."""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import Effect
from swarm.core.ids import Ballot
from swarm.election.ballots import is_jump
from swarm.election.beats import BeatWatch
from swarm.election.config import ElectionConfig
from swarm.election.configuration import ConfigurationId
from swarm.election.fence import Fence
from swarm.election.holds import Holds
from swarm.election.ledger import Ledger
from swarm.election.strict_config import StrictConfig


@final
class StrictVoter:
    """Ledger, fence, holds, and the beat of the ballot at the fence."""

    def __init__(self, config: ElectionConfig, strict: StrictConfig, ledger: Ledger) -> None:
        self._config: Final = config
        self._strict: Final = strict
        self.ledger: Final = ledger
        self.fence: Final[Fence] = ledger.fence
        self.watch: Final = BeatWatch()
        self.holds: Final = Holds()

    def begin(self, effects: list[Effect], now: float) -> None:
        """Start: who may have answered a beat in an earlier life votes for nobody for a hold.

        A new ledger was answered with by nobody, and who votes alone can have given its vote to nobody else.
        """
        is_alone = self.ledger.is_voter() and len(self.ledger.configuration.voters) == 1
        if not self.ledger.is_new and not is_alone:
            self.holds.withhold(now + self._strict.hold_s)
        self.ledger.begin(effects)

    def is_jump(self, ballot: Ballot) -> bool:
        """Return whether `ballot` is too far above the fence to be believed."""
        return is_jump(ballot, self.fence.ballot, self._config.ballot_jump_max)

    def turn_to(self, ballot: Ballot, is_promise: bool, effects: list[Effect], now: float) -> None:
        """Raise the fence to `ballot`, promising it or not, and leave its owner a while to show a beat."""
        if is_promise:
            self.ledger.grant(ballot, effects)
        else:
            self.fence.hear(ballot, effects)
        self.watch.reset()
        self.note_stand(now)

    def note_stand(self, now: float) -> None:
        """Refuse pre-votes for a while: somebody stands."""
        self.holds.note_stand(now + self._config.vote_hold_s)

    def keep_for(self, ballot: Ballot, now: float) -> None:
        """Vote for nobody else for a hold: a beat under `ballot` is answered."""
        self.holds.keep_for(ballot, now + self._strict.hold_s)

    def is_outdated(self, name: ConfigurationId) -> bool:
        """Return whether whoever stands knows a lower configuration than this node does."""
        return name < self.ledger.configuration.name

    def is_free(self, ballot: Ballot, released: Ballot, now: float) -> bool:
        """Return whether this node holds its vote for nobody else; see `Holds.is_free`."""
        return not self.holds.is_withheld(now) and self.holds.is_free(ballot, released, now)

    def would_vote(self, ballot: Ballot, released: Ballot, now: float) -> bool:
        """Return whether a vote for `ballot`, which its owner considers to stand for, would be welcome."""
        if ballot <= self.fence.ballot or not self.is_free(ballot, released, now):
            return False
        return released >= self.fence.ballot or not self.holds.is_stood(now)

    def may_vote(self, ballot: Ballot, released: Ballot, now: float) -> bool:
        """Return whether this node may promise `ballot`; asked again, a promise is granted again."""
        return ballot >= self.fence.ballot and self.is_free(ballot, released, now)

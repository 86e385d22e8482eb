"""The voter in every node: whom it follows, what it promised, and to whom it would give its vote."""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import Effect
from swarm.core.ids import Ballot
from swarm.election.ballots import is_jump
from swarm.election.beats import BeatWatch
from swarm.election.config import ElectionConfig
from swarm.election.fence import Fence


@final
class Voter:
    """Fence, promise, and the beat of the ballot at the fence."""

    def __init__(self, config: ElectionConfig, fence: Ballot, promise: Ballot) -> None:
        """Restore from the journal's values, NO_BALLOT when there are none."""
        self._config: Final = config
        self.fence: Final = Fence(fence, promise)
        self.watch: Final = BeatWatch()
        self._hold_until = 0.0
        self._withheld_until = 0.0

    def is_jump(self, ballot: Ballot) -> bool:
        """Return whether `ballot` is too far above the fence to be believed."""
        return is_jump(ballot, self.fence.ballot, self._config.ballot_jump_max)

    def turn_to(self, ballot: Ballot, is_promise: bool, effects: list[Effect], now: float) -> None:
        """Raise the fence to `ballot`, promising it or not, and leave its owner a while to show a beat."""
        if is_promise:
            self.fence.grant(ballot, effects)
        else:
            self.fence.hear(ballot, effects)
        self.watch.reset()
        self.hold(now)

    def hold(self, now: float) -> None:
        """Refuse pre-votes for a while: somebody stands."""
        self._hold_until = now + self._config.vote_hold_s

    def withhold(self, until: float) -> None:
        """Vote for nobody before `until`: what this node promised in an earlier life is lost."""
        self._withheld_until = until

    def is_withheld(self, now: float) -> bool:
        """Return whether this node votes for nobody at present, see :meth:`withhold`."""
        return now < self._withheld_until

    def would_vote(self, ballot: Ballot, now: float) -> bool:
        """Return whether a vote for `ballot`, which its owner considers to stand for, would be welcome.

        Promises nothing. Whoever stands above its own ballot cannot lead under it: it is distrusted at once.
        """
        if ballot <= self.fence.ballot or self.is_withheld(now):
            return False
        if ballot[1] == self.fence.ballot[1]:
            self.watch.distrust()
        return now >= self._hold_until and not self.watch.is_fresh(self._config.trust_s, now)

"""The voter in every node: whom it follows, what it promised, and to whom it would give its vote."""

from __future__ import annotations

from typing import Final

from swarm.core.effects import Effect
from swarm.core.ids import Ballot
from swarm.election.ballots import is_jump
from swarm.election.beats import BeatWatch
from swarm.election.config import ElectionConfig
from swarm.election.fence import Fence


class Voter:
    """Fence, promise, and the beat of the ballot at the fence."""

    def __init__(self, config: ElectionConfig, fence: Fence) -> None:
        """Begin with fence and promise as restored from the journal."""
        self._config: Final = config
        self.fence: Final = fence
        self.watch: Final = BeatWatch()
        self._stood_until = 0.0
        self._withheld_until = 0.0

    def is_jump(self, ballot: Ballot) -> bool:
        """Return whether `ballot` is too far above the fence to be believed."""
        return is_jump(ballot, self.fence.ballot, self._config.ballot_jump_max)

    def grant(self, ballot: Ballot, effects: list[Effect]) -> None:
        """Promise a ballot, see `Fence.grant`."""
        self.fence.grant(ballot, effects)

    def turn_to(self, ballot: Ballot, is_promise: bool, effects: list[Effect], now: float) -> None:
        """Raise the fence to `ballot`, promising it or not, and leave its owner a while to show a beat."""
        if is_promise:
            self.grant(ballot, effects)
        else:
            self.fence.hear(ballot, effects)
        self.watch.reset()
        self.note_stand(now)

    def note_stand(self, now: float) -> None:
        """Refuse pre-votes for a while: somebody stands."""
        self._stood_until = now + self._config.vote_hold_s

    def is_stood(self, now: float) -> bool:
        """Return whether somebody stands, see :meth:`note_stand`."""
        return now < self._stood_until

    def withhold(self, until: float) -> None:
        """Vote for nobody before `until`: what this node promised in an earlier life is lost."""
        self._withheld_until = until

    def is_withheld(self, now: float) -> bool:
        """Return whether this node votes for nobody at present, see :meth:`withhold`."""
        return now < self._withheld_until

    def is_free(self, ballot: Ballot, released: Ballot, now: float) -> bool:
        """Return whether this node keeps its vote neither to itself nor for somebody else.

        Args:
            ballot: what is stood for.
            released: a ballot under which nobody leads any more, as whoever stands in a strict mesh says.
            now: seconds.
        """
        return not self.is_withheld(now)

    def would_vote(self, ballot: Ballot, released: Ballot, now: float) -> bool:
        """Return whether a vote for `ballot`, which its owner considers to stand for, would be welcome.

        Promises nothing. Whoever stands above its own ballot cannot lead under it: it is distrusted at once.
        """
        if ballot <= self.fence.ballot or not self.is_free(ballot, released, now):
            return False
        if ballot[1] == self.fence.ballot[1]:
            self.watch.distrust()
        return not self.is_stood(now) and not self.watch.is_fresh(self._config.trust_s, now)

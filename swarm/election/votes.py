"""One round of votes: who was asked for which ballot and who answered what. Each voter counts once."""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import Address, Ballot, NodeId
from swarm.election.council import is_majority


@final
class VoteRound:
    """A round of pre-votes or of votes, over the council as it was when the round began."""

    def __init__(
        self, number: int, ballot: Ballot, is_pre_vote: bool, electorate: list[tuple[NodeId, Address]]
    ) -> None:
        """Begin with the vote of the ballot's owner for itself.

        Args:
            number: identifies the round; every answer echoes it.
            ballot: what is stood for; its owner is in the electorate.
            is_pre_vote: whether nothing is promised yet.
            electorate: the voters with their addresses, each once.
        """
        self.number: Final = number
        self.ballot: Final = ballot
        self.is_pre_vote: Final = is_pre_vote
        self._electorate: Final = electorate
        self._answers: Final[dict[NodeId, bool]] = {}
        assert self.is_voter(ballot[1]), "who stands is in the electorate"
        self._answers[ballot[1]] = True

    def voters(self) -> list[NodeId]:
        """Return the ids of the electorate, fittest first."""
        return [voter for voter, _ in self._electorate]

    def is_voter(self, node: NodeId) -> bool:
        """Return whether `node` has a vote in this round."""
        return node in self.voters()

    def is_answer(self, number: int, ballot: Ballot, is_pre_vote: bool) -> bool:
        """Return whether a reply with these values answers this round."""
        return number == self.number and ballot == self.ballot and is_pre_vote == self.is_pre_vote

    def count(self, voter: NodeId, is_granted: bool) -> bool:
        """Count an answer; a grant may follow a refusal of the same voter, never the reverse.

        Returns:
            Whether the answer changed anything: False for strangers and for repeated answers.
        """
        if not self.is_voter(voter):
            return False
        before = self._answers.get(voter)
        if before is True or before is is_granted:
            return False
        self._answers[voter] = is_granted
        return True

    def granted_count(self) -> int:
        """Return how many voters granted, the candidate included."""
        return len([True for is_granted in self._answers.values() if is_granted])

    def is_won(self) -> bool:
        """Return whether a majority of the electorate granted."""
        return is_majority(self.granted_count(), len(self._electorate))

    def unanswered(self) -> list[Address]:
        """Return the addresses of those who have not granted, to ask (again), fittest first."""
        return [address for voter, address in self._electorate if self._answers.get(voter) is not True]

"""Beats: how followers know that a leader leads, and how a leader knows that it is followed.

A leader raises a counter every beat interval; (ballot, beat) rides on every frame of every node. Whoever sees
the counter grow, from whomever, knows that the leader was working a moment ago. That a leader is an alive
member proves nothing: it may have restarted.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import NO_NODE, NodeId
from swarm.election.council import is_majority


@final
class BeatWatch:
    """What a node that does not lead knows of the beat of the ballot at its fence."""

    def __init__(self) -> None:
        self.beat = 0
        self.grown_at = 0.0
        self.is_trusted = False

    def reset(self) -> None:
        """Forget everything: the fence rose."""
        self.beat = 0
        self.grown_at = 0.0
        self.is_trusted = False

    def distrust(self) -> None:
        """No longer believe that the ballot's owner leads, until the beat grows again."""
        self.is_trusted = False

    def refresh(self, now: float) -> None:
        """Give the leader a fresh period after this node itself was not running."""
        self.grown_at = now

    def observe(self, beat: int, is_direct: bool, now: float) -> bool:
        """Take note of a beat somebody told.

        A first sight at second hand may be as old as the world: it counts only once the beat grows.

        Args:
            beat: the value, >= 1.
            is_direct: the owner of the ballot said so itself.
            now: seconds.

        Returns:
            Whether this shows a leader at work.
        """
        assert beat >= 1, "beats start at 1"
        if beat <= self.beat:
            return False
        is_first = self.beat == 0
        self.beat = beat
        if is_first and not is_direct:
            return False
        self.grown_at = now
        self.is_trusted = True
        return True

    def is_fresh(self, trust_s: float, now: float) -> bool:
        """Return whether the beat grew within the last `trust_s` seconds."""
        return self.is_trusted and now - self.grown_at < trust_s


@final
class Attendance:
    """A leader's book: its beat, and who of the council answered it lately (check-quorum).

    The *electorate* is the council this leadership rests on: the one that voted, later replaced by the
    present one whenever a majority of that has answered a beat. It therefore moves with slow changes, and a
    leader that lost most of it at once must be elected anew.
    """

    def __init__(self, node_id: NodeId, council: list[NodeId], now: float) -> None:
        """Begin with beat 1; everybody has until a lease from now to answer.

        Args:
            node_id: the leader.
            council: those who elected it.
            now: seconds.
        """
        self._node_id: Final = node_id
        self._council = council
        self._changed_at = now
        self._answered_at: dict[NodeId, float] = {}
        for member in council:
            self._answered_at[member] = now
        self._electorate = council
        self.beat = 1
        self.beat_at = now
        self._beat_before_at = now

    def advance(self, now: float) -> int:
        """Raise the beat and return it."""
        self.beat += 1
        self._beat_before_at = self.beat_at
        self.beat_at = now
        return self.beat

    def is_answer_wanted(self, member: NodeId) -> bool:
        """Return whether `member` shall answer the present beat.

        Nobody outside the council is asked, and nobody who answered the beat before this one: while nothing
        is lost, every other beat is answered.
        """
        return member in self._answered_at and self._answered_at[member] <= self._beat_before_at

    def change_council(self, council: list[NodeId], now: float) -> None:
        """Replace the council; newcomers have until a lease from now to answer."""
        answered_at: dict[NodeId, float] = {}
        for member in council:
            answered_at[member] = self._answered_at.get(member, now)
        self._answered_at = answered_at
        self._council = council
        self._changed_at = now

    def has_lost_electorate(self) -> bool:
        """Return whether no majority of the electorate is in the council any more."""
        left = [member for member in self._electorate if member in self._council]
        return not is_majority(len(left), len(self._electorate))

    def answer(self, member: NodeId, now: float) -> bool:
        """Note an answer; return whether `member` belongs to the council."""
        if member not in self._answered_at:
            return False
        self._answered_at[member] = now
        if self._electorate is not self._council and self._is_quorum_since(self._changed_at):
            self._electorate = self._council
        return True

    def has_quorum(self, lease_s: float, now: float) -> bool:
        """Return whether a majority of the council answered within the last `lease_s` seconds."""
        return self._is_quorum_since(now - lease_s)

    def fittest_present(self, lease_s: float, now: float, is_fitter: bool = False) -> NodeId:
        """Return the fittest other member that answered within `lease_s`, else the fittest, else NO_NODE.

        With `is_fitter` only who answered counts, and stands before this node.
        """
        fallback = NO_NODE
        for member in self._council:
            if member == self._node_id:
                if is_fitter:
                    return NO_NODE
                continue
            if self._answered_at[member] > now - lease_s:
                return member
            if fallback == NO_NODE:
                fallback = member
        return NO_NODE if is_fitter else fallback

    def _is_quorum_since(self, since: float) -> bool:
        count = 0
        for member in self._council:
            if member == self._node_id or self._answered_at[member] > since:
                count += 1
        return is_majority(count, len(self._council))

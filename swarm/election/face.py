"""What a node wants of its election, whichever of the two protocols it is.

`swarm.election.core` elects among whoever is there; `swarm.election.strict` among voters in a committed
configuration. A mesh uses one of them for good; the node and the scheduler see this and nothing else.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from swarm.core.effects import Effect
from swarm.core.ids import Address, Ballot, NodeId
from swarm.election.roles import Role
from swarm.wire.codec import Stamp


class ElectionFace(ABC):
    """The inputs and views that both elections have. Inputs take `now`, seconds that never fall."""

    # Inputs

    @abstractmethod
    def start(self, now: float) -> None:
        """Begin."""

    @abstractmethod
    def on_council(self, council: list[tuple[NodeId, Address]], now: float) -> None:
        """Take the fittest members, as `choose_council` returns them."""

    @abstractmethod
    def on_members(self, addresses: list[tuple[NodeId, Address]], now: float) -> None:
        """Take where all members are."""

    @abstractmethod
    def wants_members(self) -> bool:
        """Return whether `on_members` has to be up to date now."""

    @abstractmethod
    def on_stamp(self, stamp: Stamp, now: float) -> None:
        """Learn fence and beat of the sender from the stamp of any frame."""

    @abstractmethod
    def observe_ballot(self, ballot: Ballot, now: float) -> None:
        """Learn a ballot by other means: an order was refused with this fence."""

    @abstractmethod
    def receive_packet(
        self, stamp: Stamp, kind: int, body: list[object], source: Address, now: float
    ) -> None:
        """Take a datagram of kind VOTE_REQUEST to STAND, after `on_stamp` took its stamp."""

    @abstractmethod
    def wake(self, now: float) -> None:
        """The node did not run for longer than a lease."""

    @abstractmethod
    def resign(self, now: float, is_for_good: bool = False) -> None:
        """Stop for the rest of this life: this node only votes and follows on.

        Args:
            now: seconds.
            is_for_good: it will not come back either; a strict mesh then does without its vote.
        """

    @abstractmethod
    def hand_over(self, now: float) -> bool:
        """A leader that should not lead asks the fittest who is present, and fitter than itself, to stand.

        Returns:
            Whether somebody was asked.
        """

    @abstractmethod
    def handle_deadline(self, now: float) -> None:
        """Do what is due; call at `next_deadline` or later."""

    # Views

    @abstractmethod
    def next_deadline(self) -> float:
        """Return when `handle_deadline` is wanted, `math.inf` when never."""

    @abstractmethod
    def has_effects(self) -> bool:
        """Return whether `take_effects` would return any."""

    @abstractmethod
    def take_effects(self) -> list[Effect]:
        """Return the effects since the last call, oldest first; perform them in this order."""

    @abstractmethod
    def stamp(self) -> tuple[Ballot, int]:
        """Return fence and last known beat of it, as every frame of this node must carry them."""

    @abstractmethod
    def leader(self) -> NodeId:
        """Return who leads as far as this node knows, NO_NODE when there is nobody to trust."""

    @abstractmethod
    def ballot(self) -> Ballot:
        """Return the fence: the leader's ballot when there is one. Orders below it are refused."""

    @abstractmethod
    def is_leader(self) -> bool:
        """Return whether this node leads, under `ballot()`."""

    @abstractmethod
    def role(self) -> Role:
        """Return what this node is at the moment."""

    @abstractmethod
    def statistics(self) -> dict[str, int]:
        """Return a copy of the counters."""

    @abstractmethod
    def check_invariants(self) -> None:
        """Audit the whole state; raises AssertionError naming the broken invariant."""

    # What only one of them needs

    def may_order(self, now: float) -> bool:
        """Return whether an order may leave now; a node that never led has none to give."""
        return True

    def lease_until(self) -> float:
        """Return until when this node may give orders, on its own clock; -inf when there is no such bound."""
        return -math.inf

    def is_needed(self) -> bool:
        """Return whether others cannot do without this node's vote yet, so that it should not go."""
        return False

    def voters(self) -> list[NodeId]:
        """Return the voters of the committed configuration that this node knows, none where there is none."""
        return []

"""The council: the few fittest members, which elect the leader. Pure functions of what gossip knows.

Two nodes may compute different councils for a while; safety never rests on them, only on ballots and fences.
"""

from __future__ import annotations

from typing import Final, TypeAlias, final

from swarm.core.ids import NO_NODE, Address, NodeId
from swarm.core.records import Record
from swarm.election.config import ElectionConfig

Rank: TypeAlias = tuple[int, NodeId, Address]
"""What the council is sorted by, least first: fitness below zero, then the node id; and the address."""


@final
class Candidate(Record):
    """A member as the choice of the council sees it.

    Attributes:
        node_id: who.
        address: where its datagrams go.
        fitness: slowly changing and gossiped; more is better.
        state: "alive", "suspect", "dead" or "left"; only the first three can be in the council.
        dead_for_s: seconds since it was declared dead, 0 unless dead.
    """

    __slots__ = ("address", "dead_for_s", "fitness", "node_id", "state")

    def __init__(
        self, node_id: NodeId, address: Address, fitness: int, state: str, dead_for_s: float
    ) -> None:
        self.node_id: Final = node_id
        self.address: Final = address
        self.fitness: Final = fitness
        self.state: Final = state
        self.dead_for_s: Final = dead_for_s

    def fields(self) -> tuple[object, ...]:
        return (self.node_id, self.address, self.fitness, self.state, self.dead_for_s)


def choose_council(
    candidates: list[Candidate], leader: NodeId = NO_NODE, config: ElectionConfig | None = None
) -> list[tuple[NodeId, Address]]:
    """Return the council, fittest first; equal fitness goes by node id.

    Args:
        candidates: everybody gossip knows who may be elected, this node included, each once; any order.
        leader: the incumbent, whose fitness counts as a little higher, so that a newcomer that is hardly
            fitter does not displace it; NO_NODE when there is none.
        config: gives size, grace and hysteresis; the defaults when None.

    Returns:
        At most `config.council_size` members that are alive, suspect, or dead for less than the grace.
    """
    settings = ElectionConfig() if config is None else config
    return [(node_id, address) for _, node_id, address in rank_all(candidates, leader, settings)]


def rank_all(
    candidates: list[Candidate],
    leader: NodeId,
    config: ElectionConfig,
    favoured: list[NodeId] | None = None,
) -> list[Rank]:
    """Return the ranks of the council, fittest first; see `choose_council`."""
    ranked: list[Rank] = []
    for candidate in candidates:
        rank = rank_of_candidate(candidate, leader, config, favoured)
        if rank is not None:
            ranked.append(rank)
    ranked.sort()
    return ranked[: config.council_size]


def rank_of_candidate(
    candidate: Candidate, leader: NodeId, config: ElectionConfig, favoured: list[NodeId] | None = None
) -> Rank | None:
    """Return what a candidate is sorted by, None when it cannot be in the council.

    The fitness of the leader, and of whoever is `favoured`, counts as a little higher.
    """
    if not _is_eligible(candidate, config.council_grace_s):
        return None
    fitness = candidate.fitness
    if candidate.node_id == leader or (favoured and candidate.node_id in favoured):
        fitness += max(1, abs(fitness) * config.council_hysteresis_percent // 100)
    return (-fitness, candidate.node_id, candidate.address)


def _is_eligible(candidate: Candidate, grace_s: float) -> bool:
    if candidate.state == "dead":
        return candidate.dead_for_s < grace_s
    return candidate.state in ("alive", "suspect")


def majority_of(total: int) -> int:
    """Return how many of `total` are the least that is more than half."""
    return total // 2 + 1


def is_majority(count: int, total: int) -> bool:
    """Return whether `count` of `total` is more than half; nothing is a majority of nobody."""
    return count >= majority_of(total)


def rank_of(node_id: NodeId, council: list[tuple[NodeId, Address]], without: NodeId) -> int:
    """Return how many members of the council stand before `node_id`, not counting `without`."""
    rank = 0
    for member, _ in council:
        if member == node_id:
            break
        if member != without:
            rank += 1
    return rank


def merge_addresses(
    members: list[tuple[NodeId, Address]], council: list[tuple[NodeId, Address]]
) -> list[tuple[NodeId, Address]]:
    """Return everybody in either list once, with the council's address where both have one."""
    addresses = dict(members)
    for member, address in council:
        addresses[member] = address
    return list(addresses.items())

"""Which election a node has, who of its members has another one, and what people are told of that.

A mesh is *available* (it goes on with whatever is left, `swarm.election.core`) or *strict* (only a majority
of voters dispatches, `swarm.election.strict`), from its founding on. The invitation says which, and a member
of a strict mesh says so in its facts. A member that says something else was set up wrongly: it is no member
for anything that counts, and named in the log and in `swarm status`.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import Effect, Notify
from swarm.core.ids import NodeId, short
from swarm.core.quorums import STRICT
from swarm.core.rng import Rng
from swarm.election.base import ElectionBase
from swarm.election.core import Election
from swarm.election.council import majority_of
from swarm.election.ledger import LEDGER_KEY, Ledger
from swarm.election.strict import StrictElection
from swarm.gossip.core import Gossip
from swarm.gossip.members import Member
from swarm.node_config import NodeConfig
from swarm.node_restore import stored_ballot, stored_row

QUORUM: Final = "quorum"
"""Fact of members of strict meshes: ``strict``."""


def make_election(config: NodeConfig, rows: list[tuple[str, bytes, bytes]], rng: Rng) -> ElectionBase:
    """Return the election of the kind of mesh that the node belongs to, as an earlier run left it."""
    fence, promise = stored_ballot(rows, b"fence"), stored_ballot(rows, b"promise")
    if config.quorum != STRICT:
        return Election(config.election, config.node_id, rng, fence, promise, config.is_amnesiac)
    row = stored_row(rows, LEDGER_KEY)
    ledger = Ledger(config.node_id, rng, fence, promise, row)
    return StrictElection(config.election, config.strict, config.node_id, rng, ledger)


@final
class Foreigners:
    """The members whose mesh has another kind of quorum than this node's, as they say.

    Attributes:
        ids: who they are.
    """

    def __init__(self, quorum: str) -> None:
        self._is_strict: Final = quorum == STRICT
        self.ids: Final[dict[NodeId, bool]] = {}

    def look(self, gossip: Gossip, touched: list[NodeId]) -> list[Effect]:
        """Look at members that changed; return the news of those that do not fit."""
        news: list[Effect] = []
        for node_id in touched:
            entry = gossip.entry(node_id)
            is_foreign = False
            if entry is not None:
                is_foreign = (entry.description.facts.get(QUORUM) == STRICT) != self._is_strict
            if not is_foreign:
                self.ids.pop(node_id, None)
            elif node_id not in self.ids:
                self.ids[node_id] = True
                what = "available" if self._is_strict else "strict"
                news.append(Notify("quorum_differs", {"member": short(node_id), "quorum": what}))
        return news


def quorum_status(
    election: ElectionBase, quorum: str, members: list[Member], foreign: dict[NodeId, bool]
) -> dict[str, object]:
    """Return what `swarm status --json` says of the kind of mesh, and why nothing is dispatched, if so."""
    names = sorted([member.name for member in members if member.node_id in foreign])
    value: dict[str, object] = {"mode": quorum, "foreign": names}
    if quorum != STRICT:
        return value
    voters = election.voters()
    known: dict[NodeId, str] = {member.node_id: member.name for member in members}
    value["version"] = election.statistics().get("configuration", 0)
    value["voters"] = sorted([known.get(voter, short(voter)) for voter in voters])
    value["majority"] = majority_of(len(voters)) if voters else 0
    value["reachable"] = count_reachable(voters, members)
    value["reason"] = why_no_leader(election, members)
    return value


def count_reachable(voters: list[NodeId], members: list[Member]) -> int:
    """Return how many voters are there, as far as gossip knows."""
    present = [member.node_id for member in members if member.state in ("alive", "suspect")]
    return len([voter for voter in voters if voter in present])


def why_no_leader(election: ElectionBase, members: list[Member]) -> str:
    """Return why a strict mesh dispatches nothing as this node sees it, "" while somebody leads."""
    if election.leader():
        return ""
    voters = election.voters()
    count = len(voters)
    if not count:
        return "this node has not heard of the voters of this strict mesh yet, so it waits for a leader"
    needed, reachable = majority_of(count), count_reachable(voters, members)
    if reachable < needed:
        return (
            f"only {reachable} of {count} voters of this strict mesh can be reached and {needed} are needed:"
            " nothing is dispatched until more are back; submissions are accepted"
        )
    return f"the {count} voters of this strict mesh are electing a leader"

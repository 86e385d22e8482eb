"""The members as the parts of a node want to see them: one walk over gossip's table per batch."""

from __future__ import annotations

from typing import Final, final

from swarm.core.hosts import address_for_others
from swarm.core.ids import EVERYWHERE, Address, NodeId
from swarm.election.config import ElectionConfig
from swarm.election.core import Election
from swarm.election.council import Candidate, choose_council, grace_left_s
from swarm.gossip.members import Member
from swarm.scheduler.replication import Keeper

PRESENT: Final = ("alive", "suspect")


@final
class MembersView:
    """Lists for election, records, execution and gateway.

    Attributes:
        members: all of them, as gossip gives them.
        candidates: for the choice of the council, this node included.
        reachable: the present ones without this node, with their best address.
        mine, keepers: this node, and the other present ones, as keepers of records.
        addresses, names: of all.
        peers: [node, name, host, port] of the present ones, for clients.
    """

    def __init__(self, members: list[Member], me: NodeId) -> None:
        self.members: Final = members
        self.candidates: list[Candidate] = []
        self.reachable: list[tuple[NodeId, Address]] = []
        self.mine = Keeper(me, b"", 0)
        self.keepers: list[Keeper] = []
        self.addresses: dict[NodeId, list[Address]] = {}
        self.names: dict[NodeId, str] = {}
        self.peers: list[list[object]] = []


def tell_election(view: MembersView, election: Election, config: ElectionConfig, now: float) -> float:
    """Tell election who is reachable and who forms the council; return the seconds until that changes."""
    council = choose_council(view.candidates, election.leader(), config)
    election.on_members(view.reachable, now)
    election.on_council(council, now)
    return grace_left_s(view.candidates, config)


def view_of(members: list[Member], me: NodeId, now: float) -> MembersView:
    """Return the lists made from the members that gossip knows at `now`, by node `me`."""
    view = MembersView(members, me)
    for member in members:
        fitness, host = member.facts.get("fitness"), member.facts.get("host")
        keeper = Keeper(
            member.node_id,
            host if isinstance(host, bytes) else member.node_id,
            fitness if isinstance(fitness, int) else 0,
        )
        address = member.addresses[0] if member.addresses else EVERYWHERE
        dead_for_s = now - member.since if member.state == "dead" else 0.0
        view.candidates.append(Candidate(member.node_id, address, keeper.fitness, member.state, dead_for_s))
        view.names[member.node_id] = member.name
        view.addresses[member.node_id] = member.addresses
        is_present = member.state in PRESENT
        if member.node_id == me:
            view.mine = keeper
        elif is_present:
            view.reachable.append((member.node_id, address))
            view.keepers.append(keeper)
        if is_present and member.addresses:
            host, port = address_for_others(member.addresses)
            view.peers.append([member.node_id, member.name, host, port])
    return view

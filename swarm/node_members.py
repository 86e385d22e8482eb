"""The members as the parts of a node want to see them.

Election always needs the council, and is told of every change. The other parts need lists of everybody
only at times (a vote, a client, a fetch): those are made when they are wanted.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.hosts import address_for_others
from swarm.core.ids import EVERYWHERE, Address, NodeId
from swarm.election.base import ElectionBase
from swarm.election.council import Candidate
from swarm.election.roster import Roster
from swarm.gossip.core import Gossip
from swarm.gossip.members import Member, MemberEntry
from swarm.gossip.rumours import DEAD, STATE_NAMES
from swarm.scheduler.core import Scheduler
from swarm.scheduler.replication import Keeper

PRESENT: Final = ("alive", "suspect")


@final
class MembersView:
    """Lists of all members for election, records and gateway.

    Attributes:
        reachable: the present ones without this node, with their best address.
        mine, keepers: this node, and the other present ones, as keepers of records.
        names: of all.
        peers: [node, name, host, port] of the present ones, for clients.
    """

    def __init__(self, me: NodeId) -> None:
        self.reachable: list[tuple[NodeId, Address]] = []
        self.mine = Keeper(me, b"", 0)
        self.keepers: list[Keeper] = []
        self.names: dict[NodeId, str] = {}
        self.peers: list[list[object]] = []


def view_of(members: list[Member], me: NodeId, foreign: dict[NodeId, bool] | None = None) -> MembersView:
    """Return the lists made from the members that gossip knows, by node `me`, without those in `foreign`."""
    view = MembersView(me)
    for member in members:
        if foreign and member.node_id in foreign:
            continue
        host = member.facts.get("host")
        rack = host if isinstance(host, bytes) else member.node_id
        keeper = Keeper(member.node_id, rack, _fitness_in(member.facts))
        view.names[member.node_id] = member.name
        is_present = member.state in PRESENT
        if member.node_id == me:
            view.mine = keeper
        elif is_present:
            view.reachable.append((member.node_id, member.addresses[0] if member.addresses else EVERYWHERE))
            view.keepers.append(keeper)
        if is_present and member.addresses:
            place, port = address_for_others(member.addresses)
            view.peers.append([member.node_id, member.name, place, port])
    return view


def addresses_of(members: list[Member]) -> dict[NodeId, list[Address]]:
    """Return where each member can be reached, best first."""
    addresses: dict[NodeId, list[Address]] = {}
    for member in members:
        addresses[member.node_id] = member.addresses
    return addresses


def tell_election(
    roster: Roster,
    gossip: Gossip,
    touched: list[NodeId],
    foreign: dict[NodeId, bool],
    election: ElectionBase,
    now: float,
) -> float:
    """Tell election who forms the council; return the seconds until that changes by itself.

    Args:
        roster: follows the council.
        gossip: knows the members.
        touched: those that changed since the last call.
        foreign: those that belong to another kind of mesh.
        election: is told.
        now: seconds.
    """
    for node_id in touched:
        entry = gossip.entry(node_id)
        is_candidate = entry is not None and node_id not in foreign
        roster.take(node_id, _candidate(entry, now) if entry is not None and is_candidate else None, now)
    leader = election.leader()
    roster.favour(election.voters())
    if roster.needs_everybody(leader, now):
        entries = [entry for entry in gossip.entries() if entry.node_id not in foreign]
        roster.take_everybody([_candidate(entry, now) for entry in entries], leader)
    election.on_council(roster.council(), now)
    return roster.grace_left_s(now)


def tell_scheduler(
    scheduler: Scheduler,
    gossip: Gossip,
    touched: list[NodeId] | None,
    foreign: dict[NodeId, bool],
    now: float,
) -> None:
    """Tell a leader's scheduler of members: of those that changed, or of all (None), by node id."""
    members: list[Member] = []
    if touched is None:
        members = gossip.members()
    else:
        for node_id in sorted(touched):
            member = gossip.member(node_id)
            if member is not None:
                members.append(member)
    for member in members:
        is_present = member.state in PRESENT and member.node_id not in foreign
        scheduler.on_member(member.node_id, member.name, member.facts, is_present, now)


def _candidate(entry: MemberEntry, now: float) -> Candidate:
    address = entry.addresses[0] if entry.addresses else EVERYWHERE
    dead_for_s = now - entry.since if entry.state == DEAD else 0.0
    fitness = _fitness_in(entry.description.facts)
    return Candidate(entry.node_id, address, fitness, STATE_NAMES[entry.state], dead_for_s)


def _fitness_in(facts: dict[str, object]) -> int:
    fitness = facts.get("fitness")
    return fitness if isinstance(fitness, int) else 0

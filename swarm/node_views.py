"""What a node says about itself and its mesh to people: the values behind `swarm status` and `swarm nodes`."""

from __future__ import annotations

from swarm.core.ids import NodeId, short
from swarm.election.core import Election
from swarm.gossip.members import Member


def count_states(members: list[Member]) -> dict[str, int]:
    """Return how many members are alive, suspect, dead and left."""
    counts = {"alive": 0, "suspect": 0, "dead": 0, "left": 0}
    for member in members:
        counts[member.state] += 1
    return counts


def name_of(members: list[Member], node: NodeId) -> str:
    """Return a member's name, "" when it is unknown."""
    for member in members:
        if member.node_id == node:
            return member.name
    return ""


def mesh_status(me: NodeId, name: str, members: list[Member], election: Election) -> dict[str, object]:
    """Return who this node is, whom it follows and how many members it knows."""
    leader = election.leader()
    ballot = election.ballot()
    return {
        "node": short(me),
        "name": name,
        "leader": name_of(members, leader),
        "leader_id": short(leader) if leader else "",
        "ballot": [ballot[0], short(ballot[1]) if ballot[1] else ""],
        "members": count_states(members),
    }


def node_row(member: Member, leader: NodeId) -> dict[str, object]:
    """Return one object of `swarm nodes --json`; facts that the member did not tell are None."""
    facts = member.facts
    address = f"{member.addresses[0][0]}:{member.addresses[0][1]}" if member.addresses else ""
    is_there = member.state in ("alive", "suspect")
    return {
        "id": short(member.node_id),
        "name": member.name,
        "address": address,
        "state": member.state,
        "incarnation": member.incarnation,
        "leader": member.node_id == leader,
        "slots": facts.get("cores"),
        "speed": facts.get("speed"),
        "python": facts.get("python"),
        "arch": facts.get("arch"),
        "platform": facts.get("platform"),
        "memory": facts.get("memory"),
        "tags": facts.get("tags"),
        "reason": "draining" if is_there and facts.get("draining") is True else "",
    }


def implicit_tags(node: NodeId, name: str) -> list[object]:
    """Return the tags that every node has: its name and its id."""
    return [f"node={name}", f"id={short(node)}"]

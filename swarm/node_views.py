"""What a node says about itself and its mesh: its facts, and the values behind `swarm status` and `nodes`."""

from __future__ import annotations

from swarm.core.hosts import address_for_others, address_text
from swarm.core.ids import NodeId, short
from swarm.core.quorums import STRICT
from swarm.election.base import ElectionBase
from swarm.exec.core import ExecCore
from swarm.gossip.members import Member
from swarm.node_capacity import REASON, SLOTS_FREE, capacity_row, own_reason
from swarm.node_config import NodeConfig
from swarm.node_election import QUORUM
from swarm.scheduler.core import Scheduler
from swarm.scheduler.records import JobRecords


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


def mesh_status(me: NodeId, name: str, members: list[Member], election: ElectionBase) -> dict[str, object]:
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


def work_status(scheduler: Scheduler, records: JobRecords, core: ExecCore) -> dict[str, object]:
    """Return what this node knows of jobs and what it runs."""
    running, _ = core.inventory()
    jobs: dict[str, int] = {}
    for job in scheduler.jobs.values():
        jobs[job.state()] = jobs.get(job.state(), 0) + 1
    known = jobs if scheduler.is_leading else {"known": len(records.jobs())}
    return {"jobs": known, "running": len(running), "is_idle": not running}


def own_capacity(facts: dict[str, object], core: ExecCore) -> dict[str, object]:
    """Return the capacity of this node as it is now, which others may learn a little later."""
    is_draining = facts.get("draining") is True
    row = capacity_row(facts, True)
    slots = core.statistics()
    row["slots"] = facts.get("cores")
    row[SLOTS_FREE] = slots["slots"] - slots["slots_used_now"]
    row[REASON] = own_reason(is_draining, len(core.attempts), core.quarantine[1])
    return row


def node_row(member: Member, leader: NodeId) -> dict[str, object]:
    """Return one object of `swarm nodes --json`; facts that the member did not tell are None."""
    facts = member.facts
    address = address_text(address_for_others(member.addresses)) if member.addresses else ""
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
        "services": facts.get("services", []),
        "services_more": facts.get("services_more", 0),
        **capacity_row(facts, is_there),
    }


def own_facts(config: NodeConfig) -> dict[str, object]:
    """Return what a node tells the mesh about itself; every node has its name and its id among its tags."""
    facts = dict(config.facts)
    facts["cores"] = config.cores
    facts["memory"] = config.memory_bytes
    if config.quorum == STRICT:
        facts[QUORUM] = STRICT
    own_tags = facts.get("tags")
    tags: list[object] = list(own_tags) if isinstance(own_tags, list) else []
    facts["tags"] = [*tags, f"node={config.name}", f"id={short(config.node_id)}"]
    return facts

"""What a Gossip tells about itself in numbers."""

from __future__ import annotations

from swarm.gossip.context import Context
from swarm.gossip.membership import Membership
from swarm.gossip.probe import FailureDetector


def sizes(context: Context, membership: Membership, detector: FailureDetector) -> dict[str, int]:
    """Return the counters since the start, and how much there is of everything at present."""
    result = dict(context.counts)
    result["members"] = len(membership.table)
    result["alive"] = membership.alive_count()
    result["suspects"] = len(membership.suspicions)
    result["rumours"] = len(membership.queue)
    result["probes"] = len(detector.probes)
    result["relays"] = len(detector.relays)
    result["awareness"] = membership.awareness.score
    result["incarnation"] = membership.own.incarnation
    return result

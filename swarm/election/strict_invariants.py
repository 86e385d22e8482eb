"""The full audit of a strict election, by number; `swarm.election.strict` tells the theory.

I1  The fence is never below the promise, nor below the ballot of the configuration.
I2  Exactly a leader keeps an office; its ballot is its own, at its fence, promised, and its configuration's.
I3  Exactly candidates have a round; a pre-candidate stands above its fence, a candidate at it, promised.
I4  A round counts at least the own vote and at most one vote of each voter.
I5  Nobody trusts a beat of its own ballot, or of no ballot; who leads or stands for real trusts nobody.
I6  The leader last told is the leader.
I7  Each role has exactly its timers; trust and leadership have an end.
I8  Who leads or stands is a voter of its configuration, with its own ledger.
I9  Who leads has the configuration of its office on disk.
"""

from __future__ import annotations

import math

from swarm.core.ids import NodeId
from swarm.core.timers import Timers
from swarm.election.beats import BeatWatch
from swarm.election.ledger import Ledger
from swarm.election.office import Office
from swarm.election.roles import Role
from swarm.election.timeouts import TIMER_BEAT, TIMER_LEASE


def check_office(node_id: NodeId, role: Role, ledger: Ledger, office: Office | None) -> None:
    """Check I1, I2, I8 and I9; raises AssertionError naming the broken one."""
    fence = ledger.fence
    assert fence.ballot >= fence.promise, "I1: the fence is never below the promise"
    assert fence.ballot >= ledger.configuration.ballot, "I1: the configuration's leader was heard of"
    assert (office is not None) == (role is Role.LEADER), "I2: exactly a leader keeps an office"
    if role in (Role.LEADER, Role.PRE_CANDIDATE, Role.CANDIDATE):
        assert ledger.is_voter(), "I8: who leads or stands votes"
    if office is not None:
        assert fence.ballot[1] == node_id, "I2: a leader's fence is its own ballot"
        assert fence.ballot == fence.promise, "I2: a leader promised itself"
        assert office.configuration.ballot == fence.ballot, "I2: a leader writes its configuration anew"
        assert office.configuration.name == ledger.configuration.name, (
            "I9: a leader's configuration is on disk"
        )


def check_ends(role: Role, timers: Timers, watch: BeatWatch, office: Office | None) -> None:
    """Check I7; raises AssertionError naming it."""
    assert timers.is_set(TIMER_BEAT, b"") == (role is Role.LEADER), "I7: exactly a leader beats"
    ends = timers.is_set(TIMER_LEASE, b"")
    if office is not None:
        assert ends == (office.ends_at() < math.inf), "I7: a leadership ends with its lease"
    else:
        assert ends == watch.is_trusted, "I7: trust has an end, and nothing else has"

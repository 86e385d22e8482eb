"""What is audited in a strict election besides; `swarm.election.strict` tells the theory.

To I1 to I7 of `swarm.election.invariants` come:

I1  The fence is never below the ballot of the configuration.
I2  A leader's ballot is that of its configuration.
I7  Exactly trust and leadership have an end.
I8  Who leads or stands is a voter of its configuration, with its own ledger.
I9  Who leads has the configuration of its office on disk.
"""

from __future__ import annotations

import math

from swarm.core.timers import Timers
from swarm.election.beats import BeatWatch
from swarm.election.ledger import Ledger
from swarm.election.office import Office
from swarm.election.roles import Role
from swarm.election.timeouts import TIMER_LEASE


def check_office(role: Role, ledger: Ledger, office: Office | None) -> None:
    """Check I1, I2, I8 and I9; raises AssertionError naming the broken one."""
    fence = ledger.fence
    assert fence.ballot >= ledger.configuration.ballot, "I1: the configuration's leader was heard of"
    if role in (Role.LEADER, Role.PRE_CANDIDATE, Role.CANDIDATE):
        assert ledger.is_voter(), "I8: who leads or stands votes"
    if office is not None:
        assert office.configuration.ballot == fence.ballot, "I2: a leader writes its configuration anew"
        assert office.configuration.name == ledger.configuration.name, (
            "I9: a leader's configuration is on disk"
        )


def check_ends(timers: Timers, watch: BeatWatch, office: Office | None) -> None:
    """Check I7; raises AssertionError naming it."""
    ends = timers.is_set(TIMER_LEASE, b"")
    if office is not None:
        assert ends == (office.ends_at() < math.inf), "I7: a leadership ends with its lease"
    else:
        assert ends == watch.is_trusted, "I7: trust has an end, and nothing else has"

"""The audit of what both elections have in common, by number; `swarm.election.core` tells the theory.

I1  The fence is never below the promise.
I2  Exactly a leader has beaten; its ballot is its own, at its fence and promised.
I3  Exactly candidates have a round; a pre-candidate stands above its fence, a candidate at it, promised.
I4  A round counts at least the own vote and at most one vote of each voter.
I5  Nobody trusts a beat of its own ballot, or of no ballot; who leads or stands for real trusts nobody.
I6  The leader last told is the leader.
I7  Each role has exactly its timers, and trust has an end.
"""

from __future__ import annotations

from swarm.core.ids import NO_BALLOT, NodeId
from swarm.core.timers import Timers
from swarm.election.beats import BeatWatch
from swarm.election.fence import Fence
from swarm.election.roles import Role
from swarm.election.timeouts import TIMER_BEAT, TIMER_ELECTION, TIMER_LEASE, TIMER_RESEND, TIMER_ROUND
from swarm.election.votes import VoteRound


def check_leading(node_id: NodeId, role: Role, fence: Fence, own_beat: int) -> None:
    """Check I1 and I2; raises AssertionError naming the broken one."""
    assert fence.ballot >= fence.promise, "I1: the fence is never below the promise"
    assert (own_beat > 0) == (role is Role.LEADER), "I2: exactly a leader has beaten"
    if role is Role.LEADER:
        assert fence.ballot[1] == node_id, "I2: a leader's fence is its own ballot"
        assert fence.ballot == fence.promise, "I2: a leader promised itself"


def check_standing(node_id: NodeId, role: Role, fence: Fence, vote_round: VoteRound | None) -> None:
    """Check I3 and I4; raises AssertionError naming the broken one."""
    is_standing = role in (Role.PRE_CANDIDATE, Role.CANDIDATE)
    assert (vote_round is not None) == is_standing, "I3: exactly candidates have a round"
    if vote_round is None:
        return
    assert vote_round.ballot[1] == node_id, "I3: one stands for oneself"
    assert vote_round.is_pre_vote == (role is Role.PRE_CANDIDATE), "I3: the round is of the role's kind"
    if vote_round.is_pre_vote:
        assert vote_round.ballot > fence.ballot, "I3: a pre-candidate stands above its fence"
    else:
        assert vote_round.ballot == fence.ballot, "I3: a candidate stands at its fence"
        assert vote_round.ballot == fence.promise, "I3: a candidate promised itself"
    assert vote_round.granted_count() >= 1, "I4: the own vote counts"
    assert vote_round.granted_count() <= len(vote_round.voters()), "I4: each voter counts once"
    assert not vote_round.is_won(), "I4: a round that is won is over"


def check_trust(node_id: NodeId, role: Role, fence: Fence, watch: BeatWatch) -> None:
    """Check I5; raises AssertionError naming it."""
    if not watch.is_trusted:
        return
    assert fence.ballot != NO_BALLOT, "I5: no trust without a ballot"
    assert fence.ballot[1] != node_id, "I5: no trust in a beat of the own ballot"
    assert role not in (Role.CANDIDATE, Role.LEADER), "I5: who leads or stands for real trusts nobody"
    assert watch.beat >= 1, "I5: trust rests on a beat"


def check_timers(role: Role, timers: Timers, watch: BeatWatch, may_stand: bool) -> None:
    """Check I7, given whether a follower on this node may stand; raises AssertionError naming it."""
    is_waiting = role is Role.FOLLOWER and may_stand
    assert timers.is_set(TIMER_ELECTION, b"") == is_waiting, "I7: exactly a follower in the council waits"
    is_standing = role in (Role.PRE_CANDIDATE, Role.CANDIDATE)
    assert timers.is_set(TIMER_ROUND, b"") == is_standing, "I7: exactly a round has an end"
    assert timers.is_set(TIMER_RESEND, b"") == is_standing, "I7: exactly a round asks again"
    assert timers.is_set(TIMER_BEAT, b"") == (role is Role.LEADER), "I7: exactly a leader beats"
    assert timers.is_set(TIMER_LEASE, b"") or not watch.is_trusted, "I7: trust has an end"

"""What a node is in the election right now: its role, what belongs to that role, its council and its timers.

Every change of role passes :meth:`Seat.enter`, which drops whatever belonged to the role before, so that no
round outlives its candidacy, and neither attendance nor office its leadership: a leader keeps one of the two,
by the kind of its mesh.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import Address, Ballot, NodeId
from swarm.core.rng import Rng
from swarm.core.timers import Timers
from swarm.election.beats import Attendance
from swarm.election.config import ElectionConfig
from swarm.election.fence import Fence
from swarm.election.office import Office
from swarm.election.roles import Role, is_allowed
from swarm.election.timeouts import TIMER_BEAT, TIMER_ELECTION, TIMER_RESEND, TIMER_ROUND, ElectionTimeout
from swarm.election.votes import VoteRound


@final
class Seat:
    """Role, council and timers of one node."""

    def __init__(self, config: ElectionConfig, node_id: NodeId, rng: Rng, fence: Fence) -> None:
        self._config: Final = config
        self._node_id: Final = node_id
        self._fence: Final = fence
        self.timeout: Final = ElectionTimeout(config, node_id, rng)
        self.timers: Final = Timers()
        self.role = Role.FOLLOWER
        self.vote_round: VoteRound | None = None
        self.attendance: Attendance | None = None
        self.office: Office | None = None
        self.council: list[tuple[NodeId, Address]] = []
        self.council_ids: list[NodeId] = []
        self.is_started = False
        self._not_before = 0.0

    def may_stand(self) -> bool:
        """Return whether this node takes part: it runs and is a member of its council."""
        return self.is_started and self._node_id in self.council_ids

    def own_beat(self) -> int:
        """Return the beat of this node's own leadership, 0 when it has none."""
        if self.attendance is not None:
            return self.attendance.beat
        return 0 if self.office is None else self.office.beat

    def outranks(self, ballot: Ballot) -> bool:
        """Return whether this node leads, or stands for a higher ballot."""
        return self.role is Role.LEADER or (self.vote_round is not None and ballot < self.vote_round.ballot)

    def change_council(self, council: list[tuple[NodeId, Address]]) -> None:
        """Replace the council and its addresses."""
        self.council = council
        self.council_ids = [member for member, _ in council]

    def start(self, now: float, not_before: float = 0.0) -> None:
        """Begin to take part, with waits in which nodes that start together find each other.

        Args:
            now: seconds.
            not_before: the earliest time to stand, whatever happens.
        """
        assert not self.is_started, "an election starts once"
        self.is_started = True
        self._not_before = not_before
        self.timeout.begin(self._config.start_wait_s, self._config.alone_wait_s, now)
        self.set_election_timer(now)

    def enter(self, role: Role) -> None:
        """Change the role and drop what belonged to the one before."""
        assert is_allowed(self.role, role), f"no way from {self.role.name} to {role.name}"
        self.role = role
        self.vote_round = None
        self.attendance = None
        self.office = None
        self.timers.cancel(TIMER_ELECTION, b"")
        self.timers.cancel(TIMER_ROUND, b"")
        self.timers.cancel(TIMER_RESEND, b"")
        self.timers.cancel(TIMER_BEAT, b"")

    def follow(self, wait_s: float, now: float) -> None:
        """Be a follower that stands after `wait_s`, a random part and the steps of its rank.

        A retired node stays retired.
        """
        if self.role not in (Role.FOLLOWER, Role.RETIRED):
            self.enter(Role.FOLLOWER)
        self.timeout.begin(wait_s, 0.0, now)
        self.set_election_timer(now)

    def set_election_timer(self, now: float) -> None:
        """Let the waiting follower wait as long as its present rank demands."""
        if self.role is Role.FOLLOWER and self.may_stand():
            when = self.timeout.deadline(self.council, self._fence.ballot[1], now)
            self.timers.set(TIMER_ELECTION, b"", max(when, self._not_before))
        else:
            self.timers.cancel(TIMER_ELECTION, b"")

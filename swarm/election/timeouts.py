"""When a follower stands: timers of the election and the wait before standing.

Source: Ongaro, "Consensus: Bridging Theory and Practice" (2014), §3.4 randomised timeouts; the steps by rank
let the fittest member stand first, and alone.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import NO_NODE, Address, NodeId
from swarm.core.rng import Rng
from swarm.core.rounding import to_ms
from swarm.election.config import ElectionConfig
from swarm.election.council import rank_of

TIMER_ELECTION: Final = 1
TIMER_ROUND: Final = 2
TIMER_RESEND: Final = 3
TIMER_BEAT: Final = 4
TIMER_LEASE: Final = 5


@final
class ElectionTimeout:
    """The wait of a follower, which moves with its rank while it waits."""

    def __init__(self, config: ElectionConfig, node_id: NodeId, rng: Rng) -> None:
        self._config: Final = config
        self._node_id: Final = node_id
        self._rng: Final = rng
        self._began_at = 0.0
        self._wait_s = 0.0
        self._alone_wait_s = 0.0

    def begin(self, wait_s: float, alone_wait_s: float, now: float) -> None:
        """Wait from now for `wait_s`, a random part, and while alone in the council `alone_wait_s`."""
        self._began_at = now
        self._alone_wait_s = alone_wait_s
        self._wait_s = wait_s + self._rng.uniform(0.0, self._config.jitter_s)

    def is_over(self, now: float) -> bool:
        """Return whether the wait, without the steps of the rank, is over."""
        return now >= self._began_at + self._wait_s

    def retry_wait_s(self) -> float:
        """Return the random wait after a round that was not won."""
        return self._config.retry_wait_s + self._rng.uniform(0.0, self._config.retry_jitter_s)

    def deadline(self, council: list[tuple[NodeId, Address]], last_leader: NodeId, now: float) -> float:
        """Return when the wait is over for this node's present rank.

        Args:
            council: the council, with this node, fittest first.
            last_leader: does not count in the ranking, unless it is this node: it is the one being replaced.
            now: the earliest answer.

        Returns:
            Seconds on the scale of `now`; the wait rounded to 1 ms.
        """
        if len(council) == 1:
            rank_wait_s = self._alone_wait_s
        else:
            without = NO_NODE if last_leader == self._node_id else last_leader
            rank_wait_s = self._config.rank_step_s * rank_of(self._node_id, council, without)
        return max(now, self._began_at + to_ms(self._wait_s + rank_wait_s))

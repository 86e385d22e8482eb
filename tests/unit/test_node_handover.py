"""When a strained leader asks another member to stand: once in a while, and only while there is a reason."""

from __future__ import annotations

import math

from swarm.node_handover import RETRY_S, Handover
from swarm.wire.messages import STAND
from tests.unit.election_bench import COUNCIL, A, B, Bench, follower, leader


def strained() -> Handover:
    handover = Handover()
    handover.take("too hot")
    return handover


def behind_b() -> Bench:
    """Return A, which leads although B, which answers, is fitter; effects taken."""
    bench = leader()
    bench.answer(B, bench.core.ballot(), 1)
    bench.core.on_council([COUNCIL[1], COUNCIL[0], COUNCIL[2]], bench.now)
    bench.take()
    return bench


def test_a_strained_leader_asks_again_after_a_while_and_not_before() -> None:
    bench, handover = behind_b(), strained()
    assert handover.look(bench.core, bench.now) == RETRY_S
    assert bench.packets(STAND) == [(("b", 1), [1, A])]
    until = bench.now + RETRY_S
    while bench.now + 0.25 < until:
        bench.run(0.25)
        assert handover.look(bench.core, bench.now) == until - bench.now
        assert bench.packets(STAND) == []
        bench.answer(B, bench.core.ballot(), bench.core.stamp()[1])
    bench.run(until - bench.now)
    assert handover.look(bench.core, until) == RETRY_S
    assert bench.packets(STAND) == [(("b", 1), [1, A])]


def test_who_is_at_ease_or_no_leader_or_the_fittest_asks_nobody() -> None:
    bench, handover = behind_b(), Handover()
    assert handover.look(bench.core, bench.now) == math.inf
    handover.take("too hot")
    handover.take(None)
    assert handover.look(bench.core, bench.now) == math.inf
    assert bench.packets(STAND) == []
    for other in (leader(), follower()):
        other.take()
        assert strained().look(other.core, other.now) == math.inf
        assert other.packets(STAND) == []

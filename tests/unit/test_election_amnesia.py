"""A node that lost its journal may have promised what it does not know: it waits before it votes."""

from __future__ import annotations

import pytest

from swarm.core.ids import NO_BALLOT, Ballot
from swarm.core.rng import Rng
from swarm.election.core import Election
from swarm.wire.messages import STAND, VOTE_REQUEST
from tests.unit.election_bench import CONFIG, COUNCIL, A, B, Bench, request


def amnesiac(node: bytes = A, fence: Ballot = NO_BALLOT) -> Bench:
    bench = Bench(node)
    bench.core = Election(CONFIG, node, Rng("bench"), fence, NO_BALLOT, True)
    return bench


@pytest.mark.parametrize("is_pre_vote", [True, False])
def test_it_votes_only_after_a_lease(is_pre_vote: bool) -> None:
    bench = amnesiac().start(COUNCIL)
    bench.run(CONFIG.lease_s - 0.1)
    assert request(bench, B, (5, B), is_pre_vote) is False
    assert bench.core.ballot() == NO_BALLOT, "what it did not grant it has not promised"
    bench.now += 0.2
    assert request(bench, B, (5, B), is_pre_vote) is True


def test_it_stands_only_after_a_lease() -> None:
    bench = amnesiac().start(COUNCIL[:1])
    bench.run(CONFIG.lease_s - 0.01)
    assert not bench.core.is_leader()
    bench.run(0.02)
    assert bench.core.is_leader(), "alone it then goes on"


def test_nobody_makes_it_stand_earlier() -> None:
    bench = amnesiac().start(COUNCIL)
    bench.run(1.0)
    bench.beat(B, (3, B), 1)
    bench.take()
    bench.receive(B, STAND, [3, B])
    assert bench.packets(VOTE_REQUEST) == []
    bench.core.wake(bench.now)
    bench.run(CONFIG.lease_s - 1.1)
    assert bench.packets(VOTE_REQUEST) == []
    bench.run(2.0)
    assert bench.packets(VOTE_REQUEST) != []


def test_it_follows_and_learns_its_own_old_ballot_at_once() -> None:
    """Under that it led before; it must never lead under it again."""
    bench = amnesiac().start(COUNCIL)
    bench.stamp(B, (7, A), 12)
    assert bench.core.ballot() == (7, A)
    bench.run(CONFIG.lease_s + 2.0)
    ballots = {(body[1], body[2]) for _, body in bench.packets(VOTE_REQUEST)}
    assert ballots
    assert min(ballots) >= (8, A)


def test_a_leader_is_followed_meanwhile() -> None:
    bench = amnesiac().start(COUNCIL)
    bench.beat(B, (3, B), 1)
    assert bench.core.leader() == B

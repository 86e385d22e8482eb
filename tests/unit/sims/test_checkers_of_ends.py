"""What excuses a leader that shows a job as running which has ended: a stream that held up the news."""

from __future__ import annotations

import msgpack
import pytest

from sims.checkers.base import Violation
from sims.checkers.records import RecordChecker, StatusChecker
from sims.observer import MESSAGE
from swarm.core.effects import Effect, SendMessage
from tests.unit.sims.checker_samples import ADDRESS, JOB, frame, mesh, update


def told(ballot: int, state: str = "running") -> Effect:
    """What a leader tells the host of a client."""
    body = [JOB, state, 1, [1, 1, 0, 0], [], "", False, 1]
    return SendMessage(b"w" * 16, [ADDRESS], frame(72, (ballot, b"a" * 16), body))


@pytest.mark.parametrize("is_held_up", [True, False])
def test_s9_only_a_stream_that_holds_up_the_end_excuses_a_leader_that_does_not_know_it(
    is_held_up: bool,
) -> None:
    cluster, truth = mesh()
    cluster.network.set_loss(0.2)
    checker = StatusChecker(truth, RecordChecker(truth))
    leader = cluster.hosts[cluster.leaders()[0]]
    keeper, asked = [host for host in cluster.hosts if host is not leader]
    keeper.disk.tables["intents"] = {JOB: msgpack.packb([1, False, 1])}
    checker.on_performed(asked, update("running"), 5.0)
    checker.on_performed(asked, update("done"), 5.0)
    if is_held_up:
        cluster.network.clog(keeper.index, leader.index, 60.0)
        cluster.network.arrival_s(keeper.index, leader.index, 5.0, 10)
    word = told(4)
    checker.on_performed(leader, word, 5.0)
    assert isinstance(word, SendMessage)
    checker.on_input(asked, MESSAGE, leader.index, word.payload, 5.1)
    if is_held_up:
        checker.on_performed(asked, update("running"), 5.2)
    else:
        with pytest.raises(Violation, match=r"S9: .*was done"):
            checker.on_performed(asked, update("running"), 5.2)

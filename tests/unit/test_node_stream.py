"""When a follower opens a stream to its leader: after silence, and with growing pauses when it breaks."""

from __future__ import annotations

import math

import pytest

from swarm.core.effects import Message
from swarm.core.ids import NO_NODE
from swarm.node_stream import SILENCE_MAX_S, SILENCE_S, LeaderStream
from swarm.wire.messages import PUSH_PULL, REPORT_WANTED
from tests.unit.scheduler_builder import ME, ONE, TWO
from tests.unit.test_node import BALLOT, NodeEnv


def followed(now: float = 10.0) -> LeaderStream:
    stream = LeaderStream(ME)
    stream.follow(ONE, now)
    return stream


def test_a_silent_leader_is_spoken_to_after_a_while() -> None:
    stream = followed(10.0)
    assert 10.0 + SILENCE_S <= stream.opens_at < 10.0 + 2 * SILENCE_S
    assert stream.open() == Message(ONE, PUSH_PULL, [0, False, []])
    assert stream.opens_at == math.inf, "nothing was lost: the stream is there"


def test_followers_do_not_all_speak_at_once() -> None:
    early, late = LeaderStream(bytes(16)), LeaderStream(b"\xff" * 16)
    early.follow(ONE, 0.0)
    late.follow(ONE, 0.0)
    assert early.opens_at < late.opens_at


def test_a_leader_that_speaks_is_not_spoken_to() -> None:
    stream = followed()
    stream.on_message(TWO, 11.0)
    assert stream.opens_at < math.inf
    stream.on_message(ONE, 11.0)
    assert stream.opens_at == math.inf


def test_a_leader_whose_message_told_of_it_is_not_spoken_to() -> None:
    stream = LeaderStream(ME)
    stream.on_message(ONE, 10.0)
    stream.follow(ONE, 10.0)
    assert stream.opens_at == math.inf
    stream.follow(ONE, 12.0)
    assert stream.opens_at > 12.0, "a stream may have gone since"
    assert stream.opens_at < math.inf


@pytest.mark.parametrize("leader", [NO_NODE, ME])
def test_who_leads_or_follows_nobody_has_nobody_to_speak_to(leader: bytes) -> None:
    stream = followed()
    stream.follow(leader, 11.0)
    assert stream.opens_at == math.inf
    stream.on_lost(ONE, 12.0)
    assert stream.opens_at == math.inf


def test_pauses_between_streams_that_break_grow_until_the_leader_speaks() -> None:
    stream = followed(0.0)
    first_s = stream.opens_at
    waits: list[float] = []
    for _ in range(8):
        stream.open()
        stream.on_lost(TWO, 100.0)
        assert stream.opens_at == math.inf
        stream.on_lost(ONE, 100.0)
        waits.append(stream.opens_at - 100.0)
        stream.on_lost(ONE, 101.0)
        assert stream.opens_at - 100.0 == waits[-1], "the pause has begun already"
    assert waits[:3] == [first_s, 2 * first_s, 4 * first_s]
    assert waits[-1] == SILENCE_MAX_S
    stream.on_message(ONE, 150.0)
    stream.on_lost(ONE, 200.0)
    assert stream.opens_at == 200.0 + first_s


def test_a_node_speaks_to_a_new_leader_and_again_after_the_stream_broke() -> None:
    env = NodeEnv()
    for _ in range(2):
        env.now = env.node._leader_stream.opens_at
        assert env.now < math.inf
        assert env.node.next_deadline() <= env.now
        env.node.handle_deadline(env.now)
        env.pump()
        assert [0, False, []] in env.take(PUSH_PULL)
        env.node.on_peer_lost(ONE, False, env.now)
        env.pump()
    env.receive(REPORT_WANTED, [1], ONE, BALLOT)
    assert env.node._leader_stream.opens_at == math.inf

"""The election of one node: standing, voting, following; what it answers, persists and tells."""

from __future__ import annotations

import math

import pytest

from swarm.core.effects import LeaderChanged, Packet, Persist
from swarm.core.ids import NO_BALLOT, NO_NODE
from swarm.election.ballots import unpack_ballot_untrusted
from swarm.election.roles import Role
from swarm.wire.codec import Stamp, pack_frame
from swarm.wire.messages import BEAT, BEAT_REPLY, VOTE_REPLY, VOTE_REQUEST
from tests.unit.election_bench import (
    CONFIG,
    COUNCIL,
    A,
    B,
    Bench,
    C,
    D,
    E,
    candidate,
    follower,
    leader,
    request,
)

# Standing


def test_before_it_knows_a_council_a_node_waits_for_ever() -> None:
    bench = Bench()
    bench.core.start(bench.now)
    bench.run(60.0)
    assert bench.core.next_deadline() == math.inf
    assert bench.take() == []


def test_outside_the_council_a_node_never_stands() -> None:
    bench = Bench(D).start(COUNCIL)
    bench.run(60.0)
    assert bench.take() == []


def test_a_lone_node_leads_itself_in_a_second_and_a_half() -> None:
    bench = Bench().start(COUNCIL[:1])
    bench.run_until_due()
    assert 1.3 <= bench.now - 100.0 <= 1.5
    promise, fence, told = bench.take()
    assert isinstance(promise, Persist)
    assert isinstance(fence, Persist)
    assert (promise.key, unpack_ballot_untrusted(promise.value)) == (b"promise", (1, A))
    assert (fence.key, unpack_ballot_untrusted(fence.value)) == (b"fence", (1, A))
    assert promise.durable
    assert fence.durable
    assert told == LeaderChanged((1, A), A)
    assert bench.core.is_leader()
    assert bench.core.leader() == A
    assert bench.core.stamp() == ((1, A), 1)
    bench.run(60.0)
    assert bench.core.is_leader()
    assert bench.take() == []


def test_a_pre_vote_asks_everybody_and_promises_nothing() -> None:
    bench = Bench().start(COUNCIL)
    bench.run_until_due()
    first, second = bench.take()
    assert isinstance(first, Packet)
    number = first.body[0]
    assert first == Packet(("b", 1), VOTE_REQUEST, [number, 1, A, True])
    assert second == Packet(("c", 1), VOTE_REQUEST, [number, 1, A, True])
    assert bench.core.ballot() == NO_BALLOT


def test_a_won_pre_vote_persists_the_promise_and_asks_for_votes() -> None:
    bench = Bench().start(COUNCIL)
    bench.run_until_due()
    (_, body), *_ = bench.packets(VOTE_REQUEST)
    bench.receive(C, VOTE_REPLY, [*body, True])
    effects = bench.take()
    assert [type(effect) for effect in effects] == [Persist, Persist, Packet, Packet]
    assert bench.core.ballot() == (1, A)
    request = effects[2]
    assert isinstance(request, Packet)
    assert request.body[1:] == [1, A, False]
    assert request.body[0] != body[0], "every round has a number of its own"


def test_a_new_leader_announces_itself_to_everybody_then_beats_to_the_council() -> None:
    bench = candidate()
    bench.core.on_members([*COUNCIL, (D, ("d", 1))], bench.now)
    (_, body), *_ = bench.packets(VOTE_REQUEST)
    bench.receive(B, VOTE_REPLY, [*body, True])
    effects = bench.take()
    assert effects[-1] == LeaderChanged((1, A), A)
    assert [effect for effect in effects if isinstance(effect, Packet)] == [
        Packet(("b", 1), BEAT, [True]),
        Packet(("c", 1), BEAT, [True]),
        Packet(("d", 1), BEAT, [False]),
    ]
    bench.run(0.3)
    assert bench.packets(BEAT) == [(("b", 1), [True]), (("c", 1), [True])]
    assert bench.core.stamp() == ((1, A), 2)


def test_requests_are_repeated_to_those_who_did_not_grant_and_then_given_up() -> None:
    bench = candidate()
    bench.take()
    bench.run(0.15)
    assert len(bench.packets(VOTE_REQUEST)) == 2
    bench.run(0.46)
    assert bench.core.role() is Role.FOLLOWER
    assert bench.count("rounds_timed_out") == 1
    bench.take()
    bench.run(0.8)
    (_, body), *_ = bench.packets(VOTE_REQUEST)
    assert body[1:] == [2, A, True], "the next one is above what it promised itself"


@pytest.mark.parametrize(
    "change",
    [(0, 1), (1, 7), (3, True), (4, False)],
    ids=["other round", "other ballot", "other kind", "refused"],
)
def test_only_a_grant_of_this_round_elects(change: tuple[int, object]) -> None:
    bench = candidate()
    (_, body), *_ = bench.packets(VOTE_REQUEST)
    reply: list[object] = [*body, True]
    reply[change[0]] = change[1]
    bench.receive(B, VOTE_REPLY, reply)
    assert bench.core.role() is Role.CANDIDATE


def test_one_voter_answering_often_elects_nobody() -> None:
    five = [*COUNCIL, (D, ("d", 1)), (E, ("e", 1))]
    bench = Bench().start(five)
    bench.run_until_due()
    (_, body), *_ = bench.packets(VOTE_REQUEST)
    for _ in range(5):
        bench.receive(B, VOTE_REPLY, [*body, True])
    assert bench.core.role() is Role.PRE_CANDIDATE
    assert bench.count("packets_unexpected") == 4


def test_a_stranger_has_no_vote() -> None:
    bench = candidate()
    (_, body), *_ = bench.packets(VOTE_REQUEST)
    bench.receive(E, VOTE_REPLY, [*body, True])
    assert bench.core.role() is Role.CANDIDATE


def test_a_candidate_that_hears_a_higher_ballot_gives_way() -> None:
    bench = candidate()
    bench.stamp(C, (1, C), 0)
    assert bench.core.role() is Role.FOLLOWER
    assert bench.core.ballot() == (1, C)


def test_a_candidate_ignores_a_lower_ballot() -> None:
    bench = candidate(B)
    bench.stamp(A, (1, A), 3)
    assert bench.core.role() is Role.CANDIDATE


def test_a_pre_candidate_that_sees_a_beat_grow_follows() -> None:
    bench = follower()
    bench.run(1.3)
    assert bench.core.role() is Role.PRE_CANDIDATE
    bench.stamp(C, (1, B), 2)
    assert bench.core.role() is Role.FOLLOWER
    assert bench.core.leader() == B
    assert [effect for effect in bench.take() if isinstance(effect, LeaderChanged)] == []


def test_a_candidate_that_leaves_the_council_stands_no_more() -> None:
    bench = Bench().start(COUNCIL)
    bench.run_until_due()
    bench.core.on_council(COUNCIL[1:], bench.now)
    assert bench.core.role() is Role.FOLLOWER
    bench.run(20.0)
    assert bench.core.role() is Role.FOLLOWER


def test_a_node_that_enters_the_council_long_after_waits_its_turn() -> None:
    bench = Bench().start(COUNCIL[1:])
    bench.run(30.0)
    bench.core.on_council(COUNCIL, bench.now)
    assert bench.core.next_deadline() >= bench.now + CONFIG.election_timeout_s


def test_the_start_wait_goes_on_when_the_council_becomes_known() -> None:
    bench = Bench()
    bench.core.start(bench.now)
    bench.now += 0.5
    bench.core.on_council(COUNCIL, bench.now)
    assert 0.4 <= bench.core.next_deadline() - bench.now <= 0.5


# Voting


def test_a_vote_is_promised_on_disk_before_it_is_given() -> None:
    bench = Bench().start(COUNCIL)
    bench.receive(B, VOTE_REQUEST, [7, 1, B, False])
    promise, fence, reply = bench.take()
    assert isinstance(promise, Persist)
    assert isinstance(fence, Persist)
    assert (promise.key, fence.key) == (b"promise", b"fence")
    assert reply == Packet(("b", 1), VOTE_REPLY, [7, 1, B, False, True])


def test_asking_again_for_the_same_vote_is_granted_without_another_write() -> None:
    bench = Bench().start(COUNCIL)
    assert request(bench, B, (1, B), False)
    bench.receive(B, VOTE_REQUEST, [77, 1, B, False])
    assert bench.take() == [Packet(("b", 1), VOTE_REPLY, [77, 1, B, False, True])]


def test_a_higher_ballot_of_the_same_counter_is_granted_a_lower_is_not() -> None:
    bench = Bench().start(COUNCIL)
    assert request(bench, B, (1, B), False)
    assert request(bench, C, (1, C), False)
    assert not request(bench, B, (1, B), False)
    assert bench.core.ballot() == (1, C)


def test_a_vote_whose_stamp_was_heard_first_is_granted() -> None:
    bench = Bench().start(COUNCIL)
    bench.stamp(B, (1, B), 0)
    assert request(bench, B, (1, B), False)


def test_a_restart_keeps_fence_and_promise() -> None:
    bench = Bench(A, (4, C), (3, B)).start(COUNCIL)
    assert bench.core.ballot() == (4, C)
    assert not request(bench, B, (3, B), False)
    assert request(bench, C, (4, C), False)
    assert request(bench, B, (5, B), False)


def test_a_follower_of_a_fresh_leader_refuses_pre_votes() -> None:
    bench = follower()
    assert not request(bench, C, (2, C), True)
    bench.run(0.95)
    assert request(bench, C, (2, C), True)
    assert bench.core.ballot() == (1, B), "a pre-vote promises nothing"


def test_a_leader_refuses_pre_votes() -> None:
    bench = leader()
    assert not request(bench, C, (9, C), True)


def test_who_just_voted_refuses_pre_votes_of_others() -> None:
    bench = Bench().start(COUNCIL)
    request(bench, B, (1, B), False)
    assert not request(bench, C, (2, C), True)


def test_of_two_pre_candidates_the_higher_gets_the_other() -> None:
    bench = Bench(B).start(COUNCIL)
    bench.run_until_due()
    assert bench.core.role() is Role.PRE_CANDIDATE
    assert not request(bench, A, (1, A), True)
    assert request(bench, C, (1, C), True)


def test_a_leader_that_stands_anew_is_believed_to_lead_no_more() -> None:
    bench = follower()
    bench.run(0.5)
    assert not request(bench, C, (2, C), True)
    assert request(bench, B, (2, B), True)
    assert bench.core.leader() == NO_NODE


def test_nodes_outside_the_council_vote_too() -> None:
    bench = Bench(D).start(COUNCIL)
    assert request(bench, B, (1, B), True)
    assert request(bench, B, (1, B), False)


# Following


def test_a_direct_beat_is_followed_and_answered() -> None:
    bench = Bench().start(COUNCIL)
    bench.beat(B, (1, B), 4)
    persist, told, reply = bench.take()
    assert isinstance(persist, Persist)
    assert reply == Packet(("b", 1), BEAT_REPLY, [])
    assert told == LeaderChanged((1, B), B)
    assert bench.core.stamp() == ((1, B), 4)


def test_an_announcement_to_an_outsider_is_not_answered() -> None:
    bench = Bench(D).start(COUNCIL)
    bench.beat(B, (1, B), 1, is_answer_wanted=False)
    assert bench.packets(BEAT_REPLY) == []
    assert bench.core.leader() == B


def test_a_stale_leader_is_told_the_fence() -> None:
    bench = Bench(A, (5, C), NO_BALLOT).start(COUNCIL)
    bench.beat(B, (1, B), 9)
    assert bench.take() == [Packet(("b", 1), BEAT_REPLY, [])]
    assert bench.core.stamp() == ((5, C), 0)


@pytest.mark.parametrize(
    ("beat", "known", "is_answered"),
    [
        (9, 9, True),
        (9, 200, True),
        (9, 300, False),
        (200, 300, True),
        (65535, 65536, False),
        (65536, 70000, True),
    ],
)
def test_the_answer_to_a_beat_is_never_longer_than_the_beat(beat: int, known: int, is_answered: bool) -> None:
    """A recording of an old beat, sent from somebody else's address, brings him no more than it cost."""
    bench = follower(known)
    bench.beat(B, (1, B), beat)
    replies = bench.packets(BEAT_REPLY)
    question = pack_frame(BEAT, Stamp(B, (1, B), beat), [True])
    answer = pack_frame(BEAT_REPLY, Stamp(A, *bench.core.stamp()), [])
    assert (len(answer) <= len(question)) == is_answered
    assert len(replies) == is_answered


@pytest.mark.parametrize(("counter", "is_told"), [(5, True), (200, True), (300, False)])
def test_a_stale_leader_is_told_the_fence_in_no_more_bytes_than_its_beat(counter: int, is_told: bool) -> None:
    bench = Bench(A, (counter, C), NO_BALLOT).start(COUNCIL)
    bench.beat(B, (1, B), 9)
    assert len(bench.packets(BEAT_REPLY)) == is_told, "else the stamp of anything else will tell it"


def test_a_beat_rides_on_stamps_of_anybody() -> None:
    bench = Bench().start(COUNCIL)
    bench.stamp(C, (1, B), 10)
    assert bench.core.leader() == NO_NODE, "seen once, it may be as old as the world"
    bench.stamp(C, (1, B), 11)
    assert bench.core.leader() == B


def test_a_stamp_of_the_leader_itself_is_enough() -> None:
    bench = Bench().start(COUNCIL)
    bench.stamp(B, (1, B), 10)
    assert bench.core.leader() == B


def test_a_silent_leader_is_replaced_after_the_timeout() -> None:
    bench = follower()
    bench.run(CONFIG.election_timeout_s - 0.01)
    assert bench.core.role() is Role.FOLLOWER
    bench.run(0.12)
    assert bench.core.role() is Role.PRE_CANDIDATE
    assert bench.core.leader() == B, "one missed leader is no reason to name none"
    bench.run(2.6)
    assert bench.core.leader() == NO_NODE
    assert LeaderChanged((1, B), NO_NODE) in bench.take()


def test_outsiders_trust_for_longer() -> None:
    bench = Bench(D).start(COUNCIL)
    bench.beat(B, (1, B), 1)
    bench.run(CONFIG.lease_s + 1.0)
    assert bench.core.leader() == B
    bench.run(CONFIG.outsider_lease_s)
    assert bench.core.leader() == NO_NODE


def test_a_repeated_beat_does_not_keep_a_leader_alive() -> None:
    bench = follower(beat=5)
    for _ in range(50):
        bench.run(0.1)
        bench.stamp(C, (1, B), 5)
    assert bench.core.leader() == NO_NODE


def test_a_restarted_leader_does_not_believe_rumours_of_itself() -> None:
    bench = Bench(A, (3, A), (3, A)).start(COUNCIL)
    for beat in range(50, 60):
        bench.stamp(B, (3, A), beat)
    assert bench.core.leader() == NO_NODE
    assert not bench.core.is_leader()
    bench.run_until_due()
    (_, body), *_ = bench.packets(VOTE_REQUEST)
    assert body[1:] == [4, A, True]


def test_a_new_ballot_of_the_same_leader_is_told() -> None:
    bench = follower()
    bench.beat(B, (3, B), 1)
    assert LeaderChanged((3, B), B) in bench.take()

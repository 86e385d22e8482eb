"""The election of one node: leading, stopping, sleeping, and bad input."""

from __future__ import annotations

import math

import pytest

from swarm.core.effects import LeaderChanged, Notify, Packet, Persist
from swarm.core.ids import NO_BALLOT, NO_NODE, Ballot, NodeId
from swarm.election.news import leadership_ended
from swarm.election.roles import Role
from swarm.wire.codec import Stamp, pack
from swarm.wire.messages import BEAT, BEAT_REPLY, PING, STAND, VOTE_REPLY, VOTE_REQUEST
from tests.unit.election_bench import (
    CONFIG,
    COUNCIL,
    A,
    B,
    Bench,
    C,
    D,
    E,
    address_of,
    candidate,
    follower,
    leader,
    request,
)

# Leading


def test_a_leader_that_meets_a_higher_fence_stops_and_stands_above_it() -> None:
    bench = leader()
    ended = bench.core.ballot()
    bench.core.observe_ballot((6, C), bench.now)
    assert not bench.core.is_leader()
    notify, persist, told = bench.take()
    assert isinstance(persist, Persist)
    assert notify == leadership_ended(ended, "overtaken")
    assert told == LeaderChanged((6, C), NO_NODE)
    bench.run(0.9)
    (_, body), *_ = bench.packets(VOTE_REQUEST)
    assert body[1:] == [7, A, True], "even if the owner of that ballot is gone for good"


def test_a_leader_that_meets_a_higher_leader_follows_it() -> None:
    bench = leader()
    bench.stamp(C, (2, C), 8)
    assert bench.core.leader() == C
    bench.run(1.0)
    assert bench.core.role() is Role.FOLLOWER


def test_the_higher_of_two_leaders_leads_on() -> None:
    bench = leader(B)
    bench.beat(A, (1, A), 3)
    assert bench.core.is_leader()
    assert bench.packets(BEAT_REPLY) == [(("a", 1), [])]
    assert bench.core.stamp() == ((1, B), 1)


def test_a_leader_nobody_answers_stops_after_a_lease() -> None:
    bench = leader()
    bench.run(CONFIG.lease_s - 0.1)
    assert bench.core.is_leader()
    bench.run(0.5)
    assert not bench.core.is_leader()
    assert "quorum_lost" in [effect.values["reason"] for effect in bench.take() if isinstance(effect, Notify)]


def test_answers_of_a_majority_keep_a_leader() -> None:
    bench = leader()
    for _ in range(40):
        bench.run(0.3)
        bench.answer(B, (1, A), bench.core.stamp()[1])
    assert bench.core.is_leader()


def test_whoever_answered_a_beat_need_not_answer_the_next() -> None:
    bench = leader()
    wanted: list[tuple[object, object]] = []
    for number in range(6):
        bench.run(0.3)
        beats = dict(bench.packets(BEAT))
        wanted.append((beats[("b", 1)][0], beats[("c", 1)][0]))
        bench.run(0.01)
        if beats[("b", 1)][0] and number != 2:
            bench.answer(B, (1, A), bench.core.stamp()[1])
    assert [b for b, _ in wanted] == [True, False, True, True, False, True], "the third answer was lost"
    assert [c for _, c in wanted] == [True] * 6, "who never answers is asked each time"


def test_a_beat_is_as_short_in_a_large_council_as_in_a_small_one() -> None:
    sizes: list[int] = []
    for council in (COUNCIL[:2], [*COUNCIL, (D, ("d", 1)), (E, ("e", 1))]):
        bench = leader()
        bench.core.on_council(council, bench.now)
        bench.take()
        bench.run(0.3)
        sizes.append(len(pack(bench.packets(BEAT)[0][1])))
    assert sizes[0] == sizes[1] == 2


def test_answers_to_long_past_beats_do_not_keep_a_leader() -> None:
    bench = leader()
    for _ in range(60):
        bench.run(0.3)
        bench.answer(B, (1, A), 1)
    assert bench.core.ballot() == (1, A)
    assert not bench.core.is_leader()
    assert bench.count("packets_stale") > 0


def test_answers_of_strangers_do_not_keep_a_leader() -> None:
    bench = leader()
    for _ in range(20):
        bench.run(0.3)
        bench.answer(E, (1, A), bench.core.stamp()[1])
    assert not bench.core.is_leader()


def test_a_leader_that_hears_a_beat_of_its_own_it_never_sent_stands_again() -> None:
    bench = leader()
    bench.stamp(B, (1, A), 99)
    assert not bench.core.is_leader()
    assert bench.count("beats_clashed") == 1
    (_, body), *_ = bench.packets(VOTE_REQUEST)
    assert body[1:] == [2, A, True]


def test_an_incumbent_that_lost_its_electorate_leads_under_a_new_ballot() -> None:
    bench = leader()
    bench.core.on_council(COUNCIL[:1], bench.now)
    assert bench.core.is_leader()
    assert bench.core.ballot() == (2, A)
    assert LeaderChanged((2, A), A) in bench.take()


def test_a_displaced_leader_hands_over_to_the_fittest() -> None:
    bench = leader()
    bench.core.on_council([(D, ("d", 1)), (E, ("e", 1))], bench.now)
    assert bench.packets(STAND) == [(("d", 1), [1, A])]
    assert not bench.core.is_leader()
    assert bench.core.next_deadline() == math.inf


def test_a_leader_with_an_empty_council_stops() -> None:
    bench = leader()
    bench.core.on_council([], bench.now)
    assert not bench.core.is_leader()
    assert bench.packets(STAND) == []


def test_new_addresses_of_the_same_council_change_nothing_else() -> None:
    bench = leader()
    bench.core.on_council([(A, ("a", 1)), (B, ("b", 2)), (C, ("c", 1))], bench.now)
    assert bench.take() == []
    bench.run(0.3)
    assert [destination for destination, _ in bench.packets(BEAT)] == [("b", 2), ("c", 1)]


def test_a_council_that_changed_during_the_vote_counts_at_once() -> None:
    bench = candidate()
    bench.core.on_council(COUNCIL[:1], bench.now)
    (_, body), *_ = bench.packets(VOTE_REQUEST)
    bench.receive(B, VOTE_REPLY, [*body, True])
    assert bench.core.is_leader()
    assert bench.core.ballot() == (2, A), "most of those who voted are gone"


# Stopping, sleeping


def test_resigning_asks_the_fittest_to_stand() -> None:
    bench = leader()
    bench.core.resign(bench.now)
    bench.core.check_invariants()
    stand, notify, told = bench.take()
    assert stand == Packet(("b", 1), STAND, [1, A])
    assert isinstance(notify, Notify)
    assert told == LeaderChanged((1, A), NO_NODE)
    bench.run(30.0)
    assert bench.core.role() is Role.RETIRED
    bench.core.resign(bench.now)
    assert bench.take() == []
    assert request(bench, B, (2, B), False), "a retired node votes on"


def test_resigning_as_a_follower_is_silent() -> None:
    bench = follower()
    bench.core.resign(bench.now)
    assert bench.take() == []
    assert bench.core.leader() == B


def test_who_is_told_to_stand_skips_the_pre_vote() -> None:
    bench = follower()
    bench.receive(B, STAND, [1, B])
    (_, body), *_ = bench.packets(VOTE_REQUEST)
    assert body[1:] == [2, A, False]


def test_a_pre_candidate_told_to_stand_does() -> None:
    bench = follower()
    bench.run(1.3)
    bench.receive(B, STAND, [1, B])
    assert bench.core.role() is Role.CANDIDATE


@pytest.mark.parametrize(
    ("sender", "body"),
    [(C, [1, B]), (B, [0, B]), (B, [])],
    ids=["of another", "of no ballot", "empty"],
)
def test_only_the_leader_may_tell_to_stand(sender: NodeId, body: list[object]) -> None:
    bench = follower()
    bench.receive(sender, STAND, body)
    assert bench.core.role() is Role.FOLLOWER
    assert bench.count("packets_undecodable") == 1


def test_an_order_to_stand_of_an_old_leader_is_stale() -> None:
    bench = Bench(A, (5, C), NO_BALLOT).start(COUNCIL)
    bench.receive(B, STAND, [1, B])
    assert bench.core.role() is Role.FOLLOWER
    assert bench.count("packets_stale") == 1


def test_a_retired_node_and_an_outsider_do_not_stand_when_told() -> None:
    retired = follower()
    retired.core.resign(retired.now)
    retired.receive(B, STAND, [1, B])
    assert retired.core.role() is Role.RETIRED
    outsider = Bench(D).start(COUNCIL)
    outsider.receive(B, STAND, [1, B])
    assert outsider.core.role() is Role.FOLLOWER


def test_waking_drops_leadership_and_gives_fresh_waits() -> None:
    bench = leader()
    bench.now += 600.0
    bench.core.wake(bench.now)
    bench.core.check_invariants()
    assert not bench.core.is_leader()
    assert LeaderChanged((1, A), NO_NODE) in bench.take()
    assert bench.core.next_deadline() >= bench.now + CONFIG.election_timeout_s


def test_waking_gives_the_leader_a_fresh_period() -> None:
    bench = follower()
    bench.now += 600.0
    bench.core.wake(bench.now)
    bench.core.handle_deadline(bench.now)
    assert bench.core.leader() == B
    assert not request(bench, C, (2, C), True)


def test_waking_ends_a_candidacy() -> None:
    bench = candidate()
    bench.now += 600.0
    bench.core.wake(bench.now)
    bench.core.check_invariants()
    assert bench.core.role() is Role.FOLLOWER


def test_a_gap_nobody_mentioned_ends_leadership_too() -> None:
    bench = Bench().start(COUNCIL[:1])
    bench.run(3.0)
    assert bench.core.is_leader()
    bench.now += 60.0
    bench.core.handle_deadline(bench.now)
    assert not bench.core.is_leader()


@pytest.mark.parametrize("first", ["council", "stamp", "beat reply"])
def test_nothing_is_done_as_a_leader_after_a_gap(first: str) -> None:
    """Whatever waited in the sockets comes before the timers: it finds no leader any more."""
    bench = leader()
    led = bench.core.ballot()
    bench.now += CONFIG.lease_s + 1.0
    if first == "council":
        bench.core.on_council([*COUNCIL[:2], (E, address_of(E))], bench.now)
    elif first == "stamp":
        bench.stamp(C, (1, B), 1)
    else:
        bench.answer(C, led, 1)
    effects = bench.take()
    assert LeaderChanged(led, NO_NODE) in effects
    assert not [effect for effect in effects if isinstance(effect, Packet)]
    assert not bench.core.is_leader()


# Bad input


def test_a_ballot_far_above_the_fence_is_ignored_everywhere() -> None:
    bench = leader()
    counter = 2 + 2**20
    bench.stamp(C, (counter, C), 3)
    bench.core.observe_ballot((counter, C), bench.now)
    bench.beat(C, (counter, C), 3)
    bench.receive(C, VOTE_REQUEST, [1, counter, C, True])
    bench.receive(C, VOTE_REQUEST, [1, counter, C, False])
    bench.receive(C, STAND, [counter, C])
    bench.answer(C, (counter, C), 3)
    assert bench.count("ballots_jumped") == 7
    assert bench.core.is_leader()
    assert bench.take() == []
    bench.stamp(C, (counter - 1, C), 3)
    assert not bench.core.is_leader()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (VOTE_REQUEST, []),
        (VOTE_REQUEST, [1, 1, C, True]),
        (VOTE_REQUEST, [1, 0, B, True]),
        (VOTE_REQUEST, [1, 1, b"x", True]),
        (VOTE_REQUEST, [1, 1, B, 1]),
        (VOTE_REPLY, [1, 1, A, True]),
        (VOTE_REPLY, ["1", 1, A, True, True]),
        (BEAT, [1]),
        (BEAT, [[A]]),
        (BEAT, []),
        (STAND, [1]),
    ],
)
def test_undecodable_packets_are_counted_and_dropped(kind: int, body: list[object]) -> None:
    bench = Bench().start(COUNCIL)
    bench.receive(B, kind, body)
    assert bench.count("packets_undecodable") == 1
    assert bench.take() == []


@pytest.mark.parametrize(
    ("ballot", "beat"),
    [((1, C), 1), ((1, B), 0), (NO_BALLOT, 1)],
    ids=["of another", "before the first", "none"],
)
def test_beats_of_who_does_not_lead_are_stale(ballot: Ballot, beat: int) -> None:
    bench = Bench(A, (2, C), NO_BALLOT).start(COUNCIL)
    bench.beat(B, ballot, beat)
    assert bench.count("packets_stale") == 1
    assert bench.packets(BEAT_REPLY) == []


def test_packets_of_itself_of_clients_and_of_other_kinds_are_counted_and_dropped() -> None:
    bench = Bench().start(COUNCIL)
    bench.core.receive_packet(Stamp(A, NO_BALLOT, 0), BEAT, [True], ("a", 1), bench.now)
    bench.core.receive_packet(Stamp(b"", NO_BALLOT, 0), BEAT, [True], ("a", 1), bench.now)
    bench.receive(B, PING, [])
    assert bench.count("packets_unexpected") == 3
    assert bench.take() == []


def test_own_and_empty_stamps_say_nothing() -> None:
    bench = Bench().start(COUNCIL)
    bench.stamp(A, (9, A), 4)
    bench.stamp(b"", NO_BALLOT, 0)
    bench.stamp(B, (0, B), 5)
    bench.stamp(B, (3, b""), 5)
    assert bench.take() == []
    assert bench.core.ballot() == NO_BALLOT


def test_time_never_falls() -> None:
    bench = Bench().start(COUNCIL)
    with pytest.raises(AssertionError, match="time never falls"):
        bench.core.handle_deadline(99.0)

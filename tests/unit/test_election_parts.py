"""The parts of the election: settings, ballots, fence, votes, beats, roles and waits."""

from __future__ import annotations

import math

import pytest

from swarm.core.effects import Effect, Persist
from swarm.core.errors import ConfigError, DecodeError
from swarm.core.ids import NO_BALLOT, NO_NODE
from swarm.core.rng import Rng
from swarm.election.ballots import is_ballot, is_jump, next_ballot, pack_ballot, unpack_ballot_untrusted
from swarm.election.beats import Attendance, BeatWatch
from swarm.election.config import ElectionConfig
from swarm.election.counters import COUNTERS, new_counters
from swarm.election.fence import Fence
from swarm.election.roles import CHANGES, Role, is_allowed
from swarm.election.seat import Seat
from swarm.election.timeouts import TIMER_BEAT, TIMER_ELECTION, ElectionTimeout
from swarm.election.voter import Voter
from swarm.election.votes import VoteRound
from swarm.wire.codec import pack

A, B, C, D, E = [bytes([number]) * 16 for number in range(1, 6)]
ELECTORATE = [(A, ("a", 1)), (B, ("b", 1)), (C, ("c", 1))]
CONFIG = ElectionConfig()


# Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beat_interval_s", 0.0),
        ("jitter_s", 0.0),
        ("vote_resend_s", -1.0),
        ("retry_wait_s", 0.0),
        ("retry_jitter_s", 0.0),
        ("ballot_jump_max", 0),
        ("members_max", 0),
        ("rank_step_s", -0.1),
        ("start_wait_s", -1.0),
        ("alone_wait_s", -1.0),
        ("vote_hold_s", -1.0),
        ("council_grace_s", -1.0),
        ("council_size", 0),
        ("council_size", 65),
        ("council_hysteresis_percent", -1),
        ("council_hysteresis_percent", 1001),
        ("trust_s", 0.5),
        ("election_timeout_s", 0.8),
        ("lease_s", 1.0),
        ("outsider_lease_s", 3.0),
        ("candidate_wait_s", 0.3),
        ("vote_timeout_s", 0.1),
        ("lease_s", math.nan),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        ElectionConfig(**{name: value})  # type: ignore[arg-type]  # some are no floats


def test_presets_are_valid() -> None:
    assert ElectionConfig.lan() == ElectionConfig()
    assert ElectionConfig.wan().election_timeout_s > ElectionConfig.lan().election_timeout_s


def test_counters_start_at_zero() -> None:
    assert new_counters() == dict.fromkeys(COUNTERS, 0)


# Ballots


def test_ballots_are_ordered_as_pairs() -> None:
    assert NO_BALLOT < (1, A) < (1, B) < (2, A)


def test_next_ballot_is_the_lowest_above() -> None:
    assert next_ballot(NO_BALLOT, B) == (1, B)
    assert next_ballot((4, C), A) == (5, A)


def test_is_ballot() -> None:
    assert is_ballot((1, A))
    assert not is_ballot(NO_BALLOT)
    assert not is_ballot((0, A))
    assert not is_ballot((1, b""))
    assert not is_ballot((2**62, A))


def test_jumps_are_bounded() -> None:
    assert not is_jump((12, A), (2, B), 10)
    assert is_jump((13, A), (2, B), 10)
    assert not is_jump((1, A), (50, B), 10)


def test_a_ballot_survives_the_journal() -> None:
    assert unpack_ballot_untrusted(pack_ballot((7, B))) == (7, B)
    assert unpack_ballot_untrusted(pack_ballot(NO_BALLOT)) == NO_BALLOT


@pytest.mark.parametrize("row", [b"", b"\xc1", pack(3), pack([1]), pack([1, b"short"]), pack([-1, A])])
def test_a_damaged_row_is_a_decode_error(row: bytes) -> None:
    with pytest.raises(DecodeError):
        unpack_ballot_untrusted(row)


# Fence


def rows(effects: list[Effect]) -> list[tuple[bytes, tuple[int, bytes]]]:
    """Return key and ballot of effects that all are durable rows of the node's table."""
    result = []
    for effect in effects:
        assert isinstance(effect, Persist)
        assert effect.durable
        assert effect.table == "node"
        result.append((effect.key, unpack_ballot_untrusted(effect.value)))
    return result


def test_hearing_persists_the_fence() -> None:
    fence, effects = Fence(NO_BALLOT, NO_BALLOT), list[Effect]()
    fence.hear((3, A), effects)
    assert rows(effects) == [(b"fence", (3, A))]
    assert (fence.ballot, fence.promise) == ((3, A), NO_BALLOT)


def test_granting_persists_the_promise_before_the_fence() -> None:
    fence, effects = Fence((1, A), NO_BALLOT), list[Effect]()
    fence.grant((2, B), effects)
    assert rows(effects) == [(b"promise", (2, B)), (b"fence", (2, B))]


def test_granting_what_was_heard_persists_only_the_promise() -> None:
    fence, effects = Fence((2, B), NO_BALLOT), list[Effect]()
    fence.grant((2, B), effects)
    assert rows(effects) == [(b"promise", (2, B))]


def test_a_crash_between_promise_and_fence_is_repaired() -> None:
    assert Fence((1, A), (2, B)).ballot == (2, B)


def test_neither_ever_falls() -> None:
    fence = Fence((5, B), (4, B))
    with pytest.raises(AssertionError, match="a fence only rises"):
        fence.hear((5, B), [])
    with pytest.raises(AssertionError, match="a promise only rises"):
        fence.grant((4, B), [])
    with pytest.raises(AssertionError, match="no promise below the fence"):
        fence.grant((5, A), [])


# Votes


def test_each_voter_counts_once() -> None:
    vote_round = VoteRound(1, (1, A), False, [*ELECTORATE, (D, ("d", 1)), (E, ("e", 1))])
    assert vote_round.count(B, True)
    assert not vote_round.count(B, True)
    assert vote_round.granted_count() == 2
    assert not vote_round.is_won()
    assert vote_round.count(C, True)
    assert vote_round.is_won()


def test_strangers_and_the_candidate_itself_do_not_count() -> None:
    vote_round = VoteRound(1, (1, A), False, ELECTORATE)
    assert not vote_round.count(D, True)
    assert not vote_round.count(A, True)
    assert vote_round.granted_count() == 1


def test_a_grant_may_follow_a_refusal_but_not_the_reverse() -> None:
    vote_round = VoteRound(1, (1, A), True, ELECTORATE)
    assert vote_round.count(B, False)
    assert not vote_round.count(B, False)
    assert vote_round.unanswered() == [("b", 1), ("c", 1)]
    assert vote_round.count(B, True)
    assert not vote_round.count(B, False)
    assert vote_round.is_won()
    assert vote_round.unanswered() == [("c", 1)]


def test_a_round_of_one_is_won_at_once() -> None:
    assert VoteRound(1, (1, A), False, ELECTORATE[:1]).is_won()


def test_half_is_no_majority() -> None:
    assert not VoteRound(1, (1, A), False, ELECTORATE[:2]).is_won()


def test_only_answers_to_this_round_belong_to_it() -> None:
    vote_round = VoteRound(4, (2, A), True, ELECTORATE)
    assert vote_round.is_answer(4, (2, A), True)
    assert not vote_round.is_answer(5, (2, A), True)
    assert not vote_round.is_answer(4, (3, A), True)
    assert not vote_round.is_answer(4, (2, A), False)


def test_one_stands_only_in_an_own_electorate() -> None:
    with pytest.raises(AssertionError, match="who stands"):
        VoteRound(1, (1, D), False, ELECTORATE)


# Beats


def test_a_beat_told_by_the_leader_itself_is_trusted_at_once() -> None:
    watch = BeatWatch()
    assert watch.observe(5, True, 1.0)
    assert watch.is_fresh(0.9, 1.8)
    assert not watch.is_fresh(0.9, 2.0)


def test_a_beat_at_second_hand_counts_once_it_grows() -> None:
    watch = BeatWatch()
    assert not watch.observe(5, False, 1.0)
    assert not watch.is_trusted
    assert not watch.observe(5, False, 1.1)
    assert not watch.observe(4, False, 1.1)
    assert watch.observe(6, False, 1.2)
    assert watch.is_trusted


def test_a_repeated_beat_is_no_life_sign() -> None:
    watch = BeatWatch()
    watch.observe(5, True, 1.0)
    assert not watch.observe(5, True, 1.5)
    assert watch.grown_at == 1.0


def test_distrust_lasts_until_the_beat_grows() -> None:
    watch = BeatWatch()
    watch.observe(5, True, 1.0)
    watch.distrust()
    assert not watch.observe(5, True, 1.1)
    assert not watch.is_trusted
    assert watch.observe(6, False, 1.2)


def test_reset_forgets() -> None:
    watch = BeatWatch()
    watch.observe(5, True, 1.0)
    watch.reset()
    assert (watch.beat, watch.is_trusted) == (0, False)


def test_attendance_gives_everybody_a_lease_to_answer_first() -> None:
    book = Attendance(A, [A, B, C], 10.0)
    assert book.has_quorum(3.0, 12.9)
    assert not book.has_quorum(3.0, 13.0)
    assert book.answer(B, 12.0)
    assert book.has_quorum(3.0, 14.9)
    assert not book.answer(D, 12.0)


def test_newcomers_have_a_lease_to_answer_too() -> None:
    book = Attendance(A, [A], 0.0)
    book.change_council([A, B, C], 10.0)
    assert book.has_quorum(3.0, 12.0)
    assert not book.has_quorum(3.0, 13.0)


def test_an_electorate_is_lost_when_half_of_it_is_gone() -> None:
    book = Attendance(A, [A, B, C, D], 0.0)
    book.change_council([A, B, C], 1.0)
    assert not book.has_lost_electorate()
    book.change_council([A, B], 1.0)
    assert book.has_lost_electorate()


def test_the_electorate_moves_once_a_majority_of_the_new_council_answers() -> None:
    book = Attendance(A, [A, B, C], 0.0)
    book.change_council([A, B], 1.0)
    assert not book.has_lost_electorate()
    book.answer(B, 1.1)
    book.change_council([A], 2.0)
    assert book.has_lost_electorate(), "one of two is no majority of the electorate that moved"


def test_an_old_answer_does_not_move_the_electorate() -> None:
    book = Attendance(A, [A, B, C, D, E], 0.0)
    book.answer(B, 0.5)
    book.change_council([A, B, C], 1.0)
    book.change_council([A, B], 1.0)
    assert book.has_lost_electorate()


def test_a_leader_outside_its_council_does_not_count_itself() -> None:
    book = Attendance(A, [B, C], 0.0)
    book.answer(B, 5.0)
    assert not book.has_quorum(3.0, 6.0)
    book.answer(C, 5.0)
    assert book.has_quorum(3.0, 6.0)


def test_the_fittest_that_answers_is_asked_to_stand() -> None:
    book = Attendance(A, [A, B, C], 0.0)
    book.answer(C, 5.0)
    assert book.fittest_present(1.0, 5.5) == C
    assert book.fittest_present(9.0, 5.5) == B
    assert book.fittest_present(0.1, 9.0) == B
    assert Attendance(A, [A], 0.0).fittest_present(1.0, 0.0) == NO_NODE


def test_beats_rise_by_one() -> None:
    book = Attendance(A, [A], 0.0)
    assert (book.advance(1.0), book.beat_at) == (2, 1.0)


# Voter


def test_a_voter_keeps_its_word_to_who_stands() -> None:
    voter, effects = Voter(CONFIG, Fence(NO_BALLOT, NO_BALLOT)), list[Effect]()
    assert voter.would_vote((1, B), NO_BALLOT, 0.0)
    voter.turn_to((1, B), True, effects, 1.0)
    assert not voter.would_vote((2, C), NO_BALLOT, 1.0 + CONFIG.vote_hold_s - 0.01)
    assert voter.would_vote((2, C), NO_BALLOT, 1.0 + CONFIG.vote_hold_s)
    assert not voter.would_vote((1, B), NO_BALLOT, 9.0), "not above the fence"


def test_a_voter_trusts_a_growing_beat() -> None:
    voter = Voter(CONFIG, Fence((1, B), NO_BALLOT))
    voter.watch.observe(1, True, 5.0)
    assert not voter.would_vote((2, C), NO_BALLOT, 5.0 + CONFIG.trust_s - 0.01)
    assert voter.would_vote((2, C), NO_BALLOT, 5.0 + CONFIG.trust_s)


def test_a_leader_that_stands_above_itself_leads_no_more() -> None:
    voter = Voter(CONFIG, Fence((1, B), NO_BALLOT))
    voter.watch.observe(1, True, 5.0)
    assert voter.would_vote((2, B), NO_BALLOT, 5.1)
    assert not voter.watch.is_trusted


# Roles, seat and waits


def test_changes_of_role() -> None:
    assert is_allowed(Role.CANDIDATE, Role.LEADER)
    assert not is_allowed(Role.FOLLOWER, Role.LEADER)
    assert not is_allowed(Role.PRE_CANDIDATE, Role.LEADER)
    assert CHANGES[Role.RETIRED] == ()
    assert list(CHANGES) == list(Role)


def new_seat() -> Seat:
    return Seat(CONFIG, B, Rng("seat"), Fence((1, A), NO_BALLOT))


def held(seat: Seat) -> tuple[Role, bool, bool]:
    """Return the role, and whether there is a round and attendance."""
    return (seat.role, seat.vote_round is not None, seat.attendance is not None)


def test_a_role_change_drops_what_belonged_to_the_one_before() -> None:
    seat = new_seat()
    seat.change_council(ELECTORATE)
    seat.start(0.0)
    assert seat.timers.is_set(TIMER_ELECTION, b"")
    seat.enter(Role.CANDIDATE)
    seat.vote_round = VoteRound(1, (2, B), False, ELECTORATE)
    seat.enter(Role.LEADER)
    seat.attendance = Attendance(B, [A, B, C], 0.0)
    seat.timers.set(TIMER_BEAT, b"", 1.0)
    assert held(seat) == (Role.LEADER, False, True)
    seat.follow(1.0, 5.0)
    assert held(seat) == (Role.FOLLOWER, False, False)
    assert not seat.timers.is_set(TIMER_BEAT, b"")


def test_a_role_that_may_not_follow_is_refused() -> None:
    with pytest.raises(AssertionError, match="no way from FOLLOWER to LEADER"):
        new_seat().enter(Role.LEADER)


def test_a_retired_node_stays_retired() -> None:
    seat = new_seat()
    seat.change_council(ELECTORATE)
    seat.start(0.0)
    seat.enter(Role.RETIRED)
    seat.follow(1.0, 1.0)
    assert seat.role is Role.RETIRED
    assert seat.timers.next_deadline() == math.inf


def test_a_seat_starts_once() -> None:
    seat = new_seat()
    seat.start(0.0)
    with pytest.raises(AssertionError, match="starts once"):
        seat.start(0.0)


def test_the_fitter_wait_less_and_the_replaced_leader_has_no_rank() -> None:
    timeout = ElectionTimeout(CONFIG, C, Rng("waits"))
    timeout.begin(1.0, 0.0, 10.0)
    third = timeout.deadline(ELECTORATE, NO_NODE, 0.0)
    assert timeout.deadline(ELECTORATE, A, 0.0) == pytest.approx(third - CONFIG.rank_step_s)
    assert timeout.deadline(ELECTORATE, C, 0.0) == third
    first = timeout.deadline([ELECTORATE[2], ELECTORATE[0]], NO_NODE, 0.0)
    assert first == pytest.approx(third - 2 * CONFIG.rank_step_s)
    assert 11.0 <= first <= 11.0 + CONFIG.jitter_s
    assert timeout.deadline(ELECTORATE, A, 99.0) == 99.0


def test_alone_one_waits_for_others_at_the_start_only() -> None:
    timeout = ElectionTimeout(CONFIG, A, Rng("alone"))
    timeout.begin(1.0, 0.5, 0.0)
    assert 1.5 <= timeout.deadline(ELECTORATE[:1], NO_NODE, 0.0) <= 1.5 + CONFIG.jitter_s
    assert 1.0 <= timeout.deadline(ELECTORATE, NO_NODE, 0.0) <= 1.0 + CONFIG.jitter_s
    assert not timeout.is_over(0.9)
    assert timeout.is_over(1.2)


def test_retries_are_spread() -> None:
    timeout = ElectionTimeout(CONFIG, A, Rng("retries"))
    waits = [timeout.retry_wait_s() for _ in range(50)]
    assert min(waits) >= CONFIG.retry_wait_s
    assert max(waits) <= CONFIG.retry_wait_s + CONFIG.retry_jitter_s
    assert max(waits) - min(waits) > CONFIG.retry_jitter_s / 2

"""The parts of strict elections: figures, configurations, ledgers, holds, leases, the choice of voters."""

from __future__ import annotations

import math

import pytest

from swarm.core.effects import Effect, Persist
from swarm.core.errors import ConfigError, DecodeError
from swarm.core.ids import NO_BALLOT, NodeId
from swarm.core.rng import Rng
from swarm.election.config import ElectionConfig
from swarm.election.configuration import NO_CONFIGURATION, Configuration, founding, take_configuration
from swarm.election.holds import Holds
from swarm.election.ledger import LEDGER_KEY, Ledger, founding_row, pack_ledger, unpack_ledger_untrusted
from swarm.election.office import FORGOTTEN_AFTER_S, Office
from swarm.election.strict_config import StrictConfig
from swarm.election.strict_voter import StrictVoter
from swarm.election.voter_choice import ADD, REMOVE, Standing, VoterChange, choose_change
from swarm.wire.codec import Body

A, B, C, D, E, F = [bytes([number]) * 16 for number in range(1, 7)]
MARK = b"m" * 8
OTHER = b"o" * 8
CONFIG = StrictConfig()


def seats(*nodes: NodeId) -> list[tuple[NodeId, bytes]]:
    return [(node, MARK) for node in nodes]


# Figures


def test_a_hold_must_outlast_a_lease_on_two_drifting_clocks() -> None:
    least = CONFIG.lease_s * (1 + 500e-6) / (1 - 500e-6)
    with pytest.raises(ConfigError, match="hold_s"):
        StrictConfig(hold_s=least)
    assert StrictConfig(hold_s=least + 1e-6).hold_s > least


@pytest.mark.parametrize(
    "values",
    [
        {"lease_s": 0.0},
        {"drift_ppm": -1.0},
        {"drift_ppm": 1e6},
        {"voters_max": 4},
        {"voters_max": 0},
        {"replace_after_s": 2.4},
        {"swap_after_s": 0.0},
        {"leave_wait_s": -1.0},
    ],
)
def test_figures_that_make_no_sense_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        StrictConfig(**values)  # type: ignore[arg-type]  # some of the figures are whole numbers


def test_the_settings_for_wide_networks_are_sound() -> None:
    assert StrictConfig.wan().hold_s > CONFIG.hold_s


# Configurations and ledgers


def test_a_configuration_changes_by_one_voter_and_one_version() -> None:
    first = founding(A, MARK)
    assert (first.name, first.majority(), first.ids()) == ((NO_BALLOT, 1), 1, [A])
    second = first.owned_by((3, A)).plus(B, OTHER)
    assert second.name == ((3, A), 2)
    assert second.majority() == 2
    assert second.has(B, OTHER)
    assert not second.has(B, MARK), "a voter without its ledger is none"
    assert second.minus(A) == Configuration((3, A), 3, [(B, OTHER)])
    assert first.name < first.owned_by((1, B)).name < second.name


@pytest.mark.parametrize(
    ("version", "rows"),
    [
        (1, []),
        (0, [[A, MARK]]),
        (2, [[A, MARK], [A, OTHER]]),
        (2, [[A, b"short"]]),
        (2, [["a", MARK]]),
        (2, [[bytes([number]) * 16, MARK] for number in range(65)]),
    ],
)
def test_what_is_no_configuration_is_not_taken_for_one(version: int, rows: list[object]) -> None:
    with pytest.raises(DecodeError):
        take_configuration(((1, A), version), Body([rows]))


def test_a_ledger_comes_back_as_it_was_written() -> None:
    configuration = Configuration((4, B), 7, seats(A, B, C))
    row = pack_ledger(A, MARK, (5, C), configuration)
    assert unpack_ledger_untrusted(A, row) == (MARK, (5, C), configuration)
    ledger = Ledger(A, Rng("x"), NO_BALLOT, NO_BALLOT, row)
    assert (ledger.mark, ledger.is_new, ledger.is_voter()) == (MARK, False, True)
    assert (ledger.fence.promise, ledger.fence.ballot) == ((5, C), (5, C))
    effects: list[Effect] = []
    ledger.begin(effects)
    assert effects == []


def test_the_ledger_of_another_node_or_a_damaged_one_begins_anew_without_a_vote() -> None:
    row = pack_ledger(A, MARK, (5, C), Configuration((4, B), 7, seats(A, B, C)))
    for node, bad in ((B, row), (A, row[:-3]), (A, b""), (A, b"\x00")):
        ledger = Ledger(node, Rng("x"), (2, A), NO_BALLOT, bad)
        assert ledger.is_new
        assert ledger.mark != MARK
        assert not ledger.is_voter()
        assert ledger.configuration == NO_CONFIGURATION
        assert ledger.fence.ballot == (2, A), "what its own row says counts"
        effects: list[Effect] = []
        ledger.begin(effects)
        (written,) = effects
        assert isinstance(written, Persist)
        assert written.durable
        assert (written.table, written.key) == ("node", LEDGER_KEY)


def test_a_promise_that_a_crash_kept_from_the_ledger_is_written_there_at_the_start() -> None:
    row = pack_ledger(A, MARK, (4, B), Configuration((4, B), 7, seats(A, B, C)))
    ledger = Ledger(A, Rng("x"), NO_BALLOT, (5, C), row)
    effects: list[Effect] = []
    ledger.begin(effects)
    (written,) = effects
    assert isinstance(written, Persist)
    assert unpack_ledger_untrusted(A, written.value)[1] == (5, C)
    ledger.begin(effects)
    assert len(effects) == 1


def test_the_leader_of_the_configuration_on_disk_was_heard_of() -> None:
    row = pack_ledger(A, MARK, (2, C), Configuration((4, B), 7, seats(A, B, C)))
    ledger = Ledger(A, Rng("x"), (3, B), NO_BALLOT, row)
    assert (ledger.fence.ballot, ledger.fence.promise) == ((4, B), (2, C))


def test_who_founds_votes_alone() -> None:
    ledger = Ledger(A, Rng("x"), NO_BALLOT, NO_BALLOT, founding_row(A, Rng("founding")))
    assert ledger.is_voter()
    assert ledger.configuration == founding(A, ledger.mark)


def test_a_promise_and_a_configuration_are_written_before_anything_else() -> None:
    ledger = Ledger(A, Rng("x"), NO_BALLOT, NO_BALLOT, founding_row(A, Rng("founding")))
    effects: list[Effect] = []
    ledger.grant((1, B), effects)
    ledger.install(ledger.configuration.owned_by((1, B)).plus(B, OTHER), effects)
    assert all(isinstance(effect, Persist) and effect.durable for effect in effects)
    last = effects[-1]
    assert isinstance(last, Persist)
    assert unpack_ledger_untrusted(A, last.value) == (ledger.mark, (1, B), ledger.configuration)


# Holds


def test_a_hold_lasts_for_everybody_but_its_leader_and_whom_it_released() -> None:
    holds = Holds()
    holds.keep_for((3, A), 10.0)
    assert not holds.is_free((4, B), NO_BALLOT, 9.9)
    assert holds.is_free((4, A), NO_BALLOT, 9.9), "who stands again leads no more under the ballot before"
    assert holds.is_free((4, B), (3, A), 9.9), "its leader said that it leads no more"
    assert not holds.is_free((4, B), (2, C), 9.9), "an older leadership has no say"
    assert holds.is_free((4, B), NO_BALLOT, 10.0)
    assert holds.free_at() == 10.0
    holds.release((2, C))
    assert holds.free_at() == 10.0, "who answered a higher leadership since keeps to that"
    holds.release((3, A))
    assert holds.free_at() == 0.0


def test_a_hold_never_gets_shorter_under_one_leader() -> None:
    holds = Holds()
    holds.keep_for((3, A), 10.0)
    holds.keep_for((3, A), 9.0)
    assert holds.free_at() == 10.0


def test_a_voter_that_starts_votes_for_nobody_for_a_hold_whoever_it_released() -> None:
    row = pack_ledger(A, MARK, (4, B), Configuration((4, B), 7, seats(A, B, C)))
    keeper = StrictVoter(ElectionConfig(), CONFIG, Ledger(A, Rng("x"), NO_BALLOT, NO_BALLOT, row))
    keeper.begin([], 10.0)
    free_at = 10.0 + CONFIG.hold_s
    assert keeper.free_at() == free_at
    keeper.release((9, B))
    assert not keeper.is_free((5, B), (4, B), free_at - 0.01)
    assert keeper.is_free((5, C), NO_BALLOT, free_at)
    keeper.keep_for((4, B), free_at)
    assert keeper.free_at() == free_at + CONFIG.hold_s
    assert not keeper.is_free((5, C), NO_BALLOT, free_at)


def test_a_voter_whose_ledger_is_new_answered_nobody_and_is_free_at_once() -> None:
    keeper = StrictVoter(ElectionConfig(), CONFIG, Ledger(A, Rng("x"), NO_BALLOT, NO_BALLOT, b""))
    effects: list[Effect] = []
    keeper.begin(effects, 10.0)
    assert len(effects) == 1, "its mark is on disk"
    assert keeper.free_at() == 0.0


def test_a_pre_vote_is_refused_while_somebody_stands_unless_that_leader_asked_for_it() -> None:
    config = ElectionConfig()
    keeper = StrictVoter(config, CONFIG, Ledger(A, Rng("x"), NO_BALLOT, NO_BALLOT, b""))
    keeper.turn_to((3, B), False, [], 10.0)
    assert not keeper.would_vote((4, C), NO_BALLOT, 10.0)
    assert not keeper.would_vote((4, C), (2, C), 10.0)
    assert keeper.would_vote((4, C), (3, B), 10.0)
    assert keeper.would_vote((4, C), NO_BALLOT, 10.0 + config.vote_hold_s)
    assert not keeper.would_vote((3, B), (3, B), 11.0), "not above the fence"


# Leases


def office(*voters: NodeId, now: float = 100.0) -> Office:
    return Office(CONFIG, A, MARK, Configuration((3, A), 4, seats(*voters)), now)


def test_a_lease_counts_from_the_sending_of_the_beat_that_a_majority_answered() -> None:
    led = office(A, B, C, D, E)
    assert led.lease_until() == -math.inf
    assert led.answer(B, 1, MARK, True, False, 100.5)
    assert led.lease_until() == -math.inf, "two of five"
    assert led.advance(100.3) == 2
    assert led.answer(C, 2, MARK, True, False, 100.6)
    assert led.lease_until() == 100.0 + CONFIG.lease_s, "the third one answered the older beat"
    assert led.answer(B, 2, MARK, True, False, 100.7)
    assert led.lease_until() == 100.3 + CONFIG.lease_s
    assert led.answer(B, 1, MARK, True, False, 100.8), "late, and it changes nothing"
    assert led.lease_until() == 100.3 + CONFIG.lease_s


def test_answers_of_strangers_and_of_lost_ledgers_are_no_lease() -> None:
    led = office(A, B, C)
    assert led.answer(D, 1, MARK, True, False, 100.1)
    assert led.answer(B, 1, OTHER, True, False, 100.1)
    assert not led.answer(C, 9, MARK, True, False, 100.1), "no such beat"
    assert led.lease_until() == -math.inf
    assert led.answer(B, 1, MARK, True, False, 100.2)
    assert led.lease_until() == 100.0 + CONFIG.lease_s
    assert led.answer(B, 1, OTHER, True, False, 100.3)
    assert led.lease_until() == -math.inf, "what it answered with another ledger is forgotten"


def test_who_votes_alone_has_a_lease_for_ever() -> None:
    led = office(A)
    assert led.confirm(100.0)
    assert led.lease_until() == led.ends_at() == math.inf


def test_a_leadership_begins_when_its_configuration_is_kept_by_a_majority() -> None:
    led = office(A, B, C)
    assert led.ends_at() == 100.0 + CONFIG.lease_s
    led.answer(B, 1, MARK, False, False, 100.1)
    assert not led.confirm(100.1), "a lease, but nobody has the configuration"
    led.answer(C, 1, MARK, True, False, 100.2)
    assert led.confirm(100.2)
    assert not led.confirm(100.2), "it begins once"
    assert not led.lacks_configuration(C)
    assert led.lacks_configuration(B)


def test_a_configuration_is_committed_as_long_as_a_majority_says_so() -> None:
    led = office(A, B, C)
    led.answer(B, 1, MARK, True, False, 100.1)
    assert led.is_committed(100.0 + CONFIG.lease_s - 0.001)
    assert not led.is_committed(100.0 + CONFIG.lease_s)


def beat(led: Office, now: float, *nodes: NodeId, is_installed: bool = True) -> None:
    """Let a beat be sent and answered by some."""
    number = led.advance(now)
    for node in nodes:
        led.answer(node, number, MARK, is_installed, False, now + 0.01)


def test_a_configuration_changes_only_when_it_is_kept_by_a_majority_under_this_leader() -> None:
    led = office(A, B, C)
    led.on_council([A, B, C, D, E], 100.0)
    for step in range(12):
        beat(led, 100.3 + 0.3 * step, B, C, D, E, is_installed=False)
    assert led.next_configuration(104.0, False) is None, "nobody has it yet"
    beat(led, 104.0, B, D, E)
    following = led.next_configuration(104.1, False)
    assert following is not None
    assert following.name == ((3, A), 5)
    assert following.ids() == [A, B, C, D]
    led.change_to(following, 104.1)
    assert led.next_configuration(104.2, False) is None, "a pause"
    beat(led, 105.0, B, C, E)
    after = led.next_configuration(105.1, False)
    assert after is not None
    assert after.ids() == [A, B, C, D, E]


def test_a_configuration_is_not_changed_to_one_under_which_the_lease_is_over() -> None:
    led = office(A, B, C)
    led.on_council([A, B, C], 100.0)
    beat(led, 100.3, B, C)
    number = led.advance(102.0)
    led.answer(C, number, MARK, True, True, 102.1)
    assert led.is_committed(102.1)
    assert led.lease_until() == 102.0 + CONFIG.lease_s
    assert led.next_configuration(102.2, False) is None, "without C, which leaves, it rests on B"
    led.answer(B, number, MARK, True, False, 102.3)
    following = led.next_configuration(102.3, False)
    assert following is not None
    assert following.ids() == [A, B]


def growing(*silent_s: tuple[float, float]) -> Office:
    """Return a leader of three at 105.0 to whom D and E answer since 100.3, E but for some times."""
    led = office(A, B, C)
    led.on_council([A, B, C, D, E], 100.0)
    for step in range(16):
        now = 100.3 + 0.3 * step
        is_silent = [since <= now < until for since, until in silent_s]
        beat(led, now, B, C, D, *([] if any(is_silent) else [E]))
    return led


def test_a_member_becomes_a_voter_after_it_answered_for_long_without_a_pause() -> None:
    following = growing().next_configuration(105.0, False)
    assert following is not None
    assert following.ids() == [A, B, C, D]
    assert growing((101.0, 102.8)).next_configuration(105.0, False) is not None
    late = growing((101.0, 104.0))
    assert late.next_configuration(105.0, False) is None, "E is there again for a second, and D is no pair"
    beat(late, 106.2, B, C, D, E)
    assert late.next_configuration(106.3, False) is not None


def test_a_member_that_lost_its_ledger_meanwhile_begins_to_answer_anew() -> None:
    led = growing()
    number = led.advance(105.0)
    for node in (B, C, D):
        led.answer(node, number, MARK, True, False, 105.1)
    led.answer(E, number, OTHER, True, False, 105.1)
    assert led.next_configuration(105.1, False) is None


def test_a_leader_that_is_about_to_stop_changes_nothing_unless_it_votes_alone() -> None:
    assert growing().next_configuration(105.0, True) is None
    alone = office(A)
    alone.on_council([A, B], 100.0)
    for step in range(10):
        beat(alone, 100.3 + 0.3 * step, B)
    assert alone.next_configuration(103.1, False) is None, "a pair has one voter"
    assert alone.wants_heir(103.1)
    following = alone.next_configuration(103.1, True)
    assert following is not None
    assert following.ids() == [A, B]


@pytest.mark.parametrize(
    ("council", "is_added"), [([A, B, C, F, D], True), ([A, B, C, F], False), ([A, B, C, D, E], False)]
)
def test_a_voter_is_replaced_when_five_others_were_fitter_for_long(
    council: list[NodeId], is_added: bool
) -> None:
    led = office(A, B, C, D, E)
    led.on_council(council, 100.0)
    for second in range(1, int(CONFIG.swap_after_s) + 1):
        assert led.next_configuration(99.5 + second, False) is None
        beat(led, 100.0 + second, B, C, D, E, F)
    following = led.next_configuration(100.5 + CONFIG.swap_after_s, False)
    assert (following is not None and F in following.ids()) is is_added


def test_who_leaves_or_is_silent_does_not_succeed() -> None:
    led = office(A, B, C, D)
    led.on_council([A, B, C, D], 100.0)
    assert led.successor(100.1) == b""
    led.answer(D, 1, MARK, True, False, 100.1)
    led.answer(C, 1, MARK, True, False, 100.1)
    assert led.successor(100.2) == C
    led.answer(B, 1, MARK, True, True, 100.3)
    assert led.successor(100.4) == C, "B is fitter, and leaves"
    assert led.successor(100.0 + CONFIG.lease_s) == b""


def test_beats_go_to_voters_the_fittest_and_for_a_while_to_who_answered() -> None:
    led = office(A, B)
    led.on_council([A, C], 100.0)
    led.answer(D, 1, MARK, True, False, 100.5)
    assert led.listeners(100.5 + FORGOTTEN_AFTER_S - 0.1) == [B, C, D]
    assert led.listeners(100.5 + FORGOTTEN_AFTER_S) == [B, C]


# Voters


def voter(node: NodeId, rank: int = 0, *, is_lost: bool = False, is_unfit: bool = False) -> Standing:
    return Standing(node, rank, is_voter=True, is_there=not is_lost, is_lost=is_lost, is_unfit=is_unfit)


def spare(node: NodeId, rank: int = 9) -> Standing:
    return Standing(node, rank, is_voter=False, is_there=True)


CHOICES: list[tuple[str, list[Standing], VoterChange | None]] = [
    ("alone", [voter(A)], None),
    ("a pair has one voter", [voter(A), spare(B)], None),
    ("the fittest of two first", [voter(A), spare(B, 3), spare(C, 2)], (ADD, C)),
    ("a second one, because a third is there", [voter(A), voter(B), spare(C)], (ADD, C)),
    ("two of two are one too many", [voter(A), voter(B, 1)], (REMOVE, B)),
    ("three are enough for four", [voter(A), voter(B), voter(C), spare(D)], None),
    ("from three to five", [voter(A), voter(B), voter(C), spare(D, 5), spare(E, 4)], (ADD, E)),
    ("five at most", [voter(A), voter(B), voter(C), voter(D), voter(E), spare(F)], None),
    ("a lost one of three stays", [voter(A), voter(B), voter(C, is_lost=True)], None),
    ("a lost one with a spare goes", [voter(A), voter(B), voter(C, is_lost=True), spare(D)], (REMOVE, C)),
    (
        "one lost of five stays",
        [voter(A), voter(B), voter(C), voter(D), voter(E, is_lost=True)],
        None,
    ),
    (
        "two lost of five go, one after the other",
        [voter(A), voter(B), voter(C), voter(D, 8, is_lost=True), voter(E, 9, is_lost=True)],
        (REMOVE, E),
    ),
    ("and the second", [voter(A), voter(B), voter(C), voter(D, 8, is_lost=True)], (REMOVE, D)),
    (
        "a voter that is unfit for long makes room for a fitter one",
        [voter(A), voter(B, 1), voter(C, 2), voter(D, 4), voter(E, 1000, is_unfit=True), spare(F, 3)],
        (ADD, F),
    ),
    (
        "which is complete when it is gone",
        [voter(A), voter(B, 1), voter(C, 2), voter(D, 4), voter(E, 1000, is_unfit=True), voter(F, 3)],
        (REMOVE, E),
    ),
    (
        "nobody makes room for one that is less fit",
        [voter(A), voter(B, 1), voter(C, 2), voter(D, 4), voter(E, 5, is_unfit=True), spare(F, 7)],
        None,
    ),
]


@pytest.mark.parametrize(("what", "standings", "change"), CHOICES, ids=[row[0] for row in CHOICES])
def test_the_choice_of_voters(what: str, standings: list[Standing], change: VoterChange | None) -> None:
    assert choose_change(standings, A, 5) == change, what
    assert choose_change(list(reversed(standings)), A, 5) == change, "in any order"


def test_who_leaves_or_lost_its_ledger_is_no_voter_any_more_and_the_leader_stays() -> None:
    leaving = Standing(B, 0, is_voter=True, is_there=True, is_leaving=True)
    reborn = Standing(C, 1, is_voter=True, is_there=True, is_reborn=True)
    assert choose_change([voter(A), leaving, voter(C)], A, 5) == (REMOVE, B)
    assert choose_change([voter(A), voter(B), reborn], A, 5) == (REMOVE, C)
    me = Standing(A, 0, is_voter=True, is_there=True, is_leaving=True)
    assert choose_change([me, voter(B), voter(C)], A, 5) is None


def test_from_any_beginning_the_choice_comes_to_rest_at_an_odd_number() -> None:
    nodes = [bytes([number]) * 16 for number in range(1, 10)]
    for voters in range(1, 7):
        for there in range(10 - voters):
            standing = {node: voter(node, rank) for rank, node in enumerate(nodes[:voters])}
            for rank, node in enumerate(nodes[voters : voters + there]):
                standing[node] = spare(node, voters + rank)
            for _ in range(12):
                change = choose_change(list(standing.values()), nodes[0], 5)
                if change is None:
                    break
                what, node = change
                rank = standing[node].rank
                standing[node] = voter(node, rank) if what == ADD else spare(node, rank)
            count = len([one for one in standing.values() if one.is_voter])
            total = voters + there
            assert count == min(5, total if total % 2 else total - 1), (voters, there)

"""The model of strict meshes: shares of its search, its reductions, and the rules of one node."""

from __future__ import annotations

import pytest

from sims.model.exploring import explore
from sims.model.rules import CANDIDATE, FOLLOWER, LEADER
from sims.model.strict import StrictModel
from sims.model.strict_rules import (
    FREE,
    WITHHELD,
    Answer,
    StrictLocal,
    StrictMistakes,
    StrictRules,
    Voters,
)
from tests.unit.sims.model_states import reached

A, B, C = 0, 1, 2
ONE_A, ONE_B, ONE_C, TWO_A = 3, 4, 5, 6
THREE = Voters(0, 1, ((A, 1), (B, 1), (C, 1)))
ALONE = Voters(0, 1, ((A, 1),))
RULES = StrictRules(3)


def leader_of(voters: Voters) -> StrictLocal:
    """Return A, which leads and was answered by B."""
    local = RULES.stand(A, StrictLocal(voters=voters), ONE_A)
    assert local is not None
    if len(voters.seats) > 1:
        local = RULES.count(local, (B, 1))
        assert local is not None
    local = RULES.win(A, local)
    assert local is not None
    return RULES.answer(A, local, (B, 1), local.voters.name)


@pytest.mark.parametrize(
    ("bounds", "states"),
    [((1, 1, 2, 0), 3_002), ((3, 1, 2, 0), 12_828), ((1, 1, 1, 1), 3_084)],
    ids=["founder", "three", "lost ledger"],
)
def test_no_state_of_a_small_strict_mesh_breaks_an_invariant(
    bounds: tuple[int, int, int, int], states: int
) -> None:
    explored = explore(StrictModel(*bounds), 1_000_000)
    assert explored.is_whole
    assert not explored.broken
    assert explored.states == states


def test_thirty_thousand_states_of_repeated_elections_break_no_invariant() -> None:
    explored = explore(StrictModel(3, 3, 3, 1), 30_000)
    assert not explored.broken
    assert explored.states >= 30_000


@pytest.mark.parametrize("bounds", [(1, 1, 1, 0), (1, 1, 1, 1), (3, 1, 0, 0)])
def test_what_the_search_forgets_is_never_missed(bounds: tuple[int, int, int, int]) -> None:
    """The reduced states of the search without reductions are those of the search with them."""
    model = StrictModel(*bounds)
    quotient = reached(model)
    model.is_reduced = False
    assert {model.reduce(state) for state in reached(model)} == quotient


def test_a_founder_gets_two_more_voters_and_another_one_leads_them() -> None:
    """The search is about what it should be: what shall happen is among the states."""
    model = StrictModel(1, 1, 2, 0)
    shown = [model.show(state) for state in reached(model)]
    three = [state for state in shown if state.count("(ABC ") == 3]
    assert any("C leads with a lease" in state for state in three)
    assert any("A leads with a lease" in state and "B stands" in state for state in three)


def test_a_reborn_node_counts_for_nothing_until_it_was_removed_and_added() -> None:
    leading = RULES.answer(A, leader_of(THREE), (C, 1), (ONE_A, 1))
    reborn = RULES.answer(A, leading, (B, 2), (ONE_A, 1))
    assert RULES.forget(A, reborn, (C, 1)).role == FOLLOWER, "B with another ledger keeps no lease"
    (without,) = [one for one in RULES.changes(A, reborn) if one.seats == ((A, 1), (C, 1))]
    changed = RULES.answer(A, reborn._replace(voters=without), (C, 1), without.name)
    assert ((A, 1), (B, 2), (C, 1)) in [one.seats for one in RULES.changes(A, changed)]


def test_the_way_to_two_leases_is_told() -> None:
    explored = explore(StrictModel(3, 1, 0, 0, StrictMistakes(forgets_hold=True)), 100_000)
    assert explored.broken == "S4"
    assert explored.way[0] == "A follows at 0 (ABC 0.1); B follows at 0 (ABC 0.1); C follows at 0 (ABC 0.1)"
    assert "A leads with a lease at 1A (ABC 1A.1)" in explored.way[-1]


def test_who_answered_a_beat_votes_for_nobody_but_its_owner() -> None:
    held = RULES.take(StrictLocal(voters=THREE), ONE_A, THREE)
    assert held is not None
    assert held.hold == ONE_A
    assert RULES.vote(held, ONE_B, THREE.name, 0) is None
    assert RULES.vote(held, ONE_B, THREE.name, ONE_A) is not None, "A asked B to stand"
    assert RULES.vote(held, TWO_A, THREE.name, 0) is not None
    assert RULES.stand(B, held, ONE_B) is None
    asked = RULES.relieve(held, ONE_A)
    assert asked is not None
    assert RULES.stand(B, asked, ONE_B) is not None


def test_who_starts_votes_for_nobody_unless_it_votes_alone_or_is_new() -> None:
    again = RULES.restart(B, StrictLocal(fence=ONE_A, voters=THREE))
    assert (again.hold, again.fence, again.voters) == (WITHHELD, ONE_A, THREE)
    assert RULES.vote(again, TWO_A, THREE.name, ONE_A) is None
    assert RULES.restart(A, StrictLocal(voters=ALONE)).hold == FREE
    assert RULES.lose(again) == StrictLocal(mark=2)


def test_nobody_votes_for_who_knows_less_or_below_its_fence() -> None:
    knowing = StrictLocal(fence=ONE_B, voters=Voters(ONE_A, 2, THREE.seats))
    assert RULES.vote(knowing, TWO_A, (ONE_A, 1), 0) is None
    assert RULES.vote(knowing, ONE_B, (ONE_A, 2), 0) is None
    assert RULES.vote(knowing, TWO_A, (ONE_A, 2), 0) is not None


def test_only_a_voter_stands_and_only_voters_count() -> None:
    assert RULES.stand(C, StrictLocal(voters=ALONE), ONE_C) is None
    assert RULES.stand(A, StrictLocal(mark=2, voters=ALONE), ONE_A) is None
    standing = RULES.stand(A, StrictLocal(voters=THREE), ONE_A)
    assert standing is not None
    assert standing.role == CANDIDATE
    assert RULES.win(A, standing) is None
    assert RULES.count(standing, (B, 2)) is None, "another ledger"


def test_a_leader_changes_one_voter_when_a_majority_has_its_configuration() -> None:
    leading = leader_of(THREE)
    assert leading.is_confirmed
    seats = [voters.seats for voters in RULES.changes(A, leading)]
    assert seats == [((A, 1), (B, 1))], "without C its lease goes on, without B it would not"
    behind = leading._replace(answers=(Answer(B, 1, THREE.name),))
    assert RULES.changes(A, behind) == []


def test_a_founder_leads_alone_and_adds_who_answers_with_its_mark() -> None:
    leading = leader_of(ALONE)
    assert leading.is_confirmed
    assert leading.voters == Voters(ONE_A, 1, ((A, 1),))
    assert RULES.changes(A, leading) == [Voters(ONE_A, 2, ((A, 1), (B, 1)))]


def test_a_lease_ends_with_the_holds_it_rests_on() -> None:
    leading = leader_of(THREE)
    assert RULES.forget(A, leading, (C, 1)) == leading
    over = RULES.forget(A, leading, (B, 1))
    assert (over.role, over.answers) == (FOLLOWER, ())
    alone = leader_of(ALONE)
    assert RULES.forget(A, alone, (B, 1)).role == LEADER


def test_a_late_beat_teaches_but_never_below_the_fence() -> None:
    newer = Voters(ONE_A, 2, ((A, 1), (B, 1)))
    taught = RULES.take(StrictLocal(voters=THREE), ONE_A, newer)
    assert taught is not None
    assert taught.voters == newer
    late = RULES.take(taught, ONE_A, Voters(ONE_A, 1, THREE.seats))
    assert late is not None
    assert late.voters == newer
    assert RULES.take(StrictLocal(fence=ONE_B, voters=THREE), ONE_A, newer) is None

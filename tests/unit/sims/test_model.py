"""The model of election and keeping: a share of its search, its reductions, and what it finds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sims.model.election import NODES, ElectionModel
from sims.model.exploring import explore
from sims.model.keeping import KeepingModel
from sims.model.leading import LeadingMistakes, check_leading
from sims.model.merging import all_facts, check_merging
from sims.model.mistakes import PLANTED, Planted, find
from sims.model.rules import FOLLOWER, GRANT, LEADER, Local, Mistakes, Rules
from tests.unit.sims.model_states import reached

A, B = 0, 1
ONE_A, ONE_B = 3, 4
BOTH = 0b011
QUICK = [planted for planted in PLANTED if planted.nodes == NODES]
"""`make model` tries the others, too: four nodes have many more states."""


def test_no_state_of_a_first_election_breaks_an_invariant() -> None:
    explored = explore(ElectionModel(1, 3), 1_000_000)
    assert explored.is_whole
    assert not explored.broken
    assert explored.states > 30_000


def test_a_quarter_of_a_million_states_of_endless_elections_break_no_invariant() -> None:
    explored = explore(ElectionModel(2, 2), 200_000)
    assert not explored.broken
    assert explored.states >= 200_000


def test_what_the_search_forgets_is_never_missed() -> None:
    """The reduced states of the search without reductions are those of the search with them."""
    reduced, whole = ElectionModel(1, 2), ElectionModel(1, 2)
    whole.is_reduced = False
    quotient = {reduced.reduce(reduced.state_of(whole, state)) for state in reached(whole)}
    assert quotient == reached(reduced)


def test_no_acknowledgement_names_a_copy_that_is_not_there() -> None:
    explored = explore(KeepingModel(), 10_000)
    assert not explored.broken
    assert explored.states >= 10_000


@pytest.mark.parametrize("planted", QUICK, ids=[f"{planted.of} {planted.name}" for planted in QUICK])
def test_a_planted_mistake_breaks_its_invariant(planted: Planted) -> None:
    explored = find(planted)
    assert explored.broken == planted.broken, planted.what
    assert len(explored.way) == explored.depth + 1


def test_the_way_to_a_broken_invariant_is_told() -> None:
    explored = explore(ElectionModel(1, 2, Mistakes(bare_terms=True)), 100_000)
    assert explored.way[0] == "A follows at none; B follows at none; C follows at none"
    assert "leads" in explored.way[-1]


def test_calm_leads_to_a_leader_from_wherever_faults_lead_to() -> None:
    led = check_leading()
    assert led.stuck == 0, led.example
    assert led.states > 40_000
    assert led.goals > 100


def test_a_leader_that_is_trusted_because_it_is_alive_can_leave_a_mesh_without() -> None:
    led = check_leading(LeadingMistakes(trusts_the_alive=True))
    assert led.stuck > 0
    assert "trusting" in led.example


def test_merging_keeps_its_laws_in_every_order() -> None:
    merged = check_merging(4)
    assert not merged.broken
    assert (merged.orders, merged.pairs) == (24, 256)
    assert len(all_facts()) == 8


def test_a_vote_waits_for_its_promise() -> None:
    rules = Rules(NODES)
    asked = rules.ask(B, Local(), ONE_A)
    assert asked is not None
    assert asked.sent == ()
    state = asked.state
    sent = []
    while state.queue:
        flushed = rules.flush(B, state)
        assert flushed is not None
        sent += [item[0] for item in flushed.sent]
        state = flushed.state
    assert sent[-1] == GRANT
    assert (state.disk_promise, state.disk_fence, state.granted) == (ONE_A, ONE_A, ONE_A)


def test_a_higher_ballot_ends_a_leadership_and_a_lower_one_does_nothing() -> None:
    rules = Rules(NODES)
    leading = rules.stand(A, Local(), 1).state
    assert leading.role == LEADER
    overtaken = rules.hear(A, leading, ONE_B)
    assert overtaken is not None
    assert overtaken.state.role == FOLLOWER
    assert rules.hear(A, overtaken.state, ONE_A) is None
    assert rules.vote(A, overtaken.state, ONE_A, B) is None


def test_a_crash_forgets_what_is_not_on_disk_and_nothing_else() -> None:
    rules = Rules(NODES)
    standing = rules.stand(A, Local(), BOTH).state
    assert rules.restart(A, standing).state == Local()
    flushed = rules.flush(A, standing)
    assert flushed is not None
    again = rules.restart(A, flushed.state).state
    assert (again.fence, again.promise, again.role) == (ONE_A, ONE_A, FOLLOWER)


def model(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "sims.model", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_prints_what_it_searched() -> None:
    done = model("election", "merging", "--counters", "1", "--facts", "2")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("election, 1 counters apart, 2 writes under way: all states: 26474 states")
    assert second.startswith("merging, 2 facts: all laws hold: 2 orders, 16 pairs")


def test_the_command_refuses_nonsense() -> None:
    done = model("--facts", "9")
    assert done.returncode == 2
    assert "--facts is 1..8, not 9" in done.stderr
    assert model("--cases", "0").returncode == 2
    assert "no such part: 'elections'; there are election, " in model("elections").stderr

"""The plan of a chaos run: one seed one plan, every kind, and cuts that are what they are called."""

from __future__ import annotations

import pytest

from tests.chaos.plan import CUTS, KINDS, LENGTHS_S, Action, deaf_to, draw_plan, whole_sides

NODES = 7


def cut(form: str, *nodes: int) -> Action:
    return Action(0, "cut", 0.0, 1.0, nodes, form)


def pairs(action: Action) -> set[tuple[int, int]]:
    """Return who does not hear whom."""
    return {(node, other) for node, others in deaf_to(action, NODES).items() for other in others}


def test_a_seed_is_a_plan() -> None:
    first, again, other = [
        [action.to_json() for action in draw_plan(seed, 300.0, NODES)] for seed in ("1", "1", "2")
    ]
    assert first == again
    assert first != other


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_comes_and_is_over_in_time(seed: int) -> None:
    plan = draw_plan(str(seed), 300.0, NODES)
    assert {action.kind for action in plan} == set(KINDS)
    assert [action.number for action in plan] == list(range(len(plan)))
    for action in plan:
        shortest, longest = LENGTHS_S[action.kind]
        assert shortest <= action.length_s <= longest
        assert action.at_s + action.length_s <= 300.0
        assert len(set(action.nodes)) == len(action.nodes) > 0
        assert set(action.nodes) <= set(range(NODES))
        assert (action.detail in CUTS) == (action.kind == "cut")


def test_only_the_kinds_that_are_wanted() -> None:
    assert {action.kind for action in draw_plan("1", 200.0, NODES, ("kill", "cut"))} == {"kill", "cut"}


def test_halves_and_one_alone_are_whole_sides() -> None:
    for action in (cut("halves", 1, 4, 6), cut("one", 3)):
        near, far = whole_sides(action, NODES)
        assert sorted(near + far) == list(range(NODES))
        both = {(one, other) for one in near for other in far}
        assert pairs(action) == both | {(other, one) for one, other in both}


def test_a_bridge_hears_both_sides() -> None:
    action = cut("bridge", 0, 1, 2)
    assert whole_sides(action, NODES) == []
    assert {node for pair in pairs(action) for node in pair} == set(range(NODES)) - {6}
    assert pairs(action) == {(other, one) for one, other in pairs(action)}


def test_a_one_way_cut_makes_one_node_deaf_and_nobody_else() -> None:
    assert pairs(cut("one-way", 5)) == {(5, other) for other in range(NODES) if other != 5}


def test_on_a_ring_everybody_hears_most_others_and_no_two_the_same() -> None:
    deaf = deaf_to(cut("ring", 3, 0, 6, 2, 5, 1, 4), NODES)
    heard = {node: frozenset(set(range(NODES)) - set(others)) for node, others in deaf.items()}
    assert all(node in others and len(others) > NODES / 2 for node, others in heard.items())
    assert len(set(heard.values())) == NODES
    assert all((node in heard[other]) == (other in heard[node]) for node in heard for other in heard)

"""The choice of the council."""

from __future__ import annotations

import pytest

from swarm.election.config import ElectionConfig
from swarm.election.council import (
    Candidate,
    choose_council,
    is_majority,
    merge_addresses,
    rank_of,
)


def member(number: int, fitness: int = 0, state: str = "alive", dead_for_s: float = 0.0) -> Candidate:
    return Candidate(bytes([number]) * 16, ("host", number), fitness, state, dead_for_s)


def chosen(candidates: list[Candidate], leader: int = 0, config: ElectionConfig | None = None) -> list[int]:
    """Return the numbers of the council's members."""
    leader_id = bytes([leader]) * 16 if leader else b""
    return [address[1] for _, address in choose_council(candidates, leader_id, config)]


def test_the_five_fittest_in_order() -> None:
    assert chosen([member(number, number * 10) for number in range(1, 9)]) == [8, 7, 6, 5, 4]


def test_equal_fitness_goes_by_id_whatever_the_order_of_input() -> None:
    candidates = [member(number) for number in (3, 1, 2)]
    assert chosen(candidates) == chosen(candidates[::-1]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("state", "dead_for_s", "is_in"),
    [
        ("alive", 0.0, True),
        ("suspect", 0.0, True),
        ("dead", 0.0, True),
        ("dead", 2.99, True),
        ("dead", 3.0, False),
        ("left", 0.0, False),
        ("unknown", 0.0, False),
    ],
)
def test_who_is_eligible(state: str, dead_for_s: float, is_in: bool) -> None:
    assert (2 in chosen([member(1), member(2, 50, state, dead_for_s)])) is is_in


def test_an_incumbent_of_nearly_equal_fitness_stays() -> None:
    candidates = [member(number, 100) for number in range(1, 6)] + [member(9, 90)]
    assert 9 not in chosen(candidates)
    assert chosen(candidates, leader=9)[0] == 9
    assert 9 not in chosen([*candidates[:-1], member(9, 80)], leader=9)


def test_hysteresis_helps_a_negative_fitness_too() -> None:
    config = ElectionConfig(council_size=1)
    assert chosen([member(1, -90), member(2, -100)], leader=2, config=config) == [2]


def test_size_and_grace_come_from_the_settings() -> None:
    config = ElectionConfig(council_size=2, council_grace_s=10.0)
    candidates = [member(1), member(2, 5, "dead", 9.0), member(3)]
    assert chosen(candidates, config=config) == [2, 1]


def test_nobody_makes_an_empty_council() -> None:
    assert choose_council([]) == []


def test_majorities() -> None:
    assert [count for count in range(6) if is_majority(count, 5)] == [3, 4, 5]
    assert [count for count in range(5) if is_majority(count, 4)] == [3, 4]
    assert not is_majority(0, 0)


def test_ranks() -> None:
    council = choose_council([member(number, -number) for number in (1, 2, 3)])
    third = bytes([3]) * 16
    assert rank_of(third, council, b"") == 2
    assert rank_of(third, council, bytes([1]) * 16) == 1
    assert rank_of(bytes([9]) * 16, council, b"") == 3


def test_addresses_of_the_council_win() -> None:
    one, two = bytes([1]) * 16, bytes([2]) * 16
    assert merge_addresses([(one, ("old", 1))], [(one, ("new", 1)), (two, ("two", 2))]) == [
        (one, ("new", 1)),
        (two, ("two", 2)),
    ]


def test_candidates_compare_by_value() -> None:
    assert member(1, 5) == member(1, 5)
    assert member(1, 5) != member(1, 6)

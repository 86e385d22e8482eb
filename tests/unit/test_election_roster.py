"""The roster: at every moment the council that `choose_council` would choose among all members."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from swarm.election.config import ElectionConfig
from swarm.election.council import Candidate, choose_council
from swarm.election.roster import Roster

CONFIG = ElectionConfig(council_size=3, council_grace_s=3.0)
STATES = ("alive", "suspect", "dead", "left")


def member(number: int, fitness: int = 0, state: str = "alive", dead_for_s: float = 0.0) -> Candidate:
    return Candidate(bytes([number]) * 16, ("host", number), fitness, state, dead_for_s)


def numbers(roster: Roster) -> list[int]:
    return [address[1] for _, address in roster.council()]


def test_newcomers_are_put_in_their_place() -> None:
    roster = Roster(CONFIG)
    for number, fitness in ((1, 10), (2, 30), (3, 20), (4, 40), (5, 5)):
        roster.take(bytes([number]) * 16, member(number, fitness), 0.0)
        assert not roster.needs_everybody(b"", 0.0)
    assert numbers(roster) == [4, 2, 3]


def test_only_the_loss_of_a_seat_needs_a_look_at_everybody() -> None:
    roster = Roster(CONFIG)
    everybody = [member(number, 10 * number) for number in range(1, 6)]
    roster.take_everybody(everybody, b"")
    roster.take(bytes([1]) * 16, member(1, 10, "left"), 0.0)
    assert not roster.needs_everybody(b"", 0.0)
    roster.take(bytes([5]) * 16, member(5, 45), 0.0)
    assert roster.needs_everybody(b"", 0.0)
    roster.take_everybody([*everybody[:4], member(5, 45)], b"")
    assert numbers(roster) == [5, 4, 3]
    roster.take(bytes([4]) * 16, None, 0.0)
    assert roster.needs_everybody(b"", 0.0)


def test_another_address_of_a_seat_is_taken_over() -> None:
    roster = Roster(CONFIG)
    roster.take_everybody([member(1)], b"")
    roster.take(bytes([1]) * 16, Candidate(bytes([1]) * 16, ("elsewhere", 9), 0, "alive", 0.0), 0.0)
    assert roster.council() == [(bytes([1]) * 16, ("elsewhere", 9))]


def test_the_dead_keep_their_seats_for_the_grace() -> None:
    roster = Roster(CONFIG)
    assert roster.grace_left_s(0.0) == math.inf
    roster.take(bytes([1]) * 16, member(1, 0, "dead", 1.0), 10.0)
    roster.take(bytes([2]) * 16, member(2, 0, "dead", 2.5), 10.0)
    roster.take(bytes([3]) * 16, member(3, 0, "dead", 3.0), 10.0)
    roster.take(bytes([4]) * 16, member(4, 0, "suspect"), 10.0)
    assert not roster.needs_everybody(b"", 10.0)
    assert roster.grace_left_s(10.0) == 0.5
    assert numbers(roster) == [1, 2, 4]
    assert roster.needs_everybody(b"", 10.5)
    roster.take_everybody([member(1, 0, "dead", 1.5), member(4, 0, "suspect")], b"")
    assert numbers(roster) == [1, 4]
    assert roster.grace_left_s(10.5) == 1.5


Steps = st.lists(
    st.tuples(
        st.integers(1, 8), st.integers(0, 4), st.sampled_from((*STATES, "forgotten")), st.integers(0, 8)
    ),
    max_size=60,
)


@given(Steps)
def test_it_is_always_the_council_that_would_be_chosen(steps: list[tuple[int, int, str, int]]) -> None:
    roster = Roster(CONFIG)
    held: dict[int, tuple[int, str, float]] = {}
    for now, (number, fitness, state, leader) in enumerate(steps):
        if state == "forgotten":
            held.pop(number, None)
            roster.take(bytes([number]) * 16, None, float(now))
        else:
            held[number] = (fitness, state, float(now))
            roster.take(bytes([number]) * 16, member(number, fitness, state), float(now))
        everybody = [
            member(one, fit, what, now - since if what == "dead" else 0.0)
            for one, (fit, what, since) in held.items()
        ]
        leader_id = bytes([leader // 4]) * 16 if leader else b""
        if roster.needs_everybody(leader_id, float(now)):
            roster.take_everybody(everybody, leader_id)
        assert roster.council() == choose_council(everybody, leader_id, CONFIG)

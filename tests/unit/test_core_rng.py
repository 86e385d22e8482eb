"""Random choices: the same on every Python, within their bounds, fair."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.rng import Rng


def test_the_stream_of_a_seed_never_changes() -> None:
    rng = Rng("7:node-3")
    assert [rng.below(1000) for _ in range(8)] == [561, 943, 197, 73, 872, 159, 51, 392]
    assert Rng("7:node-3").unit() != Rng("7:node-4").unit()


@given(st.text(max_size=5), st.integers(1, 2**40))
def test_below_is_below(seed: str, bound: int) -> None:
    rng = Rng(seed)
    assert all(0 <= rng.below(bound) < bound for _ in range(20))


def test_below_zero_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="at least 1"):
        Rng("x").below(0)


@given(st.text(max_size=5), st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_uniform_stays_between(seed: str, low: float, width: float) -> None:
    value = Rng(seed).uniform(low, low + width)
    assert low <= value <= low + width


@given(st.text(max_size=5), st.lists(st.integers(), max_size=30), st.integers(0, 40))
def test_sample_and_shuffle_keep_the_items(seed: str, items: list[int], count: int) -> None:
    rng = Rng(seed)
    before = items[:]
    sample = rng.sample(items, count)
    assert items == before
    assert len(sample) == min(count, len(items))
    rng.shuffle(items)
    assert sorted(items) == sorted(before)
    remaining = items[:]
    for item in sample:
        remaining.remove(item)


def test_choices_are_fair() -> None:
    rng = Rng("fair")
    counts = dict.fromkeys("abcd", 0)
    first = dict.fromkeys("abcd", 0)
    for _ in range(4000):
        counts[rng.choose(list("abcd"))] += 1
        order = list("abcd")
        rng.shuffle(order)
        first[order[0]] += 1
    assert all(900 < count < 1100 for count in [*counts.values(), *first.values()])

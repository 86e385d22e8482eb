"""Rounding of computed durations: to whole milliseconds, and stable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.rounding import to_ms


@given(st.floats(-1e9, 1e9))
def test_rounding_is_to_whole_milliseconds_and_stays(seconds: float) -> None:
    rounded = to_ms(seconds)
    assert abs(rounded - seconds) <= 0.00050001 + abs(seconds) * 1e-15
    assert to_ms(rounded) == rounded


@pytest.mark.parametrize(
    ("seconds", "rounded"), [(0.0, 0.0), (1.0004, 1.0), (1.0006, 1.001), (-0.0006, -0.001)]
)
def test_rounding(seconds: float, rounded: float) -> None:
    assert to_ms(seconds) == rounded

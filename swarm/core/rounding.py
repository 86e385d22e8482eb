"""Rounding of computed durations (rule R9: equal on every platform and build)."""

from __future__ import annotations


def to_ms(seconds: float) -> float:
    """Return `seconds` rounded to whole milliseconds; use on anything made with log or division."""
    return round(seconds * 1000.0) / 1000.0

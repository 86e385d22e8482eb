"""Arrivals of jobs: processes, bounds, and traces that must be in order."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from sims.workload.arrivals import Arrivals, read_arrivals
from swarm.core.errors import ConfigError
from swarm.core.rng import Rng


def gaps(arrivals: Arrivals) -> list[float]:
    times = arrivals.times(Rng("arrivals"))
    assert times == sorted(times)
    assert times == arrivals.times(Rng("arrivals"))
    return [later - earlier for earlier, later in pairwise(times)]


def test_all_at_once_and_periodic_are_exact() -> None:
    assert Arrivals(count=3, start_s=2.0).times(Rng("x")) == [2.0, 2.0, 2.0]
    periodic = Arrivals(kind="periodic", count=3, start_s=1.0, interval_s=0.5)
    assert periodic.times(Rng("x")) == [1.0, 1.5, 2.0]


def test_poisson_gaps_are_exponential() -> None:
    found = gaps(Arrivals(kind="poisson", count=20_000, interval_s=3.0))
    assert abs(fmean(found) - 3) < 0.1
    assert abs(stdev(found) - 3) < 0.1


def test_bursts_come_in_phases() -> None:
    found = gaps(Arrivals(kind="bursts", count=20_000, interval_s=1.0, on_s=10.0, off_s=90.0))
    # A phase has ten arrivals on average; a tenth of the gaps spans an off-phase.
    long = [gap for gap in found if gap > 15]
    assert 0.05 < len(long) / len(found) < 0.11
    assert abs(fmean(found) - 10) < 0.7
    assert stdev(found) > 2 * fmean(found)


def test_a_trace_is_followed() -> None:
    assert Arrivals(kind="trace", count=0, start_s=1.0, times_s=[0, 0, 2.5]).times(Rng("x")) == [1, 1, 3.5]
    assert Arrivals(kind="trace", count=2, times_s=[0, 1, 2]).times(Rng("x")) == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"kind": "rush"}, "'rush' is not known; known are at-once, periodic, poisson, bursts, trace"),
        ({"count": 0}, "count is 0"),
        ({"start_s": -1.0}, "start_s is -1.0"),
        ({"interval_s": 0.0}, "interval_s is 0.0"),
        ({"on_s": float("nan")}, "on_s is nan"),
        ({"off_s": float("inf")}, "off_s is inf"),
        ({"kind": "trace"}, "times_s is empty"),
        ({"kind": "trace", "times_s": [0.0, -1.0]}, r"times_s\[1\] is -1.0"),
        ({"kind": "trace", "times_s": [2.0, 1.0]}, r"times_s\[1\] is out of order: 1.0 comes after 2.0"),
    ],
)
def test_impossible_arrivals_are_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Arrivals(**arguments)


def test_a_trace_file_holds_times_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("time_s,job\n# morning\n0\n\n1.5, small\n1.5,large\n")
    assert read_arrivals(path) == [(0.0, ""), (1.5, "small"), (1.5, "large")]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0\nlater\n", "line 2: 'later' is no time in seconds"),
        ("0\ntime_s\n", "line 2: 'time_s' is no time"),
        ("-1\n", "line 1: the time -1 must be at least 0"),
        ("nan\n", "line 1: the time nan must be"),
        ("1\n3\n# x\n2\n", "line 4: out of order: 2 comes after 3.0; sort the trace"),
        ("# nothing\n", "the trace has no arrival"),
    ],
)
def test_a_wrong_trace_file_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_arrivals(path)
    assert complaint in str(raised.value)
    assert "trace.csv: " in str(raised.value)


def test_a_trace_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.csv: cannot be read"):
        read_arrivals(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"bytes\.csv: cannot be read"):
        read_arrivals(tmp_path / "bytes.csv")

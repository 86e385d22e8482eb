"""Comparisons pair by pair: rows, verdicts, tables, and results that do not fit together."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from sims.lab.compare import compare
from swarm.core.errors import ConfigError


def results(**makespans: list[float]) -> list[dict[str, Any]]:
    return [
        {"policy": policy, "graph": "g", "seed": seed, "makespan_s": value}
        for policy, values in makespans.items()
        for seed, value in enumerate(values)
    ]


def test_settings_are_compared_on_the_same_seeds() -> None:
    found = compare(results(base=[10.0, 20.0, 40.0], fast=[9.0, 18.1, 35.9], same=[10.0, 20.0, 40.0]))
    assert (found.baseline, found.by, found.metric) == ("base", "policy", "makespan_s")
    base, fast, same = found.rows
    assert fast.ratio is not None
    assert fast.ratio.value == pytest.approx(0.9, abs=0.005)
    assert fast.difference.value == pytest.approx(-7 / 3)
    assert (fast.wins, fast.ties, fast.losses) == (3, 0, 0)
    assert (same.wins, same.ties, same.losses) == (0, 3, 0)
    assert fast.mean == pytest.approx(21.0)
    assert [row.verdict() for row in found.rows] == ["no difference", "better", "no difference"]
    assert fast.verdict(is_lower_better=False) == "worse"
    assert base.ratio == same.ratio


def test_the_order_of_results_does_not_matter() -> None:
    rows = results(base=[10.0, 20.0], other=[9.0, 30.0])
    backwards = compare(list(reversed(rows)), baseline="base")
    assert {row.name: row.difference.value for row in backwards.rows} == {
        row.name: row.difference.value for row in compare(rows).rows
    }


def test_values_of_zero_have_differences_and_no_ratio() -> None:
    found = compare(results(base=[0.0, 1.0, 0.0], other=[5.0, 6.5, 5.2]))
    assert [row.ratio for row in found.rows] == [None, None]
    assert found.rows[1].verdict() == "worse"
    assert found.records()[1]["ratio"] is None


def test_one_pair_decides_nothing() -> None:
    found = compare(results(base=[10.0], other=[1.0]))
    assert found.rows[1].verdict() == "no difference"
    assert found.records()[1]["ratio"] == pytest.approx(0.1)
    assert found.records()[1]["ratio_low"] is None
    assert found.records()[1]["difference_high"] is None


def test_a_table_has_a_line_for_each_setting() -> None:
    text = compare(results(base=[10.0, 20.0], slow=[20.0, 40.0])).table().splitlines()
    assert text[0].split("  ")[0] == "policy"
    assert "ratio [95 %]" in text[0]
    assert text[1].endswith("baseline")
    assert text[2].split() == ["slow", "2", "30", "2", "[2,", "2]", "0/0/2", "worse"]


def test_rows_are_written_for_plots(tmp_path: Path) -> None:
    found = compare(results(base=[10.0, 20.0], slow=[20.0, 41.0]))
    found.write(tmp_path / "rows.csv")
    found.write(tmp_path / "rows.json")
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["policy"] for row in rows] == ["base", "slow"]
    assert json.loads((tmp_path / "rows.json").read_text()) == found.records()
    assert float(rows[1]["ratio"]) == found.records()[1]["ratio"]
    with pytest.raises(ConfigError, match="cannot be written"):
        found.write(tmp_path / "none" / "rows.csv")


def test_other_keys_may_be_compared() -> None:
    rows = [
        {"gossip": name, "nodes": nodes, "seed": 1, "first_dead_s": value}
        for name, nodes, value in (("a", 4, 1.0), ("a", 8, 2.0), ("b", 4, 2.0), ("b", 8, 4.2))
    ]
    found = compare(rows, by="gossip", metric="first_dead_s")
    assert found.rows[1].difference.value == pytest.approx(1.6)


@pytest.mark.parametrize(
    ("rows", "arguments", "complaint"),
    [
        ([], {}, "no results"),
        (results(a=[1.0]), {"metric": "cost"}, "result 0 has no 'cost'; it has policy, graph, seed"),
        (results(a=[1.0]), {"by": "gossip"}, "result 0 has no 'gossip'"),
        (results(a=[1.0]), {"baseline": "b"}, "the baseline 'b' was not run; there are a"),
        (results(a=[1.0, 2.0], b=[1.0]), {}, "policy b was not run with graph g, seed 1"),
        (results(a=[1.0], b=[1.0, 2.0]), {}, "policy a was not run with graph g, seed 1"),
        (results(a=[1.0, 2.0]), {"pair_by": ("graph",)}, "policy a was run twice with graph g"),
        (results(a=[1.0, 2.0]), {"pair_by": ()}, "policy a was run twice with no key"),
        (results(a=[1.0, 2.0]), {"confidence": 2.0}, "confidence is 2.0"),
    ],
)
def test_results_that_do_not_fit_together_are_refused(
    rows: list[dict[str, Any]], arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        compare(rows, **arguments)
    assert complaint in str(raised.value)

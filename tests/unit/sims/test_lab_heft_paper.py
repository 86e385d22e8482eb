"""The random-graph experiment shows what the HEFT paper says."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import fmean

import pytest

from sims.lab.compare import compare
from sims.lab.heft_paper import CCRS, POLICIES, TASKS, main, mean_slr, plot_slr, points, run_point


def test_heft_is_best_then_cpop_and_lengths_grow_with_communication() -> None:
    rows = [run_point(point) for point in points((20, 60), (0.1, 1.0, 10.0), 9)]
    mean = {policy: fmean([row[policy] for row in rows]) for policy in POLICIES}
    assert list(mean) == sorted(mean, key=lambda policy: mean[policy])
    for policy in POLICIES:
        slrs = [slr for _, slr in mean_slr(rows, "ccr", policy)]
        assert slrs == sorted(slrs)
        # Random plans may leave the critical path alone, yet never beat it.
        assert min(row[policy] for row in rows) >= 0.999
    assert [ccr for ccr, _ in mean_slr(rows, "ccr", "heft")] == [0.1, 1.0, 10.0]
    results = [
        {"policy": policy, "graph": f"{row['tasks']}-{row['ccr']}", "seed": row["seed"], "slr": row[policy]}
        for row in rows
        for policy in POLICIES
    ]
    verdicts = {row.name: row.verdict() for row in compare(results, metric="slr").rows}
    assert verdicts["cpop"] == verdicts["dls"] == verdicts["random"] == "worse"


def test_the_same_point_gives_the_same_row() -> None:
    point = {"tasks": 30, "ccr": 1.0, "seed": 5}
    assert run_point(point) == run_point(point)
    assert len(points(TASKS, CCRS, 2)) == 50


def test_the_experiment_writes_its_table_and_its_plots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    assert main(["--out", str(tmp_path / "out"), "--quick", "--processes", "2"]) == 0
    with (tmp_path / "out" / "heft.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2 * 3 * 9
    for name in ("heft_tasks.svg", "heft_ccr.svg"):
        assert (tmp_path / "out" / name).read_text(encoding="utf-8").startswith("<?xml")
    assert capsys.readouterr().out.startswith("heft: mean SLR ")


def test_the_same_rows_give_the_same_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    rows = [run_point(point) for point in points((20,), (0.5, 5.0), 2)]
    for name in ("one.svg", "two.svg"):
        plot_slr(rows, "ccr", "CCR", tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_impossible_counts_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--seeds", "0"])
    assert "at least 1" in capsys.readouterr().err

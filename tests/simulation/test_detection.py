"""Failure detection behaves as its papers say: constant time to suspicion, Lifeguard against starvation."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from sims.lab.detection import EXPECTED_FIRST_PERIODS, FalsePositives, detect, false_positives
from sims.lab.gossip import gossip_settings
from sims.lab.papers import (
    detection_table,
    false_positives_table,
    plot_detection,
    plot_false_positives,
)
from swarm.core.errors import ConfigError

SEEDS = range(12)


def test_the_first_suspicion_takes_as_long_in_groups_of_any_size() -> None:
    means = []
    for nodes in (4, 24):
        found = [detect(nodes, seed, "swim") for seed in SEEDS]
        assert all(0 < one.first_suspect_s < one.first_dead_s <= one.all_dead_s for one in found)
        means.append(statistics.mean([one.first_suspect_s for one in found]))
    # The probe that fails takes a period itself, after the e / (e - 1) periods until somebody begins one.
    for mean in means:
        assert EXPECTED_FIRST_PERIODS - 0.6 < mean < EXPECTED_FIRST_PERIODS + 1.6
    assert max(means) / min(means) < 2


def test_suspicion_lasts_as_its_settings_say() -> None:
    found = detect(8, 1, "swim")
    assert found.first_dead_s - found.first_suspect_s == pytest.approx(5.0, abs=0.01)


def test_lifeguard_wrongs_far_fewer_than_swim() -> None:
    dead = {
        name: sum([false_positives(name, 4, seed, seconds=60.0).dead for seed in range(2)])
        for name in ("swim", "lifeguard")
    }
    assert dead["swim"] > 50
    assert dead["lifeguard"] * 10 < dead["swim"]


def test_the_settings_of_swarm_wrong_fifty_times_fewer_than_swim_and_are_no_slower() -> None:
    wronged = {
        name: sum([false_positives(name, starved, 1, seconds=180.0).dead for starved in (1, 4)])
        for name in ("swim", "swarm")
    }
    assert wronged["swim"] >= 100
    assert wronged["swarm"] * 50 <= wronged["swim"]
    soon = {
        name: statistics.mean([detect(16, seed, name).all_dead_s for seed in range(6)])
        for name in ("swim", "swarm")
    }
    assert soon["swarm"] < soon["swim"]


def test_nobody_is_wronged_when_nobody_is_starved() -> None:
    found = false_positives("swim", 0, 1, nodes=8, seconds=30.0)
    assert (found.suspected, found.dead, found.dead_at_healthy) == (0, 0, 0)


def test_impossible_experiments_are_refused() -> None:
    with pytest.raises(ConfigError, match="no gossip settings are called 'swmi'"):
        gossip_settings("swmi")
    with pytest.raises(ConfigError, match="at least 2 nodes, not 1"):
        detect(1, 0)
    with pytest.raises(ConfigError, match="starved=8"):
        false_positives("swim", 8, 0, nodes=8)


def test_plots_show_every_setting(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    rows = [
        {"settings": name, "nodes": nodes, "first_suspect_s": 1.0, "all_dead_s": 5.0}
        for name in ("swim", "swarm")
        for nodes in (4, 8)
    ]
    plot_detection(rows, tmp_path / "detection.svg")
    plot_false_positives([false_positives("swim", 0, 0, 2, seconds=1.0)], tmp_path / "wronged.svg")
    for name, words in (("detection", "dead for all"), ("wronged", "starved members")):
        text = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert words in text


def test_tables_hold_the_means_of_the_runs() -> None:
    rows = [
        {"settings": name, "nodes": 4, "first_suspect_s": first_s, "all_dead_s": first_s + 3.0}
        for name, first_s in (("swim", 1.0), ("swim", 2.0), ("swarm", 3.0), ("swarm", 4.0))
    ]
    assert detection_table(rows).splitlines() == [
        "| members | first suspicion | dead for all, swim | dead for all, swarm |",
        "|---|---|---|---|",
        "| 4 | 2.5 s | 4.5 s | 6.5 s |",
    ]
    wronged = [
        FalsePositives(settings=name, starved=2, seed=0, suspected=0, dead=dead, dead_at_healthy=0)
        for name, dead in (("swim", 500), ("swim", 501), ("swarm", 0), ("swarm", 1))
    ]
    assert false_positives_table(wronged).splitlines()[2] == "| 2 | 500 | 0.5 |"

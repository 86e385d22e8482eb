"""Plots of runs: their axes hold the data of the run; pictures are written whole."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from sims import Scenario, draw, run
from sims.outcome import Outcome
from sims.plotting import PLOT_KINDS
from sims.plotting.canvas import label_of
from sims.recording.rows import NEVER
from sims.whole_files import OutputError
from swarm.core.errors import ConfigError
from tests.unit.sims.run_samples import busy, busy_scenario

pytest.importorskip("matplotlib", reason="plots need matplotlib")


def curves(axes: Any) -> dict[str, tuple[list[float], list[float]]]:
    """Return the x and y values of the curves of a plot by their labels."""
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()}


@pytest.mark.parametrize("kind", PLOT_KINDS)
def test_every_plot_is_a_picture_with_title_and_labelled_axes(kind: str, tmp_path: Path) -> None:
    figure = busy().plot(kind, tmp_path / f"{kind}.png")
    content = (tmp_path / f"{kind}.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) > 5000
    axes = figure.get_axes()
    assert "busy, seed 3" in axes[0].get_title()
    assert axes[-1].get_xlabel()
    for one in axes:
        assert one.get_ylabel()
    labels = " ".join([one.get_xlabel() + one.get_ylabel() for one in axes])
    assert "(s)" in labels, "times have their unit"


def test_convergence_shows_the_samples_and_the_deaths() -> None:
    outcome = busy()
    lines = busy().plot("membership").get_axes()[0].get_lines()
    assert list(lines[0].get_xdata()) == [sample.time_s for sample in outcome.samples]
    assert list(lines[0].get_ydata()) == [100 * sample.share for sample in outcome.samples]
    assert list(lines[1].get_xdata()) == [death.time_s for death in outcome.deaths]


def test_detection_shows_the_distribution() -> None:
    outcome = busy()
    found = curves(outcome.plot("detection").get_axes()[0])
    for which, words in (
        ("suspect", "suspected by the first"),
        ("first", "dead for the first"),
        ("all", "dead for all"),
    ):
        values = sorted(outcome.detection_s(which))
        assert found[f"{words} ({len(values)})"] == ([0.0, *values], [0.0, 100.0])


def test_false_suspicions_are_a_rate() -> None:
    outcome = busy()
    wrong = [doubt for doubt in outcome.doubts if not doubt.is_excused]
    found = curves(outcome.plot("false-suspicions").get_axes()[0])
    for label, verdict in (("suspected", "suspect"), ("declared dead", "dead")):
        # A rate per node and minute, in windows of a second, over 5 nodes.
        total = sum(found[label][1]) * 5 / 60
        assert total == pytest.approx(len([doubt for doubt in wrong if doubt.verdict == verdict]))


def test_leaders_are_bars_from_begin_to_end() -> None:
    outcome = busy()
    above, below = outcome.plot("leaders").get_axes()
    bars = [(list(line.get_xdata()), list(line.get_ydata())) for line in below.get_lines()]
    assert bars == [
        ([reign.begin_s, 30.0 if reign.end_s == NEVER else reign.end_s], [reign.host, reign.host])
        for reign in outcome.reigns
    ]
    assert list(above.get_lines()[0].get_ydata()) == [sample.leaders for sample in outcome.samples]


def test_traffic_shows_every_node_and_the_mean() -> None:
    outcome = busy()
    above, below = outcome.plot("traffic").get_axes()
    packets = curves(below)
    assert list(packets) == [*outcome.hosts, "mean"]
    expected = [
        one + other
        for one, other in zip(
            outcome.traffic_of("packets_sent", 1), outcome.traffic_of("messages_sent", 1), strict=True
        )
    ]
    assert packets["n1"][1] == expected[:30]
    sent = curves(above)
    total = sum([sum(sent[name][1]) for name in outcome.hosts])
    assert sum(sent["mean"][1]) * 5 == pytest.approx(total)


def test_many_nodes_are_a_band() -> None:
    outcome = run(Scenario(name="many", nodes=21, seconds=4))
    above = outcome.plot("traffic").get_axes()[0]
    assert list(curves(above)) == ["mean (band: least to most)"]
    assert len(above.collections) == 1


def test_the_gantt_chart_has_a_bar_for_every_attempt() -> None:
    outcome = busy()
    axes = outcome.plot("gantt").get_axes()[0]
    bars = [(patch.get_x(), patch.get_width()) for patch in axes.patches]
    assert bars == [(run.begin_s, pytest.approx(run.end_s - run.begin_s)) for run in outcome.tasks]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [outcome.hosts[host] for host in sorted({run.host for run in outcome.tasks})]
    hatched = [patch for patch in axes.patches if patch.get_hatch()]
    assert len(hatched) == len([run for run in outcome.tasks if run.how != "done"])


def test_makespans_are_bars_of_means_with_a_point_for_each_job() -> None:
    other = run(busy_scenario(seed=4))
    axes = draw("makespan", [busy(), other]).get_axes()[0]
    heights = [patch.get_height() for patch in axes.patches]
    means = [outcome.summary["makespan_s"] for outcome in (busy(), other)]
    assert heights == pytest.approx(means, abs=1e-5)
    points = [list(line.get_ydata()) for line in axes.get_lines()]
    assert points == [[job.makespan_s() for job in outcome.jobs] for outcome in (busy(), other)]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["seed 3", "seed 4"]


@pytest.mark.parametrize("kind", PLOT_KINDS)
def test_several_runs_are_drawn_into_one_plot(kind: str) -> None:
    other = run(busy_scenario(seed=4))
    figure = draw(kind, [busy(), other])
    if kind != "gantt":
        assert "busy, 2 seeds" in figure.get_axes()[0].get_title()


@pytest.mark.parametrize("kind", PLOT_KINDS)
def test_a_run_in_which_nothing_happened_is_drawn_too(kind: str) -> None:
    empty = Outcome(
        scenario=Scenario(nodes=1), digest="", events=0, wall_s=0.0, seconds=1.0, compiled=False, hosts=["n0"]
    )
    assert empty.plot(kind).get_axes()


def test_notebooks_show_pictures_without_pyplot() -> None:
    assert busy().plot("leaders")._repr_png_().startswith(b"\x89PNG")


def test_equal_runs_give_equal_pictures(tmp_path: Path) -> None:
    for ending in ("png", "svg", "pdf"):
        for name in ("one", "two"):
            busy().plot("membership", tmp_path / f"{name}.{ending}")
        if ending != "svg":
            assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()
        assert (tmp_path / f"one.{ending}").stat().st_size > 1000


def test_runs_are_called_by_what_tells_them_apart() -> None:
    def outcome(name: str, seed: int) -> Outcome:
        scenario = Scenario(name=name, seed=seed, nodes=1)
        return Outcome(scenario=scenario, digest="", events=0, wall_s=0, seconds=1, compiled=False)

    one, two, three = outcome("a", 1), outcome("a", 2), outcome("b", 1)
    assert label_of(one, [one]) == "seed 1"
    assert label_of(one, [one, two]) == "seed 1"
    assert label_of(one, [one, three]) == "a"
    assert label_of(two, [one, two, three]) == "a, seed 2"


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no plot 'pie'; there are membership, detection"):
        busy().plot("pie")
    with pytest.raises(ConfigError, match="at least one run"):
        draw("gantt", [])
    with pytest.raises(OutputError, match=r"must end with one of \.png \.svg \.pdf"):
        busy().plot("gantt", tmp_path / "x.bmpp")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    plain_import = builtins.__import__

    def refuse(name: str, *arguments: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError("No module named 'matplotlib'")
        return plain_import(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_without_matplotlib_the_cure_is_named(without_matplotlib: None) -> None:
    with pytest.raises(ConfigError, match=r'install it with `pip install "swarm-mesh\[plots\]"`'):
        busy().plot("gantt")

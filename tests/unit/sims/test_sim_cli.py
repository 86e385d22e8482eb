"""The command `swarm sim`: options, outputs, what it says, exit codes."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from sims import Scenario, run
from sims import __main__ as module
from sims.cli import (
    PLOT_CHOICES,
    TRACE_CHOICES,
    parse_axis,
    parse_seeds,
    progress,
    progress_of_cases,
    sim_command,
)
from sims.scenario import ScenarioError
from sims.scenario.parts import PLOT_KINDS, TRACE_FORMATS
from sims.trials import shrink as shrink_module
from sims.trials.case import Case, from_json, to_json
from sims.trials.drawing import draw as draw_trial
from sims.trials.run import Verdict, run_case

SCENARIO = """
name = "cut"
[mesh]
nodes = 3
[time]
seconds = 8
[[faults]]
at = 4
kind = "partition"
targets = "n0"
for = 2
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Write a short scenario; return its name."""
    path = tmp_path / "cut.toml"
    path.write_text(SCENARIO)
    return str(path)


def sim(*arguments: str) -> Result:
    """Run the command; errors that swarm's own command line would explain are raised."""
    return CliRunner().invoke(sim_command, list(arguments), catch_exceptions=False, standalone_mode=False)


def test_help_lists_the_commands_in_the_order_of_their_use() -> None:
    done = CliRunner().invoke(sim_command, ["--help"])
    words = [line.split()[0] for line in done.output.split("Commands:")[1].strip().splitlines()]
    assert words == ["run", "sweep", "replay", "plot", "compare", "shrink"]


@pytest.mark.parametrize("name", list(sim_command.commands))
def test_every_command_has_help(name: str) -> None:
    done = CliRunner().invoke(sim_command, [name, "--help"])
    assert done.exit_code == 0
    assert f"{name} " in done.output


def test_lists_that_are_repeated_for_speed_are_equal() -> None:
    assert PLOT_CHOICES == PLOT_KINDS
    assert TRACE_CHOICES == TRACE_FORMATS


def test_a_run_without_a_file_is_plain_nodes() -> None:
    done = sim("run", "--nodes", "3", "--seconds", "4", "--seed", "9", "--json")
    summary = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert summary["digest"] == run(Scenario(nodes=3, seconds=4, seed=9)).digest
    assert done.return_value == 0


def test_options_change_the_scenario_of_a_file(file: str) -> None:
    summary = json.loads(
        sim("run", file, "--nodes", "4", "--seed", "5", "--set", "network.loss=0.2", "--json").stdout
    )
    assert (summary["name"], summary["nodes"], summary["seed"], summary["seconds"]) == ("cut", 4, 5, 8.0)
    assert summary["packets_lost"] > 20


def test_people_get_lines(file: str) -> None:
    done = sim("run", file)
    lines = dict([line.split(maxsplit=1) for line in done.stdout.splitlines()])
    assert lines["name"] == "cut"
    assert lines["leader_changes"] == "0"
    assert "makespan_s" not in lines, "what did not happen is left out"


def test_a_folder_gets_everything_that_is_asked_for(file: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    out = tmp_path / "out"
    traces = ["--trace", "csv", "--trace", "jsonl", "--trace", "chrome"]
    done = sim("run", file, "--out", str(out), *traces, "--plot", "membership", "--plot", "leaders")
    assert f"written into {out}" in done.stdout
    assert sorted(path.name for path in out.iterdir()) == [
        "leaders.png",
        "membership.png",
        "scenario.toml",
        "series.json.gz",
        "summary.json",
        "trace.chrome.json",
        "trace.csv",
        "trace.jsonl",
    ]


def test_the_file_itself_may_say_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text("[time]\nseconds = 2\n[output]\nfolder = 'here'\ntrace = ['jsonl']")
    sim("run", "s.toml")
    assert (tmp_path / "here" / "trace.jsonl").is_file()


def test_traces_and_plots_need_a_folder(file: str) -> None:
    for option in (["--trace", "csv"], ["--plot", "all"]):
        with pytest.raises(click.UsageError, match="say where with --out DIR"):
            sim("run", file, *option)


def test_a_wrong_scenario_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[network]\nloss = 7\n")
    out = tmp_path / "out"
    with pytest.raises(ScenarioError, match=r"bad\.toml: line 2: network: loss is 7.0"):
        sim("run", str(tmp_path / "bad.toml"), "--out", str(out), "--trace", "csv")
    with pytest.raises(ScenarioError, match="line 2"):
        sim("sweep", str(tmp_path / "bad.toml"), "--out", str(out))
    assert not out.exists()


def test_a_run_that_is_interrupted_leaves_no_half_trace(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sims.running.run", interrupt)
    out = tmp_path / "out"
    with pytest.raises((KeyboardInterrupt, click.Abort)):
        sim("run", file, "--out", str(out), "--trace", "csv")
    assert not out.exists()


def test_a_run_that_breaks_an_invariant_keeps_its_trace(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sims.running import InvariantBroken

    def broken(*_: object, **__: object) -> None:
        raise InvariantBroken("cut, seed 1: broken at 4.0 s: I1")

    monkeypatch.setattr("sims.running.run", broken)
    out = tmp_path / "out"
    with pytest.raises(InvariantBroken):
        sim("run", file, "--out", str(out), "--trace", "csv")
    assert [path.name for path in out.iterdir()] == ["trace.csv"]


def test_several_values_are_for_sweeps(file: str) -> None:
    with pytest.raises(click.UsageError, match="`swarm sim sweep` runs several"):
        sim("run", file, "--set", "network.loss=0.1,0.2")


def test_a_sweep_says_what_it_did_and_goes_on(file: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    arguments = ["sweep", file, "--set", "network.loss=0,0.1", "--seeds", "0..2", "--processes", "1"]
    done = sim(*arguments, "--out", out)
    assert done.stdout == f"6 of 6 cases ended, 0 of them before; results in {out}/results.csv\n"
    again = sim(*arguments, "--out", out, "--json")
    rows = [json.loads(line) for line in again.stdout.splitlines()]
    assert [(row["network.loss"], row["seed"]) for row in rows] == [
        (loss, seed) for loss in (0, 0.1) for seed in (0, 1, 2)
    ]


def test_a_sweep_with_a_case_that_fails_fails(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("class Bad:\n    def decide(self, view):\n        return [3]\n")
    (tmp_path / "s.toml").write_text("[workload]\ngenerator = 'grid'\nparameters = { rows = 2, columns = 2 }")
    done = sim(
        "sweep",
        str(tmp_path / "s.toml"),
        "--set",
        f"policy.placement=heft,{tmp_path}/bad.py:Bad",
        "--seeds",
        "3",
        "--processes",
        "1",
        "--out",
        str(tmp_path / "out"),
    )
    assert done.return_value == 1
    assert "1 of 2 cases ended" in done.stdout
    assert "seed 3: " in done.stderr
    assert "decide() returned 3" in done.stderr


def test_a_replay_compares(file: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sim("run", file, "--out", str(out), "--trace", "csv")
    done = sim("replay", str(out))
    assert done.return_value == 0
    assert done.stdout.startswith("equal: digest ")
    assert json.loads(sim("replay", str(out / "trace.csv"), "--json").stdout)["is_equal"] is True
    lines = (out / "trace.csv").read_text().splitlines()
    (out / "trace.csv").write_text("\n".join([*lines[:5], *lines[6:]]) + "\n")
    done = sim("replay", str(out))
    assert done.return_value == 1
    assert "the traces differ at row 5:\n  before: " in done.stdout
    (out / "trace.csv").unlink()
    summary = json.loads((out / "summary.json").read_text())
    (out / "summary.json").write_text(json.dumps({**summary, "digest": "0"}))
    done = sim("replay", str(out))
    assert done.return_value == 1
    assert "run with --trace csv to see where" in done.stdout


def test_two_traces_are_compared(file: str, tmp_path: Path) -> None:
    for seed in ("1", "2"):
        sim("run", file, "--seed", seed, "--out", str(tmp_path / seed), "--trace", "csv")
    assert sim("replay", str(tmp_path / "1"), str(tmp_path / "1")).stdout == "equal\n"
    done = sim("replay", str(tmp_path / "1"), str(tmp_path / "2"))
    assert done.return_value == 1
    assert done.stdout.startswith("different at row ")
    found = json.loads(sim("replay", str(tmp_path / "1"), str(tmp_path / "2"), "--json").stdout)
    assert found["is_equal"] is False
    assert found["row"] > 0


def test_plots_of_folders_and_of_scenarios(file: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    out = tmp_path / "out"
    sim("run", file, "--out", str(out))
    done = sim("plot", str(out), "--kind", "membership")
    assert done.stdout == f"{out}/membership.png\n"
    done = sim("plot", str(out), file, "--kind", "leaders", "--out", str(tmp_path / "p"), "--format", "svg")
    assert (tmp_path / "p" / "leaders.svg").read_text().startswith("<?xml")
    done = sim("plot", file, "--out", str(tmp_path / "all"))
    assert len(done.stdout.splitlines()) == len(PLOT_KINDS)


def test_a_comparison_is_a_table_or_json(file: str) -> None:
    arguments = ["compare", file, "--set", "network.loss=0,0.3", "--seeds", "0..2", "--processes", "1"]
    done = sim(*arguments, "--metric", "packets_lost")
    assert "mean packets_lost" in done.stdout
    assert "baseline" in done.stdout
    records = json.loads(sim(*arguments, "--json", "--baseline", "network.loss=0.3").stdout)
    assert {record["baseline"] for record in records} == {"network.loss=0.3"}
    assert {record["runs"] for record in records} == {3}


def test_two_scenarios_are_compared(file: str, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(SCENARIO.replace('"cut"', '"calm"').replace("at = 4", "at = 7.9"))
    out = tmp_path / "out"
    done = sim("compare", file, str(other), "--seeds", "1,2", "--metric", "share_mean", "--out", str(out))
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["variant", "cut", "calm"]
    assert len(json.loads((out / "results.json").read_text())) == 4


def test_a_seed_that_breaks_nothing_is_not_shrunk() -> None:
    done = sim("shrink", "0", "--profile", "pair")
    assert done.return_value == 1
    assert done.stderr == "swarm: 0 breaks nothing\n"


def test_a_failing_trial_is_shrunk_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = draw_trial(1, "pair")

    def verdict(smaller: Case) -> Verdict:
        broken = any(event.kind == case.events[0].kind for event in smaller.events)
        return Verdict(
            seed=1,
            profile="pair",
            checker="S1" if broken else "",
            text="so",
            digest="",
            inputs=0,
            virtual_s=0,
        )

    monkeypatch.setattr("sims.shrinking.run_case", verdict)
    monkeypatch.setattr(shrink_module, "run_case", verdict)
    (tmp_path / "case.json").write_text(to_json(case))
    done = sim("shrink", str(tmp_path / "case.json"), "--out", str(tmp_path / "small.json"))
    assert done.return_value == 0
    assert done.stderr.startswith("S1: so\n")
    small = from_json((tmp_path / "small.json").read_text())
    assert len(small.events) == 1
    assert asdict(small)["jobs"] == ()
    assert run_case(small).checker == "", "the real checkers have nothing against it"
    assert from_json(sim("shrink", "1", "--profile", "pair").stdout) == small


def test_a_failing_scenario_is_shrunk_and_written(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(scenario: Scenario) -> str:
        return "I1" if scenario.faults else ""

    monkeypatch.setattr("sims.shrinking.broken_assertion", broken)
    done = sim("shrink", file, "--out", str(tmp_path / "small.toml"))
    assert done.return_value == 0
    assert "1 faults and jobs before, 1 now" in done.stderr
    assert json.loads(sim("run", str(tmp_path / "small.toml"), "--json").stdout)["nodes"] == 1
    assert 'kind = "partition"' in sim("shrink", file).stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", ("a", [1])),
        ("a.b=1,2.5,true", ("a.b", [1, 2.5, True])),
        ("a=x,y", ("a", ["x", "y"])),
        ('a="x, y",3', ("a", ["x, y", 3])),
        ("a=mesh, 3 ,0.5", ("a", ["mesh", 3, 0.5])),
        ("faults[1].targets=['n0'],['n1']", ("faults[1].targets", [["n0"], ["n1"]])),
        ("a=b=c", ("a", ["b=c"])),
    ],
)
def test_axes(text: str, expected: tuple[str, list[object]]) -> None:
    assert parse_axis(text) == expected


@pytest.mark.parametrize("text", ["a", "a=", "=1", ""])
def test_axes_that_are_none(text: str) -> None:
    with pytest.raises(click.UsageError, match="write key=value"):
        parse_axis(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", [3]), ("0..3", [0, 1, 2, 3]), ("5,1,5", [5, 1]), ("7..7, 1", [7, 1]), ("2..3,3..4", [2, 3, 4])],
)
def test_seeds(text: str, expected: list[int]) -> None:
    assert parse_seeds(text) == expected


@pytest.mark.parametrize("text", ["", "x", "1..", "..3", "3..1", "-1", "0..99999999", "1.5"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(click.UsageError, match="--seeds"):
        parse_seeds(text)


def test_the_module_is_the_command(capsys: pytest.CaptureFixture[str], file: str) -> None:
    assert module.main(["run", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "cut"
    assert module.main(["run", file, "--set", "time.seconds=-1"]) == 2
    assert capsys.readouterr().err == "swarm: time.seconds = -1: time: seconds is -1, it must be above 0\n"
    assert module.main([]) == 2
    assert module.main(["--help"]) == 0
    assert module.main(["run", "--nope"]) == 2


def test_the_module_ends_with_1_for_broken_invariants_and_130_for_interrupts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    from sims.running import InvariantBroken

    for error, code in ((InvariantBroken("I1"), 1), (KeyboardInterrupt(), 130)):

        def fail(*_: object, _error: BaseException = error, **__: object) -> None:
            raise _error

        monkeypatch.setattr("sims.running.run", fail)
        assert module.main(["run", file]) == code
        assert capsys.readouterr().err == f"swarm: {'interrupted' if code == 130 else 'I1'}\n"


def test_progress_is_shown_on_a_terminal_and_nowhere_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress("calm", 10.0) as show, progress_of_cases("sweep") as show_cases:
        show(5.0)
        show_cases(1, 2, 0)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress("calm", 10.0) as show:
        show(5.0)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "calm (virtual seconds)" in captured.err
    assert "5/10" in captured.err
    with progress_of_cases("wide") as show_cases:
        for done in range(3):
            show_cases(done, 4, done // 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2/4" in captured.err

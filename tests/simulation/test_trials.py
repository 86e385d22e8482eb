"""Trials: a bounded share of the soak, stored cases that once failed, and the parts that draw and cut cases.

SWARM_TRIAL_SEEDS and SWARM_TRIAL_FIRST choose other seeds; `make soak` runs many.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sims import soak
from sims.trials.case import Event, from_json, to_json
from sims.trials.drawing import PROFILES, draw
from sims.trials.faults import FAULTS
from sims.trials.jobs import SHAPES, answers, part_of
from sims.trials.run import Trial, Verdict, run_case
from sims.trials.shrink import shrink
from swarm.core.errors import ConfigError

FIRST = int(os.environ.get("SWARM_TRIAL_FIRST", "0"))
SEEDS = int(os.environ.get("SWARM_TRIAL_SEEDS", "40"))
STORED = sorted((Path(__file__).parent / "stored").glob("*.json"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_a_minute_of_faults_does_no_harm(seed: int) -> None:
    verdict = run_case(draw(seed, "soak"))
    assert not verdict.checker, (
        f"{verdict.checker}: {verdict.text}; python -m sims.soak --first {seed} --seeds 1"
    )


@pytest.mark.parametrize("profile", [name for name in PROFILES if name not in ("soak", "large", "crowd")])
@pytest.mark.parametrize("seed", range(20))
def test_other_profiles_do_no_harm(profile: str, seed: int) -> None:
    verdict = run_case(draw(seed, profile))
    assert not verdict.checker, f"{verdict.checker}: {verdict.text}"


@pytest.mark.parametrize("seed", range(2))
def test_a_crowd_of_rumours_does_no_harm(seed: int) -> None:
    verdict = run_case(draw(seed, "crowd"))
    assert not verdict.checker, f"{verdict.checker}: {verdict.text}"


@pytest.mark.parametrize("path", STORED, ids=[path.stem for path in STORED])
def test_cases_that_failed_once_pass(path: Path) -> None:
    verdict = run_case(from_json(path.read_text(encoding="utf-8")))
    assert not verdict.checker, f"{verdict.checker}: {verdict.text}"


def test_a_case_is_all_there_is_to_a_trial() -> None:
    case = draw(3, "soak")
    again = from_json(to_json(case))
    assert again == case
    assert run_case(again).digest == run_case(case).digest


def test_profiles_draw_what_they_are_there_for() -> None:
    assert draw(1, "ended").results_ttl_s > 0
    assert {event.kind for event in draw(1, "apart").events} <= {"cut", "heal", "deafen"}
    assert {event.kind for event in draw(1, "handover").events} == {"kill-leader", "revive"}
    assert {job.is_random for job in draw(1, "versions").jobs} == {True}
    assert {event.kind for event in draw(1, "crowd").events} == {"describe"}
    behind = [case for case in [draw(seed, "soak") for seed in range(40)] if case.nat]
    assert behind
    assert from_json(to_json(behind[0])) == behind[0]


def test_seeds_differ_and_draw_every_fault() -> None:
    kinds: set[str] = set()
    for seed in range(60):
        case = draw(seed, "soak")
        assert len(case.hosts) >= 5
        assert case.faults_s >= 60
        assert case.core
        assert list(case.events) == sorted(case.events, key=lambda event: event.at_s)
        kinds.update([event.kind for event in case.events])
    assert len(kinds) >= len(FAULTS) - 1
    assert draw(1, "soak") != draw(2, "soak")
    assert draw(1, "soak") == draw(1, "soak")


@pytest.mark.parametrize("shape", list(SHAPES))
def test_jobs_of_every_shape_give_the_answer_computed_elsewhere(shape: str) -> None:
    case = draw(1, "calm")
    plan = replace(
        case.jobs[0], at_s=8.0, shape=shape, width=3, cancel_s=0.0, fails=False, is_random=False, task_s=0.01
    )
    trial = Trial(replace(case, events=(), jobs=(plan,), faults_s=20.0))
    trial.run()
    _, client = trial.clients[0]
    assert client.state == "done"
    wanted = answers(plan, client.job)
    last = len(part_of(plan).tasks) - 1
    outputs = client.results[last].outputs
    assert outputs is not None
    assert outputs[0].digest == wanted[last]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"seed": 1, "network": 3}'])
def test_what_is_no_case_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no case of the soak"):
        from_json(text)


def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(ConfigError, match="no profile is called 'wild'"):
        draw(1, "wild")


def test_a_clone_is_there_for_a_while_and_promises_nothing() -> None:
    events = (
        Event(at_s=10.0, kind="clone", targets=(0, 1)),
        Event(at_s=12.0, kind="clone", targets=(2, 1)),
        Event(at_s=14.0, kind="clone", targets=(3, 4)),
        Event(at_s=15.0, kind="destroy", targets=(3,)),
        Event(at_s=20.0, kind="unclone", targets=(1,)),
        Event(at_s=21.0, kind="start", targets=(1, 3, 4)),
    )
    case = replace(draw(1, "calm"), events=events, faults_s=30.0)
    trial = Trial(case)
    hosts = trial.cluster.hosts
    before = [host.node_id for host in hosts]
    trial.run()
    assert list(trial.truth.forgot) == [before[1], before[0], before[4], before[3]]
    assert not trial.truth.clones
    assert hosts[0].node_id == before[0]
    assert len({host.node_id for host in hosts}) == len(hosts)
    assert before[1] not in [host.node_id for host in hosts]


def test_who_stands_behind_a_translator_takes_part() -> None:
    case = replace(draw(3, "calm"), events=(), nat=(2,))
    verdict = run_case(case)
    assert not verdict.checker, f"{verdict.checker}: {verdict.text}"


def test_cases_are_cut_to_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    case = draw(7, "soak")
    needed = {case.events[3], case.events[-2]}
    runs = 0

    class Fake:
        def __init__(self, checker: str) -> None:
            self.checker = checker

    def run(smaller: object) -> Fake:
        nonlocal runs
        runs += 1
        return Fake("S1" if needed <= set(getattr(smaller, "events", ())) else "")

    monkeypatch.setattr("sims.trials.shrink.run_case", run)
    smaller = shrink(case, "S1")
    assert set(smaller.events) == needed
    assert smaller.jobs == ()
    assert runs < 200


def test_a_soak_goes_on_where_it_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "sims.soak", "--profile", "pair", "--processes", "1"]
    command += ["--state", str(tmp_path / "state.json")]
    first = subprocess.run([*command, "--seeds", "3"], capture_output=True, text=True, check=True)
    assert "with these sources 3 seeds" in first.stdout
    again = subprocess.run([*command, "--seeds", "5", "--json"], capture_output=True, text=True, check=True)
    assert [json.loads(line)["seed"] for line in again.stdout.splitlines()] == [3, 4]
    kept = json.loads((tmp_path / "state.json").read_text(encoding="utf-8"))
    assert [entry["ranges"] for entry in kept.values()] == [[[0, 4]]]


def test_an_interrupted_soak_keeps_every_seed_that_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_options: object, seeds: list[int]) -> Iterator[Verdict]:
        for seed in seeds[:2]:
            yield Verdict(seed=seed, profile="pair", checker="", text="", digest="", inputs=0, virtual_s=1.0)
        raise KeyboardInterrupt

    path = tmp_path / "state.json"
    monkeypatch.setattr(soak, "_verdicts", interrupted)
    monkeypatch.setattr(sys, "argv", ["soak", "--profile", "pair", "--seeds", "9", "--state", str(path)])
    assert soak.main() == 130
    assert capsys.readouterr().out.startswith("interrupted: 9 seeds, 0 of this run broke")
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert [entry["ranges"] for entry in kept.values()] == [[[0, 1]]]


def test_a_stored_case_can_be_run_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text(to_json(draw(1, "pair")), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "sims.soak", "--case", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout)["checker"] == ""
    path.write_text("nonsense", encoding="utf-8")
    wrong = subprocess.run(command, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "no case of the soak" in wrong.stderr

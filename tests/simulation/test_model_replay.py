"""Traces of real nodes held against the model: drawn cases pass, and nodes with planted bugs are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sims.model.replay import replay_case
from sims.planted.bugs import load_bugs, plant
from sims.trials.drawing import draw

PROFILES = ("soak", "small", "pair", "calm", "handover", "lossy", "apart", "star")
FAULTS_S = 30.0
REFUSED = {
    "bare-terms": "V1",
    "fence-not-persisted": "V1",
    "vote-before-durable": "V2",
    "vote-counted-twice": "V1",
}
"""What refuses the traces of nodes with a planted bug."""
FIRST = "2"
"""A case in which each of them shows."""


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", range(2))
def test_every_step_of_a_node_is_one_of_the_model(profile: str, seed: int) -> None:
    case = draw(seed, profile)
    replayed = replay_case(replace(case, faults_s=min(case.faults_s, FAULTS_S)))
    assert not replayed.refused
    assert replayed.steps > 20
    assert replayed.depth >= 1


def test_what_a_relay_tells_counts_beside_what_it_brings() -> None:
    assert not replay_case(draw(8, "star")).refused


@pytest.mark.parametrize(("name", "refusal"), REFUSED.items(), ids=list(REFUSED))
def test_the_trace_of_a_node_with_a_planted_bug_is_refused(name: str, refusal: str, tmp_path: Path) -> None:
    (bug,) = [bug for bug in load_bugs() if bug.name == name]
    place = plant(bug, tmp_path)
    command = [
        sys.executable,
        "-P",
        "-m",
        "sims.model",
        "replay",
        "--cases",
        "1",
        "--first",
        FIRST,
        "--profile",
        "soak",
    ]
    done = subprocess.run(
        command,
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert f"REFUSED soak {FIRST}: {refusal}: " in done.stdout

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
REFUSED = (
    ("bare-terms", "soak", "2", "V1"),
    ("fence-not-persisted", "soak", "2", "V1"),
    ("vote-before-durable", "soak", "2", "V2"),
    ("vote-counted-twice", "soak", "8", "V1"),
    ("hold-too-short", "strict", "2", "V1"),
    ("lease-without-end", "strict", "2", "V1"),
    ("suspended-lease", "strict", "2", "V1"),
    ("newborn-majority", "strict", "2", "V1"),
    ("ledger-before-durable", "strict", "2", "V2"),
    ("changed-before-kept", "strict", "34", "V1"),
    ("old-configuration-wins", "strict", "13", "V1"),
)
"""Planted bugs, a case in which each shows, and what refuses the traces of its nodes."""


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


@pytest.mark.parametrize("seed", range(6))
def test_every_step_of_a_strict_mesh_is_one_of_the_model(seed: int) -> None:
    replayed = replay_case(draw(seed, "strict"))
    assert not replayed.refused
    assert replayed.taken > 500
    assert replayed.depth > 1


@pytest.mark.parametrize(("name", "profile", "first", "refusal"), REFUSED, ids=[row[0] for row in REFUSED])
def test_the_trace_of_a_node_with_a_planted_bug_is_refused(
    name: str, profile: str, first: str, refusal: str, tmp_path: Path
) -> None:
    (bug,) = [bug for bug in load_bugs() if bug.name == name]
    place = plant(bug, tmp_path)
    asked = ["replay", "--cases", "1", "--first", first, "--profile", profile, "--processes", "1"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "sims.model", *asked],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert f"REFUSED {profile} {first}: {refusal}: " in done.stdout

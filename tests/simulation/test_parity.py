"""The scenarios by which builds are compared (`python -m sims.parity`) depend on their seeds alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from sims.parity import digests


def run(hash_seed: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "sims.parity", *arguments],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


def test_hash_seeds_do_not_matter() -> None:
    first, second = run("0", "--seeds", "1"), run("4242", "--seeds", "1")
    assert first == second
    assert first["digests"] == digests(1), "nor what ran before in this process"
    assert sorted(first["digests"]) == ["mesh:0", "trial:0"]
    assert all(text.endswith(("job done", "well")) for text in first["digests"].values())


@pytest.mark.parametrize("seeds", ["0", "-1", "x"])
def test_a_wrong_number_of_seeds_is_said(seeds: str) -> None:
    assert "--seeds" in run("0", f"--seeds={seeds}")

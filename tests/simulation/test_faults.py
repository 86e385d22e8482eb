"""Random faults over a job, one run per seed; SWARM_FAULT_SEEDS and SWARM_FAULT_FIRST choose others.

`python -m sims.soak` runs the same scenarios in great number.
"""

from __future__ import annotations

import os

import pytest

from sims.faults import run_faults

FIRST = int(os.environ.get("SWARM_FAULT_FIRST", "0"))
SEEDS = int(os.environ.get("SWARM_FAULT_SEEDS", "60"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_random_faults_do_no_harm(seed: int) -> None:
    report = run_faults(seed)
    assert not report.problem, f"seed {seed}: {report.problem}; faults: {report.faults}"

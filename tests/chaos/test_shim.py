"""The shim: the wall clock steps, the monotonic one does not; a stalled disk waits and goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.shim import Control, compiler
from tests.netns.lab import skipped_for

pytestmark = [
    pytest.mark.integration,
    skipped_for("" if sys.platform == "linux" and compiler() else "the shim needs Linux and a C compiler"),
]

TELL = (
    "import time; print(time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME), flush=True)"
)
SYNC = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
print("begins", flush=True)
os.fsync(file)
os.fdatasync(file)
print("synced", flush=True)
"""


def run(control: Control, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, **control.environment()}
    command = [sys.executable, "-c", *words]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=quiet, text=True)


@pytest.mark.parametrize("offset_s", [-86_400.0 * 365, 3_600.0])
def test_only_the_wall_clock_steps(tmp_path: Path, offset_s: float) -> None:
    control = Control(tmp_path / "control")
    control.step_wall_clock(offset_s)
    before = (time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))
    wall, monotonic, boot = [float(word) for word in run(control, TELL).communicate()[0].split()]
    after = (time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))
    assert before[0] <= wall - offset_s <= after[0]
    assert before[1] <= monotonic <= after[1]
    assert before[2] <= boot <= after[2]
    control.close()


def test_a_broken_disk_fails(tmp_path: Path) -> None:
    control = Control(tmp_path / "control")
    control.break_disk(True)
    process = run(control, SYNC, str(tmp_path / "file"))
    assert process.communicate(timeout=20)[0] == "begins\n"
    assert process.returncode == 1
    control.break_disk(False)
    assert run(control, SYNC, str(tmp_path / "file")).communicate(timeout=20)[0] == "begins\nsynced\n"
    control.close()


def test_a_stalled_disk_holds_syncs_until_it_goes_on(tmp_path: Path) -> None:
    control = Control(tmp_path / "control")
    control.stall_disk(True)
    process = run(control, SYNC, str(tmp_path / "file"))
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    control.stall_disk(False)
    assert process.communicate(timeout=20)[0] == "synced\n"
    control.close()

"""`swarm sim` as real processes: one line of JSON, equal digests, exit codes, Ctrl-C in a sweep."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sims import Scenario, sweep
from sims.sweeping import CASES


def sim(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "sims", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_run_without_a_file_ends_with_one_line_of_json() -> None:
    done = sim("run", "--nodes", "5", "--seconds", "20", "--seed", "7", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    summary = json.loads(line)
    assert (summary["nodes"], summary["seconds"], summary["seed"]) == (5, 20.0, 7)
    assert len(summary["digest"]) == 32
    assert summary["events"] > 500
    assert summary["wall_s"] > 0
    assert summary["compiled"] in (True, False)


@pytest.mark.parametrize(("name", "seconds"), [("churn", "100"), ("home", "100"), ("hard-disks", "180")])
def test_hash_seeds_do_not_matter(name: str, seconds: str, tmp_path: Path) -> None:
    arguments = ["run", name, "--seconds", seconds, "--json", "--trace", "csv"]
    runs = []
    for hash_seed in ("0", "4242"):
        out = tmp_path / hash_seed
        done = sim(*arguments, "--out", str(out), PYTHONHASHSEED=hash_seed)
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout)
        for key in ("wall_s", "simulated_per_wall"):
            summary.pop(key)
        runs.append((summary, (out / "trace.csv").read_bytes(), (out / "scenario.toml").read_bytes()))
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "--nodes", "0"], 2, "nodes is 0, it must be in 1 to 100000"),
        (["run", "nowhere.toml"], 2, "nowhere.toml: cannot be read"),
        (["run", "--bogus"], 2, "--bogus"),
        (["frobnicate"], 2, "frobnicate"),
        ([], 2, "Usage"),
        (["--help"], 0, ""),
        (["replay", "/nowhere"], 2, "there is no such folder or trace"),
    ],
)
def test_exit_codes(arguments: list[str], code: int, words: str) -> None:
    done = sim(*arguments)
    assert done.returncode == code
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if code == 2 and arguments:
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("swarm: ")


def test_ctrl_c_in_the_middle_of_a_sweep_leaves_a_folder_that_goes_on(tmp_path: Path) -> None:
    """A real process, interrupted as a terminal does it: the whole group gets the signal."""
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-P",
        "-m",
        "sims",
        "sweep",
        "--nodes",
        "8",
        "--seconds",
        "30",
        "--seeds",
        "0..399",
    ]
    arguments = [*command, "--processes", "2", "--out", str(out)]
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    limit = time.monotonic() + 60
    while not (out / CASES).is_dir() or len(list((out / CASES).glob("*.json"))) < 3:
        assert time.monotonic() < limit, "the sweep makes progress"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)  # another process writes files, and tells nobody
    os.killpg(process.pid, signal.SIGINT)
    printed, complained = process.communicate(timeout=30)
    assert process.returncode == 130
    assert complained == "swarm: interrupted\n"
    assert printed == ""
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # no process of the sweep is left
    rows = json.loads((out / "results.json").read_text())
    files = list((out / CASES).iterdir())
    assert 3 <= len(rows) < 400
    assert [path for path in files if path.suffix != ".json"] == []
    assert len(rows) == len(files)
    shorter = [*command[:-1], "0..4", "--out", str(out), "--processes", "1", "--json"]
    done = subprocess.run(shorter, capture_output=True, text=True, check=True)
    digests = [json.loads(line)["digest"] for line in done.stdout.splitlines()]
    assert digests == [
        row["digest"] for row in sweep(Scenario(nodes=8, seconds=30), {}, range(5), processes=1).rows
    ]

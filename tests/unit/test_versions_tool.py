"""The tool behind `make versions`: what cannot be made is said and left out, and the command still runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOOL = Path(os.environ.get("SWARM_REPOSITORY", Path(__file__).parents[2])) / "tools" / "versions.py"
SHOW = "import os, sys; print(open(os.environ['SWARM_ENVIRONMENTS']).read()); sys.exit(3)"


def run(work: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYENV_ROOT": str(work), "PATH": path or os.environ["PATH"]}
    words = ["--work", str(work / "made"), "--wheels", str(work), *arguments]
    return subprocess.run(
        [sys.executable, str(TOOL), *words], capture_output=True, text=True, check=False, env=environment
    )


def test_a_python_that_is_not_there_is_left_out_and_the_command_told(tmp_path: Path) -> None:
    done = run(tmp_path, "--no-arm64", "python9.99", "--", sys.executable, "-c", SHOW)
    assert done.returncode == 3, done.stderr
    assert (
        "left out: python9.99: there is no such interpreter here\nleft out: arm64: --no-arm64\n"
        in done.stdout
    )
    assert '"environments": []' in done.stdout


def test_an_interpreter_that_does_not_run_is_none(tmp_path: Path) -> None:
    broken = tmp_path / "versions" / "9.99.0" / "bin" / "python9.99"
    broken.parent.mkdir(parents=True)
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    done = run(tmp_path, "--no-arm64", "python9.99", str(broken), "--", "true")
    assert done.returncode == 0, done.stderr
    assert f"left out: {broken}: there is no such interpreter here\n" in done.stdout


def test_what_a_userland_lacks_is_said(tmp_path: Path) -> None:
    done = run(tmp_path, "python9.99", "--", sys.executable, "-c", SHOW, path=str(tmp_path))
    assert done.returncode == 3, done.stderr
    assert "left out: arm64: " in done.stdout
    assert "debootstrap" in done.stdout or "root" in done.stdout


def test_a_command_is_demanded(tmp_path: Path) -> None:
    assert run(tmp_path, "python9.99").returncode == 2
    assert not (tmp_path / "made").exists()

"""Run a command with an environment of swarm for every Python at hand, and for an arm64 userland.

`python tools/versions.py --work FOLDER --wheels FOLDER [--no-arm64] PYTHON... -- COMMAND...`

Each PYTHON is a name such as `python3.12`, looked for on the path and among pyenv's versions, or a path. The
environments are made by this repository's Makefile in `--work`, and kept. `--wheels` has the pure wheel, for
the userland (`tools/userland.py`). COMMAND finds their list, as JSON, in the file that the variable
SWARM_ENVIRONMENTS names. What cannot be made is said and left out; the exit code is that of COMMAND.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools import userland
from tools.requirements import requirements

ROOT = Path(__file__).resolve().parents[1]
LIST = "environments.json"
BUILD_TIMEOUT_S = 1800.0
_TELL = "import sys; print('%d.%d' % sys.version_info[:2])"


def candidates(name: str) -> list[str]:
    """Return the interpreters that a name may mean, the path's first: pyenv keeps more than it puts there."""
    if "/" in name:
        return [name]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    on_path = shutil.which(name)
    return [
        *([on_path] if on_path else []),
        *[str(path) for path in sorted(pyenv.glob(f"versions/*/bin/{name}"))],
    ]


def version_of(python: str) -> str:
    """Return the minor version of an interpreter, "" when it does not run."""
    try:
        done = subprocess.run([python, "-c", _TELL], capture_output=True, timeout=20, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def find(name: str) -> tuple[str, str]:
    """Return (path, minor version) of the first interpreter that a name means and that runs, or ("", "")."""
    for python in candidates(name):
        version = version_of(python)
        if version:
            return python, version
    return "", ""


def build(python: str, folder: Path) -> str:
    """Make the environment of an interpreter in a folder; return its Python."""
    variables = [f"PYTHON={python}", f"VENV={folder}", f"PURE={folder}-pure"]
    subprocess.run(["make", *variables, f"{folder}/.swarm"], cwd=ROOT, check=True, timeout=BUILD_TIMEOUT_S)
    return str((ROOT / folder / "bin/python").absolute())


def build_all(names: list[str], work: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Return the environments of interpreters, and what could not be made, in words."""
    made: list[dict[str, str]] = []
    left_out: list[str] = []
    for name in names:
        python, version = find(name)
        if not python:
            left_out.append(f"{name}: there is no such interpreter here")
        elif any(row["name"] == f"py{version}" for row in made):
            left_out.append(f"{name}: {python} is another {version}")
        else:
            path = build(python, Path(os.path.relpath(work, ROOT)) / f"py{version}")
            made.append({"name": f"py{version}", "python": path, "root": ""})
    return made, left_out


def make_userland(work: Path, wheels: Path) -> dict[str, str]:
    """Make the userland, or bring it up to date, and return its environment."""
    made = userland.Userland(work / userland.ARCHITECTURE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    made.make(wheels, requirements(["runtime", "fast", "sensors"], project), ROOT / "tools/constraints.txt")
    return {"name": userland.ARCHITECTURE, "python": userland.PYTHON, "root": str(made.root)}


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--work", type=Path, required=True, help="where environments are kept")
    parser.add_argument("--wheels", type=Path, required=True, help="folder with the pure wheel")
    parser.add_argument("--no-arm64", action="store_true", help="no userland of another architecture")
    parser.add_argument("pythons", nargs="+", metavar="PYTHON")
    words = sys.argv[1:]
    if "--" not in words or words[-1] == "--":
        parser.error("a command comes after --")
    at = words.index("--")
    options = parser.parse_args(words[:at])
    options.command = words[at + 1 :]
    return options


def main() -> int:
    """Make the environments and run the command with them; its exit code."""
    options = arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    made, left_out = build_all(options.pythons, options.work)
    reason = "--no-arm64" if options.no_arm64 else userland.why_not()
    with userland.emulation(reason) as trouble:
        if trouble:
            left_out.append(f"{userland.ARCHITECTURE}: {trouble}")
        else:
            made.append(make_userland(options.work, options.wheels))
        for line in left_out:
            print(f"left out: {line}", flush=True)
        file = (options.work / LIST).absolute()
        file.write_text(json.dumps({"environments": made, "left_out": left_out}, indent=1), encoding="utf-8")
        environment = {**os.environ, "SWARM_ENVIRONMENTS": str(file)}
        return subprocess.run(options.command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

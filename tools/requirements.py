"""Print what to install for a group of pyproject.toml, one requirement a line.

``python tools/requirements.py runtime build dev``: `runtime` stands for the project's own dependencies,
any other word for an optional group. References of the project to its own groups are followed.
The Makefile uses it to install requirements before there is a wheel of swarm itself.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def requirements(groups: list[str], project: dict[str, object]) -> list[str]:
    """Return the requirements of the groups, in order and without repetitions.

    Args:
        groups: "runtime" or names of optional groups.
        project: the table [project] of pyproject.toml.

    Raises:
        ValueError: there is no such group.
    """
    optional = project["optional-dependencies"]
    assert isinstance(optional, dict), "[project.optional-dependencies] is a table"
    own = re.compile(rf"{re.escape(str(project['name']))}\[([a-z,]+)\]$")
    wanted: list[str] = []
    for group in groups:
        if group != "runtime" and group not in optional:
            raise ValueError(f"pyproject.toml has no group {group!r}; it has runtime, {', '.join(optional)}")
        lines = project["dependencies"] if group == "runtime" else optional[group]
        assert isinstance(lines, list), "a group is a list"
        for line in lines:
            reference = own.match(line)
            wanted += requirements(reference.group(1).split(","), project) if reference else [line]
    return list(dict.fromkeys(wanted))


def main() -> int:
    """Print the requirements of the groups named on the command line; 2 when one does not exist."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    try:
        print("\n".join(requirements(sys.argv[1:], project)))
    except ValueError as error:
        print(f"requirements: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Leaders die, here and elsewhere: ``python -m tests.bench.failover --rounds 30 --out FILE`` (as root).

Needs iproute2 and nftables. dask.distributed and Ray are measured where they are installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from swarm.version import __version__, is_compiled
from tests.bench.failover.mesh import leader_deaths, lone_survivors
from tests.bench.failover.peers import dask_kill, ray_kill
from tests.netns.lab import why_not

SURVIVALS = 5


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.failover", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="how often the leader is killed")
    parser.add_argument("--out", type=Path, required=True, help="file for the figures, JSON")
    parser.add_argument("--only", choices=("swarm", "peers"), default="", help="measure one part only")
    given = parser.parse_args()
    reason = why_not("nft")
    if reason:
        print(f"failover: {reason}", file=sys.stderr)
        return 2
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:6.1f}] {text}", file=sys.stderr, flush=True)

    found: dict[str, Any] = {}
    if given.only != "peers":
        build = "compiled" if is_compiled() else "pure"
        found["swarm"] = {
            "version": f"{__version__} ({build})",
            "deaths": leader_deaths(given.rounds, say),
            "of_2": lone_survivors(2, SURVIVALS, say),
            "of_3": lone_survivors(3, SURVIVALS, say),
        }
    if given.only != "swarm":
        found["dask.distributed"] = dask_kill(say)
        found["Ray"] = ray_kill(say)
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(text_of(found))
    return 0


def text_of(found: dict[str, Any]) -> str:
    """Return the figures as a table of Markdown."""
    lines = ["| system | what | median | worst |", "|---|---|---|---|"]
    swarm = found.get("swarm")
    if swarm:
        rows, name = swarm["deaths"], f"swarm {swarm['version']}"
        said = (
            ("known_s", "leader killed: new leader known to all, s"),
            ("next_s", "from then until the next task begins, s"),
            ("gap_s", "longest time after the kill without a beginning, s"),
            ("executions", "executions per task"),
            ("again", "finished tasks that ran again, of 1,000"),
            ("again_late", "… of those finished more than 1 s before the kill"),
            ("broken", "answers wrong or missing"),
        )
        lines += [
            _line(name, f"{what} ({len(rows)} kills)", [row[key] for row in rows]) for key, what in said
        ]
        for key, of in (("of_2", 2), ("of_3", 3)):
            times = [row["survives_s"] for row in swarm[key]]
            lines.append(
                _line(name, f"lone survivor of {of} runs a task again, s ({len(times)} kills)", times)
            )
    for name in ("dask.distributed", "Ray"):
        row = found.get(name)
        if row is None:
            continue
        if "missing" in row:
            lines.append(f"| {name} | {row['missing']} | – | – |")
            continue
        states = ", ".join(f"{count} {state}" for state, count in row["client_says"].items())
        what = f"scheduler killed: after 60 s the client says {states}; last task began after, s"
        lines.append(f"| {name} {row['version']} | {what} | {row['last_begin_s']:g} | – |")
    return "\n".join(lines)


def _line(name: str, what: str, values: list[float]) -> str:
    return f"| {name} | {what} | {statistics.median(values):g} | {max(values):g} |"


if __name__ == "__main__":
    sys.exit(main())

"""A chaos run on real processes: ``python -m tests.chaos --seconds 600 --seed 1 --out FOLDER``.

Needs root, iproute2, nftables and a C compiler. What it does to the mesh follows from the seed; the folder
gets the plan, the log of what was really done to whom, what every client saw, the logs of the nodes, and a
report as text, JSON and a plot. The exit code is 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import time
from pathlib import Path

from tests.chaos.plan import KINDS
from tests.chaos.report import report_of, text_of, write_report
from tests.chaos.run import Run
from tests.chaos.shim import compiler
from tests.netns.lab import why_not


def main() -> int:
    """Do one run; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long faults are made")
    parser.add_argument("--seed", default="", help="any text; a new one is drawn without it")
    parser.add_argument(
        "--without", action="append", default=[], choices=KINDS, help="leave out a kind of faults"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for everything; it is emptied first")
    parser.add_argument("--plot", type=Path, default=None, help="also draw the plot into this file")
    given = parser.parse_args()
    reason = why_not("nft") or ("" if compiler() else "a C compiler is needed")
    if reason:
        print(f"chaos: {reason}", file=sys.stderr)
        return 2
    seed = given.seed or secrets.token_hex(4)
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:6.1f}] {text}", file=sys.stderr, flush=True)

    kinds = [kind for kind in KINDS if kind not in given.without]
    outcome = Run(seed, given.seconds, given.out.resolve(), say, kinds).run()
    report = report_of(outcome, seed)
    write_report(report, outcome, given.out, given.plot)
    print(text_of(report))
    return 1 if outcome.complaints else 0


if __name__ == "__main__":
    sys.exit(main())

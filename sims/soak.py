"""Many random runs: ``python -m sims.soak --seeds 1000 --first 0``; exits with 1 when one shows a problem.

Runs over processes, shows progress on a terminal, and prints each failing seed with its faults, so that
``python -m sims.soak --first SEED --seeds 1`` repeats it.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from sims.faults import FaultReport, run_faults

CHUNK = 4
BAR_WIDTH = 30


def main() -> int:
    """Run the seeds that the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sims.soak", description="random faults over a job")
    parser.add_argument("--seeds", type=int, default=50, help="how many (default 50)")
    parser.add_argument("--first", type=int, default=0, help="the first one (default 0)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many at once")
    options = parser.parse_args()
    if options.seeds < 1 or options.processes < 1 or options.first < 0:
        parser.error(f"--seeds and --processes are at least 1 and --first 0, not {sys.argv[1:]}")
    failed: list[FaultReport] = []
    attempts = 0
    seeds = range(options.first, options.first + options.seeds)
    with ProcessPoolExecutor(options.processes) as pool:
        for done, report in enumerate(pool.map(run_faults, seeds, chunksize=CHUNK), 1):
            attempts += report.attempts
            _show(done, options.seeds, len(failed))
            if report.problem:
                failed.append(report)
                print(f"\nseed {report.seed}: {report.problem}\n  " + "\n  ".join(report.faults), flush=True)
    print(f"{options.seeds} seeds from {options.first}: {len(failed)} with problems, {attempts} attempts")
    return 1 if failed else 0


def _show(done: int, total: int, failed: int) -> None:
    if sys.stderr.isatty():
        filled = BAR_WIDTH * done // total
        bar = "#" * filled + "." * (BAR_WIDTH - filled)
        print(f"\r[{bar}] {done}/{total}, {failed} failed", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

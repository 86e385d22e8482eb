"""``python -m sims.planted``: plant each bug in a copy of the sources and see which checker finds it.

Exits with 1 when a bug was found by none of the checkers it is meant for within its seeds. Runs several bugs
at once and prints one row for each.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sims.planted.bugs import Bug, Finding, load_bugs, look_for


def main() -> int:
    """Plant the bugs that the command line asks for; return the exit code."""
    bugs = load_bugs()
    parser = argparse.ArgumentParser(prog="python -m sims.planted", description=__doc__)
    parser.add_argument("names", nargs="*", help="of bugs (default all)")
    parser.add_argument("--list", action="store_true", help="print the bugs and plant none")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many at once")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in [bug.name for bug in bugs]]
    if unknown:
        parser.error(f"no such bug: {unknown[0]!r}; see --list")
    if options.processes < 1:
        parser.error(f"--processes is at least 1, not {options.processes}")
    chosen = [bug for bug in bugs if not options.names or bug.name in options.names]
    if options.list:
        for bug in chosen:
            print(f"{bug.name:28} {bug.what}")
        return 0
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.processes) as pool:
        futures = [pool.submit(look_for, bug, Path(folder)) for bug in chosen]
        for bug, future in zip(chosen, futures, strict=True):
            finding = future.result()
            findings.append(finding)
            print(_row(bug, finding), flush=True)
    missed = [finding for finding in findings if not finding.is_expected]
    print(f"{len(findings)} bugs planted, {len(findings) - len(missed)} found as expected")
    return 1 if missed else 0


def _row(bug: Bug, finding: Finding) -> str:
    if not finding.checker:
        return f"{bug.name:28} MISSED in {finding.seeds} seeds of {bug.profile}"
    note = "" if finding.is_expected else f"  (not one of {', '.join(bug.checkers)})"
    return f"{bug.name:28} {finding.checker:12} after {finding.seeds} seeds of {bug.profile}{note}"


if __name__ == "__main__":
    sys.exit(main())

"""Many random trials: ``python -m sims.soak --seeds 1000``; exits with 1 when an invariant broke.

Runs over processes and shows progress on a terminal. With ``--state FILE`` it goes on where it stopped: the
file says which seeds of which profile are done, for one version of the sources, and how long they took; an
interrupt loses nothing that has ended. A seed that breaks an invariant is printed, and with ``--keep FOLDER``
shrunk to a small case and stored there. ``--case FILE`` runs a stored case instead.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from sims.progress import Progress
from sims.soak_state import SoakState
from sims.trials.case import from_json, to_json
from sims.trials.drawing import PROFILES, draw
from sims.trials.run import Verdict, run_case
from sims.trials.shrink import shrink
from swarm.core.errors import ConfigError

CHUNK = 8
INTERRUPTED = 130


def run_seeds(profile: str, seeds: list[int]) -> list[Verdict]:
    """Run the trials of some seeds."""
    return [run_case(draw(seed, profile)) for seed in seeds]


def main() -> int:
    """Run the seeds that the command line asks for; return the exit code."""
    options = _parse()
    if options.case is not None:
        return _run_stored(options.case)
    state = SoakState(options.state, options.profile)
    wanted = range(options.first, options.first + options.seeds)
    left = [seed for seed in wanted if not state.is_done(seed)]
    failed: list[Verdict] = []
    progress = Progress(len(wanted), len(wanted) - len(left))
    is_interrupted = False
    try:
        for verdict in _verdicts(options, left):
            state.note(verdict)
            progress.show(verdict.checker != "")
            _tell(verdict, options)
            if verdict.checker:
                failed.append(verdict)
                if options.keep is not None:
                    _keep(verdict, options.keep)
                if options.stop:
                    break
    except KeyboardInterrupt:
        is_interrupted = True
    finally:
        state.save()
    if not options.json:
        print(("interrupted: " if is_interrupted else "") + state.summary(len(wanted), len(failed)))
    if is_interrupted:
        return INTERRUPTED
    return 1 if failed else 0


def _tell(verdict: Verdict, options: argparse.Namespace) -> None:
    if options.json:
        row = {key: value for key, value in asdict(verdict).items() if key != "profile"}
        print(json.dumps(row), flush=True)
    elif verdict.checker:
        print(f"\nseed {verdict.seed} of {options.profile}: {verdict.checker}: {verdict.text}", flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sims.soak", description="random trials of the protocol")
    parser.add_argument("--seeds", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--first", type=int, default=0, help="the first one (default 0)")
    parser.add_argument(
        "--profile", default="soak", choices=list(PROFILES), help="what is drawn (default soak)"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many at once")
    parser.add_argument("--state", type=Path, help="file that remembers what is done")
    parser.add_argument("--keep", type=Path, help="folder for shrunk cases that break an invariant")
    parser.add_argument("--case", type=Path, help="run this stored case")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each seed")
    parser.add_argument("--stop", action="store_true", help="stop at the first violation")
    options = parser.parse_args()
    if options.seeds < 1 or options.processes < 1 or options.first < 0:
        parser.error(f"--seeds and --processes are at least 1 and --first 0, not {sys.argv[1:]}")
    return options


def _verdicts(options: argparse.Namespace, seeds: list[int]) -> Iterator[Verdict]:
    """Yield verdicts as they come; in order, one by one, with a single process."""
    if options.processes == 1:
        for seed in seeds:
            yield from run_seeds(options.profile, [seed])
        return
    with ProcessPoolExecutor(options.processes) as pool:
        futures: list[Future[list[Verdict]]] = [
            pool.submit(run_seeds, options.profile, seeds[begin : begin + CHUNK])
            for begin in range(0, len(seeds), CHUNK)
        ]
        try:
            for future in as_completed(futures):
                yield from future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _run_stored(path: Path) -> int:
    try:
        case = from_json(path.read_text(encoding="utf-8"))
    except (OSError, ConfigError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 2
    verdict = run_case(case)
    print(json.dumps(asdict(verdict)))
    return 1 if verdict.checker else 0


def _keep(verdict: Verdict, folder: Path) -> None:
    """Store the smallest case found that breaks the same invariant."""
    folder.mkdir(parents=True, exist_ok=True)
    smaller = shrink(draw(verdict.seed, verdict.profile), verdict.checker)
    path = folder / f"{verdict.checker}-{verdict.profile}-{verdict.seed}.json"
    path.write_text(to_json(smaller), encoding="utf-8")
    print(f"shrunk to {len(smaller.events)} events and {len(smaller.jobs)} jobs: {path}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

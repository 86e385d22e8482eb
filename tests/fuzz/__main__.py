"""Fuzz every decoder in turn: ``python -m tests.fuzz --seconds 600``."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from pathlib import Path
from random import Random

from tests.fuzz.corpus import stored_inputs, write_inputs
from tests.fuzz.fuzzing import Fuzzer, rss_bytes
from tests.fuzz.gathering import gather
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Fuzz, say how it went, and return 1 when something was found."""
    parser = argparse.ArgumentParser(description="Fuzz every decoder of swarm, guided by the lines they run.")
    parser.add_argument("--seconds", type=float, default=600.0, help="for all targets together")
    parser.add_argument("--seed", default=None, help="of the random choices; one of the clock when left out")
    parser.add_argument("--keep", type=Path, default=Path("finds"), help="folder for inputs that are finds")
    parser.add_argument("--store", type=Path, help="folder into which the inputs worth keeping are written")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else str(time.time_ns())
    names = given.targets or list(TARGETS)
    traffic = gather()
    print(f"{len(names)} targets, {given.seconds:g} s, --seed {seed}", flush=True)
    gc.freeze()  # what is here already need not be looked through whenever memory is measured
    rss_start = rss_bytes()
    shares = sum([TARGETS[name].share for name in names])
    executions = edges = finds = 0
    for name in names:
        target = TARGETS[name]
        began = time.monotonic()
        fuzzer = Fuzzer(target, [*target.seeds(traffic), *stored_inputs(name)], Random(f"{seed}:{name}"))
        outcome = fuzzer.run(given.seconds * target.share / shares)
        took_s = time.monotonic() - began
        executions += outcome.executions
        edges += outcome.edges
        finds += len(outcome.finds)
        print(
            f"{name:22} {outcome.executions:8} inputs {outcome.executions / took_s:7.0f}/s"
            f" {outcome.edges:6} edges {len(outcome.corpus):5} kept {outcome.grown_bytes:7} B grown"
            f" {rss_bytes() / 1e6:6.0f} MB {len(outcome.finds)} finds",
            flush=True,
        )
        for find in outcome.finds:
            print(f"  {find.what}: {find.keep(given.keep)}", flush=True)
        if given.store is not None:
            write_inputs(given.store, name, outcome.corpus)
    print(
        f"{executions} inputs, {edges} edges, {finds} finds,"
        f" {rss_start / 1e6:.0f} MB at the start, {rss_bytes() / 1e6:.0f} MB at the end"
    )
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())

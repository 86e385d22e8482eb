"""``python -m sims.model``: search the models, plant mistakes, hold traces of the simulator against them.

Prints a row for each part: states, steps, depth and seconds. Exits with 1 when an invariant broke, a
planted mistake was not found, or a trace was refused.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from time import perf_counter  # noqa: TID251 - how long people waited, which decides nothing
from typing import Final

from sims.model.election import ElectionModel
from sims.model.exploring import Explorable, Explored, S, explore
from sims.model.keeping import KeepingModel
from sims.model.leading import LeadingMistakes, check_leading
from sims.model.merging import FACTS_MAX, check_merging
from sims.model.mistakes import PLANTED, find
from sims.model.replay import Replayed, replay_case
from sims.model.strict import StrictModel
from sims.progress import Progress
from sims.trials.drawing import PROFILES, draw

PARTS: Final = ("election", "strict", "leading", "keeping", "merging", "mistakes", "replay")
REPLAYED_PROFILES: Final = ("soak", "calm", "apart", "lossy", "handover", "large", "star", "strict")
STRICT_BOUNDS: Final = ((1, 2, 3, 0), (3, 2, 2, 0), (1, 1, 3, 1), (3, 1, 2, 1))
"""Searches of strict meshes: voters at first, how often each node stands, changes of voters, lost ledgers."""
EVERYTHING: Final = 1_000_000_000


def main() -> int:
    """Do what the command line asks for; return the exit code."""
    options = _parse()
    parts = options.parts or list(PARTS)
    is_fine = True
    if "election" in parts:
        model = ElectionModel(options.counters, options.writes)
        name = f"election, {options.counters} counters apart, {options.writes} writes under way"
        is_fine &= _search(name, model, options.states)
    if "strict" in parts:
        for seated, counters, changes, losses in STRICT_BOUNDS:
            name = f"strict, {seated} voters first, stands {counters}, changes {changes}, losses {losses}"
            strict = StrictModel(seated, counters, changes, losses)
            is_fine &= _search(name, strict, options.states)
    if "leading" in parts:
        is_fine &= _lead()
    if "keeping" in parts:
        is_fine &= _search("keeping", KeepingModel(), options.states)
    if "merging" in parts:
        is_fine &= _merge(options.facts)
    if "mistakes" in parts:
        is_fine &= _plant()
    if "replay" in parts:
        is_fine &= _replay(options)
    return 0 if is_fine else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sims.model", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default all)")
    parser.add_argument("--states", type=int, default=EVERYTHING, help="of a search, at most")
    parser.add_argument("--counters", type=int, default=2, help="by which nodes are ahead in an election")
    parser.add_argument("--writes", type=int, default=2, help="by which a disk may be behind")
    parser.add_argument("--facts", type=int, default=7, help=f"that are merged, 1..{FACTS_MAX}")
    parser.add_argument("--cases", type=int, default=240, help="of the simulator that are replayed")
    parser.add_argument("--first", type=int, default=0, help="seed of the cases")
    parser.add_argument("--profile", action="append", choices=PROFILES, help="of the cases; may be repeated")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="for the cases")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {unknown[0]!r}; there are {', '.join(PARTS)}")
    for name in ("states", "counters", "writes", "cases", "processes"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} is at least 1, not {getattr(options, name)}")
    if not 1 <= options.facts <= FACTS_MAX:
        parser.error(f"--facts is 1..{FACTS_MAX}, not {options.facts}")
    return options


def _search(name: str, model: Explorable[S], states_max: int) -> bool:
    began = perf_counter()

    def on_level(depth: int, states: int) -> bool:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{name}: {states} states, depth {depth}, {perf_counter() - began:.0f} s ")
            sys.stderr.flush()
        return True

    explored = explore(model, states_max, on_level=on_level)
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    _print(name, explored, perf_counter() - began)
    return not explored.broken


def _print(name: str, explored: Explored, seconds: float) -> None:
    extent = "all states" if explored.is_whole else "stopped"
    if explored.broken:
        extent = f"{explored.broken} BROKEN"
    print(
        f"{name}: {extent}: {explored.states} states, {explored.steps} steps, depth {explored.depth},"
        f" {seconds:.1f} s",
        flush=True,
    )
    for row in explored.way:
        print(f"    {row}")


def _lead() -> bool:
    """Search for states without a way to a leader; with a mistake there must be some."""
    is_fine = True
    mistakes = {
        "leading": LeadingMistakes(),
        "planted trusts_for_ever": LeadingMistakes(trusts_for_ever=True),
        "planted trusts_the_alive": LeadingMistakes(trusts_the_alive=True),
    }
    for name, mistake in mistakes.items():
        began = perf_counter()
        led = check_leading(mistake)
        is_fine &= bool(led.stuck) == (mistake != LeadingMistakes())
        print(
            f"{name}: {led.states} states, {led.majorities} with a majority up, {led.stuck} without a way to"
            f" a leader, {perf_counter() - began:.1f} s",
            flush=True,
        )
        if led.stuck:
            print(f"    {led.example}")
    return is_fine


def _merge(facts: int) -> bool:
    began = perf_counter()
    merged = check_merging(facts)
    found = merged.broken or "all laws hold"
    seconds = perf_counter() - began
    print(
        f"merging, {facts} facts: {found}: {merged.orders} orders, {merged.pairs} pairs, {seconds:.1f} s",
        flush=True,
    )
    return not merged.broken


def _plant() -> bool:
    is_fine = True
    for planted in PLANTED:
        began = perf_counter()
        explored = find(planted)
        is_found = explored.broken == planted.broken
        is_fine &= is_found
        verdict = explored.broken if is_found else f"MISSED ({explored.broken or 'nothing broke'})"
        print(
            f"planted {planted.name}: {verdict}: {explored.states} states, depth {explored.depth},"
            f" {perf_counter() - began:.1f} s",
            flush=True,
        )
    return is_fine


def _replay(options: argparse.Namespace) -> bool:
    """Replay cases of every profile in turn."""
    began = perf_counter()
    profiles = options.profile or list(REPLAYED_PROFILES)
    progress = Progress(options.cases, 0)
    steps = taken = refused = 0
    for profile, replayed in _replayed(profiles, options.first, options.cases, options.processes):
        progress.show(replayed.refused != "")
        steps += replayed.steps
        taken += replayed.taken
        if replayed.refused:
            refused += 1
            print(f"REFUSED {profile} {replayed.seed}: {replayed.refused}", flush=True)
    seconds = perf_counter() - began
    print(
        f"replay of {options.cases} cases ({', '.join(profiles)}): {refused} refused,"
        f" {steps} looks explained, {taken} steps of strict meshes, {seconds:.1f} s",
        flush=True,
    )
    return not refused


def _replayed(profiles: list[str], first: int, cases: int, processes: int) -> Iterator[tuple[str, Replayed]]:
    wanted = [(profiles[number % len(profiles)], first + number // len(profiles)) for number in range(cases)]
    if processes == 1:
        for profile, seed in wanted:
            yield profile, replay_case(draw(seed, profile))
        return
    with ProcessPoolExecutor(processes) as pool:
        for (profile, _), replayed in zip(wanted, pool.map(_run_one, wanted), strict=True):
            yield profile, replayed


def _run_one(wanted: tuple[str, int]) -> Replayed:
    profile, seed = wanted
    return replay_case(draw(seed, profile))


if __name__ == "__main__":
    sys.exit(main())

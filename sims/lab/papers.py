"""The figures of the SWIM and Lifeguard papers, simulated: ``python -m sims.lab.papers --out FOLDER``.

Writes `detection.csv` and `false_positives.csv` with one row for each run, and a plot of each, and prints
the tables of docs/SIMULATION.md. `--quick` takes fewer and smaller runs. Runs go over processes; progress is
shown on a terminal.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

from sims.lab.detection import (
    EXPECTED_FIRST_PERIODS,
    Detection,
    FalsePositives,
    detect,
    false_positives,
)
from sims.lab.figures import new_axes, save_figure, write_rows
from sims.lab.gossip import GOSSIP_SETTINGS

SIZES = (4, 8, 16, 32, 64)
STARVED = (1, 2, 4, 8)
DETECTION_SETTINGS = ("swim", "swarm")


def main() -> int:
    """Run both experiments; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sims.lab.papers", description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for tables and plots, made when missing"
    )
    parser.add_argument("--seeds", type=int, default=20, help="runs of each point (default 20)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many at once")
    parser.add_argument("--quick", action="store_true", help="small meshes and two seeds")
    options = parser.parse_args()
    if options.seeds < 1 or options.processes < 1:
        parser.error(f"--seeds and --processes are at least 1, not {options.seeds} and {options.processes}")
    seeds = 2 if options.quick else options.seeds
    sizes = SIZES[:3] if options.quick else SIZES
    starved = STARVED[:2] if options.quick else STARVED
    options.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(options.processes) as pool:
        first = [
            pool.submit(detect, size, seed, settings)
            for settings in DETECTION_SETTINGS
            for size in sizes
            for seed in range(seeds)
        ]
        names = [settings for settings in DETECTION_SETTINGS for _ in range(len(sizes) * seeds)]
        second = [
            pool.submit(false_positives, settings, count, seed)
            for settings in GOSSIP_SETTINGS
            for count in starved
            for seed in range(seeds)
        ]
        found: list[Detection] = []
        wronged: list[FalsePositives] = []
        futures: list[Future[Detection] | Future[FalsePositives]] = [*first, *second]
        for done, future in enumerate(futures, 1):
            result = future.result()
            if isinstance(result, Detection):
                found.append(result)
            else:
                wronged.append(result)
            if sys.stderr.isatty():
                print(f"\r{done}/{len(futures)} runs", end="", file=sys.stderr, flush=True)
    rows = [{"settings": name, **dataclasses.asdict(row)} for name, row in zip(names, found, strict=True)]
    write_rows(options.out / "detection.csv", rows)
    write_rows(options.out / "false_positives.csv", [dataclasses.asdict(row) for row in wronged])
    plot_detection(rows, options.out / "detection.svg")
    plot_false_positives(wronged, options.out / "false_positives.svg")
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(f"{detection_table(rows)}\n\n{false_positives_table(wronged)}")
    return 0


def detection_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return how soon a crash is seen, means by size: the first suspicion, and dead for all by settings."""
    settings = list(dict.fromkeys([str(row["settings"]) for row in rows]))
    lines = [
        "| members | first suspicion | " + " | ".join(f"dead for all, {name}" for name in settings) + " |",
        "|---|---" + "|---" * len(settings) + "|",
    ]
    for size in sorted({int(row["nodes"]) for row in rows}):
        here = [row for row in rows if row["nodes"] == size]
        cells = [statistics.mean([row["first_suspect_s"] for row in here])]
        for name in settings:
            cells.append(statistics.mean([row["all_dead_s"] for row in here if row["settings"] == name]))
        lines.append(f"| {size} | " + " | ".join(f"{cell:.1f} s" for cell in cells) + " |")
    return "\n".join(lines)


def false_positives_table(rows: Sequence[FalsePositives]) -> str:
    """Return how many members that were well were declared dead, means by starved members and settings."""
    settings = list(dict.fromkeys([row.settings for row in rows]))
    lines = ["| starved members | " + " | ".join(settings) + " |", "|---" * (len(settings) + 1) + "|"]
    for count in sorted({row.starved for row in rows}):
        cells = [
            statistics.mean([row.dead for row in rows if row.settings == name and row.starved == count])
            for name in settings
        ]
        lines.append(f"| {count} | " + " | ".join(f"{cell:.3g}" for cell in cells) + " |")
    return "\n".join(lines)


def plot_detection(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw how soon a crash is seen, by size and settings, beside SWIM's expectation."""
    axes = new_axes("a member loses its power", "members", "seconds")
    for settings in dict.fromkeys([str(row["settings"]) for row in rows]):
        sizes = sorted({int(row["nodes"]) for row in rows if row["settings"] == settings})
        for field, style, label in (
            ("first_suspect_s", "-o", "first suspicion"),
            ("all_dead_s", "--s", "dead for all"),
        ):
            means = [
                statistics.mean(
                    [row[field] for row in rows if row["settings"] == settings and row["nodes"] == size]
                )
                for size in sizes
            ]
            axes.plot(sizes, means, style, label=f"{settings}: {label}")
    axes.axhline(
        EXPECTED_FIRST_PERIODS, color="grey", linewidth=1, label="SWIM's expectation, first probe: e/(e-1)"
    )
    axes.set_xscale("log", base=2)
    save_figure(axes, path)


def plot_false_positives(rows: Sequence[FalsePositives], path: Path) -> None:
    """Draw how many members that were well are declared dead, by settings and starved members."""
    axes = new_axes(
        "healthy members declared dead, each judge counted", "starved members", "verdicts in a run"
    )
    for settings in dict.fromkeys([row.settings for row in rows]):
        counts = sorted({row.starved for row in rows})
        means = [
            statistics.mean([row.dead for row in rows if row.settings == settings and row.starved == count])
            for count in counts
        ]
        axes.plot(counts, means, "-o", label=settings)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    save_figure(axes, path)


if __name__ == "__main__":
    sys.exit(main())

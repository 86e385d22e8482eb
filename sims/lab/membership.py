"""The curves of membership over size, and who is wronged: ``python -m sims.lab.membership --out FILE``.

Five experiments: *growth* (`sims.lab.growth.grow`) for meshes of 10 to 2,000 nodes, *rumours* among 500 at a
loss of 5 %, *cuts* through the middle of up to 500, *loss* of 30 % for ten minutes among 20, and *starved*
members under plain SWIM and under swarm's settings (`sims.lab.detection.false_positives`). FILE (JSON) is
written after every run, and a later call with that FILE and the same sources goes on where it ends. ``--plots
FOLDER`` draws the curves.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from sims.lab.detection import false_positives
from sims.lab.figures import new_axes, save_figure
from sims.lab.growth import divide, endure, grow
from sims.progress import Progress
from sims.soak_state import sources_digest
from sims.whole_files import write_whole

Row = dict[str, Any]

SIZES: Final = (10, 20, 50, 100, 200, 500, 1000, 2000)
LARGE_NODES: Final = 500
"""Meshes above this size run once for each seed below `LARGE_SEEDS`."""
LARGE_SEEDS: Final = 2
CUT_SIZES: Final = (2, 3, 5, 10, 20, 50, 100, 200, 500)
RUMOUR_NODES: Final = 500
RUMOUR_LOSS: Final = 0.05
RUMOURS: Final = 20
LOSSY_NODES: Final = 20
LOSSY_LOSS: Final = 0.3
LOSSY_S: Final = 600.0
STARVED: Final = (1, 2, 3, 4)
STARVED_SETTINGS: Final = ("swim", "lifeguard", "swarm")

EXPERIMENTS: Final[dict[str, Callable[..., Any]]] = {
    "growth": grow,
    "rumours": grow,
    "cuts": divide,
    "loss": endure,
    "starved": false_positives,
}


def cases(
    names: Sequence[str], sizes: Sequence[int], seeds: int, rumour_nodes: int = RUMOUR_NODES
) -> list[Row]:
    """Return what to run, smallest first: {"experiment": name, and the arguments of its function}.

    Args:
        names: keys of `EXPERIMENTS`.
        sizes: of the meshes that grow.
        seeds: runs of each point, fewer of large meshes.
        rumour_nodes: size of the mesh with loss.
    """
    found: list[Row] = []
    for name in names:
        for seed in range(seeds):
            if name == "growth":
                found += [
                    {"experiment": name, "nodes": size, "seed": seed}
                    for size in sizes
                    if size <= LARGE_NODES or seed < LARGE_SEEDS
                ]
            elif name == "rumours":
                found.append(
                    {
                        "experiment": name,
                        "nodes": rumour_nodes,
                        "seed": seed,
                        "loss": RUMOUR_LOSS,
                        "rumours": RUMOURS,
                    }
                )
            elif name == "cuts":
                found += [{"experiment": name, "nodes": size, "seed": seed} for size in CUT_SIZES]
            elif name == "loss":
                found.append(
                    {
                        "experiment": name,
                        "nodes": LOSSY_NODES,
                        "seed": seed,
                        "loss": LOSSY_LOSS,
                        "seconds": LOSSY_S,
                    }
                )
            else:
                found += [
                    {"experiment": name, "settings": settings, "starved": count, "seed": seed}
                    for settings in STARVED_SETTINGS
                    for count in STARVED
                ]
    return sorted(found, key=lambda case: case.get("nodes", 0))


def run_case(case: Mapping[str, Any]) -> Row:
    """Run one of :func:`cases`; return it with what came of it."""
    arguments = {key: value for key, value in case.items() if key != "experiment"}
    return {**case, "result": asdict(EXPERIMENTS[case["experiment"]](**arguments))}


def results(rows: Sequence[Row], experiment: str, **wanted: object) -> list[Row]:
    """Return the results of the runs of an experiment whose results have these values."""
    found = [row["result"] for row in rows if row["experiment"] == experiment]
    return [row for row in found if all([row[key] == value for key, value in wanted.items()])]


def medians_by_size(rows: Sequence[Row], field: str, experiment: str = "growth") -> list[tuple[int, float]]:
    """Return (size, median of a field over runs) of an experiment.

    A field of several values counts with each. -1, never, counts as infinite.
    """
    values: dict[int, list[float]] = {}
    for row in results(rows, experiment):
        value = row[field]
        listed = value if isinstance(value, (list, tuple)) else [value]
        values.setdefault(row["nodes"], []).extend([float("inf") if one < 0 else one for one in listed])
    return [(size, statistics.median(found)) for size, found in sorted(values.items())]


def main() -> int:
    """Run what is missing in the file; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sims.lab.membership", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file, gone on with when it is there")
    parser.add_argument("--sizes", default=",".join([str(size) for size in SIZES]), help="of growing meshes")
    parser.add_argument(
        "--seeds", type=int, default=5, help="runs of each point (default 5, 2 of large ones)"
    )
    parser.add_argument(
        "--only", default=",".join(EXPERIMENTS), help=f"of {','.join(EXPERIMENTS)} (default: all)"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many at once")
    parser.add_argument("--plots", type=Path, help="folder for the curves")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",") if size]
    names = options.only.split(",")
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown or options.seeds < 1 or options.processes < 1:
        parser.error(f"--only takes {', '.join(EXPERIMENTS)}; --seeds and --processes are at least 1")
    sources = sources_digest()
    rows = load(options.out, sources)
    wanted = cases(names, sizes, options.seeds)
    done = [{key: value for key, value in row.items() if key != "result"} for row in rows]
    missing = [case for case in wanted if case not in done]
    progress = Progress(len(wanted), len(wanted) - len(missing))
    with ProcessPoolExecutor(options.processes, max_tasks_per_child=1) as pool:
        futures = [pool.submit(run_case, case) for case in missing]
        for future in as_completed(futures):
            rows.append(future.result())
            write_whole(options.out, json.dumps({"sources": sources, "rows": rows}, indent=1) + "\n")
            progress.show(False)
    if options.plots is not None and results(rows, "growth"):
        options.plots.mkdir(parents=True, exist_ok=True)
        plot_load(rows, options.plots / "membership_load.svg")
        plot_detection(rows, options.plots / "membership_detection.svg")
        plot_dissemination(rows, options.plots / "membership_dissemination.svg")
    return 0


def load(path: Path, sources: str = "") -> list[Row]:
    """Return the runs that a file holds, none when it is missing.

    Args:
        path: of the file.
        sources: digest of the sources; runs of others do not count and are put aside as ``<name>.before``. ""
            takes any.
    """
    if not path.exists():
        return []
    held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if sources and held["sources"] != sources:
        path.replace(path.with_suffix(".before"))
        return []
    rows: list[Row] = held["rows"]
    return rows


def plot_load(rows: Sequence[Row], path: Path) -> None:
    """Draw what a member sends at rest, by size."""
    axes = new_axes("a member at rest", "members", "sent, bytes/s on the cable")
    for field, label in (("bytes_per_node_s", "all"), ("stream_bytes_per_node_s", "on streams")):
        points = medians_by_size(rows, field)
        axes.plot([size for size, _ in points], [value for _, value in points], "-o", label=label)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    save_figure(axes, path)


def plot_detection(rows: Sequence[Row], path: Path) -> None:
    """Draw how soon deaths are seen, by size."""
    axes = new_axes("deaths", "members", "seconds")
    for field, style, label in (
        ("silent_suspect_s", "-o", "host silent: first suspicion"),
        ("silent_first_s", "-s", "host silent: first verdict"),
        ("silent_all_s", "--s", "host silent: known to all"),
        ("killed_all_s", "-^", "process killed: known to all"),
    ):
        points = medians_by_size(rows, field)
        axes.plot([size for size, _ in points], [value for _, value in points], style, label=label)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    save_figure(axes, path)


def plot_dissemination(rows: Sequence[Row], path: Path) -> None:
    """Draw how soon a rumour is known, by size; a logarithm is a straight line here."""
    axes = new_axes("a rumour, no loss", "members", "seconds")
    for field, label in (
        ("rumour_half_s", "half"),
        ("rumour_99_s", "99 of 100"),
        ("rumour_all_s", "everybody"),
    ):
        points = medians_by_size(rows, field)
        axes.plot([size for size, _ in points], [value for _, value in points], "-o", label=label)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    save_figure(axes, path)


if __name__ == "__main__":
    sys.exit(main())

"""The random-graph experiment of the HEFT paper, simulated: ``python -m sims.lab.heft_paper --out FOLDER``.

Topcuoglu, Hariri, Wu, "Performance-effective and low-complexity task scheduling for heterogeneous computing"
(IEEE TPDS 13(3), 2002), section 5: random graphs on unrelated processors, network without contention.
Measured is the schedule length ratio (SLR): the makespan over the critical path with every task on its
fastest processor. The paper shows its mean by the number of tasks and by CCR, and finds HEFT before CPOP and
both before others.

Plans are executed in the ideal model (`sims.lab.ideal`, network "simple"), where a ready task begins as soon
as a core is free; the paper reads the makespan off the plan. Beside the paper's two stand DLS and ETF, which
here place a task when it becomes ready and move its inputs only then, and random placement.

Writes `heft.csv` with one row for each graph, `heft_tasks.svg` and `heft_ccr.svg`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from sims.lab.cases import critical_path_s
from sims.lab.figures import new_axes, save_figure, write_rows
from sims.lab.ideal import IdealRun
from sims.lab.policies import make_policy
from sims.lab.problem import Problem, Worker
from sims.lab.statistics import mean_interval
from sims.workload.generators import Costs, random_layered, worker_factors

POLICIES: Final = ("heft", "cpop", "dls", "etf", "random")
TASKS: Final = (20, 40, 60, 80, 100)
CCRS: Final = (0.1, 0.5, 1.0, 5.0, 10.0)
SHAPES: Final = (0.5, 1.0, 2.0)
BETAS: Final = (0.1, 0.5, 1.0)
WORKERS: Final = 8
DEGREE: Final = 4
DURATION_S: Final = 10.0
RATE_BYTES_S: Final = 10e6


def run_point(values: Mapping[str, Any]) -> dict[str, Any]:
    """Run one graph under every policy; return its values with the SLR of each under the policy's name.

    Args:
        values: `tasks`, `ccr`, and `seed`, which chooses the shape and the heterogeneity in turn and decides
            all that is random.
    """
    seed = int(values["seed"])
    shape = SHAPES[seed % len(SHAPES)]
    beta = BETAS[seed // len(SHAPES) % len(BETAS)]
    costs = Costs.of_ccr(float(values["ccr"]), RATE_BYTES_S, DURATION_S)
    graph = random_layered(int(values["tasks"]), shape, DEGREE, costs, seed)
    problem = Problem(
        graph=graph,
        workers=[Worker(cpus=1, up_bytes_s=RATE_BYTES_S, down_bytes_s=RATE_BYTES_S)] * WORKERS,
        network="simple",
        factors=worker_factors(graph, WORKERS, beta, seed),
    )
    path_s = critical_path_s(problem)
    row: dict[str, Any] = {**values, "shape": shape, "beta": beta}
    for name in POLICIES:
        row[name] = IdealRun(problem, make_policy(name), str(seed), name).run().makespan_s / path_s
    return row


def points(tasks: Sequence[int], ccrs: Sequence[float], seeds: int) -> list[dict[str, Any]]:
    """Return the values of all graphs."""
    return [
        {"tasks": count, "ccr": ccr, "seed": seed} for count in tasks for ccr in ccrs for seed in range(seeds)
    ]


def mean_slr(rows: Sequence[Mapping[str, Any]], by: str, policy: str) -> list[tuple[float, float]]:
    """Return (value of `by`, mean SLR of a policy there), rising."""
    found = sorted({float(row[by]) for row in rows})
    return [
        (value, fmean([float(row[policy]) for row in rows if float(row[by]) == value])) for value in found
    ]


def plot_slr(rows: Sequence[Mapping[str, Any]], by: str, across: str, path: Path) -> None:
    """Draw the mean SLR of every policy by one parameter, with intervals of 95 %."""
    axes = new_axes("random graphs on eight unrelated processors", across, "schedule length ratio")
    for policy in POLICIES:
        values = [value for value, _ in mean_slr(rows, by, policy)]
        intervals = [
            mean_interval([float(row[policy]) for row in rows if float(row[by]) == value]) for value in values
        ]
        middle = [interval.value for interval in intervals]
        halves = [interval.high - interval.value if interval.runs > 1 else 0.0 for interval in intervals]
        axes.errorbar(values, middle, yerr=halves, marker="o", capsize=3, label=policy)
    if by == "ccr":
        axes.set_xscale("log")
        axes.set_yscale("log")
    save_figure(axes, path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sims.lab.heft_paper", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for table and plots")
    parser.add_argument("--seeds", type=int, default=36, help="graphs of each point (default 36)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many at once")
    parser.add_argument("--quick", action="store_true", help="small graphs and nine seeds")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.processes < 1:
        parser.error(f"--seeds and --processes are at least 1, not {options.seeds} and {options.processes}")
    cases = points(TASKS[:2], CCRS[::2], 9) if options.quick else points(TASKS, CCRS, options.seeds)
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(options.processes) as pool:
        for row in pool.map(run_point, cases, chunksize=8):
            rows.append(row)
            if sys.stderr.isatty():
                print(f"\r{len(rows)}/{len(cases)} graphs", end="", file=sys.stderr, flush=True)
    write_rows(options.out / "heft.csv", rows)
    plot_slr(rows, "tasks", "tasks", options.out / "heft_tasks.svg")
    plot_slr(rows, "ccr", "communication to computation (CCR)", options.out / "heft_ccr.svg")
    for policy in POLICIES:
        print(f"{policy}: mean SLR {mean_interval([float(row[policy]) for row in rows])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Digests of fixed scenarios: ``python -m sims.parity --seeds 8`` prints them as one line of JSON.

Equal seeds must give equal digests, whatever the build (compiled or not) and PYTHONHASHSEED;
`tools/parity.py` runs this under several interpreters and compares.
"""

from __future__ import annotations

import argparse
import json
import sys

from sims.client import SimulatedClient, simulated_task
from sims.cluster import simple_cluster
from sims.network import NetworkConfig
from sims.trials.drawing import draw
from sims.trials.run import run_case
from swarm.version import is_compiled
from swarm.wire.job_part import JobPart, TaskSpec

NODES = 20
LAYERS = 6
WIDTH = 10
LIMIT_S = 120.0


def layered_job() -> JobPart:
    """Return a job in layers: each task needs two of the layer before, the last one all of the last layer."""
    tasks: list[TaskSpec] = []
    for layer in range(LAYERS):
        for position in range(WIDTH):
            before = (layer - 1) * WIDTH
            needs = [] if layer == 0 else [before + position, before + (position * 3 + layer) % WIDTH]
            inputs = [number for task in dict.fromkeys(needs) for number in (task, 0)]
            seconds = 0.05 * (1 + position % 3)
            tasks.append(simulated_task(f"layer{layer}", seconds, [1000 * position], inputs))
    last = [number for task in range(len(tasks) - WIDTH, len(tasks)) for number in (task, 0)]
    tasks.append(simulated_task("sum", 0.1, [8], last, is_kept=True))
    return JobPart(0, {"name": "parity"}, tasks)


def mesh_digest(seed: str) -> str:
    """Return digest, events and the job's state of a mesh that joins, loses its leader, splits and heals."""
    cluster = simple_cluster(NODES, seed, NetworkConfig(loss=0.05))
    for index in range(NODES):
        cluster.start(index)
    cluster.run_until(4.0)
    client = SimulatedClient(cluster, f"{seed}:client", layered_job(), NODES // 2)
    client.poll()
    cluster.run_until(4.5)
    leader = (cluster.leaders() or [0])[0]
    cluster.kill(leader)
    cluster.run_until(6.0)
    half = NODES // 2
    cluster.network.partition([list(range(half)), list(range(half, NODES))])
    cluster.cut_links()
    cluster.run_until(12.0)
    cluster.network.heal()
    cluster.start(leader)
    client.wait_final(LIMIT_S)
    cluster.wait_converged(LIMIT_S)
    return f"{cluster.trace.digest()} {cluster.trace.events} events, job {client.state}"


def digests(seeds: int) -> dict[str, str]:
    """Return the digest of every scenario: a mesh and some random faults for each seed."""
    found: dict[str, str] = {}
    for number in range(seeds):
        name = f"mesh:{number}"
        found[name] = mesh_digest(name)
        verdict = run_case(draw(number, "small"))
        found[f"trial:{number}"] = f"{verdict.digest} {verdict.checker or 'well'}"
    return found


def main() -> int:
    """Print the digests."""
    parser = argparse.ArgumentParser(prog="python -m sims.parity", description=__doc__)
    parser.add_argument("--seeds", type=int, default=4, help="of each scenario, at least 1 (default 4)")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error(f"--seeds is at least 1, not {options.seeds}")
    json.dump({"is_compiled": is_compiled(), "digests": digests(options.seeds)}, sys.stdout)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())

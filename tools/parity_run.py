"""Run some meshes in the simulator of this Python's swarm and print their trace digests as one line of JSON.

`tools/parity.py` runs this under several interpreters and compares. Argument: how many seeds.
"""

from __future__ import annotations

import json
import sys
import time

from sims.client import SimulatedClient, simulated_task
from sims.cluster import Cluster
from sims.network import NetworkConfig
from swarm.version import is_compiled
from swarm.wire.job_part import JobPart, TaskSpec

NODES = 20
LAYERS = 6
WIDTH = 10
LIMIT_S = 120.0


def job_part() -> JobPart:
    """Return a layered job: each task needs two of the layer before, the last one all of the last layer."""
    tasks: list[TaskSpec] = []
    for layer in range(LAYERS):
        for position in range(WIDTH):
            before = (layer - 1) * WIDTH
            needs = [] if layer == 0 else [before + position, before + (position * 3 + layer) % WIDTH]
            inputs = [number for task in dict.fromkeys(needs) for number in (task, 0)]
            tasks.append(
                simulated_task(f"layer{layer}", 0.05 * (1 + position % 3), [1000 * position], inputs)
            )
    last = [number for task in range(len(tasks) - WIDTH, len(tasks)) for number in (task, 0)]
    tasks.append(simulated_task("sum", 0.1, [8], last, is_kept=True))
    return JobPart(0, {"name": "parity", "session": False, "on_error": "fail", "priority": 0}, tasks)


def digest_of_run(seed: str) -> str:
    """Return digest, events and job state of a mesh through join, job, death, cut and healing."""
    cluster = Cluster(NODES, seed, NetworkConfig(loss=0.05))
    for index in range(NODES):
        cluster.start(index)
    cluster.run_until(4.0)
    client = SimulatedClient(cluster, f"{seed}:client", job_part(), NODES // 2)
    client.poll()
    cluster.run_until(4.5)
    leader = (cluster.leaders() or [0])[0]
    cluster.kill(leader)
    cluster.run_until(6.0)
    half = NODES // 2
    cluster.network.partition([list(range(half)), list(range(half, NODES))])
    cluster.run_until(12.0)
    cluster.network.heal()
    cluster.start(leader)
    client.wait_final(LIMIT_S)
    cluster.wait_converged(LIMIT_S)
    return f"{cluster.trace.digest()} {cluster.trace.events} events, job {client.state}"


def main() -> int:
    """Print what `tools/parity.py` compares."""
    started = time.perf_counter()
    digests = {f"parity:{number}": digest_of_run(f"parity:{number}") for number in range(int(sys.argv[1]))}
    took_s = time.perf_counter() - started
    print(json.dumps({"is_compiled": is_compiled(), "took_s": took_s, "digests": digests}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Submits the job that is measured to a mesh of swarm: ``python -m tests.bench.failover.client``.

The mesh is in SWARM_MESH, the node to attach to is the first argument. Prints one line when everything is
submitted and one, JSON, with what came of it.
"""

from __future__ import annotations

import json
import sys
import time

import swarm
from swarm.core.errors import SwarmError, TaskError
from tests.bench.failover.tasks import noted

TIMEOUT_S = 150.0


def main(address: str, path: str, count: int, nap_s: float) -> int:
    """Run the job; return the exit code."""
    with swarm.connect(address, name="failover") as mesh:
        futures = mesh.map(noted, range(count), [path] * count, [nap_s] * count)
        print("submitted", flush=True)
        right = wrong = failed = 0
        give_up = time.monotonic() + TIMEOUT_S
        for number, future in enumerate(futures):
            try:
                value = future.result(timeout=max(give_up - time.monotonic(), 0.001))
            except (TaskError, TimeoutError, SwarmError):
                failed += 1
            else:
                right += value == number * number
                wrong += value != number * number
        print(json.dumps({"right": right, "wrong": wrong, "failed": failed}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))

"""A job that reduces a row of leaves pairwise, and the answer that it gives when nothing goes wrong."""

from __future__ import annotations

from typing import Final

from sims.client import SimulatedClient, simulated_task
from sims.cluster import simple_cluster
from swarm.wire.job_part import JobPart, TaskSpec

LEVELS: Final = 6


def tree_job(levels: int, size_bytes: int) -> JobPart:
    """Return a job that reduces 2**levels leaves pairwise; its one result is the last task's."""
    tasks: list[TaskSpec] = []
    width = 1 << levels
    for _ in range(width):
        tasks.append(simulated_task("leaf", 0.02, [size_bytes], []))
    first = 0
    while width > 1:
        for pair in range(width // 2):
            left = first + 2 * pair
            inputs = [left, 0, left + 1, 0]
            tasks.append(simulated_task("node", 0.01, [size_bytes], inputs, width == 2))
        first += width
        width //= 2
    return JobPart(0, {"name": "tree"}, tasks)


def undisturbed_digest(size_bytes: int) -> bytes:
    """Return the digest of the tree job's result when nothing goes wrong."""
    cluster = simple_cluster(1, "undisturbed")
    cluster.start(0)
    assert cluster.wait_converged(30.0) >= 0, "a lone node leads itself"
    client = SimulatedClient(cluster, "job", tree_job(LEVELS, size_bytes), 0)
    assert client.wait_final(60.0), "an undisturbed job ends"
    return result_digest(client)


def result_digest(client: SimulatedClient) -> bytes:
    """Return the digest of the one result that a client has, b"" when it has none."""
    for completion in client.results.values():
        if completion.outputs is not None:
            return completion.outputs[0].digest
    return b""

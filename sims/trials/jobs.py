"""Jobs of trials: shapes of task graphs, and the answer that each must give, computed here from scratch."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from sims.client import simulated_task
from sims.trials.case import JobPlan
from swarm.wire.job_part import JobPart, TaskOptions, TaskSpec
from swarm.wire.messages import INLINE_SIZE_MAX


def part_of(plan: JobPlan) -> JobPart:
    """Return the one part of a planned job; every task's output is a result."""
    needs = SHAPES[plan.shape](plan.width)
    options = TaskOptions(cpus=plan.cpus, memory_bytes=plan.memory_bytes, retries=plan.retries)
    tasks: list[TaskSpec] = []
    pinned = [TaskOptions(cpus=plan.cpus, tags=(f"node={name}",)) for name in plan.pins]
    for number, producers in enumerate(needs):
        inputs = [value for producer in producers for value in (producer, 0)]
        fails = plan.fails and number == len(needs) // 2
        # Results of inner tasks are kept only where their digests are to be compared.
        is_kept = plan.is_random or number == len(needs) - 1 or plan.shape == "bag"
        name = f"{plan.shape}{number % 3}"
        tasks.append(
            simulated_task(
                name,
                plan.task_s,
                [plan.size_bytes],
                inputs,
                is_kept,
                pinned[number] if number < len(pinned) else options,
                fails,
                plan.is_random,
            )
        )
    return JobPart(0, {"name": plan.shape}, tasks)


def task_count(plan: JobPlan) -> int:
    """Return how many tasks a planned job has."""
    return len(SHAPES[plan.shape](plan.width))


def consumers_of(plan: JobPlan) -> dict[int, list[int]]:
    """Return the tasks that need each task's output."""
    consumers: dict[int, list[int]] = {}
    for number, producers in enumerate(SHAPES[plan.shape](plan.width)):
        for producer in producers:
            consumers.setdefault(producer, []).append(number)
    return consumers


def answers(plan: JobPlan, job: bytes) -> list[bytes]:
    """Return the digest of every task's output, as docs/SIMULATION.md says that simulated tasks make them."""
    digests: list[bytes] = []
    for number, producers in enumerate(SHAPES[plan.shape](plan.width)):
        stuff = b"".join([digests[producer] for producer in producers])
        seed = f"{number}/0".encode() + job + stuff
        if plan.size_bytes <= INLINE_SIZE_MAX:
            data = (blake2b(seed).digest() * (plan.size_bytes // 64 + 1))[: plan.size_bytes]
            digests.append(blake2b(data, digest_size=16).digest())
        else:
            digests.append(blake2b(seed, digest_size=16).digest())
    return digests


def _bag(width: int) -> list[list[int]]:
    return [[] for _ in range(4 * width)]


def _chain(width: int) -> list[list[int]]:
    return [[] if number == 0 else [number - 1] for number in range(4 * width)]


def _fork_join(width: int) -> list[list[int]]:
    return [[], *[[0] for _ in range(2 * width)], list(range(1, 2 * width + 1))]


def _tree(width: int) -> list[list[int]]:
    leaves = 1 << min(width, 4)
    needs: list[list[int]] = [[] for _ in range(leaves)]
    first, count = 0, leaves
    while count > 1:
        for pair in range(count // 2):
            needs.append([first + 2 * pair, first + 2 * pair + 1])
        first += count
        count //= 2
    return needs


def _stencil(width: int) -> list[list[int]]:
    needs: list[list[int]] = [[] for _ in range(width + 1)]
    for row in range(1, 4):
        for place in range(width + 1):
            above = (row - 1) * (width + 1)
            needs.append([above + other for other in (place - 1, place, place + 1) if 0 <= other <= width])
    needs.append(list(range(3 * (width + 1), 4 * (width + 1))))
    return needs


SHAPES: Final[dict[str, Callable[[int], list[list[int]]]]] = {
    "bag": _bag,
    "chain": _chain,
    "fork-join": _fork_join,
    "tree": _tree,
    "stencil": _stencil,
}
"""Name -> (width -> the producers of each task)."""

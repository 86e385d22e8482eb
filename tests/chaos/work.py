"""The jobs of a chaos run: drawn by a seed, each with an answer that is known beforehand."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Any, Final

from swarm.client.futures import BaseFuture
from swarm.client.graphs import new_job
from swarm.client.job import ClientJob
from swarm.client.mesh import Mesh
from swarm.client.options import make_options
from swarm.core.ids import JOB_ID_SIZE

SHAPES: Final = {"bag": 4, "chain": 3, "large": 2, "given": 1, "failing": 1, "slow": 2}
"""Shapes of jobs and how often each is drawn; slow ones are there to be cancelled and to be in the way."""

LARGE_BYTES: Final = 200_000
"""Too much for a message: it travels from store to store."""


def digest(value: object) -> str:
    """Return a short digest of an answer: bytes, or a number."""
    data = value if isinstance(value, bytes) else str(value).encode()
    return hashlib.blake2b(data, digest_size=8).hexdigest()


OPTIONS: Final = make_options()


class Work:
    """One job before it is submitted, as often as that is.

    Args:
        seed: decides everything about it, its id too.
        begins: path of the file into which tasks write that they begin.

    Attributes:
        job: its id.
        shape: key of `SHAPES`.
        value: digest of the right answer, "" for a job that has to fail.
        task_count: tasks that it has for the mesh.
    """

    def __init__(self, seed: str, begins: str) -> None:
        draw = random.Random(f"work {seed}")
        self.job: Final = hashlib.blake2b(seed.encode(), digest_size=JOB_ID_SIZE).digest()
        self.shape: Final = draw.choices(list(SHAPES), list(SHAPES.values()))[0]
        self._count: Final = draw.randint(3, 9)
        self._base: Final = draw.randint(0, 10**6)
        self._nap_s: Final = 3.0 if self.shape == "slow" else draw.choice((0.0, 0.02, 0.2))
        self._begins: Final = begins
        self.value: Final = "" if self.shape == "failing" else digest(self._answer())
        self.task_count: Final = {"bag": self._count + 1, "chain": self._count, "given": 1}.get(self.shape, 2)

    def build(self, mesh: Mesh) -> tuple[ClientJob, BaseFuture[Any]]:
        """Return the job for a session and the future of its answer; the same bytes every time."""
        meta = new_job(mesh, f"{self.shape} {self._base}", is_session=False).meta
        job = ClientJob(self.job, meta, mesh)
        future = self._add(job)
        job.is_complete = True
        return job, future

    def _add(self, job: ClientJob) -> BaseFuture[Any]:
        if self.shape == "bag":
            parts = [self._call(job, number, add, self._base, number) for number in range(self._count)]
            return self._call(job, self._count, add, *parts)
        if self.shape == "chain":
            last = self._call(job, 0, add, self._base, 0)
            for number in range(1, self._count):
                last = self._call(job, number, add, last, number)
            return last
        if self.shape == "large":
            made = self._call(job, 0, pattern, self._base, LARGE_BYTES)
            return self._call(job, 1, turned, made)
        if self.shape == "given":
            return self._call(job, 0, turned, pattern(self._base, LARGE_BYTES))
        if self.shape == "failing":
            return self._call(job, 1, add, self._call(job, 0, broken, self._base), 1)
        return self._call(job, 1, add, self._call(job, 0, add, self._base, 1), 2)

    def _call(
        self, job: ClientJob, task: int, function: Callable[..., Any], *args: object
    ) -> BaseFuture[Any]:
        given = (function, self._begins, self.job.hex(), task, self._nap_s, *args)
        return job.builder.add_call(noted, given, {}, OPTIONS, function.__name__)

    def _answer(self) -> object:
        if self.shape == "bag":
            return sum(self._base + number for number in range(self._count))
        if self.shape == "chain":
            return self._base + sum(range(self._count))
        if self.shape in ("large", "given"):
            return turned(pattern(self._base, LARGE_BYTES))
        return self._base + 3


def noted(function: Callable[..., Any], begins: str, job: str, task: int, nap_s: float, *args: object) -> Any:
    """Write down that a task begins, sleep a little and return what the function makes of the arguments."""
    import os
    import time

    file = os.open(begins, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(file, f"{time.monotonic():.6f} {job} {task}\n".encode())
    os.close(file)
    time.sleep(nap_s)  # the work of the task
    return function(*args)


def add(*numbers: int) -> int:
    """Return the sum."""
    return sum(numbers)


def pattern(base: int, size: int) -> bytes:
    """Return bytes that follow from a number."""
    import hashlib

    return hashlib.shake_128(str(base).encode()).digest(size)


def turned(data: bytes) -> bytes:
    """Return bytes the other way round."""
    return data[::-1]


def broken(base: int) -> int:
    """Raise what a job that has to fail fails with."""
    raise ValueError(f"{base} is wrong on purpose")

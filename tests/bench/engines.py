"""The engines that the task path is measured beside, each with the same two shapes of work.

Every engine has two workers of one thread on this machine. Times run from the first submit to the last
value in the caller's hands, and the values are checked.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, Protocol

import swarm

WORKERS = 2


# Functions that every worker can import: this module is not installed anywhere.
same = operator.index
add_one = functools.partial(operator.add, 1)


class Engine(Protocol):
    """What a measured engine can do."""

    name: str

    def bag_s(self, count: int) -> float:
        """Return the seconds for `count` independent tasks."""
        ...

    def chain_s(self, count: int) -> float:
        """Return the seconds for `count` tasks, each needing the one before."""
        ...


class PoolEngine:
    """`ProcessPoolExecutor`; the chain is driven by the caller's callbacks, as it has no dependencies."""

    name = "ProcessPoolExecutor"

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def bag_s(self, count: int) -> float:
        """See Engine."""
        start = time.perf_counter()
        futures = [self._pool.submit(same, number) for number in range(count)]
        values = [future.result() for future in futures]
        return _checked(start, values == list(range(count)))

    def chain_s(self, count: int) -> float:
        """See Engine."""
        start = time.perf_counter()
        last: Future[int] = Future()

        def go_on(done: Future[int]) -> None:
            value = done.result()
            if value == count:
                last.set_result(value)
            else:
                self._pool.submit(add_one, value).add_done_callback(go_on)

        self._pool.submit(add_one, 0).add_done_callback(go_on)
        return _checked(start, last.result() == count)


class DaskEngine:
    """dask.distributed with two worker processes of one thread, as shipped."""

    name = "dask.distributed"

    def __init__(self, client: Any) -> None:
        self._client = client

    def bag_s(self, count: int) -> float:
        """See Engine."""
        start = time.perf_counter()
        values = self._client.gather(self._client.map(same, range(count), pure=False))
        return _checked(start, values == list(range(count)))

    def chain_s(self, count: int) -> float:
        """See Engine."""
        start = time.perf_counter()
        future = self._client.submit(add_one, 0, pure=False)
        for _ in range(count - 1):
            future = self._client.submit(add_one, future, pure=False)
        return _checked(start, future.result() == count)


class SwarmEngine:
    """Two nodes of one core each: a real mesh, mutual TLS, journals on disk."""

    name = "swarm"

    def __init__(self, mesh: Any) -> None:
        self._mesh = mesh

    def bag_s(self, count: int) -> float:
        """See Engine."""
        start = time.perf_counter()
        values = [future.result(timeout=120) for future in self._mesh.map(same, range(count))]
        return _checked(start, values == list(range(count)))

    def chain_s(self, count: int) -> float:
        """See Engine."""
        start = time.perf_counter()
        future = self._mesh.submit(add_one, 0)
        for _ in range(count - 1):
            future = self._mesh.submit(add_one, future)
        return _checked(start, future.result(timeout=120) == count)


@contextlib.contextmanager
def all_engines() -> Iterator[list[Engine]]:
    """Start every engine that is installed, warm each up, and stop them at the end."""
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(WORKERS))
        engines: list[Engine] = [PoolEngine(pool)]
        with contextlib.suppress(ImportError):
            engines.append(DaskEngine(stack.enter_context(_dask_client())))
        engines.append(SwarmEngine(stack.enter_context(swarm.local(nodes=WORKERS, cores=1))))
        for engine in engines:
            engine.bag_s(100)
            engine.chain_s(10)
        yield engines


@contextlib.contextmanager
def _dask_client() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, Client(cluster) as client:
        yield client


def _checked(start: float, is_right: bool) -> float:
    seconds = time.perf_counter() - start
    assert is_right, "an engine returned wrong values"
    return seconds


Measure = Callable[[Engine], float]

"""What the simulator costs, beside SimPy and a bare loop over `heapq` in the same run.

The rounds are interleaved and only ratios are asserted: on the machine of the anchors a bare loop took
2.4 M events/s, SimPy 4 1.15 M timeouts/s and 0.14 M messages/s through its `Store`. Each process runs on one
core.
"""

from __future__ import annotations

import gc
import heapq
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sims.cluster import Cluster, simple_cluster
from sims.engine import Engine, Event, Handler
from swarm.version import is_compiled

ROUNDS = 3
HOSTS = 1_000
EVENTS = 400_000
MESSAGES = 60_000
LOOP_RATIO_MIN = 2.0 / 2.4
STORE_RATIO_MIN = 10.0
NODE_RATIO_MIN = 150 / 140
"""Inputs of whole nodes per second, against messages through SimPy's stores."""
SMALL_REAL_TIME_MIN = 1_000
LARGE_NODES = 1_000
LARGE_SECONDS = 60
BYTES_PER_NODE_MAX = 60_000

pytestmark = pytest.mark.bench
simpy = pytest.importorskip("simpy", reason="`make bench` installs SimPy")


class Repeating(Handler):
    """Lets every event happen again after the pause it carries."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def handle(self, event: Event) -> None:
        """See Handler."""
        pause_s = event.first
        assert isinstance(pause_s, float)
        self._engine.schedule(event.time_s + pause_s, 0, event.target, pause_s, None)


class Passing(Handler):
    """Passes every message on to the next host."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.received = [0] * HOSTS

    def handle(self, event: Event) -> None:
        """See Handler."""
        host = event.target
        self.received[host] += 1
        target = (host * 7 + 1) % HOSTS
        self._engine.schedule(event.time_s + 0.001 + host * 1e-6, 0, target, event.first, host)


def _pause_s(host: int) -> float:
    return 1.0 + host / HOSTS


def loop_events() -> float:
    """Return the events/s of a loop that takes tuples off a heap and puts them back."""
    heap = [(0.0, host, host, _pause_s(host)) for host in range(HOSTS)]
    order = HOSTS
    start = time.perf_counter()
    for _ in range(EVENTS):
        when, _, host, pause_s = heapq.heappop(heap)
        order += 1
        heapq.heappush(heap, (when + pause_s, order, host, pause_s))
    return EVENTS / (time.perf_counter() - start)


def engine_events() -> float:
    """Return the events/s of the engine with a handler in plain Python."""
    engine = Engine()
    for host in range(HOSTS):
        engine.schedule(0.0, 0, host, _pause_s(host), None)
    start = time.perf_counter()
    engine.run(1.5 * EVENTS / HOSTS, Repeating(engine))
    return engine.executed / (time.perf_counter() - start)


def simpy_timeouts() -> float:
    """Return the timeouts/s of SimPy's processes."""
    environment = simpy.Environment()

    def process(pause_s: float) -> Iterator[Any]:
        while True:
            yield environment.timeout(pause_s)

    for host in range(HOSTS):
        environment.process(process(_pause_s(host)))
    start = time.perf_counter()
    environment.run(until=EVENTS / HOSTS)
    taken_s = time.perf_counter() - start
    return sum(EVENTS / HOSTS / _pause_s(host) for host in range(HOSTS)) / taken_s


def engine_messages() -> float:
    """Return the messages/s between hosts on the engine."""
    engine = Engine()
    handler = Passing(engine)
    for host in range(HOSTS):
        engine.schedule(0.0, 0, host, b"message", host)
    start = time.perf_counter()
    engine.run(0.0015 * EVENTS / HOSTS, handler)
    taken_s = time.perf_counter() - start
    assert sum(handler.received) == engine.executed
    return engine.executed / taken_s


def simpy_messages() -> float:
    """Return the messages/s between processes that each own a `Store`, with a latency on the way."""
    environment = simpy.Environment()
    stores = [simpy.Store(environment) for _ in range(HOSTS)]
    received = [0]

    def carry(target: int, delay_s: float) -> Iterator[Any]:
        yield environment.timeout(delay_s)
        yield stores[target].put(b"message")

    def process(host: int) -> Iterator[Any]:
        target = (host * 7 + 1) % HOSTS
        while True:
            yield stores[host].get()
            received[0] += 1
            environment.process(carry(target, 0.001 + host * 1e-6))

    for host in range(HOSTS):
        environment.process(process(host))
        stores[host].put(b"message")
    start = time.perf_counter()
    environment.run(until=0.0015 * MESSAGES / HOSTS)
    return received[0] / (time.perf_counter() - start)


ENGINES: dict[str, Callable[[], float]] = {
    "heapq loop": loop_events,
    "engine, events": engine_events,
    "SimPy, timeouts": simpy_timeouts,
    "engine, messages": engine_messages,
    "SimPy, Store messages": simpy_messages,
}


def _started(count: int) -> Cluster:
    cluster = simple_cluster(count, "bench")
    for index in range(count):
        cluster.start(index)
    assert cluster.wait_converged(60.0) >= 0, "the mesh agrees"
    return cluster


def _rate_of_nodes(count: int, seconds: float) -> tuple[float, float]:
    """Return the inputs/s of a mesh at rest, and virtual by real seconds."""
    cluster = _started(count)
    inputs = cluster.inputs
    start = time.perf_counter()
    cluster.run_until(cluster.engine.now + seconds)
    taken_s = time.perf_counter() - start
    return (cluster.inputs - inputs) / taken_s, seconds / taken_s


def _bytes_per_node(count: int) -> float:
    """Return what a mesh at rest holds, by node."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        cluster = _started(count)
        cluster.run_until(cluster.engine.now + 10.0)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        assert len(cluster.running()) == count
    finally:
        tracemalloc.stop()
    return (after - before) / count


def _keep(name: str, figures: object) -> None:
    build = "compiled" if is_compiled() else "pure"
    Path(f"{name}-{build}.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")


@pytest.mark.timeout(600)
def test_the_engine_is_as_fast_as_a_bare_loop_and_ten_times_the_stores_of_simpy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    figures: dict[str, list[float]] = {name: [] for name in ENGINES}
    for _ in range(ROUNDS):
        for name, measure in ENGINES.items():
            figures[name].append(measure())
    nodes = [_rate_of_nodes(5, 300.0) for _ in range(ROUNDS)]
    figures["nodes, inputs (5)"] = [rate for rate, _ in nodes]
    real_time = statistics.median([ratio for _, ratio in nodes])
    medians = {name: statistics.median(values) for name, values in figures.items()}
    stores = medians["SimPy, Store messages"]
    with capsys.disabled():
        print(f"\n{'events per second':<24}{'median':>12}{'least':>12}{'most':>12}{'x Store':>10}")
        for name, values in figures.items():
            row = f"{medians[name]:>12,.0f}{min(values):>12,.0f}{max(values):>12,.0f}"
            print(f"{name:<24}{row}{medians[name] / stores:>10.1f}")
        print(f"5 nodes at rest run {real_time:,.0f} times as fast as real ones")
    _keep("simulator", figures)
    if is_compiled():
        assert medians["engine, events"] >= LOOP_RATIO_MIN * medians["heapq loop"]
        assert medians["engine, messages"] >= STORE_RATIO_MIN * stores
        assert medians["nodes, inputs (5)"] >= NODE_RATIO_MIN * stores
        assert real_time >= SMALL_REAL_TIME_MIN


@pytest.mark.timeout(900)
def test_a_thousand_nodes_run_faster_than_real_ones(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, float]] = []
    for count in (10, 50, 200, LARGE_NODES):
        start = time.perf_counter()
        cluster = _started(count)
        joined_s = time.perf_counter() - start
        joined_inputs = cluster.inputs
        cluster.run_until(cluster.engine.now + LARGE_SECONDS)
        taken_s = time.perf_counter() - start
        inputs = cluster.inputs - joined_inputs
        del cluster
        rows.append(
            {
                "nodes": count,
                "joining_s": joined_s,
                "joining_inputs": joined_inputs,
                "whole_s": taken_s,
                "inputs_at_rest_per_s": inputs / (taken_s - joined_s),
                "bytes_per_node": _bytes_per_node(count),
            }
        )
    with capsys.disabled():
        print(f"\n{'nodes':>6}{'joining s':>11}{'inputs':>11}{'60 s in':>9}{'inputs/s':>10}{'kB/node':>9}")
        for row in rows:
            first = f"{row['nodes']:>6}{row['joining_s']:>11.2f}{row['joining_inputs']:>11,}"
            rest = f"{row['inputs_at_rest_per_s']:>10,.0f}{row['bytes_per_node'] / 1000:>9.0f}"
            print(f"{first}{row['whole_s']:>9.2f}{rest}")
    _keep("simulator-growth", rows)
    if is_compiled():
        assert rows[-1]["whole_s"] < LARGE_SECONDS, "a thousand nodes run faster than real ones"
        # What all nodes share weighs on few of them.
        assert max(row["bytes_per_node"] for row in rows[1:]) < BYTES_PER_NODE_MAX

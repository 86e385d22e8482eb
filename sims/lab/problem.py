"""A scheduling problem: a graph, the workers that run it, the network between them, and what is known before.

Clusters of workers are described in JSON, ``"format": "swarm-clusters", "version": 1``; the usual ones lie
beside this module in clusters.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Final

from sims.workload.graph import GraphBuilder, TaskGraph
from swarm.core.errors import ConfigError, GraphError

MIB: Final = 1_048_576
NETWORKS: Final = ("maxmin", "simple")
IMODES: Final = ("exact", "user", "mean")
CLUSTERS_FILE: Final = Path(__file__).with_name("clusters.json")


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A machine that runs tasks.

    Attributes:
        cpus: cores, > 0.
        speed: run times are divided by it, > 0.
        up_bytes_s, down_bytes_s: rates at which it sends and receives, > 0; infinity for no limit.
    """

    cpus: float = 1
    speed: float = 1.0
    up_bytes_s: float = 128.0 * MIB
    down_bytes_s: float = 128.0 * MIB

    def __post_init__(self) -> None:
        for name in ("cpus", "speed"):
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise ConfigError(f"{name} of a worker is {value}, it must be > 0")
        for name in ("up_bytes_s", "down_bytes_s"):
            value = getattr(self, name)
            if not value > 0:
                raise ConfigError(f"{name} of a worker is {value}, it must be > 0")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a policy has to solve.

    Attributes:
        graph: with the true run times and sizes.
        workers: at least one; every task fits at least one of them.
        network: "maxmin" shares bandwidth and limits concurrent downloads, "simple" has no contention.
        bandwidth_bytes_s: rate between two workers that policies are told of, > 0; 0 for the mean of the
            workers' rates.
        factors: factors on run times by task and worker, for unrelated machines; empty for none.
        imode: what policies are told: "exact" the true values, "user" the expected ones, "mean" one mean
            run time and one mean size for all.
        least_gap_s: least time between two decisions of a policy, >= 0 (Estee's minimal scheduling delay).
        delay_s: from an event to the arrival of the decisions that it led to, >= 0.
    """

    graph: TaskGraph
    workers: Sequence[Worker]
    network: str = "maxmin"
    bandwidth_bytes_s: float = 0.0
    factors: Sequence[Sequence[float]] = field(default=())
    imode: str = "exact"
    least_gap_s: float = 0.0
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.workers:
            raise ConfigError("a problem needs at least one worker")
        if self.network not in NETWORKS:
            raise ConfigError(f"the network {self.network!r} is not known; known are {', '.join(NETWORKS)}")
        if self.imode not in IMODES:
            raise ConfigError(f"the imode {self.imode!r} is not known; known are {', '.join(IMODES)}")
        for name in ("bandwidth_bytes_s", "least_gap_s", "delay_s"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise ConfigError(f"{name} is {value}, it must be at least 0")
        widest = max([worker.cpus for worker in self.workers])
        for task, cpus in enumerate(self.graph.cpus):
            if cpus > widest:
                raise GraphError(
                    f"{self.graph.name}: task {task} needs {cpus} cpus, the largest worker has {widest}"
                )
        rows = len(self.factors)
        if rows and (rows != len(self.graph) or any(len(row) != len(self.workers) for row in self.factors)):
            raise ConfigError("factors must have one row for each task, with one factor for each worker")

    def run_s(self, task: int, worker: int) -> float:
        """Return the true run time of a task on a worker, seconds."""
        return self.scaled_s(self.graph.durations_s[task], task, worker)

    def scaled_s(self, duration_s: float, task: int, worker: int) -> float:
        """Return how long a task runs on a worker that takes `duration_s` on a core of speed 1."""
        run_s = duration_s / self.workers[worker].speed
        return run_s * self.factors[task][worker] if self.factors else run_s

    def told_bandwidth_bytes_s(self) -> float:
        """Return the rate between two workers that policies are told of."""
        if self.bandwidth_bytes_s > 0:
            return self.bandwidth_bytes_s
        return fmean([min(worker.up_bytes_s, worker.down_bytes_s) for worker in self.workers])

    def told_graph(self) -> TaskGraph:
        """Return the graph as policies see it: with the run times and sizes that `imode` lets them know.

        It is theirs: what a policy changes in it changes nothing that happens.
        """
        graph = self.graph
        if self.imode == "exact":
            return graph.with_durations(graph.durations_s)
        durations_s = graph.expected_durations_s
        sizes_bytes = graph.expected_sizes_bytes
        if self.imode == "mean":
            durations_s = [fmean(graph.durations_s)] * len(graph)
            sizes_bytes = [round(fmean(graph.sizes_bytes or [0]))] * len(graph.producers)
        builder = GraphBuilder(graph.name, graph.family, graph.source)
        for task in range(len(graph)):
            builder.add(
                graph.task_names[task],
                durations_s[task],
                [graph.reference(item) for item in graph.inputs[task]],
                [sizes_bytes[item] for item in graph.outputs[task]],
                graph.cpus[task],
            )
        return builder.build()


def named_workers(name: str, bandwidth_mib_s: float, path: str | Path = CLUSTERS_FILE) -> list[Worker]:
    """Return the workers of a cluster by name.

    Args:
        name: of a cluster in the file.
        bandwidth_mib_s: rate of workers without rates of their own, MiB/s, > 0.
        path: the file.

    Raises:
        ConfigError: the file cannot be read or is wrong, or has no cluster of this name.
    """
    clusters = _read_clusters(path)
    rows = clusters.get(name)
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"{path}: the cluster {name!r} is not known; known are {', '.join(clusters)}")
    workers: list[Worker] = []
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise ConfigError(f"{path}: {name}: worker {number} is {row!r}, it must be an object")
        try:
            workers.append(
                Worker(
                    cpus=_value(row, "cpus", 1),
                    speed=_value(row, "speed", 1.0),
                    up_bytes_s=_value(row, "up_mib_s", bandwidth_mib_s) * MIB,
                    down_bytes_s=_value(row, "down_mib_s", bandwidth_mib_s) * MIB,
                )
            )
        except ConfigError as error:
            raise ConfigError(f"{path}: {name}: worker {number}: {error}") from None
    return workers


def _read_clusters(path: str | Path) -> Mapping[str, object]:
    try:
        document: object = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if not isinstance(document, Mapping) or document.get("format") != "swarm-clusters":
        raise ConfigError(f"{path}: a file of clusters has the format 'swarm-clusters'")
    if document.get("version") != 1:
        raise ConfigError(f"{path}: version is {document.get('version')!r}, this program reads 1")
    clusters = document.get("clusters")
    if not isinstance(clusters, Mapping):
        raise ConfigError(f"{path}: clusters must be an object")
    return clusters


def _value(row: Mapping[str, object], key: str, default: float) -> float:
    value = row.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{key} is {value!r}, it must be a number")
    return value

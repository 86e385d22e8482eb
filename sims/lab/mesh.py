"""A problem run by a whole simulated mesh: swarm's own placement with all that the protocol costs.

The same workers and rates as in the ideal model, but real nodes: they elect a leader, which learns run times
from what has ended; orders, results and gossip travel with latency, objects through the shared network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from sims.client import SimulatedClient
from sims.cluster import Cluster
from sims.host import Host
from sims.lab.policy import PolicyError
from sims.lab.problem import Problem
from sims.network import Network, NetworkConfig
from sims.network.topology import Topology
from sims.observer import Observer
from sims.settings import HostSpec, NodeSettings
from sims.trace import Trace
from sims.workload.convert import job_part_of_graph
from swarm.core.effects import ExecutorTask
from swarm.core.errors import ConfigError
from swarm.core.rng import Rng
from swarm.scheduler.config import SchedulerConfig

FORM_LIMIT_S: Final = 120.0
OVERHEAD_FACTOR: Final = 20.0
LEAST_LIMIT_S: Final = 600.0
_STEP_S: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class MeshOutcome:
    """How a run went. Times count from the submission.

    Attributes:
        makespan_s: when the last task ended on its executor.
        told_s: when the client knew that the job was done.
        formed_s: how long the mesh took to form before.
        began_s, ended_s, workers: of the last run of each task.
        attempts: runs given out; more than tasks when some ran twice or were taken back.
        packets, packet_bytes: datagrams sent by all nodes meanwhile, and their payload.
        stream_bytes: messages sent by all nodes meanwhile.
    """

    makespan_s: float
    told_s: float
    formed_s: float
    began_s: list[float]
    ended_s: list[float]
    workers: list[int]
    attempts: int
    packets: int
    packet_bytes: int
    stream_bytes: int


@final
class _Runs(Observer):
    """Notes where and when tasks ran."""

    def __init__(self, count: int) -> None:
        self.began_s = [-1.0] * count
        self.ended_s = [-1.0] * count
        self.workers = [-1] * count

    def on_task(self, host: Host, task: ExecutorTask, begin_s: float, end_s: float, how: str) -> None:
        if how == "done":
            self.began_s[task.task] = begin_s
            self.ended_s[task.task] = end_s
            self.workers[task.task] = host.index


def run_on_mesh(
    problem: Problem,
    seed: str = "0",
    settings: NodeSettings | None = None,
    network: NetworkConfig | None = None,
    limit_s: float = 0.0,
) -> MeshOutcome:
    """Run a problem's graph as one job on a mesh with one node for each worker.

    Args:
        problem: its `network`, `imode`, `least_gap_s` and `delay_s` do not apply: the mesh has its own ways.
        seed: decides everything that is random.
        settings: of the nodes; the scheduler is told the problem's bandwidth when left out.
        network: latency and loss; a wired LAN when left out. Rates are those of the workers.
        limit_s: how long the job may take; 0 for twenty times what its work or its longest path asks for.

    Raises:
        ConfigError: the problem has factors by task and worker, which hosts do not know.
        PolicyError: the mesh did not form, or the job did not end in time or failed.
    """
    if problem.factors:
        raise ConfigError("hosts have a speed, and no factors by task; use a problem without factors")
    cluster = _cluster_of(problem, seed, settings, NetworkConfig() if network is None else network)
    for index in range(len(cluster.hosts)):
        cluster.start(index)
    formed_s = cluster.wait_converged(FORM_LIMIT_S)
    if formed_s < 0:
        raise PolicyError(f"the mesh did not form within {FORM_LIMIT_S:g} s")
    runs = _Runs(len(problem.graph))
    cluster.observers.append(runs)
    begin_s = cluster.engine.now
    packets, packet_bytes = cluster.network.packets, cluster.network.bytes
    stream_bytes = sum(cluster.network.stream_bytes)
    client = SimulatedClient(cluster, f"{seed}:{problem.graph.name}", job_part_of_graph(problem.graph), 0)
    if not client.wait_final(limit_s or _limit_s(problem), _STEP_S) or client.state != "done":
        raise PolicyError(
            f"{problem.graph.name}: the job is {client.state or 'not accepted'} after "
            f"{cluster.engine.now - begin_s:g} s, {client.counts[1]} of {len(problem.graph)} tasks done "
            f"{client.reason}"
        )
    return MeshOutcome(
        makespan_s=max(runs.ended_s) - begin_s,
        told_s=cluster.engine.now - begin_s,
        formed_s=formed_s,
        began_s=[when - begin_s for when in runs.began_s],
        ended_s=[when - begin_s for when in runs.ended_s],
        workers=runs.workers,
        attempts=client.attempts,
        packets=cluster.network.packets - packets,
        packet_bytes=cluster.network.bytes - packet_bytes,
        stream_bytes=sum(cluster.network.stream_bytes) - stream_bytes,
    )


def _cluster_of(problem: Problem, seed: str, settings: NodeSettings | None, config: NetworkConfig) -> Cluster:
    count = len(problem.workers)
    topology = Topology(count)
    topology.up_bytes_s = [worker.up_bytes_s for worker in problem.workers]
    topology.down_bytes_s = [worker.down_bytes_s for worker in problem.workers]
    specs = [
        HostSpec(name=f"n{index}", cores=float(worker.cpus), speed=worker.speed)
        for index, worker in enumerate(problem.workers)
    ]
    if settings is None:
        settings = NodeSettings(scheduler=SchedulerConfig(bandwidth_bytes_s=problem.told_bandwidth_bytes_s()))
    network = Network(config, count, Rng(f"{seed}:network"), topology)
    return Cluster(specs, seed, network, Trace(), settings)


def _limit_s(problem: Problem) -> float:
    graph = problem.graph
    slowest = min([worker.speed for worker in problem.workers])
    power = sum([worker.cpus for worker in problem.workers]) * slowest
    rate = min([min(worker.up_bytes_s, worker.down_bytes_s) for worker in problem.workers])
    moved_s = sum(graph.sizes_bytes) / rate
    needed_s = graph.work_s() / power + graph.critical_path_s() / slowest + moved_s
    return LEAST_LIMIT_S + OVERHEAD_FACTOR * needed_s

"""Random faults over a job: everything that happens is decided by the seed.

A mesh of 2 to 7 nodes gets a tree of tasks; while it runs, nodes are killed (with and without their power),
started again, cut apart and joined. Then everything is healed and started, and the job must end with the
answer of an undisturbed run, every node must list all others and follow one leader, and every invariant
must hold. Safety first, then liveness, as in TigerBeetle's simulator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sims.client import SimulatedClient, simulated_task
from sims.cluster import Cluster, simple_cluster
from sims.network import NetworkConfig
from sims.trace import Trace
from swarm.core.rng import Rng
from swarm.wire.job_part import JobPart, TaskSpec

LEVELS: Final = 6
STEPS: Final = 12
JOIN_LIMIT_S: Final = 30.0
END_LIMIT_S: Final = 60.0
HEAL_LIMIT_S: Final = 20.0
LARGE_BYTES: Final = 200_000


@dataclass(frozen=True)
class FaultReport:
    """What came of a run. A dataclass, because it is sent between processes and compiled records cannot be.

    Attributes:
        seed: which run.
        problem: "" when all is well, else what is wrong.
        faults: the faults injected, for people.
        attempts: executions the last leader knows of.
        digest: of the whole trace.
    """

    seed: int
    problem: str
    faults: list[str]
    attempts: int
    digest: str


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
    cluster = simple_cluster(1, "undisturbed", NetworkConfig())
    cluster.start(0)
    assert cluster.wait_converged(JOIN_LIMIT_S) >= 0, "a lone node leads itself"
    client = SimulatedClient(cluster, "job", tree_job(LEVELS, size_bytes), 0)
    assert client.wait_final(END_LIMIT_S), "an undisturbed job ends"
    return result_digest(client)


def result_digest(client: SimulatedClient) -> bytes:
    """Return the digest of the one result that a client has, b"" when it has none."""
    for completion in client.results.values():
        if completion.outputs is not None:
            return completion.outputs[0].digest
    return b""


def run_faults(seed: int) -> FaultReport:
    """Run the scenario of a seed."""
    rng = Rng(f"faults:{seed}")
    count = 2 + rng.below(6)
    network = NetworkConfig(loss=rng.choose([0.0, 0.0, 0.05, 0.2]))
    cluster = simple_cluster(count, str(seed), network, rng.choose([1.0, 2.0, 4.0]), Trace())
    for index in range(count):
        cluster.start(index)
    faults: list[str] = []
    if cluster.wait_converged(JOIN_LIMIT_S) < 0:
        return FaultReport(seed, "the nodes did not find each other", faults, 0, cluster.trace.digest())
    size_bytes = rng.choose([10, 10, LARGE_BYTES])
    client = SimulatedClient(cluster, "job", tree_job(LEVELS, size_bytes), rng.below(count))
    problem = ""
    try:
        for _ in range(STEPS):
            client.poll()
            cluster.run_until(cluster.engine.now + rng.uniform(0.05, 0.6))
            _check(cluster)
            _inject(cluster, client, rng, faults)
        problem = _heal_and_judge(cluster, client, size_bytes)
    except AssertionError as error:
        problem = f"an invariant broke: {error}"
    return FaultReport(seed, problem, faults, client.attempts, cluster.trace.digest())


def _inject(cluster: Cluster, client: SimulatedClient, rng: Rng, faults: list[str]) -> None:
    if rng.unit() < 0.5:
        return
    running = [host.index for host in cluster.hosts if host.node is not None]
    down = [host.index for host in cluster.hosts if host.node is None]
    kind = rng.below(5)
    when = f"{cluster.engine.now:.2f} s"
    if kind <= 1 and running and client.accepted:
        victim = rng.choose(running)
        cluster.kill(victim, kind == 1)
        faults.append(f"{when} {'power off' if kind else 'kill'} {victim}")
    elif kind == 2 and down:
        victim = rng.choose(down)
        cluster.start(victim, [(victim + 1) % len(cluster.hosts)])
        faults.append(f"{when} start {victim}")
    elif kind == 3:
        order = list(range(len(cluster.hosts)))
        rng.shuffle(order)
        size = 1 + rng.below(len(order) - 1)
        cluster.network.partition([order[:size], order[size:]])
        cluster.cut_links()
        faults.append(f"{when} cut off {order[:size]}")
    elif kind == 4:
        cluster.network.heal()
        faults.append(f"{when} heal")


def _check(cluster: Cluster) -> None:
    for node in cluster.running():
        node.check_invariants()


def _heal_and_judge(cluster: Cluster, client: SimulatedClient, size_bytes: int) -> str:
    cluster.network.heal()
    for host in cluster.hosts:
        if host.node is None:
            cluster.start(host.index, [(host.index + 1) % len(cluster.hosts)])
    has_ended = client.wait_final(END_LIMIT_S)
    if cluster.wait_converged(HEAL_LIMIT_S) < 0:
        return f"no agreement {HEAL_LIMIT_S:g} s after healing; leaders {cluster.leaders()}"
    _check(cluster)
    if not has_ended:
        return f"the job did not end: {client.state} {client.counts} {client.reason} {client.refused}"
    if client.state != "done":
        return f"the job ended as {client.state}: {client.reason}"
    if result_digest(client) != undisturbed_digest(size_bytes):
        return "the answer is not that of an undisturbed run"
    return ""

"""Cases: one run of one policy on one problem, described by plain values, so that it can go to any process.

A case is a mapping of texts and numbers (see :class:`Case`); :func:`run_case` runs it and returns a
flat dict with the case and what came of it. Files and policies' classes travel by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from sims.lab.ideal import IdealRun
from sims.lab.policies import make_policy
from sims.lab.problem import CLUSTERS_FILE, MIB, Problem, Worker, named_workers
from sims.workload.generators import generate, worker_factors
from sims.workload.graph import TaskGraph
from sims.workload.graph_file import read_graph
from sims.workload.noise import Noise, with_noise
from swarm.core.errors import ConfigError

ANNOUNCED_MIB_S: Final = 60.0
MESH: Final = "mesh"
"""The policy that stands for a whole simulated mesh."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run, in plain values.

    Attributes:
        policy: by name, or ``file.py:Class``; or "mesh", swarm's own placement on a whole simulated mesh.
        graph: a file of a task graph; or
        generator, parameters, graph_seed: a generated one (`sims.workload.generators.generate`).
        cluster: a name of `clusters`, a file in the format of `sims.lab.problem`.
        bandwidth_mib_s: of workers without rates of their own, and what policies are told; 0 tells them the
            workers' mean.
        network: "maxmin" or "simple".
        imode, least_gap_s, delay_s: see `sims.lab.problem.Problem`.
        noise: of run times; keys of `sims.workload.noise.Noise`.
        heterogeneity: of unrelated workers, 0 to 2 (`sims.workload.generators.worker_factors`).
        seed: of the policy's choices, the noise and the heterogeneity.
        folder: where relative files are looked for.
    """

    policy: str = "heft"
    graph: str = ""
    generator: str = ""
    parameters: Mapping[str, float] = field(default_factory=dict)
    graph_seed: int = 0
    cluster: str = "16x4"
    clusters: str = str(CLUSTERS_FILE)
    bandwidth_mib_s: float = 128.0
    network: str = "maxmin"
    imode: str = "exact"
    least_gap_s: float = 0.0
    delay_s: float = 0.0
    noise: Mapping[str, Any] = field(default_factory=dict)
    heterogeneity: float = 0.0
    seed: int = 0
    folder: str = "."

    def __post_init__(self) -> None:
        if bool(self.graph) == bool(self.generator):
            raise ConfigError(
                f"graph is {self.graph!r} and generator {self.generator!r}; give exactly one of them"
            )


def case_of(values: Mapping[str, Any]) -> Case:
    """Return the case that a mapping describes.

    Raises:
        ConfigError: an unknown key, or a case without a graph.
    """
    known = [entry.name for entry in fields(Case)]
    for key in values:
        if key not in known:
            raise ConfigError(f"the key {key!r} of a case is not known; known are {', '.join(known)}")
    return Case(**values)


def problem_of(case: Case) -> Problem:
    """Return the problem of a case.

    Raises:
        ConfigError, GraphError: a file cannot be read, or a value is impossible; names it.
    """
    graph = _graph_of(case)
    workers = _workers_of(case)
    factors = worker_factors(graph, len(workers), case.heterogeneity, case.seed) if case.heterogeneity else ()
    return Problem(
        graph=with_noise(graph, _noise_of(case), str(case.seed)),
        workers=workers,
        network=case.network,
        bandwidth_bytes_s=case.bandwidth_mib_s * MIB,
        factors=factors,
        imode=case.imode,
        least_gap_s=case.least_gap_s,
        delay_s=case.delay_s,
    )


def run_case(values: Mapping[str, Any]) -> dict[str, Any]:
    """Run a case; return its values, the graph's name, and what came of it.

    Keys of the outcome: `makespan_s`; `bound_s`, a lower bound on it; `slr`, the makespan divided by the
    critical path on the fastest workers (schedule length ratio, HEFT paper section 5.2); `speedup` over
    running everything on the best single worker's one core. Of a policy also `downloads`, `moved_bytes`,
    `decisions` and `stale` (`sims.lab.ideal.IdealOutcome`), of a mesh `told_s`, `formed_s`, `attempts`,
    `packets`, `packet_bytes` and `stream_bytes` (`sims.lab.mesh.MeshOutcome`).

    Raises:
        ConfigError, GraphError, PolicyError: the case is impossible; says why.
    """
    case = case_of(values)
    problem = problem_of(case)
    found = _run_mesh(case, problem) if case.policy == MESH else _run_policy(case, problem)
    makespan_s = found["makespan_s"]
    path_s = critical_path_s(problem)
    return {
        **values,
        "graph": problem.graph.name,
        "bound_s": max(path_s, work_bound_s(problem)),
        "slr": makespan_s / path_s if path_s else 0.0,
        "speedup": serial_s(problem) / makespan_s if makespan_s else 0.0,
        **found,
    }


def run_cases(cases: Sequence[Mapping[str, Any]], processes: int = 1) -> list[dict[str, Any]]:
    """Run cases, perhaps in several processes; results come in the order of the cases.

    Raises:
        ConfigError, GraphError, PolicyError: the first impossible case says why.
    """
    if processes < 1:
        raise ConfigError(f"processes is {processes}, it must be at least 1")
    if processes == 1 or len(cases) < 2:
        return [run_case(case) for case in cases]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(run_case, cases))


def cross(base: Mapping[str, Any], **choices: Iterable[Any]) -> list[dict[str, Any]]:
    """Return every combination of some choices, each added to `base`; the last choice varies fastest.

    For example ``cross({"cluster": "8x4"}, policy=["heft", "etf"], graph=files, seed=range(10))``.
    """
    cases: list[dict[str, Any]] = [dict(base)]
    for key, values in choices.items():
        listed = list(values)
        cases = [{**case, key: value} for case in cases for value in listed]
    return cases


def critical_path_s(problem: Problem) -> float:
    """Return the longest path, every task on the worker that runs it fastest, transfers left out."""
    graph = problem.graph
    ends_s = [0.0] * len(graph)
    for task in range(len(graph)):
        fastest_s = min(
            [
                problem.run_s(task, number)
                for number, worker in enumerate(problem.workers)
                if worker.cpus >= graph.cpus[task]
            ]
        )
        ends_s[task] = fastest_s + max([ends_s[parent] for parent in graph.parents(task)], default=0.0)
    return max(ends_s)


def work_bound_s(problem: Problem) -> float:
    """Return the core seconds of the graph over all cores times their speeds: no makespan is below it.

    With factors by task and worker, every task counts with its smallest.
    """
    graph = problem.graph
    power = sum([worker.cpus * worker.speed for worker in problem.workers])
    work_s = 0.0
    for task in range(len(graph)):
        least = min(problem.factors[task]) if problem.factors else 1.0
        work_s += graph.durations_s[task] * graph.cpus[task] * least
    return work_s / power


def serial_s(problem: Problem) -> float:
    """Return the time of all tasks in turn on the worker that is best for that (HEFT paper, 5.2)."""
    count = len(problem.graph)
    return min(
        [
            sum([problem.run_s(task, worker) for task in range(count)])
            for worker in range(len(problem.workers))
        ]
    )


def _run_policy(case: Case, problem: Problem) -> dict[str, Any]:
    policy = make_policy(case.policy, case.folder)
    outcome = IdealRun(problem, policy, str(case.seed), case.policy).run()
    return {
        "makespan_s": outcome.makespan_s,
        "downloads": outcome.downloads,
        "moved_bytes": outcome.moved_bytes,
        "decisions": outcome.decisions,
        "stale": outcome.stale,
    }


def _run_mesh(case: Case, problem: Problem) -> dict[str, Any]:
    # Most comparisons need no nodes, and their processes load faster without them.
    from sims.lab.mesh import run_on_mesh

    outcome = run_on_mesh(problem, str(case.seed))
    return {
        "makespan_s": outcome.makespan_s,
        "told_s": outcome.told_s,
        "formed_s": outcome.formed_s,
        "attempts": outcome.attempts,
        "packets": outcome.packets,
        "packet_bytes": outcome.packet_bytes,
        "stream_bytes": outcome.stream_bytes,
    }


def _graph_of(case: Case) -> TaskGraph:
    if case.graph:
        return read_graph(Path(case.folder) / case.graph)
    return generate(case.generator, case.parameters, case.graph_seed)


def _workers_of(case: Case) -> list[Worker]:
    rate = case.bandwidth_mib_s if case.bandwidth_mib_s > 0 else ANNOUNCED_MIB_S
    return named_workers(case.cluster, rate, Path(case.folder) / case.clusters)


def _noise_of(case: Case) -> Noise:
    known = [entry.name for entry in fields(Noise)]
    for key in case.noise:
        if key not in known:
            raise ConfigError(f"the key {key!r} of noise is not known; known are {', '.join(known)}")
    return Noise(**case.noise)

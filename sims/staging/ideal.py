"""The jobs of a scenario in the ideal model: a policy places, and only run times and bandwidths count."""

from __future__ import annotations

from typing import Final, final

from sims.lab.ideal import IdealRun
from sims.lab.policies import make_policy
from sims.lab.problem import Problem, Worker
from sims.recording.rows import Event, JobRun, TaskRun
from sims.recording.tasks import with_lanes
from sims.scenario.model import Scenario
from sims.staging.jobs import PlannedJob, planned_jobs
from swarm.core.errors import ConfigError


@final
class IdealStage:
    """Runs every job by itself, each from its arrival on.

    Args:
        scenario: with a policy.

    Attributes:
        tasks, jobs: what happened.
        seconds: when the last job ended.
        counts: downloads, bytes moved, decisions.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario: Final = scenario
        self._workers: Final = workers_of(scenario)
        self.tasks: list[TaskRun] = []
        self.jobs: list[JobRun] = []
        self.seconds = 0.0
        self.counts: Final = {"downloads": 0, "moved_bytes": 0, "decisions": 0}

    def run(self) -> None:
        """Run all jobs.

        Raises:
            PolicyError: the policy cannot be loaded, or decided something impossible.
        """
        for number, plan in enumerate(planned_jobs(self._scenario)):
            self._run(number, plan)
        self.tasks = with_lanes(self.tasks)

    def rows(self) -> list[Event]:
        """Return the rows of the trace, by time."""
        found: list[Event] = []
        for run in self.tasks:
            detail = f"{run.name} job {run.job} task {run.task} attempt 1 from {run.begin_s:.6f}"
            found.append(Event(run.end_s, run.host, "task_done", -1, 0, detail))
        return sorted(found)

    def _run(self, number: int, plan: PlannedJob) -> None:
        settings = self._scenario.policy
        graph = plan.graph()
        problem = Problem(
            graph=graph,
            workers=self._workers,
            network=settings.network,
            bandwidth_bytes_s=0.0,
            imode=settings.imode,
            least_gap_s=settings.least_gap_s,
            delay_s=settings.delay_s,
        )
        policy = make_policy(settings.placement)
        result = IdealRun(problem, policy, f"{self._scenario.seed}:{number}", settings.placement).run()
        begin_s = plan.time_s
        for task in range(len(graph)):
            began_s, ended_s = begin_s + result.began_s[task], begin_s + result.ended_s[task]
            name = graph.task_names[task]
            worker = result.workers[task]
            self.tasks.append(TaskRun(number, task, 1, name, worker, 0, began_s, ended_s, "done"))
        end_s = begin_s + result.makespan_s
        count = len(graph)
        self.jobs.append(
            JobRun(plan.name, count, begin_s, begin_s, end_s, end_s, "done", "", count, 0, count)
        )
        self.seconds = max(self.seconds, end_s)
        self.counts["downloads"] += result.downloads
        self.counts["moved_bytes"] += result.moved_bytes
        self.counts["decisions"] += result.decisions


def workers_of(scenario: Scenario) -> list[Worker]:
    """Return the hosts of a scenario as workers of the ideal model.

    Raises:
        ConfigError: a host has no cores, which no worker may have.
    """
    topology = scenario.topology()
    rate = scenario.network.bandwidth_bytes_s
    found: list[Worker] = []
    for spec in [spec for group in scenario.groups() for spec in group.specs(str(scenario.seed))]:
        number = len(found)
        up = rate if topology is None else topology.up_bytes_s[number] or rate
        down = rate if topology is None else topology.down_bytes_s[number] or rate
        try:
            worker = Worker(cpus=spec.cores, speed=spec.speed, up_bytes_s=up, down_bytes_s=down)
        except ConfigError as error:
            raise ConfigError(f"host {spec.name}: {error}") from None
        found.append(worker)
    return found

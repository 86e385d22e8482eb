"""The jobs of a scenario: clients submit them at their times, and follow them to their end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, final

from sims.client import SimulatedClient
from sims.cluster import Cluster
from sims.recording.rows import NEVER, Event, JobRun
from sims.recording.tasks import TaskRecorder
from sims.scenario.model import Scenario, graph_of
from sims.scenario.parts import Workload
from sims.scenario.toml_lines import Path
from sims.staging.agenda import Agenda
from sims.workload.convert import job_part_of_graph
from sims.workload.graph import TaskGraph
from sims.workload.noise import with_noise
from swarm.core.rng import Rng

POLL_S: Final = 0.05


class PlannedJob(NamedTuple):
    """A job that will be submitted.

    Attributes:
        name: of the job.
        base: its graph, without noise.
        time_s: when.
        workload: that it belongs to.
        turn: which one of the workload it is, from 0.
        noise_seed: of its noise.
    """

    name: str
    base: TaskGraph
    time_s: float
    workload: Workload
    turn: int
    noise_seed: str

    def graph(self) -> TaskGraph:
        """Return its graph with noise on the run times."""
        return with_noise(self.base, self.workload.noise, self.noise_seed)


@final
class _Job:
    """One job and its client."""

    def __init__(self, plan: PlannedJob) -> None:
        self.plan: Final = plan
        self.client: SimulatedClient | None = None
        self.submitted_s = NEVER
        self.accepted_s = NEVER
        self.ended_s = NEVER


@final
class Jobs:
    """Submits jobs and follows them.

    Args:
        cluster: where.
        scenario: whose workloads.
        agenda: where arrivals are noted.
        tasks: learns which job is which.
        choose: returns hosts for a word of a scenario (`Actor.choose`).

    Attributes:
        events: rows for the trace since they were taken last.
    """

    def __init__(
        self,
        cluster: Cluster,
        scenario: Scenario,
        agenda: Agenda,
        tasks: TaskRecorder,
        choose: Callable[[str, Rng], list[int]],
    ) -> None:
        self._cluster: Final = cluster
        self._scenario: Final = scenario
        self._agenda: Final = agenda
        self._tasks: Final = tasks
        self._choose: Final = choose
        self._jobs: Final[list[_Job]] = []
        self._following: dict[int, _Job] = {}
        self._is_polling = False
        self._to_come = 0
        self.events: list[Event] = []

    def plan(self) -> None:
        """Note all arrivals in the agenda; those after the end of the run do not happen."""
        for number, plan in enumerate(planned_jobs(self._scenario)):
            self._jobs.append(_Job(plan))
            if plan.time_s <= self._scenario.seconds:
                self._to_come += 1
                self._agenda.note(plan.time_s, partial(self._submit, number))

    def are_over(self) -> bool:
        """Return whether all jobs came and ended."""
        return not self._to_come and not self._following

    def rows(self) -> list[JobRun]:
        """Return all jobs, in the order of the workloads and of their arrival."""
        found: list[JobRun] = []
        for number, job in enumerate(self._jobs):
            client = job.client
            counts = [0, 0, 0, 0] if client is None else client.counts
            found.append(
                JobRun(
                    job.plan.name,
                    len(job.plan.base),
                    job.submitted_s,
                    job.accepted_s,
                    job.ended_s,
                    self._tasks.last_s(number),
                    "" if client is None else ("refused" if client.refused else client.state),
                    "" if client is None else (client.refused or client.reason),
                    counts[1],
                    counts[2],
                    0 if client is None else client.attempts,
                )
            )
        return found

    def _submit(self, number: int, now: float) -> None:
        self._to_come -= 1
        job = self._jobs[number]
        rng = Rng(f"{self._scenario.seed}:client:{number}")
        hosts = self._choose(job.plan.workload.at, rng)
        running = [host for host in hosts if self._cluster.hosts[host].node is not None]
        candidates = running or hosts or [0]
        attached = candidates[job.plan.turn % len(candidates)]
        part = job_part_of_graph(job.plan.graph())
        job.client = SimulatedClient(self._cluster, f"{self._scenario.seed}:job:{number}", part, attached)
        job.submitted_s = now
        self._tasks.numbers[job.client.job] = number
        self._following[number] = job
        self.events.append(Event(now, attached, "job_submitted", -1, 0, f"job {number} {job.plan.name}"))
        job.client.poll()
        if not self._is_polling:
            self._is_polling = True
            self._agenda.note(now + POLL_S, self._poll)

    def _poll(self, now: float) -> None:
        for number, job in list(self._following.items()):
            client = job.client
            assert client is not None, "a job that is followed has a client"
            client.poll()
            if client.accepted and job.accepted_s == NEVER:
                job.accepted_s = now
            if client.is_final() or client.refused:
                job.ended_s = now
                del self._following[number]
                client.close()
                text = f"job {number} {client.state or 'refused'}"
                self.events.append(Event(now, client.attached, "job_ended", -1, 0, text))
        self._is_polling = bool(self._following)
        if self._following:
            self._agenda.note(now + POLL_S, self._poll)


def planned_jobs(scenario: Scenario) -> list[PlannedJob]:
    """Return every job of a scenario. All follows from the seed: placements are compared on the same jobs."""
    found: list[PlannedJob] = []
    for place, workload in enumerate(scenario.workloads):
        path: Path = ("workload", place) if len(scenario.workloads) > 1 else ("workload",)
        graph = graph_of(workload, path)
        times = workload.arrivals.times(Rng(f"{scenario.seed}:arrivals:{place}"))
        for turn, time_s in enumerate(times):
            seed = f"{scenario.seed}:{place}:{turn}"
            found.append(PlannedJob(workload.name or graph.name, graph, time_s, workload, turn, seed))
    return found

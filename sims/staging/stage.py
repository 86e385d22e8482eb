"""A scenario set up on a simulated mesh, with everything that watches it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, final

from sims.cluster import Cluster
from sims.network import Network
from sims.observer import Observer
from sims.recording.excuses import Excuses
from sims.recording.leaders import LeaderRecorder
from sims.recording.membership import MembershipRecorder
from sims.recording.rows import Event, Sample
from sims.recording.tasks import TaskRecorder
from sims.recording.traffic import TrafficRecorder
from sims.scenario.mesh import HostNames
from sims.scenario.model import Scenario
from sims.staging.acting import Actor
from sims.staging.agenda import Agenda
from sims.staging.jobs import Jobs
from sims.trace import Trace
from swarm.core.rng import Rng

FAULT: Final = "fault"


@final
class Stage:
    """A scenario, ready to run.

    Args:
        scenario: what happens.
        keeps_rows: whether rows of the trace are kept, until they are taken.
        observers: further ones, told before the stage's own.

    Attributes:
        cluster: the mesh.
        membership, leaders, traffic, tasks, jobs: what is noted.
        samples: the whole mesh from time to time.
    """

    def __init__(self, scenario: Scenario, keeps_rows: bool, observers: Sequence[Observer] = ()) -> None:
        self._scenario: Final = scenario
        self._keeps_rows: Final = keeps_rows
        self.cluster: Final = build_cluster(scenario, keeps_rows)
        count = len(self.cluster.hosts)
        names = HostNames(scenario.groups())
        excuses = Excuses(count)
        self._agenda: Final = Agenda()
        self.membership: Final = MembershipRecorder(excuses)
        self.leaders: Final = LeaderRecorder()
        self.traffic: Final = TrafficRecorder(count, scenario.seconds)
        self.tasks: Final = TaskRecorder()
        own: list[Observer] = [self.membership, self.leaders, self.traffic, self.tasks]
        self.cluster.observers.extend([*observers, *own])
        self._actor: Final = Actor(self.cluster, scenario, names, self._agenda, excuses)
        self.jobs: Final = Jobs(self.cluster, scenario, self._agenda, self.tasks, self._actor.choose)
        self.samples: Final[list[Sample]] = []
        self._on_sample: Callable[[float], None] | None = None
        self._samples_due = 0

    def run(self, on_sample: Callable[[float], None] | None = None) -> None:
        """Run to the end.

        Args:
            on_sample: called with the virtual time after each look at the mesh; may take rows.

        Raises:
            AssertionError: an invariant of a node or of the simulator broke.
        """
        self._on_sample = on_sample
        self._actor.plan()
        self.jobs.plan()
        self._agenda.note(0.0, self._sample)
        self._agenda.run(self.cluster, self._scenario.seconds, self._is_over)
        if self.samples[-1].time_s < self.cluster.engine.now:
            self._look(self.cluster.engine.now)

    def take_rows(self) -> list[Event]:
        """Return and forget the rows of the trace since the last call, by time."""
        # Of one time, causes come first: a fault before the end of the node that it kills.
        rows = self._actor.events
        self._actor.events = []
        # The mesh notes some faults itself; the actor has told them all.
        rows.extend([Event(*row) for row in self.cluster.trace.rows if row[2] != FAULT])
        self.cluster.trace.rows = []
        for recorder in (self.membership, self.leaders, self.tasks, self.jobs):
            rows.extend(recorder.events)
            recorder.events = []
        rows.sort(key=_time_of)
        return rows

    def _is_over(self) -> bool:
        return self._scenario.end == "jobs" and self.jobs.are_over()

    def _sample(self, now: float) -> None:
        self._look(now)
        if not self._keeps_rows:
            # Rows that nobody writes would only take memory.
            for recorder in (self._actor, self.membership, self.leaders, self.tasks, self.jobs):
                recorder.events = []
        self._samples_due += 1
        self._agenda.note(self._samples_due * self._scenario.sample_s, self._sample)

    def _look(self, now: float) -> None:
        leading = self.cluster.leaders()
        running = self.membership.running()
        following = 0
        if len(leading) == 1:
            node_id = self.cluster.hosts[leading[0]].node_id
            for node in self.cluster.running():
                following += node.election.leader() == node_id
        self.samples.append(
            Sample(
                now,
                running,
                self.membership.share(),
                self.membership.suspects(),
                len(leading),
                following / running if running else 0.0,
            )
        )
        if self._on_sample is not None:
            self._on_sample(now)


def build_cluster(scenario: Scenario, keeps_rows: bool = False) -> Cluster:
    """Return the mesh of a scenario, all hosts down and nothing planned."""
    seed = str(scenario.seed)
    specs = [spec for group in scenario.groups() for spec in group.specs(seed)]
    network = Network(scenario.network, len(specs), Rng(f"{seed}:network"), scenario.topology())
    return Cluster(specs, seed, network, Trace(keep=keeps_rows), scenario.node_settings())


def _time_of(row: Event) -> float:
    return row.time_s

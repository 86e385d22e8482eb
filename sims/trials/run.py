"""Running a case: faults under the eyes of the checkers, then the demand that everything promised happens."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from sims.checkers.base import Checker, Truth, Violation
from sims.checkers.ends import EndChecker
from sims.checkers.execution import (
    AttemptChecker,
    CoreChecker,
    HeldChecker,
    ObjectChecker,
    RunChecker,
    VersionChecker,
)
from sims.checkers.leadership import FenceChecker, LeadershipChecker, OrderChecker, PromiseChecker
from sims.checkers.membership import MembershipChecker, RefutationChecker
from sims.checkers.records import RecordChecker, StatusChecker
from sims.checkers.relayed import Unwrapping
from sims.checkers.strict import ConfigurationChecker, HoldChecker, LeaseChecker, MinorityChecker
from sims.checkers.traffic import TrafficChecker
from sims.client import SimulatedClient
from sims.cluster import Cluster
from sims.network import Network
from sims.network.presets import preset
from sims.settings import NodeSettings
from sims.trace import Trace
from sims.trials.acts import Stage
from sims.trials.case import Case, Event, JobPlan
from sims.trials.ending import judge_ending
from sims.trials.jobs import consumers_of, part_of, task_count
from swarm.core.quorums import STRICT
from swarm.core.rng import Rng
from swarm.scheduler.config import SchedulerConfig
from swarm.wire.messages import INLINE_SIZE_MAX

STEP_S: Final = 0.25


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a case.

    Attributes:
        seed, profile: which.
        checker: number of the invariant that broke, "" for none; "core" for an assertion of the cores,
            "crash" for any other exception.
        text: what happened.
        digest: of the trace.
        inputs: that nodes took.
        virtual_s: how long it ran in virtual time.
    """

    seed: int
    profile: str
    checker: str
    text: str
    digest: str
    inputs: int
    virtual_s: float


class Trial:
    """A case under way.

    Attributes:
        case: what happens.
        cluster: the mesh.
        truth: what is known to be true.
        clients: (plan, client) of every job submitted so far.
        was_calm: at most one process crashed, and nothing else happened.
    """

    def __init__(self, case: Case) -> None:
        self.case: Final = case
        network = _network_of(case)
        self.cluster: Final = Cluster(
            list(case.hosts), f"trial:{case.seed}", network, Trace(), _settings_of(case)
        )
        self.truth: Final = Truth(self.cluster)
        self.records: Final = RecordChecker(self.truth)
        self.statuses: Final = StatusChecker(self.truth, self.records)
        self.runs: Final = RunChecker(self.truth, self.records)
        self.objects: Final = ObjectChecker(self.truth, self.records)
        self.cores: Final = CoreChecker(self.truth)
        fences = FenceChecker(self.truth)
        self.held: Final = HeldChecker(self.truth, fences)
        self.checkers: Final[list[Checker]] = [
            PromiseChecker(self.truth),
            OrderChecker(self.truth, fences),
            self.held,
            fences,
            LeadershipChecker(self.truth),
            MembershipChecker(self.truth),
            RefutationChecker(self.truth),
            self.records,
            self.statuses,
            EndChecker(self.truth),
            AttemptChecker(self.truth),
            self.runs,
            self.cores,
            VersionChecker(self.truth),
            self.objects,
            TrafficChecker(self.truth),
        ]
        if case.quorum == STRICT:
            self.checkers.append(LeaseChecker(self.truth))
            self.checkers.append(HoldChecker(self.truth))
            self.checkers.append(MinorityChecker(self.truth))
            self.checkers.append(ConfigurationChecker(self.truth))
        self.cluster.observers.append(self.truth)
        self.cluster.observers.append(Unwrapping(self.checkers))
        self.stage: Final = Stage(self.cluster, self.truth, self.records)
        self.clients: Final[list[tuple[JobPlan, SimulatedClient]]] = []
        self.was_calm = False
        self.consumers: Final[dict[tuple[bytes, int], list[int]]] = {}

    def run(self) -> None:
        """Run both phases.

        Raises:
            Violation: an invariant broke.
        """
        for index in range(len(self.case.hosts)):
            self.cluster.start(index)
        self.run_faults()
        judge_ending(self)

    def run_faults(self) -> None:
        """Run the first phase; the nodes have been started.

        Raises:
            Violation: an invariant broke.
        """
        plans = sorted(self.case.jobs, key=_submitted_at)
        cancels = sorted([(plan.at_s + plan.cancel_s, plan) for plan in plans if plan.cancel_s], key=_first)
        events = list(self.case.events)
        while self.cluster.engine.now < self.case.faults_s:
            due = min(
                [self.cluster.engine.now + STEP_S, self.case.faults_s]
                + [event.at_s for event in events[:1]]
                + [plan.at_s for plan in plans[:1]]
            )
            self.step(due)
            while events and events[0].at_s <= self.cluster.engine.now:
                self.stage.act(events.pop(0))
            while plans and plans[0].at_s <= self.cluster.engine.now:
                self.submit(plans.pop(0))
            while cancels and cancels[0][0] <= self.cluster.engine.now:
                self._cancel(cancels.pop(0)[1])

    def step(self, until_s: float) -> None:
        """Let everything happen up to a time, then look around."""
        cluster = self.cluster
        cluster.run_until(max(until_s, cluster.engine.now))
        for checker in self.checkers:
            checker.look(cluster.engine.now)
        for _, client in self.clients:
            client.poll()

    def act(
        self,
        kind: str,
        targets: tuple[int, ...] = (),
        value: float = 0.0,
        groups: tuple[tuple[int, ...], ...] = (),
    ) -> None:
        """Do something now."""
        now = self.cluster.engine.now
        self.stage.act(Event(at_s=now, kind=kind, targets=targets, value=value, groups=groups))

    def submit(self, plan: JobPlan) -> SimulatedClient:
        """Submit a job; return the client that follows it."""
        name = f"{self.case.seed}:{len(self.clients)}"
        client = SimulatedClient(self.cluster, name, part_of(plan), plan.host)
        assert client.job == blake2b(name.encode(), digest_size=10).digest(), (
            "a job's id is a digest of its name"
        )
        for task in range(task_count(plan)):
            self.cores.wants[(client.job, task)] = (plan.cpus, plan.memory_bytes)
        for task, consumers in consumers_of(plan).items():
            self.consumers[(client.job, task)] = consumers
            if not (plan.cancel_s or plan.fails or plan.is_random):
                self.objects.consumers[(client.job, task)] = consumers
        if plan.shape == "bag" and plan.size_bytes <= INLINE_SIZE_MAX and not (plan.cancel_s or plan.fails):
            self.runs.plain[client.job] = True
        if plan.is_random:
            self.statuses.random_jobs[client.job] = True
        self.clients.append((plan, client))
        client.poll()
        return client

    def _cancel(self, plan: JobPlan) -> None:
        for other, client in self.clients:
            if other is plan:
                client.cancel()


def run_case(case: Case) -> Verdict:
    """Run a case and say what came of it."""
    trial = Trial(case)
    checker, text = "", ""
    try:
        trial.run()
    except Violation as violation:
        checker, text = violation.checker, violation.text
    except AssertionError as error:
        checker, text = "core", str(error)
    except Exception as error:  # noqa: BLE001  # whatever comes out of a node is a finding, and ends only its trial
        checker, text = "crash", f"{type(error).__name__}: {error}"
    return Verdict(
        seed=case.seed,
        profile=case.profile,
        checker=checker,
        text=text,
        digest=trial.cluster.trace.digest(),
        inputs=trial.cluster.inputs,
        virtual_s=trial.cluster.engine.now,
    )


def _network_of(case: Case) -> Network:
    count = len(case.hosts)
    topology = preset(case.network.topology, count)
    for index in case.nat:
        topology.is_nat[index] = True
    return Network(case.network, count, Rng(f"trial:{case.seed}:network"), topology)


def _settings_of(case: Case) -> NodeSettings:
    if not case.results_ttl_s:
        return NodeSettings(quorum=case.quorum)
    return NodeSettings(scheduler=SchedulerConfig(results_ttl_s=case.results_ttl_s), quorum=case.quorum)


def _submitted_at(plan: JobPlan) -> float:
    return plan.at_s


def _first(item: tuple[float, JobPlan]) -> float:
    return item[0]

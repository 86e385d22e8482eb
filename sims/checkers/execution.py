"""E1 to E5, L6 and S8: attempts, objects, cores; how often a task runs, and on what."""

from __future__ import annotations

from typing import Final

from sims.checkers.base import Checker, Truth
from sims.checkers.frames import ASSIGN, Ballot, kind_of, read
from sims.checkers.records import RecordChecker
from sims.host import Host
from sims.observer import MESSAGE
from swarm.core.effects import DropObject, Effect, ExecutorTask, RunTasks, SendMessage

QUIET_S: Final = 6.0
"""Nobody was in trouble for so long: then a task that runs on two nodes was given out twice."""


STOP_S: Final = 3.0
"""How long the executors of a cancelled job may take to be stopped."""


WORK_S: Final = 0.1
"""A run that is stopped sooner was begun ahead of its turn, and costs nothing."""


class AttemptChecker(Checker):
    """E1 a leader gives a number to one attempt of a task only."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._given: dict[tuple[Ballot, bytes, int, int], bytes] = {}

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if not isinstance(effect, SendMessage) or kind_of(effect.payload) != ASSIGN:
            return
        if host.node_id in self.truth.forgot:
            return
        frame = read(effect.payload)
        for row in frame.body[0]:
            key = (frame.ballot, row[0], row[1], row[2])
            if self._given.setdefault(key, effect.peer) != effect.peer:
                self.fail("E1", f"{self.name(host)} gives attempt {row[2]} of task {row[1]} to a second node")


class RunChecker(Checker):
    """E4 nothing of a cancelled job runs on. E5 a node runs no more at once than its cores.

    L6 no task runs twice at once on nodes that are well; where single processes end and nothing else happens,
    a task runs again only if its run was on one that ended: a new leader takes over what it finds.

    Attributes:
        plain: jobs of tasks that need nothing and succeed with small results, and that nobody cancels. What
            needs another task may have to run again because the other's result is lost.
    """

    def __init__(self, truth: Truth, records: RecordChecker) -> None:
        super().__init__(truth)
        self._records: Final = records
        self._running: dict[tuple[bytes, int], dict[int, float]] = {}
        self.plain: Final[dict[bytes, bool]] = {}
        self._begun: dict[tuple[bytes, int], list[tuple[int, int, float]]] = {}

    def on_task(self, host: Host, task: ExecutorTask, begin_s: float, end_s: float, how: str) -> None:
        if how == "recalled":
            return
        key = (task.job, task.task)
        if task.job in self.plain and end_s - begin_s >= WORK_S:
            self._begun.setdefault(key, []).append((host.index, host.epoch, begin_s))
        self._running.get(key, {}).pop(host.index, None)
        ended_s = self._records.ended.get(task.job, end_s)
        # Whoever died may have taken facts along, and then what is missing runs again.
        is_judged = how == "done" and not self.truth.downs and not self.truth.net_troubled_at
        if is_judged and end_s - ended_s > STOP_S and self._are_well(end_s - ended_s + QUIET_S):
            self.fail(
                "E4",
                f"{self.name(host)} runs task {task.task} to its end, {end_s - ended_s:.1f} s after its job",
            )

    def on_down(self, host: Host, how: str, now: float) -> None:
        for places in self._running.values():
            places.pop(host.index, None)

    def look(self, now: float) -> None:
        self._judge_repeats()
        running: dict[tuple[bytes, int], dict[int, float]] = {}
        for host in self.cluster.hosts:
            busy = 0
            for executor in host.executors.values():
                if executor.queue and host.node is not None:
                    busy += 1
                    task = executor.queue[0]
                    running.setdefault((task.job, task.task), {})[host.index] = executor.begun_s
            if busy > host.spec.cores + host.settings.exec.script_count_max:
                self.fail("E5", f"{self.name(host)} runs {busy} tasks on {host.spec.cores:g} cores")
        self._running = running
        for (job, number), places in running.items():
            if len(places) > 1 and self._began_in_peace(places, now):
                names = ", ".join([self.cluster.hosts[index].spec.name for index in places])
                self.fail("L6", f"task {number} of job {job.hex()[:6]} runs on {names} at once")

    def _judge_repeats(self) -> None:
        """Look at the tasks whose runs ended since the last look, when nodes that were killed are down."""
        if not self.truth.was_calm():
            self._begun = {}
            self.plain.clear()
        for (job, task), places in self._begun.items():
            still = [index for index, epoch, begin_s in places if self._is_there(index, epoch, begin_s)]
            if len(places) > 1 and len(still) == len(places):
                names = ", ".join([self.cluster.hosts[index].spec.name for index in still])
                self.fail("L6", f"task {task} of job {job.hex()[:6]} ran on {names}, all well")

    def _is_there(self, index: int, epoch: int, since_s: float) -> bool:
        """Return whether nothing was done to a process since then; who says goodbye gives its tasks back."""
        host = self.cluster.hosts[index]
        return host.node is not None and host.epoch == epoch and self.truth.troubled_at[index] <= since_s

    def _began_in_peace(self, places: dict[int, float], now: float) -> bool:
        well_s = now - min(places.values()) + QUIET_S
        return all([self.truth.is_well(index, well_s) for index in places]) and not self.truth.stalls

    def _are_well(self, for_s: float) -> bool:
        return all([self.truth.is_well(host.index, for_s) for host in self.cluster.hosts])


class VersionChecker(Checker):
    """S8 a task runs on the versions of its inputs that its order names.

    Orders of a leader to itself are on no cable, so runs on nodes that have led are not judged.
    """

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._ordered: dict[tuple[int, int, bytes, int, int], list[list[bytes | None]]] = {}
        self._has_led: dict[tuple[int, int], bool] = {}

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        if kind != MESSAGE or kind_of(payload) != ASSIGN:
            return
        for row in read(payload).body[0]:
            key = (host.index, host.epoch, row[0], row[1], row[2])
            self._ordered.setdefault(key, []).append([given[2] for given in row[7]])

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, RunTasks):
                if host.node is not None and host.node.election.is_leader():
                    self._has_led[(host.index, host.epoch)] = True
                if (host.index, host.epoch) in self._has_led:
                    return
                for task in effect.tasks:
                    self._judge(host, task)

    def _judge(self, host: Host, task: ExecutorTask) -> None:
        used = [given.digest for given in task.inputs]
        orders = self._ordered.get((host.index, host.epoch, task.job, task.task, task.attempt))
        if orders is None:
            return
        for ordered in orders:
            if all([wanted in (None, digest) for wanted, digest in zip(ordered, used, strict=True)]):
                return
        self.fail("S8", f"{self.name(host)} runs task {task.task} on other inputs than ordered")


class CoreChecker(Checker):
    """E5 again, at every order to an executor: widths of what runs never exceed a node's cores."""

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if isinstance(effect, RunTasks):
            busy = len([executor for executor in host.executors.values() if executor.queue])
            if busy > host.spec.cores:
                self.fail("E5", f"{self.name(host)} runs {busy} tasks on {host.spec.cores:g} cores")


class ObjectChecker(Checker):
    """E2 an object is not dropped while a task of its running job still needs it.

    A node drops copies with another digest too, so only the loss of the last right one counts.
    """

    def __init__(self, truth: Truth, records: RecordChecker) -> None:
        super().__init__(truth)
        self._records: Final = records
        self.consumers: dict[tuple[bytes, int], list[int]] = {}
        self._done: dict[tuple[bytes, int], bool] = {}

    def on_task(self, host: Host, task: ExecutorTask, begin_s: float, end_s: float, how: str) -> None:
        if how == "done":
            self._done[(task.job, task.task)] = True

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if not isinstance(effect, DropObject):
            return
        job, task, _ = effect.name
        consumers = self.consumers.get((job, task))
        if consumers is None or job in self._records.ended or effect.name not in host.store:
            return
        others = [
            other for other in self.cluster.hosts if other.index != host.index and effect.name in other.store
        ]
        if others or not all([self.truth.is_well(other.index, QUIET_S) for other in self.cluster.hosts]):
            return
        for consumer in consumers:
            if (job, consumer) not in self._done:
                self.fail(
                    "E2",
                    f"{self.name(host)} drops the output of task {task}, which task {consumer} still needs",
                )

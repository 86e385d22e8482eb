"""E1 to E5, L6 and S8: attempts, objects, cores; how often a task runs, and on what."""

from __future__ import annotations

from typing import Final

from sims.checkers.base import Checker, Truth
from sims.checkers.frames import (
    ASSIGN,
    CANCEL_ATTEMPTS,
    COMPLETIONS,
    INVENTORY,
    RETRACTED,
    Ballot,
    Seen,
    kind_of,
    read,
)
from sims.checkers.leadership import FenceChecker
from sims.checkers.records import RecordChecker
from sims.host import Host
from sims.observer import MESSAGE
from swarm.core.effects import DropObject, Effect, ExecutorTask, RunTasks, SendMessage

QUIET_S: Final = 6.0
"""Nobody was in trouble for so long: then a task that runs on two nodes was given out twice."""


STOP_S: Final = 3.0
"""How long the executors of a cancelled job may take to be stopped."""


KILL_S: Final = 1.0
"""How long a node may take to stop what it was told to cancel."""


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
    """E4 nothing of a cancelled job runs on.

    L6 no task runs twice at once on nodes that are well; where single processes end and nothing else happens,
    a task runs again only if its run was on one that ended: a new leader takes over what it finds.

    Attributes:
        plain: jobs of tasks that need nothing and succeed with small results, and that nobody cancels. What
            needs another task may have to run again because the other's result is lost.
    """

    def __init__(self, truth: Truth, records: RecordChecker) -> None:
        super().__init__(truth)
        self._records: Final = records
        self.plain: Final[dict[bytes, bool]] = {}
        self._begun: dict[tuple[bytes, int], list[tuple[int, int, float]]] = {}
        self._givers: dict[tuple[bytes, int], dict[int, bool]] = {}

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if isinstance(effect, SendMessage) and kind_of(effect.payload) == ASSIGN:
            for row in read(effect.payload).body[0]:
                self._givers.setdefault((row[0], row[1]), {})[host.index] = True

    def on_task(self, host: Host, task: ExecutorTask, begin_s: float, end_s: float, how: str) -> None:
        if how == "recalled":
            return
        key = (task.job, task.task)
        if task.job in self.plain and end_s - begin_s >= WORK_S:
            self._begun.setdefault(key, []).append((host.index, host.epoch, begin_s))
        ended_s = self._records.ended.get(task.job, end_s)
        if how == "done" and end_s - ended_s > STOP_S and self._ended_in_peace(host, end_s - ended_s):
            self.fail(
                "E4",
                f"{self.name(host)} runs task {task.task} to its end, {end_s - ended_s:.1f} s after its job",
            )

    def _ended_in_peace(self, host: Host, ended_for_s: float) -> bool:
        """Return whether nobody took facts along since shortly before a job's end, so that it runs again."""
        for_s = ended_for_s + QUIET_S
        return (
            self.truth.is_well(host.index, for_s)
            and self.truth.is_net_quiet(for_s)
            and all([self.truth.is_steady(other.index, for_s) for other in self.cluster.hosts])
        )

    def look(self, now: float) -> None:
        self._judge_repeats()
        running: dict[tuple[bytes, int], dict[int, float]] = {}
        for host in self.cluster.hosts:
            for executor in host.executors.values():
                if executor.queue and host.node is not None:
                    task = executor.queue[0]
                    running.setdefault((task.job, task.task), {})[host.index] = executor.begun_s
        for (job, number), places in running.items():
            if len(places) > 1 and self._began_in_peace((job, number), places, now):
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

    def _began_in_peace(self, key: tuple[bytes, int], places: dict[int, float], now: float) -> bool:
        """Return whether those who run a task, and those who gave it out or may, were well meanwhile.

        A leader that stands still is replaced, and may give a task out once more when it wakes, before it
        learns of that; a stall of anybody else is no reason for anything.
        """
        begin_s = min(places.values()) - QUIET_S
        givers = self._givers.get(key, {})
        for index, (_, end_s) in self.truth.stalls.items():
            if end_s >= begin_s and (index in givers or self.truth.has_stood(self.cluster.hosts[index])):
                return False
        return all([self.truth.is_well(index, now - begin_s) for index in places])


class VersionChecker(Checker):
    """S8 a task runs on the versions of its inputs that its order names.

    Orders of a leader to itself are on no cable, so runs on nodes that have stood are not judged.
    """

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._ordered: dict[tuple[int, int, bytes, int, int], list[list[bytes | None]]] = {}

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        if kind != MESSAGE or kind_of(payload) != ASSIGN:
            return
        for row in read(payload).body[0]:
            key = (host.index, host.epoch, row[0], row[1], row[2])
            self._ordered.setdefault(key, []).append([given[2] for given in row[7]])

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, RunTasks):
                if self.truth.has_stood(host):
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
    """E5 what runs on a node never asks for more cores or memory together than the node has.

    Judged at every order to an executor and at every look. An executor runs the first of its tasks. A node
    that was given the tasks of its clone, which has other cores, runs what is too wide for it alone.

    Attributes:
        wants: (job, task) -> cores and bytes that it asks for; one core and no memory for others.
    """

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self.wants: Final[dict[tuple[bytes, int], tuple[float, int]]] = {}

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if isinstance(effect, RunTasks):
            executor = host.executors.get(effect.executor)
            if executor is not None and not executor.queue:
                self._judge(host, effect.tasks[:1])

    def look(self, now: float) -> None:
        for host in self.cluster.hosts:
            if host.node is not None:
                self._judge(host, [])

    def _judge(self, host: Host, begun: list[ExecutorTask]) -> None:
        cores, memory_bytes = 0.0, 0
        for executor in host.executors.values():
            begun = [*begun, *executor.queue[:1]]
        for task in begun:
            asked = self.wants.get((task.job, task.task), (1.0, 0))
            cores += asked[0]
            memory_bytes += asked[1]
        spec = host.spec
        if len(begun) == 1 and host.node_id in self.truth.cloned:
            return
        if cores > spec.cores:
            self.fail("E5", f"{self.name(host)} runs {len(begun)} tasks on {cores:g} of {spec.cores:g} cores")
        if memory_bytes > spec.memory_bytes:
            self.fail(
                "E5", f"{self.name(host)} runs tasks of {memory_bytes} bytes, and has {spec.memory_bytes}"
            )


class HeldChecker(Checker):
    """E3 what a node was ordered to run and has not answered: the attempts that it holds.

    E4 what a node was told to cancel does not run on.

    Read from frames: a valid order brings an attempt; its outcome, its return or its cancel takes it away.
    Who stood in this life may have ordered and reported to itself, which is on no cable.

    A report to an identity that two hosts have may reach the one that did not ask for it: see `is_astray`.
    """

    def __init__(self, truth: Truth, fences: FenceChecker) -> None:
        super().__init__(truth)
        self._fences: Final = fences
        self._held: dict[int, dict[tuple[bytes, int, int], bool]] = {}
        self._cancelled: dict[int, dict[tuple[bytes, int, int], float]] = {}
        self._givers: dict[tuple[bytes, int, int], int] = {}
        self._under_way: dict[tuple[bytes, int, int], bool] = {}

    def on_boot(self, host: Host, now: float) -> None:
        self._held[host.index] = {}
        self._cancelled[host.index] = {}

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        if kind != MESSAGE or kind_of(payload) not in (ASSIGN, CANCEL_ATTEMPTS, COMPLETIONS, RETRACTED):
            return
        frame = read(payload)
        if frame.kind in (COMPLETIONS, RETRACTED):
            for key in _answered(frame):
                if self._givers.get(key) == host.index:
                    self._under_way.pop(key, None)
            return
        if frame.ballot < self._fences.fence_of(host):
            return
        held = self._held.setdefault(host.index, {})
        cancelled = self._cancelled.setdefault(host.index, {})
        for row in frame.body[0]:
            key = (row[0], row[1], row[2])
            if frame.kind == ASSIGN:
                held[key] = True
                cancelled.pop(key, None)
            else:
                held.pop(key, None)
                cancelled[key] = now

    def look(self, now: float) -> None:
        for host in self.cluster.hosts:
            cancelled = self._cancelled.get(host.index, {})
            if not cancelled or not self.truth.is_steady(host.index, KILL_S):
                continue
            for executor in host.executors.values():
                for task in executor.queue[:1]:
                    for_s = now - cancelled.get((task.job, task.task, task.attempt), now)
                    if for_s > KILL_S and not self.truth.has_stood(host):
                        self.fail(
                            "E4", f"{self.name(host)} runs task {task.task} {for_s:.1f} s after its cancel"
                        )
            self._cancelled[host.index] = {
                key: told_s for key, told_s in cancelled.items() if now - told_s <= KILL_S
            }

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if not isinstance(effect, SendMessage):
            return
        kind = kind_of(effect.payload)
        held = self._held.get(host.index, {})
        if kind == ASSIGN:
            for row in read(effect.payload).body[0]:
                self._givers[(row[0], row[1], row[2])] = host.index
        elif kind == INVENTORY:
            # What it does not list it gave up, as what was ordered ahead of an input that is not there.
            listed = {(row[0], row[1], row[2]): True for row in read(effect.payload).body[1]}
            self._held[host.index] = {key: True for key in held if key in listed}
        elif kind in (COMPLETIONS, RETRACTED):
            for key in _answered(read(effect.payload)):
                held.pop(key, None)
                if effect.peer in self.truth.cloned:
                    self._under_way[key] = True

    def is_astray(self, job: bytes) -> bool:
        """Return whether a report about a job went to an identity with a clone, and not to who ordered."""
        return any([key[0] == job for key in self._under_way])

    def held_by(self, host: Host) -> list[tuple[bytes, int, int]]:
        """Return the attempts that a node holds, none where that cannot be seen."""
        return [] if self.truth.has_stood(host) else list(self._held.get(host.index, {}))


def _answered(frame: Seen) -> list[tuple[bytes, int, int]]:
    """Return the attempts that a COMPLETIONS or a RETRACTED answers."""
    if frame.kind == RETRACTED:
        return [(row[0], row[1], row[2]) for row in frame.body[0]]
    return [(job, completion[0], completion[1]) for job, completion in frame.body[0]]


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

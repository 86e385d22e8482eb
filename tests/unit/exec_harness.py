"""A fake node around the execution core: executors that run what they are given, and a store of files.

Everything is driven by hand: nothing runs until a test says so, and what the core asks for is applied at
once and kept for the test to look at.
"""

from __future__ import annotations

from swarm.core.effects import (
    DropObject,
    Effect,
    ExecutorTask,
    FetchObject,
    KillExecutor,
    Notify,
    RecallTasks,
    RunTasks,
    SpawnExecutor,
    SpillObject,
)
from swarm.core.ids import AttemptKey, NodeId, ObjectName
from swarm.exec.config import ExecConfig
from swarm.exec.core import ExecCore
from swarm.exec.reports import Reports
from swarm.wire.facts import Completion, Failure, Output, digest_of
from swarm.wire.messages import ENCODING_RAW, ERROR_TASK, KIND_PYTHON
from swarm.wire.orders import Assignment, InputRef

JOB = b"job-000000"
OTHER_JOB = b"job-111111"
ME = b"m" * 16
PEER = b"p" * 16
SIZE_ON_DISK = 100_000


def output_of(text: str, on_disk: bool = False) -> Output:
    data = text.encode()
    if on_disk:
        return Output(digest_of(data), SIZE_ON_DISK, ENCODING_RAW, None)
    return Output(digest_of(data), len(data), ENCODING_RAW, data)


def promised(task: int, output: int = 0) -> InputRef:
    """An input that an earlier task of the same node makes."""
    return InputRef(task, output, None, 0, ENCODING_RAW, None, [])


def brought(task: int, text: str) -> InputRef:
    """An input whose bytes ride along."""
    data = text.encode()
    return InputRef(task, 0, digest_of(data), len(data), ENCODING_RAW, data, [])


def held(task: int, text: str, holders: list[NodeId] | None = None) -> InputRef:
    """An input that other nodes have."""
    holders = [PEER] if holders is None else holders
    return InputRef(task, 0, digest_of(text.encode()), SIZE_ON_DISK, ENCODING_RAW, None, holders)


def assignment(
    task: int,
    inputs: list[InputRef] | None = None,
    *,
    attempt: int = 1,
    job: bytes = JOB,
    name: str = "f",
    function: InputRef | None = None,
    output_count: int = 1,
    cpus: float = 1.0,
    memory_bytes: int = 0,
    timeout_s: float = 0.0,
) -> Assignment:
    return Assignment(
        job,
        task,
        attempt,
        KIND_PYTHON,
        name,
        function,
        b"payload",
        inputs or [],
        output_count,
        cpus,
        memory_bytes,
        timeout_s,
    )


class FakeNode:
    """The core, its executors and its store."""

    def __init__(self, config: ExecConfig | None = None, cpus: float = 2.0, memory_bytes: int = 0) -> None:
        self.core = ExecCore(config or ExecConfig(), ME, cpus, memory_bytes)
        self.core.set_addresses({PEER: [("10.0.0.2", 7117)]})
        self.now = 0.0
        self.starting: list[int] = []
        self.queues: dict[int, list[ExecutorTask]] = {}
        self.functions: dict[int, set[bytes]] = {}
        self.dying: list[int] = []
        self.begun_count = (
            1  # tasks of each queue that an executor has begun, by the time it is recalled from
        )
        self.answers_at_once = True
        self.recalled: list[tuple[int, list[ExecutorTask]]] = []
        self.fetches: dict[ObjectName, FetchObject] = {}
        self.files: dict[ObjectName, bytes] = {}
        self.log: list[Effect] = []
        self.completions: list[Completion] = []
        self.reports: list[Reports] = []

    # The world

    def pump(self) -> list[Effect]:
        """Perform what the core wants and return it."""
        effects = self.core.take_effects()
        for effect in effects:
            self._perform(effect)
        self.log.extend(effects)
        while self.recalled and self.answers_at_once:
            self.tell_recalled()
            answers = self.core.take_effects()
            for effect in answers:
                self._perform(effect)
            self.log.extend(answers)
        reports = self.core.take_reports()
        if not reports.is_empty():
            self.reports.append(reports)
            self.completions.extend([completion for _, completion in reports.completions])
        assert self.core.take_effects() == []
        self.core.check_invariants()
        return effects

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, SpawnExecutor):
            assert effect.executor not in self.queues
            assert effect.executor not in self.starting
            assert effect.executor not in self.dying
            self.starting.append(effect.executor)
        elif isinstance(effect, RunTasks):
            for task in effect.tasks:
                self._check_task(effect.executor, task)
                self.queues[effect.executor].append(task)
        elif isinstance(effect, RecallTasks):
            self._recall(effect)
        elif isinstance(effect, KillExecutor):
            assert self.queues.pop(effect.executor, None) is not None
            self.recalled = [answer for answer in self.recalled if answer[0] != effect.executor]
            self.dying.append(effect.executor)
        elif isinstance(effect, FetchObject):
            assert effect.name not in self.fetches
            assert effect.sources
            self.fetches[effect.name] = effect
        elif isinstance(effect, SpillObject):
            self.files[effect.name] = digest_of(effect.data)
        elif isinstance(effect, DropObject):
            self.files.pop(effect.name, None)
        else:
            assert isinstance(effect, Notify)

    def _recall(self, effect: RecallTasks) -> None:
        queue = self.queues[effect.executor]
        unbegun = queue[self.begun_count :]
        recalled = [task for task in unbegun if task.handle in effect.handles]
        self.queues[effect.executor] = [task for task in queue if task not in recalled]
        self.recalled.append((effect.executor, recalled))

    def tell_recalled(self) -> None:
        """Answer the oldest recall; what it causes is not performed."""
        executor, tasks = self.recalled.pop(0)
        self.core.on_tasks_recalled(executor, [task.handle for task in tasks], self.now)

    def _check_task(self, executor: int, task: ExecutorTask) -> None:
        for value in task.inputs:
            if value.data is None:
                assert self.files[value.name] == value.digest
            else:
                assert digest_of(value.data) == value.digest
        function = task.function
        if function is not None:
            if function.data is None and function.name not in self.files:
                assert function.digest in self.functions[executor]
            self.functions[executor].add(function.digest)

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def assign(self, *assignments: Assignment) -> None:
        self.core.assign(list(assignments), self.now)
        self.pump()

    def cancel(self, *keys: AttemptKey) -> None:
        self.core.cancel(list(keys), self.now)
        self.pump()

    def start_executors(self) -> None:
        for executor in self.starting.copy():
            self.starting.remove(executor)
            self.queues[executor] = []
            self.functions[executor] = set()
            self.core.on_executor_ready(executor, 1000 + executor, self.now)
        self.pump()

    def bury(self) -> None:
        """Let the killed executors go."""
        for executor in self.dying.copy():
            self.dying.remove(executor)
            self.core.on_executor_exit(executor, "killed", "", self.now)
        self.pump()

    def die(self, executor: int, last_output: str = "") -> None:
        """An executor ends by itself."""
        del self.queues[executor]
        self.recalled = [answer for answer in self.recalled if answer[0] != executor]
        self.core.on_executor_exit(executor, "killed by signal 11", last_output, self.now)
        self.pump()

    def finish(self, executor: int, *outputs: Output, duration_s: float = 0.001) -> ExecutorTask:
        """The first task of an executor ends well."""
        task = self.queues[executor].pop(0)
        results = list(outputs) or [output_of(f"{task.task}")]
        for index, output in enumerate(results):
            if output.data is None:
                self.files[(task.job, task.task, index)] = output.digest
        self.core.on_task_done(executor, task.handle, results, duration_s, self.now)
        self.pump()
        return task

    def fail(self, executor: int) -> None:
        task = self.queues[executor].pop(0)
        failure = Failure(ERROR_TASK, "ValueError", "no", "Traceback", b"")
        self.core.on_task_failed(executor, task.handle, failure, 0.5, self.now)
        self.pump()

    def fetched(self, name: ObjectName) -> None:
        effect = self.fetches.pop(name)
        self.files[name] = effect.digest
        self.core.on_object_fetched(name, self.now)
        self.pump()

    def missing(self, name: ObjectName, *holders: NodeId) -> None:
        self.fetches.pop(name, None)
        self.core.on_object_missing(name, list(holders), self.now)
        self.pump()

    def fire(self) -> None:
        """Go to the next deadline and let the core handle it."""
        self.now = max(self.now, self.core.next_deadline())
        self.core.handle_deadline(self.now)
        self.pump()

    # Views

    def running(self) -> dict[int, list[int]]:
        """Tasks held by executor, the running one first."""
        return {
            executor: [task.task for task in queue]
            for executor, queue in sorted(self.queues.items())
            if queue
        }

    def run_all(self, limit: int = 100_000) -> None:
        """Let executors start, work and go until nothing moves."""
        self.pump()
        for _ in range(limit):
            busy = [executor for executor, queue in sorted(self.queues.items()) if queue]
            if self.starting:
                self.start_executors()
            elif self.recalled:
                self.tell_recalled()
                self.pump()
            elif self.dying:
                self.bury()
            elif busy:
                self.finish(busy[0])
            else:
                return
        raise AssertionError("the node does not come to rest")

"""Builders for tests of jobs: tasks, parts, completions, and a job driven by hand."""

from __future__ import annotations

from swarm.core.ids import NodeId
from swarm.scheduler.invariants import check_job
from swarm.scheduler.jobs import Job
from swarm.scheduler.ranking import Estimates
from swarm.scheduler.task_graph import expected_inputs_digest
from swarm.scheduler.task_states import STATE_NAMES, Task
from swarm.wire.facts import Completion, Failure, Output, digest_of, digest_of_inputs
from swarm.wire.job_part import JobPart, TaskOptions, TaskSpec, data_payload
from swarm.wire.messages import (
    ENCODING_RAW,
    ERROR_TASK,
    INLINE_SIZE_MAX,
    KIND_DATA,
    KIND_PROGRAM,
    KIND_PYTHON,
)

JOB = b"job-000000"
OTHER_JOB = b"job-111111"
ME: NodeId = b"a" * 16
ONE: NodeId = b"b" * 16
TWO: NodeId = b"c" * 16
THREE: NodeId = b"d" * 16
LARGE = INLINE_SIZE_MAX + 1
OPTIONS = TaskOptions()


def task(
    *inputs: int, name: str = "t", kept: bool = False, outputs: int = 1, options: TaskOptions = OPTIONS
) -> TaskSpec:
    """A task that needs output 0 of each of `inputs`."""
    flat = [number for source in inputs for number in (source, 0)]
    return TaskSpec(KIND_PROGRAM, name, -1, b"payload", flat, outputs, options, kept)


def call(function: int, *inputs: int, name: str = "f", kept: bool = False) -> TaskSpec:
    """A call of the function that task `function` holds."""
    flat = [number for source in inputs for number in (source, 0)]
    return TaskSpec(KIND_PYTHON, name, function, b"payload", flat, 1, OPTIONS, kept)


def data(text: str = "data", is_brought: bool = False) -> TaskSpec:
    """Bytes of the client: inside the part, or put into the store of a node."""
    content = text.encode()
    output = Output(
        digest_of(content),
        LARGE if is_brought else len(content),
        ENCODING_RAW,
        None if is_brought else content,
    )
    return TaskSpec(KIND_DATA, "data", -1, data_payload(output), [], 1, OPTIONS, False)


def part(*tasks: TaskSpec, first: int = 0, **meta: object) -> JobPart:
    return JobPart(first, meta, list(tasks))


def chain(length: int, name: str = "t") -> JobPart:
    """Tasks that need each the one before it; the last is kept."""
    tasks = [
        task(*([index - 1] if index else []), name=name, kept=index == length - 1) for index in range(length)
    ]
    return part(*tasks)


def bag(
    count: int, name: str = "t", kept: bool = True, options: TaskOptions = OPTIONS, **meta: object
) -> JobPart:
    """Tasks that need nothing."""
    return JobPart(0, meta, [task(name=name, kept=kept, options=options) for _ in range(count)])


def output_of(text: str, is_large: bool = False) -> Output:
    """An output; a large one stays in its maker's store."""
    content = text.encode()
    if is_large:
        return Output(digest_of(content), LARGE, ENCODING_RAW, None)
    return Output(digest_of(content), len(content), ENCODING_RAW, content)


def failure_of(message: str = "it broke", kind: int = ERROR_TASK) -> Failure:
    return Failure(kind, "ValueError", message, "", b"")


def failed(index: int, attempt: int = 1, node: NodeId = ONE, failure: Failure | None = None) -> Completion:
    return Completion(index, attempt, node, b"", 0.1, None, failure or failure_of())


class JobBuilder:
    """A job, its estimates, and completions that carry the digests of the winners."""

    def __init__(self, *parts: JobPart, total: int = -1) -> None:
        self.estimates = Estimates(0.05, 0.0)
        self.job = Job(JOB, 1, 0.0)
        for number, one in enumerate(parts):
            self.job.add_part(number, one, self.estimates)
        self.job.parts_total = len(parts) if total < 0 else total
        self.check()

    def check(self) -> None:
        check_job(self.job)

    def task(self, index: int) -> Task:
        return self.job.tasks[index]

    def states(self) -> list[str]:
        return [STATE_NAMES[one.state] for one in self.job.tasks]

    def ready(self) -> list[int]:
        """The tasks that are ready, as they would be popped; they stay ready."""
        popped: list[Task] = []
        for klass in range(len(self.job.classes)):
            found = self.job.pop_ready(klass)
            while found is not None:
                popped.append(found)
                found = self.job.pop_ready(klass)
        for found in popped:
            self.job.push_back(found)
        return [found.index for found in popped]

    def start(self, index: int, node: NodeId = ONE, is_ahead: bool = False) -> int:
        attempt = self.job.start(self.task(index), node, is_ahead)
        self.check()
        return attempt

    def success(
        self,
        index: int,
        text: str = "",
        *,
        attempt: int = 1,
        node: NodeId = ONE,
        is_large: bool = False,
        inputs_digest: bytes | None = None,
        output_count: int = 0,
    ) -> Completion:
        """A success whose outputs depend on `text` (default: the task's number)."""
        one = self.task(index)
        if inputs_digest is None:
            inputs_digest = expected_inputs_digest(self.job.tasks, one)
        assert inputs_digest is not None, "the inputs have no winners: give the digest"
        count = output_count or one.spec.output_count
        outputs = [output_of(f"{text or index}:{number}", is_large) for number in range(count)]
        return Completion(index, attempt, node, inputs_digest, 0.1, outputs, None)

    def finish(
        self, index: int, text: str = "", *, attempt: int = 1, node: NodeId = ONE, is_large: bool = False
    ) -> bool:
        """Let a task succeed."""
        completion = self.success(index, text, attempt=attempt, node=node, is_large=is_large)
        is_accepted = self.job.accept_success(self.task(index), completion, True)
        self.check()
        return is_accepted

    def accept(self, index: int, completion: Completion) -> bool:
        return self.job.accept_success(self.task(index), completion, True)

    def fail(self, index: int, message: str = "it broke") -> None:
        self.job.fail(self.task(index), failure_of(message))
        self.check()


def digest_for(*texts: str) -> bytes:
    """The digest of inputs that are the outputs 0 of tasks that finished with these texts."""
    return digest_of_inputs([digest_of(f"{text}:0".encode()) for text in texts])

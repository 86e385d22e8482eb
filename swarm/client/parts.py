"""The pieces that a job part is made of, on the client's side: pending tasks, their inputs, uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from swarm.exec.serialize import Reference
from swarm.wire.facts import digest_of
from swarm.wire.job_part import TaskOptions, TaskSpec

if TYPE_CHECKING:
    from swarm.client.building import JobBuilder

PART_TASKS_MAX: Final = 50_000
PART_BYTES_MAX: Final = 8 * 1024 * 1024


class Upload:
    """Bytes too large for a message, to be put into the store of the node that gets the part."""

    __slots__ = ("data", "encoding", "task")

    def __init__(self, task: int, data: bytes, encoding: int) -> None:
        self.task: Final = task
        self.data: Final = data
        self.encoding: Final = encoding


class Part:
    """A part of a job, ready to be sent and to be sent again.

    Attributes:
        number: its place in the job, from 0.
        total: how many parts the job has, 0 while more may follow.
    """

    __slots__ = ("blob", "number", "total", "uploads")

    def __init__(self, number: int, blob: bytes, uploads: list[Upload], total: int) -> None:
        self.number: Final = number
        self.blob: Final = blob
        self.uploads: Final = uploads
        self.total: Final = total


class Data(Reference):
    """Bytes that the client brings, on their way to become a task; equal ones become one."""

    __slots__ = ("data", "encoding", "key", "name")

    def __init__(self, data: bytes, encoding: int, name: str = "data") -> None:
        self.data: Final = data
        self.encoding: Final = encoding
        self.name: Final = name
        self.key: Final = digest_of(data) + bytes((encoding,))


class Inputs:
    """Collects the inputs of one task while its arguments are pickled."""

    __slots__ = ("_job", "_positions", "sources")

    def __init__(self, job: JobBuilder) -> None:
        self._job = job
        self._positions: dict[object, int] = {}
        self.sources: list[tuple[int, int] | Data] = []

    def __call__(self, reference: Reference) -> int:
        source = reference if isinstance(reference, Data) else self._job.source_of(reference)
        return self.add(source)

    def add(self, source: tuple[int, int] | Data) -> int:
        """Return the position of a source among the inputs, a new one when it was not there."""
        position = self._positions.setdefault(
            source.key if isinstance(source, Data) else source, len(self.sources)
        )
        if position == len(self.sources):
            self.sources.append(source)
        return position


class PendingTask:
    """A task added and not taken yet; `is_kept` None means as long as somebody holds a future of it."""

    __slots__ = ("function", "inputs", "is_kept", "kind", "name", "options", "output_count", "payload")

    def __init__(
        self,
        kind: int,
        name: str,
        function: int,
        payload: bytes,
        inputs: list[int],
        output_count: int,
        options: TaskOptions,
        is_kept: bool | None,
    ) -> None:
        self.kind = kind
        self.name = name
        self.function = function
        self.payload = payload
        self.inputs = inputs
        self.output_count = output_count
        self.options = options
        self.is_kept = is_kept

    def spec(self, is_kept: bool) -> TaskSpec:
        """Return the task as parts carry it."""
        return TaskSpec(
            self.kind,
            self.name,
            self.function,
            self.payload,
            self.inputs,
            self.output_count,
            self.options,
            is_kept,
        )


def bounded_count(pending: list[PendingTask]) -> int:
    """Return how many of the pending tasks fit into one part."""
    size = 0
    for count, task in enumerate(pending):
        size += len(task.payload) + 8 * len(task.inputs)
        if count and (count >= PART_TASKS_MAX or size > PART_BYTES_MAX):
            return count
    return len(pending)

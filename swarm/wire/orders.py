"""Assignments: the leader's order to a node to run a task, and its layout on the wire.

``[job, task, attempt, kind, name, function | nil, payload, inputs, output_count, cpus, memory_bytes,
timeout_s]`` with function and each input ``[task, output, digest | nil, size, encoding, data | nil,
holders]``; objects belong to the job of the task that uses them.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.errors import DecodeError
from swarm.core.ids import DIGEST_SIZE, JOB_ID_SIZE, NODE_ID_SIZE, AttemptKey, JobId, NodeId, ObjectName
from swarm.core.records import Record
from swarm.wire.codec import Body
from swarm.wire.facts import Output, digest_of


@final
class InputRef(Record):
    """An object that a task needs, as the leader names it to the node that will run the task.

    Attributes:
        task, output: which object of the job.
        digest: the winner's digest; None when an earlier assignment to the same node makes the object
            (the node waits for its own result).
        size: bytes, 0 while unknown.
        encoding: an ENCODING_ of `swarm.wire.messages`.
        data: the bytes when they ride along; None when the node has them or must fetch them.
        holders: nodes that have the object in their store, best first.
    """

    __slots__ = ("data", "digest", "encoding", "holders", "output", "size", "task")

    def __init__(
        self,
        task: int,
        output: int,
        digest: bytes | None,
        size: int,
        encoding: int,
        data: bytes | None,
        holders: list[NodeId],
    ) -> None:
        self.task: Final = task
        self.output: Final = output
        self.digest: Final = digest
        self.size: Final = size
        self.encoding: Final = encoding
        self.data: Final = data
        self.holders: Final = holders

    def fields(self) -> tuple[object, ...]:
        return (self.task, self.output, self.digest, self.size, self.encoding, self.data, self.holders)

    def to_wire(self) -> list[object]:
        """Return the layout described at the top of this module."""
        return [self.task, self.output, self.digest, self.size, self.encoding, self.data, self.holders]


@final
class Assignment(Record):
    """An order to run one attempt of a task.

    Attributes:
        job, task, attempt: which run this is.
        kind: a task kind of `swarm.wire.messages`.
        name: for people.
        function: the object that holds the pickled callable, None when the kind has none.
        payload: see the task kinds.
        inputs: in the order in which the payload refers to them.
        output_count: outputs of a success, >= 1.
        cpus: share of the node's cores it occupies, >= 0, fractions allowed.
        memory_bytes: what it may use, 0 for no limit of its own.
        timeout_s: how long one run may take, 0 for ever.
    """

    __slots__ = (
        "attempt",
        "cpus",
        "function",
        "inputs",
        "job",
        "kind",
        "memory_bytes",
        "name",
        "output_count",
        "payload",
        "task",
        "timeout_s",
    )

    def __init__(
        self,
        job: JobId,
        task: int,
        attempt: int,
        kind: int,
        name: str,
        function: InputRef | None,
        payload: bytes,
        inputs: list[InputRef],
        output_count: int,
        cpus: float,
        memory_bytes: int,
        timeout_s: float,
    ) -> None:
        self.job: Final = job
        self.task: Final = task
        self.attempt: Final = attempt
        self.kind: Final = kind
        self.name: Final = name
        self.function: Final = function
        self.payload: Final = payload
        self.inputs: Final = inputs
        self.output_count: Final = output_count
        self.cpus: Final = cpus
        self.memory_bytes: Final = memory_bytes
        self.timeout_s: Final = timeout_s

    def fields(self) -> tuple[object, ...]:
        return (
            self.job,
            self.task,
            self.attempt,
            self.kind,
            self.name,
            self.function,
            self.payload,
            self.inputs,
            self.output_count,
            self.cpus,
            self.memory_bytes,
            self.timeout_s,
        )

    def to_wire(self) -> list[object]:
        """Return the layout described at the top of this module."""
        return [
            self.job,
            self.task,
            self.attempt,
            self.kind,
            self.name,
            None if self.function is None else self.function.to_wire(),
            self.payload,
            [item.to_wire() for item in self.inputs],
            self.output_count,
            self.cpus,
            self.memory_bytes,
            self.timeout_s,
        ]


def assignment_untrusted(fields: list[object]) -> Assignment:
    """Return the assignment that a peer sent.

    Raises:
        DecodeError: the layout is wrong.
    """
    body = Body(fields)
    job = body.take_id(JOB_ID_SIZE)
    task, attempt, kind = body.take_index(), body.take_index(), body.take_int()
    name = body.take_text()
    function_field = body.take_any()
    function = None if function_field is None else _input_untrusted(function_field)
    payload = body.take_bytes()
    inputs = [_input_untrusted(item) for item in body.take_list()]
    output_count = body.take_int()
    cpus = body.take_number()
    memory_bytes = body.take_int()
    timeout_s = body.take_number()
    if attempt < 1 or output_count < 1 or cpus < 0 or timeout_s < 0:
        raise DecodeError("an assignment has attempt and outputs >= 1, cpus and timeout >= 0")
    return Assignment(
        job, task, attempt, kind, name, function, payload, inputs, output_count, cpus, memory_bytes, timeout_s
    )


def _input_untrusted(item: object) -> InputRef:
    if not isinstance(item, list):
        raise DecodeError("an input is an array")
    body = Body(item)
    task, output = body.take_index(), body.take_index()
    digest = body.take_any()
    size, encoding = body.take_int(), body.take_int()
    data = body.take_any()
    if digest is not None and (not isinstance(digest, bytes) or len(digest) != DIGEST_SIZE):
        raise DecodeError("an input's digest is missing or a digest")
    if data is not None and (not isinstance(data, bytes) or digest is None or len(data) != size):
        raise DecodeError("an input's data is missing or as long as its size, with a digest")
    holders: list[NodeId] = []
    for holder in body.take_list():
        if not isinstance(holder, bytes) or len(holder) != NODE_ID_SIZE:
            raise DecodeError("an input's holders are node ids")
        holders.append(holder)
    return InputRef(task, output, digest, size, encoding, data, holders)


def wanted_objects_untrusted(rows: list[object]) -> list[tuple[ObjectName, InputRef]]:
    """Return the results that an OBJECT_WANTED names, each with its digest and without data.

    Raises:
        DecodeError: the layout is wrong.
    """
    wanted: list[tuple[ObjectName, InputRef]] = []
    for row in rows:
        body = Body([row]).take_body()
        job = body.take_id(JOB_ID_SIZE)
        ref = _input_untrusted(body.take_list())
        if ref.digest is None or ref.data is not None:
            raise DecodeError("a wanted object has a digest and no data")
        wanted.append(((job, ref.task, ref.output), ref))
    return wanted


def attempts_untrusted(rows: list[object]) -> list[AttemptKey]:
    """Return rows [job, task, number] as keys, of attempts or of objects: both look the same.

    Raises:
        DecodeError: a row is malformed.
    """
    keys: list[AttemptKey] = []
    for row in rows:
        body = Body([row]).take_body()
        keys.append((body.take_id(JOB_ID_SIZE), body.take_index(), body.take_index()))
    return keys


def brought_rows(order: Assignment) -> list[object]:
    """Return the rows of an OBJECT_GIVE with everything that rides along with an assignment."""
    rows: list[object] = []
    refs = list(order.inputs)
    if order.function is not None:
        refs.append(order.function)
    for ref in refs:
        if ref.data is not None:
            rows.append([order.job, ref.task, ref.output, ref.size, ref.encoding, ref.data])
    return rows


def given_objects_untrusted(rows: list[object]) -> list[tuple[ObjectName, Output]]:
    """Return the objects of an OBJECT_GIVE.

    Raises:
        DecodeError: a row is malformed.
    """
    objects: list[tuple[ObjectName, Output]] = []
    for row in rows:
        body = Body([row]).take_body()
        name = (body.take_id(JOB_ID_SIZE), body.take_index(), body.take_index())
        size, encoding = body.take_int(), body.take_int()
        data = body.take_bytes()
        if len(data) != size:
            raise DecodeError(f"an object of {len(data)} bytes that should have {size}")
        objects.append((name, Output(digest_of(data), size, encoding, data)))
    return objects

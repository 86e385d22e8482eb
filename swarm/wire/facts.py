"""Completions: the facts that attempts leave behind, and their layout on the wire.

``[task, attempt, node, inputs_digest, duration_s, outputs | nil, error | nil]`` with outputs a list of
``[digest, size, encoding, data | nil]`` and error ``[kind, type, message, traceback, pickled]``. A fact is
never changed and never fenced: anybody may report it at any time (docs/PROTOCOL.md).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, final

from swarm.core.errors import DecodeError
from swarm.core.ids import DIGEST_SIZE, NODE_ID_SIZE, NodeId
from swarm.core.records import Record
from swarm.wire.codec import Body


@final
class Output(Record):
    """One output of a successful attempt; `data` is None when it stays in its maker's store."""

    __slots__ = ("data", "digest", "encoding", "size")

    def __init__(self, digest: bytes, size: int, encoding: int, data: bytes | None) -> None:
        self.digest: Final = digest
        self.size: Final = size
        self.encoding: Final = encoding
        self.data: Final = data

    def fields(self) -> tuple[object, ...]:
        return (self.digest, self.size, self.encoding, self.data)

    def to_wire(self) -> list[object]:
        """Return the layout described at the top of this module."""
        return [self.digest, self.size, self.encoding, self.data]


@final
class Failure(Record):
    """Why an attempt failed.

    Attributes:
        kind: one of the ERROR_ kinds of `swarm.wire.messages`.
        type_name: the exception's class, "" when there was none.
        message: one line for people.
        traceback: as text, "" when there was none.
        pickled: the pickled exception, b"" when it cannot be pickled.
    """

    __slots__ = ("kind", "message", "pickled", "traceback", "type_name")

    def __init__(self, kind: int, type_name: str, message: str, traceback: str, pickled: bytes) -> None:
        self.kind: Final = kind
        self.type_name: Final = type_name
        self.message: Final = message
        self.traceback: Final = traceback
        self.pickled: Final = pickled

    def fields(self) -> tuple[object, ...]:
        return (self.kind, self.type_name, self.message, self.traceback, self.pickled)

    def to_wire(self) -> list[object]:
        """Return the layout described at the top of this module."""
        return [self.kind, self.type_name, self.message, self.traceback, self.pickled]


@final
class Completion(Record):
    """An attempt ended: with outputs (a success) or a failure, exactly one of the two.

    Attributes:
        task: index in its job.
        attempt: number of the attempt, >= 1.
        node: who ran it.
        inputs_digest: :func:`digest_of_inputs` of the objects it really used.
        duration_s: run time in the executor, seconds >= 0.
        outputs: None for a failure.
        failure: None for a success.
    """

    __slots__ = ("attempt", "duration_s", "failure", "inputs_digest", "node", "outputs", "task")

    def __init__(
        self,
        task: int,
        attempt: int,
        node: NodeId,
        inputs_digest: bytes,
        duration_s: float,
        outputs: list[Output] | None,
        failure: Failure | None,
    ) -> None:
        assert (outputs is None) != (failure is None), "a completion has outputs or a failure"
        self.task: Final = task
        self.attempt: Final = attempt
        self.node: Final = node
        self.inputs_digest: Final = inputs_digest
        self.duration_s: Final = duration_s
        self.outputs: Final = outputs
        self.failure: Final = failure

    def fields(self) -> tuple[object, ...]:
        return (
            self.task,
            self.attempt,
            self.node,
            self.inputs_digest,
            self.duration_s,
            self.outputs,
            self.failure,
        )

    def to_wire(self) -> list[object]:
        """Return the layout described at the top of this module."""
        outputs: list[object] | None = None
        if self.outputs is not None:
            outputs = [output.to_wire() for output in self.outputs]
        failure = None if self.failure is None else self.failure.to_wire()
        return [self.task, self.attempt, self.node, self.inputs_digest, self.duration_s, outputs, failure]


def data_bytes(completion: Completion) -> int:
    """Return the bytes of outputs that ride along with a completion."""
    total = 0
    if completion.outputs is not None:
        for output in completion.outputs:
            total += 0 if output.data is None else output.size
    return total


def without_data(completion: Completion) -> Completion:
    """Return the same completion with none of its outputs' bytes."""
    if completion.outputs is None:
        return completion
    bare = [Output(output.digest, output.size, output.encoding, None) for output in completion.outputs]
    return Completion(
        completion.task,
        completion.attempt,
        completion.node,
        completion.inputs_digest,
        completion.duration_s,
        bare,
        None,
    )


def digest_of(data: bytes) -> bytes:
    """Return the digest by which objects are compared: BLAKE2b of 16 bytes."""
    return blake2b(data, digest_size=DIGEST_SIZE).digest()


def digest_of_inputs(digests: list[bytes]) -> bytes:
    """Return one digest for the inputs of an attempt, in order; b"" for none."""
    if not digests:
        return b""
    return blake2b(b"".join(digests), digest_size=DIGEST_SIZE).digest()


def completion_untrusted(fields: list[object]) -> Completion:
    """Return the completion that a peer sent.

    Raises:
        DecodeError: the layout is wrong.
    """
    body = Body(fields)
    task, attempt = body.take_index(), body.take_index()
    node = body.take_id(NODE_ID_SIZE)
    inputs_digest = body.take_bytes()
    duration_s = body.take_number()
    outputs_field, failure_field = body.take_any(), body.take_any()
    if attempt < 1 or duration_s < 0 or (outputs_field is None) == (failure_field is None):
        raise DecodeError("a completion has an attempt >= 1, a duration >= 0, and outputs or a failure")
    if isinstance(outputs_field, list):
        outputs = [_output_untrusted(item) for item in outputs_field]
        return Completion(task, attempt, node, inputs_digest, duration_s, outputs, None)
    if not isinstance(failure_field, list):
        raise DecodeError("a completion's outputs or failure is an array")
    failure = failure_untrusted(failure_field)
    return Completion(task, attempt, node, inputs_digest, duration_s, None, failure)


def outputs_untrusted(fields: list[object]) -> list[Output]:
    """Return the outputs that a peer or an executor sent.

    Raises:
        DecodeError: the layout is wrong.
    """
    return [_output_untrusted(item) for item in fields]


def failure_untrusted(fields: list[object]) -> Failure:
    """Return the failure that a peer or an executor sent.

    Raises:
        DecodeError: the layout is wrong.
    """
    body = Body(fields)
    kind = body.take_int()
    type_name, message, traceback = body.take_text(), body.take_text(), body.take_text()
    return Failure(kind, type_name, message, traceback, body.take_bytes())


def _output_untrusted(item: object) -> Output:
    if not isinstance(item, list):
        raise DecodeError("an output is an array")
    body = Body(item)
    digest = body.take_id(DIGEST_SIZE)
    size, encoding = body.take_int(), body.take_int()
    data = body.take_any()
    if data is not None and (not isinstance(data, bytes) or len(data) != size):
        raise DecodeError("an output's data is missing or as long as its size")
    return Output(digest, size, encoding, data)

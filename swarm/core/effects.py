"""Everything a core may ask of the world: a closed set of values, performed in order by the driver.

Two kinds. *Inner* effects pass between the cores of one node and never leave `swarm.node`:
:class:`Packet`, :class:`Message`, :class:`MemberChanged`, :class:`LeaderChanged`. All others reach the
driver (the daemon or the simulator), which performs them oldest first.

Ordering promise: whatever stands behind a durable :class:`Persist` is performed only once that row is
safely on disk. The driver reads nothing but the effect itself.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import Address, Ballot, NodeId, ObjectName
from swarm.core.records import Record

NOT_KEPT: Final = -1
"""In the place of an encoding: of an object that may be gone after a restart."""


class Effect(Record):
    """Base of all effects."""

    __slots__ = ()


# Inner effects: routed by swarm.node


@final
class Packet(Effect):
    """Send a small message to an address as one datagram; may be lost, doubled or late.

    The node stamps it (sender, ballot, beat) and hands it out as :class:`SendPacket`.
    """

    __slots__ = ("body", "destination", "kind")

    def __init__(self, destination: Address, kind: int, body: list[object]) -> None:
        self.destination: Final = destination
        self.kind: Final = kind
        self.body: Final = body

    def fields(self) -> tuple[object, ...]:
        return (self.destination, self.kind, self.body)


@final
class Message(Effect):
    """Send a message to a node over a stream: in order and whole, or not at all when it breaks.

    The node stamps it and hands it out as :class:`SendMessage`, or as its own input when `peer` is
    the node itself.
    """

    __slots__ = ("body", "kind", "peer")

    def __init__(self, peer: NodeId, kind: int, body: list[object]) -> None:
        self.peer: Final = peer
        self.kind: Final = kind
        self.body: Final = body

    def fields(self) -> tuple[object, ...]:
        return (self.peer, self.kind, self.body)


@final
class MemberChanged(Effect):
    """Gossip changed its mind about a member; follows every effect that announced the cause.

    Attributes:
        member: who.
        incarnation: the incarnation that this is about.
        before, after: one of "unknown", "alive", "suspect", "dead", "left".
    """

    __slots__ = ("after", "before", "incarnation", "member")

    def __init__(self, member: NodeId, incarnation: int, before: str, after: str) -> None:
        self.member: Final = member
        self.incarnation: Final = incarnation
        self.before: Final = before
        self.after: Final = after

    def fields(self) -> tuple[object, ...]:
        return (self.member, self.incarnation, self.before, self.after)


@final
class LeaderChanged(Effect):
    """Election names a leader, or none (`leader` is b"") while there is no one to trust.

    `ballot` is the leadership's, or the fence when there is none. For an own win, the promise and the
    fence were persisted by effects before this one.
    """

    __slots__ = ("ballot", "leader")

    def __init__(self, ballot: Ballot, leader: NodeId) -> None:
        self.ballot: Final = ballot
        self.leader: Final = leader

    def fields(self) -> tuple[object, ...]:
        return (self.ballot, self.leader)


# Network


@final
class SendPacket(Effect):
    """Send one datagram; drop and count it when the socket is full. Seal it first."""

    __slots__ = ("destination", "payload")

    def __init__(self, destination: Address, payload: bytes) -> None:
        self.destination: Final = destination
        self.payload: Final = payload

    def fields(self) -> tuple[object, ...]:
        return (self.destination, self.payload)


@final
class SendHello(Effect):
    """Send one datagram by every means of discovery: multicast and broadcast on each interface."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload: Final = payload

    def fields(self) -> tuple[object, ...]:
        return (self.payload,)


@final
class SendMessage(Effect):
    """Send to a node over its stream, dialling `addresses` when there is none.

    Messages to one peer arrive in the order sent as long as its stream lives; what was queued on a
    stream that breaks is lost and the driver says `on_peer_lost` once.
    """

    __slots__ = ("addresses", "payload", "peer")

    def __init__(self, peer: NodeId, addresses: list[Address], payload: bytes) -> None:
        self.peer: Final = peer
        self.addresses: Final = addresses
        self.payload: Final = payload

    def fields(self) -> tuple[object, ...]:
        return (self.peer, self.addresses, self.payload)


@final
class SendToClient(Effect):
    """Send a frame to a client's session; drop it when the session is gone."""

    __slots__ = ("payload", "session")

    def __init__(self, session: int, payload: bytes) -> None:
        self.session: Final = session
        self.payload: Final = payload

    def fields(self) -> tuple[object, ...]:
        return (self.session, self.payload)


# Disk


@final
class Persist(Effect):
    """Write a row of the journal, replacing one with the same table and key.

    When `durable`, effects behind this one wait until it is synced to disk. Otherwise it is written
    with the next batch, at latest after a second, and may be lost by a power cut.
    """

    __slots__ = ("durable", "key", "table", "value")

    def __init__(self, table: str, key: bytes, value: bytes, durable: bool) -> None:
        self.table: Final = table
        self.key: Final = key
        self.value: Final = value
        self.durable: Final = durable

    def fields(self) -> tuple[object, ...]:
        return (self.table, self.key, self.value, self.durable)


@final
class Erase(Effect):
    """Remove from a table of the journal all rows whose key starts with `prefix`; not durable."""

    __slots__ = ("prefix", "table")

    def __init__(self, table: str, prefix: bytes) -> None:
        self.table: Final = table
        self.prefix: Final = prefix

    def fields(self) -> tuple[object, ...]:
        return (self.table, self.prefix)


# Objects on disk


@final
class FetchObject(Effect):
    """Copy an object from one of its holders into the own store and check its digest.

    Tried in the order of `sources`. Answered by `on_object_fetched` or `on_object_missing`.

    Attributes:
        kept_encoding: of an object that no task can make again: it is on disk, as durable as a row, before
            `on_object_fetched`, and found there again after a restart. `NOT_KEPT` for all others.
    """

    __slots__ = ("digest", "kept_encoding", "name", "size", "sources")

    def __init__(
        self,
        name: ObjectName,
        digest: bytes,
        size: int,
        sources: list[tuple[NodeId, list[Address]]],
        kept_encoding: int = NOT_KEPT,
    ) -> None:
        self.name: Final = name
        self.digest: Final = digest
        self.size: Final = size
        self.sources: Final = sources
        self.kept_encoding: Final = kept_encoding

    def fields(self) -> tuple[object, ...]:
        return (self.name, self.digest, self.size, self.sources, self.kept_encoding)


@final
class SpillObject(Effect):
    """Write a small object into the own store, before anything behind this effect reads it there.

    The bytes are at most INLINE_SIZE_MAX. A store that cannot take them makes the executors that want
    the object fail as those of a broken node do: their tasks run elsewhere.
    """

    __slots__ = ("data", "name")

    def __init__(self, name: ObjectName, data: bytes) -> None:
        self.name: Final = name
        self.data: Final = data

    def fields(self) -> tuple[object, ...]:
        return (self.name, self.data)


@final
class DropObject(Effect):
    """Delete an object from the own store; one that is not there is no error."""

    __slots__ = ("name",)

    def __init__(self, name: ObjectName) -> None:
        self.name: Final = name

    def fields(self) -> tuple[object, ...]:
        return (self.name,)


# Executors


@final
class InputValue(Record):
    """An input as an executor receives it: bytes, or the name of an object in the node's store."""

    __slots__ = ("data", "digest", "encoding", "name")

    def __init__(self, name: ObjectName, digest: bytes, encoding: int, data: bytes | None) -> None:
        self.name: Final = name
        self.digest: Final = digest
        self.encoding: Final = encoding
        self.data: Final = data

    def fields(self) -> tuple[object, ...]:
        return (self.name, self.digest, self.encoding, self.data)


@final
class ExecutorTask(Record):
    """One run of a task, as an executor receives it.

    Attributes:
        handle: names this run between node and executor, unique while the node lives.
        job, task, attempt: which run this is.
        kind: one of the task kinds of `swarm.wire.messages`.
        name: what people call the task.
        function: the pickled callable (kind PYTHON), cached by the executor under its digest.
        payload: pickled arguments, or the description of a program.
        inputs: in the order in which the payload refers to them.
        output_count: how many outputs a success has.
        memory_bytes: the address-space limit, 0 for none.
    """

    __slots__ = (
        "attempt",
        "function",
        "handle",
        "inputs",
        "job",
        "kind",
        "memory_bytes",
        "name",
        "output_count",
        "payload",
        "task",
    )

    def __init__(
        self,
        handle: int,
        job: bytes,
        task: int,
        attempt: int,
        kind: int,
        name: str,
        function: InputValue | None,
        payload: bytes,
        inputs: list[InputValue],
        output_count: int,
        memory_bytes: int,
    ) -> None:
        self.handle: Final = handle
        self.job: Final = job
        self.task: Final = task
        self.attempt: Final = attempt
        self.kind: Final = kind
        self.name: Final = name
        self.function: Final = function
        self.payload: Final = payload
        self.inputs: Final = inputs
        self.output_count: Final = output_count
        self.memory_bytes: Final = memory_bytes

    def fields(self) -> tuple[object, ...]:
        return (
            self.handle,
            self.job,
            self.task,
            self.attempt,
            self.kind,
            self.name,
            self.function,
            self.payload,
            self.inputs,
            self.output_count,
            self.memory_bytes,
        )


@final
class SpawnExecutor(Effect):
    """Start executor number `executor`; answered by `on_executor_ready` or `on_executor_exit`."""

    __slots__ = ("executor",)

    def __init__(self, executor: int) -> None:
        self.executor: Final = executor

    def fields(self) -> tuple[object, ...]:
        return (self.executor,)


@final
class RunTasks(Effect):
    """Give tasks to an executor, which runs them one after the other."""

    __slots__ = ("executor", "tasks")

    def __init__(self, executor: int, tasks: list[ExecutorTask]) -> None:
        self.executor: Final = executor
        self.tasks: Final = tasks

    def fields(self) -> tuple[object, ...]:
        return (self.executor, self.tasks)


@final
class RecallTasks(Effect):
    """Take back those of the tasks, by their handles, that an executor has not begun.

    Answered by a frame `RECALLED` with the handles that will not run.
    """

    __slots__ = ("executor", "handles")

    def __init__(self, executor: int, handles: list[int]) -> None:
        self.executor: Final = executor
        self.handles: Final = handles

    def fields(self) -> tuple[object, ...]:
        return (self.executor, self.handles)


@final
class KillExecutor(Effect):
    """Kill an executor and everything it started, at once; answered by `on_executor_exit`."""

    __slots__ = ("executor", "reason")

    def __init__(self, executor: int, reason: str) -> None:
        self.executor: Final = executor
        self.reason: Final = reason

    def fields(self) -> tuple[object, ...]:
        return (self.executor, self.reason)


# Telling


@final
class Notify(Effect):
    """Something an operator may want to read in the log: an event name and its fields."""

    __slots__ = ("event", "values")

    def __init__(self, event: str, values: dict[str, object]) -> None:
        self.event: Final = event
        self.values: Final = values

    def fields(self) -> tuple[object, ...]:
        return (self.event, self.values)


@final
class RenewIdentity(Effect):
    """This identity is another process's: stop without a goodbye, start as a new node in the same home."""

    __slots__ = ()


@final
class LeaveFinished(Effect):
    """The node has said goodbye: the driver may stop once the effects before this are performed."""

    __slots__ = ()

"""One simulated host: a node, its disk, its object store, and executors that pretend to work."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, final

from swarm.core.effects import Effect, Erase, ExecutorTask, Persist
from swarm.core.errors import DecodeError
from swarm.core.ids import Address, ObjectName
from swarm.core.rng import Rng
from swarm.node import Node
from swarm.node_config import NodeConfig
from swarm.wire.codec import Body, unpack_untrusted
from swarm.wire.executor_frames import DONE, FAILED
from swarm.wire.messages import ENCODING_RAW, ERROR_TASK, INLINE_SIZE_MAX


@final
class Disk:
    """Rows of a journal; those not synced are lost when the power fails."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes], bytes] = {}
        self._unsynced: list[Effect] = []

    def write(self, effect: Effect) -> None:
        """Take a Persist or an Erase; it is in memory only until :meth:`sync`."""
        self._unsynced.append(effect)

    def sync(self) -> None:
        """Put everything written so far on disk."""
        for effect in self._unsynced:
            if isinstance(effect, Persist):
                self.rows[(effect.table, effect.key)] = effect.value
            elif isinstance(effect, Erase):
                doomed = [
                    key for key in self.rows if key[0] == effect.table and key[1].startswith(effect.prefix)
                ]
                for key in doomed:
                    del self.rows[key]
        self._unsynced = []

    def lose_unsynced(self) -> None:
        """The process was killed: what its driver had not written yet is gone."""
        self._unsynced = []

    def load(self) -> list[tuple[str, bytes, bytes]]:
        """Return the rows on disk."""
        return [(table, key, value) for (table, key), value in self.rows.items()]


@final
class Host:
    """A host and what it keeps over restarts of its node.

    Attributes:
        index: its number.
        address: where its node is reached.
        node: the running node, None while it is down.
        is_dark: whether the whole host is without power, not only its node down.
        epoch: number of starts; events for an earlier epoch are stale.
        store: objects on disk: name -> (digest, size).
        waiting: effects behind a durable write.
        links: hosts with which it has an open stream.
        deadline: the time of the wake-up that is scheduled, infinity for none.
    """

    def __init__(self, index: int, address: Address, config: NodeConfig, seed: str) -> None:
        self.index: Final = index
        self.address: Final = address
        self.config = config
        self.seed: Final = seed
        self.node: Node | None = None
        self.is_dark = False
        self.epoch = 0
        self.disk: Final = Disk()
        self.store: dict[ObjectName, tuple[bytes, int]] = {}
        self.waiting: list[Effect] = []
        self.is_blocked = False
        self.links: dict[int, bool] = {}
        self.deadline = float("inf")
        self.executors: dict[int, list[ExecutorTask]] = {}
        self.runs = 0

    def boot(self) -> Node:
        """Make a new node from what is on disk, as the daemon does at a start."""
        self.epoch += 1
        self.is_dark = False
        rows = self.disk.load()
        incarnation = self.epoch
        for table, key, value in rows:
            if (table, key) == ("node", b"incarnation"):
                incarnation = max(incarnation, Body([unpack_untrusted(value)]).take_int() + 1)
        config = self.config
        fresh = NodeConfig(
            node_id=config.node_id,
            name=config.name,
            addresses=config.addresses,
            incarnation=incarnation,
            cores=config.cores,
            memory_bytes=config.memory_bytes,
            facts=config.facts,
            gossip=config.gossip,
            election=config.election,
            scheduler=config.scheduler,
            exec=config.exec,
        )
        self.waiting = []
        self.is_blocked = False
        self.links = {}
        self.executors = {}
        self.store = {}
        self.deadline = float("inf")
        node = Node(fresh, rows, Rng(f"{self.seed}:{config.name}:{self.epoch}"))
        self.node = node
        return node


def pretend(task: ExecutorTask) -> tuple[float, list[object], list[tuple[ObjectName, bytes, int]]]:
    """Return how long a simulated task takes, the frame its executor sends, and what it leaves in the store.

    The payload is msgpack: [seconds, size of each output ..., fails?]. Outputs are a digest of the task's
    name and its inputs' digests, so that they depend on what was computed and on nothing else.
    """
    try:
        body = Body([unpack_untrusted(task.payload)]).take_body()
        seconds = body.take_number()
        sizes = [Body([size]).take_int() for size in body.take_list()]
        fails = body.take_bool()
    except DecodeError as error:
        failure: list[object] = [ERROR_TASK, "DecodeError", f"not a simulated task: {error}", "", b""]
        return (0.0, [FAILED, task.handle, failure, 0.0], [])
    if fails:
        failure = [ERROR_TASK, "SimulatedError", f"{task.name} fails", "", b""]
        return (seconds, [FAILED, task.handle, failure, seconds], [])
    stuff = b"".join([given.digest for given in task.inputs])
    outputs: list[object] = []
    stored: list[tuple[ObjectName, bytes, int]] = []
    for number, size in enumerate(sizes):
        seed = f"{task.task}/{number}".encode() + task.job + stuff
        if size <= INLINE_SIZE_MAX:
            data = (blake2b(seed).digest() * (size // 64 + 1))[:size]
            outputs.append([blake2b(data, digest_size=16).digest(), size, ENCODING_RAW, data])
        else:
            digest = blake2b(seed, digest_size=16).digest()
            outputs.append([digest, size, ENCODING_RAW, None])
            stored.append(((task.job, task.task, number), digest, size))
    return (seconds, [DONE, task.handle, outputs, seconds], stored)

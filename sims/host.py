"""One simulated host: a node, its clock, its disk, its object store and its executors."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, final

from sims.clock import HostClock
from sims.disk import Disk
from sims.engine import Event
from sims.executors import Executor
from sims.settings import HostSpec, NodeSettings
from sims.stream import NEVER, Stream
from swarm.core.effects import Effect, FetchObject, Persist
from swarm.core.ids import Address, NodeId, ObjectName
from swarm.core.quorums import STRICT
from swarm.core.rng import Rng
from swarm.election.ledger import LEDGER_KEY, LEDGER_TABLE, founding_row
from swarm.gossip.interning import Interner
from swarm.node import Node
from swarm.node_config import HELD_OUTPUT_S, NodeConfig
from swarm.wire.codec import Body, pack, unpack_untrusted


@final
class Host:
    """A host and what it keeps over restarts of its node.

    Attributes:
        index: its number.
        address: where its node is reached.
        spec: what it is.
        node_id: the identity on its disk.
        node: the running node, None while it is down.
        clock: what its node takes for the time.
        epoch: number of starts; events for an earlier epoch are stale.
        is_dark: the whole host is without power, not only its node down.
        is_asleep: the host is suspended: its network card is off.
        is_halted: its process was paused or sleeps with it: it moves no objects.
        stalled_until: true time until which its process takes no input.
        disk_stuck_until: true time before which no durable write ends.
        input_s: seconds for which an input keeps its process busy.
        backlog: events that wait for the process.
        waiting: effects behind a durable write.
        links: hosts -> the stream to them that its process holds.
        is_spoilt: whether every task fails on it as soon as it begins: a library is missing, say.
        stuck: hosts -> messages that wait until the network carries them.
        failed_dials: hosts -> when the last dial to them failed.
        fetches: objects that are being copied here.
        fetch_queue: wishes for copies that wait for their turn.
        givers: hosts -> when the last copy from them ended; their connections are kept for a while.
        deadline: true time of the wake-up that is scheduled, infinity for none.
        store: objects on disk: name -> (digest, size).
        kept: names of those that a client has put there; they survive a restart.
        slowness: factor on the run times of its tasks, beside its speed.
        runs: tasks that its executors ended.
        is_renewing: its node has ended and is about to start with a new identity.
        is_moved: its disk is a copy of another host's, which its node can tell.
    """

    def __init__(
        self,
        index: int,
        address: Address,
        spec: HostSpec,
        settings: NodeSettings,
        seed: str,
        interner: Interner | None = None,
    ) -> None:
        self.index: Final = index
        self.address = address
        self.spec: Final = spec
        self.settings: Final = settings
        self.seed: Final = seed
        self._interner: Final = interner
        self.node_id: NodeId = identity(seed, spec.name, 0)
        self.node: Node | None = None
        self.clock: Final = HostClock(spec.drift_ppm)
        self.disk: Disk = Disk()
        self.epoch = 0
        self.generation = 0
        self.is_dark = False
        self.is_asleep = False
        self.is_halted = False
        self.stalled_until = 0.0
        self.disk_stuck_until = 0.0
        self.is_spoilt = False
        self.stall_number = 0
        self.input_s = 0.0
        self.backlog: list[Event] = []
        self.waiting: list[Effect] = []
        self.is_blocked = False
        self.blocked_at = 0.0
        self.links: dict[int, Stream] = {}
        self.stuck: dict[int, list[bytes]] = {}
        self.failed_dials: dict[int, float] = {}
        self.fetches = 0
        self.fetch_queue: list[FetchObject] = []
        self.givers: dict[int, float] = {}
        self.deadline = NEVER
        self.store: dict[ObjectName, tuple[bytes, int]] = {}
        self.kept: dict[ObjectName, int] = {}
        self.executors: dict[int, Executor] = {}
        self.slowness = 1.0
        self.runs = 0
        self.is_moved = False
        self.is_renewing = False

    def stick_disk(self, until_s: float) -> None:
        """Let no durable write end before that true time, as a worn SD card does."""
        self.disk_stuck_until = until_s

    def boot(self) -> Node:
        """Make a new node from what is on disk, as the daemon does at a start."""
        self.epoch += 1
        self.is_renewing = False
        incarnation = _stored_incarnation(self.disk) + 1
        self.disk.write(Persist("node", b"incarnation", pack(incarnation), True))
        if self.settings.quorum == STRICT and self.index == 0 and self.epoch == 1:
            row = founding_row(self.node_id, Rng(f"{self.seed}:founding"))
            self.disk.write(Persist(LEDGER_TABLE, LEDGER_KEY, row, True))
        self.disk.sync()
        rows = self.disk.load()
        spec = self.spec
        settings = self.settings
        facts: dict[str, object] = {
            "python": spec.python,
            "speed": spec.speed,
            "fitness": spec.fitness,
            "tags": list(spec.tags),
            "host": (spec.machine or spec.name).encode(),
            "instance": identity(self.seed, spec.name, self.epoch)[:8],
        }
        if self.is_moved:
            facts["moved"] = True
        config = NodeConfig(
            node_id=self.node_id,
            name=spec.name,
            addresses=[self.address],
            incarnation=incarnation,
            cores=spec.cores,
            memory_bytes=spec.memory_bytes,
            facts=facts,
            is_amnesiac=self.disk.is_damaged,
            quorum=settings.quorum,
            gossip=settings.gossip,
            election=settings.election,
            strict=settings.strict,
            scheduler=settings.scheduler,
            exec=settings.exec,
            interner=self._interner,
        )
        self.disk.is_damaged = False
        self._forget_run()
        kept: dict[ObjectName, tuple[bytes, int]] = {}
        for name in self.kept:
            held = self.store.get(name)
            if held is not None:
                kept[name] = held
        self.store = kept
        node = Node(config, rows, Rng(f"{self.seed}:{spec.name}:{self.epoch}"))
        self.node = node
        return node

    def end(self, fate: str, has_power: bool, rng: Rng) -> None:
        """Let the node end; see `Disk.end`. With a destroyed disk its identity is gone too."""
        self.node = None
        self.is_dark = not has_power
        self.disk.end(fate, has_power, rng)
        self._forget_run()
        if fate == "destroyed":
            self.renew()
            self.store = {}
            self.kept = {}

    def renew(self) -> None:
        """Take a new identity, and keep everything else."""
        self.generation += 1
        self.node_id = identity(self.seed, self.spec.name, self.generation)
        self.is_moved = False

    def become(self, other: Host) -> None:
        """Take the identity and a copy of the disk of another host, as a cloned card does."""
        assert self.node is None, f"host {self.index} runs"
        self.node_id = other.node_id
        self.disk = other.disk.copy()
        self.is_moved = True

    def is_held(self, true_s: float) -> bool:
        """Return whether effects wait for the disk for so long that deadlines wait, too, as in the daemon."""
        return self.is_blocked and true_s - self.blocked_at >= HELD_OUTPUT_S

    def now(self, true_s: float) -> float:
        """Return what the host's clock shows."""
        return self.clock.read(true_s)

    def _forget_run(self) -> None:
        self.waiting = []
        self.is_blocked = False
        self.is_asleep = False
        self.is_halted = False
        self.stalled_until = 0.0
        self.backlog = []
        self.links = {}
        self.stuck = {}
        self.failed_dials = {}
        self.fetches = 0
        self.fetch_queue = []
        self.givers = {}
        self.executors = {}
        self.deadline = NEVER


def identity(seed: str, name: str, generation: int) -> NodeId:
    """Return the node id of a host; a new disk has a new one."""
    text = f"{seed}:{name}" if generation == 0 else f"{seed}:{name}:{generation}"
    return blake2b(text.encode(), digest_size=16).digest()


def _stored_incarnation(disk: Disk) -> int:
    value = disk.row("node", b"incarnation")
    return 0 if value is None else Body([unpack_untrusted(value)]).take_int()

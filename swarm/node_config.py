"""Everything a node is told when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from swarm.core.errors import ConfigError
from swarm.core.ids import NODE_ID_SIZE, Address
from swarm.core.quorums import AVAILABLE, QUORUMS, STRICT
from swarm.election.config import ElectionConfig
from swarm.election.strict_config import StrictConfig
from swarm.exec.config import ExecConfig
from swarm.gossip.config import GossipConfig
from swarm.gossip.interning import Interner
from swarm.scheduler.config import SchedulerConfig

HELD_OUTPUT_S: Final = 1.0
"""A node whose effects wait for its disk for longer is not told of its deadlines until they are performed:
what it asked was not asked yet, so silence says nothing."""


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """Identity, capacity and settings of one node.

    Attributes:
        node_id: 16 bytes, see `swarm.core.ids`.
        name: what people call it; also the tag ``node=<name>``.
        addresses: where others reach it, best first; may change (`Node.set_addresses`).
        incarnation: higher than that of any earlier start.
        cores: that tasks may occupy together, >= 0.
        memory_bytes: that tasks may ask for together, 0 for no bound.
        facts: what the mesh is told about it (python, arch, platform, speed, tags, host, fitness …); cores
            and memory are added.
        is_amnesiac: rows of the journal are lost, so that this node may have promised what it does not know.
        quorum: of the mesh, one of `QUORUMS`.
        gossip, election, scheduler, exec: settings of the cores.
        strict: settings of the election in a strict mesh, besides `election`.
        interner: for many nodes in one process, which then hold equal things once; None in a daemon.
    """

    node_id: bytes
    name: str
    addresses: list[Address]
    incarnation: int
    cores: float
    memory_bytes: int
    facts: dict[str, object]
    is_amnesiac: bool = False
    quorum: str = AVAILABLE
    gossip: GossipConfig = field(default_factory=GossipConfig)
    election: ElectionConfig = field(default_factory=ElectionConfig)
    strict: StrictConfig = field(default_factory=StrictConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    exec: ExecConfig = field(default_factory=ExecConfig)
    interner: Interner | None = None

    def __post_init__(self) -> None:
        if len(self.node_id) != NODE_ID_SIZE:
            raise ConfigError(f"a node id has {NODE_ID_SIZE} bytes, not {len(self.node_id)}")
        if self.quorum not in QUORUMS:
            raise ConfigError(f"quorum is {self.quorum!r}, it must be {AVAILABLE} or {STRICT}")
        if self.cores < 0 or self.memory_bytes < 0:
            raise ConfigError(f"cores and memory are at least 0, not {self.cores} and {self.memory_bytes}")
        if not self.name:
            raise ConfigError("a node needs a name")

"""What simulated hosts are, and which settings their nodes run with."""

from __future__ import annotations

from dataclasses import dataclass, field

from swarm.core.errors import ConfigError
from swarm.core.quorums import AVAILABLE
from swarm.election.config import ElectionConfig
from swarm.election.strict_config import StrictConfig
from swarm.exec.config import ExecConfig
from swarm.gossip.config import GossipConfig
from swarm.scheduler.config import SchedulerConfig


@dataclass(frozen=True, kw_only=True)
class HostSpec:
    """One simulated host.

    Attributes:
        name: what its node is called, 1 to 64 printable characters.
        cores: that tasks may occupy together, >= 0.
        memory_bytes: that tasks may ask for together, >= 0; 0 for no bound.
        speed: run times of tasks are divided by it, > 0; 1.0 is the machine that run times are stated for.
        fitness: how well it suits the council, >= 0.
        tags: of the node.
        python: version told to the mesh.
        drift_ppm: how much faster than true time its clock runs, parts per million, above -500,000.
        machine: equal for hosts that are one machine, and so lose their disks together; "" for its own.
    """

    name: str
    cores: float = 1.0
    memory_bytes: int = 1 << 30
    speed: float = 1.0
    fitness: int = 100
    tags: tuple[str, ...] = ()
    python: str = "3.11"
    drift_ppm: float = 0.0
    machine: str = ""

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= 64:
            raise ConfigError(f"a host's name has 1 to 64 characters, not {len(self.name)}")
        if self.cores < 0 or self.memory_bytes < 0 or self.fitness < 0:
            raise ConfigError(
                "cores, memory_bytes and fitness are at least 0: "
                f"{self.cores}, {self.memory_bytes}, {self.fitness}"
            )
        if not self.speed > 0:
            raise ConfigError(f"speed must be > 0, not {self.speed}")
        if self.drift_ppm <= -500_000:
            raise ConfigError(f"drift_ppm must be above -500000, not {self.drift_ppm}")


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """Settings of the cores of every node of a cluster, and of what its driver costs.

    Attributes:
        gossip, election, scheduler, exec, strict, quorum: as for a real node; host 0 founds a strict mesh.
        sync_s: seconds of a durable write, >= 0; two milliseconds is a good SD card.
        flush_s: seconds after which other writes are on disk, > 0.
        spawn_s: seconds of the start of an executor, >= 0.
        start_s: seconds for which a process that starts is busy with itself before it takes an input, >= 0.
        handshake_s: seconds that each end of a new stream computes for its handshake at speed 1, >= 0.
        is_sharing: equal things that nodes hold are one object; the run is the same without, and larger.
        socket_buffer_count: datagrams that wait for a process that stands still, >= 0; more are lost.
    """

    gossip: GossipConfig = field(default_factory=GossipConfig)
    election: ElectionConfig = field(default_factory=ElectionConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    exec: ExecConfig = field(default_factory=ExecConfig)
    strict: StrictConfig = field(default_factory=StrictConfig)
    quorum: str = AVAILABLE
    sync_s: float = 0.002
    flush_s: float = 0.5
    spawn_s: float = 0.02
    start_s: float = 0.0
    handshake_s: float = 0.005
    socket_buffer_count: int = 256
    is_sharing: bool = True

    def __post_init__(self) -> None:
        if min(self.sync_s, self.spawn_s, self.start_s, self.handshake_s) < 0 or not self.flush_s > 0:
            raise ConfigError(
                "sync_s, spawn_s, start_s and handshake_s are at least 0 and flush_s is above 0: "
                f"{self.sync_s}, {self.spawn_s}, {self.start_s}, {self.handshake_s}, {self.flush_s}"
            )
        if self.socket_buffer_count < 0:
            raise ConfigError(f"socket_buffer_count is at least 0, not {self.socket_buffer_count}")

"""A simulated mesh and everything that a scenario can do to it.

The nodes are the daemon's own (`swarm.node.Node`); `sims.loop` drives them, `sims.carrier` carries what they
say, `sims.network` decides what arrives when. Everything random is decided by the seed.
"""

from __future__ import annotations

from typing import final

from sims import trace as kinds
from sims.disk import DESTROYED, DISK_FATES, KEEP
from sims.host import Host
from sims.loop import Loop
from sims.network import Network, NetworkConfig
from sims.settings import HostSpec, NodeSettings
from sims.stream import Arrival
from sims.trace import Trace
from swarm.core.errors import ConfigError
from swarm.core.ids import Address, ObjectName
from swarm.core.rng import Rng
from swarm.gossip.interning import Interner
from swarm.node import Node
from swarm.wire.messages import ENCODING_RAW

PORT = 7117


@final
class Cluster(Loop):
    """A mesh of simulated hosts, all of them down at first.

    Args:
        specs: the hosts, numbered from 0; names differ.
        seed: decides everything that is random.
        network: of as many hosts.
        trace: where events are folded in.
        settings: of all nodes.

    Raises:
        ConfigError: two hosts have one name.
    """

    def __init__(
        self, specs: list[HostSpec], seed: str, network: Network, trace: Trace, settings: NodeSettings
    ) -> None:
        super().__init__(network, trace, Rng(f"{seed}:faults"))
        self._next_session = 1
        self._next_host = len(specs)
        interner = Interner(settings.gossip) if settings.is_sharing else None
        names: dict[str, bool] = {}
        for index, spec in enumerate(specs):
            if spec.name in names:
                raise ConfigError(f"two hosts are called {spec.name!r}; give each a name of its own")
            names[spec.name] = True
            host = Host(index, address_of(index), spec, settings, seed, interner)
            self.hosts.append(host)
            self._by_address[host.address] = index
            self._by_id[host.node_id] = index

    # Life

    def start(self, index: int, seeds: list[int] | None = None) -> None:
        """Start the node of a host now; `seeds` are hosts whose addresses it is given."""
        host = self.hosts[index]
        assert host.node is None, f"host {index} runs already"
        now = self.engine.now
        host.is_dark = False
        node = host.boot()
        self._by_id[host.node_id] = index
        self.trace.add(now, kinds.STARTED, index, -1, host.node_id)
        for observer in self.observers:
            observer.on_boot(host, now)
        places = [self.hosts[seed].address for seed in ([] if seeds is None else seeds)]
        local = host.now(now)
        node.start(places, local)
        for name in host.kept:
            held = host.store.get(name)
            if held is not None:
                node.on_object_put(name, held[0], held[1], ENCODING_RAW, local)
        self.engine.schedule(now + host.settings.flush_s, kinds.FLUSH, index, host.epoch, None)
        self._pump(host)
        if host.settings.start_s > 0:
            self.stall(host, now + host.settings.start_s)

    def kill(self, index: int, power: bool = False, disk: str = KEEP) -> None:
        """Kill a node's process: rows not synced yet are lost, its streams break, its port refuses.

        Args:
            index: which host.
            power: the whole host goes dark instead: nobody is told, and nothing there answers any more.
            disk: one of `DISK_FATES`; a destroyed disk takes the node's identity with it.
        """
        assert disk in DISK_FATES, f"no such fate of a disk: {disk!r}"
        host = self.hosts[index]
        if host.node is None:
            host.is_dark = host.is_dark or power
            host.is_renewing = False
            if disk == DESTROYED:
                host.end(disk, not host.is_dark, self._rng)
            return
        self._end_node(host, "power" if power else "kill", disk, self._rng)

    def leave(self, index: int, is_for_good: bool = False) -> None:
        """Let a node say goodbye, draining first when it is for good; it stops by itself shortly after."""
        host = self.hosts[index]
        assert host.node is not None, f"host {index} is down"
        if is_for_good:
            host.node.drain(host.now(self.engine.now))
        host.node.leave(host.now(self.engine.now))
        self._pump(host)

    def move(self, index: int) -> None:
        """Give a host another address; its streams break, and its node tells the others."""
        host = self.hosts[index]
        del self._by_address[host.address]
        host.address = address_of(self._next_host)
        self._next_host += 1
        self._by_address[host.address] = index
        now = self.engine.now
        for other in list(host.links):
            self._break_link(host, self.hosts[other], now)
        if host.node is not None:
            host.node.set_addresses([host.address], host.now(now))
            self._pump(host)

    def describe(self, index: int, facts: dict[str, object]) -> None:
        """Let a running node tell everybody what changed about itself, None for what is no more."""
        host = self.hosts[index]
        assert host.node is not None, f"host {index} is down"
        host.node.update_facts(facts, host.now(self.engine.now))
        self._pump(host)

    def clone(self, source: int, target: int) -> None:
        """Start host `target`, which is down, with a copy of the identity and disk of `source`."""
        other = self.hosts[target]
        other.become(self.hosts[source])
        self._clones[other.node_id] = [source, target]
        self.start(target, [source])
        self._by_id[other.node_id] = source

    def end_clone(self, target: int) -> None:
        """Take a clone away: its host goes dark, and with its next start it is a new node with a new disk.

        It may have noticed before what it is, and have become a node of its own.
        """
        host = self.hosts[target]
        twins = self._clones.pop(host.node_id, None)
        if twins is not None:
            self._by_id[host.node_id] = twins[0]
        self.kill(target, power=True, disk=DESTROYED)

    # Processes, clocks, disks

    def pause(self, index: int, seconds: float) -> None:
        """Let a node's process stand still (SIGSTOP): its clock goes on, its datagrams wait in the socket."""
        self._note_fault(index, "pause")
        self.stall(self.hosts[index], self.engine.now + seconds)
        self._halt(self.engine.now, self.hosts[index])

    def suspend(self, index: int, seconds: float, counts: bool = True) -> None:
        """Let a host sleep: datagrams to it are lost, its tasks stand still.

        Args:
            index: which host.
            seconds: how long, > 0.
            counts: whether its clock counts the sleep, as CLOCK_BOOTTIME does.
        """
        self._note_fault(index, "suspend")
        host = self.hosts[index]
        now = self.engine.now
        wakes_s = max(now, host.stalled_until) if host.is_asleep else now
        for executor in host.executors.values():
            if executor.queue:
                executor.slept_s += max(0.0, now + seconds - wakes_s)
        host.is_asleep = True
        self._has_doubt = True
        if not counts:
            host.clock.stop(now, now + seconds)
        self.stall(host, now + seconds)
        self._halt(now, host)

    def set_pace(self, index: int, input_s: float) -> None:
        """Let every input keep a node's process busy for so long; 0 for a node of ordinary speed."""
        assert input_s >= 0, "an input takes no negative time"
        self.hosts[index].input_s = input_s

    def set_slowness(self, index: int, factor: float) -> None:
        """Let the tasks that begin on a host from now on take `factor` > 0 times as long."""
        assert factor > 0, "a task takes some time"
        self.hosts[index].slowness = factor

    def set_drift(self, index: int, drift_ppm: float) -> None:
        """Let a host's clock run faster than true time by so many parts per million."""
        host = self.hosts[index]
        host.clock.set_drift(drift_ppm, self.engine.now)
        self._replan(host)

    def jump_clock(self, index: int, seconds: float) -> None:
        """Let a host's clock jump forward."""
        self._note_fault(index, "jump")
        host = self.hosts[index]
        host.clock.jump(seconds, self.engine.now)
        self._replan(host)

    def flip_bit(self, index: int) -> str:
        """Damage a row on a host's disk, noticed at its next start; return the row's table, "" for none."""
        self._note_fault(index, "bit")
        return self.hosts[index].disk.flip_bit(self._rng)

    def set_lying_disk(self, index: int, is_lying: bool) -> None:
        """Let a disk acknowledge syncs that a loss of power will undo, or end that."""
        disk = self.hosts[index].disk
        if is_lying:
            disk.is_lying = True
        else:
            disk.tell_the_truth()

    def cut_links(self) -> None:
        """Let streams break at once that the network does not carry any more."""
        now = self.engine.now
        for host in self.hosts:
            if host.node is not None:
                for other in list(host.links):
                    if not self.network.carries(host.index, other):
                        self._break_link(host, self.hosts[other], now)

    # Clients

    def attach(self, index: int) -> int:
        """Attach a client to a node; return its session. Its frames gather in `client_frames`."""
        host = self.hosts[index]
        assert host.node is not None, f"host {index} is down"
        session = self._next_session
        self._next_session += 1
        self.client_frames[(index, session)] = []
        host.node.on_client_opened(session, "client", host.now(self.engine.now))
        self._pump(host)
        return session

    def detach(self, index: int, session: int) -> None:
        """Close a client's session."""
        self.client_frames.pop((index, session), None)
        host = self.hosts[index]
        if host.node is not None:
            host.node.on_client_closed(session, host.now(self.engine.now))
            self._pump(host)

    def send_from_client(self, index: int, session: int, payload: bytes) -> None:
        """Give a frame of a client to the node it is attached to."""
        host = self.hosts[index]
        assert host.node is not None, f"host {index} is down"
        arrival = Arrival(host.epoch, session, payload)
        self.engine.schedule(self.engine.now, kinds.CLIENT, index, arrival, None)

    def take_client_frames(self, index: int, session: int) -> list[bytes]:
        """Return and clear the frames that a client was sent."""
        frames = self.client_frames[(index, session)]
        self.client_frames[(index, session)] = []
        return frames

    def put(self, index: int, name: ObjectName, digest: bytes, size: int) -> None:
        """Let a client put an object into the store of a running node."""
        host = self.hosts[index]
        assert host.node is not None, f"host {index} is down"
        host.store[name] = (digest, size)
        host.kept[name] = 1
        host.node.on_object_put(name, digest, size, ENCODING_RAW, host.now(self.engine.now))
        self._pump(host)

    # Looking

    def running(self) -> list[Node]:
        """Return the nodes that run, by host number."""
        return [host.node for host in self.hosts if host.node is not None]

    def leaders(self) -> list[int]:
        """Return the hosts whose nodes believe that they lead."""
        return [host.index for host in self.hosts if host.node is not None and host.node.election.is_leader()]

    def is_converged(self) -> bool:
        """Return whether all running nodes list exactly each other and follow one leader that runs."""
        expected = sorted([host.node_id for host in self.hosts if host.node is not None])
        leader = b""
        for node in self.running():
            followed = node.election.leader()
            if not followed or (leader and followed != leader) or node.gossip.alive_ids() != expected:
                return False
            leader = followed
        return leader in expected

    def wait_converged(self, limit_s: float, step_s: float = 0.1) -> float:
        """Run until :meth:`is_converged`, asked every `step_s`; return the seconds it took, -1 for never."""
        begin = self.engine.now
        while self.engine.now - begin < limit_s:
            if self.is_converged():
                return self.engine.now - begin
            self.run_until(self.engine.now + step_s)
        return self.engine.now - begin if self.is_converged() else -1.0

    # Inside

    def _replan(self, host: Host) -> None:
        host.deadline = float("inf")
        if host.node is not None:
            self._plan_deadline(host)

    def _note_fault(self, index: int, what: str) -> None:
        self.trace.add(self.engine.now, kinds.FAULT, index, -1, what.encode())


def simple_cluster(
    count: int,
    seed: str,
    config: NetworkConfig | None = None,
    cores: float = 1.0,
    trace: Trace | None = None,
    settings: NodeSettings | None = None,
) -> Cluster:
    """Return a mesh of `count` equal hosts on one network, named n0, n1 and so on."""
    specs = [HostSpec(name=f"n{index}", cores=cores) for index in range(count)]
    network = Network(NetworkConfig() if config is None else config, count, Rng(f"{seed}:network"))
    return Cluster(
        specs,
        seed,
        network,
        Trace() if trace is None else trace,
        NodeSettings() if settings is None else settings,
    )


def address_of(number: int) -> Address:
    """Return the address of the host of a number, or of the number of a move."""
    return (f"10.{number // 62500}.{number // 250 % 250}.{number % 250 + 1}", PORT)

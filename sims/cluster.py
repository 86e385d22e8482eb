"""A simulated mesh: hosts, the network between them, faults, clients, and one loop over their events.

The nodes are the daemon's own (`swarm.node.Node`); what the daemon does with their effects, this does under
the virtual clock: packets and messages travel, durable writes take a while and hold back what stands behind
them, executors pretend to work.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, final

from sims.engine import Engine
from sims.host import Host, pretend
from sims.network import Network, NetworkConfig
from sims.trace import Trace
from swarm.core.effects import (
    DropObject,
    Effect,
    Erase,
    ExecutorTask,
    FetchObject,
    KillExecutor,
    LeaveFinished,
    Notify,
    Persist,
    RecallTasks,
    RunTasks,
    SendHello,
    SendMessage,
    SendPacket,
    SendToClient,
    SpawnExecutor,
    SpillObject,
)
from swarm.core.ids import Address, NodeId, ObjectName
from swarm.core.rng import Rng
from swarm.election.config import ElectionConfig
from swarm.exec.config import ExecConfig
from swarm.gossip.config import GossipConfig
from swarm.node import Node
from swarm.node_config import NodeConfig
from swarm.scheduler.config import SchedulerConfig
from swarm.wire.executor_frames import RECALLED

PORT: Final = 7117
FSYNC_S: Final = 0.002
SPAWN_S: Final = 0.02
FLUSH_S: Final = 0.5

_PACKET: Final = 1
_MESSAGE: Final = 2
_DEADLINE: Final = 3
_LINK_LOST: Final = 4
_SYNCED: Final = 5
_EXECUTOR: Final = 6
_RESULT: Final = 7
_FETCHED: Final = 8
_REFUSED: Final = 9
_FLUSH: Final = 10
_EXIT: Final = 11
_RECALL: Final = 12


@final
class Arrival:
    """Something on its way to one start of a host."""

    def __init__(self, epoch: int, source: int, payload: bytes) -> None:
        self.epoch: Final = epoch
        self.source: Final = source
        self.payload: Final = payload


@final
class Cluster:
    """A mesh of simulated hosts.

    Args:
        count: hosts, numbered from 0.
        seed: decides everything that is random.
        network: how the network behaves.
        cores: cores of each host.
        trace: where events are folded in.
        gossip, election, scheduler, exec_config: settings of all nodes.
    """

    def __init__(
        self,
        count: int,
        seed: str,
        network: NetworkConfig,
        cores: float = 1.0,
        trace: Trace | None = None,
        gossip: GossipConfig | None = None,
        election: ElectionConfig | None = None,
        scheduler: SchedulerConfig | None = None,
        exec_config: ExecConfig | None = None,
    ) -> None:
        self.engine: Final = Engine()
        self.trace: Final = Trace() if trace is None else trace
        self.network: Final = Network(network, Rng(f"{seed}:network"))
        self.hosts: Final[list[Host]] = []
        self.notices: list[tuple[float, int, str]] = []
        self.client_frames: dict[tuple[int, int], list[bytes]] = {}
        self._by_address: dict[Address, int] = {}
        self._by_id: dict[NodeId, int] = {}
        self._next_session = 1
        for index in range(count):
            address = (f"10.0.{index // 250}.{index % 250 + 1}", PORT)
            name = f"n{index}"
            config = NodeConfig(
                node_id=blake2b(f"{seed}:{name}".encode(), digest_size=16).digest(),
                name=name,
                addresses=[address],
                incarnation=1,
                cores=cores,
                memory_bytes=1 << 30,
                facts={"python": "3.11", "speed": 1.0, "fitness": 100, "tags": []},
                gossip=GossipConfig() if gossip is None else gossip,
                election=ElectionConfig() if election is None else election,
                scheduler=SchedulerConfig() if scheduler is None else scheduler,
                exec=ExecConfig() if exec_config is None else exec_config,
            )
            self.hosts.append(Host(index, address, config, seed))
            self._by_address[address] = index
            self._by_id[config.node_id] = index

    # What a scenario does

    def start(self, index: int, seeds: list[int] | None = None) -> None:
        """Start the node of a host now; `seeds` are hosts whose addresses it is given."""
        host = self.hosts[index]
        assert host.node is None, f"host {index} runs already"
        node = host.boot()
        places = [self.hosts[seed].address for seed in ([] if seeds is None else seeds)]
        node.start(places, self.engine.now)
        self.engine.schedule(self.engine.now + FLUSH_S, _FLUSH, index, host.epoch, None)
        self._pump(host)

    def kill(self, index: int, power: bool = False) -> None:
        """Kill a node's process: rows not synced yet are lost, its streams break, its port refuses.

        With `power` the whole host goes dark instead: nobody is told, and nothing there answers any more.
        """
        host = self.hosts[index]
        if host.node is None:
            return
        host.node = None
        host.is_dark = power
        host.disk.lose_unsynced()
        for other in list(host.links):
            self.hosts[other].links.pop(index, None)
            if not power and self.network.connects(other, index):
                when = self.engine.now + self.network.delay_s()
                arrival = Arrival(self.hosts[other].epoch, index, b"refused")
                self.engine.schedule(when, _LINK_LOST, other, arrival, None)
        host.links = {}

    def leave(self, index: int) -> None:
        """Let a node say goodbye; it stops by itself shortly after."""
        host = self.hosts[index]
        assert host.node is not None, f"host {index} is down"
        host.node.leave(self.engine.now)
        self._pump(host)

    def cut_links(self) -> None:
        """Let streams break that the network does not carry any more; both ends notice after a while."""
        for host in self.hosts:
            for other in list(host.links):
                if other > host.index and not self.network.connects(host.index, other):
                    self._break_link(host.index, other)

    def attach(self, index: int) -> int:
        """Attach a client to a node; return its session. Its frames gather in `client_frames`."""
        node = self.hosts[index].node
        assert node is not None, f"host {index} is down"
        session = self._next_session
        self._next_session += 1
        self.client_frames[(index, session)] = []
        node.on_client_opened(session, "client", self.engine.now)
        self._pump(self.hosts[index])
        return session

    def send_from_client(self, index: int, session: int, payload: bytes) -> None:
        """Give a frame of a client to the node it is attached to."""
        node = self.hosts[index].node
        assert node is not None, f"host {index} is down"
        node.receive_client(session, payload, self.engine.now)
        self._pump(self.hosts[index])

    def take_client_frames(self, index: int, session: int) -> list[bytes]:
        """Return and clear the frames that a client was sent."""
        frames = self.client_frames[(index, session)]
        self.client_frames[(index, session)] = []
        return frames

    def run_until(self, time_s: float) -> None:
        """Let everything happen up to virtual time `time_s`."""
        engine = self.engine
        while engine.next_time() <= time_s:
            self._step()
        engine.now = max(engine.now, time_s)

    def running(self) -> list[Node]:
        """Return the nodes that run, by host number."""
        return [host.node for host in self.hosts if host.node is not None]

    def leaders(self) -> list[int]:
        """Return the hosts whose nodes believe that they lead."""
        return [host.index for host in self.hosts if host.node is not None and host.node.election.is_leader()]

    def is_converged(self) -> bool:
        """Return whether all running nodes list exactly each other and follow one leader that runs."""
        expected = sorted([host.config.node_id for host in self.hosts if host.node is not None])
        leader = b""
        for node in self.running():
            if node.gossip.alive_ids() != expected:
                return False
            followed = node.election.leader()
            if not followed or (leader and followed != leader):
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

    # Events

    def _step(self) -> None:
        now, _, kind, target, first, second = self.engine.pop()
        host = self.hosts[target]
        if kind == _DEADLINE:
            if first != host.epoch or host.node is None or now != host.deadline:
                return
            host.deadline = float("inf")
            self.trace.add(now, kind, target, b"")
            if host.node.next_deadline() <= now:
                host.node.handle_deadline(now)
            self._pump(host)
            return
        if kind == _FLUSH:
            if host.node is not None and first == host.epoch:
                host.disk.sync()
                self.engine.schedule(now + FLUSH_S, _FLUSH, target, first, None)
            return
        assert isinstance(first, Arrival), "every other event carries an arrival"
        self._arrive(now, kind, host, first, second)

    def _arrive(self, now: float, kind: int, host: Host, arrival: Arrival, extra: object) -> None:
        node = host.node
        if node is None or arrival.epoch not in (host.epoch, -1):
            if node is None and kind == _PACKET and not host.is_dark:
                self._refuse(now, host, arrival.source)
            return
        self.trace.add(now, kind, host.index, arrival.payload)
        if kind == _PACKET:
            node.receive_packet(arrival.payload, self.hosts[arrival.source].address, now)
        elif kind == _MESSAGE:
            node.receive_message(self.hosts[arrival.source].config.node_id, arrival.payload, now)
        elif kind == _LINK_LOST:
            host.links.pop(arrival.source, None)
            peer = self.hosts[arrival.source].config.node_id
            node.on_peer_lost(peer, arrival.payload == b"refused", now)
        elif kind == _REFUSED:
            node.on_packet_refused(self.hosts[arrival.source].address, now)
        elif kind == _SYNCED:
            host.disk.sync()
            host.is_blocked = False
            waiting = host.waiting
            host.waiting = []
            self._perform(host, waiting)
        else:
            self._arrive_local(now, kind, host, node, arrival, extra)
        self._pump(host)

    def _arrive_local(
        self, now: float, kind: int, host: Host, node: Node, arrival: Arrival, extra: object
    ) -> None:
        """Take what comes from the host itself: its executors and its store."""
        if kind == _EXECUTOR:
            if arrival.source in host.executors:
                node.on_executor_ready(arrival.source, 1000 + arrival.source, now)
        elif kind == _EXIT:
            node.on_executor_exit(arrival.source, "killed", "", now)
        elif kind == _RESULT:
            assert isinstance(extra, ExecutorTask), "a result belongs to a task"
            self._finish_task(now, host, node, arrival.source, extra)
        elif kind == _FETCHED:
            assert isinstance(extra, FetchObject), "a fetch carries its effect"
            self._end_fetch(now, host, node, extra)
        elif kind == _RECALL:
            assert isinstance(extra, RecallTasks), "a recall carries its effect"
            self._recall_tasks(now, host, node, extra)

    def _refuse(self, now: float, host: Host, source: int) -> None:
        sender = self.hosts[source]
        if sender.node is not None and self.network.reaches(host.index, source):
            arrival = Arrival(sender.epoch, host.index, b"")
            self.engine.schedule(now + self.network.delay_s(), _REFUSED, source, arrival, None)

    def _pump(self, host: Host) -> None:
        node = host.node
        if node is None:
            return
        effects = node.take_effects()
        if host.is_blocked:
            host.waiting.extend(effects)
        else:
            self._perform(host, effects)
        deadline = node.next_deadline()
        if deadline < host.deadline or host.deadline < self.engine.now:
            deadline = max(deadline, self.engine.now)
            host.deadline = deadline
            if deadline < float("inf"):
                self.engine.schedule(deadline, _DEADLINE, host.index, host.epoch, None)

    def _perform(self, host: Host, effects: list[Effect]) -> None:
        now = self.engine.now
        for position, effect in enumerate(effects):
            if isinstance(effect, SendPacket):
                target = self._by_address.get(effect.destination)
                if target is not None:
                    self._send_packet(host.index, target, effect.payload)
            elif isinstance(effect, SendMessage):
                self._send_message(host, effect)
            elif isinstance(effect, Persist):
                host.disk.write(effect)
                if effect.durable:
                    host.is_blocked = True
                    host.waiting = effects[position + 1 :] + host.waiting
                    self.engine.schedule(
                        now + FSYNC_S, _SYNCED, host.index, Arrival(host.epoch, -1, b""), None
                    )
                    return
            elif isinstance(effect, Erase):
                host.disk.write(effect)
            elif isinstance(effect, SendHello):
                for other in self.hosts:
                    if other.index != host.index and self.network.hears_multicast(other.index):
                        self._send_packet(host.index, other.index, effect.payload)
            elif isinstance(effect, (RunTasks, RecallTasks, SpawnExecutor, KillExecutor)):
                self._perform_work(host, effect, now)
            else:
                self._perform_local(host, effect, now)

    def _perform_work(self, host: Host, effect: Effect, now: float) -> None:
        if isinstance(effect, RunTasks):
            queue = host.executors.get(effect.executor)
            if queue is not None:
                was_idle = not queue
                queue.extend(effect.tasks)
                if was_idle:
                    self._start_task(host, effect.executor, now)
        elif isinstance(effect, RecallTasks):
            self.engine.schedule(now, _RECALL, host.index, Arrival(host.epoch, effect.executor, b""), effect)
        elif isinstance(effect, SpawnExecutor):
            host.executors[effect.executor] = []
            arrival = Arrival(host.epoch, effect.executor, b"")
            self.engine.schedule(now + SPAWN_S, _EXECUTOR, host.index, arrival, None)
        elif isinstance(effect, KillExecutor):
            host.executors.pop(effect.executor, None)
            self.engine.schedule(now, _EXIT, host.index, Arrival(host.epoch, effect.executor, b""), None)

    def _perform_local(self, host: Host, effect: Effect, now: float) -> None:
        if isinstance(effect, FetchObject):
            seconds = self.network.delay_s() + effect.size / self.network.config.bandwidth_bytes_s
            self.engine.schedule(now + seconds, _FETCHED, host.index, Arrival(host.epoch, -1, b""), effect)
        elif isinstance(effect, SpillObject):
            digest = blake2b(effect.data, digest_size=16).digest()
            host.store[effect.name] = (digest, len(effect.data))
        elif isinstance(effect, DropObject):
            host.store.pop(effect.name, None)
        elif isinstance(effect, SendToClient):
            frames = self.client_frames.get((host.index, effect.session))
            if frames is not None:
                frames.append(effect.payload)
        elif isinstance(effect, Notify):
            self.notices.append((now, host.index, effect.event))
        elif isinstance(effect, LeaveFinished):
            self.kill(host.index)

    # Network

    def _send_packet(self, source: int, target: int, payload: bytes) -> None:
        if self.network.drops(len(payload)) or not self.network.reaches(source, target):
            return
        self.engine.schedule(
            self.engine.now + self.network.delay_s(), _PACKET, target, Arrival(-1, source, payload), None
        )

    def _send_message(self, host: Host, effect: SendMessage) -> None:
        target = self._by_id.get(effect.peer)
        if target is None or not effect.addresses:
            return
        peer = self.hosts[target]
        if peer.is_dark or not self.network.connects(host.index, target):
            when = self.engine.now + self.network.config.connect_timeout_s
            self.engine.schedule(when, _LINK_LOST, host.index, Arrival(host.epoch, target, b""), None)
        elif peer.node is None:
            when = self.engine.now + 2 * self.network.delay_s()
            self.engine.schedule(when, _LINK_LOST, host.index, Arrival(host.epoch, target, b"refused"), None)
        else:
            host.links[target] = True
            peer.links[host.index] = True
            when = self.network.arrival_s(host.index, target, self.engine.now, len(effect.payload))
            arrival = Arrival(peer.epoch, host.index, effect.payload)
            self.engine.schedule(when, _MESSAGE, target, arrival, None)

    def _break_link(self, one: int, two: int) -> None:
        for here, there in ((one, two), (two, one)):
            host = self.hosts[here]
            host.links.pop(there, None)
            when = self.engine.now + self.network.config.connect_timeout_s
            self.engine.schedule(when, _LINK_LOST, here, Arrival(host.epoch, there, b""), None)

    # Work

    def _start_task(self, host: Host, executor: int, now: float) -> None:
        task = host.executors[executor][0]
        seconds, _, _ = pretend(task)
        arrival = Arrival(host.epoch, executor, b"")
        self.engine.schedule(now + seconds, _RESULT, host.index, arrival, task)

    def _recall_tasks(self, now: float, host: Host, node: Node, effect: RecallTasks) -> None:
        """Give back what the executor has not begun: all but the first of its queue."""
        queue = host.executors.get(effect.executor)
        if queue is None:
            return
        recalled = [task.handle for task in queue[1:] if task.handle in effect.handles]
        queue[1:] = [task for task in queue[1:] if task.handle not in recalled]
        node.receive_executor_frames(effect.executor, [[RECALLED, recalled]], now)

    def _finish_task(self, now: float, host: Host, node: Node, executor: int, task: ExecutorTask) -> None:
        queue = host.executors.get(executor)
        if not queue or queue[0] is not task:
            return
        queue.pop(0)
        host.runs += 1
        _, frame, stored = pretend(task)
        for name, digest, size in stored:
            host.store[name] = (digest, size)
        node.receive_executor_frames(executor, [frame], now)
        if queue:
            self._start_task(host, executor, now)

    def _end_fetch(self, now: float, host: Host, node: Node, effect: FetchObject) -> None:
        failed: list[NodeId] = []
        for source, _ in effect.sources:
            index = self._by_id.get(source)
            if index is not None and self._can_copy(host, index, effect.name, effect.digest):
                host.store[effect.name] = (effect.digest, effect.size)
                node.on_object_fetched(effect.name, now)
                return
            failed.append(source)
        node.on_object_missing(effect.name, failed, now)

    def _can_copy(self, host: Host, index: int, name: ObjectName, digest: bytes) -> bool:
        holder = self.hosts[index]
        if holder.node is None or not self.network.connects(host.index, index):
            return False
        held = holder.store.get(name)
        return held is not None and held[0] == digest

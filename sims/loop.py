"""The loop of a simulated mesh: takes events from the heap, gives inputs to nodes, performs their effects.

What the daemon does with the effects of a node, this does under the virtual clock: packets and messages
travel (`sims.carrier`), durable writes take a while and hold back what stands behind them, executors pretend
to work. Times in events are true times; a node is told what its host's clock shows.

A process that stands still (paused, asleep, or busy with an input) takes nothing: its inputs wait in the
host's backlog, datagrams in a bounded number.
"""

from __future__ import annotations

import gc
from abc import ABC, abstractmethod
from hashlib import blake2b
from typing import Final

from sims import trace as kinds
from sims.carrier import EVERYBODY, Carrier, Fetch
from sims.disk import KEEP
from sims.engine import Event
from sims.executors import Executor, outcome, run_time_s, spoilt
from sims.host import Host
from sims.network import Network
from sims.observer import CLIENT, LINK_LOST, MESSAGE, PACKET, PACKET_REFUSED, Observer
from sims.stream import NEVER, Arrival
from sims.streams import REFUSED_NOTE, SILENT_NOTE
from sims.trace import Trace
from swarm.core.effects import (
    NOT_KEPT,
    DropObject,
    Effect,
    Erase,
    ExecutorTask,
    FetchObject,
    KillExecutor,
    LeaveFinished,
    Persist,
    RecallTasks,
    RenewIdentity,
    RunTasks,
    SendHello,
    SendMessage,
    SendPacket,
    SendToClient,
    SpawnExecutor,
    SpillObject,
)
from swarm.core.rng import Rng
from swarm.node import Node
from swarm.wire.executor_frames import DONE, RECALLED

RENEWAL_S: Final = 0.5
"""Between the end of a node that yields its identity and its start with a new one."""


class Loop(Carrier, ABC):
    """Events, nodes and effects; `Cluster` adds what a scenario does to them.

    Attributes:
        observers: see everything, in this order.
        client_frames: (host, session) -> frames that a client was sent and has not taken.
        inputs: datagrams, messages, deadlines and other inputs that nodes took.
        overflowed: datagrams lost because a process that stood still had too many waiting.
    """

    def __init__(self, network: Network, trace: Trace, rng: Rng) -> None:
        super().__init__(network, trace)
        self.observers: list[Observer] = []
        self.client_frames: dict[tuple[int, int], list[bytes]] = {}
        self.inputs = 0
        self.overflowed = 0
        self._rng: Final = rng

    @abstractmethod
    def start(self, index: int, seeds: list[int] | None = None) -> None:
        """Start the node of a host now; `seeds` are hosts whose addresses it is given."""

    # Events

    def run_until(self, time_s: float) -> None:
        """Let everything happen up to virtual time `time_s`."""
        # Nodes leave no cycles of objects behind, and looking for some would take a tenth of the time.
        has_collector = gc.isenabled()
        gc.disable()
        try:
            engine = self.engine
            self._look_at_ways(engine.now)
            while engine.next_time() <= time_s:
                self._step(engine.pop())
            engine.now = max(engine.now, time_s)
        finally:
            if has_collector:
                gc.enable()

    def _step(self, event: Event) -> None:
        now = event.time_s
        kind = event.kind
        target = event.target
        first = event.first
        host = self.hosts[target]
        if kind == kinds.PACKET:
            self._take_packet(now, host, event)
        elif kind == kinds.DEADLINE:
            if first == host.epoch and now == host.deadline:
                host.deadline = NEVER
                if now >= host.stalled_until and not host.is_held(now):
                    self._take_deadline(now, host)
        elif kind == kinds.RESUME:
            if first == host.epoch and event.second == host.stall_number:
                self._resume(now, host)
        elif kind == kinds.FLUSH:
            if first == host.epoch and host.node is not None:
                host.disk.sync()
                self.engine.schedule(now + host.settings.flush_s, kinds.FLUSH, target, first, None)
        elif not self._carry(now, host, event):
            self._take_event(now, host, event)

    def _take_packet(self, now: float, host: Host, event: Event) -> None:
        payload = event.first
        source = event.second
        assert isinstance(payload, bytes), "a packet has bytes"
        assert isinstance(source, int), "a packet has a sender"
        is_refusable = source >= 0
        if not is_refusable:
            source = EVERYBODY - source
        node = host.node
        if node is None:
            # Nobody answers for a group: only what was meant for this host is refused.
            if is_refusable and not host.is_dark:
                self._refuse(now, host, source)
        elif now < host.stalled_until:
            self._hold(host, event)
        else:
            self.trace.add(now, kinds.PACKET, host.index, source, payload)
            if self.observers:
                for observer in self.observers:
                    observer.on_input(host, PACKET, source, payload, now)
            node.receive_packet(payload, self.hosts[source].address, host.now(now))
            self._after_input(now, host)

    def _take_deadline(self, now: float, host: Host) -> None:
        node = host.node
        if node is None:
            return
        due = node.next_deadline()
        local = host.clock.reach(due, now)
        if due <= local:
            self.trace.add(now, kinds.DEADLINE, host.index, -1, b"")
            node.handle_deadline(local)
            self._after_input(now, host)
        else:
            self._plan_deadline(host)

    def _take_event(self, now: float, host: Host, event: Event) -> None:
        """Take an input that belongs to one start of a host."""
        arrival = event.first
        assert isinstance(arrival, Arrival), "every other event carries an arrival"
        node = host.node
        if node is None or arrival.epoch != host.epoch:
            if host.is_renewing and event.kind == kinds.RENEWED and arrival.epoch == host.epoch:
                self.start(host.index)
            return
        if event.kind == kinds.RESULT and self._is_put_off(now, host, arrival.source, event):
            return
        if now < host.stalled_until:
            self._hold(host, event)
            return
        kind = event.kind
        if kind == kinds.LINK_LOST and not self._lets_go(now, host, arrival):
            return
        if kind == kinds.MESSAGE and not self._is_heard(host, arrival):
            return
        self.trace.add(now, kind, host.index, arrival.source, arrival.payload)
        local = host.now(now)
        if kind == kinds.MESSAGE:
            self._see_input(host, MESSAGE, arrival.source, arrival.payload, now)
            peer = event.second
            assert isinstance(peer, bytes), "a message comes with its sender's id"
            node.receive_message(peer, arrival.payload, local)
        elif kind == kinds.LINK_LOST:
            self._see_input(host, LINK_LOST, arrival.source, arrival.payload, now)
            peer = event.second
            assert isinstance(peer, bytes), "a lost link had a peer"
            node.on_peer_lost(peer, arrival.payload == REFUSED_NOTE, local)
        elif kind == kinds.REFUSED:
            self._see_input(host, PACKET_REFUSED, arrival.source, b"", now)
            node.on_packet_refused(self.hosts[arrival.source].address, local)
        elif kind == kinds.SYNCED:
            self._end_sync(now, host)
        elif kind == kinds.CLIENT:
            self._see_input(host, CLIENT, arrival.source, arrival.payload, now)
            node.receive_client(arrival.source, arrival.payload, local)
        else:
            self._take_local(now, local, host, node, arrival, event)
        self._after_input(now, host)

    def _take_local(
        self, now: float, local: float, host: Host, node: Node, arrival: Arrival, event: Event
    ) -> None:
        """Take what comes from the host itself: its executors and its store."""
        kind = event.kind
        extra = event.second
        if kind == kinds.RESULT:
            assert isinstance(extra, ExecutorTask), "a result belongs to a task"
            self._finish_task(now, local, host, node, arrival.source, extra)
        elif kind == kinds.FETCHED:
            assert isinstance(extra, Fetch), "the end of a fetch carries it"
            self._next_fetch(now, host)
            for observer in self.observers:
                observer.on_copied(host, extra.effect.name, extra.failed, extra.is_here, now)
            if extra.is_here:
                if extra.effect.kept_encoding != NOT_KEPT:
                    host.kept[extra.effect.name] = 1
                if extra.effect.name not in host.store:
                    host.store[extra.effect.name] = (extra.effect.digest, extra.effect.size)
                node.on_object_fetched(extra.effect.name, local)
            else:
                node.on_object_missing(extra.effect.name, extra.failed, local)
        elif kind == kinds.EXECUTOR:
            if arrival.source in host.executors:
                node.on_executor_ready(arrival.source, 1000 + arrival.source, local)
        elif kind == kinds.EXIT:
            node.on_executor_exit(arrival.source, "killed", "", local)
        elif kind == kinds.RECALL:
            assert isinstance(extra, RecallTasks), "a recall carries its effect"
            self._recall_tasks(now, local, host, node, extra)

    # Processes that stand still

    def stall(self, host: Host, until_s: float) -> None:
        """Let a process take no input before a true time."""
        if until_s > host.stalled_until:
            host.stalled_until = until_s
            host.stall_number += 1
            self.engine.schedule(until_s, kinds.RESUME, host.index, host.epoch, host.stall_number)

    def _hold(self, host: Host, event: Event) -> None:
        if event.kind == kinds.PACKET and (
            host.is_asleep or len(host.backlog) >= host.settings.socket_buffer_count
        ):
            self.overflowed += 1
        else:
            host.backlog.append(event)

    def _resume(self, now: float, host: Host) -> None:
        self._has_doubt = self._has_doubt or host.is_asleep
        host.is_asleep = False
        if host.is_halted:
            host.is_halted = False
            self._hold_flows(now, host.index)
        node = host.node
        if node is None:
            return
        if node.next_deadline() <= host.now(now) and not host.is_held(now):
            self._take_deadline(now, host)
        while host.backlog and now >= host.stalled_until and host.node is not None:
            event = host.backlog.pop(0)
            if event.kind == kinds.PACKET:
                self._take_packet(now, host, event)
            else:
                self._take_event(now, host, event)
        if host.node is not None and not host.backlog and now >= host.stalled_until:
            self._plan_deadline(host)

    def _after_input(self, now: float, host: Host) -> None:
        self.inputs += 1
        self._pump(host)
        if host.input_s > 0:
            self.stall(host, now + host.input_s)

    # Effects

    def _pump(self, host: Host) -> None:
        node = host.node
        if node is None:
            return
        effects = node.take_effects()
        if effects:
            for observer in self.observers:
                observer.on_effects(host, effects, self.engine.now)
            if host.is_blocked:
                host.waiting.extend(effects)
            else:
                self._perform(host, effects)
        if host.node is not None:
            self._plan_deadline(host)

    def _plan_deadline(self, host: Host) -> None:
        """See that the node is woken at its deadline; an earlier wake-up that is scheduled serves too."""
        node = host.node
        assert node is not None, "only a running node has a deadline"
        now = self.engine.now
        deadline = host.clock.true_time(node.next_deadline(), now)
        if deadline < host.deadline and now >= host.stalled_until and not host.is_held(now):
            host.deadline = deadline
            self.engine.schedule(deadline, kinds.DEADLINE, host.index, host.epoch, None)

    def _end_sync(self, now: float, host: Host) -> None:
        host.disk.sync()
        for observer in self.observers:
            observer.on_synced(host, now)
        waiting = host.waiting
        host.is_blocked = False
        host.waiting = []
        self._perform(host, waiting)
        if host.node is not None and now >= host.stalled_until:
            if host.node.next_deadline() <= host.now(now):
                self._take_deadline(now, host)
            else:
                self._plan_deadline(host)

    def _perform(self, host: Host, effects: list[Effect]) -> None:
        now = self.engine.now
        for position, effect in enumerate(effects):
            for observer in self.observers:
                observer.on_performed(host, effect, now)
            if isinstance(effect, SendPacket):
                target = self._by_address.get(effect.destination, -1)
                if target >= 0:
                    self._send_packet(now, host.index, target, effect.payload)
            elif isinstance(effect, SendMessage):
                self._send_message(now, host, effect)
            elif isinstance(effect, Persist):
                host.disk.write(effect)
                if effect.durable:
                    host.is_blocked, host.blocked_at = True, now
                    host.waiting = effects[position + 1 :] + host.waiting
                    arrival = Arrival(host.epoch, -1, b"")
                    when = max(now + host.settings.sync_s, host.disk_stuck_until)
                    self.engine.schedule(when, kinds.SYNCED, host.index, arrival, None)
                    return
            elif isinstance(effect, SendHello):
                self._send_hello(now, host.index, effect.payload)
            elif isinstance(effect, (RunTasks, RecallTasks, SpawnExecutor, KillExecutor)):
                self._perform_work(host, effect, now)
            else:
                self._perform_local(host, effect, now)
                if host.node is None:
                    return

    def _perform_work(self, host: Host, effect: Effect, now: float) -> None:
        if isinstance(effect, RunTasks):
            executor = host.executors.get(effect.executor)
            if executor is not None:
                was_idle = not executor.queue
                executor.queue.extend(effect.tasks)
                if was_idle:
                    self._begin_task(host, effect.executor, executor, now)
        elif isinstance(effect, RecallTasks):
            arrival = Arrival(host.epoch, effect.executor, b"")
            self.engine.schedule(now, kinds.RECALL, host.index, arrival, effect)
        elif isinstance(effect, SpawnExecutor):
            host.executors[effect.executor] = Executor()
            arrival = Arrival(host.epoch, effect.executor, b"")
            self.engine.schedule(now + host.settings.spawn_s, kinds.EXECUTOR, host.index, arrival, None)
        elif isinstance(effect, KillExecutor):
            executor = host.executors.pop(effect.executor, None)
            if executor is not None and executor.queue:
                self._see_task(host, executor.queue[0], executor.begun_s, now, "killed")
            arrival = Arrival(host.epoch, effect.executor, b"")
            self.engine.schedule(now, kinds.EXIT, host.index, arrival, None)

    def _perform_local(self, host: Host, effect: Effect, now: float) -> None:
        if isinstance(effect, FetchObject):
            self._begin_fetch(now, host, effect)
        elif isinstance(effect, SpillObject):
            digest = blake2b(effect.data, digest_size=16).digest()
            host.store[effect.name] = (digest, len(effect.data))
        elif isinstance(effect, DropObject):
            host.store.pop(effect.name, None)
            host.kept.pop(effect.name, None)
        elif isinstance(effect, Erase):
            host.disk.write(effect)
        elif isinstance(effect, SendToClient):
            frames = self.client_frames.get((host.index, effect.session))
            if frames is not None:
                frames.append(effect.payload)
        elif isinstance(effect, LeaveFinished):
            self._end_node(host, "left", KEEP, self._rng)
        elif isinstance(effect, RenewIdentity):
            self._renew(host, now)

    def _renew(self, host: Host, now: float) -> None:
        """Let a node that yields its identity end, and start again soon as a new one."""
        host.disk.sync()  # a driver that ends in order writes what waits
        self._end_node(host, "kill", KEEP, self._rng)
        for index in self._clones.pop(host.node_id, []):
            if index != host.index:
                self._by_id[host.node_id] = index
        host.renew()
        host.is_renewing = True
        self.engine.schedule(now + RENEWAL_S, kinds.RENEWED, host.index, Arrival(host.epoch, -1, b""), None)

    # Executors

    def _begin_task(self, host: Host, number: int, executor: Executor, now: float) -> None:
        task = executor.queue[0]
        executor.begun_s = now
        executor.slept_s = 0.0
        seconds = 0.0 if host.is_spoilt else run_time_s(task) * host.slowness / host.spec.speed
        arrival = Arrival(host.epoch, number, b"")
        self.engine.schedule(now + seconds, kinds.RESULT, host.index, arrival, task)

    def _is_put_off(self, now: float, host: Host, number: int, event: Event) -> bool:
        """Return whether a task ends later because its host slept; its end is then planned anew."""
        executor = host.executors.get(number)
        if executor is None or not executor.queue or executor.queue[0] is not event.second:
            return False
        slept_s = executor.slept_s
        executor.slept_s = 0.0
        if slept_s > 0:
            self.engine.schedule(now + slept_s, event.kind, host.index, event.first, event.second)
        return slept_s > 0

    def _finish_task(
        self, now: float, local: float, host: Host, node: Node, number: int, task: ExecutorTask
    ) -> None:
        executor = host.executors.get(number)
        if executor is None or not executor.queue or executor.queue[0] is not task:
            return
        executor.queue.pop(0)
        host.runs += 1
        salt = host.node_id + task.attempt.to_bytes(4, "big")
        took_s = now - executor.begun_s
        frame, stored = (spoilt(task), []) if host.is_spoilt else outcome(task, took_s, salt)
        for name, digest, size in stored:
            host.store[name] = (digest, size)
        self._see_task(host, task, executor.begun_s, now, "done" if frame[0] == DONE else "failed")
        node.receive_executor_frames(number, [frame], local)
        if executor.queue:
            self._begin_task(host, number, executor, now)

    def _recall_tasks(self, now: float, local: float, host: Host, node: Node, effect: RecallTasks) -> None:
        """Give back what the executor has not begun: all but the first of its queue."""
        executor = host.executors.get(effect.executor)
        if executor is None:
            return
        recalled: list[int] = []
        kept = executor.queue[:1]
        for task in executor.queue[1:]:
            if task.handle in effect.handles:
                recalled.append(task.handle)
                self._see_task(host, task, now, now, "recalled")
            else:
                kept.append(task)
        executor.queue = kept
        node.receive_executor_frames(effect.executor, [[RECALLED, recalled]], local)

    # Seeing and ending

    def _see_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        for observer in self.observers:
            observer.on_input(host, kind, source, payload, now)

    def _see_task(self, host: Host, task: ExecutorTask, begin_s: float, end_s: float, how: str) -> None:
        for observer in self.observers:
            observer.on_task(host, task, begin_s, end_s, how)

    def _end_node(self, host: Host, how: str, fate: str, rng: Rng) -> None:
        """Let a node end: `how` as observers are told it, `fate` is that of its disk."""
        has_power = how != "power"
        now = self.engine.now
        self.trace.add(now, kinds.DOWN, host.index, -1, how.encode())
        self._has_doubt = True
        if has_power:
            self._end_links(now, host, SILENT_NOTE if how == "left" else REFUSED_NOTE)
        for executor in host.executors.values():
            if executor.queue:
                self._see_task(host, executor.queue[0], executor.begun_s, now, "killed")
        host.end(fate, has_power, rng)
        self._stop_flows(now, host.index, has_power)
        for observer in self.observers:
            observer.on_down(host, how, now)

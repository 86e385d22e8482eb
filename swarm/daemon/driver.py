"""The driver: owns a node, feeds it inputs with the time, performs its effects in order.

Readers (sockets, executors, the local API) call the input methods, which are plain functions: the node has
digested the input when they return. They also wake the one task of :meth:`Driver.run`, which takes a *turn*
as soon as every reader that was ready has had its say: due deadlines, then :meth:`Driver._pump`. A burst of
inputs so costs one turn. Nothing between an input and its effects awaits, hence there are no locks.

The barrier: behind a durable `Persist` effects wait until a worker thread has synced it. Inputs go on being
accepted; what they cause queues up behind. All rows that wait are committed together (a row may be written
before a packet that stands in front of it: a crash between the two looks like a lost packet). Behind a commit
that takes longer than `HELD_OUTPUT_S` no deadline is handled. A commit that
fails is tried again for a while; then the driver raises, because a node that cannot remember what it promised
must not go on: the daemon stands aside until :meth:`Driver.wait_writable` returns. Nothing that stood behind
the rows has left the node by then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, final

import trio

from swarm.core.effects import (
    DropObject,
    Effect,
    Erase,
    FetchObject,
    KillExecutor,
    LeaveFinished,
    Notify,
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
from swarm.core.errors import StorageError
from swarm.core.ids import Address, NodeId, ObjectName
from swarm.daemon.clock import Watch
from swarm.daemon.logs import Log
from swarm.daemon.node_face import NodeFace
from swarm.daemon.recorder import Recorder
from swarm.daemon.storage import Journal, Write
from swarm.node_config import HELD_OUTPUT_S

LONGEST_WAIT_S: Final = 1.0
"""The node's clock is read at least so often, so that a sleep of the machine is noticed soon after it."""

BATCH_DELAY_S: Final = 1.0
"""How long a row that is not durable may wait for company."""

COMMIT_RETRY_S: Final = 0.5
COMMIT_PATIENCE_S: Final = 10.0
"""How long a failing disk is asked again before the driver gives up."""

STAND_ASIDE_RETRY_S: Final = 2.0
"""How often a node that stands aside tries its disk."""

EFFECTS_WAITING_MAX: Final = 500_000
"""Effects that may wait behind a commit; more means that the disk does not keep up at all."""


class World(Protocol):
    """What performs the effects that leave the node; nothing here may await or raise."""

    def send_packet(self, destination: Address, payload: bytes) -> None:
        """Send one datagram."""
        ...

    def send_hello(self, payload: bytes) -> None:
        """Send one datagram by every means of discovery."""
        ...

    def send_message(self, peer: NodeId, addresses: list[Address], payload: bytes) -> None:
        """Queue a message for a peer's stream."""
        ...

    def send_to_client(self, session: int, payload: bytes) -> None:
        """Queue a frame for a client's session."""
        ...

    def fetch_object(self, effect: FetchObject) -> None:
        """Begin to copy an object; answered by `on_object_fetched` or `on_object_missing`."""
        ...

    def spill_object(self, name: ObjectName, data: bytes) -> None:
        """Write a small object into the own store at once."""
        ...

    def drop_object(self, name: ObjectName) -> None:
        """Delete an object of the own store."""
        ...

    def spawn_executor(self, executor: int) -> None:
        """Begin to start an executor."""
        ...

    def run_tasks(self, effect: RunTasks) -> None:
        """Queue tasks for an executor."""
        ...

    def recall_tasks(self, effect: RecallTasks) -> None:
        """Take back tasks that an executor has not begun; answered by a frame `RECALLED`."""
        ...

    def kill_executor(self, executor: int, reason: str) -> None:
        """Kill an executor."""
        ...


@final
class Driver:
    """Drives one node.

    Args:
        node: the node; nothing else may call its inputs.
        journal: open; nothing else may commit to it while the driver runs.
        log: receives the node's `Notify` effects.
        watch: the node's time.
        recorder: keeps every input, None for none.

    Attributes:
        renewal: set when the node asks for a new identity; it says nothing more.
        left: set when the node has said goodbye, after :meth:`leave`.
    """

    def __init__(
        self, node: NodeFace, journal: Journal, log: Log, watch: Watch, recorder: Recorder | None = None
    ) -> None:
        self._node = node
        self._journal = journal
        self._log = log
        self._watch = watch
        self._recorder = recorder
        self._world: World | None = None
        self._parked: trio.lowlevel.Task | None = None
        self._has_input = False
        self._batch: list[Write] = []
        self._waiting: list[Effect] = []
        self._blocked_at = 0.0
        self._is_blocked = False
        self._commit_wanted = trio.Event()
        self._durable_wanted = trio.Event()
        self.left: Final = trio.Event()
        self.renewal: Final = trio.Event()
        self._journal_error = ""
        self._counts = {"inputs": 0, "turns": 0, "effects": 0, "commit_failures": 0, "waiting_most": 0}

    # Running

    async def run(self, world: World, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Drive the node until cancelled.

        Raises:
            StorageError: the journal could not be written for `COMMIT_PATIENCE_S`.
        """
        self._world = world
        self._watch.restart()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_commits)
            task_status.started()
            while True:
                now = self._turn()
                due_s = LONGEST_WAIT_S if self._is_held() else self._node.next_deadline() - now
                wait_s = min(max(due_s, 0.0), LONGEST_WAIT_S)
                with trio.CancelScope(deadline=trio.current_time() + wait_s):
                    await self._wait_for_input()

    def close(self) -> None:
        """Write the rows that wait for their batch, after :meth:`run` has ended; blocks, raises nothing.

        Rows of a durable commit that was still under way are among them; the effects behind those are not
        performed any more.
        """
        writes = self._batch + [effect for effect in self._waiting if isinstance(effect, (Persist, Erase))]
        self._batch, self._waiting = [], []
        if writes:
            try:
                self._journal.commit(writes, durable=True)
            except StorageError as error:
                self._log.event("journal_failed", {"error": str(error)})
        if self._recorder is not None:
            self._recorder.close()

    async def wait_writable(self) -> None:
        """After :meth:`run` has failed: wait until all rows that wait could be written."""
        writes = self._batch + [effect for effect in self._waiting if isinstance(effect, (Persist, Erase))]
        self._batch, self._waiting = writes, []
        while True:
            try:
                await _in_thread(lambda: self._journal.commit(writes, True))
            except StorageError as error:
                self._journal_error = str(error)
                await trio.sleep(STAND_ASIDE_RETRY_S)
            else:
                self._batch = []
                return

    def statistics(self) -> dict[str, object]:
        """Return counters of the driver and the journal."""
        result: dict[str, object] = dict(self._counts)
        result["clock_gaps"] = self._watch.gap_count
        result["waiting"] = len(self._waiting)
        result["commits"] = self._journal.commit_count
        result["commits_durable"] = self._journal.durable_count
        result["rows_written"] = self._journal.row_count
        result["journal_error"] = self._journal_error
        return result

    # Inputs

    def start(self, seeds: Sequence[Address]) -> None:
        """See `Node.start`."""
        self._node.start(seeds, self._input("start", (list(seeds),)))

    def leave(self) -> None:
        """See `Node.leave`; `left` tells when it is over."""
        self._node.leave(self._input("leave", ()))

    def drain(self) -> None:
        """See `Node.drain`."""
        self._node.drain(self._input("drain", ()))

    def receive_packet(self, payload: bytes, source: Address) -> None:
        """See `Node.receive_packet`."""
        self._node.receive_packet(payload, source, self._input("receive_packet", (payload, source)))

    def receive_message(self, peer: NodeId, payload: bytes) -> None:
        """See `Node.receive_message`."""
        self._node.receive_message(peer, payload, self._input("receive_message", (peer, payload)))

    def on_peer_connected(self, peer: NodeId) -> None:
        """See `Node.on_peer_connected`."""
        self._node.on_peer_connected(peer, self._input("on_peer_connected", (peer,)))

    def on_peer_lost(self, peer: NodeId, was_refused: bool) -> None:
        """See `Node.on_peer_lost`."""
        self._node.on_peer_lost(peer, was_refused, self._input("on_peer_lost", (peer, was_refused)))

    def on_packet_refused(self, address: Address) -> None:
        """See `Node.on_packet_refused`."""
        self._node.on_packet_refused(address, self._input("on_packet_refused", (address,)))

    def on_client_opened(self, session: int, role: str) -> None:
        """See `Node.on_client_opened`."""
        self._node.on_client_opened(session, role, self._input("on_client_opened", (session, role)))

    def receive_client(self, session: int, payload: bytes) -> None:
        """See `Node.receive_client`."""
        self._node.receive_client(session, payload, self._input("receive_client", (session, payload)))

    def on_client_closed(self, session: int) -> None:
        """See `Node.on_client_closed`."""
        self._node.on_client_closed(session, self._input("on_client_closed", (session,)))

    def on_executor_ready(self, executor: int, pid: int) -> None:
        """See `Node.on_executor_ready`."""
        self._node.on_executor_ready(executor, pid, self._input("on_executor_ready", (executor, pid)))

    def on_executor_exit(self, executor: int, reason: str, last_output: str) -> None:
        """See `Node.on_executor_exit`."""
        now = self._input("on_executor_exit", (executor, reason, last_output))
        self._node.on_executor_exit(executor, reason, last_output, now)

    def receive_executor_frames(self, executor: int, frames: list[list[object]]) -> None:
        """See `Node.receive_executor_frames`."""
        now = self._input("receive_executor_frames", (executor, frames))
        self._node.receive_executor_frames(executor, frames, now)

    def on_object_fetched(self, name: ObjectName) -> None:
        """See `Node.on_object_fetched`."""
        self._node.on_object_fetched(name, self._input("on_object_fetched", (name,)))

    def on_object_missing(self, name: ObjectName, failed: list[NodeId]) -> None:
        """See `Node.on_object_missing`."""
        self._node.on_object_missing(name, failed, self._input("on_object_missing", (name, failed)))

    def on_object_put(self, name: ObjectName, digest: bytes, size: int, encoding: int) -> None:
        """See `Node.on_object_put`."""
        now = self._input("on_object_put", (name, digest, size, encoding))
        self._node.on_object_put(name, digest, size, encoding, now)

    def set_addresses(self, addresses: list[Address]) -> None:
        """See `Node.set_addresses`."""
        self._node.set_addresses(addresses, self._input("set_addresses", (addresses,)))

    def update_facts(self, changes: dict[str, object]) -> None:
        """See `Node.update_facts`."""
        self._node.update_facts(changes, self._input("update_facts", (changes,)))

    def greet(self, places: Sequence[Address]) -> None:
        """See `Node.greet`."""
        self._node.greet(places, self._input("greet", (list(places),)))

    def persist(self, write: Write) -> None:
        """Write a row of the daemon's own with the next batch."""
        self._add_to_batch(write)

    def _input(self, method: str, arguments: tuple[object, ...]) -> float:
        """Return the time at which the input happens; a gap in the clock is told to the node first."""
        now = self._read_clock()
        if self._recorder is not None:
            self._recorder.record(method, arguments, now)
        self._counts["inputs"] += 1
        self._wake()
        return now

    def _wake(self) -> None:
        """Let the driver take a turn."""
        self._has_input = True
        if self._parked is not None:
            task, self._parked = self._parked, None
            trio.lowlevel.reschedule(task)

    def _read_clock(self) -> float:
        now, gap_s = self._watch.read()
        if gap_s:
            self._log.event("clock_gap", {"gap_s": round(gap_s, 3)})
            if self._recorder is not None:
                self._recorder.record("wake", (), now)
            self._node.wake(now)
        return now

    # Turns

    def _turn(self) -> float:
        now = self._read_clock()
        self._counts["turns"] += 1
        if self._node.next_deadline() <= now and not self._is_held():
            if self._recorder is not None:
                self._recorder.record("handle_deadline", (), now)
            self._node.handle_deadline(now)
        self._pump()
        return now

    async def _wait_for_input(self) -> None:
        if not self._has_input:
            self._parked = trio.lowlevel.current_task()

            def forget(_: object) -> trio.lowlevel.Abort:
                self._parked = None
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(forget)
        else:
            await trio.lowlevel.checkpoint()
        self._has_input = False

    def _is_held(self) -> bool:
        """Return whether effects wait for the disk for so long that deadlines wait, too."""
        return self._is_blocked and trio.current_time() - self._blocked_at >= HELD_OUTPUT_S

    def _pump(self) -> None:
        """Take the node's effects and perform them, or queue them behind a commit."""
        effects = self._node.take_effects()
        self._counts["effects"] += len(effects)
        if not self._is_blocked:
            self._perform_until_durable(effects)
            return
        self._waiting.extend(effects)
        self._counts["waiting_most"] = max(self._counts["waiting_most"], len(self._waiting))
        if len(self._waiting) > EFFECTS_WAITING_MAX:
            raise StorageError(
                f"the disk does not keep up: {len(self._waiting)} effects wait for the journal"
            )

    def _perform_until_durable(self, effects: list[Effect]) -> None:
        for index, effect in enumerate(effects):
            if isinstance(effect, Persist) and effect.durable:
                self._waiting = effects[index:]
                self._is_blocked, self._blocked_at = True, trio.current_time()
                self._commit_wanted.set()
                self._durable_wanted.set()
                return
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        world = self._world
        assert world is not None, "effects are performed while the driver runs"
        match effect:
            case SendMessage():
                world.send_message(effect.peer, effect.addresses, effect.payload)
            case RunTasks():
                world.run_tasks(effect)
            case SendPacket():
                world.send_packet(effect.destination, effect.payload)
            case SendToClient():
                world.send_to_client(effect.session, effect.payload)
            case SendHello():
                world.send_hello(effect.payload)
            case FetchObject():
                world.fetch_object(effect)
            case SpillObject():
                world.spill_object(effect.name, effect.data)
            case DropObject():
                world.drop_object(effect.name)
            case SpawnExecutor():
                world.spawn_executor(effect.executor)
            case RecallTasks():
                world.recall_tasks(effect)
            case KillExecutor():
                world.kill_executor(effect.executor, effect.reason)
            case _:
                self._perform_here(effect)

    def _perform_here(self, effect: Effect) -> None:
        """Perform what needs no world."""
        match effect:
            case Persist() | Erase():
                self._add_to_batch(effect)
            case Notify():
                self._log.event(effect.event, effect.values)
            case LeaveFinished():
                self.left.set()
            case RenewIdentity():
                self.renewal.set()
            case _:
                raise AssertionError(f"an effect that no driver performs: {effect!r}")

    def _add_to_batch(self, write: Write) -> None:
        self._batch.append(write)
        self._commit_wanted.set()

    # Commits

    async def _run_commits(self) -> None:
        while True:
            await self._commit_wanted.wait()
            if not self._is_blocked:
                with trio.move_on_after(BATCH_DELAY_S):
                    await self._durable_wanted.wait()
            await self._commit()

    async def _commit(self) -> None:
        """Write the batch and all rows that wait, then perform what stood behind them."""
        was_blocked = self._is_blocked
        writes = self._batch
        behind: list[Effect] = []
        for effect in self._waiting:
            if isinstance(effect, (Persist, Erase)):
                writes.append(effect)
            else:
                behind.append(effect)
        self._batch, self._waiting = [], []
        self._commit_wanted = trio.Event()
        self._durable_wanted = trio.Event()
        try:
            await self._commit_patiently(lambda: self._journal.commit(writes, was_blocked))
        except BaseException:
            self._batch = writes + self._batch
            raise
        if not was_blocked:
            return
        queued, self._waiting = self._waiting, []
        was_held = self._is_held()
        self._is_blocked = False
        for effect in behind:
            self._perform(effect)
        self._perform_until_durable(queued)
        if was_held:
            self._wake()

    async def _commit_patiently(self, commit: Callable[[], None]) -> None:
        give_up = trio.current_time() + COMMIT_PATIENCE_S
        while True:
            try:
                await _in_thread(commit)
            except StorageError as error:
                self._counts["commit_failures"] += 1
                if str(error) != self._journal_error:
                    self._journal_error = str(error)
                    self._log.event("journal_failed", {"error": str(error)})
                if trio.current_time() >= give_up:
                    raise
                await trio.sleep(COMMIT_RETRY_S)
            else:
                if self._journal_error:
                    self._log.event("journal_recovered", {"after": self._journal_error})
                self._journal_error = ""
                return


def _in_thread(commit: Callable[[], None]) -> Awaitable[None]:
    return trio.to_thread.run_sync(commit)

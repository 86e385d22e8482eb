"""A driver with everything around it scripted, under a virtual clock: for the tests of the daemon."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from unittest import mock

import trio
import trio.testing

from swarm.core.effects import Effect, FetchObject, LeaveFinished, RecallTasks, RunTasks, SendPacket
from swarm.core.errors import StorageError
from swarm.core.ids import Address, NodeId, ObjectName
from swarm.daemon import driver
from swarm.daemon.clock import Watch
from swarm.daemon.driver import Driver
from swarm.daemon.json_text import from_json
from swarm.daemon.logs import Log
from swarm.daemon.recorder import Recorder
from swarm.daemon.storage import Journal, Write

NAME: ObjectName = (b"j" * 10, 1, 0)
PEER = b"p" * 16
HERE: Address = ("10.0.0.1", 7117)


class VirtualClock:
    """Follows trio's clock, which tests skip through, plus what a test adds."""

    def __init__(self) -> None:
        self.extra = 1000.0
        self.suspended = 0.0

    def now(self) -> float:
        try:
            return trio.current_time() + self.extra
        except RuntimeError:
            return self.extra

    def suspended_s(self) -> float:
        return self.suspended


class ScriptedNode:
    """Notes its inputs; gives the effects that a test has put in, one batch per call."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.effects: list[Effect] = []
        self.deadline = math.inf
        self.deadline_step = math.inf
        self.taken = 0

    def take_effects(self) -> list[Effect]:
        self.taken += 1
        effects, self.effects = self.effects, []
        return effects

    def next_deadline(self) -> float:
        return self.deadline

    def handle_deadline(self, now: float) -> None:
        assert now >= self.deadline
        self.calls.append(("handle_deadline", now))
        self.deadline += self.deadline_step

    def start(self, seeds: Sequence[Address], now: float) -> None:
        self.calls.append(("start", seeds, now))

    def leave(self, now: float) -> None:
        self.calls.append(("leave", now))
        self.effects += [SendPacket(HERE, b"bye"), LeaveFinished()]

    def drain(self, now: float) -> None:
        self.calls.append(("drain", now))

    def wake(self, now: float) -> None:
        self.calls.append(("wake", now))

    def receive_packet(self, payload: bytes, source: Address, now: float) -> None:
        self.calls.append(("receive_packet", payload, source, now))

    def receive_message(self, peer: NodeId, payload: bytes, now: float) -> None:
        self.calls.append(("receive_message", peer, payload, now))

    def on_peer_connected(self, peer: NodeId, now: float) -> None:
        self.calls.append(("on_peer_connected", peer, now))

    def on_peer_lost(self, peer: NodeId, was_refused: bool, now: float) -> None:
        self.calls.append(("on_peer_lost", peer, was_refused, now))

    def on_packet_refused(self, address: Address, now: float) -> None:
        self.calls.append(("on_packet_refused", address, now))

    def on_client_opened(self, session: int, role: str, now: float) -> None:
        self.calls.append(("on_client_opened", session, role, now))

    def receive_client(self, session: int, payload: bytes, now: float) -> None:
        self.calls.append(("receive_client", session, payload, now))

    def on_client_closed(self, session: int, now: float) -> None:
        self.calls.append(("on_client_closed", session, now))

    def on_executor_ready(self, executor: int, pid: int, now: float) -> None:
        self.calls.append(("on_executor_ready", executor, pid, now))

    def on_executor_exit(self, executor: int, reason: str, last_output: str, now: float) -> None:
        self.calls.append(("on_executor_exit", executor, reason, last_output, now))

    def receive_executor_frames(self, executor: int, frames: list[list[object]], now: float) -> None:
        self.calls.append(("receive_executor_frames", executor, frames, now))

    def on_object_fetched(self, name: ObjectName, now: float) -> None:
        self.calls.append(("on_object_fetched", name, now))

    def on_object_missing(self, name: ObjectName, failed: list[NodeId], now: float) -> None:
        self.calls.append(("on_object_missing", name, failed, now))

    def on_object_put(self, name: ObjectName, digest: bytes, size: int, encoding: int, now: float) -> None:
        self.calls.append(("on_object_put", name, digest, size, encoding, now))

    def set_addresses(self, addresses: list[Address], now: float) -> None:
        self.calls.append(("set_addresses", addresses, now))

    def update_facts(self, changes: dict[str, object], now: float) -> None:
        self.calls.append(("update_facts", changes, now))

    def greet(self, places: Sequence[Address], now: float) -> None:
        self.calls.append(("greet", places, now))


class NotedWorld:
    """Notes what is performed, in order."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []

    def send_packet(self, destination: Address, payload: bytes) -> None:
        self.done.append(("packet", destination, payload))

    def send_hello(self, payload: bytes) -> None:
        self.done.append(("hello", payload))

    def send_message(self, peer: NodeId, addresses: list[Address], payload: bytes) -> None:
        self.done.append(("message", peer, payload))

    def send_to_client(self, session: int, payload: bytes) -> None:
        self.done.append(("client", session, payload))

    def fetch_object(self, effect: FetchObject) -> None:
        self.done.append(("fetch", effect.name))

    def spill_object(self, name: ObjectName, data: bytes) -> None:
        self.done.append(("spill", name, data))

    def drop_object(self, name: ObjectName) -> None:
        self.done.append(("drop", name))

    def spawn_executor(self, executor: int) -> None:
        self.done.append(("spawn", executor))

    def run_tasks(self, effect: RunTasks) -> None:
        self.done.append(("run", effect.executor))

    def recall_tasks(self, effect: RecallTasks) -> None:
        self.done.append(("recall", effect.executor, effect.handles))

    def kill_executor(self, executor: int, reason: str) -> None:
        self.done.append(("kill", executor, reason))


class NotedJournal(Journal):
    """Notes commits; a test may make them slow or failing."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.commits: list[tuple[list[Write], bool]] = []
        self.failures = 0
        self.gate: trio.Event | None = None
        self._is_at_gate = False

    def is_held(self) -> bool:
        """Return whether a commit stands before the closed gate."""
        return self._is_at_gate and self.gate is not None and not self.gate.is_set()

    def commit(self, writes: list[Write], durable: bool) -> None:
        if self.gate is not None:
            self._is_at_gate = True
            trio.from_thread.run(self.gate.wait)
            self._is_at_gate = False
        if self.failures:
            self.failures -= 1
            raise StorageError("no space left for the journal")
        super().commit(writes, durable)
        self.commits.append((list(writes), durable))


class Bench:
    """A driver with everything around it scripted."""

    def __init__(self, path: Path, recorder: Recorder | None = None) -> None:
        self.clock = VirtualClock()
        self.node = ScriptedNode()
        self.world = NotedWorld()
        self.journal = NotedJournal(path / "journal.db")
        self.journal.open()
        self.log_path = path / "log"
        self.log = Log(self.log_path)
        self.driver = Driver(self.node, self.journal, self.log, Watch(self.clock), recorder)

    def poke(self, *effects: Effect) -> None:
        """Let an input cause effects."""
        self.node.effects += effects
        self.driver.receive_packet(b"poke", HERE)

    def events(self) -> list[str]:
        return [from_json(line)["event"] for line in self.log_path.read_text().splitlines()]


Scenario = Callable[[Bench], Awaitable[None]]


def play(path: Path, scenario: Scenario, recorder: Recorder | None = None) -> Bench:
    """Run a scenario beside the driver, under a clock that skips waits, but not those for commits."""
    bench: list[Bench] = []

    async def in_thread(commit: Callable[[], None]) -> None:
        failure: StorageError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_clock)
            try:
                await trio.to_thread.run_sync(commit)
            except StorageError as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def stop_clock() -> None:
        """Be busy while a commit is: the clock skips when all tasks wait, and a thread may be starved."""
        gate = bench[0].journal.gate
        while not bench[0].journal.is_held():
            await trio.lowlevel.checkpoint()
        if gate is not None:
            await gate.wait()
            await stop_clock()

    async def main() -> None:
        bench.append(Bench(path, recorder))
        async with trio.open_nursery() as nursery:
            await nursery.start(bench[0].driver.run, bench[0].world)
            await scenario(bench[0])
            nursery.cancel_scope.cancel()
        bench[0].driver.close()
        bench[0].journal.close()
        bench[0].log.close()

    with mock.patch.object(driver, "_in_thread", in_thread):
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))
    return bench[0]


async def settle() -> None:
    await trio.sleep(0.05)

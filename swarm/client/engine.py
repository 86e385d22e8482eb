"""Keeps a session connected: dials, reads, writes, and goes on through another node when one dies.

One trio task dials and serves one connection after the other. Inside a connection a reader feeds the
session and a writer sends what the session and the jobs have; both end with the connection. Whoever adds
work calls :meth:`Engine.wake`, from any thread: everything added by then leaves as one part for each job.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast, final

import trio

from swarm.client.errors import CODE_NO_MESH, Refused
from swarm.client.job import ClientJob
from swarm.client.parts import PART_TASKS_MAX, Part, Upload
from swarm.client.session import Session, is_welcome
from swarm.client.transport import Link, Transport
from swarm.core.errors import (
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    StorageError,
    SwarmError,
    TransportError,
)
from swarm.core.ids import DIGEST_SIZE, Address, JobId

WELCOME_TIMEOUT_S: Final = 5.0
GIVE_UP_S: Final = 120.0
"""How long an attached client looks for any node of its mesh before its futures fail."""
STAGGER_S: Final = 0.2
RETRY_MAX_S: Final = 2.0
PARTS_IN_FLIGHT_MAX: Final = 8
TICK_S: Final = 1.0
ASK_AFTER_S: Final = 10.0
"""A node that something is awaited of, and that has said nothing for so long, is asked for its status."""
MUTE_S: Final = 10.0
"""A node that does not even answer that is left: its process stands still, or its disk, and the link does not
tell. Longer than any single write on a worn SD card."""
FETCH_ATTEMPTS: Final = 4
FETCH_PATIENCE_S: Final = 10.0
"""How long a result of a job that has ended is asked for, while nobody has it at present."""


@final
class Engine:
    """The trio side of a client.

    Args:
        session: what the client wants.
        transport: the network.
        addresses: nodes to try first.
        mesh: what the mesh is called in messages.
        give_up_s: how long to look for a node after a connection was lost.
    """

    def __init__(
        self,
        session: Session,
        transport: Transport,
        addresses: Sequence[Address],
        mesh: str,
        give_up_s: float = GIVE_UP_S,
    ) -> None:
        self.session: Final = session
        self._transport = transport
        self._known = list(addresses)
        self._mesh = mesh
        self._give_up_s = give_up_s
        self._jobs: dict[JobId, ClientJob] = {}
        self._unwatched: dict[JobId, bool] = {}
        self._token: trio.lowlevel.TrioToken | None = None
        self._is_waking = False
        self._bunches = 0
        self._bunches_lock = threading.Lock()
        self._work = trio.Event()
        self._address: Address = ("", 0)
        self._changed = trio.Event()
        self._heard_at = 0.0
        self._asked_at: float | None = None
        self._error: SwarmError | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Connect, say so, and stay connected until cancelled or no node is found any more.

        Raises:
            ConnectFailed: no node could be reached at the start.
        """
        self._token = trio.lowlevel.current_trio_token()
        is_first = True
        try:
            while True:
                try:
                    link = await self._connect(0.0 if is_first else self._give_up_s)
                except ConnectFailed as error:
                    if is_first:
                        raise
                    self._error = ConnectionLost(f"the connection to the mesh was lost: {error}")
                    return
                self.session.on_connected()
                self._notify()
                if is_first:
                    is_first = False
                    task_status.started()
                await self._serve(link)
                self.session.on_disconnected()
        except SwarmError:
            raise
        except Exception as error:  # whatever it is, those who wait for results have to hear of it
            cause = single_error(error)
            self._error = ConnectionLost(f"this session ended by an error of its own: {cause!r}")
            self._error.__cause__ = cause
            raise
        finally:
            self._error = self._error or ConnectionLost("this session is closed")
            for job in self._jobs.values():
                job.fail(self._error)
            self.session.fail(self._error)
            self._notify()
            with trio.CancelScope(shield=True):
                await self._transport.aclose()

    def wake(self) -> None:
        """Have jobs looked at soon; from any thread, cheap when that is under way already."""
        if not self._is_waking and self._token is not None and not self._bunches:
            self._is_waking = True
            try:
                self._token.run_sync_soon(self._on_wake)
            except trio.RunFinishedError:
                self._is_waking = False

    @contextlib.contextmanager
    def bunch(self) -> Iterator[None]:
        """Hold wakes back while many tasks are added, so that they leave together."""
        with self._bunches_lock:
            self._bunches += 1
        try:
            yield
        finally:
            with self._bunches_lock:
                self._bunches -= 1
            self.wake()

    def add_job(self, job: ClientJob, with_output: bool = False) -> None:
        """Send a job's parts from now on, and follow it from the first one (trio thread)."""
        self._jobs[job.job] = job
        self._unwatched[job.job] = with_output
        self._work.set()

    def follow_job(self, job: ClientJob) -> None:
        """Follow a job that somebody else submitted, with its output (trio thread)."""
        self._jobs[job.job] = job
        self.session.watch(job.job, True, job)
        self._work.set()

    async def call(self, op: str, args: dict[str, object]) -> Any:
        """Return the mesh's answer to a question, asked again through another node when one dies.

        Raises:
            Refused: the mesh says no.
            ConnectionLost: the session has ended.
        """
        if self._error is not None:
            raise self._error
        answered = trio.Event()
        answers: list[object] = []

        def on_reply(value: object) -> None:
            answers.append(value)
            answered.set()

        request = self.session.call(op, args, on_reply)
        self._work.set()
        try:
            await answered.wait()
        finally:
            self.session.forget_call(request)
        if isinstance(answers[0], SwarmError):
            raise answers[0]
        return answers[0]

    async def fetch(self, job: JobId, task: int, output: int) -> tuple[bytes, int]:
        """Return (bytes, encoding) of a large result, through whichever node is attached.

        Where the node that had it is gone while its job goes on, it is made again, and waited for.

        Raises:
            Refused: the mesh does not have it.
            TransportError: it cannot be brought here.
        """
        for attempt in range(FETCH_ATTEMPTS):
            answer = await self._locate({"job": job, "task": task, "output": output})
            size, digest, encoding, data = _described(answer)
            if data is not None:
                return data, encoding
            node, address = self.session.node, self._address
            if not node:
                continue
            try:
                return await self._transport.fetch(node, address, (job, task, output), digest, size), encoding
            except TransportError:
                if attempt == FETCH_ATTEMPTS - 1:
                    raise
                await trio.sleep(TICK_S)
        raise ConnectionLost(f"the result of task {task} could not be fetched: no node stays attached")

    async def _locate(self, args: dict[str, object]) -> object:
        """Return where a result is; asked again while nobody has it at present."""
        give_up_at = trio.current_time() + FETCH_PATIENCE_S
        while True:
            try:
                return await self.call("fetch", args)
            except Refused as error:
                job = self._jobs.get(cast(JobId, args["job"]))
                is_coming = job is not None and not job.is_finished()
                if error.code != CODE_NO_MESH or (not is_coming and trio.current_time() >= give_up_at):
                    raise
            await trio.sleep(TICK_S)

    async def wait_finished(self, job: ClientJob) -> None:
        """Wait until a job has ended."""
        while not job.is_finished():
            await self._changed.wait()

    async def wait_accepted(self, job: ClientJob) -> None:
        """Wait until every part of a complete job is on the disks of its keepers, or the job has ended."""
        while not job.is_finished():
            if not job.builder.has_pending() and not self.session.unacknowledged_count(job.job):
                return
            await self._changed.wait()

    # Connection

    async def _connect(self, give_up_s: float) -> Link:
        """Return a connection whose welcome has been taken.

        Raises:
            ConnectFailed: nobody answered; the message says who was asked and why it failed.
        """
        give_up_at = trio.current_time() + give_up_s
        wait_s = 0.05
        dead = self._address
        while True:
            failures: list[str] = []
            link = await self._race(self._candidates(dead), failures)
            if link is None:
                link = await self._race(await self._discover(failures), failures)
            if link is not None:
                return link
            if trio.current_time() >= give_up_at:
                raise ConnectFailed(
                    f"no node of mesh {self._mesh!r} can be reached ({'; '.join(dict.fromkeys(failures))}):"
                    " start one with `swarm join`, or get an invitation with its present address"
                )
            await trio.sleep(wait_s * random.uniform(0.7, 1.3))  # noqa: S311 - only spreads retries
            wait_s = min(2 * wait_s, RETRY_MAX_S)

    async def _discover(self, failures: list[str]) -> list[Address]:
        """Return addresses found nearby that were not known; adds to `failures` when there is nobody."""
        try:
            found = await self._transport.discover()
        except ConnectFailed as error:
            failures.append(str(error))
            return []
        if not found:
            failures.append("nobody answers a call on the local network")
        return [address for address in found if address not in self._known]

    def _candidates(self, dead: Address) -> list[Address]:
        """Return whom to dial: where we were told to go first, the one just lost last."""
        peers = [peer.address for peer in self.session.peers]
        random.shuffle(peers)
        candidates = list(dict.fromkeys([*peers, *self._known]))
        if dead in candidates and len(candidates) > 1:
            candidates.remove(dead)
            candidates.append(dead)
        return candidates

    async def _race(self, candidates: Sequence[Address], failures: list[str]) -> Link | None:
        """Return the first connection that works, dialling one more candidate every `STAGGER_S`."""
        winner: list[tuple[Link, list[bytes]]] = []
        ended = [trio.Event() for _ in candidates]

        async def attempt(number: int, address: Address) -> None:
            if number:
                with trio.move_on_after(STAGGER_S * number):
                    await ended[number - 1].wait()
            try:
                opened = await self._open(address)
            except TransportError as error:
                failures.append(str(error))
                ended[number].set()
                return
            if winner:
                await opened[0].aclose()
            else:
                winner.append(opened)
                self._address = address
                scope.cancel()

        async with trio.open_nursery() as nursery:
            scope = nursery.cancel_scope
            for number, address in enumerate(candidates):
                nursery.start_soon(attempt, number, address)
        if not winner:
            return None
        link, frames = winner[0]
        for frame in frames:
            self.session.receive_frame_untrusted(frame)
        return link

    async def _open(self, address: Address) -> tuple[Link, list[bytes]]:
        """Return a connection and its first frames, which begin with a welcome."""
        link, _ = await self._transport.dial(address)
        try:
            with trio.move_on_after(WELCOME_TIMEOUT_S):
                frames = await link.receive_messages()
                if is_welcome(frames[0]):
                    return link, frames
            raise ConnectFailed(
                f"{address[0]} port {address[1]}: connected, but the node does not say welcome"
            )
        except BaseException:
            with trio.CancelScope(shield=True):
                await link.aclose()
            raise

    async def _serve(self, link: Link) -> None:
        """Read and write until the connection ends."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, link, nursery.cancel_scope)
                nursery.start_soon(self._write, link, nursery.cancel_scope)
                nursery.start_soon(self._tick, nursery.cancel_scope)
        finally:
            with trio.CancelScope(shield=True):
                await link.aclose()

    async def _read(self, link: Link, scope: trio.CancelScope) -> None:
        try:
            while True:
                frames = await link.receive_messages()
                self._heard_at, self._asked_at = trio.current_time(), None
                for frame in frames:
                    self.session.receive_frame_untrusted(frame)
                for job in self._jobs.values():
                    if job.needs_whole():
                        self.session.watch_again(job.job)
                self._work.set()
                self._notify()
        except SwarmError:
            scope.cancel()

    async def _write(self, link: Link, scope: trio.CancelScope) -> None:
        try:
            while True:
                self._collect()
                frames: list[bytes] = []
                for item in self.session.take_outgoing():
                    if isinstance(item, bytes):
                        frames.append(item)
                        continue
                    if frames:
                        await link.send_messages(frames)
                        frames = []
                    await self._upload(*item)
                if frames:
                    await link.send_messages(frames)
                else:
                    await self._work.wait()
                    self._work = trio.Event()
        except SwarmError:
            scope.cancel()

    async def _upload(self, job: JobId, upload: Upload) -> None:
        try:
            await self._transport.put(self._address, (job, upload.task, 0), upload.data, upload.encoding)
        except StorageError as error:
            followed = self._jobs.pop(job, None)
            self.session.unwatch(job)
            if followed is not None:
                followed.fail(StorageError(f"node {self.session.node_name} cannot keep an argument: {error}"))

    async def _tick(self, scope: trio.CancelScope) -> None:
        self._heard_at, self._asked_at = trio.current_time(), None
        while True:
            await trio.sleep(TICK_S)
            if self._is_mute():
                scope.cancel()
                return
            self.session.retry_watches()
            self._work.set()

    def _is_mute(self) -> bool:
        """Return whether the attached node answers nothing any more; ask it when that is to be found out."""
        now = trio.current_time()
        if self._asked_at is not None:
            return now - self._asked_at >= MUTE_S
        if now - self._heard_at >= ASK_AFTER_S and self.session.is_waiting():
            self._asked_at = now
            self.session.call("status", {}, _ignore)
        return False

    def _collect(self) -> None:
        """Turn what was added to the jobs into parts, and what was dropped into releases."""
        for job in list(self._jobs.values()):
            if self._bunches and job.builder.pending_count() < PART_TASKS_MAX:
                continue
            open_parts = self.session.unacknowledged_count(job.job)
            while open_parts < PARTS_IN_FLIGHT_MAX and (part := self._take_part(job)) is not None:
                self.session.submit(job.job, part)
                open_parts += 1
                if job.job in self._unwatched:
                    self.session.watch(job.job, self._unwatched.pop(job.job), job)
            if not open_parts:
                self.session.release(job.job, job.table.take_released())
            if job.is_finished():
                self.session.unwatch(job.job)
                if not job.table.has_kept():
                    self._jobs.pop(job.job, None)

    def _take_part(self, job: ClientJob) -> Part | None:
        """Return the next part of a job, None for none; a job whose part cannot be written ends alone."""
        try:
            return job.builder.take_part(job.is_complete)
        except (ValueError, OverflowError, TypeError) as error:
            self._jobs.pop(job.job, None)
            job.fail(ConfigError(f"a task of this job cannot be sent: {error}"))
            return None

    def _on_wake(self) -> None:
        self._is_waking = False
        self._work.set()

    def _notify(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()


def single_error(error: BaseException) -> BaseException:
    """Return the one error in a group of one, which is what trio's nurseries raise."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _ignore(_answer: object) -> None:
    """Take an answer that is good for nothing but having come."""


def _described(answer: object) -> tuple[int, bytes, int, bytes | None]:
    if isinstance(answer, dict):
        size, digest, encoding = answer.get("size"), answer.get("digest"), answer.get("encoding")
        data = answer.get("data")
        if isinstance(size, int) and isinstance(digest, bytes) and isinstance(encoding, int):
            if len(digest) == DIGEST_SIZE and (data is None or isinstance(data, bytes)):
                return size, digest, encoding, data
    raise ConnectionLost(f"the attached node describes a result as {answer!r}")

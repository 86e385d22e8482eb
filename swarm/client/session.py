"""The client's side of the session protocol, without network and clock.

What must reach the mesh is kept here until it has: parts until they are acknowledged, watches until they
are taken back, calls until they are answered. A connection that breaks is nobody's concern: after the
next :meth:`Session.on_connected` everything unfinished is sent again, in order, to whichever node it is.
All of it may be repeated: a part has a number in its job, completions are facts, the calls only ask or
grow what is asked for.

Bytes too large for messages are uploaded before their part. A node that dies may take them with it, so
another node gets them again, as long as the job runs.

States of a part: queued -> sent -> acknowledged (or refused, which ends its job here).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, final

from swarm.client.errors import Refused
from swarm.client.parts import Part, Upload
from swarm.client.sendable import packed
from swarm.core.errors import DecodeError, SwarmError
from swarm.core.ids import NO_BALLOT, NODE_ID_SIZE, Address, JobId, NodeId, short
from swarm.wire.codec import Body, Stamp, pack_frame, unpack_frame_untrusted
from swarm.wire.messages import (
    CLIENT_ACCEPTED,
    CLIENT_CALL,
    CLIENT_OUTPUT,
    CLIENT_REFUSED,
    CLIENT_RELEASE,
    CLIENT_REPLY,
    CLIENT_SUBMIT,
    CLIENT_UNWATCH,
    CLIENT_UPDATE,
    CLIENT_WATCH,
    CLIENT_WELCOME,
)

CALLS_MAX: Final = 10_000
PEERS_MAX: Final = 1_000
_STAMP: Final = Stamp(b"", NO_BALLOT, 0)

Outgoing: TypeAlias = "bytes | tuple[JobId, Upload]"
"""A frame, or an upload that must be finished before the frames behind it are sent."""


class Follower(Protocol):
    """Who is told about a job; `swarm.client.job.ClientJob` is one.

    Attributes:
        attempts: runs of its tasks so far, as the mesh told last.
    """

    attempts: int

    def on_update(
        self, state: str, counts: list[object], completions: list[object], reason: str, is_whole: bool
    ) -> None:
        """Take news of the job."""

    def on_output_rows(self, rows: list[object]) -> None:
        """Take printed output."""

    def fail(self, error: SwarmError) -> None:
        """Take that there will be no more news."""


@final
class Peer:
    """A node that a session may go to."""

    __slots__ = ("address", "name", "node")

    def __init__(self, node: NodeId, name: str, address: Address) -> None:
        self.node: Final = node
        self.name: Final = name
        self.address: Final = address


@final
class _Submission:
    __slots__ = ("job", "part", "request")

    def __init__(self, request: int, job: JobId, part: Part) -> None:
        self.request: Final = request
        self.job: Final = job
        self.part: Final = part


@final
class _Watch:
    __slots__ = ("follower", "is_answered", "request", "with_output")

    def __init__(self, request: int, with_output: bool, follower: Follower) -> None:
        self.is_answered = False
        self.request = request
        self.with_output: Final = with_output
        self.follower: Final = follower


@final
class _Call:
    __slots__ = ("args", "on_reply", "op")

    def __init__(self, op: str, args: dict[str, object], on_reply: Callable[[object], object]) -> None:
        self.op: Final = op
        self.args: Final = args
        self.on_reply: Final = on_reply


@final
class Session:
    """Everything one client wants of the mesh.

    Attributes:
        node: id of the attached node, b"" while there is none.
        node_name: its name.
        peers: the nodes that the last welcome named.
        counts: of frames received, refused and undecodable.
    """

    def __init__(self) -> None:
        self.node: NodeId = b""
        self.node_name = ""
        self.peers: list[Peer] = []
        self.counts = {"frames": 0, "bad_frames": 0, "late_answers": 0, "connections": 0}
        self._last_node: NodeId = b""
        self._is_connected = False
        self._next_request = 0
        self._submissions: dict[tuple[JobId, int], _Submission] = {}
        self._watches: dict[JobId, _Watch] = {}
        self._calls: dict[int, _Call] = {}
        self._uploads: dict[JobId, list[Upload]] = {}
        self._outgoing: list[Outgoing] = []
        self._names: dict[NodeId, str] = {}

    # What the client wants

    def submit(self, job: JobId, part: Part) -> None:
        """Send a part until it is acknowledged."""
        submission = _Submission(self._request(), job, part)
        self._submissions[job, part.number] = submission
        if part.uploads:
            self._uploads.setdefault(job, []).extend(part.uploads)
        if self._is_connected:
            self._send_part(submission)

    def watch(self, job: JobId, with_output: bool, follower: Follower) -> None:
        """Have a follower told about a job until :meth:`unwatch`; its first news are the whole state."""
        watch = _Watch(self._request(), with_output, follower)
        self._watches[job] = watch
        if self._is_connected:
            self._send(CLIENT_WATCH, [watch.request, job, with_output])

    def watch_again(self, job: JobId) -> None:
        """Ask for the whole state of a watched job once more."""
        watch = self._watches.get(job)
        if watch is not None and self._is_connected:
            self._send(CLIENT_WATCH, [watch.request, job, watch.with_output])

    def unwatch(self, job: JobId) -> None:
        """Stop following a job, and forget what was uploaded for it."""
        if self._watches.pop(job, None) is not None and self._is_connected:
            self._send(CLIENT_UNWATCH, [job])
        self._uploads.pop(job, None)

    def release(self, job: JobId, tasks: list[int]) -> None:
        """Say that results are not wanted any more; lost with the connection, which costs memory only."""
        if self._is_connected and tasks:
            self._send(CLIENT_RELEASE, [job, tasks])

    def call(self, op: str, args: dict[str, object], on_reply: Callable[[object], object]) -> int:
        """Ask the mesh something; `on_reply` gets the value, or a :class:`Refused`.

        Returns:
            A number for :meth:`forget_call`.

        Raises:
            SwarmError: too many calls are open.
            ConfigError: an argument cannot be sent.
        """
        packed(args, f"the question {op!r}")
        if len(self._calls) >= CALLS_MAX:
            raise SwarmError(f"{CALLS_MAX} questions to the mesh are open already; wait for answers first")
        request = self._request()
        self._calls[request] = _Call(op, args, on_reply)
        if self._is_connected:
            self._send(CLIENT_CALL, [request, op, args])
        return request

    def forget_call(self, request: int) -> None:
        """Take back a call whose answer is not awaited any more."""
        self._calls.pop(request, None)

    def unacknowledged_count(self, job: JobId) -> int:
        """Return how many parts of a job are not acknowledged."""
        return sum([1 for key in self._submissions if key[0] == job])

    def name_of(self, node: NodeId) -> str:
        """Return the name of a node, its short id when it is unknown, "" for nobody."""
        if not any(node):
            return ""
        return self._names.get(node) or short(node)[:8]

    # Connection

    def on_connected(self) -> None:
        """A connection is there: send again what is unfinished."""
        assert not self._is_connected, "one connection at a time"
        self._is_connected = True
        self.counts["connections"] += 1
        self._outgoing = []
        if self._last_node and self.node != self._last_node:
            waiting = {
                id(upload) for submission in self._submissions.values() for upload in submission.part.uploads
            }
            for job, uploads in self._uploads.items():
                self._outgoing.extend((job, upload) for upload in uploads if id(upload) not in waiting)
        self._last_node = self.node
        for submission in self._submissions.values():
            self._send_part(submission)
        for job, watch in self._watches.items():
            watch.is_answered = False
            self._send(CLIENT_WATCH, [watch.request, job, watch.with_output])
        for request, call in self._calls.items():
            self._send(CLIENT_CALL, [request, call.op, call.args])

    def on_disconnected(self) -> None:
        """The connection ended; nothing of what is unfinished is lost."""
        self._is_connected = False
        self.node, self.node_name = b"", ""
        self._outgoing = []

    def is_connected(self) -> bool:
        """Return whether a node is attached."""
        return self._is_connected

    def is_waiting(self) -> bool:
        """Return whether anything is awaited of the attached node."""
        return bool(self._submissions or self._watches or self._calls)

    def take_outgoing(self) -> list[Outgoing]:
        """Return and clear what is to be sent, in order."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def retry_watches(self) -> None:
        """Ask again about jobs of which nothing was heard on this connection; call it about every second.

        The leader may not have known the job yet, or there was none.
        """
        for job, watch in self._watches.items():
            if not watch.is_answered:
                self.watch_again(job)

    def receive_frame_untrusted(self, payload: bytes) -> None:
        """Take a frame of the attached node; one that cannot be understood is counted and dropped."""
        self.counts["frames"] += 1
        try:
            frame = unpack_frame_untrusted(payload)
            self._route(frame.kind, Body(frame.body))
        except DecodeError:
            self.counts["bad_frames"] += 1

    def fail(self, error: SwarmError) -> None:
        """Give up: tell every follower and every caller."""
        self._submissions = {}
        watches, self._watches = self._watches, {}
        calls, self._calls = self._calls, {}
        for watch in watches.values():
            watch.follower.fail(error)
        for call in calls.values():
            call.on_reply(error)

    def _route(self, kind: int, body: Body) -> None:
        if kind == CLIENT_UPDATE:
            self._on_update(body)
        elif kind == CLIENT_ACCEPTED:
            self._on_accepted(body)
        elif kind == CLIENT_REFUSED:
            self._on_refused(body)
        elif kind == CLIENT_OUTPUT:
            watch = self._watches.get(body.take_bytes())
            if watch is not None:
                watch.follower.on_output_rows(body.take_list())
        elif kind == CLIENT_REPLY:
            self._on_reply(body)
        elif kind == CLIENT_WELCOME:
            self._on_welcome(body)

    def _on_update(self, body: Body) -> None:
        watch = self._watches.get(body.take_bytes())
        state = body.take_text()
        body.take_int()
        counts, completions, reason = body.take_list(), body.take_list(), body.take_text()
        if watch is not None:
            watch.is_answered = True
            watch.follower.on_update(state, counts, completions, reason, body.take_bool())
            if body.has_more():
                watch.follower.attempts = body.take_int()

    def _on_accepted(self, body: Body) -> None:
        body.take_int()
        job, part = body.take_bytes(), body.take_int()
        if self._submissions.pop((job, part), None) is None:
            self.counts["late_answers"] += 1

    def _on_refused(self, body: Body) -> None:
        request, code, message = body.take_int(), body.take_int(), body.take_text()
        error = Refused(message, code)
        for key, submission in list(self._submissions.items()):
            if submission.request == request:
                self._end_job(key[0], error)
                return
        for job, watch in list(self._watches.items()):
            if watch.request == request:
                del self._watches[job]
                watch.follower.fail(error)
                return
        call = self._calls.pop(request, None)
        if call is None:
            self.counts["late_answers"] += 1
        else:
            call.on_reply(error)

    def _end_job(self, job: JobId, error: SwarmError) -> None:
        for key in [key for key in self._submissions if key[0] == job]:
            del self._submissions[key]
        self._uploads.pop(job, None)
        watch = self._watches.pop(job, None)
        if watch is not None:
            watch.follower.fail(error)

    def _on_reply(self, body: Body) -> None:
        request, is_ok, value = body.take_int(), body.take_bool(), body.take_any()
        call = self._calls.pop(request, None)
        if call is None:
            self.counts["late_answers"] += 1
        elif is_ok:
            call.on_reply(value)
        elif isinstance(value, dict):
            code = value.get("code")
            call.on_reply(Refused(str(value.get("message", "refused")), code if isinstance(code, int) else 1))
        else:
            call.on_reply(Refused(str(value)))

    def _on_welcome(self, body: Body) -> None:
        node, name = body.take_id(NODE_ID_SIZE), body.take_text()
        body.take_bytes()
        peers: list[Peer] = []
        names = {node: name}
        for row in body.take_list()[:PEERS_MAX]:
            if not isinstance(row, list):
                raise DecodeError("a peer is an array")
            fields = Body(row)
            peer, peer_name = fields.take_id(NODE_ID_SIZE), fields.take_text()
            peers.append(Peer(peer, peer_name, (fields.take_text(), fields.take_int())))
            names[peer] = peer_name
        self.node, self.node_name, self.peers = node, name, peers
        self._names.update(names)

    # Sending

    def _send_part(self, submission: _Submission) -> None:
        part = submission.part
        self._outgoing.extend((submission.job, upload) for upload in part.uploads)
        self._send(CLIENT_SUBMIT, [submission.request, submission.job, part.number, part.blob, part.total])

    def _send(self, kind: int, body: list[object]) -> None:
        self._outgoing.append(pack_frame(kind, _STAMP, body))

    def _request(self) -> int:
        self._next_request += 1
        return self._next_request


def is_welcome(payload: bytes) -> bool:
    """Return whether a frame is the welcome that a node begins a session with."""
    try:
        return unpack_frame_untrusted(payload).kind == CLIENT_WELCOME
    except DecodeError:
        return False

"""The gateway: what a node does for the clients attached to it.

A client may ask any node anything. Submissions are kept by this node and its keepers (`acceptance`), watches
and questions go to the leader and come back, again by themselves when the leader changes or the link to it
breaks; results too large for a message are brought to this node first. A session's end undoes its watches.

Outputs besides effects: submissions for the records (:meth:`take_submissions`), requests that only the
node itself can answer (:meth:`take_own_questions`) and objects to bring here (:meth:`take_fetches`).
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import Effect, Message, SendToClient
from swarm.core.errors import DecodeError
from swarm.core.ids import JOB_ID_SIZE, NO_BALLOT, NODE_ID_SIZE, JobId, NodeId, ObjectName, short
from swarm.core.timers import Timers
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.questions import CODE_NO_MESH, CODE_USAGE
from swarm.wire.codec import Body, Stamp, pack_frame, unpack_frame_untrusted
from swarm.wire.job_part import JobPart, data_output_untrusted, job_part_untrusted
from swarm.wire.messages import (
    ANSWER,
    ASK,
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
    JOB_RELEASE,
    JOB_UPDATE,
    KIND_DATA,
    WATCH,
    WATCHED_OUTPUT,
)
from swarm.wire.orders import InputRef

SESSIONS_MAX: Final = 1000
LEADER_OPS: Final = ("jobs", "job", "logs", "results", "cancel", "again", "fetch", "submitted")
OWN_OPS: Final = ("status", "nodes")
AGAIN_S: Final = 0.3

_TIMER_ASK: Final = 1
_TIMER_AGAIN: Final = 2


@final
class Submission:
    """A part that a client brought, for `JobRecords.accept`; the answer goes to :meth:`Gateway.on_taken`."""

    def __init__(
        self, token: int, job: JobId, number: int, parts_total: int, blob: bytes, part: JobPart
    ) -> None:
        self.token: Final = token
        self.job: Final = job
        self.number: Final = number
        self.parts_total: Final = parts_total
        self.blob: Final = blob
        self.part: Final = part


@final
class OpenQuestion:
    """A question of a client, on its way to the leader."""

    def __init__(self, session: int, request: int, op: str, args: dict[str, object]) -> None:
        self.session: Final = session
        self.request: Final = request
        self.op: Final = op
        self.args: Final = args


@final
class Gateway:
    """The clients of one node; see the module's text."""

    def __init__(self, config: SchedulerConfig, node_id: NodeId, name: str) -> None:
        self._config: Final = config
        self._me: Final = node_id
        self._name: Final = name
        self._leader: NodeId = b""
        self.why_no_leader = ""
        self._peers: list[list[object]] = []
        self._sessions: dict[int, dict[JobId, bool]] = {}
        self._next_token = 1
        self._tokens: dict[int, tuple[int, int]] = {}
        self._questions: dict[int, OpenQuestion] = {}
        self._fetching: dict[ObjectName, list[OpenQuestion]] = {}
        self._values: dict[ObjectName, dict[str, object]] = {}
        self._put: dict[ObjectName, bool] = {}
        self._timers = Timers()
        self._effects: list[Effect] = []
        self._submissions: list[Submission] = []
        self._own_questions: list[OpenQuestion] = []
        self._closes: list[tuple[JobId, int]] = []
        self._fetches: list[tuple[ObjectName, InputRef]] = []
        self.names: dict[NodeId, str] = {}
        self.counts: dict[str, int] = {"malformed": 0, "late": 0, "sessions_refused": 0, "updates": 0}

    # Sessions

    def on_opened(self, session: int, now: float) -> None:
        """A client's session began: welcome it."""
        if len(self._sessions) >= SESSIONS_MAX:
            self.counts["sessions_refused"] += 1
            return
        self._sessions[session] = {}
        self._welcome(session)

    def on_closed(self, session: int, now: float) -> None:
        """A client's session ended: nobody watches for it any more."""
        watched = self._sessions.pop(session, {})
        for job in watched:
            if not self._watchers(job):
                self._tell_leader(WATCH, [job, False])

    def set_peers(self, peers: list[list[object]], names: dict[NodeId, str]) -> None:
        """Take where clients can go when this node dies: [node, name, host, port] of each member."""
        self.names = names
        if peers != self._peers:
            self._peers = peers
            for session in self._sessions:
                self._welcome(session)

    def _welcome(self, session: int) -> None:
        peers: list[object] = []
        peers.extend(self._peers)
        self._send(session, CLIENT_WELCOME, [self._me, self._name, self._leader, peers])

    def on_leader(self, leader: NodeId, now: float) -> None:
        """Take the leader, b"" for none: watches and open questions go to it."""
        self._leader = leader
        if leader:
            self._say_again()

    def on_link_lost(self, peer: NodeId, now: float) -> None:
        """The stream to a node broke: what the leader was asked may be lost, so say it again soon."""
        if peer == self._leader and not self._timers.is_set(_TIMER_AGAIN, b""):
            self._timers.set(_TIMER_AGAIN, b"", now + AGAIN_S)

    def say_watches(self) -> None:
        """Tell the leader again which jobs are watched here."""
        told: dict[JobId, bool] = {}
        for watched in self._sessions.values():
            for job in watched:
                if job not in told:
                    told[job] = True
                    self._tell_leader(WATCH, [job, True])

    def _say_again(self) -> None:
        self.say_watches()
        for number, question in self._questions.items():
            self._ask(number, question)

    # Frames of clients

    def receive(self, session: int, payload: bytes, now: float) -> None:
        """Take a frame of a client; one that is malformed is counted and answered when that is possible."""
        if session not in self._sessions:
            self.counts["late"] += 1
            return
        try:
            frame = unpack_frame_untrusted(payload)
            self._receive(session, frame.kind, Body(frame.body), now)
        except DecodeError:
            self.counts["malformed"] += 1

    def _receive(self, session: int, kind: int, body: Body, now: float) -> None:
        if kind == CLIENT_SUBMIT:
            self._take_submission(session, body)
        elif kind == CLIENT_WATCH:
            request, job = body.take_int(), body.take_id(JOB_ID_SIZE)
            self._sessions[session][job] = body.take_bool()
            self._tell_leader(WATCH, [job, True])
            self._send(session, CLIENT_REPLY, [request, True, None])
        elif kind == CLIENT_UNWATCH:
            job = body.take_id(JOB_ID_SIZE)
            self._sessions[session].pop(job, None)
            if not self._watchers(job):
                self._tell_leader(WATCH, [job, False])
        elif kind == CLIENT_RELEASE:
            self._tell_leader(JOB_RELEASE, [body.take_id(JOB_ID_SIZE), body.take_list()])
        elif kind == CLIENT_CALL:
            question = OpenQuestion(session, body.take_int(), body.take_text(), body.take_map())
            self._take_call(question, now)
        else:
            self.counts["malformed"] += 1

    def _take_submission(self, session: int, body: Body) -> None:
        request, job, number = body.take_int(), body.take_id(JOB_ID_SIZE), body.take_index()
        blob, parts_total = body.take_bytes(), body.take_index()
        try:
            part = job_part_untrusted(blob)
        except DecodeError as error:
            self._send(session, CLIENT_REFUSED, [request, CODE_USAGE, f"part {number} of the job: {error}"])
            return
        missing = self._missing_object(job, part)
        if missing:
            self._send(session, CLIENT_REFUSED, [request, CODE_USAGE, missing])
            return
        token = self._next_token
        self._next_token += 1
        self._tokens[token] = (session, request)
        self._submissions.append(Submission(token, job, number, parts_total, blob, part))

    def _missing_object(self, job: JobId, part: JobPart) -> str:
        for index, task in enumerate(part.tasks):
            if task.kind == KIND_DATA and data_output_untrusted(task.payload).data is None:
                name = (job, part.first_task + index, 0)
                if name not in self._put:
                    return f"the bytes of task {name[1]} were not brought to this node before their part"
        return ""

    def _take_call(self, question: OpenQuestion, now: float) -> None:
        if question.op in OWN_OPS:
            self._own_questions.append(question)
        elif question.op == "close":
            self._take_close(question)
        elif question.op in LEADER_OPS:
            number = self._next_token
            self._next_token += 1
            self._questions[number] = question
            self._timers.set(_TIMER_ASK, number.to_bytes(8, "big"), now + self._config.ask_timeout_s)
            self._ask(number, question)
        else:
            refusal: dict[str, object] = {"code": CODE_USAGE, "message": f"unknown operation {question.op!r}"}
            self._reply(question, False, refusal)

    def _take_close(self, question: OpenQuestion) -> None:
        body = Body([question.args.get("job"), question.args.get("parts")])
        try:
            close = (body.take_id(JOB_ID_SIZE), body.take_index())
        except DecodeError as error:
            self._reply(
                question, False, {"code": CODE_USAGE, "message": f"close needs job and parts: {error}"}
            )
            return
        self._closes.append(close)
        self._reply(question, True, None)

    def _ask(self, number: int, question: OpenQuestion) -> None:
        op = "locate" if question.op == "fetch" else question.op
        self._tell_leader(ASK, [number, op, question.args])

    # Answers

    def on_taken(self, submission: Submission, refusal: str) -> None:
        """Take what the records said to a submission: "" when they took it, else why not."""
        if refusal:
            session, request = self._tokens.pop(submission.token)
            self._send(session, CLIENT_REFUSED, [request, 1, refusal])

    def on_accepted(self, accepted: list[tuple[int, JobId, int, list[NodeId]]]) -> None:
        """Take that parts are on the disks of their keepers: tell the clients."""
        for token, job, number, holders in accepted:
            session, request = self._tokens.pop(token)
            names: list[object] = [self.names.get(node, short(node)) for node in holders]
            self._send(session, CLIENT_ACCEPTED, [request, job, number, names])

    def answer(self, question: OpenQuestion, value: object) -> None:
        """Answer one of :meth:`take_own_questions`."""
        self._reply(question, True, value)

    def receive_message(self, sender: NodeId, kind: int, body: list[object], now: float) -> None:
        """Take what the leader tells; from anybody else, or malformed, it is counted and dropped."""
        if sender != self._leader:
            self.counts["late"] += 1
            return
        try:
            self._take_message(kind, body, now)
        except DecodeError:
            self.counts["malformed"] += 1

    def _take_message(self, kind: int, fields: list[object], now: float) -> None:
        body = Body(fields)
        if kind == JOB_UPDATE:
            self.counts["updates"] += 1
            job = body.take_id(JOB_ID_SIZE)
            for session in self._watchers(job):
                self._send(session, CLIENT_UPDATE, fields)
        elif kind == WATCHED_OUTPUT:
            job = body.take_id(JOB_ID_SIZE)
            for session in self._watchers(job):
                if self._sessions[session][job]:
                    self._send(session, CLIENT_OUTPUT, fields)
        elif kind == ANSWER:
            number, ok = body.take_int(), body.take_bool()
            question = self._questions.pop(number, None)
            self._timers.cancel(_TIMER_ASK, number.to_bytes(8, "big"))
            if question is None:
                self.counts["late"] += 1
            elif question.op == "fetch" and ok:
                self._bring(question, body.take_map())
            else:
                self._reply(question, ok, body.take_any())

    # Large results

    def _bring(self, question: OpenQuestion, value: dict[str, object]) -> None:
        args = Body([value.get("job"), question.args.get("task"), question.args.get("output", 0)])
        name = (args.take_id(JOB_ID_SIZE), args.take_int(), args.take_int())
        if value.get("data") is not None:
            self._reply(question, True, value)
            return
        row = Body([value.get("digest"), value.get("size"), value.get("encoding"), value.get("holders")])
        digest, size, encoding = row.take_bytes(), row.take_int(), row.take_int()
        holders: list[NodeId] = []
        for holder in row.take_list():
            if isinstance(holder, bytes) and len(holder) == NODE_ID_SIZE:
                holders.append(holder)
        value.pop("holders", None)
        self._values[name] = value
        self._fetching.setdefault(name, []).append(question)
        self._fetches.append((name, InputRef(name[1], name[2], digest, size, encoding, None, holders)))

    def on_object_here(self, name: ObjectName) -> None:
        """An object that was fetched for clients is in the own store."""
        value = self._values.pop(name, {})
        for question in self._fetching.pop(name, []):
            self._reply(question, True, value)

    def on_object_missing(self, name: ObjectName) -> None:
        """An object could not be fetched for clients."""
        self._values.pop(name, None)
        message = f"the result of task {name[1]} could not be fetched from the nodes that hold it; try again"
        for question in self._fetching.pop(name, []):
            self._reply(question, False, {"code": CODE_NO_MESH, "message": message})

    def on_object_put(self, name: ObjectName) -> None:
        """A client put an object into the own store: the part that refers to it may come."""
        self._put[name] = True

    def forget_job(self, job: JobId) -> None:
        """Forget what was put for a job."""
        for name in [name for name in self._put if name[0] == job]:
            del self._put[name]

    # Time and outputs

    def handle_deadline(self, now: float) -> None:
        """Say things again after a broken link; give up questions that nobody answers."""
        while True:
            due = self._timers.pop_due(now)
            if due is None:
                return
            if due[0] == _TIMER_AGAIN:
                self._say_again()
                continue
            question = self._questions.pop(int.from_bytes(due[1], "big"), None)
            if question is not None:
                seconds = self._config.ask_timeout_s
                why = self.why_no_leader or "the mesh may be electing one: try again"
                message = f"no leader answered within {seconds:g} s; {why}"
                self._reply(question, False, {"code": CODE_NO_MESH, "message": message})

    def next_deadline(self) -> float:
        """Return when `handle_deadline` is wanted next."""
        return self._timers.next_deadline()

    def has_effects(self) -> bool:
        """Return whether `take_effects` would return any."""
        return len(self._effects) > 0

    def has_requests(self) -> bool:
        """Return whether clients want something of the other parts of the node."""
        requests = len(self._submissions) + len(self._closes) + len(self._fetches)
        return requests + len(self._own_questions) > 0

    def take_effects(self) -> list[Effect]:
        """Return and clear the effects, oldest first."""
        effects = self._effects
        self._effects = []
        return effects

    def take_submissions(self) -> list[Submission]:
        """Return and clear the parts that clients brought."""
        submissions = self._submissions
        self._submissions = []
        return submissions

    def take_own_questions(self) -> list[OpenQuestion]:
        """Return and clear the questions that the node answers itself."""
        questions = self._own_questions
        self._own_questions = []
        return questions

    def take_closes(self) -> list[tuple[JobId, int]]:
        """Return and clear the jobs that clients closed, with their number of parts."""
        closes = self._closes
        self._closes = []
        return closes

    def take_fetches(self) -> list[tuple[ObjectName, InputRef]]:
        """Return and clear the objects to bring into the own store."""
        fetches = self._fetches
        self._fetches = []
        return fetches

    def session_count(self) -> int:
        """Return how many clients are attached."""
        return len(self._sessions)

    def _watchers(self, job: JobId) -> list[int]:
        return [session for session, watched in self._sessions.items() if job in watched]

    def _tell_leader(self, kind: int, body: list[object]) -> None:
        if self._leader:
            self._effects.append(Message(self._leader, kind, body))

    def _reply(self, question: OpenQuestion, ok: bool, value: object) -> None:
        self._send(question.session, CLIENT_REPLY, [question.request, ok, value])

    def _send(self, session: int, kind: int, body: list[object]) -> None:
        if session in self._sessions:
            stamp = Stamp(self._me, NO_BALLOT, 0)
            self._effects.append(SendToClient(session, pack_frame(kind, stamp, body)))

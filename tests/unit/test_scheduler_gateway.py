"""The gateway: submissions, watches and questions of clients, said again when the leader changes."""

from __future__ import annotations

import pytest

from swarm.core.effects import Effect, Message, SendToClient
from swarm.core.ids import NO_BALLOT, NodeId
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.gateway import SESSIONS_MAX, Gateway
from swarm.wire.codec import Body, Stamp, pack_frame, unpack_frame_untrusted
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
    WATCH,
    WATCHED_OUTPUT,
)
from tests.unit.scheduler_builder import JOB, ME, ONE, OTHER_JOB, TWO, bag, call, data, part

CLIENT = Stamp(b"", NO_BALLOT, 0)
BLOB = bag(1).to_wire()


class GatewayEnv:
    """The gateway of node ME with a leader and one open session."""

    def __init__(self, leader: NodeId = ONE) -> None:
        self.now = 0.0
        self.core = Gateway(SchedulerConfig(), ME, "me")
        self.outbox: list[Effect] = []
        if leader:
            self.core.on_leader(leader, 0.0)
        self.core.on_opened(1, 0.0)
        self.take_frames(CLIENT_WELCOME)

    def _gather(self) -> None:
        self.outbox.extend(self.core.take_effects())

    def send(self, kind: int, body: list[object], session: int = 1) -> None:
        """Let a client send a frame."""
        self.core.receive(session, pack_frame(kind, CLIENT, body), self.now)

    def receive(self, kind: int, body: list[object], sender: NodeId = ONE) -> None:
        """Let a node send a message."""
        self.core.receive_message(sender, kind, body, self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.core.handle_deadline(self.now)

    def take_frames(self, kind: int, session: int = 1) -> list[list[object]]:
        """Take the bodies of the frames of a kind that a client was sent."""
        self._gather()
        bodies: list[list[object]] = []
        left: list[Effect] = []
        for effect in self.outbox:
            frame = unpack_frame_untrusted(effect.payload) if isinstance(effect, SendToClient) else None
            if isinstance(effect, SendToClient) and frame is not None:
                if effect.session == session and frame.kind == kind:
                    bodies.append(frame.body)
                    continue
            left.append(effect)
        self.outbox = left
        return bodies

    def take_told(self, kind: int, node: NodeId = ONE) -> list[list[object]]:
        """Take the bodies of the messages of a kind that a node was sent."""
        self._gather()
        taken = [
            one for one in self.outbox if isinstance(one, Message) and one.kind == kind and one.peer == node
        ]
        self.outbox = [one for one in self.outbox if one not in taken]
        return [one.body for one in taken]

    def call(self, op: str, session: int = 1, **args: object) -> None:
        self.send(CLIENT_CALL, [5, op, args], session)

    def check_empty(self) -> None:
        self._gather()
        assert self.outbox == []
        assert self.core.take_submissions() == []
        assert self.core.take_own_questions() == []
        assert self.core.take_closes() == []
        assert self.core.take_fetches() == []


# Sessions


def test_a_client_is_welcomed_with_the_ways_to_others() -> None:
    env = GatewayEnv()
    env.core.set_peers([[TWO, "two", "10.0.0.3", 7117]], {TWO: "two"})
    assert env.take_frames(CLIENT_WELCOME) == [[ME, "me", ONE, [[TWO, "two", "10.0.0.3", 7117]]]]
    env.core.set_peers([[TWO, "two", "10.0.0.3", 7117]], {TWO: "two"})
    env.check_empty()
    assert env.core.session_count() == 1


def test_sessions_are_bounded() -> None:
    env = GatewayEnv()
    for number in range(2, SESSIONS_MAX + 2):
        env.core.on_opened(number, 0.0)
    assert env.core.session_count() == SESSIONS_MAX
    assert env.core.counts["sessions_refused"] == 1


def test_frames_of_closed_sessions_are_late() -> None:
    env = GatewayEnv()
    env.core.on_closed(1, 0.0)
    env.send(CLIENT_WATCH, [1, JOB, False])
    assert env.core.counts["late"] == 1
    env.check_empty()


# Submissions


def test_a_part_goes_to_the_records_and_the_acceptance_back() -> None:
    env = GatewayEnv()
    env.core.names = {ME: "me"}
    env.send(CLIENT_SUBMIT, [3, JOB, 0, BLOB, 1])
    (submission,) = env.core.take_submissions()
    assert (submission.job, submission.number, submission.parts_total, submission.blob) == (JOB, 0, 1, BLOB)
    env.core.on_taken(submission, "")
    env.check_empty()
    env.core.on_accepted([(submission.token, JOB, 0, [ME, bytes(16)])])
    assert env.take_frames(CLIENT_ACCEPTED) == [[3, JOB, 0, ["me", "a" * 26]]]
    env.check_empty()


def test_a_part_that_the_records_refuse_is_refused() -> None:
    env = GatewayEnv()
    env.send(CLIENT_SUBMIT, [3, JOB, 0, BLOB, 1])
    (submission,) = env.core.take_submissions()
    env.core.on_taken(submission, "too many jobs")
    assert env.take_frames(CLIENT_REFUSED) == [[3, 1, "too many jobs"]]
    env.check_empty()


def test_an_unreadable_part_is_refused_with_the_reason() -> None:
    env = GatewayEnv()
    wrong = bag(1)
    wrong.tasks[0].inputs.extend([5, 0])
    env.send(CLIENT_SUBMIT, [3, JOB, 2, wrong.to_wire(), 1])
    ((request, code, message),) = env.take_frames(CLIENT_REFUSED)
    assert (request, code) == (3, 2)
    assert message == "part 2 of the job: task 0 needs task 5, which does not come before it"
    env.check_empty()


def test_a_part_needs_the_bytes_it_refers_to() -> None:
    env = GatewayEnv()
    blob = part(data("x"), data("large", is_brought=True), call(1)).to_wire()
    env.send(CLIENT_SUBMIT, [3, JOB, 0, blob, 1])
    assert env.take_frames(CLIENT_REFUSED) == [
        [3, 2, "the bytes of task 1 were not brought to this node before their part"]
    ]
    env.core.on_object_put((JOB, 1, 0))
    env.send(CLIENT_SUBMIT, [4, JOB, 0, blob, 1])
    assert len(env.core.take_submissions()) == 1
    env.core.forget_job(JOB)
    env.send(CLIENT_SUBMIT, [5, JOB, 0, blob, 1])
    assert len(env.take_frames(CLIENT_REFUSED)) == 1


def test_an_acceptance_for_a_client_that_went_is_dropped() -> None:
    env = GatewayEnv()
    env.send(CLIENT_SUBMIT, [3, JOB, 0, BLOB, 1])
    (submission,) = env.core.take_submissions()
    env.core.on_closed(1, 0.0)
    env.core.on_accepted([(submission.token, JOB, 0, [ME])])
    env.check_empty()


# Watching


def test_a_watch_goes_to_the_leader_and_updates_come_back() -> None:
    env = GatewayEnv()
    env.send(CLIENT_WATCH, [4, JOB, True])
    assert env.take_frames(CLIENT_REPLY) == [[4, True, None]]
    assert env.take_told(WATCH) == [[JOB, True]]
    update: list[object] = [JOB, "running", 1, [1, 0, 0, 0], [], "", True, 0]
    env.receive(JOB_UPDATE, update)
    assert env.take_frames(CLIENT_UPDATE) == [update]
    env.receive(WATCHED_OUTPUT, [JOB, [[0, 1, 1, 0, b"text"]]])
    assert env.take_frames(CLIENT_OUTPUT) == [[JOB, [[0, 1, 1, 0, b"text"]]]]
    env.check_empty()


def test_output_only_for_those_who_want_it_and_updates_for_the_jobs_watched() -> None:
    env = GatewayEnv()
    env.core.on_opened(2, 0.0)
    env.send(CLIENT_WATCH, [4, JOB, False])
    env.send(CLIENT_WATCH, [4, OTHER_JOB, True], session=2)
    env.outbox.clear()
    env.core.take_effects()
    env.receive(WATCHED_OUTPUT, [JOB, []])
    env.receive(JOB_UPDATE, [OTHER_JOB, "done"])
    assert env.take_frames(CLIENT_UPDATE, 2) == [[OTHER_JOB, "done"]]
    env.check_empty()


def test_the_last_to_unwatch_or_to_go_tells_the_leader() -> None:
    env = GatewayEnv()
    env.core.on_opened(2, 0.0)
    for session in (1, 2):
        env.send(CLIENT_WATCH, [4, JOB, False], session)
    env.take_told(WATCH)
    env.send(CLIENT_UNWATCH, [JOB])
    assert env.take_told(WATCH) == []
    env.core.on_closed(2, 0.0)
    assert env.take_told(WATCH) == [[JOB, False]]
    env.outbox.clear()
    env.core.on_closed(2, 0.0)
    env.check_empty()


def test_a_new_leader_is_told_everything_again() -> None:
    env = GatewayEnv(leader=b"")
    env.send(CLIENT_WATCH, [4, JOB, False])
    env.call("jobs")
    assert env.take_told(WATCH) == []
    env.core.on_leader(TWO, 0.0)
    assert env.take_told(WATCH, TWO) == [[JOB, True]]
    ((number, op, args),) = env.take_told(ASK, TWO)
    assert (op, args) == ("jobs", {})
    env.receive(ANSWER, [number, True, []], TWO)
    assert (5, True, []) in [tuple(body) for body in env.take_frames(CLIENT_REPLY)]


def test_after_a_broken_link_to_the_leader_all_is_said_again() -> None:
    env = GatewayEnv()
    env.send(CLIENT_WATCH, [4, JOB, False])
    env.call("jobs")
    env.core.take_effects()
    env.core.on_link_lost(TWO, 0.0)
    assert env.core.next_deadline() == 10.0
    env.core.on_link_lost(ONE, 0.0)
    env.wait(0.3)
    assert env.take_told(WATCH) == [[JOB, True]]
    assert len(env.take_told(ASK)) == 1


def test_a_leader_that_had_forgotten_this_node_is_told_who_watches() -> None:
    env = GatewayEnv()
    env.send(CLIENT_WATCH, [4, JOB, False])
    env.call("jobs")
    env.core.take_effects()
    env.core.say_watches()
    assert env.take_told(WATCH) == [[JOB, True]]
    env.check_empty()


def test_only_the_leader_is_believed() -> None:
    env = GatewayEnv()
    env.receive(JOB_UPDATE, [JOB, "done"], TWO)
    assert env.core.counts["late"] == 1
    env.check_empty()


# Questions


def test_a_question_is_answered_once() -> None:
    env = GatewayEnv()
    env.call("job", job="abc")
    ((number, op, args),) = env.take_told(ASK)
    assert (op, args) == ("job", {"job": "abc"})
    env.receive(ANSWER, [number, False, {"code": 1, "message": "no such job"}])
    assert env.take_frames(CLIENT_REPLY) == [[5, False, {"code": 1, "message": "no such job"}]]
    env.receive(ANSWER, [number, True, None])
    assert env.core.counts["late"] == 1
    env.check_empty()


def test_a_question_that_no_leader_answers_is_given_up() -> None:
    env = GatewayEnv()
    env.call("jobs")
    env.take_told(ASK)
    env.wait(10.0)
    ((_, ok, value),) = env.take_frames(CLIENT_REPLY)
    assert not ok
    assert value == {
        "code": 3,
        "message": "no leader answered within 10 s; the mesh may be electing one: try again",
    }
    env.check_empty()


def test_the_node_answers_some_questions_itself() -> None:
    env = GatewayEnv(leader=b"")
    env.call("status")
    (question,) = env.core.take_own_questions()
    env.core.answer(question, {"name": "me"})
    assert env.take_frames(CLIENT_REPLY) == [[5, True, {"name": "me"}]]
    env.check_empty()


def test_unknown_operations_are_named() -> None:
    env = GatewayEnv()
    env.call("explode")
    assert env.take_frames(CLIENT_REPLY) == [
        [5, False, {"code": 2, "message": "unknown operation 'explode'"}]
    ]


def test_a_session_is_closed_by_a_call() -> None:
    env = GatewayEnv()
    env.call("close", job=JOB, parts=4)
    assert env.core.take_closes() == [(JOB, 4)]
    assert env.take_frames(CLIENT_REPLY) == [[5, True, None]]
    env.call("close", job="text")
    ((_, ok, value),) = env.take_frames(CLIENT_REPLY)
    assert not ok
    assert isinstance(value, dict)
    assert value["code"] == 2
    env.check_empty()


def test_releases_go_to_the_leader() -> None:
    env = GatewayEnv()
    env.send(CLIENT_RELEASE, [JOB, [1, 2]])
    assert env.take_told(JOB_RELEASE) == [[JOB, [1, 2]]]


# Large results


def locate(env: GatewayEnv, task: int = 3, data: bytes | None = None) -> None:
    """Ask for a result and let the leader say where it is."""
    env.call("fetch", job=JOB, task=task)
    ((number, op, _),) = env.take_told(ASK)
    assert op == "locate"
    value = {"job": JOB, "digest": b"d" * 16, "size": 4, "encoding": 0, "data": data, "holders": [TWO, b"x"]}
    env.receive(ANSWER, [number, True, value])


def test_a_small_result_comes_with_the_answer() -> None:
    env = GatewayEnv()
    locate(env, data=b"data")
    ((_, ok, value),) = env.take_frames(CLIENT_REPLY)
    assert ok
    assert isinstance(value, dict)
    assert value["data"] == b"data"
    env.check_empty()


def test_a_large_result_is_brought_here_first() -> None:
    env = GatewayEnv()
    locate(env)
    ((name, ref),) = env.core.take_fetches()
    assert name == (JOB, 3, 0)
    assert (ref.digest, ref.size, ref.holders) == (b"d" * 16, 4, [TWO])
    env.check_empty()
    env.core.on_object_here(name)
    ((_, ok, value),) = env.take_frames(CLIENT_REPLY)
    assert ok
    assert value == {"job": JOB, "digest": b"d" * 16, "size": 4, "encoding": 0, "data": None}
    env.core.on_object_here(name)
    env.check_empty()


def test_two_clients_may_want_the_same_result() -> None:
    env = GatewayEnv()
    locate(env)
    locate(env)
    env.core.take_fetches()
    env.core.on_object_here((JOB, 3, 0))
    assert len(env.take_frames(CLIENT_REPLY)) == 2


def test_a_result_that_cannot_be_fetched_is_said() -> None:
    env = GatewayEnv()
    locate(env)
    env.core.take_fetches()
    env.core.on_object_missing((JOB, 3, 0))
    ((_, ok, value),) = env.take_frames(CLIENT_REPLY)
    assert not ok
    assert isinstance(value, dict)
    assert "could not be fetched" in str(value["message"])
    env.check_empty()


# Malformed


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (CLIENT_SUBMIT, [1, JOB, 2**40, BLOB, 1]),
        (CLIENT_SUBMIT, [1, b"short", 0, BLOB, 1]),
        (CLIENT_WATCH, [1, JOB]),
        (CLIENT_UNWATCH, []),
        (CLIENT_CALL, [1, "jobs", []]),
        (CLIENT_RELEASE, [JOB, 1]),
        (CLIENT_UPDATE, []),
        (1, []),
    ],
)
def test_malformed_frames_are_counted(kind: int, body: list[object]) -> None:
    env = GatewayEnv()
    env.send(kind, body)
    assert env.core.counts["malformed"] == 1
    env.check_empty()


def test_garbage_is_counted() -> None:
    env = GatewayEnv()
    env.core.receive(1, b"\xc1garbage", 0.0)
    env.receive(JOB_UPDATE, [])
    env.receive(ANSWER, ["x"])
    assert env.core.counts["malformed"] == 3
    assert Body([]).has_more() is False

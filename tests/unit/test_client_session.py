"""The session protocol against a scripted node."""

from __future__ import annotations

from typing import Any

import pytest

from swarm.client.errors import Refused
from swarm.client.parts import Part, Upload
from swarm.client.session import Session, is_welcome
from swarm.core.errors import ConnectionLost, SwarmError
from swarm.core.ids import NO_BALLOT, short
from swarm.wire import messages
from swarm.wire.codec import Stamp, pack_frame, unpack_frame_untrusted
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

JOB = b"j" * 10
ALICE, BOB = b"a" * 16, b"b" * 16
NAMES = {value: name for name, value in vars(messages).items() if name.startswith("CLIENT_")}


class FakeFollower:
    def __init__(self) -> None:
        self.attempts = 0
        self.updates: list[tuple[str, bool]] = []
        self.rows: list[object] = []
        self.error: SwarmError | None = None

    def on_update(
        self, state: str, counts: list[object], completions: list[object], reason: str, is_whole: bool
    ) -> None:
        self.updates.append((state, is_whole))

    def on_output_rows(self, rows: list[object]) -> None:
        self.rows += rows

    def fail(self, error: SwarmError) -> None:
        self.error = error


def frame(kind: int, *body: object) -> bytes:
    return pack_frame(kind, Stamp(ALICE, NO_BALLOT, 0), list(body))


def connect(session: Session, node: bytes = ALICE) -> list[Any]:
    """Attach to a node and return what is sent to it at once."""
    session.receive_frame_untrusted(
        frame(CLIENT_WELCOME, node, "name", b"", [[BOB, "bob", "10.0.0.2", 7117]])
    )
    session.on_connected()
    return sent(session)


def sent(session: Session) -> list[Any]:
    """Return what is to be sent: [kind name, …body], or ["put", task]."""
    rows: list[Any] = []
    for item in session.take_outgoing():
        if isinstance(item, bytes):
            decoded = unpack_frame_untrusted(item)
            rows.append([NAMES[decoded.kind], *decoded.body])
        else:
            rows.append(["put", item[1].task])
    return rows


def kinds(rows: list[Any]) -> list[str]:
    return [row[0] for row in rows]


def part(number: int = 0, uploads: list[Upload] | None = None, total: int = 0) -> Part:
    return Part(number, b"blob", uploads or [], total)


def test_a_part_is_sent_once_and_acknowledged() -> None:
    session = Session()
    connect(session)
    session.submit(JOB, part(total=1))
    assert sent(session) == [["CLIENT_SUBMIT", 1, JOB, 0, b"blob", 1]]
    assert session.unacknowledged_count(JOB) == 1
    session.receive_frame_untrusted(frame(CLIENT_ACCEPTED, 1, JOB, 0, ["alice", "bob"]))
    assert session.unacknowledged_count(JOB) == 0
    session.on_disconnected()
    assert connect(session, BOB) == []


def test_what_is_unfinished_is_said_again_to_another_node() -> None:
    session = Session()
    connect(session)
    answers: list[object] = []
    session.submit(JOB, part(0))
    session.submit(JOB, part(1))
    session.watch(JOB, True, FakeFollower())
    session.call("jobs", {}, answers.append)
    first = sent(session)
    session.receive_frame_untrusted(frame(CLIENT_ACCEPTED, 1, JOB, 0, []))
    session.on_disconnected()
    again = connect(session, BOB)
    assert again == first[1:]
    assert kinds(again) == ["CLIENT_SUBMIT", "CLIENT_WATCH", "CLIENT_CALL"]
    session.receive_frame_untrusted(frame(CLIENT_REPLY, again[2][1], True, []))
    assert answers == [[]]


def test_nothing_is_sent_without_a_connection() -> None:
    session = Session()
    session.submit(JOB, part())
    session.watch(JOB, False, FakeFollower())
    session.release(JOB, [1])
    assert sent(session) == []
    assert kinds(connect(session)) == ["CLIENT_SUBMIT", "CLIENT_WATCH"]


def test_uploads_go_before_their_part_and_again_to_another_node() -> None:
    session = Session()
    session.submit(JOB, part(0, [Upload(3, b"x", 0)]))
    session.watch(JOB, False, FakeFollower())
    assert kinds(connect(session)) == ["put", "CLIENT_SUBMIT", "CLIENT_WATCH"]
    session.receive_frame_untrusted(frame(CLIENT_ACCEPTED, 1, JOB, 0, []))
    session.on_disconnected()
    assert kinds(connect(session, ALICE)) == ["CLIENT_WATCH"]
    session.on_disconnected()
    assert kinds(connect(session, BOB)) == ["put", "CLIENT_WATCH"]
    session.unwatch(JOB)
    assert kinds(sent(session)) == ["CLIENT_UNWATCH"]
    session.on_disconnected()
    assert connect(session, ALICE) == []


def test_an_upload_of_an_open_part_is_sent_once() -> None:
    session = Session()
    session.submit(JOB, part(0, [Upload(3, b"x", 0)]))
    connect(session)
    session.on_disconnected()
    assert kinds(connect(session, BOB)) == ["put", "CLIENT_SUBMIT"]


def test_news_reach_the_follower() -> None:
    session = Session()
    connect(session)
    follower = FakeFollower()
    session.watch(JOB, True, follower)
    session.receive_frame_untrusted(frame(CLIENT_UPDATE, JOB, "running", 1, [1, 0, 0, 1], [], "", True, 5))
    session.receive_frame_untrusted(frame(CLIENT_UPDATE, b"?" * 10, "running", 1, [1, 0, 0, 1], [], "", True))
    session.receive_frame_untrusted(frame(CLIENT_OUTPUT, JOB, [[0, 1, 1, 0, b"hi"]]))
    session.receive_frame_untrusted(frame(CLIENT_OUTPUT, b"?" * 10, [[0, 1, 1, 0, b"hi"]]))
    assert (follower.updates, follower.attempts) == ([("running", True)], 5)
    assert follower.rows == [[0, 1, 1, 0, b"hi"]]


def test_watches_without_news_are_repeated() -> None:
    session = Session()
    connect(session)
    session.watch(JOB, False, FakeFollower())
    sent(session)
    session.retry_watches()
    assert kinds(sent(session)) == ["CLIENT_WATCH"]
    session.receive_frame_untrusted(frame(CLIENT_UPDATE, JOB, "running", 1, [1, 0, 0, 1], [], "", True))
    session.retry_watches()
    assert sent(session) == []
    session.watch_again(JOB)
    assert kinds(sent(session)) == ["CLIENT_WATCH"]


def test_a_refused_part_ends_its_job() -> None:
    session = Session()
    connect(session)
    follower = FakeFollower()
    session.submit(JOB, part(0))
    session.submit(JOB, part(1))
    session.watch(JOB, False, follower)
    session.receive_frame_untrusted(frame(CLIENT_REFUSED, 1, 4, "clients may not"))
    assert isinstance(follower.error, Refused)
    assert (follower.error.code, str(follower.error)) == (4, "clients may not")
    assert session.unacknowledged_count(JOB) == 0
    session.on_disconnected()
    assert connect(session, BOB) == []


def test_a_refused_watch_and_a_refused_call() -> None:
    session = Session()
    connect(session)
    follower = FakeFollower()
    answers: list[object] = []
    session.watch(JOB, False, follower)
    session.call("job", {}, answers.append)
    session.receive_frame_untrusted(frame(CLIENT_REFUSED, 1, 1, "unknown"))
    session.receive_frame_untrusted(frame(CLIENT_REFUSED, 2, 2, "wrong"))
    session.receive_frame_untrusted(frame(CLIENT_REFUSED, 9, 2, "late"))
    assert isinstance(follower.error, Refused)
    assert isinstance(answers[0], Refused)
    assert session.counts["late_answers"] == 1


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [({"code": 3, "message": "no leader"}, 3, "no leader"), ("odd", 1, "odd"), ({"code": "x"}, 1, "refused")],
)
def test_answers_that_are_refusals(value: object, code: int, message: str) -> None:
    session = Session()
    connect(session)
    answers: list[Any] = []
    request = session.call("jobs", {}, answers.append)
    session.receive_frame_untrusted(frame(CLIENT_REPLY, request, False, value))
    session.receive_frame_untrusted(frame(CLIENT_REPLY, request, True, 1))
    assert [(answer.code, str(answer)) for answer in answers] == [(code, message)]
    assert session.counts["late_answers"] == 1


def test_a_call_taken_back_is_not_repeated() -> None:
    session = Session()
    request = session.call("jobs", {}, lambda _: None)
    session.forget_call(request)
    assert connect(session) == []


def test_calls_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm.client.session.CALLS_MAX", 2)
    session = Session()
    session.call("jobs", {}, lambda _: None)
    session.call("jobs", {}, lambda _: None)
    with pytest.raises(SwarmError, match=r"2 questions"):
        session.call("jobs", {}, lambda _: None)


def test_welcome_names_the_nodes() -> None:
    session = Session()
    connect(session)
    assert session.is_connected()
    assert (session.node, session.node_name) == (ALICE, "name")
    assert [(peer.node, peer.name, peer.address) for peer in session.peers] == [
        (BOB, "bob", ("10.0.0.2", 7117))
    ]
    assert (session.name_of(BOB), session.name_of(bytes(16))) == ("bob", "")
    assert session.name_of(b"c" * 16) == short(b"c" * 16)[:8]
    session.on_disconnected()
    assert (session.node, session.is_connected(), len(session.peers)) == (b"", False, 1)


def test_releases_are_passed_on() -> None:
    session = Session()
    connect(session)
    session.release(JOB, [])
    session.release(JOB, [1, 2])
    assert sent(session) == [["CLIENT_RELEASE", JOB, [1, 2]]]


def test_giving_up_tells_everybody() -> None:
    session = Session()
    follower = FakeFollower()
    answers: list[object] = []
    session.submit(JOB, part())
    session.watch(JOB, False, follower)
    session.call("jobs", {}, answers.append)
    error = ConnectionLost("gone")
    session.fail(error)
    assert (follower.error, answers) == (error, [error])
    assert connect(session) == []


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff" * 20,
        frame(CLIENT_UPDATE, JOB),
        frame(CLIENT_ACCEPTED, "x"),
        frame(CLIENT_WELCOME, b"short", "name", b"", []),
        frame(CLIENT_WELCOME, ALICE, "name", b"", [7]),
        frame(CLIENT_REPLY, 1),
        frame(CLIENT_REFUSED, 1),
        frame(CLIENT_OUTPUT, JOB, 7),
    ],
)
def test_garbage_is_counted(payload: bytes) -> None:
    session = Session()
    session.watch(JOB, True, FakeFollower())
    session.receive_frame_untrusted(payload)
    assert session.counts["bad_frames"] == 1


def test_unknown_kinds_are_ignored() -> None:
    session = Session()
    session.receive_frame_untrusted(frame(999))
    assert session.counts == {"frames": 1, "bad_frames": 0, "late_answers": 0, "connections": 0}


def test_what_a_welcome_is() -> None:
    assert is_welcome(frame(CLIENT_WELCOME))
    assert not is_welcome(frame(CLIENT_SUBMIT))
    assert not is_welcome(b"nonsense")
    assert {CLIENT_CALL, CLIENT_RELEASE, CLIENT_UNWATCH, CLIENT_WATCH} <= set(NAMES)

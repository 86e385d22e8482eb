"""Nothing that the network or a client sends makes a node raise; what is wrong is counted (rule R4)."""

from __future__ import annotations

import math
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.effects import SendMessage, SendPacket
from swarm.core.ids import NO_BALLOT
from swarm.core.rng import Rng
from swarm.node import Node
from swarm.node_config import NodeConfig
from swarm.wire import messages
from swarm.wire.codec import Stamp, pack, pack_frame, unpack_untrusted
from tests.unit.scheduler_builder import JOB, ME, ONE, TWO, bag, chain, data, failed, part, task
from tests.unit.test_wire_codec import Values

ADDRESS = ("10.0.0.1", 7117)
OTHER = ("10.0.0.2", 7117)
KINDS = sorted(
    {
        number
        for name, number in vars(messages).items()
        if name.isupper() and type(number) is int and number < 100
    }
)
PACKETS = [kind for kind in KINDS if kind < 40]
MESSAGES = [kind for kind in KINDS if 40 <= kind < 80]
FRAMES = [kind for kind in KINDS if kind >= 80]


def make_node(is_leading: bool) -> Node:
    """A node that leads alone and runs a job, or one that knows of no leader."""
    config = NodeConfig(
        node_id=ME,
        name="me",
        addresses=[ADDRESS],
        incarnation=1,
        cores=2.0,
        memory_bytes=1 << 30,
        facts={"python": "3.11", "fitness": 1},
    )
    node = Node(config, [], Rng("garbage"))
    node.start([], 0.0)
    node.take_effects()
    now = 0.0
    while is_leading and not node.election.is_leader():
        now = node.next_deadline()
        assert now < 30.0
        node.handle_deadline(now)
        node.take_effects()
    node.on_client_opened(1, "client", now)
    if is_leading:
        blob = part(data(), task(0, kept=True), task(1, kept=True), session=True).to_wire()
        node.receive_client(
            1, pack_frame(messages.CLIENT_SUBMIT, Stamp(b"", NO_BALLOT, 0), [1, JOB, 0, blob, 0]), now
        )
        node.take_effects()
        assert node.scheduler.jobs[JOB].running == 1
    return node


def malformed(node: Node) -> int:
    """How much was counted and dropped, whichever part did it."""
    total = 0
    for counters in node.statistics().values():
        assert isinstance(counters, dict)
        for name, count in counters.items():
            if not name.endswith("_now"):
                total += int(count)
    return total


def settle(node: Node) -> None:
    """Let the node finish its batch and one deadline; all it says must be sayable."""
    for effect in node.take_effects():
        if isinstance(effect, (SendMessage, SendPacket)):
            assert effect.payload
    deadline = node.next_deadline()
    if deadline < math.inf:
        node.handle_deadline(max(deadline, node._now))
        node.take_effects()
    node.check_invariants()


Ids = st.sampled_from([JOB, ME, ONE, TWO, b"unknown...", bytes(16), b""])
Small = st.integers(0, 4) | st.sampled_from([2**31, 2**40, 2**62])
Blobs = st.sampled_from([bag(1).to_wire(), chain(3).to_wire(), pack(failed(0).to_wire()), b"\xc1"])
Rows = st.recursive(
    Ids
    | Small
    | Blobs
    | st.booleans()
    | st.none()
    | st.floats()
    | st.text(max_size=3)
    | st.just(failed(1).to_wire()),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
Bodies = st.lists(Rows | Values, max_size=8)


SUCCESS = [0, 1, ONE, b"", 0.1, [[b"d" * 16, 4, 0, b"data"]], None]
FAILURE = [1, 1, ONE, b"", 0.1, None, [0, "ValueError", "it broke", "", b""]]
ORDER = [
    JOB,
    1,
    1,
    1,
    "t",
    [0, 0, b"d" * 16, 4, 0, b"data", []],
    b"",
    [[0, 0, None, 0, 0, None, [ONE]]],
    1,
    1.0,
    0,
    0.0,
]
UPDATE = [JOB, "running", 1, [1, 0, 0, 1], [SUCCESS], "", True, 1]
VALID: dict[int, list[Any]] = {
    messages.PUSH_PULL: [1, False, [b"rumour"]],
    messages.RECORD_STORE: [1, JOB, 1, 2, bag(1).to_wire()],
    messages.RECORD_STORED: [1, JOB, 0, True],
    messages.RECORD_OFFER: [[[JOB, [0, 1], 2, False, 0]]],
    messages.RECORD_WANT: [[[JOB, [0]]]],
    messages.RECORD_GIVE: [JOB, 1, 2, bag(1).to_wire()],
    messages.FACTS: [JOB, [SUCCESS, FAILURE]],
    messages.JOB_INTENT: [JOB, messages.INTENT_CLOSE, 2],
    messages.JOB_FORGET: [[[b"other-job.", "done"]]],
    messages.JOB_ENDED: [[JOB]],
    messages.INVENTORY: [2, [[JOB, 1, 1]], [[JOB, 0, 0, b"d" * 16]]],
    messages.ASSIGN: [[ORDER]],
    messages.CANCEL_ATTEMPTS: [[[JOB, 1, 1]]],
    messages.RELEASE_OBJECTS: [[[JOB, 0, 0]]],
    messages.RETRACT: [[[JOB, 1, 1]]],
    messages.RETRACTED: [[[JOB, 1, 1]]],
    messages.COMPLETIONS: [[[JOB, SUCCESS], [JOB, FAILURE]]],
    messages.REFUSED: [1, ONE],
    messages.TASK_OUTPUT: [[[JOB, 1, 1, 1, 0, b"text"]]],
    messages.OBJECT_LOST: [[[JOB, 0, 0, ONE]]],
    messages.OBJECT_COPIED: [[[JOB, 0, 0, b"d" * 16]]],
    messages.WATCH: [JOB, True],
    messages.JOB_UPDATE: UPDATE,
    messages.ASK: [1, "job", {"job": JOB, "task": 1}],
    messages.ANSWER: [1, True, {"job": JOB, "digest": b"d" * 16, "size": 1, "encoding": 0, "data": None}],
    messages.WATCHED_OUTPUT: [JOB, [[0, 1, 1, 0, b"text"]]],
    messages.JOB_RELEASE: [JOB, [1]],
    messages.REPORT_WANTED: [1],
    messages.CLIENT_SUBMIT: [1, JOB, 1, bag(1).to_wire(), 2],
    messages.CLIENT_WATCH: [1, JOB, True],
    messages.CLIENT_CALL: [1, "job", {"job": JOB}],
    messages.CLIENT_UNWATCH: [JOB],
    messages.CLIENT_RELEASE: [JOB, [1]],
    messages.HELLO: [b"rumour", b"digest..", True, 1, 1, False],
    messages.PING: [1, ME, b"digest..", [b"rumour"]],
    messages.ACK: [1, b"digest..", []],
    messages.PING_REQ: [1, TWO, "10.0.0.3", 7117, []],
    messages.NACK: [1, []],
    messages.RUMOURS: [[b"rumour"]],
    messages.VOTE_REQUEST: [1, 1, ONE, False],
    messages.VOTE_REPLY: [1, 1, ONE, False, True],
    messages.BEAT: [True],
    messages.BEAT_REPLY: [],
    messages.STAND: [1, ONE],
}


@st.composite
def bodies(draw: st.DrawFn, kind: int) -> list[Any]:
    """A body for messages of a kind: random, or a good one with something changed, cut or added."""
    if kind not in VALID or draw(st.integers(0, 3)) == 0:
        return draw(Bodies)
    body = unpack_untrusted(pack(VALID[kind]))
    place: Any = body
    while isinstance(place, (list, dict)) and place:
        keys: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], (list, dict)) or draw(st.integers(0, 2)) == 0:
            change = draw(st.integers(0, 3))
            if change == 0:
                del place[key]
            elif change < 3:
                place[key] = draw(Rows | Values)
            break
        place = place[key]
    assert isinstance(body, list)
    return body


@st.composite
def bursts(draw: st.DrawFn, kinds: list[int]) -> list[tuple[int, list[Any]]]:
    """Some messages of those kinds."""
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=6))
    return [(kind, draw(bodies(kind))) for kind in chosen]


@settings(max_examples=250)
@given(bursts(MESSAGES), st.booleans())
def test_messages_of_nodes(burst: list[tuple[int, list[Any]]], is_leading: bool) -> None:
    node = make_node(is_leading)
    for kind, body in burst:
        node.receive_message(ONE, pack_frame(kind, Stamp(ONE, NO_BALLOT, 0), body), node._now)
    settle(node)


@settings(max_examples=100)
@given(bursts([kind for kind in MESSAGES if kind >= messages.INVENTORY]))
def test_messages_of_a_leader(burst: list[tuple[int, list[Any]]]) -> None:
    node = make_node(False)
    for kind, body in burst:
        node.receive_message(ONE, pack_frame(kind, Stamp(ONE, (3, ONE), 5), body), node._now)
    settle(node)


# REPORTS_LOST has no body, so none is wrong.
@pytest.mark.parametrize("kind", [kind for kind in MESSAGES if kind != messages.REPORTS_LOST])
def test_every_kind_is_refused_once_it_is_wrong(kind: int) -> None:
    node = make_node(True)
    before = malformed(node)
    node.receive_message(ONE, pack_frame(kind, Stamp(ONE, NO_BALLOT, 0), []), node._now)
    assert malformed(node) > before
    settle(node)


@settings(max_examples=200)
@given(bursts(PACKETS), st.sampled_from([ONE, TWO, b""]), st.integers(0, 3), st.booleans())
def test_packets(burst: list[tuple[int, list[Any]]], sender: bytes, counter: int, is_leading: bool) -> None:
    node = make_node(is_leading)
    for kind, body in burst:
        node.receive_packet(
            pack_frame(kind, Stamp(sender, (counter, sender), counter), body), OTHER, node._now
        )
    settle(node)


@settings(max_examples=200)
@given(bursts(FRAMES), st.booleans())
def test_frames_of_clients(burst: list[tuple[int, list[Any]]], is_leading: bool) -> None:
    node = make_node(is_leading)
    for kind, body in burst:
        node.receive_client(1, pack_frame(kind, Stamp(b"", NO_BALLOT, 0), body), node._now)
    settle(node)


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=60) | Values.map(msgpack.packb), min_size=1, max_size=8))
def test_random_bytes_are_counted_by_every_input(payloads: list[bytes]) -> None:
    node = make_node(False)
    before = malformed(node)
    for payload in payloads:
        node.receive_packet(payload, OTHER, node._now)
        node.receive_message(ONE, payload, node._now)
        node.receive_client(1, payload, node._now)
        node.receive_client(99, payload, node._now)
    assert malformed(node) >= before + 3 * len(payloads)
    settle(node)


CALLS = ["jobs", "job", "logs", "results", "cancel", "fetch", "status", "nodes", "close", "explode"]


@settings(max_examples=150)
@given(
    st.sampled_from(CALLS),
    st.dictionaries(st.sampled_from(["job", "task", "output", "parts"]), Rows | Values, max_size=4),
)
def test_calls_with_random_arguments(op: str, arguments: dict[str, object]) -> None:
    node = make_node(True)
    body: list[object] = [1, op, arguments]
    node.receive_client(1, pack_frame(messages.CLIENT_CALL, Stamp(b"", NO_BALLOT, 0), body), node._now)
    settle(node)


@pytest.mark.parametrize("depth", [20, 400, 1000])
def test_deep_bodies_are_passed_on_or_dropped(depth: int) -> None:
    nested: Any = None
    for _ in range(depth):
        nested = [nested]
    node = make_node(True)
    for body in (
        [1, "job", {"job": nested}],
        [1, "fetch", {"job": JOB, "task": nested}],
        [1, "close", {"job": nested}],
    ):
        node.receive_client(1, pack_frame(messages.CLIENT_CALL, Stamp(b"", NO_BALLOT, 0), body), node._now)
    node.receive_client(
        1, pack_frame(messages.CLIENT_RELEASE, Stamp(b"", NO_BALLOT, 0), [JOB, [nested]]), node._now
    )
    blob = part(task(), name=nested, submitter=nested).to_wire()
    node.receive_client(
        1,
        pack_frame(messages.CLIENT_SUBMIT, Stamp(b"", NO_BALLOT, 0), [1, b"nested-job", 0, blob, 1]),
        node._now,
    )
    for kind in MESSAGES:
        node.receive_message(
            ONE, pack_frame(kind, Stamp(ONE, NO_BALLOT, 0), [1, nested, nested, nested]), node._now
        )
        node.receive_message(ONE, pack_frame(kind, Stamp(ONE, NO_BALLOT, 0), [nested]), node._now)
    settle(node)


def test_who_speaks_for_another_is_counted() -> None:
    node = make_node(False)
    node.receive_message(ONE, pack_frame(messages.FACTS, Stamp(TWO, NO_BALLOT, 0), [JOB, []]), 0.0)
    assert node.counts["wrong_sender"] == 1
    node.receive_packet(pack_frame(messages.PING, Stamp(ME, NO_BALLOT, 0), []), OTHER, 0.0)
    assert node.counts["own_packets"] == 1
    settle(node)


def test_executors_that_talk_nonsense_are_killed() -> None:
    node = make_node(True)
    node.take_effects()
    node.on_executor_ready(0, 7, node._now)
    for fields in ([9], [messages.HELLO], [4, "x"], [3, 1, 7, "x"]):
        node.receive_executor_frames(0, [list(fields)], node._now)
    settle(node)
    assert node.counts["malformed"] >= 2

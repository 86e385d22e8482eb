"""Targets: layouts of our own protocol, and whole nodes that take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sims.observer import CLIENT, MESSAGE, PACKET
from swarm.client.session import Session
from swarm.core.effects import SendToClient
from swarm.core.errors import DecodeError, RemoteProtocolError
from swarm.core.ids import NO_BALLOT
from swarm.core.rng import Rng
from swarm.daemon.api import to_json_value
from swarm.daemon.assembly import _stored_incarnation
from swarm.daemon.json_text import to_json
from swarm.election.ballots import pack_ballot, unpack_ballot_untrusted
from swarm.gossip.config import GossipConfig
from swarm.gossip.rumours import unpack_rumour_untrusted
from swarm.net.websocket import split_batch_untrusted
from swarm.node import Node
from swarm.node_config import NodeConfig
from swarm.wire.codec import Stamp, pack, pack_frame, unpack_frame_untrusted, unpack_untrusted
from swarm.wire.executor_frames import DONE, FAILED, OUTPUT, READY, ExecutorFrameReader, pack_executor_frame
from swarm.wire.facts import completion_untrusted, failure_untrusted, outputs_untrusted
from swarm.wire.job_part import data_output_untrusted, data_payload, job_part_untrusted
from swarm.wire.messages import CLIENT_CALL, CLIENT_REPLY
from swarm.wire.orders import (
    InputRef,
    assignment_untrusted,
    attempts_untrusted,
    given_objects_untrusted,
    wanted_objects_untrusted,
)
from tests.fuzz.gathering import ROWS, SESSION
from tests.fuzz.mutation import MSGPACK
from tests.fuzz.target import Act, Target, Traffic, plain
from tests.property.test_node_garbage import FAILURE, ORDER, SUCCESS, VALID, make_node
from tests.unit.scheduler_builder import JOB, ME, ONE, TWO, bag, chain, data, output_of, part, task

GOSSIP = GossipConfig()
SOURCE = ("10.0.0.2", 7117)
WAYS = (PACKET, MESSAGE, CLIENT, "executor")
STEPS_MAX = 12


def _listed(decoder: Callable[[list[object]], object]) -> Callable[[], Act]:
    """Prepare a decoder of an array that somebody else has unpacked."""

    def act(payload: bytes) -> None:
        fields = unpack_untrusted(payload)
        if isinstance(fields, list):
            decoder(fields)

    return lambda: act


def _frames(traffic: Traffic) -> list[bytes]:
    made = [pack_frame(kind, Stamp(ONE, NO_BALLOT, 0), body) for kind, body in VALID.items()]
    return [*traffic[PACKET], *traffic[MESSAGE], *traffic[CLIENT], *made]


def _rumours(traffic: Traffic) -> list[bytes]:
    """Return what looks like a rumour inside of packets and messages."""
    found: dict[bytes, None] = {}
    for payload in [*traffic[PACKET], *traffic[MESSAGE]]:
        for item in unpack_frame_untrusted(payload).body:
            for inner in item if isinstance(item, list) else [item]:
                if isinstance(inner, bytes) and len(inner) > 30:
                    found[inner] = None
    return list(found)[:60]


def _job_parts(traffic: Traffic) -> list[bytes]:
    built = part(
        data(), data("more", True), task(0, kept=True), task(1, 2, outputs=3), session=True, name="n"
    )
    return [bag(2).to_wire(), chain(3).to_wire(), built.to_wire()]


def _executor_frames(traffic: Traffic) -> list[bytes]:
    frames: list[list[object]] = [
        [READY, 7],
        [DONE, 1, [output_of("x").to_wire()], 0.5],
        [FAILED, 1, [0, "ValueError", "it broke", "", b""], 0.5],
        [OUTPUT, 1, 0, b"text\n"],
    ]
    return [b"".join(map(pack_executor_frame, frames)), *map(pack_executor_frame, frames)]


def _feed(stream: bytes) -> None:
    reader = ExecutorFrameReader()
    half = len(stream) // 2
    reader.feed(stream[:half])
    reader.feed(stream[half:])


def _split(message: bytes) -> None:
    payloads = split_batch_untrusted(message)
    assert b"".join([len(payload).to_bytes(4, "big") + payload for payload in payloads]) == message


def _batches(traffic: Traffic) -> list[bytes]:
    some = traffic[MESSAGE][:3]
    return [b"".join([len(payload).to_bytes(4, "big") + payload for payload in some]), bytes(4)]


def _job_part_act(blob: bytes) -> None:
    found = job_part_untrusted(blob)
    again = job_part_untrusted(found.to_wire())
    assert repr(again.fields()) == repr(found.fields()), "a part says the same after it was sent on"


def _completion_act(fields: list[object]) -> None:
    found = completion_untrusted(fields)
    assert completion_untrusted(found.to_wire()) == found, "a completion says the same after it was sent on"


# Whole nodes


def prepare_node(is_leading: bool) -> Act:
    """Return what gives a list of inputs to a new node and looks at it afterwards."""
    node = make_node(is_leading)
    node.on_executor_ready(0, 7, node._now)
    node.take_effects()

    def act(inputs: bytes) -> None:
        steps = unpack_untrusted(inputs)
        for step in steps[:STEPS_MAX] if isinstance(steps, list) else []:
            if isinstance(step, list) and len(step) == 2 and isinstance(step[1], bytes):
                _give(node, step[0], step[1])
                node.take_effects()
        node.handle_deadline(max(node._now, min(node.next_deadline(), node._now + 5.0)))
        node.take_effects()
        node.check_invariants()
        check_sayable(node)

    return act


def _give(node: Node, way: object, payload: bytes) -> None:
    now = node._now + 0.01
    if way == PACKET:
        node.receive_packet(payload, SOURCE, now)
    elif way == MESSAGE:
        try:
            peer = unpack_frame_untrusted(payload).stamp.sender
        except DecodeError:
            peer = ONE
        node.receive_message(peer, payload, now)
    elif way == CLIENT:
        node.receive_client(1, payload, now)
    else:
        try:
            frames = ExecutorFrameReader().feed(payload)
        except DecodeError:
            return
        node.receive_executor_frames(0, frames, now)


def check_sayable(node: Node) -> None:
    """Check that what a node knows can be told as JSON: one member's words must not hide all others."""
    for number, op in enumerate(("status", "nodes", "jobs")):
        frame = pack_frame(CLIENT_CALL, Stamp(b"", NO_BALLOT, 0), [number, op, {}])
        node.on_client_opened(7, "local", node._now)
        node.receive_client(7, frame, node._now)
        for effect in node.take_effects():
            if isinstance(effect, SendToClient) and effect.session == 7:
                said = unpack_frame_untrusted(effect.payload)
                if said.kind == CLIENT_REPLY:
                    to_json(to_json_value(said.body[2]))


def _node_inputs(traffic: Traffic) -> list[bytes]:
    seeds: list[bytes] = []
    for way in (PACKET, MESSAGE, CLIENT):
        frames = traffic[way]
        seeds += [pack([[way, frame]]) for frame in frames]
        seeds += [pack([[way, frame] for frame in frames[at : at + 6]]) for at in range(0, len(frames), 6)]
    for kind, body in VALID.items():
        way = PACKET if kind < 40 else MESSAGE if kind < 80 else CLIENT
        sender = b"" if way == CLIENT else ONE
        seeds.append(pack([[way, pack_frame(kind, Stamp(sender, NO_BALLOT, 0), body)]]))
    seeds += [pack([["executor", frame]]) for frame in _executor_frames(traffic)]
    return [seed for seed in seeds if len(seed) < 4000]


def _restore(payload: bytes) -> None:
    """Start a node from rows whose checksums are right, whatever wrote them."""
    fields = unpack_untrusted(payload)
    rows: list[tuple[str, bytes, bytes]] = []
    for item in fields if isinstance(fields, list) else []:
        if isinstance(item, list) and len(item) == 3:
            table, key, value = item
            if isinstance(table, str) and isinstance(key, bytes) and isinstance(value, bytes):
                rows.append((table, key, value))
    config = NodeConfig(
        node_id=ME,
        name="me",
        addresses=[("10.0.0.1", 7117)],
        incarnation=max(1, min(_stored_incarnation(rows), 2**61)),
        cores=2.0,
        memory_bytes=1 << 30,
        facts={"python": "3.11"},
    )
    node = Node(config, rows, Rng("rows"))
    node.start([], 0.0)
    node.take_effects()
    node.handle_deadline(node.next_deadline())
    node.take_effects()
    node.check_invariants()


def _row_sets(traffic: Traffic) -> list[bytes]:
    rows = [unpack_untrusted(row) for row in traffic[ROWS]]
    sets = [pack(rows[at : at + 4]) for at in range(0, len(rows), 4)]
    return [*(pack([row]) for row in rows), *sets, pack([["node", b"incarnation", pack(3)]])]


class _Follower:
    """Takes what a session says of a job."""

    attempts = 0

    def __getattr__(self, name: str) -> Any:
        if not name.startswith(("on_", "fail")):
            raise AttributeError(name)
        return lambda *arguments: None


def _session() -> Act:
    session = Session()
    follower: Any = _Follower()
    session.watch(JOB, True, follower)
    session.call("status", {}, lambda value: None)

    def act(payload: bytes) -> None:
        session.receive_frame_untrusted(payload)
        session.take_outgoing()

    return act


WIRE_TARGETS = [
    Target("frame", plain(unpack_frame_untrusted), _frames, MSGPACK, (DecodeError,)),
    Target(
        "rumour",
        plain(lambda packed: unpack_rumour_untrusted(packed, GOSSIP)),
        _rumours,
        MSGPACK,
        (DecodeError,),
    ),
    Target(
        "ballot", plain(unpack_ballot_untrusted), lambda _: [pack_ballot((3, ME))], MSGPACK, (DecodeError,)
    ),
    Target(
        "completion",
        _listed(_completion_act),
        lambda _: [pack(SUCCESS), pack(FAILURE)],
        MSGPACK,
        (DecodeError,),
    ),
    Target(
        "outputs",
        _listed(outputs_untrusted),
        lambda _: [pack([output_of("x").to_wire()])],
        MSGPACK,
        (DecodeError,),
    ),
    Target("failure", _listed(failure_untrusted), lambda _: [pack(FAILURE[6])], MSGPACK, (DecodeError,)),
    Target("assignment", _listed(assignment_untrusted), lambda _: [pack(ORDER)], MSGPACK, (DecodeError,)),
    Target(
        "attempts",
        _listed(attempts_untrusted),
        lambda _: [pack([[JOB, 1, 1], [JOB, 2, 0]])],
        MSGPACK,
        (DecodeError,),
    ),
    Target(
        "given-objects",
        _listed(given_objects_untrusted),
        lambda _: [pack([[JOB, 0, 0, 4, 0, b"data"]])],
        MSGPACK,
        (DecodeError,),
    ),
    Target(
        "wanted-objects",
        _listed(wanted_objects_untrusted),
        lambda _: [pack([[JOB, InputRef(1, 0, bytes(16), 70_000, 0, None, [ONE, TWO]).to_wire()]])],
        MSGPACK,
        (DecodeError,),
    ),
    Target("job-part", plain(_job_part_act), _job_parts, MSGPACK, (DecodeError,)),
    Target(
        "data-task",
        plain(data_output_untrusted),
        lambda _: [data_payload(output_of("x"))],
        MSGPACK,
        (DecodeError,),
    ),
    Target("executor-frames", plain(_feed), _executor_frames, errors=(DecodeError,)),
    Target("batch", plain(_split), _batches, errors=(DecodeError, RemoteProtocolError)),
    Target("session", _session, lambda traffic: traffic[SESSION], MSGPACK),
    Target("journal-rows", plain(_restore), _row_sets, MSGPACK, (DecodeError,), share=3),
    Target(
        "node", lambda: prepare_node(False), _node_inputs, MSGPACK, (DecodeError,), is_fresh=True, share=8
    ),
    Target(
        "leader", lambda: prepare_node(True), _node_inputs, MSGPACK, (DecodeError,), is_fresh=True, share=8
    ),
]

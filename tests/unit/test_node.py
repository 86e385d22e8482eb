"""The composed node: orders and fences, reports to a leader, objects kept for records, draining, status."""

from __future__ import annotations

from typing import Any

import pytest

from sims.cluster import simple_cluster
from sims.network import NetworkConfig
from swarm.core.effects import Effect, FetchObject, Persist, SendMessage, SendToClient
from swarm.core.errors import ConfigError
from swarm.core.ids import NO_BALLOT, Ballot, NodeId
from swarm.core.rng import Rng
from swarm.node import Node
from swarm.node_company import REFRESH_PAUSE_S
from swarm.node_config import NodeConfig
from swarm.wire.codec import Stamp, pack_frame, unpack_frame_untrusted
from swarm.wire.messages import (
    ANSWER,
    ASK,
    ASSIGN,
    CLIENT_CALL,
    CLIENT_REPLY,
    CLIENT_SUBMIT,
    CLIENT_WATCH,
    HELLO,
    INVENTORY,
    JOB_FORGET,
    OBJECT_COPIED,
    RECORD_STORE,
    RECORD_STORED,
    REFUSED,
    REPORT_WANTED,
    RETRACT,
    RETRACTED,
    WATCH,
)
from tests.unit.gossip_builder import alive
from tests.unit.scheduler_builder import JOB, ME, ONE, TWO, bag, data, part, task

OTHER = ("10.0.0.2", 7117)
BALLOT: Ballot = (3, ONE)
CLIENT = Stamp(b"", NO_BALLOT, 0)


def config(**changed: Any) -> NodeConfig:
    settings: dict[str, Any] = {
        "node_id": ME,
        "name": "me",
        "addresses": [("10.0.0.1", 7117)],
        "incarnation": 4,
        "cores": 2.0,
        "memory_bytes": 1 << 30,
        "facts": {"python": "3.11", "tags": ["own"]},
    }
    return NodeConfig(**{**settings, **changed})


class NodeEnv:
    """A node that knows ONE and follows it."""

    def __init__(self) -> None:
        self.node = Node(config(), [], Rng("node"))
        self.now = 1.0
        self.node.start([], 0.0)
        hello: list[object] = [alive(ONE, 1, OTHER), b"digest..", False, 1, 1, True]
        self.node.receive_packet(pack_frame(HELLO, Stamp(ONE, BALLOT, 5), hello), OTHER, self.now)
        self.effects: list[Effect] = []
        self.pump()
        assert self.node.election.leader() == ONE
        self.effects.clear()

    def pump(self) -> None:
        self.effects += self.node.take_effects()
        self.node.check_invariants()

    def receive(self, kind: int, body: list[object], sender: NodeId = ONE, ballot: Ballot = BALLOT) -> None:
        self.node.receive_message(sender, pack_frame(kind, Stamp(sender, ballot, 6), body), self.now)
        self.pump()

    def open(self) -> None:
        """A client comes; its welcome is taken."""
        self.node.on_client_opened(1, "client", self.now)
        self.pump()
        self.effects.clear()

    def client(self, kind: int, body: list[object]) -> None:
        self.node.receive_client(1, pack_frame(kind, CLIENT, body), self.now)
        self.pump()

    def take(self, kind: int, peer: NodeId = ONE) -> list[list[object]]:
        """Take the bodies of the messages of a kind to a peer."""
        bodies: list[list[object]] = []
        left: list[Effect] = []
        for effect in self.effects:
            if isinstance(effect, SendMessage) and effect.peer == peer:
                frame = unpack_frame_untrusted(effect.payload)
                if frame.kind == kind:
                    bodies.append(frame.body)
                    continue
            left.append(effect)
        self.effects = left
        return bodies


def order(index: int) -> list[object]:
    return [JOB, index, 1, 2, "t", None, b"", [], 1, 1.0, 0, 0.0]


# Orders


def test_orders_of_the_leader_are_obeyed_and_others_refused() -> None:
    env = NodeEnv()
    env.receive(ASSIGN, [[order(0)]])
    assert env.node.status()["running"] == 1
    env.receive(ASSIGN, [[order(1)]], TWO, (2, TWO))
    assert env.node.status()["running"] == 1
    assert env.node.counts["refused"] == 1
    assert env.take(REFUSED, TWO) == [[BALLOT[0], BALLOT[1]]]


def test_what_has_not_started_is_given_back() -> None:
    env = NodeEnv()
    env.receive(ASSIGN, [[order(0), order(1)]])
    env.receive(RETRACT, [[[JOB, 0, 1], [JOB, 9, 1]]])
    assert env.take(RETRACTED) == [[[[JOB, 0, 1]]]]


def test_nothing_of_a_job_that_ended_long_ago_is_run() -> None:
    env = NodeEnv()
    env.receive(JOB_FORGET, [[[JOB, "done"]]])
    env.receive(ASSIGN, [[order(0), order(1)]])
    assert env.take(JOB_FORGET) == [[[[JOB, "done"]]]]
    assert env.node.exec.inventory()[0] == []


def test_a_malformed_order_does_nothing() -> None:
    env = NodeEnv()
    env.receive(ASSIGN, [[order(0), order(1)[:5]]])
    assert env.node.status()["running"] == 0
    assert env.node.counts["malformed"] == 1


def test_a_report_names_what_runs_and_who_watches_here() -> None:
    env = NodeEnv()
    env.open()
    env.client(CLIENT_WATCH, [1, JOB, False])
    assert env.take(WATCH) == [[JOB, True]]
    env.receive(REPORT_WANTED, [7])
    ((request, running, objects),) = env.take(INVENTORY)
    assert (request, running, objects) == (7, [], [])
    assert env.take(WATCH) == [[JOB, True]], "the leader may have believed this node dead"


# Objects


def test_an_object_kept_for_a_record_is_found_by_the_leader() -> None:
    env = NodeEnv()
    blob = part(data("large", is_brought=True), task(0)).to_wire()
    env.receive(RECORD_STORE, [5, JOB, 0, 1, blob])
    (fetch,) = [effect for effect in env.effects if isinstance(effect, FetchObject)]
    assert fetch.sources == [(ONE, [OTHER])]
    assert env.take(RECORD_STORED) == []
    env.node.on_object_fetched(fetch.name, env.now)
    env.pump()
    assert env.take(RECORD_STORED) == [[5, JOB, 0, True]]
    assert env.take(OBJECT_COPIED) == [[[[JOB, 0, 0, fetch.digest]]]]
    env.receive(REPORT_WANTED, [8])
    ((_, _, objects),) = env.take(INVENTORY)
    assert objects == [[JOB, 0, 0, fetch.digest]]


def asks_for_a_result(env: NodeEnv, holders: list[NodeId]) -> None:
    """A client asks for a large result, and the leader says who holds it."""
    env.open()
    env.client(CLIENT_CALL, [9, "fetch", {"job": JOB, "task": 0}])
    ((number, _, _),) = env.take(ASK)
    value = {"job": JOB, "digest": b"d" * 16, "size": 4, "encoding": 0, "data": None, "holders": holders}
    env.receive(ANSWER, [number, True, value])


def replies(env: NodeEnv) -> list[tuple[object, object]]:
    """Numbers of the client's questions that were answered, and whether with yes."""
    frames = [unpack_frame_untrusted(one.payload) for one in env.effects if isinstance(one, SendToClient)]
    return [(frame.body[0], frame.body[1]) for frame in frames if frame.kind == CLIENT_REPLY]


@pytest.mark.parametrize("holder", [TWO, ME])
def test_a_client_hears_of_a_result_that_nobody_can_be_asked_for(holder: NodeId) -> None:
    env = NodeEnv()
    asks_for_a_result(env, [holder])
    assert [effect for effect in env.effects if isinstance(effect, FetchObject)] == []
    assert replies(env) == [(9, False)]


def test_a_client_hears_of_a_result_whose_job_is_forgotten_meanwhile() -> None:
    env = NodeEnv()
    asks_for_a_result(env, [ONE])
    assert replies(env) == []
    env.receive(JOB_FORGET, [[[JOB, "done"]]])
    assert replies(env) == [(9, False)]


def test_a_client_gets_a_result_that_comes_in_another_way_than_it_was_asked_for() -> None:
    env = NodeEnv()
    asks_for_a_result(env, [ONE])
    env.node.on_object_put((JOB, 0, 0), b"d" * 16, 4, 0, env.now)
    env.pump()
    assert replies(env) == [(9, True)]


def test_an_object_that_cannot_be_kept_is_not_confirmed() -> None:
    env = NodeEnv()
    env.receive(RECORD_STORE, [5, JOB, 0, 1, part(data("large", is_brought=True)).to_wire()])
    env.node.on_object_missing((JOB, 0, 0), [ONE], env.now)
    env.pump()
    assert env.take(RECORD_STORED) == [[5, JOB, 0, False]]


def test_what_a_client_put_is_told_to_the_leader() -> None:
    env = NodeEnv()
    env.node.on_object_put((JOB, 0, 0), b"d" * 16, 100_000, 0, env.now)
    env.pump()
    assert env.take(OBJECT_COPIED) == [[[[JOB, 0, 0, b"d" * 16]]]]


# Durability


def test_an_acknowledgement_stands_behind_the_write() -> None:
    env = NodeEnv()
    env.open()
    env.client(CLIENT_SUBMIT, [1, JOB, 0, bag(1).to_wire(), 1])
    tables = [effect.table for effect in env.effects if isinstance(effect, Persist)]
    assert tables == ["intents", "parts"]
    assert not [effect for effect in env.effects if isinstance(effect, SendToClient)]
    ((request, *_),) = env.take(RECORD_STORE)
    env.effects.clear()
    env.receive(RECORD_STORED, [request, JOB, 0, True])
    assert [type(effect) for effect in env.effects][-1] is SendToClient


# Members


def test_many_changes_of_members_are_seen_together() -> None:
    env = NodeEnv()
    refreshed = env.node._refreshed_at
    env.now += REFRESH_PAUSE_S / 4
    for number in range(5):
        node = bytes([200 + number]) * 16
        hello: list[object] = [alive(node, 1, ("10.0.1.1", 7000 + number)), b"digest..", False, 1, 1, True]
        env.node.receive_packet(
            pack_frame(HELLO, Stamp(node, BALLOT, 5), hello), ("10.0.1.1", 7000 + number), env.now
        )
        env.pump()
    assert env.node._refreshed_at == refreshed
    assert env.node.next_deadline() <= refreshed + REFRESH_PAUSE_S
    env.now = refreshed + REFRESH_PAUSE_S
    env.node.handle_deadline(env.now)
    env.pump()
    assert env.node._refreshed_at == env.now


def test_time_does_not_go_back() -> None:
    env = NodeEnv()
    with pytest.raises(AssertionError, match="N3"):
        env.node.handle_deadline(0.5)


# Views


def test_the_status_tells_what_this_node_knows() -> None:
    env = NodeEnv()
    status = env.node.status()
    assert (status["name"], status["running"], status["is_idle"], status["draining"]) == (
        "me",
        0,
        True,
        False,
    )
    assert status["jobs"] == {"known": 0}
    assert set(env.node.statistics()) == {
        "node",
        "gossip",
        "election",
        "records",
        "scheduler",
        "gateway",
        "exec",
    }
    env.open()
    env.client(86, [3, "nodes", {}])
    (frame,) = [unpack_frame_untrusted(one.payload) for one in env.effects if isinstance(one, SendToClient)]
    assert frame.kind == CLIENT_REPLY
    rows = frame.body[2]
    assert isinstance(rows, list)
    assert sorted([row["name"] for row in rows]) == ["me", "n"]


def test_every_node_has_its_name_and_id_as_tags() -> None:
    env = NodeEnv()
    member = env.node.gossip.member(ME)
    assert member is not None
    tags = member.facts["tags"]
    assert isinstance(tags, list)
    assert tags[:2] == ["own", "node=me"]


def test_draining_is_told_to_the_mesh_and_ends_new_work() -> None:
    cluster = simple_cluster(2, "drain", NetworkConfig())
    for index in range(2):
        cluster.start(index)
    assert cluster.wait_converged(10.0) >= 0
    leader = cluster.leaders()[0]
    other = cluster.hosts[1 - leader]
    assert other.node is not None
    other.node.drain(cluster.engine.now)
    cluster._pump(other)
    cluster.run_until(cluster.engine.now + 5.0)
    watcher = cluster.hosts[leader].node
    assert watcher is not None
    member = watcher.gossip.member(other.node_id)
    assert member is not None
    assert member.facts["draining"] is True
    assert watcher.scheduler.dispatcher.workers[other.node_id].is_draining
    assert other.node.status()["draining"] is True


@pytest.mark.parametrize(
    "changed", [{"node_id": b"short"}, {"cores": -1.0}, {"memory_bytes": -1}, {"name": ""}]
)
def test_impossible_nodes_are_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        config(**changed)

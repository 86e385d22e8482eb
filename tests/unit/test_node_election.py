"""Nodes of available and strict meshes: which election they have, and that they do not mix."""

from __future__ import annotations

import pytest

from swarm.core.effects import Effect, Notify, Persist, SendHello, SendMessage, SendPacket
from swarm.core.errors import ConfigError
from swarm.core.ids import Address, NodeId
from swarm.core.rng import Rng
from swarm.election.core import Election
from swarm.election.ledger import LEDGER_KEY, founding_row
from swarm.election.strict import StrictElection
from swarm.election.strict_config import StrictConfig
from swarm.node import Node
from swarm.node_config import NodeConfig
from swarm.node_election import QUORUM

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16
STEP_S = 0.05


class Wired:
    """Nodes that hear each other at once; each has a name of one letter."""

    def __init__(self, quorums: dict[NodeId, str], founder: NodeId = A) -> None:
        self.now = 10.0
        self.nodes: dict[NodeId, Node] = {}
        self.places: dict[Address, NodeId] = {}
        self.news: list[tuple[NodeId, Notify]] = []
        self.rows: dict[NodeId, dict[bytes, bytes]] = {}
        for node_id, quorum in quorums.items():
            place = (f"10.0.0.{node_id[0]}", 7117)
            self.places[place] = node_id
            rows = (
                [("node", LEDGER_KEY, founding_row(node_id, Rng("founding")))] if node_id == founder else []
            )
            config = NodeConfig(
                node_id=node_id,
                name=node_id.decode()[:1],
                addresses=[place],
                incarnation=1,
                cores=1.0,
                memory_bytes=0,
                facts={"fitness": 100},
                quorum=quorum,
            )
            self.rows[node_id] = {}
            self.nodes[node_id] = Node(config, rows, Rng(f"wired:{node_id.hex()}"))
        for node_id, node in self.nodes.items():
            node.start([], self.now)
            self.perform(node_id)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += STEP_S
            for node_id, node in self.nodes.items():
                if node.next_deadline() <= self.now:
                    node.handle_deadline(self.now)
                    self.perform(node_id)

    def perform(self, sender: NodeId) -> None:
        for effect in self.nodes[sender].take_effects():
            self.perform_one(sender, effect)

    def perform_one(self, sender: NodeId, effect: Effect) -> None:
        place = (f"10.0.0.{sender[0]}", 7117)
        if isinstance(effect, (SendPacket, SendHello)):
            target = self.places.get(effect.destination) if isinstance(effect, SendPacket) else None
            for node_id, node in self.nodes.items():
                if node_id != sender and (isinstance(effect, SendHello) or node_id == target):
                    node.receive_packet(effect.payload, place, self.now)
                    self.perform(node_id)
        elif isinstance(effect, SendMessage):
            self.nodes[effect.peer].receive_message(sender, effect.payload, self.now)
            self.perform(effect.peer)
        elif isinstance(effect, Notify):
            self.news.append((sender, effect))
        elif isinstance(effect, Persist):
            self.rows[sender][effect.key] = effect.value


def quorum_of(node: Node) -> dict[str, object]:
    quorum = node.status()["quorum"]
    assert isinstance(quorum, dict)
    return quorum


def state_of(member: NodeId, observer: Node) -> str:
    known = observer.gossip.member(member)
    assert known is not None
    return known.state


def test_a_node_has_the_election_of_its_mesh() -> None:
    wired = Wired({A: "strict", B: "available"})
    assert isinstance(wired.nodes[A].election, StrictElection)
    assert isinstance(wired.nodes[B].election, Election)
    assert LEDGER_KEY not in wired.rows[B]
    with pytest.raises(ConfigError, match="quorum is 'lax'"):
        Wired({A: "lax"})


def test_strict_nodes_make_one_mesh_whose_voters_everybody_knows() -> None:
    wired = Wired(dict.fromkeys((A, B, C), "strict"))
    wired.run(10.0)
    leader = wired.nodes[A]
    assert leader.election.is_leader()
    for node in wired.nodes.values():
        assert quorum_of(node) == {
            "mode": "strict",
            "foreign": [],
            "version": 3,
            "voters": ["a", "b", "c"],
            "majority": 2,
            "reachable": 3,
            "reason": "",
        }
        assert node.election.leader() == A
        node.check_invariants()
    assert sorted(leader.scheduler.dispatcher.workers) == [A, B, C]


def test_members_of_an_available_mesh_are_no_members_of_a_strict_one() -> None:
    wired = Wired({A: "strict", B: "available", C: "available"})
    wired.run(10.0)
    strict, available = wired.nodes[A], wired.nodes[B]
    assert quorum_of(strict)["foreign"] == ["b", "c"]
    assert quorum_of(available) == {"mode": "available", "foreign": ["a"]}
    assert strict.election.is_leader()
    assert strict.election.ballot() == (1, A), "their ballots are none here"
    assert sorted(strict.scheduler.dispatcher.workers) == [A]
    assert available.election.leader() in (B, C)
    assert A not in wired.nodes[available.election.leader()].scheduler.dispatcher.workers
    told = [(node, news.values["quorum"]) for node, news in wired.news if news.event == "quorum_differs"]
    assert sorted(told) == [(A, "available"), (A, "available"), (B, "strict"), (C, "strict")]


def test_a_member_that_fits_after_all_is_one() -> None:
    wired = Wired({A: "strict", B: "available"})
    wired.run(3.0)
    assert quorum_of(wired.nodes[A])["foreign"] == ["b"]
    wired.nodes[B].update_facts({QUORUM: "strict"}, wired.now)
    wired.perform(B)
    wired.run(3.0)
    assert quorum_of(wired.nodes[A])["foreign"] == []
    assert sorted(wired.nodes[A].scheduler.dispatcher.workers) == [A, B]


def test_a_strict_mesh_that_nobody_founded_says_so() -> None:
    wired = Wired({A: "strict", B: "strict"}, founder=b"")
    wired.run(20.0)
    for node in wired.nodes.values():
        assert node.election.leader() == b""
        reason = str(quorum_of(node)["reason"])
        assert reason.startswith("this node has not heard of the voters")
        assert node.why_no_leader() == reason


def test_a_voter_that_leaves_says_goodbye_when_it_is_replaced() -> None:
    wired = Wired(dict.fromkeys((A, B, C), "strict"))
    wired.run(10.0)
    wired.nodes[A].drain(wired.now)
    wired.nodes[A].leave(wired.now)
    wired.perform(A)
    began_at = wired.now
    while wired.nodes[A].election.is_needed():
        assert state_of(A, wired.nodes[B]) == "alive"
        wired.run(STEP_S)
        assert wired.now - began_at < StrictConfig().leave_wait_s - 1.0, "it does not just wait"
    assert wired.now - began_at > 0.5
    wired.run(0.5)
    leader = wired.nodes[B].election.leader()
    assert leader in (B, C)
    assert state_of(A, wired.nodes[leader]) == "left"
    wired.run(5.0)
    assert len(wired.nodes[leader].election.voters()) == 1


def test_a_voter_that_stops_says_goodbye_at_once_and_stays_a_voter() -> None:
    wired = Wired(dict.fromkeys((A, B, C), "strict"))
    wired.run(10.0)
    wired.nodes[A].leave(wired.now)
    wired.perform(A)
    assert state_of(A, wired.nodes[B]) == "left"
    wired.run(0.5)
    leader = wired.nodes[B].election.leader()
    assert leader in (B, C)
    assert wired.nodes[leader].election.voters() == [A, B, C]

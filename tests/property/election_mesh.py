"""A small mesh of elections among whoever is there; all clocks are right."""

from __future__ import annotations

from typing import Final

from swarm.core.ids import Address, Ballot, NodeId
from swarm.core.rng import Rng
from swarm.election.core import Election
from swarm.election.council import Candidate, choose_council
from tests.property.mesh_base import MeshBase, MeshNode

DETECTION_S: Final = 1.0


class ElectionNode(MeshNode[Election]):
    """A node, and the council that it was told last."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.council: list[tuple[NodeId, Address]] = []


class ElectionMesh(MeshBase[ElectionNode]):
    """Who is missed for `DETECTION_S` is dead to the observer."""

    def __init__(self, seed: str, count: int, loss: float = 0.0, latency_s: float = 0.02) -> None:
        nodes = [ElectionNode(index) for index in range(count)]
        super().__init__(Rng(f"mesh:{seed}"), seed, nodes, loss, latency_s)

    def leaders(self) -> list[int]:
        """Return the nodes that believe to lead."""
        return [
            node.index for node in self.running() if node.election is not None and node.election.is_leader()
        ]

    def agreed(self) -> int:
        """Return the one leader that every running node names, under one ballot; -1 when there is none."""
        leaders = self.leaders()
        if len(leaders) != 1:
            return -1
        wanted = self.nodes[leaders[0]]
        assert wanted.election is not None
        for node in self.running():
            if node.election is None or node.election.leader() != wanted.node_id:
                return -1
            if node.election.ballot() != wanted.election.ballot():
                return -1
        return leaders[0]

    def _judge(self) -> None:
        """Two may lead for a while, under two ballots."""

    def _new_election(self, node: ElectionNode, rng: Rng) -> Election:
        node.council = []
        election = Election(self.config, node.node_id, rng, node.fence, node.promise)
        assert election.ballot() == max(node.fence, node.promise)
        return election

    def _view(self, node: ElectionNode) -> None:
        election = node.election
        assert election is not None
        candidates: list[Candidate] = []
        for index, missed_for_s in self._missed_for_s(node).items():
            state = "dead" if missed_for_s > DETECTION_S else "alive"
            dead_for_s = max(0.0, missed_for_s - DETECTION_S)
            other = self.nodes[index]
            candidates.append(Candidate(other.node_id, other.address, other.fitness, state, dead_for_s))
        council = choose_council(candidates, election.leader(), self.config)
        if council != node.council:
            node.council = council
            election.on_council(council, self.now)
            everybody = [(candidate.node_id, candidate.address) for candidate in candidates]
            election.on_members(everybody, self.now)


def changes_after(mesh: ElectionMesh, when: float) -> list[tuple[float, int, NodeId, Ballot]]:
    """Return the changes of leader that nodes told after `when`."""
    return [change for change in mesh.history if change[0] > when]


def new_mesh(seed: str, count: int, loss: float = 0.0) -> ElectionMesh:
    """Return a mesh whose nodes were all started at once and agree on a leader."""
    mesh = ElectionMesh(seed, count, loss)
    for index in range(count):
        mesh.start(index)
    mesh.run_until_agreed(10.0)
    return mesh


def cut_loose(mesh: ElectionMesh, rng: Rng) -> None:
    """Let one random fault happen, to a leader as often as not."""
    running = [node.index for node in mesh.running()]
    if not running:
        return
    victim = rng.choose(mesh.leaders() if mesh.leaders() and rng.unit() < 0.5 else running)
    draw = rng.unit()
    if draw < 0.15:
        mesh.crash(victim)
    elif draw < 0.35:
        mesh.nodes[victim].effects_until_crash = rng.below(8)
    elif draw < 0.45:
        mesh.resign(victim)
        mesh.nodes[victim].effects_until_crash = 3
    elif draw < 0.55:
        mesh.sleep(victim)
    elif draw < 0.85:
        mesh.split_somewhere(rng, is_bridged=draw >= 0.7)
    else:
        mesh.close(victim, rng.below(len(mesh.nodes)), both_ways=rng.unit() < 0.3)

"""A small mesh of strict elections: every node has a clock of its own, which drifts.

Besides, disks are lost, processes stand still and do not notice, and some packets come late. Judged is in
true time, by code that shares nothing with the core: leases by :meth:`StrictMesh.holders`, promises and
configurations by what is on the disks when something is told.
"""

from __future__ import annotations

from typing import Final

from swarm.core.effects import Packet, Persist
from swarm.core.ids import NO_BALLOT, Ballot, NodeId
from swarm.core.rng import Rng
from swarm.election.configuration import NO_CONFIGURATION, Configuration
from swarm.election.ledger import LEDGER_KEY, Ledger, founding_row, unpack_ledger_untrusted
from swarm.election.strict import StrictElection
from swarm.election.strict_config import StrictConfig
from swarm.wire.messages import BEAT_REPLY
from tests.property.mesh_base import MeshBase, MeshNode

DETECTION_S: Final = 2.0


class StrictNode(MeshNode[StrictElection]):
    """A node with a ledger on its disk."""

    def __init__(self, index: int, drift_ppm: float, offset_s: float) -> None:
        super().__init__(index, drift_ppm, offset_s)
        self.ledger = b""

    def promised(self) -> Ballot:
        return min(unpack_ledger_untrusted(self.node_id, self.ledger)[1], self.promise)

    def configuration(self) -> Configuration:
        """Return what is on its disk."""
        return unpack_ledger_untrusted(self.node_id, self.ledger)[2] if self.ledger else NO_CONFIGURATION


class StrictMesh(MeshBase[StrictNode]):
    """Who is missed for `DETECTION_S` is none of the fittest to the observer; node 0 founds."""

    def __init__(self, seed: str, count: int, loss: float = 0.0, drift_ppm: float = 500.0) -> None:
        rng = Rng(f"strict:{seed}")
        nodes = [
            StrictNode(index, rng.choose([-drift_ppm, drift_ppm]), rng.uniform(0.0, 1000.0))
            for index in range(count)
        ]
        nodes[0].ledger = founding_row(nodes[0].node_id, rng)
        self.strict = StrictConfig()
        self.configurations: dict[tuple[object, int], list[tuple[NodeId, bytes]]] = {}
        super().__init__(rng, seed, nodes, loss, 0.02)

    def lose_disk(self, index: int) -> None:
        """Kill the process and lose everything but its identity, as a damaged journal does."""
        node = self.nodes[index]
        node.election = None
        node.fence, node.promise, node.ledger = NO_BALLOT, NO_BALLOT, b""

    def holders(self) -> list[int]:
        """Return the nodes that may give orders now, as they believe by their own clocks, in true time."""
        found: list[int] = []
        for node in self.nodes:
            if node.election is not None and node.election.lease_until() > node.local(self.now):
                found.append(node.index)
        return found

    def agreed(self) -> int:
        """Return the one leader that every running node names, -1 when there is none."""
        holders = self.holders()
        if len(holders) != 1:
            return -1
        wanted = self.nodes[holders[0]].node_id
        for node in self.nodes:
            if node.is_running and node.election is not None and node.election.leader() != wanted:
                return -1
        return holders[0]

    def latest(self) -> Configuration:
        """Return the highest configuration on any disk."""
        best = NO_CONFIGURATION
        for node in self.nodes:
            if node.configuration().name > best.name:
                best = node.configuration()
        return best

    def run_until_voters(self, count: int, limit_s: float) -> float:
        """Run until so many nodes vote; return how long it took, or fail."""
        began_at = self.now
        while len(self.latest().voters) != count or self.agreed() < 0:
            assert self._step(began_at + limit_s), (
                f"{len(self.latest().voters)} voters after {limit_s} s, not {count}: seed {self.seed}"
            )
        return self.now - began_at

    def _judge(self) -> None:
        holders = self.holders()
        assert len(holders) <= 1, f"S4: {holders} hold leases at {self.now:.3f} s: seed {self.seed}"

    def _new_election(self, node: StrictNode, rng: Rng) -> StrictElection:
        ledger = Ledger(node.node_id, rng, node.fence, node.promise, node.ledger)
        return StrictElection(self.config, self.strict, node.node_id, rng, ledger)

    def _write(self, node: StrictNode, effect: Persist) -> None:
        if effect.key != LEDGER_KEY:
            super()._write(node, effect)
            return
        before = node.configuration()
        node.ledger = effect.value
        after = node.configuration()
        assert after.name >= before.name, "S1: the configuration on disk never falls"
        known = self.configurations.setdefault(after.name, after.voters)
        assert known == after.voters, "a configuration has one meaning"

    def _check_told(self, node: StrictNode, packet: Packet) -> None:
        super()._check_told(node, packet)
        if packet.kind == BEAT_REPLY:
            mark = unpack_ledger_untrusted(node.node_id, node.ledger)[0]
            assert packet.body[1] == mark, "S1: a ledger is on disk before it answers"

    def _delay_s(self) -> float:
        delay_s = super()._delay_s()
        if self.rng.unit() < 0.02:
            return self.rng.uniform(0.0, 4.0)  # on its way for longer than a lease
        return delay_s

    def _view(self, node: StrictNode) -> None:
        election = node.election
        assert election is not None
        missed = self._missed_for_s(node)
        present = [self.nodes[index] for index, for_s in missed.items() if for_s < DETECTION_S]
        voters = election.voters()
        ranked = sorted(
            present,
            key=lambda one: (-one.fitness * (1.2 if one.node_id in voters else 1.0), one.node_id),
        )
        now = node.local(self.now)
        election.on_council([(one.node_id, one.address) for one in ranked[: self.config.council_size]], now)
        election.on_members([(one.node_id, one.address) for one in present], now)


def new_strict_mesh(seed: str, count: int, loss: float = 0.0, voters: int = 0) -> StrictMesh:
    """Return a mesh whose nodes were all started at once, with all its voters."""
    mesh = StrictMesh(seed, count, loss)
    for index in range(count):
        mesh.start(index)
    mesh.run_until_voters(voters or min(5, count if count % 2 else count - 1), 60.0)
    return mesh

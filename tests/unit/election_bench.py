"""One election with a clock: what the unit tests of the core share."""

from __future__ import annotations

from swarm.core.effects import Effect, Packet
from swarm.core.ids import NO_BALLOT, Address, Ballot, NodeId
from swarm.core.rng import Rng
from swarm.election.config import ElectionConfig
from swarm.election.core import Election
from swarm.election.roles import Role
from swarm.wire.codec import Stamp
from swarm.wire.messages import BEAT, BEAT_REPLY, VOTE_REPLY, VOTE_REQUEST

A, B, C, D, E = [bytes([number]) * 16 for number in range(1, 6)]
COUNCIL = [(A, ("a", 1)), (B, ("b", 1)), (C, ("c", 1))]
CONFIG = ElectionConfig()


def address_of(node: NodeId) -> Address:
    return ("abcde"[node[0] - 1], 1)


class Bench:
    """One election with a clock; each test takes all its effects."""

    def __init__(self, node: NodeId = A, fence: Ballot = NO_BALLOT, promise: Ballot = NO_BALLOT) -> None:
        self.now = 100.0
        self.node = node
        self.core = Election(CONFIG, node, Rng("bench"), fence, promise)

    def start(self, council: list[tuple[NodeId, Address]]) -> Bench:
        self.core.start(self.now)
        self.core.on_council(council, self.now)
        self.core.on_members(council, self.now)
        return self

    def run(self, duration_s: float) -> None:
        end = self.now + duration_s
        while self.core.next_deadline() <= end:
            self.now = max(self.now, self.core.next_deadline())
            self.core.handle_deadline(self.now)
            self.core.check_invariants()
        self.now = end

    def run_until_due(self) -> None:
        self.now = max(self.now, self.core.next_deadline())
        self.core.handle_deadline(self.now)

    def receive(self, sender: NodeId, kind: int, body: list[object]) -> None:
        self.core.receive_packet(Stamp(sender, NO_BALLOT, 0), kind, body, address_of(sender), self.now)
        self.core.check_invariants()

    def beat(self, sender: NodeId, ballot: Ballot, beat: int, *, is_answer_wanted: bool = True) -> None:
        """Let `sender` beat."""
        self.stamp(sender, ballot, beat)
        stamp = Stamp(sender, ballot, beat)
        self.core.receive_packet(stamp, BEAT, [is_answer_wanted], address_of(sender), self.now)
        self.core.check_invariants()

    def answer(self, sender: NodeId, ballot: Ballot, beat: int) -> None:
        """Let `sender` answer a beat, with its fence and what it knows of that ballot's beat."""
        self.stamp(sender, ballot, beat)
        stamp = Stamp(sender, ballot, beat)
        self.core.receive_packet(stamp, BEAT_REPLY, [], address_of(sender), self.now)
        self.core.check_invariants()

    def stamp(self, sender: NodeId, ballot: Ballot, beat: int) -> None:
        self.core.on_stamp(Stamp(sender, ballot, beat), self.now)
        self.core.check_invariants()

    def take(self) -> list[Effect]:
        return self.core.take_effects()

    def packets(self, kind: int) -> list[tuple[Address, list[object]]]:
        return [
            (effect.destination, effect.body)
            for effect in self.take()
            if isinstance(effect, Packet) and effect.kind == kind
        ]

    def count(self, name: str) -> int:
        return self.core.statistics()[name]


def candidate(node: NodeId = A) -> Bench:
    """Return a node that just won its pre-vote and asks for votes; effects taken."""
    bench = Bench(node).start(COUNCIL)
    bench.run_until_due()
    (_, body), *_ = bench.packets(VOTE_REQUEST)
    voter = B if node != B else C
    bench.receive(voter, VOTE_REPLY, [*body, True])
    assert bench.core.role() is Role.CANDIDATE
    return bench


def leader(node: NodeId = A) -> Bench:
    """Return a node that was just elected under (1, node); effects taken."""
    bench = candidate(node)
    (_, body), *_ = bench.packets(VOTE_REQUEST)
    bench.receive(B if node != B else C, VOTE_REPLY, [*body, True])
    assert bench.core.is_leader()
    bench.take()
    return bench


def follower(beat: int = 1) -> Bench:
    """Return A following B under (1, B); effects taken."""
    bench = Bench().start(COUNCIL)
    bench.beat(B, (1, B), beat)
    assert bench.core.leader() == B
    bench.take()
    return bench


def request(bench: Bench, sender: NodeId, ballot: Ballot, is_pre_vote: bool) -> bool:
    """Ask for a vote and return the answer, checking that it echoes the request."""
    bench.take()
    bench.receive(sender, VOTE_REQUEST, [77, ballot[0], ballot[1], is_pre_vote])
    ((destination, body),) = [
        (effect.destination, effect.body)
        for effect in bench.core.take_effects()
        if isinstance(effect, Packet) and effect.kind == VOTE_REPLY
    ]
    assert destination == address_of(sender)
    assert body[:4] == [77, ballot[0], ballot[1], is_pre_vote]
    return bool(body[4])

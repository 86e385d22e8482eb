"""Anything a peer may send: nothing raises, nothing durable falls, every invariant holds."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.effects import LeaderChanged, Packet, Persist
from swarm.core.ids import NO_BALLOT, Address, Ballot, NodeId
from swarm.core.rng import Rng
from swarm.election.ballots import unpack_ballot_untrusted
from swarm.election.config import ElectionConfig
from swarm.election.core import Election
from swarm.election.council import Candidate, choose_council
from swarm.election.votes import VoteRound
from swarm.wire.codec import Stamp, pack

NODES = [bytes([number]) * 16 for number in range(1, 7)]
SELF = NODES[2]

nodes = st.sampled_from(NODES)
ballots = st.tuples(st.integers(0, 4) | st.integers(2**20 - 2, 2**20 + 8), nodes | st.just(b""))
values = st.integers(-1, 5) | st.booleans() | nodes | st.lists(nodes, max_size=6) | st.text(max_size=2)


def well_formed(kind: int, number: int, ballot: Ballot, flags: tuple[bool, bool]) -> list[object]:
    """Return a body of the right layout."""
    bodies: dict[int, list[object]] = {
        20: [number, ballot[0], ballot[1], flags[0]],
        21: [number, ballot[0], ballot[1], flags[0], flags[1]],
        22: [flags[0]],
        23: [],
        24: [ballot[0], ballot[1]],
    }
    return bodies[kind]


kinds = st.integers(20, 24)
bodies = st.builds(well_formed, kinds, st.integers(0, 9), ballots, st.tuples(st.booleans(), st.booleans()))
councils = st.lists(nodes, max_size=5, unique=True)
steps = st.one_of(
    st.tuples(st.just("packet"), nodes, kinds, bodies | st.lists(values, max_size=6)),
    st.tuples(st.just("owner"), kinds, st.integers(0, 9), ballots, st.tuples(st.booleans(), st.booleans())),
    st.tuples(st.just("echo"), nodes, st.booleans()),
    st.tuples(st.just("answer"), nodes, st.integers(0, 9)),
    st.tuples(st.just("stamp"), nodes, ballots, st.integers(0, 9)),
    st.tuples(st.just("observe"), ballots),
    st.tuples(st.just("council"), councils),
    st.tuples(st.just("time"), st.floats(0.0, 2.0)),
    st.tuples(st.just("wake")),
    st.tuples(st.just("resign")),
)


class Machine:
    """An election and an independent account of what it said."""

    def __init__(self) -> None:
        self.now = 0.0
        self.core = Election(ElectionConfig(), SELF, Rng("machine"), NO_BALLOT, NO_BALLOT)
        self.fence = NO_BALLOT
        self.promise = NO_BALLOT
        self.led: list[Ballot] = []
        self.request: list[object] = []
        self.core.start(0.0)

    def apply(self, step: tuple[object, ...]) -> None:
        name, *arguments = step
        getattr(self, f"do_{name}")(*arguments)
        self.core.check_invariants()
        self.audit()

    def do_packet(self, sender: NodeId, kind: int, body: list[object]) -> None:
        self.core.receive_packet(Stamp(sender, NO_BALLOT, 0), kind, body, ("x", 1), self.now)

    def do_owner(self, kind: int, number: int, ballot: Ballot, flags: tuple[bool, bool]) -> None:
        if ballot[1]:
            body = well_formed(kind, number, ballot, flags)
            stamp = Stamp(ballot[1], ballot, number)
            self.core.on_stamp(stamp, self.now)
            self.core.receive_packet(stamp, kind, body, ("x", 1), self.now)

    def do_echo(self, sender: NodeId, is_granted: bool) -> None:
        if self.request:
            body: list[object] = [*self.request, is_granted]
            self.core.receive_packet(Stamp(sender, NO_BALLOT, 0), 21, body, ("x", 1), self.now)

    def do_answer(self, sender: NodeId, beat: int) -> None:
        stamp = Stamp(sender, self.core.ballot(), beat)
        self.core.on_stamp(stamp, self.now)
        self.core.receive_packet(stamp, 23, [], ("x", 1), self.now)

    def do_stamp(self, sender: NodeId, ballot: Ballot, beat: int) -> None:
        self.core.on_stamp(Stamp(sender, ballot, beat), self.now)

    def do_observe(self, ballot: Ballot) -> None:
        self.core.observe_ballot(ballot, self.now)

    def do_council(self, council: list[NodeId]) -> None:
        addressed: list[tuple[NodeId, Address]] = [(node, ("x", node[0])) for node in council]
        self.core.on_council(addressed, self.now)
        self.core.on_members(addressed, self.now)

    def do_time(self, duration_s: float) -> None:
        end = self.now + duration_s
        while self.core.next_deadline() <= end:
            self.now = max(self.now, self.core.next_deadline())
            self.core.handle_deadline(self.now)
            self.core.check_invariants()
            self.audit()
        self.now = end

    def do_wake(self) -> None:
        self.core.wake(self.now)

    def do_resign(self) -> None:
        self.core.resign(self.now)

    def audit(self) -> None:
        for effect in self.core.take_effects():
            if isinstance(effect, Persist):
                ballot = unpack_ballot_untrusted(effect.value)
                assert effect.durable
                assert ballot > (self.fence if effect.key == b"fence" else self.promise)
                if effect.key == b"fence":
                    self.fence = ballot
                else:
                    self.promise = ballot
            elif isinstance(effect, Packet):
                pack(effect.body)
                if effect.kind == 20:
                    self.request = effect.body
                    assert effect.body[3] or self.promise == (effect.body[1], effect.body[2])
                elif effect.kind == 21 and effect.body[4] and not effect.body[3]:
                    assert self.promise == (effect.body[1], effect.body[2])
            elif isinstance(effect, LeaderChanged) and effect.leader == SELF:
                assert effect.ballot == self.fence == self.promise
                assert effect.ballot not in self.led
                self.led.append(effect.ballot)
        assert self.core.ballot() == self.fence == self.core.stamp()[0]
        assert self.core.is_leader() == (self.core.leader() == SELF)


@settings(max_examples=400)
@given(st.lists(steps, max_size=40))
def test_no_input_breaks_an_election(script: list[tuple[object, ...]]) -> None:
    machine = Machine()
    machine.do_council(NODES[:4])
    for step in script:
        machine.apply(step)


@given(st.lists(values | st.lists(values, max_size=3) | st.none(), max_size=7), kinds, nodes)
def test_no_body_raises(body: list[object], kind: int, sender: NodeId) -> None:
    machine = Machine()
    machine.apply(("packet", sender, kind, body))


candidates = st.builds(
    Candidate,
    nodes,
    st.tuples(st.just("x"), st.integers(1, 9)),
    st.integers(-5, 5),
    st.sampled_from(["alive", "suspect", "dead", "left"]),
    st.floats(0.0, 6.0),
)


@given(
    st.lists(candidates, unique_by=lambda candidate: candidate.node_id), nodes | st.just(b""), st.randoms()
)
def test_a_council_is_the_fittest_of_the_eligible_in_any_order(
    members: list[Candidate], leader: NodeId, random: object
) -> None:
    config = ElectionConfig(council_size=3)
    council = choose_council(members, leader, config)
    assert council == choose_council(list(reversed(members)), leader, config)
    eligible = [one for one in members if one.state in ("alive", "suspect")]
    eligible += [one for one in members if one.state == "dead" and one.dead_for_s < 3.0]
    assert len(council) == min(3, len(eligible))
    chosen = [node for node, _ in council]
    left_out = [one for one in eligible if one.node_id not in chosen and one.node_id != leader]
    worst = min(
        [one.fitness for one in eligible if one.node_id in chosen and one.node_id != leader], default=math.inf
    )
    assert all(one.fitness <= worst for one in left_out)


@given(st.lists(st.tuples(nodes, st.booleans()), max_size=30), st.integers(1, 6))
def test_votes_agree_with_a_set(answers: list[tuple[NodeId, bool]], size: int) -> None:
    electorate = NODES[:size]
    vote_round = VoteRound(1, (1, NODES[0]), False, [(node, ("x", 1)) for node in electorate])
    granted = {NODES[0]}
    for voter, is_granted in answers:
        vote_round.count(voter, is_granted)
        if is_granted and voter in electorate:
            granted.add(voter)
    assert vote_round.granted_count() == len(granted)
    assert vote_round.is_won() == (2 * len(granted) > size)

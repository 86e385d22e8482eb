"""One strict election: what it grants, when it leads, when it stops."""

from __future__ import annotations

import math

from swarm.core.effects import Effect, LeaderChanged, Packet, Persist
from swarm.core.ids import NO_BALLOT, Address, Ballot, NodeId
from swarm.core.rng import Rng
from swarm.election.config import ElectionConfig
from swarm.election.configuration import Configuration
from swarm.election.ledger import LEDGER_KEY, Ledger, founding_row, pack_ledger, unpack_ledger_untrusted
from swarm.election.news import leadership_ended
from swarm.election.packets import Vote
from swarm.election.roles import Role
from swarm.election.strict import StrictElection
from swarm.election.strict_config import StrictConfig
from swarm.election.strict_packets import ask_body, beat_body, echo_body, take_ask, verdict_body
from swarm.wire.codec import Stamp
from swarm.wire.messages import BEAT, BEAT_REPLY, STAND, VOTE_REPLY, VOTE_REQUEST

A, B, C, D = [bytes([number]) * 16 for number in range(1, 5)]
MARK = b"m" * 8
CONFIG = ElectionConfig()
STRICT = StrictConfig()
THREE = Configuration((1, B), 3, [(A, MARK), (B, MARK), (C, MARK)])
PLACES = [(A, ("a", 1)), (B, ("b", 1)), (C, ("c", 1)), (D, ("d", 1))]


class StrictBench:
    """A strict election with a clock; each test takes all its effects."""

    def __init__(self, row: bytes, node: NodeId = A, fence: Ballot = NO_BALLOT) -> None:
        self.now = 100.0
        self.node = node
        ledger = Ledger(node, Rng("bench"), fence, fence, row)
        self.core = StrictElection(CONFIG, STRICT, node, Rng("bench"), ledger)
        self.core.start(self.now)
        self.core.on_council(PLACES[:3], self.now)
        self.core.on_members(PLACES, self.now)
        self.row = row

    def at(self, now: float) -> StrictBench:
        self.now = now
        return self

    def receive(self, sender: NodeId, kind: int, body: list[object], ballot: Ballot = NO_BALLOT) -> None:
        stamp = Stamp(sender, ballot, {BEAT: 5, BEAT_REPLY: 1}.get(kind, 0))
        address: Address = dict(PLACES)[sender]
        self.core.on_stamp(stamp, self.now)
        self.core.receive_packet(stamp, kind, body, address, self.now)
        self.core.check_invariants()

    def take(self) -> list[Effect]:
        effects = self.core.take_effects()
        for effect in effects:
            if isinstance(effect, Persist) and effect.key == LEDGER_KEY:
                self.row = effect.value
        return effects

    def bodies(self, kind: int) -> list[list[object]]:
        return [effect.body for effect in self.take() if isinstance(effect, Packet) and effect.kind == kind]

    def run(self, until: float) -> None:
        while self.core.next_deadline() <= until:
            self.now = max(self.now, self.core.next_deadline())
            self.core.handle_deadline(self.now)
            self.core.check_invariants()
        self.now = until


def voter() -> StrictBench:
    """Return A, a voter of three that started long ago; effects taken."""
    bench = StrictBench(pack_ledger(A, MARK, (1, B), THREE), fence=(1, B))
    bench.take()
    bench.core.on_stamp(Stamp(B, (1, B), 4), 110.0)
    return bench.at(110.0)


def asks(
    bench: StrictBench,
    ballot: Ballot,
    configuration: Configuration = THREE,
    released: Ballot = NO_BALLOT,
    *,
    is_pre_vote: bool = False,
) -> bool:
    """Let the owner of a ballot ask for a vote; return the answer."""
    bench.take()
    bench.receive(
        ballot[1], VOTE_REQUEST, ask_body(77, ballot, is_pre_vote, configuration.name, released), NO_BALLOT
    )
    (verdict,) = bench.bodies(VOTE_REPLY)
    assert verdict[:4] == [77, ballot[0], ballot[1], is_pre_vote]
    assert verdict[5] == bench.core.mark()
    return bool(verdict[4])


def beats(bench: StrictBench, ballot: Ballot, configuration: Configuration = THREE) -> list[object]:
    """Let the owner of a ballot beat; return the answer."""
    bench.take()
    bench.receive(ballot[1], BEAT, beat_body(True, configuration, True), ballot)
    (echo,) = bench.bodies(BEAT_REPLY)
    return echo


def candidate(bench: StrictBench) -> Vote:
    """Let a node stand, and its pre-vote be granted by B; return what it asks for."""
    asked: list[list[object]] = []
    while not asked:
        bench.run(bench.core.next_deadline())
        asked = bench.bodies(VOTE_REQUEST)
    bench.receive(B, VOTE_REPLY, verdict_body(take_ask(A, asked[0])[0], True, MARK))
    assert bench.core.role() is Role.CANDIDATE
    return take_ask(A, bench.bodies(VOTE_REQUEST)[0])[0]


def elected() -> StrictBench:
    """Return A, just elected by B, before anybody has answered a beat; effects not taken."""
    bench = voter()
    request = candidate(bench)
    bench.receive(B, VOTE_REPLY, verdict_body(request, True, MARK))
    assert bench.core.role() is Role.LEADER
    return bench


def leader() -> StrictBench:
    """Return A, which leads since B answered its first beat; effects taken."""
    bench = elected()
    bench.receive(B, BEAT_REPLY, echo_body(1, MARK, True, False), bench.core.ballot())
    assert bench.core.is_leader()
    bench.take()
    return bench


# The voter


def test_who_answered_a_beat_votes_for_nobody_else_for_a_hold() -> None:
    bench = voter()
    assert beats(bench, (1, B)) == [5, MARK, True, False]
    for is_pre_vote in (True, False):
        assert not asks(bench.at(110.0 + STRICT.hold_s - 0.001), (2, C), is_pre_vote=is_pre_vote)
    assert bench.core.ballot() == (1, B), "a vote that is refused raises no fence"
    assert asks(bench.at(110.0 + STRICT.hold_s), (2, C), is_pre_vote=True)
    assert asks(bench, (2, C))


def test_a_leader_that_says_that_it_leads_no_more_releases_the_hold() -> None:
    bench = voter()
    beats(bench, (1, B))
    assert not asks(bench, (2, C))
    assert asks(bench, (2, C), released=(1, B))
    bench = voter()
    beats(bench, (1, B))
    assert asks(bench, (2, B)), "it stands itself"


def test_a_vote_is_refused_to_who_knows_a_lower_configuration() -> None:
    bench = voter()
    lower = Configuration((1, B), 2, THREE.voters[:2])
    assert not asks(bench, (2, C), lower, is_pre_vote=True)
    assert not asks(bench, (2, C), lower)
    assert bench.core.statistics()["votes_outdated"] == 2
    assert asks(bench, (2, C), Configuration((1, C), 1, THREE.voters))


def test_a_vote_and_a_configuration_are_on_disk_before_they_are_told() -> None:
    bench = voter()
    bench.receive(C, VOTE_REQUEST, ask_body(77, (2, C), False, THREE.name, NO_BALLOT))
    effects = bench.take()
    kinds = [type(effect).__name__ for effect in effects]
    assert kinds.index("Packet") > max(at for at, kind in enumerate(kinds) if kind == "Persist")
    assert unpack_ledger_untrusted(A, bench.row)[1] == (2, C)
    next_one = THREE.owned_by((2, C)).plus(D, MARK)
    bench.receive(C, BEAT, beat_body(True, next_one, True), (2, C))
    effects = bench.take()
    kinds = [type(effect).__name__ for effect in effects]
    assert kinds.index("Packet") > max(at for at, kind in enumerate(kinds) if kind == "Persist")
    assert unpack_ledger_untrusted(A, bench.row)[2] == next_one
    assert bench.core.voters() == [A, B, C, D]


def test_a_beat_whose_configuration_is_unknown_is_answered_so() -> None:
    bench = voter()
    bench.receive(B, BEAT, beat_body(True, THREE.minus(C), False), (1, B))
    ((_, mark, is_installed, _),) = bench.bodies(BEAT_REPLY)
    assert (mark, is_installed) == (MARK, False)


def test_a_beat_with_the_configuration_of_another_leadership_is_no_lease() -> None:
    bench = voter()
    bench.receive(B, BEAT, beat_body(True, Configuration((1, A), 9, THREE.voters), True), (1, B))
    assert bench.bodies(BEAT_REPLY) == []
    assert bench.core.voters() == THREE.ids()
    assert asks(bench, (2, C)), "no hold came of it"


def test_a_beat_below_the_fence_is_no_lease() -> None:
    bench = voter()
    assert asks(bench, (2, C))
    bench.receive(B, BEAT, beat_body(True, THREE, True), (1, B))
    ((beat, _, is_installed, _),) = bench.bodies(BEAT_REPLY)
    assert (beat, is_installed) == (0, False), "the stamp of the answer tells why"
    assert asks(bench, (3, D), Configuration((1, D), 9, THREE.voters)), "no hold came of it"


def test_who_starts_votes_for_nobody_for_a_hold() -> None:
    bench = StrictBench(pack_ledger(A, MARK, (1, B), THREE), fence=(1, B))
    assert not asks(bench.at(100.0 + STRICT.hold_s - 0.001), (2, C))
    assert asks(bench.at(100.0 + STRICT.hold_s), (2, C))


def test_packets_of_an_available_mesh_are_no_votes_and_no_beats() -> None:
    bench = voter()
    bench.take()
    bench.receive(C, VOTE_REQUEST, [77, 2, C, False])
    bench.receive(C, VOTE_REPLY, [77, 2, C, False, True])
    bench.receive(B, BEAT, [True], (1, B))
    bench.receive(B, BEAT_REPLY, [], (1, B))
    assert bench.core.statistics()["packets_undecodable"] == 4
    assert [effect for effect in bench.take() if isinstance(effect, Packet)] == []


def test_who_answered_a_beat_stands_when_it_may_vote_itself_and_looks_no_earlier() -> None:
    bench = voter()
    beats(bench, (1, B))
    deadlines: list[float] = []
    while bench.core.role() is Role.FOLLOWER:
        deadlines.append(bench.core.next_deadline())
        bench.run(deadlines[-1])
    assert len(deadlines) <= 2, "one, or a second one where the wait was rounded down"
    assert 110.0 + STRICT.hold_s <= deadlines[-1] <= 110.0 + STRICT.hold_s + 1.0


def test_a_voter_and_a_member_that_is_told_by_others_stop_trusting_after_their_leases() -> None:
    bench = voter()
    bench.run(110.0 + CONFIG.lease_s - 0.001)
    assert bench.core.leader() == B
    bench.run(110.0 + CONFIG.lease_s)
    assert bench.core.leader() == b""
    bench = StrictBench(b"", node=D)
    bench.core.on_stamp(Stamp(B, (1, B), 4), 110.0)
    bench.run(110.0 + CONFIG.outsider_lease_s - 0.001)
    assert bench.core.leader() == B
    bench.run(110.0 + CONFIG.outsider_lease_s)
    assert bench.core.leader() == b""


# The leader


def test_who_is_no_voter_any_more_ends_the_round_that_it_began_as_one() -> None:
    """The news was sent with a beat that is known already, so it is no sign of a leader."""
    bench = voter()
    bench.core.on_stamp(Stamp(C, (1, B), 5), 110.0)
    asked: list[list[object]] = []
    while not asked:
        bench.run(bench.core.next_deadline())
        asked = bench.bodies(VOTE_REQUEST)
    assert bench.core.role() is Role.PRE_CANDIDATE
    without = Configuration((1, B), 4, [(B, MARK), (C, MARK)])
    late = Stamp(B, (1, B), 5)
    bench.core.on_stamp(late, bench.now)
    bench.core.receive_packet(late, BEAT, beat_body(False, without, True), ("b", 1), bench.now)
    bench.core.check_invariants()
    assert bench.core.role() is Role.FOLLOWER
    request = take_ask(A, asked[0])[0]
    for who in (B, C):
        bench.core.on_stamp(Stamp(who, NO_BALLOT, 0), bench.now)
        reply = verdict_body(request, True, MARK)
        bench.core.receive_packet(Stamp(who, NO_BALLOT, 0), VOTE_REPLY, reply, ("b", 1), bench.now)
    assert bench.core.role() is Role.FOLLOWER


def test_a_founder_leads_alone_after_a_short_while() -> None:
    bench = StrictBench(founding_row(A, Rng("founding")))
    bench.run(102.0)
    assert bench.core.is_leader()
    assert bench.core.may_order(1e9)
    assert bench.core.lease_until() == math.inf
    changes = [effect for effect in bench.take() if isinstance(effect, LeaderChanged)]
    assert changes == [LeaderChanged((1, A), A)]
    assert unpack_ledger_untrusted(A, bench.row)[2].name == ((1, A), 1)


def test_a_node_that_was_not_founded_never_stands() -> None:
    bench = StrictBench(b"")
    bench.run(200.0)
    assert bench.core.role() is Role.FOLLOWER
    assert bench.core.statistics()["rounds_started"] == 0


def test_votes_are_not_enough_to_lead() -> None:
    bench = elected()
    assert not bench.core.is_leader()
    assert bench.core.leader() == b""
    assert [effect for effect in bench.take() if isinstance(effect, LeaderChanged)] == []
    bench.receive(B, BEAT_REPLY, echo_body(1, MARK, False, False), bench.core.ballot())
    assert not bench.core.is_leader(), "B does not have the configuration yet"
    bench.receive(B, BEAT_REPLY, echo_body(1, MARK, True, False), bench.core.ballot())
    assert bench.core.is_leader()
    (change,) = [effect for effect in bench.take() if isinstance(effect, LeaderChanged)]
    assert change == LeaderChanged((2, A), A)


def test_who_is_elected_and_gets_no_answer_stops_after_a_lease() -> None:
    bench = elected()
    bench.run(bench.now + STRICT.lease_s)
    assert bench.core.role() is Role.FOLLOWER
    assert bench.core.statistics()["leases_lost"] == 1


def test_a_leader_without_answers_stops_when_its_lease_is_over_whatever_comes_first() -> None:
    bench = leader()
    ends_at = bench.core.lease_until()
    assert bench.core.may_order(ends_at - 0.001)
    assert not bench.core.may_order(ends_at)
    bench.core.on_stamp(Stamp(D, NO_BALLOT, 0), ends_at)
    assert not bench.core.is_leader()
    assert LeaderChanged((2, A), b"") in bench.take()
    bench.at(ends_at).receive(B, BEAT_REPLY, echo_body(1, MARK, True, False), (2, A))
    assert not bench.core.is_leader(), "a leadership that is over is over"


def test_a_vote_with_the_mark_of_another_ledger_does_not_count() -> None:
    bench = voter()
    request = candidate(bench)
    bench.receive(B, VOTE_REPLY, verdict_body(request, True, b"x" * 8))
    assert bench.core.role() is Role.CANDIDATE
    bench.receive(D, VOTE_REPLY, verdict_body(request, True, MARK))
    assert bench.core.role() is Role.CANDIDATE
    bench.receive(C, VOTE_REPLY, verdict_body(request, True, MARK))
    assert bench.core.role() is Role.LEADER


def test_a_leader_that_wakes_leads_no_more() -> None:
    bench = leader()
    bench.core.wake(bench.now + 0.5)
    assert not bench.core.is_leader()
    bench = StrictBench(founding_row(A, Rng("founding")))
    bench.run(102.0)
    assert bench.core.is_leader()
    bench.core.on_stamp(Stamp(D, NO_BALLOT, 0), 202.0)
    assert not bench.core.is_leader(), "nobody told it that it slept"


def test_a_leader_that_hears_a_higher_beat_of_its_own_leads_no_more() -> None:
    bench = leader()
    bench.core.on_stamp(Stamp(D, (2, A), 9), bench.now)
    bench.core.check_invariants()
    assert not bench.core.is_leader()
    assert leadership_ended((2, A), "beat_clashed") in bench.take()
    assert bench.core.statistics()["beats_clashed"] == 1


def test_a_leader_that_stops_asks_the_fittest_that_answers_to_stand() -> None:
    bench = leader()
    bench.receive(C, BEAT_REPLY, echo_body(1, MARK, True, False), (2, A))
    bench.take()
    bench.core.resign(bench.now, True)
    effects = bench.take()
    stands = [effect for effect in effects if isinstance(effect, Packet) and effect.kind == STAND]
    assert [effect.destination for effect in stands] == [("b", 1)]
    assert bench.core.role() is Role.RETIRED
    assert bench.core.is_needed(), "it still votes"
    assert asks(bench, (3, B), THREE.owned_by((2, A)), released=(2, A))
    echo = beats(bench, (3, B), THREE.owned_by((3, B)))
    assert echo[3] is True, "it says that it leaves"
    without = THREE.owned_by((3, B)).minus(A)
    beats(bench, (3, B), without)
    assert not bench.core.is_needed()


def test_who_is_asked_to_stand_skips_the_pre_vote_and_says_who_leads_no_more() -> None:
    bench = voter()
    beats(bench, (1, B))
    bench.receive(B, STAND, [1, B], (1, B))
    assert bench.core.role() is Role.CANDIDATE
    bodies = bench.bodies(VOTE_REQUEST)
    assert [(body[3], body[7:9]) for body in bodies] == [(False, [1, B])] * 2
    bench.run(bench.now + 2.0)
    asked = [body for body in bench.bodies(VOTE_REQUEST) if body[3] is True]
    assert asked, "nobody answered, so it asks again"
    assert [body[7:9] for body in asked] == [[1, B]] * len(asked), "who leads no more never leads again"


def test_a_leader_that_stops_for_a_while_hands_over_and_stays_a_voter() -> None:
    bench = leader()
    bench.core.resign(bench.now)
    assert bench.bodies(STAND) == [[2, A]]
    assert not bench.core.is_needed(), "nobody has to wait"
    assert beats(bench, (3, B), THREE.owned_by((3, B)))[3] is False


def test_a_strained_leader_asks_only_who_is_fitter_and_leads_no_more_at_once() -> None:
    bench = leader()
    assert not bench.core.hand_over(bench.now), "A is the fittest"
    assert bench.take() == []
    assert bench.core.is_leader()
    bench.core.on_council([PLACES[1], PLACES[0], PLACES[2]], bench.now)
    assert bench.core.hand_over(bench.now)
    bench.core.check_invariants()
    assert bench.take() == [
        Packet(("b", 1), STAND, [2, A]),
        leadership_ended((2, A), "handed_over"),
        LeaderChanged((2, A), b""),
    ]
    assert not bench.core.may_order(bench.now)
    assert asks(bench, (3, B), THREE.owned_by((2, A)), released=(2, A)), "it votes for whom it asked"
    assert not bench.core.hand_over(bench.now), "who leads no more has nothing to hand over"


def test_a_leader_hands_over_to_nobody_who_did_not_answer() -> None:
    bench = leader()
    bench.core.on_council([PLACES[2], PLACES[0], PLACES[1]], bench.now)
    assert not bench.core.hand_over(bench.now), "C, who is fitter, answered no beat"
    assert bench.core.is_leader()

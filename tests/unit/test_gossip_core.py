"""One core, driven by hand: how it starts, meets others, describes itself, leaves and passes time."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from swarm.core.effects import Effect, LeaveFinished, MemberChanged, Message, Notify, Packet, Persist
from swarm.core.errors import ConfigError
from swarm.core.ids import EVERYWHERE, Address
from swarm.core.rng import Rng
from swarm.gossip.config import GossipConfig
from swarm.gossip.core import Gossip
from swarm.gossip.rumours import DEAD, LEFT, make_verdict
from swarm.wire import messages
from swarm.wire.codec import pack
from tests.unit.gossip_builder import (
    CONFIG,
    DIGEST,
    HERE,
    ONE,
    OWN,
    PLACE_ONE,
    PLACE_TWO,
    TWO,
    acquainted,
    alive,
    core_digest,
    hello,
    make,
    packets,
    rumours_in,
    run_until_probe_fails,
    started,
    states,
)

# Starting


def test_a_start_says_who_we_are_and_persists_it() -> None:
    core = make()
    core.start([PLACE_ONE], 0.0)
    core.handle_deadline(0.0)
    effects = core.take_effects()
    assert effects[0] == Persist("node", b"incarnation", pack(5), False)
    assert effects[1] == MemberChanged(OWN, 5, "unknown", "alive")
    greetings = packets(effects, messages.HELLO)
    assert [packet.destination for packet in greetings] == [EVERYWHERE, PLACE_ONE]
    assert [packet.body[5] for packet in greetings] == [False, True]
    assert core.alive_ids() == [OWN]
    assert core.addresses_of(OWN) == [HERE]
    core.check_invariants()


def test_the_burst_repeats_and_then_calms_down() -> None:
    core = make(remembered=[PLACE_TWO])
    core.start([], 0.0)
    times: list[float] = []
    greeted = 0
    while core.next_deadline() < 60.0:
        now = core.next_deadline()
        core.handle_deadline(now)
        for packet in packets(core.take_effects(), messages.HELLO):
            if packet.destination == EVERYWHERE:
                times.append(now)
            else:
                assert packet.destination == PLACE_TWO
                greeted += 1
    assert times[0] == 0.0
    assert 0.15 < times[1] < 0.25
    assert 0.5 < times[2] < 0.7
    assert 1.2 < times[3] < 1.6
    assert max(later - former for former, later in pairwise(times)) < 6.1
    assert 15 < len(times) < 25
    assert 15 <= greeted <= 25


@pytest.mark.parametrize(
    ("name", "address", "facts"),
    [
        ("", HERE, {}),
        ("a\nb", HERE, {}),
        ("own", ("", 1), {}),
        ("own", ("h", 70000), {}),
        ("own", HERE, {"cores": "many"}),
        ("own", HERE, {"x": "y" * 600}),
        ("own", HERE, {"x": object()}),
    ],
)
def test_what_cannot_be_told_is_refused(name: str, address: Address, facts: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Gossip(CONFIG, OWN, name, [address], facts, 1, Rng("t"), [])


def test_ids_and_incarnations_are_checked() -> None:
    with pytest.raises(ConfigError):
        Gossip(CONFIG, b"short", "own", [], {}, 1, Rng("t"), [])
    with pytest.raises(ConfigError):
        Gossip(CONFIG, OWN, "own", [], {}, -1, Rng("t"), [])


def test_many_long_addresses_are_cut_to_fit() -> None:
    places = [(f"{index}{'h' * 60}", 7117) for index in range(12)]
    core = Gossip(CONFIG, OWN, "o" * 64, places, {"x": b"y" * 480}, 1, Rng("t"), [])
    assert 0 < len(core.addresses_of(OWN)) < 8


# Meeting


def test_a_hello_is_answered_by_unicast_to_its_source() -> None:
    core = started()
    source: Address = ("192.168.7.7", 40000)
    body: list[object] = [alive(ONE, 1, PLACE_ONE), DIGEST, True, 1, 1, False]
    core.receive_packet(ONE, messages.HELLO, body, source, 0.0)
    effects = core.take_effects()
    answers = packets(effects, messages.HELLO)
    assert [(packet.destination, packet.body[2]) for packet in answers] == [(source, False)]
    assert MemberChanged(ONE, 1, "unknown", "alive") in effects
    [challenge] = packets(effects, messages.PING)
    assert challenge.destination == source
    core.receive_packet(ONE, messages.ACK, [challenge.body[0], DIGEST, []], source, 0.1)
    assert core.addresses_of(ONE) == [("192.168.7.7", 7117), PLACE_ONE]
    effects = core.take_effects()
    persists = [effect for effect in effects if isinstance(effect, Persist) and effect.table == "members"]
    assert persists[-1].key == ONE
    assert persists[-1].value == pack(["n", [["192.168.7.7", 7117], list(PLACE_ONE)]])


def test_copies_of_a_hello_are_answered_once() -> None:
    core = started()
    for _ in range(3):
        hello(core, ONE, PLACE_ONE, 0.0, is_wanted=True)
    assert len(packets(core.take_effects(), messages.HELLO)) == 1


def test_answers_are_bounded() -> None:
    core = started()
    for index in range(100):
        hello(core, index.to_bytes(16, "big"), ("10.1.0.1", 1 + index), 0.0, is_wanted=True)
    answered = len(packets(core.take_effects(), messages.HELLO))
    assert answered <= CONFIG.hello_answers_per_second
    assert core.statistics()["hellos_unanswered"] > 0


def test_an_answer_with_another_digest_starts_an_exchange() -> None:
    core = started()
    body: list[object] = [alive(ONE, 1, PLACE_ONE), DIGEST, False, 1, 1, True]
    core.receive_packet(ONE, messages.HELLO, body, PLACE_ONE, 0.0)
    sent = [effect for effect in core.take_effects() if isinstance(effect, Message)]
    assert [(message.peer, message.kind, message.body[1]) for message in sent] == [
        (ONE, messages.PUSH_PULL, False)
    ]


def test_an_answer_with_our_digest_needs_no_stream() -> None:
    core = started()
    before = core_digest(core)
    table = acquainted()
    assert before != core_digest(table)
    other = started()
    hello(other, ONE, PLACE_ONE, 0.0)
    body: list[object] = [alive(ONE, 1, PLACE_ONE), core_digest(other), False, 1, 1, True]
    core.receive_packet(ONE, messages.HELLO, body, PLACE_ONE, 0.0)
    assert not [effect for effect in core.take_effects() if isinstance(effect, Message)]


def test_other_versions_and_lies_in_hellos_are_refused() -> None:
    core = started()
    core.receive_packet(ONE, messages.HELLO, [alive(ONE, 1, PLACE_ONE), DIGEST, True, 2, 9], PLACE_ONE, 0.0)
    core.receive_packet(ONE, messages.HELLO, [alive(TWO, 1, PLACE_ONE), DIGEST, True, 1, 1], PLACE_ONE, 0.0)
    assert states(core) == {}
    assert core.statistics()["hellos_of_other_versions"] == 1
    assert core.statistics()["bad_packets"] == 1
    assert core.take_effects() == []


def test_a_client_is_answered() -> None:
    core = started()
    core.receive_packet(b"", messages.CLIENT_HELLO, [], PLACE_ONE, 0.0)
    assert [packet.destination for packet in packets(core.take_effects(), messages.HELLO)] == [PLACE_ONE]


def test_a_packet_of_a_stranger_makes_us_introduce_ourselves() -> None:
    core = started()
    core.receive_packet(ONE, messages.PING, [9, OWN, DIGEST, []], PLACE_ONE, 0.0)
    effects = core.take_effects()
    assert packets(effects, messages.ACK)[0].body[0] == 9
    assert [packet.body[2] for packet in packets(effects, messages.HELLO)] == [True]


def test_a_contact_that_is_ourselves_is_dropped() -> None:
    core = make()
    core.start([("127.0.0.1", 7117)], 0.0)
    core.handle_deadline(0.0)
    body: list[object] = [alive(OWN, 5, HERE), DIGEST, True, 1, 1, True]
    core.receive_packet(OWN, messages.HELLO, body, ("127.0.0.1", 7117), 0.0)
    assert core.statistics()["own_echoes"] == 1
    core.take_effects()
    core.handle_deadline(core.next_deadline())
    assert [p.destination for p in packets(core.take_effects(), messages.HELLO) if p.body[5]] == []


# Ourselves


def test_new_facts_and_addresses_raise_the_incarnation() -> None:
    core = acquainted()
    facts: dict[str, object] = {"cores": 8.0}
    core.set_facts(facts, 1.0)
    facts["cores"] = "changed behind our back"
    core.set_addresses([PLACE_TWO, HERE], 1.0)
    core.set_addresses([PLACE_TWO, HERE], 1.0)
    member = core.member(OWN)
    assert member is not None
    assert (member.incarnation, member.addresses, member.facts) == (7, [PLACE_TWO, HERE], {"cores": 8.0})
    persisted = [effect.value for effect in core.take_effects() if isinstance(effect, Persist)]
    assert persisted == [pack(6), pack(7)]
    with pytest.raises(ConfigError):
        core.set_facts({"cores": None}, 1.0)
    assert core.statistics()["incarnation"] == 7
    core.check_invariants()


def test_leaving_says_goodbye_and_ends() -> None:
    core = acquainted()
    core.leave(1.0)
    first = core.take_effects()
    assert first[0] == MemberChanged(OWN, 5, "alive", "left")
    farewells = packets(first, messages.RUMOURS)
    assert sorted([packet.destination for packet in farewells]) == [PLACE_ONE, PLACE_TWO]
    assert rumours_in(farewells[0]) == [(LEFT, OWN, 5)]
    core.leave(1.0)
    core.set_facts({"cores": 3.0}, 1.0)
    rest: list[Effect] = []
    while core.next_deadline() < math.inf:
        core.handle_deadline(core.next_deadline())
        rest += core.take_effects()
    assert [effect for effect in rest if not isinstance(effect, Packet)] == [LeaveFinished()]
    assert rest[-1] == LeaveFinished()
    verdict = make_verdict(DEAD, OWN, 5, ONE).packed
    core.receive_packet(ONE, messages.RUMOURS, [[verdict]], PLACE_ONE, 9.0)
    core.receive_message(ONE, messages.PUSH_PULL, [1, False, []], 9.0)
    assert core.take_effects() == []
    core.check_invariants()


def test_leaving_alone_ends_at_once() -> None:
    core = started()
    core.leave(1.0)
    assert core.take_effects()[-1] == LeaveFinished()


def test_somebody_who_leaves_is_neither_dead_nor_asked_again() -> None:
    core = acquainted()
    farewell = make_verdict(LEFT, ONE, 1, ONE).packed
    core.receive_packet(ONE, messages.RUMOURS, [[farewell]], PLACE_ONE, 1.0)
    core.on_peer_lost(ONE, True, 1.0)
    core.take_effects()
    while core.next_deadline() < 20.0:
        now = core.next_deadline()
        core.handle_deadline(now)
        for effect in core.take_effects():
            if isinstance(effect, Packet):
                assert effect.destination != PLACE_ONE
                if effect.kind == messages.PING:
                    body: list[object] = [effect.body[0], core_digest(core), []]
                    core.receive_packet(TWO, messages.ACK, body, PLACE_TWO, now)
    assert states(core) == {ONE: "left", TWO: "alive"}


def test_the_long_gone_are_forgotten() -> None:
    core = acquainted(GossipConfig(left_kept_s=700.0, dead_kept_s=1500.0))
    left = make_verdict(LEFT, ONE, 1, ONE).packed
    dead = make_verdict(DEAD, TWO, 1, ONE).packed
    core.receive_packet(ONE, messages.RUMOURS, [[left, dead]], PLACE_ONE, 1.0)
    while core.next_deadline() < 1300.0:
        core.handle_deadline(core.next_deadline())
    assert states(core) == {TWO: "dead"}
    while core.next_deadline() < 2500.0:
        core.handle_deadline(core.next_deadline())
    assert states(core) == {}
    core.check_invariants()


# Time


def test_a_gap_gives_everybody_a_fresh_period() -> None:
    core = acquainted()
    now, _ = run_until_probe_fails(core, ONE)
    core.handle_deadline(now + 600.0)
    assert core.statistics()["clock_gaps"] == 1
    assert states(core) == {ONE: "suspect", TWO: "alive"}
    assert [p.destination for p in packets(core.take_effects(), messages.HELLO)][:1] == [EVERYWHERE]
    core.wake(now + 700.0)
    core.handle_deadline(now + 700.0)
    assert states(core) == {ONE: "suspect", TWO: "alive"}
    core.check_invariants()


def test_time_that_falls_is_a_bug_of_the_driver() -> None:
    core = acquainted()
    core.wake(5.0)
    with pytest.raises(AssertionError):
        core.wake(4.0)


def test_nothing_is_heard_before_the_start() -> None:
    core = make()
    assert core.next_deadline() == math.inf
    hello(core, ONE, PLACE_ONE, 0.0)
    core.on_packet_refused(PLACE_ONE, 0.0)
    core.on_peer_lost(ONE, True, 0.0)
    core.wake(0.0)
    core.leave(0.0)
    core.handle_deadline(0.0)
    assert core.take_effects() == []
    assert core.statistics()["packets_ignored"] == 1


def test_views_are_copies() -> None:
    core = acquainted()
    core.alive_ids().clear()
    core.addresses_of(ONE).clear()
    for member in core.members():
        member.facts["x"] = 1
        member.addresses.clear()
    assert len(core.alive_ids()) == 3
    assert core.addresses_of(ONE) == [PLACE_ONE]
    assert core.addresses_of(b"?" * 16) == []
    assert core.member(b"?" * 16) is None
    assert core.members()[-1].facts == {"cores": 2.0}


def test_rare_things_are_told_to_the_operator() -> None:
    core = acquainted()
    core.receive_packet(ONE, messages.RUMOURS, [[make_verdict(DEAD, TWO, 1, ONE).packed]], PLACE_ONE, 1.0)
    events = [effect.event for effect in core.take_effects() if isinstance(effect, Notify)]
    assert events == ["member_dead"]

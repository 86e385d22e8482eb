"""One core, driven by hand: what it says to whom, and what it believes of whom."""

from __future__ import annotations

import math

import pytest

from swarm.core.effects import Effect, LeaveFinished, MemberChanged, Message, Notify, Packet, Persist
from swarm.core.errors import ConfigError
from swarm.core.ids import EVERYWHERE, Address, NodeId
from swarm.core.rng import Rng
from swarm.gossip.config import GossipConfig
from swarm.gossip.core import Gossip
from swarm.gossip.rumours import ALIVE, DEAD, LEFT, SUSPECT, make_alive, make_verdict, unpack_rumour_untrusted
from swarm.wire import messages
from swarm.wire.codec import pack

OWN = b"o" * 16
ONE = b"1" * 16
TWO = b"2" * 16
HERE: Address = ("10.0.0.1", 7117)
PLACE_ONE: Address = ("10.0.0.2", 7117)
PLACE_TWO: Address = ("10.0.0.3", 7117)
DIGEST = b"d" * 8
CONFIG = GossipConfig()


def make(config: GossipConfig = CONFIG, remembered: list[Address] | None = None) -> Gossip:
    return Gossip(config, OWN, "own", [HERE], {"cores": 2.0}, 5, Rng("t"), remembered or [])


def started(config: GossipConfig = CONFIG) -> Gossip:
    core = make(config)
    core.start([], 0.0)
    core.take_effects()
    return core


def alive(node_id: NodeId, incarnation: int, place: Address) -> bytes:
    return make_alive(node_id, incarnation, "n", [place], {}).packed


def hello(core: Gossip, node_id: NodeId, place: Address, now: float, is_wanted: bool = False) -> None:
    body: list[object] = [alive(node_id, 1, place), core_digest(core), is_wanted, 1, 1, True]
    core.receive_packet(node_id, messages.HELLO, body, place, now)


def core_digest(core: Gossip) -> bytes:
    return core._membership.table.digest()


def acquainted(config: GossipConfig = CONFIG) -> Gossip:
    """Return a core that knows ONE and TWO and has told everything."""
    core = started(config)
    hello(core, ONE, PLACE_ONE, 0.0)
    hello(core, TWO, PLACE_TWO, 0.0)
    while core.next_deadline() < 0.95:
        answer_pings(core, core.next_deadline())
    core.take_effects()
    return core


def answer_pings(core: Gossip, now: float) -> None:
    core.handle_deadline(now)
    for packet in packets(core.take_effects(), messages.PING):
        sequence, target = packet.body[0], packet.body[1]
        assert isinstance(target, bytes)
        core.receive_packet(target, messages.ACK, [sequence, core_digest(core), []], packet.destination, now)


def packets(effects: list[Effect], kind: int) -> list[Packet]:
    return [effect for effect in effects if isinstance(effect, Packet) and effect.kind == kind]


def states(core: Gossip) -> dict[NodeId, str]:
    return {member.node_id: member.state for member in core.members() if member.node_id != OWN}


def rumours_in(packet: Packet) -> list[tuple[int, NodeId, int]]:
    listed = packet.body[-1]
    assert isinstance(listed, list)
    found = [unpack_rumour_untrusted(item, CONFIG) for item in listed]
    return [(rumour.state, rumour.node_id, rumour.incarnation) for rumour in found]


def run_until_probe_fails(core: Gossip, target: NodeId) -> tuple[float, list[Effect]]:
    """Answer for everybody but `target` until it is suspect; return when, and what was done."""
    done: list[Effect] = []
    now = 0.0
    for _ in range(100):
        now = core.next_deadline()
        core.handle_deadline(now)
        for effect in core.take_effects():
            done.append(effect)
            if isinstance(effect, Packet) and effect.kind == messages.PING and effect.body[1] != target:
                sender = effect.body[1]
                assert isinstance(sender, bytes)
                body: list[object] = [effect.body[0], core_digest(core), []]
                core.receive_packet(sender, messages.ACK, body, effect.destination, now)
        if states(core)[target] == "suspect":
            return now, done + core.take_effects()
    raise AssertionError("never suspected")


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
    assert max(later - former for former, later in zip(times, times[1:], strict=False)) < 6.1
    assert 15 < len(times) < 25
    assert 8 <= greeted <= 14


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
    assert core.addresses_of(ONE) == [("192.168.7.7", 7117), PLACE_ONE]
    assert MemberChanged(ONE, 1, "unknown", "alive") in effects
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


# Probing


def test_a_ping_for_somebody_else_is_not_answered() -> None:
    core = acquainted()
    core.receive_packet(ONE, messages.PING, [9, TWO, core_digest(core), []], PLACE_ONE, 1.0)
    assert core.take_effects() == []
    assert core.statistics()["pings_for_others"] == 1


def test_silence_brings_helpers_a_stream_probe_and_then_suspicion() -> None:
    core = acquainted()
    now, done = run_until_probe_fails(core, ONE)
    assert [packet.destination for packet in packets(done, messages.PING_REQ)] == [PLACE_TWO]
    streams = [effect for effect in done if isinstance(effect, Message)]
    assert [(message.peer, message.body[2]) for message in streams] == [(ONE, [])]
    assert MemberChanged(ONE, 1, "alive", "suspect") in done
    told = [packet for packet in packets(done, messages.RUMOURS) if packet.destination == PLACE_ONE]
    assert rumours_in(told[-1])[0] == (SUSPECT, ONE, 1)
    member = core.member(ONE)
    assert member is not None
    assert member.since == now
    assert core.alive_ids() == sorted([OWN, ONE, TWO])
    core.check_invariants()


def test_a_stream_answer_saves_a_silent_member() -> None:
    core = acquainted()
    for _ in range(30):
        now = core.next_deadline()
        core.handle_deadline(now)
        for effect in core.take_effects():
            if isinstance(effect, Message):
                core.receive_message(TWO, messages.PUSH_PULL, [effect.body[0], True, []], now)
                core.receive_message(effect.peer, messages.PUSH_PULL, [effect.body[0], True, []], now)
    assert states(core) == {ONE: "alive", TWO: "alive"}
    assert "probes_failed" not in core.statistics()


def test_acks_of_others_and_old_ones_count_for_nothing() -> None:
    core = acquainted()
    stale = 0
    for _ in range(40):
        now = core.next_deadline()
        core.handle_deadline(now)
        for packet in packets(core.take_effects(), messages.PING):
            wrong = TWO if packet.body[1] == ONE else ONE
            body: list[object] = [packet.body[0], core_digest(core), []]
            if not core._detector.probes[_sequence(packet)].helpers:
                core.receive_packet(wrong, messages.ACK, body, PLACE_TWO, now)
                stale += 1
            core.receive_packet(wrong, messages.ACK, [1, core_digest(core), []], PLACE_TWO, now)
            stale += 1
    assert core.statistics()["stale_acks"] == stale
    assert "suspect" in states(core).values() or "dead" in states(core).values()


def _sequence(packet: Packet) -> int:
    sequence = packet.body[0]
    assert isinstance(sequence, int)
    return sequence


def test_a_helper_forwards_an_answer_or_tells_of_silence() -> None:
    core = acquainted()
    body: list[object] = [77, TWO, "10.0.0.3", 7117, []]
    core.receive_packet(ONE, messages.PING_REQ, body, PLACE_ONE, 1.0)
    pings = packets(core.take_effects(), messages.PING)
    assert [packet.destination for packet in pings] == [PLACE_TWO]
    ack: list[object] = [pings[0].body[0], core_digest(core), []]
    core.receive_packet(ONE, messages.ACK, ack, PLACE_ONE, 1.0)
    assert packets(core.take_effects(), messages.ACK) == []
    core.receive_packet(TWO, messages.ACK, ack, PLACE_TWO, 1.0)
    forwarded = packets(core.take_effects(), messages.ACK)
    assert [(packet.destination, packet.body[0]) for packet in forwarded] == [(PLACE_ONE, 77)]
    core.receive_packet(ONE, messages.PING_REQ, [78, TWO, "10.0.0.3", 7117, []], PLACE_ONE, 1.0)
    core.handle_deadline(1.0 + CONFIG.nack_after_s)
    nacks = packets(core.take_effects(), messages.NACK)
    assert [(packet.destination, packet.body[0]) for packet in nacks] == [(PLACE_ONE, 78)]
    core.check_invariants()


def test_a_helper_that_is_the_target_answers_for_itself() -> None:
    core = acquainted()
    core.receive_packet(ONE, messages.PING_REQ, [77, OWN, "10.0.0.1", 7117, []], PLACE_ONE, 1.0)
    assert packets(core.take_effects(), messages.ACK)[0].body[0] == 77


def test_relays_are_bounded() -> None:
    core = acquainted(GossipConfig(relays_max=3))
    for sequence in range(5):
        core.receive_packet(ONE, messages.PING_REQ, [sequence, TWO, "h", 1, []], PLACE_ONE, 1.0)
    assert core.statistics()["relays"] == 3
    assert core.statistics()["relays_refused"] == 2
    core.check_invariants()


@pytest.mark.parametrize("by_stream", [True, False])
def test_a_refused_peer_that_stays_silent_is_dead_at_once(by_stream: bool) -> None:
    core = acquainted()
    if by_stream:
        core.on_peer_lost(ONE, True, 1.0)
    else:
        core.on_packet_refused(PLACE_ONE, 1.0)
    now = 1.0
    pings = 0
    while states(core)[ONE] != "dead":
        now = core.next_deadline()
        core.handle_deadline(now)
        pings += len([p for p in packets(core.take_effects(), messages.PING) if p.body[1] == ONE])
    assert now == pytest.approx(1.0 + CONFIG.confirm_timeout_s)
    assert pings == CONFIG.confirm_ping_count
    assert core.alive_ids() == sorted([OWN, TWO])
    core.check_invariants()


def test_a_refused_peer_that_answers_lives() -> None:
    core = acquainted()
    core.on_peer_lost(ONE, True, 1.0)
    ping = packets(core.take_effects(), messages.PING)[0]
    core.receive_packet(ONE, messages.ACK, [ping.body[0], core_digest(core), []], PLACE_ONE, 1.1)
    core.on_packet_refused(PLACE_ONE, 1.2)
    assert packets(core.take_effects(), messages.PING) == []
    while core.next_deadline() < 2.0:
        answer_pings(core, core.next_deadline())
    assert states(core)[ONE] == "alive"


def test_a_broken_stream_alone_is_only_a_reason_to_look() -> None:
    core = acquainted()
    core.on_peer_lost(ONE, False, 1.0)
    core.on_peer_lost(b"?" * 16, True, 1.0)
    assert [packet.body[1] for packet in packets(core.take_effects(), messages.PING)] == [ONE]


# Believing


def test_a_suspicion_ends_in_death_and_confirmations_hasten_it() -> None:
    core = acquainted()
    for index in range(8):
        node_id = bytes([65 + index]) * 16
        rumour = alive(node_id, 1, ("10.0.1.1", 7000 + index))
        core.receive_packet(ONE, messages.RUMOURS, [[rumour]], PLACE_ONE, 1.0)
    accused = b"A" * 16
    suspicion = make_verdict(SUSPECT, accused, 1, ONE).packed
    core.receive_packet(ONE, messages.RUMOURS, [[suspicion]], PLACE_ONE, 1.0)
    assert states(core)[accused] == "suspect"
    slow = core._membership.suspicions[accused].deadline()
    again = make_verdict(SUSPECT, accused, 1, TWO).packed
    core.receive_packet(TWO, messages.RUMOURS, [[again, again]], PLACE_TWO, 1.0)
    assert core._membership.suspicions[accused].deadline() < slow
    third = make_verdict(SUSPECT, accused, 1, b"B" * 16).packed
    core.receive_packet(TWO, messages.RUMOURS, [[third]], PLACE_TWO, 1.0)
    quick = core._membership.suspicions[accused].deadline()
    assert quick == pytest.approx(1.0 + 3.124, abs=0.01)
    while core.next_deadline() <= quick:
        answer_pings_of_others(core, accused)
    assert states(core)[accused] == "dead"


def answer_pings_of_others(core: Gossip, silent: NodeId) -> None:
    now = core.next_deadline()
    core.handle_deadline(now)
    for packet in packets(core.take_effects(), messages.PING):
        target = packet.body[1]
        assert isinstance(target, bytes)
        if target != silent:
            body: list[object] = [packet.body[0], core_digest(core), []]
            core.receive_packet(target, messages.ACK, body, packet.destination, now)


@pytest.mark.parametrize("state", [SUSPECT, DEAD, LEFT])
def test_an_accusation_is_refuted_at_once_and_to_the_accuser(state: int) -> None:
    core = acquainted()
    accuser = OWN if state == LEFT else ONE
    verdict = make_verdict(state, OWN, 5, accuser).packed
    core.receive_packet(ONE, messages.RUMOURS, [[verdict]], PLACE_ONE, 1.0)
    effects = core.take_effects()
    assert effects[1] == Persist("node", b"incarnation", pack(6), False)
    answer = [packet for packet in packets(effects, messages.RUMOURS) if packet.destination == PLACE_ONE]
    assert rumours_in(answer[0]) == [(ALIVE, OWN, 6)]
    assert core.statistics()["incarnation"] == 6
    assert core.statistics()["awareness"] == 1
    core.check_invariants()


def test_an_old_accusation_is_answered_without_a_new_incarnation() -> None:
    core = acquainted()
    core.receive_packet(
        ONE, messages.PING, [1, OWN, DIGEST, [make_verdict(DEAD, OWN, 3, TWO).packed]], PLACE_ONE, 1.0
    )
    effects = core.take_effects()
    assert core.statistics()["incarnation"] == 5
    assert rumours_in(packets(effects, messages.RUMOURS)[0]) == [(ALIVE, OWN, 5)]


def test_an_earlier_life_with_a_higher_incarnation_is_outbid() -> None:
    core = acquainted()
    core.receive_packet(ONE, messages.RUMOURS, [[alive(OWN, 9, HERE)]], PLACE_ONE, 1.0)
    assert core.statistics()["incarnation"] == 10
    member = core.member(OWN)
    assert member is not None
    assert member.facts == {"cores": 2.0}


def test_an_earlier_life_with_the_same_incarnation_is_outbid() -> None:
    core = acquainted()
    core.receive_packet(ONE, messages.RUMOURS, [[alive(OWN, 5, PLACE_TWO)]], PLACE_ONE, 1.0)
    assert core.statistics()["incarnation"] == 6


def test_jumps_of_incarnations_are_capped() -> None:
    core = acquainted()
    far = 5 + CONFIG.incarnation_jump_max + 1
    claims: list[object] = [
        make_verdict(DEAD, OWN, far, ONE).packed,
        alive(OWN, far, HERE),
        alive(TWO, far, PLACE_TWO),
        make_verdict(DEAD, TWO, far, ONE).packed,
        alive(b"9" * 16, CONFIG.incarnation_first_max + 1, PLACE_TWO),
    ]
    core.receive_packet(ONE, messages.RUMOURS, [claims], PLACE_ONE, 1.0)
    assert core.statistics()["incarnation_jumps"] == 5
    assert core.statistics()["incarnation"] == 5
    assert states(core) == {ONE: "alive", TWO: "alive"}


def test_refutations_go_before_other_rumours() -> None:
    core = acquainted()
    news: list[object] = [alive(bytes([65 + i]) * 16, 1, ("10.0.1.1", 7000 + i)) for i in range(40)]
    core.receive_packet(ONE, messages.RUMOURS, [news], PLACE_ONE, 1.0)
    verdict = make_verdict(SUSPECT, OWN, 5, TWO).packed
    core.receive_packet(TWO, messages.RUMOURS, [[verdict]], PLACE_TWO, 1.0)
    core.take_effects()
    core.handle_deadline(core.next_deadline())
    spread = packets(core.take_effects(), messages.RUMOURS)
    assert all(rumours_in(packet)[0] == (ALIVE, OWN, 6) for packet in spread)
    assert len(spread) == CONFIG.spread_fanout


def test_whoever_is_accused_is_told_first_and_nothing_else() -> None:
    core = acquainted()
    accusation = make_verdict(DEAD, ONE, 1, TWO).packed
    core.receive_packet(TWO, messages.RUMOURS, [[accusation]], PLACE_TWO, 1.0)
    core.take_effects()
    core.receive_packet(ONE, messages.PING, [4, OWN, core_digest(core), []], PLACE_ONE, 1.0)
    assert rumours_in(packets(core.take_effects(), messages.ACK)[0]) == [(DEAD, ONE, 1)]


def test_a_death_in_a_table_is_only_a_suspicion_here() -> None:
    core = acquainted()
    verdict = make_verdict(DEAD, ONE, 1, TWO).packed
    core.receive_message(TWO, messages.PUSH_PULL, [1, False, [verdict]], 1.0)
    assert states(core)[ONE] == "suspect"
    reply = [effect for effect in core.take_effects() if isinstance(effect, Message)]
    assert [(message.peer, message.body[0], message.body[1]) for message in reply] == [(TWO, 1, True)]


def test_a_probe_over_the_stream_is_answered() -> None:
    core = acquainted()
    core.receive_message(TWO, messages.PUSH_PULL, [8, False, []], 1.0)
    assert core.take_effects() == [Message(TWO, messages.PUSH_PULL, [8, True, []])]


def test_large_tables_travel_in_parts() -> None:
    core = acquainted(GossipConfig(push_pull_size_max_bytes=900))
    news: list[object] = [alive(bytes([65 + i]) * 16, 1, ("10.0.1.1", 7000 + i)) for i in range(40)]
    core.receive_packet(ONE, messages.RUMOURS, [news], PLACE_ONE, 1.0)
    core.take_effects()
    core.receive_message(TWO, messages.PUSH_PULL, [1, False, [alive(TWO, 1, PLACE_TWO)]], 1.0)
    parts = [effect for effect in core.take_effects() if isinstance(effect, Message)]
    assert len(parts) > 2
    sizes = [sum(len(item) for item in part.body[2]) for part in parts]  # type: ignore[attr-defined]
    assert max(sizes) <= 900
    assert sum(len(part.body[2]) for part in parts) == 42  # type: ignore[arg-type]


def test_differing_digests_lead_to_exchanges_that_back_off() -> None:
    core = acquainted()
    started_at: list[float] = []
    now = 1.0
    for sequence in range(1000):
        now = 1.0 + sequence * 0.1
        core.receive_packet(ONE, messages.PING, [sequence, OWN, DIGEST, []], PLACE_ONE, now)
        if [effect for effect in core.take_effects() if isinstance(effect, Message)]:
            started_at.append(now)
    assert started_at[0] == pytest.approx(1.1)
    assert 5 <= len(started_at) <= 9
    core.receive_packet(ONE, messages.PING, [1, OWN, core_digest(core), []], PLACE_ONE, now)
    for sequence in range(2):
        core.receive_packet(ONE, messages.PING, [sequence, OWN, DIGEST, []], PLACE_ONE, now + 31.0)
    assert [effect for effect in core.take_effects() if isinstance(effect, Message)]


def test_the_table_is_bounded_and_the_long_dead_make_room() -> None:
    core = acquainted(GossipConfig(members_max=4))
    third = alive(b"3" * 16, 1, ("10.0.0.4", 1))
    fourth = alive(b"4" * 16, 1, ("10.0.0.5", 1))
    core.receive_packet(ONE, messages.RUMOURS, [[third, fourth]], PLACE_ONE, 1.0)
    assert len(states(core)) == 3
    assert core.statistics()["table_full"] == 1
    verdict = make_verdict(DEAD, TWO, 1, ONE).packed
    core.receive_packet(ONE, messages.RUMOURS, [[verdict, fourth]], PLACE_ONE, 1.1)
    assert states(core) == {ONE: "alive", b"3" * 16: "alive", b"4" * 16: "alive"}
    assert core.statistics()["members_evicted"] == 1
    core.check_invariants()


def test_rumours_of_one_sender_are_bounded() -> None:
    core = acquainted(GossipConfig(rumours_per_second_max=5, rumours_per_packet_max=4))
    news: list[object] = [alive(bytes([65 + i]) * 16, 1, ("10.0.1.1", 7000 + i)) for i in range(8)]
    core.receive_packet(ONE, messages.RUMOURS, [news[:5]], PLACE_ONE, 2.0)
    assert len(states(core)) == 2 + 4
    core.receive_packet(ONE, messages.RUMOURS, [news[4:]], PLACE_ONE, 2.0)
    assert len(states(core)) == 2 + 5
    core.receive_packet(b"s" * 16, messages.RUMOURS, [news[5:]], PLACE_ONE, 2.0)
    assert len(states(core)) == 2 + 8
    assert core.statistics()["rumours_over_limit"] == 2


def test_bad_rumours_do_not_spoil_good_ones() -> None:
    core = acquainted()
    good = alive(b"3" * 16, 1, ("10.0.0.4", 1))
    core.receive_packet(ONE, messages.RUMOURS, [[b"\xc1", 7, good]], PLACE_ONE, 1.0)
    assert b"3" * 16 in states(core)
    assert core.statistics()["bad_rumours"] == 2


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
    core.on_peer_lost(ONE, True, 1.1)
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

"""One core, driven by hand: how it probes others, and what it believes of whom."""

from __future__ import annotations

from itertools import pairwise

import pytest

from swarm.core.effects import MemberChanged, Message, Packet, Persist
from swarm.gossip.config import GossipConfig
from swarm.gossip.core import Gossip
from swarm.gossip.rumours import ALIVE, DEAD, LEFT, SUSPECT, make_verdict
from swarm.gossip.suspicion import suspicion_min_s
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
    answer_pings,
    answer_pings_of_others,
    core_digest,
    hello,
    packets,
    rumours_in,
    run_until_probe_fails,
    states,
    suspicion_of,
)

# Probing


def test_a_ping_for_somebody_else_is_answered_with_who_is_here() -> None:
    core = acquainted()
    core.receive_packet(ONE, messages.PING, [9, TWO, core_digest(core), []], PLACE_ONE, 1.0)
    effects = core.take_effects()
    assert packets(effects, messages.ACK) == []
    [answer] = packets(effects, messages.RUMOURS)
    assert (answer.destination, rumours_in(answer)) == (PLACE_ONE, []), "its sender is all that it says"
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
            wrong, place = (TWO, PLACE_TWO) if packet.body[1] == ONE else (ONE, PLACE_ONE)
            body: list[object] = [packet.body[0], core_digest(core), []]
            if not core._detector.probes[_sequence(packet)].helpers:
                core.receive_packet(wrong, messages.ACK, body, place, now)
                stale += 1
            core.receive_packet(wrong, messages.ACK, [1, core_digest(core), []], place, now)
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


def fall_silent(core: Gossip, until: float) -> tuple[float, int]:
    """Let nobody answer until the first peer is no more alive; return when that is, and pings to it."""
    now = 1.0
    pings = 0
    while states(core)[ONE] == "alive":
        now = core.next_deadline()
        assert now < until, "nothing happens to it"
        core.handle_deadline(now)
        pings += len([p for p in packets(core.take_effects(), messages.PING) if p.body[1] == ONE])
    return now, pings


@pytest.mark.parametrize("first", ["stream", "packet"])
@pytest.mark.parametrize("second", ["stream", "packet"])
def test_a_refused_peer_that_stays_silent_is_dead_at_once(first: str, second: str) -> None:
    core = acquainted()
    for what in (first, second):
        if what == "stream":
            core.on_peer_lost(ONE, True, 1.0)
        else:
            core.on_packet_refused(PLACE_ONE, 1.0)
    now, pings = fall_silent(core, 2.0)
    assert states(core)[ONE] == "dead"
    assert now == pytest.approx(1.0 + CONFIG.confirm_timeout_s)
    assert pings == CONFIG.confirm_ping_count
    assert core.alive_ids() == sorted([OWN, TWO])
    core.check_invariants()


def test_a_refused_packet_and_silence_are_enough() -> None:
    core = acquainted()
    core.on_packet_refused(PLACE_ONE, 1.0)
    assert fall_silent(core, 2.0)[0] == pytest.approx(1.0 + CONFIG.confirm_timeout_s)
    assert states(core)[ONE] == "dead"


def test_a_closed_stream_and_lost_pings_make_a_suspect_at_most() -> None:
    """Where three pings in a row are lost now and then, a process that closed a stream may be well."""
    core = acquainted()
    core.on_peer_lost(ONE, True, 1.0)
    asked = [
        one for one in core.take_effects() if isinstance(one, Message) and one.kind == messages.PUSH_PULL
    ]
    assert [one.peer for one in asked] == [ONE], "its stream tells, by a refusal or an answer"
    now, _ = fall_silent(core, 10.0)
    assert states(core)[ONE] == "suspect"
    assert now > 1.0 + CONFIG.confirm_timeout_s
    core.check_invariants()


def test_the_answer_on_its_stream_ends_the_doubt() -> None:
    core = acquainted()
    core.on_peer_lost(ONE, True, 1.0)
    (asked,) = [one for one in core.take_effects() if isinstance(one, Message) and one.peer == ONE]
    core.receive_message(ONE, messages.PUSH_PULL, [asked.body[0], True, []], 1.2)
    assert core.statistics()["probes"] == 0
    assert states(core)[ONE] == "alive"


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
    slow = suspicion_of(core, accused).deadline()
    again = make_verdict(SUSPECT, accused, 1, TWO).packed
    core.receive_packet(TWO, messages.RUMOURS, [[again, again]], PLACE_TWO, 1.0)
    assert suspicion_of(core, accused).deadline() < slow
    third = make_verdict(SUSPECT, accused, 1, b"B" * 16).packed
    core.receive_packet(TWO, messages.RUMOURS, [[third]], PLACE_TWO, 1.0)
    quick = suspicion_of(core, accused).deadline()
    assert quick == pytest.approx(1.0 + 2.083, abs=0.01)
    while core.next_deadline() <= quick:
        answer_pings_of_others(core, accused)
    assert states(core)[accused] == "dead"


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


def test_whoever_tells_of_a_death_in_its_table_is_an_accuser_too() -> None:
    core = acquainted()
    others = [bytes([65 + number]) * 16 for number in range(6)]
    for number, other in enumerate(others):
        hello(core, other, ("10.0.1.1", 7000 + number), 1.0)
    verdict = make_verdict(DEAD, ONE, 1, others[0]).packed
    for number, teller in enumerate([TWO, TWO, others[1]]):
        core.receive_message(teller, messages.PUSH_PULL, [number + 1, True, [verdict]], 1.1)
    assert suspicion_of(core, ONE).accusers == [others[0], TWO, others[1]]
    assert suspicion_of(core, ONE).deadline() == pytest.approx(1.1 + suspicion_min_s(CONFIG, 9))
    core.check_invariants()


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
    sizes: list[int] = []
    count = 0
    for part in parts:
        items = part.body[2]
        assert isinstance(items, list)
        count += len(items)
        sizes.append(sum([len(item) for item in items]))
    assert max(sizes) <= 900
    assert count == 42


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


def test_exchanges_that_bring_something_new_go_on_without_waiting_longer() -> None:
    core = acquainted()
    started_at: list[float] = []
    for step in range(200):
        now = 1.0 + step * 0.1
        core.receive_packet(ONE, messages.PING, [step, OWN, DIGEST, []], PLACE_ONE, now)
        for effect in core.take_effects():
            if isinstance(effect, Message):
                started_at.append(now)
                news = alive(bytes([len(started_at)]) * 16, 1, ("10.0.1.1", 7000 + len(started_at)))
                core.receive_message(effect.peer, messages.PUSH_PULL, [effect.body[0], True, [news]], now)
    gaps = [after - before for before, after in pairwise(started_at)]
    assert len(gaps) >= 10
    assert max(gaps) < 2 * CONFIG.push_pull_interval_s
    core.check_invariants()


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

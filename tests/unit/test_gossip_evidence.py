"""What one core weighs before a verdict: rules W1 to W3 of `swarm.gossip.suspicion`, groups, addresses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarm.core.effects import Packet
from swarm.core.ids import NodeId
from swarm.gossip.config import GossipConfig
from swarm.gossip.core import Gossip
from swarm.gossip.probe import SPARED_COUNT_MAX
from swarm.gossip.rumours import SUSPECT, make_verdict
from swarm.gossip.suspicion import EVIDENCE_ROUNDS_MAX
from swarm.wire import messages
from tests.unit.gossip_builder import (
    CONFIG,
    DIGEST,
    ONE,
    PLACE_ONE,
    PLACE_TWO,
    TWO,
    acquainted,
    alive,
    answer_pings_of_others,
    core_digest,
    packets,
    run_until_probe_fails,
    states,
    suspicion_of,
)

PLAIN = replace(CONFIG, weighs_evidence=False)


def crowd(core: Gossip, count: int) -> list[NodeId]:
    """Let ONE tell of so many more members."""
    ids = [bytes([65 + index]) * 16 for index in range(count)]
    for index, node_id in enumerate(ids):
        rumour = alive(node_id, 1, ("10.0.1.1", 7000 + index))
        core.receive_packet(ONE, messages.RUMOURS, [[rumour]], PLACE_ONE, 1.0)
    core.take_effects()
    return ids


def accuse(core: Gossip, accused: NodeId, accuser: NodeId, now: float) -> None:
    verdict = make_verdict(SUSPECT, accused, 1, accuser).packed
    core.receive_packet(TWO, messages.RUMOURS, [[verdict]], PLACE_TWO, now)


def be_silent_until(core: Gossip, end: float) -> None:
    """Let time pass while nobody answers."""
    while core.next_deadline() <= end:
        core.handle_deadline(core.next_deadline())
    core.take_effects()


def pass_until(core: Gossip, end: float, silent: NodeId) -> None:
    """Let time pass while everybody but one answers."""
    while core.next_deadline() <= end:
        answer_pings_of_others(core, silent)


def wait_for_ping(core: Gossip, target: NodeId) -> float:
    """Let time pass until a member is probed; others answer. Return when."""
    for _ in range(20):
        now = core.next_deadline()
        core.handle_deadline(now)
        pings = packets(core.take_effects(), messages.PING)
        for ping in pings:
            asked = ping.body[1]
            assert isinstance(asked, bytes)
            if asked == target:
                return now
            core.receive_packet(asked, messages.ACK, [ping.body[0], DIGEST, []], ping.destination, now)
        core.take_effects()
    raise AssertionError("never probed")


@pytest.mark.parametrize(("config", "state"), [(CONFIG, "suspect"), (PLAIN, "dead")])
def test_a_suspect_that_is_heard_gets_another_round(config: GossipConfig, state: str) -> None:
    core = acquainted(config)
    run_until_probe_fails(core, ONE)
    first = suspicion_of(core, ONE).deadline()
    pass_until(core, first - 0.5, ONE)
    core.receive_packet(ONE, messages.NACK, [99, []], PLACE_ONE, first - 0.5)
    pass_until(core, first, ONE)
    assert states(core)[ONE] == state
    assert core.statistics().get("verdicts_put_off", 0) == (1 if state == "suspect" else 0)
    core.check_invariants()


def test_a_suspect_that_is_not_heard_again_dies_a_round_later() -> None:
    core = acquainted()
    run_until_probe_fails(core, ONE)
    first = suspicion_of(core, ONE).deadline()
    pass_until(core, first - 0.5, ONE)
    core.receive_packet(ONE, messages.NACK, [99, []], PLACE_ONE, first - 0.5)
    pass_until(core, first, ONE)
    pass_until(core, suspicion_of(core, ONE).deadline(), ONE)
    assert states(core)[ONE] == "dead"


def test_who_doubts_itself_waits_for_others_to_share_its_suspicion() -> None:
    core = acquainted()
    accused, first, second = crowd(core, 8)[:3]
    core._membership.awareness.change(2)
    accuse(core, accused, first, 1.0)
    rounds = []
    for _ in range(2):
        deadline = suspicion_of(core, accused).deadline()
        assert not core._membership.suspicions.is_due(accused, deadline)
        rounds.append(suspicion_of(core, accused).deadline() - deadline)
    assert rounds == [pytest.approx(12.0 * 1.0414, abs=0.01)] * 2
    assert core._membership.suspicions.is_due(accused, suspicion_of(core, accused).deadline())
    other = acquainted()
    crowd(other, 8)
    other._membership.awareness.change(2)
    for accuser in (first, second, b"Z" * 16):
        accuse(other, accused, accuser, 1.0)
    assert other._membership.suspicions.is_due(accused, suspicion_of(other, accused).deadline())


def test_no_more_confirmations_are_wanted_than_members_remain_to_confirm() -> None:
    core = acquainted()
    ids = crowd(core, 3)
    assert len(core.alive_ids()) == 6
    for accused in ids:
        accuse(core, accused, TWO, 1.0)
    # ONE and TWO could still confirm, and one of them does not suffice.
    accuse(core, ids[0], ONE, 1.0)
    assert suspicion_of(core, ids[0]).deadline() > 1.0 + 2.0
    accuse(core, ONE, TWO, 1.0)
    # Nobody but TWO is left to confirm, and ids[0] is confirmed already.
    assert suspicion_of(core, ids[0]).deadline() == pytest.approx(1.0 + 2.0, abs=0.01)
    assert suspicion_of(core, ids[1]).deadline() == pytest.approx(1.0 + 12.0, abs=0.01)
    core.check_invariants()


def test_a_lone_survivor_decides_alone() -> None:
    core = acquainted()
    crowd(core, 3)
    be_silent_until(core, 30.0)
    assert set(states(core).values()) == {"dead"}


def test_a_member_that_is_heard_is_not_accused_for_a_lost_answer() -> None:
    core = acquainted()
    now = wait_for_ping(core, ONE)
    core.receive_packet(ONE, messages.NACK, [99, []], PLACE_ONE, now + 0.1)
    be_silent_until(core, now + 1.0)
    assert states(core)[ONE] == "alive"
    assert core.statistics()["accusations_spared"] == 1
    assert core.statistics()["awareness"] == 1


def test_recordings_of_a_member_that_is_gone_put_its_death_off_for_a_bounded_time() -> None:
    """Somebody sends what it once sent to others, in its place, as often as somebody asks it something."""
    core = acquainted()
    now = 0.0
    while states(core)[ONE] != "dead":
        now = core.next_deadline()
        answer_pings_of_others(core, ONE)
        core.receive_packet(ONE, messages.NACK, [99, []], PLACE_ONE, now)
        assert now < 300.0
    assert core.statistics()["accusations_spared"] == SPARED_COUNT_MAX
    assert core.statistics()["verdicts_put_off"] == EVIDENCE_ROUNDS_MAX
    core.check_invariants()


def test_after_an_answer_lost_ones_are_forgiven_again() -> None:
    core = acquainted()
    for _ in range(3):
        for _ in range(SPARED_COUNT_MAX):
            now = wait_for_ping(core, ONE)
            core.receive_packet(ONE, messages.NACK, [99, []], PLACE_ONE, now + 0.01)
            pass_until(core, now + 1.0, ONE)
        now = wait_for_ping(core, ONE)
        [sequence] = [each for each, probe in core._detector.probes.items() if probe.target == ONE]
        core.receive_packet(ONE, messages.ACK, [sequence, DIGEST, []], PLACE_ONE, now)
    assert states(core)[ONE] == "alive"
    assert core.statistics()["accusations_spared"] > 2 * SPARED_COUNT_MAX


def test_many_lost_at_once_say_nothing_about_our_own_health() -> None:
    core = acquainted()
    ids = crowd(core, 6)
    for accused in ids[:3]:
        for accuser in (ONE, TWO):
            accuse(core, accused, accuser, 1.0)
    before = core.statistics()["awareness"]
    assert core._membership.suspicions.is_group_lost(9)
    be_silent_until(core, 2.9)
    assert core.statistics()["probes_failed"] > 0
    assert core.statistics()["awareness"] == before
    core.receive_packet(ids[0], messages.NACK, [99, []], ("10.0.1.1", 7000), 2.95)
    core.receive_packet(ids[1], messages.NACK, [99, []], ("10.0.1.1", 7001), 2.95)
    assert len(core._membership.suspicions) >= 3


def test_whoever_answers_at_a_members_address_proves_that_its_process_is_gone() -> None:
    core = acquainted()
    now = wait_for_ping(core, ONE)
    other = b"N" * 16
    core.receive_packet(other, messages.RUMOURS, [[alive(other, 1, PLACE_ONE)]], PLACE_ONE, now + 0.01)
    repeated = [effect for effect in core.take_effects() if isinstance(effect, Packet)]
    assert [packet.body[1] for packet in repeated if packet.kind == messages.PING] == [ONE]
    be_silent_until(core, now + 0.01 + CONFIG.confirm_timeout_s)
    assert states(core)[ONE] == "dead"
    assert states(core)[other] == "alive"
    core.check_invariants()


def test_a_member_that_moved_survives_a_newcomer_at_its_old_address() -> None:
    core = acquainted()
    now = wait_for_ping(core, ONE)
    other = b"N" * 16
    core.receive_packet(other, messages.RUMOURS, [[alive(other, 1, PLACE_ONE)]], PLACE_ONE, now + 0.01)
    for packet in packets(core.take_effects(), messages.PING):
        if packet.body[1] == ONE:
            body: list[object] = [packet.body[0], core_digest(core), []]
            core.receive_packet(ONE, messages.ACK, body, ("10.0.0.9", 7117), now + 0.01)
    pass_until(core, now + 0.4, TWO)
    assert states(core)[ONE] == "alive"

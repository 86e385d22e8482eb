"""Ways around links that do not work: which relay is chosen, when it is left, what a relay refuses."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.effects import SendMessage, SendPacket
from swarm.core.ids import NodeId
from swarm.gossip.rumours import LEFT, make_verdict
from swarm.node_relays import (
    FORWARDS_MAX,
    PAUSE_FIRST_S,
    PAUSE_MAX_S,
    REMEMBERED_S,
    SETTLED_S,
    TRIES_MAX,
    USED_MAX,
    Relays,
    relay_order,
)
from swarm.wire.codec import Stamp, pack_frame, unpack_frame_untrusted
from swarm.wire.messages import (
    ASSIGN,
    COMPLETIONS,
    PUSH_PULL,
    RELAY,
    RELAY_LOST,
    RELAY_PACKET,
    RELAYED,
    RELAYED_PACKET,
    REPORT_WANTED,
    REPORTS_LOST,
    RETRACT,
    RETRACTED,
    VOTE_REQUEST,
)
from tests.unit.gossip_builder import alive
from tests.unit.scheduler_builder import JOB, ME, ONE, TWO
from tests.unit.test_node import BALLOT, NodeEnv, order

THREE = b"3" * 16
OTHERS = [ONE, TWO, THREE]
TWO_ADDRESS = ("10.0.0.3", 7117)


def lost(relays: Relays, peer: NodeId = ONE, now: float = 0.0) -> list[NodeId]:
    return relays.on_lost(peer, is_gone=False, others=OTHERS, now=now)


# Which way


def test_without_a_loss_messages_go_directly() -> None:
    assert Relays(ME).way(ONE, 0.0) == ONE


def test_after_a_loss_they_go_through_the_first_that_is_another() -> None:
    relays = Relays(ME)
    assert lost(relays) == [ONE]
    assert relays.way(ONE, 0.1) == TWO
    assert relays.way(TWO, 0.1) == TWO


def test_a_process_that_is_gone_is_not_looked_for() -> None:
    relays = Relays(ME)
    relays.on_lost(ONE, is_gone=True, others=OTHERS, now=0.0)
    assert relays.way(ONE, 0.1) == ONE


def test_who_cannot_be_reached_is_no_relay() -> None:
    relays = Relays(ME)
    lost(relays, TWO)
    lost(relays, ONE)
    assert relays.way(ONE, 0.1) == THREE


def test_a_relay_that_cannot_pass_on_is_left_for_the_next_one() -> None:
    relays = Relays(ME)
    lost(relays)
    relays.on_relay_lost(ONE, TWO, OTHERS, 0.2)
    assert relays.way(ONE, 0.3) == THREE
    relays.on_relay_lost(ONE, TWO, OTHERS, 0.4)
    assert relays.way(ONE, 0.5) == THREE, "an answer of the one before says nothing of this one"


def test_whoever_is_reached_through_a_lost_peer_is_named() -> None:
    relays = Relays(ME)
    lost(relays, ONE)
    assert relays.way(ONE, 0.1) == TWO
    assert lost(relays, TWO, 0.2) == [TWO, ONE]
    assert relays.way(ONE, 0.3) == THREE


def test_a_stream_that_carried_no_message_loses_none() -> None:
    relays = Relays(ME)
    lost(relays)
    assert lost(relays, ONE, 1.0) == [], "gossip alone tried it"
    assert relays.way(ONE, 30.0) == ONE
    assert lost(relays, ONE, 35.0) == [ONE]
    relays.on_relayed(THREE, TWO, 36.0)
    assert lost(relays, THREE, 37.0) == [THREE], "a dial may have been under way"
    assert lost(relays, THREE, 38.0) == []


def test_what_goes_directly_while_there_is_no_relay_is_lost_with_the_dial() -> None:
    relays = Relays(ME)
    relays.on_lost(ONE, is_gone=False, others=[], now=0.0)
    assert relays.way(ONE, 1.0) == ONE, "a dial is under way"
    relays.on_relayed(ONE, TWO, 2.0)
    assert relays.way(ONE, 3.0) == TWO
    assert lost(relays, ONE, 6.0) == [ONE]


def test_a_relay_whose_stream_broke_is_asked_again_once_it_is_heard() -> None:
    relays = Relays(ME)
    relays.on_lost(ONE, is_gone=False, others=[TWO], now=0.0)
    assert relays.way(ONE, 0.1) == TWO
    relays.on_lost(TWO, is_gone=True, others=[TWO, THREE], now=1.0)
    assert relays.way(ONE, 1.1) == THREE, "not the one that is gone"
    relays.on_heard(TWO, 2.0)
    relays.on_relay_lost(ONE, THREE, [TWO, THREE], 3.0)
    assert relays.way(ONE, 3.1) == TWO


def test_recent_losses_are_told_however_many_pairs_were_used_before() -> None:
    relays = Relays(ME)
    for number in range(USED_MAX - 1):
        peer = number.to_bytes(16, "big")
        relays.on_relayed(peer, THREE, 0.0)
        assert relays.way(peer, 0.0) == THREE
    lost(relays, ONE, REMEMBERED_S)
    assert relays.way(ONE, REMEMBERED_S) == TWO
    relays.on_relayed(b"4" * 16, THREE, REMEMBERED_S)
    assert relays.way(b"4" * 16, REMEMBERED_S) == THREE
    relays.check_invariants()
    assert lost(relays, TWO, REMEMBERED_S + 1.0) == [TWO, ONE]


def test_a_lost_relay_may_have_lost_what_it_was_given_lately() -> None:
    relays = Relays(ME)
    lost(relays, ONE)
    assert relays.way(ONE, 0.1) == TWO
    relays.on_heard(ONE, 0.2)
    assert relays.way(ONE, 10.0) == ONE
    assert lost(relays, TWO, 11.0) == [TWO, ONE]
    assert lost(relays, TWO, 12.0) == []


def test_after_some_relays_the_direct_way_is_tried() -> None:
    relays = Relays(ME)
    others = [bytes([number]) * 16 for number in range(1, 10)]
    relays.on_lost(ONE, is_gone=False, others=others, now=0.0)
    for number in range(TRIES_MAX):
        assert relays.way(ONE, 0.1) == others[number]
        relays.on_relay_lost(ONE, others[number], others, 0.1)
    assert relays.way(ONE, 0.2) == ONE
    relays.on_lost(ONE, is_gone=False, others=others, now=5.0)
    assert relays.way(ONE, 5.1) == others[TRIES_MAX], (
        "those that could not are not the first to be asked again"
    )


def test_the_direct_way_is_tried_again_when_all_is_quiet() -> None:
    relays = Relays(ME)
    lost(relays)
    assert relays.way(ONE, PAUSE_FIRST_S - 0.1) == TWO
    assert relays.way(ONE, PAUSE_FIRST_S + 0.1) == TWO, "something may still be on the way"
    assert relays.way(ONE, PAUSE_FIRST_S + 0.1 + SETTLED_S) == ONE


def test_a_way_that_is_never_quiet_is_left_in_the_end() -> None:
    relays = Relays(ME)
    lost(relays)
    now = 0.0
    while relays.way(ONE, now) == TWO:
        now += 1.0
        assert now < 100.0
    assert now > PAUSE_FIRST_S


def test_pauses_grow_to_a_bound() -> None:
    relays = Relays(ME)
    pauses = []
    for number in range(8):
        lost(relays, ONE, 1000.0 * number)
        pauses.append(relays.detours[ONE].pause_s)
    assert pauses[:3] == [PAUSE_FIRST_S, 2 * PAUSE_FIRST_S, 4 * PAUSE_FIRST_S]
    assert pauses[-1] == PAUSE_MAX_S


def test_a_peer_that_is_heard_is_answered_directly() -> None:
    relays = Relays(ME)
    lost(relays)
    assert relays.way(ONE, 0.1) == TWO
    relays.on_heard(ONE, 0.2)
    assert relays.way(ONE, 0.3) == TWO, "nothing may overtake what is on the way"
    assert relays.way(ONE, 0.3 + SETTLED_S) == ONE
    relays.on_heard(ONE, 4.0)
    assert relays.detours == {}


def test_a_relay_that_was_given_nothing_is_left_at_once() -> None:
    relays = Relays(ME)
    lost(relays)
    relays.on_heard(ONE, 0.1)
    assert relays.way(ONE, 0.2) == ONE


def test_what_came_through_a_relay_is_answered_through_it() -> None:
    relays = Relays(ME)
    relays.on_relayed(ONE, THREE, 0.0)
    assert relays.way(ONE, 0.1) == THREE
    relays.on_relayed(ONE, TWO, 0.2)
    assert relays.way(ONE, 0.3) == THREE, "a way that works is kept"


def test_a_relay_that_was_not_used_gives_way_to_one_that_brought_something() -> None:
    relays = Relays(ME)
    lost(relays)
    assert relays.detours[ONE].via == TWO
    relays.on_relayed(ONE, THREE, 0.5)
    assert relays.way(ONE, 1.0) == THREE
    relays.on_relayed(ONE, TWO, 1.5)
    assert relays.way(ONE, 2.0) == THREE, "in use: messages may overtake each other on another way"


def test_another_run_of_a_process_is_reached_directly() -> None:
    relays = Relays(ME)
    relays.on_instance(ONE, b"first")
    lost(relays)
    relays.on_instance(ONE, b"first")
    assert relays.way(ONE, 0.1) == TWO
    relays.on_instance(ONE, b"second")
    assert relays.way(ONE, 0.2) == ONE
    relays.check_invariants()


def test_relays_known_to_work_come_first() -> None:
    assert relay_order([ME, ONE, TWO, THREE], [THREE, b"", TWO], ONE)[:2] == [THREE, TWO]
    assert relay_order([ONE, TWO], [b"9" * 16], ONE) == [TWO]


# Passing on


def test_a_relay_tells_for_whom_it_passed_on() -> None:
    relays = Relays(ME)
    assert relays.pass_on(ONE, TWO, 0.0)
    assert relays.take_origins(TWO) == [ONE]
    assert relays.take_origins(TWO) == []


def test_a_relay_refuses_what_it_cannot_pass_on() -> None:
    relays = Relays(ME)
    lost(relays, TWO)
    assert not relays.pass_on(ONE, TWO, 0.1)
    assert not relays.pass_on(ONE, ME, 0.1)
    assert not relays.pass_on(ONE, ONE, 0.1)
    assert relays.pass_on(ONE, TWO, PAUSE_FIRST_S + 0.1), "the direct way may be tried again"


def test_what_is_kept_of_others_is_bounded() -> None:
    relays = Relays(ME)
    for number in range(FORWARDS_MAX + 10):
        assert relays.pass_on(number.to_bytes(16, "big"), TWO, 0.0)
    relays.check_invariants()
    assert len(relays.take_origins(TWO)) == FORWARDS_MAX


def test_for_whom_much_is_passed_on_is_not_forgotten_for_those_that_came_later() -> None:
    relays = Relays(ME)
    assert relays.pass_on(ONE, TWO, 0.0)
    for number in range(FORWARDS_MAX - 1):
        assert relays.pass_on(number.to_bytes(16, "big"), THREE, 0.0)
    assert relays.pass_on(ONE, TWO, 1.0)
    assert relays.pass_on(b"4" * 16, THREE, 2.0)
    assert relays.take_origins(TWO) == [ONE]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(0, 4), st.floats(0.0, 60.0))))
def test_whatever_happens_nobody_is_a_relay_to_itself(steps: list[tuple[int, int, int, float]]) -> None:
    nodes = [bytes([number]) * 16 for number in range(1, 6)]
    relays = Relays(nodes[0])
    now = 0.0
    for what, one, two, pause_s in steps:
        now += pause_s
        peer, other = nodes[one], nodes[two]
        others = relay_order(nodes, [other], peer)
        if peer != nodes[0]:
            if what == 0:
                relays.on_lost(peer, is_gone=False, others=others, now=now)
            elif what == 1:
                relays.on_relay_lost(peer, other, others, now)
            elif what == 2 and other not in (peer, nodes[0]):
                relays.on_relayed(peer, other, now)
            elif what == 3:
                relays.on_heard(peer, now)
            elif what == 4:
                relays.pass_on(peer, other, now)
            else:
                assert relays.way(peer, now) != nodes[0]
        relays.check_invariants()


# In a node


def env_of_two() -> NodeEnv:
    """Return a node that follows ONE and knows TWO."""
    env = NodeEnv()
    env.receive(PUSH_PULL, [7, True, [alive(TWO, 1, TWO_ADDRESS)]])
    assert TWO in env.node.gossip.alive_ids()
    env.effects.clear()
    return env


def lose(env: NodeEnv, peer: NodeId) -> None:
    env.node.on_peer_lost(peer, False, env.now)
    env.pump()


def test_reports_go_around_a_stream_that_broke() -> None:
    env = env_of_two()
    env.receive(ASSIGN, [[order(0)]])
    lose(env, ONE)
    env.effects.clear()
    inner = pack_frame(RETRACT, Stamp(ONE, BALLOT, 7), [[[order(0)[0], 0, 1]]])
    env.receive(RELAYED, [inner], TWO)
    [[target, payload]] = env.take(RELAY, TWO)
    assert target == ONE
    frame = unpack_frame_untrusted(payload)  # type: ignore[arg-type]  # a body has fields of any type
    assert (frame.kind, frame.stamp.sender) == (RETRACTED, ME)


def test_an_order_below_the_fence_is_refused_through_the_relay() -> None:
    env = env_of_two()
    inner = pack_frame(ASSIGN, Stamp(ONE, (1, ONE), 7), [[order(0)]])
    env.receive(RELAYED, [inner], TWO)
    assert env.node.status()["running"] == 0
    assert env.node.counts["refused"] == 1
    assert [body[0] for body in env.take(RELAY, TWO)] == [ONE]


def test_a_relay_brings_nobody_s_frame_but_that_of_a_third() -> None:
    env = env_of_two()
    for stamp in (Stamp(TWO, BALLOT, 7), Stamp(ME, BALLOT, 7)):
        env.receive(RELAYED, [pack_frame(RETRACT, stamp, [[]])], TWO)
    nested = pack_frame(RELAY, Stamp(ONE, BALLOT, 7), [TWO, b""])
    env.receive(RELAYED, [nested], TWO)
    gossip = pack_frame(PUSH_PULL, Stamp(ONE, BALLOT, 7), [1, False, []])
    env.receive(RELAYED, [gossip], TWO)
    assert env.node.counts["wrong_sender"] == 4
    assert not [effect for effect in env.effects if isinstance(effect, SendMessage)]


def test_garbage_in_a_relay_is_counted() -> None:
    env = env_of_two()
    for kind, body in ((RELAY, [b"short", b""]), (RELAYED, [7]), (RELAYED, [b"x"]), (RELAY_LOST, [])):
        env.receive(kind, list(body), TWO)
    assert env.node.counts["malformed"] == 4


def test_a_node_passes_on_and_says_when_it_cannot() -> None:
    env = env_of_two()
    env.receive(RELAY, [TWO, b"frame"], ONE)
    assert env.take(RELAYED, TWO) == [[b"frame"]]
    lose(env, TWO)
    assert env.take(RELAY_LOST, ONE) == [[TWO]]
    env.receive(RELAY, [TWO, b"frame"], ONE)
    assert env.take(RELAY_LOST, ONE) == [[TWO]]
    env.receive(RELAY, [THREE, b"frame"], ONE)
    assert env.take(RELAY_LOST, ONE) == [[THREE]], "nobody knows where that one is"


def test_nobody_looks_for_a_way_to_who_has_gone() -> None:
    env = env_of_two()
    env.receive(PUSH_PULL, [8, True, [make_verdict(LEFT, TWO, 1, TWO).packed]])
    assert TWO not in env.node.gossip.alive_ids()
    lose(env, TWO)
    assert env.node.relays.detours == {}


def test_who_passes_something_on_is_heard_by_that() -> None:
    """The host in the middle of a star says hardly anything else to those around it."""
    inner = pack_frame(RETRACT, Stamp(ONE, BALLOT, 7), [[]])
    bodies: dict[int, list[object]] = {RELAYED: [inner], RELAY: [ONE, inner], RELAY_LOST: [THREE]}
    for kind, body in bodies.items():
        env = env_of_two()
        lose(env, TWO)
        assert not env.node.relays.pass_on(ONE, TWO, env.now)
        env.receive(kind, body, TWO)
        assert env.node.relays.pass_on(ONE, TWO, env.now), "it can be answered where it was heard"


def test_of_who_is_no_member_nothing_is_kept() -> None:
    env = env_of_two()
    lose(env, THREE)
    env.receive(RELAYED, [pack_frame(RETRACT, Stamp(THREE, BALLOT, 7), [[]])], TWO)
    assert THREE not in env.node.relays.detours


def test_gossip_is_never_relayed() -> None:
    env = env_of_two()
    lose(env, ONE)
    env.effects.clear()
    env.receive(PUSH_PULL, [1, False, []], ONE)
    assert env.take(PUSH_PULL, ONE)
    assert env.take(RELAY, TWO) == []


def test_datagrams_of_the_election_are_passed_on_and_taken_from_relays() -> None:
    env = env_of_two()
    env.node.receive_packet(
        pack_frame(RELAY_PACKET, Stamp(ONE, BALLOT, 7), [TWO, b"frame"]), TWO_ADDRESS, env.now
    )
    env.pump()
    [passed] = [effect for effect in env.effects if isinstance(effect, SendPacket)]
    assert passed.destination == TWO_ADDRESS
    assert unpack_frame_untrusted(passed.payload).kind == RELAYED_PACKET
    higher = (9, TWO)
    wish = pack_frame(VOTE_REQUEST, Stamp(TWO, BALLOT, 7), [1, *higher, True])
    env.effects.clear()
    env.node.receive_packet(pack_frame(RELAYED_PACKET, Stamp(ONE, BALLOT, 7), [wish]), TWO_ADDRESS, env.now)
    env.pump()
    assert [effect for effect in env.effects if isinstance(effect, SendPacket)], "it is answered"
    order_inside = pack_frame(COMPLETIONS, Stamp(TWO, BALLOT, 7), [[]])
    env.node.receive_packet(
        pack_frame(RELAYED_PACKET, Stamp(ONE, BALLOT, 7), [order_inside]), TWO_ADDRESS, env.now
    )
    assert env.node.counts["wrong_sender"] == 1


def test_the_leader_is_told_of_lost_reports_when_it_is_heard_again() -> None:
    env = NodeEnv()
    lose(env, ONE)
    assert env.take(REPORTS_LOST) == [], "there is no way"
    env.receive(PUSH_PULL, [1, False, []])
    assert env.take(REPORTS_LOST) == [[]]
    env.receive(PUSH_PULL, [2, False, []])
    assert env.take(REPORTS_LOST) == []


def test_the_leader_is_told_when_a_relay_lost_reports() -> None:
    env = env_of_two()
    env.receive(RELAY_LOST, [ONE], TWO)
    assert env.take(REPORTS_LOST) == [[]]


def test_a_late_question_takes_nothing_back_in_silence() -> None:
    env = NodeEnv()
    env.receive(ASSIGN, [[order(0)]])
    env.effects.clear()
    env.receive(REPORT_WANTED, [1])
    assert env.take(RETRACTED) == [[[[JOB, 0, 1]]]]


def test_a_report_that_is_wanted_through_a_relay_is_given_through_it() -> None:
    env = env_of_two()
    env.receive(RELAYED, [pack_frame(REPORT_WANTED, Stamp(ONE, BALLOT, 7), [5])], TWO)
    kinds = [unpack_frame_untrusted(body[1]).kind for body in env.take(RELAY, TWO)]  # type: ignore[arg-type]  # as above
    assert kinds

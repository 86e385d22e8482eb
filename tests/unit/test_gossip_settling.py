"""What a node stops telling and keeping: rumours that everybody knows, exchanges under way, old addresses."""

from __future__ import annotations

from collections.abc import Callable

from swarm.core.effects import Erase, Message, Packet, Persist
from swarm.core.rng import Rng
from swarm.gossip.config import GossipConfig
from swarm.gossip.core import Gossip
from swarm.gossip.limits import choose_indexes
from swarm.gossip.rumours import DEAD, SUSPECT, make_verdict
from swarm.wire import messages
from swarm.wire.codec import pack
from tests.unit.gossip_builder import (
    DIGEST,
    ONE,
    PLACE_ONE,
    PLACE_TWO,
    TWO,
    alive,
    core_digest,
    hello,
    packets,
    started,
)

THREE = b"3" * 16
PLACE_THREE = ("10.0.0.4", 7117)


def ping(core: Gossip, sender: bytes, digest: bytes, now: float) -> None:
    place = {ONE: PLACE_ONE, TWO: PLACE_TWO, THREE: PLACE_THREE}[sender]
    core.receive_packet(sender, messages.PING, [7, b"o" * 16, digest, []], place, now)


def tables_asked(core: Gossip) -> list[bytes]:
    """Return to whom whole tables were sent."""
    effects = core.take_effects()
    return [effect.peer for effect in effects if isinstance(effect, Message) and not effect.body[1]]


def queued(core: Gossip) -> list[bytes]:
    return core._membership.queue.members()


def test_rumours_about_the_living_end_when_everybody_has_our_digest() -> None:
    core = started()
    for node_id, place in ((ONE, PLACE_ONE), (TWO, PLACE_TWO), (THREE, PLACE_THREE)):
        hello(core, node_id, place, 0.0)
    core._membership.apply(make_verdict(SUSPECT, THREE, 1, ONE), 0.1)
    assert len(queued(core)) == 4
    for sender in (ONE, TWO):
        ping(core, sender, core_digest(core), 0.2)
    assert len(queued(core)) == 4
    ping(core, ONE, core_digest(core), 0.3)
    assert queued(core) == [THREE], "a suspicion is in no digest"
    assert core.statistics()["settlements"] == 1
    core.check_invariants()


def test_one_that_differs_begins_the_count_anew() -> None:
    core = started()
    hello(core, ONE, PLACE_ONE, 0.0)
    for digest in (core_digest(core), core_digest(core), DIGEST, core_digest(core), core_digest(core)):
        ping(core, ONE, digest, 0.1)
    assert "settlements" not in core.statistics()
    hello(core, TWO, PLACE_TWO, 0.2)
    ping(core, ONE, core_digest(core), 0.2)
    assert "settlements" not in core.statistics(), "our own table has changed since"
    assert TWO in queued(core)


def test_one_exchange_at_a_time() -> None:
    core = started()
    hello(core, ONE, PLACE_ONE, 0.5)
    hello(core, TWO, PLACE_TWO, 0.5)
    asked = [effect for effect in core.take_effects() if isinstance(effect, Message)]
    assert [effect.peer for effect in asked] == [ONE], "both have another digest"
    for now in (0.6, 1.4):
        ping(core, TWO, DIGEST, now)
    assert tables_asked(core) == [], "the first is unanswered, for a second"
    reply: list[object] = [asked[0].body[0], True, [alive(THREE, 1, PLACE_THREE)]]
    core.receive_message(ONE, messages.PUSH_PULL, reply, 1.4)
    assert THREE in core.alive_ids()
    ping(core, TWO, DIGEST, 1.45)
    assert tables_asked(core) == [TWO]


def test_a_broken_stream_ends_an_exchange() -> None:
    core = started()
    hello(core, ONE, PLACE_ONE, 0.0)
    hello(core, TWO, PLACE_TWO, 0.0)
    assert tables_asked(core) == [ONE]
    assert not core._anti_entropy.exchange_with(TWO, 0.2)
    core.on_peer_lost(TWO, False, 0.3)
    assert not core._anti_entropy.exchange_with(TWO, 0.3)
    core.on_peer_lost(ONE, False, 0.4)
    assert core._anti_entropy.exchange_with(TWO, 0.4)


def remembered(core: Gossip) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for effect in core.take_effects():
        if isinstance(effect, Persist) and effect.table == "members":
            found.append(("kept", effect.key))
        elif isinstance(effect, Erase):
            assert effect.table == "members"
            found.append(("erased", effect.prefix))
    return found


def test_only_as_many_addresses_are_kept_on_disk_as_a_start_asks() -> None:
    core = started(GossipConfig(contacts_max=2, dead_kept_s=10.0))
    for node_id, place in ((ONE, PLACE_ONE), (TWO, PLACE_TWO), (THREE, PLACE_THREE)):
        hello(core, node_id, place, 0.0)
    assert remembered(core) == [("kept", ONE), ("kept", TWO)]
    dead = make_verdict(DEAD, ONE, 1, TWO).packed
    core.receive_packet(TWO, messages.RUMOURS, [[dead]], PLACE_TWO, 1.0)
    assert remembered(core) == [], "one that died may come back there"
    core._membership.expire(11.0)
    assert remembered(core) == [("erased", ONE), ("kept", THREE)]
    core.check_invariants()


def test_peers_are_chosen_alike_without_a_list_of_them() -> None:
    core = started()
    for node_id, place in ((ONE, PLACE_ONE), (TWO, PLACE_TWO), (THREE, PLACE_THREE)):
        hello(core, node_id, place, 0.0)
    choose: Callable[[int, bytes], list[bytes]] = core._membership.choose_peers
    for without, others in (
        (b"o" * 16, {ONE, TWO, THREE}),
        (TWO, {ONE, THREE}),
        (b"?" * 16, {ONE, TWO, THREE}),
    ):
        seen: set[bytes] = set()
        for _ in range(40):
            chosen = choose(2, without)
            assert len(chosen) == len(set(chosen)) == 2
            seen.update(chosen)
        assert seen == others
        assert sorted(choose(9, without)) == sorted(others)
    assert choose(0, ONE) == []


def test_indexes_are_those_of_a_shuffle() -> None:
    drawn, shuffled = Rng("i"), Rng("i")
    for size in range(12):
        for count in range(size + 2):
            pool = list(range(size))
            wanted = min(count, size)
            for index in range(wanted):
                other = index + shuffled.below(size - index)
                pool[index], pool[other] = pool[other], pool[index]
            assert choose_indexes(drawn, size, count) == pool[:wanted]


def test_a_packet_from_where_a_member_says_it_is_changes_nothing() -> None:
    core = started()
    hello(core, ONE, PLACE_ONE, 0.0)
    entry = core._membership.table.entry(ONE)
    assert entry.sources == ()
    ping(core, ONE, core_digest(core), 0.1)
    core.receive_packet(ONE, messages.PING, [8, b"o" * 16, DIGEST, []], ("10.0.0.2", 9999), 0.2)
    assert entry.sources == (), "the same host from another port"
    assert packets(core.take_effects(), messages.ACK)
    core.check_invariants()


def test_a_source_is_believed_when_an_answer_to_a_new_question_comes_from_it() -> None:
    core = started()
    hello(core, ONE, PLACE_ONE, 0.0)
    core.take_effects()
    elsewhere = ("172.16.0.9", 1)
    core.receive_packet(ONE, messages.PING, [9, b"o" * 16, DIGEST, []], elsewhere, 0.3)
    [challenge] = packets(core.take_effects(), messages.PING)
    assert (challenge.destination, challenge.body[1]) == (elsewhere, ONE)
    assert core.addresses_of(ONE) == [PLACE_ONE], "whoever recorded the packet could have sent it from there"
    answer: list[object] = [challenge.body[0], DIGEST, []]
    core.receive_packet(TWO, messages.ACK, answer, elsewhere, 0.4)
    core.receive_packet(ONE, messages.ACK, answer, ("172.16.0.10", 1), 0.4)
    core.receive_packet(ONE, messages.ACK, [12345, DIGEST, []], elsewhere, 0.4)
    assert core.addresses_of(ONE) == [PLACE_ONE]
    core.receive_packet(ONE, messages.ACK, answer, elsewhere, 0.5)
    assert core.addresses_of(ONE) == [("172.16.0.9", 7117), PLACE_ONE]
    core.receive_packet(ONE, messages.ACK, answer, ("172.16.0.10", 1), 0.6)
    assert core.addresses_of(ONE) == [("172.16.0.9", 7117), PLACE_ONE], "each question is answered once"
    core.check_invariants()


def answer_challenges(core: Gossip, node_id: bytes, now: float) -> int:
    """Answer every challenge from where it was asked; return how many there were."""
    challenges = packets(core.take_effects(), messages.PING)
    for challenge in challenges:
        answer: list[object] = [challenge.body[0], DIGEST, []]
        core.receive_packet(node_id, messages.ACK, answer, challenge.destination, now)
    return len(challenges)


def test_a_member_heard_from_several_addresses_in_turn_is_asked_once_at_each() -> None:
    core = started()
    hello(core, ONE, PLACE_ONE, 0.0)
    core.take_effects()
    places = [PLACE_ONE, ("fe80::2%eth0", 7117), ("192.168.7.2", 7117), ("fe80::3%eth1", 7117)]
    asked: list[int] = []
    for turn in range(5):
        asked.append(0)
        for number, place in enumerate(places):
            now = 0.1 + 0.05 * turn + 0.01 * number
            core.receive_packet(ONE, messages.RUMOURS, [[]], place, now)
            asked[-1] += answer_challenges(core, ONE, now)
    assert asked == [3, 1, 0, 0, 0], "where it says that it is need not be proven before something else was"
    assert core.addresses_of(ONE)[0] == PLACE_ONE
    core.check_invariants()


def test_of_several_proven_addresses_the_one_that_answered_last_comes_first() -> None:
    core = started()
    hello(core, ONE, PLACE_ONE, 0.0)
    core.take_effects()
    other = ("fe80::2%eth0", 7117)
    for now, place in ((0.1, other), (0.2, PLACE_ONE)):
        core.receive_packet(ONE, messages.RUMOURS, [[]], place, now)
        assert answer_challenges(core, ONE, now) == 1
    assert core.addresses_of(ONE)[:2] == [PLACE_ONE, other]
    while core.addresses_of(ONE)[0] == PLACE_ONE:
        now = max(now, core.next_deadline())
        assert now < 5.0
        core.handle_deadline(now)
        for ping_sent in packets(core.take_effects(), messages.PING):
            if ping_sent.destination == other:
                core.receive_packet(ONE, messages.ACK, [ping_sent.body[0], DIGEST, []], other, now)
    assert core.addresses_of(ONE)[:2] == [other, PLACE_ONE], "the first address is silent, the second answers"


def test_an_address_that_a_member_names_no_more_is_forgotten() -> None:
    core = started()
    hello(core, ONE, PLACE_ONE, 0.0)
    core.take_effects()
    unnamed = ("fe80::2%eth0", 7117)
    for now, place in ((0.1, unnamed), (0.2, PLACE_ONE)):
        core.receive_packet(ONE, messages.RUMOURS, [[]], place, now)
        answer_challenges(core, ONE, now)
    moved = ("10.0.0.99", 7117)
    core.receive_packet(ONE, messages.RUMOURS, [[alive(ONE, 2, moved)]], unnamed, 0.3)
    assert core.addresses_of(ONE) == [unnamed, moved]


def test_what_comes_from_an_unproven_source_is_answered_with_no_more_than_it_is() -> None:
    core = started()
    hello(core, ONE, PLACE_ONE, 0.0)
    hello(core, TWO, PLACE_TWO, 0.0)
    core.take_effects()
    assert len(core._membership.queue) > 0
    for number, target in enumerate([b"o" * 16, TWO] * 5):
        question: list[object] = [number, target, DIGEST, []]
        core.receive_packet(ONE, messages.PING, question, ("172.16.0.9", 1), 0.5)
        answers = [packet for packet in core.take_effects() if isinstance(packet, Packet)]
        for answer in answers:
            if answer.kind != messages.PING:
                assert len(pack(answer.body)) <= len(pack(question)), answer
    ping(core, ONE, core_digest(core), 0.6)
    [ack] = packets(core.take_effects(), messages.ACK)
    assert ack.body[2], "who asks from where it lives is told what is new"


def test_recordings_from_everywhere_are_questioned_at_a_bounded_rate() -> None:
    core = started()
    hello(core, ONE, PLACE_ONE, 0.0)
    core.take_effects()
    for number in range(300):
        source = (f"172.16.{number % 250}.9", 7117)
        core.receive_packet(ONE, messages.RUMOURS, [[]], source, 0.3 + number / 1000)
    assert len(packets(core.take_effects(), messages.PING)) <= 14
    assert core.addresses_of(ONE) == [PLACE_ONE]

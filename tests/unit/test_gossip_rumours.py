"""Rumours: their bytes, what is refused, the queue they wait in, and which of two wins."""

from __future__ import annotations

import pytest

from swarm.core.errors import DecodeError
from swarm.gossip.config import GossipConfig
from swarm.gossip.dissemination import RumourQueue, transmission_limit
from swarm.gossip.members import MemberEntry, MemberTable, reachable_addresses, supersedes
from swarm.gossip.rumours import (
    ALIVE,
    DEAD,
    LEFT,
    SUSPECT,
    make_alive,
    make_verdict,
    unpack_rumour_untrusted,
)
from swarm.wire.codec import pack

CONFIG = GossipConfig()
ONE = b"1" * 16
TWO = b"2" * 16
FACTS: dict[str, object] = {"cores": 4, "speed": 1.5, "python": "3.11", "tags": ["gpu"], "host": b"h" * 8}


def test_a_rumour_survives_the_wire() -> None:
    alive = make_alive(ONE, 3, "pi", [("10.0.0.1", 7117), ("fe80::1%eth0", 7118)], FACTS)
    assert unpack_rumour_untrusted(alive.packed, CONFIG) == alive
    for state in (SUSPECT, DEAD):
        verdict = make_verdict(state, ONE, 3, TWO)
        assert unpack_rumour_untrusted(verdict.packed, CONFIG) == verdict
    assert unpack_rumour_untrusted(make_verdict(LEFT, ONE, 3, ONE).packed, CONFIG).state == LEFT


def test_fields_of_later_versions_are_passed_on() -> None:
    packed = pack([ALIVE, ONE, 1, ONE, "pi", [], {}, "new"])
    assert unpack_rumour_untrusted(packed, CONFIG).packed == packed


@pytest.mark.parametrize(
    "fields",
    [
        7,
        [],
        [4, ONE, 1, TWO],
        [SUSPECT, ONE[:5], 1, TWO],
        [SUSPECT, ONE, -1, TWO],
        [SUSPECT, ONE, 2**63, TWO],
        [LEFT, ONE, 1, TWO],
        [ALIVE, ONE, 1, TWO, "pi", [], {}],
        [ALIVE, ONE, 1, ONE],
        [ALIVE, ONE, 1, ONE, "", [], {}],
        [ALIVE, ONE, 1, ONE, "a\x1b[2J", [], {}],
        [ALIVE, ONE, 1, ONE, "x" * 65, [], {}],
        [ALIVE, ONE, 1, ONE, "pi", [["h", 0]], {}],
        [ALIVE, ONE, 1, ONE, "pi", [["a b", 1]], {}],
        [ALIVE, ONE, 1, ONE, "pi", [["h", 1]] * 9, {}],
        [ALIVE, ONE, 1, ONE, "pi", ["h:1"], {}],
        [ALIVE, ONE, 1, ONE, "pi", [], {1: 2}],
        [ALIVE, ONE, 1, ONE, "pi", [], {"cores": "4"}],
        [ALIVE, ONE, 1, ONE, "pi", [], {"cores": float("nan")}],
        [ALIVE, ONE, 1, ONE, "pi", [], {"memory": -1}],
        [ALIVE, ONE, 1, ONE, "pi", [], {"tags": "gpu"}],
        [ALIVE, ONE, 1, ONE, "pi", [], {"tags": [1]}],
        [ALIVE, ONE, 1, ONE, "pi", [], {"host": "h"}],
        [ALIVE, ONE, 1, ONE, "pi", [], {"python": "3\n"}],
        [ALIVE, ONE, 1, ONE, "pi", [], {"deep": {"a": 1}}],
        [ALIVE, ONE, 1, ONE, "pi", [], {"large": b"x" * 600}],
        [ALIVE, ONE, 1, ONE, "pi", [], {}, b"x" * 900],
    ],
)
def test_what_is_no_rumour_is_refused(fields: object) -> None:
    with pytest.raises(DecodeError):
        unpack_rumour_untrusted(pack(fields), CONFIG)


def test_a_higher_incarnation_wins_and_within_one_the_worse_state() -> None:
    states = (ALIVE, SUSPECT, DEAD, LEFT)
    for held in states:
        for state in states:
            assert supersedes(state, 5, held, 5) == (state > held and not (state == SUSPECT and held >= DEAD))
            assert not supersedes(state, 4, held, 5)
            assert supersedes(state, 6, held, 5) == (not (state == SUSPECT and held >= DEAD))


def test_the_source_of_packets_comes_first_with_the_advertised_port() -> None:
    advertised = [("10.0.0.1", 7117), ("192.168.0.1", 7200)]
    assert reachable_addresses((), advertised, 8) == advertised
    assert reachable_addresses((("192.168.0.1", 9999),), advertised, 8) == [
        ("192.168.0.1", 7200),
        ("10.0.0.1", 7117),
    ]
    assert reachable_addresses((("172.16.0.9", 9999),), advertised, 8)[0] == ("172.16.0.9", 7117)
    assert reachable_addresses((("172.16.0.9", 9999),), [], 8) == [("172.16.0.9", 9999)]
    assert len(reachable_addresses((("172.16.0.9", 9999),), advertised, 2)) == 2


def test_the_digest_is_that_of_the_living_in_any_order() -> None:
    tables = [MemberTable(), MemberTable()]
    rumours = [make_alive(bytes([index]) * 16, index, "n", [], {}) for index in range(5)]
    for table, order in zip(tables, (rumours, rumours[::-1]), strict=True):
        for rumour in order:
            table.add(MemberEntry(rumour))
    assert tables[0].digest() == tables[1].digest() == tables[0].computed_digest()
    entry = tables[0].entry(bytes([2]) * 16)
    tables[0].change(entry, SUSPECT, 2, ONE, 1.0)
    assert tables[0].digest() == tables[1].digest()
    tables[0].change(entry, DEAD, 2, ONE, 2.0)
    assert tables[0].digest() != tables[1].digest()
    assert tables[0].digest() == tables[0].computed_digest()
    assert len(tables[0].listed()) == 4
    assert entry.view().state == "dead"
    assert entry.view().since == 2.0


def test_rumours_are_sent_a_bounded_number_of_times() -> None:
    assert [transmission_limit(CONFIG, count) for count in (1, 9, 10, 99, 100, 500)] == [4, 4, 8, 8, 12, 12]
    queue = RumourQueue(10)
    queue.put(ONE, b"one", False)
    assert [queue.take(100, 3, 5) for _ in range(4)] == [[b"one"]] * 3 + [[]]
    assert len(queue) == 0


def test_refutations_go_first_then_the_least_often_sent() -> None:
    queue = RumourQueue(10)
    queue.put(ONE, b"one", False)
    assert queue.take(100, 9, 5) == [b"one"]
    queue.put(TWO, b"two", False)
    queue.put(b"3", b"three", True)
    assert queue.take(100, 9, 2) == [b"three", b"two"]
    assert queue.take(100, 9, 5) == [b"three", b"one", b"two"]


def test_a_newer_rumour_about_somebody_replaces_the_older() -> None:
    queue = RumourQueue(10)
    queue.put(ONE, b"old", True)
    queue.take(100, 9, 5)
    queue.put(ONE, b"new", False)
    assert queue.take(100, 9, 5) == [b"new"]
    queue.drop(ONE)
    queue.drop(ONE)
    assert queue.take(100, 9, 5) == []


def test_the_budget_is_kept_and_small_rumours_fill_it() -> None:
    queue = RumourQueue(10)
    queue.put(ONE, b"x" * 60, False)
    queue.put(TWO, b"y" * 60, False)
    queue.put(b"3", b"z" * 20, False)
    assert queue.take(90, 9, 5) == [b"x" * 60, b"z" * 20]


def test_a_full_queue_drops_what_was_sent_most() -> None:
    queue = RumourQueue(3)
    for name in (b"a", b"b", b"c"):
        assert queue.put(name, name, name == b"a")
    assert queue.take(4, 9, 1) == [b"a"]
    assert queue.take(8, 9, 2) == [b"a", b"b"]
    assert not queue.put(b"d", b"d", False)
    assert queue.members() == [b"a", b"c", b"d"]

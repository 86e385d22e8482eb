"""Who keeps copies of records: rendezvous hashing over the fittest, hosts of their own first."""

from __future__ import annotations

from collections import Counter

from swarm.scheduler.replication import Keeper, are_enough, choose_copies, choose_keepers
from tests.unit.scheduler_builder import JOB, ME
from tests.unit.scheduler_env import NODES


def keeper(node: bytes, host: bytes = b"", fitness: int = 100) -> Keeper:
    return Keeper(node, host or node, fitness)


def test_copies_are_spread() -> None:
    others = [Keeper(node, node, 1) for node in NODES[1:7]]
    load: Counter[bytes] = Counter()
    for number in range(600):
        load.update(choose_keepers(number.to_bytes(10, "big"), Keeper(NODES[0], b"", 1), others, 3, [], []))
    assert sum(load.values()) == 1200
    assert all(150 < count < 250 for count in load.values())


def test_one_copy_needs_nobody() -> None:
    assert choose_keepers(b"j" * 10, Keeper(NODES[0], b"", 1), [Keeper(NODES[1], b"", 1)], 1, [], []) == []


def test_all_nodes_choose_alike() -> None:
    others = [keeper(node) for node in NODES[1:9]]
    chosen = choose_keepers(JOB, keeper(ME), others, 3, [], [])
    assert len(chosen) == 2
    assert chosen == choose_keepers(JOB, keeper(ME), others[::-1], 3, [], [])


def test_a_newcomer_moves_only_what_it_takes() -> None:
    others = [keeper(node) for node in NODES[1:6]]
    moved = 0
    for number in range(100):
        job = number.to_bytes(10, "big")
        before = choose_keepers(job, keeper(ME), others, 3, [], [])
        after = choose_keepers(job, keeper(ME), [*others, keeper(NODES[6])], 3, [], [])
        assert [node for node in after if node not in before] in ([], [NODES[6]])
        moved += after != before
    assert 10 < moved < 60


def test_hosts_of_their_own_come_first() -> None:
    others = [
        keeper(NODES[1], b"h"),
        keeper(NODES[2], b"h"),
        keeper(NODES[3], b"other"),
        keeper(NODES[4], ME),
    ]
    chosen = choose_keepers(JOB, keeper(ME), others, 3, [], [])
    assert len([node for node in chosen if node in NODES[1:3]]) == 1
    assert NODES[3] in chosen
    assert len(choose_keepers(JOB, keeper(ME), others, 5, [], [])) == 4, "and then the rest"


def test_the_fittest_eight_are_asked() -> None:
    others = [keeper(node, fitness=100 if number < 8 else 1) for number, node in enumerate(NODES[1:20])]
    for number in range(30):
        chosen = choose_keepers(number.to_bytes(10, "big"), keeper(ME), others, 3, [], [])
        assert all(node in NODES[1:9] for node in chosen)


def test_those_that_failed_are_left_out() -> None:
    others = [keeper(node) for node in NODES[1:4]]
    assert choose_keepers(JOB, keeper(ME), others, 4, [NODES[2]], []) == [
        node for node in choose_keepers(JOB, keeper(ME), others, 4, [], []) if node != NODES[2]
    ]
    assert choose_keepers(JOB, keeper(ME), [], 3, [], []) == []


def test_who_replaces_a_keeper_that_failed_is_not_on_the_host_of_one_that_has_a_copy() -> None:
    others = [Keeper(NODES[number], b"host%d" % (number // 2), 100) for number in range(2, 6)]
    for number in range(20):
        job = number.to_bytes(10, "big")
        first, second = choose_keepers(job, keeper(ME), others, 3, [], [])
        third = choose_keepers(job, keeper(ME), others, 3, [second], [first])
        hosts = [other.host for other in others if other.node in (first, *third)]
        assert len(third) == 1
        assert len(set(hosts)) == 2, "the failed one has a neighbour on the other host"


def test_copies_are_enough_when_they_are_on_as_many_machines_as_there_are() -> None:
    live = [Keeper(NODES[number], b"host%d" % (number // 2), 100) for number in range(4)]
    assert not are_enough(live, 3, NODES[:2])
    assert are_enough(live, 3, NODES[:3])
    assert not are_enough([*live, keeper(NODES[4])], 3, NODES[:3])
    assert not are_enough([*live, keeper(NODES[4])], 3, NODES[:4])
    assert are_enough([*live, keeper(NODES[4])], 3, [NODES[0], NODES[2], NODES[4]])
    assert are_enough(live[:1], 3, NODES[:1])


def test_missing_copies_go_to_machines_without_one() -> None:
    live = [Keeper(NODES[number], b"host%d" % (number // 2), 100) for number in range(6)]
    (third,) = choose_copies(JOB, live, 3, [], [NODES[0], NODES[2]])
    assert third in NODES[4:6]
    (fourth,) = choose_copies(JOB, live, 3, [], NODES[:3])
    assert fourth in NODES[4:6]
    assert choose_copies(JOB, live, 3, [], [NODES[0], NODES[2], NODES[4]]) == []
    assert choose_copies(JOB, live[:3], 3, [NODES[1]], [NODES[0], NODES[2]]) == []
    assert len(choose_copies(JOB, live, 3, [], [])) == 3

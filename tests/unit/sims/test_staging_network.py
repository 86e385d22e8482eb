"""Faults of the network that overlap: each begins and ends by itself, and leaves the others alone."""

from __future__ import annotations

import pytest

from sims.network import Network, NetworkConfig
from sims.recording.excuses import GRACE_S, Excuses
from sims.staging.conditions import Conditions
from sims.staging.cuts import Cuts, pairs_of
from swarm.core.rng import Rng

COUNT = 4


def network(loss: float = 0.0) -> Network:
    return Network(NetworkConfig(loss=loss), COUNT, Rng("cuts"))


def open_ways(net: Network) -> list[str]:
    """Return the ways that are open, as two digits each."""
    return [
        f"{source}{target}"
        for source in range(COUNT)
        for target in range(COUNT)
        if source != target and net.reaches(source, target, 0.0)
    ]


ALL = open_ways(network())


def closed(net: Network) -> list[str]:
    return [way for way in ALL if way not in open_ways(net)]


def test_a_partition_parts_targets_from_everybody_else() -> None:
    net = network()
    cuts = Cuts(net, COUNT)
    number = cuts.make([0, 1], None, "both")
    assert closed(net) == ["02", "03", "12", "13", "20", "21", "30", "31"]
    cuts.mend(number)
    assert closed(net) == []


@pytest.mark.parametrize(("direction", "expected"), [("both", ["03", "30"]), ("out", ["03"]), ("in", ["30"])])
def test_a_cut_from_named_others_closes_the_ways_between(direction: str, expected: list[str]) -> None:
    net = network()
    cuts = Cuts(net, COUNT)
    number = cuts.make([0], [3], direction)
    assert closed(net) == expected
    cuts.mend(number)
    assert closed(net) == []


def test_one_way_from_everybody_else_is_a_set_of_blocks() -> None:
    net = network()
    Cuts(net, COUNT).make([0], None, "out")
    assert closed(net) == ["01", "02", "03"]


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        ("both", ["01", "02", "03", "10", "12", "13", "20", "21", "30", "31"]),
        ("out", ["01", "02", "03", "10", "12", "13"]),
        ("in", ["01", "10", "20", "21", "30", "31"]),
    ],
)
def test_isolated_hosts_do_not_reach_each_other_either(direction: str, expected: list[str]) -> None:
    net = network()
    cuts = Cuts(net, COUNT)
    number = cuts.isolate([0, 1], direction)
    assert closed(net) == expected
    cuts.mend(number)
    assert closed(net) == []


def test_partitions_multiply_and_end_by_themselves() -> None:
    net = network()
    cuts = Cuts(net, COUNT)
    first = cuts.make([0, 1], None, "both")
    second = cuts.make([1, 2], None, "both")
    assert open_ways(net) == [], "every host is alone: 0, 1, 2, 3 lie on different sides"
    cuts.mend(first)
    assert open_ways(net) == ["03", "12", "21", "30"]
    cuts.mend(second)
    assert closed(net) == []


def test_a_way_blocked_twice_opens_with_the_second_end() -> None:
    net = network()
    cuts = Cuts(net, COUNT)
    first = cuts.make([0], [1, 2], "out")
    second = cuts.make([0], [1], "both")
    cuts.mend(first)
    assert closed(net) == ["01", "10"]
    cuts.mend(second)
    cuts.mend(second)
    assert closed(net) == []


def test_all_cuts_are_mended_at_once() -> None:
    net = network()
    cuts = Cuts(net, COUNT)
    cuts.make([0], None, "both")
    cuts.make([1], [2], "in")
    cuts.mend_all()
    assert closed(net) == []


def test_pairs_name_each_way_once_and_no_host_with_itself() -> None:
    assert pairs_of([0, 1], [1, 2], "both", COUNT) == [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]
    assert pairs_of([3], None, "in", COUNT) == [(0, 3), (1, 3), (2, 3)]


def conditions(loss: float = 0.0) -> tuple[Network, Conditions, Excuses]:
    net = network(loss)
    excuses = Excuses(COUNT)
    return net, Conditions(net, COUNT, excuses), excuses


def test_the_loss_that_began_last_holds_and_the_configured_one_returns() -> None:
    net, state, _ = conditions(loss=0.25)
    end_first = state.set_loss(0.5)
    end_second = state.set_loss(0.75)
    assert net._loss == 0.75
    end_first(1.0)
    assert net._loss == 0.75
    end_second(2.0)
    assert net._loss == 0.25


def test_the_factor_on_latency_that_began_last_holds() -> None:
    net, state, _ = conditions()
    end_first = state.set_latency_factor(10.0)
    end_second = state.set_latency_factor(100.0)
    assert net.delay_s(0, 1) >= 0.05
    end_second(1.0)
    assert net._factor == 10.0
    end_first(1.0)
    assert net._factor == 1.0


def test_a_host_deafened_twice_hears_after_both_have_ended() -> None:
    net, state, _ = conditions()
    first, second = state.deafen([1]), state.deafen([1, 2])
    assert net.listeners(0) == [3]
    first(1.0)
    assert net.listeners(0) == [3]
    second(1.0)
    assert net.listeners(0) == [1, 2, 3]


def test_a_cut_that_was_healed_does_not_end_again() -> None:
    net, state, excuses = conditions()
    end = state.cut([0], None, "both")
    state.deafen([3])
    state.heal(5.0)
    assert closed(net) == []
    assert net.listeners(0) == [1, 2, 3]
    other = state.cut([0], None, "both")
    end(6.0)
    assert closed(net) != [], "the end of the first cut leaves the second alone"
    other(7.0)
    assert closed(net) == []
    assert not excuses.is_excused(0, 1, 7.0 + GRACE_S)


def test_what_is_clogged_arrives_later() -> None:
    net, state, _ = conditions()
    end = state.clog([0], [1], "out", 9.0)
    assert net.send(0, 1, 100, 1.0) == 9.0
    assert net.send(1, 0, 100, 1.0) < 1.1
    end(9.0)


def test_cuts_excuse_those_they_part_and_for_a_while_after() -> None:
    _, state, excuses = conditions()
    end = state.cut([0, 1], None, "both")
    assert excuses.is_excused(0, 2, 1.0)
    assert not excuses.is_excused(0, 1, 1.0)
    end(10.0)
    assert excuses.is_excused(2, 1, 10.0 + GRACE_S - 1)
    assert not excuses.is_excused(2, 1, 10.0 + GRACE_S)
    assert not excuses.is_disturbed(0, 11.0)


def test_blocks_excuse_the_hosts_they_are_about() -> None:
    _, state, excuses = conditions()
    end = state.cut([0], [1], "out")
    assert excuses.is_excused(3, 0, 1.0)
    assert excuses.is_excused(3, 1, 1.0)
    assert not excuses.is_excused(0, 3, 1.0)
    end(2.0)
    assert not excuses.is_excused(3, 0, 2.0 + GRACE_S)


def test_faults_that_overlap_excuse_until_the_last_has_ended() -> None:
    excuses = Excuses(COUNT)
    excuses.disturb([1])
    excuses.disturb([1, 2])
    excuses.calm([1], 5.0)
    assert excuses.is_disturbed(1, 5.0 + GRACE_S + 1)
    excuses.calm([1, 2], 6.0)
    assert not excuses.is_disturbed(1, 6.0 + GRACE_S)

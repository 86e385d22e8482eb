"""Fair shares: feasible, with a bottleneck for every flow, and equal to those of a simple oracle."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sims.network.flows import NEVER, FlowNetwork
from swarm.core.errors import ConfigError

NODES = 5
rates = st.lists(st.sampled_from([1.0, 2.0, 3.0, 10.0, 100.0]), min_size=NODES, max_size=NODES)
pairs = st.lists(
    st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)).filter(lambda pair: pair[0] != pair[1]),
    min_size=1,
    max_size=12,
)


def oracle(
    up: list[float], down: list[float], flows: list[tuple[int, int]]
) -> dict[tuple[int, int], Fraction]:
    """Raise all open flows until one capacity is full, exactly."""
    left = {("up", n): Fraction(rate) for n, rate in enumerate(up)}
    left.update({("down", n): Fraction(rate) for n, rate in enumerate(down)})
    open_flows = list(dict.fromkeys(flows))
    rate: dict[tuple[int, int], Fraction] = dict.fromkeys(open_flows, Fraction(0))
    while open_flows:
        users = {key: [f for f in open_flows if key in (("up", f[0]), ("down", f[1]))] for key in left}
        step = min([left[key] / len(using) for key, using in users.items() if using])
        for flow in open_flows:
            rate[flow] += step
            left[("up", flow[0])] -= step
            left[("down", flow[1])] -= step
        open_flows = [f for f in open_flows if left[("up", f[0])] > 0 and left[("down", f[1])] > 0]
    return rate


@given(rates, rates, pairs)
def test_rates_are_max_min_fair(up: list[float], down: list[float], flows: list[tuple[int, int]]) -> None:
    network = FlowNetwork(up, down, True)
    for number, (source, target) in enumerate(flows):
        network.start(number, source, target, 1e9, 0.0)
    wanted = oracle(up, down, flows)
    for number, pair in enumerate(flows):
        share = float(wanted[pair]) / flows.count(pair)
        assert network.rate_bytes_s(number) == pytest.approx(share, rel=1e-9)


@given(rates, rates, pairs, st.lists(st.floats(1.0, 1000.0), min_size=12, max_size=12))
def test_everything_ends_and_no_byte_is_lost(
    up: list[float], down: list[float], flows: list[tuple[int, int]], sizes: list[float]
) -> None:
    network = FlowNetwork(up, down, True)
    for number, (source, target) in enumerate(flows):
        network.start(number, source, target, sizes[number], 0.0)
    ended: list[int] = []
    now = 0.0
    sent = 0.0
    while len(network):
        assert network.next_end() >= now
        carried = sum([network.rate_bytes_s(n) for n in range(len(flows)) if n not in ended])
        sent += carried * (network.next_end() - now)
        now = network.next_end()
        taken = network.take_ended(now)
        assert taken
        ended.extend(taken)
    assert sorted(ended) == list(range(len(flows)))
    assert sent == pytest.approx(sum(sizes[: len(flows)]), rel=1e-6)


def test_one_transfer_runs_at_the_smaller_end() -> None:
    network = FlowNetwork([10.0, 5.0], [20.0, 4.0], True)
    network.start(1, 0, 1, 8.0, 1.0)
    assert network.next_end() == 3.0
    assert network.take_ended(2.9) == []
    assert network.take_ended(3.0) == [1]
    assert network.next_end() == float("inf")


def test_transfers_of_a_pair_share_its_rate() -> None:
    network = FlowNetwork([10.0, 10.0, 10.0], [10.0, 10.0, 10.0], True)
    network.start(1, 0, 2, 50.0, 0.0)
    network.start(2, 0, 2, 50.0, 0.0)
    network.start(3, 1, 2, 50.0, 0.0)
    assert [network.rate_bytes_s(n) for n in (1, 2, 3)] == [2.5, 2.5, 5.0]
    network.cancel(3, 1.0)
    network.cancel(3, 1.0)
    assert [network.rate_bytes_s(n) for n in (1, 2)] == [5.0, 5.0]
    assert network.next_end() == pytest.approx(1.0 + 47.5 / 5)


def test_without_sharing_nobody_is_in_the_way() -> None:
    network = FlowNetwork([10.0, 10.0], [10.0, 5.0], False)
    network.start(1, 0, 1, 10.0, 0.0)
    network.start(2, 0, 1, 10.0, 0.0)
    assert network.next_end() == 2.0
    assert network.take_ended(2.0) == [1, 2]


def test_a_link_on_the_way_is_shared_by_all_who_cross_it() -> None:
    network = FlowNetwork([10.0] * 4, [10.0] * 4, True)
    link = network.add_link(6.0)
    network.route(0, 1, [link])
    network.route(2, 3, [link])
    network.start(1, 0, 1, 9.0, 0.0)
    network.start(2, 2, 3, 9.0, 0.0)
    network.start(3, 1, 0, 9.0, 0.0)
    assert [network.rate_bytes_s(n) for n in (1, 2, 3)] == [3.0, 3.0, 10.0]


def test_nothing_takes_no_time_and_no_bound_is_no_bound() -> None:
    network = FlowNetwork([10.0, float("inf")], [float("inf"), 10.0], True)
    network.start(1, 0, 1, 0.0, 4.0)
    assert network.next_end() == 4.0
    assert network.take_ended(4.0) == [1]
    network.start(2, 1, 0, 1e12, 4.0)
    assert network.take_ended(4.0) == [2]


@pytest.mark.parametrize(("up", "down"), [([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [-1.0])])
def test_impossible_capacities_are_refused(up: list[float], down: list[float]) -> None:
    with pytest.raises(ConfigError):
        FlowNetwork(up, down, True)
    with pytest.raises(ConfigError):
        FlowNetwork([1.0], [1.0], True).add_link(0.0)


def test_without_sharing_a_stopped_transfer_is_forgotten_and_the_rest_end_in_order() -> None:
    network = FlowNetwork([10.0, 10.0], [10.0, 10.0], False)
    for number, size in ((1, 30.0), (2, 10.0), (3, 30.0), (4, 20.0)):
        network.start(number, 0, 1, size, 0.0)
    network.cancel(2, 0.5)
    network.cancel(9, 0.5)
    assert network.next_end() == 2.0
    # A number is free again once its transfer has ended or was stopped.
    network.start(2, 1, 0, 20.0, 1.0)
    assert network.rate_bytes_s(2) == 10.0
    assert network.take_ended(1.5) == []
    assert network.take_ended(2.0) == [4]
    assert network.take_ended(3.0) == [1, 3, 2]
    assert network.next_end() == NEVER
    assert len(network) == 0


def test_changes_of_one_instant_count_together() -> None:
    network = FlowNetwork([10.0, 10.0], [10.0, 10.0], True)
    network.start(1, 0, 1, 20.0, 0.0)
    network.start(2, 0, 1, 20.0, 0.0)
    assert network.rate_bytes_s(1) == 5.0
    # One goes and another comes a second later: five of twenty bytes are through.
    network.cancel(2, 1.0)
    network.start(3, 0, 1, 5.0, 1.0)
    assert network.next_end() == 2.0
    assert network.take_ended(2.0) == [3]
    assert network.next_end() == 3.0
    assert network.take_ended(3.0) == [1]

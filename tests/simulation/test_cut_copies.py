"""Copies of objects whose way is cut, or one of whose ends stands still: they wait, and go on or break."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sims.carrier import STALL_LIMIT_S
from sims.cluster import Cluster
from tests.transport.simulated import SimulatedTransport

SIZE = 200_000_000
ALONE_S = 2.0
"""At the 100 MB/s of the transport."""


def copying(holders: int = 1) -> tuple[SimulatedTransport, float]:
    """Return three hosts of which 0 has copied an object from the others for a second, and its begin."""
    net = SimulatedTransport(3)
    for holder in range(1, 1 + holders):
        net.store(holder, 7, "object", SIZE)
    begin = net.now()
    net.fetch(0, 7, "object", SIZE, list(range(1, 1 + holders)))
    net.pass_time(1.0)
    assert not net.heard[0]
    return net, begin


def end_s(net: SimulatedTransport, limit_s: float = 60.0) -> float:
    net.wait(lambda: net.of(0, "fetched") or net.of(0, "missing"), limit_s)
    return next(heard.at for heard in net.heard[0] if heard.what in ("fetched", "missing"))


def cut(cluster: Cluster) -> None:
    cluster.network.partition([[0], [1, 2]])


def block_data(cluster: Cluster) -> None:
    cluster.network.block(1, 0)


def block_answers(cluster: Cluster) -> None:
    cluster.network.block(0, 1)


@pytest.mark.parametrize("harm", [cut, block_data, block_answers])
def test_a_copy_stands_still_behind_a_cut_and_goes_on_when_it_heals(harm: Callable[[Cluster], None]) -> None:
    net, begin = copying()
    harm(net.cluster)
    net.pass_time(5.0)
    assert not net.heard[0]
    net.cluster.network.heal()
    assert end_s(net) == pytest.approx(begin + ALONE_S + 5.0, abs=0.1)
    assert net.of(0, "fetched") == [7]


@pytest.mark.parametrize("station", [0, 1])
@pytest.mark.parametrize("how", ["pause", "suspend"])
def test_a_copy_stands_still_with_either_of_its_processes(station: int, how: str) -> None:
    net, begin = copying()
    getattr(net.cluster, how)(station, 5.0)
    assert end_s(net) == pytest.approx(begin + ALONE_S + 5.0, abs=0.1)
    assert net.of(0, "fetched") == [7]


def test_a_copy_behind_a_cut_breaks_when_its_taker_has_waited_for_long() -> None:
    net, begin = copying(2)
    net.cut(0, 1)
    assert end_s(net) == pytest.approx(begin + ALONE_S + STALL_LIMIT_S, abs=0.1), "the other gives the rest"
    assert net.of(0, "fetched") == [7]


def test_the_wait_for_a_copy_begins_anew_when_it_went_on() -> None:
    net, begin = copying()
    for _ in range(2):
        net.cut(0, 1)
        net.pass_time(STALL_LIMIT_S - 1.0)
        net.mend(0, 1)
        net.pass_time(0.25)
    assert end_s(net) == pytest.approx(begin + ALONE_S + 2 * (STALL_LIMIT_S - 1.0), abs=0.1)
    assert net.of(0, "fetched") == [7]


def test_a_taker_that_sleeps_for_long_does_not_blame_the_holder() -> None:
    net, _begin = copying()
    net.cluster.suspend(0, 3 * STALL_LIMIT_S)
    end_s(net, 100.0)
    assert net.of(0, "fetched") == [7]


def test_the_death_of_a_holder_behind_a_cut_is_found_by_waiting() -> None:
    net, begin = copying()
    net.cut(0, 1)
    net.pass_time(2.0)
    net.crash(1)
    assert end_s(net) == pytest.approx(begin + 1.0 + STALL_LIMIT_S, abs=0.1)
    assert net.of(0, "missing") == [(7, [1])]


def test_a_copy_that_stands_still_leaves_its_share_to_others() -> None:
    net = SimulatedTransport(3)
    begin = net.now()
    for holder in (1, 2):
        net.store(holder, holder, "object", SIZE)
        net.fetch(0, holder, "object", SIZE, [holder])
    net.cut(0, 1)
    assert end_s(net) == pytest.approx(begin + ALONE_S, abs=0.1), "alone on the way"
    assert net.of(0, "fetched") == [2]

"""The room of unproven connections: strangers displace their own, never the newcomer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from swarm.net import handshakes as module
from swarm.net.handshakes import COUNT_MAX, SOURCE_COUNT_MAX, Handshake, Handshakes, source_of


def in_trio(test: Callable[[], None]) -> None:
    async def main() -> None:
        test()

    trio.run(main, clock=trio.testing.MockClock())


def test_one_source_displaces_its_own_oldest() -> None:
    def test() -> None:
        room = Handshakes()
        member = room.enter("10.0.0.2")
        strangers = [room.enter("10.0.0.66") for _ in range(300)]
        assert len(room) == SOURCE_COUNT_MAX + 1
        assert [one.is_dropped for one in strangers] == [True] * (300 - SOURCE_COUNT_MAX) + [
            False
        ] * SOURCE_COUNT_MAX
        assert all(one.scope.cancel_called == one.is_dropped for one in strangers)
        assert not member.is_dropped
        assert not room.enter("10.0.0.3").is_dropped

    in_trio(test)


def test_a_full_room_drops_from_the_source_that_has_most() -> None:
    def test() -> None:
        room = Handshakes()
        members = [room.enter(f"10.0.1.{number}") for number in range(20)]
        strangers = [room.enter(f"10.0.0.{number % 4}") for number in range(400)]
        assert len(room) == COUNT_MAX
        assert not [one for one in members if one.is_dropped]
        newcomer = room.enter("10.0.2.1")
        assert not newcomer.is_dropped
        assert strangers[-1].is_dropped is False
        assert len(room) == COUNT_MAX

    in_trio(test)


def test_under_pressure_there_is_less_time() -> None:
    def test() -> None:
        room = Handshakes()
        entered = [room.enter(f"10.0.{number}.1") for number in range(COUNT_MAX // 2 + 1)]
        assert entered[0].scope.deadline - trio.current_time() == module.TIMEOUT_S
        assert entered[-1].scope.deadline - trio.current_time() == module.HURRIED_TIMEOUT_S

    in_trio(test)


def test_who_is_through_leaves_room() -> None:
    def test() -> None:
        room = Handshakes()
        for _ in range(1000):
            one: Handshake = room.enter("10.0.0.1")
            room.leave(one)
            room.leave(one)
        assert len(room) == 0

    in_trio(test)


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("odd", "odd"),
    ],
)
def test_what_counts_as_one_source(host: str, source: str) -> None:
    assert source_of(host) == source

"""What nodes rely on, asked of real sockets and of the simulated network alike (a verified fake).

Real is the daemon's transport between network namespaces; where none can be made, over loopback, without the
tests that cut networks. A difference is a fault of the simulator, or stands in docs/SIMULATION.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from sims.network import NetworkConfig
from tests.netns.lab import Lab, skipped_for, why_not
from tests.transport.networks import REFUSED, SILENT, Transport, payload_digests
from tests.transport.real import RealTransport
from tests.transport.simulated import SimulatedTransport

REAL_MARKS = [pytest.mark.integration, pytest.mark.netns]
WHY_NO_LAB = why_not("nft")
everywhere = pytest.mark.parametrize("kind", ["simulated", pytest.param("real", marks=REAL_MARKS)])
on_networks = pytest.mark.parametrize(
    "kind", ["simulated", pytest.param("real", marks=[*REAL_MARKS, skipped_for(WHY_NO_LAB)])]
)
"""Needs hosts that can be cut off, and hellos."""

DATAGRAM_PAYLOAD_MAX = 65507 - 40
"""What UDP carries, without the seal."""

Make: TypeAlias = Callable[[int], Transport]


@pytest.fixture
def make(kind: str, tmp_path: Path) -> Iterator[Make]:
    """Give a maker of transports with a number of stations."""
    made: list[Transport] = []
    labs: list[Lab] = []

    def maker(count: int) -> Transport:
        if kind == "simulated":
            made.append(SimulatedTransport(count))
        elif WHY_NO_LAB:
            made.append(RealTransport(count, tmp_path, None))
        else:
            labs.append(Lab())
            made.append(RealTransport(count, tmp_path, labs[0]))
        return made[-1]

    try:
        yield maker
        for transport in made:
            transport.close()
    finally:
        for lab in labs:
            lab.close()


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def connect(net: Transport, one: int, other: int) -> None:
    """Let a stream between two stations carry a message each way."""
    net.send_messages(one, other, ["hello"], 10)
    net.wait(lambda: net.of(other, "message", one))
    net.send_messages(other, one, ["hello"], 10)
    net.wait(lambda: net.of(one, "message", other))


# Datagrams


@everywhere
@pytest.mark.parametrize("size", [1, 1400, DATAGRAM_PAYLOAD_MAX])
def test_a_datagram_arrives_whole_from_its_sender(make: Make, size: int) -> None:
    """An empty one never reaches a node: it is a beacon of the keyring."""
    net = make(3)
    net.send_packets(0, 1, ["a"], size)
    net.wait(lambda: net.of(1, "packet"))
    assert net.of(1, "packet", 0) == payload_digests(["a"], size)
    assert net.of(0, "packet") == net.of(2, "packet") == []


@everywhere
def test_a_datagram_that_is_too_large_is_dropped_where_it_is_sent(make: Make) -> None:
    net = make(2)
    net.send_packets(0, 1, ["large"], DATAGRAM_PAYLOAD_MAX + 1)
    net.send_packets(0, 1, ["small"], 10)
    net.wait(lambda: net.of(1, "packet"))
    net.pass_time(0.1)
    assert net.of(1, "packet", 0) == payload_digests(["small"], 10)
    assert net.heard[0] == []


@everywhere
def test_a_datagram_to_a_process_that_ended_comes_back_as_refused(make: Make) -> None:
    net = make(2)
    net.crash(1)
    net.send_packets(0, 1, ["a"], 100)
    net.wait(lambda: net.of(0, "refused"))
    assert net.of(0, "refused", 1) == [""]


@on_networks
def test_refusals_are_a_few_at_first_and_one_a_second_then(make: Make) -> None:
    """A host limits what it says about its closed ports (Linux: icmp_ratelimit)."""
    net = make(2)
    net.crash(1)
    for burst in range(30):
        net.send_packets(0, 1, [f"a{burst}"], 100)
        net.pass_time(0.002)
    net.pass_time(0.3)
    assert len(net.of(0, "refused", 1)) == 6
    net.pass_time(1.1)
    for burst in range(10):
        net.send_packets(0, 1, [f"b{burst}"], 100)
        net.pass_time(0.002)
    net.pass_time(0.3)
    assert len(net.of(0, "refused", 1)) == 7


@on_networks
def test_a_datagram_to_a_host_without_power_is_lost_in_silence(make: Make) -> None:
    net = make(2)
    net.send_packets(0, 1, ["before"], 10)
    net.wait(lambda: net.of(1, "packet"))
    net.darken(1)
    net.send_packets(0, 1, numbers(5), 100)
    net.pass_time(0.5)
    assert net.heard[0] == []


@on_networks
def test_a_cut_loses_datagrams_both_ways_and_nobody_is_told(make: Make) -> None:
    net = make(3)
    net.cut(0, 1)
    net.send_packets(0, 1, ["lost"], 10)
    net.send_packets(1, 0, ["lost"], 10)
    net.send_packets(2, 1, ["past it"], 10)
    net.wait(lambda: net.of(1, "packet"))
    net.pass_time(0.2)
    assert net.of(1, "packet", 2) == payload_digests(["past it"], 10)
    assert net.heard[0] == []
    net.mend(0, 1)
    net.send_packets(0, 1, ["again"], 10)
    net.wait(lambda: net.of(1, "packet", 0))
    assert net.of(1, "packet", 0) == payload_digests(["again"], 10)


@on_networks
def test_a_hello_reaches_everybody_near_by_once_and_not_its_sender(make: Make) -> None:
    net = make(4)
    net.deafen(3)
    net.send_hello(0, "hello", 200)
    net.wait(lambda: net.of(1, "packet") and net.of(2, "packet"))
    net.pass_time(0.2)
    assert [net.of(station, "packet") for station in range(4)] == [
        [],
        payload_digests(["hello"], 200),
        payload_digests(["hello"], 200),
        [],
    ]


@on_networks
def test_a_hello_says_who_may_be_answered_and_the_deaf_hear_what_is_meant_for_them(make: Make) -> None:
    net = make(2)
    net.deafen(0)
    net.send_hello(0, "hello", 20)
    net.wait(lambda: net.of(1, "packet", 0))
    net.send_packets(1, 0, ["answer"], 20)
    net.wait(lambda: net.of(0, "packet", 1))


@on_networks
def test_a_hello_is_refused_by_nobody(make: Make) -> None:
    net = make(3)
    net.crash(1)
    net.send_hello(0, "hello", 20)
    net.wait(lambda: net.of(2, "packet", 0))
    net.pass_time(0.3)
    assert net.heard[0] == []


@on_networks
def test_a_process_that_stands_still_finds_its_datagrams_and_messages_later(make: Make) -> None:
    net = make(2)
    connect(net, 0, 1)
    began = net.now()
    net.pause(1, 1.0)
    net.send_packets(0, 1, numbers(20), 100)
    net.send_messages(0, 1, numbers(20), 100)
    net.wait(lambda: len(net.of(1, "packet")) == 20 and len(net.of(1, "message", 0)) == 21)
    assert set(net.of(1, "packet", 0)) == set(payload_digests(numbers(20), 100))
    assert min([heard.at for heard in net.heard[1] if heard.what == "packet"]) > began + 0.9


# Streams


@everywhere
def test_messages_arrive_whole_in_order_and_once(make: Make) -> None:
    net = make(2)
    net.send_messages(0, 1, numbers(50), 0)
    net.send_messages(0, 1, numbers(500), 3000)
    net.wait(lambda: len(net.of(1, "message")) == 550)
    net.pass_time(0.1)
    assert net.of(1, "message", 0) == payload_digests(numbers(50), 0) + payload_digests(numbers(500), 3000)
    assert net.heard[0] == []


@everywhere
def test_each_pair_keeps_its_order_while_all_send_to_all(make: Make) -> None:
    """Also where both ends open a stream to each other at once."""
    net = make(3)
    pairs = [(one, other) for one in range(3) for other in range(3) if one != other]
    for step in range(5):
        for source, target in pairs:
            net.send_messages(source, target, [f"{source} {target} {step} {at}" for at in range(20)], 400)
    net.wait(lambda: all(len(net.of(station, "message")) == 200 for station in range(3)))
    for source, target in pairs:
        sent = [f"{source} {target} {step} {at}" for step in range(5) for at in range(20)]
        assert net.of(target, "message", source) == payload_digests(sent, 400)
    assert [net.of(station, "lost") for station in range(3)] == [[], [], []]


@everywhere
def test_a_large_message_travels_between_small_ones(make: Make) -> None:
    net = make(2)
    net.send_messages(0, 1, ["before"], 10)
    net.send_messages(0, 1, ["large"], 16 * 1024 * 1024)
    net.send_messages(0, 1, ["after"], 10)
    net.wait(lambda: len(net.of(1, "message")) == 3, 20.0)
    assert net.of(1, "message", 0) == (
        payload_digests(["before"], 10)
        + payload_digests(["large"], 16 * 1024 * 1024)
        + payload_digests(["after"], 10)
    )


@everywhere
def test_messages_to_a_process_that_is_gone_are_one_loss_that_proves_it(make: Make) -> None:
    net = make(2)
    net.crash(1)
    net.send_messages(0, 1, numbers(3), 100)
    net.wait(lambda: net.of(0, "lost"))
    net.pass_time(0.3)
    assert net.of(0, "lost", 1) == [REFUSED]
    net.send_messages(0, 1, ["again"], 100)
    net.wait(lambda: len(net.of(0, "lost")) == 2)
    assert net.of(0, "lost", 1) == [REFUSED, REFUSED]


@everywhere
def test_a_message_to_nowhere_is_a_loss_that_proves_nothing(make: Make) -> None:
    net = make(2)
    net.send_message_without_address(0, 1)
    net.wait(lambda: net.of(0, "lost"))
    assert net.of(0, "lost", 1) == [SILENT]
    assert net.heard[1] == []


@everywhere
def test_a_message_needs_no_address_while_a_stream_is_open(make: Make) -> None:
    net = make(2)
    connect(net, 0, 1)
    net.send_message_without_address(0, 1)
    net.wait(lambda: len(net.of(1, "message")) == 2 or isinstance(net, SimulatedTransport))
    net.pass_time(0.1)
    assert net.of(0, "lost") == []


@everywhere
@pytest.mark.parametrize("how", ["crash", "stop"])
def test_the_end_of_a_process_ends_its_streams_behind_what_it_said(make: Make, how: str) -> None:
    """A crash proves that the process is gone; a goodbye does not ask for such a conclusion."""
    net = make(3)
    connect(net, 0, 1)
    connect(net, 0, 2)
    net.send_messages(1, 0, numbers(20), 1000)
    net.wait(lambda: len(net.of(0, "message", 1)) >= 2)
    net.crash(1) if how == "crash" else net.stop(1)
    net.wait(lambda: net.of(0, "lost"))
    net.pass_time(0.3)
    assert net.of(0, "lost") == net.of(0, "lost", 1) == [REFUSED if how == "crash" else SILENT]
    about = [heard.what for heard in net.heard[0] if heard.other == 1]
    assert about.index("lost") == len(about) - 1, "nothing of a stream comes after its end"
    heard = net.of(0, "message", 1)[1:]
    assert heard == payload_digests(numbers(20), 1000)[: len(heard)]
    net.send_messages(0, 1, ["gone"], 10)
    net.wait(lambda: len(net.of(0, "lost", 1)) == 2)
    assert net.of(0, "lost", 1)[1] == REFUSED


@everywhere
def test_a_process_that_is_back_takes_messages_again(make: Make) -> None:
    net = make(2)
    connect(net, 0, 1)
    net.crash(1)
    net.wait(lambda: net.of(0, "lost"))
    net.start(1)
    net.send_messages(0, 1, ["again"], 10)
    net.wait(lambda: payload_digests(["again"], 10)[0] in net.of(1, "message", 0))
    assert net.of(0, "lost") == [REFUSED]


@on_networks
def test_a_new_process_that_opens_a_stream_ends_the_old_one(make: Make) -> None:
    """The cut keeps the end of the first process from being heard."""
    net = make(2)
    connect(net, 0, 1)
    net.cut(0, 1)
    net.crash(1)
    net.start(1)
    net.mend(0, 1)
    net.send_messages(1, 0, ["from the second life"], 10)
    net.wait(lambda: len(net.of(0, "message", 1)) == 2)
    assert net.of(0, "lost", 1) in ([SILENT], [REFUSED])
    about = [heard.what for heard in net.heard[0]]
    assert about == ["message", "lost", "message"]


@on_networks
def test_a_short_cut_delays_messages(make: Make) -> None:
    net = make(2)
    connect(net, 0, 1)
    net.cut(0, 1)
    net.send_messages(0, 1, numbers(3), 100)
    net.pass_time(1.0)
    assert len(net.of(1, "message", 0)) == 1
    net.mend(0, 1)
    net.wait(lambda: len(net.of(1, "message", 0)) == 4)
    assert net.of(1, "message", 0)[1:] == payload_digests(numbers(3), 100)
    assert net.heard[0][1:] == []


@on_networks
def test_a_long_cut_and_a_loss_of_power_break_streams_in_time(make: Make) -> None:
    """What waits for an answer breaks after about 15 s; what is idle is asked then, and breaks 5 s later.

    An end that does not know yet and goes on is reset, which does not prove that the other process is gone.
    """
    net = make(8)
    for one in (0, 2, 4, 6):
        connect(net, one, one + 1)
    for one in (0, 2, 6):
        net.cut(one, one + 1)
    net.darken(5)
    began = net.now()
    net.send_messages(0, 1, ["stuck"], 100)
    net.send_messages(6, 7, ["stuck"], 100)
    net.pass_time(12.0)
    assert [net.of(station, "lost") for station in range(8)] == [[]] * 8
    net.wait(lambda: net.of(6, "lost"), 5.0)
    # On a slow machine it may have been idle for so long before the cut that it knows, and would dial.
    if not net.of(7, "lost"):
        net.send_messages(7, 6, ["into nothing"], 100)
    net.pass_time(1.0)  # it is written before the cut heals: afterwards the end may first learn of the loss
    net.mend(6, 7)
    told = [0, 1, 2, 3, 4, 6, 7]
    net.wait(lambda: all(net.of(station, "lost") for station in told), 10.0)
    assert [net.of(station, "lost") for station in told] == [[SILENT]] * 7
    waited = [heard.at - began for station in told for heard in net.heard[station] if heard.what == "lost"]
    assert 13.0 < waited[0] < 16.0
    assert max(waited) < 23.0
    assert len(net.of(1, "message", 0)) == len(net.of(6, "message", 7)) == 1, "what was stuck is lost"
    net.mend(0, 1)
    net.send_messages(0, 1, ["later"], 100)
    net.send_messages(7, 6, ["later"], 100)
    net.wait(lambda: len(net.of(1, "message", 0)) == 2 and len(net.of(6, "message", 7)) == 2)


@on_networks
def test_a_stream_into_nowhere_is_given_up_in_five_seconds_and_opens_when_the_way_is_back(make: Make) -> None:
    net = make(3)
    net.cut(0, 1)
    began = net.now()
    net.send_messages(0, 1, numbers(3), 10)
    net.wait(lambda: net.of(0, "lost"))
    assert 4.0 < net.now() - began < 7.0
    assert net.of(0, "lost", 1) == [SILENT]
    net.send_messages(0, 1, ["in time"], 10)
    net.pass_time(0.5)
    net.mend(0, 1)
    net.wait(lambda: net.of(1, "message"))
    assert net.of(1, "message", 0) == payload_digests(["in time"], 10)
    assert net.of(0, "lost", 1) == [SILENT]


# Objects


@everywhere
def test_an_object_is_copied_whole(make: Make) -> None:
    net = make(2)
    for task, size in enumerate((0, 1, 5_000_000)):
        net.store(1, task, "object", size)
        net.fetch(0, task, "object", size, [1])
    net.wait(lambda: len(net.of(0, "fetched")) == 3)
    assert sorted(map(str, net.of(0, "fetched"))) == ["0", "1", "2"]


@everywhere
def test_an_object_is_looked_for_at_one_holder_after_the_other(make: Make) -> None:
    net = make(4)
    net.crash(1)
    net.store(2, 7, "another version", 1000)
    net.store(3, 7, "object", 1000)
    net.fetch(0, 7, "object", 1000, [1, 2, 3])
    net.wait(lambda: net.heard[0])
    assert net.of(0, "fetched") == [7]


@everywhere
def test_an_object_that_nobody_gives_is_missing_and_all_are_blamed(make: Make) -> None:
    net = make(4)
    net.crash(1)
    net.store(2, 7, "another version", 1000)
    net.fetch(0, 7, "object", 1000, [1, 2, 3])
    net.wait(lambda: net.heard[0])
    assert net.of(0, "missing") == [(7, [1, 2, 3])]


@everywhere
def test_an_object_that_is_here_is_not_copied_again(make: Make) -> None:
    net = make(2)
    net.store(0, 7, "object", 1000)
    net.fetch(0, 7, "object", 1000, [])
    net.wait(lambda: net.heard[0])
    assert net.of(0, "fetched") == [7]


@everywhere
def test_a_copy_goes_on_at_another_holder_when_one_dies_in_the_middle(make: Make) -> None:
    net = make(3)
    size = 64 * 1024 * 1024
    net.store(1, 7, "object", size)
    net.store(2, 7, "object", size)
    net.fetch(0, 7, "object", size, [1, 2])
    net.wait(lambda: net.fetched_bytes(0, 7))
    net.crash(1)
    net.wait(lambda: net.heard[0], 20.0)
    assert net.of(0, "fetched") == [7]


@on_networks
def test_a_copy_whose_way_is_cut_for_a_second_ends_whole(make: Make) -> None:
    net = make(2)
    size = 64 * 1024 * 1024
    net.store(1, 7, "object", size)
    net.fetch(0, 7, "object", size, [1])
    net.wait(lambda: net.fetched_bytes(0, 7))
    net.cut(0, 1)
    net.pass_time(1.0)
    assert not net.heard[0], "nothing comes through a cut"
    net.mend(0, 1)
    net.wait(lambda: net.heard[0], 20.0)
    assert net.of(0, "fetched") == [7]


# Where the networks differ


def test_damaged_datagrams_are_dropped_by_the_simulated_network_as_by_the_seal() -> None:
    net = SimulatedTransport(2, NetworkConfig(corrupt=0.5))
    net.send_packets(0, 1, numbers(200), 50)
    net.pass_time(1.0)
    heard = net.of(1, "packet", 0)
    assert 60 < len(heard) < 140
    assert set(heard) <= set(payload_digests(numbers(200), 50))


@pytest.mark.integration
def test_damaged_and_repeated_datagrams_are_dropped_by_the_seal(tmp_path: Path) -> None:
    net = RealTransport(2, tmp_path, None)
    try:
        net.send_raw(0, 1, bytes(100))
        net.send_raw(0, 1, b"")
        net.send_packets(0, 1, ["good"], 50)
        net.wait(lambda: net.of(1, "packet"))
        net.pass_time(0.1)
        assert net.of(1, "packet", 0) == payload_digests(["good"], 50)
    finally:
        net.close()


def test_only_the_simulated_network_doubles_datagrams_and_only_where_told_to() -> None:
    """The seal takes a datagram once; simulated nodes have to bear more than real ones."""
    net = SimulatedTransport(2, NetworkConfig(duplicate=0.5))
    net.send_packets(0, 1, numbers(200), 50)
    net.pass_time(1.0)
    assert 260 < len(net.of(1, "packet", 0)) < 340
    assert set(net.of(1, "packet", 0)) == set(payload_digests(numbers(200), 50))

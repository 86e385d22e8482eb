"""Pairing over real sockets: the right code lets a device in, and nothing else does or learns anything."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from swarm.core.errors import ConnectFailed, LocalProtocolError, RemoteProtocolError
from swarm.core.ids import Address, short
from swarm.daemon.admission import ANSWER_COUNT_MAX, CALLER_COUNT_MAX, SPENT_COUNT_MAX, Admission
from swarm.daemon.logs import Log
from swarm.daemon.mesh_file import NotAllowed
from swarm.daemon.waiting import Waiting
from swarm.net.identity import NodeKey
from swarm.net.invitation import Invitation, new_secret
from swarm.net.pairing import PROOF_SIZE, Call, Channel, Code, WrongCode, here_datagram, new_nonce
from tests.integration.mesh_sockets import until

SECRET = new_secret()


def in_trio(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Let a test be a function that pytest can call."""

    @functools.wraps(test)
    def run() -> None:
        trio.run(test)

    return run


class Member:
    """An admission, and what it did."""

    def __init__(self) -> None:
        self.admitted: list[bytes] = []
        self.answers: list[tuple[Address, bytes]] = []
        self.key = NodeKey.generate()
        self.admission = Admission(
            self.key,
            lambda: Invitation(SECRET, None, "home", [("10.0.0.1", 7117)], 2),
            self.admitted.append,
            lambda address, datagram: self.answers.append((address, datagram)),
            Log(None),
        )

    def hear(self, device: Device, host: str = "127.0.0.1") -> None:
        self.admission.on_datagram(
            Call(device.code.plate, device.address[1], device.name, new_nonce()).to_datagram(), (host, 5)
        )


class Device:
    """A device that waits on loopback."""

    def __init__(self, name: str = "phone") -> None:
        self.name = name
        self.key = NodeKey.generate()
        self.node_id = self.key.node_id
        self.codes: list[Code] = []
        self.complaints: list[str] = []
        self.places: list[Address] = []
        self.invitation: Invitation | None = None
        self.waiting = Waiting(
            self.key,
            name,
            self.show,
            self.complaints.append,
            port=0,
            listen="127.0.0.1",
            use_multicast=False,
        )

    def show(self, code: Code, addresses: list[Address]) -> None:
        self.codes.append(code)
        self.places = addresses

    @property
    def code(self) -> Code:
        return self.codes[-1]

    @property
    def address(self) -> Address:
        return self.places[0]

    async def run(self) -> None:
        self.invitation = await self.waiting.wait(30.0)


@asynccontextmanager
async def devices(count: int = 1) -> AsyncIterator[list[Device]]:
    made = [Device(f"phone{number}") for number in range(count)]
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for device in made:
                nursery.start_soon(device.run)
            await until(lambda: all(device.codes for device in made))
            yield made
            nursery.cancel_scope.cancel()


def other_than(code: Code) -> Code:
    return Code(code.plate, f"{(int(code.password) + 1) % 10**6:06d}")


@in_trio
async def test_the_right_code_lets_a_device_in() -> None:
    member = Member()
    async with devices() as [device]:
        found = await member.admission.admit(device.code, device.address)
        await until(lambda: device.invitation is not None)
    assert device.invitation == Invitation(SECRET, None, "home", [("10.0.0.1", 7117)], 2)
    assert member.admitted == [device.node_id]
    assert device.waiting.member == member.key.node_id
    assert found == {
        "id": short(device.node_id),
        "name": "phone0",
        "mesh": "home",
        "host": "127.0.0.1",
        "port": device.address[1],
    }


@in_trio
async def test_a_code_is_good_for_one_attempt_on_either_side() -> None:
    member = Member()
    async with devices() as [device]:
        device.waiting._pause_s = 0.001
        first = device.code
        wrong = other_than(first)
        with pytest.raises(WrongCode, match="has another code"):
            await member.admission.admit(wrong, device.address)
        await until(lambda: len(device.codes) == 2)
        assert "wrong code" in device.complaints[0]
        assert device.code.to_text() != first.to_text()
        with pytest.raises(LocalProtocolError, match="tried before"):
            await member.admission.admit(wrong, device.address)
        with pytest.raises(WrongCode):
            await member.admission.admit(first, device.address)
        await until(lambda: len(device.codes) == 3)
        assert device.invitation is None
        assert member.admitted == []
        await member.admission.admit(device.code, device.address)
        await until(lambda: device.invitation is not None)
    assert member.admission.statistics()["wrong_codes"] == 2


@in_trio
async def test_guesses_become_slower_and_slower() -> None:
    """Seven guesses one after the other: each pause is twice as long, and each is for a new code."""
    async with devices() as [device]:
        device.waiting._pause_s = 0.002
        at: list[float] = []
        for tries in range(1, 8):
            with pytest.raises(WrongCode):
                await Member().admission.admit(other_than(device.code), device.address)
            at.append(trio.current_time())
            await until(lambda tries=tries: len(device.complaints) == tries)
        assert at[-1] - at[0] >= 0.002 * (2**6 - 1)
        assert len({code.to_text() for code in device.codes}) == len(device.codes) == 8


@in_trio
async def test_of_several_devices_with_one_plate_a_person_has_to_choose() -> None:
    """Else somebody could call beside each device and get every code that is typed."""
    member = Member()
    async with devices(3) as made:
        for device in made:
            device.waiting._code = Code(7 if device in made[:2] else 8, device.code.password)
            device.codes.append(device.waiting._code)
            member.hear(device)
        assert [row["plate"] for row in member.admission.waiting()].count("07") == 2
        meant = made[1]
        with pytest.raises(LocalProtocolError, match="several devices whose code begins with 07") as caught:
            await member.admission.admit(meant.code, None)
        assert "'phone0'" in str(caught.value)
        assert "'phone1'" in str(caught.value)
        found = await member.admission.admit(meant.code, meant.address)
        assert found["name"] == meant.name
        await until(lambda: meant.invitation is not None)
        found = await member.admission.admit(made[2].code, None)
        assert found["name"] == made[2].name
        assert made[0].invitation is None
        assert [device.complaints for device in made] == [[], [], []]


@in_trio
async def test_nobody_with_that_plate_is_said_so() -> None:
    with pytest.raises(LocalProtocolError, match="begins with 42 calls nearby"):
        await Member().admission.admit(Code.from_text("42-000-000"), None, timeout_s=0.0)


@in_trio
async def test_a_device_that_is_not_there_is_said_so() -> None:
    with pytest.raises(ConnectFailed, match="cannot be reached"):
        await Member().admission.admit(Code.from_text("42-000-000"), ("127.0.0.1", 1))


@in_trio
async def test_a_wait_ends_and_its_code_with_it() -> None:
    device = Device()
    with pytest.raises(NotAllowed, match="nobody admitted this device"):
        await device.waiting.wait(0.05)
    with pytest.raises(ConnectFailed, match="cannot be reached"):
        await Member().admission.admit(device.code, device.address)


@in_trio
async def test_who_guesses_learns_nothing_and_is_counted() -> None:
    """An attacker that plays the member: without the proof it gets one point of a curve and no more."""
    async with devices() as [device]:
        device.waiting._pause_s = 0.001
        for gives_proof in (False, True):
            async with await trio.open_tcp_stream(*device.address) as stream:
                channel = Channel(stream, other_than(device.code), is_member=True)
                await channel.agree()
                if gives_proof:
                    await channel.send(os.urandom(PROOF_SIZE))
                    assert await channel.receive() == b"wrong"
                    with pytest.raises(RemoteProtocolError, match="hung up"):
                        await channel.receive()
        await until(lambda: len(device.complaints) == 1)
        assert device.invitation is None


@in_trio
async def test_who_takes_the_place_of_a_device_gets_one_guess_for_each_code() -> None:
    """It hangs up as soon as it has the proof, hoping for the same code again."""
    member = Member()
    code = Code.from_text("42-000-000")
    guesses: list[bool] = []

    async def guess(stream: trio.SocketStream) -> None:
        channel = Channel(stream, other_than(code), is_member=False)
        await channel.agree()
        guesses.append(channel.is_proof(await channel.receive()))
        await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(functools.partial(trio.serve_tcp, guess, 0, host="127.0.0.1"))
        place: Address = listeners[0].socket.getsockname()[:2]
        with pytest.raises(RemoteProtocolError, match="was not admitted: the other side hung up"):
            await member.admission.admit(code, place)
        for _ in range(3):
            with pytest.raises(LocalProtocolError, match="tried before"):
                await member.admission.admit(code, place)
        nursery.cancel_scope.cancel()
    assert guesses == [False]
    assert member.admitted == []
    for number in range(2 * SPENT_COUNT_MAX):
        member.admission._spend(Code(1, f"{number:06d}"))
    assert len(member.admission._spent) == SPENT_COUNT_MAX


@in_trio
async def test_an_identity_has_to_be_proven_in_this_attempt() -> None:
    """Even who knows the code cannot pass for a node whose key it has not."""
    member = Member()
    async with devices() as [device], trio.open_nursery() as nursery:
        someone = NodeKey.generate()
        recorded: list[list[object]] = []

        async def pose(stream: trio.SocketStream) -> None:
            channel = Channel(stream, Code.from_text("42-000-000"), is_member=False)
            await channel.agree()
            assert channel.is_proof(await channel.receive())
            public_key = someone.private_key.public_key().public_bytes_raw()
            recorded.append(channel.identify(someone))
            forged = NodeKey.generate().private_key.sign(b"anything")
            await channel.send_sealed([public_key, forged, "phone"])
            with contextlib.suppress(RemoteProtocolError):
                await channel.receive()
            await trio.aclose_forcefully(stream)

        listeners = await nursery.start(functools.partial(trio.serve_tcp, pose, 0, host="127.0.0.1"))
        place: Address = listeners[0].socket.getsockname()[:2]
        with pytest.raises(RemoteProtocolError, match="does not hold the key of its identity"):
            await member.admission.admit(Code.from_text("42-000-000"), place)
        assert member.admitted == []
        # The other way round: a member that shows what `someone` has signed in another attempt.
        async with await trio.open_tcp_stream(*device.address) as stream:
            channel = Channel(stream, device.code, is_member=True)
            await channel.agree()
            await channel.send(channel.proof())
            assert channel.take_identity_untrusted(await channel.receive_sealed()) == device.node_id
            await channel.send_sealed([*recorded[0], Invitation(SECRET, None, "home", []).to_text()])
            with pytest.raises(RemoteProtocolError, match="hung up"):
                await channel.receive()
        await until(lambda: len(device.complaints) == 1)
        assert "had the code, but the other side does not hold the key" in device.complaints[0]
        assert device.invitation is None
        assert len(device.codes) == 2, "a code that was right once is not good for another attempt either"
        nursery.cancel_scope.cancel()


@in_trio
async def test_no_secret_leaves_before_both_sides_have_proven_the_code() -> None:
    """The member's invitation is asked for, and nothing of it is sent, until the device's proof is there."""
    member = Member()
    heard: list[bytes] = []
    code = Code.from_text("42-000-000")

    async def listen(stream: trio.SocketStream) -> None:
        channel = Channel(stream, code, is_member=False)
        await channel.agree()
        heard.append(await channel.receive())
        await channel.send(os.urandom(100))
        with contextlib.suppress(RemoteProtocolError):
            heard.append(await channel.receive())
        await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(functools.partial(trio.serve_tcp, listen, 0, host="127.0.0.1"))
        with pytest.raises(WrongCode):
            await member.admission.admit(code, listeners[0].socket.getsockname()[:2])
        await until(lambda: len(heard) >= 1)
        nursery.cancel_scope.cancel()
    assert [len(message) for message in heard] == [PROOF_SIZE], "the proof, and nothing behind it"
    assert member.admitted == []


@in_trio
async def test_a_man_in_the_middle_learns_nothing() -> None:
    """It relays everything and keeps it; then it plays both sides with a code of its own."""
    member = Member()
    seen = bytearray()

    async with devices() as [device], trio.open_nursery() as nursery:

        async def pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
            try:
                while data := await source.receive_some():
                    seen.extend(data)
                    await sink.send_all(data)
                await sink.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

        async def relay(stream: trio.SocketStream) -> None:
            onward = await trio.open_tcp_stream(*device.address)
            async with stream, onward, trio.open_nursery() as both:
                both.start_soon(pump, stream, onward)
                both.start_soon(pump, onward, stream)

        listeners = await nursery.start(functools.partial(trio.serve_tcp, relay, 0, host="127.0.0.1"))
        place: Address = listeners[0].socket.getsockname()[:2]
        await member.admission.admit(device.code, place)
        await until(lambda: device.invitation is not None)
        nursery.cancel_scope.cancel()
    assert SECRET not in seen
    assert device.node_id not in seen
    assert device.code.password.encode() not in seen
    assert b"home" not in seen


@in_trio
async def test_a_man_in_the_middle_with_another_code_is_refused_by_both() -> None:
    member = Member()
    async with devices() as [device], trio.open_nursery() as nursery:
        device.waiting._pause_s = 0.001
        outcomes: list[str] = []

        async def play_both(stream: trio.SocketStream) -> None:
            guess = other_than(device.code)
            try:
                inward = Channel(stream, guess, is_member=False)
                await inward.agree()
                outcomes.append("matches" if inward.is_proof(await inward.receive()) else "member differs")
                async with await trio.open_tcp_stream(*device.address) as onward:
                    outward = Channel(onward, guess, is_member=True)
                    await outward.agree()
                    await outward.send(outward.proof())
                    outcomes.append((await outward.receive()).decode())
                await inward.send(os.urandom(50))
            finally:
                await trio.aclose_forcefully(stream)

        listeners = await nursery.start(functools.partial(trio.serve_tcp, play_both, 0, host="127.0.0.1"))
        place: Address = listeners[0].socket.getsockname()[:2]
        with pytest.raises(WrongCode):
            await member.admission.admit(device.code, place)
        await until(lambda: len(device.complaints) == 1)
        nursery.cancel_scope.cancel()
    assert outcomes == ["member differs", "wrong"]
    assert device.invitation is None
    assert member.admitted == []


@in_trio
async def test_garbage_and_silence_do_not_end_a_wait() -> None:
    member = Member()
    async with devices() as [device]:
        for garbage in (b"", b"\xff" * 5000, b"\0\x21B" + bytes(32), b"\0\x21A" + b"\xff" * 32, b"\0\0"):
            async with await trio.open_tcp_stream(*device.address) as stream:
                with contextlib.suppress(trio.BrokenResourceError):  # it may hang up early
                    await stream.send_all(garbage or b"\0")
                    await stream.send_eof()
                    await stream.receive_some()
        silent = [await trio.open_tcp_stream(*device.address) for _ in range(3)]
        await member.admission.admit(device.code, device.address)
        await until(lambda: device.invitation is not None)
        assert device.complaints == []
        for stream in silent:
            await trio.aclose_forcefully(stream)


@in_trio
async def test_calls_are_answered_with_less_and_not_often() -> None:
    member = Member()
    asked = 0
    for number in range(200):
        datagram = Call(1, 1000 + number, "x" * 60, new_nonce()).to_datagram()
        asked += len(datagram)
        member.admission.on_datagram(datagram, (f"10.0.{number}.1", 7118))
    assert len(member.answers) == ANSWER_COUNT_MAX
    assert all(datagram == here_datagram() for _, datagram in member.answers)
    assert len(member.admission.waiting()) == CALLER_COUNT_MAX
    counts = member.admission.statistics()
    assert counts["calls"] == 200
    assert counts["calls_ignored"] == 200 - CALLER_COUNT_MAX
    member.admission.on_datagram(b"swarmpr1" + bytes(100), ("10.0.0.1", 1))
    assert member.admission.statistics()["calls_garbage"] == 1
    assert len(member.answers) == ANSWER_COUNT_MAX

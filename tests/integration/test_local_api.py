"""The local API over its real sockets, with a scripted node behind it."""

from __future__ import annotations

import functools
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from swarm.core.errors import ConfigError, ConnectFailed, ConnectionLost, StorageError
from swarm.core.ids import NO_BALLOT
from swarm.daemon import api as api_module
from swarm.daemon.api import FIRST_SESSION, LocalApi
from swarm.daemon.api_client import CallRefused, LocalConnection, call_local
from swarm.daemon.home import Home
from swarm.daemon.standing_aside import StandIn
from swarm.wire.codec import Body, Stamp, pack_frame, unpack_frame_untrusted
from swarm.wire.messages import CLIENT_CALL, CLIENT_REPLY, CLIENT_WELCOME
from tests.daemon_bench import Bench, VirtualClock
from tests.integration.mesh_sockets import until

STAMP = Stamp(b"n" * 16, NO_BALLOT, 0)


class Desk:
    """An API in a home, its node played by the test."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self.home.create()
        self.bench = Bench(path)
        self.bench.driver._watch._clock = VirtualClock()
        self.api = LocalApi(
            self.home,
            self.bench.driver,
            {"ping": self.ping, "wrong": self.wrong, "broken": self.broken, "odd": self.odd},
            lambda: {"pid": 7},
        )

    async def ping(self, args: dict[str, object]) -> object:
        return {"echo": args}

    async def wrong(self, args: dict[str, object]) -> object:
        raise ConfigError("that is wrong")

    async def broken(self, args: dict[str, object]) -> object:
        raise StorageError("that is broken")

    async def odd(self, args: dict[str, object]) -> object:
        return {"what": object()}

    def forwarded(self) -> list[tuple[int, int, str, object]]:
        """Return (session, request, op, args) of the calls that reached the node."""
        found: list[tuple[int, int, str, object]] = []
        for call in self.bench.node.calls:
            if call[0] == "receive_client":
                session, payload = call[1], call[2]
                assert isinstance(session, int)
                assert isinstance(payload, bytes)
                frame = unpack_frame_untrusted(payload)
                assert frame.kind == CLIENT_CALL
                body = Body(frame.body)
                found.append((session, body.take_int(), body.take_text(), body.take_any()))
        return found

    async def wait_forwarded(self, count: int) -> list[tuple[int, int, str, object]]:
        await until(lambda: len(self.forwarded()) >= count)
        return self.forwarded()

    def reply(self, session: int, request: int, ok: bool, value: object) -> None:
        self.api.deliver(session, pack_frame(CLIENT_REPLY, STAMP, [request, ok, value]))


def serve(path: Path, scenario: Callable[[Desk], Awaitable[None]]) -> None:
    """Run a scenario beside a listening API."""

    async def main() -> None:
        desk = Desk(path)
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                await nursery.start(functools.partial(desk.api.run))
                await scenario(desk)
                nursery.cancel_scope.cancel()
        assert not desk.home.api_socket.exists()
        assert not desk.home.api_address.exists()
        desk.bench.journal.close()
        desk.bench.log.close()

    trio.run(main)


async def call(home: Home, op: str, args: dict[str, Any] | None = None) -> Any:
    return await trio.to_thread.run_sync(call_local, home, op, args, 5.0)


def test_the_daemons_own_operations(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        assert desk.home.api_socket.stat().st_mode & 0o777 == 0o600
        assert await call(desk.home, "ping", {"bytes": b"\x00\xff", "list": [1, b"x"]}) == {
            "echo": {"bytes": b"\x00\xff", "list": [1, b"x"]}
        }
        for op, code, message in (("wrong", 2, "that is wrong"), ("broken", 1, "that is broken")):
            with pytest.raises(CallRefused, match=message) as caught:
                await call(desk.home, op)
            assert caught.value.code == code
        with pytest.raises(CallRefused, match="no JSON"):
            await call(desk.home, "odd")
        assert desk.bench.node.calls == [], "the node hears nothing of these"

    serve(tmp_path, scenario)


def test_a_stand_in_answers_what_was_asked_before_and_after(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        early: list[object] = []

        async def ask_early() -> None:
            early.append(await call(desk.home, "status"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_early)
            await desk.wait_forwarded(1)
            ready = {"name": "a", "id": "aaaa"}
            desk.api.stand_in(StandIn(ready, "the disk is full", desk.api.deliver))
        status = await call(desk.home, "status")
        assert early == [status]
        assert (status["name"], status["node"], status["pid"]) == ("a", "aaaa", 7)
        assert (status["reason"], status["stands_aside"]) == ("stands aside: the disk is full", True)
        assert await call(desk.home, "ping") == {"echo": {}}, "the daemon's own operations go on"
        with pytest.raises(CallRefused, match=r"stands aside: the disk is full; ask another node") as caught:
            await call(desk.home, "jobs")
        assert caught.value.code == 3
        assert len(desk.forwarded()) == 1

    serve(tmp_path, scenario)


def test_a_stand_in_takes_garbage(tmp_path: Path) -> None:
    told: list[bytes] = []
    stand_in = StandIn({}, "no disk", lambda _session, payload: told.append(payload))
    stand_in.on_client_opened(1, "local")
    stand_in.receive_client(1, b"garbage")
    stand_in.receive_client(1, pack_frame(CLIENT_WELCOME, STAMP, [1, "status", {}]))
    stand_in.on_client_closed(1)
    assert told == []


def test_other_operations_go_to_the_node(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        answers: list[object] = []

        async def ask() -> None:
            answers.append(await call(desk.home, "job", {"job": "abc", "blob": b"\x01"}))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            session, request, op, args = (await desk.wait_forwarded(1))[0]
            assert session >= FIRST_SESSION
            assert desk.api.owns(session)
            assert not desk.api.owns(1)
            assert (op, args) == ("job", {"job": "abc", "blob": b"\x01"})
            desk.api.deliver(session, pack_frame(CLIENT_WELCOME, STAMP, []))
            desk.reply(session, request + 5, True, "for somebody else")
            desk.reply(session, request, True, {"data": b"\xfe"})
        assert answers == [{"data": b"\xfe"}]
        await until(lambda: desk.bench.node.calls[-1][0] == "on_client_closed")
        assert desk.bench.node.calls[0][:3] == ("on_client_opened", session, "local")
        assert desk.bench.node.calls[-1][1] == session
        desk.reply(session, request, True, "too late")

    serve(tmp_path, scenario)


def test_refusals_of_the_node(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        async def ask() -> None:
            with pytest.raises(CallRefused, match="no such job") as caught:
                await call(desk.home, "job")
            assert caught.value.code == 3
            with pytest.raises(CallRefused, match="strange"):
                await call(desk.home, "job")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            session, request, _, _ = (await desk.wait_forwarded(1))[0]
            desk.reply(session, request, False, {"code": 3, "message": "no such job"})
            session, request, _, _ = (await desk.wait_forwarded(2))[1]
            desk.reply(session, request, False, "strange")

    serve(tmp_path, scenario)


def test_the_daemon_adds_to_the_status(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        answers: list[object] = []

        async def ask() -> None:
            answers.append(await call(desk.home, "status"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            session, request, _, _ = (await desk.wait_forwarded(1))[0]
            desk.reply(session, request, True, {"name": "n"})
        assert answers == [{"name": "n", "pid": 7}]

    serve(tmp_path, scenario)


def raw(home: Home, data: bytes) -> list[dict[str, Any]]:
    """Send bytes, close that direction, and return the answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(home.api_socket))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return [json.loads(line) for line in received.splitlines()]


def test_lines_as_other_languages_send_them(tmp_path: Path) -> None:
    async def scenario(desk: Desk) -> None:
        data = b'{"id": "x", "op": "ping"}\r\n\n{"id": [1], "op": "ping", "args": null}\n'
        answers = await trio.to_thread.run_sync(raw, desk.home, data)
        assert sorted(answers, key=str) == [
            {"id": "x", "ok": True, "value": {"echo": {}}},
            {"id": [1], "ok": True, "value": {"echo": {}}},
        ]

    serve(tmp_path, scenario)


@pytest.mark.parametrize(
    "line",
    [
        b"hello",
        b"[]",
        b'{"id": 1}',
        b'{"id": 1, "op": 5}',
        b'{"id": 1, "op": "ping", "args": [1]}',
        b'{"id": 1, "op": "ping", "args": {"x": {"base64": "%%%"}}}',
        b'{"id": 1, "op": "job", "args": {"x": 123456789012345678901234567890}}',
        b"\xff\xfe",
    ],
)
def test_bad_requests_are_answered(tmp_path: Path, line: bytes) -> None:
    async def scenario(desk: Desk) -> None:
        answers = await trio.to_thread.run_sync(raw, desk.home, line + b'\n{"id": 2, "op": "ping"}\n')
        assert len(answers) == 2
        bad = next(answer for answer in answers if answer["id"] != 2)
        assert not bad["ok"]
        assert bad["error"]["code"] == 2
        assert "bad request" in bad["error"]["message"]

    serve(tmp_path, scenario)


def test_a_line_without_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "LINE_SIZE_MAX", 10_000)

    async def scenario(desk: Desk) -> None:
        answers = await trio.to_thread.run_sync(raw, desk.home, b"x" * 20_000)
        assert answers == []
        assert desk.api.statistics()["bad"] == 1

    serve(tmp_path, scenario)


def test_open_requests_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "CALLS_OPEN_MAX", 3)
    monkeypatch.setattr(api_module, "LAST_ANSWERS_S", 0.2)

    async def scenario(desk: Desk) -> None:
        lines = b"".join([b'{"id": %d, "op": "job"}\n' % number for number in range(5)])
        answers = await trio.to_thread.run_sync(raw, desk.home, lines)
        assert [answer["id"] for answer in answers] == [3, 4]
        assert all("3 requests are open" in answer["error"]["message"] for answer in answers)
        assert len(desk.forwarded()) == 3

    serve(tmp_path, scenario)


def test_connections_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "CONNECTION_COUNT_MAX", 2)

    async def scenario(desk: Desk) -> None:
        def crowd() -> None:
            held = [LocalConnection(desk.home, 5.0) for _ in range(2)]
            for connection in held:
                connection.call("ping")
            third = LocalConnection(desk.home, 5.0)
            with pytest.raises(ConnectionLost):
                third.call("ping")
            for connection in [*held, third]:
                connection.close()

        await trio.to_thread.run_sync(crowd)
        assert desk.api.statistics()["refused"] == 1

    serve(tmp_path, scenario)


def test_a_caller_that_reads_nothing_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "ANSWERS_QUEUED_MAX", 4)

    async def scenario(desk: Desk) -> None:
        def flood() -> None:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(str(desk.home.api_socket))
                line = json.dumps({"id": 1, "op": "ping", "args": {"x": "y" * 50_000}}).encode() + b"\n"
                with pytest.raises((BrokenPipeError, ConnectionResetError)):
                    connection.sendall(line * 2_000)

        await trio.to_thread.run_sync(flood)
        assert await call(desk.home, "ping") == {"echo": {}}

    serve(tmp_path, scenario)


@pytest.mark.parametrize("depth", [100, 400, 509, 900, 1000, 5000, 200_000])
def test_requests_nested_deeply(tmp_path: Path, depth: int) -> None:
    async def scenario(desk: Desk) -> None:
        def ask() -> list[dict[str, Any]]:
            nest = "[" * depth + "]" * depth
            lines = [
                '{"id": 1, "op": "ping", "args": {"a": NEST}}',
                '{"id": NEST, "op": "ping"}',
                '{"id": 3, "op": "jobs", "args": {"a": NEST}}',
                '{"id": NaN, "op": "ping"}',
                '{"id": 5, "op": "jobs", "args": {"job": "\\udcff"}}',
                '{"id": 6, "op": "ping"}',
            ]
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(str(desk.home.api_socket))
                answers = []
                for line in [lines[0], lines[1], *lines[2 if depth > 600 else 3 :]]:
                    connection.sendall(line.replace("NEST", nest).encode() + b"\n")
                    text = b""
                    while not text.endswith(b"\n"):
                        text += connection.recv(1_000_000)
                    answers.append(json.loads(text))
                return answers

        answers = await trio.to_thread.run_sync(ask)
        assert answers[0]["ok"] is (depth < 450)
        assert answers[1]["ok"] is (depth == 100)
        assert answers[-1] == {"id": 6, "ok": True, "value": {"echo": {}}}

    serve(tmp_path, scenario)


def test_loopback_with_a_token_where_the_path_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 30)

    async def scenario(desk: Desk) -> None:
        assert not desk.home.api_socket.exists()
        assert desk.home.api_address.stat().st_mode & 0o777 == 0o600
        assert await call(desk.home, "ping") == {"echo": {}}
        address = json.loads(desk.home.api_address.read_text())

        def guess(greeting: bytes) -> bytes:
            with socket.create_connection((address["host"], address["port"]), timeout=5) as connection:
                connection.sendall(greeting + b'\n{"id": 1, "op": "ping"}\n')
                try:
                    return connection.recv(1000)
                except ConnectionResetError:
                    return b""

        for greeting in (
            b"",
            b'{"token": "guess"}',
            b"[]",
            b'{"token": 5}',
            b'{"token": "\\ud800"}',
            b'{"id": 1, "op": "ping"}',
        ):
            assert await trio.to_thread.run_sync(guess, greeting) == b""
        assert desk.api.statistics()["refused"] == 6
        good = json.dumps({"token": address["token"]}).encode()
        assert b'"ok":true' in await trio.to_thread.run_sync(guess, good)

    serve(path, scenario)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(ConnectFailed, match=r"no node runs in .*; start one with `swarm join`"):
        call_local(Home(tmp_path), "ping")


def test_a_node_that_goes_away(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home.api_socket))
        listener.listen()
        silent = LocalConnection(home, 0.1)
        with pytest.raises(ConnectionLost, match="in time"):
            silent.call("ping")
        silent.close()
        gone = LocalConnection(home, 5.0)
        listener.accept()[0].close()
        listener.accept()[0].close()
        with pytest.raises(ConnectionLost, match="went away"):
            gone.call("ping")
        gone.close()

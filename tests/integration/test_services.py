"""The services of a running node: watched, told once each, loaded for a user when first asked for."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from swarm.compat.marcopolo.local_marco import LocalMarco
from swarm.compat.marcopolo.local_polo import LocalPolo
from swarm.compat.marcopolo.marco import Marco
from swarm.compat.marcopolo.messages import SIZE_MAX
from swarm.compat.marcopolo.polo import Polo
from swarm.compat.marcopolo.settings import MarcoPoloSettings
from swarm.compat.marcopolo.tokens import Tokens
from swarm.daemon.logs import Log
from swarm.daemon.services import ServiceKeeper
from swarm.node_facts import SERVICES, SERVICES_DIGEST
from swarm.registry.files import User
from swarm.registry.records import Service
from swarm.registry.registry import Registry


class Setting:
    """A keeper whose facts are written down."""

    def __init__(self, root: Path) -> None:
        self.system = root / "etc"
        self.me = User("me", os.geteuid(), os.getegid(), root / "me")
        self.ana = User("ana", os.geteuid(), os.getegid(), root / "ana")
        for folder in (self.system, self.me.home, self.ana.home):
            folder.mkdir()
        self.told: list[dict[str, object]] = []
        self.registry = Registry(
            [self.system],
            self.me,
            lambda user: [user.home / "services"],
            lambda name: self.ana if name == "ana" else None,
            lambda *_: None,
        )
        self.keeper = ServiceKeeper(self.registry, self.tell, Log(None))
        self.is_told = trio.Event()

    def tell(self, facts: dict[str, object]) -> None:
        self.told.append(facts)
        self.is_told.set()
        self.is_told = trio.Event()

    async def wait_told(self, count: int) -> None:
        with trio.fail_after(10.0):
            while len(self.told) < count:
                await self.is_told.wait()

    def names(self) -> object:
        return self.told[-1][SERVICES]


def drop(folder: Path, name: str, value: dict[str, object]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(value))


@asynccontextmanager
async def running(keeper: ServiceKeeper) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: keeper.run(task_status=task_status))
        yield
        nursery.cancel_scope.cancel()


def test_a_dropped_file_is_told_and_nothing_is_told_twice(tmp_path: Path) -> None:
    setting = Setting(tmp_path)

    async def main() -> None:
        async with running(setting.keeper):
            assert setting.told == []
            drop(setting.system, "x", {"id": "web"})
            await setting.wait_told(1)
            assert setting.names() == ["web"]
            first = setting.told[-1][SERVICES_DIGEST]
            await setting.keeper.change(setting.registry.look)
            await setting.keeper.change(setting.registry.look)
            assert len(setting.told) == 1
            drop(setting.system, "x", {"id": "web", "params": {"port": 1}})
            await setting.wait_told(2)
            assert setting.names() == ["web"]
            assert setting.told[-1][SERVICES_DIGEST] != first

    trio.run(main)


def test_the_first_question_for_a_user_finds_the_file(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    drop(setting.ana.home / "services", "x", {"id": "web", "params": {"port": 80}})

    async def main() -> None:
        async with running(setting.keeper):
            assert setting.told == []
            (row,) = await setting.keeper.answer("ana:web")
            assert row == {"name": "ana:web", "params": {"port": 80}, "groups": [], "not_in": []}
            assert setting.names() == ["ana:web"], "from now on the mesh is told"
            assert await setting.keeper.answer("nobody:web") == []
            assert await setting.keeper.answer("") == [row]

    trio.run(main)


# Roles, each alone, on the loopback interface


class Roles:
    """Which services there are, and a port of our own."""

    def __init__(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        self.settings = MarcoPoloSettings(port=port, params={"room": 5})
        self.said: list[str] = []

    def polo(self) -> Polo:
        service = Service("", "web", {"port": 80})

        async def find(name: str, group: str) -> Service | None:
            return service if name == "web" else None

        return Polo(
            self.settings,
            "me",
            find=find,
            is_quick=lambda name: True,
            in_group=lambda group: [service],
            interfaces=("lo",),
            say=lambda event, values: self.said.append(event),
        )


def test_polo_alone_answers_a_raw_socket() -> None:
    roles = Roles()

    async def ask(question: object, wait_s: float = 5.0) -> Any:
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            await sock.bind(("127.0.0.1", 0))
            data = question if isinstance(question, bytes) else json.dumps(question).encode()
            await sock.sendto(data, ("127.0.0.1", roles.settings.port))
            with trio.move_on_after(wait_s):
                return json.loads(await sock.recv(SIZE_MAX))
        return None

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            polo = roles.polo()
            await nursery.start(lambda task_status: polo.run(task_status=task_status))
            assert await ask({"Command": "Marco"}) == {"Command": "Polo", "Params": {"node": "me", "room": 5}}
            assert await ask({"Command": "Request-For", "Params": "web"}) == {
                "Command": "OK",
                "Params": {"port": 80},
            }
            assert (await ask({"Command": "Services"}))["Services"] == ["web"]
            for nothing in ({"Command": "Request-For", "Params": "db"}, {"Command": "?"}, b"\xff{", b""):
                assert await ask(nothing, 0.1) is None
            assert polo.statistics()["garbage"] >= 2
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_marco_alone_asks_and_counts_what_it_lists() -> None:
    roles = Roles()

    async def answer_like_the_original(sock: trio.socket.SocketType) -> None:
        while True:
            data, source = await sock.recvfrom(SIZE_MAX)
            command = json.loads(data)["Command"]
            answer = {
                "Marco": {"Command": "Polo", "Params": {}},
                "Request-For": {"Command": "OK", "Params": {"port": 80}},
                "Services": {"Command": "OK", "Services": ["a", "b"]},
            }[command]
            await sock.sendto(b"\xff", source)
            await sock.sendto(json.dumps(answer).encode(), source)

    async def main() -> None:
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            await sock.bind(("127.0.0.1", roles.settings.port))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer_like_the_original, sock)
                marco = Marco(roles.settings)
                here = "127.0.0.1"
                assert [each.host for each in await marco.ask(host=here)] == [here]
                assert await marco.ask(host=here, exclude=[here], timeout_s=0.2) == []
                (found,) = await marco.ask("web", host=here, params={"port": 80})
                assert found.params == {"port": 80}
                assert await marco.ask("web", host=here, params={"port": 81}, timeout_s=0.2) == []
                assert await marco.services(here) == ["a", "b"]
                nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_retry_sends_again() -> None:
    roles = Roles()

    async def main() -> None:
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            await sock.bind(("127.0.0.1", roles.settings.port))
            marco = Marco(roles.settings)
            assert await marco.ask(host="127.0.0.1", timeout_s=0.1, retries=2) == []
            assert marco.statistics()["questions"] == 9

    trio.run(main)


# The local ports


def test_the_local_port_for_asking_answers_over_udp() -> None:
    settings = MarcoPoloSettings()

    async def main() -> None:
        local = LocalMarco(Marco(settings), settings.groups)
        async with trio.open_nursery() as nursery:
            address = await nursery.start(
                lambda task_status: local.run(address=("127.0.0.1", 0), task_status=task_status)
            )
            with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                await sock.sendto(b'{"Command": "Dance"}', tuple(address))
                assert json.loads(await sock.recv(SIZE_MAX)) == {"Error": "the command 'Dance' is unknown"}
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_the_local_port_for_publishing_speaks_tls(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    tokens = Tokens(b"s" * 32)

    async def main() -> None:
        local = LocalPolo(
            setting.registry,
            setting.keeper.change,
            tokens,
            MarcoPoloSettings().groups,
            lambda uid: setting.me if uid == os.geteuid() else None,
        )
        async with trio.open_nursery() as nursery:
            address = await nursery.start(
                lambda task_status: local.run(address=("127.0.0.1", 0), task_status=task_status)
            )
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            plain = await trio.open_tcp_stream(*address)
            async with trio.SSLStream(plain, context, https_compatible=True) as stream:
                args = {"service": "web", "token": tokens.make(os.geteuid())}
                text = json.dumps({"Command": "Publish", "Args": args}).encode()
                await stream.send_all(text[:10])
                await stream.send_all(text[10:])
                assert json.loads(await stream.receive_some(SIZE_MAX)) == {"OK": "me:web"}
                await stream.send_all(b"x" * (SIZE_MAX + 1))
                assert "datagram of" in json.loads(await stream.receive_some(SIZE_MAX))["Error"]
            async with await trio.open_tcp_stream(*address) as garbage:
                await garbage.send_all(b"GET / HTTP/1.0\r\n\r\n")
                await garbage.receive_some(SIZE_MAX)
            assert setting.registry.find("me:web") is not None
            nursery.cancel_scope.cancel()

    trio.run(main)

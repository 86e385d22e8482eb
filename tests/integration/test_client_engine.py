"""The engine of a client over a network of fakes: connecting, going on elsewhere, giving up."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
import trio.testing

from swarm import aio
from swarm.client.errors import Refused
from swarm.client.transport import Link
from swarm.core.errors import (
    ConnectFailed,
    ConnectionLost,
    LocalProtocolError,
    StorageError,
    TaskCancelled,
)
from swarm.core.ids import NO_BALLOT, Address, NodeId, ObjectName
from swarm.wire.codec import Stamp, pack_frame, unpack_frame_untrusted
from swarm.wire.facts import Completion, Output, digest_of
from swarm.wire.job_part import job_part_untrusted
from swarm.wire.messages import (
    CLIENT_ACCEPTED,
    CLIENT_CALL,
    CLIENT_RELEASE,
    CLIENT_REPLY,
    CLIENT_SUBMIT,
    CLIENT_UPDATE,
    CLIENT_WATCH,
    CLIENT_WELCOME,
    ENCODING_PICKLE,
    ENCODING_RAW,
    KIND_DATA,
)


class FakeMesh:
    """Nodes that accept everything and answer each task with its index; shared truth, like the real one."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.dead: set[str] = set()
        self.mute: list[str] = []
        self.is_silent = False
        self.parts: dict[tuple[bytes, int], bytes] = {}
        self.submissions: list[tuple[str, int]] = []
        self.closed: dict[bytes, int] = {}
        self.cancelled: list[bytes] = []
        self.released: list[int] = []
        self.puts: list[tuple[str, int]] = []
        self.is_working = True
        self.reason = ""
        self.is_acknowledging = True
        self.is_welcoming = True
        self.store_is_full = False
        self.large: bytes | None = None
        self.links: list[FakeLink] = []
        self.refusals: list[int] = []

    def address(self, name: str) -> Address:
        return (name, 7117)

    def node(self, name: str) -> NodeId:
        return name.encode().ljust(16, b".")

    def kill(self, name: str) -> None:
        self.dead.add(name)
        for link in self.links:
            if link.name == name:
                link.break_off()

    def work(self, job: bytes) -> list[object]:
        """Return completions of everything kept, or nothing while not working."""
        rows: list[object] = []
        for (owner, _), blob in sorted(self.parts.items()):
            part = job_part_untrusted(blob)
            for index, task in enumerate(part.tasks, part.first_task):
                if owner == job and task.kind != KIND_DATA and task.is_kept and self.is_working:
                    data = pickle.dumps(index)
                    output = Output(digest_of(data), len(data), ENCODING_PICKLE, data)
                    if self.large is not None:
                        output = Output(digest_of(self.large), len(self.large), ENCODING_RAW, None)
                    node = self.node(self.names[0])
                    rows.append(Completion(index, 1, node, b"", 0.0, [output], None).to_wire())
        return rows

    def state(self, job: bytes) -> str:
        if job in self.cancelled:
            return "cancelled"
        return "done" if job in self.closed and self.is_working else "running"


class FakeLink:
    def __init__(self, mesh: FakeMesh, name: str) -> None:
        self.mesh, self.name = mesh, name
        self.send, self.receive = trio.open_memory_channel[bytes](1000)
        self.watched: dict[bytes, bool] = {}
        if mesh.is_welcoming:
            peers = [
                [mesh.node(peer), peer, *mesh.address(peer)] for peer in mesh.names if peer not in mesh.dead
            ]
            self.say(CLIENT_WELCOME, mesh.node(name), name, b"", peers)

    def say(self, kind: int, *body: object) -> None:
        self.send.send_nowait(pack_frame(kind, Stamp(self.mesh.node(self.name), NO_BALLOT, 0), list(body)))

    def update(self, job: bytes, is_whole: bool = False) -> None:
        rows = self.mesh.work(job)
        counts = [len(rows), len(rows), 0, 0]
        self.say(
            CLIENT_UPDATE, job, self.mesh.state(job), 1, counts, rows, self.mesh.reason, is_whole, len(rows)
        )

    def break_off(self) -> None:
        self.send.close()

    async def send_messages(self, payloads: Sequence[bytes]) -> None:
        await trio.lowlevel.checkpoint()
        if self.name in self.mesh.dead:
            raise ConnectionLost("dead")
        for payload in payloads:
            frame = unpack_frame_untrusted(payload)
            if self.name not in self.mesh.mute:
                self.take(frame.kind, frame.body)

    def take(self, kind: int, body: list[Any]) -> None:
        mesh = self.mesh
        if kind == CLIENT_SUBMIT:
            request, job, part, blob, total = body
            mesh.submissions.append((self.name, part))
            if mesh.is_acknowledging:
                mesh.parts[job, part] = blob
                if total:
                    mesh.closed[job] = total
                self.say(CLIENT_ACCEPTED, request, job, part, [self.name])
            if job in self.watched:
                self.update(job)
        elif kind == CLIENT_WATCH:
            self.watched[body[1]] = True
            if not mesh.is_silent:
                self.update(body[1], True)
        elif kind == CLIENT_RELEASE:
            mesh.released += body[1]
        elif kind == CLIENT_CALL:
            self.answer(*body)

    def answer(self, request: int, op: str, args: dict[str, Any]) -> None:
        mesh = self.mesh
        if op == "close":
            mesh.closed[args["job"]] = args["parts"]
        elif op == "cancel":
            mesh.cancelled.append(args["job"])
        elif op == "fetch" and mesh.refusals:
            self.say(CLIENT_REPLY, request, False, {"code": mesh.refusals.pop(), "message": "not now"})
            return
        elif op == "fetch":
            assert mesh.large is not None
            value = {"size": len(mesh.large), "digest": digest_of(mesh.large), "encoding": ENCODING_RAW}
            self.say(CLIENT_REPLY, request, True, value)
            return
        elif op == "fail":
            self.say(CLIENT_REPLY, request, False, {"code": 4, "message": "not allowed"})
            return
        self.say(CLIENT_REPLY, request, True, {"op": op})
        for job in [] if mesh.is_silent else self.watched:
            self.update(job)

    async def receive_messages(self) -> list[bytes]:
        try:
            return [await self.receive.receive()]
        except trio.EndOfChannel:
            raise ConnectionLost("the node is gone") from None

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.receive.close()


class FakeTransport:
    def __init__(self, mesh: FakeMesh, found: Sequence[str] = ()) -> None:
        self.mesh = mesh
        self.found = found
        self.dialled: list[str] = []
        self.is_closed = False

    async def dial(self, address: Address) -> tuple[Link, NodeId]:
        name = address[0]
        self.dialled.append(name)
        await trio.sleep(0.01)
        if name in self.mesh.dead or name not in self.mesh.names:
            raise ConnectFailed(f"{name} port {address[1]}: refused")
        link = FakeLink(self.mesh, name)
        self.mesh.links.append(link)
        return link, self.mesh.node(name)

    async def put(self, address: Address, name: ObjectName, data: bytes, encoding: int) -> None:
        await trio.lowlevel.checkpoint()
        if self.mesh.store_is_full:
            raise StorageError("the store is full")
        self.mesh.puts.append((address[0], name[1]))

    async def fetch(
        self, node: NodeId, address: Address, name: ObjectName, digest: bytes, size: int
    ) -> bytes:
        await trio.lowlevel.checkpoint()
        if address[0] in self.mesh.dead:
            raise ConnectionLost("dead")
        assert self.mesh.large is not None
        return self.mesh.large

    async def discover(self) -> list[Address]:
        await trio.sleep(0.5)
        return [self.mesh.address(name) for name in self.found]

    async def aclose(self) -> None:
        self.is_closed = True


Body = Callable[[aio.Mesh, FakeMesh], Any]


def run(
    body: Body, mesh: FakeMesh | None = None, first: Sequence[str] = ("a",), found: Sequence[str] = ()
) -> FakeTransport:
    """Run `body` with a connected mesh, under a clock that jumps."""
    fake = mesh or FakeMesh("a", "b", "c")
    transport = FakeTransport(fake, found)

    async def main() -> None:
        opened = aio.Mesh(transport, [fake.address(name) for name in first], "testing", "test")
        with trio.fail_after(1000):
            async with aio._running(opened):
                await body(opened, fake)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.001))
    return transport


def test_results_come_back() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        futures = mesh.map(max, [1, 2, 3], [0, 0, 0])
        assert [await future.result() for future in futures] == [1, 2, 3]
        assert fake.submissions == [("a", 0)]

    assert run(body).is_closed


def test_everything_of_one_wake_up_is_one_part() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        futures = [mesh.submit(max, number, 0) for number in range(500)]
        assert len(await mesh.gather(futures)) == 500
        assert len(fake.submissions) == 1

    run(body)


def test_a_dead_node_is_invisible() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        fake.is_working = False
        futures = mesh.map(max, range(10), range(10))
        await trio.sleep(1)
        fake.kill("a")
        await trio.sleep(5)
        fake.is_working = True
        mesh.engine.session.watch_again(next(iter(fake.parts))[0])
        assert len(await mesh.gather(futures)) == 10
        assert mesh.engine.session.node_name in ("b", "c")

    run(body)


def test_a_part_that_was_not_acknowledged_is_sent_again_elsewhere() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        fake.is_acknowledging = False
        future = mesh.submit(len, b"x" * 100_000)
        await trio.sleep(1)
        fake.is_acknowledging = True
        fake.kill("a")
        await future.result()
        nodes = [name for name, _ in fake.submissions]
        assert nodes[0] == "a"
        assert nodes[1] in ("b", "c")
        assert [name for name, _ in fake.puts] == nodes

    run(body)


def test_calls_survive_the_node_they_were_asked_of() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        fake.kill("a")
        assert await mesh.status() == {"op": "status"}
        with pytest.raises(Refused, match=r"not allowed") as caught:
            await mesh.call("fail")
        assert caught.value.code == 4

    run(body)


def test_the_first_candidate_may_be_dead() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        assert mesh.engine.session.node_name == "b"

    fake = FakeMesh("a", "b")
    fake.dead.add("a")
    assert run(body, fake, ("a", "b")).dialled == ["a", "b"]


def test_nodes_are_found_nearby() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        assert mesh.engine.session.node_name == "c"

    run(body, first=("nowhere",), found=("c",))


def test_nobody_can_be_reached() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        raise AssertionError("not connected")

    with pytest.raises(
        ConnectFailed,
        match=r"no node of mesh 'testing' can be reached \(nowhere port 7117: refused; nobody.*swarm join",
    ):
        run(body, first=("nowhere",))


def test_a_node_that_does_not_say_welcome() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        raise AssertionError("not connected")

    fake = FakeMesh("a")
    fake.is_welcoming = False
    with pytest.raises(ConnectFailed, match=r"does not say welcome"):
        run(body, fake)


def test_a_mesh_that_is_gone_for_good() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        fake.is_working = False
        future = mesh.submit(max, 1, 0)
        await trio.sleep(1)
        for name in fake.names:
            fake.kill(name)
        with pytest.raises(ConnectionLost, match=r"the connection to the mesh was lost"):
            await future.result()
        with pytest.raises(ConnectionLost):
            mesh.submit(max, 1, 2)
        with pytest.raises(ConnectionLost):
            await mesh.status()

    run(body)


def test_a_mesh_that_comes_back() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        fake.is_working = False
        future = mesh.submit(max, 1, 0)
        await trio.sleep(1)
        for name in fake.names:
            fake.kill(name)
        await trio.sleep(60)
        fake.is_working = True
        fake.dead.clear()
        assert await future.result() == 1

    run(body)


def test_a_large_result_that_is_made_again_is_waited_for() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        fake.refusals = [3] * 50
        assert await mesh.submit(max, 1, 0).result() == fake.large

    fake = FakeMesh("a")
    fake.large = b"large" * 1000
    run(body, fake)


def test_a_large_result_of_an_ended_job_is_asked_for_some_seconds() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        for refusals in ([3] * 20, [1]):
            fake.refusals = refusals
            with pytest.raises(Refused, match="not now"):
                await mesh.engine.fetch(b"j" * 10, 0, 0)
            assert (len(refusals) > 5) == (3 in refusals), "not at once where it may come, and not for ever"

    run(body)


def test_large_results_are_fetched_through_another_node_too() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        fake.large = b"x" * 100_000
        future = mesh.submit(max, 1, 0)
        await future.wait_done()
        fake.kill("a")
        assert await future.result() == fake.large

    run(body)


def test_a_full_store_fails_the_job() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        fake.store_is_full = True
        with pytest.raises(StorageError, match=r"cannot keep an argument: the store is full"):
            await mesh.submit(len, b"x" * 100_000).result()

    run(body)


def test_dropped_futures_are_released() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        future = mesh.submit(max, 1, 0)
        await future.result()
        del future
        await trio.sleep(3)
        assert fake.released == [1]

    run(body)


def test_leaving_waits_and_closes_the_session_job() -> None:
    fake = FakeMesh("a")

    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        mesh.submit(max, 1, 2)

    run(body, fake)
    assert list(fake.closed.values()) == [1]
    assert fake.cancelled == []


def test_leaving_by_an_error_cancels() -> None:
    fake = FakeMesh("a")

    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        mesh.submit(max, 1, 2)
        await trio.sleep(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match=r"mine"):
        run(body, fake)
    assert len(fake.cancelled) == 1


def test_a_closed_mesh_takes_nothing() -> None:
    kept: list[aio.Mesh] = []

    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        kept.append(mesh)

    run(body)
    with pytest.raises(LocalProtocolError, match=r"closed"):
        kept[0].submit(max, 1, 2)


def test_graphs_are_jobs_of_their_own() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        job = mesh.run_graph(
            {"tasks": [{"id": "a", "command": ["x"]}, {"id": "b", "command": ["y"], "needs": ["a"]}]}
        )
        assert await job.results() == {"b": 1}
        assert job.job.state == "done"

    run(body)


def test_timeouts_and_cancelled_futures() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        fake.is_working = False
        future, other = mesh.submit(max, 1, 2), mesh.submit(max, 1, 2)
        with pytest.raises(TimeoutError):
            await future.result(timeout=2)
        with pytest.raises(TimeoutError):
            await mesh.gather([future, other], timeout=2)
        assert future.cancel()
        done, pending = await aio.wait([future, other], timeout=1)
        assert (done, pending) == ({future}, {other})
        with pytest.raises(TaskCancelled):
            await future.result()
        assert isinstance(await future.exception(), TaskCancelled)
        fake.is_working = True

    run(body)


def test_as_completed_and_first_completed() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        futures = mesh.map(max, range(5), range(5))
        seen = [future async for future in mesh.as_completed(futures)]
        assert len(seen) == 5
        done, _ = await aio.wait(futures, return_when=aio.FIRST_COMPLETED)
        assert done
        with pytest.raises(ValueError, match=r"return_when"):
            await aio.wait(futures, return_when="x")

    run(body)

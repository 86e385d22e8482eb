"""The sync face in its own thread, over the network of fakes of the engine's tests."""

from __future__ import annotations

import threading

import pytest

import swarm
from swarm.client import mesh as mesh_module
from swarm.client.mesh import Mesh, current_mesh
from swarm.core.errors import ConnectFailed, ConnectionLost, LocalProtocolError, TaskCancelled
from tests.integration.test_client_engine import FakeMesh, FakeTransport


def opened(fake: FakeMesh, first: str = "a") -> Mesh:
    return Mesh(FakeTransport(fake), [fake.address(first)], "testing", "test").open()


def test_submit_map_put_and_wait() -> None:
    fake = FakeMesh("a", "b")
    with opened(fake) as mesh:
        assert mesh.submit(max, 1, 2).result(timeout=10) == 1
        futures = mesh.map(max, range(50), range(50))
        assert len(mesh.gather(futures, timeout=10)) == 50
        assert len(list(mesh.as_completed(futures, timeout=10))) == 50
        assert mesh.wait(futures, timeout=10)[1] == set()
        assert mesh.put([1, 2]).result() == [1, 2]
        assert mesh.status() == {"op": "status"}
        assert len({part for part, _ in fake.parts}) == 1
    assert len(fake.closed) == 1


def test_a_map_is_one_part() -> None:
    fake = FakeMesh("a")
    with opened(fake) as mesh:
        futures = mesh.map(max, range(10_000), range(10_000))
        mesh.gather(futures, timeout=30)
        assert [part for _, part in fake.submissions] == [0]


def test_graphs() -> None:
    fake = FakeMesh("a")
    with opened(fake) as mesh:
        document = {
            "tasks": [
                {"id": "a", "command": ["x"]},
                {"id": "b", "call": "math:sqrt", "args": [{"task": "a"}]},
            ]
        }
        job = mesh.run_graph(document, keep=["a"])
        assert job.results(timeout=10) == {"a": 0, "b": 2}
        assert job.state == "done"
        assert mesh.run_graph({"tasks": [{"id": "a", "command": ["x"]}]}).result(timeout=10) == 0


def test_graphs_that_are_cancelled() -> None:
    fake = FakeMesh("a")
    fake.is_working = False
    with opened(fake) as mesh:
        job = mesh.run_graph({"tasks": [{"id": "a", "command": ["x"]}]})
        with pytest.raises(TimeoutError, match=r"not done after 0.05 s"):
            job.wait(timeout=0.05)
        job.cancel()
        assert job.wait(timeout=10) == "cancelled"
        with pytest.raises(TaskCancelled):
            job.results(timeout=10)


def test_large_results() -> None:
    fake = FakeMesh("a")
    fake.large = b"x" * 100_000
    with opened(fake) as mesh:
        assert mesh.submit(max, 1, 2).result(timeout=10) == fake.large


def test_the_open_mesh_is_found_by_decorated_functions() -> None:
    @swarm.remote
    def double(x: int) -> int:
        return 2 * x

    with pytest.raises(LocalProtocolError, match=r"swarm.connect"):
        current_mesh()
    fake = FakeMesh("a")
    with opened(fake) as mesh:
        assert current_mesh() is mesh
        assert double.submit(3).result(timeout=10) == 1
        assert len(double.map([1, 2])) == 2
        assert mesh.submit(double, 3, cpus=2).result(timeout=10) == 4
        assert swarm.submit(max, 1, 2).done() in (True, False)
        with pytest.raises(LocalProtocolError, match=r"has its arguments already"):
            mesh.submit(double(3), 4)
        with pytest.raises(LocalProtocolError, match=r"at least one iterable"):
            mesh.map(max)


def test_an_error_in_the_program_cancels() -> None:
    fake = FakeMesh("a")
    fake.is_working = False
    mesh = opened(fake)
    future = mesh.submit(max, 1, 2)
    with pytest.raises(TimeoutError):
        future.result(timeout=0.1)
    mesh.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert len(fake.cancelled) == 1
    assert future.cancelled()


def test_closing_twice_and_using_it_afterwards() -> None:
    mesh = opened(FakeMesh("a"))
    mesh.submit(max, 1, 2).result(timeout=10)
    mesh.close()
    mesh.close()
    with pytest.raises(LocalProtocolError, match=r"closed"):
        mesh.submit(max, 1, 2)
    with pytest.raises(ConnectionLost):
        mesh.status()


def test_nobody_answers() -> None:
    with pytest.raises(ConnectFailed, match=r"nowhere port 7117: refused"):
        opened(FakeMesh("a"), "nowhere")


def test_whoever_waits_is_told_why_a_job_stands_still(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mesh_module, "STALL_S", 0.04)
    monkeypatch.setattr(mesh_module, "_FOLLOW_STEP_S", 0.02)
    fake = FakeMesh("a")
    fake.is_working, fake.reason = False, "waiting: no node fits"
    mesh = opened(fake)
    mesh.submit(max, 1, 2, cpus=100)

    def go_on() -> None:
        fake.is_working = True
        mesh.call("anything")

    timer = threading.Timer(0.5, go_on)
    timer.start()
    mesh.close()
    timer.join()
    assert capsys.readouterr().err == "swarm: waiting: no node fits\n"

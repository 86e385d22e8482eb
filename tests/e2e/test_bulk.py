"""Many small tasks and long chains through a real mesh, with every value checked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

import swarm
from swarm.client.local import LocalMesh

BAG = 10_000
CHAIN = 1_000


@pytest.fixture(scope="module")
def mesh() -> Iterator[LocalMesh]:
    with swarm.local(nodes=2) as opened:
        yield opened


def same(value: int) -> int:
    return value


def following(value: int) -> int:
    return value + 1


def total(*values: int) -> int:
    return sum(values)


def test_ten_thousand_tasks(mesh: LocalMesh, record_property: Any) -> None:
    started_at = time.monotonic()
    results = mesh.gather(mesh.map(same, range(BAG)), timeout=120)
    seconds = time.monotonic() - started_at
    print(f"{BAG} tasks in {seconds:.2f} s: {seconds / BAG * 1e6:.0f} µs each")
    record_property("bag_us_per_task", round(seconds / BAG * 1e6, 1))
    assert results == list(range(BAG))


def test_a_chain_of_a_thousand(mesh: LocalMesh, record_property: Any) -> None:
    started_at = time.monotonic()
    last = mesh.submit(following, 0)
    for _ in range(CHAIN - 1):
        last = mesh.submit(following, last)
    assert last.result(timeout=120) == CHAIN
    seconds = time.monotonic() - started_at
    print(f"a chain of {CHAIN} in {seconds:.2f} s: {seconds / CHAIN * 1e3:.2f} ms a hop")
    record_property("chain_ms_per_hop", round(seconds / CHAIN * 1e3, 3))


def test_a_tree(mesh: LocalMesh) -> None:
    level = mesh.map(same, range(2_000))
    while len(level) > 1:
        level = [mesh.submit(total, *level[at : at + 10]) for at in range(0, len(level), 10)]
    assert level[0].result(timeout=60) == sum(range(2_000))


def test_the_bag_ran_on_both_nodes(mesh: LocalMesh) -> None:
    from swarm.daemon.api_client import call_local

    assert len(mesh.gather(mesh.map(same, range(500)))) == 500
    done = [call_local(home, "statistics")["node"]["exec"]["done"] for home in mesh.nodes_started.homes]
    assert all(done), done


def test_nothing_is_left_of_a_local_mesh() -> None:
    from tests.mesh_processes import descendants, is_running

    with swarm.local(nodes=2) as opened:
        assert opened.submit(same, 5).result(timeout=30) == 5
        pids = [int(ready["pid"]) for ready in opened.nodes_started.ready]
        pids += [below for pid in pids for below in descendants(pid)]
        folders = [home.root for home in opened.nodes_started.homes]
        assert len(pids) >= 5, "two daemons, two fork servers, an executor"
    assert not [pid for pid in pids if is_running(pid)]
    assert not [folder for folder in folders if folder.exists()]

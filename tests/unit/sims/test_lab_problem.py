"""Problems: clusters by name, what policies are told, and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sims.lab.problem import MIB, Problem, Worker, named_workers
from swarm.core.errors import ConfigError, GraphError
from tests.unit.sims.graph_samples import diamond

TWO = [Worker(cpus=2), Worker(cpus=4, speed=2.0, up_bytes_s=10.0, down_bytes_s=30.0)]


def test_the_clusters_of_the_references_are_known_by_name() -> None:
    for name, count, cores in (
        ("8x4", 8, 32),
        ("16x4", 16, 64),
        ("32x4", 32, 128),
        ("stairs60", 14, 60),
        ("speed16x4", 16, 64),
        ("home8", 8, 44),
        ("lab24", 24, 164),
        ("flat12u", 12, 12),
        ("flat12h", 12, 12),
    ):
        workers = named_workers(name, 32)
        assert (len(workers), sum(worker.cpus for worker in workers)) == (count, cores)
    assert named_workers("8x4", 32)[0] == Worker(cpus=4, up_bytes_s=32 * MIB, down_bytes_s=32 * MIB)
    phone = named_workers("home8", 32)[7]
    assert phone == Worker(cpus=6, speed=0.5, up_bytes_s=10 * MIB, down_bytes_s=25 * MIB)


def test_an_unknown_cluster_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="the cluster '9x9' is not known; known are 8x4, 16x4"):
        named_workers("9x9", 32)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "cannot be read"),
        ("[]", "has the format 'swarm-clusters'"),
        ('{"format": "swarm-clusters", "version": 2}', "version is 2, this program reads 1"),
        ('{"format": "swarm-clusters", "version": 1, "clusters": 5}', "clusters must be an object"),
        ('{"format": "swarm-clusters", "version": 1, "clusters": {"own": []}}', "'own' is not known"),
        ('{"format": "swarm-clusters", "version": 1, "clusters": {"own": [5]}}', "own: worker 0 is 5"),
    ],
)
def test_a_wrong_file_of_clusters_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "own.json"
    path.write_text(content)
    with pytest.raises(ConfigError) as raised:
        named_workers("own", 1, path)
    assert str(raised.value).startswith(f"{path}: ")
    assert complaint in str(raised.value)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("cpus", 0, "cpus of a worker is 0"),
        ("cpus", "4", "cpus is '4', it must be a number"),
        ("speed", -1, "speed of a worker is -1"),
        ("up_mib_s", 0, "up_bytes_s of a worker is 0"),
        ("down_mib_s", True, "down_mib_s is True"),
    ],
)
def test_a_wrong_worker_is_named(tmp_path: Path, key: str, value: object, complaint: str) -> None:
    path = tmp_path / "own.json"
    rows = [{"cpus": 1}, {"cpus": 1, key: value}]
    path.write_text(json.dumps({"format": "swarm-clusters", "version": 1, "clusters": {"own": rows}}))
    with pytest.raises(ConfigError) as raised:
        named_workers("own", 1, path)
    assert f"own: worker 1: {complaint}" in str(raised.value)


def test_a_missing_file_of_clusters_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read"):
        named_workers("8x4", 1, tmp_path / "none.json")


def test_run_times_follow_speeds_and_factors() -> None:
    plain = Problem(graph=diamond(), workers=TWO)
    assert [plain.run_s(2, worker) for worker in (0, 1)] == [3.0, 1.5]
    unrelated = Problem(graph=diamond(), workers=TWO, factors=[[1.0, 3.0]] * 4)
    assert [unrelated.run_s(2, worker) for worker in (0, 1)] == [3.0, 4.5]


def test_policies_are_told_what_the_imode_says() -> None:
    told = {
        imode: Problem(graph=diamond(), workers=TWO, imode=imode).told_graph()
        for imode in ("exact", "user", "mean")
    }
    assert told["exact"].durations_s == [1.0, 2.0, 3.0, 4.0]
    assert told["user"].durations_s == [1.0, 2.0, 2.5, 4.0]
    assert told["mean"].durations_s == [2.5] * 4
    assert told["mean"].sizes_bytes == [10, 10, 10, 10]
    assert told["mean"].cpus == diamond().cpus
    assert told["user"].inputs == diamond().inputs


def test_policies_are_told_a_bandwidth() -> None:
    assert Problem(graph=diamond(), workers=TWO, bandwidth_bytes_s=7.0).told_bandwidth_bytes_s() == 7.0
    mean = Problem(graph=diamond(), workers=TWO).told_bandwidth_bytes_s()
    assert mean == (128 * MIB + 10.0) / 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"workers": []}, "at least one worker"),
        ({"network": "ether"}, "the network 'ether' is not known; known are maxmin, simple"),
        ({"imode": "guess"}, "the imode 'guess' is not known; known are exact, user, mean"),
        ({"least_gap_s": -1.0}, "least_gap_s is -1.0"),
        ({"delay_s": float("nan")}, "delay_s is nan"),
        ({"bandwidth_bytes_s": float("inf")}, "bandwidth_bytes_s is inf"),
        ({"factors": [[1.0, 1.0]]}, "one row for each task"),
        ({"factors": [[1.0]] * 4}, "one factor for each worker"),
    ],
)
def test_impossible_problems_are_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Problem(**{"graph": diamond(), "workers": TWO, **arguments})


def test_a_task_that_fits_nowhere_is_named() -> None:
    with pytest.raises(GraphError, match="diamond: task 1 needs 2 cpus, the largest worker has 1"):
        Problem(graph=diamond(), workers=[Worker(cpus=1)])

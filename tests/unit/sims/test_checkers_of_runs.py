"""Checkers of attempts, objects and cores fire on what they are there for, and on nothing else."""

from __future__ import annotations

import pytest

from sims.checkers.base import Violation
from sims.checkers.execution import (
    AttemptChecker,
    CoreChecker,
    HeldChecker,
    ObjectChecker,
    RunChecker,
    VersionChecker,
)
from sims.checkers.leadership import FenceChecker
from sims.checkers.records import RecordChecker
from sims.cluster import Cluster
from sims.executors import Executor
from sims.observer import MESSAGE
from swarm.core.effects import DropObject, Effect, ExecutorTask, InputValue, RunTasks, SendMessage
from tests.unit.sims.checker_samples import ADDRESS, HIGH, JOB, LOW, assign, frame, mesh, order, runs, stand


def ordered(digest: bytes | None) -> bytes:
    row = [JOB, 1, 1, 2, "t", None, b"", [[0, 0, digest, 1, 0, None, []]], 1, 1.0, 0, 0.0]
    return frame(61, (3, b"a" * 16), [[row]])


def run_with(digest: bytes) -> list[Effect]:
    given = InputValue((JOB, 0, 0), digest, 0, b"x")
    return [RunTasks(0, [ExecutorTask(1, JOB, 1, 1, 2, "t", None, b"", [given], 1, 0)])]


def test_s8_a_task_runs_on_the_versions_that_its_order_names() -> None:
    cluster, truth = mesh()
    checker = VersionChecker(truth)
    (host,) = [host for host in cluster.hosts if host.index not in cluster.leaders()][:1]
    checker.on_effects(host, run_with(b"e" * 16), 5.0)
    checker.on_input(host, MESSAGE, 1, ordered(b"d" * 16), 5.0)
    checker.on_effects(host, run_with(b"d" * 16), 5.0)
    with pytest.raises(Violation, match="S8"):
        checker.on_effects(host, run_with(b"e" * 16), 5.0)
    checker.on_input(host, MESSAGE, 1, ordered(None), 5.0)
    checker.on_effects(host, run_with(b"e" * 16), 5.0)


def test_l6_a_task_runs_again_only_where_its_node_ended() -> None:
    cluster, truth = mesh()
    cluster.run_until(10.0)
    checker = RunChecker(truth, RecordChecker(truth))
    checker.plain[JOB] = True
    task = ExecutorTask(1, JOB, 1, 1, 2, "t", None, b"", [], 1, 0)
    checker.on_task(cluster.hosts[0], task, 6.0, 7.0, "killed")
    checker.on_task(cluster.hosts[1], task, 7.0, 7.01, "killed")
    checker.on_task(cluster.hosts[1], task, 7.0, 8.0, "done")
    truth.troubled_at[0] = 6.5
    checker.look(10.0)
    truth.troubled_at[0] = 0.0
    with pytest.raises(Violation, match=r"L6: .*ran on n0, n1"):
        checker.look(10.0)
    truth.net_troubled_at = 9.0
    checker.look(10.0)
    truth.net_troubled_at = 0.0
    checker.look(10.0)


def test_l6_a_stall_excuses_only_whom_it_concerns() -> None:
    cluster, truth = mesh()
    cluster.run_until(30.0)
    task = ExecutorTask(1, JOB, 1, 1, 2, "t", None, b"", [], 1, 0)
    for host in cluster.hosts[:2]:
        host.executors = {0: Executor()}
        host.executors[0].queue = [task]
        host.executors[0].begun_s = 29.0
    truth.stalls[2] = (24.0, 26.0)
    with pytest.raises(Violation, match=r"L6: .*at once"):
        RunChecker(truth, RecordChecker(truth)).look(30.0)
    checker = RunChecker(truth, RecordChecker(truth))
    checker.on_performed(cluster.hosts[2], assign(b"x" * 16, 1, 1), 23.0)
    checker.look(30.0)
    stand(truth, 2)
    RunChecker(truth, RecordChecker(truth)).look(30.0)
    truth.stalls[2] = (10.0, 12.0)
    with pytest.raises(Violation, match=r"L6: .*at once"):
        RunChecker(truth, RecordChecker(truth)).look(30.0)


def test_e4_what_happened_long_before_a_job_ended_excuses_nothing() -> None:
    cluster, truth = mesh()
    cluster.run_until(60.0)
    records = RecordChecker(truth)
    checker = RunChecker(truth, records)
    records.ended[JOB] = 50.0
    truth.net_troubled_at = 20.0
    truth.downs = 2
    task = ExecutorTask(1, JOB, 1, 1, 2, "t", None, b"", [], 1, 0)
    with pytest.raises(Violation, match="E4"):
        checker.on_task(cluster.hosts[0], task, 49.0, 60.0, "done")
    truth.troubled_at[2] = 49.0
    checker.on_task(cluster.hosts[0], task, 49.0, 60.0, "done")


def test_e1_an_attempt_has_one_node() -> None:
    cluster, truth = mesh()
    checker = AttemptChecker(truth)
    host = cluster.hosts[0]
    checker.on_performed(host, assign(b"x" * 16, 1), 5.0)
    checker.on_performed(host, assign(b"x" * 16, 1), 5.0)
    checker.on_performed(host, assign(b"y" * 16, 2), 5.0)
    with pytest.raises(Violation, match="E1"):
        checker.on_performed(host, assign(b"y" * 16, 1), 5.0)


def test_e2_an_object_is_kept_while_it_is_needed() -> None:
    cluster, truth = mesh()
    cluster.run_until(30.0)
    checker = ObjectChecker(truth, RecordChecker(truth))
    checker.consumers[(JOB, 0)] = [1]
    host = cluster.hosts[0]
    host.store[(JOB, 0, 0)] = (b"d", 1)
    with pytest.raises(Violation, match="E2"):
        checker.on_performed(host, DropObject((JOB, 0, 0)), 30.0)
    done = ExecutorTask(1, JOB, 1, 1, 2, "t", None, b"", [], 1, 0)
    checker.on_task(host, done, 1.0, 2.0, "done")
    checker.on_performed(host, DropObject((JOB, 0, 0)), 30.0)


def test_e3_an_attempt_is_held_until_it_is_answered_or_taken_back() -> None:
    cluster, truth = mesh()
    fences = FenceChecker(truth)
    checker = HeldChecker(truth, fences)
    host = cluster.hosts[0]
    checker.on_input(host, MESSAGE, 1, order(HIGH, (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)), 5.0)
    fences.on_input(host, MESSAGE, 1, order(HIGH), 5.0)
    checker.on_input(host, MESSAGE, 1, order(LOW, (9, 1)), 5.0)
    ended = [[JOB, [1, 1, b"n" * 16, b"", 0.1, [], None]]]
    checker.on_performed(host, SendMessage(b"l" * 16, [ADDRESS], frame(66, HIGH, [ended])), 5.0)
    checker.on_performed(host, SendMessage(b"l" * 16, [ADDRESS], frame(65, HIGH, [[[JOB, 2, 1]]])), 5.0)
    checker.on_input(host, MESSAGE, 1, order(HIGH, (3, 1), kind=62), 5.0)
    assert checker.held_by(host) == [(JOB, 4, 1), (JOB, 5, 1)]
    listed = frame(60, HIGH, [1, [[JOB, 5, 1]], []])
    checker.on_performed(host, SendMessage(b"l" * 16, [ADDRESS], listed), 5.0)
    assert checker.held_by(host) == [(JOB, 5, 1)]
    stand(truth, 0)
    assert checker.held_by(host) == []


def busy(cluster: Cluster, *tasks: int) -> None:
    for number, task in enumerate(tasks):
        executor = Executor()
        executor.queue = [ExecutorTask(1, JOB, task, 1, 2, "t", None, b"", [], 1, 0)]
        cluster.hosts[0].executors[number] = executor
    cluster.hosts[0].executors[9] = Executor()


def test_e4_what_a_node_was_told_to_cancel_does_not_run_on() -> None:
    cluster, truth = mesh()
    checker = HeldChecker(truth, FenceChecker(truth))
    host = cluster.hosts[0]
    busy(cluster, 1, 2)
    checker.on_input(host, MESSAGE, 1, order(HIGH, (1, 1), (2, 1), (3, 1), kind=62), 5.0)
    checker.on_input(host, MESSAGE, 1, order(HIGH, (1, 1)), 5.5)
    checker.look(6.0)
    truth.starving[0] = True
    checker.look(6.5)
    del truth.starving[0]
    with pytest.raises(Violation, match=r"E4: .*n0 runs task 2 1\.5 s after its cancel"):
        checker.look(6.5)
    host.executors[1].queue.clear()
    checker.look(6.5)


def test_e5_a_node_runs_no_more_than_its_cores() -> None:
    cluster, truth = mesh()
    checker = CoreChecker(truth)
    host = cluster.hosts[0]
    (first,) = runs((0, 1), (1, 1), executor=9)
    busy(cluster)
    checker.on_performed(host, first, 5.0)
    busy(cluster, 5)
    checker.look(5.0)
    with pytest.raises(Violation, match="E5"):
        checker.on_performed(host, first, 5.0)
    busy(cluster, 5, 6)
    with pytest.raises(Violation, match="E5"):
        checker.look(5.0)


def test_e5_counts_cores_and_memory_that_tasks_ask_for() -> None:
    cluster, truth = mesh()
    checker = CoreChecker(truth)
    busy(cluster, 5)
    checker.wants[(JOB, 5)] = (2.0, 0)
    with pytest.raises(Violation, match="on 2 of 1 cores"):
        checker.look(5.0)
    checker.wants[(JOB, 5)] = (0.5, 1 << 29)
    checker.wants[(JOB, 6)] = (0.5, 1 << 29)
    busy(cluster, 5, 6)
    checker.look(5.0)
    checker.wants[(JOB, 6)] = (0.5, (1 << 29) + 1)
    with pytest.raises(Violation, match="bytes, and has"):
        checker.look(5.0)


def test_a_report_that_its_orderer_never_took_is_astray() -> None:
    cluster, truth = mesh()
    checker = HeldChecker(truth, FenceChecker(truth))
    leader, worker, clone = cluster.hosts
    report = frame(66, HIGH, [[[JOB, [1, 1, b"n" * 16, b"", 0.1, [], None]]]])
    checker.on_performed(leader, assign(worker.node_id, 1, 1), 5.0)
    checker.on_performed(worker, SendMessage(leader.node_id, [ADDRESS], report), 5.0)
    assert not checker.is_astray(JOB)
    truth.cloned[leader.node_id] = True
    checker.on_performed(worker, SendMessage(leader.node_id, [ADDRESS], report), 6.0)
    checker.on_input(clone, MESSAGE, 1, report, 6.0)
    assert checker.is_astray(JOB)
    checker.on_input(leader, MESSAGE, 1, report, 6.0)
    assert not checker.is_astray(JOB)

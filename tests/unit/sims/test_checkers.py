"""Each checker fires on what it is there for, and is silent on the same done right."""

from __future__ import annotations

import msgpack
import pytest

from sims.checkers.base import Truth, Violation
from sims.checkers.execution import AttemptChecker, CoreChecker, ObjectChecker, RunChecker, VersionChecker
from sims.checkers.leadership import FenceChecker, LeadershipChecker, PromiseChecker
from sims.checkers.membership import MembershipChecker, RefutationChecker
from sims.checkers.records import RecordChecker, StatusChecker
from sims.checkers.traffic import TrafficChecker
from sims.cluster import Cluster, simple_cluster
from sims.executors import Executor
from sims.observer import MESSAGE
from swarm.core.effects import (
    DropObject,
    Effect,
    Erase,
    ExecutorTask,
    InputValue,
    Notify,
    Persist,
    RunTasks,
    SendMessage,
    SendPacket,
    SendToClient,
)
from swarm.core.ids import short

JOB = b"j" * 10
ADDRESS = ("10.0.0.2", 7117)


def mesh() -> tuple[Cluster, Truth]:
    cluster = simple_cluster(3, "checkers")
    for index in range(3):
        cluster.start(index)
    cluster.run_until(5.0)
    return cluster, Truth(cluster)


def frame(kind: int, ballot: tuple[int, bytes], body: list[object], sender: bytes = b"s" * 16) -> bytes:
    packed: bytes = msgpack.packb([kind, sender, ballot[0], ballot[1], 1, body])
    return packed


def packet(kind: int, ballot: tuple[int, bytes], body: list[object]) -> Effect:
    return SendPacket(ADDRESS, frame(kind, ballot, body))


def vote(counter: int) -> Effect:
    return packet(21, (counter, b"a" * 16), [1, counter, b"a" * 16, False, True])


def test_s1_a_promise_is_on_disk_before_it_is_given_and_does_not_fall() -> None:
    cluster, truth = mesh()
    host = cluster.hosts[0]
    checker = PromiseChecker(truth)
    host.disk.tables["node"][b"promise"] = msgpack.packb([8, b"a" * 16])
    checker.on_performed(host, vote(8), 5.0)
    checker.on_performed(host, vote(8), 5.0)
    with pytest.raises(Violation, match=r"S1: .*after"):
        checker.on_performed(host, vote(7), 5.0)
    with pytest.raises(Violation, match=r"S1: .*on disk"):
        checker.on_performed(host, vote(9), 5.0)


def test_s2_a_fence_does_not_fall() -> None:
    cluster, truth = mesh()
    checker = FenceChecker(truth)
    checker.on_performed(cluster.hosts[0], packet(2, (5, b"a" * 16), []), 5.0)
    checker.on_performed(cluster.hosts[1], packet(2, (4, b"a" * 16), []), 5.0)
    with pytest.raises(Violation, match="S2"):
        checker.on_performed(cluster.hosts[0], packet(2, (4, b"b" * 16), []), 5.0)


def refusal(fence: tuple[int, bytes], told: tuple[int, bytes], peer: bytes) -> Effect:
    return SendMessage(peer, [ADDRESS], frame(67, fence, [told[0], told[1]]))


def test_s2_what_is_refused_is_below_the_fence_that_it_is_answered_with() -> None:
    cluster, truth = mesh()
    checker = FenceChecker(truth)
    host, leader = cluster.hosts[0], b"s" * 16
    stale = frame(61, (4, b"a" * 16), [[]], leader)
    checker.on_input(host, MESSAGE, 1, stale, 5.0)
    checker.on_performed(host, refusal((5, b"a" * 16), (5, b"a" * 16), leader), 5.0)
    with pytest.raises(Violation, match=r"S2: .*refuses with"):
        checker.on_performed(host, refusal((5, b"a" * 16), (4, b"a" * 16), leader), 5.0)
    checker.on_input(host, MESSAGE, 1, frame(61, (5, b"a" * 16), [[]], leader), 5.0)
    with pytest.raises(Violation, match=r"S2: .*tells that it obeys"):
        checker.on_performed(host, refusal((5, b"a" * 16), (5, b"a" * 16), leader), 5.0)


def beat(counter: int) -> Effect:
    return packet(22, (counter, b"a" * 16), [counter, b"a" * 16, 1, []])


def test_s4_a_ballot_has_one_leader() -> None:
    cluster, truth = mesh()
    checker = LeadershipChecker(truth)
    checker.on_performed(cluster.hosts[0], beat(4), 5.0)
    checker.on_performed(cluster.hosts[1], beat(5), 5.0)
    with pytest.raises(Violation, match=r"S4: .*lead under"):
        checker.on_performed(cluster.hosts[1], beat(4), 5.0)


def test_s4_a_leader_has_a_majority_of_those_it_asked() -> None:
    cluster, truth = mesh()
    checker = LeadershipChecker(truth)
    for port in range(4):
        request = frame(20, (3, b"a" * 16), [1, 9, b"a" * 16, False])
        checker.on_performed(cluster.hosts[0], SendPacket(("10.0.0.9", port), request), 5.0)
    checker.on_performed(cluster.hosts[1], vote(9), 5.0)
    checker.on_performed(cluster.hosts[1], vote(9), 5.0)
    with pytest.raises(Violation, match="with 2 votes of 5"):
        checker.on_performed(cluster.hosts[0], beat(9), 5.0)


def test_s4_a_leader_does_not_lead_on_after_a_long_sleep() -> None:
    cluster, truth = mesh()
    checker = LeadershipChecker(truth)
    checker.on_performed(cluster.hosts[0], beat(4), 5.0)
    truth.stalls[0] = (6.0, 7.0)
    checker.on_performed(cluster.hosts[0], beat(4), 7.0)
    truth.stalls[0] = (8.0, 18.0)
    checker.on_performed(cluster.hosts[0], beat(4), 18.0)
    with pytest.raises(Violation, match=r"10.0 s of silence"):
        checker.on_performed(cluster.hosts[0], beat(4), 18.1)


def said(cluster: Cluster, event: str, member: int, incarnation: int) -> list[Effect]:
    values: dict[str, object] = {"member": short(cluster.hosts[member].node_id), "incarnation": incarnation}
    return [Notify(event, values)]


def test_s10_the_dead_need_a_higher_incarnation() -> None:
    cluster, truth = mesh()
    truth.net_troubled_at = 4.9
    checker = MembershipChecker(truth)
    host = cluster.hosts[0]
    checker.on_effects(host, said(cluster, "member_dead", 1, 3), 5.0)
    checker.on_effects(host, said(cluster, "member_alive", 1, 4), 5.0)
    checker.on_effects(host, said(cluster, "member_dead", 1, 4), 5.0)
    with pytest.raises(Violation, match="S10"):
        checker.on_effects(host, said(cluster, "member_alive", 1, 4), 5.0)


def test_d2_who_is_well_is_not_dead() -> None:
    cluster, truth = mesh()
    cluster.run_until(60.0)
    checker = MembershipChecker(truth)
    with pytest.raises(Violation, match="D2"):
        checker.on_effects(cluster.hosts[0], said(cluster, "member_dead", 1, 1), 60.0)
    truth.troubled_at[1] = 50.0
    checker.on_effects(cluster.hosts[0], said(cluster, "member_dead", 1, 1), 60.0)


def news(cluster: Cluster, *told: tuple[int, int]) -> Effect:
    """A packet to host 1 with rumours (state, host)."""
    rumours = [msgpack.packb([state, cluster.hosts[host].node_id, 2, b"a" * 16]) for state, host in told]
    return SendPacket(cluster.hosts[1].address, frame(6, (1, b"a" * 16), [rumours]))


def test_d3_a_refutation_goes_before_other_news() -> None:
    cluster, truth = mesh()
    checker = RefutationChecker(truth)
    host = cluster.hosts[0]
    refuted = Notify("refuted", {"accuser": "x", "claim": "suspect", "incarnation": 1})
    checker.on_performed(host, refuted, 5.0)
    checker.on_performed(host, news(cluster, (0, 0)), 5.0)
    checker.on_performed(host, news(cluster, (1, 1)), 5.0)
    checker.on_performed(host, news(cluster, (0, 0), (1, 2)), 5.0)
    checker.on_performed(host, news(cluster, (1, 2), (1, 1)), 5.0)
    checker.on_performed(host, refuted, 6.0)
    checker.on_performed(host, Notify("member_alive", {"member": short(cluster.hosts[2].node_id)}), 6.0)
    checker.on_performed(host, news(cluster, (0, 2)), 6.0)
    with pytest.raises(Violation, match="D3"):
        checker.on_performed(host, news(cluster, (1, 2), (0, 2)), 6.0)
    with pytest.raises(Violation, match="D3"):
        checker.on_performed(host, news(cluster, (0, 2)), 30.0)


def acknowledgement(names: list[str]) -> Effect:
    return SendToClient(1, frame(81, (1, b""), [1, JOB, 0, names]))


def test_s6_what_is_acknowledged_is_on_the_disks_that_are_named() -> None:
    cluster, truth = mesh()
    checker = RecordChecker(truth)
    for host in cluster.hosts:
        host.disk.tables["parts"] = {JOB + bytes(4): b"part"}
    checker.on_performed(cluster.hosts[0], acknowledgement(["n0", "n1", "n2"]), 5.0)
    checker.look(5.0)
    with pytest.raises(Violation, match="counts a keeper twice"):
        checker.on_performed(cluster.hosts[0], acknowledgement(["n0", "n1", "n1"]), 5.0)
    for host in cluster.hosts:
        host.disk.tables["parts"] = {}
    with pytest.raises(Violation, match="is on no disk"):
        checker.look(5.0)
    with pytest.raises(Violation, match="nothing is on the disk"):
        checker.on_performed(cluster.hosts[0], acknowledgement(["n0", "n1", "n2"]), 5.0)


def test_s6_excuses_disks_that_were_destroyed() -> None:
    cluster, truth = mesh()
    checker = RecordChecker(truth)
    for host in cluster.hosts:
        host.disk.tables["parts"] = {JOB + bytes(4): b"part"}
    checker.on_performed(cluster.hosts[0], acknowledgement(["n0", "n1", "n2"]), 5.0)
    for host in cluster.hosts:
        checker.lose(host.index)
        host.disk.tables["parts"] = {}
    checker.look(5.0)


def test_s7_a_copy_goes_with_a_tombstone_only() -> None:
    cluster, truth = mesh()
    checker = RecordChecker(truth)
    tomb = Persist("tombs", JOB, b"done", False)
    checker.on_effects(cluster.hosts[0], [tomb, Erase("parts", JOB)], 5.0)
    with pytest.raises(Violation, match="S7"):
        checker.on_effects(cluster.hosts[0], [Erase("parts", JOB)], 5.0)


def test_s9_a_tombstone_is_not_forgotten() -> None:
    cluster, truth = mesh()
    with pytest.raises(Violation, match="S9"):
        RecordChecker(truth).on_effects(cluster.hosts[0], [Erase("tombs", JOB)], 5.0)


def update(state: str, digest: bytes = b"d" * 16) -> Effect:
    completion = [0, 1, b"n" * 16, b"", 0.1, [[digest, 1, 0, None]], None]
    return SendToClient(1, frame(84, (1, b""), [JOB, state, 1, [1, 1, 0, 0], [completion], "", True, 1]))


def test_s9_what_was_done_stays_done_with_its_results() -> None:
    cluster, truth = mesh()
    checker = StatusChecker(truth, RecordChecker(truth))
    checker.on_performed(cluster.hosts[0], update("running"), 5.0)
    checker.on_performed(cluster.hosts[0], update("done"), 5.0)
    with pytest.raises(Violation, match=r"S9: .*was done"):
        checker.on_performed(cluster.hosts[1], update("failed"), 5.0)
    with pytest.raises(Violation, match=r"S9: .*another result"):
        checker.on_performed(cluster.hosts[1], update("done", b"e" * 16), 5.0)


def test_s9_any_end_stays_where_only_processes_end() -> None:
    cluster, truth = mesh()
    checker = StatusChecker(truth, RecordChecker(truth))
    checker.on_performed(cluster.hosts[0], update("cancelled"), 5.0)
    truth.net_troubled_at = 5.0
    checker.on_performed(cluster.hosts[1], update("done"), 5.0)
    checker.on_performed(cluster.hosts[1], update("cancelled"), 5.0)
    truth.net_troubled_at = 0.0
    with pytest.raises(Violation, match=r"S9: .*was done"):
        checker.on_performed(cluster.hosts[0], update("cancelled"), 5.0)
    other = StatusChecker(truth, RecordChecker(truth))
    other.on_performed(cluster.hosts[0], update("cancelled"), 5.0)
    with pytest.raises(Violation, match=r"S9: .*was cancelled"):
        other.on_performed(cluster.hosts[1], update("done"), 5.0)


def winner(digest: bytes, ballot: int = 3, size: int = 1) -> Effect:
    completion = [0, 1, b"n" * 16, b"", 0.1, [[digest, size, 0, None]], None]
    body = [JOB, "running", 1, [1, 1, 0, 0], [completion], "", False, 1]
    return SendMessage(b"w" * 16, [ADDRESS], frame(72, (ballot, b"a" * 16), body))


def test_s9_a_leader_does_not_replace_a_result() -> None:
    cluster, truth = mesh()
    checker = StatusChecker(truth, RecordChecker(truth))
    host = cluster.hosts[0]
    checker.on_performed(host, winner(b"d" * 16), 5.0)
    checker.on_performed(host, winner(b"e" * 16, ballot=4), 5.0)
    checker.on_performed(host, winner(b"f" * 16, size=1 << 20), 5.0)
    with pytest.raises(Violation, match=r"S9: .*replaces"):
        checker.on_performed(host, winner(b"e" * 16), 5.0)


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


def assign(peer: bytes, attempt: int) -> Effect:
    return SendMessage(peer, [ADDRESS], frame(61, (3, b"a" * 16), [[[JOB, 0, attempt]]]))


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


def test_e5_a_node_runs_no_more_than_its_cores() -> None:
    cluster, truth = mesh()
    checker = CoreChecker(truth)
    host = cluster.hosts[0]
    order = RunTasks(0, [ExecutorTask(1, JOB, 1, 1, 2, "t", None, b"", [], 1, 0)])
    checker.on_performed(host, order, 5.0)
    for number in range(2):
        host.executors[number] = Executor()
        host.executors[number].queue = order.tasks
    with pytest.raises(Violation, match="E5"):
        checker.on_performed(host, order, 5.0)


def test_l5_nobody_floods() -> None:
    cluster, truth = mesh()
    checker = TrafficChecker(truth)
    checker.look(5.0)
    checker.look(10.0)
    cluster.inputs += 100_000
    with pytest.raises(Violation, match="L5"):
        checker.look(11.0)


def test_who_is_in_trouble_is_not_well() -> None:
    cluster, truth = mesh()
    cluster.run_until(20.0)
    assert truth.is_well(0, 10.0)
    truth.starving[0] = True
    assert not truth.is_well(0, 10.0)
    assert not truth.is_well(1, 30.0)
    cluster.pause(1, 5.0)
    assert not truth.is_well(1, 0.0)
    truth.net_troubled_at = 19.0
    assert not truth.is_well(2, 5.0)
    cluster.kill(2)
    assert not truth.is_well(2, 0.0)


def test_nobody_is_well_while_there_is_a_clone_or_a_cut() -> None:
    cluster, truth = mesh()
    cluster.run_until(20.0)
    truth.clones[1] = 0
    assert not truth.is_well(2, 1.0)
    assert not truth.was_calm()
    truth.end_clone(1)
    assert truth.net_troubled_at == 20.0
    cluster.run_until(30.0)
    assert truth.is_well(2, 5.0)
    truth.is_cut = True
    assert not truth.is_well(2, 5.0)

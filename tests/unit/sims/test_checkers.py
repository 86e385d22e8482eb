"""Checkers of leaders, members, records and traffic fire on what they are there for, and on nothing else."""

from __future__ import annotations

import msgpack
import pytest

from sims.checkers.base import Truth, Violation
from sims.checkers.leadership import FenceChecker, LeadershipChecker, OrderChecker, PromiseChecker
from sims.checkers.membership import MembershipChecker, RefutationChecker
from sims.checkers.records import RecordChecker, StatusChecker
from sims.checkers.traffic import TURNS_IN_A_MOMENT, TrafficChecker
from sims.cluster import Cluster
from sims.observer import MESSAGE, PACKET
from swarm.core.effects import Effect, Erase, Notify, Persist, SendMessage, SendPacket
from swarm.core.ids import short
from tests.unit.sims.checker_samples import (
    ADDRESS,
    HIGH,
    JOB,
    LOW,
    acknowledgement,
    frame,
    mesh,
    order,
    packet,
    runs,
    stand,
    update,
)


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


def beat(counter: int, owner: bytes = b"a" * 16) -> Effect:
    return packet(22, (counter, owner), [True])


def order_checker() -> tuple[Cluster, Truth, FenceChecker, OrderChecker]:
    cluster, truth = mesh()
    fences = FenceChecker(truth)
    return cluster, truth, fences, OrderChecker(truth, fences)


def test_s3_a_stale_order_is_not_executed() -> None:
    cluster, _, fences, checker = order_checker()
    host = cluster.hosts[0]
    fences.on_input(host, PACKET, 1, frame(22, HIGH, [4, b"b" * 16, 1, []]), 5.0)
    assert fences.fence_of(host) == HIGH
    checker.on_input(host, MESSAGE, 1, order(LOW, (1, 1), (2, 1)), 5.0)
    checker.on_effects(host, [], 5.0)
    with pytest.raises(Violation, match=r"S3: .*task 2 on the order of \(3"):
        checker.on_effects(host, runs((2, 1)), 6.0)
    checker.on_input(host, MESSAGE, 1, order(HIGH, (1, 1)), 6.0)
    checker.on_effects(host, runs((1, 1)), 6.0)
    checker.on_input(host, MESSAGE, 1, order(LOW, (1, 1)), 7.0)
    checker.on_effects(host, runs((1, 1)), 7.0)


def test_s3_the_fence_is_what_a_node_told_in_an_earlier_life_too() -> None:
    cluster, _, fences, checker = order_checker()
    host = cluster.hosts[0]
    fences.on_performed(host, packet(2, HIGH, []), 5.0)
    host.epoch += 1
    checker.on_boot(host, 5.0)
    checker.on_input(host, MESSAGE, 1, order(LOW, (1, 1)), 5.0)
    with pytest.raises(Violation, match="S3"):
        checker.on_effects(host, runs((1, 1)), 5.0)


def test_s3_nothing_runs_that_nobody_ordered() -> None:
    cluster, truth, _, checker = order_checker()
    host = cluster.hosts[0]
    with pytest.raises(Violation, match="which nobody ordered"):
        checker.on_effects(host, runs((1, 1)), 5.0)
    stand(truth, 0)
    checker.on_effects(host, runs((1, 1)), 5.0)


def test_s3_a_leader_does_not_execute_the_orders_of_one_before() -> None:
    cluster, truth, fences, checker = order_checker()
    host = cluster.hosts[0]
    stand(truth, 0)
    fences.on_performed(host, packet(22, HIGH, []), 5.0)
    checker.on_input(host, MESSAGE, 1, order(LOW, (1, 1)), 5.0)
    checker.on_effects(host, [], 5.0)
    checker.on_effects(host, runs((1, 1)), 6.0)  # its own order, with the same number
    checker.on_input(host, MESSAGE, 1, order(LOW, (2, 1)), 7.0)
    with pytest.raises(Violation, match="S3"):
        checker.on_effects(host, runs((2, 1)), 7.0)


def test_who_promises_another_ballot_has_not_stood() -> None:
    cluster, truth = mesh()
    ballot: bytes = msgpack.packb([9, b"x" * 16])
    truth.on_effects(cluster.hosts[2], [Persist("node", b"promise", ballot, True)], 5.0)
    assert not truth.has_stood(cluster.hosts[2])


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
        request = frame(20, (3, b"a" * 16), [1, 9, cluster.hosts[0].node_id, False])
        checker.on_performed(cluster.hosts[0], SendPacket(("10.0.0.9", port), request), 5.0)
    candidate = cluster.hosts[0]
    for voter in (b"v" * 16, b"v" * 16, candidate.node_id):
        checker.on_input(candidate, PACKET, 1, ballot_paper(9, candidate.node_id, voter), 5.0)
    with pytest.raises(Violation, match="with 2 votes of 5"):
        checker.on_performed(candidate, beat(9, candidate.node_id), 5.0)


def ballot_paper(counter: int, owner: bytes, voter: bytes, is_pre_vote: bool = False) -> bytes:
    return frame(21, (counter, owner), [1, counter, owner, is_pre_vote, True], voter)


def test_s4_a_vote_counts_only_where_it_arrives() -> None:
    cluster, truth = mesh()
    checker = LeadershipChecker(truth)
    candidate = cluster.hosts[0]
    for port in range(2):
        request = frame(20, (3, b"a" * 16), [1, 9, candidate.node_id, False])
        checker.on_performed(candidate, SendPacket(("10.0.0.9", port), request), 5.0)
    lost = SendPacket(candidate.address, ballot_paper(9, candidate.node_id, cluster.hosts[1].node_id))
    checker.on_performed(cluster.hosts[1], lost, 5.0)
    checker.on_input(candidate, PACKET, 1, ballot_paper(9, candidate.node_id, b"v" * 16, True), 5.0)
    with pytest.raises(Violation, match="with 1 votes of 3"):
        checker.on_performed(candidate, beat(9, candidate.node_id), 5.0)
    arrived = LeadershipChecker(truth)
    arrived.on_input(candidate, PACKET, 1, ballot_paper(9, candidate.node_id, b"v" * 16), 5.0)
    for port in range(2):
        request = frame(20, (3, b"a" * 16), [1, 9, candidate.node_id, False])
        arrived.on_performed(candidate, SendPacket(("10.0.0.9", port), request), 5.0)
    arrived.on_performed(candidate, beat(9, candidate.node_id), 5.0)


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


def ping(digest: bytes) -> bytes:
    """A PING of a node whose table has a digest, without rumours."""
    return frame(2, (1, b"a" * 16), [1, b"t" * 16, digest, []])


def test_d3_nothing_is_owed_once_others_hold_the_same_table() -> None:
    cluster, truth = mesh()
    checker = RefutationChecker(truth)
    host = cluster.hosts[0]
    refuted = Notify("refuted", {"accuser": "x", "claim": "suspect", "incarnation": 1})
    for heard, is_known in (((b"new", b"new", b"new"), True), ((b"new", b"old", b"new", b"new"), False)):
        checker.on_input(host, PACKET, 1, ping(b"new"), 5.0)
        checker.on_performed(host, refuted, 5.0)
        checker.on_performed(host, SendPacket(ADDRESS, ping(b"new")), 5.0)
        for digest in heard:
            checker.on_input(host, PACKET, 1, ping(digest), 5.0)
        if is_known:
            checker.on_performed(host, news(cluster, (1, 2), (1, 1)), 5.0)
        else:
            with pytest.raises(Violation, match="D3"):
                checker.on_performed(host, news(cluster, (1, 2), (1, 1)), 5.0)


def test_d3_a_table_that_others_share_and_the_node_does_not_is_no_answer() -> None:
    cluster, truth = mesh()
    checker = RefutationChecker(truth)
    host = cluster.hosts[0]
    checker.on_performed(host, Notify("refuted", {"accuser": "x", "claim": "suspect", "incarnation": 1}), 5.0)
    checker.on_performed(host, SendPacket(ADDRESS, ping(b"new")), 5.0)
    for _ in range(4):
        checker.on_input(host, PACKET, 1, ping(b"old"), 5.0)
    with pytest.raises(Violation, match="D3"):
        checker.on_performed(host, news(cluster, (1, 2), (1, 1)), 5.0)


def test_d2_reaches_back_to_the_first_accusation_and_looks_at_single_ways() -> None:
    cluster, truth = mesh()
    cluster.run_until(80.0)
    checker = MembershipChecker(truth)
    checker.on_effects(cluster.hosts[2], said(cluster, "member_suspect", 1, 7), 60.0)
    truth.troubled_at[1] = 59.0
    checker.on_effects(cluster.hosts[0], said(cluster, "member_dead", 1, 7), 80.0)
    truth.wide_troubled_at = 70.0
    checker.on_effects(cluster.hosts[0], said(cluster, "member_dead", 1, 8), 80.0)
    truth.wide_troubled_at = 0.0
    truth.net_troubled_at = 79.0  # a way between others
    with pytest.raises(Violation, match="D2"):
        checker.on_effects(cluster.hosts[0], said(cluster, "member_dead", 1, 9), 80.0)


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


def test_s6_a_copy_that_came_back_excuses_nothing_any_more() -> None:
    cluster, truth = mesh()
    checker = RecordChecker(truth)
    for host in cluster.hosts:
        host.disk.tables["parts"] = {JOB + bytes(4): b"part"}
    checker.on_performed(cluster.hosts[0], acknowledgement(["n0", "n1", "n2"]), 5.0)
    for host in cluster.hosts:
        checker.lose(host.index)
        host.node_id = bytes([host.index]) * 16
    checker.look(5.0)
    for host in cluster.hosts:
        host.disk.tables["parts"] = {}
    with pytest.raises(Violation, match="is on no disk"):
        checker.look(6.0)


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


def test_s9_what_has_ended_does_not_run_again_or_end_otherwise() -> None:
    cluster, truth = mesh()
    cluster.run_until(60.0)
    for before, after in (("done", "running"), ("failed", "done"), ("cancelled", "running")):
        truth.net_troubled_at = 30.0  # long before the job
        checker = StatusChecker(truth, RecordChecker(truth))
        checker.on_performed(cluster.hosts[0], update("running"), 55.0)
        checker.on_performed(cluster.hosts[0], update(before), 56.0)
        with pytest.raises(Violation, match=f"S9: .*was {before}"):
            checker.on_performed(cluster.hosts[1], update(after), 57.0)
        truth.net_troubled_at = 56.5
        checker.on_performed(cluster.hosts[1], update(after), 57.0)


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


def test_l5_nobody_floods() -> None:
    cluster, truth = mesh()
    checker = TrafficChecker(truth)
    checker.look(5.0)
    for _ in range(1500):
        checker.on_input(cluster.hosts[0], PACKET, 1, b"", 5.5)
    checker.look(6.0)
    for _ in range(2000):
        checker.on_input(cluster.hosts[0], PACKET, 1, b"", 6.5)
    with pytest.raises(Violation, match="L5"):
        checker.look(7.0)


def test_l5_time_goes_on() -> None:
    cluster, truth = mesh()
    checker = TrafficChecker(truth)
    for moment in (5.0, 5.1):
        for _ in range(TURNS_IN_A_MOMENT):
            checker.on_effects(cluster.hosts[0], [], moment)
    with pytest.raises(Violation, match=r"L5: .*without end in one moment: Erase"):
        checker.on_effects(cluster.hosts[0], [Erase("tombs", b"")], 5.1)


def test_l5_there_are_no_more_news_than_members() -> None:
    cluster, truth = mesh()
    checker = TrafficChecker(truth)
    checker.look(5.0)
    for number in range(60):
        told = frame(6, LOW, [[msgpack.packb([1, b"m" * 16, number, b"a" * 16])]])
        checker.on_performed(cluster.hosts[0], SendPacket(ADDRESS, told), 5.5)
    with pytest.raises(Violation, match=r"60 different rumours in 1.0 s"):
        checker.look(6.0)


def test_l5_news_are_counted_by_the_second() -> None:
    cluster, truth = mesh()
    checker = TrafficChecker(truth)
    checker.look(5.0)
    for number in range(60):
        told = frame(6, LOW, [[msgpack.packb([1, b"m" * 16, number, b"a" * 16])]])
        checker.on_performed(cluster.hosts[0], SendPacket(ADDRESS, told), 5.5)
    checker.look(8.0)


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

"""Faults of a scenario happen at their times to the hosts that they mean, and end."""

from __future__ import annotations

from pathlib import Path

import pytest

from sims import Fault, HostGroup, Scenario, run
from sims.recording.rows import Event
from sims.scenario.faults import KINDS
from sims.staging.agenda import Agenda
from sims.staging.stage import Stage, build_cluster


def staged(*faults: Fault, nodes: int = 4, seconds: float = 30.0, hosts: tuple[HostGroup, ...] = ()) -> Stage:
    """Return a scenario that is set up and planned, with nothing run."""
    scenario = Scenario(
        nodes=5 if hosts else nodes,
        seconds=seconds,
        faults=faults,
        hosts=hosts,
        contacts=("n0",) * (not hosts),
    )
    stage = Stage(scenario, keeps_rows=True)
    stage._actor.plan()
    return stage


def run_to(stage: Stage, time_s: float) -> None:
    stage._agenda.run(stage.cluster, time_s, lambda: False)


def up(stage: Stage) -> list[int]:
    return [host.index for host in stage.cluster.hosts if host.node is not None]


def told(stage: Stage) -> list[tuple[float, int, str, str]]:
    """Return time, host, event and detail of what the actor told so far."""
    return [(row.time_s, row.node, row.event, row.detail) for row in stage._actor.events]


def test_every_kind_of_fault_is_performed() -> None:
    assert sorted(staged()._actor._methods) == sorted(KINDS)


def test_actions_happen_in_order_and_those_of_one_time_as_they_were_noted() -> None:
    agenda = Agenda()
    seen: list[str] = []
    agenda.note(2.0, lambda now: seen.append(f"late {now:g}"))
    agenda.note(1.0, lambda now: seen.append(f"first {now:g}"))
    agenda.note(1.0, lambda now: agenda.note(1.5, lambda then: seen.append(f"between {then:g}")))
    agenda.note(9.0, lambda now: seen.append("never"))
    cluster = build_cluster(Scenario(nodes=1))
    agenda.run(cluster, 5.0, lambda: False)
    assert seen == ["first 1", "between 1.5", "late 2"], seen
    assert cluster.engine.now == 5.0


def test_an_agenda_stops_when_all_is_over() -> None:
    agenda = Agenda()
    seen: list[float] = []
    for time_s in (1.0, 2.0, 3.0):
        agenda.note(time_s, seen.append)
    cluster = build_cluster(Scenario(nodes=1))
    agenda.run(cluster, 5.0, lambda: len(seen) == 2)
    assert (seen, cluster.engine.now) == ([1.0, 2.0], 2.0)


def test_nodes_start_when_their_group_says() -> None:
    stage = staged(
        hosts=(
            HostGroup(name="n", count=2),
            HostGroup(name="late", start_s=5),
            HostGroup(name="never", start_s=-1),
            HostGroup(name="some", count=2, start_s=1, start_spread_s=8),
        )
    )
    run_to(stage, 0.5)
    assert up(stage) == [0, 1]
    run_to(stage, 9.5)
    assert up(stage) == [0, 1, 2, 4, 5]


@pytest.mark.parametrize(
    ("kind", "is_dark"), [("crash", False), ("power-off", True), ("restart", False), ("leave", False)]
)
def test_ends_of_nodes_are_undone_after_their_time(kind: str, is_dark: bool) -> None:
    stage = staged(Fault(at_s=5, kind=kind, targets=("n1", "n2"), for_s=4))
    run_to(stage, 6.0)
    assert up(stage) == [0, 3]
    assert stage.cluster.hosts[1].is_dark == is_dark
    run_to(stage, 10.0)
    assert up(stage) == [0, 1, 2, 3]
    assert [row[2:] for row in told(stage)] == [("fault", f"{kind} for 4")] * 2 + [("fault_ends", kind)] * 2


def test_without_an_end_they_stay_down_until_they_are_started() -> None:
    stage = staged(
        Fault(at_s=5, kind="crash", targets=("n1",)), Fault(at_s=15, kind="start", targets=("all",))
    )
    run_to(stage, 14.0)
    assert up(stage) == [0, 2, 3]
    run_to(stage, 16.0)
    assert up(stage) == [0, 1, 2, 3]


def test_a_destroyed_disk_takes_the_identity_with_it() -> None:
    stage = staged(Fault(at_s=5, kind="crash", targets=("n1",), disk="destroyed", for_s=2))
    before = stage.cluster.hosts[1].node_id
    run_to(stage, 8.0)
    assert stage.cluster.hosts[1].node_id != before


def test_the_leader_is_whoever_leads_at_that_time() -> None:
    stage = staged(Fault(at_s=5, kind="power-off", targets=("leader",), every_s=8, until_s=13), nodes=5)
    run_to(stage, 4.9)
    first = stage.cluster.leaders()
    run_to(stage, 12.9)
    second = stage.cluster.leaders()
    assert first != second
    run_to(stage, 20.0)
    assert [host for _, host, _, _ in told(stage)] == [*first, *second]
    assert len(up(stage)) == 3


def test_followers_are_all_others() -> None:
    stage = staged(Fault(at_s=5, kind="crash", targets=("followers",)))
    run_to(stage, 4.9)
    leaders = stage.cluster.leaders()
    run_to(stage, 5.0)
    assert up(stage) == leaders


def test_random_hosts_are_chosen_anew_and_by_the_seed_alone() -> None:
    fault = Fault(at_s=2, kind="clock-jump", targets=("random:2",), every_s=1, seconds=1)
    chosen = []
    for _ in range(2):
        stage = staged(fault, nodes=6, seconds=10.0)
        run_to(stage, 10.0)
        chosen.append([host for _, host, _, _ in told(stage)])
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 18
    assert len(set(chosen[0])) > 3
    pairs = list(zip(chosen[0][::2], chosen[0][1::2], strict=True))
    assert all(one != two for one, two in pairs)


def test_random_is_chosen_of_those_that_run_or_for_a_start_of_those_that_are_down() -> None:
    stage = staged(
        Fault(at_s=2, kind="crash", targets=("n0", "n1", "n2")),
        Fault(at_s=3, kind="crash", targets=("random",)),
        Fault(at_s=4, kind="start", targets=("random:2",)),
    )
    run_to(stage, 3.0)
    assert up(stage) == []
    run_to(stage, 4.0)
    assert len(up(stage)) == 2


def test_a_fault_without_any_target_at_that_time_is_told_and_does_nothing() -> None:
    stage = staged(
        Fault(at_s=2, kind="crash", targets=("all",)),
        Fault(at_s=3, kind="pause", targets=("leader",), for_s=1),
    )
    run_to(stage, 5.0)
    assert told(stage)[-2:] == [(3.0, -1, "fault", "pause for 1"), (4.0, -1, "fault_ends", "pause")]


def test_partitions_hold_for_their_time() -> None:
    stage = staged(Fault(at_s=5, kind="partition", targets=("n0", "n1"), for_s=3))
    network = stage.cluster.network
    run_to(stage, 6.0)
    assert not network.reaches(0, 2, 6.0)
    assert network.reaches(0, 1, 6.0)
    run_to(stage, 8.0)
    assert network.reaches(0, 2, 8.0)


def test_blocks_and_isolation() -> None:
    stage = staged(
        Fault(at_s=1, kind="block", targets=("n0",), others=("n1",), direction="out", for_s=2),
        Fault(at_s=5, kind="isolate", targets=("n2", "n3"), for_s=2),
    )
    network = stage.cluster.network
    run_to(stage, 2.0)
    assert (network.reaches(0, 1, 2.0), network.reaches(1, 0, 2.0)) == (False, True)
    run_to(stage, 6.0)
    assert (network.reaches(0, 1, 6.0), network.reaches(2, 3, 6.0)) == (True, False)
    run_to(stage, 7.0)
    assert network.reaches(2, 3, 7.0)


def test_flapping_cuts_for_a_share_of_every_period_and_stops() -> None:
    stage = staged(Fault(at_s=10, kind="flap", targets=("n0",), period_s=4, share=0.25, for_s=9))
    network = stage.cluster.network
    open_at = {}
    for half_seconds in range(19, 42):
        run_to(stage, half_seconds / 2)
        open_at[half_seconds / 2] = network.reaches(0, 1, 0.0)
    cut = [time_s for time_s, is_open in open_at.items() if not is_open]
    assert cut == [10.0, 10.5, 14.0, 14.5, 18.0, 18.5]


def test_heal_ends_what_is_cut_and_deaf() -> None:
    stage = staged(
        Fault(at_s=1, kind="partition", targets=("n0",)),
        Fault(at_s=1, kind="deaf", targets=("n1",)),
        Fault(at_s=3, kind="heal"),
    )
    network = stage.cluster.network
    run_to(stage, 2.0)
    assert not network.reaches(0, 1, 2.0)
    assert 1 not in network.listeners(2)
    run_to(stage, 3.0)
    assert network.reaches(0, 1, 3.0)
    assert 1 in network.listeners(2)


def test_loss_latency_and_clogs_of_the_network() -> None:
    stage = staged(
        Fault(at_s=1, kind="loss", share=0.9, for_s=2),
        Fault(at_s=1, kind="latency", factor=50, for_s=3),
        Fault(at_s=1, kind="clog", targets=("n0",), others=("n1",), for_s=8),
    )
    network = stage.cluster.network
    run_to(stage, 2.0)
    assert network._loss == 0.9
    assert network.delay_s(2, 3) >= 0.025
    run_to(stage, 5.0)
    assert network._loss == 0.0
    assert network.delay_s(2, 3) < 0.025
    assert network.send(0, 1, 10, 5.0) == 9.0


def test_processes_stand_still_and_hosts_sleep() -> None:
    stage = staged(
        Fault(at_s=5, kind="pause", targets=("n0",), for_s=4),
        Fault(at_s=5, kind="suspend", targets=("n1",), for_s=6, counts_sleep=False),
    )
    run_to(stage, 5.0)
    hosts = stage.cluster.hosts
    assert hosts[0].stalled_until == 9.0
    assert hosts[1].stalled_until == 11.0
    assert (hosts[0].is_asleep, hosts[1].is_asleep) == (False, True)
    run_to(stage, 12.0)
    assert hosts[0].now(12.0) == 12.0
    assert hosts[1].now(12.0) == pytest.approx(6.0), "its clock stood still in the sleep"


def test_slow_drifting_and_jumping_hosts() -> None:
    stage = staged(
        Fault(at_s=1, kind="slow", targets=("n0",), input_s=0.01, factor=3, for_s=2),
        Fault(at_s=1, kind="drift", targets=("n1",), drift_ppm=1000, for_s=10),
        Fault(at_s=2, kind="clock-jump", targets=("n2",), seconds=100),
    )
    hosts = stage.cluster.hosts
    run_to(stage, 2.0)
    assert (hosts[0].input_s, hosts[0].slowness) == (0.01, 3.0)
    assert hosts[2].now(2.0) == pytest.approx(102.0)
    run_to(stage, 20.0)
    assert (hosts[0].input_s, hosts[0].slowness) == (0.0, 1.0)
    assert hosts[1].now(20.0) == pytest.approx(20.01)


def test_disks_lie_and_are_damaged() -> None:
    stage = staged(
        Fault(at_s=3, kind="lying-disk", targets=("n0",), for_s=2),
        Fault(at_s=3, kind="bit-flip", targets=("n1",)),
    )
    run_to(stage, 3.0)
    assert stage.cluster.hosts[0].disk.is_lying
    assert stage.cluster.hosts[1].disk.is_damaged
    run_to(stage, 5.0)
    assert not stage.cluster.hosts[0].disk.is_lying


def test_hosts_move_and_are_cloned() -> None:
    stage = staged(
        Fault(at_s=3, kind="move", targets=("n0",)),
        Fault(at_s=4, kind="clone", targets=("n1",), others=("copy",)),
        hosts=(HostGroup(name="n", count=3), HostGroup(name="copy", start_s=-1)),
    )
    before = stage.cluster.hosts[0].address
    run_to(stage, 5.0)
    assert stage.cluster.hosts[0].address != before
    assert up(stage) == [0, 1, 2, 3]


def test_churn_lets_hosts_come_and_go_and_ends_with_all_up() -> None:
    churn = Fault(at_s=5, kind="churn", targets=("n1", "n2", "n3"), up_s=5, down_s=2, for_s=80)
    stage = staged(churn, seconds=100.0)
    run_to(stage, 84.9)
    rows = [row for row in told(stage) if row[3].startswith("churn ") and "for" not in row[3]]
    assert len([row for row in rows if row[3] == "churn crash"]) > 15
    assert {host for _, host, _, _ in rows} == {1, 2, 3}
    run_to(stage, 86.0)
    assert up(stage) == [0, 1, 2, 3]
    before = len(told(stage))
    run_to(stage, 100.0)
    assert len(told(stage)) == before


def test_churn_of_nobody_named_is_churn_of_all() -> None:
    stage = staged(Fault(at_s=1, kind="churn", up_s=2, down_s=1, ends="leave"), seconds=40.0)
    run_to(stage, 39.0)
    assert {host for _, host, _, detail in told(stage) if detail == "churn leave"} == {0, 1, 2, 3}


def test_churn_follows_a_trace(tmp_path: Path) -> None:
    (tmp_path / "churn.csv").write_text(
        "0,n1,crash\n2,n2,power-off\n3,n1,up\n4,n1,up\n5,n3,leave\n99,n0,crash\n"
    )
    stage = staged(Fault(at_s=10, kind="churn-trace", file=str(tmp_path / "churn.csv")))
    ups = {}
    for time_s in (10, 12, 13, 14, 17):
        run_to(stage, float(time_s))
        ups[time_s] = up(stage)
    assert ups == {10: [0, 2, 3], 12: [0, 3], 13: [0, 1, 3], 14: [0, 1, 3], 17: [0, 1]}


def test_rows_of_one_time_begin_with_the_cause() -> None:
    stage = staged(Fault(at_s=5, kind="crash", targets=("n1",)))
    run_to(stage, 6.0)
    rows = [row for row in stage.take_rows() if row.time_s == 5.0 and row.node == 1]
    assert [row.event for row in rows[:2]] == ["fault", "down"]
    assert rows[0] == Event(5.0, 1, "fault", -1, 0, "crash")
    assert stage.take_rows() == []


def test_a_run_of_plain_nodes_is_what_the_cluster_alone_would_do() -> None:
    scenario = Scenario(nodes=4, seconds=12.0)
    cluster = build_cluster(scenario)
    for index in range(4):
        cluster.start(index)
    cluster.run_until(12.0)
    assert run(scenario).digest == cluster.trace.digest()

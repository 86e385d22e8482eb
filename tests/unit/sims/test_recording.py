"""Recorders: what nodes say and do, against the truth."""

from __future__ import annotations

import pytest

from sims import Scenario
from sims.cluster import Cluster
from sims.host import Host
from sims.observer import MESSAGE, PACKET
from sims.recording.excuses import GRACE_S, Excuses
from sims.recording.leaders import LeaderRecorder, time_by_leaders_s
from sims.recording.membership import MembershipRecorder
from sims.recording.rows import NEVER, JobRun, Reign, TaskRun
from sims.recording.tasks import TaskRecorder, with_lanes
from sims.recording.traffic import TrafficRecorder, bucket_length_s
from sims.staging.stage import build_cluster
from swarm.core.effects import ExecutorTask, Notify, SendHello, SendMessage, SendPacket
from swarm.core.ids import short

COUNT = 4


class Mesh:
    """Hosts that never run, and a recorder that is told what they do."""

    def __init__(self) -> None:
        self.cluster: Cluster = build_cluster(Scenario(nodes=COUNT))
        self.excuses = Excuses(COUNT)
        self.recorder = MembershipRecorder(self.excuses)
        self.now = 0.0

    def host(self, index: int) -> Host:
        return self.cluster.hosts[index]

    def boot(self, *hosts: int) -> None:
        for index in hosts:
            self.recorder.on_boot(self.host(index), self.now)

    def down(self, index: int, how: str = "kill") -> None:
        self.recorder.on_down(self.host(index), how, self.now)

    def believes(self, observer: int, state: str, *members: int, accuser: int = -1) -> None:
        """Let a node tell what it believes of members; by default on its own judgement."""
        for member in members:
            values: dict[str, object] = {
                "member": short(self.host(member).node_id),
                "accuser": short(self.host(observer if accuser < 0 else accuser).node_id),
            }
            effects = [Notify("refuted", {}), Notify(f"member_{state}", values)]
            self.recorder.on_effects(self.host(observer), list(effects), self.now)

    def know_each_other(self, *hosts: int) -> None:
        self.boot(*hosts)
        for one in hosts:
            self.believes(one, "alive", *[other for other in hosts if other != one])


def test_the_share_of_right_pairs_follows_beliefs_and_truth() -> None:
    mesh = Mesh()
    assert mesh.recorder.share() == 1.0
    mesh.boot(0)
    assert mesh.recorder.share() == 1.0, "one node has nobody to know"
    mesh.boot(1, 2)
    assert mesh.recorder.share() == 0.0
    mesh.believes(0, "alive", 1, 2)
    assert mesh.recorder.share() == pytest.approx(2 / 6)
    mesh.believes(1, "alive", 0, 2)
    mesh.believes(2, "alive", 0, 1)
    assert mesh.recorder.share() == 1.0
    mesh.believes(0, "suspect", 1)
    assert (mesh.recorder.share(), mesh.recorder.suspects()) == (1.0, 1), "a suspect is listed still"
    mesh.believes(0, "dead", 1)
    assert mesh.recorder.share() == pytest.approx(5 / 6)
    assert mesh.recorder.suspects() == 0
    mesh.down(1)
    assert mesh.recorder.share() == pytest.approx(3 / 4), "now 0 is right about 1, and 2 is wrong"
    mesh.believes(2, "dead", 1)
    assert mesh.recorder.share() == 1.0
    mesh.boot(1)
    assert mesh.recorder.share() == pytest.approx(2 / 6), "it knows nobody, and nobody knows it"
    assert mesh.recorder.running() == 3


def test_a_new_identity_is_a_new_member_and_the_old_one_stays_dead() -> None:
    mesh = Mesh()
    mesh.know_each_other(0, 1)
    mesh.down(1, "destroyed")
    mesh.host(1).node_id = b"another identity"
    mesh.boot(1)
    assert mesh.recorder.share() == pytest.approx(1 / 4), "only that 1 does not list its old self is right"
    mesh.believes(0, "alive", 1)
    mesh.believes(1, "alive", 0)
    assert mesh.recorder.share() == pytest.approx(3 / 4), "0 still lists the identity that was destroyed"


def test_two_clones_run_as_one_member() -> None:
    mesh = Mesh()
    mesh.know_each_other(0, 1)
    mesh.host(2).node_id = mesh.host(1).node_id
    mesh.boot(2)
    mesh.down(1)
    assert mesh.recorder.deaths() == [], "the member still runs"
    mesh.down(2)
    assert len(mesh.recorder.deaths()) == 1


def test_a_death_is_watched_until_the_last_has_seen_it() -> None:
    mesh = Mesh()
    mesh.know_each_other(0, 1, 2, 3)
    mesh.now = 10.0
    mesh.down(3, "power")
    assert mesh.recorder.deaths()[0].observers == 3
    mesh.now = 12.0
    mesh.believes(1, "suspect", 3)
    mesh.now = 13.0
    mesh.believes(1, "dead", 3)
    mesh.now = 14.0
    mesh.believes(0, "suspect", 3)
    mesh.believes(0, "dead", 3)
    death = mesh.recorder.deaths()[0]
    assert (death.host, death.how, death.time_s) == (3, "power", 10.0)
    assert (death.first_suspect_s, death.first_s, death.all_s) == (12.0, 13.0, NEVER)
    mesh.now = 16.0
    mesh.believes(2, "dead", 3)
    assert mesh.recorder.deaths()[0].all_s == 16.0
    mesh.now = 20.0
    mesh.boot(3)
    assert mesh.recorder.deaths()[0].restarted_s == 20.0


def test_observers_that_end_need_not_see_a_death() -> None:
    mesh = Mesh()
    mesh.know_each_other(0, 1, 2)
    mesh.now = 10.0
    mesh.down(2)
    mesh.now = 11.0
    mesh.believes(0, "dead", 2)
    mesh.now = 12.0
    mesh.down(1)
    assert mesh.recorder.deaths()[0].all_s == 11.0


def test_what_is_believed_after_a_restart_does_not_count_for_the_death() -> None:
    mesh = Mesh()
    mesh.know_each_other(0, 1, 2)
    mesh.down(2)
    mesh.now = 1.0
    mesh.boot(2)
    mesh.believes(0, "dead", 2)
    assert mesh.recorder.deaths()[0].first_s == NEVER
    assert mesh.recorder.doubts[0].is_excused, "news of its earlier life"


def test_a_goodbye_heard_before_the_end_leaves_no_observer() -> None:
    mesh = Mesh()
    mesh.know_each_other(0, 1)
    mesh.believes(0, "left", 1)
    mesh.down(1, "left")
    assert mesh.recorder.deaths()[0].observers == 0
    assert mesh.recorder.doubts == []
    assert mesh.recorder.share() == 1.0


def test_doubts_about_running_members_are_noted_with_their_excuse() -> None:
    mesh = Mesh()
    mesh.know_each_other(0, 1, 2, 3)
    mesh.now = 5.0
    mesh.believes(0, "suspect", 1)
    mesh.excuses.disturb([2])
    mesh.believes(0, "dead", 2)
    mesh.believes(2, "suspect", 1)
    mesh.excuses.calm([2], 6.0)
    mesh.now = 6.0 + GRACE_S
    mesh.believes(3, "dead", 2)
    rows = [
        (doubt.observer, doubt.host, doubt.verdict, doubt.is_excused, doubt.is_disturbed)
        for doubt in mesh.recorder.doubts
    ]
    assert rows == [
        (0, 1, "suspect", False, False),
        (0, 2, "dead", True, False),
        (2, 1, "suspect", False, True),
        (3, 2, "dead", False, False),
    ]


def test_a_rumour_is_excused_when_its_author_was_cut_off() -> None:
    mesh = Mesh()
    mesh.know_each_other(0, 1, 2)
    mesh.excuses.part(1, [0, 1, 1, 1])
    mesh.believes(2, "suspect", 1, accuser=0)
    mesh.believes(2, "dead", 1)
    assert [doubt.is_excused for doubt in mesh.recorder.doubts] == [True, False]


def test_changes_of_beliefs_are_rows_of_the_trace() -> None:
    mesh = Mesh()
    mesh.know_each_other(0, 1)
    mesh.recorder.events = []
    mesh.now = 3.0
    mesh.believes(0, "suspect", 1)
    row = mesh.recorder.events[0]
    assert tuple(row) == (3.0, 0, "member_suspect", 1, 0, "alive")


def test_reigns_begin_and_end_with_what_nodes_believe_of_themselves() -> None:
    cluster = build_cluster(Scenario(nodes=3))
    recorder = LeaderRecorder()
    cluster.observers.append(recorder)
    for index in range(3):
        cluster.start(index)
    cluster.run_until(5.0)
    first = cluster.leaders()[0]
    cluster.kill(first)
    cluster.run_until(10.0)
    second = cluster.leaders()[0]
    reigns = recorder.reigns()
    assert [reign.host for reign in reigns] == [first, second]
    assert reigns[0].end_s == 5.0
    assert reigns[1].end_s == NEVER
    assert reigns[0].begin_s < 5.0 < reigns[1].begin_s
    assert reigns[0].counter < reigns[1].counter
    assert [row.event for row in recorder.events] == ["leading", "not_leading", "leading"]


@pytest.mark.parametrize(
    ("reigns", "expected"),
    [
        ([], (10.0, 0.0)),
        ([(2.0, NEVER)], (2.0, 0.0)),
        ([(0.0, 4.0), (4.0, NEVER)], (0.0, 0.0)),
        ([(1.0, 5.0), (3.0, 6.0), (8.0, NEVER)], (3.0, 2.0)),
        ([(0.0, NEVER), (9.0, NEVER)], (0.0, 1.0)),
    ],
)
def test_time_without_a_leader_and_with_several(
    reigns: list[tuple[float, float]], expected: tuple[float, float]
) -> None:
    rows = [Reign(0, number, begin_s, end_s) for number, (begin_s, end_s) in enumerate(reigns)]
    assert time_by_leaders_s(rows, 10.0) == expected


@pytest.mark.parametrize(("seconds", "length_s"), [(1.0, 1.0), (600.0, 1.0), (601.0, 2.0), (36000.0, 60.0)])
def test_buckets_of_long_runs_are_longer(seconds: float, length_s: float) -> None:
    assert bucket_length_s(seconds) == length_s


def test_traffic_is_counted_by_host_and_second() -> None:
    cluster = build_cluster(Scenario(nodes=2))
    one, two = cluster.hosts
    recorder = TrafficRecorder(2, 3.0)
    recorder.on_performed(one, SendPacket(two.address, b"12345"), 0.5)
    recorder.on_performed(one, SendHello(b"123"), 1.0)
    recorder.on_performed(two, SendMessage(one.node_id, [one.address], b"1234567"), 2.99)
    recorder.on_performed(two, Notify("nothing", {}), 2.99)
    recorder.on_input(two, PACKET, 0, b"12345", 3.0)
    recorder.on_input(one, MESSAGE, 1, b"1234567", 1.5)
    recorder.on_input(one, "link lost", 1, b"", 1.5)
    columns = {name: list(numbers) for name, numbers in recorder.columns.items()}
    assert columns == {
        "packets_sent": [1, 1, 0, 0, 0, 0, 0, 0],
        "packet_bytes_sent": [5, 3, 0, 0, 0, 0, 0, 0],
        "messages_sent": [0, 0, 0, 0, 0, 0, 1, 0],
        "message_bytes_sent": [0, 0, 0, 0, 0, 0, 7, 0],
        "packets_received": [0, 0, 0, 0, 0, 0, 0, 1],
        "packet_bytes_received": [0, 0, 0, 0, 0, 0, 0, 5],
        "messages_received": [0, 1, 0, 0, 0, 0, 0, 0],
        "message_bytes_received": [0, 7, 0, 0, 0, 0, 0, 0],
    }


def task(number: int, attempt: int = 1, job: bytes = b"j") -> ExecutorTask:
    return ExecutorTask(number, job, number, attempt, 1, f"t{number}", None, b"", [], 1, 0)


def test_attempts_are_noted_with_their_job() -> None:
    host = build_cluster(Scenario(nodes=1)).hosts[0]
    recorder = TaskRecorder()
    recorder.numbers[b"j"] = 3
    recorder.on_task(host, task(0), 1.0, 2.0, "done")
    recorder.on_task(host, task(1), 2.0, 5.0, "killed")
    recorder.on_task(host, task(2), 5.0, 5.0, "recalled")
    recorder.on_task(host, task(1, 2), 5.0, 6.0, "failed")
    recorder.on_task(host, task(9, job=b"other"), 5.0, 9.0, "done")
    assert recorder.runs()[0] == TaskRun(3, 0, 1, "t0", 0, 0, 1.0, 2.0, "done")
    assert [(run.job, run.task, run.attempt, run.how) for run in recorder.runs()[1:]] == [
        (3, 1, 1, "killed"),
        (3, 1, 2, "failed"),
        (-1, 9, 1, "done"),
    ]
    assert (recorder.recalled, recorder.last_s(3), recorder.last_s(7)) == (1, 2.0, NEVER)


def test_attempts_that_overlap_get_lanes_of_their_own() -> None:
    def run(host: int, begin_s: float, end_s: float) -> TaskRun:
        return TaskRun(0, 0, 1, "t", host, 0, begin_s, end_s, "done")

    runs = [run(0, 3, 4), run(0, 0, 2), run(0, 1, 5), run(1, 1, 2), run(0, 2, 3), run(0, 2.5, 6)]
    lanes = [(found.host, found.begin_s, found.lane) for found in with_lanes(runs)]
    assert lanes == [(0, 0, 0), (1, 1, 0), (0, 1, 1), (0, 2, 0), (0, 2.5, 2), (0, 3, 0)]


def test_only_jobs_that_are_done_have_a_makespan() -> None:
    def job(state: str) -> JobRun:
        return JobRun("j", 1, 10.0, 10.1, 25.0, 24.0, state, "", 1, 0, 1)

    assert job("done").makespan_s() == 14.0
    assert job("failed").makespan_s() == NEVER

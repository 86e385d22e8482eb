"""The rules of the ideal model, one by one, on graphs small enough to follow by hand."""

from __future__ import annotations

from typing import Any

import pytest

from sims.lab.ideal import IdealOutcome, IdealRun, run_plan
from sims.lab.policy import ENDED, READY, RUNNING, WAITING, Assignment, PolicyError, View
from sims.lab.problem import Problem, Worker
from sims.workload.graph import GraphBuilder, TaskGraph
from swarm.core.rng import Rng


def workers(count: int, cpus: float = 1, rate: float = 10.0) -> list[Worker]:
    return [Worker(cpus=cpus, up_bytes_s=rate, down_bytes_s=rate) for _ in range(count)]


def fan(count: int, size: int = 10) -> TaskGraph:
    """One task of a second that makes an object for each of `count` tasks of a second."""
    builder = GraphBuilder("fan")
    root = builder.add("root", 1.0, sizes_bytes=[size] * count)
    for number in range(count):
        builder.add("leaf", 1.0, [(root, number)])
    return builder.build()


def plan(
    graph: TaskGraph,
    places: list[int],
    priorities: list[float],
    machines: list[Worker],
    network: str = "maxmin",
) -> IdealOutcome:
    return run_plan(Problem(graph=graph, workers=machines, network=network), places, priorities)


class Recorder:
    """Plays a list of decisions, one list for each time it is asked, and writes down what it sees."""

    def __init__(self, *decisions: list[Assignment]) -> None:
        self.decisions = list(decisions)
        self.seen: list[tuple[float, list[int], list[int]]] = []
        self.view: View | None = None

    def begin(self, view: View, rng: Rng) -> None:
        self.view = view

    def decide(self, view: View) -> list[Assignment]:
        assert view is self.view
        self.seen.append((view.now, view.new_ready, view.new_ended))
        return self.decisions.pop(0) if self.decisions else []


def test_tasks_on_one_core_run_by_priority() -> None:
    builder = GraphBuilder("bag")
    for _ in range(3):
        builder.add("task", 2.0)
    outcome = plan(builder.build(), [0, 0, 0], [1.0, 3.0, 2.0], workers(1))
    assert outcome.began_s == [4.0, 0.0, 2.0]
    assert outcome.ended_s == [6.0, 2.0, 4.0]
    assert outcome.makespan_s == 6.0
    assert outcome.workers == [0, 0, 0]
    assert outcome.downloads == 0


def test_run_times_are_divided_by_speed() -> None:
    builder = GraphBuilder("one")
    builder.add("task", 3.0)
    assert plan(builder.build(), [0], [0.0], [Worker(speed=1.5)]).makespan_s == 2.0


def test_a_wide_task_does_not_hold_back_narrow_ones() -> None:
    builder = GraphBuilder("mixed")
    builder.add("first", 4.0, cpus=1)
    builder.add("wide", 1.0, cpus=2)
    builder.add("narrow", 1.0, cpus=1)
    outcome = plan(builder.build(), [0, 0, 0], [3.0, 2.0, 1.0], workers(1, cpus=2))
    assert outcome.began_s == [0.0, 4.0, 0.0]


def test_an_object_of_no_bytes_costs_nothing_to_move() -> None:
    outcome = plan(fan(1, 0), [0, 1], [0.0, 0.0], workers(2))
    assert outcome.began_s == [0.0, 1.0]
    assert outcome.downloads == 1
    assert outcome.moved_bytes == 0


def test_an_object_moves_once_to_each_worker() -> None:
    builder = GraphBuilder("shared")
    root = builder.add("root", 1.0, sizes_bytes=[10])
    for _ in range(4):
        builder.add("leaf", 1.0, [(root, 0)])
    outcome = plan(builder.build(), [0, 1, 1, 0, 1], [0.0] * 5, workers(2, cpus=4))
    assert outcome.began_s == [0.0, 2.0, 2.0, 1.0, 2.0]
    assert outcome.downloads == 1
    assert outcome.moved_bytes == 10


def test_objects_are_fetched_while_cores_are_busy() -> None:
    builder = GraphBuilder("prefetch")
    root = builder.add("root", 1.0, sizes_bytes=[20])
    builder.add("busy", 4.0)
    builder.add("leaf", 1.0, [(root, 0)])
    outcome = plan(builder.build(), [0, 1, 1], [0.0] * 3, workers(2))
    # The download takes from 1 to 3, the core of worker 1 is free at 4.
    assert outcome.began_s[2] == 4.0


def test_the_simple_network_has_no_contention() -> None:
    outcome = plan(fan(3), [0, 1, 1, 1], [0.0] * 4, workers(2, cpus=4), "simple")
    assert outcome.began_s == [0.0, 2.0, 2.0, 2.0]


def test_the_slower_end_decides_the_rate() -> None:
    machines = [Worker(up_bytes_s=5.0, down_bytes_s=99.0), Worker(up_bytes_s=99.0, down_bytes_s=20.0)]
    for network in ("simple", "maxmin"):
        assert plan(fan(1), [0, 1], [0.0, 0.0], machines, network).began_s[1] == 3.0


def test_two_downloads_from_one_source_at_once_and_no_more() -> None:
    # Ten bytes at ten a second, two at a time side by side: two arrive at 3, the others at 5.
    outcome = plan(fan(4), [0, 1, 1, 1, 1], [0.0, 1.0, 2.0, 3.0, 4.0], workers(2, cpus=4))
    assert outcome.began_s == [0.0, 5.0, 5.0, 3.0, 3.0]


def test_four_downloads_at_once_and_no_more() -> None:
    builder = GraphBuilder("many")
    roots = [builder.add("root", 1.0, sizes_bytes=[10]) for _ in range(6)]
    for root in roots:
        builder.add("leaf", 1.0, [(root, 0)])
    machines = [*workers(6, rate=1000.0), Worker(cpus=6, up_bytes_s=10.0, down_bytes_s=10.0)]
    outcome = plan(builder.build(), [0, 1, 2, 3, 4, 5, *[6] * 6], [0.0] * 6 + [6.0, 5, 4, 3, 2, 1], machines)
    assert outcome.began_s[6:] == [5.0, 5.0, 5.0, 5.0, 7.0, 7.0]


def test_bandwidth_is_shared_max_min_fairly_between_pairs() -> None:
    builder = GraphBuilder("fair")
    first = builder.add("root", 1.0, sizes_bytes=[60, 60])
    second = builder.add("root", 1.0, sizes_bytes=[60])
    builder.add("leaf", 1.0, [(first, 0)])
    builder.add("leaf", 1.0, [(first, 1)])
    builder.add("leaf", 1.0, [(second, 0)])
    machines = [
        Worker(up_bytes_s=10.0),
        Worker(up_bytes_s=100.0),
        Worker(down_bytes_s=100.0),
        Worker(cpus=2, down_bytes_s=25.0),
    ]
    outcome = plan(builder.build(), [0, 1, 2, 3, 3], [0.0] * 5, machines)
    # The first source gives 5 to each of its pairs; the second one has 20 left of what worker 3 takes.
    assert outcome.began_s[4] == 4.0
    assert outcome.began_s[2] == pytest.approx(13.0)
    assert outcome.began_s[3] == pytest.approx(13.0)


def test_a_download_that_completes_a_ready_task_goes_first() -> None:
    builder = GraphBuilder("urgent")
    root = builder.add("root", 1.0, sizes_bytes=[10, 10, 10])
    late = builder.add("late", 50.0, sizes_bytes=[0])
    builder.add("blocked", 1.0, [(root, 0), (late, 0)])
    builder.add("blocked", 1.0, [(root, 1), (late, 0)])
    builder.add("ready", 1.0, [(root, 2)])
    outcome = plan(builder.build(), [0, 2, 1, 1, 1], [0.0, 0.0, 9.0, 8.0, 1.0], workers(3, cpus=3))
    assert outcome.began_s[4] == 3.0


def test_the_most_urgent_user_decides_when_an_object_is_fetched() -> None:
    builder = GraphBuilder("shared urgency")
    root = builder.add("root", 1.0, sizes_bytes=[10, 10, 10])
    for item, _ in ((0, "low"), (1, "middle"), (2, "middle"), (0, "high")):
        builder.add("leaf", 1.0, [(root, item)])
    outcome = plan(builder.build(), [0, 1, 1, 1, 1], [0.0, 1.0, 5.0, 4.0, 9.0], workers(2, cpus=4))
    assert outcome.began_s[4] == 3.0
    assert outcome.began_s[2] == 3.0
    assert outcome.began_s[3] == 4.0


def test_tasks_that_get_ready_in_one_instant_begin_by_number() -> None:
    # The core is free, so the first one begins at once although the second is more urgent.
    outcome = plan(fan(2), [0, 0, 0], [0.0, 1.0, 2.0], workers(1))
    assert outcome.began_s == [0.0, 1.0, 2.0]


def test_tasks_of_one_decision_begin_by_priority() -> None:
    recorder = Recorder([Assignment(0, 0)], [Assignment(1, 0, 1.0), Assignment(2, 0, 2.0)])
    outcome = IdealRun(Problem(graph=fan(2), workers=workers(1)), recorder).run()
    assert outcome.began_s == [0.0, 2.0, 1.0]


def test_a_policy_sees_what_became_ready_and_what_ended() -> None:
    recorder = Recorder([Assignment(0, 0)], [Assignment(1, 0), Assignment(2, 1)])
    outcome = IdealRun(Problem(graph=fan(2), workers=workers(2)), recorder).run()
    assert recorder.seen == [(0.0, [0], []), (1.0, [1, 2], [0]), (2.0, [], [1])]
    assert outcome.decisions == 3
    view = recorder.view
    assert view is not None
    assert view.states == [ENDED] * 3
    assert view.holders == [{0: True}, {0: True, 1: True}]
    assert view.free_cpus == [1, 1]
    assert view.running == [{}, {}]
    assert view.queued == [{}, {}]


def test_the_view_follows_the_run() -> None:
    class Watcher:
        def decide(self, view: View) -> list[Assignment]:
            if view.now == 0:
                assert view.states == [READY, WAITING, WAITING]
                assert view.ready_tasks() == [0]
                return [Assignment(0, 0, 7.0), Assignment(1, 1), Assignment(2, 0)]
            if view.now == 1:
                assert view.states == [ENDED, READY, RUNNING]
                assert view.ready_tasks() == []
                assert view.coming == [{}, {0: True}]
                assert view.queued == [{}, {1: 0.0}]
                assert view.running == [{2: 1.0}, {}]
                assert view.missing_bytes(1, 1) == 0
                assert view.missing_bytes(1, 1, is_coming_here=False) == 10
                assert view.worker_of == [0, 1, 0]
                assert view.run_s(1, 1) == 1.0
            return []

    assert IdealRun(Problem(graph=fan(2), workers=workers(2)), Watcher()).run().makespan_s == 3.0


def test_decisions_come_late_and_seldom_if_the_problem_says_so() -> None:
    recorder = Recorder([Assignment(0, 0)], [Assignment(1, 0), Assignment(2, 0)])
    problem = Problem(graph=fan(2), workers=workers(1, cpus=2), least_gap_s=4.0, delay_s=0.5)
    outcome = IdealRun(problem, recorder).run()
    # The root begins at 0.5 and ends at 1.5; the policy may be asked again at 4 and is heard at 4.5.
    assert [when for when, _, _ in recorder.seen][:2] == [0.0, 4.0]
    assert outcome.began_s == [0.5, 4.5, 4.5]


def test_a_decision_that_comes_too_late_is_counted() -> None:
    builder = GraphBuilder("late")
    root = builder.add("root", 1.0, sizes_bytes=[0])
    builder.add("short", 0.25, [(root, 0)])
    builder.add("leaf", 1.0, [(root, 0)])
    recorder = Recorder([Assignment(task, 0) for task in range(3)], [Assignment(2, 1)])
    outcome = IdealRun(Problem(graph=builder.build(), workers=workers(2), delay_s=0.5), recorder).run()
    # Asked at 1.5, when the leaf still waits for the core; heard at 2, when it runs since 1.75.
    assert recorder.seen[1][0] == 1.5
    assert outcome.began_s[2] == 1.75
    assert outcome.workers == [0, 0, 0]
    assert outcome.stale == 1


def test_a_task_may_be_assigned_anew_until_it_begins() -> None:
    builder = GraphBuilder("moved")
    root = builder.add("root", 1.0, sizes_bytes=[10])
    builder.add("busy", 9.0)
    builder.add("leaf", 1.0, [(root, 0)])
    first = [Assignment(0, 0), Assignment(1, 1), Assignment(2, 1)]
    outcome = IdealRun(
        Problem(graph=builder.build(), workers=workers(3)), Recorder(first, [Assignment(2, 2)])
    ).run()
    assert outcome.workers == [0, 1, 2]
    # The download to the first choice had begun and goes on, and takes half of what the root's worker sends.
    assert outcome.downloads == 2
    assert outcome.began_s[2] == 3.0
    assert outcome.makespan_s == 9.0


def test_downloads_that_only_a_moved_task_wanted_are_not_begun() -> None:
    builder = GraphBuilder("moved early")
    root = builder.add("root", 1.0, sizes_bytes=[10, 10, 10])
    builder.add("end", 1.0, [(root, 0), (root, 1), (root, 2)])
    outcome = IdealRun(
        Problem(graph=builder.build(), workers=workers(3)),
        Recorder([Assignment(0, 0), Assignment(1, 1)], [Assignment(1, 0)]),
    ).run()
    assert outcome.began_s == [0.0, 1.0]
    # Two of three had begun.
    assert outcome.downloads == 2


def test_factors_make_machines_unrelated() -> None:
    builder = GraphBuilder("two")
    builder.add("one", 1.0)
    builder.add("two", 1.0)
    problem = Problem(graph=builder.build(), workers=workers(2), factors=[[1.0, 5.0], [2.0, 3.0]])
    assert run_plan(problem, [1, 0], [0.0, 0.0]).ended_s == [5.0, 2.0]


@pytest.mark.parametrize(
    ("decision", "complaint"),
    [
        ([Assignment(9, 0)], "task 9 is not known; there are 3"),
        ([Assignment(-1, 0)], "task -1 is not known"),
        ([Assignment(0, 5)], "task 0 was assigned to the unknown worker 5; there are 2"),
        ([Assignment(0, -1)], "task 0 was assigned to the unknown worker -1"),
        ([Assignment(2, 1)], "task 2 needs 2 cpus, worker 1 has 1"),
        ([Assignment(0, 0, float("nan"))], "the priority of task 0 is not a number"),
        ([(0, 0)], r"decide\(\) returned \(0, 0\), it must return Assignments"),
        (None, r"decide\(\) returned None, it must return a list"),
        ([], "nothing happens after 0.0 s, and 3 tasks have not run; not assigned: 3, for example 0, 1, 2"),
        ([Assignment(0, 0), Assignment(1, 0)], "nothing happens after 1.0 s, and 1 tasks have not run"),
    ],
)
def test_an_impossible_decision_is_named(decision: Any, complaint: str) -> None:
    builder = GraphBuilder("three")
    builder.add("one", 1.0)
    builder.add("two", 1.0)
    builder.add("wide", 1.0, cpus=2)
    problem = Problem(graph=builder.build(), workers=[*workers(1, cpus=2), *workers(1)])
    with pytest.raises(PolicyError, match=f"policy own: .*{complaint}"):
        IdealRun(problem, Recorder(decision), name="own").run()


def test_a_begun_task_is_not_assigned_again() -> None:
    recorder = Recorder([Assignment(0, 0)], [Assignment(0, 0)])
    with pytest.raises(PolicyError, match="policy Recorder: task 0 was assigned again after it had begun"):
        IdealRun(Problem(graph=fan(1), workers=workers(1)), recorder).run()


def test_an_assignment_is_made_of_numbers() -> None:
    for task, worker in (("0", 0), (0, None), (True, 0), (0, 1.0)):
        with pytest.raises(PolicyError, match="names a task and a worker by number"):
            Assignment(task, worker)  # type: ignore[arg-type]  # as users' policies may
    assert repr(Assignment(1, 2, 3)) == "Assignment(task=1, worker=2, priority=3.0)"


def test_zero_run_times_end_in_their_instant() -> None:
    builder = GraphBuilder("chain")
    last = builder.add("link", 0.0, sizes_bytes=[0])
    for _ in range(50):
        last = builder.add("link", 0.0, [(last, 0)], [0])
    places = [number % 2 for number in range(51)]
    outcome = plan(builder.build(), places, [0.0] * 51, workers(2))
    assert outcome.makespan_s == 0.0
    assert outcome.downloads == 50

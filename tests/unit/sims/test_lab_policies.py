"""Policies: every one by name gives valid and repeatable schedules; each does what it is called after."""

from __future__ import annotations

import csv
from math import exp, log
from pathlib import Path
from statistics import fmean

import pytest

from sims.lab.dynamic import Loads, order_priorities
from sims.lab.ideal import IdealOutcome, IdealRun
from sims.lab.policies import POLICIES, check_policy, make_policy
from sims.lab.policy import Assignment, PolicyError, View
from sims.lab.problem import MIB, Problem, Worker, named_workers
from sims.lab.static import Cpop, Heft, downward_ranks_s, mean_byte_s, upward_ranks_s
from sims.lab.swarm_policy import SwarmPlacement
from sims.lab.timeline import Timeline
from sims.workload.generators import Costs, generate
from sims.workload.graph import GraphBuilder, TaskGraph
from sims.workload.graph_file import read_graph
from swarm.core.rng import Rng
from swarm.scheduler.config import SchedulerConfig
from tests.unit.sims.graph_samples import EXAMPLES, ROOT, diamond

FAMILIES = {
    "fork-join": {"width": 6, "stages": 2},
    "map-reduce": {"maps": 6, "reduces": 3},
    "crossv": {"folds": 4},
    "fft": {"points": 8},
    "random": {"tasks": 40},
}
SPREAD = {"duration_spread": 0.8, "size_spread": 0.5, "size_bytes": 50e6}


def run(policy: str, problem: Problem, seed: str = "1") -> IdealOutcome:
    return IdealRun(problem, make_policy(policy), seed, policy).run()


def check_schedule(problem: Problem, outcome: IdealOutcome) -> None:
    """Check what holds of every schedule: order, run times, cores, and objects that are there in time."""
    graph = problem.graph
    for task in range(len(graph)):
        worker = outcome.workers[task]
        run_s = problem.run_s(task, worker)
        assert outcome.ended_s[task] == pytest.approx(outcome.began_s[task] + run_s)
        for item in graph.inputs[task]:
            producer = graph.producers[item]
            moving_s = 0.0
            if outcome.workers[producer] != worker:
                source, target = problem.workers[outcome.workers[producer]], problem.workers[worker]
                moving_s = graph.sizes_bytes[item] / min(source.up_bytes_s, target.down_bytes_s)
            assert outcome.began_s[task] >= outcome.ended_s[producer] + moving_s - 1e-6
    for number, machine in enumerate(problem.workers):
        own = [task for task in range(len(graph)) if outcome.workers[task] == number]
        for moment in [outcome.began_s[task] for task in own]:
            busy = [
                graph.cpus[task]
                for task in own
                if outcome.began_s[task] <= moment < outcome.ended_s[task] - 1e-9
            ]
            assert sum(busy) <= machine.cpus


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_policy_gives_valid_schedules_and_the_same_for_the_same_seed(policy: str) -> None:
    for family, parameters in FAMILIES.items():
        graph = generate(family, {**parameters, **SPREAD}, seed=3)
        for imode, network in (("exact", "maxmin"), ("user", "simple"), ("mean", "maxmin")):
            problem = Problem(graph=graph, workers=named_workers("home8", 60), network=network, imode=imode)
            outcome = run(policy, problem)
            check_schedule(problem, outcome)
            assert outcome.began_s == run(policy, problem).began_s
        delayed = Problem(graph=graph, workers=named_workers("8x4", 60), least_gap_s=0.1, delay_s=0.05)
        check_schedule(delayed, run(policy, delayed))


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_policy_places_wide_tasks_where_they_fit(policy: str) -> None:
    builder = GraphBuilder("wide")
    for number in range(12):
        root = builder.add("narrow", 1.0 + number, sizes_bytes=[1000])
        builder.add("wide", 2.0, [(root, 0)], cpus=1 + number % 4)
    problem = Problem(graph=builder.build(), workers=[Worker(cpus=cpus) for cpus in (1, 2, 3, 4)])
    check_schedule(problem, run(policy, problem))


def test_random_choices_follow_the_seed() -> None:
    problem = Problem(graph=generate("crossing", {"width": 8}, 1), workers=named_workers("8x4", 60))
    for policy in ("random", "random-gt"):
        assert run(policy, problem, "1").workers != run(policy, problem, "2").workers
    assert run("etf", problem, "1").workers == run("etf", problem, "2").workers


def test_single_uses_the_strongest_worker_that_fits_all() -> None:
    builder = GraphBuilder("bag")
    builder.add("wide", 1.0, cpus=3)
    builder.add("narrow", 1.0)
    machines = [Worker(cpus=2, speed=9.0), Worker(cpus=4), Worker(cpus=4, speed=2.0)]
    assert run("single", Problem(graph=builder.build(), workers=machines)).workers == [2, 2]


def test_random_placement_is_in_proportion_to_cores() -> None:
    builder = GraphBuilder("bag")
    for _ in range(3000):
        builder.add("task", 1.0)
    problem = Problem(graph=builder.build(), workers=[Worker(cpus=1), Worker(cpus=3)])
    share = fmean(run("random", problem).workers)
    assert abs(share - 0.75) < 0.03


def test_orders_of_lists() -> None:
    view = View(Problem(graph=diamond(), workers=[Worker(cpus=2)]))
    rng = Rng("orders")
    assert order_priorities("blevel", view, rng) == [8, 6, 7, 4]
    assert order_priorities("tlevel", view, rng) == [0, -1, -1, -4]
    assert order_priorities("mcp", view, rng) == [4, 2, 3, 1]
    assert sorted(order_priorities("random", view, rng)) == [1, 2, 3, 4]


def test_lists_count_what_is_queued_and_what_must_move() -> None:
    view = View(Problem(graph=diamond(), workers=[Worker(cpus=2), Worker(cpus=2, speed=2.0)]))
    loads = Loads(view, is_speed_aware=True)
    assert loads.choose(0) == 1
    assert Loads(view, is_speed_aware=False).choose(0) == 0
    loads.put(0, 1)
    loads.put(2, 1)
    # Worker 1 has its cores busy until 0.5 and 1.5.
    assert loads.begin_s(3, 1) == 0.5
    assert loads.end_s(3, 1) == 2.5
    assert loads.begin_s(1, 1) == pytest.approx(1.5)


def test_greedy_transfer_waits_rather_than_queues() -> None:
    builder = GraphBuilder("bag")
    for _ in range(5):
        builder.add("task", 1.0)
    problem = Problem(graph=builder.build(), workers=[Worker(), Worker()])
    outcome = run("blevel-gt", problem)
    assert sorted(outcome.began_s) == [0.0, 0.0, 1.0, 1.0, 2.0]


def test_work_stealing_follows_the_bytes_and_evens_out() -> None:
    builder = GraphBuilder("fan")
    root = builder.add("root", 1.0, sizes_bytes=[1_000_000] * 8)
    for number in range(8):
        builder.add("leaf", 10.0, [(root, number)])
    problem = Problem(graph=builder.build(), workers=[Worker(cpus=2)] * 4)
    outcome = run("ws", problem)
    assert sorted(outcome.workers[1:]) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert outcome.makespan_s < 11.5
    alone = Problem(graph=generate("out-tree", {"depth": 2}), workers=[Worker(cpus=2)] * 4)
    assert len(set(run("ws", alone).workers)) == 1


def test_timelines_find_the_first_gap_that_is_wide_and_long_enough() -> None:
    timeline = Timeline(2)
    assert timeline.earliest_s(3.0, 5.0, 2) == 3.0
    timeline.reserve(0.0, 4.0, 1)
    timeline.reserve(6.0, 8.0, 2)
    assert timeline.earliest_s(0.0, 4.0, 1) == 0.0
    assert timeline.earliest_s(0.0, 6.0, 1) == 0.0
    assert timeline.earliest_s(0.0, 6.1, 1) == 8.0
    assert timeline.earliest_s(0.0, 2.0, 2) == 4.0
    assert timeline.earliest_s(5.0, 2.0, 2) == 8.0
    assert timeline.earliest_s(7.0, 0.0, 1) == 8.0
    timeline.reserve(4.0, 6.0, 1)
    assert timeline.earliest_s(0.0, 3.0, 2) == 8.0
    timeline.reserve(9.0, 9.0, 2)
    assert timeline.earliest_s(8.0, 9.0, 2) == 8.0


def test_ranks_are_those_of_the_paper() -> None:
    machines = [Worker(up_bytes_s=10, down_bytes_s=10, cpus=2), Worker(up_bytes_s=5, down_bytes_s=10, cpus=2)]
    view = View(Problem(graph=diamond(), workers=machines))
    # A byte takes 0.1 s one way and 0.2 s the other.
    assert mean_byte_s(view) == pytest.approx(0.15)
    assert upward_ranks_s(view) == pytest.approx([1 + 4.5 + 3 + 1.05 + 4, 2 + 0.75 + 4, 3 + 1.05 + 4, 4])
    assert downward_ranks_s(view) == pytest.approx([0, 1 + 1.5, 1 + 4.5, 5.5 + 3 + 1.05])
    assert mean_byte_s(View(Problem(graph=diamond(), workers=machines[:1]))) == 0.0


def example_of_the_heft_paper() -> Problem:
    """Figure 1 of the paper: ten tasks on three unrelated processors, links of one unit a second."""
    costs = [
        (14, 16, 9), (13, 19, 18), (11, 13, 19), (13, 8, 17), (12, 13, 10),
        (13, 16, 9), (7, 15, 11), (5, 11, 14), (18, 12, 20), (21, 7, 16),
    ]  # fmt: skip
    edges = {
        (1, 2): 18, (1, 3): 12, (1, 4): 9, (1, 5): 11, (1, 6): 14, (2, 8): 19, (2, 9): 16, (3, 7): 23,
        (4, 8): 27, (4, 9): 23, (5, 9): 13, (6, 8): 15, (7, 10): 17, (8, 10): 11, (9, 10): 13,
    }  # fmt: skip
    builder = GraphBuilder("paper")
    outputs: dict[tuple[int, int], int] = {}
    for task in range(1, 11):
        sizes: list[int] = []
        for (source, target), size in edges.items():
            if source == task:
                outputs[(source, target)] = len(sizes)
                sizes.append(size)
        inputs = [(source - 1, outputs[(source, target)]) for source, target in edges if target == task]
        builder.add(f"n{task}", 1.0, inputs, sizes)
    return Problem(
        graph=builder.build(),
        workers=[Worker(up_bytes_s=1, down_bytes_s=1)] * 3,
        network="simple",
        factors=costs,
    )


def test_heft_and_cpop_reproduce_the_schedules_of_the_heft_paper() -> None:
    problem = example_of_the_heft_paper()
    view = View(problem)
    # Table 2 of the paper.
    expected = [108.0, 77.0, 80.0, 80.0, 69.0, 63.333, 42.667, 35.667, 44.333, 14.667]
    assert upward_ranks_s(view) == pytest.approx(expected, abs=0.001)
    # Figure 3: HEFT needs 80, CPOP 86.
    for policy, makespan_s in (("heft", 80.0), ("cpop", 86.0)):
        made = make_policy(policy)
        assert IdealRun(problem, made).run().makespan_s <= makespan_s
        assert isinstance(made, (Heft, Cpop))
        assert made.planned_s == makespan_s


def flat(graph: TaskGraph) -> TaskGraph:
    """Return a graph whose tasks all take one core."""
    builder = GraphBuilder(graph.name)
    for task in range(len(graph)):
        builder.add(
            graph.task_names[task],
            graph.durations_s[task],
            [graph.reference(item) for item in graph.inputs[task]],
            [graph.sizes_bytes[item] for item in graph.outputs[task]],
        )
    return builder.build()


def reference_ratios(policy: str, network: str) -> list[float]:
    """Return our makespan over that of the reference simulators, for each stored row of a policy."""
    ratios: list[float] = []
    path = ROOT / "tests" / "data" / "reference_makespans.csv"
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if (row["policy"], row["network"]) != (policy, network):
                continue
            found = min(EXAMPLES.glob(f"{row['graph']}.json*"))
            graph = read_graph(found)
            rate = float(row["bandwidth_mib_s"])
            problem = Problem(
                graph=flat(graph) if network == "flat" else graph,
                workers=named_workers(row["cluster"], rate),
                network="simple" if network == "flat" else network,
                bandwidth_bytes_s=rate * MIB,
            )
            made = make_policy(policy)
            makespan_s = IdealRun(problem, made).run().makespan_s
            if network == "flat":
                assert isinstance(made, Heft)
                makespan_s = made.planned_s
            ratios.append(makespan_s / float(row["makespan_s"]))
    return ratios


def matches(ratios: list[float]) -> int:
    """Return how many agree to the digits that the references state."""
    return sum(abs(ratio - 1) < 2e-5 for ratio in ratios)


def test_heft_has_the_makespans_of_an_independent_implementation() -> None:
    simple = reference_ratios("heft", "simple")
    assert (len(simple), matches(simple)) == (14, 14)
    shared = reference_ratios("heft", "maxmin")
    assert len(shared) == 42
    assert matches(shared) >= 38
    assert max(abs(log(ratio)) for ratio in shared) < 0.003


def test_heft_plans_what_the_saga_library_plans() -> None:
    ratios = reference_ratios("heft", "flat")
    assert len(ratios) == 28
    assert matches(ratios) >= 24
    assert abs(exp(fmean([log(ratio) for ratio in ratios])) - 1) < 0.01


def test_everything_on_one_worker_takes_as_long_as_in_the_references() -> None:
    ratios = reference_ratios("single", "maxmin")
    assert len(ratios) == 14
    assert max(abs(log(ratio)) for ratio in ratios) < 0.005


def test_swarms_own_dispatcher_learns_run_times() -> None:
    builder = GraphBuilder("bag")
    for _ in range(40):
        builder.add("same", 1.0)
    problem = Problem(graph=builder.build(), workers=[Worker(cpus=2), Worker(cpus=2, speed=4.0)])
    outcome = IdealRun(problem, SwarmPlacement()).run()
    check_schedule(problem, outcome)
    # With the power of ten cores of speed 1, the best is four seconds.
    assert outcome.makespan_s < 5.5
    assert sum(outcome.workers) > 25


def test_swarms_own_dispatcher_keeps_a_chain_on_one_worker() -> None:
    builder = GraphBuilder("chain")
    last = builder.add("link", 0.01, sizes_bytes=[8_000_000])
    for _ in range(60):
        last = builder.add("link", 0.01, [(last, 0)], [8_000_000])
    problem = Problem(graph=builder.build(), workers=named_workers("8x4", 60))
    outcome = IdealRun(problem, SwarmPlacement(SchedulerConfig(bandwidth_bytes_s=60e6))).run()
    assert len(set(outcome.workers)) == 1
    assert outcome.downloads == 0


def test_policies_that_see_better_beat_blind_ones() -> None:
    ratios = []
    for seed in range(6):
        costs = Costs.of_ccr(0.05, 60 * MIB)
        graph = generate(
            "random",
            {"tasks": 80, "size_bytes": costs.size_bytes, "duration_spread": 1.0, "size_spread": 1.0},
            seed,
        )
        problem = Problem(graph=graph, workers=named_workers("speed16x4", 60))
        ratios.append(
            [run(policy, problem).makespan_s for policy in ("etf", "etf-unaware", "random", "single")]
        )
    aware, unaware, blind, alone = [exp(fmean([log(row[place]) for row in ratios])) for place in range(4)]
    assert aware < min(unaware, blind, alone)


OWN = """
from dataclasses import dataclass
from sims.lab.policy import Assignment

@dataclass
class First:
    begun: bool = False

    def begin(self, view, rng):
        self.begun = True

    def decide(self, view):
        assert self.begun
        return [Assignment(task, view.fitting(task)[0]) for task in view.new_ready]

class Nothing:
    pass

class Wrong:
    def decide(self):
        return []

class WrongBegin:
    def begin(self, view):
        pass

    def decide(self, view):
        return []

class NoMethod:
    begin = 5

    def decide(self, view):
        return []

class Needy:
    def __init__(self, argument):
        pass

number = 5
"""


def test_a_policy_comes_from_a_file_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    problem = Problem(graph=diamond(), workers=[Worker(cpus=2), Worker(cpus=2)])
    policy = make_policy("own.py:First", tmp_path)
    assert IdealRun(problem, policy).run().workers == [0, 0, 0, 0]
    assert make_policy(f"{tmp_path / 'own.py'}:First") is not policy
    check_policy("own.py:First", tmp_path)
    check_policy("heft")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("quick", "policy 'quick' is not known; known are single, random, heft"),
        ("none.py:First", "the file .*none.py does not exist"),
        ("own.py:Last", "own.py has no class or function 'Last'"),
        ("own.py:number", "policy 'own.py:number': it is not a class"),
        ("own.py:Nothing", r"policy 'own.py:Nothing' has no method decide\(self, view\)"),
        ("own.py:Wrong", r"decide must take 1 arguments: decide\(self, view\)"),
        ("own.py:WrongBegin", r"begin must take 2 arguments: begin\(self, view, rng\)"),
        ("own.py:NoMethod", r"begin must be a method begin\(self, view, rng\)"),
        ("own.py:Needy", "cannot be made: TypeError"),
        ("broken.py:First", "broken.py cannot be loaded: SyntaxError"),
        ("failing.py:First", "failing.py cannot be loaded: ZeroDivisionError"),
    ],
)
def test_a_policy_that_cannot_be_is_named(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("class First(:\n")
    (tmp_path / "failing.py").write_text("1 / 0\n")
    with pytest.raises(PolicyError, match=complaint) as raised:
        make_policy(name, tmp_path)
    assert "\n" not in str(raised.value)


def test_assignments_of_users_policies_are_checked(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from sims.lab.policy import Assignment\n"
        "class Far:\n"
        "    def decide(self, view):\n"
        "        return [Assignment(task, 7) for task in view.new_ready]\n"
    )
    problem = Problem(graph=diamond(), workers=[Worker(cpus=2)])
    with pytest.raises(PolicyError, match="task 0 was assigned to the unknown worker 7"):
        IdealRun(problem, make_policy("own.py:Far", tmp_path)).run()
    assert Assignment(0, 0).priority == 0.0

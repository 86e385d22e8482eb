"""The ideal model against a slow second implementation of the same rules, on random graphs and plans.

The second one shares no code with the first: it keeps everything in sets and lists, recomputes all rates at
each event, and looks at every task and worker each time.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sims.lab.ideal import IdealRun, run_plan
from sims.lab.policies import POLICIES, make_policy
from sims.lab.problem import Problem, Worker
from sims.workload.convert import graph_of_networkx, networkx_of_graph
from sims.workload.graph import GraphBuilder, TaskGraph, bottom_levels_s
from sims.workload.graph_file import document_of_graph, graph_of_document
from swarm.core.rng import Rng


def random_graph(rng: Rng, tasks: int) -> TaskGraph:
    """Return a graph without ties: run times and sizes are irregular numbers."""
    builder = GraphBuilder("drawn")
    for task in range(tasks):
        inputs = []
        for _ in range(rng.below(4) if task else 0):
            producer = rng.below(task)
            outputs = len(builder.outputs[producer])
            if outputs:
                inputs.append((producer, rng.below(outputs)))
        sizes = [rng.below(10**7) + 1 for _ in range(rng.below(3))]
        builder.add("task", rng.uniform(0.1, 9.0), inputs, sizes, cpus=1 + rng.below(2))
    return builder.build()


def random_workers(rng: Rng) -> list[Worker]:
    return [
        Worker(
            cpus=2 + rng.below(3),
            speed=rng.uniform(0.3, 2.0),
            up_bytes_s=rng.uniform(2e5, 4e6),
            down_bytes_s=rng.uniform(2e5, 4e6),
        )
        for _ in range(1 + rng.below(5))
    ]


class Oracle:
    """The rules of `sims.lab.ideal`, written down a second time, without any care for speed."""

    def __init__(self, problem: Problem, places: list[int], priorities: list[float]) -> None:
        self.problem, self.graph = problem, problem.graph
        self.places, self.priorities = places, priorities
        self.now = 0.0
        self.exists: set[int] = set()
        self.at: set[tuple[int, int]] = set()
        self.queued: dict[tuple[int, int], tuple[int, float, int]] = {}
        self.moving: dict[tuple[int, int], float] = {}
        self.waiting: list[int] = []
        self.entered: set[int] = set()
        self.ends_s: dict[int, float] = {}
        self.ended: set[int] = set()
        self.orders = 0

    def run(self) -> float:
        """Return the makespan."""
        self.waiting = [task for task in range(len(self.graph)) if not self.graph.inputs[task]]
        self.entered = set(self.waiting)
        self.begin()
        while len(self.ended) < len(self.graph):
            rates = self.rates()
            end_s = min(self.ends_s.values(), default=math.inf)
            arrivals = {move: self.now + left / rates[move] for move, left in self.moving.items()}
            arrival_s = min(arrivals.values(), default=math.inf)
            moment = min(end_s, arrival_s)
            for move in self.moving:
                self.moving[move] -= rates[move] * (moment - self.now)
            self.now = moment
            if arrival_s <= end_s:
                self.arrive(min(arrivals, key=lambda move: arrivals[move]))
            else:
                self.end(min(self.ends_s, key=lambda task: self.ends_s[task]))
        return self.now

    def arrive(self, move: tuple[int, int]) -> None:
        del self.moving[move]
        self.at.add(move)
        self.start_downloads()
        self.enter()

    def end(self, task: int) -> None:
        del self.ends_s[task]
        self.ended.add(task)
        self.begin()
        for item in self.graph.outputs[task]:
            self.exists.add(item)
            self.at.add((self.places[task], item))
        for item in self.graph.outputs[task]:
            for user in self.graph.consumers[item]:
                move = (self.places[user], item)
                if move in self.at:
                    continue
                self.orders += 1
                is_urgent = all(needed in self.exists for needed in self.graph.inputs[user])
                rank = (0 if is_urgent else 1, -self.priorities[user], self.orders)
                known = self.queued.get(move)
                if known is None:
                    self.queued[move] = rank
                elif rank[:2] < known[:2]:
                    self.queued[move] = (rank[0], rank[1], known[2])
        self.start_downloads()
        self.enter()

    def enter(self) -> None:
        for task in range(len(self.graph)):
            if task in self.entered:
                continue
            if all((self.places[task], item) in self.at for item in self.graph.inputs[task]):
                self.entered.add(task)
                self.waiting.append(task)
                self.begin()

    def begin(self) -> None:
        for task in sorted(self.waiting, key=lambda task: -self.priorities[task]):
            worker = self.places[task]
            busy = sum(self.graph.cpus[other] for other in self.ends_s if self.places[other] == worker)
            if busy + self.graph.cpus[task] <= self.problem.workers[worker].cpus:
                self.waiting.remove(task)
                self.ends_s[task] = self.now + self.problem.run_s(task, worker)

    def start_downloads(self) -> None:
        is_limited = self.problem.network == "maxmin"
        for move in sorted(self.queued, key=lambda move: self.queued[move]):
            worker, item = move
            own = [other for other in self.moving if other[0] == worker]
            source = self.source(item)
            same = [other for other in own if self.source(other[1]) == source]
            if not is_limited or (len(own) < 4 and len(same) < 2):
                del self.queued[move]
                self.moving[move] = float(self.graph.sizes_bytes[item])

    def source(self, item: int) -> int:
        return self.places[self.graph.producers[item]]

    def rates(self) -> dict[tuple[int, int], float]:
        """Return the rate of every download."""
        machines = self.problem.workers
        pairs = {(self.source(item), worker) for worker, item in self.moving}
        fair = {pair: min(machines[pair[0]].up_bytes_s, machines[pair[1]].down_bytes_s) for pair in pairs}
        if self.problem.network == "simple":
            return {move: fair[(self.source(move[1]), move[0])] for move in self.moving}
        fair = dict.fromkeys(pairs, 0.0)
        growing = set(pairs)
        while growing:
            room = []
            for number, machine in enumerate(machines):
                for side, limit in ((0, machine.up_bytes_s), (1, machine.down_bytes_s)):
                    users = [pair for pair in growing if pair[side] == number]
                    used = sum(rate for pair, rate in fair.items() if pair[side] == number)
                    if users:
                        room.append(((limit - used) / len(users), users))
            step = min(share for share, _ in room)
            for pair in growing:
                fair[pair] += step
            for share, users in room:
                if share <= step * (1 + 1e-9) + 1e-9:
                    growing -= set(users)
        found = {}
        for worker, item in self.moving:
            pair = (self.source(item), worker)
            count = sum((self.source(other), target) == pair for target, other in self.moving)
            found[(worker, item)] = fair[pair] / count
        return found


@given(seed=st.integers(0, 10**9), tasks=st.integers(1, 40), network=st.sampled_from(["maxmin", "simple"]))
def test_fixed_plans_end_when_a_second_implementation_says(seed: int, tasks: int, network: str) -> None:
    rng = Rng(f"plan:{seed}")
    graph, machines = random_graph(rng, tasks), random_workers(rng)
    problem = Problem(graph=graph, workers=machines, network=network)
    places = [rng.below(len(machines)) for _ in range(tasks)]
    priorities = bottom_levels_s(graph, graph.durations_s)
    expected = Oracle(problem, places, priorities).run()
    assert run_plan(problem, places, priorities).makespan_s == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(seed=st.integers(0, 10**9), tasks=st.integers(1, 30), policy=st.sampled_from(list(POLICIES)))
def test_every_policy_gives_a_possible_schedule(seed: int, tasks: int, policy: str) -> None:
    rng = Rng(f"policy:{seed}")
    graph, machines = random_graph(rng, tasks), random_workers(rng)
    problem = Problem(graph=graph, workers=machines)
    outcome = IdealRun(problem, make_policy(policy), str(seed), policy).run()
    assert max(outcome.ended_s) == outcome.makespan_s
    for task in range(tasks):
        assert outcome.ended_s[task] == outcome.began_s[task] + problem.run_s(task, outcome.workers[task])
        for parent in graph.parents(task):
            assert outcome.began_s[task] >= outcome.ended_s[parent]
    for number, machine in enumerate(machines):
        for moment in outcome.began_s:
            busy = [
                graph.cpus[task]
                for task in range(tasks)
                if outcome.workers[task] == number and outcome.began_s[task] <= moment < outcome.ended_s[task]
            ]
            assert sum(busy) <= machine.cpus


@given(seed=st.integers(0, 10**9), tasks=st.integers(1, 60))
def test_graphs_survive_files_and_networkx(seed: int, tasks: int) -> None:
    graph = random_graph(Rng(f"graph:{seed}"), tasks)
    document = document_of_graph(graph)
    assert document_of_graph(graph_of_document(document)) == document
    again = graph_of_networkx(networkx_of_graph(graph))
    levels = sorted(bottom_levels_s(graph, graph.durations_s))
    assert sorted(bottom_levels_s(again, again.durations_s)) == pytest.approx(levels)
    assert again.work_s() == pytest.approx(graph.work_s())

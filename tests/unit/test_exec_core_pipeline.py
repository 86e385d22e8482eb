"""Tasks given ahead: depth, fairness, stalls, ghosts, deaths."""

from __future__ import annotations

from swarm.core.effects import KillExecutor, RunTasks
from swarm.exec.config import ExecConfig
from swarm.exec.pipeline import Durations, fair_share
from swarm.wire.messages import ERROR_EXECUTOR_DIED, ERROR_TIMEOUT
from tests.unit.exec_harness import JOB, FakeNode, assignment, brought


def bag(count: int, cpus: float = 1.0, config: ExecConfig | None = None, timeout_s: float = 0.0) -> FakeNode:
    """A node that knows that tasks named "f" are tiny and was given `count` of them."""
    node = FakeNode(config, cpus=cpus)
    node.assign(assignment(1000))
    node.run_all()
    node.completions.clear()
    node.assign(*[assignment(task, timeout_s=timeout_s) for task in range(1, count + 1)])
    return node


def test_means_follow_recent_runs_and_the_oldest_name_goes() -> None:
    durations = Durations(2, 0.005)
    assert durations.mean_s("a") is None
    assert not durations.is_tiny("a")
    durations.observe("a", 0.001)
    assert durations.is_tiny("a")
    durations.observe("a", 0.101)
    assert abs((durations.mean_s("a") or 0.0) - 0.021) < 1e-12
    assert not durations.is_tiny("a")
    durations.observe("b", 1.0)
    durations.observe("c", 1.0)
    assert durations.mean_s("a") is None
    assert len(durations) == 2


def test_shares_round_up() -> None:
    assert [fair_share(count, 4) for count in (0, 1, 4, 5, 16)] == [1, 1, 1, 2, 4]


def test_unknown_tasks_go_one_at_a_time() -> None:
    node = FakeNode(cpus=1.0)
    node.assign(*[assignment(task) for task in range(4)])
    node.start_executors()
    assert node.running() == {0: [0]}


def test_tiny_tasks_are_given_ahead_in_one_batch() -> None:
    node = bag(40)
    assert node.running() == {0: list(range(1, 17))}
    assert isinstance(node.log[-1], RunTasks)
    assert len(node.log[-1].tasks) == 16
    for _ in range(7):
        node.finish(0)
    assert len(node.queues[0]) == 9
    node.finish(0)
    assert node.running() == {0: list(range(9, 25))}
    node.run_all()
    assert [completion.task for completion in node.completions] == list(range(1, 41))


def test_few_tiny_tasks_are_shared_out() -> None:
    node = bag(5, cpus=2.0)
    node.start_executors()
    assert sorted(len(queue) for queue in node.queues.values()) == [2, 3]


def test_slow_and_tiny_tasks_do_not_share_a_queue() -> None:
    node = bag(2)
    node.assign(assignment(3, name="slow"), assignment(4))
    assert node.running() == {0: [1, 2]}
    node.finish(0)
    node.finish(0)
    assert node.running() == {0: [3]}
    node.finish(0, duration_s=2.0)
    assert node.running() == {0: [4]}


def test_a_pipeline_of_one_gives_nothing_ahead() -> None:
    node = bag(5, config=ExecConfig(pipeline_max=1))
    assert node.running() == {0: [1]}


def test_what_waits_behind_a_long_task_is_taken_back() -> None:
    node = bag(6, cpus=1.0)
    assert node.running() == {0: [1, 2, 3, 4, 5, 6]}
    node.fire()
    assert node.core.statistics()["taken_back"] == 5
    assert node.core.statistics()["ready_now"] == 5
    assert node.running() == {0: [1]}
    node.finish(0, duration_s=0.3)
    node.run_all()
    assert [completion.task for completion in node.completions] == [1, 2, 3, 4, 5, 6]
    assert node.core.statistics()["kills"] == 0


def test_what_a_starved_executor_had_begun_is_left_to_it() -> None:
    node = bag(6)
    node.begun_count = 3  # it has begun the third; nothing of that came back yet
    node.fire()
    assert node.running() == {0: [1, 2, 3]}
    assert node.core.statistics()["taken_back"] == 3
    node.advance(1.0)
    node.core.handle_deadline(node.now)
    node.pump()
    assert node.core.statistics()["taken_back"] == 3
    node.run_all()
    assert [completion.task for completion in node.completions] == [1, 2, 3, 4, 5, 6]
    assert node.core.statistics()["kills"] == 0


def test_a_late_answer_to_a_recall_does_no_harm() -> None:
    node = bag(4, timeout_s=5.0)
    node.answers_at_once = False
    node.fire()
    node.finish(0)  # the node believes that the second runs now, and it is on its way back
    assert node.running() == {}
    assert node.core.statistics()["sent_now"] == 3
    node.tell_recalled()
    node.pump()
    assert node.running() == {0: [2, 3, 4]}
    node.run_all()
    assert [completion.task for completion in node.completions] == [1, 2, 3, 4]
    node.core.on_tasks_recalled(0, [1, 2, 3], node.now)  # asked by nobody
    node.core.on_tasks_recalled(77, [1], node.now)
    node.pump()


def test_a_stall_is_looked_for_as_long_as_tasks_are_given_ahead() -> None:
    node = bag(3)
    node.advance(0.2)
    node.finish(0)
    node.fire()
    assert node.core.statistics()["taken_back"] == 0
    node.fire()
    assert node.core.statistics()["taken_back"] == 1
    assert node.running() == {0: [2]}


def test_taken_back_tasks_run_on_another_executor() -> None:
    node = bag(8, cpus=2.0)
    node.start_executors()
    assert node.running() == {0: [1, 2, 3, 4, 5], 1: [6, 7]}
    node.finish(1)
    node.finish(1)
    assert node.running() == {0: [1, 2, 3, 4, 5], 1: [8]}
    node.advance(0.2)
    node.finish(1)
    node.fire()
    assert node.running() == {0: [1], 1: [2, 3, 4]}
    assert node.core.statistics()["taken_back"] == 4
    for _ in range(4):
        node.finish(1)
    assert [completion.task for completion in node.completions] == [6, 7, 8, 2, 3, 4, 5]


def test_a_cancelled_task_in_a_queue_is_recalled() -> None:
    node = bag(4)
    node.cancel((JOB, 2, 1))
    assert node.running() == {0: [1, 3, 4]}
    node.run_all()
    assert [completion.task for completion in node.completions] == [1, 3, 4]
    assert node.core.statistics()["kills"] == 0


def test_a_cancelled_task_that_was_begun_is_killed_when_its_turn_comes() -> None:
    node = bag(4)
    node.begun_count = 2
    node.cancel((JOB, 2, 1))
    assert node.running() == {0: [1, 2, 3, 4]}
    node.finish(0)
    assert node.dying == [0]
    assert node.log[-1] == KillExecutor(0, "what comes next was cancelled")
    node.run_all()
    assert [completion.task for completion in node.completions] == [1, 3, 4]


def test_a_cancelled_task_at_the_front_waits_for_the_answer_of_its_recall() -> None:
    node = bag(4, timeout_s=1.0)
    node.answers_at_once = False
    node.cancel((JOB, 2, 1))
    node.finish(0)
    assert node.dying == []
    node.advance(5.0)
    node.core.handle_deadline(node.now)  # nothing runs as far as anybody knows: no timeout
    node.pump()
    node.tell_recalled()
    node.pump()
    assert node.running() == {0: [3, 4]}
    node.finish(0)
    node.finish(0)
    assert [completion.task for completion in node.completions] == [1, 3, 4]
    assert node.core.statistics()["kills"] == 0


def test_a_death_with_one_task_begun_is_blamed_on_it() -> None:
    node = bag(3)
    handles = [task.handle for task in node.queues[0]]
    node.core.on_tasks_recalled(0, handles[1:], node.now)
    node.die(0)
    assert [completion.task for completion in node.completions] == [1]
    node.run_all()
    assert [completion.task for completion in node.completions] == [1, 2, 3]


def test_cancelling_the_running_task_saves_those_behind_it() -> None:
    node = bag(4)
    node.cancel((JOB, 1, 1), (JOB, 3, 1))
    node.run_all()
    assert [completion.task for completion in node.completions] == [2, 4]
    assert node.core.statistics()["kills"] == 1


def test_a_timeout_counts_from_the_start_of_the_task_itself() -> None:
    node = bag(3, timeout_s=0.2)
    node.advance(0.15)
    node.finish(0)
    node.advance(0.15)
    node.core.handle_deadline(node.now)
    node.pump()
    assert len(node.completions) == 1
    node.fire()
    failure = node.completions[1].failure
    assert failure is not None
    assert failure.kind == ERROR_TIMEOUT
    node.run_all()
    assert [completion.task for completion in node.completions] == [1, 2, 3]


def test_after_a_death_with_several_tasks_each_runs_alone() -> None:
    node = bag(3)
    node.die(0)
    assert node.completions == []
    node.start_executors()
    assert node.running() == {0: [1]}
    node.die(0)
    assert [completion.task for completion in node.completions] == [1]
    failure = node.completions[0].failure
    assert failure is not None
    assert failure.kind == ERROR_EXECUTOR_DIED
    node.run_all()
    assert [completion.task for completion in node.completions] == [1, 2, 3]


def test_an_answer_out_of_turn_is_taken() -> None:
    node = bag(3, timeout_s=5.0)
    second = node.queues[0].pop(1)
    node.core.on_task_done(0, second.handle, [], 0.1, node.now)
    node.pump()
    node.run_all()
    assert sorted(completion.task for completion in node.completions) == [1, 2, 3]


def test_many_tiny_tasks_leave_nothing_behind() -> None:
    node = FakeNode(ExecConfig(ended_count_max=10), cpus=2.0)
    core = node.core
    function = brought(0, "code")
    core.assign([assignment(task, function=function) for task in range(1, 501)], 0.0)
    core.cancel([(JOB, task, 1) for task in range(1, 301)], 0.0)
    node.run_all()
    assert len(node.completions) == 200
    core.release([(JOB, task, 0) for task in range(501)], node.now)
    node.pump()
    assert core.inventory() == ([], [])
    assert core.statistics()["objects_memory_bytes_now"] == 0


def test_many_retracted_tasks_do_not_fill_the_heap() -> None:
    node = bag(300)
    keys = [(JOB, task, 1) for task in range(20, 301)]
    assert node.core.retract(keys, node.now) == keys
    node.assign(assignment(1001))
    node.run_all()
    assert [completion.task for completion in node.completions] == [*range(1, 20), 1001]

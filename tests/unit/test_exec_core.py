"""Attempts from assignment to report: inputs, order, ends, cancelling, repeating."""

from __future__ import annotations

import math

import pytest

from swarm.core.effects import KillExecutor, Notify, SpawnExecutor
from swarm.core.errors import ConfigError
from swarm.exec.config import ExecConfig
from swarm.exec.reports import Reports
from swarm.wire.facts import digest_of, digest_of_inputs
from swarm.wire.messages import ERROR_EXECUTOR_DIED, ERROR_RESULT, ERROR_TASK, ERROR_TIMEOUT
from tests.unit.exec_harness import (
    JOB,
    ME,
    OTHER_JOB,
    FakeNode,
    assignment,
    held,
    output_of,
    promised,
)


def test_a_task_starts_an_executor_runs_and_is_reported() -> None:
    node = FakeNode()
    node.assign(assignment(1))
    assert node.log == [SpawnExecutor(0)]
    node.start_executors()
    assert node.running() == {0: [1]}
    node.finish(0, output_of("one"), duration_s=0.25)
    completion = node.completions[0]
    assert (completion.task, completion.attempt, completion.node) == (1, 1, ME)
    assert completion.duration_s == 0.25
    assert completion.inputs_digest == b""
    assert completion.outputs == [output_of("one")]
    assert node.reports == [Reports([(JOB, completion)], [], [], [], [])]
    assert node.core.find_object((JOB, 1, 0)) == output_of("one")
    assert node.core.find_object((JOB, 2, 0)) is None


def test_executors_start_only_as_many_as_there_is_work_for() -> None:
    node = FakeNode(cpus=3.5)
    node.assign(assignment(1), assignment(2))
    assert node.starting == [0, 1]
    node.assign(assignment(3), assignment(4), assignment(5))
    assert node.starting == [0, 1, 2, 3]
    node.start_executors()
    assert node.running() == {0: [1], 1: [2], 2: [3], 3: [4]}


def test_ready_tasks_start_in_order_of_assignment() -> None:
    node = FakeNode(cpus=1.0)
    node.assign(assignment(1), assignment(2, [held(9, "x")]), assignment(3))
    node.start_executors()
    node.fetched((JOB, 9, 0))
    node.finish(0, duration_s=1.0)
    assert node.running() == {0: [2]}
    node.finish(0, duration_s=1.0)
    assert node.running() == {0: [3]}


def test_a_chain_runs_without_a_word_from_the_leader() -> None:
    node = FakeNode(cpus=1.0)
    node.assign(assignment(1), *[assignment(task, [promised(task - 1)]) for task in range(2, 6)])
    assert node.core.statistics()["ready_now"] == 1
    node.start_executors()
    for task in range(1, 6):
        assert node.running() == {0: [task]}
        node.finish(0)
    assert [completion.task for completion in node.completions] == [1, 2, 3, 4, 5]
    assert node.completions[1].inputs_digest == digest_of_inputs([digest_of(b"1")])
    assert node.core.statistics()["spawns"] == 1


def test_a_dependent_of_a_failed_task_waits_until_it_is_cancelled() -> None:
    node = FakeNode()
    node.assign(assignment(1), assignment(2, [promised(1)]))
    node.start_executors()
    node.fail(0)
    failure = node.completions[0].failure
    assert failure is not None
    assert failure.kind == ERROR_TASK
    assert node.core.inventory()[0] == [(JOB, 2, 1)]
    node.cancel((JOB, 2, 1))
    assert node.core.inventory() == ([], [])
    assert len(node.completions) == 1


def test_a_repeated_assignment_is_ignored_and_a_higher_attempt_runs_beside_it() -> None:
    node = FakeNode()
    node.assign(assignment(1))
    node.start_executors()
    node.assign(assignment(1), assignment(1, attempt=2))
    assert node.core.statistics()["repeated_assignments"] == 1
    node.start_executors()
    assert node.running() == {0: [1], 1: [1]}
    node.finish(1)
    node.finish(0)
    assert [completion.attempt for completion in node.completions] == [2, 1]


def test_a_repeated_assignment_of_an_ended_attempt_is_answered_again() -> None:
    node = FakeNode()
    node.assign(assignment(1))
    node.run_all()
    node.assign(assignment(1))
    assert len(node.completions) == 2
    assert node.completions[0] == node.completions[1]
    assert node.core.statistics()["starts"] == 1


def test_a_wrong_number_of_outputs_is_a_failure() -> None:
    node = FakeNode()
    node.assign(assignment(1, output_count=2))
    node.start_executors()
    node.finish(0)
    failure = node.completions[0].failure
    assert failure is not None
    assert failure.kind == ERROR_RESULT
    assert failure.message == "the task has 1 outputs and should have 2"
    assert node.core.inventory() == ([], [])


def test_a_timeout_kills_the_executor_and_fails_the_attempt() -> None:
    node = FakeNode(cpus=1.0)
    node.assign(assignment(1, timeout_s=2.0), assignment(2))
    node.advance(5.0)
    node.start_executors()
    assert node.core.next_deadline() == 7.0
    node.fire()
    failure = node.completions[0].failure
    assert failure is not None
    assert failure.kind == ERROR_TIMEOUT
    assert node.completions[0].duration_s == 2.0
    assert node.log[-1] == KillExecutor(0, "its task ran out of time")
    assert node.starting == []
    node.bury()
    node.start_executors()
    assert node.running() == {0: [2]}


def test_the_death_of_an_executor_fails_its_task_with_the_reason() -> None:
    node = FakeNode()
    node.assign(assignment(1))
    node.start_executors()
    node.advance(1.5)
    node.die(0, "one\nstack smashed\n")
    completion = node.completions[0]
    assert completion.failure is not None
    assert completion.failure.kind == ERROR_EXECUTOR_DIED
    assert completion.failure.message == (
        "the executor died while it ran the task: killed by signal 11; its last output: stack smashed"
    )
    assert completion.failure.traceback == "one\nstack smashed\n"
    assert completion.duration_s == 1.5


def test_cancelling_a_running_task_kills_its_executor_without_a_report() -> None:
    node = FakeNode(cpus=1.0)
    node.assign(assignment(1), assignment(2))
    node.start_executors()
    node.cancel((JOB, 1, 1), (JOB, 7, 1))
    assert node.dying == [0]
    assert node.core.statistics()["unknown_cancels"] == 1
    node.run_all()
    assert [completion.task for completion in node.completions] == [2]


def test_late_answers_of_a_killed_executor_are_ignored() -> None:
    node = FakeNode(cpus=1.0)
    node.assign(assignment(1))
    node.start_executors()
    handle = node.queues[0][0].handle
    node.cancel((JOB, 1, 1))
    node.core.on_task_done(0, handle, [output_of("1")], 0.1, node.now)
    node.core.on_task_output(0, handle, 1, b"x", node.now)
    node.core.on_executor_ready(0, 5, node.now)
    node.core.on_executor_ready(77, 5, node.now)
    node.core.on_executor_exit(1, "", "", node.now)
    node.pump()
    assert node.core.statistics()["stray_executor_events"] == 5
    assert node.completions == []


def test_only_what_never_started_is_retracted() -> None:
    node = FakeNode(cpus=1.0)
    node.assign(assignment(1), assignment(2), assignment(3, [promised(2)]))
    node.start_executors()
    keys = [(JOB, 1, 1), (JOB, 2, 1), (JOB, 3, 1), (JOB, 4, 1)]
    assert node.core.retract(keys, node.now) == [(JOB, 2, 1), (JOB, 3, 1)]
    node.run_all()
    assert [completion.task for completion in node.completions] == [1]
    assert node.core.inventory()[0] == []


def test_a_draining_node_gives_back_what_has_not_started() -> None:
    node = FakeNode(cpus=1.0)
    node.assign(assignment(1), assignment(2))
    node.start_executors()
    node.core.drain(node.now)
    node.assign(assignment(3))
    assert node.reports[-1].returned == [(JOB, 2, 1), (JOB, 3, 1)]
    node.finish(0)
    assert node.running() == {}
    assert [completion.task for completion in node.completions] == [1]


def test_a_full_node_and_one_without_cores_give_back() -> None:
    node = FakeNode(ExecConfig(attempts_max=2))
    node.assign(assignment(1), assignment(2), assignment(3))
    assert node.reports[-1].returned == [(JOB, 3, 1)]
    scripts_only = FakeNode(cpus=0.0)
    scripts_only.assign(assignment(1), assignment(2, cpus=0.0))
    assert scripts_only.reports[-1].returned == [(JOB, 1, 1)]
    assert scripts_only.starting == [0]


def test_forgetting_a_job_drops_all_of_it_and_nothing_else() -> None:
    node = FakeNode()
    node.assign(assignment(1), assignment(2, job=OTHER_JOB), assignment(3, [held(9, "x")]))
    node.start_executors()
    node.core.put_object((JOB, 5, 0), output_of("5", on_disk=True), node.now)
    node.files[(JOB, 5, 0)] = digest_of(b"5")
    node.core.forget_job(JOB, node.now)
    node.pump()
    assert node.dying == [0]
    assert node.files == {}
    assert node.core.inventory()[0] == [(OTHER_JOB, 2, 1)]
    node.fetched((JOB, 9, 0))
    assert node.files == {}
    node.finish(1)
    node.core.forget_job(OTHER_JOB, node.now)
    node.pump()
    assert node.core.inventory() == ([], [])
    assert node.core.statistics()["objects_memory_bytes_now"] == 0


def test_wide_tasks_take_several_slots_and_are_not_overtaken() -> None:
    node = FakeNode(cpus=4.0)
    node.assign(assignment(1), assignment(2, cpus=2.5), assignment(3, cpus=9.0), assignment(4))
    node.start_executors()
    assert node.running() == {0: [1], 1: [2]}
    node.finish(1, duration_s=1.0)
    assert node.running() == {0: [1]}
    node.finish(0, duration_s=1.0)
    assert node.running() == {0: [3]}
    node.finish(0, duration_s=1.0)
    assert node.running() == {0: [4]}


def test_memory_is_reserved_and_too_large_a_wish_runs_by_itself() -> None:
    node = FakeNode(cpus=3.0, memory_bytes=1000)
    tasks = [assignment(task, memory_bytes=size) for task, size in ((1, 600), (2, 400), (3, 2000))]
    node.assign(*tasks)
    node.start_executors()
    assert node.running() == {0: [1], 1: [2]}
    assert node.queues[2] == []
    node.finish(0, duration_s=1.0)
    assert node.running() == {1: [2]}
    node.finish(1, duration_s=1.0)
    assert node.running() == {0: [3]}


def test_scripts_have_executors_of_their_own() -> None:
    node = FakeNode(ExecConfig(script_count_max=2), cpus=1.0)
    node.assign(assignment(1), *[assignment(task, cpus=0.0) for task in (2, 3, 4)])
    node.start_executors()
    assert node.running() == {0: [1], 1: [2], 2: [3]}
    assert node.core.statistics()["slots_used_now"] == 1
    node.finish(2)
    assert node.running() == {0: [1], 1: [2], 2: [4]}


def test_idle_executors_end_after_a_while() -> None:
    node = FakeNode(ExecConfig(executor_idle_s=10.0))
    node.assign(assignment(1), assignment(2))
    node.start_executors()
    node.finish(0, duration_s=1.0)
    node.advance(6.0)
    node.finish(1, duration_s=1.0)
    node.fire()
    assert node.dying == [0]
    node.bury()
    assert node.core.next_deadline() == 16.0
    node.fire()
    assert node.dying == [1]
    node.bury()
    assert node.core.next_deadline() == math.inf
    node.assign(assignment(3))
    assert node.starting == [0]


def test_an_executor_that_was_busy_for_long_becomes_idle_late() -> None:
    node = FakeNode(ExecConfig(executor_idle_s=10.0), cpus=1.0)
    node.assign(assignment(1))
    node.start_executors()
    node.fire()
    node.advance(90.0)
    assert node.core.next_deadline() == math.inf
    node.finish(0)
    assert node.core.next_deadline() == 110.0


def test_executors_that_do_not_start_are_tried_again_ever_more_slowly() -> None:
    node = FakeNode(ExecConfig(respawn_min_s=1.0, respawn_max_s=3.0), cpus=1.0)
    node.assign(assignment(1))
    pauses: list[float] = []
    for _ in range(4):
        node.starting.remove(0)
        node.core.on_executor_exit(0, "no memory", "", node.now)
        effects = node.pump()
        assert [effect.event for effect in effects if isinstance(effect, Notify)] == ["executor_not_started"]
        pauses.append(node.core.next_deadline() - node.now)
        node.fire()
        assert node.starting == [0]
    assert pauses == [1.0, 2.0, 3.0, 3.0]
    node.run_all()
    assert len(node.completions) == 1


def test_printed_output_has_offsets_and_a_bound() -> None:
    node = FakeNode(ExecConfig(output_bytes_max=8))
    node.assign(assignment(1))
    node.start_executors()
    handle = node.queues[0][0].handle
    for stream, data in ((1, b"abc"), (2, b"de"), (1, b"fghi"), (1, b"j"), (2, b"")):
        node.core.on_task_output(0, handle, stream, data, node.now)
    node.pump()
    rows = [(row[3], row[4], row[5]) for row in node.reports[0].output]
    assert rows == [(1, 0, b"abc"), (2, 0, b"de"), (1, 3, b"fgh")]
    assert node.core.statistics()["output_dropped_bytes"] == 2


def test_the_inventory_of_some_jobs() -> None:
    node = FakeNode()
    node.assign(assignment(1), assignment(2, job=OTHER_JOB))
    node.start_executors()
    node.finish(0, output_of("1", on_disk=True))
    expected = ([(OTHER_JOB, 2, 1)], [((JOB, 1, 0), digest_of(b"1"), 100_000, 0)])
    assert node.core.inventory() == expected
    assert node.core.inventory([JOB, b"job-222222"]) == ([], expected[1])


def test_time_does_not_go_back() -> None:
    node = FakeNode()
    node.core.assign([], 2.0)
    assert node.core.next_deadline() == 2.0
    with pytest.raises(AssertionError, match="time went back"):
        node.core.assign([], 1.0)


@pytest.mark.parametrize(
    "bad",
    [
        {"pipeline_max": 0},
        {"bytes_max": -1},
        {"executor_idle_s": 0.0},
        {"pipeline_task_max_s": -0.1},
        {"respawn_min_s": 5.0, "respawn_max_s": 1.0},
    ],
)
def test_wrong_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        ExecConfig(**bad)  # type: ignore[arg-type]  # some are no floats

"""What attempts need: promised, brought along, fetched, replaced, released; functions known to executors."""

from __future__ import annotations

from swarm.core.effects import FetchObject, RunTasks
from swarm.exec.config import ExecConfig
from swarm.wire.facts import digest_of, digest_of_inputs
from tests.unit.exec_harness import (
    JOB,
    ME,
    PEER,
    FakeNode,
    assignment,
    brought,
    held,
    output_of,
    promised,
)


def test_a_promised_object_that_is_here_already_is_used() -> None:
    node = FakeNode()
    node.assign(assignment(1))
    node.run_all()
    node.assign(assignment(2, [promised(1)]))
    assert node.running() == {0: [2]}


def test_a_promised_object_made_by_another_attempt_is_used() -> None:
    node = FakeNode()
    node.assign(assignment(1), assignment(2, [promised(1)]))
    node.start_executors()
    node.fail(0)
    node.assign(assignment(1, attempt=2))
    node.finish(0)
    assert node.running() == {0: [2]}


def test_a_promised_object_that_nobody_makes_is_told() -> None:
    node = FakeNode()
    node.assign(assignment(2, [promised(1)]))
    assert node.reports[0].lost == [[JOB, 1, 0, ME]]
    assert node.core.statistics()["orphan_inputs"] == 1


def test_bytes_that_ride_along_are_kept_for_later_tasks() -> None:
    node = FakeNode(cpus=1.0)
    node.assign(assignment(2, [brought(1, "data")]))
    node.start_executors()
    assert node.queues[0][0].inputs[0].data == b"data"
    node.finish(0)
    node.assign(assignment(3, [held(1, "data")]))
    assert node.queues[0][0].inputs[0].data == b"data"
    assert not node.fetches


def test_an_object_is_fetched_once_for_all_who_wait() -> None:
    node = FakeNode()
    node.assign(assignment(2, [held(1, "big")]), assignment(3, [held(1, "big")]))
    fetch = node.log[0]
    assert isinstance(fetch, FetchObject)
    assert fetch.sources == [(PEER, [("10.0.0.2", 7117)])]
    assert fetch.digest == digest_of(b"big")
    assert len(node.fetches) == 1
    node.fetched((JOB, 1, 0))
    assert node.reports[0].copied == [(JOB, 1, 0)]
    node.start_executors()
    assert node.running() == {0: [2], 1: [3]}
    assert node.queues[0][0].inputs[0].data is None


def test_a_failed_fetch_is_told_and_a_new_holder_helps_everybody() -> None:
    node = FakeNode()
    other = b"o" * 16
    node.assign(assignment(2, [held(1, "big")]))
    node.missing((JOB, 1, 0), PEER)
    assert node.reports[0].lost == [[JOB, 1, 0, PEER]]
    assert not node.fetches
    node.core.set_addresses({other: [("10.0.0.3", 7117)]})
    node.assign(assignment(3, [held(1, "big", [other])]))
    node.fetched((JOB, 1, 0))
    node.start_executors()
    assert node.running() == {0: [2], 1: [3]}


def test_holders_without_an_address_are_lost_at_once() -> None:
    node = FakeNode()
    node.assign(assignment(2, [held(1, "big", [ME, b"u" * 16])]))
    assert node.reports[0].lost == [[JOB, 1, 0, ME], [JOB, 1, 0, b"u" * 16]]


def test_released_objects_go_when_their_last_user_ends() -> None:
    node = FakeNode(cpus=1.0)
    node.assign(assignment(1))
    node.start_executors()
    node.finish(0, output_of("1", on_disk=True))
    node.assign(assignment(2, [promised(1)]))
    node.core.release([(JOB, 1, 0), (JOB, 8, 0)], node.now)
    node.pump()
    assert node.files
    node.finish(0)
    assert not node.files


def test_a_function_travels_to_an_executor_once() -> None:
    node = FakeNode(ExecConfig(functions_known_max=1), cpus=1.0)
    function = brought(0, "code")
    node.assign(*[assignment(task, function=function) for task in (1, 2)])
    node.assign(assignment(3, function=brought(7, "more")), assignment(4, function=function))
    node.run_all()
    sent: list[tuple[int, bytes | None]] = []
    for effect in node.log:
        if isinstance(effect, RunTasks):
            for task in effect.tasks:
                assert task.function is not None
                sent.append((task.function.name[1], task.function.data))
    assert sent == [(0, b"code"), (0, None), (7, b"more"), (0, b"code")]
    assert node.completions[0].inputs_digest == b""


def test_a_client_of_the_node_can_have_an_object_fetched() -> None:
    node = FakeNode()
    name = (JOB, 1, 0)
    assert not node.core.fetch_object(name, held(1, "x"), node.now)
    assert not node.core.fetch_object(name, held(1, "x"), node.now)
    node.pump()
    node.fetched(name)
    assert node.core.fetch_object(name, held(1, "x"), node.now)
    assert not node.core.fetch_object((JOB, 2, 0), held(2, "y"), node.now)
    node.pump()
    node.missing((JOB, 2, 0))
    node.core.release([name], node.now)
    node.pump()
    assert node.core.inventory() == ([], [])


def test_an_input_replaced_on_disk_restarts_its_readers() -> None:
    node = FakeNode()
    node.assign(assignment(1))
    node.start_executors()
    node.finish(0, output_of("first", on_disk=True), duration_s=1.0)
    node.assign(assignment(2, [promised(1)]), assignment(3, [held(1, "first")]))
    node.start_executors()
    node.assign(assignment(1, attempt=2))
    node.finish(1, duration_s=1.0)
    assert node.running() == {0: [2], 1: [1]}
    node.finish(1, output_of("second", on_disk=True), duration_s=1.0)
    assert node.dying == [0]
    node.run_all()
    assert node.completions[-1].inputs_digest == digest_of_inputs([digest_of(b"second")])


def test_a_ready_task_waits_again_when_its_input_is_replaced() -> None:
    node = FakeNode(cpus=2.0)
    node.assign(assignment(1, name="g"))
    node.run_all()
    node.assign(assignment(4), assignment(1, attempt=2), assignment(3, [held(1, "1")]))
    node.start_executors()
    node.finish(1, output_of("second"), duration_s=1.0)
    assert node.running() == {0: [4]}
    node.fetched((JOB, 1, 0))
    assert node.running() == {0: [4], 1: [3]}
    assert node.core.statistics()["objects_replaced"] == 2


def test_an_own_file_that_has_gone_is_told_and_fetched() -> None:
    node = FakeNode(cpus=1.0)
    node.assign(assignment(1))
    node.start_executors()
    node.finish(0, output_of("1", on_disk=True), duration_s=1.0)
    node.assign(assignment(2), assignment(3, [held(1, "1")]))
    node.missing((JOB, 1, 0))
    assert node.reports[-1].lost[0] == [JOB, 1, 0, ME]
    node.finish(0, duration_s=1.0)
    assert node.core.inventory()[0] == [(JOB, 3, 1)]
    node.assign(assignment(3, [held(1, "1")], attempt=2))
    node.fetched((JOB, 1, 0))
    node.run_all()
    assert [completion.task for completion in node.completions] == [1, 2, 3, 3]


def test_a_result_that_replaces_the_input_of_the_next_in_the_queue() -> None:
    node = FakeNode(cpus=1.0)
    node.assign(assignment(1))
    node.start_executors()
    node.finish(0, output_of("first", on_disk=True))
    node.assign(assignment(1, attempt=2), assignment(2, [promised(1)]))
    assert node.running() == {0: [1, 2]}
    node.finish(0, output_of("second", on_disk=True))
    assert node.dying == [0]
    node.run_all()
    assert node.completions[-1].inputs_digest == digest_of_inputs([digest_of(b"second")])


def test_bytes_that_were_sent_along_may_be_replaced_meanwhile() -> None:
    node = FakeNode(cpus=2.0)
    node.assign(assignment(2, [brought(1, "old")]), assignment(3, [brought(1, "new")]))
    node.start_executors()
    assert node.running() == {0: [3]}
    assert node.core.inventory()[0] == [(JOB, 2, 1), (JOB, 3, 1)]
    node.assign(assignment(4, [brought(1, "old")]))
    node.start_executors()
    assert node.running() == {0: [3], 1: [2]}
    node.finish(0)
    assert node.running() == {0: [4], 1: [2]}
    assert node.completions[0].inputs_digest == digest_of_inputs([digest_of(b"new")])


def test_a_waiting_task_whose_other_input_is_replaced() -> None:
    node = FakeNode(cpus=2.0)
    inputs = [held(2, "big"), brought(1, "old")]
    node.assign(assignment(3, inputs), assignment(4, [brought(1, "new")]))
    node.fetched((JOB, 2, 0))
    node.start_executors()
    assert node.running() == {0: [4]}
    node.assign(assignment(5, [brought(1, "old")]))
    node.start_executors()
    node.run_all()
    old = digest_of(b"old")
    assert node.completions[0].inputs_digest == digest_of_inputs([digest_of(b"new")])
    digests = {completion.task: completion.inputs_digest for completion in node.completions}
    assert digests[3] == digest_of_inputs([digest_of(b"big"), old])

"""Second copies of large results of jobs that have ended."""

from __future__ import annotations

import pytest

from swarm.core.effects import FetchObject, Message
from swarm.core.errors import ConfigError, DecodeError
from swarm.core.ids import NodeId
from swarm.exec.config import ExecConfig
from swarm.exec.core import ExecCore
from swarm.node_orders import obey
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.jobs import Job
from swarm.scheduler.records import JobRecords
from swarm.scheduler.results import (
    FETCH_S,
    LOOK_S,
    REFUSED_FIRST_S,
    REFUSED_MAX_S,
    SCANNED_MAX,
    SOON_S,
    WANTED_MAX,
    Results,
)
from swarm.wire.codec import Body
from swarm.wire.facts import Output, digest_of
from swarm.wire.messages import INVENTORY, JOB_RELEASE, OBJECT_COPIED, OBJECT_WANTED
from swarm.wire.orders import InputRef, wanted_objects_untrusted
from tests.unit.scheduler_builder import JOB, LARGE, ME, ONE, OTHER_JOB, TWO, bag, chain
from tests.unit.scheduler_env import CONFIG, SchedulerEnv


def wanted(env: SchedulerEnv) -> list[tuple[NodeId, int]]:
    """Take (node, task) of the results that nodes were told to fetch."""
    messages = [one for one in env.outbox if one.kind == OBJECT_WANTED]
    env.outbox = [one for one in env.outbox if one not in messages]
    rows: list[tuple[NodeId, int]] = []
    for message in messages:
        for (_, task, _), _ in wanted_objects_untrusted(Body(message.body).take_list()):
            rows.append((message.peer, task))
    return rows


def copied(env: SchedulerEnv, node: NodeId, task: int = 0) -> None:
    """Let a node say that it has the result."""
    env.receive(node, OBJECT_COPIED, [[[JOB, task, 0, env.made[JOB, task, 0]]]])


def ended(
    nodes: int = 3, *, is_large: bool = True, config: SchedulerConfig = CONFIG, session: bool = False
) -> tuple[SchedulerEnv, NodeId]:
    """A job of one task that is done; and who ran it."""
    env = SchedulerEnv(nodes, config=config)
    env.submit(bag(1, session=session))
    (given,) = env.take_given(1)
    env.done(given, is_large=is_large)
    env.wait(LOOK_S + 0.1)
    return env, given.node


def test_a_large_result_gets_a_second_holder() -> None:
    env, maker = ended()
    ((target, task),) = wanted(env)
    assert (target != maker, task) == (True, 0)
    copied(env, target)
    env.wait(10 * LOOK_S)
    assert wanted(env) == []
    env.lose(maker)
    assert list(env.task(0).holders) == [target]


def test_when_a_holder_dies_another_one_is_found() -> None:
    env, maker = ended()
    ((target, _),) = wanted(env)
    copied(env, target)
    env.lose(maker)
    env.wait(LOOK_S + 0.1)
    ((third, _),) = wanted(env)
    assert third not in (maker, target)


def test_a_small_result_needs_no_copy() -> None:
    env, _ = ended(is_large=False)
    assert wanted(env) == []


def test_results_of_running_jobs_are_made_anew_instead() -> None:
    env = SchedulerEnv(3)
    env.submit(bag(2))
    given = env.take_given(2)
    env.done(given[0], is_large=True)
    env.wait(10.0)
    assert wanted(env) == []


def test_a_session_takes_its_results_with_it() -> None:
    env, _ = ended(session=True)
    assert env.job().verdict == "done"
    assert wanted(env) == []


def test_only_results_are_copied() -> None:
    env = SchedulerEnv(3)
    env.submit(chain(2))
    for _ in range(2):
        env.done(*env.take_given(1), is_large=True)
    env.wait(LOOK_S + 0.1)
    assert [task for _, task in wanted(env)] == [1]


def test_what_is_too_large_stays_where_it_is() -> None:
    env, _ = ended(config=SchedulerConfig(replicas=1, result_copy_bytes_max=LARGE - 1))
    assert wanted(env) == []


def test_another_machine_comes_first() -> None:
    for number in range(8):
        env = SchedulerEnv()
        job = bytes([number]) * 10
        for node, host in ((ME, b"h1"), (ONE, b"h1"), (TWO, b"h2")):
            env.join(node, host=host)
        env.submit(bag(1), job)
        (given,) = env.take_given(1)
        env.done(given, is_large=True)
        env.wait(LOOK_S + 0.1)
        ((target, _),) = wanted(env)
        assert (target == TWO) == (given.node != TWO)


def test_a_lone_node_waits_for_another_one() -> None:
    env, _ = ended(1)
    assert wanted(env) == []
    env.join(ONE)
    env.wait(LOOK_S + 0.1)
    assert wanted(env) == [(ONE, 0)]


def test_who_is_out_of_reach_is_asked_when_it_reports() -> None:
    env, maker = ended(1)
    env.join(ONE, is_reporting=False)
    env.wait(3 * LOOK_S)
    assert wanted(env) == []
    env.core.dispatcher.workers[ONE].ask(99, env.now)
    env.receive(ONE, INVENTORY, [99, [], []])
    env.wait(LOOK_S + 0.1)
    assert wanted(env) == [(ONE, 0)]
    assert maker == ME


def test_who_does_not_fetch_is_replaced() -> None:
    env, _ = ended()
    ((first, _),) = wanted(env)
    env.wait(FETCH_S - 2 * LOOK_S)
    assert wanted(env) == []
    env.wait(3 * LOOK_S)
    ((second, _),) = wanted(env)
    assert second != first


def test_who_could_not_fetch_is_asked_again_after_the_others() -> None:
    env, maker = ended()
    ((first, _),) = wanted(env)
    env.lost(first, 0, maker)
    env.wait(LOOK_S + 0.1)
    ((second, _),) = wanted(env)
    assert second not in (first, maker)
    env.lost(second, 0, maker)
    env.wait(REFUSED_FIRST_S + LOOK_S)
    assert [node for node, _ in wanted(env)] == [first], "its pause is over first"


def test_pauses_get_longer_and_what_cannot_be_fetched_is_asked_for_seldom() -> None:
    env, maker = ended(2)
    asked = 0
    for _ in range(600):
        for node, _ in wanted(env):
            env.lost(node, 0, maker)
            asked += 1
        env.wait(1.0)
    assert 10 <= asked <= 600.0 / REFUSED_MAX_S + 6


def test_what_went_with_a_stream_is_asked_for_again() -> None:
    env, maker = ended(2)
    ((other, _),) = wanted(env)
    assert other != maker
    env.core.on_link_lost(other, env.now)
    env.wait(0.5)
    env.report(other)
    env.wait(LOOK_S + 0.1)
    assert wanted(env) == [(other, 0)]


def test_a_node_that_began_anew_has_its_copy_no_more() -> None:
    env, maker = ended()
    ((second, _),) = wanted(env)
    copied(env, second)
    env.join(second, instance=2)
    assert list(env.task(0).holders) == [maker]
    env.wait(LOOK_S + 0.1)
    assert len(wanted(env)) == 1


def test_the_slots_of_nodes_that_went_are_free() -> None:
    env = SchedulerEnv(1, cores=50.0)
    env.submit(bag(WANTED_MAX + 4))
    env.done(*env.take_given(WANTED_MAX + 4), is_large=True)
    env.join(ONE)
    env.join(TWO)
    env.wait(LOOK_S + 0.1)
    first = wanted(env)
    assert len(first) == WANTED_MAX
    env.lose(TWO)
    env.wait(LOOK_S + 0.1)
    again = wanted(env)
    assert len(again) == len([node for node, _ in first if node == TWO])
    assert {node for node, _ in again} == {ONE}


def test_few_results_are_on_their_way_at_a_time() -> None:
    env = SchedulerEnv(2, cores=50.0)
    env.submit(bag(WANTED_MAX + 4))
    given = env.take_given(WANTED_MAX + 4)
    env.done(*given, is_large=True)
    env.wait(LOOK_S + 0.1)
    first = wanted(env)
    assert len(first) == WANTED_MAX
    for target, task in first:
        copied(env, target, task)
    env.wait(3 * LOOK_S)
    assert len(wanted(env)) == 4


def with_copies_under_way(tasks: int = WANTED_MAX) -> tuple[SchedulerEnv, list[tuple[NodeId, int]]]:
    """A job whose results are all on ME, and who was asked to fetch which of them."""
    env = SchedulerEnv(1, cores=50.0)
    env.submit(bag(tasks))
    env.done(*env.take_given(tasks), is_large=True)
    env.join(ONE)
    env.join(TWO)
    env.wait(LOOK_S + 0.1)
    return env, wanted(env)


def another_job_with_a_result(env: SchedulerEnv) -> None:
    """Let a job of one task run on ONE and end."""
    env.submit(bag(1), OTHER_JOB)
    env.done(*env.take_given(1), is_large=True)
    env.wait(2 * LOOK_S)


def test_results_whose_last_holder_died_on_their_way_keep_nobody_waiting() -> None:
    env, first = with_copies_under_way()
    assert len(first) == WANTED_MAX
    for _, task in first:
        env.lost(ME, task, ME)
    another_job_with_a_result(env)
    assert [task for _, task in wanted(env)] == [0]


def test_results_that_nobody_wants_any_more_keep_nobody_waiting() -> None:
    env, first = with_copies_under_way()
    assert len(first) == WANTED_MAX
    env.receive(ONE, JOB_RELEASE, [JOB, list(range(WANTED_MAX))])
    another_job_with_a_result(env)
    assert [task for _, task in wanted(env)] == [0]


def test_what_waits_for_a_slot_is_asked_for_as_soon_as_others_have_arrived() -> None:
    env, first = with_copies_under_way(WANTED_MAX + 4)
    for target, task in first:
        copied(env, target, task)
    env.wait(2 * SOON_S)
    assert len(wanted(env)) == 4


def test_many_results_are_seen_through_a_few_jobs_at_a_time() -> None:
    env, _ = ended(1)
    looked = Results(CONFIG)
    vast = Job(OTHER_JOB, 2, env.now)
    vast.verdict = "done"
    vast.tasks.extend([env.task(0)] * SCANNED_MAX)
    env.join(ONE)
    jobs, workers = {OTHER_JOB: vast, JOB: env.job()}, env.core.dispatcher.workers
    looked.note_members(jobs, 0.0)
    looked.handle_deadline(jobs, workers, LOOK_S)
    assert [row[0] for row in wanted_rows(looked)] == [OTHER_JOB]
    assert looked.next_deadline() == LOOK_S + SOON_S, "the rest is not left for the next second"
    looked.handle_deadline(jobs, workers, LOOK_S + SOON_S)
    assert [row[0] for row in wanted_rows(looked)] == [JOB]


def wanted_rows(looked: Results) -> list[tuple[bytes, int, int]]:
    """Take the names of the results that nodes were told to fetch."""
    rows: list[tuple[bytes, int, int]] = []
    for effect in looked.take_effects():
        assert isinstance(effect, Message)
        rows.extend([name for name, _ in wanted_objects_untrusted(Body(effect.body).take_list())])
    return rows


def test_a_holder_that_others_cannot_reach_keeps_the_result_of_an_ended_job() -> None:
    env, maker = ended(2)
    other = ONE if maker == ME else ME
    env.lost(other, 0, maker)
    assert list(env.task(0).holders) == [maker]
    env.lost(maker, 0, maker)
    assert list(env.task(0).holders) == []


def test_a_node_fetches_what_the_leader_wants_it_to_have() -> None:
    core = ExecCore(ExecConfig(), ME, 1.0, 0)
    data = Output(digest_of(b"x"), LARGE, 0, None)
    ref = InputRef(3, 0, data.digest, LARGE, 0, None, [TWO])
    row: list[object] = [JOB, ref.to_wire()]
    body: list[object] = [[row]]
    records = JobRecords(SchedulerConfig(), ME)
    core.set_addresses({TWO: [("10.0.0.3", 7117)]})
    assert obey(core, records, ONE, OBJECT_WANTED, Body(body), 0.0) == []
    (fetch,) = core.take_effects()
    assert isinstance(fetch, FetchObject)
    assert fetch.sources == [(TWO, [("10.0.0.3", 7117)])]
    core.put_object((JOB, 3, 0), data, 0.0)
    answers = obey(core, records, ONE, OBJECT_WANTED, Body(body), 0.0)
    assert answers == [Message(ONE, OBJECT_COPIED, [[[JOB, 3, 0, data.digest]]])]


@pytest.mark.parametrize("digest", [None, b"short"])
def test_a_wanted_object_has_a_digest(digest: bytes | None) -> None:
    with pytest.raises(DecodeError):
        wanted_objects_untrusted([[JOB, [0, 0, digest, 1, 0, None, []]]])


def test_a_result_has_at_least_one_copy() -> None:
    with pytest.raises(ConfigError, match="result_copies"):
        SchedulerConfig(result_copies=0)

"""Choosing nodes: earliest finish (HEFT's second phase), data's place, and what rides along with an order."""

from __future__ import annotations

import pytest

from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.placement import (
    choose_ahead,
    choose_worker,
    lacking_data,
    make_assignment,
    missing_bytes,
)
from swarm.scheduler.workers import CUT_S, Worker
from swarm.wire.job_part import TaskOptions
from swarm.wire.orders import InputRef
from tests.unit.scheduler_builder import (
    JOB,
    LARGE,
    ME,
    ONE,
    TWO,
    JobBuilder,
    bag,
    call,
    chain,
    data,
    output_of,
    part,
    task,
)
from tests.unit.scheduler_env import facts_of

NOW = 5.0
CONFIG = SchedulerConfig(bandwidth_bytes_s=1e6, window_s=10.0)


def worker(node: bytes, **facts: object) -> Worker:
    made = Worker(node, facts_of(**facts))
    made.has_reported = True
    return made


def load(one: Worker, seconds: float) -> None:
    one.give((JOB, 99, len(one.given) + 1), TaskOptions(), seconds, False)


def choose(build: JobBuilder, index: int, workers: list[Worker]) -> bytes:
    found = choose_worker(build.job, build.task(index), workers, build.estimates, CONFIG, NOW)
    return b"" if found is None else found.node


def known(build: JobBuilder) -> JobBuilder:
    build.estimates.observe("t", 0.1, 1.0)
    return build


def test_the_idle_node_is_chosen() -> None:
    busy, idle = worker(ME), worker(ONE)
    load(busy, 1.0)
    assert choose(known(JobBuilder(bag(1))), 0, [busy, idle]) == ONE


def test_nodes_from_which_others_get_nothing_are_taken_only_where_no_other_fits() -> None:
    build = JobBuilder(bag(1))
    build.task(0).avoid(ME)
    hidden, other = worker(ME, speed=4.0), worker(ONE)
    assert choose(build, 0, [hidden, other]) == ONE
    for _ in range(2):
        load(other, 100.0)
    assert choose(build, 0, [hidden, other]) == b"", "it waits for the other"
    other.is_draining = True
    assert choose(build, 0, [hidden, other]) == ME
    assert choose(build, 0, [hidden]) == ME


def test_nothing_follows_ahead_on_a_node_from_which_others_get_nothing() -> None:
    build = JobBuilder(chain(2))
    build.job.start(build.task(0), ME, False)
    assert choose_ahead(build.job, build.task(0), worker(ME)) is build.task(1)
    build.task(1).avoid(ME)
    assert choose_ahead(build.job, build.task(0), worker(ME)) is None


def test_equals_go_to_the_first() -> None:
    assert choose(JobBuilder(bag(1)), 0, [worker(ME), worker(ONE)]) == ME


def test_the_faster_node_is_chosen() -> None:
    assert choose(known(JobBuilder(bag(1))), 0, [worker(ME), worker(ONE, speed=2.0)]) == ONE


def test_a_fast_node_may_queue_while_a_slow_one_is_idle() -> None:
    fast = worker(ME, speed=10.0)
    load(fast, 0.1)
    assert choose(known(JobBuilder(bag(1))), 0, [fast, worker(ONE, speed=0.5)]) == ME


def test_the_place_of_the_inputs_counts() -> None:
    build = known(JobBuilder(chain(2)))
    build.finish(0, node=ONE, is_large=True)
    assert missing_bytes(build.job, build.task(1), ME) == LARGE
    assert missing_bytes(build.job, build.task(1), ONE) == 0
    busy = worker(ONE)
    assert choose(build, 1, [worker(ME), busy]) == ONE
    load(busy, LARGE / 1e6 + 0.5)
    assert choose(build, 1, [worker(ME), busy]) == ME


def test_nobody_has_room_or_fits() -> None:
    build = JobBuilder(bag(1, options=TaskOptions(tags=("gpu",))))
    draining = worker(ONE, tags=["gpu"], draining=True)
    assert choose(build, 0, [worker(ME), draining]) == b""
    assert choose(build, 0, []) == b""


# Run-ahead


def ahead(build: JobBuilder, index: int, node: Worker) -> int:
    found = choose_ahead(build.job, build.task(index), node)
    return -1 if found is None else found.index


def test_the_dependent_follows_on_the_same_node() -> None:
    build = JobBuilder(chain(2))
    build.start(0, ONE)
    assert ahead(build, 0, worker(ONE)) == 1
    assert ahead(build, 0, worker(TWO)) == -1


def test_it_does_not_follow_where_it_may_not_run() -> None:
    build = JobBuilder(part(task(), task(0, options=TaskOptions(tags=("gpu",)))))
    build.start(0, ONE)
    assert ahead(build, 0, worker(ONE)) == -1
    assert ahead(build, 0, worker(ONE, tags=["gpu"])) == 1


def test_all_its_inputs_must_be_coming() -> None:
    build = JobBuilder(part(task(), task(), task(0, 1)))
    build.start(0, ONE)
    assert ahead(build, 0, worker(ONE)) == -1
    build.start(1, TWO)
    assert ahead(build, 0, worker(ONE)) == -1
    build.finish(1, node=TWO)
    assert ahead(build, 0, worker(ONE)) == 2


def test_an_input_that_was_given_up_is_not_coming() -> None:
    build = JobBuilder(part(task(), task(), task(1), task(0, 1)))
    build.finish(1, is_large=True)
    build.start(0, ONE)
    build.task(1).holders.clear()
    assert ahead(build, 0, worker(ONE)) == -1


def test_its_function_must_be_there() -> None:
    build = JobBuilder(part(data(is_brought=True), task(), call(0, 1)))
    build.start(1, ONE)
    assert ahead(build, 1, worker(ONE)) == -1
    build.task(0).holders[TWO] = True
    assert ahead(build, 1, worker(ONE)) == 2


def test_nothing_follows_the_last() -> None:
    build = JobBuilder(chain(1))
    build.start(0, ONE)
    assert ahead(build, 0, worker(ONE)) == -1


# The order


def order(build: JobBuilder, index: int, node: bytes = ONE) -> list[InputRef]:
    return make_assignment(build.job, build.task(index), 1, node).inputs


def test_small_inputs_ride_along_once() -> None:
    build = JobBuilder(part(task(), task(0), task(0)))
    build.finish(0, node=TWO)
    made = output_of("0:0")
    assert order(build, 1) == [InputRef(0, 0, made.digest, made.size, 0, made.data, [])]
    assert order(build, 2) == [InputRef(0, 0, made.digest, made.size, 0, None, [])]
    assert list(build.task(0).holders) == [TWO, ONE]


def test_large_inputs_are_fetched_from_their_holders() -> None:
    build = JobBuilder(part(task(), task(0)))
    build.finish(0, node=TWO, is_large=True)
    build.task(0).holders[ME] = True
    assert order(build, 1)[0].holders == [TWO, ME]
    assert list(build.task(0).holders) == [TWO, ME], "a fetch under way is no copy yet"
    assert order(build, 1, ME)[0].holders == [ME]


def test_inputs_under_way_have_no_digest() -> None:
    build = JobBuilder(chain(2))
    build.start(0, ONE)
    assert order(build, 1) == [InputRef(0, 0, None, 0, 0, None, [])]


def test_an_object_used_twice_rides_along_twice_in_one_order() -> None:
    build = JobBuilder(part(data("x"), call(0, 0, 0)))
    made = make_assignment(build.job, build.task(1), 1, ONE)
    assert made.function is not None
    assert made.function.data == b"x"
    assert [ref.data for ref in made.inputs] == [b"x", b"x"]


def test_the_order_says_what_the_task_asks_for() -> None:
    options = TaskOptions(cpus=0.5, memory_bytes=7, timeout_s=3.0)
    build = JobBuilder(part(task(outputs=2, name="n", options=options)))
    made = make_assignment(build.job, build.task(0), 4, ONE)
    assert (made.job, made.task, made.attempt, made.name, made.output_count) == (JOB, 0, 4, "n", 2)
    assert (made.cpus, made.memory_bytes, made.timeout_s) == (0.5, 7, 3.0)


@pytest.mark.parametrize("is_function", [False, True])
def test_data_that_no_node_has_is_found(is_function: bool) -> None:
    build = JobBuilder(part(data(), data(is_brought=True), call(1, 0) if is_function else task(0, 1)))
    assert lacking_data(build.job, build.task(2)) == 1
    build.task(1).holders[ONE] = True
    assert lacking_data(build.job, build.task(2)) == -1


def test_a_node_that_lately_did_not_get_an_input_is_passed_over_for_a_while() -> None:
    build = known(JobBuilder(chain(2)))
    build.finish(0, node=ONE, is_large=True)
    far, near = worker(ME), worker(TWO)
    load(near, 1.0)
    assert choose(build, 1, [far, near]) == ME
    far.note_cut(ONE, NOW)
    assert choose(build, 1, [far, near]) == TWO
    assert choose(build, 1, [far]) == ME, "there is no other"
    far.note_cut(TWO, NOW + CUT_S)
    assert choose(build, 1, [far, near]) == ME, "that was long ago"


def test_where_the_inputs_are_to_be_had_counts_more_than_who_gets_the_outputs() -> None:
    build = known(JobBuilder(chain(2)))
    build.finish(0, node=ONE, is_large=True)
    build.task(1).avoid(ONE)
    one, two = worker(ONE), worker(TWO)
    assert choose(build, 1, [one, two]) == TWO
    two.note_cut(ONE, NOW)
    assert choose(build, 1, [one, two]) == ONE

"""Sessions without clients, cancelled jobs, ended jobs that expire, tombstones."""

from __future__ import annotations

from swarm.core.ids import short
from swarm.wire.messages import (
    ANSWER,
    INTENT_CANCEL,
    INTENT_END,
    JOB_ENDED,
    JOB_FORGET,
    JOB_INTENT,
    JOB_RELEASE,
    RECORD_GIVE,
    RECORD_OFFER,
    REPORT_WANTED,
    WATCH,
)
from tests.unit.scheduler_builder import (
    JOB,
    ME,
    ONE,
    OTHER_JOB,
    TWO,
    bag,
    chain,
    data,
    part,
    task,
)
from tests.unit.scheduler_env import SchedulerEnv, new_leader

# Sessions without clients, cancelling, expiry


def session(env: SchedulerEnv) -> None:
    env.submit(bag(1, session=True), total=0)
    env.take_given(1)


def test_a_session_that_nobody_watches_is_cancelled() -> None:
    env = SchedulerEnv()
    session(env)
    env.wait(59.0)
    assert env.states() == ["running"]
    env.wait(2.0)
    assert env.job().verdict == "cancelled"
    assert "session_orphaned" in env.notices


def test_watching_in_time_saves_a_session() -> None:
    env = SchedulerEnv(2)
    session(env)
    env.wait(59.0)
    env.watch(ONE)
    env.wait(100.0)
    assert env.job().verdict == ""
    env.lose(ONE)
    env.wait(61.0)
    assert env.job().verdict == "cancelled"


def test_unwatching_starts_the_clock_again() -> None:
    env = SchedulerEnv(2)
    session(env)
    env.watch(ONE)
    env.receive(ONE, WATCH, [JOB, False])
    env.wait(61.0)
    assert env.job().verdict == "cancelled"


def test_a_session_that_ended_is_no_orphan() -> None:
    env = SchedulerEnv()
    env.submit(bag(1, session=True), total=1)
    env.done(*env.take_given(1))
    assert env.job().verdict == "done"
    env.wait(100.0)
    assert "session_orphaned" not in env.notices


def test_a_batch_job_needs_no_watcher() -> None:
    env = SchedulerEnv()
    env.submit(bag(1))
    env.wait(1000.0)
    assert env.states() == ["running"]


def test_cancel_stops_attempts_and_spreads() -> None:
    env = SchedulerEnv(2)
    env.submit(chain(1))
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, False, 0]]])
    (given,) = env.take_given(1)
    env.ask("cancel", node=TWO, job=short(JOB))
    assert env.job().verdict == "cancelled"
    assert env.take_cancelled(given.node) == [(0, 1)]
    assert env.take(JOB_INTENT, ONE) == [[JOB, INTENT_CANCEL, 0], [JOB, INTENT_END, 3]]
    assert len(env.take(ANSWER, TWO)) == 1
    env.check_empty()


def test_a_cancelled_job_stays_cancelled_for_the_next_leader() -> None:
    env = SchedulerEnv()
    env.submit(chain(2))
    env.done(*env.take_given(1))
    env.ask("cancel", job=JOB)
    env.take(REPORT_WANTED)
    env.lead()
    env.join(ME)
    assert env.job().verdict == "cancelled"


def test_a_cancel_without_any_part_is_no_success() -> None:
    env = SchedulerEnv()
    env.receive(ONE, JOB_INTENT, [JOB, INTENT_CANCEL, 0])
    assert env.job().verdict == "cancelled"


def test_an_ended_job_expires_and_leaves_a_tombstone() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    env.done(*env.take_given(1))
    env.take(JOB_ENDED)
    env.take_released(ME)
    env.wait(3601.0)
    assert JOB not in env.core.jobs
    assert env.take(JOB_FORGET, ONE) == [[[[JOB, "done"]]]]
    assert env.records.verdict(JOB) == "done"
    env.watch(ONE)
    (update,) = env.take_updates(ONE)
    assert (update.state, update.reason) == ("done", "it ended long ago, its results have expired")
    env.check_empty()


def test_a_tombstone_answers_late_facts_and_offers() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    (given,) = env.take_given(1)
    env.done(given)
    env.wait(3601.0)
    env.outbox.clear()
    env.done(given)
    assert env.records.counts["late"] == 1
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, False, 0]]])
    assert env.take(JOB_FORGET, ONE) == [[[[JOB, "done"]]]]
    env.check_empty()


def test_a_job_forgotten_elsewhere_frees_what_it_occupied() -> None:
    env = SchedulerEnv()
    env.submit(bag(1))
    env.take_given(1)
    env.receive(ONE, JOB_FORGET, [[[JOB, "done"]]])
    worker = env.core.dispatcher.workers[ME]
    assert (worker.cpus, len(worker.given)) == (0.0, 0)
    assert env.take_cancelled(ME) == [(0, 1)]
    assert env.core.pending.jobs() == []


def test_released_results_are_dropped() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1, session=True), total=0)
    (given,) = env.take_given(1)
    env.done(given)
    env.receive(ONE, JOB_RELEASE, [JOB, [0, 5, "x", -1]])
    assert env.take_released(given.node) == [(0, 0)]
    env.receive(ONE, JOB_RELEASE, [OTHER_JOB, [0]])
    env.check_empty()


def test_data_of_the_client_leaves_the_nodes_at_the_end() -> None:
    env = SchedulerEnv()
    env.submit(part(data(), task(0, kept=True)))
    env.done(*env.take_given(1))
    assert env.take_released(ME) == [(0, 0)]


# Tombstones that others have


def test_a_new_leader_asks_everybody_whether_its_jobs_have_ended() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    env.take_given(1)
    assert env.take(RECORD_OFFER) == [], "a fresh job has not ended"
    new_leader(env)
    assert env.take(RECORD_OFFER, ONE) == [[[[JOB, [], 0, False, 0]]]]
    assert len(env.take(REPORT_WANTED, ONE)) == 1


def test_everybody_is_asked_about_a_job_that_somebody_offers() -> None:
    env = SchedulerEnv(3)
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, False, 0]]])
    env.receive(ONE, RECORD_GIVE, [JOB, 0, 1, bag(1).to_wire()])
    assert env.take(RECORD_OFFER, TWO) == [[[[JOB, [], 0, False, 0]]]]


def test_everybody_is_asked_about_a_job_that_a_client_waits_for_and_nobody_runs() -> None:
    env = SchedulerEnv(2)
    env.watch(ONE)
    assert env.take(RECORD_OFFER, ONE) == [[[[JOB, [], 0, False, 0]]]]
    env.receive(ONE, JOB_FORGET, [[[JOB, "cancelled"]]])
    (update,) = env.take_updates(ONE)
    assert update.state == "cancelled"
    env.check_empty()


def test_a_tombstone_elsewhere_ends_a_job_for_all_and_for_who_waits() -> None:
    env = SchedulerEnv(3)
    env.submit(bag(1))
    (given,) = env.take_given(1)
    env.watch(ONE)
    env.outbox.clear()
    env.receive(TWO, JOB_FORGET, [[[JOB, "cancelled"]]])
    (update,) = env.take_updates(ONE)
    assert (update.state, update.reason) == ("cancelled", "it ended long ago, its results have expired")
    for node in (ONE, TWO):
        assert env.take(JOB_FORGET, node) == [[[[JOB, "cancelled"]]]]
    assert env.take_cancelled(given.node) == [(0, 1)]
    env.check_empty()

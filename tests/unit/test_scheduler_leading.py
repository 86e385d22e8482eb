"""A new leader collects facts, attempts and copies before it orders, and takes late ones rightly."""

from __future__ import annotations

from swarm.wire.facts import Completion
from swarm.wire.job_part import TaskOptions
from swarm.wire.messages import (
    ANSWER,
    COMPLETIONS,
    FACTS,
    INTENT_CANCEL,
    JOB_INTENT,
    RECORD_GIVE,
    RECORD_OFFER,
    RECORD_WANT,
    REPORT_WANTED,
)
from tests.unit.scheduler_builder import (
    JOB,
    ME,
    ONE,
    OTHER_JOB,
    bag,
    chain,
    failure_of,
    output_of,
    part,
    task,
)
from tests.unit.scheduler_env import CONFIG, SchedulerEnv, new_leader

# A new leader


def test_a_new_leader_collects_before_it_orders() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    env.take_given(2)
    env.lead()
    env.join(ME, is_reporting=False)
    env.join(ONE, is_reporting=False)
    env.report(ME)
    env.take_given(0)
    env.report(ONE)
    env.take_given(2)
    assert not env.core.is_collecting


def test_a_new_leader_waits_for_the_silent_only_for_a_while() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    env.take_given(1)
    env.lead()
    env.join(ME, is_reporting=False)
    env.join(ONE, is_reporting=False)
    env.report(ME)
    env.wait(1.0)
    assert env.take_given(1)[0].node == ME


def test_the_death_of_the_last_silent_node_ends_the_collection() -> None:
    env = SchedulerEnv(2)
    env.lead()
    env.join(ME, is_reporting=False)
    env.join(ONE, is_reporting=False)
    env.report(ME)
    assert env.core.is_collecting
    env.lose(ONE)
    assert not env.core.is_collecting


def test_attempts_under_way_are_adopted() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    first, second = env.take_given(2)
    new_leader(env)
    env.report(ME, running=[(JOB, one.order.task, 1) for one in (first, second) if one.node == ME])
    env.report(ONE, running=[(JOB, one.order.task, 1) for one in (first, second) if one.node == ONE])
    env.take_given(0)
    assert env.states() == ["running", "running"]
    env.done(first, second)
    assert env.job().verdict == "done"


def test_of_two_attempts_under_way_one_is_adopted() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    env.take_given(1)
    new_leader(env)
    env.report(ME, running=[(JOB, 0, 1)])
    env.report(ONE, running=[(JOB, 0, 2)])
    assert env.task(0).running == {1: ME}
    assert env.take_cancelled(ONE) == [(0, 2)]


def test_facts_and_copies_make_tasks_done() -> None:
    env = SchedulerEnv(2)
    env.submit(chain(2))
    (given,) = env.take_given(1)
    completion = env.completion_of(given, is_large=True)
    env.done(given, is_large=True)
    env.take_given(1)
    new_leader(env)
    assert completion.outputs is not None
    env.report(ME, objects=[(JOB, 0, 0, completion.outputs[0].digest)])
    env.report(ONE)
    assert env.states() == ["done", "running"]
    assert env.task(0).holders == {ME: True}


def test_a_result_that_no_inventory_names_is_computed_again() -> None:
    env = SchedulerEnv(2)
    env.submit(chain(2))
    env.done(*env.take_given(1), is_large=True)
    env.take_given(1)
    new_leader(env)
    env.report(ME)
    env.report(ONE)
    (again,) = [one for one in env.take_given(2) if one.order.task == 0]
    assert again.order.attempt == 2


def test_a_copy_of_other_content_is_no_copy() -> None:
    env = SchedulerEnv(2)
    env.submit(chain(2))
    env.done(*env.take_given(1), is_large=True)
    env.take_given(1)
    new_leader(env)
    env.report(ME, objects=[(JOB, 0, 0, b"x" * 16)])
    env.report(ONE)
    assert env.task(0).holders == {}
    assert env.states()[0] == "running"


def test_an_attempt_that_failed_during_the_collection_is_not_adopted() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1, options=TaskOptions(retries=1)))
    (given,) = env.take_given(1)
    new_leader(env)
    env.report(ME, running=[(JOB, 0, 1)])
    env.fail(given)
    env.report(ONE)
    assert env.states() == ["ready"]
    env.wait(0.1)
    assert env.take_given(1)[0].order.attempt == 2


def test_a_success_during_the_collection_keeps_its_holder() -> None:
    env = SchedulerEnv(2)
    env.submit(chain(2))
    (given,) = env.take_given(1)
    new_leader(env)
    env.report(ME, running=[(JOB, 0, 1)])
    env.done(given, is_large=True)
    env.report(ONE)
    assert env.states() == ["done", "running"]
    assert env.task(0).holders == {ME: True}
    assert [one.order.task for one in env.take_given(1)] == [1]


def test_what_a_node_reported_counts_no_more_when_it_dies_during_the_collection() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    first, second = env.take_given(2)
    env.done(*[one for one in (first, second) if one.node == ONE], is_large=True)
    index = next(one.order.task for one in (first, second) if one.node == ONE)
    new_leader(env)
    env.report(ONE, objects=[(JOB, index, 0, env.made[JOB, index, 0])], running=[(JOB, 1 - index, 7)])
    env.lose(ONE)
    env.report(ME)
    assert env.states() == ["running", "running"]
    env.take_given(2)


def test_facts_come_in_any_order() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    (given,) = env.take_given(1)
    failure = Completion(0, 1, ONE, b"", 0.0, None, failure_of())
    success = env.completion_of(given)
    for order in ([failure, success], [success, failure]):
        again = SchedulerEnv(2)
        again.submit(bag(1))
        again.take_given(1)
        new_leader(again)
        for completion in order:
            again.receive(ONE, FACTS, [JOB, [completion.to_wire()]])
        again.report(ME)
        again.report(ONE)
        assert again.states() == ["done"]


def test_watchers_get_the_whole_state_after_the_collection() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    env.take_given(1)
    new_leader(env)
    env.watch(ONE)
    assert env.take_updates(ONE) == []
    env.report(ME)
    env.report(ONE)
    assert env.take_updates(ONE)[0].is_whole


def test_a_job_that_was_done_is_not_shown_as_running_by_a_later_leader() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    (given,) = env.take_given(1)
    env.done(given)
    new_leader(env)
    env.watch(ONE)
    env.report(ME)
    env.report(ONE)
    updates = env.take_updates(ONE)
    assert updates[0].is_whole
    assert {update.state for update in updates} == {"done"}


def test_of_a_job_without_parts_a_new_leader_tells_nothing() -> None:
    env = SchedulerEnv(2)
    new_leader(env)
    env.report(ME)
    env.report(ONE)
    env.watch(ONE)
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, False, 0]]])
    assert env.take_updates(ONE) == []
    env.watch(ONE)
    assert env.take_updates(ONE) == []
    env.receive(ONE, RECORD_GIVE, [JOB, 0, 1, bag(1).to_wire()])
    assert env.take_updates(ONE)[0].is_whole


def test_questions_wait_for_the_end_of_the_collection() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1))
    env.take_given(1)
    new_leader(env)
    env.ask("cancel", job=JOB)
    assert env.take(ANSWER) == []
    env.report(ME)
    env.report(ONE)
    (answer,) = env.take(ANSWER, ONE)
    assert answer[1] is True
    env.pump()
    assert env.job().verdict == "cancelled"


def test_a_job_known_by_an_offer_is_fetched() -> None:
    env = SchedulerEnv(2)
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, False, 0]]])
    assert env.take(RECORD_WANT, ONE) == [[[[JOB, [0]]]]]
    env.receive(ONE, RECORD_GIVE, [JOB, 0, 1, bag(1).to_wire()])
    env.done(*env.take_given(1))
    assert env.job().verdict == "done"


def test_a_malformed_part_of_a_record_is_counted() -> None:
    env = SchedulerEnv()
    env.records._open(JOB).parts[0] = b"nonsense"
    env.records.on_leader(ME)
    env.pump()
    assert env.core.counts["malformed"] == 1


def test_who_stops_to_lead_forgets_everything() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    env.core.follow(env.now)
    assert not env.core.jobs
    env.pump()
    env.receive(ONE, COMPLETIONS, [[]])
    assert env.core.counts["late"] == 1
    env.outbox.clear()
    env.ask("jobs")
    (answer,) = env.take(ANSWER, ONE)
    assert answer[:2] == [1, False]


# Cancels and ends that come before what they are about


def test_a_cancel_of_a_job_that_was_done_changes_nothing_for_a_later_leader() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    given = env.take_given(2)
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, False, 0]]])
    env.done(*given)
    env.ask("cancel", job=JOB)
    assert env.job().verdict == "done"
    new_leader(env)
    env.report(ME)
    env.report(ONE)
    assert env.job().verdict == "done"
    env.take_given(0)


def test_a_cancel_counts_after_the_results_that_were_held_back() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(2))
    first, second = env.take_given(2)
    results = [env.completion_of(given).to_wire() for given in (first, second)]
    new_leader(env)
    env.report(ME)
    env.receive(ONE, JOB_INTENT, [JOB, INTENT_CANCEL, 0])
    env.receive(ONE, FACTS, [JOB, results])
    env.report(ONE)
    assert env.job().verdict == "done"
    assert env.states() == ["done", "done"]


def test_a_cancel_waits_for_the_part_and_the_results_that_come_with_it() -> None:
    env = SchedulerEnv(2)
    results = [Completion(0, 1, ONE, b"", 0.1, [output_of("x")], None).to_wire()]
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, True, 0]]])
    env.receive(ONE, FACTS, [JOB, results])
    assert env.job().verdict == ""
    env.receive(ONE, RECORD_GIVE, [JOB, 0, 1, bag(1).to_wire()])
    assert env.job().verdict == "done"


def test_a_cancel_ends_what_has_no_result() -> None:
    env = SchedulerEnv(2)
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, True, 0]]])
    env.receive(ONE, RECORD_GIVE, [JOB, 0, 1, bag(2).to_wire()])
    env.take_given(0)
    assert env.states() == ["cancelled", "cancelled"]
    assert env.job().verdict == "cancelled"


def test_a_cancel_of_a_job_that_was_done_does_not_keep_lost_results_away() -> None:
    env = SchedulerEnv(2)
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, True, 1]]])
    env.receive(ONE, RECORD_GIVE, [JOB, 0, 1, bag(1).to_wire()])
    assert env.job().verdict == "", "it was done, so it is computed again"
    env.done(*env.take_given(1))
    assert env.job().verdict == "done"


# Facts that come early, late, or for strangers


def test_completions_before_their_part_wait_for_it() -> None:
    env = SchedulerEnv()
    env.submit(part(task(), session=True), total=0)
    (given,) = env.take_given(1)
    late = part(task(kept=True), first=1)
    completion = Completion(1, 1, ME, b"", 0.1, [output_of("late")], None)
    env.receive(ME, COMPLETIONS, [[[JOB, completion.to_wire()]]])
    env.done(given)
    env.take_released(ME)
    env.submit(late, number=1, total=2)
    assert env.states() == ["done", "done"]
    assert env.job().verdict == "done"


def test_completions_of_unknown_jobs_are_kept_with_the_record() -> None:
    env = SchedulerEnv()
    completion = Completion(0, 1, ONE, b"", 0.1, [output_of("x")], None)
    env.receive(ONE, COMPLETIONS, [[[OTHER_JOB, completion.to_wire()]]])
    assert env.core.pending.jobs() == [OTHER_JOB]
    env.submit(bag(1), job=OTHER_JOB)
    assert env.job(OTHER_JOB).verdict == "done"


def test_an_old_fact_of_a_node_is_no_proof_that_it_has_the_bytes() -> None:
    env = SchedulerEnv(2)
    env.submit(chain(2))
    env.take_given(1)
    old = Completion(0, 9, ONE, b"", 0.1, [output_of("0:0", True)], None)
    env.core.on_link_lost(ONE, env.now)
    env.wait(0.1)
    env.receive(ONE, FACTS, [JOB, [old.to_wire()]])
    assert env.task(0).holders == {}
    env.take_cancelled(ME)
    env.report(ONE)
    assert env.states()[0] == "running", "nobody has it: it is computed again"


def test_a_silent_node_cannot_hold_up_what_is_lost_for_ever() -> None:
    env = SchedulerEnv(2)
    env.submit(bag(1), total=0)
    env.take_given(1)
    env.core.on_link_lost(ONE, env.now)
    old = Completion(0, 9, ONE, b"", 0.1, [output_of("0:0", True)], None)
    env.receive(ONE, FACTS, [JOB, [old.to_wire()]])
    assert env.states() == ["done"]
    env.wait(1.0)
    assert env.states() == ["running"]


def test_a_success_that_counts_later_gives_its_node_no_objects_it_may_have_lost() -> None:
    """A small result told by an earlier start of a node: what waits there for its bytes is taken back."""
    env = SchedulerEnv()
    env.core.dispatcher.estimates.observe("t", 0.001, 1.0)
    env.submit(chain(3))
    given = env.take_given(3)
    assert [one.order.task for one in given] == [0, 1, 2], "all given ahead"
    early = env.completion_of(given[0])
    assert early.outputs is not None
    env.made[JOB, 0, 0] = early.outputs[0].digest
    old = env.completion_of(given[1])
    old = Completion(1, 7, ME, old.inputs_digest, 0.1, old.outputs, None)
    env.receive(ME, FACTS, [JOB, [old.to_wire()]])
    env.outbox.clear()
    env.done(given[0])
    assert env.states() == ["done", "done", "running"]
    (again,) = env.take_given(1)
    assert again.order.inputs[0].data is not None, "the bytes ride along"


def test_what_is_made_again_since_it_was_lost_runs_on_under_a_new_leader() -> None:
    env = SchedulerEnv(2)
    env.submit(chain(3))
    env.done(*env.take_given(1), is_large=True)
    second, _ = env.take_given(2)
    env.done(second, is_large=True)
    assert env.task(0).is_released, "nothing but the loss of the second makes the first again"
    env.outbox.clear()
    new_leader(env)
    env.report(ONE, running=[(JOB, 0, 2)])
    env.report(ME)
    assert env.states() == ["running", "waiting", "waiting"]
    assert env.task(0).running == {2: ONE}
    assert env.take_cancelled(ONE) == []
    env.take_given(0)


def test_what_is_made_again_although_it_was_found_is_cancelled_and_keeps_its_number() -> None:
    env = SchedulerEnv(2)
    env.submit(chain(2))
    env.done(*env.take_given(1), is_large=True)
    env.take_given(1)
    new_leader(env)
    env.report(ONE, running=[(JOB, 0, 2)])
    env.report(ME, objects=[(JOB, 0, 0, env.made[JOB, 0, 0])])
    assert env.take_cancelled(ONE) == [(0, 2)]
    env.take_given(1)
    env.lose(ME)
    assert (ONE, 0, 3) in [one.key for one in env.take_given(2)]


def test_what_may_have_to_be_made_again_waits_for_who_may_have_it() -> None:
    """A leader that did not wait for a silent node leaves the attempt alone until it answers."""
    env = SchedulerEnv(2)
    env.submit(chain(2))
    env.done(*env.take_given(1), is_large=True)
    env.take_given(1)
    new_leader(env)
    env.report(ONE, running=[(JOB, 0, 2)])
    env.take(REPORT_WANTED, ME)
    env.wait(CONFIG.collect_s)
    assert not env.core.is_collecting
    assert env.states()[0] == "done"
    assert env.take_cancelled(ONE) == []
    env.report(ME)
    assert env.task(0).running == {2: ONE}
    assert env.take_cancelled(ONE) == []

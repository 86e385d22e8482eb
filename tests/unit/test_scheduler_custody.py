"""Copies of records: who is told what, copies made again, spare ones named, and ends that wait for disks."""

from __future__ import annotations

import pytest

from swarm.core.ids import NodeId
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.custody import REFUSED_FIRST_S, SPARE_PAUSE_S
from swarm.wire.codec import Body
from swarm.wire.messages import (
    FACTS,
    INTENT_CANCEL,
    INTENT_CLOSE,
    INTENT_END,
    INVENTORY,
    JOB_INTENT,
    RECORD_OFFER,
    RECORD_SPARE,
    RECORD_STORE,
    REPORT_WANTED,
)
from tests.unit.scheduler_builder import JOB, ME, ONE, OTHER_JOB, THREE, TWO, bag
from tests.unit.scheduler_env import SchedulerEnv

CONFIG = SchedulerConfig(replicas=3)
DELAY_S = CONFIG.recopy_delay_s


def offer(
    env: SchedulerEnv, node: NodeId, parts: list[int], *, loose: list[int] | None = None, ended: int = 0
) -> None:
    """Let a node say what it has of the job."""
    facts = len(env.records.facts_of(JOB)) if ended else 0
    env.receive(node, RECORD_OFFER, [[[JOB, parts, 1, False, ended, loose or [], facts]]])


def leader(nodes: int, *keepers: NodeId, tasks: int = 1) -> SchedulerEnv:
    """A leader among `nodes` nodes, and a job that it keeps, and `keepers` too."""
    env = SchedulerEnv(nodes, config=CONFIG)
    env.submit(bag(tasks))
    env.outbox = [message for message in env.outbox if message.kind != RECORD_STORE]
    for node in keepers:
        offer(env, node, [0])
    return env


def asked(env: SchedulerEnv) -> list[NodeId]:
    """Take who was asked to keep copies by the leader."""
    messages = [one for one in env.outbox if one.kind == RECORD_STORE and one.body[0] == 0]
    env.outbox = [one for one in env.outbox if one not in messages]
    return [message.peer for message in messages]


def kinds_to(env: SchedulerEnv, node: NodeId) -> list[int]:
    """Kinds about records that were sent to a node, in order."""
    wanted = (FACTS, JOB_INTENT, RECORD_STORE)
    return [message.kind for message in env.outbox if message.peer == node and message.kind in wanted]


def tasks_told(env: SchedulerEnv, node: NodeId) -> list[int]:
    """Take the tasks whose completions a node was sent."""
    tasks: list[int] = []
    for body in env.take(FACTS, node):
        for row in Body(body[1:]).take_list():
            tasks.append(Body([row]).take_body().take_int())
    return sorted(tasks)


def test_with_copies_enough_nothing_is_asked() -> None:
    env = leader(4, ONE, TWO)
    env.wait(60.0)
    assert asked(env) == []


def test_the_copy_of_a_keeper_that_dies_is_made_again() -> None:
    env = leader(4, ONE, TWO)
    env.wait(60.0)
    env.lose(TWO)
    env.wait(DELAY_S - 0.1)
    assert asked(env) == [], "it may come back"
    env.wait(0.2)
    assert asked(env) == [THREE]
    offer(env, THREE, [0])
    env.wait(60.0)
    assert asked(env) == []
    assert env.core.custody.counts["copies_made"] == 1


def test_a_keeper_that_comes_back_soon_needs_no_replacement() -> None:
    env = leader(4, ONE, TWO)
    env.wait(60.0)
    env.lose(TWO)
    env.wait(2.0)
    env.join(TWO, is_reporting=False, instance=2)
    offer(env, TWO, [0])
    env.report(TWO)
    env.wait(60.0)
    assert asked(env) == []


def test_fewer_members_than_copies_are_enough() -> None:
    env = leader(2, ONE)
    env.wait(60.0)
    assert asked(env) == []


def test_a_member_that_comes_gets_the_copy_that_is_missing() -> None:
    env = leader(2, ONE)
    env.wait(60.0)
    env.join(TWO)
    env.wait(DELAY_S + 0.1)
    assert asked(env) == [TWO]


def test_who_is_about_to_leave_counts_no_more() -> None:
    env = leader(4, ONE, TWO)
    env.wait(60.0)
    env.join(TWO, draining=True)
    env.wait(DELAY_S + 0.1)
    assert asked(env) == [THREE]


def test_a_keeper_that_gave_up_its_copy_when_another_one_died_is_replaced() -> None:
    env = leader(4, ONE, TWO, THREE)
    env.wait(1.0)
    env.lose(TWO)
    env.wait(DELAY_S + 0.1)
    assert asked(env) == [], "three are left, as far as is known"
    offer(env, THREE, [0], loose=[0])
    env.wait(DELAY_S + 0.1)
    assert asked(env) == [THREE]


def test_copies_are_put_on_machines_of_their_own() -> None:
    env = SchedulerEnv(config=CONFIG)
    for node, host in ((ME, b"h1"), (ONE, b"h1"), (TWO, b"h1"), (THREE, b"h2")):
        env.join(node, host=host)
    env.submit(bag(1))
    offer(env, ONE, [0])
    offer(env, TWO, [0])
    env.wait(DELAY_S + 0.1)
    assert asked(env) == [THREE]


def test_what_is_known_of_the_job_goes_before_its_parts() -> None:
    env = leader(4, ONE, TWO, tasks=2)
    env.done(env.take_given(2)[0])
    env.wait(60.0)
    env.lose(TWO)
    env.outbox.clear()
    env.wait(DELAY_S + 0.1)
    assert kinds_to(env, THREE) == [FACTS, JOB_INTENT, RECORD_STORE]
    assert tasks_told(env, THREE) == [0]
    assert env.take(JOB_INTENT, THREE) == [[JOB, INTENT_CLOSE, 1]]


def test_who_has_a_part_already_gets_the_others() -> None:
    env = SchedulerEnv(2, config=CONFIG)
    env.submit(bag(1), total=0)
    second = bag(1)  # the same bytes do: the records do not look inside
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 0, False, 0, [], 0]]])
    env.records.accept(9, JOB, 1, 0, second.to_wire(), second, env.now)
    env.pump()
    env.wait(DELAY_S + 0.1)
    stores = [message.body for message in env.outbox if message.kind == RECORD_STORE]
    assert [body[2] for body in stores if body[0] == 0] == [1]


def test_a_part_in_memory_is_no_copy() -> None:
    env = leader(3, ONE)
    offer(env, TWO, [0], loose=[0])
    env.wait(DELAY_S + 0.1)
    assert asked(env) == [TWO]
    assert TWO not in env.job().records


def test_who_does_not_confirm_is_replaced_and_asked_again_later() -> None:
    env = leader(4, ONE)
    env.wait(DELAY_S + 0.1)
    (first,) = asked(env)
    env.wait(3 * CONFIG.record_retry_s + DELAY_S + 1.0)
    (second,) = asked(env)
    assert {first, second} == {TWO, THREE}
    env.wait(REFUSED_FIRST_S + 2 * DELAY_S)
    assert first in asked(env)


@pytest.mark.parametrize("unconfirmed_s", [0.1, 3 * CONFIG.record_retry_s + 1.0])
def test_a_copy_that_went_with_a_stream_is_sent_again_at_once(unconfirmed_s: float) -> None:
    """Also to who was about to be left alone for a while, because it did not confirm."""
    env = leader(3, ONE)
    env.wait(DELAY_S + unconfirmed_s)
    assert asked(env) == [TWO]
    env.core.on_link_lost(TWO, env.now)
    env.wait(0.5)
    env.report(TWO)
    env.wait(DELAY_S + 0.1)
    assert asked(env) == [TWO]


def test_copies_take_a_bounded_rate() -> None:
    config = SchedulerConfig(replicas=3, recopy_bytes_s=1000.0)
    env = SchedulerEnv(3, config=config)
    for number in range(4):
        job = bytes([number]) * 10
        part = bag(20)
        env.submit(part, job)
        env.receive(ONE, RECORD_OFFER, [[[job, [0], 1, False, 0, [], 0]]])
    size = len(bag(20).to_wire())
    env.wait(DELAY_S + 0.1)
    early = len(asked(env))
    assert early < 4
    env.wait(4 * (size + 500) / 1000.0)
    assert early + len(asked(env)) >= 4


def test_completions_go_to_keepers_once() -> None:
    env = leader(4, ONE, TWO, tasks=2)
    env.wait(1.0)
    given = env.take_given(2)
    env.done(given[0])
    env.wait(0.2)
    assert (tasks_told(env, ONE), tasks_told(env, TWO), tasks_told(env, THREE)) == ([0], [0], [])
    env.wait(60.0)
    assert tasks_told(env, ONE) == []


def test_a_keeper_that_is_known_late_gets_what_it_missed() -> None:
    env = leader(4, ONE, tasks=2)
    env.done(env.take_given(2)[0])
    env.wait(1.0)
    offer(env, TWO, [0])
    env.wait(0.2)
    assert tasks_told(env, TWO) == [0]


def test_after_a_break_a_keeper_gets_what_it_does_not_name() -> None:
    env = leader(4, ONE, TWO, tasks=3)
    given = env.take_given(3)
    env.done(given[0])
    env.wait(1.0)
    env.outbox.clear()
    env.core.on_link_lost(TWO, env.now)
    env.wait(0.1)
    env.done(given[1])
    env.wait(0.5)
    assert tasks_told(env, ONE) == [1]
    assert tasks_told(env, TWO) == [], "who knows what of the first arrived"
    (body,) = env.take(REPORT_WANTED, TWO)
    offer(env, TWO, [0])
    env.receive(TWO, FACTS, [JOB, [env.completion_of(given[0]).to_wire()]])
    env.receive(TWO, INVENTORY, [body[0], [], []])
    env.wait(0.2)
    assert tasks_told(env, TWO) == [1]


def test_what_a_report_brings_is_news_for_the_others() -> None:
    env = leader(4, ONE, TWO, tasks=2)
    given = env.take_given(2)
    env.wait(1.0)
    env.receive(TWO, FACTS, [JOB, [env.completion_of(given[0]).to_wire()]])
    env.wait(0.2)
    assert tasks_told(env, ONE) == [0]


# Spare copies


def test_of_four_copies_one_is_spare() -> None:
    env = leader(4, ONE, TWO, THREE)
    env.wait(DELAY_S + 0.1)
    (message,) = [one for one in env.outbox if one.kind == RECORD_SPARE]
    stay = Body(message.body[1:]).take_list()
    assert len(stay) == 3
    assert message.peer not in stay
    env.outbox.clear()
    env.receive(message.peer, RECORD_OFFER, [[[JOB, [0], 1, False, 0, [0], 0]]])
    env.wait(SPARE_PAUSE_S + 2 * DELAY_S)
    assert env.take(RECORD_SPARE) == []
    assert message.peer not in env.job().records


def test_a_spare_copy_that_stays_is_named_again_after_a_while() -> None:
    env = leader(4, ONE, TWO, THREE)
    env.wait(DELAY_S + 0.1)
    assert len(env.take(RECORD_SPARE)) == 1
    env.wait(SPARE_PAUSE_S - 2 * DELAY_S)
    assert env.take(RECORD_SPARE) == []
    env.wait(4 * DELAY_S)
    assert len(env.take(RECORD_SPARE)) == 1


def test_three_copies_are_never_spare() -> None:
    env = leader(4, ONE, TWO)
    env.wait(200.0)
    assert env.take(RECORD_SPARE) == []


# Ends


def finished(*keepers: NodeId) -> SchedulerEnv:
    """A watched job whose only task is done."""
    env = leader(4, *keepers)
    env.wait(1.0)
    env.watch(ME)
    env.take_updates(ME)
    given = env.take_given(1)
    env.outbox.clear()
    env.done(*given)
    return env


def test_an_end_is_told_when_the_keepers_have_it() -> None:
    env = finished(ONE, TWO)
    assert "done" not in [update.state for update in env.take_updates(ME)]
    assert kinds_to(env, ONE) == [FACTS, JOB_INTENT]
    offer(env, ONE, [0], ended=1)
    assert "done" not in [update.state for update in env.take_updates(ME)]
    offer(env, TWO, [0], ended=1)
    assert [update.state for update in env.take_updates(ME)] == ["done"]


def test_an_end_without_other_keepers_is_told_at_once() -> None:
    env = finished()
    assert [update.state for update in env.take_updates(ME)][-1] == "done"


def test_a_keeper_that_does_not_answer_is_waited_for_once() -> None:
    env = leader(4, ONE, TWO)
    env.submit(bag(1), OTHER_JOB)
    for node in (ONE, TWO):
        env.receive(node, RECORD_OFFER, [[[OTHER_JOB, [0], 1, False, 0, [], 0]]])
    env.wait(1.0)
    env.watch(ME)
    env.watch(ME, OTHER_JOB)
    first, second = env.take_given(2)
    env.done(first)
    env.take_updates(ME)
    offer(env, ONE, [0], ended=1)
    assert env.take_updates(ME) == []
    env.wait(CONFIG.end_confirm_s + 0.1)
    assert env.take_updates(ME)[-1].state == "done"
    env.done(second)
    env.receive(ONE, RECORD_OFFER, [[[OTHER_JOB, [0], 1, False, 1, [], 1]]])
    assert env.take_updates(ME)[-1].state == "done", "nobody waits for the other one"


def test_a_keeper_that_has_the_end_without_the_results_does_not_count() -> None:
    env = finished(ONE)
    env.receive(ONE, RECORD_OFFER, [[[JOB, [0], 1, False, 1, [], 0]]])
    assert "done" not in [update.state for update in env.take_updates(ME)]
    offer(env, ONE, [0], ended=1)
    assert env.take_updates(ME)[-1].state == "done"


def test_a_keeper_that_missed_much_is_told_it_and_then_the_end() -> None:
    env = leader(4, ONE)
    env.wait(1.0)
    env.core.on_link_lost(ONE, env.now)
    env.wait(0.1)
    (body,) = env.take(REPORT_WANTED, ONE)
    given = env.take_given(1)
    env.outbox.clear()
    offer(env, ONE, [0])
    env.receive(ONE, INVENTORY, [body[0], [], []])
    env.watch(ME)
    env.done(*given)
    env.wait(0.01)
    assert kinds_to(env, ONE) == [JOB_INTENT, FACTS, JOB_INTENT, JOB_INTENT]
    assert "done" not in [update.state for update in env.take_updates(ME)]


def test_a_keeper_whose_report_is_awaited_is_waited_for() -> None:
    env = leader(4, ONE)
    env.wait(1.0)
    given = env.take_given(1)
    env.watch(ME)
    env.core.on_link_lost(ONE, env.now)
    env.wait(0.1)
    (body,) = env.take(REPORT_WANTED, ONE)
    env.take_updates(ME)
    env.done(*given)
    assert "done" not in [update.state for update in env.take_updates(ME)]
    offer(env, ONE, [0], ended=1)
    assert "done" not in [update.state for update in env.take_updates(ME)], "it may have others than we have"
    env.receive(ONE, INVENTORY, [body[0], [], []])
    env.wait(0.2)
    assert kinds_to(env, ONE)[-1] == JOB_INTENT
    offer(env, ONE, [0], ended=1)
    assert env.take_updates(ME)[-1].state == "done"


def test_an_end_does_not_wait_for_the_dead() -> None:
    env = finished(ONE, TWO)
    offer(env, ONE, [0], ended=1)
    env.lose(TWO)
    assert env.take_updates(ME)[-1].state == "done"


def test_a_failure_waits_too() -> None:
    env = leader(4, ONE)
    env.wait(1.0)
    env.watch(ME)
    env.fail(env.take_given(1)[0])
    assert "failed" not in [update.state for update in env.take_updates(ME)]
    offer(env, ONE, [0], ended=2)
    assert env.take_updates(ME)[-1].state == "failed"


@pytest.mark.parametrize("what", [INTENT_CANCEL, INTENT_END])
def test_all_intents_go_with_a_copy(what: int) -> None:
    env = leader(4, ONE, TWO)
    env.wait(1.0)
    env.ask("cancel", ME, job=JOB) if what == INTENT_CANCEL else env.done(*env.take_given(1))
    env.wait(60.0)
    env.lose(TWO)
    env.outbox.clear()
    env.wait(DELAY_S + 0.1)
    assert what in [body[1] for body in env.take(JOB_INTENT, THREE)]

"""What the leader tells of its jobs: whole states, news, printed output, summaries."""

from __future__ import annotations

from swarm.core.effects import Message
from swarm.core.ids import short
from swarm.scheduler.job_facts import Holding
from swarm.scheduler.watches import (
    OutputLog,
    Watches,
    completion_of,
    details_of,
    results_of,
    summary_of,
)
from swarm.wire.batches import ROWS_MAX
from swarm.wire.facts import digest_of
from swarm.wire.messages import JOB_UPDATE, WATCHED_OUTPUT
from tests.unit.scheduler_builder import JOB, ME, ONE, OTHER_JOB, TWO, JobBuilder, bag, call, data, part, task
from tests.unit.scheduler_env import Update


def updates(watches: Watches, node: bytes = ONE) -> list[Update]:
    taken: list[Update] = []
    for effect in watches.take_effects():
        assert isinstance(effect, Message)
        if effect.kind == JOB_UPDATE and effect.peer == node:
            taken.append(Update(effect.body))
    return taken


def watched(build: JobBuilder) -> Watches:
    watches = Watches(1000)
    watches.watch(JOB, ONE)
    watches.tell_news(build.job)
    watches.take_effects()
    return watches


def test_the_whole_state_has_kept_results_and_failures() -> None:
    build = JobBuilder(part(data(), task(kept=True), task(), task(kept=True), on_error="continue"))
    build.finish(1)
    build.finish(2)
    build.fail(3)
    watches = Watches(1000)
    watches.tell_whole(build.job, ONE)
    (update,) = updates(watches)
    assert (update.is_whole, update.tasks, update.counts) == (True, [1, 3], [3, 2, 1, 0])


def test_news_are_told_once_and_to_all() -> None:
    build = JobBuilder(bag(2))
    watches = watched(build)
    watches.watch(JOB, TWO)
    build.finish(0)
    watches.tell_news(build.job)
    effects = watches.take_effects()
    assert [effect.peer for effect in effects if isinstance(effect, Message)] == [ONE, TWO]
    watches.tell_news(build.job)
    (update,) = updates(watches)
    assert update.tasks == []
    assert not update.is_whole


def test_without_watchers_news_are_forgotten() -> None:
    build = JobBuilder(bag(1))
    watches = Watches(1000)
    build.finish(0)
    watches.tell_news(build.job)
    assert watches.take_effects() == []
    assert build.job.updates == []
    assert not build.job.changed


def test_large_states_come_in_pieces_and_the_last_has_the_verdict() -> None:
    build = JobBuilder(bag(ROWS_MAX + 1))
    for index in range(ROWS_MAX + 1):
        build.job.accept_success(build.task(index), build.success(index), True)
    build.job.verdict = "done"
    watches = Watches(1000)
    watches.tell_whole(build.job, ONE)
    first, last = updates(watches)
    assert (first.is_whole, first.state, len(first.tasks)) == (True, "running", ROWS_MAX)
    assert (last.is_whole, last.state, len(last.tasks)) == (False, "done", 1)


def test_who_no_longer_watches_is_told_nothing() -> None:
    build = JobBuilder(bag(1))
    watches = watched(build)
    assert watches.drop_node(ONE) == [JOB]
    assert watches.watchers(JOB) == []
    watches.watch(JOB, ONE)
    watches.drop_job(JOB)
    watches.unwatch(JOB, ONE)
    build.finish(0)
    watches.tell_news(build.job)
    assert watches.take_effects() == []


def test_output_goes_to_watchers_and_is_kept_for_later_ones() -> None:
    watches = watched(JobBuilder(bag(1)))
    row: list[object] = [0, 1, 1, 0, b"text"]
    watches.add_output(JOB, row, 4)
    assert watches.take_effects() == [Message(ONE, WATCHED_OUTPUT, [JOB, [row]])]
    assert watches.output_rows(JOB) == [row]
    assert watches.output_rows(OTHER_JOB) == []
    watches.tell_whole(JobBuilder(bag(1)).job, TWO)
    assert watches.take_effects()[-1] == Message(TWO, WATCHED_OUTPUT, [JOB, [row]])


def test_a_log_keeps_the_newest_bytes() -> None:
    log = OutputLog(10)
    for number in range(5000):
        log.add([number], 4)
    assert log.rows() == [[4998], [4999]]
    log.add([5000], 100)
    assert log.rows() == [[5000]], "at least the last one"
    log.add([5001], 0)
    assert log.rows() == [[5000]], "nothing is nothing"


def test_what_a_watcher_learns_of_a_task() -> None:
    build = JobBuilder(part(task(kept=True), task(), task(kept=True), on_error="continue"))
    assert completion_of(build.task(0)) is None
    build.finish(0, node=TWO)
    build.finish(1)
    build.fail(2)
    done, failed = completion_of(build.task(0)), completion_of(build.task(2))
    assert done is not None
    assert done.node == TWO
    assert done.outputs == build.task(0).outputs
    assert completion_of(build.task(1)) is None
    assert failed is not None
    assert failed.failure == build.task(2).failure


def test_the_summary() -> None:
    build = JobBuilder(part(task(), task(), name="n", submitter="s"))
    build.start(0)
    assert summary_of(build.job, 2.5) == {
        "job": short(JOB),
        "name": "n",
        "state": "running",
        "tasks": {"total": 2, "done": 0, "failed": 0, "running": 1},
        "submitter": "s",
        "wall_s": 2.5,
        "attempts": 1,
        "reason": "",
        "duplicates": 0,
        "unsure": 0,
    }
    build.job.verdict, build.job.ended_at = "done", 1.0
    assert summary_of(build.job, 2.5)["wall_s"] == 1.0


def test_the_details_have_a_row_for_each_task() -> None:
    build = JobBuilder(part(data(), call(0, name="f"), task(1), on_error="continue"))
    build.start(1, ONE)
    build.job.records[ME] = Holding({0: True}, 0, 0)
    details = details_of(build.job, 0.0, {ONE: "one", ME: "me"})
    assert details["records"] == ["me"]
    assert details["tasks_detail"] == [
        {
            "task": 1,
            "name": "f",
            "state": "running",
            "attempts": 1,
            "node": "one",
            "duration_s": 0.0,
            "error": "",
        },
        {
            "task": 2,
            "name": "t",
            "state": "waiting",
            "attempts": 0,
            "node": "",
            "duration_s": 0.0,
            "error": "",
        },
    ]
    build.fail(1, "broke")
    rows = details_of(build.job, 0.0, {ONE: "one"})["tasks_detail"]
    assert isinstance(rows, list)
    assert rows[0]["error"] == "broke"


def test_the_details_name_tasks_that_do_not_compute_the_same_every_time() -> None:
    build = JobBuilder(bag(2))
    build.finish(0, "mine")
    build.finish(1)
    other = build.success(0, "other", attempt=2, node=TWO)
    build.accept(0, other)
    build.accept(1, build.success(1, attempt=2, node=TWO))
    details = details_of(build.job, 0.0, {ONE: "one", TWO: "two"})
    assert (details["unsure"], details["duplicates"]) == (1, 2)
    rows = details["tasks_detail"]
    assert isinstance(rows, list)
    assert rows[0]["digests"] == [digest_of(b"mine:0").hex()]
    assert rows[0]["other_results"] == [
        {"node": "two", "attempt": 2, "digests": [digest_of(b"other:0").hex()]}
    ]
    assert "digests" not in rows[1]


def test_the_results() -> None:
    build = JobBuilder(part(data(), task(kept=True, outputs=2), task()))
    build.finish(1)
    build.finish(2)
    rows = results_of(build.job)
    assert [(row["task"], row["output"], row["data"]) for row in rows if isinstance(row, dict)] == [
        (1, 0, b"1:0"),
        (1, 1, b"1:1"),
    ]


def test_more_results_than_one_message_holds() -> None:
    build = JobBuilder(part(data(), task(kept=True, outputs=4)))
    build.finish(1)
    rows = results_of(build.job, 7)
    assert [row["data"] for row in rows if isinstance(row, dict)] == [b"1:0", b"1:1", None, None]


def test_who_is_owed_the_whole_state_gets_its_output_once() -> None:
    build = JobBuilder(bag(1))
    watches = watched(build)
    watches.watch(JOB, TWO)
    watches.owe(JOB, [TWO])
    row: list[object] = [0, 1, 1, 0, b"text"]
    watches.add_output(JOB, row, 4)
    assert watches.take_effects() == [Message(ONE, WATCHED_OUTPUT, [JOB, [row]])]
    watches.tell_owed({JOB: build.job})
    told = watches.take_effects()
    assert [effect.peer for effect in told if isinstance(effect, Message)] == [TWO, TWO]
    assert told[-1] == Message(TWO, WATCHED_OUTPUT, [JOB, [row]])
    watches.tell_owed({JOB: build.job})
    assert watches.take_effects() == []

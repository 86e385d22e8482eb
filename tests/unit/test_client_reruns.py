"""Scripts that run again: which process is one, what it finds, where it goes on, and what it brings along."""

from __future__ import annotations

import os
import pickle
from types import FunctionType
from typing import Any

import pytest

from swarm.client.errors import Refused
from swarm.client.job import ClientJob
from swarm.client.options import make_options
from swarm.client.reruns import Diverged, Rerun, graph_job_id, script_job
from swarm.client.restarting import ask_patiently, start_again, submitted_before
from swarm.core.errors import DecodeError, TaskCancelled
from swarm.core.ids import DIGEST_SIZE, JOB_ID_SIZE
from swarm.exec import serialize
from swarm.wire.job_part import digest_of_task
from swarm.wire.messages import INLINE_SIZE_MAX
from tests.unit.client_harness import FakeOwner, call, failure, success, take, tell

OLD, NEW = b"o" * JOB_ID_SIZE, b"n" * JOB_ID_SIZE
PARENT = "abcd"


def first_life(*words: str) -> list[bytes]:
    """Return the digests of what a first life submits."""
    job = ClientJob(OLD, {}, FakeOwner())
    job.builder.record([])
    held = [call(job, str.upper, word) for word in words]
    assert held
    return [digest_of_task(spec) for spec in take(job).tasks]


def second_life(digests: list[bytes], parts: int = 1) -> ClientJob:
    job = ClientJob(OLD, {}, FakeOwner())
    job.builder.go_through(digests, parts)
    job.builder.record([])
    return job


def test_what_is_submitted_again_is_found_and_not_sent() -> None:
    job = second_life(first_life("a", "b"))
    tell(job, success(2, "B"))
    first, second = call(job, str.upper, "a"), call(job, str.upper, "b")
    assert not job.builder.has_pending()
    assert second.result(0) == "B", "what was told before somebody asked is there"
    tell(job, success(1, "A"))
    assert first.result(0) == "A"
    assert job.builder.is_found()
    assert job.builder.parts_taken == 1


@pytest.mark.parametrize("words", [("b", "a"), ("a", "c"), ("a", "b", "c")])
def test_another_order_another_argument_and_more_are_new(words: tuple[str, ...]) -> None:
    job = second_life(first_life("a", "b"))
    same = [
        word for position, word in enumerate(words) if words[: position + 1] == ("a", "b")[: position + 1]
    ]
    for word in same:
        call(job, str.upper, word)
    with pytest.raises(Diverged):
        call(job, str.upper, words[len(same)])
    assert not job.builder.has_pending()


def test_other_options_are_other_work() -> None:
    job = second_life(first_life("a"))
    with pytest.raises(Diverged):
        job.builder.add_call(str.upper, ("a",), {}, make_options(retries=2), "upper")


def test_a_job_that_has_ended_gives_its_results_until_the_script_does_not_want_them() -> None:
    job = second_life(first_life("a", "b"))
    tell(job, success(1, "A"), state="done")
    assert job.needs_whole(), "the news may not have been all"
    assert not job.is_finished()
    tell(job, success(1, "A"), failure(2), state="done", whole=True)
    assert job.is_finished()
    assert call(job, str.upper, "a").result(0) == "A"
    assert "ValueError" in str(call(job, str.upper, "b").exception(0))


def test_a_result_that_is_not_kept_any_more_says_so() -> None:
    job = second_life(first_life("a"))
    tell(job, state="done", whole=True)
    with pytest.raises(TaskCancelled, match="not kept"):
        call(job, str.upper, "a").result(0)


def test_results_of_the_earlier_job_are_brought_to_the_later_one() -> None:
    older = second_life(first_life("a", "b"))
    later = ClientJob(NEW, {}, FakeOwner())
    later.builder.record([older])
    small, large = call(older, str.upper, "a"), call(older, str.upper, "b")
    rows = success(2, "x" * INLINE_SIZE_MAX)
    outputs: Any = rows[5]
    outputs[0][3] = None
    tell(older, success(1, "A"), rows)
    held = call(later, max, small, large, small)
    assert held.job is later
    part = take(later)
    data = [spec for spec in part.tasks if spec.name == "data"]
    assert len(data) == 2, "one for each result"
    assert part.tasks[-1].inputs == [part.tasks.index(data[0]), 0, part.tasks.index(data[1]), 0]


def test_a_script_keeps_all_results_and_names_equal_data_once() -> None:
    job = ClientJob(NEW, {}, FakeOwner())
    job.builder.record([])
    large = b"x" * 8192
    call(job, len, large, [large] * 9)
    assert take(job).tasks[-1].is_kept, "although nobody holds its future"
    assert not job.table.take_released()


def test_a_session_asks_for_its_jobs_and_takes_them_in_order() -> None:
    one, other = Rerun(PARENT), Rerun(PARENT)
    assert other.question() == {"parent": PARENT, "session": one.number + 1}
    rows = [
        {"job": OLD, "parts": 2, "digests": b"a" * DIGEST_SIZE + b"b" * DIGEST_SIZE},
        {"job": NEW, "parts": 1, "digests": b""},
    ]
    one.take_answer(rows)
    assert one.meta() == {"parent": PARENT, "session_number": one.number, "life": 2}
    found = one.take_found()
    assert found is not None
    assert (found.job, found.parts, len(found.digests)) == (OLD, 2, 2)
    assert one.take_found() is not None
    assert one.take_found() is None


@pytest.mark.parametrize("answer", [None, [1], [{"job": OLD}]])
def test_a_wrong_answer_is_refused(answer: object) -> None:
    with pytest.raises(DecodeError):
        Rerun(PARENT).take_answer(answer)


def test_only_the_script_itself_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARM_JOB", PARENT)
    assert script_job() == ""
    monkeypatch.setenv("SWARM_SCRIPT_PARENT", str(os.getppid()))
    assert script_job() == PARENT
    monkeypatch.setenv("SWARM_SCRIPT_PARENT", str(os.getppid() + 1))
    assert script_job() == "", "a child of the script is another program"


class FakeMesh:
    """Answers with what it is given, in this order."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.started: list[bytes] = []

    def call(self, op: str, args: Any = None, timeout: float | None = None) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def start_job(self, job: ClientJob, with_output: bool = False) -> None:
        self.started.append(job.job)

    def wait_accepted(self, job: ClientJob) -> None:
        assert self.started


def test_while_there_is_no_leader_a_script_asks_again() -> None:
    mesh = FakeMesh(Refused("no leader", 3), Refused("no leader", 3), ["here"])
    assert ask_patiently(mesh, "submitted", {}) == ["here"]
    with pytest.raises(Refused, match="no such"):
        ask_patiently(FakeMesh(Refused("no such job", 1)), "job", {})


def test_a_mesh_of_an_older_version_has_nothing_to_find() -> None:
    assert submitted_before(FakeMesh(Refused("unknown operation 'submitted'", 2)), {}) == []


def graph_job(word: str) -> ClientJob:
    job = ClientJob(NEW, {}, FakeOwner())
    call(job, str.upper, word)
    return job


def test_a_graph_has_one_id_in_all_lives_unless_it_changed_or_is_over() -> None:
    unknown = Refused("no job is known", 1)
    content = graph_job("a").builder.content()
    assert content == graph_job("a").builder.content() != graph_job("b").builder.content()
    ids = {graph_job_id(PARENT, content, number, life) for number in range(2) for life in range(2)}
    assert len(ids) == 4
    forgotten = Refused("job abcd has ended (done) and its results have expired", 1)
    mesh = FakeMesh({"state": "cancelled"}, forgotten, unknown)
    job = graph_job("a")
    start_again(mesh, job, PARENT)
    assert not mesh.answers
    assert mesh.started == [job.job]
    assert job.job != NEW


def test_a_script_pickles_alike_wherever_its_folder_is(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    for folder in ("/tmp/one", "/var/tmp/another"):
        space: dict[str, Any] = {"__name__": "__main__", "__file__": f"{folder}/job.py"}
        source = "def outer(x):\n    return [inner(y) for y in x]\ndef inner(y):\n    return y\n"
        exec(compile(source, f"{folder}/job.py", "exec"), space)
        monkeypatch.setattr(serialize, "_own_folder", [])
        serialize.leave_out_folder(folder)
        outer = space["outer"]
        assert isinstance(outer, FunctionType)
        data, is_pinned = serialize.dump_function(outer)
        assert is_pinned
        assert folder.encode() not in data
        assert pickle.loads(data)([1, 2]) == [1, 2]
        seen.append(data)
    assert seen[0] == seen[1]

"""A job on the client's side: tasks to parts, news to futures."""

from __future__ import annotations

import gc
import pickle
import threading
from typing import Any

import pytest

import swarm
from swarm.client import futures
from swarm.client.building import JobBuilder
from swarm.client.futures import Future, as_completed, gather, wait
from swarm.client.job import ClientJob
from swarm.client.options import make_options
from swarm.client.parts import PART_BYTES_MAX
from swarm.core.errors import (
    ConfigError,
    DecodeError,
    GraphError,
    SerializationError,
    TaskCancelled,
    TaskFailed,
    TaskTimedOut,
)
from swarm.wire.codec import unpack_untrusted
from swarm.wire.facts import Completion, Output
from swarm.wire.job_part import data_output_untrusted, job_part_untrusted
from swarm.wire.messages import (
    ENCODING_PICKLE,
    ENCODING_RAW,
    ERROR_DEPENDENCY,
    ERROR_TIMEOUT,
    INLINE_SIZE_MAX,
    KIND_DATA,
    KIND_PROGRAM,
    KIND_PYTHON,
    KIND_SCRIPT,
)
from tests.unit.client_harness import NODE, FakeOwner, arguments, call, failure, success, take, tell


@pytest.fixture
def owner() -> FakeOwner:
    return FakeOwner()


@pytest.fixture
def job(owner: FakeOwner) -> ClientJob:
    return ClientJob(b"j" * 10, {"name": "test", "session": True}, owner)


def test_a_call_is_its_function_once_and_itself(job: ClientJob, owner: FakeOwner) -> None:
    held = [call(job, max, 1, 2), call(job, max, 3, 4)]
    part = take(job)
    assert [task.kind for task in part.tasks] == [KIND_DATA, KIND_PYTHON, KIND_PYTHON]
    assert [task.function for task in part.tasks] == [-1, 0, 0]
    assert arguments(part.tasks[1].payload) == ((1, 2), {})
    assert part.meta["name"] == "test"
    assert owner.wakes >= 2
    assert [future.task for future in held] == [1, 2]
    assert not job.builder.has_pending()
    assert job.builder.take_part() is None


def test_later_parts_go_on_counting_and_have_no_meta(job: ClientJob) -> None:
    first = call(job, max, 1, 2)
    take(job)
    second = call(job, max, first, 4)
    part = take(job)
    assert (part.first_task, part.meta, second.task) == (2, {}, 2)
    assert part.tasks[0].inputs == [1, 0]
    assert part.tasks[0].function == 0
    assert arguments(part.tasks[0].payload) == ((("input", 0), 4), {})


def test_a_future_used_twice_is_one_input(job: ClientJob) -> None:
    one, two = call(job, max, 1, 2), call(job, max, 3, 4)
    total = call(job, sum, [one, two, {"k": one}])
    spec = take(job).tasks[total.task]
    assert spec.inputs == [1, 0, 2, 0]
    assert arguments(spec.payload) == (([("input", 0), ("input", 1), {"k": ("input", 0)}],), {})


def test_results_are_kept_for_living_futures_only(job: ClientJob) -> None:
    held = call(job, max, 1, 2)
    call(job, max, 3, 4)
    part = take(job)
    assert [task.is_kept for task in part.tasks] == [True, True, False]
    assert job.table.take_released() == []
    del held
    assert job.table.take_released() == [1]
    assert job.table.take_released() == []


def test_functions_made_anew_each_time_travel_once(job: ClientJob) -> None:
    held = [call(job, lambda: 1), call(job, lambda: 1)]
    assert len(held) == 2
    kinds = [task.kind for task in take(job).tasks]
    assert kinds.count(KIND_PYTHON) == 2


def test_own_functions_are_pinned_to_this_python(job: ClientJob) -> None:
    def own() -> None:
        return None

    held = [call(job, own), call(job, max, 1, 2)]
    pythons = [take(job).tasks[future.task].options.python for future in held[:1]]
    assert pythons[0].startswith("3.")
    assert job.builder.task_name(held[1].task) == "max"


def test_a_large_argument_becomes_an_object(job: ClientJob) -> None:
    large = b"x" * (INLINE_SIZE_MAX + 1)
    future = call(job, len, large)
    part = job.builder.take_part()
    assert part is not None
    tasks = job_part_untrusted(part.blob).tasks
    assert [task.kind for task in tasks] == [KIND_DATA, KIND_DATA, KIND_PYTHON]
    described = data_output_untrusted(tasks[1].payload)
    assert (described.size, described.data, described.encoding) == (len(large), None, ENCODING_RAW)
    assert [(upload.task, upload.data) for upload in part.uploads] == [(1, large)]
    assert tasks[future.task].inputs == [1, 0]


def test_an_equal_large_argument_of_one_part_travels_once(job: ClientJob) -> None:
    held = [call(job, max, [b"x" * 100_000], number) for number in range(3)]
    part = job.builder.take_part()
    assert part is not None
    assert len(part.uploads) == 1
    assert len(held) == 3


def test_many_small_arguments_stay_together(job: ClientJob) -> None:
    future = call(job, max, *["y" * 3000] * 40)
    part = job.builder.take_part()
    assert part is not None
    assert part.uploads == []
    assert job_part_untrusted(part.blob).tasks[future.task].inputs == []


def test_values_put_are_done_at_once(job: ClientJob) -> None:
    future = job.builder.add_value({"a": 1})
    assert isinstance(future, Future)
    assert future.result() == {"a": 1}
    user = call(job, len, future)
    assert take(job).tasks[user.task].inputs == [0, 0]


def test_parts_are_bounded(job: ClientJob) -> None:
    held = [call(job, len, bytes(60_000)) for _ in range(PART_BYTES_MAX // 60_000 + 10)]
    sizes = []
    while (part := job.builder.take_part(is_last=True)) is not None:
        sizes.append((part.number, len(part.blob) < PART_BYTES_MAX + 100_000, part.total))
    assert sizes == [(0, True, 0), (1, True, 2)]
    assert held


def test_a_lazy_task_submits_what_is_inside_it_once(job: ClientJob) -> None:
    inner = swarm.task(max, 1, 2)
    outer = swarm.task(max, inner, [inner, swarm.task(min, 3, 4)])
    future = job.builder.add_task(outer)
    part = take(job)
    assert [task.name for task in part.tasks if task.kind == KIND_PYTHON] == ["min", "max", "max"] or [
        task.name for task in part.tasks if task.kind == KIND_PYTHON
    ] == ["max", "min", "max"]
    assert len(part.tasks[future.task].inputs) == 4
    assert job.builder.add_task(outer) is future


def test_a_long_lazy_chain_needs_no_recursion(job: ClientJob) -> None:
    chain = swarm.task(abs, -1)
    for _ in range(3000):
        chain = swarm.task(abs, chain)
    job.builder.add_task(chain)
    assert len(take(job).tasks) == 3002


def test_a_shared_lazy_graph_is_linear(job: ClientJob) -> None:
    layer = [swarm.task(abs, -1), swarm.task(abs, -2)]
    for _ in range(50):
        layer = [swarm.task(max, *layer), swarm.task(min, *layer)]
    job.builder.add_task(swarm.task(sum, layer))
    assert len([task for task in take(job).tasks if task.kind == KIND_PYTHON]) == 103


def test_futures_of_another_job_are_refused(job: ClientJob, owner: FakeOwner) -> None:
    other = ClientJob(b"o" * 10, {}, owner)
    foreign = call(other, max, 1, 2)
    with pytest.raises(GraphError, match=r"another job"):
        call(job, max, foreign, 1)
    with pytest.raises(GraphError, match=r"graph"):
        call(job, max, swarm.result_of("a"))


def test_programs(job: ClientJob) -> None:
    text = call(job, str, 5)
    program = swarm.program(
        ["cc", "-c", "a.c", text],
        inputs={"a.c": "int x;", "b": text},
        outputs=["a.o"],
        stdin=b"in",
        env={"A": "1"},
    )
    future = job.builder.add_task(program)
    spec = take(job).tasks[future.task]
    payload = unpack_untrusted(spec.payload)
    assert isinstance(payload, dict)
    assert spec.kind == KIND_PROGRAM
    assert payload["argv"] == ["cc", "-c", "a.c", {"input": 0}]
    assert payload["inputs"] == {"a.c": 2, "b": 0}
    assert payload["stdin"] == 1
    assert payload["outputs"] == {"a.o": 1}
    assert (payload["stdout"], spec.output_count, payload["env"], payload["python"]) == (
        0,
        2,
        {"A": "1"},
        False,
    )
    assert future["a.o"].output == 1
    assert future["stdout"].output == 0
    with pytest.raises(KeyError, match=r"it has stdout, a.o"):
        future["b.o"]


def test_streamed_programs_have_no_stdout(job: ClientJob) -> None:
    future = job.builder.add_task(swarm.program("ls", shell=True, stream=True))
    payload = unpack_untrusted(take(job).tasks[future.task].payload)
    assert isinstance(payload, dict)
    assert (payload["stdout"], payload["shell"], payload["argv"]) == (None, True, ["ls"])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"argv": []}, "argv"),
        ({"argv": "ls -l"}, "shell=True"),
        ({"argv": [1]}, "argv"),
        ({"argv": ["a"], "inputs": {"/etc/x": b""}}, "/etc/x"),
        ({"argv": ["a"], "outputs": ["../x"]}, r"\.\./x"),
        ({"argv": ["a"], "colour": 1}, "colour"),
    ],
)
def test_wrong_programs(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        swarm.program(**arguments)


def test_scripts(job: ClientJob) -> None:
    future = job.builder.add_script(
        "a.py", {"name": "a.py", "source": "1", "args": ["x"]}, make_options(cpus=0)
    )
    spec = take(job).tasks[future.task]
    assert (spec.kind, spec.options.cpus) == (KIND_SCRIPT, 0.0)


def test_results_arrive(job: ClientJob) -> None:
    one, two = call(job, max, 1, 2), call(job, max, 3, 4)
    take(job)
    assert not one.done()
    tell(job, success(1, "one"), success(2, "two"))
    assert (one.result(), two.result(), one.result()) == ("one", "two", "one")
    assert one.exception() is None
    tell(job, success(1, "other"))
    assert one.result() == "one"


def test_failures_arrive_with_cause_and_traceback(job: ClientJob) -> None:
    future = call(job, max, 1, 2)
    take(job)
    tell(job, failure(1, pickled=pickle.dumps(ValueError("no"))))
    with pytest.raises(TaskFailed, match=r"'max' failed on pi: ValueError: no") as caught:
        future.result()
    assert isinstance(caught.value.__cause__, ValueError)
    assert "Traceback …" in str(caught.value)
    assert (caught.value.task, caught.value.node) == ("max", "pi")
    assert future.exception() is caught.value
    assert job.failures == {1: caught.value}


def test_kinds_of_failures(job: ClientJob) -> None:
    late, needy, orphan = call(job, max, 1, 2), call(job, max, 1, 3), call(job, max, 1, 4)
    take(job)
    message = "not run: it needs x, which failed"
    tell(
        job,
        failure(1, ERROR_TIMEOUT),
        failure(2, ERROR_DEPENDENCY, message),
        failure(3, ERROR_DEPENDENCY, "cancelled"),
    )
    assert isinstance(late.exception(), TaskTimedOut)
    assert isinstance(needy.exception(), TaskFailed)
    assert orphan.cancelled()


def test_several_outputs(job: ClientJob) -> None:
    future = call(job, divmod, 7, 2, outputs=2)
    take(job)
    second = future[1]
    tell(job, success(1, 3, 1))
    assert (future.result(), second.result(), future[0].result(), future["1"].result()) == (3, 1, 3, 1)
    with pytest.raises(KeyError):
        future[2]
    with pytest.raises(TypeError, match=r"outputs=N"):
        iter(future)


def test_several_outputs_that_failed(job: ClientJob) -> None:
    future = call(job, divmod, 7, 0, outputs=2)
    take(job)
    before = future[1]
    tell(job, failure(1))
    assert isinstance(before.exception(), TaskFailed)
    assert isinstance(future[0].exception(), TaskFailed)


def test_large_results_are_fetched_when_asked_for(job: ClientJob, owner: FakeOwner) -> None:
    future = call(job, max, 1, 2)
    take(job)
    output = Output(bytes(16), 10**6, ENCODING_PICKLE, None)
    tell(job, Completion(1, 1, NODE, b"", 0.1, [output], None).to_wire())
    assert owner.fetched == []
    assert future.result() == "large"
    assert future.result() == "large"
    assert owner.fetched == [(1, 0)]


def test_results_of_dropped_futures_are_ignored(job: ClientJob) -> None:
    call(job, max, 1, 2)
    take(job)
    tell(job, success(1, 1), success(77, 1))


def test_cancelled_futures_are_released(job: ClientJob) -> None:
    future = call(job, max, 1, 2)
    take(job)
    assert future.cancel()
    assert not future.cancel()
    with pytest.raises(TaskCancelled):
        future.result()
    assert job.table.take_released() == [1]


def test_a_job_that_ends_badly_ends_its_futures(job: ClientJob) -> None:
    future = call(job, max, 1, 2)
    take(job)
    tell(job, state="cancelled", reason="by somebody")
    with pytest.raises(TaskCancelled, match=r"cancelled: by somebody"):
        future.result()
    with pytest.raises(TaskCancelled):
        call(job, max, 5, 6)
    assert job.is_finished()


def test_a_job_that_is_done_asks_for_results_that_did_not_come(job: ClientJob) -> None:
    future = call(job, max, 1, 2)
    take(job)
    tell(job, state="done")
    assert job.needs_whole()
    assert not future.done()
    tell(job, success(1, 5), state="done", whole=True)
    assert future.result() == 5
    assert not job.needs_whole()


def test_a_job_whose_session_gave_up(job: ClientJob) -> None:
    future = call(job, max, 1, 2)
    told: list[str] = []
    job.on_change.append(lambda changed: told.append(changed.state))
    error = GraphError("refused")
    job.fail(error)
    assert (future.exception(), job.error, told) == (error, error, ["failed"])


@pytest.mark.parametrize(
    ("counts", "rows"), [([1, 2], []), ([0, 0, 0, 0], [7]), ([0, 0, 0, 0], [[1]]), ([0, 0, 0, 0], [[1] * 7])]
)
def test_malformed_news(job: ClientJob, counts: list[object], rows: list[object]) -> None:
    with pytest.raises(DecodeError):
        job.on_update("running", counts, rows, "", False)


def test_output_is_handed_on_once(job: ClientJob) -> None:
    printed: list[tuple[int, int, bytes]] = []
    job.on_output.append(lambda task, attempt, stream, data: printed.append((attempt, stream, data)))
    job.on_output_rows([[0, 1, 1, 0, b"one "], [0, 1, 1, 4, b"two "]])
    job.on_output_rows([[0, 1, 1, 0, b"one "], [0, 1, 1, 4, b"two three "], [0, 1, 2, 0, b"err"]])
    job.on_output_rows([[0, 2, 1, 0, b"again"]])
    assert printed == [(1, 1, b"one "), (1, 1, b"two "), (1, 1, b"three "), (1, 2, b"err"), (2, 1, b"again")]
    with pytest.raises(DecodeError):
        job.on_output_rows([[0, 1]])


def test_output_of_another_attempt_with_the_same_number_is_handed_on(job: ClientJob) -> None:
    printed: list[bytes] = []
    job.on_output.append(lambda task, attempt, stream, data: printed.append(data))
    job.on_output_rows([[0, 1, 1, 0, b"on b\n"]])
    job.on_output_rows([[0, 1, 1, 0, b"on c\n"], [0, 1, 1, 5, b"done\n"]])
    job.on_output_rows([[0, 1, 1, 0, b"on c\ndone\n"], [0, 1, 1, 20, b"later"], [0, 1, 1, 20, b"later"]])
    assert printed == [b"on b\n", b"on c\n", b"done\n", b"later"]


def test_waiting_with_a_timeout(job: ClientJob) -> None:
    future = call(job, max, 1, 2)
    with pytest.raises(TimeoutError, match=r"'max' pending.*0 of 0 tasks done"):
        future.result(timeout=0)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0.001)
    assert "pending" in repr(future)


def test_waiting_in_another_thread(job: ClientJob) -> None:
    future = call(job, max, 1, 2)
    take(job)
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(future.result(timeout=10)))
    thread.start()
    tell(job, success(1, "here"))
    thread.join()
    assert results == ["here"]


def test_as_completed_wait_and_gather(job: ClientJob) -> None:
    held = [call(job, max, number, 0) for number in range(3)]
    take(job)
    tell(job, success(3, 2), failure(2))
    done, pending = wait(held, timeout=0)
    assert (done, pending) == ({held[1], held[2]}, {held[0]})
    assert [future.task for future in as_completed(held[1:])] == [2, 3]
    assert wait(held, return_when=futures.FIRST_COMPLETED)[1] == {held[0]}
    assert wait(held, return_when=futures.FIRST_EXCEPTION)[1] == {held[0]}
    assert wait([]) == (set(), set())
    with pytest.raises(TaskFailed):
        gather(held)
    with pytest.raises(TimeoutError, match=r"1 of 3"):
        list(as_completed(held, timeout=0))
    with pytest.raises(ValueError, match=r"SOMETIMES"):
        wait(held, return_when="SOMETIMES")
    tell(job, success(1, 0))
    assert gather([held[0], held[2]]) == [0, 2]
    assert [future.task for future in as_completed([held[0], held[0]])] == [1]


def test_callbacks(job: ClientJob) -> None:
    future = call(job, max, 1, 2)
    take(job)
    seen: list[str] = []
    first, second = (lambda _: seen.append("a")), (lambda _: seen.append("b"))
    future.add_done_callback(first)
    future.add_done_callback(second)
    future.remove_done_callback(second)
    tell(job, success(1, 0))
    future.add_done_callback(second)
    assert seen == ["a", "b"]


def test_remote_functions(job: ClientJob) -> None:
    @swarm.remote(cpus=2)
    def double(x: int) -> int:
        return 2 * x

    built = double(4)
    assert (built.options.cpus, built.name, built.args) == (2.0, "double", (4,))
    assert double.options(cpus=3)(1).options.cpus == 3.0
    assert double.function(4) == 8
    future = job.builder.add_task(built)
    assert take(job).tasks[future.task].options.cpus == 2.0
    assert pickle.loads(pickle.dumps(swarm.remote(max))).function is max
    with pytest.raises(ConfigError, match=r"cpu"):
        swarm.remote(cpu=2)


def test_options_and_arguments_of_a_task_are_told_apart() -> None:
    built = swarm.task(dict, a=1, cpus=2, name="d")
    assert (built.kwargs, built.options.cpus, built.name) == ({"a": 1}, 2.0, "d")


def test_what_cannot_travel_adds_nothing(job: ClientJob) -> None:
    with pytest.raises(SerializationError):
        call(job, len, threading.Lock())
    with pytest.raises(SerializationError):
        call(job, threading.Lock().acquire)
    assert job.builder.task_count() == 0


def test_a_builder_is_not_kept_alive_by_its_futures(owner: FakeOwner) -> None:
    job = ClientJob(b"j" * 10, {}, owner)
    future = call(job, max, 1, 2)
    assert isinstance(job.builder, JobBuilder)
    del future
    gc.collect()
    assert list(job.table.dropped) == [1]

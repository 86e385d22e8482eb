"""Job parts: what is packed is read back, and every reference is checked before a task is believed."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.errors import DecodeError
from swarm.wire.facts import Output, digest_of
from swarm.wire.job_part import (
    FORMAT,
    TASKS_MAX,
    JobPart,
    TaskOptions,
    TaskSpec,
    data_output_untrusted,
    data_payload,
    job_part_untrusted,
)
from swarm.wire.messages import ENCODING_RAW, KIND_DATA, KIND_PROGRAM, KIND_PYTHON, KIND_SCRIPT
from tests.unit.test_wire_codec import Values

Options = st.builds(
    TaskOptions,
    st.floats(0, 64),
    st.integers(0, 2**40),
    st.integers(0, 100),
    st.floats(0, 1e6),
    st.lists(st.text(max_size=5), max_size=3).map(tuple),
    st.sampled_from(["", "3.11"]),
)


@st.composite
def parts(draw: st.DrawFn) -> JobPart:
    first = draw(st.integers(0, 5))
    options = draw(st.lists(Options, min_size=1, max_size=3))
    tasks: list[TaskSpec] = []
    for index in range(first, first + draw(st.integers(0, 12))):
        kind = draw(st.sampled_from([KIND_DATA, KIND_PROGRAM, KIND_PYTHON, KIND_SCRIPT]))
        if kind == KIND_PYTHON and index == 0:
            kind = KIND_PROGRAM
        inputs: list[int] = []
        payload = draw(st.binary(max_size=10))
        output_count = draw(st.integers(1, 3))
        if kind == KIND_DATA:
            payload = data_payload(Output(digest_of(payload), len(payload), ENCODING_RAW, payload))
            output_count = 1
        elif index > 0:
            for source in draw(st.lists(st.integers(0, index - 1), max_size=3)):
                count = tasks[source - first].output_count if source >= first else 3
                inputs += [source, draw(st.integers(0, count - 1))]
        function = draw(st.integers(0, index - 1)) if kind == KIND_PYTHON else -1
        name = draw(st.sampled_from(["a", "b", "c"]))
        option, is_kept = draw(st.sampled_from(options)), draw(st.booleans())
        tasks.append(TaskSpec(kind, name, function, payload, inputs, output_count, option, is_kept))
    return JobPart(first, {"name": draw(st.text(max_size=5)), "session": draw(st.booleans())}, tasks)


@given(parts())
def test_a_part_is_read_back(part: JobPart) -> None:
    assert job_part_untrusted(part.to_wire()) == part


@given(st.binary(max_size=100))
def test_random_bytes_are_refused(blob: bytes) -> None:
    with pytest.raises(DecodeError):
        job_part_untrusted(blob)


@given(parts(), st.data())
def test_a_changed_part_is_refused_or_read(part: JobPart, draw: st.DataObject) -> None:
    fields: Any = msgpack.unpackb(part.to_wire(), strict_map_key=False)
    place = fields
    while isinstance(place, list) and place:
        index = draw.draw(st.integers(0, len(place) - 1))
        if not isinstance(place[index], list) or draw.draw(st.booleans()):
            place[index] = draw.draw(Values)
            break
        place = place[index]
    try:
        changed = job_part_untrusted(msgpack.packb(fields))
    except DecodeError:
        return
    for offset, task in enumerate(changed.tasks):
        assert all(source < changed.first_task + offset for source in task.inputs[::2])


def spec(kind: int = KIND_PROGRAM, inputs: list[Any] | None = None, **changed: Any) -> list[object]:
    """A task's row: [kind, name, function, payload, inputs, output_count, option, is_kept]."""
    row = {
        "name": 0,
        "function": 0,
        "payload": b"",
        "inputs": inputs or [],
        "outputs": 1,
        "option": 0,
        "kept": True,
    }
    row.update(changed)
    return [kind, *row.values()]


def blob_of(
    *rows: object, first: int = 0, options: object = None, names: object = None, meta: object = None
) -> bytes:
    defaults = [[1.0, 0, 0, 0.0, [], ""]] if options is None else options
    packed: bytes = msgpack.packb(
        [FORMAT, first, {} if meta is None else meta, defaults, ["t"] if names is None else names, list(rows)]
    )
    return packed


DATA = data_payload(Output(digest_of(b"x"), 1, ENCODING_RAW, b"x"))


@pytest.mark.parametrize(
    ("blob", "complaint"),
    [
        (msgpack.packb(7), "a job part is an array"),
        (msgpack.packb([2]), "another format"),
        (blob_of(first=TASKS_MAX + 1), "at most"),
        (blob_of(7), "task 0 is not an array"),
        (blob_of(spec(9)), "task 0 has the unknown kind 9"),
        (blob_of(spec(name=1)), "not in the part"),
        (blob_of(spec(option=1)), "not in the part"),
        (blob_of(spec(outputs=0)), "task 0 has no output"),
        (blob_of(spec(inputs=[0])), "half an input"),
        (blob_of(spec(inputs=[0, 0])), "task 0 needs task 0, which does not come before it"),
        (blob_of(spec(), spec(inputs=[0, 1])), "task 1 needs output 1 of task 0, which has none"),
        (blob_of(spec(inputs=["x", 0])), "no count"),
        (blob_of(spec(inputs=[-1, 0])), "no count"),
        (blob_of(spec(function=1)), "function that comes later"),
        (blob_of(spec(KIND_PYTHON)), "has a function and is not of kind Python"),
        (blob_of(spec(), spec(function=1)), "or the reverse"),
        (blob_of(spec(KIND_DATA, payload=b"x")), "data task"),
        (blob_of(spec(), spec(KIND_DATA, [0, 0], payload=DATA)), "which has no input and one output"),
        (blob_of(spec(KIND_DATA, payload=DATA, outputs=2)), "which has no input and one output"),
        (blob_of(options=[7]), "options are an array"),
        (blob_of(options=[[-1.0, 0, 0, 0.0, [], ""]]), "at least 0"),
        (blob_of(options=[[1.0, 0, 0, -0.5, [], ""]]), "at least 0"),
        (blob_of(options=[[1.0, 0, 0, 0.0, [1], ""]]), "tags are text"),
        (blob_of(names=[1]), "names of tasks are text"),
        (blob_of(meta=[]), "not a map"),
    ],
)
def test_wrong_parts_are_refused_with_the_reason(blob: bytes, complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint):
        job_part_untrusted(blob)


def test_inputs_of_earlier_parts_are_for_the_job_to_check() -> None:
    assert job_part_untrusted(blob_of(spec(inputs=[3, 9]), first=5)).tasks[0].inputs == [3, 9]


def test_tasks_share_their_options() -> None:
    part = job_part_untrusted(blob_of(spec(), spec()))
    assert part.tasks[0].options is part.tasks[1].options


@pytest.mark.parametrize("output", [Output(digest_of(b"x"), 1, 0, b"x"), Output(b"d" * 16, 10**9, 1, None)])
def test_data_is_read_back(output: Output) -> None:
    assert data_output_untrusted(data_payload(output)) == output


@pytest.mark.parametrize(
    "fields", [7, [], [b"short", 1, 0, None], [b"d" * 16, 2, 0, b"x"], [b"d" * 16, 1, 0, "x"]]
)
def test_wrong_data_is_refused(fields: object) -> None:
    with pytest.raises(DecodeError):
        data_output_untrusted(msgpack.packb(fields))

"""Job parts: what a client submits, and its layout.

A job is a growing list of parts; each is an immutable fact, acknowledged and kept by itself. A batch job
is one part; a session that submits task by task adds one part for each bunch.

``[1, first_task, meta, options, names, tasks]`` with

* ``meta``: map; part 0 has name, session (bool: cancelled when its client is gone for good), submitter,
  on_error ("fail" or "continue"), priority (int, higher first);
* ``options``: list of ``[cpus, memory_bytes, retries, timeout_s, tags, python]``;
* ``names``: list of text;
* ``tasks``: list of ``[kind, name, function, payload, inputs, output_count, option, is_kept]`` where name
  and option are indexes, function is 0 or 1 + the index of the DATA task that holds the callable, and
  inputs is flat ``[task, output, task, output, ...]``, each naming an earlier task of the job.

Task i of the list has index ``first_task + i`` in the job.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.errors import DecodeError
from swarm.core.ids import DIGEST_SIZE
from swarm.core.records import Record
from swarm.wire.codec import Body, pack, unpack_untrusted
from swarm.wire.facts import Output, digest_of
from swarm.wire.messages import KIND_DATA, KIND_PYTHON, KIND_SCRIPT

FORMAT: Final = 1
TASKS_MAX: Final = 2_000_000


@final
class TaskOptions(Record):
    """What a task asks for; shared by many tasks of a part.

    Attributes:
        cpus: cores it occupies, >= 0, fractions allowed.
        memory_bytes: 0 for no wish.
        retries: further attempts after an error of its own, >= 0.
        timeout_s: how long one attempt may run, 0 for ever.
        tags: ``key=value`` words that the node must have.
        python: the minor version ("3.11") that the node must run, "" for any.
    """

    __slots__ = ("cpus", "memory_bytes", "python", "retries", "tags", "timeout_s")

    def __init__(
        self,
        cpus: float = 1.0,
        memory_bytes: int = 0,
        retries: int = 0,
        timeout_s: float = 0.0,
        tags: tuple[str, ...] = (),
        python: str = "",
    ) -> None:
        self.cpus: Final = cpus
        self.memory_bytes: Final = memory_bytes
        self.retries: Final = retries
        self.timeout_s: Final = timeout_s
        self.tags: Final = tags
        self.python: Final = python

    def fields(self) -> tuple[object, ...]:
        return (self.cpus, self.memory_bytes, self.retries, self.timeout_s, self.tags, self.python)


@final
class TaskSpec(Record):
    """One task of a part; attributes as in the layout at the top, with references resolved.

    Attributes:
        function: index of the DATA task with the callable, -1 for none.
        inputs: flat list task, output, task, output …
    """

    __slots__ = ("function", "inputs", "is_kept", "kind", "name", "options", "output_count", "payload")

    def __init__(
        self,
        kind: int,
        name: str,
        function: int,
        payload: bytes,
        inputs: list[int],
        output_count: int,
        options: TaskOptions,
        is_kept: bool,
    ) -> None:
        self.kind: Final = kind
        self.name: Final = name
        self.function: Final = function
        self.payload: Final = payload
        self.inputs: Final = inputs
        self.output_count: Final = output_count
        self.options: Final = options
        self.is_kept: Final = is_kept

    def fields(self) -> tuple[object, ...]:
        return (
            self.kind,
            self.name,
            self.function,
            self.payload,
            self.inputs,
            self.output_count,
            self.options,
            self.is_kept,
        )


@final
class JobPart(Record):
    """A decoded part: `tasks[i]` is task `first_task + i` of the job."""

    __slots__ = ("first_task", "meta", "tasks")

    def __init__(self, first_task: int, meta: dict[str, object], tasks: list[TaskSpec]) -> None:
        self.first_task: Final = first_task
        self.meta: Final = meta
        self.tasks: Final = tasks

    def fields(self) -> tuple[object, ...]:
        return (self.first_task, self.meta, self.tasks)

    def to_wire(self) -> bytes:
        """Return the layout described at the top of this module."""
        options: dict[TaskOptions, int] = {}
        names: dict[str, int] = {}
        tasks: list[object] = []
        for task in self.tasks:
            name = names.setdefault(task.name, len(names))
            option = options.setdefault(task.options, len(options))
            function = task.function + 1
            tasks.append(
                [
                    task.kind,
                    name,
                    function,
                    task.payload,
                    task.inputs,
                    task.output_count,
                    option,
                    task.is_kept,
                ]
            )
        return pack(
            [FORMAT, self.first_task, self.meta, [list(o.fields()) for o in options], list(names), tasks]
        )


def digest_of_task(spec: TaskSpec) -> bytes:
    """Return the digest by which two tasks are known to ask for the same work.

    Equal numbers in it (of the function, of inputs) mean the same tasks only as long as all tasks before
    are equal. Whether the result is kept does not count.
    """
    options = spec.options
    wishes: list[object] = [
        float(options.cpus),
        options.memory_bytes,
        options.retries,
        float(options.timeout_s),
        list(options.tags),
        options.python,
    ]
    what: list[object] = [spec.kind, spec.name, spec.function, spec.payload, spec.inputs, spec.output_count]
    return digest_of(pack([*what, *wishes]))


def data_payload(output: Output) -> bytes:
    """Return the payload of a DATA task; without data its bytes were put into the object store before."""
    return pack(output.to_wire())


def data_output_untrusted(payload: bytes) -> Output:
    """Return the object that a DATA task stands for.

    Raises:
        DecodeError: `payload` is not one of a DATA task.
    """
    fields = unpack_untrusted(payload)
    if not isinstance(fields, list):
        raise DecodeError("the payload of a data task is an array")
    body = Body(fields)
    digest = body.take_id(DIGEST_SIZE)
    size, encoding = body.take_int(), body.take_int()
    data = body.take_any()
    if data is not None and (not isinstance(data, bytes) or len(data) != size):
        raise DecodeError("the data of a data task is missing or as long as its size")
    return Output(digest, size, encoding, data)


def job_part_untrusted(blob: bytes) -> JobPart:
    """Return the part in `blob`, checked whole: references, ranges, and no task before its inputs.

    Raises:
        DecodeError: says which task is wrong and why.
    """
    fields = unpack_untrusted(blob)
    if not isinstance(fields, list):
        raise DecodeError("a job part is an array")
    body = Body(fields)
    if body.take_int() != FORMAT:
        raise DecodeError(f"a job part of another format than {FORMAT}")
    first_task = body.take_int()
    meta = body.take_map()
    options = [_options_untrusted(item) for item in body.take_list()]
    names: list[str] = []
    for name in body.take_list():
        if not isinstance(name, str):
            raise DecodeError("names of tasks are text")
        names.append(name)
    rows = body.take_list()
    if first_task + len(rows) > TASKS_MAX:
        raise DecodeError(f"a job has at most {TASKS_MAX} tasks, this one {first_task + len(rows)}")
    tasks: list[TaskSpec] = []
    for row in rows:
        task = _task_untrusted(row, first_task + len(tasks), names, options)
        _check_inputs(task, tasks, first_task)
        tasks.append(task)
    return JobPart(first_task, meta, tasks)


def _check_inputs(task: TaskSpec, tasks: list[TaskSpec], first_task: int) -> None:
    """Check that the outputs which a task takes from its own part exist."""
    inputs = task.inputs
    for position in range(0, len(inputs), 2):
        source, output = inputs[position] - first_task, inputs[position + 1]
        if source >= 0 and output >= tasks[source].output_count:
            index = first_task + len(tasks)
            raise DecodeError(
                f"task {index} needs output {output} of task {first_task + source}, which has none of it"
            )


def _options_untrusted(item: object) -> TaskOptions:
    if not isinstance(item, list):
        raise DecodeError("options are an array")
    body = Body(item)
    cpus = body.take_number()
    memory_bytes, retries = body.take_int(), body.take_int()
    timeout_s = body.take_number()
    tags: list[str] = []
    for tag in body.take_list():
        if not isinstance(tag, str):
            raise DecodeError("tags are text")
        tags.append(tag)
    if cpus < 0 or timeout_s < 0:
        raise DecodeError(f"cpus and timeout_s are at least 0, not {cpus} and {timeout_s}")
    return TaskOptions(cpus, memory_bytes, retries, timeout_s, tuple(tags), body.take_text())


def _task_untrusted(row: object, index: int, names: list[str], options: list[TaskOptions]) -> TaskSpec:
    if not isinstance(row, list):
        raise DecodeError(f"task {index} is not an array")
    body = Body(row)
    kind, name, function = body.take_int(), body.take_int(), body.take_int() - 1
    payload = body.take_bytes()
    inputs: list[int] = []
    for number in body.take_list():
        if not isinstance(number, int) or number < 0:
            raise DecodeError(f"task {index} has an input that is no count")
        inputs.append(number)
    output_count, option = body.take_int(), body.take_int()
    is_kept = body.take_bool()
    if not KIND_DATA <= kind <= KIND_SCRIPT:
        raise DecodeError(f"task {index} has the unknown kind {kind}")
    if name >= len(names) or option >= len(options):
        raise DecodeError(f"task {index} names a name or an option that is not in the part")
    if output_count < 1 or len(inputs) % 2 or function >= index:
        raise DecodeError(f"task {index} has no output, half an input, or a function that comes later")
    if (kind == KIND_PYTHON) != (function >= 0):
        raise DecodeError(f"task {index} has a function and is not of kind Python, or the reverse")
    for position in range(0, len(inputs), 2):
        if inputs[position] >= index:
            raise DecodeError(f"task {index} needs task {inputs[position]}, which does not come before it")
    if kind == KIND_DATA:
        if inputs or output_count != 1:
            raise DecodeError(f"task {index} is data, which has no input and one output")
        data_output_untrusted(payload)
    return TaskSpec(kind, names[name], function, payload, inputs, output_count, options[option], is_kept)

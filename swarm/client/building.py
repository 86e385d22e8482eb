"""From calls, programs and scripts to the tasks of a job part.

Tasks are added by the threads of the user and taken by the thread of the session; `_lock` guards the
numbering and what has not been taken. Pickling happens outside the lock: an argument becomes a position
among the task's inputs at once, and that input becomes a number only when the task is appended. So bytes
that the client brings are always appended together with the first task that uses them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from swarm.client.futures import BaseFuture
from swarm.client.options import make_options, pinned_to_python
from swarm.client.parts import Data, Inputs, Part, PendingTask, Upload, bounded_count
from swarm.client.reruns import Diverged
from swarm.client.sendable import checked_text, packed
from swarm.client.tasks import Program, RemoteFunction, ResultOf, Task
from swarm.core.errors import GraphError, SwarmError
from swarm.exec.serialize import (
    PYTHON_VERSION,
    Reference,
    dump_call,
    dump_function,
    dump_plain_call,
    dump_value,
    function_name,
)
from swarm.wire.facts import Output, digest_of
from swarm.wire.job_part import TASKS_MAX, JobPart, TaskOptions, TaskSpec, data_payload, digest_of_task
from swarm.wire.messages import (
    ENCODING_PICKLE,
    ENCODING_RAW,
    INLINE_SIZE_MAX,
    KIND_DATA,
    KIND_PROGRAM,
    KIND_PYTHON,
    KIND_SCRIPT,
)

if TYPE_CHECKING:
    from swarm.client.future_table import FutureTable
    from swarm.client.job import ClientJob

FUNCTIONS_REMEMBERED_MAX: Final = 10_000
_SEPARATE_MIN: Final = 4096
"""An argument of this many pickled bytes becomes an object of its own when the whole call is too large."""


class JobBuilder:
    """Numbers the tasks of one job and cuts them into parts.

    Attributes:
        parts_taken: how many parts exist so far.
        nodes: in the job of a graph, the task of each node added so far.
    """

    def __init__(
        self,
        owner: ClientJob,
        meta: Mapping[str, object],
        table: FutureTable,
        make_future: Callable[[ClientJob, int, int], BaseFuture[Any]],
        wake: Callable[[], None],
    ) -> None:
        self.parts_taken = 0
        self.nodes: Final[dict[Hashable, int]] = {}
        self._owner = owner
        self._meta: Final = dict(meta)
        self._table = table
        self._make_future = make_future
        self._wake = wake
        self._lock = threading.Lock()
        self._names: list[str] = []
        self._pending: list[PendingTask] = []
        self._first_pending = 0
        self._uploads: list[Upload] = []
        self._data: dict[bytes, int] = {}
        self._functions: dict[int, tuple[object, int, bool]] = {}
        self._function_data: dict[bytes, int] = {}
        self._output_names: dict[int, tuple[str, ...]] = {}
        self._last_options = (make_options(), make_options(python=PYTHON_VERSION))
        self._end: SwarmError | None = None
        self._found: list[bytes] | None = None
        self._is_recorded = False
        self._older: Sequence[ClientJob] = ()

    def record(self, older: Sequence[ClientJob]) -> None:
        """Let a script that runs again find these tasks: all results are kept, equal data is one task.

        Args:
            older: jobs whose futures may be arguments here; their results are brought as data.
        """
        self._is_recorded = True
        self._older = older

    def go_through(self, digests: list[bytes], parts: int) -> None:
        """Add no task any more, but find those of these digests that were submitted in an earlier life.

        Whatever is added from now on is the next of them, or raises :class:`Diverged`.
        """
        self._found = digests
        self.parts_taken = parts
        self._table.remember()

    def is_found(self) -> bool:
        """Return whether the tasks were submitted in an earlier life."""
        return self._found is not None

    def content(self) -> bytes:
        """Return a digest of all tasks that were added and not taken."""
        with self._lock:
            specs = [(task.spec(bool(task.is_kept)), task.is_kept) for task in self._pending]
        return digest_of(b"".join([digest_of_task(spec) + repr(kept).encode() for spec, kept in specs]))

    def add_call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: TaskOptions,
        name: str,
        output_count: int = 1,
        needs: tuple[tuple[int, int], ...] = (),
    ) -> BaseFuture[Any]:
        """Add a call and return its future.

        Args:
            function, args, kwargs: what to call; the arguments are pickled before this returns.
            options, name, output_count: see :class:`swarm.client.tasks.Task`.
            needs: (task, output) of inputs that are only waited for.

        Raises:
            SerializationError: the function or an argument cannot be sent; nothing was added.
            GraphError: the job is full, or a future belongs to another job.
            ConfigError: the name is no UTF-8 text.
        """
        checked_text(name, "the name")
        known = self._functions.get(id(function))
        is_pinned = known[2] if known is not None else False
        data: Data | None = None
        if known is None:
            data, is_pinned = _dumped(function)
        plain = dump_plain_call(args, kwargs)
        if plain is not None and len(plain) <= INLINE_SIZE_MAX and output_count == 1 and not needs:
            if is_pinned:
                options = self._pinned(options)
            index = known[1] if known is not None else self._add_function(function, data, is_pinned)
            return self._add(KIND_PYTHON, name, index, plain, None, options, ())
        inputs = Inputs(self)
        payload, by_value = dump_call(args, kwargs, inputs)
        if len(payload) > INLINE_SIZE_MAX:
            inputs = Inputs(self)
            payload, by_value = self._dump_large_call(args, kwargs, inputs)
        for need in needs:
            inputs.add(need)
        if is_pinned or by_value:
            options = self._pinned(options)
        names = tuple([str(number) for number in range(output_count)]) if output_count > 1 else ()
        index = known[1] if known is not None else self._add_function(function, data, is_pinned)
        return self._add(KIND_PYTHON, name, index, payload, inputs, options, names)

    def add_task(self, task: Task | Program, needs: tuple[tuple[int, int], ...] = ()) -> BaseFuture[Any]:
        """Add a task that was built before, the tasks among its arguments first, each once."""
        for inner in _inner_tasks(task, [self._owner, *self._older]):
            self._add_built(inner, ())
        return self._add_built(task, needs)

    def add_script(self, name: str, payload: Mapping[str, object], options: TaskOptions) -> BaseFuture[Any]:
        """Add a script that runs inside the mesh and return its future."""
        content = packed(dict(payload), f"the script {name!r}")
        return self._add(KIND_SCRIPT, checked_text(name, "the name"), -1, content, Inputs(self), options, ())

    def add_value(self, value: object) -> BaseFuture[Any]:
        """Add a value for many tasks to use and return its future, which is done.

        Raises:
            SerializationError: it cannot be pickled.
        """
        content, encoding, _ = dump_value(value)
        data = Data(content, encoding)
        with self._lock:
            index = self._append_data(data, None)
            future = self._make_future(self._owner, index, 0)
            self._table.register(future)
        future.settle(Output(data.key[:-1], len(data.data), data.encoding, data.data))
        self._wake()
        return future

    def add_specs(self, specs: list[TaskSpec], brought: Mapping[int, tuple[bytes, int]]) -> None:
        """Add tasks as another job had them, under the numbers that they have there; nobody waits for them.

        Args:
            specs: the next tasks.
            brought: number -> bytes and encoding, for data tasks whose bytes are not in them.

        Raises:
            ConfigError: there are too many tasks.
        """
        with self._lock:
            for spec in specs:
                pending = PendingTask(
                    spec.kind,
                    spec.name,
                    spec.function,
                    spec.payload,
                    spec.inputs,
                    spec.output_count,
                    spec.options,
                    spec.is_kept,
                )
                index = self._append(pending)
                if index in brought:
                    self._uploads.append(Upload(index, *brought[index]))
        self._wake()

    def source_of(self, reference: Reference) -> tuple[int, int] | Data:
        """Return (task, output) that a reference stands for, adding tasks not submitted yet; or its data.

        Raises:
            GraphError: a future of another job, or a `result_of` outside its graph.
        """
        if isinstance(reference, BaseFuture):
            if reference.job in self._older:
                return Data(*reference.fetched())
            if reference.job is not self._owner:
                raise GraphError(
                    f"{reference!r} belongs to another job; pass its result(), or submit both in one job"
                )
            return reference.task, reference.output
        if isinstance(reference, (Task, Program)):
            future = reference.future
            if future is not None and future.job in self._older:
                return Data(*future.fetched())
            if future is None or future.job is not self._owner:
                future = self.add_task(reference)
            return future.task, 0
        if isinstance(reference, ResultOf):
            if reference.node in self.nodes:
                task = self.nodes[reference.node]
                return task, self.output_position(task, reference.output)
            raise GraphError(f"{reference!r} is understood only in a graph, behind an edge from that node")
        raise GraphError(f"{reference!r} stands for no result")

    def output_future(self, future: BaseFuture[Any], which: str | int) -> BaseFuture[Any]:
        """Return the future of another output of the same task.

        Raises:
            KeyError: there is no such output; the message lists those there are.
        """
        names = self._output_names.get(future.task, ())
        if which not in names and not (isinstance(which, int) and 0 <= which < len(names)):
            known = ", ".join(names) or "only its result"
            raise KeyError(f"task {self.task_name(future.task)!r} has no output {which!r}; it has {known}")
        position = which if isinstance(which, int) else names.index(which)
        other = self._make_future(self._owner, future.task, position)
        self._table.register_other(other)
        return other

    def output_position(self, task: int, name: str) -> int:
        """Return the number of a task's output by its name, 0 for "".

        Raises:
            GraphError: the task has no output of that name.
        """
        names = self._output_names.get(task, ())
        if not names and name == "0":
            return 0
        if name and name not in names:
            known = ", ".join(names) or "only its result"
            raise GraphError(f"task {self.task_name(task)!r} has no output {name!r}; it has {known}")
        return names.index(name) if name else 0

    def output_names(self, task: int) -> tuple[str, ...]:
        """Return the names of a task's outputs, () when it has only its result."""
        return self._output_names.get(task, ())

    def task_name(self, task: int) -> str:
        """Return the name of a task, its number when this client did not submit it."""
        return self._names[task] if task < len(self._names) else f"task {task}"

    def task_count(self) -> int:
        """Return how many tasks were added, data included."""
        return len(self._names)

    def has_pending(self) -> bool:
        """Return whether tasks wait to be taken."""
        return bool(self._pending)

    def pending_count(self) -> int:
        """Return how many tasks wait to be taken."""
        return len(self._pending)

    def end(self, error: SwarmError) -> None:
        """Refuse tasks from now on with this error."""
        with self._lock:
            self._end = error

    def take_part(self, is_last: bool = False) -> Part | None:
        """Return everything added since the last take as one part (bounded), None when there is nothing.

        Args:
            is_last: no task is added any more, so the part may say how many parts there are.
        """
        with self._lock:
            count = bounded_count(self._pending)
            if not count:
                return None
            taken, self._pending = self._pending[:count], self._pending[count:]
            first, number = self._first_pending, self.parts_taken
            self._first_pending = end = first + count
            self.parts_taken += 1
            uploads = [upload for upload in self._uploads if upload.task < end]
            self._uploads = [upload for upload in self._uploads if upload.task >= end]
            if not self._pending and not self._is_recorded:
                self._data.clear()
            total = number + 1 if is_last and not self._pending else 0
        table = self._table
        specs: list[TaskSpec] = []
        for index, task in enumerate(taken, first):
            is_kept = task.is_kept
            if is_kept is None:
                is_kept = self._is_recorded or table.is_wanted(index)
                if is_kept and not self._is_recorded:
                    table.mark_kept(index)
            specs.append(task.spec(is_kept))
        blob = JobPart(first, self._meta if number == 0 else {}, specs).to_wire()
        return Part(number, blob, uploads, total)

    def _add(
        self,
        kind: int,
        name: str,
        function: int,
        payload: bytes,
        inputs: Inputs | None,
        options: TaskOptions,
        names: tuple[str, ...],
    ) -> BaseFuture[Any]:
        flat: list[int] = []
        pending = PendingTask(kind, name, function, payload, flat, len(names) or 1, options, None)
        with self._lock:
            if inputs is not None:
                for source in inputs.sources:
                    flat += (self._append_data(source, False), 0) if isinstance(source, Data) else source
            index = self._append(pending)
            future = self._make_future(self._owner, index, 0)
            self._table.register(future)
            if names:
                self._output_names[index] = names
        self._wake()
        return future

    def _append(self, pending: PendingTask) -> int:
        index = len(self._names)
        if self._found is not None:
            if index >= len(self._found) or digest_of_task(pending.spec(False)) != self._found[index]:
                raise Diverged
            self._names.append(pending.name)
            return index
        if self._end is not None:
            raise self._end
        if index >= TASKS_MAX:
            raise GraphError(
                f"{pending.name!r} would be task {index + 1} of this session, and a job has at most "
                f"{TASKS_MAX}; open another session with swarm.connect()"
            )
        self._pending.append(pending)
        self._names.append(pending.name)
        return index

    def _pinned(self, options: TaskOptions) -> TaskOptions:
        if options is not self._last_options[0]:
            self._last_options = (options, pinned_to_python(options, PYTHON_VERSION))
        return self._last_options[1]

    def _append_data(self, data: Data, is_kept: bool | None) -> int:
        known = self._data.get(data.key) if is_kept is False else None
        if known is not None:
            return known
        is_inline = len(data.data) <= INLINE_SIZE_MAX
        output = Output(data.key[:-1], len(data.data), data.encoding, data.data if is_inline else None)
        index = self._append(
            PendingTask(KIND_DATA, data.name, -1, data_payload(output), [], 1, make_options(), is_kept)
        )
        if not is_inline and self._found is None:
            self._uploads.append(Upload(index, data.data, data.encoding))
        if is_kept is False:
            self._data[data.key] = index
        return index

    def _add_function(self, function: Callable[..., Any], data: Data | None, is_pinned: bool) -> int:
        assert data is not None, "a function that is not known was dumped"
        with self._lock:
            index = self._function_data.get(data.key, -1)
            if index < 0:
                index = self._append_data(data, True)
                self._function_data[data.key] = index
            if len(self._functions) < FUNCTIONS_REMEMBERED_MAX:
                self._functions[id(function)] = (function, index, is_pinned)
        return index

    def _add_built(self, task: Task | Program, needs: tuple[tuple[int, int], ...]) -> BaseFuture[Any]:
        future = task.future
        if future is not None and (future.job is self._owner or future.job in self._older):
            return future
        if isinstance(task, Program):
            future = self._add_program(task, needs)
        else:
            future = self.add_call(
                task.function, task.args, task.kwargs, task.options, task.name, task.output_count, needs
            )
        task.future = future
        return future

    def _dump_large_call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: Inputs
    ) -> tuple[bytes, bool]:
        is_pinned = False
        separated: list[object] = []
        for value in (*args, *kwargs.values()):
            separated.append(value)
            if isinstance(value, Reference):
                continue
            try:
                data, encoding, by_value = dump_value(value)
            except SwarmError:
                continue
            if len(data) >= _SEPARATE_MIN:
                is_pinned = is_pinned or by_value
                separated[-1] = Data(data, encoding)
        large_kwargs = dict(zip(kwargs, separated[len(args) :], strict=True))
        payload, by_value = dump_call(tuple(separated[: len(args)]), large_kwargs, inputs)
        return payload, is_pinned or by_value

    def _add_program(self, program: Program, needs: tuple[tuple[int, int], ...]) -> BaseFuture[Any]:
        inputs = Inputs(self)

        def position(value: bytes | Reference) -> int:
            return inputs(value if isinstance(value, Reference) else Data(value, ENCODING_RAW))

        argv: list[object] = [
            word if isinstance(word, str) else {"input": inputs(word)} for word in program.argv
        ]
        first_file = 0 if program.is_streamed else 1
        payload: dict[str, object] = {
            "argv": argv,
            "stdin": None if program.stdin is None else position(program.stdin),
            "inputs": {path: position(value) for path, value in program.inputs.items()},
            "outputs": {path: number for number, path in enumerate(program.outputs.values(), first_file)},
            "stdout": None if program.is_streamed else 0,
            "env": program.env,
            "shell": program.shell,
            "python": argv[0] in ("python", "python3"),
        }
        for need in needs:
            inputs.add(need)
        names = (
            (*program.outputs,) if program.is_streamed and program.outputs else ("stdout", *program.outputs)
        )
        content = packed(payload, f"the program {program.name!r}")
        return self._add(KIND_PROGRAM, program.name, -1, content, inputs, program.options, names)


def _dumped(function: Callable[..., Any]) -> tuple[Data, bool]:
    called = function.function if isinstance(function, RemoteFunction) else function
    content, is_pinned = dump_function(called)
    return Data(
        content, ENCODING_PICKLE, checked_text(function_name(called), "the function's name")
    ), is_pinned


def _inner_tasks(task: Task | Program, jobs: list[ClientJob]) -> list[Task | Program]:
    """Return tasks not yet submitted among the arguments of a task, each after its own (no recursion).

    Looks into lists and tuples; what lies deeper is found while pickling.
    """
    order: dict[int, Task | Program] = {}
    stack: list[tuple[object, bool]] = [(item, False) for item in _arguments(task)]
    seen: set[int] = {id(task)}
    while stack:
        item, is_expanded = stack.pop()
        if is_expanded and isinstance(item, (Task, Program)):
            order[id(item)] = item
        elif isinstance(item, (list, tuple)):
            stack.extend((inner, False) for inner in item if isinstance(inner, (list, tuple, Task, Program)))
        elif isinstance(item, (Task, Program)) and id(item) not in seen:
            seen.add(id(item))
            if item.future is None or item.future.job not in jobs:
                stack.append((item, True))
                stack.extend((inner, False) for inner in _arguments(item))
    return list(order.values())


def _arguments(task: Task | Program) -> list[object]:
    if isinstance(task, Program):
        return [*task.argv, *task.inputs.values(), task.stdin]
    return [*task.args, *task.kwargs.values()]

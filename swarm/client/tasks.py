"""Work that has not been submitted yet: calls, programs, and the decorator that makes them.

A :class:`Task` may be an argument of another task, at any depth; submitting the outer one submits the
inner ones first, each once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeVar, final, overload

from swarm.client.options import OPTION_NAMES, make_options
from swarm.client.sendable import checked_text
from swarm.core.errors import ConfigError
from swarm.exec.serialize import Reference, function_name

if TYPE_CHECKING:
    from swarm.client.futures import BaseFuture, Future
    from swarm.wire.job_part import TaskOptions

P = ParamSpec("P")
R = TypeVar("R")

OUTPUTS_MAX: Final = 10_000


class Task(Reference):
    """A call of a function that has not been submitted; see :func:`task`.

    Attributes:
        function: what is called on a node.
        args, kwargs: its arguments, with tasks, futures and references anywhere inside.
        options: what it asks for.
        name: for people.
        output_count: more than 1 when the function returns that many values, each a future of its own.
        future: of the submission, None before; it keeps the result wanted while the task is held.
    """

    __slots__ = ("args", "function", "future", "kwargs", "name", "options", "output_count")

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: TaskOptions,
        name: str,
        output_count: int,
    ) -> None:
        self.function: Final = function
        self.args: Final = args
        self.kwargs: Final = kwargs
        self.options: Final = options
        self.name: Final = name
        self.output_count: Final = output_count
        self.future: BaseFuture[Any] | None = None

    def __repr__(self) -> str:
        return f"<task {self.name}, not submitted>"


@final
class Program(Reference):
    """A run of a program that has not been submitted; see :func:`program`.

    Attributes:
        argv: words; a reference among them becomes the path of a file with that result.
        inputs: path in the scratch directory: bytes, or a reference to a result.
        outputs: name: path in the scratch directory, in the order of the task's outputs.
        stdin: what the program reads, None for nothing.
        is_streamed: standard output goes to the job's log and is no result.
        future: of the submission, None before; it keeps the result wanted while the program is held.
    """

    __slots__ = (
        "argv",
        "env",
        "future",
        "inputs",
        "is_streamed",
        "name",
        "options",
        "outputs",
        "shell",
        "stdin",
    )

    def __init__(
        self,
        argv: list[str | Reference],
        inputs: dict[str, bytes | Reference],
        outputs: dict[str, str],
        stdin: bytes | Reference | None,
        env: dict[str, str],
        shell: bool,
        is_streamed: bool,
        options: TaskOptions,
        name: str,
    ) -> None:
        self.is_streamed: Final = is_streamed
        self.argv: Final = argv
        self.inputs: Final = inputs
        self.outputs: Final = outputs
        self.stdin: Final = stdin
        self.env: Final = env
        self.shell: Final = shell
        self.options: Final = options
        self.name: Final = name
        self.future: BaseFuture[Any] | None = None

    def __repr__(self) -> str:
        return f"<program {self.name}, not submitted>"


@final
class ResultOf(Reference):
    """In the arguments of a graph's node: the result of another node; see :func:`result_of`."""

    __slots__ = ("node", "output")

    def __init__(self, node: Hashable, output: str) -> None:
        self.node: Final = node
        self.output: Final = output

    def __repr__(self) -> str:
        return f"<result of {self.node!r}{'/' if self.output else ''}{self.output}>"


def task(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Task:
    """Return a call to be submitted later, or to be the attribute "task" of a graph's node.

    The keywords `cpus`, `memory`, `retries`, `timeout_s`, `tags`, `python`, `name` and `outputs` say what
    the task asks for (see :func:`swarm.client.options.make_options`); all others go to the function.
    A function with such a parameter of its own takes it by position.

    Raises:
        ConfigError: names the faulty option.
    """
    if not OPTION_NAMES.isdisjoint(kwargs):
        chosen = {name: kwargs.pop(name) for name in list(kwargs) if name in OPTION_NAMES}
        return task_of(function, args, kwargs, chosen)
    return Task(function, args, kwargs, make_options(), function_name(function), 1)


def task_of(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], chosen: Mapping[str, Any]
) -> Task:
    """Return a call with options given apart from its keywords.

    Raises:
        ConfigError: names the faulty option.
    """
    output_count, name, options = split_options(chosen)
    return Task(function, args, kwargs, options, name or function_name(function), output_count)


def split_options(chosen: Mapping[str, Any]) -> tuple[int, str, TaskOptions]:
    """Return (outputs, name, the rest as checked options) of the keywords of :func:`task`.

    Raises:
        ConfigError: an unknown name or a faulty value.
    """
    rest = dict(chosen)
    outputs, name = rest.pop("outputs", 1), rest.pop("name", "")
    unknown = [key for key in rest if key not in OPTION_NAMES]
    if unknown:
        raise ConfigError(f"unknown option {unknown[0]!r}; known are {', '.join(sorted(OPTION_NAMES))}")
    if isinstance(outputs, bool) or not isinstance(outputs, int) or not 1 <= outputs <= OUTPUTS_MAX:
        raise ConfigError(f"outputs is a whole number from 1 to {OUTPUTS_MAX}, not {outputs!r}")
    return outputs, checked_text(str(name or ""), "the name"), make_options(**rest)


def program(
    argv: Sequence[str | Reference] | str,
    *,
    inputs: Mapping[str, bytes | str | Reference] | None = None,
    outputs: Mapping[str, str] | Sequence[str] = (),
    stdin: bytes | str | Reference | None = None,
    env: Mapping[str, str] | None = None,
    shell: bool = False,
    stream: bool = False,
    **options: Any,
) -> Program:
    """Return a run of an external program, to be submitted later or to be a graph's node.

    Its result is what it wrote to standard output, as bytes; ``future["name"]`` is the file `outputs`
    calls so. It runs in an empty directory; an exit code other than 0 fails it.

    Args:
        argv: the program and its arguments; a future or task among them becomes a file's path.
        inputs: files put there before it starts: path: content, or the future of one.
        outputs: files taken when it has ended: name: path, or only paths.
        stdin: what it reads from standard input.
        env: variables added to its environment.
        shell: `argv` is one line of shell.
        stream: standard output is shown while it runs, in the job's log, and is not the result.
        options: cpus, memory, retries, timeout_s, tags, name as for :func:`task`.

    Raises:
        ConfigError: names the faulty value.
    """
    words: list[str | Reference] = [argv] if isinstance(argv, str) else list(argv)
    if not words or not all(isinstance(word, (str, Reference)) for word in words):
        raise ConfigError(f"argv is a list of words such as ['cc', '-c', 'a.c'], not {argv!r}")
    if isinstance(argv, str) and not shell:
        raise ConfigError(f"argv is a list of words, not the text {argv!r}; or give shell=True")
    for word in words:
        if isinstance(word, str):
            checked_text(word, "the word of argv")
    named = dict(outputs) if isinstance(outputs, Mapping) else {path: path for path in outputs}
    for path in [*(inputs or {}), *named.values()]:
        if not checked_text(path, "the path") or path.startswith("/") or ".." in path.split("/"):
            raise ConfigError(f"the path {path!r} must be relative and stay inside the program's directory")
    _, name, checked = split_options(options)
    content = {path: _content(value, f"the input {path!r}") for path, value in (inputs or {}).items()}
    return Program(
        words,
        content,
        named,
        None if stdin is None else _content(stdin, "stdin"),
        {
            checked_text(str(key), "the variable"): checked_text(str(value), f"the variable {key!r} is")
            for key, value in (env or {}).items()
        },
        shell,
        stream,
        checked,
        name or str(words[0]).rpartition("/")[2],
    )


def _content(value: bytes | str | Reference, what: str) -> bytes | Reference:
    return checked_text(value, f"{what} is").encode() if isinstance(value, str) else value


def result_of(node: Hashable, output: str = "") -> ResultOf:
    """Return a reference to the result of another node of the same graph.

    Args:
        node: its key in the graph.
        output: name of a program's output file; "" for the result itself.
    """
    return ResultOf(node, output)


@final
class RemoteFunction(Generic[P, R]):
    """What :func:`remote` makes of a function: calling it builds a task, `submit` sends one.

    Attributes:
        function: the function itself.
        chosen: its options.
    """

    def __init__(self, function: Callable[P, R], options: Mapping[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.function: Final = function
        self.chosen: Final = dict(options)
        split_options(options)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Task:
        """Return a task that is not submitted yet; every keyword goes to the function."""
        return task_of(self.function, args, kwargs, self.chosen)

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Submit a call to the mesh that is open (``with swarm.connect()``) and return its future.

        Raises:
            LocalProtocolError: no mesh is open.
        """
        from swarm.client.mesh import current_mesh

        return current_mesh().submit_task(task_of(self.function, args, kwargs, self.chosen))

    def map(self, *iterables: Any) -> list[Future[R]]:
        """Submit one call for each item, to the mesh that is open."""
        from swarm.client.mesh import current_mesh

        return current_mesh().map_with(self.function, iterables, self.chosen)

    def options(self, **options: Any) -> RemoteFunction[P, R]:
        """Return the same function with some options changed."""
        return RemoteFunction(self.function, {**self.chosen, **options})

    def __reduce__(self) -> Any:
        return (RemoteFunction, (self.function, self.chosen))


@overload
def remote(function: Callable[P, R], /) -> RemoteFunction[P, R]: ...


@overload
def remote(**options: Any) -> Callable[[Callable[P, R]], RemoteFunction[P, R]]: ...


def remote(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Mark a function as one that runs in the mesh: ``@swarm.remote`` or ``@swarm.remote(cpus=2)``.

    ``f(...)`` then builds a task lazily, ``f.submit(...)`` and ``f.map(...)`` send it, and ``f.function``
    is the function itself.

    Raises:
        ConfigError: names the faulty option.
    """
    if function is not None:
        return RemoteFunction(function, options)
    split_options(options)
    return functools.partial(RemoteFunction, options=options)

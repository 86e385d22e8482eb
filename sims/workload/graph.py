"""Task graphs in memory: tasks with run times, the objects they make, and who needs which.

Tasks are numbered from 0 in topological order, as in the file format (`sims.workload.graph_file`): a task
needs objects of tasks with smaller numbers only. Objects are numbered over the whole graph, in the order of
the tasks that make them. A graph is made by a :class:`GraphBuilder` and never changes afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from swarm.core.errors import GraphError

NUMBER_MAX: Final = 1 << 53
"""No run time in seconds and no size in bytes is larger; floats hold all whole numbers up to it."""

AMOUNT: Final = f"a number of at least 0 and at most {NUMBER_MAX}"


@final
class TaskGraph:
    """A workload: what its tasks cost and need. Made by :class:`GraphBuilder`.

    Attributes:
        name: of the graph.
        family: the kind of graph, "" for none.
        source: where it comes from, "" for unknown.
        task_names: the kind of each task; estimates are kept by it.
        durations_s: seconds on a core of speed 1, >= 0, by task.
        expected_durations_s: what a user would have guessed, by task.
        cpus: cores that a task holds while it runs, >= 0, by task.
        outputs: numbers of the objects that a task makes, by task.
        inputs: numbers of the objects that a task needs, each once, by task.
        producers: the task that makes an object, by object.
        sizes_bytes: bytes of an object, >= 0, by object.
        expected_sizes_bytes: what a user would have guessed, by object.
        consumers: the tasks that need an object, rising, by object.
    """

    def __init__(self, builder: GraphBuilder) -> None:
        self.name: Final = builder.name
        self.family: Final = builder.family
        self.source: Final = builder.source
        self.task_names: Final = builder.task_names
        self.durations_s: Final = builder.durations_s
        self.expected_durations_s: Final = builder.expected_durations_s
        self.cpus: Final = builder.cpus
        self.outputs: Final = builder.outputs
        self.inputs: Final = builder.inputs
        self.producers: Final = builder.producers
        self.sizes_bytes: Final = builder.sizes_bytes
        self.expected_sizes_bytes: Final = builder.expected_sizes_bytes
        self.consumers: Final[list[list[int]]] = [[] for _ in self.producers]
        for task, needed in enumerate(self.inputs):
            for item in needed:
                self.consumers[item].append(task)

    def __len__(self) -> int:
        return len(self.durations_s)

    def __repr__(self) -> str:
        return f"TaskGraph({self.name!r}, tasks={len(self)}, objects={len(self.producers)})"

    def parents(self, task: int) -> list[int]:
        """Return the tasks that a task waits for, each once, in the order of its inputs."""
        found: dict[int, bool] = {}
        for item in self.inputs[task]:
            found[self.producers[item]] = True
        return list(found)

    def children(self, task: int) -> list[int]:
        """Return the tasks that wait for a task, each once, rising."""
        found: dict[int, bool] = {}
        for item in self.outputs[task]:
            for consumer in self.consumers[item]:
                found[consumer] = True
        return sorted(found)

    def reference(self, item: int) -> tuple[int, int]:
        """Return an object as (the task that makes it, which of that task's outputs it is)."""
        producer = self.producers[item]
        return producer, item - self.outputs[producer][0]

    def parent_bytes(self, task: int) -> dict[int, int]:
        """Return the tasks that a task waits for -> bytes of all objects that it needs of each."""
        found: dict[int, int] = {}
        for item in self.inputs[task]:
            producer = self.producers[item]
            found[producer] = found.get(producer, 0) + self.sizes_bytes[item]
        return found

    def edge_bytes(self, task: int, child: int) -> int:
        """Return the bytes of all objects that `child` needs of `task`."""
        return sum([self.sizes_bytes[item] for item in self.inputs[child] if self.producers[item] == task])

    def work_s(self) -> float:
        """Return the seconds of one core of speed 1 for the whole graph (run times by cpus)."""
        return sum([self.durations_s[task] * self.cpus[task] for task in range(len(self))])

    def critical_path_s(self) -> float:
        """Return the longest path of run times on cores of speed 1, transfers left out."""
        return max(bottom_levels_s(self, self.durations_s), default=0.0)

    def with_durations(self, durations_s: Sequence[float]) -> TaskGraph:
        """Return this graph with other true run times; what users expect stays.

        Raises:
            GraphError: as many run times as tasks are needed, each a number of at least 0.
        """
        if len(durations_s) != len(self):
            raise GraphError(f"{self.name}: {len(durations_s)} run times for {len(self)} tasks")
        builder = GraphBuilder(self.name, self.family, self.source)
        for task in range(len(self)):
            made = self.outputs[task]
            builder.add(
                self.task_names[task],
                durations_s[task],
                inputs=[self.reference(item) for item in self.inputs[task]],
                sizes_bytes=[self.sizes_bytes[item] for item in made],
                cpus=self.cpus[task],
                expected_duration_s=self.expected_durations_s[task],
                expected_sizes_bytes=[self.expected_sizes_bytes[item] for item in made],
            )
        return builder.build()


@final
class GraphBuilder:
    """Collects the tasks of a graph, each after those it needs.

    Args:
        name: of the graph; messages of errors begin with it.
        family: the kind of graph.
        source: where it comes from.
    """

    def __init__(self, name: str, family: str = "", source: str = "") -> None:
        self.name: Final = name
        self.family: Final = family
        self.source: Final = source
        self.task_names: Final[list[str]] = []
        self.durations_s: Final[list[float]] = []
        self.expected_durations_s: Final[list[float]] = []
        self.cpus: Final[list[float]] = []
        self.outputs: Final[list[list[int]]] = []
        self.inputs: Final[list[list[int]]] = []
        self.producers: Final[list[int]] = []
        self.sizes_bytes: Final[list[int]] = []
        self.expected_sizes_bytes: Final[list[int]] = []

    def add(
        self,
        task_name: str,
        duration_s: float,
        inputs: Sequence[tuple[int, int]] = (),
        sizes_bytes: Sequence[int] = (),
        cpus: float = 1,
        expected_duration_s: float | None = None,
        expected_sizes_bytes: Sequence[int] | None = None,
    ) -> int:
        """Add a task; return its number.

        Args:
            task_name: the kind of task.
            duration_s: seconds on a core of speed 1, >= 0.
            inputs: pairs of a task added before and the number of one of its outputs.
            sizes_bytes: bytes of each object it makes, >= 0.
            cpus: cores it holds, >= 0.
            expected_duration_s: what a user would guess; `duration_s` when it is left out.
            expected_sizes_bytes: the same for the objects.

        Raises:
            GraphError: a negative or infinite number, or an input that does not exist; nothing was added.
        """
        task = len(self.durations_s)
        expected_s = duration_s if expected_duration_s is None else expected_duration_s
        expected_bytes = list(sizes_bytes if expected_sizes_bytes is None else expected_sizes_bytes)
        self._check_number(task, "duration_s", duration_s)
        self._check_number(task, "expected_duration_s", expected_s)
        self._check_number(task, "cpus", cpus)
        for size in (*sizes_bytes, *expected_bytes):
            self._check_number(task, "size_bytes", size)
        if len(expected_bytes) != len(sizes_bytes):
            raise GraphError(
                f"{self.name}: task {task}: {len(expected_bytes)} expected sizes, {len(sizes_bytes)} outputs"
            )
        needed = self._numbers_of(task, inputs)
        self.task_names.append(task_name)
        self.durations_s.append(float(duration_s))
        self.expected_durations_s.append(float(expected_s))
        self.cpus.append(cpus)
        self.inputs.append(needed)
        first = len(self.producers)
        self.outputs.append(list(range(first, first + len(sizes_bytes))))
        for size in sizes_bytes:
            self.producers.append(task)
            self.sizes_bytes.append(size)
        self.expected_sizes_bytes.extend(expected_bytes)
        return task

    def build(self) -> TaskGraph:
        """Return the graph. The builder is used up.

        Raises:
            GraphError: it has no task.
        """
        if not self.durations_s:
            raise GraphError(f"{self.name}: the graph has no task")
        return TaskGraph(self)

    def _numbers_of(self, task: int, inputs: Sequence[tuple[int, int]]) -> list[int]:
        needed: dict[int, bool] = {}
        for producer, output in inputs:
            if not 0 <= producer < task:
                raise GraphError(
                    f"{self.name}: task {task}: the input [{producer}, {output}] names no task before it"
                )
            if not 0 <= output < len(self.outputs[producer]):
                raise GraphError(
                    f"{self.name}: task {task}: the input [{producer}, {output}] names an output that task "
                    f"{producer} does not have; it has {len(self.outputs[producer])}"
                )
            needed[self.outputs[producer][output]] = True
        return list(needed)

    def _check_number(self, task: int, what: str, value: float) -> None:
        if not 0 <= value <= NUMBER_MAX:
            raise GraphError(f"{self.name}: task {task}: {what} is {value}, it must be {AMOUNT}")


def bottom_levels_s(graph: TaskGraph, durations_s: Sequence[float]) -> list[float]:
    """Return the b-level of every task: the longest path of run times from its start to the end."""
    levels = [0.0] * len(graph)
    for task in range(len(graph) - 1, -1, -1):
        longest = 0.0
        for item in graph.outputs[task]:
            for consumer in graph.consumers[item]:
                longest = max(longest, levels[consumer])
        levels[task] = durations_s[task] + longest
    return levels


def top_levels_s(graph: TaskGraph, durations_s: Sequence[float]) -> list[float]:
    """Return the t-level of every task: the longest path of run times from the beginning to its start."""
    levels = [0.0] * len(graph)
    for task in range(len(graph)):
        for item in graph.inputs[task]:
            producer = graph.producers[item]
            levels[task] = max(levels[task], levels[producer] + durations_s[producer])
    return levels

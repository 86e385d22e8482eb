"""Generators of task graphs: the usual families, drawn from a seed.

Every generator takes :class:`Costs`, from which run times and sizes are drawn, and a seed; the same
arguments give the same graph on every platform. :data:`FAMILIES` names them for scenario files, and
:func:`generate` calls one by name with checked parameters.

Sources: the families of Estee (Beránek, Böhm, Cima, "Analysis of workflow schedulers in simulated distributed
environments", 2022): fork-join, map-reduce, grid, cross-validation; and of the HEFT paper (Topcuoglu, Hariri,
Wu, "Performance-effective and low-complexity task scheduling for heterogeneous computing", 2002, section 5):
random layered graphs, Gaussian elimination, fast Fourier transform, with the ratio of communication to
computation (CCR) and the heterogeneity of processors as parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final

from sims.workload.graph import GraphBuilder, TaskGraph
from swarm.core.errors import ConfigError, GraphError
from swarm.core.rng import Rng

TASKS_MAX: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What tasks and objects of a generated graph cost.

    Attributes:
        duration_s: mean run time of a task, > 0. Families multiply it for tasks that do more.
        duration_spread: run times are uniform in mean * (1 ± spread), 0 <= spread <= 1.
        size_bytes: mean size of an object, >= 0.
        size_spread: the same for sizes.
        cpus: cores that a task holds, >= 0.

    The expected values of tasks and objects are the means before the spread: what their author knows.
    """

    duration_s: float = 10.0
    duration_spread: float = 0.0
    size_bytes: float = 1_000_000.0
    size_spread: float = 0.0
    cpus: float = 1

    def __post_init__(self) -> None:
        if not (isfinite(self.duration_s) and self.duration_s > 0):
            raise ConfigError(f"duration_s is {self.duration_s}, it must be > 0")
        for name in ("size_bytes", "cpus"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise ConfigError(f"{name} is {value}, it must be at least 0")
        for name in ("duration_spread", "size_spread"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} is {value}, it must be in 0 to 1")

    @staticmethod
    def of_ccr(ccr: float, bandwidth_bytes_s: float, duration_s: float = 10.0, spread: float = 1.0) -> Costs:
        """Return costs in which moving an object takes on average `ccr` times a mean run time.

        Args:
            ccr: ratio of communication to computation, >= 0 (HEFT paper, section 5.1).
            bandwidth_bytes_s: rate between two workers, > 0.
            duration_s: mean run time.
            spread: of run times and sizes; 1 as in the paper: uniform between 0 and twice the mean.

        Raises:
            ConfigError: a value out of its range.
        """
        if not bandwidth_bytes_s > 0:
            raise ConfigError(f"bandwidth_bytes_s is {bandwidth_bytes_s}, it must be > 0")
        return Costs(
            duration_s=duration_s,
            duration_spread=spread,
            size_bytes=ccr * duration_s * bandwidth_bytes_s,
            size_spread=spread,
        )


class _Draft:
    """A graph in the making, with costs drawn from a seed."""

    def __init__(self, family: str, title: str, costs: Costs, seed: int) -> None:
        self._builder = GraphBuilder(title, family, f"sims.workload.generators, seed {seed}")
        self._costs = costs
        self._rng = Rng(f"{family}:{title}:{seed}")

    def add(
        self,
        name: str,
        inputs: list[tuple[int, int]],
        output_count: int = 1,
        work: float = 1.0,
        bulk: float = 1.0,
    ) -> int:
        """Add a task of `work` mean run times that makes objects of `bulk` mean sizes; return its number."""
        costs = self._costs
        if len(self._builder.durations_s) >= TASKS_MAX:
            raise GraphError(f"{self._builder.name}: more than {TASKS_MAX} tasks")
        expected_s = costs.duration_s * work
        expected_bytes = round(costs.size_bytes * bulk)
        duration_s = self._spread(expected_s, costs.duration_spread)
        sizes = [round(self._spread(costs.size_bytes * bulk, costs.size_spread)) for _ in range(output_count)]
        return self._builder.add(
            name, duration_s, inputs, sizes, costs.cpus, expected_s, [expected_bytes] * output_count
        )

    def build(self) -> TaskGraph:
        """Return the graph."""
        return self._builder.build()

    def below(self, bound: int) -> int:
        """Return a random number in [0, bound)."""
        return self._rng.below(bound)

    def uniform(self, low: float, high: float) -> float:
        """Return a random number in [low, high)."""
        return self._rng.uniform(low, high)

    def _spread(self, mean: float, spread: float) -> float:
        return self._rng.uniform(mean * (1 - spread), mean * (1 + spread)) if spread > 0 else mean


def fork_join(width: int = 16, stages: int = 4, costs: Costs | None = None, seed: int = 0) -> TaskGraph:
    """Return stages of `width` parallel tasks, a joining task after each: stages * (width + 1) + 1 tasks."""
    _check_counts(width=width, stages=stages)
    draft = _Draft("fork-join", f"fork-join-{width}x{stages}", costs or Costs(), seed)
    last = draft.add("begin", [])
    for _ in range(stages):
        parts = [draft.add("work", [(last, 0)]) for _ in range(width)]
        last = draft.add("join", [(part, 0) for part in parts])
    return draft.build()


def map_reduce(
    maps: int = 32, reduces: int = 8, rounds: int = 1, costs: Costs | None = None, seed: int = 0
) -> TaskGraph:
    """Return rounds of a map-reduce: a split, maps, and reduces that take a piece of every map (shuffle).

    A map's objects are `reduces` times smaller than the mean: the shuffle moves one mean object a map.
    The reduces of a round are joined before the next.
    """
    _check_counts(maps=maps, reduces=reduces, rounds=rounds)
    draft = _Draft("map-reduce", f"map-reduce-{maps}x{reduces}x{rounds}", costs or Costs(), seed)
    last = draft.add("split", [], output_count=maps)
    for number in range(rounds):
        mappers = [
            draft.add("map", [(last, index)], output_count=reduces, bulk=1 / reduces) for index in range(maps)
        ]
        reducers = [draft.add("reduce", [(mapper, index) for mapper in mappers]) for index in range(reduces)]
        is_last = number == rounds - 1
        last = draft.add(
            "join" if is_last else "split",
            [(reducer, 0) for reducer in reducers],
            output_count=1 if is_last else maps,
        )
    return draft.build()


def out_tree(depth: int = 6, arity: int = 2, costs: Costs | None = None, seed: int = 0) -> TaskGraph:
    """Return a tree that grows from one root: every task feeds `arity` tasks, through `depth` levels."""
    _check_counts(depth=depth, arity=arity)
    draft = _Draft("out-tree", f"out-tree-{depth}x{arity}", costs or Costs(), seed)
    level = [draft.add("level0", [])]
    for number in range(1, depth):
        level = [draft.add(f"level{number}", [(task, 0)]) for task in level for _ in range(arity)]
    return draft.build()


def in_tree(depth: int = 6, arity: int = 2, costs: Costs | None = None, seed: int = 0) -> TaskGraph:
    """Return a tree that ends in one root: every task takes the objects of `arity` tasks (a reduction)."""
    _check_counts(depth=depth, arity=arity)
    draft = _Draft("in-tree", f"in-tree-{depth}x{arity}", costs or Costs(), seed)
    if arity ** (depth - 1) > TASKS_MAX:
        raise GraphError(f"in-tree: {arity} ** {depth - 1} leaves are more than {TASKS_MAX} tasks")
    level = [draft.add(f"level{depth - 1}", []) for _ in range(arity ** (depth - 1))]
    for number in range(depth - 2, -1, -1):
        level = [
            draft.add(f"level{number}", [(task, 0) for task in level[first : first + arity]])
            for first in range(0, len(level), arity)
        ]
    return draft.build()


def grid(rows: int = 16, columns: int = 16, costs: Costs | None = None, seed: int = 0) -> TaskGraph:
    """Return a wavefront: every task needs its upper and its left neighbour (dynamic programming)."""
    _check_counts(rows=rows, columns=columns)
    draft = _Draft("grid", f"grid-{rows}x{columns}", costs or Costs(), seed)
    above: list[int] = []
    for _ in range(rows):
        current: list[int] = []
        for column in range(columns):
            inputs = [(above[column], 0)] if above else []
            if current:
                inputs.append((current[-1], 0))
            current.append(draft.add("cell", inputs))
        above = current
    return draft.build()


def crossing(width: int = 8, layers: int = 5, costs: Costs | None = None, seed: int = 0) -> TaskGraph:
    """Return layers of `width` tasks, each needing every task of the layer before (all to all)."""
    _check_counts(width=width, layers=layers)
    draft = _Draft("crossing", f"crossing-{width}x{layers}", costs or Costs(), seed)
    level: list[int] = []
    for number in range(layers):
        level = [draft.add(f"layer{number}", [(task, 0) for task in level]) for _ in range(width)]
    return draft.build()


def cross_validation(folds: int = 8, models: int = 1, costs: Costs | None = None, seed: int = 0) -> TaskGraph:
    """Return a cross-validation of models: for each fold, train on the other chunks and test on its own.

    One task makes `folds` chunks; for each fold one merges the others (their sum in size), for each model one
    trains on them (four mean run times) and one tests with the chunk left out; a last one compares.
    """
    _check_counts(folds=folds, models=models)
    draft = _Draft("crossv", f"crossv-{folds}x{models}", costs or Costs(), seed)
    chunks = draft.add("chunks", [], output_count=folds)
    merges: list[int] = []
    for fold in range(folds):
        others = [(chunks, other) for other in range(folds) if other != fold]
        merges.append(draft.add("merge", others, bulk=max(len(others), 1)))
    scores: list[int] = []
    for _ in range(models):
        for fold in range(folds):
            trained = draft.add("train", [(merges[fold], 0)], work=4.0)
            scores.append(draft.add("test", [(trained, 0), (chunks, fold)], bulk=0.01))
    draft.add("compare", [(score, 0) for score in scores])
    return draft.build()


def stencil(
    points: int = 16, steps: int = 16, radius: int = 1, costs: Costs | None = None, seed: int = 0
) -> TaskGraph:
    """Return an iterated stencil in one dimension: a point needs those within `radius` of the step before."""
    _check_counts(points=points, steps=steps, radius=radius)
    draft = _Draft("stencil", f"stencil-{points}x{steps}r{radius}", costs or Costs(), seed)
    before: list[int] = []
    for _ in range(steps):
        current: list[int] = []
        for point in range(points):
            near = before[max(point - radius, 0) : point + radius + 1]
            current.append(draft.add("point", [(task, 0) for task in near]))
        before = current
    return draft.build()


def random_layered(
    tasks: int = 100, shape: float = 1.0, degree: int = 4, costs: Costs | None = None, seed: int = 0
) -> TaskGraph:
    """Return a random graph in layers (HEFT paper, section 5.1).

    The number of layers is sqrt(tasks) / shape, the width of each is drawn with mean shape * sqrt(tasks):
    a small shape gives long graphs, a large one wide graphs. Every task but those of the first layer
    needs a task of the layer before it, and every task feeds at most `degree` later ones.

    Args:
        tasks: how many, >= 1.
        shape: parallelism, > 0; the paper uses 0.5, 1 and 2.
        degree: the most tasks that a task feeds of its own will, >= 1; the paper uses 1 to 5.
        costs: run times and sizes.
        seed: of all draws.

    Raises:
        ConfigError: a parameter out of its range.
    """
    _check_counts(tasks=tasks, degree=degree)
    if not (isfinite(shape) and shape > 0):
        raise ConfigError(f"shape is {shape}, it must be > 0")
    draft = _Draft("random", f"random-{tasks}-{shape}-{degree}", costs or Costs(), seed)
    widths = _layer_widths(draft, tasks, max(1, round(tasks**0.5 / shape)))
    layer_of: list[int] = []
    for number, width in enumerate(widths):
        layer_of.extend([number] * width)
    firsts = [0]
    for width in widths:
        firsts.append(firsts[-1] + width)
    needs: list[dict[int, bool]] = [{} for _ in range(tasks)]
    for task in range(firsts[1], tasks):
        first = firsts[layer_of[task] - 1]
        needs[task][first + draft.below(widths[layer_of[task] - 1])] = True
    for task in range(firsts[-2]):
        later = firsts[layer_of[task] + 1]
        for _ in range(draft.below(degree + 1)):
            needs[later + draft.below(tasks - later)][task] = True
    for task in range(tasks):
        draft.add(f"layer{layer_of[task]}", [(producer, 0) for producer in sorted(needs[task])])
    return draft.build()


def gaussian_elimination(size: int = 10, costs: Costs | None = None, seed: int = 0) -> TaskGraph:
    """Return Gaussian elimination of `size` columns: (size² + size - 2) / 2 tasks (HEFT paper, 5.3).

    Step k has one pivot task and size - k - 1 updates that need it; an update needs the same column of the
    step before, and the next pivot needs the first update.
    """
    _check_counts(size=size)
    if size < 2:
        raise ConfigError(f"size is {size}, it must be at least 2")
    draft = _Draft("gauss", f"gauss-{size}", costs or Costs(), seed)
    columns: list[int] = []
    for step in range(size - 1):
        pivot = draft.add("pivot", [(columns[0], 0)] if columns else [])
        updates: list[int] = []
        for column in range(size - step - 1):
            inputs = [(pivot, 0)]
            if columns:
                inputs.append((columns[column + 1], 0))
            updates.append(draft.add("update", inputs))
        columns = updates
    return draft.build()


def fft(points: int = 16, costs: Costs | None = None, seed: int = 0) -> TaskGraph:
    """Return a fast Fourier transform of `points` points, a power of 2 (HEFT paper, section 5.3).

    2 * points - 1 recursive calls in a tree, then points * log2(points) butterflies, each needing two of the
    stage before.
    """
    _check_counts(points=points)
    if points < 2 or points & (points - 1):
        raise ConfigError(f"points is {points}, it must be a power of 2, at least 2")
    draft = _Draft("fft", f"fft-{points}", costs or Costs(), seed)
    level = [draft.add("call", [])]
    while len(level) < points:
        level = [draft.add("call", [(task, 0)]) for task in level for _ in range(2)]
    distance = 1
    while distance < points:
        pairs = [(level[place], level[place ^ distance]) for place in range(points)]
        level = [draft.add("butterfly", [(left, 0), (right, 0)]) for left, right in pairs]
        distance *= 2
    return draft.build()


def worker_factors(graph: TaskGraph, worker_count: int, heterogeneity: float, seed: int) -> list[list[float]]:
    """Return factors on run times by task and worker, each uniform in 1 ± heterogeneity / 2.

    Processors are unrelated then: one is faster at this, another at that task (HEFT paper, section 5.1).

    Args:
        graph: whose tasks.
        worker_count: >= 1.
        heterogeneity: the paper's beta, 0 <= beta <= 2; 0 for equal workers.
        seed: of the draws.

    Raises:
        ConfigError: a parameter out of its range.
    """
    _check_counts(worker_count=worker_count)
    if not 0 <= heterogeneity <= 2:
        raise ConfigError(f"heterogeneity is {heterogeneity}, it must be in 0 to 2")
    rng = Rng(f"factors:{graph.name}:{seed}")
    low, high = 1 - heterogeneity / 2, 1 + heterogeneity / 2
    return [[rng.uniform(low, high) for _ in range(worker_count)] for _ in range(len(graph))]


FAMILIES: Final[Mapping[str, Callable[..., TaskGraph]]] = {
    "fork-join": fork_join,
    "map-reduce": map_reduce,
    "out-tree": out_tree,
    "in-tree": in_tree,
    "grid": grid,
    "crossing": crossing,
    "crossv": cross_validation,
    "stencil": stencil,
    "random": random_layered,
    "gauss": gaussian_elimination,
    "fft": fft,
}
"""Generators by the names that scenario files use."""


def generate(family: str, parameters: Mapping[str, object], seed: int = 0) -> TaskGraph:
    """Return a graph of a family by name.

    Args:
        family: a key of :data:`FAMILIES`.
        parameters: arguments of its generator and of :class:`Costs`, by name, numbers all.
        seed: of all draws.

    Raises:
        ConfigError: unknown family or parameter, or a value that is no number or out of its range.
    """
    generator = FAMILIES.get(family)
    if generator is None:
        raise ConfigError(f"the family of graphs {family!r} is not known; known are {', '.join(FAMILIES)}")
    signature = inspect.signature(generator).parameters
    own: dict[str, object] = {}
    costs: dict[str, float] = {}
    for name, value in parameters.items():
        if name in Costs.__dataclass_fields__:
            costs[name] = _checked_number(family, name, value)
        elif name in signature and name not in ("costs", "seed"):
            is_count = signature[name].annotation == "int"
            if is_count and (not isinstance(value, int) or isinstance(value, bool)):
                raise ConfigError(f"{family}: {name} is {value!r}, it must be a whole number")
            own[name] = _checked_number(family, name, value)
        else:
            known = [key for key in signature if key not in ("costs", "seed")]
            raise ConfigError(
                f"{family}: the parameter {name!r} is not known; known are "
                f"{', '.join([*known, *Costs.__dataclass_fields__])}"
            )
    return generator(**own, costs=Costs(**costs), seed=seed)


def _checked_number(family: str, name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{family}: {name} is {value!r}, it must be a number")
    return value


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise ConfigError(f"{name} is {value}, it must be at least 1")


def _layer_widths(draft: _Draft, tasks: int, layers: int) -> list[int]:
    """Return the tasks of each layer: drawn around their mean, at least one each, `tasks` in all."""
    mean = tasks / layers
    widths = [max(1, round(draft.uniform(0.5, 1.5) * mean)) for _ in range(layers)]
    surplus = sum(widths) - tasks
    place = 0
    while surplus != 0:
        if surplus < 0:
            widths[place] += 1
            surplus += 1
        elif widths[place] > 1:
            widths[place] -= 1
            surplus -= 1
        place = (place + 1) % layers
    return widths

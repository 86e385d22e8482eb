"""The loop: take an input that found something new, change it, see which edges it takes, keep what is new.

A find is an exception that the decoder does not speak of, an input that takes `SLOW_FACTOR` times as long as
the median one, or memory that grows while the same inputs are given over and over.
"""

from __future__ import annotations

import gc
import os
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from random import Random
from statistics import median
from traceback import extract_tb

from tests.fuzz.coverage import EdgeTracer
from tests.fuzz.mutation import Mutator
from tests.fuzz.target import Act, Target

SLOW_FACTOR = 100
SLOW_LEAST_S = 0.02
"""Below this a flood costs by its number, and the machine's own pauses are as long."""
SLOW_TRACED_S = 0.2
GROWTH_MAX_BYTES = 256 * 1024
"""Of memory of Python after `ROUNDS` times all inputs; tables that are bounded are full before."""
RSS_GROWTH_MAX_BYTES = 16 * 1024 * 1024
ROUNDS = 4
ROUND_INPUTS_MAX = 100
FINDS_MAX = 10
"""Different finds of one target, after which the next one is fuzzed."""


@dataclass
class Find:
    """Something that must not be: what it is, where, and the input."""

    target: str
    what: str
    data: bytes

    def keep(self, folder: Path) -> Path:
        """Write the input into a folder and return the file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.target}-{blake2b(self.data, digest_size=6).hexdigest()}"
        path.write_bytes(self.data)
        return path


@dataclass
class Outcome:
    """What fuzzing one target came to.

    Attributes:
        executions: inputs given.
        edges: different edges between lines seen.
        corpus: inputs that took a new edge, seeds first.
        finds: what must not be.
        grown_bytes: memory of Python gained while the corpus was repeated.
    """

    target: str
    executions: int = 0
    edges: int = 0
    corpus: list[bytes] = field(default_factory=list)
    finds: list[Find] = field(default_factory=list)
    grown_bytes: int = 0


def rss_bytes() -> int:
    """Return the memory this process holds, 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
    except (OSError, ValueError):
        return 0


class Fuzzer:
    """Fuzzes one target.

    Args:
        target: what.
        seeds: inputs to begin with.
        random: source of every choice.
    """

    def __init__(self, target: Target, seeds: list[bytes], random: Random) -> None:
        self._target = target
        self._random = random
        self._mutator = Mutator(random, target.shape)
        self._tracer = EdgeTracer()
        self._edges: set[int] = set()
        self._act: Act | None = None
        self._causes: set[str] = set()
        self._suspects: list[bytes] = []
        self.outcome = Outcome(target.name)
        for seed in seeds:
            self._try(seed, is_seed=True)

    def run(self, seconds: float) -> Outcome:
        """Fuzz for about so long, then look for slow inputs and growth."""
        corpus = self.outcome.corpus
        end = time.monotonic() + seconds
        while time.monotonic() < end and len(self.outcome.finds) < FINDS_MAX:
            # What was found lately is near to what was not found yet.
            late = max(0, len(corpus) - 40)
            at = self._random.randrange(late, len(corpus)) if self._random.random() < 0.5 else None
            data = corpus[at] if at is not None else self._random.choice(corpus)
            self._try(self._mutator.mutate(data, corpus), is_seed=False)
        self._look_for_slow()
        self._look_for_growth()
        self.outcome.edges = len(self._edges)
        return self.outcome

    def _try(self, data: bytes, *, is_seed: bool) -> None:
        act = self._prepared()
        target = self._target
        began = time.perf_counter()
        edges, raised = self._tracer.edges_of(lambda: target.take(act, data))
        took_s = time.perf_counter() - began
        self.outcome.executions += 1
        if raised is not None:
            self._act = None
            cause = cause_of(raised)
            if cause not in self._causes:
                self._causes.add(cause)
                self.outcome.finds.append(Find(target.name, cause, self._shrunk(data, cause)))
            return
        if took_s > SLOW_TRACED_S:
            self._suspects.append(data)
        if is_seed or not edges <= self._edges:
            self._edges |= edges
            self.outcome.corpus.append(data)

    def _prepared(self) -> Act:
        if self._act is None or self._target.is_fresh:
            self._act = self._target.prepare()
        return self._act

    def _shrunk(self, data: bytes, cause: str) -> bytes:
        """Return a shorter input that raises the same, found by leaving out pieces."""
        size = max(1, len(data) // 2)
        tries = 0
        while size and tries < 400:
            at = 0
            while at < len(data) and tries < 400:
                tries += 1
                shorter = data[:at] + data[at + size :]
                if raised_by(self._target, shorter) == cause:
                    data = shorter
                else:
                    at += size
            size //= 2
        return data

    def _timed(self, data: bytes) -> float:
        best = float("inf")
        for _ in range(3):
            act = self._prepared()
            began = time.perf_counter()
            self._target.take(act, data)
            best = min(best, time.perf_counter() - began)
        return best

    def _look_for_slow(self) -> None:
        some = self._random.sample(self.outcome.corpus, min(60, len(self.outcome.corpus)))
        times = {data: self._timed(data) for data in some}
        limit_s = max(SLOW_LEAST_S, SLOW_FACTOR * median(times.values())) if times else SLOW_LEAST_S
        for data in [*times, *self._suspects[:20]]:
            took_s = self._timed(data)
            if took_s > limit_s:
                self.outcome.finds.append(
                    Find(self._target.name, f"slow: {took_s:.3f} s, limit {limit_s:.3f} s", data)
                )
                return

    def _look_for_growth(self) -> None:
        inputs = self.outcome.corpus[-ROUND_INPUTS_MAX:]

        def give_all() -> None:
            for data in inputs:
                self._target.take(self._prepared(), data)

        give_all()
        rss = rss_bytes()
        grown = growth_of(give_all)
        self.outcome.grown_bytes = grown
        rss_grown = rss_bytes() - rss
        if grown > GROWTH_MAX_BYTES or rss_grown > RSS_GROWTH_MAX_BYTES:
            what = f"memory: {grown} bytes of Python and {rss_grown} of the process in {ROUNDS} rounds"
            self.outcome.finds.append(Find(self._target.name, what, b"".join(inputs[-1:])))


def growth_of(give_all: Callable[[], None]) -> int:
    """Return by how many bytes Python's memory is larger after `ROUNDS` calls than after the first."""
    tracemalloc.start()
    try:
        give_all()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(ROUNDS):
            give_all()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        return max(0, after - before)
    finally:
        tracemalloc.stop()


def cause_of(raised: BaseException) -> str:
    """Return what tells one find from another: the exception and the line it came from."""
    frames = extract_tb(raised.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}swarm{os.sep}" in frame.filename] or frames
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "nowhere"
    return f"{type(raised).__name__} at {place}"


def raised_by(target: Target, data: bytes) -> str:
    """Return the cause of what an input raises that it must not, "" for nothing."""
    try:
        target.take(target.prepare(), data)
    except Exception as error:  # noqa: BLE001 - whatever comes out is the find
        return cause_of(error)
    return ""

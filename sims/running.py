"""Running a scenario: :func:`run` returns an :class:`sims.outcome.Outcome`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from time import perf_counter  # noqa: TID251 - for the speed of runs, which decides nothing
from typing import Protocol

from sims.observer import Observer
from sims.outcome import Outcome
from sims.recording.rows import Event
from sims.scenario.mesh import HostNames
from sims.scenario.model import Scenario
from sims.scenario.parts import MESH
from sims.scenario.source import ScenarioError
from sims.staging.ideal import IdealStage
from sims.staging.stage import Stage
from swarm.core.errors import SwarmError
from swarm.version import is_compiled


class InvariantBroken(SwarmError):
    """A node or the simulator found itself in an impossible state: a bug. The message names the time."""


class RowSink(Protocol):
    """Takes the rows of a trace while a run goes on, in order of time."""

    def take(self, rows: Sequence[Event]) -> None:
        """Take some rows, not before those taken earlier."""


def run(
    scenario: Scenario,
    *,
    keep_rows: bool = False,
    sink: RowSink | None = None,
    observers: Sequence[Observer] = (),
    on_progress: Callable[[float], None] | None = None,
) -> Outcome:
    """Run a scenario.

    Args:
        scenario: what happens. Equal ones give equal digests, on every machine, compiled or not.
        keep_rows: whether the rows of the trace are kept in the outcome; long runs have millions.
        sink: takes the rows while the run goes on, in place of that.
        observers: further observers of the mesh, for checks.
        on_progress: called now and then with the virtual time.

    Raises:
        ScenarioError: `scenario` is no Scenario.
        InvariantBroken: the run found a bug; names the virtual time.
        PolicyError: a policy of the ideal model cannot be loaded or decided something impossible.
    """
    if not isinstance(scenario, Scenario):
        raise ScenarioError(f"{scenario!r} is no Scenario; write run(read_scenario({scenario!r})) for a file")
    if scenario.policy.placement != MESH:
        if observers:
            raise ScenarioError("observers watch a mesh, and this scenario runs in the ideal model")
        return _run_ideal(scenario, keep_rows, sink)
    begin = perf_counter()
    stage = Stage(scenario, keep_rows or sink is not None, observers)
    kept: list[Event] = []

    def on_sample(now: float) -> None:
        if sink is not None:
            sink.take(stage.take_rows())
        elif keep_rows:
            kept.extend(stage.take_rows())
        if on_progress is not None:
            on_progress(now)

    try:
        with _without_collector():
            stage.run(on_sample)
    except AssertionError as error:
        now = stage.cluster.engine.now
        raise InvariantBroken(
            f"{scenario.name}, seed {scenario.seed}: broken at {now:.6f} s: {str(error) or 'an assertion'}"
        ) from error
    return _outcome_of(scenario, stage, kept if keep_rows else (), perf_counter() - begin)


def _outcome_of(scenario: Scenario, stage: Stage, rows: Sequence[Event], wall_s: float) -> Outcome:
    cluster = stage.cluster
    return Outcome(
        scenario=scenario,
        digest=cluster.trace.digest(),
        events=cluster.trace.events,
        wall_s=wall_s,
        seconds=cluster.engine.now,
        compiled=is_compiled(),
        samples=stage.samples,
        deaths=stage.membership.deaths(),
        doubts=stage.membership.doubts,
        reigns=stage.leaders.reigns(),
        tasks=stage.tasks.runs(),
        jobs=stage.jobs.rows(),
        hosts=[host.spec.name for host in cluster.hosts],
        bucket_s=stage.traffic.bucket_s,
        traffic=stage.traffic.columns,
        counts={
            "engine_events": cluster.engine.executed,
            "inputs": cluster.inputs,
            "packets_lost": cluster.network.packets_lost,
            "packets_corrupted": cluster.corrupted,
            "packets_overflowed": cluster.overflowed,
            "recalled": stage.tasks.recalled,
        },
        rows=rows,
    )


def _run_ideal(scenario: Scenario, keep_rows: bool, sink: RowSink | None) -> Outcome:
    begin = perf_counter()
    stage = IdealStage(scenario)
    stage.run()
    rows = stage.rows()
    if sink is not None:
        sink.take(rows)
    digest = blake2b(digest_size=16)
    for row in rows:
        digest.update(repr(tuple(row)).encode())
    return Outcome(
        scenario=scenario,
        digest=digest.hexdigest(),
        events=len(rows),
        wall_s=perf_counter() - begin,
        seconds=stage.seconds,
        compiled=is_compiled(),
        tasks=stage.tasks,
        jobs=stage.jobs,
        hosts=HostNames(scenario.groups()).names,
        counts=stage.counts,
        rows=rows if keep_rows else (),
    )


@contextmanager
def _without_collector() -> Iterator[None]:
    """Switch the collector of cycles off: a run makes few, and looking for them takes half of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

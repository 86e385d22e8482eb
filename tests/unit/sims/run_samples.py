"""A run with a bit of everything, made once for the tests that read it."""

from __future__ import annotations

from functools import cache

from sims import Arrivals, Fault, HostGroup, Outcome, Scenario, Workload, run


def busy_scenario(seed: int = 3, seconds: float = 30.0) -> Scenario:
    """Return a scenario with deaths, a restart, a goodbye, a change of leader, two jobs and lost work."""
    return Scenario(
        name="busy",
        seed=seed,
        seconds=seconds,
        hosts=(HostGroup(name="n", count=4, cores=2), HostGroup(name="guest", fitness=10)),
        faults=(
            Fault(at_s=8, kind="power-off", targets=("leader",), for_s=14),
            Fault(at_s=10, kind="pause", targets=("guest",), for_s=3),
            Fault(at_s=26, kind="leave", targets=("guest",)),
        ),
        workloads=(
            Workload(
                name="work",
                generator="map-reduce",
                parameters={"maps": 8, "reduces": 2, "duration_s": 1.0},
                arrivals=Arrivals(kind="periodic", count=2, start_s=4.0, interval_s=10.0),
                at="guest",
            ),
        ),
    )


@cache
def busy() -> Outcome:
    """Return its outcome, with the rows of the trace."""
    return run(busy_scenario(), keep_rows=True)

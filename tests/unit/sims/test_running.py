"""Running scenarios: what comes of them, that seeds decide everything, and what a broken run says."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sims import Arrivals, Fault, HostGroup, PolicySettings, Scenario, Workload, run
from sims.host import Host
from sims.observer import Observer
from sims.outcome import Outcome, converged_s, percentile
from sims.recording.rows import Event, Sample
from sims.running import InvariantBroken
from sims.scenario import ScenarioError
from sims.shrinking import broken_assertion, shrink_scenario
from sims.staging.stage import build_cluster
from swarm.core.errors import ConfigError
from tests.unit.sims.run_samples import busy, busy_scenario


def test_a_run_is_told_from_every_side() -> None:
    outcome = busy()
    summary = outcome.summary
    assert outcome.seconds == 30.0
    assert summary["nodes"] == 5
    assert summary["jobs"] == summary["jobs_done"] == 2
    assert summary["deaths"] == summary["deaths_seen_by_all"] == 1
    assert summary["leader_changes"] == 1
    assert summary["false_deaths"] == 0
    assert summary["runs"] == len(outcome.tasks) >= 20
    assert summary["runs_lost"] >= 1
    assert 0 < summary["converged_s"] < 3
    assert 0 < summary["detection_first_mean_s"] <= summary["detection_all_mean_s"] < 8
    assert summary["packets_sent"] == sum(outcome.traffic_of("packets_sent"))
    assert summary["bytes_per_node_s"] > 100
    assert [death.how for death in outcome.deaths] == ["power", "left"]
    assert [job.name for job in outcome.jobs] == ["work", "work"]
    assert outcome.jobs[1].submitted_s == 14.0
    assert outcome.samples[0].time_s == 0.0
    assert outcome.samples[-1].time_s == 30.0
    assert len(outcome.samples) == 61


def test_rows_of_the_trace_tell_the_same() -> None:
    outcome = busy()
    names = [row.event for row in outcome.rows]
    assert names.count("fault") == 3
    assert names.count("job_submitted") == names.count("job_ended") == 2
    assert names.count("task_done") == len([run for run in outcome.tasks if run.how == "done"])
    assert names.count("leading") == len(outcome.reigns)
    assert names.count("down") == 2
    times = [row.time_s for row in outcome.rows]
    assert times == sorted(times)
    assert names.count("packet") == sum(outcome.traffic["packets_received"])


def test_equal_scenarios_give_equal_runs_and_other_seeds_others() -> None:
    again = run(busy_scenario(), keep_rows=True)
    assert again.digest == busy().digest
    assert again.rows == busy().rows
    assert again.deaths == busy().deaths
    assert run(busy_scenario(seed=4)).digest != busy().digest


def test_watching_changes_nothing() -> None:
    assert run(busy_scenario()).digest == busy().digest

    class Nosy(Observer):
        """Counts starts."""

        def __init__(self) -> None:
            self.boots = 0

        def on_boot(self, host: Host, now: float) -> None:
            self.boots += 1

    nosy = Nosy()
    seen: list[float] = []
    outcome = run(busy_scenario(), observers=[nosy], on_progress=seen.append)
    assert outcome.digest == busy().digest
    assert nosy.boots == 6
    assert seen[-1] == 30.0


def test_a_sink_takes_the_rows_while_the_run_goes_on() -> None:
    class Sink:
        def __init__(self) -> None:
            self.rows: list[Event] = []
            self.calls = 0

        def take(self, rows: Sequence[Event]) -> None:
            self.rows.extend(rows)
            self.calls += 1

    sink = Sink()
    outcome = run(busy_scenario(), sink=sink)
    assert outcome.rows == ()
    assert sink.rows == busy().rows
    assert sink.calls > 10


def test_a_run_may_end_with_its_jobs() -> None:
    work = Workload(generator="fork-join", parameters={"width": 2, "stages": 1}, arrivals=Arrivals(start_s=3))
    outcome = run(Scenario(nodes=2, seconds=1000, end="jobs", workloads=(work,)))
    assert outcome.jobs[0].state == "done"
    assert outcome.seconds == pytest.approx(outcome.jobs[0].ended_s)
    assert outcome.seconds < 60


def test_jobs_after_the_end_do_not_come() -> None:
    arrivals = Arrivals(kind="periodic", count=3, start_s=2, interval_s=10)
    outcome = run(Scenario(nodes=2, seconds=15, workloads=(Workload(generator="grid", arrivals=arrivals),)))
    assert [job.submitted_s for job in outcome.jobs] == [2.0, 12.0, -1.0]


def test_clients_attach_where_the_workload_says() -> None:
    rows = {}
    for at in ("n2", "all", "leader", "random"):
        work = Workload(
            generator="fork-join",
            parameters={"width": 1, "stages": 1, "duration_s": 0.1},
            arrivals=Arrivals(kind="periodic", count=4, start_s=5, interval_s=0.5),
            at=at,
        )
        outcome = run(Scenario(nodes=4, seconds=8, workloads=(work,)), keep_rows=True)
        rows[at] = [row.node for row in outcome.rows if row.event == "job_submitted"]
        leader = outcome.reigns[0].host
        if at == "leader":
            assert rows[at] == [leader] * 4
    assert rows["n2"] == [2, 2, 2, 2]
    assert rows["all"] == [0, 1, 2, 3]
    assert len(rows["random"]) == 4


def test_a_client_that_finds_nobody_waits() -> None:
    work = Workload(generator="fork-join", parameters={"width": 1, "stages": 1, "duration_s": 0.1}, at="n1")
    hosts = (HostGroup(name="n", count=2, start_s=4),)
    outcome = run(Scenario(hosts=hosts, seconds=15, workloads=(work,)))
    assert outcome.jobs[0].state == "done"
    assert outcome.jobs[0].submitted_s == 0.0
    assert outcome.jobs[0].accepted_s > 4.0


def test_policies_place_in_the_ideal_model() -> None:
    work = Workload(
        generator="map-reduce",
        parameters={"maps": 6, "reduces": 2, "duration_s": 2, "size_bytes": 1e6},
        arrivals=Arrivals(kind="periodic", count=2, start_s=1, interval_s=5),
    )
    hosts = (HostGroup(name="a", cores=2, speed=2.0), HostGroup(name="b", count=2, up_bytes_s=1e6))
    plain = Scenario(hosts=hosts, workloads=(work,), policy=PolicySettings(placement="heft"))
    outcome = run(plain, keep_rows=True)
    assert outcome.digest == run(plain).digest
    assert [job.state for job in outcome.jobs] == ["done", "done"]
    assert outcome.jobs[0].makespan_s() == pytest.approx(outcome.jobs[1].makespan_s())
    assert outcome.summary["makespan_s"] == pytest.approx(outcome.jobs[0].makespan_s(), abs=1e-6)
    assert {run.host for run in outcome.tasks} <= {0, 1, 2}
    assert len(outcome.rows) == len(outcome.tasks) == outcome.summary["tasks"]
    assert "leader_changes" not in outcome.summary
    assert outcome.hosts == ["a", "b0", "b1"]


def test_the_ideal_model_has_no_nodes_to_watch_and_wants_cores() -> None:
    work = (Workload(generator="grid", parameters={"rows": 2, "columns": 2}),)
    heft = PolicySettings(placement="heft")
    with pytest.raises(ScenarioError, match="observers watch a mesh"):
        run(Scenario(workloads=work, policy=heft), observers=[Observer()])
    with pytest.raises(ConfigError, match="host idle: cpus of a worker is 0"):
        run(Scenario(hosts=(HostGroup(name="idle", cores=0),), workloads=work, policy=heft))


class Breaking(Observer):
    """Objects to the second end of a node."""

    def __init__(self) -> None:
        self.ends = 0

    def on_down(self, host: Host, how: str, now: float) -> None:
        self.ends += 1
        if self.ends == 2:
            raise AssertionError("I7: two ends are one too many")


def test_a_broken_invariant_names_the_scenario_the_seed_and_the_time() -> None:
    with pytest.raises(InvariantBroken, match=r"busy, seed 3: broken at 2\d\.\d+ s: I7: two ends"):
        run(busy_scenario(), observers=[Breaking()])


def test_what_breaks_is_made_smaller() -> None:
    def problem_of(scenario: Scenario) -> str:
        try:
            run(scenario, observers=[Breaking()])
        except InvariantBroken as error:
            return str(error.__cause__)
        return ""

    big = Scenario(
        nodes=5,
        seconds=40,
        faults=(
            Fault(at_s=3, kind="pause", targets=("n1",), for_s=1),
            Fault(at_s=4, kind="crash", targets=("n0",), for_s=1),
            Fault(at_s=5, kind="deaf", targets=("n1",)),
            Fault(at_s=8, kind="crash", targets=("n0",)),
            Fault(at_s=20, kind="heal"),
        ),
        workloads=(Workload(generator="grid", parameters={"rows": 2, "columns": 2}),),
    )
    found = shrink_scenario(big, problem_of)
    assert found.scenario is not None
    assert [fault.kind for fault in found.scenario.faults] == ["crash", "crash"]
    assert found.scenario.workloads == ()
    assert (found.scenario.seconds, found.scenario.nodes) == (10.0, 1)
    assert (found.before, found.after) == (6, 2)
    assert "two ends" in found.what
    few = shrink_scenario(big, problem_of, runs_max=1)
    assert few.after >= 5


def test_what_does_not_break_is_not_made_smaller() -> None:
    scenario = Scenario(nodes=1, seconds=1)
    assert broken_assertion(scenario) == ""
    assert shrink_scenario(scenario).what == ""


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 2), (0.51, 3), (0.99, 4), (1.0, 4)])
def test_percentiles_are_values_that_were_there(share: float, expected: int) -> None:
    assert percentile([1, 2, 3, 4], share) == expected


def test_convergence_is_the_first_time_at_which_all_is_right() -> None:
    def sample(time_s: float, share: float, following: float) -> Sample:
        return Sample(time_s, 3, share, 0, 1, following)

    assert converged_s([sample(0, 1.0, 0.5), sample(1, 0.9, 1.0), sample(2, 1.0, 1.0)]) == 2
    assert converged_s([sample(0, 1.0, 0.5)]) is None


def test_outcomes_show_themselves_in_notebooks() -> None:
    html = busy()._repr_html_()
    assert "<caption>busy, seed 3</caption>" in html
    assert busy().digest in html
    assert repr(busy()).startswith("Outcome('busy', seed=3, seconds=30, digest=")


def test_traffic_of_one_host_is_part_of_that_of_all() -> None:
    outcome = busy()
    total = outcome.traffic_of("packets_sent")
    parts = [outcome.traffic_of("packets_sent", host) for host in range(5)]
    assert [sum(column) for column in zip(*parts, strict=True)] == total
    assert outcome.traffic_of("nothing") == []
    empty = Outcome(scenario=Scenario(), digest="", events=0, wall_s=0.0, seconds=0.0, compiled=False)
    assert empty.traffic_of("packets_sent") == []
    assert empty.summary["simulated_per_wall"] is None


def test_names_of_the_package_are_loaded_when_they_are_used() -> None:
    import sims

    assert sorted(sims._NAMES) == sorted(sims.__all__)
    for name in sims.__all__:
        assert getattr(sims, name) is not None
        assert name in dir(sims)
    assert callable(sims.run)
    assert callable(sims.sweep)
    with pytest.raises(AttributeError, match="no attribute 'fun'"):
        _ = sims.fun


def test_speeds_and_networks_reach_the_cluster() -> None:
    cluster = build_cluster(Scenario(hosts=(HostGroup(name="a", speed=3.0, cores=2.5, drift_ppm=5),)))
    assert cluster.hosts[0].spec.speed == 3.0
    assert cluster.hosts[0].spec.cores == 2.5
    assert cluster.hosts[0].spec.drift_ppm == 5

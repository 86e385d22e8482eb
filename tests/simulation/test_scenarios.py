"""The scenarios that come with the simulator run, and show what they say they show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sims import Scenario, read_scenario, run
from sims.outcome import LEFT, Outcome
from sims.scenario import stored_names, with_settings

SHORT_S = {
    "campus": 75.0,
    "churn": 120.0,
    "classroom": 125.0,
    "lan-200": 46.0,
    "leader-killed": 150.0,
    "sleeping-phones": 150.0,
    "starved-members": 45.0,
}
"""How long the longer ones are run here; the others are run whole, but for the number of nodes."""


def shortened(name: str) -> Scenario:
    """Return a stored scenario without what happens after a few virtual seconds."""
    scenario = read_scenario(name)
    if name == "lan-200":
        scenario = with_settings(scenario, {"mesh.nodes": 60})
    seconds = SHORT_S.get(name)
    if seconds is None:
        return scenario
    faults = tuple(
        [
            replace(fault, until_s=min(fault.until_s, seconds))
            for fault in scenario.faults
            if fault.at_s <= seconds
        ]
    )
    return replace(scenario, faults=faults, seconds=seconds)


@pytest.fixture(scope="module", params=stored_names())
def outcome(request: pytest.FixtureRequest) -> Outcome:
    """Return what came of each of them."""
    return run(shortened(request.param))


def test_there_are_a_dozen_and_each_says_what_it_is() -> None:
    assert len(stored_names()) >= 12
    for name in stored_names():
        scenario = read_scenario(name)
        assert scenario.name == name
        assert len(scenario.description) > 20


def test_a_stored_scenario_runs_and_its_mesh_forms(outcome: Outcome) -> None:
    summary = outcome.summary
    assert summary["converged_s"] is not None
    assert summary["converged_s"] < 10
    assert summary["false_deaths"] == 0
    assert summary["events"] > 1000


def test_no_job_of_a_stored_scenario_fails(outcome: Outcome) -> None:
    assert outcome.summary["jobs_failed"] == 0
    for job in outcome.jobs:
        assert job.submitted_s < 0 or job.state, f"{job.name} was heard of"


def test_deaths_of_a_stored_scenario_are_seen(outcome: Outcome) -> None:
    for death in outcome.deaths:
        was_seen = death.all_s >= 0 or death.restarted_s >= 0 or not death.observers
        assert was_seen or death.how == LEFT or outcome.seconds - death.time_s < 40, death


def test_two_halves_both_lead_while_they_are_apart_and_agree_afterwards() -> None:
    outcome = run(read_scenario("split-and-heal"))
    assert outcome.summary["several_leaders_s"] > 30
    assert [sample.leaders for sample in outcome.samples if 50 < sample.time_s < 85] == [2] * 69
    assert outcome.samples[-1].leaders == 1
    assert outcome.summary["share_end"] == 1.0
    assert outcome.summary["jobs_done"] == 1


def test_every_minute_another_leader() -> None:
    outcome = run(shortened("leader-killed"))
    assert outcome.summary["leader_changes"] == 2
    assert [death.time_s for death in outcome.deaths] == [60.0, 120.0]


def test_a_room_without_power_goes_on_where_it_was() -> None:
    outcome = run(read_scenario("power-failure"))
    assert outcome.summary["jobs_done"] == 1
    assert outcome.jobs[0].accepted_s < 30 < outcome.jobs[0].ended_s
    assert len(outcome.deaths) == 6


def test_starved_members_are_told_apart_by_settings_of_gossip() -> None:
    scenario = with_settings(shortened("starved-members"), {"mesh.nodes": 20, "gossip.preset": "swim"})
    plain = run(scenario)
    assert plain.summary["excused_doubts"] > 0
    assert run(with_settings(scenario, {"gossip.preset": "swarm"})).digest != plain.digest


def test_ends_of_the_office_day_are_as_its_trace_says() -> None:
    outcome = run(read_scenario("churn-trace"))
    assert [(round(death.time_s, 3), outcome.hosts[death.host], death.how) for death in outcome.deaths][
        :2
    ] == [
        (95.0, "desk3", "kill"),
        (150.3, "desk0", "left"),
    ]
    assert outcome.samples[-1].running == 2

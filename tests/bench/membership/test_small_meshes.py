"""The benchmark itself, on three nodes: every figure of a whole session is there, for swarm and for Serf.

Asserts that things came about, not how soon: the goals stand in docs/MEMBERSHIP.md.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.bench.membership.__main__ import Session, run_session
from tests.bench.membership.experiments import Extent, Figures
from tests.bench.membership.goals import GOALS
from tests.netns.lab import needs_lab

SHORT = Extent(settle_s=3.0, idle_s=3.0, cut_s=1.0, pause_s=4.0, after_s=2.0, loss_s=5.0, kills=1)

pytestmark = needs_lab("nft")
needs_serf = needs_lab("serf")


def figures_of(session: Session) -> Figures:
    found: Figures = {}

    def keep(_: str, figures: Figures) -> None:
        found.update(figures)

    tell: Callable[[str, Figures], None] = keep
    run_session(session, SHORT, tell)
    return found


@pytest.mark.parametrize("system", ["swarm", pytest.param("serf", marks=needs_serf)])
def test_a_whole_session_measures_what_goals_ask_for(system: str) -> None:
    found = figures_of(Session("whole", system, 3, 0))
    asked = {goal.metric for goal in GOALS if goal.session == "whole" and system in goal.systems}
    if system == "serf":
        asked = {metric for metric in asked if "leader" not in metric}
    assert asked <= set(found)
    missing = [metric for metric in sorted(asked) if found[metric] is None]
    assert not missing, f"never came about: {missing}"
    assert found["stop_deaths_of_others"] == found["sleep_deaths_of_others"] == 0


@pytest.mark.parametrize(
    ("session", "metric"),
    [
        (Session("merge", "swarm", 4, 0), "merged_s"),
        (Session("alone", "swarm", 3, 0), "met_s"),
        (Session("deaf", "swarm-peer", 3, 0), "deaf_agree_from_ready_s"),
        (Session("heal", "swarm", 2, 0), "healed_s"),
        (Session("loss", "swarm", 3, 0), "loss_deaths"),
        (Session("outsider", "swarm", 1, 0), "refuse_noise_us"),
    ],
    ids=lambda value: value.session if isinstance(value, Session) else "",
)
def test_other_sessions_measure_what_they_are_for(session: Session, metric: str) -> None:
    assert figures_of(session)[metric] is not None

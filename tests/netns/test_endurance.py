"""Troubles as long as they are in real life: two halves apart for minutes, a phone asleep for ten."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from typing import Any

import pytest

from tests.mesh_processes import Node, agreed_leader, events, new_invitation, wait_for
from tests.netns.lab import Lab, needs_lab, start_together
from tests.netns.test_identity import row_of

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(900),
    needs_lab(),
]

APART_S = 120.0
BAD_S = 600.0
SETTLED_S = 20.0
ASLEEP_S = 600.0
HEALED_WITHIN_S = 5.0
LOST_WITHIN_S = 20.0
QUIET_S = 15.0


def deaths(nodes: Sequence[Node]) -> list[int]:
    """Return how often each of the nodes has declared somebody dead."""
    return [len(events(node, "member_dead")) for node in nodes]


def test_two_halves_that_were_apart_for_two_minutes_are_one_mesh_at_once(
    lab: Lab, record_property: Any
) -> None:
    nodes = lab.nodes(("a", "b", "c", "d", "e", "f"))
    start_together(nodes, new_invitation())
    halves = (nodes[:3], nodes[3:])
    lab.separate(lab.hosts[3:])
    wait_for(lambda: all(agreed_leader(half) for half in halves), LOST_WITHIN_S, "each half has its leader")
    time.sleep(APART_S)  # as long as the test is about
    assert all(agreed_leader(half) for half in halves), "both halves went on"
    assert deaths(nodes) == [3] * 6, "nobody but the other half was lost, and each of it once"
    lab.reunite()
    began = time.monotonic()
    wait_for(lambda: agreed_leader(nodes), HEALED_WITHIN_S, "one mesh of six")
    record_property("healed_s", round(time.monotonic() - began, 3))
    time.sleep(QUIET_S)  # nothing may happen meanwhile
    assert agreed_leader(nodes), "and it stays one"
    assert deaths(nodes) == [3] * 6


@pytest.mark.parametrize("link", ["one-way", "bridged"])
def test_a_link_that_stays_bad_changes_no_leader_in_ten_minutes(
    lab: Lab, link: str, record_property: Any
) -> None:
    nodes = lab.nodes(("a", "b", "c", "d", "e"))
    timing = start_together(nodes, new_invitation())
    hosts = lab.hosts
    leader = next(number for number, node in enumerate(nodes) if node.name == timing.leader)
    follower = (leader + 1) % len(nodes)
    if link == "one-way":
        hosts[follower].ignore([hosts[leader]])
    else:
        left, right = [leader, follower], [(leader + step) % len(nodes) for step in (2, 3)]
        for here, there in ((left, right), (right, left)):
            for number in here:
                hosts[number].ignore([hosts[other] for other in there])
    time.sleep(SETTLED_S)  # whoever still leads may be on its way out: nothing tells
    before = wait_for(lambda: agreed_leader(nodes), LOST_WITHIN_S, "they agree in spite of it")
    changes = [len(events(node, "leader_changed")) for node in nodes]
    time.sleep(BAD_S)  # nothing may happen meanwhile
    assert agreed_leader(nodes) == before
    assert [len(events(node, "leader_changed")) for node in nodes] == changes
    record_property("leader_stays_s", BAD_S)


def test_a_phone_that_slept_ten_minutes_comes_back_without_flapping(lab: Lab, record_property: Any) -> None:
    """Its processes stand still and its network is off, as in Android's doze."""
    nodes = lab.nodes(("a", "b", "c", "phone"))
    start_together(nodes, new_invitation())
    awake, phone = nodes[:3], nodes[3]
    lab.unplug(lab.hosts[3])
    os.kill(phone.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: all(row_of(node, phone)["state"] == "dead" for node in awake), LOST_WITHIN_S)
        wait_for(lambda: agreed_leader(awake), LOST_WITHIN_S, "the others go on")
        time.sleep(ASLEEP_S)  # as long as the test is about
    finally:
        lab.plug(lab.hosts[3])
        os.kill(phone.pid, signal.SIGCONT)
    began = time.monotonic()
    wait_for(lambda: agreed_leader(nodes), HEALED_WITHIN_S, "it is back")
    record_property("back_s", round(time.monotonic() - began, 3))
    assert row_of(nodes[0], phone)["name"] == "phone", "as the same member"
    time.sleep(QUIET_S)  # nothing may happen meanwhile
    assert agreed_leader(nodes)
    assert deaths(nodes) == [1, 1, 1, 0], "the sleeper declares nobody dead, and is not lost again"

"""What a node tells about itself: changes are merged, names of services are told as far as there is room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarm.core.rng import Rng
from swarm.node import Node
from swarm.node_config import NodeConfig
from swarm.node_facts import (
    SERVICES,
    SERVICES_COUNT_MAX,
    SERVICES_LEFT_OUT,
    SERVICES_SIZE_MAX,
    fitted,
    merged,
)
from swarm.wire.codec import pack

names = st.lists(st.text("abcdefgäß:-", min_size=1, max_size=62), max_size=60, unique=True)


@given(names, st.integers(0, 500))
def test_facts_with_services_stay_within_their_bound(services: list[str], padding: int) -> None:
    facts: dict[str, object] = {"cores": 1.0, "pad": "x" * min(padding, 400), SERVICES: list(services)}
    told = fitted(facts, 512)
    assert len(pack(told)) <= max(512, len(pack(merged(facts, {SERVICES: None}))))
    listed = told.get(SERVICES, [])
    assert isinstance(listed, list)
    assert len(pack(listed)) <= SERVICES_SIZE_MAX + 3
    assert len(listed) <= SERVICES_COUNT_MAX
    left_out = told.get(SERVICES_LEFT_OUT, 0)
    assert isinstance(left_out, int)
    assert len(listed) + left_out == len(services), "none is forgotten silently"
    assert set(listed) <= set(services)
    assert (SERVICES_LEFT_OUT in told) == (left_out > 0)


@given(names)
def test_the_order_of_services_does_not_matter(services: list[str]) -> None:
    there: dict[str, object] = {SERVICES: list(services)}
    back: dict[str, object] = {SERVICES: services[::-1]}
    assert fitted(there, 512) == fitted(back, 512)


def test_short_names_are_told_first() -> None:
    told = fitted({SERVICES: ["x" * 60, "y" * 60, "z" * 60, "web", "db"]}, 512)
    assert told == {SERVICES: ["db", "web", "x" * 60, "y" * 60], SERVICES_LEFT_OUT: 1}


def test_a_change_to_none_takes_a_fact_away() -> None:
    assert merged({"battery": 80, "load": 1.0}, {"battery": None, "load": 2.0}) == {"load": 2.0}
    assert merged({}, {"battery": None}) == {}


def node() -> Node:
    config = NodeConfig(
        node_id=b"n" * 16,
        name="alpha",
        addresses=[("10.0.0.1", 7117)],
        incarnation=1,
        cores=2.0,
        memory_bytes=0,
        facts={"tags": ["t" * 30 + str(index) for index in range(9)]},
    )
    made = Node(config, [], Rng("t"))
    made.start([], 0.0)
    made.take_effects()
    return made


def test_a_node_tells_as_many_services_as_it_has_room_for() -> None:
    made = node()
    made.update_facts({SERVICES: [f"service-number-{index}" for index in range(40)]}, 1.0)
    made.take_effects()
    facts = made.gossip.members()[0].facts
    listed, left_out = facts[SERVICES], facts[SERVICES_LEFT_OUT]
    assert isinstance(listed, list)
    assert isinstance(left_out, int)
    assert listed
    assert len(listed) + left_out == 40
    assert facts["cores"] == 2.0
    made.update_facts({SERVICES: None}, 2.0)
    assert SERVICES not in made.gossip.members()[0].facts
    made.check_invariants()


def test_services_are_still_told_by_a_node_that_drains() -> None:
    made = node()
    made.update_facts({SERVICES: ["web"]}, 1.0)
    made.drain(2.0)
    facts = made.gossip.members()[0].facts
    assert facts[SERVICES] == ["web"]
    assert facts["draining"] is True

"""Facts that change while a node runs: told when they matter, at a bounded rate, in the end as they are."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.effects import Packet
from swarm.core.errors import ConfigError
from swarm.core.rng import Rng
from swarm.gossip.config import GossipConfig
from swarm.gossip.core import Gossip
from swarm.gossip.fact_changes import FactChanges, change_interval_s, settled
from swarm.wire.codec import pack
from tests.property.gossip_mesh import started_mesh

BANDS = (("load", 0.5, 0.0), ("free", 0.0, 0.25))
CONFIG = GossipConfig(fact_bands=BANDS)

facts_now = st.fixed_dictionaries(
    {},
    optional={
        "load": st.floats(0, 8, allow_nan=False),
        "free": st.integers(0, 1000),
        "battery": st.booleans(),
        "network": st.sampled_from(["wifi", "wire"]),
        "services": st.lists(st.sampled_from(["web", "db", "ana:x"]), max_size=3),
    },
)
steps = st.lists(st.tuples(st.floats(0, 30, allow_nan=False), facts_now), max_size=40)


def make(config: GossipConfig = CONFIG) -> Gossip:
    core = Gossip(config, b"o" * 16, "own", [("10.0.0.1", 7117)], {"load": 1.0}, 5, Rng("t"), [])
    core.start([], 0.0)
    core.take_effects()
    return core


def run_until(core: Gossip, end: float, now: float = 0.0) -> None:
    while core.next_deadline() <= end:
        now = max(now, core.next_deadline())
        core.handle_deadline(now)


def own_facts(core: Gossip) -> dict[str, object]:
    member = core.member(b"o" * 16)
    assert member is not None
    return member.facts


def incarnation(core: Gossip) -> int:
    return core.statistics()["incarnation"]


@given(steps)
@settings(deadline=None)
def test_changes_are_bounded_and_the_last_one_is_told_in_the_end(
    changes: list[tuple[float, dict[str, object]]],
) -> None:
    core = make()
    now = 0.0
    wanted = own_facts(core)
    for pause_s, facts in changes:
        now += pause_s
        run_until(core, now)
        core.update_facts(facts, now)
        core.check_invariants()
        wanted = facts
    raised = incarnation(core) - 5
    assert raised <= CONFIG.fact_changes_burst + now / CONFIG.fact_interval_s + 1e-6
    run_until(core, now + (1 + CONFIG.fact_numbers_intervals) * CONFIG.fact_interval_s)
    told = own_facts(core)
    assert settled(told, wanted, BANDS) == told, "what is told is what is, but for numbers within their bands"
    assert set(told) == set(wanted)
    core.check_invariants()


@given(facts_now, facts_now)
def test_a_settled_fact_is_the_old_or_the_new_one(told: dict[str, object], wanted: dict[str, object]) -> None:
    result = settled(told, wanted, BANDS)
    assert set(result) == set(wanted)
    for name, value in result.items():
        assert value in (told.get(name), wanted[name])
    assert settled(result, wanted, BANDS) == result


def test_numbers_within_their_band_are_not_told_again() -> None:
    core = make()
    for index in range(100):
        core.update_facts({"load": 1.0 + (index % 5) / 10}, float(index) * 60)
    assert incarnation(core) == 5
    core.update_facts({"load": 1.6}, 6000.0)
    assert incarnation(core) == 6
    assert own_facts(core)["load"] == 1.6


def test_slow_drift_is_told_when_it_has_left_the_band() -> None:
    core = make()
    for index in range(200):
        core.update_facts({"load": 1.0 + index / 100}, float(index) * 60)
    told = own_facts(core)["load"]
    assert isinstance(told, float)
    assert abs(told - 2.99) <= 0.5
    assert incarnation(core) - 5 <= 4


numbers_now = st.fixed_dictionaries(
    {"charging": st.just(True)},
    optional={"load": st.floats(0, 99, allow_nan=False), "free": st.integers(0, 9)},
)


@given(st.lists(st.tuples(st.floats(0, 9, allow_nan=False), numbers_now), min_size=30, max_size=80))
@settings(deadline=None)
def test_numbers_alone_have_patience_and_leave_room_for_what_is_urgent(
    storm: list[tuple[float, dict[str, object]]],
) -> None:
    core = make()
    core.update_facts({"load": 1.0, "charging": True}, 0.0)
    before, now, began = incarnation(core), 0.0, CONFIG.fact_numbers_intervals * CONFIG.fact_interval_s
    for pause_s, facts in storm:
        now += pause_s
        run_until(core, now)
        core.update_facts(facts, now)
        assert incarnation(core) - before <= now / began
    core.update_facts({"load": 50.0, "charging": False}, now)
    assert own_facts(core) == {"load": 50.0, "charging": False}, "an unplugged charger waits for no number"
    core.check_invariants()


def test_a_change_that_is_told_brings_the_numbers_up_to_date() -> None:
    core = make()
    core.update_facts({"load": 1.4}, 1.0)
    assert own_facts(core) == {"load": 1.0}
    core.update_facts({"load": 1.4, "network": "wifi"}, 2.0)
    assert own_facts(core) == {"load": 1.4, "network": "wifi"}


def test_numbers_that_move_for_ever_cost_a_mesh_a_third_of_what_may_change() -> None:
    mesh = started_mesh(20)
    mesh.run(60.0)
    told = sum([incarnation(host.gossip) for host in mesh.hosts])
    for second in range(120):
        for host in mesh.hosts:
            host.gossip.update_facts({"load": float(second % 2) * 50, "temperature": second % 90}, mesh.now)
            mesh.perform(host)
        mesh.run(1.0)
    told = sum([incarnation(host.gossip) for host in mesh.hosts]) - told
    assert 20 < told <= 20 * (1 + 120 / 30)
    mesh.check()


def test_a_sensor_that_goes_is_missing_and_not_zero() -> None:
    core = make()
    core.update_facts({}, 1.0)
    assert own_facts(core) == {}


def test_what_changes_back_before_its_turn_is_never_told() -> None:
    core = make()
    for index in range(CONFIG.fact_changes_burst):
        core.update_facts({"battery": index % 2 == 0}, 1.0)
    before = incarnation(core)
    last = own_facts(core)
    core.update_facts({"battery": "another"}, 1.1)
    assert core.statistics()["fact_changes_postponed"] == 1
    core.update_facts(last, 1.2)
    run_until(core, 60.0, 1.2)
    assert incarnation(core) == before


def test_facts_that_cannot_be_told_change_nothing() -> None:
    core = make()
    with pytest.raises(ConfigError, match="facts of"):
        core.update_facts({"long": "x" * 600}, 1.0)
    with pytest.raises(ConfigError, match="neither a scalar"):
        core.update_facts({"deep": {"er": 1}}, 1.0)
    assert incarnation(core) == 5
    core.check_invariants()


def test_what_must_not_wait_is_told_at_once_and_nothing_older_after_it() -> None:
    core = make()
    for index in range(10):
        core.update_facts({"services": [str(index)]}, 1.0)
    core.set_facts({"draining": True}, 1.0)
    core.check_invariants()
    run_until(core, 100.0, 1.0)
    assert own_facts(core) == {"draining": True}


def test_who_leaves_tells_nothing_more() -> None:
    core = make()
    for index in range(10):
        core.update_facts({"services": [str(index)]}, 1.0)
    core.leave(1.0)
    core.check_invariants()
    core.update_facts({"services": []}, 1.1)
    core.check_invariants()
    assert incarnation(core) == 9


@pytest.mark.parametrize("count", [1, 10, 100, 1000])
def test_all_nodes_together_change_about_once_a_second(count: int) -> None:
    assert count / change_interval_s(CONFIG, count) <= max(1.0, count / CONFIG.fact_interval_s)
    assert change_interval_s(CONFIG, count) >= CONFIG.fact_interval_s


@given(st.integers(1, 2000), st.integers(1, 2000), st.floats(0, 1000, allow_nan=False))
def test_whoever_tries_when_told_to_gets_its_turn(before: int, count: int, idle_s: float) -> None:
    changes = FactChanges(CONFIG)
    now = idle_s
    for index in range(CONFIG.fact_changes_burst):
        changes.want({"n": index})
        assert changes.take({}, before, now) is not None
    changes.want({"n": 99})
    assert changes.take({}, before, now) is None
    again = changes.next_at(count, now)
    assert now < again < math.inf
    assert changes.take({}, count, again) == {"n": 99}
    assert changes.next_at(count, again) == math.inf


def test_every_node_learns_of_changed_facts_soon() -> None:
    mesh = started_mesh(20)
    mesh.run(5.0)
    first = mesh.hosts[0]
    first.gossip.update_facts({"services": ["web"]}, mesh.now)
    mesh.perform(first)
    mesh.run(1.5)
    for host in mesh.hosts:
        member = host.gossip.member(first.node_id)
        assert member is not None
        assert member.facts == {"services": ["web"]}
    mesh.check()


def test_a_mesh_whose_nodes_all_change_all_the_time_stays_within_its_bound() -> None:
    mesh = started_mesh(20)
    mesh.run(60.0)
    before = sum([host.sent_bytes for host in mesh.hosts])
    for second in range(120):
        for host in mesh.hosts:
            host.gossip.update_facts({"network": str(second), "pad": "x" * 200}, mesh.now)
            mesh.perform(host)
        mesh.run(1.0)
    sent = sum([host.sent_bytes for host in mesh.hosts]) - before
    assert sent / 120 / 20 < 4000, "bytes per second and node"
    mesh.check()


def test_the_rumour_of_a_change_fits_into_a_packet() -> None:
    core = make(GossipConfig())
    core.receive_packet(b"1" * 16, 1, [], ("10.0.0.2", 7117), 0.0)
    core.update_facts({"services": ["s" * 30 for _ in range(14)]}, 1.0)
    sizes = [len(pack(effect.body)) for effect in core.take_effects() if isinstance(effect, Packet)]
    assert max(sizes, default=0) <= CONFIG.packet_size_max_bytes

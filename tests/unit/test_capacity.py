"""Capacity of a node: readings become facts, facts become rows; what is unknown is nowhere a number."""

from __future__ import annotations

import pytest
import trio

from swarm.core.errors import ConfigError
from swarm.core.rng import Rng
from swarm.daemon.capacity import (
    READ_INTERVAL_MAX_S,
    READ_SHARE_MAX,
    SMOOTHING_S,
    Capacity,
    CapacityKeeper,
    SystemSensors,
)
from swarm.daemon.logs import Log
from swarm.daemon.sensor_commands import CommandSensors
from swarm.daemon.sensors import Readings
from swarm.gossip.config import FACT_BANDS, GossipConfig
from swarm.gossip.members import Member
from swarm.node import Node
from swarm.node_capacity import CHANGING, capacity_row, own_reason
from swarm.node_config import NodeConfig
from swarm.node_facts import SERVICES, fitted
from swarm.node_views import node_row
from swarm.wire.codec import pack

LAPTOP = Readings(
    load=0.31, memory_free=5 * 2**30 + 77, battery=81, charging=False, temperature=50.4, network="wifi"
)


def facts_of(readings: Readings, slots: int = 2, reason: str = "idle") -> dict[str, object]:
    return Capacity(64 * 2**30, 100).facts(readings, slots, reason, 0.0)


# From readings to facts


def test_readings_become_facts() -> None:
    assert facts_of(LAPTOP) == {
        "load": 0.3,
        "memory_free": 5 * 2**30,
        "battery": 81,
        "charging": False,
        "temperature": 50,
        "network": "wifi",
        "slots_free": 2,
        "reason": "idle",
        "fitness": 100,
        "strain": None,
    }


def test_a_missing_sensor_is_missing_in_every_fact_and_row() -> None:
    facts = facts_of(Readings())
    unknown = [name for name in CHANGING if name not in ("slots_free", "reason")]
    assert [facts[name] for name in unknown] == [None] * 6
    row = capacity_row({name: value for name, value in facts.items() if value is not None}, True)
    assert [row[name] for name in unknown] == [None] * 6
    assert (row["slots_free"], row["reason"]) == (2, "idle")


def test_free_memory_is_never_more_than_programs_can_have() -> None:
    assert Capacity(2**30).facts(LAPTOP, 1, "", 0.0)["memory_free"] == 2**30


def test_heat_follows_slowly_and_starts_anew_after_a_gap() -> None:
    capacity = Capacity(2**30)

    def heat(reading: float | None, now: float) -> object:
        return capacity.facts(Readings(temperature=reading), 1, "idle", now)["temperature"]

    assert heat(40.0, 0.0) == 40
    assert heat(70.0, 6.0) == 43, "a tenth of a minute, a tenth of the way"
    assert heat(None, 12.0) is None
    assert heat(70.0, 18.0) == 70
    assert heat(20.0, 18.0 + SMOOTHING_S) == 20


def test_a_node_is_idle_when_it_was_idle_twice() -> None:
    capacity = Capacity(2**30)

    def reason(now: float, given: str) -> object:
        return capacity.facts(Readings(), 1, given, now)["reason"]

    given = ["idle", "", "idle", "", "idle", "idle", "draining", "idle", "idle"]
    told = [reason(float(index), each) for index, each in enumerate(given)]
    assert told == ["idle", "", "", "", "", "idle", "draining", "", "idle"]


def test_there_is_one_reason_and_it_is_true() -> None:
    assert own_reason(is_draining=False, running_count=0, quarantine="") == "idle"
    assert own_reason(is_draining=False, running_count=3, quarantine="") == ""
    assert own_reason(is_draining=True, running_count=3, quarantine="") == "draining"
    assert own_reason(is_draining=True, running_count=0, quarantine="") == "draining"
    assert own_reason(is_draining=False, running_count=1, quarantine="quarantined: why") == "quarantined: why"
    assert own_reason(is_draining=True, running_count=1, quarantine="quarantined: why") == "draining"


# From facts to rows


def row_of(facts: dict[str, object], state: str = "alive") -> dict[str, object]:
    return node_row(Member(b"n" * 16, "pi", [("10.0.0.1", 7117)], 3, state, facts, 0.0), b"")


def test_who_is_gone_has_no_capacity() -> None:
    told = {name: value for name, value in facts_of(LAPTOP).items() if value is not None}
    assert row_of(told)["battery"] == 81
    gone = row_of({**told, "draining": True}, "dead")
    assert [gone[name] for name in CHANGING if name != "reason"] == [None] * 7
    assert gone["reason"] == ""


def test_who_drains_says_so_whatever_else_it_told() -> None:
    assert row_of({"reason": "idle", "draining": True})["reason"] == "draining"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("load", "much"),
        ("load", float("nan")),
        ("load", True),
        ("slots_free", -1),
        ("slots_free", 1.5),
        ("slots_free", False),
        ("memory_free", b"5"),
        ("battery", 101),
        ("battery", True),
        ("charging", 1),
        ("temperature", ["hot"]),
        ("temperature", float("inf")),
        ("network", "carrier pigeon"),
        ("network", 5),
    ],
)
def test_what_others_tell_wrongly_is_unknown(name: str, value: object) -> None:
    assert row_of({name: value})[name] is None


def test_a_reason_that_is_no_short_text_is_none() -> None:
    assert [row_of({"reason": reason})["reason"] for reason in (7, "x" * 65, "a\nb", None)] == [""] * 4
    assert row_of({"reason": "on battery"})["reason"] == "on battery", "later versions may have others"


# Room in a description


def test_sensors_that_matter_least_give_way_to_what_stays() -> None:
    told = {name: value for name, value in facts_of(LAPTOP).items() if name in CHANGING}
    fixed: dict[str, object] = {"cores": 2.0, "tags": ["t" * 30 for _ in range(15)]}
    cut = fitted({**fixed, **told}, 512)
    assert len(pack(cut)) <= 512
    kept = [name for name in CHANGING if name in cut]
    assert kept == list(CHANGING[: len(kept)])
    assert {name: cut[name] for name in fixed} == fixed
    assert fitted({**fixed, "more": "x" * 50, **told}, 512) == {**fixed, "more": "x" * 50}


def test_services_and_sensors_share_the_room() -> None:
    names = [f"service-number-{index}" for index in range(20)]
    told: dict[str, object] = {"cores": 2.0, **facts_of(LAPTOP), SERVICES: names}
    cut = fitted(told, 512)
    assert len(pack(cut)) <= 512
    assert set(CHANGING) <= set(cut)
    assert cut[SERVICES]


# A node


def test_a_storm_of_changing_sensors_stays_within_its_rate() -> None:
    node = Node(
        NodeConfig(
            node_id=b"n" * 16,
            name="pi",
            addresses=[("10.0.0.1", 7117)],
            incarnation=1,
            cores=2.0,
            memory_bytes=0,
            facts=dict(facts_of(LAPTOP)),
        ),
        [],
        Rng("t"),
    )
    node.start([], 0.0)
    node.take_effects()
    seconds, config = 600, GossipConfig()
    for second in range(1, seconds):
        while node.next_deadline() <= second:
            node.handle_deadline(max(node.next_deadline(), second - 1.0))
            node.take_effects()
        readings = Readings(load=float(second % 7 * 9), battery=second % 99 + 1, charging=second % 2 == 0)
        node.update_facts(facts_of(readings, second % 3, "" if second % 2 else "idle"), float(second))
        node.take_effects()
    incarnation = node.gossip.members()[0].incarnation
    assert 30 < incarnation <= 1 + config.fact_changes_burst + seconds / config.fact_interval_s
    assert node.status()["slots_free"] == 2, "its own view is of now"
    assert node.status()["reason"] == "idle"


def test_every_number_of_capacity_has_a_band() -> None:
    banded = [name for name, _, _ in FACT_BANDS]
    told = facts_of(LAPTOP)
    numbers = [name for name in CHANGING if not isinstance(told[name], (bool, str))]
    assert sorted(numbers) == sorted(banded)


# The keeper


class Bench:
    """A keeper on sensors that a test sets."""

    def __init__(self, readings: Readings) -> None:
        self.readings = readings
        self.told: list[dict[str, object]] = []
        self.refusal = ""
        self.is_told = trio.Event()
        capacity = Capacity(64 * 2**30)
        self.keeper = CapacityKeeper(
            sensors=self,
            commands=CommandSensors(()),
            capacity=capacity,
            told=capacity.facts(readings, 1, "idle", 0.0),
            view=lambda: {"slots_free": 1, "reason": "idle"},
            tell=self.tell,
            log=Log(None),
            interval_s=0.01,
        )

    def read(self) -> Readings:
        return self.readings

    def tell(self, changes: dict[str, object]) -> None:
        self.told.append(changes)
        self.is_told.set()
        self.is_told = trio.Event()
        if self.refusal:
            raise ConfigError(self.refusal)

    async def change(self, readings: Readings) -> dict[str, object]:
        self.readings = readings
        with trio.fail_after(20):
            await self.is_told.wait()
        return self.told[-1]

    def run(self, *steps: Readings) -> list[dict[str, object]]:
        async def main() -> None:
            async with trio.open_nursery() as nursery:
                await nursery.start(lambda task_status: self.keeper.run(task_status=task_status))
                for step in steps:
                    await self.change(step)
                nursery.cancel_scope.cancel()

        trio.run(main)
        return self.told


def test_only_what_changed_is_told() -> None:
    bench = Bench(Readings(battery=80, charging=True, network="wifi"))
    told = bench.run(Readings(battery=80, charging=False, network="wifi"), Readings(battery=79))
    assert told == [{"charging": False}, {"battery": 79, "charging": None, "network": None}]
    counts = bench.keeper.statistics()
    assert counts["changes"] == 2


def test_facts_that_cannot_be_told_end_nothing() -> None:
    bench = Bench(Readings(battery=80))
    bench.refusal = "too long"
    assert bench.run(Readings(battery=60), Readings(battery=50)) == [{"battery": 60}, {"battery": 50}]


def test_slow_sensors_are_read_seldom() -> None:
    bench = Bench(Readings())
    bench.keeper._read = lambda: (Readings(), 0.05)  # type: ignore[method-assign]  # a measured time
    assert trio.run(bench.keeper._read_once) == 0.05 / READ_SHARE_MAX
    bench.keeper._read = lambda: (Readings(), 5.0)  # type: ignore[method-assign]  # a measured time
    assert trio.run(bench.keeper._read_once) == READ_INTERVAL_MAX_S


def test_the_sensors_of_this_machine_can_be_read() -> None:
    read = SystemSensors().read()
    assert read.load is None or read.load >= 0
    assert read.battery is None or 1 <= read.battery <= 100

"""How fit a machine says it is: mains after a while, strain at once, and nothing that wavers."""

from __future__ import annotations

import pytest

from swarm.daemon.fitness import (
    BATTERY_FAIR,
    BATTERY_HOT,
    BATTERY_LOW,
    COOL,
    HOT,
    MAINS,
    SETTLED_S,
    STRAINED_SHARE,
    Fitness,
)
from swarm.daemon.sensors import Readings

BASE = 60


def points(fitness: Fitness, now: float, readings: Readings, degrees: float | None = None) -> int:
    told = fitness.facts(readings, degrees, False, now)["fitness"]
    assert isinstance(told, int)
    return told


def strain(
    fitness: Fitness, readings: Readings, degrees: float | None = None, *, battery: bool = False
) -> object:
    return fitness.facts(readings, degrees, battery, 0.0)["strain"]


def test_a_machine_without_a_battery_has_mains() -> None:
    assert points(Fitness(BASE), 0.0, Readings()) == BASE + MAINS


def test_at_the_start_the_charger_counts_at_once() -> None:
    assert points(Fitness(BASE), 0.0, Readings(charging=False, battery=80)) == BASE


def test_a_charger_that_is_pulled_counts_after_a_while() -> None:
    fitness = Fitness(BASE)
    plugged, drained = Readings(charging=True, battery=80), Readings(charging=False, battery=80)
    assert points(fitness, 0.0, plugged) == BASE + MAINS
    assert points(fitness, 5.0, drained) == BASE + MAINS
    assert points(fitness, 5.0 + SETTLED_S - 1, drained) == BASE + MAINS
    assert points(fitness, 5.0 + SETTLED_S, drained) == BASE


def test_a_charger_that_is_pulled_for_a_moment_changes_nothing() -> None:
    fitness = Fitness(BASE)
    plugged, drained = Readings(charging=True, battery=80), Readings(charging=False, battery=80)
    for minute in range(20):
        assert points(fitness, 60.0 * minute, plugged) == BASE + MAINS
        assert points(fitness, 60.0 * minute + 30, drained) == BASE + MAINS


def test_a_battery_that_gets_empty_strains_until_it_is_fair_again() -> None:
    fitness = Fitness(BASE)
    for level, is_low in ((16, False), (BATTERY_LOW, True), (BATTERY_FAIR - 1, True), (BATTERY_FAIR, False)):
        told = strain(fitness, Readings(charging=False, battery=level))
        assert told == ("battery nearly empty" if is_low else None), level
    assert strain(fitness, Readings(charging=False, battery=BATTERY_LOW))
    assert strain(fitness, Readings(charging=True, battery=BATTERY_LOW)) is None


def test_heat_strains_until_it_is_cool_again() -> None:
    fitness = Fitness(BASE)
    for degrees, is_hot in ((HOT - 1, False), (HOT, True), (COOL + 1, True), (COOL, False), (HOT - 1, False)):
        assert strain(fitness, Readings(), degrees) == ("too hot" if is_hot else None), degrees


def test_a_battery_may_be_less_hot_than_a_processor() -> None:
    assert strain(Fitness(BASE), Readings(), BATTERY_HOT) is None
    assert strain(Fitness(BASE), Readings(), BATTERY_HOT, battery=True) == "too hot"


def test_who_is_strained_tells_a_part_of_its_points_and_all_reasons() -> None:
    fitness = Fitness(BASE)
    told = fitness.facts(Readings(charging=False, battery=3), 99.0, False, 0.0)
    assert told == {"fitness": BASE // STRAINED_SHARE, "strain": "battery nearly empty and too hot"}


@pytest.mark.parametrize("charging", [None, True])
def test_unknown_is_no_strain(charging: bool | None) -> None:
    assert strain(Fitness(BASE), Readings(charging=charging)) is None

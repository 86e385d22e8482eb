"""Value objects: equal by type and fields, hashable when their fields are, printed by their fields."""

from __future__ import annotations

import inspect

import pytest

from swarm.core import effects
from swarm.core.effects import DropObject, Effect, Erase, KillExecutor, LeaveFinished, Persist, SpawnExecutor
from swarm.core.records import Record


def test_records_are_compared_by_their_fields() -> None:
    assert SpawnExecutor(1) == SpawnExecutor(1)
    assert SpawnExecutor(1) != SpawnExecutor(2)
    assert hash(SpawnExecutor(1)) == hash(SpawnExecutor(1))
    assert len({Erase("t", b"k"), Erase("t", b"k")}) == 1


def test_records_of_other_types_differ() -> None:
    assert LeaveFinished() == LeaveFinished()
    assert LeaveFinished() != Record()
    assert SpawnExecutor(1) != 1
    assert Record() == Record()


def test_records_print_their_fields() -> None:
    assert repr(KillExecutor(3, "idle")) == "KillExecutor(3, 'idle')"
    assert repr(LeaveFinished()) == "LeaveFinished()"


def test_a_record_with_a_list_is_not_hashable() -> None:
    with pytest.raises(TypeError):
        hash(effects.Message(b"", 1, []))


def test_every_effect_names_all_it_is_made_of() -> None:
    classes = [
        value
        for value in vars(effects).values()
        if isinstance(value, type) and issubclass(value, Record) and value.__module__ == effects.__name__
    ]
    assert len(classes) > 15
    for kind in classes:
        parameters = list(inspect.signature(kind).parameters)
        if not parameters or parameters == ["args", "kwargs"]:
            continue
        made = kind(*parameters)
        assert made.fields() == tuple(parameters), kind.__name__


def test_effects_are_records() -> None:
    assert isinstance(Persist("t", b"k", b"v", True), Effect)
    assert DropObject((b"j", 1, 0)).fields() == ((b"j", 1, 0),)

"""Value objects: equal by type and fields, hashable when their fields are, printed by their fields."""

from __future__ import annotations

from typing import Any

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


NAME = (b"j" * 10, 1, 0)
PLACE = ("10.0.0.1", 7117)
VALUE = effects.InputValue(NAME, b"d", 0, None)
TASK = effects.ExecutorTask(7, b"j", 1, 2, 3, "t", None, b"p", [VALUE], 1, 0)
EXAMPLES: list[tuple[type[Record], tuple[Any, ...]]] = [
    (effects.Packet, (PLACE, 1, [2])),
    (effects.Message, (b"n", 1, [2])),
    (effects.MemberChanged, (b"n", 3, "alive", "dead")),
    (effects.LeaderChanged, ((1, b"n"), b"n")),
    (effects.SendPacket, (PLACE, b"p")),
    (effects.SendHello, (b"p",)),
    (effects.SendMessage, (b"n", [PLACE], b"p")),
    (effects.SendToClient, (1, b"p")),
    (effects.Persist, ("t", b"k", b"v", True)),
    (effects.Erase, ("t", b"k")),
    (effects.FetchObject, (NAME, b"d", 5, [(b"n", [PLACE])], 0)),
    (effects.SpillObject, (NAME, b"x")),
    (effects.DropObject, (NAME,)),
    (effects.InputValue, (NAME, b"d", 0, None)),
    (effects.ExecutorTask, (7, b"j", 1, 2, 3, "t", None, b"p", [VALUE], 1, 0)),
    (effects.SpawnExecutor, (1,)),
    (effects.RunTasks, (1, [TASK])),
    (effects.RecallTasks, (1, [7])),
    (effects.KillExecutor, (1, "idle")),
    (effects.Notify, ("event", {"key": 1})),
    (effects.LeaveFinished, ()),
    (effects.RenewIdentity, ()),
]


@pytest.mark.parametrize(("kind", "values"), EXAMPLES, ids=[kind.__name__ for kind, _ in EXAMPLES])
def test_every_effect_names_all_it_is_made_of(kind: Any, values: tuple[Any, ...]) -> None:
    made = kind(*values)
    assert made.fields() == values
    assert made == kind(*values)


def test_no_effect_is_without_an_example() -> None:
    found = [
        value
        for value in vars(effects).values()
        if isinstance(value, type) and issubclass(value, Record) and value not in (Record, Effect)
    ]
    assert sorted([kind.__name__ for kind in found]) == sorted([kind.__name__ for kind, _ in EXAMPLES])


def test_effects_are_records() -> None:
    assert isinstance(Persist("t", b"k", b"v", True), Effect)
    assert DropObject((b"j", 1, 0)).fields() == ((b"j", 1, 0),)

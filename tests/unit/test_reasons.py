"""The sentences that say why something cannot travel."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

import pytest

from swarm.core.errors import SerializationError
from swarm.exec.serialize import Reference, dump_call, dump_function, dump_value

LOCK = threading.Lock()
TABLE = {"rows": [1, 2, {"lock": LOCK}]}


class Mark(Reference):
    """Stands for a result."""

    __slots__ = ()


def call(*args: object, **kwargs: object) -> Callable[[], object]:
    return lambda: dump_call(args, kwargs, lambda _reference: 0)


class Holder:
    """Holds something that cannot travel, in a slot of a subclass or an attribute."""

    def __init__(self, thing: object) -> None:
        self.name = "fine"
        self.thing = thing

    def method(self) -> object:
        return self.thing


class Slotted:
    __slots__ = ("inside",)

    def __init__(self, inside: object) -> None:
        self.inside = inside


def reason(dump: Callable[[], object]) -> str:
    with pytest.raises(SerializationError) as caught:
        dump()
    return str(caught.value)


def test_reasons_name_the_innermost_variable() -> None:
    lock = LOCK
    nested = {"deep": [0, Holder(lock)]}

    assert reason(lambda: dump_function(lambda: lock)) == (
        "function '<lambda>' cannot travel because of its variable 'lock', a _thread.lock: "
        "cannot pickle '_thread.lock' object; create such things inside the function"
    )
    assert "its variable 'nested' item ['deep'] item [1] attribute 'thing', a _thread.lock" in reason(
        lambda: dump_function(lambda: nested)
    )

    def with_default(x: object = lock) -> None: ...

    assert "its default value, a _thread.lock" in reason(lambda: dump_function(with_default))

    def with_keyword(*, x: object = lock) -> None: ...

    assert "its default value of 'x', a _thread.lock" in reason(lambda: dump_function(with_keyword))


def test_reasons_for_methods_and_partials() -> None:
    assert "its object attribute 'thing', a _thread.lock" in reason(
        lambda: dump_function(Holder(LOCK).method)
    )
    assert "its argument 0, a _thread.lock" in reason(lambda: dump_function(functools.partial(print, LOCK)))
    assert "its argument 'file', a _thread.lock" in reason(
        lambda: dump_function(functools.partial(print, file=LOCK))
    )


def test_reasons_for_arguments() -> None:
    assert reason(call(1, LOCK)) == (
        "argument 1 (a _thread.lock) cannot travel: cannot pickle '_thread.lock' object"
    )
    assert (
        "argument 'key' (a dict) cannot travel because of its item ['rows'] item [2] item ['lock']"
        in reason(call(Mark(), key=TABLE))
    )
    assert "its attribute 'inside', a _thread.lock" in reason(call(Slotted(LOCK)))


def test_reasons_for_results() -> None:
    assert reason(lambda: dump_value((i for i in "ab"), "result of 'f'")) == (
        "result of 'f' (a generator) cannot travel: cannot pickle 'generator' object"
    )
    assert "item [0], a _thread.lock" in reason(lambda: dump_value({LOCK} and [LOCK]))


def test_reasons_for_deep_and_circular_things() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert reason(lambda: dump_value(deep)) == "the value (a list) cannot travel: it is nested too deeply"
    circle: list[object] = [LOCK]
    circle.insert(0, circle)
    assert "a _thread.lock" in reason(lambda: dump_value(circle))
    while deep:  # freeing it at once would recurse as deep
        deep = deep.pop()  # type: ignore[assignment]  # a list in each but the last

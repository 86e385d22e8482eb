"""Functions, arguments and results as bytes."""

from __future__ import annotations

import io
import pickle
import threading
from typing import Any

import pytest

from swarm.client.pickling import (
    Reference,
    dump_call,
    dump_function,
    dump_plain_call,
    dump_value,
    function_name,
    load_exception,
    load_value,
)
from swarm.client.tasks import remote
from swarm.core.errors import SerializationError
from swarm.wire.messages import ENCODING_PICKLE, ENCODING_RAW


class Mark(Reference):
    """Stands for a result."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class Loader(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> object:
        return f"input {pid}"


class OwnType:
    def __init__(self, value: int) -> None:
        self.value = value


def number_of(reference: Reference) -> int:
    assert isinstance(reference, Mark)
    return reference.number


def load(data: bytes) -> Any:
    return Loader(io.BytesIO(data)).load()


def test_plain_arguments_go_the_fast_way() -> None:
    data = dump_plain_call((1, "a", [b"x"]), {"k": 2.0})
    assert data is not None
    assert pickle.loads(data) == ((1, "a", [b"x"]), {"k": 2.0})


def test_references_do_not_go_the_fast_way() -> None:
    assert dump_plain_call(([Mark(0)],), {}) is None


def test_own_types_do_not_go_the_fast_way() -> None:
    assert dump_plain_call((OwnType(1),), {}) is None


def test_references_become_inputs_at_any_depth() -> None:
    data, is_pinned = dump_call((Mark(1), [{"a": Mark(0)}]), {"k": (Mark(1),)}, number_of)
    assert load(data) == (("input 1", [{"a": "input 0"}]), {"k": ("input 1",)})
    assert not is_pinned


def test_own_types_travel_by_value_and_need_an_equal_python() -> None:
    data, is_pinned = dump_call((OwnType(3), Mark(0)), {}, number_of)
    (value, reference), _ = load(data)
    assert (value.value, reference) == (3, "input 0")
    assert is_pinned
    assert b"cloudpickle" in data


def test_lambdas_are_arguments_too() -> None:
    data, is_pinned = dump_call((lambda x: x + 1,), {}, number_of)
    assert load(data)[0][0](1) == 2
    assert is_pinned


def test_an_argument_that_cannot_travel_is_named() -> None:
    with pytest.raises(SerializationError, match=r"argument 1 .*lock"):
        dump_call((1, threading.Lock()), {}, number_of)
    with pytest.raises(SerializationError, match=r"argument 'key' .*lock"):
        dump_call((), {"key": [threading.Lock()]}, number_of)


def test_functions_of_the_library_need_no_equal_python() -> None:
    data, is_pinned = dump_function(sum)
    assert pickle.loads(data) is sum
    assert not is_pinned


def test_own_functions_travel_by_value() -> None:
    def double(x: int) -> int:
        return 2 * x

    data, is_pinned = dump_function(double)
    assert pickle.loads(data)(4) == 8
    assert is_pinned


def test_a_function_that_cannot_travel_names_the_culprit() -> None:
    lock = threading.Lock()

    def locked() -> bool:
        return lock.locked()

    with pytest.raises(SerializationError, match=r"'locked' cannot travel because of .*'lock'"):
        dump_function(locked)


def test_a_captured_future_is_named() -> None:
    mark = Mark(0)
    with pytest.raises(SerializationError, match=r"captures a future; pass it as an argument"):
        dump_function(lambda: mark)


def test_what_is_not_callable() -> None:
    with pytest.raises(SerializationError, match=r"not callable"):
        dump_function(7)  # type: ignore[arg-type]


def test_references_cannot_be_pickled_by_themselves() -> None:
    with pytest.raises(SerializationError, match=r"pickle its result"):
        pickle.dumps(Mark(0))
    with pytest.raises(SerializationError):
        dump_value([Mark(0)])


def test_values() -> None:
    assert dump_value(b"raw") == (b"raw", ENCODING_RAW, False)
    data, encoding, is_pinned = dump_value([1, 2])
    assert (load_value(data, encoding), encoding, is_pinned) == ([1, 2], ENCODING_PICKLE, False)
    assert dump_value(OwnType(1))[2]
    assert load_value(b"raw", ENCODING_RAW) == b"raw"
    with pytest.raises(SerializationError, match=r"lock"):
        dump_value(threading.Lock())


def test_exceptions_are_rebuilt_where_possible() -> None:
    assert isinstance(load_exception(pickle.dumps(KeyError("a"))), KeyError)
    assert load_exception(b"") is None
    assert load_exception(b"nonsense") is None
    assert load_exception(pickle.dumps(3)) is None


def test_names() -> None:
    import functools

    assert function_name(sum) == "sum"
    assert function_name(functools.partial(sum, start=1)) == "sum"
    assert function_name(remote(test_names)) == "test_names"
    assert function_name(OwnType(1)) == "OwnType"

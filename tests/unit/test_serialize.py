"""Functions, arguments, values and exceptions as bytes, on the way there and back."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from swarm.client.tasks import remote
from swarm.core.errors import SerializationError
from swarm.exec.serialize import (
    Reference,
    dump_call,
    dump_function,
    dump_plain_call,
    dump_value,
    function_name,
    load_call,
    load_exception,
    load_function,
    load_value,
    load_value_file,
)
from swarm.wire.messages import ENCODING_PICKLE, ENCODING_RAW


class Mark(Reference):
    """Stands for a result."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class OwnType:
    def __init__(self, value: int) -> None:
        self.value = value


def number_of(reference: Reference) -> int:
    assert isinstance(reference, Mark)
    return reference.number


def load(data: bytes) -> Any:
    return load_call(data, lambda index: f"input {index}")


def test_plain_arguments_go_the_fast_way() -> None:
    data = dump_plain_call((1, "a", [b"x"]), {"k": 2.0})
    assert data is not None
    assert load_call(data, None) == ((1, "a", [b"x"]), {"k": 2.0})


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


def test_each_input_is_loaded_once() -> None:
    asked: list[int] = []

    def load_input(index: int) -> object:
        asked.append(index)
        return index

    data, _ = dump_call((Mark(1), [Mark(0), Mark(1)]), {"key": (Mark(1),)}, number_of)
    assert load_call(data, load_input) == ((1, [0, 1]), {"key": (1,)})
    assert asked == [1, 0]


def test_functions_of_the_library_need_no_equal_python() -> None:
    data, is_pinned = dump_function(sum)
    assert load_function(data) is sum
    assert not is_pinned
    assert len(data) < 50


def test_own_functions_travel_by_value() -> None:
    def double(x: int) -> int:
        return 2 * x

    data, is_pinned = dump_function(double)
    assert load_function(data)(4) == 8
    assert is_pinned
    data, is_pinned = dump_function(functools.partial(pow, 2))
    assert load_function(data)(5) == 32
    assert not is_pinned


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
    with pytest.raises(TypeError, match="a int is not callable"):
        load_function(pickle.dumps(3))
    with pytest.raises(SerializationError, match=r"not callable"):
        dump_function(7)  # type: ignore[arg-type]  # no function


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


def test_values_in_files(tmp_path: Path) -> None:
    for number, value in enumerate((b"bytes", {"a": [1]})):
        data, encoding, _ = dump_value(value)
        path = tmp_path / str(number)
        path.write_bytes(data)
        assert load_value_file(path, encoding) == value


def test_exceptions_are_rebuilt_where_possible() -> None:
    assert isinstance(load_exception(pickle.dumps(KeyError("a"))), KeyError)
    assert load_exception(b"") is None
    assert load_exception(b"nonsense") is None
    assert load_exception(pickle.dumps(3)) is None


def test_names() -> None:
    assert function_name(sum) == "sum"
    assert function_name(functools.partial(sum, start=1)) == "sum"
    assert function_name(remote(test_names)) == "test_names"
    assert function_name(OwnType(1)) == "OwnType"


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from beside import double, Point
LOCK = __import__("threading").Lock()
TABLE = {{"a": LOCK}}
from swarm.exec.serialize import dump_function, dump_call
from swarm.core.errors import SerializationError

class Mine:
    def __init__(self, x): self.x = x

def task(x): return double(x).x + Mine(1).x

def bad(): return TABLE

with open(sys.argv[1], "wb") as file:
    import pickle
    call = dump_call((Point(4), Mine(5)), {{}}, len)
    pickle.dump([dump_function(task), dump_function(double), call], file)
try:
    dump_function(bad)
except SerializationError as error:
    print(error)
"""


def test_a_script_and_the_modules_beside_it_travel_by_value(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "beside.py").write_text(
        "class Point:\n    def __init__(self, x): self.x = x\ndef double(x): return Point(2 * x)\n"
    )
    (folder / "job.py").write_text(SCRIPT.format(root=root))
    command = [sys.executable, str(folder / "job.py"), str(tmp_path / "out")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "because of its global variable 'TABLE' item ['a'], a _thread.lock" in printed
    dumped = pickle.loads((tmp_path / "out").read_bytes())
    assert [is_pinned for _, is_pinned in dumped] == [True, True, True]
    task, double, arguments = [data for data, _ in dumped]
    assert load_function(task)(4) == 9  # here there is neither that script nor a module `beside`
    assert load_function(double)(4).x == 8
    args, _ = load_call(arguments, None)
    assert (args[0].x, args[1].x) == (4, 5)


def test_importing_it_is_light() -> None:
    root = str(Path(__file__).resolve().parents[2])
    code = (
        f"import sys; sys.path.insert(0, {root!r}); import swarm.exec.serialize; "
        "print([m for m in ('cloudpickle', 'trio', 'networkx', 'hashlib', 'asyncio') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "[]"

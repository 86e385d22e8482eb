"""Callables, arguments and results as bytes, and the reasons why some cannot travel."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarm.core.errors import SerializationError
from swarm.exec.serialize import (
    dump_arguments,
    dump_function,
    dump_value,
    explain,
    load_arguments,
    load_function,
    load_value,
    load_value_file,
)
from swarm.wire.messages import ENCODING_PICKLE, ENCODING_RAW

LOCK = threading.Lock()
TABLE = {"rows": [1, 2, {"lock": LOCK}]}


class Future:
    def __init__(self, index: int) -> None:
        self.index = index


def index_of(value: Any) -> int | None:
    return value.index if type(value) is Future else None


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


def test_functions_travel() -> None:
    factor = 3
    assert load_function(dump_function(lambda x: x * factor))(2) == 6
    assert load_function(dump_function(len)) is len
    assert load_function(dump_function(functools.partial(pow, 2)))(5) == 32
    assert len(dump_function(len)) < 50


def test_what_is_no_callable() -> None:
    with pytest.raises(TypeError, match="a int is not callable"):
        load_function(pickle.dumps(3))


def test_arguments_with_futures_anywhere() -> None:
    asked: list[int] = []

    def load(index: int) -> object:
        asked.append(index)
        return f"value {index}"

    one = Future(1)
    data = dump_arguments((one, [Future(0), {"k": one}]), {"key": (one,)}, index_of)
    args, kwargs = load_arguments(data, load)
    assert args == ("value 1", ["value 0", {"k": "value 1"}])
    assert kwargs == {"key": ("value 1",)}
    assert asked == [1, 0]
    assert load_arguments(dump_arguments((), {}), load) == ((), {})


def test_futures_beside_things_that_travel_by_value() -> None:
    data = dump_arguments((Future(0), lambda x: x + 1), {}, index_of)
    args, _ = load_arguments(data, lambda index: 10 + index)
    assert args[1](args[0]) == 11


def test_values() -> None:
    assert dump_value(b"raw") == (ENCODING_RAW, b"raw")
    encoding, data = dump_value(bytearray(b"raw"))
    assert encoding == ENCODING_PICKLE
    assert load_value(encoding, data) == bytearray(b"raw")
    assert load_value(*dump_value(None)) is None
    encoding, data = dump_value(lambda: 4)
    assert load_value(encoding, data)() == 4


def test_values_in_files(tmp_path: Path) -> None:
    for number, value in enumerate((b"bytes", {"a": [1]})):
        encoding, data = dump_value(value)
        path = tmp_path / str(number)
        path.write_bytes(data)
        assert load_value_file(encoding, path) == value


def test_reasons_name_the_innermost_variable() -> None:
    lock = LOCK
    nested = {"deep": [0, Holder(lock)]}

    assert reason(lambda: dump_function(lambda: lock)) == (
        "function 'test_reasons_name_the_innermost_variable.<locals>.<lambda>.<locals>.<lambda>' "
        "cannot travel because of its variable 'lock', a _thread.lock: cannot pickle '_thread.lock' object"
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
    assert reason(lambda: dump_arguments((1, LOCK), {})) == (
        "argument 1 (a _thread.lock) cannot travel: cannot pickle '_thread.lock' object"
    )
    assert (
        "argument 'key' (a dict) cannot travel because of its item ['rows'] item [2] item ['lock']"
        in reason(lambda: dump_arguments((Future(0),), {"key": TABLE}, index_of))
    )
    assert "its attribute 'inside', a _thread.lock" in reason(lambda: dump_arguments((Slotted(LOCK),), {}))


def test_reasons_for_results() -> None:
    assert reason(lambda: dump_value((i for i in "ab"), "result of 'f'")) == (
        "result of 'f' (a generator) cannot travel: cannot pickle 'generator' object"
    )
    assert "item [0], a _thread.lock" in reason(lambda: dump_value({LOCK} and [LOCK]))


def test_reasons_for_deep_and_circular_things() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert reason(lambda: dump_value(deep)) == "the result (a list) cannot travel: it is nested too deeply"
    circle: list[object] = [LOCK]
    circle.insert(0, circle)
    assert "a _thread.lock" in explain(circle, "it")
    while deep:  # freeing it at once would recurse as deep
        deep = deep.pop()  # type: ignore[assignment]


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from beside import double, Point
LOCK = __import__("threading").Lock()
TABLE = {{"a": LOCK}}
from swarm.exec.serialize import dump_function, dump_arguments, dump_value
from swarm.core.errors import SerializationError

class Mine:
    def __init__(self, x): self.x = x

def task(x): return double(x).x + Mine(1).x

def bad(): return TABLE

with open(sys.argv[1], "wb") as file:
    import pickle
    pickle.dump([dump_function(task), dump_function(double), dump_arguments((Point(4), Mine(5)), {{}})], file)
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
    task, double, arguments = pickle.loads((tmp_path / "out").read_bytes())
    assert load_function(task)(4) == 9  # here there is neither that script nor a module `beside`
    assert load_function(double)(4).x == 8
    args, _ = load_arguments(arguments, lambda _index: None)
    assert (args[0].x, args[1].x) == (4, 5)


def test_importing_it_is_light() -> None:
    root = str(Path(__file__).resolve().parents[2])
    code = (
        f"import sys; sys.path.insert(0, {root!r}); import swarm.exec.serialize; "
        "print([m for m in ('cloudpickle', 'trio', 'networkx', 'hashlib', 'asyncio') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "[]"

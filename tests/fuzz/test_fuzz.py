"""Every decoder takes anything: what it does not understand it refuses with its own error, and keeps nothing.

The table of decoders is `targets.TARGETS`; `make fuzz` goes on from here for minutes.
"""

from __future__ import annotations

import os
import re
import time
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.errors import DecodeError
from swarm.version import is_compiled
from swarm.wire.codec import pack, unpack_untrusted
from tests.conftest import TESTS
from tests.fuzz import fuzzing
from tests.fuzz.corpus import stored_inputs
from tests.fuzz.fuzzing import Fuzzer, raised_by
from tests.fuzz.gathering import gather
from tests.fuzz.mutation import JSON, MSGPACK, Mutator
from tests.fuzz.target import Act, Target, Traffic, plain
from tests.fuzz.targets import TARGETS

SLOW = ("pairing-attempt", "journal-file", "journal-rows", "leader", "node")
ROOT = Path(os.environ.get("SWARM_REPOSITORY", TESTS.parent))


@cache
def _traffic() -> Traffic:
    return gather()


@cache
def _inputs(name: str) -> list[bytes]:
    return [*TARGETS[name].seeds(_traffic()), *stored_inputs(name)]


def _give(target: Target, inputs: list[bytes]) -> None:
    act = target.prepare()
    for data in inputs:
        target.take(target.prepare() if target.is_fresh else act, data)


@pytest.mark.parametrize("name", TARGETS)
def test_real_and_stored_inputs_are_taken(name: str) -> None:
    _give(TARGETS[name], _inputs(name))


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs_are_taken_or_refused(name: str) -> None:
    target = TARGETS[name]
    corpus = _inputs(name)
    mutator = Mutator(Random(name), target.shape)
    count = 15 if name in SLOW else 60
    _give(target, [mutator.mutate(corpus[number % len(corpus)], corpus) for number in range(count)])


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in SLOW])
@settings(max_examples=30)
@given(st.data())
def test_random_bytes_are_refused_or_taken(name: str, data: st.DataObject) -> None:
    _give(TARGETS[name], [data.draw(st.binary(max_size=200))])


# What the fuzzer found stays as a test.

FINDS = [
    ("object-name", b"nj2tcljqgaydamby.00.0"),
    ("object-name", b"nj2tcljqgaydamby.0.010"),
    ("graph-gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    ("graph-toml", b"a=" + b"[" * 5000),
    ("settings-file", b"a=" + b"[" * 5000),
    ("json-file", b"[" * 100_000),
    ("health", b"[" * 100_000),
    ("health", b"[]"),
    ("health", b'{"time": 1e999, "name": 1}'),
    ("health", b'{"time": %s}' % (b"9" * 400)),
    ("program", pack({"argv": {"a": 1}})),
    ("program", pack({"argv": ["true"], "outputs": {"a": [1]}})),
    ("program", pack({"argv": ["true"], "stdout": {}})),
    ("program", pack({"argv": "true", "stdin": []})),
    ("local-api-token", b'{"token": "\\ud800"}\n'),
    ("json-value", '{"a": {"base64": "é"}}'.encode()),
]


@pytest.mark.parametrize(("name", "data"), FINDS)
def test_what_was_found_once_is_refused(name: str, data: bytes) -> None:
    assert raised_by(TARGETS[name], data) == ""


@pytest.mark.parametrize(
    "find",
    [
        (18, b"\xff\xff"),  # a version of the file format that is not there yet
        (18, b"\xcb\x01"),  # one that may be read and not written
        (44, b"\x00\x00\x00\xff"),
        (56, b"\x00\x00\x00\x03"),  # text in another encoding
    ],
)
def test_a_journal_with_another_head_is_rescued(find: tuple[int, bytes]) -> None:
    (journal,) = TARGETS["journal-file"].seeds({})
    at, head = find
    _give(TARGETS["journal-file"], [journal[:at] + head + journal[at + len(head) :]])


def test_a_journal_whose_text_is_no_text_any_more_is_rescued() -> None:
    (journal,) = TARGETS["journal-file"].seeds({})
    assert journal.count(b"node") > 8
    _give(TARGETS["journal-file"], [journal.replace(b"node", b"n\xffde")])


# The fuzzer itself


def _planted(act: Act, shape: str = MSGPACK) -> Target:
    return Target("planted", plain(act), lambda traffic: [pack([1, [2, b"abc"]])], shape, (DecodeError,))


def _fuzzed(target: Target, seconds: float = 0.0) -> fuzzing.Outcome:
    return Fuzzer(target, target.seeds({}), Random("planted")).run(seconds)


def test_an_exception_that_is_not_spoken_of_is_found_once_and_shrunk() -> None:
    def act(data: bytes) -> None:
        if b"abc" in data:
            raise KeyError(data)

    (find,) = _fuzzed(_planted(act)).finds
    assert find.what.startswith("KeyError at test_fuzz.py:")
    assert find.data == b"abc"


def test_an_exception_that_is_spoken_of_is_none() -> None:
    assert _fuzzed(_planted(lambda data: unpack_untrusted(data + b"\xc1"))).finds == []


def test_memory_that_grows_is_found() -> None:
    kept: list[bytes] = []
    (find,) = _fuzzed(_planted(lambda data: kept.append(bytes(300_000)))).finds
    assert find.what.startswith("memory: ")


def test_a_slow_input_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def act(data: bytes) -> None:
        clock[0] += 1.0 if data == b"slow" else 0.001

    (find,) = Fuzzer(_planted(act), [b"a", b"slow", b"b"], Random(1)).run(0.0).finds
    assert find.what == "slow: 1.000 s, limit 0.100 s"
    assert find.data == b"slow"


@pytest.mark.skipif(is_compiled(), reason="machine code has no lines to trace")
def test_new_edges_are_kept_and_lead_on() -> None:
    # Guided by edges of swarm, bytes become a frame's array of six one check after the other.
    target = Target("planted", TARGETS["frame"].prepare, lambda _: [pack([1])], MSGPACK, (DecodeError,))
    fuzzer = Fuzzer(target, [pack([1])], Random("edges"))
    fuzzer._try(pack([1, b"", 1, b"", 1, []]), is_seed=False)
    assert len(fuzzer.outcome.corpus) == 2, "more edges than the seed"
    fuzzer._try(pack([2, b"", 1, b"", 1, []]), is_seed=False)
    assert len(fuzzer.outcome.corpus) == 2, "the same edges again"


@pytest.mark.parametrize("shape", [MSGPACK, JSON])
def test_structures_mostly_stay_structures(shape: str) -> None:
    seed = b'{"a": [1, "x", {"b": null}]}' if shape == JSON else pack([1, b"", {"a": pack([1, 2])}])
    mutator = Mutator(Random(shape), shape)
    load = TARGETS["json" if shape == JSON else "frame"]
    good = 0
    for _ in range(300):
        data = mutator.mutate(seed, [seed])
        assert len(data) <= 4096
        try:
            mutator._load(data)
        except (ValueError, DecodeError, RecursionError):
            continue
        good += 1
    assert good > 120
    assert load.shape == shape


def test_finds_are_kept_as_files(tmp_path: Path) -> None:
    path = fuzzing.Find("frame", "what", b"data").keep(tmp_path / "finds")
    assert path.read_bytes() == b"data"
    assert path.name.startswith("frame-")


def test_every_function_for_untrusted_bytes_is_in_the_table() -> None:
    told = "".join([path.read_text(encoding="utf-8") for path in (TESTS / "fuzz").glob("*_targets.py")])
    known = set(re.findall(r"\w+", told))
    # Reached through others: a node routes to the first five, MarcoPolo's doors to the last two.
    inner = {"decode_untrusted", "running_untrusted", "copies_untrusted", "copy_untrusted"}
    inner |= {"completions_untrusted", "uid_of_untrusted", "object_untrusted"}
    for path in (ROOT / "swarm").rglob("*.py"):
        for name in re.findall(r"def (\w+_untrusted)\(", path.read_text(encoding="utf-8")):
            assert name in known | inner or name.startswith("_"), (
                f"{path.name}: {name} is fuzzed by no target"
            )

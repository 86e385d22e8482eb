"""Options of tasks as people write them."""

from __future__ import annotations

import math

import pytest

from swarm.client.options import make_options, pinned_to_python, size_bytes, tags_of
from swarm.client.tasks import split_options
from swarm.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "size"),
    [(0, 0), (12, 12), ("100", 100), ("100M", 10**8), ("1.5 GB", 15 * 10**8), ("2Ki", 2048), ("1GiB", 2**30)],
)
def test_sizes(text: str | int, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1X", "1MM", "inf", -5, True])
def test_what_is_no_size_is_named(text: str | int) -> None:
    with pytest.raises(ConfigError, match=r"memory .* is not a size"):
        size_bytes(text)


def test_tags_from_mapping_and_words() -> None:
    assert tags_of({"gpu": "yes", "a": 1}) == ("a=1", "gpu=yes")
    assert tags_of(["b=2", "a=1", "b=2"]) == ("a=1", "b=2")
    assert tags_of("a=1") == ("a=1",)


@pytest.mark.parametrize("tags", [["gpu"], ["=1"], ["a="], 7])
def test_wrong_tags(tags: object) -> None:
    with pytest.raises(ConfigError, match=r"tag"):
        tags_of(tags)


def test_equal_options_are_one_object() -> None:
    assert make_options(cpus=2, tags=["a=1"]) is make_options(cpus=2, tags={"a": 1})


@pytest.mark.parametrize(
    ("chosen", "word"),
    [
        ({"cpus": -1}, "cpus"),
        ({"cpus": "two"}, "cpus"),
        ({"cpus": math.inf}, "cpus"),
        ({"retries": 1.5}, "retries"),
        ({"retries": -1}, "retries"),
        ({"retries": True}, "retries"),
        ({"timeout_s": math.nan}, "timeout_s"),
        ({"memory": "lots"}, "lots"),
        ({"python": "new"}, "python"),
        ({"outputs": 0}, "outputs"),
        ({"outputs": "a"}, "outputs"),
        ({"colour": 1}, "colour"),
        ({"cpus": [1]}, "plain values"),
    ],
)
def test_faulty_options_are_named(chosen: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        split_options(chosen)


def test_pinning_keeps_what_was_asked() -> None:
    plain, asked = make_options(cpus=2), make_options(python="3.12")
    assert pinned_to_python(plain, "3.11").python == "3.11"
    assert pinned_to_python(plain, "3.11").cpus == 2
    assert pinned_to_python(asked, "3.11") is asked

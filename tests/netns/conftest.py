"""What tests between namespaces are given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.netns.lab import Lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Give a network without hosts; it is taken apart in the end."""
    with contextlib.closing(Lab()) as made:
        yield made

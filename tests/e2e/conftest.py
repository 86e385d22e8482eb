"""What tests of whole processes are given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.mesh_processes import Host


@pytest.fixture
def host() -> Iterator[Host]:
    """Give this host as a place for nodes and programs; all of them are ended in the end."""
    with contextlib.closing(Host()) as made:
        yield made

"""Settings of every test: deterministic property tests, and marks that follow from the folder."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).resolve().parent
MARKED_FOLDERS = ("bench", "e2e", "integration", "netns", "simulation")

# `fixed` runs the same examples every time; HYPOTHESIS_PROFILE=search looks for new ones.
settings.register_profile(
    "fixed",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search", parent=settings.get_profile("fixed"), derandomize=False, max_examples=2000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


# A shell without job control starts what it puts into the background with interrupts ignored, and processes
# started by tests would inherit that; a handler of our own is not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice of a part of the files."""
    parser.addoption(
        "--part", default="1/1", help="k/n: of all files with tests, every n-th one, from the k-th one on"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give every test below tests/<folder> the mark of that name; keep the part that is wanted."""
    for item in items:
        folders = item.path.resolve().relative_to(TESTS).parts[:-1]
        if folders and folders[0] in MARKED_FOLDERS:
            item.add_marker(folders[0])
    number, _, count = config.getoption("part").partition("/")
    files = sorted({item.path for item in items if any(item.iter_markers("netns"))})
    files += sorted({item.path for item in items} - set(files))
    wanted = set(files[int(number) - 1 :: int(count)])
    config.hook.pytest_deselected(items=[item for item in items if item.path not in wanted])
    items[:] = [item for item in items if item.path in wanted]

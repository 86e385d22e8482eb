"""Temporary homes that nobody removed: the next start does, and only those."""

from __future__ import annotations

import os
import time
from pathlib import Path

from swarm.client.local import ABANDONED_S, sweep_homes
from swarm.daemon.home import Home, HomeLock


def aged(path: Path) -> Path:
    long_ago = time.time() - 2 * ABANDONED_S
    os.utime(path, (long_ago, long_ago))
    return path


def test_abandoned_homes_are_swept(tmp_path: Path) -> None:
    for name in ("swarm-local-dead", "swarm-local-young", "swarm-local-running", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mesh").write_text("secret")
    lock = HomeLock(Home(tmp_path / "swarm-local-running"))
    lock.acquire()
    (tmp_path / "swarm-local-link").symlink_to(tmp_path / "other")
    for name in ("swarm-local-dead", "swarm-local-running", "other"):
        aged(tmp_path / name)
    assert sweep_homes(tmp_path) == 1
    left = sorted([path.name for path in tmp_path.iterdir()])
    assert left == ["other", "swarm-local-link", "swarm-local-running", "swarm-local-young"]
    assert (tmp_path / "other" / "mesh").exists()
    lock.release()

"""The harness of a chaos run: what goes wrong with it is told, and nothing of it is left."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest

from tests.chaos.field import Field
from tests.chaos.shim import compiler
from tests.mesh_processes import is_running, wait_for
from tests.netns.lab import skipped_for, why_not

pytestmark = [
    pytest.mark.netns,
    skipped_for(why_not("nft") or ("" if compiler() else "the shim needs a C compiler")),
]


def test_a_disk_that_somebody_else_unmounts_is_told_and_no_node_is_begun_below_it(tmp_path: Path) -> None:
    with contextlib.closing(Field(1, tmp_path)) as field:
        subprocess.run(["umount", str(field.host(0).folder)], check=True, timeout=20)
        with pytest.raises(AssertionError, match="the disk of n0 was unmounted"):
            field.ensure_running()
        assert not field.nodes[0].home.root.exists()


def test_nothing_of_a_field_is_left_in_the_end(tmp_path: Path) -> None:
    field = Field(2, tmp_path)
    folders = [field.host(number).folder for number in range(2)]
    assert all(folder.is_mount() for folder in folders)
    lost = int(field.host(0).run("sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"))
    field.close()
    assert not any(folder.exists() for folder in folders)
    wait_for(lambda: not is_running(lost), 10.0, "the end of a process that nobody knows")
